//! The tables `stats_mcp_*` of the admin SQL interface with their `_reset` twins, read from the live counters; it keeps nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use harvest_gateway::{DigestRow, Gateway, SavedDigest, TargetFacts};
use mcp_config::{Cell, ColumnDef, ConfigResult, Row, StatsTable, StatsTables};

use super::hub::StatsHub;
use crate::ops::CallBook;

const fn col(name: &'static str, decl: &'static str) -> ColumnDef {
    ColumnDef { name, decl }
}

const INT: &str = "INTEGER NOT NULL";
const TEXT: &str = "TEXT NOT NULL";

const TOOLS: StatsTable = StatsTable {
    name: "stats_mcp_query_tools_counters",
    columns: &[
        col("endpoint", TEXT),
        col("tool", TEXT),
        col("schema", TEXT),
        col("count", INT),
        col("first_seen", INT),
        col("last_seen", INT),
        col("sum_time", INT),
        col("min_time", INT),
        col("max_time", INT),
        col("errors", INT),
    ],
    has_reset: true,
};

const DIGESTS: StatsTable = StatsTable {
    name: "stats_mcp_query_digest",
    columns: &[
        col("tool_name", TEXT),
        col("run_id", INT),
        col("digest", TEXT),
        col("digest_text", TEXT),
        col("count_star", INT),
        col("first_seen", INT),
        col("last_seen", INT),
        col("sum_time", INT),
        col("min_time", INT),
        col("max_time", INT),
        col("target_id", TEXT),
        col("schema", TEXT),
        col("errors", INT),
        col("sum_rows", INT),
        col("p50_time", INT),
        col("p95_time", INT),
        col("p99_time", INT),
    ],
    has_reset: true,
};

const RULES: StatsTable = StatsTable {
    name: "stats_mcp_query_rules",
    columns: &[
        col("rule_id", INT),
        col("username", "TEXT"),
        col("target_id", "TEXT"),
        col("hits", INT),
        col("last_hit", "INTEGER"),
    ],
    has_reset: true,
};

const POOL: StatsTable = StatsTable {
    name: "stats_mcp_connection_pool",
    columns: &[
        col("target_id", TEXT),
        col("hostgroup", INT),
        col("srv_host", TEXT),
        col("srv_port", INT),
        col("status", TEXT),
        col("ConnUsed", INT),
        col("ConnFree", INT),
        col("ConnOK", INT),
        col("ConnERR", INT),
        col("MaxConnUsed", INT),
        col("Queries", INT),
        col("Bytes_data_sent", INT),
        col("Bytes_data_recv", INT),
        col("Latency_us", INT),
    ],
    has_reset: true,
};

const ERRORS: StatsTable = StatsTable {
    name: "stats_mcp_errors",
    columns: &[
        col("hostgroup", INT),
        col("hostname", TEXT),
        col("port", INT),
        col("username", TEXT),
        col("client_address", TEXT),
        col("schemaname", TEXT),
        col("errno", "INTEGER"),
        col("sqlstate", "TEXT"),
        col("count_star", INT),
        col("first_seen", INT),
        col("last_seen", INT),
        col("last_error", TEXT),
    ],
    has_reset: true,
};

const CALLERS: StatsTable = StatsTable {
    name: "stats_mcp_callers",
    columns: &[
        col("endpoint", TEXT),
        col("caller", TEXT),
        col("requests", INT),
        col("failed", INT),
        col("denied", INT),
        col("rate_limited", INT),
        col("first_seen", INT),
        col("last_seen", INT),
    ],
    has_reset: true,
};

const CLIENT_ERRORS: StatsTable = StatsTable {
    name: "stats_mcp_client_errors",
    columns: &[col("client_address", TEXT), col("error_count", INT), col("last_updated", INT)],
    has_reset: true,
};

const CACHE: StatsTable = StatsTable {
    name: "stats_mcp_result_cache",
    columns: &[col("Variable_name", TEXT), col("Value", TEXT)],
    has_reset: false,
};

const PROCESSLIST: StatsTable = StatsTable {
    name: "stats_mcp_processlist",
    columns: &[
        col("call_id", INT),
        col("endpoint", TEXT),
        col("tool", TEXT),
        col("caller", TEXT),
        col("client_address", TEXT),
        col("target_id", TEXT),
        col("schema", TEXT),
        col("digest_text", TEXT),
        col("elapsed_ms", INT),
    ],
    has_reset: false,
};

const EVENTS: StatsTable = StatsTable {
    name: "stats_mcp_query_events",
    columns: &[
        col("thread_id", INT),
        col("username", TEXT),
        col("caller", TEXT),
        col("tool", TEXT),
        col("database", TEXT),
        col("start_time", INT),
        col("end_time", INT),
        col("duration_us", INT),
        col("query_digest", TEXT),
        col("query", TEXT),
        col("server", TEXT),
        col("client", TEXT),
        col("event_type", INT),
        col("affected_rows", INT),
        col("rows_sent", INT),
        col("errno", INT),
        col("error", "TEXT"),
        col("target_id", TEXT),
    ],
    has_reset: false,
};

const TABLES: &[StatsTable] =
    &[TOOLS, DIGESTS, RULES, POOL, ERRORS, CALLERS, CLIENT_ERRORS, CACHE, PROCESSLIST, EVENTS];

/// Serves the tables. It never asks the configuration, whose lock is held while a table is read.
#[derive(Debug)]
pub struct McpStatsTables {
    gateway: Arc<Gateway>,
    book: Arc<CallBook>,
    hub: Arc<StatsHub>,
}

impl McpStatsTables {
    /// Tables over these counters.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, book: Arc<CallBook>, hub: Arc<StatsHub>) -> Self {
        Self { gateway, book, hub }
    }
}

impl StatsTables for McpStatsTables {
    fn tables(&self) -> &'static [StatsTable] {
        TABLES
    }

    fn read(&self, table: &str, reset: bool) -> ConfigResult<Vec<Row>> {
        Ok(match table {
            "stats_mcp_query_tools_counters" => self.tools(reset),
            "stats_mcp_query_digest" => self.digests(reset)?,
            "stats_mcp_query_rules" => self.rules(reset),
            "stats_mcp_connection_pool" => self.pool(reset),
            "stats_mcp_errors" => self.errors(reset),
            "stats_mcp_callers" => self.callers(reset),
            "stats_mcp_client_errors" => self.client_errors(reset),
            "stats_mcp_result_cache" => self.cache(),
            "stats_mcp_processlist" => self.processlist(),
            "stats_mcp_query_events" => self.events(),
            other => return Err(mcp::ToolError::not_found("table", other)),
        })
    }
}

fn int(value: impl TryInto<i64>) -> Cell {
    Cell::Integer(value.try_into().unwrap_or(i64::MAX))
}

/// `/mcp/query` is QUERY in tables.
pub(crate) fn endpoint_word(path: &str) -> String {
    path.trim_start_matches("/mcp/").split('/').next().unwrap_or_default().to_ascii_uppercase()
}

impl McpStatsTables {
    fn tools(&self, reset: bool) -> Vec<Row> {
        let rows = if reset { self.book.take_tools() } else { self.book.tools() };
        rows.into_iter()
            .map(|row| {
                vec![
                    Cell::Text(endpoint_word(&row.endpoint)),
                    Cell::Text(row.tool),
                    Cell::Text(row.schema),
                    int(row.count),
                    int(row.first_seen),
                    int(row.last_seen),
                    int(row.sum_time),
                    int(row.min_time),
                    int(row.max_time),
                    int(row.errors),
                ]
            })
            .collect()
    }

    fn digests(&self, reset: bool) -> ConfigResult<Vec<Row>> {
        let rows: Vec<DigestRow> = if reset {
            self.hub.take_digests(&self.gateway)?.iter().map(SavedDigest::row).collect()
        } else {
            self.gateway.digests().rows()
        };
        let row = |row: DigestRow| {
            vec![
                Cell::Text(row.tool_name),
                int(row.run_id),
                Cell::Text(format!("0x{:016X}", row.digest)),
                Cell::Text(row.digest_text),
                int(row.count_star),
                int(row.first_seen),
                int(row.last_seen),
                int(row.sum_time),
                int(row.min_time),
                int(row.max_time),
                Cell::Text(row.target_id),
                Cell::Text(row.schema),
                int(row.errors),
                int(row.sum_rows),
                int(row.p50_us),
                int(row.p95_us),
                int(row.p99_us),
            ]
        };
        Ok(rows.into_iter().map(row).collect())
    }

    fn rules(&self, reset: bool) -> Vec<Row> {
        let rules = self.gateway.rules();
        let hits = if reset { rules.take_hits() } else { rules.hits() };
        hits.into_iter()
            .map(|rule| {
                vec![
                    int(rule.rule_id),
                    Cell::optional(rule.username.as_deref()),
                    Cell::optional(rule.target_id.as_deref()),
                    int(rule.hits),
                    rule.last_hit.map_or(Cell::Null, Cell::Integer),
                ]
            })
            .collect()
    }

    fn pool(&self, reset: bool) -> Vec<Row> {
        let facts: Vec<TargetFacts> =
            if reset { self.gateway.take_pool_facts() } else { self.gateway.facts() };
        let mut rows = Vec::new();
        for target in &facts {
            for server in &target.servers {
                let p = &server.pool;
                let status = serde_json::to_value(p.status).ok();
                let status = status.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
                rows.push(vec![
                    Cell::text(&target.target_id),
                    int(target.hostgroup_id),
                    Cell::text(&server.host),
                    int(server.port),
                    Cell::text(status),
                    int(p.conn_used),
                    int(p.conn_free),
                    int(p.conn_ok),
                    int(p.conn_err),
                    int(p.conn_used_max),
                    int(p.queries),
                    int(p.bytes_sent),
                    int(p.bytes_received),
                    int(p.latency_us),
                ]);
            }
        }
        rows
    }

    fn errors(&self, reset: bool) -> Vec<Row> {
        let statistics = self.gateway.statistics();
        let errors = if reset { statistics.take_errors() } else { statistics.errors() };
        errors
            .into_iter()
            .map(|e| {
                vec![
                    int(e.hostgroup),
                    Cell::Text(e.hostname),
                    int(e.port),
                    Cell::Text(e.username),
                    Cell::Text(e.client_address),
                    Cell::Text(e.schema),
                    e.errno.map_or(Cell::Null, Cell::Integer),
                    Cell::optional(e.sqlstate.as_deref()),
                    int(e.count_star),
                    int(e.first_seen),
                    int(e.last_seen),
                    Cell::Text(e.last_error),
                ]
            })
            .collect()
    }

    fn callers(&self, reset: bool) -> Vec<Row> {
        let rows = if reset { self.book.take_callers() } else { self.book.callers() };
        rows.into_iter()
            .map(|row| {
                vec![
                    Cell::Text(endpoint_word(&row.endpoint)),
                    Cell::Text(row.caller),
                    int(row.requests),
                    int(row.failed),
                    int(row.denied),
                    int(row.rate_limited),
                    int(row.first_seen),
                    int(row.last_seen),
                ]
            })
            .collect()
    }

    fn client_errors(&self, reset: bool) -> Vec<Row> {
        let rows = if reset { self.book.take_refusals() } else { self.book.refusals() };
        rows.into_iter().map(|(address, count, at)| vec![Cell::Text(address), int(count), int(at)]).collect()
    }

    fn cache(&self) -> Vec<Row> {
        let stats = self.gateway.cache().stats();
        let c = stats.counters;
        [
            ("entries", stats.entries as u64),
            ("memory_bytes", stats.bytes as u64),
            ("max_bytes", self.gateway.settings().cache.bytes_max as u64),
            ("hits", c.hits),
            ("misses", c.misses),
            ("sets", c.sets),
            ("evictions", c.evictions),
            ("expirations", c.expirations),
            ("invalidations", c.invalidations),
            ("bypassed", c.bypassed),
            ("bytes_in", c.bytes_in),
            ("bytes_out", c.bytes_out),
        ]
        .into_iter()
        .map(|(name, value)| vec![Cell::text(name), Cell::Text(value.to_string())])
        .collect()
    }

    fn processlist(&self) -> Vec<Row> {
        let running: BTreeMap<_, _> =
            self.gateway.statistics().running().into_iter().map(|s| (s.call_id, s)).collect();
        let row = |call: crate::ops::LiveCall| {
            let statement = running.get(&call.call_id);
            let target = statement.map_or(&call.target_id, |s| &s.target_id);
            let schema =
                statement.map(|s| &s.schema).filter(|schema| !schema.is_empty()).unwrap_or(&call.schema);
            vec![
                int(call.call_id),
                Cell::Text(endpoint_word(&call.endpoint)),
                Cell::text(&call.tool),
                Cell::text(&call.caller),
                Cell::text(&call.client_address),
                Cell::text(target),
                Cell::text(schema),
                Cell::text(statement.map_or("", |s| s.digest_text.as_str())),
                int(call.started.elapsed().as_millis()),
            ]
        };
        self.book.live().into_iter().map(row).collect()
    }

    fn events(&self) -> Vec<Row> {
        self.hub
            .flushed_events()
            .into_iter()
            .map(|e| {
                vec![
                    int(e.thread_id),
                    Cell::Text(e.username),
                    Cell::Text(e.caller),
                    Cell::Text(e.tool),
                    Cell::Text(e.database),
                    int(e.start_time),
                    int(e.end_time),
                    int(e.duration_us),
                    Cell::Text(e.query_digest),
                    Cell::Text(e.query),
                    Cell::Text(e.server),
                    Cell::Text(e.client),
                    int(e.event_type),
                    int(e.affected_rows),
                    int(e.rows_sent),
                    int(e.errno),
                    Cell::optional(e.error.as_deref()),
                    Cell::Text(e.target_id),
                ]
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::endpoint_word;

    #[test]
    fn endpoints_have_one_word_whatever_part_was_called() {
        assert_eq!(endpoint_word("/mcp/query"), "QUERY");
        assert_eq!(endpoint_word("/mcp/query/sql"), "QUERY");
        assert_eq!(endpoint_word("/mcp/ai"), "AI");
    }
}
