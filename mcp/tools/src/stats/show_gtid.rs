//! `show_gtid`: how far each database server has come in its replication stream.

use harvest::Protocol;
use harvest_gateway::{StatsFamily, StatsOrigin, StatsRequest};
use mcp::{ToolError, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::shared::{Side, fits, may_name_target, typed};
use crate::deps::{Call, Frame};
use crate::errors::{IntoToolResult, tool_error};
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowGtid;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Only servers of this target; of all targets that replicate if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Only this server.
    #[schemars(length(min = 1, max = 1024))]
    hostname: Option<String>,
    /// Only this port.
    #[schemars(range(min = 1, max = 65535))]
    port: Option<i64>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Server {
    hostname: String,
    port: i64,
    /// gtid or lsn.
    position_kind: String,
    gtid_executed: String,
    /// Transactions in the set, where the form of the position tells.
    #[serde(default)]
    events: Option<u64>,
    target_id: String,
    hostgroup: i64,
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    total_servers: usize,
    total_events: u64,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Always backend: positions are those of the database servers.
    origin: Side,
    /// The servers.
    servers: Vec<Server>,
    /// Sums over them.
    summary: Summary,
}

impl OpsTool for ShowGtid {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_gtid";
    const TITLE: &'static str = "Replication positions";
    const TEXT: &'static str = "Shows the replication position of every database server: executed GTIDs of MySQL and MariaDB, the WAL position of PostgreSQL.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema)
    }

    fn example() -> (&'static str, Value) {
        ("Positions of all servers", json!({}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let (rows, frame) = rows(deps, call, StatsFamily::Gtid, args.target_id.as_deref())?;
        let mut servers: Vec<Server> = typed(rows)?;
        // Without a binary log there is no position.
        servers.retain(|server| !server.gtid_executed.is_empty());
        if servers.is_empty() {
            return Err(ToolError::precondition("no server has a replication position: its log is off")
                .with("reason", "no_position"));
        }
        servers.retain(|server| {
            fits(args.hostname.as_deref(), server.hostname.as_str()) && fits(args.port.as_ref(), &server.port)
        });
        for server in &mut servers {
            if server.position_kind == "gtid" {
                server.events = transactions(&server.gtid_executed);
            }
        }
        servers.sort_by(|a, b| (&a.hostname, a.port).cmp(&(&b.hostname, b.port)));
        let total_events = servers.iter().filter_map(|server| server.events).sum();
        let summary = Summary { total_servers: servers.len(), total_events };
        Ok((Output { origin: Side::Backend, servers, summary }, frame))
    }
}

/// Rows of every server that may replicate.
pub(super) fn rows(
    deps: &OpsDeps,
    call: &Call<'_>,
    family: StatsFamily,
    target_id: Option<&str>,
) -> ToolResult<(Vec<Map<String, Value>>, Frame)> {
    let gateway = &call.deps.gateway;
    if let Some(id) = target_id {
        let info = gateway.resolve(Some(id), &call.scope).for_tool()?;
        let ids = vec![info.target_id.clone()];
        let request = StatsRequest::new(family, StatsOrigin::Backend, info.protocol, ids);
        let rows = deps.source.rows(&request).for_tool()?;
        return Ok((rows, Frame::target(info.target_id, info.protocol)));
    }
    let targets = gateway.targets(&call.scope);
    let (mut rows, mut asked, mut failure) = (Vec::new(), false, None);
    for protocol in [Protocol::Mysql, Protocol::Pgsql] {
        let mine = targets.iter().filter(|t| t.executable && t.protocol == protocol);
        for target_id in mine.map(|target| target.target_id.clone()) {
            asked = true;
            let request = StatsRequest::new(family, StatsOrigin::Backend, protocol, vec![target_id]);
            match deps.source.rows(&request) {
                Ok(found) => rows.extend(found),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
    }
    if !asked {
        return Err(ToolError::precondition(
            "no target that can be used now is of an engine that replicates",
        )
        .with("reason", "engine_lacks_concept"));
    }
    match failure {
        Some(error) if rows.is_empty() => Err(tool_error(error)),
        _ => Ok((unique(rows), Frame::new())),
    }
}

/// A server behind several targets is one server.
fn unique(rows: Vec<Map<String, Value>>) -> Vec<Map<String, Value>> {
    let mut seen = std::collections::BTreeSet::new();
    let key = |row: &Map<String, Value>| {
        let mut row = row.clone();
        for own in ["target_id", "hostgroup", "ping_time_us", "uptime_s"] {
            row.remove(own);
        }
        Value::Object(row).to_string()
    };
    rows.into_iter().filter(|row| seen.insert(key(row))).collect()
}

/// Transactions of a set such as `uuid:1-5:7,uuid:1`; positions of MariaDB do not tell.
fn transactions(set: &str) -> Option<u64> {
    let mut count: u64 = 0;
    for source in set.split(',').map(str::trim).filter(|source| !source.is_empty()) {
        let (_, intervals) = source.split_once(':')?;
        for interval in intervals.split(':') {
            let (first, last) = interval.split_once('-').unwrap_or((interval, interval));
            let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            count = count.saturating_add(last.checked_sub(first)?.saturating_add(1));
        }
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::transactions;

    #[test]
    fn sets_are_counted_and_other_forms_are_not() {
        let set = "3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5:11-18,\n2C256447-3F0D-431B-9A12-575BB20C1507:1";
        assert_eq!(transactions(set), Some(14));
        assert_eq!(transactions("0-1-270"), None, "a position of MariaDB");
        assert_eq!(transactions("a:5-1"), None);
    }
}
