//! `show_errors`: errors of the database servers by kind.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use harvest::Protocol;
use harvest_gateway::StatsFamily;
use mcp::{ToolError, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{Aim, DbType, PageEcho, Side, cut, fits, may_name_target, paged_args};
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool, now_s};
use crate::schema::OutputSchema;

pub(super) struct ShowErrors;

/// The highest limit.
const LIMIT_CAP: usize = 1_000;

/// What the list is ordered by, largest first.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SortBy {
    #[default]
    Count,
    FirstSeen,
    LastSeen,
}

paged_args! {
    pub(super) struct Args {
        /// Only this number, of mysql and sqlite.
        errno: Option<i64>,
        /// Only this state, of pgsql.
        #[schemars(length(min = 5, max = 5))]
        sqlstate: Option<String>,
        /// Only this account.
        #[schemars(length(min = 1, max = 256))]
        username: Option<String>,
        /// Only this database or schema.
        #[schemars(length(min = 1, max = 256))]
        database: Option<String>,
        /// Only servers of this group.
        #[schemars(range(min = 0, max = 4_294_967_295_u64))]
        hostgroup: Option<i64>,
        /// Only errors that came at least so often.
        #[serde(default)]
        #[schemars(range(min = 0))]
        min_count: u64,
        /// What the list is ordered by, largest first.
        #[serde(default)]
        sort_by: SortBy,
        /// Who counted; this server if absent.
        origin: Option<Side>,
    }
}

/// One kind of error; moments in Unix seconds.
#[derive(Serialize, Deserialize, JsonSchema)]
struct ErrorRow {
    hostname: String,
    port: Option<i64>,
    username: String,
    client_address: Option<String>,
    database: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    errno: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sqlstate: Option<String>,
    count_star: u64,
    first_seen: i64,
    last_seen: i64,
    last_error: String,
    #[serde(default)]
    frequency_per_hour: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hostgroup: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    /// Of mysql and sqlite.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_errno: Option<BTreeMap<String, u64>>,
    /// Of pgsql.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_sqlstate: Option<BTreeMap<String, u64>>,
    by_hostgroup: BTreeMap<String, u64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Engine.
    db_type: DbType,
    /// Who counted.
    origin: Side,
    /// Kinds of errors that fit.
    total_error_types: usize,
    /// Their errors.
    total_error_count: u64,
    /// The kinds.
    errors: Vec<ErrorRow>,
    /// Sums over all kinds that fit.
    summary: Summary,
    #[serde(flatten)]
    page: PageEcho,
}

impl OpsTool for ShowErrors {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_errors";
    const TITLE: &'static str = "Errors by kind";
    const TEXT: &'static str = "Shows which errors the database servers answered how often, by server, account, schema and number. Filter by \
        errno (mysql, sqlite) or sqlstate (pgsql).";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema).truncated()
    }

    fn example() -> (&'static str, Value) {
        ("The latest errors", json!({"sort_by": "last_seen", "limit": 20}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let aim = Aim::of(call, args.db_type, args.target_id.as_deref())?;
        let is_pgsql = aim.protocol == Protocol::Pgsql;
        let wrong = match (is_pgsql, args.errno.is_some(), args.sqlstate.is_some()) {
            (true, true, _) => Some(("errno", "pgsql has no errno: use sqlstate")),
            (false, _, true) => Some(("sqlstate", "only pgsql has sqlstate here: use errno")),
            _ => None,
        };
        if let Some((argument, message)) = wrong {
            return Err(ToolError::invalid(message).with("argument", argument));
        }
        let (origin, mut all) =
            aim.rows::<ErrorRow>(deps, call, StatsFamily::Errors, args.origin, Side::Host)?;
        all.retain(|row| {
            (args.errno.is_none() || args.errno == row.errno)
                && (args.sqlstate.is_none() || args.sqlstate == row.sqlstate)
                && fits(args.username.as_deref(), row.username.as_str())
                && fits(args.database.as_deref(), row.database.as_str())
                && (args.hostgroup.is_none() || args.hostgroup == row.hostgroup)
                && row.count_star >= args.min_count
        });
        let now = now_s();
        for row in &mut all {
            row.frequency_per_hour = per_hour(row.count_star, now.saturating_sub(row.first_seen));
            if is_pgsql {
                row.errno = None;
            } else {
                row.sqlstate = None;
            }
        }
        let summary = summary(&all, is_pgsql);
        let key = |row: &ErrorRow| match args.sort_by {
            SortBy::Count => i64::try_from(row.count_star).unwrap_or(i64::MAX),
            SortBy::FirstSeen => row.first_seen,
            SortBy::LastSeen => row.last_seen,
        };
        all.sort_by_key(|row| Reverse(key(row)));
        let total_error_types = all.len();
        let total_error_count = all.iter().map(|row| row.count_star).sum();
        let (errors, page, truncated) = cut(all, args.limit, args.offset, LIMIT_CAP);
        let db_type = aim.db_type();
        let output = Output { db_type, origin, total_error_types, total_error_count, errors, summary, page };
        Ok((output, aim.frame().truncated(truncated)))
    }
}

/// A rate over the time since the first one, at least an hour.
#[expect(clippy::cast_precision_loss, reason = "a rate shown to people")]
fn per_hour(count: u64, seconds: i64) -> f64 {
    count as f64 / (seconds as f64 / 3_600.0).max(1.0)
}

fn summary(all: &[ErrorRow], is_pgsql: bool) -> Summary {
    let (mut by_kind, mut by_hostgroup) = (BTreeMap::new(), BTreeMap::new());
    for row in all {
        let kind = match (is_pgsql, &row.sqlstate, row.errno) {
            (true, Some(state), _) => state.clone(),
            (false, _, Some(number)) => number.to_string(),
            _ => "unavailable".to_owned(),
        };
        *by_kind.entry(kind).or_default() += row.count_star;
        if let Some(group) = row.hostgroup {
            *by_hostgroup.entry(group.to_string()).or_default() += row.count_star;
        }
    }
    let (by_errno, by_sqlstate) = if is_pgsql { (None, Some(by_kind)) } else { (Some(by_kind), None) };
    Summary { by_errno, by_sqlstate, by_hostgroup }
}
