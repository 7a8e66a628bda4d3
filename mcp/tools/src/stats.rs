//! The tools of `/mcp/stats` and what stands behind them: a source of rows, a history, events; one file a family of tools.

mod events;
mod history;
mod hub;
mod keeper;
mod process;
mod settings;
mod shared;
mod show_client_cache;
mod show_cluster;
mod show_commands;
mod show_connections;
mod show_errors;
mod show_gtid;
mod show_prepared_statements;
mod show_processlist;
mod show_queries;
mod show_query_history;
mod show_query_log;
mod show_query_rules;
mod show_status;
mod show_users;
mod source;
mod store;
mod tables;

use crate::ops::{Ops, OpsDeps};
use crate::toolbox::Toolbox;

pub use hub::StatsHub;
pub use keeper::{StatsKeeper, attach_stats};
pub use settings::StatsSettings;
pub use source::HostStats;
pub use tables::McpStatsTables;

pub(crate) use keeper::harvests;
#[cfg(test)]
pub(crate) use keeper::sample;
pub(crate) use process::{disk_bytes, memory_bytes, open_files};

/// The tool that lists show only while `mcp-stats_enable_debug_tools` is true.
pub const DEBUG_TOOL: &str = "show_free_connections";

/// The tools of `/mcp/stats`.
#[must_use]
pub fn stats_tools(deps: &OpsDeps) -> Toolbox {
    Toolbox::new()
        .with(Ops::<show_status::ShowStatus>::new(deps))
        .with(Ops::<show_processlist::ShowProcesslist>::new(deps))
        .with(Ops::<show_queries::ShowQueries>::new(deps))
        .with(Ops::<show_commands::ShowCommands>::new(deps))
        .with(Ops::<show_connections::ShowConnections>::new(deps))
        .with(Ops::<show_connections::ShowFreeConnections>::new(deps))
        .with(Ops::<show_errors::ShowErrors>::new(deps))
        .with(Ops::<show_users::ShowUsers>::new(deps))
        .with(Ops::<show_client_cache::ShowClientCache>::new(deps))
        .with(Ops::<show_query_rules::ShowQueryRules>::new(deps))
        .with(Ops::<show_prepared_statements::ShowPreparedStatements>::new(deps))
        .with(Ops::<show_gtid::ShowGtid>::new(deps))
        .with(Ops::<show_cluster::ShowCluster>::new(deps))
        .with(Ops::<history::ShowSystemHistory>::new(deps))
        .with(Ops::<history::ShowQueryCacheHistory>::new(deps))
        .with(Ops::<history::ShowConnectionHistory>::new(deps))
        .with(Ops::<show_query_history::ShowQueryHistory>::new(deps))
        .with(Ops::<show_query_log::FlushQueryLog>::new(deps))
        .with(Ops::<show_query_log::ShowQueryLog>::new(deps))
        .with(Ops::<show_query_history::FlushQueries>::new(deps))
}
