//! `agent.run_finish`: closes an agent run.

use harvest_catalog::{AgentFinished, AgentStatus};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, agent};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct RunFinish;

/// How an agent run ends.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::memory) enum End {
    Success,
    Failed,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// The agent run.
    #[schemars(range(min = 1))]
    agent_run_id: i64,
    /// How it ended.
    status: End,
    /// What went wrong.
    #[schemars(length(max = 4096))]
    error: Option<String>,
}

impl MemoryTool for RunFinish {
    type Args = Args;
    type Output = AgentFinished;
    const NAME: &'static str = "agent.run_finish";
    const TITLE: &'static str = "Close an agent run";
    const TEXT: &'static str =
        "Closes an agent run and counts what it recorded. Repeating it with the same status succeeds.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE_IDEMPOTENT;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target().run()
    }

    fn example() -> (&'static str, Value) {
        ("Close agent run 7", json!({"agent_run_id": 7, "status": "success"}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(AgentFinished, Frame)> {
        let (_, frame) = agent(deps, call, args.agent_run_id, None, &RunArg::default())?;
        let status = match args.status {
            End::Success => AgentStatus::Success,
            End::Failed => AgentStatus::Failed,
        };
        let done =
            deps.catalog()?.agent_run_finish(args.agent_run_id, status, args.error.as_deref()).for_tool()?;
        Ok((done, frame))
    }
}
