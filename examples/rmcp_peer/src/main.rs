//! An MCP server of the official Rust SDK with one trivial tool, to measure beside ours; it uses no crate of ours.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use tokio::net::TcpListener;

/// A handler with the tool that the official suite calls first.
#[derive(Clone)]
struct Peer {
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Peer {
    fn new() -> Self {
        Self { tool_router: Self::tool_router() }
    }

    #[tool(description = "Answers with a fixed text")]
    fn test_simple_text(&self) -> String {
        "This is a simple text response for testing.".to_owned()
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Peer {}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let address = match (words.next().as_deref(), words.next()) {
        (Some("--listen"), Some(address)) => address,
        _ => return Err("usage: rmcp_peer --listen ADDRESS".into()),
    };
    let listener = TcpListener::bind(&address).await?;
    writeln!(std::io::stdout(), "listening on http://{}/mcp", listener.local_addr()?)?;
    // Sessions and streams cost more than they say here: the peer runs in its cheapest form.
    let mut config = StreamableHttpServerConfig::default();
    config.legacy_session_mode = false;
    config.json_response = true;
    let sessions = Arc::new(LocalSessionManager::default());
    let service = StreamableHttpService::new(|| Ok(Peer::new()), sessions, config);
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let http = Builder::new(TokioExecutor::new());
            // The measuring client closes connections as it likes.
            let _ = http.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}
