//! The command line; it checks what needs no file and no network.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Serves MCP endpoints over databases: without any target, over an embedded sample shop.
#[derive(Debug, Parser)]
#[command(name = "serve", version)]
pub(crate) struct Args {
    /// A database: NAME=mysql://…, NAME=postgres://… or NAME=sqlite:FILE. May be given several times.
    #[arg(long = "target", value_name = "NAME=URL")]
    pub(crate) targets: Vec<String>,
    /// A SQLite file; the target is named after it.
    #[arg(long, value_name = "FILE")]
    pub(crate) sqlite: Option<PathBuf>,
    /// Folder of catalog, certificate, tokens and the sample; by default `penstock` in the user's data folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address to listen on, whatever mcp-bind_address and mcp-port say; by default they do (127.0.0.1:6071).
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Configuration file, TOML or JSON: read at the first start and by LOAD … FROM CONFIG.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Serves targets whose accounts may do more than read (superuser, FILE, write grants), with a warning.
    #[arg(long)]
    pub(crate) allow_privileged_backend: bool,
    /// Most rows of one statement on the targets given here; mcp-max_rows_hard (10000) bounds it further.
    #[arg(long, value_name = "ROWS", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_rows: u32,
    /// Plain HTTP; on loopback addresses only.
    #[arg(long)]
    pub(crate) no_tls: bool,
    /// One token for every endpoint instead of the kept ones; on loopback addresses only, for scripts.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// Makes a new token for every endpoint, in place of the old one, and shows it.
    #[arg(long)]
    pub(crate) new_tokens: bool,
    /// Serves one endpoint on standard input and output instead, such as `query`.
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) stdio: Option<String>,
    /// Time between two harvests of each target, in seconds; 0 harvests at start only.
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    pub(crate) refresh_s: u64,
    /// Something else than serving.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What the program does besides serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs one statement or verb on the admin interface of the running server, or of the data folder if none runs.
    Admin {
        /// Such as "SHOW MCP STATUS" or "LOAD MCP VARIABLES TO RUNTIME".
        #[arg(value_name = "SQL or verb")]
        statement: String,
        /// Folder of the server's data; by default as for serving.
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
    },
    /// Reads the whole audit log and says whether its chain holds; fails if it does not.
    Audit {
        /// The log; by default that of the data folder.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Folder of the server's data; by default as for serving.
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
    },
}

impl Args {
    /// The data folder.
    pub(crate) fn folder(&self) -> PathBuf {
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
        let base = || std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).or_else(home).unwrap_or_default();
        self.data_dir.clone().unwrap_or_else(|| base().join("penstock"))
    }

    /// Refuses what would put a token or the data in the open.
    pub(crate) fn check(&self) -> Result<(), String> {
        let loopback = self.listen.is_none_or(|address| address.ip().is_loopback());
        if self.no_tls && !loopback {
            return Err("--no-tls is for loopback addresses only: tokens would travel in the open".to_owned());
        }
        if self.token.is_some() && !loopback {
            return Err(
                "--token is for loopback addresses only: it stands in the list of processes".to_owned()
            );
        }
        if self.token.as_ref().is_some_and(|t| t.len() < 8) {
            return Err("--token needs at least 8 characters".to_owned());
        }
        Ok(())
    }
}
