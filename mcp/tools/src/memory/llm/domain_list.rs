//! `llm.domain_list`: domains with their members.

use harvest_catalog::{DomainList, DomainListRequest};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, fit, page_size, paged, target_run, yes};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct DomainListTool;

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Run, or a schema that it holds; the latest run if absent.
    #[serde(default)]
    #[schemars(with = "RunArg")]
    run_id: RunArg,
    /// Only of this agent run.
    #[schemars(range(min = 1))]
    agent_run_id: Option<i64>,
    /// Only this domain.
    #[schemars(length(min = 1, max = 64))]
    domain_key: Option<String>,
    /// Members as well.
    #[serde(default = "yes")]
    include_members: bool,
    /// Items a page.
    #[serde(default = "page_size")]
    #[schemars(range(min = 1, max = 500))]
    page_size: usize,
    /// Token of the previous answer.
    page_token: Option<String>,
}

impl MemoryTool for DomainListTool {
    type Args = Args;
    type Output = DomainList;
    const NAME: &'static str = "llm.domain_list";
    const TITLE: &'static str = "List domains";
    const TEXT: &'static str =
        "Lists the business domains that agents recorded of a target, with their members.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.paged().truncated().target().run()
    }

    fn example() -> (&'static str, Value) {
        ("All domains", json!({}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(DomainList, Frame)> {
        let (target, run, frame) = target_run(call, args.target_id.as_deref(), &args.run_id)?;
        let binding = call.page_binding(&Args { page_size: 0, page_token: None, ..args.clone() });
        let mut request = DomainListRequest::new(target.target_id, run.run_id);
        request.offset = call.deps.pages.offset(&binding, args.page_token.as_deref())?;
        request.agent_run_id = args.agent_run_id;
        request.domain_key = args.domain_key;
        request.include_members = args.include_members;
        request.limit = args.page_size;
        let mut list = deps.catalog()?.domain_list(&request).for_tool()?;
        let next = fit(call, &mut list.domains, request.offset, list.next_offset)?;
        let frame = paged(call, frame, &binding, next);
        Ok((list, frame))
    }
}
