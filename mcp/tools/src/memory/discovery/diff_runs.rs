//! `discovery.diff_runs`: schema differences between two runs of a target.

use harvest_catalog::{DiffRequest, DiffResponse};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, page_size, paged};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct DiffRuns;

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// The earlier run, or a schema that it holds.
    from_run_id: RunArg,
    /// The later run, or a schema that it holds.
    to_run_id: RunArg,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Only this schema.
    #[schemars(length(min = 1, max = 256))]
    schema: Option<String>,
    /// Only this type of object.
    #[schemars(length(min = 1, max = 64))]
    object_type: Option<String>,
    /// Row and size estimates count as differences.
    #[serde(default)]
    include_estimates: bool,
    /// Differences a page, over all lists.
    #[serde(default = "page_size")]
    #[schemars(range(min = 1, max = 500))]
    page_size: usize,
    /// Token of the previous answer.
    page_token: Option<String>,
}

impl MemoryTool for DiffRuns {
    type Args = Args;
    type Output = DiffResponse;
    const NAME: &'static str = "discovery.diff_runs";
    const TITLE: &'static str = "Compare two runs";
    const TEXT: &'static str = "Compares two runs of a target: objects added, removed and changed, each change by its path \
        such as columns.email.column_type. Use it to find what an agent must look at again.";
    const TOOLSET: &'static str = "discovery";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.paged().truncated().target()
    }

    fn example() -> (&'static str, Value) {
        ("What changed between runs 3 and 4", json!({"from_run_id": 3, "to_run_id": 4}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(DiffResponse, Frame)> {
        let (target, from) = call.run(args.target_id.as_deref(), &args.from_run_id.0)?;
        let (_, to) = call.run(args.target_id.as_deref(), &args.to_run_id.0)?;
        let binding = call.page_binding(&Args { page_size: 0, page_token: None, ..args.clone() });
        let mut request = DiffRequest::new(from.run_id, to.run_id);
        request.offset = call.deps.pages.offset(&binding, args.page_token.as_deref())?;
        request.schema = args.schema;
        request.object_type = args.object_type;
        request.include_estimates = args.include_estimates;
        request.limit = args.page_size;
        let diff = deps.catalog()?.diff_runs(&request).for_tool()?;
        let frame = Frame::target(target.target_id, target.protocol);
        let frame = paged(call, frame, &binding, diff.next_offset);
        Ok((diff, frame))
    }
}
