//! `get_constraints`: keys, foreign keys, checks and exclusions of a table or a whole schema.

use harvest::{MetadataDepth, ObjectType};
use harvest_catalog::{ConstraintDoc, RunRef, constraint_docs};
use mcp::{CallContext, ToolAnnotations, ToolExample, ToolOutput, ToolResult, ToolSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::list_schemas::page_size;
use super::live;
use super::shared::Source;
use crate::deps::{Call, Frame, ToolDeps};
use crate::errors::IntoToolResult;
use crate::guard;
use crate::paging::key_page;
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::QueryTool;

pub(super) struct GetConstraints(pub(super) ToolDeps);

/// Kinds of constraints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    PrimaryKey,
    Unique,
    ForeignKey,
    Check,
    Exclusion,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::PrimaryKey => "primary_key",
            Self::Unique => "unique",
            Self::ForeignKey => "foreign_key",
            Self::Check => "check",
            Self::Exclusion => "exclusion",
        }
    }
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Schema or database.
    #[schemars(length(min = 1, max = 256))]
    schema: String,
    /// Only this table; the whole schema if absent.
    #[schemars(length(min = 1, max = 256))]
    table: Option<String>,
    /// Only these kinds; all if absent.
    #[serde(default)]
    types: Vec<Kind>,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// live asks the engine, catalog the latest run.
    #[serde(default)]
    source: Source,
    /// Constraints a page.
    #[serde(default = "page_size")]
    #[schemars(range(min = 1, max = 500))]
    page_size: usize,
    /// Token of the previous answer.
    page_token: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    /// The schema.
    schema: String,
    /// Constraints, by table, kind and name; columns of composite keys in order.
    constraints: Vec<ConstraintDoc>,
}

impl QueryTool for GetConstraints {
    type Args = Args;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "get_constraints",
            "Lists primary keys, unique keys, foreign keys, checks and exclusions of a table or of a whole schema. \
             Foreign keys tell how to join.",
            input_schema::<Args>(),
            ToolAnnotations::READ,
        )
        .with_title("Get constraints")
        .with_toolset("discovery")
        .with_output(OutputSchema::of::<Output>().paged().truncated().target().run().rules().build())
        .with_example(ToolExample::new("Foreign keys of a schema", json!({"schema": "main", "types": ["foreign_key"]})))
    }

    fn call(&self, cx: &CallContext, args: Args) -> ToolResult<ToolOutput> {
        let call = Call::begin(&self.0, cx, "get_constraints");
        let (mut found, frame) = match args.source {
            Source::Live => live_constraints(&call, &args)?,
            Source::Catalog => {
                let (target, run) = call.run(args.target_id.as_deref(), &RunRef::Latest)?;
                let catalog = self.0.catalog()?;
                let found =
                    catalog.list_constraints(run.run_id, &args.schema, args.table.as_deref()).for_tool()?;
                (found, Frame::target(target.target_id, target.protocol).run(Some(run.run_id)))
            }
        };
        guard::constraints(&guard::of(&call, args.target_id.as_deref())?, &args.schema, &mut found);
        found.retain(|c| args.types.is_empty() || args.types.iter().any(|t| t.as_str() == c.constraint_type));
        let key = |c: &ConstraintDoc| {
            let target = c.referenced_table.as_deref().unwrap_or_default();
            format!(
                "{}\u{0}{}\u{0}{}\u{0}{}\u{0}{target}",
                c.table,
                c.constraint_type,
                c.name,
                c.columns.join("\u{0}")
            )
        };
        found.sort_by_cached_key(key);
        let binding = call.page_binding(&Args { page_size: 0, page_token: None, ..args.clone() });
        let page = key_page(&call, &binding, found, key, args.page_token.as_deref(), args.page_size)?;
        let body = Output { schema: args.schema, constraints: page.items };
        call.finish(&body, frame.truncated(page.next.is_some()).next_page(page.next))
    }
}

fn live_constraints(call: &Call<'_>, args: &Args) -> ToolResult<(Vec<ConstraintDoc>, Frame)> {
    let (target_id, table) = (args.target_id.as_deref(), args.table.as_deref());
    let outcome = live::objects(call, target_id, &args.schema, table, MetadataDepth::Full);
    let outcome = match table {
        Some(name) => live::named(call, target_id, outcome, &args.schema, name, "table")?,
        None => outcome?,
    };
    let frame = live::frame(&outcome);
    if outcome.ok_message.is_some() {
        return Ok((Vec::new(), frame));
    }
    if let Some(name) = table {
        let object = live::relation(call, target_id, &outcome, &args.schema, name, "table")?;
        return Ok((constraint_docs(object), frame));
    }
    let tables = outcome.snapshot.objects.iter().filter(|object| object.object_type == ObjectType::Table);
    Ok((tables.flat_map(constraint_docs).collect(), frame))
}
