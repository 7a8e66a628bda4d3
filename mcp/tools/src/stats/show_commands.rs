//! `show_commands`: counts and latency by kind of statement.

use harvest_gateway::StatsFamily;
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{Aim, DbType, PageEcho, Side, cut, fits, may_name_target, paged_args};
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowCommands;

/// The highest limit.
const LIMIT_CAP: usize = 1_000;

paged_args! {
    pub(super) struct Args {
        /// Only this kind, such as SELECT.
        #[schemars(length(min = 1, max = 128))]
        command: Option<String>,
        /// Whose statements; those of this server if absent.
        origin: Option<Side>,
    }
}

/// Statements by latency: each bucket counts those beyond the one before.
#[derive(Serialize, Deserialize, JsonSchema)]
#[expect(non_snake_case, reason = "the habitual name of the open bucket")]
struct Histogram {
    cnt_100us: u64,
    cnt_500us: u64,
    cnt_1ms: u64,
    cnt_5ms: u64,
    cnt_10ms: u64,
    cnt_50ms: u64,
    cnt_100ms: u64,
    cnt_500ms: u64,
    cnt_1s: u64,
    cnt_5s: u64,
    cnt_10s: u64,
    cnt_INFs: u64,
}

/// Interpolated within their buckets; null in the open one.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Percentiles {
    p50_us: Option<u64>,
    p90_us: Option<u64>,
    p95_us: Option<u64>,
    p99_us: Option<u64>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Command {
    command: String,
    total_count: u64,
    total_time_us: u64,
    #[serde(default)]
    avg_time_us: u64,
    /// Null where a database server keeps none.
    latency_histogram: Option<Histogram>,
    /// Null where there is no histogram.
    percentiles: Option<Percentiles>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hostgroup: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    /// Statements of all kinds that fit.
    total_commands: u64,
    /// Their time, in microseconds.
    total_time_us: u64,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Engine.
    db_type: DbType,
    /// Whose statements.
    origin: Side,
    /// Kinds of statements, the most frequent first.
    commands: Vec<Command>,
    /// Sums over all kinds that fit.
    summary: Summary,
    #[serde(flatten)]
    page: PageEcho,
}

impl OpsTool for ShowCommands {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_commands";
    const TITLE: &'static str = "Kinds of statements";
    const TEXT: &'static str =
        "Shows how often each kind of statement ran and how long it took, with a histogram and percentiles.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema).truncated()
    }

    fn example() -> (&'static str, Value) {
        ("Latency of SELECT", json!({"command": "SELECT"}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let aim = Aim::of(call, args.db_type, args.target_id.as_deref())?;
        let (origin, mut all) =
            aim.rows::<Command>(deps, call, StatsFamily::Commands, args.origin, Side::Host)?;
        all.retain(|row| fits(args.command.as_deref(), row.command.as_str()));
        for row in &mut all {
            row.avg_time_us = row.total_time_us / row.total_count.max(1);
        }
        all.sort_by(|a, b| (b.total_count, &a.command).cmp(&(a.total_count, &b.command)));
        let summary = Summary {
            total_commands: all.iter().map(|row| row.total_count).sum(),
            total_time_us: all.iter().map(|row| row.total_time_us).sum(),
        };
        let (commands, page, truncated) = cut(all, args.limit, args.offset, LIMIT_CAP);
        let output = Output { db_type: aim.db_type(), origin, commands, summary, page };
        Ok((output, aim.frame().truncated(truncated)))
    }
}
