//! `fts_*`: full-text indexes over table data.

mod delete_index;
mod index_table;
mod list_indexes;
mod rebuild_all;
mod reindex;
mod search;

pub(super) use delete_index::DeleteIndex;
pub(super) use index_table::IndexTable;
pub(super) use list_indexes::ListIndexes;
pub(super) use rebuild_all::RebuildAll;
pub(super) use reindex::Reindex;
pub(super) use search::Search;

use harvest_catalog::{DataIndexSpec, DataLimits, object_key};
use harvest_gateway::TargetInfo;
use mcp::{ToolError, ToolResult};

use super::deps::CatalogDeps;
use super::probe::{GatewayProbe, GatewayRows};
use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;

/// Rows read at once, where the target allows as many.
const BATCH_ROWS: usize = 500;

/// A target that can be read, with the bounds of an index.
struct Ready {
    target: TargetInfo,
    limits: DataLimits,
}

impl Ready {
    fn new(deps: &CatalogDeps, call: &Call<'_>, target_id: Option<&str>) -> ToolResult<Self> {
        let target = deps.tools.gateway.resolve(target_id, &call.scope).for_tool()?;
        let batch_rows = BATCH_ROWS.min(target.rows_max).min(deps.tools.gateway.settings().rows_max_hard);
        // A batch begins with the last row of the one before, so one row a batch leads nowhere.
        if batch_rows < 2 {
            return Err(ToolError::precondition(format!(
                "target {} gives one row at a time: raise its max_rows to index its data",
                target.target_id
            )));
        }
        let settings = deps.settings();
        let limits =
            DataLimits { rows_max: settings.fts_rows_max, bytes_max: settings.fts_bytes_max, batch_rows };
        Ok(Self { target, limits })
    }

    /// Some engines read an unknown quoted name as a string, so names are looked up first.
    fn check_columns(&self, call: &Call<'_>, spec: &DataIndexSpec) -> ToolResult<()> {
        let gateway = &call.deps.gateway;
        let id = Some(self.target.target_id.as_str());
        let found = gateway.table_metadata(id, &spec.schema, &spec.table, &call.scope).for_tool()?;
        let key = object_key(&spec.schema, &spec.table);
        let Some(object) = found.snapshot.objects.iter().find(|o| o.name == spec.table) else {
            return Err(ToolError::not_found("table", key));
        };
        for name in spec.primary_key.iter().chain(&spec.columns) {
            if !object.columns.iter().any(|column| column.name == *name) {
                return Err(ToolError::not_found("column", format!("{key}.{name}")));
            }
        }
        Ok(())
    }

    fn rows<'a>(&'a self, call: &'a Call<'_>, where_clause: Option<&str>) -> ToolResult<GatewayRows<'a>> {
        let probe = GatewayProbe::new(call, &self.target.target_id).for_tool()?;
        GatewayRows::new(probe, where_clause).map_err(|e| crate::deps::argument_error(e, "where_clause"))
    }

    fn frame(self) -> Frame {
        Frame::target(self.target.target_id, self.target.protocol)
    }
}
