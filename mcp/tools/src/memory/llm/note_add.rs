//! `llm.note_add`: writes a durable note.

use harvest_catalog::{NoteAdd, NoteAdded, NoteScope};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, agent};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct NoteAddTool;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// The agent run; it must be running.
    #[schemars(range(min = 1))]
    agent_run_id: i64,
    /// What it is about; the field that the scope needs must be given.
    scope: NoteScope,
    /// The text.
    #[schemars(length(min = 1, max = 16384))]
    body: String,
    /// For scope object.
    #[schemars(range(min = 1))]
    object_id: Option<i64>,
    /// For scope schema.
    #[schemars(length(min = 1, max = 256))]
    schema_name: Option<String>,
    /// For scope domain.
    #[schemars(length(min = 1, max = 64))]
    domain_key: Option<String>,
    /// A short title.
    #[schemars(length(max = 256))]
    title: Option<String>,
    /// Tags; those of an object are found by catalog.search.
    #[serde(default)]
    #[schemars(length(max = 32))]
    tags: Vec<String>,
    /// Target; must match the agent run.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Run; must match the agent run.
    #[serde(default)]
    #[schemars(with = "RunArg")]
    run_id: RunArg,
}

impl MemoryTool for NoteAddTool {
    type Args = Args;
    type Output = NoteAdded;
    const NAME: &'static str = "llm.note_add";
    const TITLE: &'static str = "Write a note";
    const TEXT: &'static str = "Writes a durable note about everything, a schema, an object or a domain.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target().run()
    }

    fn example() -> (&'static str, Value) {
        (
            "A note about a table",
            json!({"agent_run_id": 7, "scope": "object", "object_id": 3, "body": "Test orders have total 0.", "tags": ["quality"]}),
        )
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(NoteAdded, Frame)> {
        let (_, frame) = agent(deps, call, args.agent_run_id, args.target_id.as_deref(), &args.run_id)?;
        let request = NoteAdd {
            agent_run_id: args.agent_run_id,
            scope: args.scope,
            body: args.body,
            object_id: args.object_id,
            schema_name: args.schema_name,
            domain_key: args.domain_key,
            title: args.title,
            tags: args.tags,
        };
        Ok((deps.catalog()?.note_add(&request).for_tool()?, frame))
    }
}
