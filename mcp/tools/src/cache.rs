//! The tools of `/mcp/cache`: the result cache in front of `run_sql_readonly`; they know no statement and no target.

mod clear_cache;
mod get_cache_entries;
mod get_cache_stats;
mod invalidate_cache;
mod set_cache_ttl;
mod views;
mod warm_cache;

use mcp::{ToolError, ToolResult};

use crate::deps::Call;
use crate::ops::{Ops, OpsDeps};
use crate::toolbox::Toolbox;

/// The tools of `/mcp/cache`.
#[must_use]
pub fn cache_tools(deps: &OpsDeps) -> Toolbox {
    Toolbox::new()
        .with(Ops::<get_cache_stats::GetCacheStats>::new(deps))
        .with(Ops::<invalidate_cache::InvalidateCache>::new(deps))
        .with(Ops::<set_cache_ttl::SetCacheTtl>::new(deps))
        .with(Ops::<clear_cache::ClearCache>::new(deps))
        .with(Ops::<warm_cache::WarmCache>::new(deps))
        .with(Ops::<get_cache_entries::GetCacheEntries>::new(deps))
}

/// Refuses work on a cache that is off.
fn enabled(call: &Call<'_>) -> ToolResult<()> {
    if call.deps.gateway.settings().cache.enabled {
        return Ok(());
    }
    Err(ToolError::precondition("the result cache is off: set mcp-cache_enabled")
        .with("reason", "cache_disabled")
        .with("remedy", "set mcp-cache_enabled"))
}

/// Whether the caller may see entries of the target.
fn sees(call: &Call<'_>, target_id: &str) -> bool {
    call.scope.sees(target_id)
}
