//! `fts_reindex`: rebuilds a data index beside the old one.

use harvest_catalog::DataIndexed;
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Ready;
use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct Reindex;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Schema.
    #[schemars(length(min = 1, max = 256))]
    schema: String,
    /// Table or view.
    #[schemars(length(min = 1, max = 256))]
    table: String,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

impl MemoryTool for Reindex {
    type Args = Args;
    type Output = DataIndexed;
    const NAME: &'static str = "fts_reindex";
    const TITLE: &'static str = "Rebuild an index";
    const TEXT: &'static str = "Rebuilds a data index from the present rows beside the old one and swaps; on failure the old \
        one stays in service.";
    const TOOLSET: &'static str = "fts";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE_IDEMPOTENT;
    const IS_DATA_TOOL: bool = true;
    const IS_LONG: bool = true;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target()
    }

    fn example() -> (&'static str, Value) {
        ("Refresh the index of products", json!({"schema": "main", "table": "products"}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(DataIndexed, Frame)> {
        let ready = Ready::new(deps, call, args.target_id.as_deref())?;
        let data = deps.data()?;
        let spec = data.spec(&ready.target.target_id, &args.schema, &args.table).for_tool()?;
        ready.check_columns(call, &spec)?;
        let mut rows = ready.rows(call, spec.where_clause.as_deref())?;
        let made =
            data.reindex(&spec.target_id, &args.schema, &args.table, &ready.limits, &mut rows).for_tool()?;
        Ok((made, ready.frame()))
    }
}
