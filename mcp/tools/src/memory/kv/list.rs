//! `catalog_list`: documents by schema, kind, key.

use harvest_catalog::KvList;
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::filter;
use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{fit, page_size};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct List;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Only of this schema.
    #[schemars(length(max = 256))]
    schema: Option<String>,
    /// Only of this kind.
    #[schemars(length(min = 1, max = 64))]
    kind: Option<String>,
    /// Only of this target; empty means independent of a target.
    #[schemars(length(max = 64))]
    target_id: Option<String>,
    /// Most entries.
    #[serde(default = "page_size")]
    #[schemars(range(min = 1, max = 500))]
    limit: usize,
    /// Entries left out at the start.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100_000))]
    offset: usize,
}

impl MemoryTool for List {
    type Args = Args;
    type Output = KvList;
    const NAME: &'static str = "catalog_list";
    const TITLE: &'static str = "List documents";
    const TEXT: &'static str = "Lists documents, ordered by schema, kind and key.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.truncated()
    }

    fn example() -> (&'static str, Value) {
        ("All patterns", json!({"kind": "pattern"}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(KvList, Frame)> {
        let filter = filter(deps, call, args.target_id, args.schema, args.kind)?;
        let mut list = deps.catalog()?.kv_list(&filter, args.limit, args.offset).for_tool()?;
        fit(call, &mut list.results, 0, None)?;
        let end = (args.offset + list.results.len()) as u64;
        let frame = Frame::new().truncated(!list.results.is_empty() && end < list.total);
        Ok((list, frame))
    }
}
