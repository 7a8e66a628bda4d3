//! `warm_cache`: runs statements through the whole pipeline so that their results are cached before they are asked for.

use std::time::Instant;

use harvest_gateway::{CallScope, StatementRequest, parameter};
use mcp::{ToolAnnotations, ToolError, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::enabled;
use crate::deps::{Call, Frame};
use crate::errors::{IntoToolResult, tool_error};
use crate::ops::{OpsDeps, OpsTool, csv};
use crate::schema::OutputSchema;

pub(super) struct WarmCache;

/// A statement, alone or with its parameters and schema.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Query {
    /// The statement.
    Text(String),
    /// The statement with parameters.
    Full(Statement),
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Statement {
    /// The statement.
    sql: String,
    /// Values for its placeholders.
    #[serde(default)]
    params: Vec<Value>,
    /// Its default schema.
    schema: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// Statements, each as text or as `{sql, params, schema}`.
    #[schemars(length(min = 1, max = 100))]
    queries: Vec<Query>,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
    /// Schema of statements that name none.
    #[schemars(length(min = 1, max = 256))]
    schema: Option<String>,
    /// Time to live in milliseconds; as for a normal call if absent.
    #[schemars(range(min = 1, max = 604_800_000_u64))]
    ttl_ms: Option<u64>,
    /// Tokens of /mcp/query whose entries are filled, where each token has its own; all active ones if absent.
    #[serde(default)]
    #[schemars(length(max = 100))]
    callers: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Failure {
    /// Class of the failure.
    code: &'static str,
    /// Why.
    message: String,
}

#[derive(Serialize, JsonSchema)]
struct Outcome {
    /// Place of the statement in queries.
    index: usize,
    /// warmed, already_cached, not_cacheable or failed.
    status: &'static str,
    /// Rows of the result.
    row_count: Option<usize>,
    /// Milliseconds that it took.
    ms: f64,
    /// Why it failed.
    error: Option<Failure>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Statements given.
    query_count: usize,
    /// Statements whose results are new in the cache.
    warmed: usize,
    /// Statements that failed.
    failed: usize,
    /// One by one.
    results: Vec<Outcome>,
}

impl OpsTool for WarmCache {
    type Args = Args;
    type Output = Output;
    const NAME: &'static str = "warm_cache";
    const TITLE: &'static str = "Warm the cache";
    const TEXT: &'static str = "Runs read-only statements through rules, gate and limits like run_sql_readonly and keeps their results, so \
        that later callers get them from the cache.";
    const TOOLSET: &'static str = "cache";
    const HINTS: ToolAnnotations = ToolAnnotations::WRITE_IDEMPOTENT;

    fn output(schema: OutputSchema) -> OutputSchema {
        schema.target()
    }

    fn example() -> (&'static str, Value) {
        ("Prepare a report", json!({"queries": ["SELECT count(*) FROM orders"], "ttl_ms": 600_000}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: Args) -> ToolResult<(Output, Frame)> {
        let target = deps.tools.gateway.resolve(args.target_id.as_deref(), &call.scope).for_tool()?;
        enabled(call)?;
        let settings = deps.tools.gateway.settings();
        let callers = if settings.cache.shared {
            vec![call.scope.caller.to_string()]
        } else if args.callers.is_empty() {
            (deps.query_callers)()
        } else {
            csv(args.callers.clone())
        };
        if callers.is_empty() {
            return Err(ToolError::precondition(
                "no token of /mcp/query is active: nobody would read the entries",
            )
            .with("reason", "no_callers"));
        }
        let count = args.queries.len();
        let mut results = Vec::with_capacity(count);
        for (index, query) in args.queries.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
            call.cx.progress.progress((index + 1) as f64, Some(count as f64), Some("warming"));
            results.push(warm(call, &args, query, index, &target.target_id, &callers));
        }
        let number = |status: &str| results.iter().filter(|r| r.status == status).count();
        let (warmed, failed) = (number("warmed"), number("failed"));
        if warmed == 0 && number("already_cached") == 0 {
            let list = serde_json::to_value(&results).unwrap_or_default();
            return Err(ToolError::precondition(
                "no result could be cached: see details.results for the reasons",
            )
            .with("reason", "nothing_cached")
            .with("results", list));
        }
        let output = Output { query_count: count, warmed, failed, results };
        Ok((output, Frame::target(target.target_id, target.protocol)))
    }
}

/// One statement for every caller: the worst of what became of it.
fn warm(
    call: &Call<'_>,
    args: &Args,
    query: &Query,
    index: usize,
    target_id: &str,
    callers: &[String],
) -> Outcome {
    let started = Instant::now();
    let mut outcome = Outcome { index, status: "already_cached", row_count: None, ms: 0.0, error: None };
    for caller in callers {
        let done = request(args, query, target_id).and_then(|request| {
            call.deps.gateway.run(&request, &as_caller(&call.scope, caller)).map_err(tool_error)
        });
        match done {
            Ok(done) => {
                outcome.row_count = Some(done.result.row_count);
                outcome.status = match (done.cache.hit, done.cache.ttl_ms) {
                    (true, _) => outcome.status,
                    (false, Some(_)) => "warmed",
                    (false, None) => "not_cacheable",
                };
                if outcome.status == "not_cacheable" {
                    break;
                }
            }
            Err(error) => {
                outcome.status = "failed";
                outcome.error = Some(Failure { code: error.code.as_str(), message: error.message });
                break;
            }
        }
    }
    outcome.ms = (started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    outcome
}

fn request(args: &Args, query: &Query, target_id: &str) -> ToolResult<StatementRequest> {
    let statement = match query.clone() {
        Query::Text(sql) => Statement { sql, params: Vec::new(), schema: None },
        Query::Full(statement) => statement,
    };
    let schema = statement.schema.or_else(|| args.schema.clone());
    let mut request = StatementRequest::new(statement.sql).on(Some(target_id.to_owned()), schema);
    request.params =
        statement.params.iter().map(|value| parameter(value).for_tool()).collect::<ToolResult<_>>()?;
    request.use_cache = true;
    request.cache_ttl_ms = args.ttl_ms;
    Ok(request)
}

/// The scope that a call of `run_sql_readonly` by the other caller would have; targets stay those of this caller.
fn as_caller(scope: &CallScope, caller: &str) -> CallScope {
    let mut scope = scope.clone();
    scope.tool = "run_sql_readonly".into();
    scope.caller = caller.into();
    scope.endpoint = "/mcp/query".into();
    scope
}
