//! Starts the fixture over HTTP, HTTPS or stdio; it does not know what its tools answer.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use mcp::{ChangeFeed, Endpoint, HandlerSet, Scope, ServerInfo};
use mcp_server::{
    BackgroundServer, Server, ServerConfig, Tls, TlsConfig, TokenRecord, TokenTable, hash_token,
    serve_stdio_blocking,
};

mod asking;
mod documents;
mod tasks;
mod tools;

const PATH: &str = "/mcp";

/// The fixture server of the MCP conformance suite.
#[derive(Parser)]
struct Options {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:6171")]
    listen: SocketAddr,
    /// Serve plain HTTP (the default without certificate files).
    #[arg(long, conflicts_with = "tls")]
    no_tls: bool,
    /// Serve HTTPS with a self-signed certificate.
    #[arg(long)]
    tls: bool,
    /// PEM file of the certificate to serve HTTPS with.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of its private key.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Ask for this Bearer token; without it everybody is let in.
    #[arg(long)]
    token: Option<String>,
    /// Serve standard input and output instead of HTTP.
    #[arg(long)]
    stdio: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let mut config = ServerConfig::default();
    config.allowed_origins =
        ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("http://{host}:*")).to_vec();
    let info =
        ServerInfo::new("conformance-fixture", env!("CARGO_PKG_VERSION")).with_title("Conformance fixture");
    let mut builder = Server::builder(info).config(config).endpoint(endpoint());
    builder = match &options.token {
        None => builder.anonymous(Scope::Full),
        Some(token) => {
            let tokens = TokenTable::new();
            tokens.replace(vec![TokenRecord::new(PATH, "suite", hash_token(token)?, Scope::Full)]);
            builder.authenticator(Arc::new(tokens))
        }
    };
    // Kept until the end: the certificate is made there.
    let folder = tempfile::tempdir()?;
    let tls = match (options.tls_cert, options.tls_key) {
        (Some(cert), Some(key)) if !options.no_tls => Some(TlsConfig::new(cert, key)),
        _ if options.tls => Some(TlsConfig::self_signed(folder.path(), &[])?),
        _ => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    if let Some(tls) = tls {
        builder = builder.tls(Tls::load(tls)?);
    }
    let server = builder.build()?;
    if options.stdio {
        return Ok(serve_stdio_blocking(&server, PATH)?);
    }
    let running = BackgroundServer::start(server, options.listen, 1)?;
    announce(&format!("listening on {scheme}://{}{PATH}", running.address()));
    Ok(running.wait()?)
}

#[expect(clippy::print_stdout, reason = "the address is this program's output")]
fn announce(text: &str) {
    println!("{text}");
}

fn endpoint() -> Endpoint {
    let changes = ChangeFeed::new();
    let documents = Arc::new(documents::Documents);
    Endpoint::new(PATH, Arc::new(HandlerSet::new(tools::Tools::new(changes.clone()))))
        .with_changes(changes)
        .with_instructions("Serves what the conformance suite asks for.")
        .with_resources(documents.clone())
        .with_prompts(documents.clone())
        .with_completer(documents)
}
