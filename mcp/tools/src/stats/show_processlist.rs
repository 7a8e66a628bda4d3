//! `show_processlist`: active sessions of the database servers, or calls that run in this server.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use harvest_gateway::StatsFamily;
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{Aim, DbType, PageEcho, Side, cut, fits, may_name_target, paged_args, regex};
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowProcesslist;

/// What sessions are ordered by.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SortBy {
    #[default]
    TimeMs,
    SessionId,
    Username,
    Hostgroup,
    Command,
}

/// Which end comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum SortOrder {
    Asc,
    #[default]
    Desc,
}

paged_args! {
    pub(super) struct Args {
        /// Only this user.
        #[schemars(length(min = 1, max = 256))]
        username: Option<String>,
        /// Only this database.
        #[schemars(length(min = 1, max = 256))]
        database: Option<String>,
        /// Only this command.
        #[schemars(length(min = 1, max = 256))]
        command: Option<String>,
        /// Only servers of this group.
        #[schemars(range(min = 0, max = 4_294_967_295_u64))]
        hostgroup: Option<i64>,
        /// Only this session.
        #[schemars(range(min = 0))]
        session_id: Option<i64>,
        /// Only sessions whose work or state is at least so old, in milliseconds.
        #[serde(default)]
        #[schemars(range(min = 0))]
        min_time_ms: i64,
        /// Regular expression over the statement.
        #[schemars(length(min = 1, max = 1024))]
        match_info: Option<String>,
        /// Whether match_info tells upper from lower case.
        #[serde(default)]
        info_case_sensitive: bool,
        /// What the list is ordered by.
        #[serde(default)]
        sort_by: SortBy,
        /// Which end comes first.
        #[serde(default)]
        sort_order: SortOrder,
        /// Whose sessions; those of the database servers if absent.
        origin: Option<Side>,
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Session {
    session_id: i64,
    thread_id: Option<i64>,
    user: String,
    database: Option<String>,
    client_host: String,
    client_port: Option<i64>,
    backend_host: String,
    backend_port: Option<i64>,
    /// Process of PostgreSQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_pid: Option<i64>,
    /// What a process of PostgreSQL waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_state: Option<String>,
    command: String,
    time_ms: i64,
    /// The statement; of this server without its literals.
    info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostgroup: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    by_user: BTreeMap<String, usize>,
    by_hostgroup: BTreeMap<String, usize>,
    by_command: BTreeMap<String, usize>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Engine.
    db_type: DbType,
    /// Whose sessions.
    origin: Side,
    /// Sessions that fit.
    total_sessions: usize,
    /// The sessions.
    sessions: Vec<Session>,
    /// What the list is ordered by.
    sort_by: SortBy,
    /// Which end comes first.
    sort_order: SortOrder,
    /// Numbers of all sessions that fit.
    summary: Summary,
    #[serde(flatten)]
    page: PageEcho,
}

impl OpsTool for ShowProcesslist {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_processlist";
    const TITLE: &'static str = "Active sessions";
    const TEXT: &'static str = "Shows the sessions of the database servers with their statements, or with origin = host the calls that run in \
        this server. Filters are exact; match_info is a regular expression over the statement.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema).truncated()
    }

    fn example() -> (&'static str, Value) {
        ("Statements that run for more than a second", json!({"min_time_ms": 1000}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let aim = Aim::of(call, args.db_type, args.target_id.as_deref())?;
        let pattern = regex("match_info", args.match_info.as_deref(), args.info_case_sensitive)?;
        let (origin, mut all) =
            aim.rows::<Session>(deps, call, StatsFamily::Processlist, args.origin, Side::Backend)?;
        all.retain(|s| {
            s.target_id.as_deref().is_none_or(|id| call.scope.sees(id))
                && (args.target_id.is_none() || s.target_id == args.target_id)
                && fits(args.username.as_deref(), s.user.as_str())
                && (args.database.is_none() || args.database == s.database)
                && fits(args.command.as_deref(), s.command.as_str())
                && (args.hostgroup.is_none() || args.hostgroup == s.hostgroup)
                && fits(args.session_id.as_ref(), &s.session_id)
                && s.time_ms >= args.min_time_ms
                && pattern.as_ref().is_none_or(|p| s.info.as_deref().is_some_and(|info| p.is_match(info)))
        });
        let mut summary =
            Summary { by_user: BTreeMap::new(), by_hostgroup: BTreeMap::new(), by_command: BTreeMap::new() };
        for session in &all {
            *summary.by_user.entry(session.user.clone()).or_default() += 1;
            if let Some(group) = session.hostgroup {
                *summary.by_hostgroup.entry(group.to_string()).or_default() += 1;
            }
            *summary.by_command.entry(session.command.clone()).or_default() += 1;
        }
        all.sort_by(|a, b| {
            let order = order(args.sort_by, a, b);
            if args.sort_order == SortOrder::Desc { order.reverse() } else { order }
        });
        let total_sessions = all.len();
        let cap = deps.stats.settings().show_processlist_rows_max;
        let (sessions, page, truncated) = cut(all, args.limit, args.offset, cap);
        let (sort_by, sort_order) = (args.sort_by, args.sort_order);
        let output = Output {
            db_type: aim.db_type(),
            origin,
            total_sessions,
            sessions,
            sort_by,
            sort_order,
            summary,
            page,
        };
        Ok((output, aim.frame().truncated(truncated)))
    }
}

fn order(by: SortBy, a: &Session, b: &Session) -> Ordering {
    let first = match by {
        SortBy::TimeMs => a.time_ms.cmp(&b.time_ms),
        SortBy::SessionId => Ordering::Equal,
        SortBy::Username => a.user.cmp(&b.user),
        SortBy::Hostgroup => a.hostgroup.cmp(&b.hostgroup),
        SortBy::Command => a.command.cmp(&b.command),
    };
    first.then(a.session_id.cmp(&b.session_id))
}
