//! `list_variables`: running variables by name.

use std::sync::Arc;
use std::time::Instant;

use mcp::{CallContext, ToolAnnotations, ToolExample, ToolOutput, ToolResult, ToolSpec};
use mcp_config::AdminSql;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::shared::finish;
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::QueryTool;

pub(super) struct ListVariables(pub(super) Arc<AdminSql>);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// A LIKE pattern if it holds %, else a part of the name; in any case.
    #[serde(default)]
    #[schemars(length(max = 64))]
    filter: String,
}

#[derive(Serialize, JsonSchema)]
struct Variable {
    /// Full name.
    name: String,
    /// Running value; *** for a secret that is set.
    value: String,
    /// bool, int, num, str or enum.
    r#type: &'static str,
    /// Value of a fresh installation.
    default: String,
    /// Whether the value is never shown.
    secret: bool,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    /// The variables, by name.
    variables: Vec<Variable>,
    /// How many.
    count: usize,
}

impl QueryTool for ListVariables {
    type Args = Args;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "list_variables",
            "Lists variables of the running configuration by name pattern. Secrets are masked. get_config tells more \
             about one of them.",
            input_schema::<Args>(),
            ToolAnnotations::READ,
        )
        .with_title("List variables")
        .with_toolset("variables")
        .with_output(OutputSchema::of::<Output>().build())
        .with_example(ToolExample::new("How are connection pools bounded?", json!({"filter": "mcp-pool%"})))
    }

    fn call(&self, _: &CallContext, args: Args) -> ToolResult<ToolOutput> {
        let started = Instant::now();
        let found = self.0.list_variables(&args.filter);
        let variables: Vec<Variable> = found
            .into_iter()
            .map(|info| Variable {
                name: info.variable_name,
                value: info.value,
                r#type: info.type_name,
                default: info.default,
                secret: info.secret,
            })
            .collect();
        finish(started, &Output { count: variables.len(), variables })
    }
}
