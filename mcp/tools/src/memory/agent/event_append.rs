//! `agent.event_append`: appends an event to an agent run.

use harvest_catalog::{EventAppended, EventType};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, agent};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct EventAppend;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// The agent run; it must be running.
    #[schemars(range(min = 1))]
    agent_run_id: i64,
    /// The kind of event.
    event_type: EventType,
    /// What happened, at most 64 KiB as JSON.
    payload: Map<String, Value>,
}

impl MemoryTool for EventAppend {
    type Args = Args;
    type Output = EventAppended;
    const NAME: &'static str = "agent.event_append";
    const TITLE: &'static str = "Append an event";
    const TEXT: &'static str = "Appends an event to a running agent run: a tool call, its result, a note or a decision. The \
        events are the agent's scratchpad.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target().run()
    }

    fn example() -> (&'static str, Value) {
        (
            "Record a decision",
            json!({"agent_run_id": 7, "event_type": "decision", "payload": {"top": ["main.orders"]}}),
        )
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(EventAppended, Frame)> {
        let (_, frame) = agent(deps, call, args.agent_run_id, None, &RunArg::default())?;
        let event = deps
            .catalog()?
            .agent_event_append(args.agent_run_id, args.event_type, &args.payload)
            .for_tool()?;
        Ok((event, frame))
    }
}
