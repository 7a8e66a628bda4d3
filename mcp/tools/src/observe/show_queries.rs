//! `show_queries`: the statements that run now and those that cost most, over all targets.

use std::cmp::Reverse;

use harvest_gateway::{DigestRow, call_digest};
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowQueries;

/// What the list is ordered by, largest first.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SortBy {
    /// Total time.
    #[default]
    SumTime,
    /// Calls.
    Count,
    /// Longest call.
    MaxTime,
    /// Average time.
    AvgTime,
    /// Failed calls.
    Errors,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Most digests.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
    /// The order.
    #[serde(default)]
    sort_by: SortBy,
}

const fn hundred() -> usize {
    100
}

#[derive(Serialize, JsonSchema)]
struct Running {
    /// Number of the call.
    call_id: u64,
    /// Token name.
    caller: String,
    /// Tool.
    tool: String,
    /// Target.
    target_id: String,
    /// Digest of tool and text.
    digest: String,
    /// The statement without its literals.
    digest_text: String,
    /// How long it has run, in milliseconds.
    elapsed_ms: u64,
}

#[derive(Serialize, JsonSchema)]
struct Query {
    /// Digest.
    digest: String,
    /// The shape of the arguments, SQL without its literals.
    digest_text: String,
    /// Tool.
    tool: String,
    /// Target; empty when none was resolved.
    target_id: String,
    /// Calls.
    count_star: u64,
    /// Failed calls.
    errors: u64,
    /// Total time.
    sum_time_us: u64,
    /// Shortest call.
    min_time_us: u64,
    /// Longest call.
    max_time_us: u64,
    /// Average time.
    avg_time_us: u64,
    /// Rows answered.
    rows_sent: u64,
    /// First call, Unix seconds.
    first_seen: i64,
    /// Last call, Unix seconds.
    last_seen: i64,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Statements that run now.
    running: Vec<Running>,
    /// Digests, most costly first.
    queries: Vec<Query>,
    /// The limit that held.
    limit: usize,
}

impl OpsTool for ShowQueries {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_queries";
    const TITLE: &'static str = "Running and costly statements";
    const TEXT: &'static str =
        "Shows the statements that this server runs now and the digests that cost most, over all targets.";
    const TOOLSET: &'static str = "observe";

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.truncated()
    }

    fn example() -> (&'static str, Value) {
        ("What costs most?", json!({"limit": 10}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let gateway = &deps.tools.gateway;
        let sees = |id: &str| id.is_empty() || call.scope.sees(id);
        let running = gateway.statistics().running().into_iter().filter(|r| sees(&r.target_id));
        let running = running
            .map(|r| Running {
                digest: digest(call_digest(&r.tool, &r.digest_text)),
                elapsed_ms: u64::try_from(r.started.elapsed().as_millis()).unwrap_or(u64::MAX),
                call_id: r.call_id,
                caller: r.caller,
                tool: r.tool,
                target_id: r.target_id,
                digest_text: r.digest_text,
            })
            .collect();
        let mut rows = gateway.digests().rows();
        rows.retain(|row| sees(&row.target_id));
        let key = |row: &DigestRow| match args.sort_by {
            SortBy::SumTime => row.sum_time,
            SortBy::Count => row.count_star,
            SortBy::MaxTime => row.max_time,
            SortBy::AvgTime => row.sum_time / row.count_star.max(1),
            SortBy::Errors => row.errors,
        };
        rows.sort_by_key(|row| (Reverse(key(row)), row.digest, row.target_id.clone()));
        let truncated = rows.len() > args.limit;
        let queries = rows.into_iter().take(args.limit).map(query).collect();
        Ok((Output { running, queries, limit: args.limit }, Frame::new().truncated(truncated)))
    }
}

fn digest(value: u64) -> String {
    format!("0x{value:016X}")
}

fn query(row: DigestRow) -> Query {
    Query {
        digest: digest(row.digest),
        avg_time_us: row.sum_time / row.count_star.max(1),
        digest_text: row.digest_text,
        tool: row.tool_name,
        target_id: row.target_id,
        count_star: row.count_star,
        errors: row.errors,
        sum_time_us: row.sum_time,
        min_time_us: row.min_time,
        max_time_us: row.max_time,
        rows_sent: row.sum_rows,
        first_seen: row.first_seen,
        last_seen: row.last_seen,
    }
}
