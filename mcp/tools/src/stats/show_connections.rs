//! `show_connections` and `show_free_connections`: the pools by server, and their idle connections.

use std::collections::BTreeMap;

use harvest_gateway::StatsFamily;
use mcp::{ToolError, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{Aim, DbType, Side, common_args, is_server, may_name_target, ratio};
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowConnections;
pub(super) struct ShowFreeConnections;

/// State of a server.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    Online,
    Shunned,
    OfflineSoft,
    OfflineHard,
}

common_args! {
    pub(super) struct Args {
        /// Only servers of this group.
        #[schemars(range(min = 0, max = 4_294_967_295_u64))]
        hostgroup: Option<i64>,
        /// Only this server: host:port, or the path of a file.
        #[schemars(length(min = 1, max = 1024))]
        server: Option<String>,
        /// Only servers in this state.
        status: Option<Status>,
    }
}

/// The pool of one target for one server.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Server {
    pub(super) target_id: String,
    pub(super) hostgroup: i64,
    pub(super) srv_host: String,
    pub(super) srv_port: Option<i64>,
    status: String,
    weight: u64,
    conn_used: u64,
    conn_free: u64,
    conn_ok: u64,
    conn_err: u64,
    max_conn_used: u64,
    max_connections: u64,
    queries: u64,
    bytes_data_sent: u64,
    bytes_data_recv: u64,
    latency_us: u64,
    /// Used of the most that there may be.
    #[serde(default)]
    utilization_pct: f64,
    /// Failed of all connects.
    #[serde(default)]
    error_rate: f64,
    shunned_reason: Option<String>,
}

impl Server {
    pub(super) fn complete(&mut self) {
        self.utilization_pct = 100.0 * ratio(self.conn_used, self.max_connections);
        self.error_rate = ratio(self.conn_err, self.conn_ok + self.conn_err);
    }
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    total_servers: usize,
    online_servers: usize,
    total_conn_used: u64,
    total_conn_free: u64,
    total_queries: u64,
    overall_utilization_pct: f64,
    by_status: BTreeMap<String, usize>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Engine.
    db_type: DbType,
    /// Always host: these are pools of this server.
    origin: Side,
    /// The servers.
    servers: Vec<Server>,
    /// Sums over them.
    summary: Summary,
}

impl OpsTool for ShowConnections {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_connections";
    const TITLE: &'static str = "Pools by server";
    const TEXT: &'static str = "Shows the pool of every database server: status, connections in use and free, failures, traffic and latency.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema)
    }

    fn example() -> (&'static str, Value) {
        ("Which servers are shunned?", json!({"status": "SHUNNED"}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let aim = Aim::of(call, args.db_type, args.target_id.as_deref())?;
        let (origin, mut servers) =
            aim.rows::<Server>(deps, call, StatsFamily::Connections, None, Side::Host)?;
        let status = args.status.and_then(|status| serde_json::to_value(status).ok());
        servers.retain(|s| {
            args.hostgroup.is_none_or(|group| group == s.hostgroup)
                && is_server(args.server.as_deref(), &s.srv_host, s.srv_port)
                && status.as_ref().is_none_or(|wanted| *wanted == s.status)
        });
        servers.iter_mut().for_each(Server::complete);
        servers.sort_by(|a, b| {
            (a.hostgroup, &a.srv_host, a.srv_port, &a.target_id).cmp(&(
                b.hostgroup,
                &b.srv_host,
                b.srv_port,
                &b.target_id,
            ))
        });
        let sum = |read: fn(&Server) -> u64| servers.iter().map(read).sum::<u64>();
        let mut by_status = BTreeMap::new();
        for server in &servers {
            *by_status.entry(server.status.clone()).or_default() += 1;
        }
        let summary = Summary {
            total_servers: servers.len(),
            online_servers: by_status.get("ONLINE").copied().unwrap_or(0),
            total_conn_used: sum(|s| s.conn_used),
            total_conn_free: sum(|s| s.conn_free),
            total_queries: sum(|s| s.queries),
            overall_utilization_pct: 100.0 * ratio(sum(|s| s.conn_used), sum(|s| s.max_connections)),
            by_status,
        };
        Ok((Output { db_type: aim.db_type(), origin, servers, summary }, aim.frame()))
    }
}

common_args! {
    pub(super) struct FreeArgs {
        /// Only servers of this group.
        #[schemars(range(min = 0, max = 4_294_967_295_u64))]
        hostgroup: Option<i64>,
        /// Only this server: host:port, or the path of a file.
        #[schemars(length(min = 1, max = 1024))]
        server: Option<String>,
    }
}

/// An idle connection. Sessions are reset before each use, so what the last use had set is null.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Free {
    target_id: String,
    hostgroup: i64,
    fd: Option<i64>,
    connection_id: u64,
    srv_host: String,
    srv_port: Option<i64>,
    user: String,
    schema: String,
    init_connect: Option<String>,
    time_zone: Option<String>,
    sql_mode: Option<String>,
    autocommit: Option<String>,
    idle_ms: u64,
}

#[derive(Serialize, JsonSchema)]
struct FreeSummary {
    total: usize,
    by_server: BTreeMap<String, usize>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct FreeOutput {
    /// Engine.
    db_type: DbType,
    /// Always host: these are pools of this server.
    origin: Side,
    /// The connections.
    free_connections: Vec<Free>,
    /// Numbers of them.
    summary: FreeSummary,
}

impl OpsTool for ShowFreeConnections {
    type Args = FreeArgs;
    type Output = FreeOutput;
    const NAME: &'static str = "show_free_connections";
    const TITLE: &'static str = "Idle pooled connections";
    const TEXT: &'static str = "Shows every idle connection of the pools. It is there only while mcp-stats_enable_debug_tools is true.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema)
    }

    fn example() -> (&'static str, Value) {
        ("All idle connections to MySQL servers", json!({"db_type": "mysql"}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: FreeArgs) -> ToolResult<(FreeOutput, Frame)> {
        if !deps.stats.settings().debug_tools {
            return Err(ToolError::precondition(
                "this tool is off: set mcp-stats_enable_debug_tools to true",
            )
            .with("reason", "debug_tools_off")
            .with("variable", "mcp-stats_enable_debug_tools"));
        }
        let aim = Aim::of(call, args.db_type, args.target_id.as_deref())?;
        let (origin, mut free) =
            aim.rows::<Free>(deps, call, StatsFamily::FreeConnections, None, Side::Host)?;
        free.retain(|c| {
            args.hostgroup.is_none_or(|group| group == c.hostgroup)
                && is_server(args.server.as_deref(), &c.srv_host, c.srv_port)
        });
        let mut by_server = BTreeMap::new();
        for connection in &free {
            let name = match connection.srv_port {
                Some(port) => format!("{}:{port}", connection.srv_host),
                None => connection.srv_host.clone(),
            };
            *by_server.entry(name).or_default() += 1;
        }
        let summary = FreeSummary { total: free.len(), by_server };
        Ok((FreeOutput { db_type: aim.db_type(), origin, free_connections: free, summary }, aim.frame()))
    }
}
