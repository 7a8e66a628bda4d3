//! `sample_distinct`: distinct values of a column with their counts, most frequent first.

use mcp::{CallContext, ToolAnnotations, ToolExample, ToolOutput, ToolResult, ToolSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::compose::{Place, predicate};
use super::live;
use super::profile::ColumnPlan;
use super::shared::{Limits, statement_frame, type_name};
use crate::deps::{Call, Frame, ToolDeps};
use crate::errors::IntoToolResult;
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::{QueryTool, parse};

pub(super) struct SampleDistinct(pub(super) ToolDeps);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Args {
    /// Schema or database.
    #[schemars(length(min = 1, max = 256))]
    schema: String,
    /// Table or view.
    #[schemars(length(min = 1, max = 256))]
    table: String,
    /// Column.
    #[schemars(length(min = 1, max = 256))]
    column: String,
    /// One boolean expression in the target's dialect, as after WHERE.
    #[serde(rename = "where")]
    #[schemars(length(min = 1, max = 4096))]
    filter: Option<String>,
    /// Most values.
    #[serde(default = "limit")]
    #[schemars(range(min = 1, max = 500))]
    limit: usize,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

const fn limit() -> usize {
    50
}

/// A value with its count.
#[derive(Serialize, JsonSchema)]
struct Counted {
    /// The value; null counts rows without one.
    value: Value,
    /// Rows that hold it.
    count: i64,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    /// The schema.
    schema: String,
    /// The table.
    table: String,
    /// The column.
    column: String,
    /// How the values are shown.
    #[serde(rename = "type")]
    col_type: String,
    /// Values, most frequent first.
    values: Vec<Counted>,
    /// The limits that held.
    limits: Limits,
}

impl QueryTool for SampleDistinct {
    type Args = Map<String, Value>;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "sample_distinct",
            "Shows the distinct values of a column with their counts, most frequent first. Use it to learn codes, \
             states and categories before you filter by them.",
            input_schema::<Args>(),
            ToolAnnotations::READ,
        )
        .with_title("Sample distinct values")
        .with_toolset("data")
        .with_output(OutputSchema::of::<Output>().target().truncated().rules().build())
        .with_example(ToolExample::new(
            "States of orders",
            json!({"schema": "main", "table": "orders", "column": "status"}),
        ))
    }

    fn call(&self, cx: &CallContext, arguments: Map<String, Value>) -> ToolResult<ToolOutput> {
        let call = Call::begin(&self.0, cx, "sample_distinct");
        let args: Args = parse(arguments.clone())?;
        let answer = distinct(&call, &args);
        let target = args.target_id.as_deref().unwrap_or_default();
        let rows = answer.as_ref().map_or(0, |(output, _)| output.values.len() as u64);
        call.record(&arguments, target, &args.schema, rows, answer.is_err());
        let (output, frame) = answer?;
        call.finish(&output, frame)
    }
}

fn distinct(call: &Call<'_>, args: &Args) -> ToolResult<(Output, Frame)> {
    let target_id = args.target_id.as_deref();
    let place = Place { target_id, schema: &args.schema, table: &args.table };
    let (_, object) = live::table(call, target_id, &args.schema, &args.table)?;
    let column = live::column(&object, &args.column)?;
    let dialect = call.deps.gateway.dialect(target_id, &call.scope).for_tool()?;
    let value = ColumnPlan::new(column, dialect).grouped;
    let (v, n) = (dialect.quote_identifier("value"), dialect.quote_identifier("count"));
    let sql = format!(
        "SELECT {value} AS {v}, COUNT(*) AS {n} FROM {}{} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {}",
        place.sql(dialect),
        predicate(call, target_id, args.filter.as_deref())?,
        args.limit + 1,
    );
    let mut request = place.request(sql, vec!["value".to_owned(), "count".to_owned()]);
    request.rows_max = Some(args.limit);
    let outcome = call.deps.gateway.run(&request, &call.scope).for_tool()?;
    let values = outcome.result.rows().for_tool()?.into_iter().map(|mut row| Counted {
        count: row.pop().as_ref().and_then(Value::as_i64).unwrap_or(0),
        value: row.pop().unwrap_or(Value::Null),
    });
    let output = Output {
        schema: args.schema.clone(),
        table: args.table.clone(),
        column: args.column.clone(),
        col_type: outcome.result.columns.first().map(|c| type_name(c.col_type)).unwrap_or_default(),
        values: values.collect(),
        limits: outcome.limits.into(),
    };
    Ok((output, statement_frame(&outcome).truncated(outcome.result.truncated_by.is_some())))
}
