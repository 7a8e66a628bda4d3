//! `describe_view`: one view with its definition and what it reads, live or of the latest run.

use harvest::MetadataDepth;
use harvest_catalog::{RunRef, ViewDoc};
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

pub(super) struct DescribeView(pub(super) ToolDeps);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Schema or database.
    #[schemars(length(min = 1, max = 256))]
    schema: String,
    /// View, exactly as it is written in the database.
    #[schemars(length(min = 1, max = 256))]
    view: String,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// live asks the engine, catalog the latest run.
    #[serde(default)]
    source: Source,
}

/// An answer without a view, when a query rule gives it.
#[derive(Serialize)]
struct Nothing {}

impl QueryTool for DescribeView {
    type Args = Args;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "describe_view",
            "Describes one view: definition, columns, the tables it reads, whether rows can be changed through it.",
            input_schema::<Args>(),
            ToolAnnotations::READ,
        )
        .with_title("Describe a view")
        .with_toolset("discovery")
        .with_output(OutputSchema::of::<ViewDoc>().target().run().rules().build())
        .with_example(ToolExample::new("The view open_orders", json!({"schema": "main", "view": "open_orders"})))
    }

    fn call(&self, cx: &CallContext, args: Args) -> ToolResult<ToolOutput> {
        let call = Call::begin(&self.0, cx, "describe_view");
        let target_id = args.target_id.as_deref();
        match args.source {
            Source::Catalog => {
                let (target, run) = call.run(target_id, &RunRef::Latest)?;
                let mut doc =
                    self.0.catalog()?.describe_view(run.run_id, &args.schema, &args.view).for_tool()?;
                guard::view(&guard::of(&call, target_id)?, &mut doc);
                call.finish(&doc, Frame::target(target.target_id, target.protocol).run(Some(run.run_id)))
            }
            Source::Live => {
                let outcome =
                    live::objects(&call, target_id, &args.schema, Some(&args.view), MetadataDepth::Full);
                let outcome = live::named(&call, target_id, outcome, &args.schema, &args.view, "view")?;
                if outcome.ok_message.is_some() {
                    return call.finish(&Nothing {}, live::frame(&outcome));
                }
                let object = live::relation(&call, target_id, &outcome, &args.schema, &args.view, "view")?;
                let mut doc = ViewDoc::from_meta(object);
                guard::view(&guard::of(&call, target_id)?, &mut doc);
                call.finish(&doc, live::frame(&outcome))
            }
        }
    }
}
