//! `get_cache_stats`: counters of the result cache since start.

use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::sees;
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool, known_target};

pub(super) struct GetCacheStats;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Only this target in `by_target`.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct ByTarget {
    /// Target.
    target_id: String,
    /// Entries now.
    entries: usize,
    /// Memory now, in bytes.
    bytes: usize,
    /// Answers from the cache.
    hits: u64,
    /// Looks that found nothing.
    misses: u64,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Whether results are cached.
    enabled: bool,
    /// Entries now.
    entries: usize,
    /// Memory now, in bytes.
    memory_usage: usize,
    /// Most memory, in bytes.
    max_bytes: usize,
    /// Answers from the cache.
    hits: u64,
    /// Looks that found nothing.
    misses: u64,
    /// Results stored.
    sets: u64,
    /// Entries that left for room.
    evictions: u64,
    /// Entries that left by age.
    expirations: u64,
    /// Entries that left by request or load.
    invalidations: u64,
    /// Statements that were not looked up.
    bypassed: u64,
    /// Hits among looks, 0 to 1; null without a look.
    hit_rate: Option<f64>,
    /// Time to live without a rule, in milliseconds; 0 means only rules cache.
    default_ttl_ms: u64,
    /// caller: each token has its own entries; shared: one for all.
    scope: &'static str,
    /// Age of the oldest entry, in milliseconds.
    oldest_age_ms: Option<u64>,
    /// Start of the counters, Unix seconds.
    since: i64,
    /// By target.
    by_target: Vec<ByTarget>,
}

impl OpsTool for GetCacheStats {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "get_cache_stats";
    const TITLE: &'static str = "Cache counters";
    const TEXT: &'static str =
        "Shows how the result cache does: entries, memory, hits, misses and why entries left.";
    const TOOLSET: &'static str = "cache";

    fn example() -> (&'static str, Value) {
        ("How well does the cache work?", json!({}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        known_target(call, args.target_id.as_deref())?;
        let settings = deps.tools.gateway.settings();
        let stats = deps.tools.gateway.cache().stats();
        let c = stats.counters;
        let wanted = |id: &str| sees(call, id) && args.target_id.as_deref().is_none_or(|t| t == id);
        let by_target = stats.by_target.into_iter().filter(|t| wanted(&t.target_id));
        Ok((
            Output {
                enabled: settings.cache.enabled,
                entries: stats.entries,
                memory_usage: stats.bytes,
                max_bytes: settings.cache.bytes_max,
                hits: c.hits,
                misses: c.misses,
                sets: c.sets,
                evictions: c.evictions,
                expirations: c.expirations,
                invalidations: c.invalidations,
                bypassed: c.bypassed,
                hit_rate: rate(c.hits, c.hits + c.misses),
                default_ttl_ms: settings.cache.default_ttl_ms,
                scope: if settings.cache.shared { "shared" } else { "caller" },
                oldest_age_ms: stats.oldest_age_ms,
                since: stats.since,
                by_target: by_target
                    .map(|t| ByTarget {
                        target_id: t.target_id,
                        entries: t.entries,
                        bytes: t.bytes,
                        hits: t.hits,
                        misses: t.misses,
                    })
                    .collect(),
            },
            Frame::new(),
        ))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate is an approximation")]
fn rate(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
