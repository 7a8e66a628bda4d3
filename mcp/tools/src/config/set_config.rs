//! `set_config`: one variable at once in the runtime layer, and further down if asked for.

use std::sync::Arc;
use std::time::Instant;

use mcp::{CallContext, ToolAnnotations, ToolError, ToolExample, ToolOutput, ToolResult, ToolSpec};
use mcp_config::{AdminSql, Persist};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{finish, session};
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::QueryTool;

pub(super) struct SetConfig(pub(super) Arc<AdminSql>);

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Depth {
    #[default]
    Runtime,
    Memory,
    Disk,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Name; without a prefix it means mcp-.
    #[schemars(length(min = 1, max = 64))]
    variable_name: String,
    /// New value: text, number or boolean.
    #[schemars(extend("type" = ["string", "number", "boolean"]))]
    value: Value,
    /// How far the change reaches; each layer includes those before it.
    #[serde(default)]
    persist: Depth,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    /// Full name.
    variable_name: String,
    /// Value that runs now, in its normal form.
    value: String,
    /// Value that ran before.
    previous_value: String,
    /// Layers that hold the value now.
    layers: Vec<&'static str>,
    /// unchanged, restart_scheduled, started or stop_scheduled.
    listener: &'static str,
}

impl QueryTool for SetConfig {
    type Args = Args;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "set_config",
            "Sets one variable of the running configuration at once, after checking it. A listener that has to move does \
             so after this answer; running calls finish. Secret variables are refused here. With persist disk the value \
             survives a restart.",
            input_schema::<Args>(),
            ToolAnnotations::WRITE_IDEMPOTENT,
        )
        .with_title("Set a variable")
        .with_toolset("variables")
        .with_output(OutputSchema::of::<Output>().build())
        .with_example(ToolExample::new(
            "Allow calls of one minute, also after a restart.",
            json!({"variable_name": "mcp-timeout_ms", "value": 60000, "persist": "disk"}),
        ))
    }

    fn call(&self, cx: &CallContext, args: Args) -> ToolResult<ToolOutput> {
        let started = Instant::now();
        let value = match &args.value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => args.value.to_string(),
            _ => {
                return Err(ToolError::invalid("value is text, a number or a boolean")
                    .with("argument", "value")
                    .with("expected", "str|int|num|bool"));
            }
        };
        let persist = match args.persist {
            Depth::Runtime => Persist::Runtime,
            Depth::Memory => Persist::Memory,
            Depth::Disk => Persist::Disk,
        };
        let report = self.0.set_variable(&session(cx), &args.variable_name, &value, persist)?;
        let body = Output {
            variable_name: report.variable_name,
            value: report.value,
            previous_value: report.previous_value,
            layers: report.layers,
            listener: report.listener.as_str(),
        };
        finish(started, &body)
    }
}
