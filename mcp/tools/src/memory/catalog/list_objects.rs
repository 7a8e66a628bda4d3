//! `catalog.list_objects`: objects of a run.

use harvest_catalog::{ListObjectsRequest, ListObjectsResponse, ObjectOrder};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, fit, page_size, paged, target_run};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct ListObjects;

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
    /// Only this schema.
    #[schemars(length(min = 1, max = 256))]
    schema_name: Option<String>,
    /// Only this type: table, view, materialized_view, routine, trigger, event, sequence, type.
    #[schemars(length(min = 1, max = 64))]
    object_type: Option<String>,
    /// The order.
    #[serde(default)]
    order_by: ObjectOrder,
    /// Only objects that no agent has summarised.
    #[serde(default)]
    without_summary: bool,
    /// Objects a page.
    #[serde(default = "page_size")]
    #[schemars(range(min = 1, max = 500))]
    page_size: usize,
    /// Token of the previous answer.
    page_token: Option<String>,
}

impl MemoryTool for ListObjects {
    type Args = Args;
    type Output = ListObjectsResponse;
    const NAME: &'static str = "catalog.list_objects";
    const TITLE: &'static str = "List objects";
    const TEXT: &'static str = "Lists the objects of a run with size, number of columns, keys in both directions, a guessed \
        kind and whether they have a summary. Use it to rank objects before you read them.";
    const TOOLSET: &'static str = "catalog";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.paged().truncated().target().run()
    }

    fn example() -> (&'static str, Value) {
        (
            "Largest tables without a summary",
            json!({"object_type": "table", "order_by": "size_desc", "without_summary": true}),
        )
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(ListObjectsResponse, Frame)> {
        let (target, run, frame) = target_run(call, args.target_id.as_deref(), &args.run_id)?;
        let binding = call.page_binding(&Args { page_size: 0, page_token: None, ..args.clone() });
        let mut request = ListObjectsRequest::new(run.run_id, target.target_id);
        request.offset = call.deps.pages.offset(&binding, args.page_token.as_deref())?;
        request.schema_name = args.schema_name;
        request.object_type = args.object_type;
        request.order_by = args.order_by;
        request.without_summary = args.without_summary;
        request.limit = args.page_size;
        let mut found = deps.catalog()?.list_objects(&request).for_tool()?;
        let next = fit(call, &mut found.results, request.offset, found.next_offset)?;
        let frame = paged(call, frame, &binding, next);
        Ok((found, frame))
    }
}
