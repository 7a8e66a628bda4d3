//! `show_connections`: clients that were heard of lately and the connections of the pools.

use std::collections::BTreeMap;
use std::time::Instant;

use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowConnections;

/// Which connections.
#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Clients of this server.
    Client,
    /// The pools.
    Backend,
    /// Both.
    #[default]
    All,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Which connections.
    #[serde(default)]
    kind: Kind,
    /// Most connections.
    #[serde(default = "two_hundred")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
}

const fn two_hundred() -> usize {
    200
}

#[derive(Serialize, JsonSchema)]
struct Connection {
    /// client or backend.
    kind: &'static str,
    /// Target of a backend connection.
    target_id: Option<String>,
    /// active or idle.
    state: &'static str,
    /// Address of the client; name of the backend.
    peer: String,
    /// Token name.
    caller: Option<String>,
    /// Endpoint.
    endpoint: Option<String>,
    /// Age in milliseconds: since the client was first heard of, since the connection was opened or the statement began.
    age_ms: u64,
    /// Time without work, in milliseconds.
    idle_ms: u64,
    /// Calls of the client; 0 for a backend connection.
    requests_total: u64,
    /// Running tool, or running statement without its literals.
    current: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    /// Client connections that are open.
    clients: u64,
    /// Backend connections in use.
    backends_used: usize,
    /// Idle backend connections.
    backends_idle: usize,
    /// Backend connections by target.
    by_target: BTreeMap<String, usize>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The connections: a client is a token at an address that was heard of in the last five minutes.
    connections: Vec<Connection>,
    /// Numbers of all of them.
    summary: Summary,
}

impl OpsTool for ShowConnections {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_connections";
    const TITLE: &'static str = "Show connections";
    const TEXT: &'static str = "Shows the clients of this server and the connections of its pools to the databases, as they are now.";
    const TOOLSET: &'static str = "observe";

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.truncated()
    }

    fn example() -> (&'static str, Value) {
        ("Who is connected?", json!({"kind": "client"}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let mut connections = Vec::new();
        let mut summary = Summary {
            clients: deps.book.totals().0,
            backends_used: 0,
            backends_idle: 0,
            by_target: BTreeMap::new(),
        };
        if args.kind != Kind::Backend {
            connections.extend(clients(deps));
        }
        for (target_id, _, backends, _) in deps.tools.gateway.pools() {
            if !call.scope.sees(&target_id) {
                continue;
            }
            let used: usize = backends.iter().map(|b| b.conn_used).sum();
            let idle: usize = backends.iter().map(|b| b.conn_free).sum();
            summary.backends_used += used;
            summary.backends_idle += idle;
            summary.by_target.insert(target_id, used + idle);
        }
        if args.kind != Kind::Client {
            connections.extend(backends(deps, call));
        }
        let truncated = connections.len() > args.limit;
        connections.truncate(args.limit);
        Ok((Output { connections, summary }, Frame::new().truncated(truncated)))
    }
}

fn ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn clients(deps: &OpsDeps) -> impl Iterator<Item = Connection> {
    let mut rows = deps.book.clients();
    rows.sort_by(|a, b| (b.active, &a.caller).cmp(&(a.active, &b.caller)));
    rows.into_iter().map(|row| Connection {
        kind: "client",
        target_id: None,
        state: if row.active > 0 { "active" } else { "idle" },
        age_ms: ms(row.first_seen),
        idle_ms: if row.active > 0 { 0 } else { ms(row.last_seen) },
        peer: row.client_address,
        caller: Some(row.caller),
        endpoint: Some(row.endpoint),
        requests_total: row.requests,
        current: row.current,
    })
}

fn backends(deps: &OpsDeps, call: &Call<'_>) -> Vec<Connection> {
    let gateway = &deps.tools.gateway;
    let row = |target_id: String, state, peer: String| Connection {
        kind: "backend",
        target_id: Some(target_id),
        state,
        peer,
        caller: None,
        endpoint: None,
        age_ms: 0,
        idle_ms: 0,
        requests_total: 0,
        current: None,
    };
    let running = gateway.statistics().running().into_iter().filter(|r| call.scope.sees(&r.target_id));
    let mut all: Vec<Connection> = running
        .map(|r| Connection {
            caller: Some(r.caller),
            endpoint: Some(r.endpoint),
            age_ms: ms(r.started),
            current: Some(r.digest_text),
            ..row(r.target_id, "active", String::new())
        })
        .collect();
    for (target_id, backend, age_ms, idle_ms) in gateway.idle_connections() {
        if call.scope.sees(&target_id) {
            all.push(Connection { age_ms, idle_ms, ..row(target_id, "idle", backend) });
        }
    }
    all
}
