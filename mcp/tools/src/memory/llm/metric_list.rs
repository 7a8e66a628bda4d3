//! `llm.metric_list`: metrics of a target.

use harvest_catalog::{MetricList, MetricListRequest};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, confidence, fit, page_size, paged, target_run};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct MetricListTool;

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
    /// Only of this domain.
    #[schemars(length(min = 1, max = 64))]
    domain_key: Option<String>,
    /// Only this metric.
    #[schemars(length(min = 1, max = 64))]
    metric_key: Option<String>,
    /// Weaker ones are left out.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    min_confidence: f64,
    /// Items a page.
    #[serde(default = "page_size")]
    #[schemars(range(min = 1, max = 500))]
    page_size: usize,
    /// Token of the previous answer.
    page_token: Option<String>,
}

impl MemoryTool for MetricListTool {
    type Args = Args;
    type Output = MetricList;
    const NAME: &'static str = "llm.metric_list";
    const TITLE: &'static str = "List metrics";
    const TEXT: &'static str = "Lists the metrics that agents recorded of a target, with the objects that they read and whether \
        one has changed.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.paged().truncated().target().run()
    }

    fn example() -> (&'static str, Value) {
        ("Metrics of sales", json!({"domain_key": "sales"}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(MetricList, Frame)> {
        let (target, run, frame) = target_run(call, args.target_id.as_deref(), &args.run_id)?;
        let binding = call.page_binding(&Args { page_size: 0, page_token: None, ..args.clone() });
        let mut request = MetricListRequest::new(target.target_id, run.run_id);
        request.offset = call.deps.pages.offset(&binding, args.page_token.as_deref())?;
        request.agent_run_id = args.agent_run_id;
        request.domain_key = args.domain_key;
        request.metric_key = args.metric_key;
        request.min_confidence = confidence("min_confidence", args.min_confidence)?;
        request.limit = args.page_size;
        let mut list = deps.catalog()?.metric_list(&request).for_tool()?;
        let next = fit(call, &mut list.metrics, request.offset, list.next_offset)?;
        let frame = paged(call, frame, &binding, next);
        Ok((list, frame))
    }
}
