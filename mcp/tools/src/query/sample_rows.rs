//! `sample_rows`: some rows of a table or view.

use harvest_gateway::StatementOutcome;
use mcp::{CallContext, ToolAnnotations, ToolExample, ToolOutput, ToolResult, ToolSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::compose::{Place, order_by, predicate};
use super::live;
use super::shared::{ResultSetShape, result_set_text, statement_frame};
use crate::deps::{Call, ToolDeps, is_not_found};
use crate::errors::IntoToolResult;
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::{QueryTool, parse};

pub(super) struct SampleRows(pub(super) ToolDeps);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Args {
    /// Schema or database.
    #[schemars(length(min = 1, max = 256))]
    schema: String,
    /// Table or view.
    #[schemars(length(min = 1, max = 256))]
    table: String,
    /// Columns; all if absent. Also accepted as comma-separated text.
    #[serde(default)]
    columns: Vec<String>,
    /// One boolean expression in the target's dialect, as after WHERE.
    #[serde(rename = "where")]
    #[schemars(length(min = 1, max = 4096))]
    filter: Option<String>,
    /// One ordering list, as after ORDER BY.
    #[schemars(length(min = 1, max = 4096))]
    order_by: Option<String>,
    /// Most rows.
    #[serde(default = "limit")]
    #[schemars(range(min = 1, max = 200))]
    limit: usize,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

const fn limit() -> usize {
    20
}

#[derive(Serialize, JsonSchema)]
struct Output {
    /// The schema.
    schema: String,
    /// The table.
    table: String,
    #[serde(flatten)]
    result: ResultSetShape,
}

impl QueryTool for SampleRows {
    type Args = Map<String, Value>;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "sample_rows",
            "Shows some rows of a table or view, optionally of chosen columns, filtered and ordered. Use it to see what \
             values look like; for anything else use run_sql_readonly.",
            input_schema::<Args>(),
            ToolAnnotations::READ_VARYING,
        )
        .with_title("Sample rows")
        .with_toolset("data")
        .with_output(OutputSchema::of::<Output>().target().truncated().rules().build())
        .with_example(ToolExample::new(
            "Three large orders",
            json!({"schema": "main", "table": "orders", "where": "total > 100", "limit": 3}),
        ))
    }

    fn call(&self, cx: &CallContext, arguments: Map<String, Value>) -> ToolResult<ToolOutput> {
        let call = Call::begin(&self.0, cx, "sample_rows");
        let args: Args = parse(arguments.clone())?;
        let outcome = sample(&call, &args);
        let target = outcome.as_ref().map_or("", |outcome| outcome.target_id.as_str());
        let rows = outcome.as_ref().map_or(0, |outcome| outcome.result.row_count as u64);
        call.record(&arguments, target, &args.schema, rows, outcome.is_err());
        Ok(ToolOutput::structured_json(answer(&call, &args, &outcome?)))
    }
}

fn sample(call: &Call<'_>, args: &Args) -> ToolResult<StatementOutcome> {
    let target_id = args.target_id.as_deref();
    let place = Place { target_id, schema: &args.schema, table: &args.table };
    let dialect = call.deps.gateway.dialect(target_id, &call.scope).for_tool()?;
    if !args.columns.is_empty() {
        // Some engines read an unknown quoted name as a string, so names are looked up first.
        let (_, object) = live::table(call, target_id, &args.schema, &args.table)?;
        for name in &args.columns {
            live::column(&object, name)?;
        }
    }
    let columns: Vec<_> = args.columns.iter().map(|name| dialect.quote_identifier(name)).collect();
    let sql = format!(
        "SELECT {} FROM {}{}{} LIMIT {}",
        if columns.is_empty() { "*".to_owned() } else { columns.join(", ") },
        place.sql(dialect),
        predicate(call, target_id, args.filter.as_deref())?,
        order_by(call, target_id, args.order_by.as_deref())?,
        // One more row tells whether there are more.
        args.limit + 1,
    );
    let mut request = place.request(sql, args.columns.clone());
    if args.columns.is_empty() {
        request.origin = harvest_gateway::Origin::Caller;
    }
    request.rows_max = Some(args.limit);
    call.deps.gateway.run(&request, &call.scope).for_tool().map_err(|error| {
        if is_not_found(&error)
            && !error.details.contains_key("similar")
            && error.details.get("kind").is_none_or(|k| k != "target")
        {
            return live::unknown_table(call, target_id, &args.schema, &args.table, "table");
        }
        error
    })
}

fn answer(call: &Call<'_>, args: &Args, outcome: &StatementOutcome) -> String {
    format!(
        "{{\"schema\":{},\"table\":{},{}{},\"stats\":{{\"ms\":{}}}}}",
        Value::from(args.schema.as_str()),
        Value::from(args.table.as_str()),
        result_set_text(&outcome.result, outcome.limits),
        statement_frame(outcome).tail(),
        call.elapsed_ms()
    )
}
