//! `clear_cache`: drops every entry, or every entry of a target.

use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{enabled, sees};
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool, known_target};

pub(super) struct ClearCache;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Only this target.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Entries that were dropped.
    cleared: usize,
    /// Memory that they had, in bytes.
    bytes_freed: usize,
}

impl OpsTool for ClearCache {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "clear_cache";
    const TITLE: &'static str = "Clear the cache";
    const TEXT: &'static str = "Drops every cached result, or those of one target. Counters stay.";
    const TOOLSET: &'static str = "cache";
    const HINTS: ToolAnnotations = ToolAnnotations::DESTRUCTIVE_IDEMPOTENT;

    fn example() -> (&'static str, Value) {
        ("Forget the results of one target", json!({"target_id": "shop"}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        known_target(call, args.target_id.as_deref())?;
        enabled(call)?;
        let wanted = |id: &str| sees(call, id) && args.target_id.as_deref().is_none_or(|t| t == id);
        let (cleared, bytes_freed) = deps.tools.gateway.cache().invalidate(|entry| wanted(&entry.target_id));
        Ok((Output { cleared, bytes_freed }, Frame::new()))
    }
}
