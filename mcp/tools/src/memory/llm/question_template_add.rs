//! `llm.question_template_add`: stores a question with its answer plan.

use harvest_catalog::{RunRef, TemplateAdd, TemplateAdded};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::shared::{ObjectArg, RunArg, agent, confidence, target_run};
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct QuestionTemplateAdd;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// A short title.
    #[schemars(length(min = 1, max = 256))]
    title: String,
    /// The question in words.
    #[schemars(length(min = 1, max = 2048))]
    question_nl: String,
    /// The plan of the answer.
    template: Map<String, Value>,
    /// SQL that answers it; it must pass the read-only gate.
    #[schemars(length(min = 1, max = 65536))]
    example_sql: Option<String>,
    /// Ids or keys of its objects; the tables of the SQL if absent.
    #[serde(default)]
    #[schemars(length(max = 200))]
    related_objects: Vec<ObjectArg>,
    /// 0 to 1: strong from 0.9, likely from 0.6, tentative from 0.3, weak below.
    #[serde(default = "crate::memory::llm::likely")]
    #[schemars(range(min = 0, max = 1))]
    confidence: f64,
    /// The agent run to file it under; without one it is filed under the caller.
    #[schemars(range(min = 1))]
    agent_run_id: Option<i64>,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Run, or a schema that it holds; the latest run if absent.
    #[serde(default)]
    #[schemars(with = "RunArg")]
    run_id: RunArg,
}

impl MemoryTool for QuestionTemplateAdd {
    type Args = Args;
    type Output = TemplateAdded;
    const NAME: &'static str = "llm.question_template_add";
    const TITLE: &'static str = "Store a question";
    const TEXT: &'static str = "Stores a question with the plan and SQL that answered it, so that it is found again. A question \
        and SQL that are equal apart from literals update the existing one.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE_IDEMPOTENT;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target().run()
    }

    fn example() -> (&'static str, Value) {
        (
            "A question that worked",
            json!({"title": "Orders of a customer", "question_nl": "How many orders did customer 7 place?", "template": {"parameters": ["customer"]}, "example_sql": "SELECT COUNT(*) FROM orders WHERE customer_id = 7"}),
        )
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(TemplateAdded, Frame)> {
        let (target, run, frame) = target_run(call, args.target_id.as_deref(), &args.run_id)?;
        if let Some(id) = args.agent_run_id {
            agent(deps, call, id, Some(&target.target_id), &RunArg(RunRef::Id(run.run_id)))?;
        }
        let gateway = &deps.tools.gateway;
        let target_id = target.target_id.clone();
        let checked = match &args.example_sql {
            Some(sql) => Some(gateway.check_statement(Some(&target_id), sql, &call.scope).for_tool()?),
            None => None,
        };
        // The default schema is known once the gate has asked the target for its dialect.
        let default_schema = gateway.known_target(Some(&target_id), &call.scope).for_tool()?.default_schema;
        let request = TemplateAdd {
            target_id,
            run_id: run.run_id,
            agent_run_id: args.agent_run_id,
            caller: call.cx.caller.token_name.clone(),
            title: args.title,
            question_nl: args.question_nl,
            template: args.template,
            sql_valid: checked.as_ref().map(|_| true),
            tables: checked.map(|c| c.tables).unwrap_or_default(),
            example_sql: args.example_sql,
            related: args.related_objects.into_iter().map(|o| o.0).collect(),
            default_schema,
            confidence: confidence("confidence", args.confidence)?,
        };
        Ok((deps.catalog()?.template_add(&request).for_tool()?, frame))
    }
}
