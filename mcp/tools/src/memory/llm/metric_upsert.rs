//! `llm.metric_upsert`: writes a metric.

use harvest_catalog::{MetricUpsert, MetricUpserted};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{ObjectArg, RunArg, agent, confidence};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct MetricUpsertTool;

/// Whether the gate passed a statement; trouble of the target is no verdict.
fn passes<T>(verdict: harvest::HarvestResult<T>) -> ToolResult<bool> {
    use harvest::HarvestCode as Code;
    match verdict {
        Ok(_) => Ok(true),
        Err(e) if matches!(e.code, Code::InvalidArgument | Code::PermissionDenied | Code::LimitExceeded) => {
            Ok(false)
        }
        Err(e) => Err(crate::errors::tool_error(e)),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// The agent run; it must be running.
    #[schemars(range(min = 1))]
    agent_run_id: i64,
    /// Unique in the agent run.
    #[schemars(length(min = 1, max = 64))]
    metric_key: String,
    /// A short title.
    #[schemars(length(min = 1, max = 256))]
    title: String,
    /// What it measures.
    #[schemars(length(max = 16384))]
    description: Option<String>,
    /// The domain that it belongs to.
    #[schemars(length(min = 1, max = 64))]
    domain_key: Option<String>,
    /// One value per what.
    #[schemars(length(max = 256))]
    grain: Option<String>,
    /// Unit of the value.
    #[schemars(length(max = 64))]
    unit: Option<String>,
    /// How it is computed.
    #[schemars(length(min = 1, max = 65536))]
    sql_template: Option<String>,
    /// Ids or keys of the objects that it reads.
    #[serde(default)]
    #[schemars(length(max = 200))]
    depends: Vec<ObjectArg>,
    /// 0 to 1: strong from 0.9, likely from 0.6, tentative from 0.3, weak below.
    #[serde(default = "crate::memory::llm::likely")]
    #[schemars(range(min = 0, max = 1))]
    confidence: f64,
    /// Target; must match the agent run.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Run; must match the agent run.
    #[serde(default)]
    #[schemars(with = "RunArg")]
    run_id: RunArg,
}

impl MemoryTool for MetricUpsertTool {
    type Args = Args;
    type Output = MetricUpserted;
    const NAME: &'static str = "llm.metric_upsert";
    const TITLE: &'static str = "Write a metric";
    const TEXT: &'static str = "Writes the definition of a metric, one per agent run and key. Its SQL is checked by the gate \
        and the outcome comes back.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE_IDEMPOTENT;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target().run()
    }

    fn example() -> (&'static str, Value) {
        (
            "Revenue by day",
            json!({"agent_run_id": 7, "metric_key": "revenue", "title": "Revenue", "grain": "day", "sql_template": "SELECT SUM(total) FROM orders", "depends": ["main.orders"]}),
        )
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(MetricUpserted, Frame)> {
        let (scope, frame) = agent(deps, call, args.agent_run_id, args.target_id.as_deref(), &args.run_id)?;
        let target = Some(scope.target_id.as_str());
        let gateway = &deps.tools.gateway;
        let sql_valid = match &args.sql_template {
            Some(sql) => Some(passes(gateway.check_statement(target, sql, &call.scope))?),
            None => None,
        };
        let request = MetricUpsert {
            agent_run_id: args.agent_run_id,
            metric_key: args.metric_key,
            title: args.title,
            description: args.description,
            domain_key: args.domain_key,
            grain: args.grain,
            unit: args.unit,
            sql_template: args.sql_template,
            sql_valid,
            depends: args.depends.into_iter().map(|o| o.0).collect(),
            confidence: confidence("confidence", args.confidence)?,
        };
        Ok((deps.catalog()?.metric_upsert(&request).for_tool()?, frame))
    }
}
