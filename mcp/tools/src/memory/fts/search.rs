//! `fts_search`: search over data indexes.

use harvest_catalog::{DataSearchRequest, DataSearchResponse};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::guard;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::fit;
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct Search;

const fn limit() -> usize {
    100
}

const fn tokens() -> u32 {
    30
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Words (all of them, else some of them), "phrases" in double quotes, prefix*, AND, OR and NOT in capitals.
    #[schemars(length(min = 1, max = 1024))]
    query: String,
    /// Only indexes of this schema.
    #[schemars(length(min = 1, max = 256))]
    schema: Option<String>,
    /// Only the index of this table.
    #[schemars(length(min = 1, max = 256))]
    table: Option<String>,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Most hits.
    #[serde(default = "limit")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
    /// Hits left out at the start.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100_000))]
    offset: usize,
    /// Tokens of a snippet.
    #[serde(default = "tokens")]
    #[schemars(range(min = 8, max = 64))]
    snippet_tokens: u32,
}

impl MemoryTool for Search {
    type Args = Args;
    type Output = DataSearchResponse;
    const NAME: &'static str = "fts_search";
    const TITLE: &'static str = "Search data";
    const TEXT: &'static str = "Finds rows by words in one globally ranked result over all data indexes of a target, with key, \
        snippet and the indexed columns.";
    const TOOLSET: &'static str = "fts";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.truncated().target()
    }

    fn example() -> (&'static str, Value) {
        ("Rows about red shoes", json!({"query": "red shoe*", "table": "products"}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(DataSearchResponse, Frame)> {
        let target = deps.tools.gateway.known_target(args.target_id.as_deref(), &call.scope).for_tool()?;
        let mut request = DataSearchRequest::new(target.target_id.as_str(), args.query);
        request.schema = args.schema;
        request.table = args.table;
        request.limit = args.limit;
        request.offset = args.offset;
        request.snippet_tokens = args.snippet_tokens;
        check(call, deps, &target.target_id, &request)?;
        let mut found = deps.data()?.search(&request).for_tool()?;
        fit(call, &mut found.results, 0, None)?;
        let end = (request.offset + found.results.len()) as u64;
        let frame = Frame::target(target.target_id, target.protocol);
        let frame = frame.truncated(!found.results.is_empty() && end < found.total_matches);
        Ok((found, frame))
    }
}

/// Refuses a search that would look into guarded columns: an index holds what its maker saw, not what this caller may see.
fn check(
    call: &Call<'_>,
    deps: &CatalogDeps,
    target_id: &str,
    request: &DataSearchRequest,
) -> ToolResult<()> {
    let guard = guard::of(call, Some(target_id))?;
    if guard.is_empty() {
        return Ok(());
    }
    let wanted = |name: &Option<String>, is: &str| name.as_deref().is_none_or(|name| name == is);
    for index in deps.data()?.list(request.targets.as_deref()).for_tool()?.indexes {
        let columns = index.columns.iter().chain(&index.primary_key);
        let mut guarded = columns.filter(|c| guard.action(&index.schema, &index.table, c).is_some());
        let asked = wanted(&request.schema, &index.schema) && wanted(&request.table, &index.table);
        let by_filter = index
            .where_clause
            .as_ref()
            .is_some_and(|t| guard.expression_names(&index.schema, &index.table, t));
        if asked && (guarded.next().is_some() || by_filter) {
            let what = format!("the index of {}.{} holds guarded columns", index.schema, index.table);
            return Err(guard::refusal(&what, "search other tables by naming schema and table"));
        }
    }
    Ok(())
}
