//! `fts_rebuild_all`: rebuilds every index of the caller's targets.

use harvest_catalog::DataIndexRow;
use mcp::ToolError;
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use serde_json::{Value, json};

use super::Ready;
use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::probe::stopped;
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct RebuildAll;

/// What became of the indexes.
#[derive(Default, Serialize, JsonSchema)]
pub(in crate::memory) struct Rebuilt {
    /// Indexes in all.
    total_indexes: u64,
    /// Indexes that were rebuilt.
    rebuilt_count: u64,
    /// Each index.
    indexes: Vec<RebuiltIndex>,
    /// `schema.table` of those that failed.
    failed: Vec<String>,
}

/// What became of one index.
#[derive(Serialize, JsonSchema)]
pub(in crate::memory) struct RebuiltIndex {
    schema: String,
    table: String,
    row_count: u64,
    /// success or failed.
    status: String,
    error_text: Option<String>,
}

impl Rebuilt {
    fn add(&mut self, index: DataIndexRow, row_count: u64, error_text: Option<String>) {
        let status = if error_text.is_none() { "success" } else { "failed" };
        if error_text.is_none() {
            self.rebuilt_count += 1;
        } else {
            self.failed.push(harvest_catalog::object_key(&index.schema, &index.table));
        }
        self.indexes.push(RebuiltIndex {
            schema: index.schema,
            table: index.table,
            row_count,
            status: status.to_owned(),
            error_text,
        });
    }
}

fn rebuild(deps: &CatalogDeps, call: &Call<'_>, index: &DataIndexRow) -> ToolResult<u64> {
    let ready = Ready::new(deps, call, Some(&index.target_id))?;
    let data = deps.data()?;
    let spec = data.spec(&index.target_id, &index.schema, &index.table).for_tool()?;
    ready.check_columns(call, &spec)?;
    let mut rows = ready.rows(call, spec.where_clause.as_deref())?;
    let made =
        data.reindex(&index.target_id, &index.schema, &index.table, &ready.limits, &mut rows).for_tool()?;
    Ok(made.row_count)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Only of this target; all of the caller's targets if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

impl MemoryTool for RebuildAll {
    type Args = Args;
    type Output = Rebuilt;
    const NAME: &'static str = "fts_rebuild_all";
    const TITLE: &'static str = "Rebuild all indexes";
    const TEXT: &'static str = "Rebuilds every data index of the caller's targets, one after the other, and tells which \
        succeeded.";
    const TOOLSET: &'static str = "fts";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE_IDEMPOTENT;
    const IS_DATA_TOOL: bool = true;
    const IS_LONG: bool = true;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema
    }

    fn example() -> (&'static str, Value) {
        ("Refresh everything", json!({}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Rebuilt, Frame)> {
        let data = deps.data()?;
        let targets = match args.target_id {
            Some(id) => {
                let target = deps.tools.gateway.known_target(Some(&id), &call.scope).for_tool()?;
                Some(vec![target.target_id])
            }
            None => call.scope.targets.as_ref().map(|list| list.to_vec()),
        };
        let list = data.list(targets.as_deref()).for_tool()?.indexes;
        let mut done = Rebuilt { total_indexes: list.len() as u64, ..Rebuilt::default() };
        for index in list {
            stopped(call.cx, &call.scope).for_tool()?;
            match rebuild(deps, call, &index) {
                Ok(rows) => done.add(index, rows, None),
                Err(error) => done.add(index, 0, Some(error.message)),
            }
        }
        if done.total_indexes > 0 && done.rebuilt_count == 0 {
            let indexes = serde_json::to_value(&done.indexes).unwrap_or_default();
            return Err(ToolError::precondition("no index could be rebuilt: see details.indexes")
                .with("indexes", indexes));
        }
        Ok((done, Frame::new()))
    }
}
