//! Statistics as part of a host: settings from variables, the history's file, the page of metrics; it counts nothing itself.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bridge::ToolHandlerRegistry;
use harvest_catalog::Catalog;
use harvest_gateway::LogSql;
use mcp::{Caller, ToolResult};
use mcp_config::{Candidate, ConfigResult, VARIABLES, refused};
use mcp_server::Page;
use mcp_tools::{
    CallBook, DEBUG_TOOL, IntoToolResult as _, OpsDeps, StatsHub, StatsKeeper, StatsSettings, ToolUsageRow,
    ToolUsageSource, attach_stats, metrics_page,
};

use crate::ops::{OBSERVE, STATS};
use crate::runtime::ConfigConsumer;

/// Where scrapers read metrics.
pub(crate) const METRICS_PATH: &str = "/metrics";
/// The media type of the text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Statistics of one host.
pub(crate) struct StatsSide {
    pub(crate) hub: Arc<StatsHub>,
    registry: Arc<ToolHandlerRegistry>,
    keeper: Mutex<Option<StatsKeeper>>,
}

impl StatsSide {
    /// Settings are the usual ones and there is no history until a configuration says more.
    pub(crate) fn new(registry: Arc<ToolHandlerRegistry>) -> Arc<Self> {
        registry.set_listed(STATS, DEBUG_TOOL, false);
        Arc::new(Self { hub: StatsHub::new(), registry, keeper: Mutex::default() })
    }

    /// Counts go on where the last process left them, and are sampled and saved from now on.
    pub(crate) fn start(&self, deps: &OpsDeps) -> ToolResult<()> {
        attach_stats(&self.hub, &deps.tools.gateway);
        if let Err(error) = self.hub.restore(&deps.tools.gateway) {
            // A server whose configuration is refused has no history; one that cannot be read is told by get_health.
            tracing::warn!(%error, "counts begin anew: the saved ones cannot be read");
        }
        let keeper = StatsKeeper::start(deps.clone())?;
        *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        Ok(())
    }

    /// Saves and ends.
    pub(crate) fn close(&self) {
        drop(self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn path(candidate: &Candidate) -> Option<PathBuf> {
    let text = candidate.variables().text("stats_path");
    (!text.is_empty()).then(|| candidate.data_dir.join(text))
}

impl ConfigConsumer for StatsSide {
    fn check(&self, candidate: &Candidate) -> ConfigResult<()> {
        let Some(path) = path(candidate) else { return Ok(()) };
        let usable = self.hub.check_store(&path);
        usable.map_err(|error| refused(VARIABLES, Some("mcp-stats_path"), error.message))
    }

    fn apply(&self, candidate: &Candidate) {
        let variables = candidate.variables();
        let mut settings = StatsSettings::default();
        settings.show_queries_rows_max = variables.int("stats_show_queries_max_rows");
        settings.show_processlist_rows_max = variables.int("stats_show_processlist_max_rows");
        settings.debug_tools = variables.flag("stats_enable_debug_tools");
        settings.history_interval_s = variables.int("stats_history_interval_s");
        settings.digest_persist_s = variables.int("stats_digest_persist_s");
        settings.digest_entries_max = variables.int("stats_digest_max_entries");
        settings.log_buffer_events = variables.int("query_log_buffer_events");
        settings.log_retention_days = variables.int("log_retention_days");
        settings.metrics_enabled = variables.flag("metrics_enabled");
        settings.metrics_caller_label = variables.flag("metrics_caller_label");
        settings.log_sql = match variables.text("log_sql") {
            "off" => LogSql::Off,
            "full" => LogSql::Full,
            _ => LogSql::Digest,
        };
        self.registry.set_listed(STATS, DEBUG_TOOL, settings.debug_tools);
        self.hub.set_settings(settings);
        // It was opened a moment ago to see whether it can be.
        if let Some(Err(error)) = path(candidate).map(|path| self.hub.open_store(&path)) {
            tracing::error!(%error, "the history of statistics stays where it was");
        }
    }
}

/// The page of metrics, under a token of `/mcp/observe`.
pub(crate) struct MetricsPage(pub(crate) OpsDeps);

impl Page for MetricsPage {
    fn endpoint(&self) -> &str {
        OBSERVE
    }

    fn read(&self, _: &Caller) -> Option<(&'static str, String)> {
        metrics_page(&self.0).map(|text| (METRICS_TYPE, text))
    }
}

/// Counts of tools for agents: those of this process, or with those of before the catalog's log.
pub(crate) struct Usage {
    pub(crate) book: Arc<CallBook>,
    pub(crate) catalog: Catalog,
}

impl ToolUsageSource for Usage {
    fn usage(&self, since_reset: bool) -> ToolResult<Vec<ToolUsageRow>> {
        if since_reset {
            let row = |counted: mcp_tools::CallRow| {
                let mut row = ToolUsageRow::new(word(&counted.endpoint), counted.tool, counted.schema);
                (row.count, row.errors) = (counted.count, counted.errors);
                (row.first_seen, row.last_seen) = (counted.first_seen, counted.last_seen);
                (row.sum_time, row.min_time, row.max_time) =
                    (counted.sum_time, counted.min_time, counted.max_time);
                row
            };
            return Ok(self.book.tools().into_iter().map(row).collect());
        }
        let rows = self.catalog.tool_usage(false).for_tool()?;
        Ok(rows
            .into_iter()
            .map(|logged| {
                let mut row = ToolUsageRow::new(logged.endpoint, logged.tool, logged.schema);
                (row.count, row.errors) = (logged.count, logged.errors);
                (row.first_seen, row.last_seen) = (logged.first_seen, logged.last_seen);
                (row.sum_time, row.min_time, row.max_time) =
                    (logged.sum_time, logged.min_time, logged.max_time);
                row
            })
            .collect())
    }
}

/// `/mcp/query` is QUERY.
fn word(endpoint: &str) -> String {
    endpoint.trim_start_matches("/mcp/").split('/').next().unwrap_or_default().to_ascii_uppercase()
}
