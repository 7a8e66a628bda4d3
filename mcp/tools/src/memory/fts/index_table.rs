//! `fts_index_table`: creates and fills a data index.

use harvest_catalog::{DataIndexSpec, DataIndexed};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Ready;
use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::OneOrMany;
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct IndexTable;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Schema.
    #[schemars(length(min = 1, max = 256))]
    schema: String,
    /// Table or view.
    #[schemars(length(min = 1, max = 256))]
    table: String,
    /// Columns with text; also accepted as comma-separated text.
    #[schemars(length(min = 1, max = 32), extend("x-csv" = true))]
    columns: Vec<String>,
    /// Column or columns that tell rows apart.
    primary_key: OneOrMany,
    /// Only rows for which this boolean expression of the target's dialect holds.
    #[schemars(length(min = 1, max = 4096))]
    where_clause: Option<String>,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

impl MemoryTool for IndexTable {
    type Args = Args;
    type Output = DataIndexed;
    const NAME: &'static str = "fts_index_table";
    const TITLE: &'static str = "Index table data";
    const TEXT: &'static str = "Copies chosen columns of a table into a full-text index beside the database, in batches through \
        the SQL pipeline. Search it with fts_search; refresh it with fts_reindex.";
    const TOOLSET: &'static str = "fts";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE;
    const IS_DATA_TOOL: bool = true;
    const IS_LONG: bool = true;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target()
    }

    fn example() -> (&'static str, Value) {
        (
            "Index product texts",
            json!({"schema": "main", "table": "products", "columns": ["name", "description"], "primary_key": "id"}),
        )
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(DataIndexed, Frame)> {
        let ready = Ready::new(deps, call, args.target_id.as_deref())?;
        let spec = DataIndexSpec {
            target_id: ready.target.target_id.clone(),
            schema: args.schema,
            table: args.table,
            columns: args.columns,
            primary_key: args.primary_key.0,
            where_clause: args.where_clause,
            caller: call.cx.caller.token_name.clone(),
        };
        ready.check_columns(call, &spec)?;
        let mut rows = ready.rows(call, spec.where_clause.as_deref())?;
        let made = deps.data()?.index_table(&spec, &ready.limits, &mut rows).for_tool()?;
        Ok((made, ready.frame()))
    }
}
