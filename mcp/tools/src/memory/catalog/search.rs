//! `catalog.search`: full-text search over the objects of a run.

use harvest_catalog::{Catalog, SearchRequest, SearchResponse};
use harvest_gateway::ColumnGuard;
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::guard;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, fit, paged, target_run, yes};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct Search;

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Words (all of them, else some of them), "phrases" in double quotes, prefix*. Any spelling of a name works.
    #[schemars(length(min = 1, max = 1024))]
    query: String,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Run, or a schema that it holds; the latest run if absent.
    #[serde(default)]
    #[schemars(with = "RunArg")]
    run_id: RunArg,
    /// Hits a page.
    #[serde(default = "limit")]
    #[schemars(range(min = 1, max = 200))]
    limit: usize,
    /// Only this type: table, view, materialized_view, routine, trigger, event, sequence, type.
    #[schemars(length(min = 1, max = 64))]
    object_type: Option<String>,
    /// Only this schema.
    #[schemars(length(min = 1, max = 256))]
    schema_name: Option<String>,
    /// Whether words inside definitions count.
    #[serde(default = "yes")]
    include_definition_hits: bool,
    /// Stop before the hits take more than about this many tokens.
    #[schemars(range(min = 64, max = 1_000_000))]
    token_budget: Option<usize>,
    /// Token of the previous answer.
    page_token: Option<String>,
}

const fn limit() -> usize {
    25
}

impl MemoryTool for Search {
    type Args = Args;
    type Output = SearchResponse;
    const NAME: &'static str = "catalog.search";
    const TITLE: &'static str = "Search objects";
    const TEXT: &'static str = "Finds tables, views, routines and other objects of a run by words of their names, columns, \
        comments, definitions and the tags that agents gave. Start here when you look for data; read a hit with \
        catalog.get_object.";
    const TOOLSET: &'static str = "catalog";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.paged().truncated().target().run()
    }

    fn example() -> (&'static str, Value) {
        ("Tables about customer orders", json!({"query": "customer orders", "object_type": "table"}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(SearchResponse, Frame)> {
        let (target, run, frame) = target_run(call, args.target_id.as_deref(), &args.run_id)?;
        let binding = call.page_binding(&Args { limit: 0, page_token: None, ..args.clone() });
        let mut request = SearchRequest::new(run.run_id, target.target_id, args.query);
        request.offset = call.deps.pages.offset(&binding, args.page_token.as_deref())?;
        request.limit = args.limit;
        request.object_type = args.object_type;
        request.schema_name = args.schema_name;
        request.include_definition_hits = args.include_definition_hits;
        request.token_budget = args.token_budget;
        let mut found = deps.catalog()?.search(&request).for_tool()?;
        let guard = guard::of(call, Some(&request.target_id))?;
        if !guard.is_empty() {
            hide(&guard, deps.catalog()?, &request, &mut found)?;
        }
        let next = fit(call, &mut found.results, request.offset, found.next_offset)?;
        let frame = paged(call, frame, &binding, next);
        Ok((found, frame))
    }
}

/// Takes back hits that only hidden columns, or texts that name guarded ones, explain.
fn hide(
    guard: &ColumnGuard,
    catalog: &Catalog,
    request: &SearchRequest,
    found: &mut SearchResponse,
) -> ToolResult<()> {
    let words: Vec<String> = request
        .query
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let mut kept = Vec::with_capacity(found.results.len());
    for mut hit in found.results.drain(..) {
        let has_columns = matches!(hit.object_type.as_str(), "table" | "view" | "materialized_view");
        if has_columns {
            let meta = catalog.object_meta(request.run_id, &hit.schema_name, &hit.object_name).for_tool()?;
            let (hidden, shown): (Vec<_>, Vec<_>) = meta
                .columns
                .iter()
                .partition(|column| guard.hides(&hit.schema_name, &hit.object_name, &column.name));
            let says = |column: &&harvest::ColumnMeta| {
                let text = format!("{} {}", column.name, column.comment).to_lowercase();
                words.iter().any(|word| text.contains(word.as_str()))
            };
            if !hidden.is_empty() && !shown.iter().any(says) {
                hit.matched_in.retain(|place| place != "columns");
            }
            if meta.definition.as_ref().is_some_and(|text| guard.text_names(text)) {
                hit.matched_in.retain(|place| place != "definition");
            }
        }
        if !hit.matched_in.is_empty() {
            kept.push(hit);
        }
    }
    found.results = kept;
    Ok(())
}
