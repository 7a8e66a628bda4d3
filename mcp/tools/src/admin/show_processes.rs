//! `admin_show_processes`: sessions of the backend as the server lists them.

use harvest::AdminList;
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LIST_ROWS_MAX, connect, flag, int, text};
use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowProcesses;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Only sessions whose work or state is at least so old, in milliseconds.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000_000_000_u64))]
    min_time_ms: i64,
    /// Only this user.
    #[schemars(length(min = 1, max = 256))]
    user: Option<String>,
    /// Whether sessions without work are listed.
    #[serde(default)]
    include_idle: bool,
    /// Most sessions.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

const fn hundred() -> usize {
    100
}

#[derive(Serialize, JsonSchema)]
struct Process {
    /// Number of the session.
    process_id: i64,
    /// Account.
    user: String,
    /// Address of the client.
    host: Option<String>,
    /// Database.
    database: Option<String>,
    /// What it does.
    command: String,
    /// What it waits for.
    state: Option<String>,
    /// How long, in milliseconds.
    time_ms: i64,
    /// The statement.
    info: Option<String>,
    /// Whether it is a session of this server, as far as the engine tells; always true for that of this call.
    own: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The sessions, longest first.
    processes: Vec<Process>,
    /// Sessions that fit.
    total: usize,
}

impl OpsTool for ShowProcesses {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "admin_show_processes";
    const TITLE: &'static str = "Sessions of the server";
    const TEXT: &'static str = "Shows the sessions of the database server with their statements, longest first. Take process_id for \
        admin_kill_query from here.";
    const TOOLSET: &'static str = "admin";
    const HINTS: ToolAnnotations = ToolAnnotations::READ_VARYING;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.truncated().target()
    }

    fn example() -> (&'static str, Value) {
        ("Statements that run for more than a minute", json!({"min_time_ms": 60_000}))
    }

    fn run(_: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let (info, mut connection) = connect(call, args.target_id.as_deref())?;
        let own = connection.session_id();
        let rows = connection.list(AdminList::Processes, LIST_ROWS_MAX).for_tool()?;
        let cut = rows.len() > LIST_ROWS_MAX;
        let mut processes: Vec<Process> = rows
            .iter()
            .filter(|row| args.include_idle || flag(row, "is_idle") != Some(true))
            .map(|row| Process {
                process_id: int(row, "process_id").unwrap_or_default(),
                user: text(row, "user").unwrap_or_default(),
                host: text(row, "host"),
                database: text(row, "database"),
                command: text(row, "command").unwrap_or_default(),
                state: text(row, "state"),
                time_ms: int(row, "time_ms").unwrap_or_default(),
                info: text(row, "info"),
                own: int(row, "process_id") == Some(own)
                    || text(row, "application_name").as_deref() == Some("penstock"),
            })
            .filter(|p| p.time_ms >= args.min_time_ms && args.user.as_deref().is_none_or(|u| u == p.user))
            .collect();
        let total = processes.len();
        processes.truncate(args.limit);
        let frame = Frame::target(info.target_id, info.protocol).truncated(cut || total > args.limit);
        Ok((Output { processes, total }, frame))
    }
}
