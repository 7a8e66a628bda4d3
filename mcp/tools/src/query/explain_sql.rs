//! `explain_sql`: the plan of one read-only statement.

use harvest::{DialectName, ExplainOptions};
use harvest_gateway::{StatementOutcome, StatementRequest};
use mcp::{CallContext, ToolAnnotations, ToolExample, ToolOutput, ToolResult, ToolSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::explain_plan::{Summary, read_plan};
use super::run_sql_readonly::Param;
use super::shared::{Limits, statement_frame};
use crate::deps::{Call, ToolDeps};
use crate::errors::IntoToolResult;
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::{QueryTool, parse};

/// Rows of a plan that are read.
const PLAN_ROWS_MAX: usize = 10_000;

pub(super) struct ExplainSql(pub(super) ToolDeps);

/// Form of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// The engine's JSON plan.
    #[default]
    Json,
    /// The engine's text plan.
    Text,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Args {
    /// One SELECT in the target's dialect; a leading EXPLAIN is accepted.
    #[schemars(length(min = 1))]
    sql: String,
    /// Values for the placeholders `?` or `$n`, in order.
    #[serde(default)]
    #[schemars(length(max = 100))]
    params: Vec<Param>,
    /// Default schema of the statement; the target's default if absent.
    #[schemars(length(min = 1, max = 256))]
    schema: Option<String>,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Whether the statement is executed and measured, under the same limits.
    #[serde(default)]
    analyze: bool,
    /// Form of the plan.
    #[serde(default)]
    format: Format,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    /// json or text.
    format: Format,
    /// The engine's JSON plan; SQLite: the plan rows as a tree.
    plan: Value,
    /// The plan as text, where asked for.
    plan_text: Option<String>,
    /// What to look at first.
    summary: Summary,
    /// The limits that held.
    limits: Limits,
    /// Whether a query rule changed the statement.
    rewritten: bool,
}

impl QueryTool for ExplainSql {
    type Args = Map<String, Value>;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "explain_sql",
            "Shows how the engine would run one read-only statement: estimated rows and cost, full scans, indexes. With \
             analyze the statement is run and measured under the same limits.",
            input_schema::<Args>(),
            ToolAnnotations::READ_VARYING,
        )
        .with_title("Explain SQL")
        .with_toolset("sql")
        .with_output(OutputSchema::of::<Output>().target().rules().build())
        .with_example(ToolExample::new(
            "Does this use an index?",
            json!({"sql": "SELECT * FROM orders WHERE customer_id = 42"}),
        ))
    }

    fn call(&self, cx: &CallContext, arguments: Map<String, Value>) -> ToolResult<ToolOutput> {
        let call = Call::begin(&self.0, cx, "explain_sql");
        let args: Args = parse(arguments.clone())?;
        let outcome = plan(&call, &args);
        let target = outcome.as_ref().map_or("", |outcome| outcome.target_id.as_str());
        let schema = args.schema.as_deref().unwrap_or_default();
        call.record(&arguments, target, schema, u64::from(outcome.is_ok()), outcome.is_err());
        let outcome = outcome?;
        let frame = statement_frame(&outcome);
        if outcome.ok_message.is_some() {
            return call.finish(&json!({}), frame);
        }
        call.finish(&output(&args, &outcome)?, frame)
    }
}

fn plan(call: &Call<'_>, args: &Args) -> ToolResult<StatementOutcome> {
    let target_id = args.target_id.clone();
    let mut request = StatementRequest::new(args.sql.as_str()).on(target_id, args.schema.clone());
    request.params = args.params.iter().cloned().map(Param::bind).collect::<ToolResult<_>>()?;
    request.plan = Some(ExplainOptions { analyze: args.analyze, json: args.format == Format::Json });
    request.plan_rows_max = Some(PLAN_ROWS_MAX);
    call.deps.gateway.run(&request, &call.scope).for_tool()
}

fn output(args: &Args, outcome: &StatementOutcome) -> ToolResult<Output> {
    let rows = outcome.result.rows().for_tool()?;
    let read = read_plan(outcome.dialect, &rows);
    let text = args.format == Format::Text;
    let plan = match (text, outcome.dialect) {
        (true, DialectName::Sqlite) | (false, _) => read.plan,
        (true, _) => Value::Null,
    };
    Ok(Output {
        format: args.format,
        plan,
        plan_text: text.then_some(read.text),
        summary: read.summary,
        limits: outcome.limits.into(),
        rewritten: outcome.rewritten,
    })
}
