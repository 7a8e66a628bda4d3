//! `show_queries`: digests of statements, as this server or the database servers count them.

use std::cmp::Reverse;

use harvest_gateway::StatsFamily;
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{
    Aim, DbType, PageEcho, Side, cut, digest_filter, fits, may_name_target, paged_args, regex,
};
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowQueries;

/// What the list is ordered by, largest first.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SortBy {
    #[default]
    Count,
    AvgTime,
    SumTime,
    MaxTime,
    RowsSent,
}

paged_args! {
    pub(super) struct Args {
        /// What the list is ordered by, largest first.
        #[serde(default)]
        sort_by: SortBy,
        /// Only digests with at least so many calls.
        #[serde(default)]
        #[schemars(range(min = 0))]
        min_count: u64,
        /// Only digests whose average time is at least this, in microseconds.
        #[serde(default)]
        #[schemars(range(min = 0))]
        min_time_us: u64,
        /// Only this database or schema.
        #[schemars(length(min = 1, max = 256))]
        database: Option<String>,
        /// Only this account.
        #[schemars(length(min = 1, max = 256))]
        username: Option<String>,
        /// Only servers of this group.
        #[schemars(range(min = 0, max = 4_294_967_295_u64))]
        hostgroup: Option<i64>,
        /// Only this digest: 0x and hex digits, or a decimal number.
        #[schemars(length(min = 1, max = 20))]
        digest: Option<String>,
        /// Regular expression over the digest text.
        #[schemars(length(min = 1, max = 1024))]
        match_digest_text: Option<String>,
        /// Whether match_digest_text tells upper from lower case.
        #[serde(default)]
        digest_text_case_sensitive: bool,
        /// Whose digests; those of this server if absent.
        origin: Option<Side>,
    }
}

/// One digest; times in microseconds, moments in Unix seconds.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Digest {
    pub(super) digest: String,
    pub(super) digest_text: String,
    pub(super) database: String,
    pub(super) username: String,
    #[serde(default)]
    pub(super) client_address: Option<String>,
    pub(super) count_star: u64,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    pub(super) sum_time_us: u64,
    pub(super) min_time_us: u64,
    pub(super) max_time_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) avg_time_us: Option<u64>,
    pub(super) sum_rows_affected: u64,
    pub(super) sum_rows_sent: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) target_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hostgroup: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    /// Calls of all digests that fit.
    total_queries: u64,
    /// Their time, in microseconds.
    total_time_us: u64,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Engine.
    db_type: DbType,
    /// Whose digests.
    origin: Side,
    /// Digests that fit.
    total_digests: usize,
    /// The digests.
    queries: Vec<Digest>,
    /// Sums over all digests that fit.
    summary: Summary,
    #[serde(flatten)]
    page: PageEcho,
}

impl OpsTool for ShowQueries {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_queries";
    const TITLE: &'static str = "Statement digests";
    const TEXT: &'static str = "Shows which statements ran how often and how long, without their literals: those of this server, or with \
        origin = backend what the database servers count themselves.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema).truncated()
    }

    fn example() -> (&'static str, Value) {
        ("What costs most", json!({"sort_by": "sum_time", "limit": 10}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let aim = Aim::of(call, args.db_type, args.target_id.as_deref())?;
        let pattern =
            regex("match_digest_text", args.match_digest_text.as_deref(), args.digest_text_case_sensitive)?;
        let digest = digest_filter(args.digest.as_deref())?;
        let (origin, mut all) =
            aim.rows::<Digest>(deps, call, StatsFamily::Queries, args.origin, Side::Host)?;
        for row in &mut all {
            row.avg_time_us = Some(row.sum_time_us / row.count_star.max(1));
        }
        all.retain(|row| {
            row.count_star >= args.min_count
                && row.avg_time_us.unwrap_or(0) >= args.min_time_us
                && fits(args.database.as_deref(), row.database.as_str())
                && fits(args.username.as_deref(), row.username.as_str())
                && (args.hostgroup.is_none() || args.hostgroup == row.hostgroup)
                && fits(digest.as_deref(), row.digest.as_str())
                && pattern.as_ref().is_none_or(|p| p.is_match(&row.digest_text))
        });
        let summary = Summary {
            total_queries: all.iter().map(|row| row.count_star).sum(),
            total_time_us: all.iter().map(|row| row.sum_time_us).sum(),
        };
        let key = |row: &Digest| match args.sort_by {
            SortBy::Count => row.count_star,
            SortBy::AvgTime => row.avg_time_us.unwrap_or(0),
            SortBy::SumTime => row.sum_time_us,
            SortBy::MaxTime => row.max_time_us,
            SortBy::RowsSent => row.sum_rows_sent,
        };
        all.sort_by_cached_key(|row| (Reverse(key(row)), row.digest.clone(), row.target_id.clone()));
        let total_digests = all.len();
        let cap = deps.stats.settings().show_queries_rows_max;
        let (queries, page, truncated) = cut(all, args.limit, args.offset, cap);
        let output = Output { db_type: aim.db_type(), origin, total_digests, queries, summary, page };
        Ok((output, aim.frame().truncated(truncated)))
    }
}
