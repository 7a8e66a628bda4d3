//! `fts_delete_index`: removes a data index.

use harvest_catalog::DataIndexDeleted;
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct DeleteIndex;

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

impl MemoryTool for DeleteIndex {
    type Args = Args;
    type Output = DataIndexDeleted;
    const NAME: &'static str = "fts_delete_index";
    const TITLE: &'static str = "Delete a data index";
    const TEXT: &'static str = "Removes a data index; the table itself is untouched.";
    const TOOLSET: &'static str = "fts";
    const HINTS: ToolAnnotations = ToolAnnotations::DESTRUCTIVE_IDEMPOTENT;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target()
    }

    fn example() -> (&'static str, Value) {
        ("Remove the index of products", json!({"schema": "main", "table": "products"}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(DataIndexDeleted, Frame)> {
        let target = deps.tools.gateway.known_target(args.target_id.as_deref(), &call.scope).for_tool()?;
        let gone = deps.data()?.delete(&target.target_id, &args.schema, &args.table).for_tool()?;
        Ok((gone, Frame::target(target.target_id, target.protocol)))
    }
}
