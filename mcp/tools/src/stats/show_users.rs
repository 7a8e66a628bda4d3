//! `show_users`: connections by user, of the database servers or of this server's tokens.

use harvest_gateway::StatsFamily;
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{Aim, DbType, PageEcho, Side, cut, fits, may_name_target, paged_args, ratio};
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowUsers;

/// The highest limit.
const LIMIT_CAP: usize = 1_000;
/// From this share on a user is near its limit, in per cent.
const NEAR_PCT: f64 = 80.0;

paged_args! {
    pub(super) struct Args {
        /// Only this user.
        #[schemars(length(min = 1, max = 256))]
        username: Option<String>,
        /// Whose users; those of the database servers if absent.
        origin: Option<Side>,
    }
}

/// A row as sources give it.
#[derive(Deserialize)]
struct Row {
    username: String,
    connections: u64,
    max_connections: Option<u64>,
    #[serde(default)]
    target_id: Option<String>,
    #[serde(default)]
    hostgroup: Option<i64>,
}

/// How near a user is to its limit.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    Normal,
    NearLimit,
    AtLimit,
}

#[derive(Serialize, JsonSchema)]
struct User {
    username: String,
    /// Sessions of a database user; running requests of a token.
    frontend_connections: u64,
    /// Null without a limit.
    frontend_max_connections: Option<u64>,
    utilization_pct: Option<f64>,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostgroup: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
struct Summary {
    total_users: usize,
    total_connections: u64,
    /// Null if a user has no limit.
    total_capacity: Option<u64>,
    overall_utilization_pct: Option<f64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Engine.
    db_type: DbType,
    /// Whose users.
    origin: Side,
    /// The users, most connections first.
    users: Vec<User>,
    /// Sums over all users that fit.
    summary: Summary,
    #[serde(flatten)]
    page: PageEcho,
}

impl OpsTool for ShowUsers {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_users";
    const TITLE: &'static str = "Connections by user";
    const TEXT: &'static str = "Shows how many connections each database user has and may have, or with origin = host the tokens of this \
        server with their running requests.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema).truncated()
    }

    fn example() -> (&'static str, Value) {
        ("Tokens of this server", json!({"origin": "host"}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let aim = Aim::of(call, args.db_type, args.target_id.as_deref())?;
        let (origin, rows) = aim.rows::<Row>(deps, call, StatsFamily::Users, args.origin, Side::Backend)?;
        let mut all: Vec<User> = rows
            .into_iter()
            .filter(|row| fits(args.username.as_deref(), row.username.as_str()))
            .map(user)
            .collect();
        all.sort_by(|a, b| (b.frontend_connections, &a.username).cmp(&(a.frontend_connections, &b.username)));
        let total_connections = all.iter().map(|user| user.frontend_connections).sum();
        let total_capacity = all.iter().map(|user| user.frontend_max_connections).sum::<Option<u64>>();
        let total_capacity = total_capacity.filter(|_| !all.is_empty());
        let summary = Summary {
            total_users: all.len(),
            total_connections,
            total_capacity,
            overall_utilization_pct: total_capacity.map(|most| 100.0 * ratio(total_connections, most)),
        };
        let (users, page, truncated) = cut(all, args.limit, args.offset, LIMIT_CAP);
        let output = Output { db_type: aim.db_type(), origin, users, summary, page };
        Ok((output, aim.frame().truncated(truncated)))
    }
}

fn user(row: Row) -> User {
    let utilization_pct = row.max_connections.map(|most| 100.0 * ratio(row.connections, most));
    let status = match utilization_pct {
        Some(pct) if pct >= 100.0 => Status::AtLimit,
        Some(pct) if pct >= NEAR_PCT => Status::NearLimit,
        _ => Status::Normal,
    };
    User {
        username: row.username,
        frontend_connections: row.connections,
        frontend_max_connections: row.max_connections,
        utilization_pct,
        status,
        target_id: row.target_id,
        hostgroup: row.hostgroup,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_near_from_four_fifths_and_at_their_limit_when_full() {
        let status = |connections, max_connections| {
            let row = Row {
                username: String::new(),
                connections,
                max_connections,
                target_id: None,
                hostgroup: None,
            };
            user(row).status
        };
        assert_eq!(status(79, Some(100)), Status::Normal);
        assert_eq!(status(80, Some(100)), Status::NearLimit);
        assert_eq!(status(100, Some(100)), Status::AtLimit);
        assert_eq!(status(1_000, None), Status::Normal);
    }
}
