//! `catalog.get_object`: one object with everything known.

use harvest_catalog::{DocumentParts, ObjectDocument};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::guard;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, object_ref, target_run, yes};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct GetObject;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// Id of the object; exactly one of object_id and object_key.
    #[schemars(range(min = 1))]
    object_id: Option<i64>,
    /// Key schema.name, parts double-quoted if they hold a dot or a quote; exactly one of object_id and object_key.
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
    /// The text of a view, routine or trigger.
    #[serde(default)]
    include_definition: bool,
    /// Profiles by kind.
    #[serde(default = "yes")]
    include_profiles: bool,
    /// Declared foreign keys in both directions.
    #[serde(default = "yes")]
    include_relationships: bool,
    /// The newest summary of an agent.
    #[serde(default)]
    include_llm: bool,
}

impl MemoryTool for GetObject {
    type Args = Args;
    type Output = ObjectDocument;
    const NAME: &'static str = "catalog.get_object";
    const TITLE: &'static str = "Read an object";
    const TEXT: &'static str = "Reads one object of a run with everything known: columns with hints, indexes, constraints, \
        foreign keys in both directions, profiles, and on request its definition and summary. Read it before you write SQL.";
    const TOOLSET: &'static str = "catalog";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target().run()
    }

    fn example() -> (&'static str, Value) {
        ("The orders table with its summary", json!({"object_key": "main.orders", "include_llm": true}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(ObjectDocument, Frame)> {
        let (target, run, frame) = target_run(call, args.target_id.as_deref(), &args.run_id)?;
        let object = object_ref(args.object_id, args.object_key, args.object_type);
        let parts = DocumentParts {
            definition: args.include_definition,
            profiles: args.include_profiles,
            relationships: args.include_relationships,
            llm: args.include_llm,
        };
        let mut found =
            deps.catalog()?.get_object(&target.target_id, run.run_id, &object, parts).for_tool()?;
        guard::object(&guard::of(call, Some(&target.target_id))?, &mut found);
        Ok((found, frame))
    }
}
