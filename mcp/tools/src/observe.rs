//! The tools of `/mcp/observe`: health and metrics of this server; they read counters and change nothing.

mod get_health;
mod show_connections;
mod show_queries;
mod stats;

use crate::ops::{Ops, OpsDeps};
use crate::toolbox::Toolbox;

/// The tools of `/mcp/observe`.
#[must_use]
pub fn observe_tools(deps: &OpsDeps) -> Toolbox {
    Toolbox::new()
        .with(Ops::<stats::ListStats>::new(deps))
        .with(Ops::<stats::GetStats>::new(deps))
        .with(Ops::<show_connections::ShowConnections>::new(deps))
        .with(Ops::<show_queries::ShowQueries>::new(deps))
        .with(Ops::<get_health::GetHealth>::new(deps))
        .with(Ops::<stats::ShowMetrics>::new(deps))
}
