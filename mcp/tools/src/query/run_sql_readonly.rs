//! `run_sql_readonly`: one read-only statement of the caller's through the whole pipeline.

use harvest::Value as SqlValue;
use harvest_gateway::{StatementOutcome, StatementRequest, parameter};
use mcp::{CallContext, ToolAnnotations, ToolExample, ToolOutput, ToolResult, ToolSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::shared::{ResultSetShape, result_set_text, statement_frame};
use crate::deps::{Call, ToolDeps};
use crate::errors::IntoToolResult;
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::{QueryTool, parse};

pub(super) struct RunSqlReadonly(pub(super) ToolDeps);

/// A value that is bound to a placeholder.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Param {
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    Null(()),
}

impl Param {
    pub(super) fn bind(self) -> ToolResult<SqlValue> {
        let value = match self {
            Self::Bool(flag) => Value::Bool(flag),
            Self::Number(number) => Value::Number(number),
            Self::Text(text) => Value::String(text),
            Self::Null(()) => Value::Null,
        };
        parameter(&value).for_tool()
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Args {
    /// One SELECT, WITH, VALUES, SHOW, DESCRIBE or EXPLAIN in the target's dialect, without a second statement.
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
    /// Most rows of the answer; the target's limit if absent, and never more than it.
    #[schemars(range(min = 1, max = 1_000_000))]
    max_rows: Option<usize>,
    /// Longest run in seconds; the target's limit if absent, and never more than it.
    #[schemars(range(min = 0.05, max = 300.0))]
    timeout_sec: Option<f64>,
    /// Whether a cached result may answer.
    #[serde(default = "yes")]
    use_cache: bool,
}

const fn yes() -> bool {
    true
}

/// How the result cache took part.
#[derive(Serialize, JsonSchema)]
struct Cache {
    /// Whether the cache answered.
    hit: bool,
    /// Age of the answer in milliseconds.
    age_ms: Option<u64>,
    /// Time to live in milliseconds, when the result is cached.
    ttl_ms: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    #[serde(flatten)]
    result: ResultSetShape,
    /// Whether a query rule changed the statement.
    rewritten: bool,
    /// How the result cache took part.
    cache: Cache,
}

impl QueryTool for RunSqlReadonly {
    type Args = Map<String, Value>;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "run_sql_readonly",
            "Runs one read-only SQL statement and answers its rows. Everything that could change, lock or leak is \
             refused with the construct and a remedy; rows and time are limited (see limits, truncated). Bind values \
             with params instead of writing them into the text. Integers beyond 2^53 come as strings (type bigint).",
            input_schema::<Args>(),
            ToolAnnotations::READ_VARYING,
        )
        .with_title("Run read-only SQL")
        .with_toolset("sql")
        .with_output(OutputSchema::of::<Output>().target().truncated().rules().build())
        .with_example(ToolExample::new(
            "The five newest orders of a customer",
            json!({"sql": "SELECT id, total FROM orders WHERE customer_id = ? ORDER BY id DESC LIMIT 5", "params": [42]}),
        ))
    }

    fn call(&self, cx: &CallContext, arguments: Map<String, Value>) -> ToolResult<ToolOutput> {
        let call = Call::begin(&self.0, cx, "run_sql_readonly");
        let args: Args = parse(arguments.clone())?;
        let (target_id, schema) = (args.target_id.clone(), args.schema.clone());
        let outcome =
            statement(args).and_then(|request| self.0.gateway.run(&request, &call.scope).for_tool());
        let target =
            outcome.as_ref().map_or(target_id.as_deref().unwrap_or_default(), |o| o.target_id.as_str());
        let rows = outcome.as_ref().map_or(0, |outcome| outcome.result.row_count as u64);
        call.record(&arguments, target, schema.as_deref().unwrap_or_default(), rows, outcome.is_err());
        Ok(ToolOutput::structured_json(answer(&call, &outcome?)))
    }
}

fn statement(args: Args) -> ToolResult<StatementRequest> {
    let mut request = StatementRequest::new(args.sql).on(args.target_id, args.schema);
    request.params = args.params.into_iter().map(Param::bind).collect::<ToolResult<_>>()?;
    request.rows_max = args.max_rows;
    request.timeout_ms = args.timeout_sec.map(timeout_ms);
    request.use_cache = args.use_cache;
    Ok(request)
}

/// Seconds as whole milliseconds, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the argument's range"
)]
pub(super) fn timeout_ms(seconds: f64) -> u64 {
    (seconds.clamp(0.001, 300.0) * 1_000.0).round() as u64
}

fn answer(call: &Call<'_>, outcome: &StatementOutcome) -> String {
    let number = |value: Option<u64>| value.map_or_else(|| "null".to_owned(), |value| value.to_string());
    let cache = &outcome.cache;
    format!(
        "{{{},\"rewritten\":{},\"cache\":{{\"hit\":{},\"age_ms\":{},\"ttl_ms\":{}}}{},\"stats\":{{\"ms\":{}}}}}",
        result_set_text(&outcome.result, outcome.limits),
        outcome.rewritten,
        cache.hit,
        number(cache.age_ms),
        number(cache.ttl_ms),
        statement_frame(outcome).tail(),
        call.elapsed_ms()
    )
}
