//! `llm.summary_upsert`: writes the summary of an object.

use harvest_catalog::{SummaryStatus, SummaryUpsert, SummaryUpserted};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{RunArg, agent, confidence, object_ref};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct SummaryUpsertTool;

const fn draft() -> SummaryStatus {
    SummaryStatus::Draft
}

/// An object or a list.
#[derive(JsonSchema)]
#[schemars(extend("type" = ["object", "array"]))]
struct Sources {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// The agent run; it must be running.
    #[schemars(range(min = 1))]
    agent_run_id: i64,
    /// Id of the object; exactly one of object_id and object_key.
    #[schemars(range(min = 1))]
    object_id: Option<i64>,
    /// Key schema.name; exactly one of object_id and object_key.
    #[schemars(length(min = 1, max = 1024))]
    object_key: Option<String>,
    /// Narrows a key that names several objects.
    #[schemars(length(min = 1, max = 64))]
    object_type: Option<String>,
    /// hypothesis, grain, primary_key, time_columns, dimensions, measures, join_keys, example_questions (3 to 8), warnings,
    /// synonyms; others are kept. At most 64 KiB.
    summary: Map<String, Value>,
    /// 0 to 1: strong from 0.9, likely from 0.6, tentative from 0.3, weak below.
    #[serde(default = "crate::memory::llm::half")]
    #[schemars(range(min = 0, max = 1))]
    confidence: f64,
    /// validated and stable need a check against data.
    #[serde(default = "draft")]
    status: SummaryStatus,
    /// Where it comes from: queries, samples, constraints.
    #[serde(default)]
    #[schemars(with = "Sources")]
    sources: Option<Value>,
    /// Replace a stronger record.
    #[serde(default)]
    force: bool,
    /// Target; must match the agent run.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Run; must match the agent run.
    #[serde(default)]
    #[schemars(with = "RunArg")]
    run_id: RunArg,
}

impl MemoryTool for SummaryUpsertTool {
    type Args = Args;
    type Output = SummaryUpserted;
    const NAME: &'static str = "llm.summary_upsert";
    const TITLE: &'static str = "Write a summary";
    const TEXT: &'static str = "Writes what an object is, one per agent run and object. A stronger record that is still current \
        is not replaced unless forced. Columns that the object does not have come back as warnings. \
        Synonyms become tags that catalog.search finds.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE_IDEMPOTENT;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target().run()
    }

    fn example() -> (&'static str, Value) {
        (
            "A first reading of orders",
            json!({"agent_run_id": 7, "object_key": "main.orders", "summary": {"hypothesis": "One row per purchase", "grain": "order"}, "confidence": 0.6}),
        )
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(SummaryUpserted, Frame)> {
        let (_, frame) = agent(deps, call, args.agent_run_id, args.target_id.as_deref(), &args.run_id)?;
        let request = SummaryUpsert {
            agent_run_id: args.agent_run_id,
            object: object_ref(args.object_id, args.object_key, args.object_type),
            summary: args.summary,
            confidence: confidence("confidence", args.confidence)?,
            status: args.status,
            sources: args.sources,
            force: args.force,
        };
        Ok((deps.catalog()?.summary_upsert(&request).for_tool()?, frame))
    }
}
