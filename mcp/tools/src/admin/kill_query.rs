//! `admin_kill_query`: cancels a statement or ends a session on the backend, and looks whether it is gone.

use std::time::{Duration, Instant};

use harvest::{AdminConnection, AdminList, AdminRow};
use mcp::{ToolAnnotations, ToolError, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LIST_ROWS_MAX, connect, flag, int, text};
use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::ops::{OpsDeps, OpsTool, confirmed};
use crate::schema::OutputSchema;

pub(super) struct KillQuery;

/// Longest wait for the end, in milliseconds.
const GONE_TIMEOUT_MS: u64 = 1_000;
/// Time between two looks, in milliseconds.
const LOOK_MS: u64 = 50;

/// What is ended.
#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// The running statement.
    #[default]
    Query,
    /// The whole session.
    Connection,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Number of the session, from admin_show_processes.
    #[schemars(range(min = 1))]
    process_id: i64,
    /// What is ended.
    #[serde(default)]
    kind: Kind,
    /// Must be true.
    confirm: bool,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Number of the session.
    process_id: i64,
    /// query or connection.
    kind: &'static str,
    /// terminated: seen gone within a second; signalled: told to end, not yet seen gone.
    outcome: &'static str,
    /// Account of the session.
    user: String,
    /// The statement that ran.
    info: Option<String>,
    /// How long it had run, in milliseconds.
    time_ms: i64,
}

impl OpsTool for KillQuery {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "admin_kill_query";
    const TITLE: &'static str = "Stop a statement";
    const TEXT: &'static str = "Cancels the running statement of a session on the database server, or ends the session. Needs confirm = true.";
    const TOOLSET: &'static str = "admin";
    const HINTS: ToolAnnotations = ToolAnnotations::DESTRUCTIVE;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target()
    }

    fn example() -> (&'static str, Value) {
        ("Cancel what session 42 runs", json!({"process_id": 42, "confirm": true}))
    }

    fn run(_: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        confirmed(
            call,
            args.confirm,
            &format!("ending work of session {} needs a confirmation", args.process_id),
        )?;
        let (info, mut connection) = connect(call, args.target_id.as_deref())?;
        let row = find(&mut *connection, args.process_id)?.ok_or_else(|| gone(args.process_id))?;
        if args.process_id == connection.session_id() || flag(&row, "is_system") == Some(true) {
            return Err(ToolError::precondition(
                "system sessions and the session of this call are not ended",
            )
            .with("reason", "protected_session"));
        }
        if args.kind == Kind::Query && flag(&row, "is_idle") == Some(true) {
            return Err(gone(args.process_id).with("reason", "no_statement_runs"));
        }
        connection.kill(args.process_id, args.kind == Kind::Connection).for_tool()?;
        let outcome = if wait(&mut *connection, &args, &row)? { "terminated" } else { "signalled" };
        let output = Output {
            process_id: args.process_id,
            kind: if args.kind == Kind::Query { "query" } else { "connection" },
            outcome,
            user: text(&row, "user").unwrap_or_default(),
            info: text(&row, "info"),
            time_ms: int(&row, "time_ms").unwrap_or_default(),
        };
        Ok((output, Frame::target(info.target_id, info.protocol)))
    }
}

fn gone(process_id: i64) -> ToolError {
    ToolError::not_found("process", process_id.to_string())
}

fn find(connection: &mut dyn AdminConnection, process_id: i64) -> ToolResult<Option<AdminRow>> {
    let rows = connection.list(AdminList::Processes, LIST_ROWS_MAX).for_tool()?;
    Ok(rows.into_iter().find(|row| int(row, "process_id") == Some(process_id)))
}

/// Looks until the statement or the session is gone, for at most a second.
fn wait(connection: &mut dyn AdminConnection, args: &Args, before: &AdminRow) -> ToolResult<bool> {
    let until = Instant::now() + Duration::from_millis(GONE_TIMEOUT_MS);
    loop {
        let ended = match find(connection, args.process_id)? {
            None => true,
            Some(row) => {
                args.kind == Kind::Query
                    && (flag(&row, "is_idle") == Some(true) || text(&row, "info") != text(before, "info"))
            }
        };
        if ended || Instant::now() >= until {
            return Ok(ended);
        }
        std::thread::sleep(Duration::from_millis(LOOK_MS));
    }
}
