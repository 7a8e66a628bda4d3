//! The AI-free tool handlers of the endpoints, one file a tool; it knows no driver and no transport.

mod admin;
mod audit;
mod budget;
mod cache;
mod config;
mod deps;
mod errors;
mod guard;
mod memory;
mod observe;
mod ops;
mod paging;
mod query;
mod schema;
mod stats;
mod toolbox;

#[cfg(test)]
mod tests;

pub use admin::admin_tools;
pub use audit::{AuditLog, AuditReport, AuditRow};
pub use budget::ResultStore;
pub use cache::cache_tools;
pub use config::config_tools;
pub use deps::{Call, Frame, ToolDeps, argument_error, call_scope, is_not_found, too_large, wire_bytes};
pub use errors::{IntoToolResult, internal_error, tool_error};
pub use memory::{
    CatalogCompleter, CatalogDeps, CatalogPrompts, CatalogResources, CatalogSettings, ToolUsageRow,
    ToolUsageSource, add_catalog_tools, catalog_tools,
};
pub use observe::observe_tools;
pub use ops::{
    CallBook, CallRow, CallerNames, CallerRow, ClientRow, Family, Identities, Identity, LiveCall, MetricKind,
    OpsDeps, Sample, collect, metrics_page, prometheus_text,
};
pub use paging::{Page, PageSigner, key_page, page};
pub use query::{PlanSummary, add_query_tools, plan_summary, query_tools};
pub use schema::{OutputSchema, input_schema};
pub use stats::{
    DEBUG_TOOL, HostStats, McpStatsTables, StatsHub, StatsKeeper, StatsSettings, attach_stats, stats_tools,
};
pub use toolbox::{NoArgs, QueryTool, Toolbox, parse};
