//! `suggest_joins` and `find_reference_candidates`: how tables belong together, from a run or live.

use harvest::MetadataRequest;
use harvest_catalog::{
    ColumnRef, JoinRequest, JoinSuggestions, ReferenceCandidates, ReferenceRequest, RunRef,
    find_references_live, suggest_joins_live,
};
use harvest_gateway::{MetadataLimit, MetadataOutcome};
use mcp::{ErrorCode, ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::deps::CatalogDeps;
use super::probe::GatewayProbe;
use super::shared::{RunArg, confidence, yes};
use super::tool::MemoryTool;
use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::guard;
use crate::schema::OutputSchema;

pub(super) struct SuggestJoins;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SuggestArgs {
    /// Schema of the first table.
    #[schemars(length(min = 1, max = 256))]
    schema: String,
    /// The first table.
    #[schemars(length(min = 1, max = 256))]
    table_a: String,
    /// The second table; any table if absent.
    #[schemars(length(min = 1, max = 256))]
    table_b: Option<String>,
    /// Schema of the second table; the first one's if absent.
    #[schemars(length(min = 1, max = 256))]
    schema_b: Option<String>,
    /// Most candidates.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 50))]
    max_candidates: usize,
    /// Check up to 200 values of each pair that is not declared.
    #[serde(default)]
    verify_values: bool,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Run, or a schema that it holds; the latest run if absent, live metadata if there is none.
    #[serde(default)]
    #[schemars(with = "RunArg")]
    run_id: RunArg,
}

const fn five() -> usize {
    5
}

/// Where the answer comes from: a run, or live metadata of a target without one.
enum Ground {
    Run(i64),
    Live(Box<MetadataOutcome>),
}

fn ground(call: &Call<'_>, target_id: Option<&str>, run: &RunArg) -> ToolResult<(String, Ground, Frame)> {
    if call.deps.catalog.is_some() {
        match call.run(target_id, &run.0) {
            Ok((target, run)) => {
                let frame = Frame::target(target.target_id.clone(), target.protocol).run(Some(run.run_id));
                return Ok((target.target_id, Ground::Run(run.run_id), frame));
            }
            // A target without any run is looked at live; a run that was named must exist.
            Err(error) if error.code == ErrorCode::FailedPrecondition && run.0 == RunRef::Latest => {}
            Err(error) => return Err(error),
        }
    }
    let request = MetadataRequest::all(LIVE_OBJECTS_MAX);
    let gateway = &call.deps.gateway;
    let outcome = gateway
        .metadata(target_id, None, &request, MetadataLimit::Target, &call.scope, &mut ())
        .for_tool()?;
    let frame = Frame::target(outcome.target_id.clone(), outcome.protocol)
        .rules(&outcome.rules_matched, outcome.ok_message.as_deref());
    Ok((outcome.target_id.clone(), Ground::Live(Box::new(outcome)), frame))
}

const LIVE_OBJECTS_MAX: usize = 200_000;

impl MemoryTool for SuggestJoins {
    type Args = SuggestArgs;
    type Output = JoinSuggestions;
    const NAME: &'static str = "suggest_joins";
    const TITLE: &'static str = "Suggest joins";
    const TEXT: &'static str = "Shows ways to join two tables, or a table with any other: declared foreign keys, references \
        inferred from names, types and values, and relationships that agents recorded, best first, each with a quoted ON \
        condition. Ask before you guess a join.";
    const TOOLSET: &'static str = "discovery";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;
    const IS_DATA_TOOL: bool = true;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.truncated().target().run().rules()
    }

    fn example() -> (&'static str, Value) {
        (
            "How orders and customers belong together",
            json!({"schema": "main", "table_a": "orders", "table_b": "customers"}),
        )
    }

    fn run(_: &CatalogDeps, call: &mut Call<'_>, args: SuggestArgs) -> ToolResult<(JoinSuggestions, Frame)> {
        let (target_id, ground, frame) = ground(call, args.target_id.as_deref(), &args.run_id)?;
        let request = JoinRequest {
            table_b: args.table_b.map(|table| (args.schema_b.unwrap_or_else(|| args.schema.clone()), table)),
            schema: args.schema,
            table_a: args.table_a,
            candidates_max: args.max_candidates,
        };
        let mut probe = GatewayProbe::new(call, &target_id).for_tool()?;
        let dialect = probe.dialect;
        let verify =
            if args.verify_values { Some(&mut probe as &mut dyn harvest_catalog::ValueProbe) } else { None };
        let found = match ground {
            Ground::Run(run_id) => {
                let catalog = call.deps.catalog()?;
                catalog.suggest_joins(&target_id, run_id, dialect, &request, verify)
            }
            Ground::Live(outcome) => suggest_joins_live(&outcome.snapshot, dialect, &request, verify),
        };
        let mut found = found.for_tool()?;
        guard::joins(&guard::of(call, Some(&target_id))?, &mut found);
        Ok((found, frame))
    }
}

pub(super) struct FindReferenceCandidates;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReferenceArgs {
    /// Schema of the column.
    #[schemars(length(min = 1, max = 256))]
    schema: String,
    /// Table of the column.
    #[schemars(length(min = 1, max = 256))]
    table: String,
    /// The column that may refer to another table.
    #[schemars(length(min = 1, max = 256))]
    column: String,
    /// Most tables to look at.
    #[serde(default = "fifty")]
    #[schemars(range(min = 1, max = 200))]
    max_tables: usize,
    /// Check up to 200 values of each pair.
    #[serde(default = "yes")]
    verify_values: bool,
    /// Weaker candidates are left out.
    #[serde(default = "third")]
    #[schemars(range(min = 0, max = 1))]
    min_confidence: f64,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Run, or a schema that it holds; the latest run if absent, live metadata if there is none.
    #[serde(default)]
    #[schemars(with = "RunArg")]
    run_id: RunArg,
}

const fn fifty() -> usize {
    50
}

const fn third() -> f64 {
    0.3
}

impl MemoryTool for FindReferenceCandidates {
    type Args = ReferenceArgs;
    type Output = ReferenceCandidates;
    const NAME: &'static str = "find_reference_candidates";
    const TITLE: &'static str = "Find what a column refers to";
    const TEXT: &'static str = "Shows tables whose key a column may refer to, with confidence and evidence: declared keys \
        first, then keys that fit by name, type and shared values. Use it for columns without a foreign key.";
    const TOOLSET: &'static str = "discovery";
    const HINTS: ToolAnnotations = ToolAnnotations::READ;
    const IS_DATA_TOOL: bool = true;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.truncated().target().run().rules()
    }

    fn example() -> (&'static str, Value) {
        (
            "What orders.customer_id refers to",
            json!({"schema": "main", "table": "orders", "column": "customer_id"}),
        )
    }

    fn run(
        _: &CatalogDeps,
        call: &mut Call<'_>,
        args: ReferenceArgs,
    ) -> ToolResult<(ReferenceCandidates, Frame)> {
        let (target_id, ground, frame) = ground(call, args.target_id.as_deref(), &args.run_id)?;
        let request = ReferenceRequest {
            column: ColumnRef { schema: args.schema, table: args.table, column: args.column },
            tables_max: args.max_tables,
            min_confidence: confidence("min_confidence", args.min_confidence)?,
        };
        let mut probe = GatewayProbe::new(call, &target_id).for_tool()?;
        let dialect = probe.dialect;
        let verify =
            if args.verify_values { Some(&mut probe as &mut dyn harvest_catalog::ValueProbe) } else { None };
        let found = match ground {
            Ground::Run(run_id) => call.deps.catalog()?.find_references(run_id, dialect, &request, verify),
            Ground::Live(outcome) => find_references_live(&outcome.snapshot, dialect, &request, verify),
        };
        let mut found = found.for_tool()?;
        let guard = guard::of(call, Some(&target_id))?;
        found.candidates.retain(|c| !guard.hides(&c.parent_schema, &c.parent_table, &c.parent_column));
        Ok((found, frame))
    }
}
