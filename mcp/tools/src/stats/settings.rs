//! What an operator sets about statistics; the names are those of the variables. It acts on nothing.

use harvest_gateway::LogSql;

/// Bounds and switches of statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatsSettings {
    /// `mcp-stats_show_queries_max_rows`.
    pub show_queries_rows_max: usize,
    /// `mcp-stats_show_processlist_max_rows`.
    pub show_processlist_rows_max: usize,
    /// `mcp-stats_enable_debug_tools`.
    pub debug_tools: bool,
    /// `mcp-stats_history_interval_s`.
    pub history_interval_s: u64,
    /// `mcp-stats_digest_persist_s`.
    pub digest_persist_s: u64,
    /// `mcp-stats_digest_max_entries`.
    pub digest_entries_max: usize,
    /// `mcp-query_log_buffer_events`.
    pub log_buffer_events: usize,
    /// `mcp-log_sql`.
    pub log_sql: LogSql,
    /// `mcp-log_retention_days`.
    pub log_retention_days: u32,
    /// `mcp-metrics_enabled`.
    pub metrics_enabled: bool,
    /// `mcp-metrics_caller_label`.
    pub metrics_caller_label: bool,
}

impl Default for StatsSettings {
    fn default() -> Self {
        Self {
            show_queries_rows_max: 200,
            show_processlist_rows_max: 200,
            debug_tools: false,
            history_interval_s: 60,
            digest_persist_s: 60,
            digest_entries_max: 20_000,
            log_buffer_events: 10_000,
            log_sql: LogSql::Digest,
            log_retention_days: 30,
            metrics_enabled: false,
            metrics_caller_label: false,
        }
    }
}
