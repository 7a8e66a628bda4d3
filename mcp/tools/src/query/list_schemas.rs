//! `list_schemas`: schemas of a target, live or of the latest run.

use harvest::MetadataDepth;
use harvest_catalog::RunRef;
use mcp::{CallContext, ToolAnnotations, ToolExample, ToolOutput, ToolResult, ToolSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::live::{self, like};
use super::shared::Source;
use crate::deps::{Call, Frame, ToolDeps};
use crate::errors::IntoToolResult;
use crate::paging::key_page;
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::QueryTool;

pub(super) struct ListSchemas(pub(super) ToolDeps);

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// live asks the engine, catalog the latest run.
    #[serde(default)]
    source: Source,
    /// LIKE pattern over the names: `%`, `_`, escape `\`; case does not matter.
    #[schemars(length(min = 1, max = 256))]
    name_filter: Option<String>,
    /// Whether the engine's own schemas are listed too.
    #[serde(default)]
    include_system: bool,
    /// Schemas a page.
    #[serde(default = "page_size")]
    #[schemars(range(min = 1, max = 500))]
    page_size: usize,
    /// Token of the previous answer.
    page_token: Option<String>,
}

pub(super) const fn page_size() -> usize {
    50
}

#[derive(Serialize, JsonSchema)]
struct Schema {
    schema_name: String,
    charset: Option<String>,
    collation: Option<String>,
    /// Whether it belongs to the engine.
    is_system: bool,
    /// Number of objects; null when unknown.
    objects: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    /// Schemas, by name.
    schemas: Vec<Schema>,
}

impl QueryTool for ListSchemas {
    type Args = Args;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "list_schemas",
            "Lists the schemas (databases) of a target with the number of objects. Pass a name to list_tables next.",
            input_schema::<Args>(),
            ToolAnnotations::READ,
        )
        .with_title("List schemas")
        .with_toolset("discovery")
        .with_output(OutputSchema::of::<Output>().paged().truncated().target().run().rules().build())
        .with_example(ToolExample::new("Schemas of the default target", json!({})))
    }

    fn call(&self, cx: &CallContext, args: Args) -> ToolResult<ToolOutput> {
        let call = Call::begin(&self.0, cx, "list_schemas");
        let (mut schemas, frame) = match args.source {
            Source::Live => live_schemas(&call, &args)?,
            Source::Catalog => stored_schemas(&call, &args)?,
        };
        schemas.retain(|schema| args.name_filter.as_deref().is_none_or(|f| like(f, &schema.schema_name)));
        schemas.sort_by(|a, b| a.schema_name.cmp(&b.schema_name));
        let binding = call.page_binding(&Args { page_size: 0, page_token: None, ..args.clone() });
        let token = args.page_token.as_deref();
        let page = key_page(&call, &binding, schemas, |s| s.schema_name.clone(), token, args.page_size)?;
        call.finish(
            &Output { schemas: page.items },
            frame.truncated(page.next.is_some()).next_page(page.next),
        )
    }
}

fn live_schemas(call: &Call<'_>, args: &Args) -> ToolResult<(Vec<Schema>, Frame)> {
    let outcome =
        live::schemas(call, args.target_id.as_deref(), args.include_system, MetadataDepth::Objects)?;
    let frame = live::frame(&outcome);
    let mut counts = std::collections::HashMap::new();
    for object in outcome.snapshot.objects {
        *counts.entry(object.schema).or_insert(0_i64) += 1;
    }
    let schemas = outcome.snapshot.schemas.into_iter().map(|schema| Schema {
        objects: Some(counts.get(&schema.name).copied().unwrap_or(0)),
        schema_name: schema.name,
        charset: schema.charset,
        collation: schema.collation,
        is_system: schema.is_system,
    });
    Ok((schemas.collect(), frame))
}

fn stored_schemas(call: &Call<'_>, args: &Args) -> ToolResult<(Vec<Schema>, Frame)> {
    let (target, run) = call.run(args.target_id.as_deref(), &RunRef::Latest)?;
    let rows = call.deps.catalog()?.list_schemas(run.run_id).for_tool()?;
    let schemas = rows.into_iter().map(|row| Schema {
        schema_name: row.schema_name,
        charset: row.charset,
        collation: row.collation,
        // Runs hold no schemas of the engine itself.
        is_system: false,
        objects: Some(row.objects),
    });
    Ok((schemas.collect(), Frame::target(target.target_id, target.protocol).run(Some(run.run_id))))
}
