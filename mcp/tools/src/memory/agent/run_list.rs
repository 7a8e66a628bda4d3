//! `agent.run_list`: agent runs, and the events of one.

use harvest_catalog::{AgentList, AgentListRequest, AgentStatus, EventType, RunRef};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, fit, page_size, paged};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct RunList;

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Only on this run (or the latest that holds this schema); all runs if absent.
    #[serde(default)]
    #[schemars(with = "RunArg")]
    run_id: RunArg,
    /// Only this agent run.
    #[schemars(range(min = 1))]
    agent_run_id: Option<i64>,
    /// Only in this state.
    status: Option<AgentStatus>,
    /// The latest 500 events as well; needs agent_run_id.
    #[serde(default)]
    include_events: bool,
    /// Only events of this kind.
    event_type: Option<EventType>,
    /// Agent runs a page.
    #[serde(default = "page_size")]
    #[schemars(range(min = 1, max = 500))]
    page_size: usize,
    /// Token of the previous answer.
    page_token: Option<String>,
}

impl MemoryTool for RunList {
    type Args = Args;
    type Output = AgentList;
    const NAME: &'static str = "agent.run_list";
    const TITLE: &'static str = "List agent runs";
    const TEXT: &'static str = "Lists the agent runs of a target, newest first, with what they recorded, and on request the \
        events of one.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.paged().truncated().target().run()
    }

    fn example() -> (&'static str, Value) {
        (
            "Decisions of agent run 7",
            json!({"agent_run_id": 7, "include_events": true, "event_type": "decision"}),
        )
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(AgentList, Frame)> {
        let target = deps.tools.gateway.known_target(args.target_id.as_deref(), &call.scope).for_tool()?;
        let binding = call.page_binding(&Args { page_size: 0, page_token: None, ..args.clone() });
        let mut request = AgentListRequest::new(target.target_id.as_str());
        request.offset = call.deps.pages.offset(&binding, args.page_token.as_deref())?;
        if args.run_id.0 != RunRef::Latest {
            let run = deps.catalog()?.resolve_run(&target.target_id, &args.run_id.0).for_tool()?;
            request.run_id = Some(run.run_id);
        }
        request.agent_run_id = args.agent_run_id;
        request.status = args.status;
        request.include_events = args.include_events;
        request.event_type = args.event_type;
        request.limit = args.page_size;
        let mut list = deps.catalog()?.agent_run_list(&request).for_tool()?;
        let next = fit(call, &mut list.agent_runs, request.offset, list.next_offset)?;
        let frame = Frame::target(target.target_id, target.protocol).run(request.run_id);
        let frame = paged(call, frame, &binding, next);
        Ok((list, frame))
    }
}
