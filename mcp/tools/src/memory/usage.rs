//! `stats.get_tool_usage`: call counters of tools, from the host's counters or the catalog's log.

use std::collections::BTreeMap;

use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::deps::{CatalogDeps, ToolUsageRow};
use super::shared::yes;
use super::tool::MemoryTool;
use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::schema::OutputSchema;

pub(super) struct GetToolUsage;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Only this endpoint: CONFIG, OBSERVE, STATS, QUERY, ADMIN, CACHE, RAG or AI.
    #[schemars(length(min = 1, max = 64))]
    endpoint: Option<String>,
    /// Only this tool, by its canonical name.
    #[schemars(length(min = 1, max = 128))]
    tool: Option<String>,
    /// Since the counters were reset; false: since the oldest record.
    #[serde(default = "yes")]
    since_reset: bool,
}

/// Counters of one tool with one schema.
#[derive(Serialize, JsonSchema)]
struct Counters {
    count: u64,
    errors: u64,
    /// Unix seconds.
    first_seen: i64,
    /// Unix seconds.
    last_seen: i64,
    /// Microseconds.
    sum_time: u64,
    /// Microseconds.
    min_time: u64,
    /// Microseconds.
    max_time: u64,
}

type BySchema = BTreeMap<String, Counters>;

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// By endpoint, tool, schema of the call (empty where it has none).
    usage: BTreeMap<String, BTreeMap<String, BySchema>>,
}

impl MemoryTool for GetToolUsage {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "stats.get_tool_usage";
    const TITLE: &'static str = "Tool usage";
    const TEXT: &'static str = "Counts calls, errors and times of tools by endpoint, tool and schema.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema
    }

    fn example() -> (&'static str, Value) {
        ("How often SQL was run", json!({"endpoint": "QUERY", "tool": "run_sql_readonly"}))
    }

    fn run(deps: &CatalogDeps, _: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let rows = match &deps.usage {
            Some(source) => source.usage(args.since_reset)?,
            None => logged(deps, args.since_reset)?,
        };
        let mut usage: BTreeMap<String, BTreeMap<String, BySchema>> = BTreeMap::new();
        let wanted = |filter: &Option<String>, value: &str| filter.as_deref().is_none_or(|f| f == value);
        for row in
            rows.into_iter().filter(|r| wanted(&args.endpoint, &r.endpoint) && wanted(&args.tool, &r.tool))
        {
            let counters = Counters {
                count: row.count,
                errors: row.errors,
                first_seen: row.first_seen,
                last_seen: row.last_seen,
                sum_time: row.sum_time,
                min_time: row.min_time,
                max_time: row.max_time,
            };
            usage.entry(row.endpoint).or_default().entry(row.tool).or_default().insert(row.schema, counters);
        }
        Ok((Output { usage }, Frame::new()))
    }
}

fn logged(deps: &CatalogDeps, since_reset: bool) -> ToolResult<Vec<ToolUsageRow>> {
    let rows = deps.catalog()?.tool_usage(since_reset).for_tool()?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let mut out = ToolUsageRow::new(row.endpoint, row.tool, row.schema);
            out.count = row.count;
            out.errors = row.errors;
            out.first_seen = row.first_seen;
            out.last_seen = row.last_seen;
            (out.sum_time, out.min_time, out.max_time) = (row.sum_time, row.min_time, row.max_time);
            out
        })
        .collect())
}
