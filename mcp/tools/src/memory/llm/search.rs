//! `llm.search`: search over what agents recorded.

use harvest_catalog::{LlmSearchRequest, LlmSearchResponse, RecordKind, SearchLogRow};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, confidence, fit, paged, target_run, yes};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct SearchTool;

const fn limit() -> usize {
    25
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Words; empty lists everything, newest and best first.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    query: String,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Run, or a schema that it holds; the latest run if absent.
    #[serde(default)]
    #[schemars(with = "RunArg")]
    run_id: RunArg,
    /// Records of other runs too.
    #[serde(default = "yes")]
    across_runs: bool,
    /// Only these kinds; all if absent.
    #[serde(default)]
    #[schemars(length(max = 6), extend("x-csv" = true))]
    kinds: Vec<RecordKind>,
    /// Weaker ones are left out.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    min_confidence: f64,
    /// Records whose objects have changed too.
    #[serde(default = "yes")]
    include_stale: bool,
    /// The full documents of related objects as well, at most 20.
    #[serde(default)]
    include_objects: bool,
    /// Hits a page.
    #[serde(default = "limit")]
    #[schemars(range(min = 1, max = 200))]
    limit: usize,
    /// Token of the previous answer.
    page_token: Option<String>,
}

impl MemoryTool for SearchTool {
    type Args = Args;
    type Output = LlmSearchResponse;
    const NAME: &'static str = "llm.search";
    const TITLE: &'static str = "Search agents' memory";
    const TEXT: &'static str = "Finds what agents recorded of a target: summaries, relationships, domains, metrics, notes, and \
        question templates with the SQL that answered them. Ask with the user's own words and \
        include_objects first: a hit with reuse may be run as it is, after filling its parameters.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.paged().truncated().target().run()
    }

    fn example() -> (&'static str, Value) {
        (
            "Has this been asked before?",
            json!({"query": "how many orders did a customer place", "include_objects": true}),
        )
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(LlmSearchResponse, Frame)> {
        let (target, run, frame) = target_run(call, args.target_id.as_deref(), &args.run_id)?;
        let binding = call.page_binding(&Args { limit: 0, page_token: None, ..args.clone() });
        let mut request = LlmSearchRequest::new(target.target_id, run.run_id, args.query);
        request.offset = call.deps.pages.offset(&binding, args.page_token.as_deref())?;
        request.across_runs = args.across_runs;
        request.kinds = args.kinds;
        request.min_confidence = confidence("min_confidence", args.min_confidence)?;
        request.include_stale = args.include_stale;
        request.include_objects = args.include_objects;
        request.reuse_score = deps.settings().template_reuse_score;
        request.limit = args.limit;
        let mut found = deps.catalog()?.llm_search(&request).for_tool()?;
        if let Some(logs) = &deps.logs {
            logs.search(SearchLogRow {
                target_id: request.target_id.clone(),
                run_id: Some(request.run_id),
                caller: call.cx.caller.token_name.clone(),
                query: request.query.clone(),
                limit: i64::try_from(request.limit).unwrap_or(i64::MAX),
                results: i64::try_from(found.results.len()).unwrap_or(i64::MAX),
                best_score: found.results.first().map(|hit| hit.score),
            });
        }
        let next = fit(call, &mut found.results, request.offset, found.next_offset)?;
        let frame = paged(call, frame, &binding, next);
        Ok((found, frame))
    }
}
