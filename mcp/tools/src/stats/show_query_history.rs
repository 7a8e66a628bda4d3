//! `show_query_history` and `flush_queries`: digests as they were saved, and saving them.

use mcp::{ToolAnnotations, ToolError, ToolResult};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::shared::{Aim, DbType, Side, common_args, digest_filter, fits, may_name_target, typed};
use super::show_queries::Digest;
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowQueryHistory;
pub(super) struct FlushQueries;

common_args! {
    pub(super) struct Args {
        /// Only the snapshot of this moment, Unix seconds.
        dump_time: Option<i64>,
        /// Only snapshots from this moment on, Unix seconds.
        start_time: Option<i64>,
        /// Only snapshots up to this moment, Unix seconds.
        end_time: Option<i64>,
        /// Only this digest: 0x and hex digits, or a decimal number.
        #[schemars(length(min = 1, max = 20))]
        digest: Option<String>,
        /// Only this account.
        #[schemars(length(min = 1, max = 256))]
        username: Option<String>,
        /// Only this schema.
        #[schemars(length(min = 1, max = 256))]
        database: Option<String>,
        /// Most rows of a snapshot.
        #[serde(default = "crate::stats::shared::hundred")]
        #[schemars(range(min = 1, max = 1000))]
        limit: usize,
        /// Rows left out at the beginning of each snapshot.
        #[serde(default)]
        #[schemars(range(min = 0, max = 1_000_000))]
        offset: usize,
        /// Most snapshots, newest first.
        #[serde(default = "twenty")]
        #[schemars(range(min = 1, max = 100))]
        max_snapshots: usize,
    }
}

const fn twenty() -> usize {
    20
}

#[derive(Serialize, JsonSchema)]
struct Snapshot {
    /// Unix seconds.
    dump_time: i64,
    /// Digests of the snapshot that fit.
    total: usize,
    /// The digests, most frequent first.
    queries: Vec<Digest>,
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    /// Snapshots that fit.
    total_snapshots: usize,
    earliest_snapshot: Option<i64>,
    latest_snapshot: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Engine.
    db_type: DbType,
    /// Always host: these are digests of this server.
    origin: Side,
    /// The snapshots, newest first.
    snapshots: Vec<Snapshot>,
    /// About all snapshots that fit.
    summary: Summary,
}

impl OpsTool for ShowQueryHistory {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_query_history";
    const TITLE: &'static str = "Saved digests";
    const TEXT: &'static str = "Shows the digests that flush_queries saved, snapshot by snapshot.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema).truncated()
    }

    fn example() -> (&'static str, Value) {
        ("The latest snapshot", json!({"max_snapshots": 1}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let aim = Aim::of(call, args.db_type, args.target_id.as_deref())?;
        let digest = digest_filter(args.digest.as_deref())?;
        let store = deps.stats.store()?;
        let protocol = aim.protocol.as_str();
        let times = store.snapshot_times(protocol, (args.dump_time, args.start_time, args.end_time))?;
        let mut truncated = times.len() > args.max_snapshots;
        let mut snapshots = Vec::new();
        for dump_time in times.iter().take(args.max_snapshots) {
            let mut queries: Vec<Digest> = typed(store.snapshot(protocol, *dump_time)?)?;
            queries.retain(|row| {
                row.target_id.as_deref().is_none_or(|id| call.scope.sees(id))
                    && (args.target_id.is_none() || args.target_id == row.target_id)
                    && fits(digest.as_deref(), row.digest.as_str())
                    && fits(args.username.as_deref(), row.username.as_str())
                    && fits(args.database.as_deref(), row.database.as_str())
            });
            let total = queries.len();
            let queries: Vec<Digest> = queries.into_iter().skip(args.offset).take(args.limit).collect();
            truncated |= queries.len() < total;
            snapshots.push(Snapshot { dump_time: *dump_time, total, queries });
        }
        let summary = Summary {
            total_snapshots: times.len(),
            earliest_snapshot: times.last().copied(),
            latest_snapshot: times.first().copied(),
        };
        let output = Output { db_type: aim.db_type(), origin: Side::Host, snapshots, summary };
        Ok((output, aim.frame().truncated(truncated)))
    }
}

common_args! {
    pub(super) struct FlushArgs {}
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Flushed {
    /// Engine.
    db_type: DbType,
    /// Always host: these are digests of this server.
    origin: Side,
    /// Digests that were saved and reset.
    digests_saved: usize,
    /// The snapshot's moment, Unix seconds.
    dump_time: i64,
}

impl OpsTool for FlushQueries {
    type Args = FlushArgs;
    type Output = Flushed;
    const NAME: &'static str = "flush_queries";
    const TITLE: &'static str = "Save and reset digests";
    const TEXT: &'static str = "Saves the statement digests of this server as a snapshot and sets them to zero, in one step. If they cannot be \
        saved nothing is reset.";
    const TOOLSET: &'static str = "stats";
    const HINTS: ToolAnnotations = ToolAnnotations::DESTRUCTIVE;

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema)
    }

    fn example() -> (&'static str, Value) {
        ("Begin to count anew for SQLite", json!({"db_type": "sqlite"}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: FlushArgs) -> ToolResult<(Flushed, Frame)> {
        let aim = Aim::of(call, args.db_type, args.target_id.as_deref())?;
        deps.stats.store()?;
        // Where the client can ask its user it does; elsewhere the token's scope and the client's own prompt decide.
        if call.cx.confirm("confirm", "Save the statement digests and set them to zero?")? == Some(false) {
            return Err(ToolError::precondition("the user did not confirm: nothing was reset")
                .with("reason", "not_confirmed"));
        }
        let gateway = &deps.tools.gateway;
        let facts: Vec<_> =
            gateway.facts().into_iter().filter(|t| aim.target_ids.contains(&t.target_id)).collect();
        let (digests_saved, dump_time) = deps.stats.flush_digests(gateway, &facts)?;
        Ok((Flushed { db_type: aim.db_type(), origin: Side::Host, digests_saved, dump_time }, aim.frame()))
    }
}
