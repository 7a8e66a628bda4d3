//! `llm.summary_get`: summaries of an object.

use harvest_catalog::SummaryList;
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, object_ref, target_run, yes};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct SummaryGet;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Id of the object; exactly one of object_id and object_key.
    #[schemars(range(min = 1))]
    object_id: Option<i64>,
    /// Key schema.name; exactly one of object_id and object_key.
    #[schemars(length(min = 1, max = 1024))]
    object_key: Option<String>,
    /// Narrows a key that names several objects.
    #[schemars(length(min = 1, max = 64))]
    object_type: Option<String>,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Run, or a schema that it holds; the latest run if absent.
    #[serde(default)]
    #[schemars(with = "RunArg")]
    run_id: RunArg,
    /// Only of this agent run.
    #[schemars(range(min = 1))]
    agent_run_id: Option<i64>,
    /// Only the newest; false gives all, newest first.
    #[serde(default = "yes")]
    latest: bool,
}

impl MemoryTool for SummaryGet {
    type Args = Args;
    type Output = SummaryList;
    const NAME: &'static str = "llm.summary_get";
    const TITLE: &'static str = "Read summaries";
    const TEXT: &'static str = "Reads what agents say an object is. Without a summary of this run, those of earlier runs of the \
        same object come; stale tells that the object has changed since.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target().run()
    }

    fn example() -> (&'static str, Value) {
        ("The newest summary of orders", json!({"object_key": "main.orders"}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(SummaryList, Frame)> {
        let (target, run, frame) = target_run(call, args.target_id.as_deref(), &args.run_id)?;
        let object = object_ref(args.object_id, args.object_key, args.object_type);
        let catalog = deps.catalog()?;
        let found = catalog
            .summary_get(&target.target_id, run.run_id, &object, args.agent_run_id, args.latest)
            .for_tool()?;
        Ok((found, frame))
    }
}
