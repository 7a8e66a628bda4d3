//! `discovery.list_runs`: runs of a target, newest first.

use harvest_catalog::RunList;
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{fit, page_size, paged};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct ListRuns;

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Only runs that hold this schema.
    #[schemars(length(min = 1, max = 256))]
    schema: Option<String>,
    /// The latest 50 attempts as well, failed and running ones too.
    #[serde(default)]
    include_attempts: bool,
    /// Runs a page.
    #[serde(default = "page_size")]
    #[schemars(range(min = 1, max = 500))]
    page_size: usize,
    /// Token of the previous answer.
    page_token: Option<String>,
}

impl MemoryTool for ListRuns {
    type Args = Args;
    type Output = RunList;
    const NAME: &'static str = "discovery.list_runs";
    const TITLE: &'static str = "List discovery runs";
    const TEXT: &'static str = "Lists the discovery runs of a target, newest first, with their schemas, numbers of objects \
        and the agent runs on them; on request the attempts with stage and error.";
    const TOOLSET: &'static str = "discovery";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.paged().truncated().target()
    }

    fn example() -> (&'static str, Value) {
        ("Runs and attempts", json!({"include_attempts": true}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(RunList, Frame)> {
        let target = deps.tools.gateway.known_target(args.target_id.as_deref(), &call.scope).for_tool()?;
        let binding = call.page_binding(&Args { page_size: 0, page_token: None, ..args.clone() });
        let offset = call.deps.pages.offset(&binding, args.page_token.as_deref())?;
        let mut list = deps
            .catalog()?
            .list_runs(
                &target.target_id,
                args.schema.as_deref(),
                args.include_attempts,
                args.page_size,
                offset,
            )
            .for_tool()?;
        let next = fit(call, &mut list.runs, offset, list.next_offset)?;
        let frame = paged(call, Frame::target(target.target_id, target.protocol), &binding, next);
        Ok((list, frame))
    }
}
