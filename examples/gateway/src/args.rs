//! The command line; it checks what needs no file and no network.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// What the ports say of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TlsMode {
    /// Not offered.
    Off,
    /// Offered.
    On,
    /// Logins without it are refused.
    Required,
}

/// A SQL proxy with hooks on the data path, an admin console and MCP beside it. Port 0 takes any free port.
#[derive(Debug, Clone, Parser)]
#[command(name = "gateway", version)]
pub(crate) struct Args {
    /// A database: mysql://…, postgres://… or sqlite:FILE. At most one for each wire; a file serves the wires left over.
    /// Without any, the data ports stay closed and MCP serves what the admin port configures.
    #[arg(long = "backend", value_name = "URL")]
    pub(crate) backends: Vec<String>,
    /// A user of the data and admin ports. May be given several times.
    #[arg(long = "user", value_name = "NAME:PASSWORD", required = true)]
    pub(crate) users: Vec<String>,
    /// Data port for MySQL clients.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) mysql_listen: Option<SocketAddr>,
    /// Data port for PostgreSQL clients.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) pg_listen: Option<SocketAddr>,
    /// Admin console for MySQL clients.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) admin_listen: Option<SocketAddr>,
    /// Admin console for PostgreSQL clients.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) admin_pg_listen: Option<SocketAddr>,
    /// MCP endpoints, plain HTTP, whatever mcp-enabled, mcp-bind_address, mcp-port and mcp-use_ssl say; by default they do.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) mcp_listen: Option<SocketAddr>,
    /// Metrics as Prometheus text, at /metrics.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// TLS on the data and admin ports.
    #[arg(long, value_enum, value_name = "MODE", default_value_t = TlsMode::On)]
    pub(crate) tls: TlsMode,
    /// Certificate of the ports, as PEM; without it a self-signed one is made in the data folder.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of that certificate, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Reads the schemas of all backends before the ports open: what NL2SQL: needs to know.
    #[arg(long)]
    pub(crate) harvest: bool,
    /// Takes the hooks off the data ports: no detector, no prefix queries.
    #[arg(long)]
    pub(crate) no_hooks: bool,
    /// A setting of the model service, such as llm_enabled=true. May be given several times.
    #[arg(long = "genai", value_name = "NAME=VALUE")]
    pub(crate) genai: Vec<String>,
    /// Folder of configuration, catalog and tokens.
    #[arg(long, value_name = "FOLDER", default_value = "penstock-gateway")]
    pub(crate) data_dir: PathBuf,
    /// Client connections of all ports together.
    #[arg(long, value_name = "COUNT", default_value_t = 512)]
    pub(crate) connections_max: usize,
}

impl Args {
    /// Refuses what would put passwords and data in the open.
    pub(crate) fn check(&self) -> Result<(), String> {
        let sql = [
            ("--mysql-listen", self.mysql_listen),
            ("--pg-listen", self.pg_listen),
            ("--admin-listen", self.admin_listen),
            ("--admin-pg-listen", self.admin_pg_listen),
        ];
        let plain = [("--mcp-listen", self.mcp_listen), ("--metrics-listen", self.metrics_listen)];
        if sql.iter().chain(&plain).all(|(_, address)| address.is_none()) {
            return Err("nothing to do: give at least one --…-listen".to_owned());
        }
        let is_open = |(_, address): &&(&str, Option<SocketAddr>)| {
            address.is_some_and(|address| !address.ip().is_loopback())
        };
        if let Some((name, _)) = plain.iter().find(is_open) {
            return Err(format!("{name}: this port is plain HTTP, so it is for loopback only"));
        }
        if let Some((name, _)) = sql.iter().find(is_open).filter(|_| self.tls != TlsMode::Required) {
            return Err(format!("{name}: beyond loopback the ports need --tls required"));
        }
        Ok(())
    }
}
