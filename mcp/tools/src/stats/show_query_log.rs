//! `show_query_log` and `flush_query_log`: events of statements, and moving them to their tables.

use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::events::QueryEvent;
use super::hub::Destination;
use super::shared::{
    Aim, DbType, PageEcho, Side, cut, digest_filter, fits, may_name_target, paged_args, typed,
};
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowQueryLog;
pub(super) struct FlushQueryLog;

/// The highest limit.
const LIMIT_CAP: usize = 1_000;

/// Which table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Source {
    #[default]
    Memory,
    Disk,
}

paged_args! {
    pub(super) struct Args {
        /// Which table.
        #[serde(default)]
        source: Source,
        /// Only this account.
        #[schemars(length(min = 1, max = 256))]
        username: Option<String>,
        /// Only this schema.
        #[schemars(length(min = 1, max = 256))]
        database: Option<String>,
        /// Only this digest: 0x and hex digits, or a decimal number.
        #[schemars(length(min = 1, max = 20))]
        query_digest: Option<String>,
        /// Only this server: host:port, or the path of a file.
        #[schemars(length(min = 1, max = 1024))]
        server: Option<String>,
        /// Only this number of an error.
        errno: Option<i64>,
        /// Only events with an error.
        #[serde(default)]
        errors_only: bool,
        /// Only events from this moment on, Unix seconds.
        start_time: Option<i64>,
        /// Only events up to this moment, Unix seconds.
        end_time: Option<i64>,
    }
}

#[derive(Serialize, JsonSchema)]
struct TimeRange {
    /// Unix seconds.
    earliest: Option<i64>,
    /// Unix seconds.
    latest: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    total_errors: usize,
    time_range: TimeRange,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Engine; absent where events of all engines were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    db_type: Option<DbType>,
    /// Always host: these are events of this server.
    origin: Side,
    /// Which table.
    source: Source,
    /// Events that fit.
    total_events: usize,
    /// The events, newest first.
    events: Vec<QueryEvent>,
    /// About all events that fit.
    summary: Summary,
    #[serde(flatten)]
    page: PageEcho,
}

/// The targets that arguments mean; `None` means all that the caller sees.
fn aim(call: &Call<'_>, db_type: Option<DbType>, target_id: Option<&str>) -> ToolResult<Option<Aim>> {
    if db_type.is_none() && target_id.is_none() {
        return Ok(None);
    }
    Aim::of(call, db_type, target_id).map(Some)
}

/// Whether events of a target are meant; those without a target belong to no engine and show to callers of all targets.
fn means(call: &Call<'_>, aim: Option<&Aim>, target_id: &str) -> bool {
    match aim {
        Some(aim) => aim.target_ids.iter().any(|id| id == target_id),
        None => call.scope.sees(target_id),
    }
}

impl OpsTool for ShowQueryLog {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_query_log";
    const TITLE: &'static str = "Statement events";
    const TEXT: &'static str = "Shows the events of statements that flush_query_log moved to a table: who ran what where, how long it took and \
        how it ended. The text is what mcp-log_sql allows.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema).truncated()
    }

    fn example() -> (&'static str, Value) {
        ("Failed statements", json!({"errors_only": true}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let aim = aim(call, args.db_type, args.target_id.as_deref())?;
        let digest = digest_filter(args.query_digest.as_deref())?;
        let mut all: Vec<QueryEvent> = match args.source {
            Source::Memory => {
                let mut events = deps.stats.flushed_events();
                events.reverse();
                events
            }
            Source::Disk => typed(deps.stats.store()?.events(args.start_time, args.end_time)?)?,
        };
        all.retain(|event| {
            means(call, aim.as_ref(), &event.target_id)
                && fits(args.username.as_deref(), event.username.as_str())
                && fits(args.database.as_deref(), event.database.as_str())
                && fits(digest.as_deref(), event.query_digest.as_str())
                && fits(args.server.as_deref(), event.server.as_str())
                && fits(args.errno.as_ref(), &event.errno)
                && (!args.errors_only || event.error.is_some())
                && args.start_time.is_none_or(|from| event.start_time >= from)
                && args.end_time.is_none_or(|to| event.start_time <= to)
        });
        let total_events = all.len();
        let times = || all.iter().map(|event| event.start_time);
        let summary = Summary {
            total_errors: all.iter().filter(|event| event.error.is_some()).count(),
            time_range: TimeRange { earliest: times().min(), latest: times().max() },
        };
        let (events, page, truncated) = cut(all, args.limit, args.offset, LIMIT_CAP);
        let db_type = aim.as_ref().map(Aim::db_type);
        let output =
            Output { db_type, origin: Side::Host, source: args.source, total_events, events, summary, page };
        Ok((output, aim.map_or_else(Frame::new, |aim| aim.frame()).truncated(truncated)))
    }
}

/// Where events go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum To {
    #[default]
    Memory,
    Disk,
    Both,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FlushArgs {
    /// Only events of this engine; all events if absent.
    db_type: Option<DbType>,
    /// Only events of this target.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Where they go.
    #[serde(default)]
    destination: To,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Flushed {
    /// Events that were moved.
    events_flushed: usize,
    /// Events lost to a full buffer since the last flush.
    events_dropped: u64,
    /// Where they went.
    destination: To,
}

impl OpsTool for FlushQueryLog {
    type Args = FlushArgs;
    type Output = Flushed;
    const NAME: &'static str = "flush_query_log";
    const TITLE: &'static str = "Move statement events";
    const TEXT: &'static str = "Moves the events of statements from the buffer to the event tables, where show_query_log reads them. If the \
        disk fails the events stay in the buffer.";
    const TOOLSET: &'static str = "stats";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE;

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema)
    }

    fn example() -> (&'static str, Value) {
        ("Keep the events", json!({"destination": "both"}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: FlushArgs) -> ToolResult<(Flushed, Frame)> {
        let aim = aim(call, args.db_type, args.target_id.as_deref())?;
        let to = match args.destination {
            To::Memory => Destination::Memory,
            To::Disk => Destination::Disk,
            To::Both => Destination::Both,
        };
        let wanted = |target_id: &str| means(call, aim.as_ref(), target_id);
        let (events_flushed, events_dropped) = deps.stats.flush_events(&deps.tools.gateway, wanted, to)?;
        let output = Flushed { events_flushed, events_dropped, destination: args.destination };
        Ok((output, aim.map_or_else(Frame::new, |aim| aim.frame())))
    }
}
