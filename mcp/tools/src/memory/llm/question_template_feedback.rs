//! `llm.question_template_feedback`: outcome of using a template.

use harvest_catalog::{Outcome, TemplateFeedback, TemplateFeedbackDone};
use mcp::{ToolAnnotations, ToolResult};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deps::{Call, Frame};
use crate::errors::IntoToolResult;
use crate::memory::deps::CatalogDeps;
use crate::memory::tool::MemoryTool;
use crate::schema::OutputSchema;

pub(in crate::memory) struct QuestionTemplateFeedback;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::memory) struct Args {
    /// The template.
    #[schemars(range(min = 1))]
    template_id: i64,
    /// Whether it answered the question.
    outcome: Outcome,
    /// What went wrong.
    #[schemars(length(max = 2048))]
    error: Option<String>,
    /// Rows of the answer.
    #[schemars(range(min = 0))]
    row_count: Option<i64>,
    /// Milliseconds that it took.
    #[schemars(range(min = 0))]
    ms: Option<f64>,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

impl MemoryTool for QuestionTemplateFeedback {
    type Args = Args;
    type Output = TemplateFeedbackDone;
    const NAME: &'static str = "llm.question_template_feedback";
    const TITLE: &'static str = "Report how a template worked";
    const TEXT: &'static str = "Counts how using a question template went. Failures make it suspect and in the end retired; a \
        success makes it active again.";
    const TOOLSET: &'static str = "memory";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target()
    }

    fn example() -> (&'static str, Value) {
        ("It worked", json!({"template_id": 4, "outcome": "success", "row_count": 1, "ms": 12}))
    }

    fn run(deps: &CatalogDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(TemplateFeedbackDone, Frame)> {
        let target = deps.tools.gateway.known_target(args.target_id.as_deref(), &call.scope).for_tool()?;
        let feedback = TemplateFeedback {
            target_id: target.target_id.clone(),
            template_id: args.template_id,
            caller: call.cx.caller.token_name.clone(),
            outcome: args.outcome,
            error: args.error,
            row_count: args.row_count,
            ms: args.ms,
        };
        let done = deps.catalog()?.template_feedback(&feedback).for_tool()?;
        Ok((done, Frame::target(target.target_id, target.protocol)))
    }
}
