//! The statistics of the default host: its own counters, and what its backends keep; it knows no tool and no engine's SQL.

mod backend;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use harvest::{HarvestCode, HarvestError, HarvestResult, Protocol};
use harvest_gateway::{
    DigestRow, Gateway, StatsFamily, StatsOrigin, StatsRequest, StatsRows, StatsSource, TargetFacts,
    latency_percentile,
};
use serde_json::{Map, Value, json};

use crate::ops::{CallBook, Identities};

/// Statistics over a gateway and a book of calls.
pub struct HostStats {
    gateway: Arc<Gateway>,
    book: Arc<CallBook>,
    identities: Identities,
}

impl HostStats {
    /// Reads these counters; `identities` names the tokens.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, book: Arc<CallBook>, identities: Identities) -> Self {
        Self { gateway, book, identities }
    }

    fn targets(&self, request: &StatsRequest) -> Vec<TargetFacts> {
        let facts = self.gateway.facts();
        facts.into_iter().filter(|target| request.target_ids.contains(&target.target_id)).collect()
    }
}

impl std::fmt::Debug for HostStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostStats").finish_non_exhaustive()
    }
}

impl StatsSource for HostStats {
    fn supports(&self, family: StatsFamily, origin: StatsOrigin, protocol: Protocol) -> bool {
        use StatsFamily as F;
        match origin {
            // The rules of this server are no rules of its host: their tool reads them where they run.
            StatsOrigin::Host => {
                !matches!(family, F::PreparedStatements | F::Gtid | F::Cluster | F::QueryRules)
            }
            StatsOrigin::Backend => match family {
                F::Status | F::Processlist | F::Queries => true,
                F::Commands | F::Users | F::Gtid | F::Cluster => protocol != Protocol::Sqlite,
                F::Errors | F::ClientCache | F::PreparedStatements => protocol == Protocol::Mysql,
                F::Connections | F::FreeConnections | F::QueryRules => false,
            },
        }
    }

    fn rows(&self, request: &StatsRequest) -> HarvestResult<StatsRows> {
        if !self.supports(request.family, request.origin, request.protocol) {
            return Err(lacking(request));
        }
        if request.origin == StatsOrigin::Backend {
            return match (request.family, request.protocol) {
                (StatsFamily::Processlist, Protocol::Sqlite) => Ok(self.running(request)),
                (StatsFamily::Queries, Protocol::Sqlite) => Ok(self.digests(request)),
                _ => backend::rows(&self.gateway, &self.targets(request), request),
            };
        }
        Ok(match request.family {
            StatsFamily::Status => status::rows(&self.book, &self.gateway),
            StatsFamily::Processlist => self.calls(),
            StatsFamily::Queries => self.digests(request),
            StatsFamily::Commands => self.commands(request),
            StatsFamily::Connections => self.connections(request),
            StatsFamily::FreeConnections => self.free_connections(request),
            StatsFamily::Errors => self.errors(request),
            StatsFamily::Users => self.users(),
            StatsFamily::ClientCache => self.client_errors(),
            StatsFamily::PreparedStatements
            | StatsFamily::Gtid
            | StatsFamily::Cluster
            | StatsFamily::QueryRules => {
                return Err(lacking(request));
            }
        })
    }
}

fn lacking(request: &StatsRequest) -> HarvestError {
    let (family, engine) = (request.family.words(), request.protocol.as_str());
    let (message, reason) = match (request.family, request.origin, request.protocol) {
        (StatsFamily::PreparedStatements, StatsOrigin::Host, _) => (
            "the pools of this server prepare a statement for one call and keep none".to_owned(),
            "host_keeps_no_prepared_statements",
        ),
        (StatsFamily::PreparedStatements, StatsOrigin::Backend, Protocol::Pgsql) => (
            "PostgreSQL shows prepared statements to the session that made them only".to_owned(),
            "engine_shows_own_session_only",
        ),
        (_, StatsOrigin::Backend, Protocol::Sqlite) => {
            (format!("SQLite is a library: it keeps no {family}"), "engine_lacks_concept")
        }
        (_, StatsOrigin::Backend, _) => {
            (format!("{engine} keeps no {family}: ask for origin host"), "engine_lacks_concept")
        }
        (_, StatsOrigin::Host, _) => {
            (format!("this server keeps no {family}: ask for origin backend"), "host_lacks_concept")
        }
    };
    HarvestError::new(HarvestCode::FailedPrecondition, message).with("reason", reason)
}

pub(super) fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

/// A port as rows show it: a file has none.
fn port(port: u16) -> Value {
    if port == 0 { Value::Null } else { json!(port) }
}

impl HostStats {
    /// Calls that run in this server, whatever their target.
    fn calls(&self) -> StatsRows {
        let running: BTreeMap<u64, String> = self
            .gateway
            .statistics()
            .running()
            .into_iter()
            .map(|statement| (statement.call_id, statement.digest_text))
            .collect();
        let row = |call: crate::ops::LiveCall| {
            let elapsed_ms = u64::try_from(call.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            object(json!({
                "session_id": call.call_id, "thread_id": null, "user": call.caller, "database": call.schema,
                "client_host": call.client_address, "client_port": null, "backend_host": "", "backend_port": null,
                "command": call.tool, "time_ms": elapsed_ms, "info": running.get(&call.call_id),
                "target_id": call.target_id,
            }))
        };
        self.book.live().into_iter().map(row).collect()
    }

    /// Statements that run on these targets now.
    fn running(&self, request: &StatsRequest) -> StatsRows {
        let targets = self.targets(request);
        let mut rows = Vec::new();
        for statement in self.gateway.statistics().running() {
            let Some(target) = targets.iter().find(|t| t.target_id == statement.target_id) else { continue };
            let server = target.servers.first();
            rows.push(object(json!({
                "session_id": statement.call_id, "thread_id": null, "user": statement.caller, "database": statement.schema,
                "client_host": statement.client_address, "client_port": null,
                "backend_host": server.map_or("", |s| s.host.as_str()), "backend_port": null, "command": "Query",
                "time_ms": u64::try_from(statement.started.elapsed().as_millis()).unwrap_or(u64::MAX),
                "info": statement.digest_text, "target_id": target.target_id, "hostgroup": target.hostgroup_id,
            })));
        }
        rows
    }

    fn digests(&self, request: &StatsRequest) -> StatsRows {
        let targets = self.targets(request);
        let row = |row: DigestRow| {
            let target = targets.iter().find(|t| t.target_id == row.target_id)?;
            Some(object(json!({
                "digest": format!("0x{:016X}", row.digest), "digest_text": row.digest_text, "database": row.schema,
                "username": target.username, "client_address": null, "count_star": row.count_star,
                "first_seen": row.first_seen, "last_seen": row.last_seen, "sum_time_us": row.sum_time,
                "min_time_us": row.min_time, "max_time_us": row.max_time, "sum_rows_affected": 0,
                "sum_rows_sent": row.sum_rows, "target_id": row.target_id, "hostgroup": target.hostgroup_id,
            })))
        };
        self.gateway.digests().rows().into_iter().filter_map(row).collect()
    }

    fn commands(&self, request: &StatsRequest) -> StatsRows {
        let mut by_kind: BTreeMap<&'static str, harvest_gateway::CommandStats> = BTreeMap::new();
        for (target_id, kind, stats) in self.gateway.statistics().commands() {
            if request.target_ids.contains(&target_id) {
                let sum = by_kind.entry(kind).or_default();
                sum.count += stats.count;
                sum.time_us = sum.time_us.saturating_add(stats.time_us);
                sum.buckets.iter_mut().zip(stats.buckets).for_each(|(to, from)| *to += from);
            }
        }
        let row = |(kind, stats): (&str, harvest_gateway::CommandStats)| {
            let at = |per_cent| latency_percentile(&stats.buckets, per_cent);
            let names = [
                "cnt_100us",
                "cnt_500us",
                "cnt_1ms",
                "cnt_5ms",
                "cnt_10ms",
                "cnt_50ms",
                "cnt_100ms",
                "cnt_500ms",
                "cnt_1s",
                "cnt_5s",
                "cnt_10s",
                "cnt_INFs",
            ];
            let buckets: Map<String, Value> = names
                .iter()
                .zip(stats.buckets)
                .map(|(name, count)| ((*name).to_owned(), json!(count)))
                .collect();
            object(json!({
                "command": kind, "total_count": stats.count, "total_time_us": stats.time_us, "latency_histogram": buckets,
                "percentiles": {"p50_us": at(50), "p90_us": at(90), "p95_us": at(95), "p99_us": at(99)},
            }))
        };
        by_kind.into_iter().map(row).collect()
    }

    fn connections(&self, request: &StatsRequest) -> StatsRows {
        let mut rows = Vec::new();
        for target in self.targets(request) {
            for server in &target.servers {
                let p = &server.pool;
                rows.push(object(json!({
                    "target_id": target.target_id, "hostgroup": target.hostgroup_id, "srv_host": server.host,
                    "srv_port": port(server.port), "status": p.status, "weight": p.weight, "conn_used": p.conn_used,
                    "conn_free": p.conn_free, "conn_ok": p.conn_ok, "conn_err": p.conn_err,
                    "max_conn_used": p.conn_used_max, "max_connections": p.connections_max, "queries": p.queries,
                    "bytes_data_sent": p.bytes_sent, "bytes_data_recv": p.bytes_received, "latency_us": p.latency_us,
                    "shunned_reason": p.shunned_reason,
                })));
            }
        }
        rows
    }

    fn free_connections(&self, request: &StatsRequest) -> StatsRows {
        let targets = self.targets(request);
        let mut rows = Vec::new();
        for (target_id, idle) in self.gateway.free_connections() {
            let Some(target) = targets.iter().find(|t| t.target_id == target_id) else { continue };
            for connection in idle {
                let Some(server) = target.servers.get(connection.member) else { continue };
                // Sessions are reset before each use: what they were set to is not kept here.
                rows.push(object(json!({
                    "target_id": target_id, "hostgroup": target.hostgroup_id, "fd": null,
                    "connection_id": connection.number, "srv_host": server.host, "srv_port": port(server.port),
                    "user": target.username, "schema": target.default_schema, "init_connect": null, "time_zone": null,
                    "sql_mode": null, "autocommit": null, "idle_ms": connection.idle_ms,
                })));
            }
        }
        rows
    }

    fn errors(&self, request: &StatsRequest) -> StatsRows {
        let errors = self.gateway.statistics().errors().into_iter();
        errors
            .filter(|error| request.target_ids.contains(&error.target_id))
            .map(|e| {
                object(json!({
                    "target_id": e.target_id, "hostgroup": e.hostgroup, "hostname": e.hostname, "port": port(e.port),
                    "username": e.username, "client_address": e.client_address, "database": e.schema, "errno": e.errno,
                    "sqlstate": e.sqlstate, "count_star": e.count_star, "first_seen": e.first_seen,
                    "last_seen": e.last_seen, "last_error": e.last_error,
                }))
            })
            .collect()
    }

    /// Tokens that are active, and every caller that has a call running.
    fn users(&self) -> StatsRows {
        let mut running: BTreeMap<String, u64> = (self.identities)()
            .into_iter()
            .filter(|identity| identity.kind == "token" && identity.active)
            .map(|identity| (identity.username, 0))
            .collect();
        for call in self.book.live() {
            *running.entry(call.caller).or_default() += 1;
        }
        let row = |(username, count): (String, u64)| {
            object(json!({"username": username, "connections": count, "max_connections": null}))
        };
        running.into_iter().map(row).collect()
    }

    fn client_errors(&self) -> StatsRows {
        let row = |(address, count, at): (String, u64, i64)| {
            object(json!({"client_address": address, "error_count": count, "last_updated": at}))
        };
        self.book.refusals().into_iter().map(row).collect()
    }
}
