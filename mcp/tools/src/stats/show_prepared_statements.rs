//! `show_prepared_statements`: statements that are prepared now.

use harvest_gateway::StatsFamily;
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{Aim, DbType, PageEcho, Side, cut, fits, may_name_target, paged_args};
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowPreparedStatements;

/// The highest limit.
const LIMIT_CAP: usize = 1_000;

paged_args! {
    pub(super) struct Args {
        /// Only this account.
        #[schemars(length(min = 1, max = 256))]
        username: Option<String>,
        /// Only this database.
        #[schemars(length(min = 1, max = 256))]
        database: Option<String>,
        /// Whose statements; the side that keeps some if absent.
        origin: Option<Side>,
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Prepared {
    global_stmt_id: i64,
    database: String,
    username: String,
    digest: String,
    ref_count_client: u64,
    ref_count_server: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    num_columns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    num_params: Option<u64>,
    /// Of pgsql.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    num_param_types: Option<u64>,
    query: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hostgroup: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Engine.
    db_type: DbType,
    /// Whose statements.
    origin: Side,
    /// Statements that fit.
    total_statements: usize,
    /// The statements.
    statements: Vec<Prepared>,
    #[serde(flatten)]
    page: PageEcho,
}

impl OpsTool for ShowPreparedStatements {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_prepared_statements";
    const TITLE: &'static str = "Prepared statements";
    const TEXT: &'static str = "Shows the statements that sessions of a MySQL server have prepared. The pools of this server keep none, and \
        PostgreSQL and SQLite show none to others.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema).truncated()
    }

    fn example() -> (&'static str, Value) {
        ("Prepared statements of a MySQL server", json!({"db_type": "mysql"}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let aim = Aim::of(call, args.db_type, args.target_id.as_deref())?;
        let (origin, mut all) =
            aim.rows::<Prepared>(deps, call, StatsFamily::PreparedStatements, args.origin, Side::Host)?;
        all.retain(|row| {
            fits(args.username.as_deref(), row.username.as_str())
                && fits(args.database.as_deref(), row.database.as_str())
        });
        all.sort_by_key(|row| row.global_stmt_id);
        let total_statements = all.len();
        let (statements, page, truncated) = cut(all, args.limit, args.offset, LIMIT_CAP);
        let output = Output { db_type: aim.db_type(), origin, total_statements, statements, page };
        Ok((output, aim.frame().truncated(truncated)))
    }
}
