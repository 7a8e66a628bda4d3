//! `show_cluster`: which database servers replicate from which, and whether this server's configuration is in step.

use std::collections::BTreeMap;

use harvest_gateway::StatsFamily;
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::shared::{Side, may_name_target, ratio};
use super::show_gtid;
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowCluster;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Only servers of this target; of all targets that replicate if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Only this member.
    #[schemars(length(min = 1, max = 1024))]
    hostname: Option<String>,
    /// Whether checksums of this server's configuration are listed.
    #[serde(default = "yes")]
    include_checksums: bool,
}

const fn yes() -> bool {
    true
}

/// How the members are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Health {
    Healthy,
    Degraded,
    Unhealthy,
    NotConfigured,
}

/// A member; what its protocol does not tell is null.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Node {
    hostname: String,
    port: i64,
    weight: u64,
    master: bool,
    state: String,
    global_version: Option<i64>,
    check_age_us: u64,
    ping_time_us: u64,
    checks_ok: u64,
    checks_err: u64,
    check_success_rate: f64,
    uptime_s: Option<i64>,
    queries: Option<u64>,
    client_connections: Option<u64>,
    #[serde(skip)]
    online: bool,
}

/// A module of this server's configuration; moments in Unix seconds.
#[derive(Debug, Serialize, JsonSchema)]
struct Checksum {
    hostname: String,
    port: i64,
    name: String,
    /// Counts the different sums that were seen.
    version: u64,
    epoch: i64,
    checksum: String,
    changed_at: i64,
    updated_at: i64,
    /// 1 while what runs differs from what is kept in memory.
    diff_check: u64,
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    config_in_sync: Option<bool>,
    nodes_in_sync: usize,
    nodes_out_of_sync: usize,
    total_queries_all_nodes: Option<u64>,
    total_client_connections: Option<u64>,
    avg_ping_time_us: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Always backend: members are database servers.
    origin: Side,
    /// healthy, degraded, unhealthy, or not_configured where nothing replicates.
    cluster_health: Health,
    total_nodes: usize,
    /// Members whose last check succeeded.
    online_nodes: usize,
    /// host:port of the source.
    master_node: Option<String>,
    /// The members.
    nodes: Vec<Node>,
    /// Modules of this server's configuration.
    checksums: Vec<Checksum>,
    /// Sums over the members.
    summary: Summary,
}

impl OpsTool for ShowCluster {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_cluster";
    const TITLE: &'static str = "Replication members";
    const TEXT: &'static str = "Shows which database servers replicate from which and whether they do. Where nothing replicates the answer is \
        not_configured with empty lists.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema)
    }

    fn example() -> (&'static str, Value) {
        ("Is replication running?", json!({}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let (rows, frame) = show_gtid::rows(deps, call, StatsFamily::Cluster, args.target_id.as_deref())?;
        let mut nodes = members(&rows);
        for node in nodes.values_mut() {
            let (ok, failed) = deps.stats.checked(&node.hostname, node.port, node.online);
            (node.checks_ok, node.checks_err) = (ok, failed);
            node.check_success_rate = ratio(ok, ok + failed);
        }
        let master = nodes.values().find(|node| node.master).cloned();
        let mut nodes: Vec<Node> = nodes.into_values().collect();
        let cluster_health = health(&nodes);
        nodes.retain(|node| args.hostname.as_deref().is_none_or(|name| name == node.hostname));
        let is_there = cluster_health != Health::NotConfigured;
        let (checksums, config_in_sync) =
            if is_there && args.include_checksums { checksums(deps)? } else { (Vec::new(), None) };
        let online_nodes = nodes.iter().filter(|node| node.online).count();
        let pings: Vec<u64> = nodes.iter().map(|node| node.ping_time_us).filter(|us| *us > 0).collect();
        let avg_ping_time_us = (!pings.is_empty()).then(|| pings.iter().sum::<u64>() / pings.len() as u64);
        let summary = Summary {
            config_in_sync,
            nodes_in_sync: online_nodes,
            nodes_out_of_sync: nodes.len() - online_nodes,
            total_queries_all_nodes: None,
            total_client_connections: None,
            avg_ping_time_us,
        };
        let output = Output {
            origin: Side::Backend,
            cluster_health,
            total_nodes: nodes.len(),
            online_nodes,
            master_node: master.map(|node| format!("{}:{}", node.hostname, node.port)),
            nodes,
            checksums,
            summary,
        };
        Ok((output, frame))
    }
}

/// Healthy: every member works. Unhealthy: the source or every replica does not.
fn health(nodes: &[Node]) -> Health {
    let replicas = || nodes.iter().filter(|node| !node.master);
    if nodes.is_empty() {
        Health::NotConfigured
    } else if nodes.iter().all(|node| node.online) {
        Health::Healthy
    } else if nodes.iter().any(|node| node.master && !node.online) || replicas().all(|node| !node.online) {
        Health::Unhealthy
    } else {
        Health::Degraded
    }
}

type Members = BTreeMap<(String, i64), Node>;

/// Members by address, from what each server says of its replication.
fn members(rows: &[Map<String, Value>]) -> Members {
    let mut nodes = Members::new();
    for row in rows {
        let host = text(row, "hostname");
        let port = row.get("port").and_then(Value::as_i64).unwrap_or(0);
        let ping = row.get("ping_time_us").and_then(Value::as_u64).unwrap_or(0);
        let uptime = row.get("uptime_s").and_then(Value::as_i64);
        let Some(Value::Object(raw)) = row.get("raw") else { continue };
        let own = Node { ping_time_us: ping, uptime_s: uptime, ..node(host, port) };
        if row.get("protocol").and_then(Value::as_str) == Some("pgsql") {
            // The source tells of its standbys.
            let name = Some(text(raw, "host")).filter(|host| !host.is_empty());
            let name = name.unwrap_or_else(|| text(raw, "application_name"));
            let state = text(raw, "state");
            let online = state == "streaming";
            add(&mut nodes, Node { master: true, online: true, state: "source".to_owned(), ..own });
            let port = raw.get("port").and_then(Value::as_i64).unwrap_or(0);
            add(&mut nodes, Node { online, state, ..node(name, port) });
        } else {
            // A replica tells of its source.
            let get = |names: [&str; 2]| {
                names.iter().map(|name| text(raw, name)).find(|text| !text.is_empty()).unwrap_or_default()
            };
            let number = |names: [&str; 2]| {
                let value = names.iter().find_map(|name| raw.get(*name))?;
                value.as_i64().or_else(|| value.as_str()?.parse().ok())
            };
            let io = get(["Slave_IO_Running", "Replica_IO_Running"]);
            let sql = get(["Slave_SQL_Running", "Replica_SQL_Running"]);
            let online = io == "Yes" && sql == "Yes";
            let state = format!("io {io}, sql {sql}");
            add(&mut nodes, Node { online, state, ..own });
            let source = get(["Master_Host", "Source_Host"]);
            let port = number(["Master_Port", "Source_Port"]).unwrap_or(0);
            let state = if io == "Yes" { "source" } else { "not reached by its replica" };
            let source =
                Node { master: true, online: io == "Yes", state: state.to_owned(), ..node(source, port) };
            add(&mut nodes, source);
        }
    }
    nodes
}

/// What a server says of itself wins over what others say of it.
fn add(nodes: &mut Members, fresh: Node) {
    let key = (fresh.hostname.clone(), fresh.port);
    match nodes.get_mut(&key) {
        None => {
            nodes.insert(key, fresh);
        }
        Some(known) => {
            known.master |= fresh.master;
            known.online &= fresh.online;
            if known.ping_time_us == 0 {
                (known.ping_time_us, known.uptime_s) = (fresh.ping_time_us, fresh.uptime_s);
            }
        }
    }
}

fn node(hostname: String, port: i64) -> Node {
    Node {
        hostname,
        port,
        weight: 1,
        master: false,
        state: String::new(),
        global_version: None,
        check_age_us: 0,
        ping_time_us: 0,
        checks_ok: 0,
        checks_err: 0,
        check_success_rate: 0.0,
        uptime_s: None,
        queries: None,
        client_connections: None,
        online: false,
    }
}

fn text(row: &Map<String, Value>, key: &str) -> String {
    row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Sums of the configuration's modules as they run here, and whether all are as kept in memory.
fn checksums(deps: &OpsDeps) -> ToolResult<(Vec<Checksum>, Option<bool>)> {
    let Some(admin) = &deps.admin else { return Ok((Vec::new(), None)) };
    let listener = admin.listener();
    let (_, epoch) = deps.book.uptime();
    let mut in_sync = true;
    let mut all = Vec::new();
    for (module, sums) in admin.checksums("MCP")? {
        let differs = sums.memory != sums.runtime;
        in_sync &= !differs;
        let (version, changed_at, updated_at) = deps.stats.seen_checksum(module, &sums.runtime);
        all.push(Checksum {
            hostname: listener.bind_address.clone(),
            port: i64::from(listener.port),
            name: module.to_owned(),
            version,
            epoch,
            checksum: sums.runtime,
            changed_at,
            updated_at,
            diff_check: u64::from(differs),
        });
    }
    Ok((all, Some(in_sync)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(protocol: &str, raw: Value) -> Map<String, Value> {
        let Value::Object(row) = json!({
            "hostname": "a", "port": 1, "protocol": protocol, "ping_time_us": 5, "uptime_s": 9, "raw": raw, "target_id": "t",
        }) else {
            unreachable!("an object")
        };
        row
    }

    #[test]
    fn a_replica_names_its_source_and_a_source_its_standbys() {
        let replica = json!({"Master_Host": "m", "Master_Port": 3306, "Slave_IO_Running": "Yes", "Slave_SQL_Running": "Yes"});
        let nodes: Vec<Node> = members(&[row("mysql", replica)]).into_values().collect();
        assert_eq!(health(&nodes), Health::Healthy);
        assert_eq!(nodes.iter().filter(|n| n.master).map(|n| n.hostname.as_str()).collect::<Vec<_>>(), ["m"]);
        let broken = json!({"Source_Host": "m", "Source_Port": "3306", "Replica_IO_Running": "Connecting", "Replica_SQL_Running": "Yes"});
        let nodes: Vec<Node> = members(&[row("mysql", broken)]).into_values().collect();
        assert_eq!((health(&nodes), nodes[1].port), (Health::Unhealthy, 3306));
        let standbys = [
            row("pgsql", json!({"host": "s1", "port": 7, "state": "streaming"})),
            row("pgsql", json!({"host": "s2", "port": 8, "state": "catchup"})),
        ];
        let nodes: Vec<Node> = members(&standbys).into_values().collect();
        assert_eq!((health(&nodes), nodes.len()), (Health::Degraded, 3));
        assert_eq!(health(&[]), Health::NotConfigured);
    }
}
