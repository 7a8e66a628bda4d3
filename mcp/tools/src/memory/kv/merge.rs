//! `catalog_merge`: merges documents into one.

use harvest_catalog::{KvMerge, KvMerged};
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

pub(in crate::memory) struct Merge;

fn domain() -> String {
    "domain".to_owned()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Keys of the sources, in the order of merging; also accepted as comma-separated text.
    #[schemars(length(min = 1, max = 100), extend("x-csv" = true))]
    keys: Vec<String>,
    /// Key of the result.
    #[schemars(length(min = 1, max = 256))]
    target_key: String,
    /// Kind of the result.
    #[serde(default = "domain")]
    #[schemars(length(min = 1, max = 64))]
    kind: String,
    /// Kind of the sources; any if absent.
    #[schemars(length(min = 1, max = 64))]
    source_kind: Option<String>,
    /// Schema; empty is global.
    #[serde(default)]
    #[schemars(length(max = 256))]
    schema: String,
    /// Target; empty is independent of a target.
    #[serde(default)]
    #[schemars(length(max = 64))]
    target_id: String,
    /// Why; kept in the merge log.
    #[schemars(length(max = 4096))]
    instructions: Option<String>,
    /// Delete the sources instead of linking them to the result.
    #[serde(default)]
    delete_sources: bool,
}

impl MemoryTool for Merge {
    type Args = Args;
    type Output = KvMerged;
    const NAME: &'static str = "catalog_merge";
    const TITLE: &'static str = "Merge documents";
    const TEXT: &'static str = "Merges documents into one: objects by key, arrays united, of two scalars the later wins and the \
        other is kept under _conflicts. If a key is unknown nothing is changed.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema
    }

    fn example() -> (&'static str, Value) {
        (
            "Two domains become one",
            json!({"keys": ["orders", "invoices"], "target_key": "sales", "source_kind": "domain"}),
        )
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(KvMerged, Frame)> {
        let target = place(deps, call, args.target_id, args.schema, args.kind, args.target_key)?;
        let request = KvMerge {
            keys: args.keys,
            target,
            source_kind: args.source_kind,
            instructions: args.instructions,
            delete_sources: args.delete_sources,
            caller: call.cx.caller.token_name.clone(),
        };
        Ok((deps.catalog()?.kv_merge(&request).for_tool()?, Frame::new()))
    }
}
