//! `catalog_search`: full-text search over documents.

use harvest_catalog::{KvSearchRequest, KvSearchResponse};
use mcp::{ToolAnnotations, ToolError, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::filter;
use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::fit;
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct Search;

const fn limit() -> usize {
    20
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Words (all of them, else some of them), "phrases" in double quotes, prefix*.
    #[schemars(length(min = 1, max = 1024))]
    query: String,
    /// Only of this schema.
    #[schemars(length(max = 256))]
    schema: Option<String>,
    /// Only of this kind.
    #[schemars(length(min = 1, max = 64))]
    kind: Option<String>,
    /// All must be present, as whole tags; also accepted as comma-separated text.
    #[serde(default)]
    #[schemars(length(max = 100), extend("x-csv" = true))]
    tags: Vec<String>,
    /// Only of this target; empty means independent of a target.
    #[schemars(length(max = 64))]
    target_id: Option<String>,
    /// Most hits.
    #[serde(default = "limit")]
    #[schemars(range(min = 1, max = 200))]
    limit: usize,
    /// Hits left out at the start.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100_000))]
    offset: usize,
}

impl MemoryTool for Search {
    type Args = Args;
    type Output = KvSearchResponse;
    const NAME: &'static str = "catalog_search";
    const TITLE: &'static str = "Search documents";
    const TEXT: &'static str = "Finds documents by words, tags, schema and kind. To search tables and other objects of a run \
        use catalog.search.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn precheck(arguments: &Map<String, Value>) -> ToolResult<()> {
        match ["run_id", "object_type", "schema_name"].into_iter().find(|name| arguments.contains_key(*name)) {
            Some(name) => Err(ToolError::invalid(format!(
                "catalog_search looks for documents and has no {name}: objects of a run are found by catalog.search"
            ))
            .with("argument", name)
            .with("did_you_mean", "catalog__search")),
            None => Ok(()),
        }
    }

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.truncated()
    }

    fn example() -> (&'static str, Value) {
        ("Documents about deletion", json!({"query": "delete*", "kind": "pattern"}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(KvSearchResponse, Frame)> {
        let request = KvSearchRequest {
            query: args.query,
            filter: filter(deps, call, args.target_id, args.schema, args.kind)?,
            tags: args.tags,
            limit: args.limit,
            offset: args.offset,
        };
        let mut found = deps.catalog()?.kv_search(&request).for_tool()?;
        fit(call, &mut found.results, 0, None)?;
        let end = (request.offset + found.results.len()) as u64;
        let frame = Frame::new().truncated(!found.results.is_empty() && end < found.total);
        Ok((found, frame))
    }
}
