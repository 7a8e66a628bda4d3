//! `column_profile`: statistics of one column.

use mcp::{CallContext, ToolAnnotations, ToolExample, ToolOutput, ToolResult, ToolSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::compose::Place;
use super::live;
use super::profile::{ColumnPlan, Scan, as_count, as_float, per_cent};
use super::shared::statement_frame;
use crate::deps::{Call, Frame, ToolDeps};
use crate::errors::IntoToolResult;
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::{QueryTool, parse};

pub(super) struct ColumnProfile(pub(super) ToolDeps);

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
    /// Most frequent values to list.
    #[serde(default = "max_top_values")]
    #[schemars(range(min = 1, max = 100))]
    max_top_values: usize,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

const fn max_top_values() -> usize {
    20
}

#[derive(Serialize, JsonSchema)]
struct TopValue {
    value: Value,
    /// Rows that hold it.
    count: i64,
    /// Share of all rows, in per cent.
    pct: f64,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    schema: String,
    table: String,
    column: String,
    /// Base type.
    data_type: String,
    /// Rows that were read.
    row_count: i64,
    /// Rows without a value.
    null_count: i64,
    null_pct: f64,
    /// Different values among the rows that were read.
    distinct_count: i64,
    /// Whether distinct_count may differ from that of the whole table.
    distinct_is_estimate: bool,
    /// Most frequent values first.
    top_values: Vec<TopValue>,
    min_value: Value,
    max_value: Value,
    /// Number or decimal string; null for columns that have no average.
    avg_value: Value,
    /// Average length of texts and bytes.
    avg_length: Option<f64>,
    /// Whether only a part of the table was read.
    sampled: bool,
    /// Rows that were read when sampled, else 0.
    sampled_rows: i64,
}

impl QueryTool for ColumnProfile {
    type Args = Map<String, Value>;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "column_profile",
            "Profiles one column: nulls, distinct values, range, average, most frequent values. Large tables are \
             sampled (see sampled).",
            input_schema::<Args>(),
            ToolAnnotations::READ,
        )
        .with_title("Profile a column")
        .with_toolset("data")
        .with_output(OutputSchema::of::<Output>().target().rules().build())
        .with_example(ToolExample::new(
            "Totals of orders",
            json!({"schema": "main", "table": "orders", "column": "total"}),
        ))
    }

    fn call(&self, cx: &CallContext, arguments: Map<String, Value>) -> ToolResult<ToolOutput> {
        let call = Call::begin(&self.0, cx, "column_profile");
        let args: Args = parse(arguments.clone())?;
        let answer = profile(&call, &args);
        let target = args.target_id.as_deref().unwrap_or_default();
        call.record(&arguments, target, &args.schema, u64::from(answer.is_ok()), answer.is_err());
        let (output, frame) = answer?;
        match output {
            Some(output) => call.finish(&output, frame),
            None => call.finish(&json!({}), frame),
        }
    }
}

fn profile(call: &Call<'_>, args: &Args) -> ToolResult<(Option<Output>, Frame)> {
    let target_id = args.target_id.as_deref();
    let place = Place { target_id, schema: &args.schema, table: &args.table };
    let (_, object) = live::table(call, target_id, &args.schema, &args.table)?;
    let column = live::column(&object, &args.column)?;
    let dialect = call.deps.gateway.dialect(target_id, &call.scope).for_tool()?;
    let plan = ColumnPlan::new(column, dialect);
    let scan_max = call.deps.gateway.settings().profile_scan_rows_max;
    let scan = Scan::new(&object, &place.sql(dialect), std::slice::from_ref(&plan.quoted), scan_max);
    let names =
        ["row_count", "value_count", "distinct_count", "min_value", "max_value", "avg_value", "avg_length"];
    let expressions: Vec<_> = std::iter::once("COUNT(*)".to_owned()).chain(plan.statistics(true)).collect();
    let list: Vec<_> =
        expressions.iter().zip(names).map(|(expression, name)| format!("{expression} AS {name}")).collect();
    let sql = format!("SELECT {} FROM {}", list.join(", "), scan.from);
    let (outcome, rows) = place.small(call, sql, names.iter().map(|name| (*name).to_owned()).collect())?;
    if outcome.ok_message.is_some() {
        return Ok((None, statement_frame(&outcome)));
    }
    let row = rows.into_iter().next().unwrap_or_default();
    let row_count = as_count(row.first());
    let top_values = top_values(call, &place, &plan, &scan, args.max_top_values, row_count)?;
    Ok((Some(output(args, &column.data_type, &scan, &row, top_values)), statement_frame(&outcome)))
}

fn top_values(
    call: &Call<'_>,
    place: &Place<'_>,
    plan: &ColumnPlan,
    scan: &Scan,
    limit: usize,
    row_count: i64,
) -> ToolResult<Vec<TopValue>> {
    let sql = format!(
        "SELECT {value} AS value_found, COUNT(*) AS value_count FROM {} WHERE {} IS NOT NULL GROUP BY 1 \
         ORDER BY 2 DESC, 1 LIMIT {limit}",
        scan.from,
        plan.quoted,
        value = plan.grouped,
    );
    let (_, rows) = place.small(call, sql, vec!["value_found".to_owned(), "value_count".to_owned()])?;
    Ok(rows
        .into_iter()
        .map(|mut row| {
            let count = as_count(row.pop().as_ref());
            TopValue { value: row.pop().unwrap_or(Value::Null), count, pct: per_cent(count, row_count) }
        })
        .collect())
}

fn output(args: &Args, data_type: &str, scan: &Scan, row: &[Value], top_values: Vec<TopValue>) -> Output {
    let value = |at: usize| row.get(at).cloned().unwrap_or(Value::Null);
    let row_count = as_count(row.first());
    let null_count = row_count - as_count(row.get(1));
    Output {
        schema: args.schema.clone(),
        table: args.table.clone(),
        column: args.column.clone(),
        data_type: data_type.to_owned(),
        row_count,
        null_count,
        null_pct: per_cent(null_count, row_count),
        distinct_count: as_count(row.get(2)),
        distinct_is_estimate: scan.sampled,
        top_values,
        min_value: value(3),
        max_value: value(4),
        avg_value: value(5),
        avg_length: as_float(row.get(6)),
        sampled: scan.sampled,
        sampled_rows: if scan.sampled { row_count } else { 0 },
    }
}
