//! `describe_table`: one table or view in full, live or of the latest run.

use harvest::MetadataDepth;
use harvest_catalog::{RunRef, TableDoc};
use mcp::{CallContext, ToolAnnotations, ToolExample, ToolOutput, ToolResult, ToolSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::live;
use super::shared::Source;
use crate::deps::{Call, Frame, ToolDeps};
use crate::errors::IntoToolResult;
use crate::guard;
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::QueryTool;

pub(super) struct DescribeTable(pub(super) ToolDeps);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Schema or database.
    #[schemars(length(min = 1, max = 256))]
    schema: String,
    /// Table or view, exactly as it is written in the database.
    #[schemars(length(min = 1, max = 256))]
    table: String,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// live asks the engine, catalog the latest run.
    #[serde(default)]
    source: Source,
}

/// An answer without a table, when a query rule gives it.
#[derive(Serialize)]
struct Nothing {}

impl QueryTool for DescribeTable {
    type Args = Args;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "describe_table",
            "Describes one table or view: columns with types and hints, primary key, indexes, constraints, size. Read \
             it before you write SQL about the table.",
            input_schema::<Args>(),
            ToolAnnotations::READ,
        )
        .with_title("Describe a table")
        .with_toolset("discovery")
        .with_output(OutputSchema::of::<TableDoc>().target().run().rules().build())
        .with_example(ToolExample::new("The table orders", json!({"schema": "main", "table": "orders"})))
    }

    fn call(&self, cx: &CallContext, args: Args) -> ToolResult<ToolOutput> {
        let call = Call::begin(&self.0, cx, "describe_table");
        let target_id = args.target_id.as_deref();
        match args.source {
            Source::Catalog => {
                let (target, run) = call.run(target_id, &RunRef::Latest)?;
                let mut doc =
                    self.0.catalog()?.describe_table(run.run_id, &args.schema, &args.table).for_tool()?;
                guard::table(&guard::of(&call, target_id)?, &mut doc);
                call.finish(&doc, Frame::target(target.target_id, target.protocol).run(Some(run.run_id)))
            }
            Source::Live => {
                let outcome =
                    live::objects(&call, target_id, &args.schema, Some(&args.table), MetadataDepth::Full);
                let outcome = live::named(&call, target_id, outcome, &args.schema, &args.table, "table")?;
                if outcome.ok_message.is_some() {
                    return call.finish(&Nothing {}, live::frame(&outcome));
                }
                let object = live::relation(&call, target_id, &outcome, &args.schema, &args.table, "table")?;
                let dialect = self.0.gateway.dialect(target_id, &call.scope).for_tool()?;
                let mut doc = TableDoc::live(object, dialect);
                guard::table(&guard::of(&call, target_id)?, &mut doc);
                call.finish(&doc, live::frame(&outcome))
            }
        }
    }
}
