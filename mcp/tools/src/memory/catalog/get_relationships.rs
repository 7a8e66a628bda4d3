//! `catalog.get_relationships`: everything that links an object, kind by kind.

use harvest_catalog::{Direction, DocumentParts, RelationshipFilter, Relationships};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::guard;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, confidence, object_ref, target_run, yes};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct GetRelationships;

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
    /// out: what the object refers to; in: what refers to it.
    #[serde(default)]
    direction: Direction,
    /// References inferred from names, types and values.
    #[serde(default = "yes")]
    include_inferred: bool,
    /// Relationships that agents recorded.
    #[serde(default = "yes")]
    include_llm: bool,
    /// Weaker inferred and recorded ones are left out.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    min_confidence: f64,
}

impl MemoryTool for GetRelationships {
    type Args = Args;
    type Output = Relationships;
    const NAME: &'static str = "catalog.get_relationships";
    const TITLE: &'static str = "Read an object's relationships";
    const TEXT: &'static str = "Shows everything that links an object in a run, in both directions: declared foreign keys, \
        view dependencies, inferred references with evidence, and relationships that agents recorded.";
    const TOOLSET: &'static str = "catalog";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target().run()
    }

    fn example() -> (&'static str, Value) {
        ("What refers to customers", json!({"object_key": "main.customers", "direction": "in"}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Relationships, Frame)> {
        let (target, run, frame) = target_run(call, args.target_id.as_deref(), &args.run_id)?;
        let object = object_ref(args.object_id, args.object_key, args.object_type);
        let filter = RelationshipFilter {
            direction: args.direction,
            include_inferred: args.include_inferred,
            include_llm: args.include_llm,
            min_confidence: confidence("min_confidence", args.min_confidence)?,
        };
        let catalog = deps.catalog()?;
        let mut found =
            catalog.get_relationships(&target.target_id, run.run_id, &object, &filter).for_tool()?;
        let guard = guard::of(call, Some(&target.target_id))?;
        if !guard.is_empty() {
            let parts = DocumentParts { profiles: false, relationships: false, ..DocumentParts::default() };
            let own = catalog.get_object(&target.target_id, run.run_id, &object, parts).for_tool()?.object;
            guard::relationships(&guard, (&own.schema_name, &own.object_name), &mut found);
        }
        Ok((found, frame))
    }
}
