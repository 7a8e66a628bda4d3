//! `fts_list_indexes`: existing data indexes.

use harvest_catalog::DataIndexList;
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct ListIndexes;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Only of this target; all of the caller's targets if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

impl MemoryTool for ListIndexes {
    type Args = Args;
    type Output = DataIndexList;
    const NAME: &'static str = "fts_list_indexes";
    const TITLE: &'static str = "List data indexes";
    const TEXT: &'static str =
        "Lists the data indexes of the targets that the caller sees, with rows, size, age and state.";
    const TOOLSET: &'static str = "fts";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema
    }

    fn example() -> (&'static str, Value) {
        ("All data indexes", json!({}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(DataIndexList, Frame)> {
        let targets = match args.target_id {
            Some(id) => {
                let target = deps.tools.gateway.known_target(Some(&id), &call.scope).for_tool()?;
                Some(vec![target.target_id])
            }
            None => call.scope.targets.as_ref().map(|list| list.to_vec()),
        };
        Ok((deps.data()?.list(targets.as_deref()).for_tool()?, Frame::new()))
    }
}
