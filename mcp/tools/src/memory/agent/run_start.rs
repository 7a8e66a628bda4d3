//! `agent.run_start`: opens an agent run on a discovery run.

use harvest_catalog::AgentStarted;
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, target_run};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct RunStart;

/// What the agent means to spend; stored, not enforced.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Budget {
    /// Tool calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    max_tool_calls: Option<u64>,
    /// Tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    max_tokens: Option<u64>,
    /// Minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    max_minutes: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// The model that works.
    #[schemars(length(min = 1, max = 128))]
    model_name: String,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Run, or a schema that it holds; the latest run if absent.
    #[serde(default)]
    #[schemars(with = "RunArg")]
    run_id: RunArg,
    /// Hash of the prompt that it works by.
    #[schemars(length(max = 128))]
    prompt_hash: Option<String>,
    /// What it means to spend; stored, not enforced.
    budget: Option<Budget>,
}

impl MemoryTool for RunStart {
    type Args = Args;
    type Output = AgentStarted;
    const NAME: &'static str = "agent.run_start";
    const TITLE: &'static str = "Open an agent run";
    const TEXT: &'static str = "Opens an agent run on a discovery run. Everything that the agent records names it; close it \
        with agent.run_finish.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target().run()
    }

    fn example() -> (&'static str, Value) {
        ("Open a run", json!({"model_name": "my-model", "budget": {"max_tool_calls": 500}}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(AgentStarted, Frame)> {
        let (target, run, frame) = target_run(call, args.target_id.as_deref(), &args.run_id)?;
        let budget: Option<Map<String, Value>> =
            args.budget.and_then(|b| serde_json::to_value(b).ok()).and_then(|v| v.as_object().cloned());
        let started = deps
            .catalog()?
            .agent_run_start(
                &target.target_id,
                run.run_id,
                &args.model_name,
                args.prompt_hash.as_deref(),
                budget.as_ref(),
                &call.cx.caller.token_name,
            )
            .for_tool()?;
        Ok((started, frame))
    }
}
