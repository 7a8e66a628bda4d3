//! `catalog_get`: reads a document.

use harvest_catalog::KvGot;
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::place;
use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct Get;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Any word: table, view, column, relationship, pattern, domain, metric, note, insight, ….
    #[schemars(length(min = 1, max = 64))]
    kind: String,
    /// Unique within target, schema and kind.
    #[schemars(length(min = 1, max = 256))]
    key: String,
    /// Schema; empty is global.
    #[serde(default)]
    #[schemars(length(max = 256))]
    schema: String,
    /// Target; empty is independent of a target.
    #[serde(default)]
    #[schemars(length(max = 64))]
    target_id: String,
}

impl MemoryTool for Get {
    type Args = Args;
    type Output = KvGot;
    const NAME: &'static str = "catalog_get";
    const TITLE: &'static str = "Read a document";
    const TEXT: &'static str = "Reads one document by target, schema, kind and key.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema
    }

    fn example() -> (&'static str, Value) {
        ("Read a pattern", json!({"kind": "pattern", "key": "soft_delete"}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(KvGot, Frame)> {
        let at = place(deps, call, args.target_id, args.schema, args.kind, args.key)?;
        Ok((deps.catalog()?.kv_get(&at).for_tool()?, Frame::new()))
    }
}
