//! `catalog_clear`: deletes all documents of a scope.

use harvest_catalog::KvDeleted;
use mcp::ToolError;
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::filter;
use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::confirmed;
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct Clear;

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
    /// Must be true.
    confirm: bool,
}

impl MemoryTool for Clear {
    type Args = Args;
    type Output = KvDeleted;
    const NAME: &'static str = "catalog_clear";
    const TITLE: &'static str = "Delete documents";
    const TEXT: &'static str =
        "Deletes every document of a schema, a kind or a target; at least one of them must be given.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::DESTRUCTIVE_IDEMPOTENT;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema
    }

    fn example() -> (&'static str, Value) {
        ("Forget all notes", json!({"kind": "note", "confirm": true}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(KvDeleted, Frame)> {
        confirmed(args.confirm)?;
        if args.schema.is_none() && args.kind.is_none() && args.target_id.is_none() {
            return Err(ToolError::invalid("at least one of schema, kind and target_id must be given")
                .with("argument", "schema")
                .with("expected", "schema, kind or target_id"));
        }
        let filter = filter(deps, call, args.target_id, args.schema, args.kind)?;
        Ok((deps.catalog()?.kv_clear(&filter).for_tool()?, Frame::new()))
    }
}
