//! `discovery.delete_run`: deletes a run.

use harvest_catalog::DeletedRun;
use mcp::{Change, ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, confirmed};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct DeleteRun;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// The run, or a schema that it holds.
    run_id: RunArg,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Delete what agents recorded on it as well; otherwise that stays, linked by the objects' identity.
    #[serde(default)]
    delete_llm: bool,
    /// Must be true.
    confirm: bool,
}

impl MemoryTool for DeleteRun {
    type Args = Args;
    type Output = DeletedRun;
    const NAME: &'static str = "discovery.delete_run";
    const TITLE: &'static str = "Delete a run";
    const TEXT: &'static str = "Deletes a discovery run with its search rows. What agents recorded stays unless delete_llm. \
        A pinned run, or one that an agent works on, is refused.";
    const TOOLSET: &'static str = "discovery";
    const HINTS: ToolAnnotations = ToolAnnotations::DESTRUCTIVE_IDEMPOTENT;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target()
    }

    fn example() -> (&'static str, Value) {
        ("Delete run 3", json!({"run_id": 3, "confirm": true}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(DeletedRun, Frame)> {
        confirmed(args.confirm)?;
        let (target, run) = call.run(args.target_id.as_deref(), &args.run_id.0)?;
        let deleted =
            deps.catalog()?.delete_run(&target.target_id, run.run_id, args.delete_llm).for_tool()?;
        if let Some(changes) = &deps.changes {
            changes.publish(&Change::Resources);
        }
        Ok((deleted, Frame::target(target.target_id, target.protocol)))
    }
}
