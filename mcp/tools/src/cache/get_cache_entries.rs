//! `get_cache_entries`: what is cached, without literals unless the log may show them.

use std::cmp::Reverse;

use harvest_gateway::LogSql;
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::invalidate_cache::reads;
use super::{enabled, sees};
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool, known_target};
use crate::schema::OutputSchema;

pub(super) struct GetCacheEntries;

/// What the list is ordered by.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum SortBy {
    /// Most answers first.
    #[default]
    Hits,
    /// Oldest first.
    Age,
    /// Largest first.
    Bytes,
    /// First to leave first.
    Expires,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Most entries.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
    /// Entries left out at the start.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    offset: usize,
    /// Only this target.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Only entries that read this table: `schema.table` or `table`.
    #[schemars(length(min = 1, max = 512))]
    table: Option<String>,
    /// The order.
    #[serde(default)]
    sort_by: SortBy,
}

const fn hundred() -> usize {
    100
}

#[derive(Serialize, JsonSchema)]
struct Entry {
    /// Short name of the entry.
    key: String,
    /// Target.
    target_id: String,
    /// Schema.
    schema: String,
    /// The statement without its literals.
    digest_text: String,
    /// Tables that it reads.
    tables: Vec<String>,
    /// Whose entry it is; null when shared.
    caller: Option<String>,
    /// Rows.
    row_count: usize,
    /// Memory, in bytes.
    bytes: usize,
    /// Answers given.
    hits: u64,
    /// Time to live, in milliseconds.
    ttl_ms: u64,
    /// Birth, Unix seconds.
    created_at: i64,
    /// End, Unix seconds.
    expires_at: i64,
    /// Last answer, Unix seconds.
    last_hit_at: Option<i64>,
    /// Rule that set the time to live.
    rule_id: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The entries.
    entries: Vec<Entry>,
    /// Entries that fit, on all pages.
    total: usize,
    /// The limit that held.
    limit: usize,
}

impl OpsTool for GetCacheEntries {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "get_cache_entries";
    const TITLE: &'static str = "List cached results";
    const TEXT: &'static str =
        "Lists what the result cache holds: statement, tables, size, answers given and when it leaves.";
    const TOOLSET: &'static str = "cache";

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.truncated()
    }

    fn example() -> (&'static str, Value) {
        ("The largest entries", json!({"sort_by": "bytes", "limit": 10}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        known_target(call, args.target_id.as_deref())?;
        enabled(call)?;
        let full = deps.tools.gateway.settings().log_sql == LogSql::Full;
        let mut all = deps.tools.gateway.cache().entries();
        all.retain(|entry| {
            sees(call, &entry.target_id)
                && args.target_id.as_deref().is_none_or(|t| t == entry.target_id)
                && args
                    .table
                    .as_deref()
                    .is_none_or(|t| entry.tables.iter().any(|name| reads(t, name, &entry.schema)))
        });
        match args.sort_by {
            SortBy::Hits => all.sort_by_key(|entry| (Reverse(entry.hits), entry.key.clone())),
            SortBy::Age => all.sort_by_key(|entry| (entry.created_at, entry.key.clone())),
            SortBy::Bytes => all.sort_by_key(|entry| (Reverse(entry.bytes), entry.key.clone())),
            SortBy::Expires => all.sort_by_key(|entry| (entry.expires_at, entry.key.clone())),
        }
        let total = all.len();
        let page = all.into_iter().skip(args.offset).take(args.limit);
        let entries: Vec<Entry> = page
            .map(|entry| Entry {
                key: entry.key,
                target_id: entry.target_id,
                schema: entry.schema,
                digest_text: if full { entry.sql } else { entry.digest_text },
                tables: entry.tables,
                caller: entry.caller,
                row_count: entry.row_count,
                bytes: entry.bytes,
                hits: entry.hits,
                ttl_ms: entry.ttl_ms,
                created_at: entry.created_at,
                expires_at: entry.expires_at,
                last_hit_at: entry.last_hit_at,
                rule_id: entry.rule_id,
            })
            .collect();
        let truncated = args.offset.saturating_add(entries.len()) < total;
        Ok((Output { entries, total, limit: args.limit }, Frame::new().truncated(truncated)))
    }
}
