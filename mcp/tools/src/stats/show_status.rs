//! `show_status`: status variables of this server or of the database servers.

use harvest_gateway::StatsFamily;
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{Aim, DbType, Side, common_args, may_name_target};
use crate::admin::like;
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool};
use crate::schema::OutputSchema;

pub(super) struct ShowStatus;

/// What a variable is about.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Category {
    Connections,
    Queries,
    Commands,
    PoolOps,
    Monitor,
    QueryCache,
    PreparedStmts,
    Security,
    Memory,
    Errors,
    Logger,
    System,
    Mirror,
}

common_args! {
    pub(super) struct Args {
        /// Only variables of this category.
        category: Option<Category>,
        /// LIKE pattern over the name, upper and lower case alike.
        #[schemars(length(min = 1, max = 256))]
        variable_name: Option<String>,
        /// Whose variables; those of this server if absent.
        origin: Option<Side>,
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Variable {
    variable_name: String,
    value: String,
    category: Category,
    /// Target, of a variable of a database server.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_id: Option<String>,
    /// Group of its servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    hostgroup: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Engine.
    db_type: DbType,
    /// Whose variables.
    origin: Side,
    /// The variables, by name.
    variables: Vec<Variable>,
}

impl OpsTool for ShowStatus {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "show_status";
    const TITLE: &'static str = "Status variables";
    const TEXT: &'static str = "Shows status variables with their category: the counters of this server under their habitual names, or with \
        origin = backend those of the database servers.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema)
    }

    fn example() -> (&'static str, Value) {
        ("How the pools are used", json!({"category": "pool_ops"}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let aim = Aim::of(call, args.db_type, args.target_id.as_deref())?;
        let (origin, mut variables) =
            aim.rows::<Variable>(deps, call, StatsFamily::Status, args.origin, Side::Host)?;
        variables.retain(|v| {
            args.category.is_none_or(|category| category == v.category)
                && args.variable_name.as_deref().is_none_or(|pattern| like(pattern, &v.variable_name))
        });
        variables.sort_by(|a, b| (&a.variable_name, &a.target_id).cmp(&(&b.variable_name, &b.target_id)));
        Ok((Output { db_type: aim.db_type(), origin, variables }, aim.frame()))
    }
}
