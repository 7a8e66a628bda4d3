//! `catalog_upsert`: writes a document.

use harvest_catalog::KvUpserted;
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

pub(in crate::memory) struct Upsert;

/// An object or an array.
#[derive(JsonSchema)]
#[schemars(extend("type" = ["object", "array"]))]
struct Document {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Any word: table, view, column, relationship, pattern, domain, metric, note, insight, ….
    #[schemars(length(min = 1, max = 64))]
    kind: String,
    /// Unique within target, schema and kind.
    #[schemars(length(min = 1, max = 256))]
    key: String,
    /// A JSON object or array, at most 256 KiB.
    #[schemars(with = "Document")]
    document: Value,
    /// Schema; empty is global.
    #[serde(default)]
    #[schemars(length(max = 256))]
    schema: String,
    /// Target; empty is independent of a target.
    #[serde(default)]
    #[schemars(length(max = 64))]
    target_id: String,
    /// Tags; also accepted as comma-separated text.
    #[serde(default)]
    #[schemars(length(max = 100), extend("x-csv" = true))]
    tags: Vec<String>,
    /// Links to other entries; also accepted as comma-separated text.
    #[serde(default)]
    #[schemars(length(max = 100), extend("x-csv" = true))]
    links: Vec<String>,
}

impl MemoryTool for Upsert {
    type Args = Args;
    type Output = KvUpserted;
    const NAME: &'static str = "catalog_upsert";
    const TITLE: &'static str = "Write a document";
    const TEXT: &'static str = "Creates or replaces a free JSON document under target, schema, kind and key.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE_IDEMPOTENT;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema
    }

    fn example() -> (&'static str, Value) {
        (
            "Remember a pattern",
            json!({"kind": "pattern", "key": "soft_delete", "document": {"columns": ["deleted_at"]}, "tags": ["convention"]}),
        )
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(KvUpserted, Frame)> {
        let at = place(deps, call, args.target_id, args.schema, args.kind, args.key)?;
        Ok((
            deps.catalog()?.kv_upsert(&at, &args.document, &args.tags, &args.links).for_tool()?,
            Frame::new(),
        ))
    }
}
