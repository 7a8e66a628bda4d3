//! `get_config`: one running variable with its metadata.

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

pub(super) struct GetConfig(pub(super) Arc<AdminSql>);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Name; without a prefix it means mcp-.
    #[schemars(length(min = 1, max = 64))]
    variable_name: String,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    /// Full name.
    variable_name: String,
    /// Running value; *** for a secret that is set.
    value: String,
    /// bool, int, num, str or enum.
    r#type: &'static str,
    /// Value of a fresh installation.
    default: String,
    /// Where the running value came from: default, config_file, disk, memory or runtime.
    layer: &'static str,
    /// Whether the value is never shown.
    secret: bool,
    /// Whether another value restarts the listener.
    restarts_listener: bool,
    /// What it decides.
    description: &'static str,
}

impl QueryTool for GetConfig {
    type Args = Args;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "get_config",
            "Reads one variable of the running configuration with its type, default, origin and meaning. Secrets are \
             masked. For several at once use list_variables.",
            input_schema::<Args>(),
            ToolAnnotations::READ,
        )
        .with_title("Get a variable")
        .with_toolset("variables")
        .with_output(OutputSchema::of::<Output>().build())
        .with_example(ToolExample::new("Which port does the listener use?", json!({"variable_name": "mcp-port"})))
    }

    fn call(&self, _: &CallContext, args: Args) -> ToolResult<ToolOutput> {
        let started = Instant::now();
        let info = self.0.get_variable(&args.variable_name)?;
        let body = Output {
            variable_name: info.variable_name,
            value: info.value,
            r#type: info.type_name,
            default: info.default,
            layer: info.origin.as_str(),
            secret: info.secret,
            restarts_listener: info.restarts_listener,
            description: info.description,
        };
        finish(started, &body)
    }
}
