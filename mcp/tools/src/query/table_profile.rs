//! `table_profile`: statistics of a table, from metadata or from its rows.

use std::collections::BTreeMap;

use harvest::{Dialect, MetadataDepth, ObjectMeta};
use harvest_catalog::{TableDoc, guessed_kind};
use harvest_gateway::ColumnGuard;
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
use crate::guard;
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::{QueryTool, parse};

/// Columns whose statistics one statement computes.
const COLUMNS_PER_STATEMENT: usize = 40;
/// Values that a full profile lists by column.
const TOP_VALUES: usize = 5;

pub(super) struct TableProfile(pub(super) ToolDeps);

/// How deep a profile looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Metadata only.
    #[default]
    Quick,
    /// Reads the rows.
    Full,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Args {
    /// Schema or database.
    #[schemars(length(min = 1, max = 256))]
    schema: String,
    /// Table or view.
    #[schemars(length(min = 1, max = 256))]
    table: String,
    /// quick reads metadata only; full reads the rows, or a part of a large table.
    #[serde(default)]
    mode: Mode,
    /// Target; the default target if absent.
    #[schemars(length(min = 1, max = 64))]
    target_id: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct TopValue {
    value: Value,
    /// Rows that hold it.
    count: i64,
}

#[derive(Serialize, JsonSchema)]
struct ColumnStats {
    /// Rows without a value, in per cent.
    null_pct: f64,
    /// Different values among the rows that were read.
    distinct_est: i64,
    min: Value,
    max: Value,
    /// Average length of texts and bytes.
    avg_length: Option<f64>,
    /// Most frequent values first.
    top_values: Vec<TopValue>,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    schema: String,
    table: String,
    /// quick or full.
    mode: Mode,
    /// Rows as the engine estimates them.
    row_estimate: Option<i64>,
    /// Rows counted; null unless the whole table was read.
    row_count: Option<i64>,
    /// Bytes of data and indexes as the engine estimates them.
    size_estimate: Option<i64>,
    /// log/event, fact, entity, bridge, lookup or unknown.
    guessed_kind: String,
    /// Columns that hold dates or times.
    time_columns: Vec<String>,
    /// Columns that look like identifiers.
    id_columns: Vec<String>,
    /// Statistics by column; empty for quick.
    column_stats: BTreeMap<String, ColumnStats>,
    /// Whether only a part of the table was read.
    sampled: bool,
    /// Rows that were read when sampled, else 0.
    sampled_rows: i64,
}

impl QueryTool for TableProfile {
    type Args = Map<String, Value>;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "table_profile",
            "Profiles a table: size, guessed kind, time and identifier columns; with mode full also nulls, distinct \
             values, ranges and frequent values of every column.",
            input_schema::<Args>(),
            ToolAnnotations::READ,
        )
        .with_title("Profile a table")
        .with_toolset("data")
        .with_output(OutputSchema::of::<Output>().target().rules().build())
        .with_example(ToolExample::new(
            "What is in orders?",
            json!({"schema": "main", "table": "orders", "mode": "full"}),
        ))
    }

    fn call(&self, cx: &CallContext, arguments: Map<String, Value>) -> ToolResult<ToolOutput> {
        let call = Call::begin(&self.0, cx, "table_profile");
        let args: Args = parse(arguments.clone())?;
        let answer = match args.mode {
            Mode::Quick => quick(&call, &args),
            Mode::Full => full(&call, &args),
        };
        let target = args.target_id.as_deref().unwrap_or_default();
        call.record(&arguments, target, &args.schema, u64::from(answer.is_ok()), answer.is_err());
        let (output, frame) = answer?;
        match output {
            Some(output) => call.finish(&output, frame),
            None => call.finish(&json!({}), frame),
        }
    }
}

fn quick(call: &Call<'_>, args: &Args) -> ToolResult<(Option<Output>, Frame)> {
    let target_id = args.target_id.as_deref();
    let read = live::objects(call, target_id, &args.schema, Some(&args.table), MetadataDepth::Full);
    let outcome = live::named(call, target_id, read, &args.schema, &args.table, "table")?;
    let frame = live::frame(&outcome);
    if outcome.ok_message.is_some() {
        return Ok((None, frame));
    }
    let object = live::relation(call, target_id, &outcome, &args.schema, &args.table, "table")?;
    let dialect = call.deps.gateway.dialect(target_id, &call.scope).for_tool()?;
    Ok((Some(from_metadata(args, object, dialect, &guard::of(call, target_id)?)), frame))
}

fn from_metadata(args: &Args, object: &ObjectMeta, dialect: &dyn Dialect, guard: &ColumnGuard) -> Output {
    let mut doc = TableDoc::live(object, dialect);
    guard::table(guard, &mut doc);
    let names = |wanted: fn(&harvest_catalog::ColumnDoc) -> bool| {
        doc.columns.iter().filter(|column| wanted(column)).map(|column| column.name.clone()).collect()
    };
    Output {
        schema: args.schema.clone(),
        table: args.table.clone(),
        mode: args.mode,
        row_estimate: doc.rows_est,
        row_count: None,
        size_estimate: doc.size_bytes,
        guessed_kind: guessed_kind(object, dialect).to_owned(),
        time_columns: names(|column| column.is_time),
        id_columns: names(|column| column.is_id_like),
        column_stats: BTreeMap::new(),
        sampled: false,
        sampled_rows: 0,
    }
}

fn full(call: &Call<'_>, args: &Args) -> ToolResult<(Option<Output>, Frame)> {
    let target_id = args.target_id.as_deref();
    let place = Place { target_id, schema: &args.schema, table: &args.table };
    let (_, mut object) = live::table(call, target_id, &args.schema, &args.table)?;
    let dialect = call.deps.gateway.dialect(target_id, &call.scope).for_tool()?;
    let guard = guard::of(call, target_id)?;
    let mut output = from_metadata(args, &object, dialect, &guard);
    // A statistic of a guarded column would be refused; the others are still worth having.
    object.columns.retain(|column| {
        let made = column.generation_expr.as_ref();
        let made = made.is_some_and(|text| guard.expression_names(&args.schema, &args.table, text));
        !made && guard.action(&args.schema, &args.table, &column.name).is_none()
    });
    let plans: Vec<_> = object.columns.iter().map(|column| ColumnPlan::new(column, dialect)).collect();
    let quoted: Vec<_> = plans.iter().map(|plan| plan.quoted.clone()).collect();
    let rows_max = call.deps.gateway.settings().profile_scan_rows_max;
    let mut frame = Frame::new();
    let mut row_count = 0;
    let total = object.columns.len() as f64;
    for (at, chunk) in plans.chunks(COLUMNS_PER_STATEMENT).enumerate() {
        let first = at * COLUMNS_PER_STATEMENT;
        let scan = Scan::new(&object, &place.sql(dialect), &quoted[first..first + chunk.len()], rows_max);
        let (sql, names) = statistics_sql(chunk, &scan);
        let (outcome, rows) = place.small(call, sql, names)?;
        frame = statement_frame(&outcome);
        if outcome.ok_message.is_some() {
            return Ok((None, frame));
        }
        let row = rows.into_iter().next().unwrap_or_default();
        row_count = as_count(row.first());
        output.sampled = scan.sampled;
        for (offset, plan) in chunk.iter().enumerate() {
            let column = &object.columns[first + offset];
            let mut stats = column_stats(&row, 1 + offset * 6, row_count);
            stats.top_values = top_values(call, &place, plan, &scan)?;
            output.column_stats.insert(column.name.clone(), stats);
            call.cx.progress.progress((first + offset + 1) as f64, Some(total), Some(&column.name));
        }
    }
    output.row_count = (!output.sampled).then_some(row_count);
    output.sampled_rows = if output.sampled { row_count } else { 0 };
    Ok((Some(output), frame))
}

fn statistics_sql(plans: &[ColumnPlan], scan: &Scan) -> (String, Vec<String>) {
    let mut list = vec!["COUNT(*) AS row_count".to_owned()];
    let mut names = vec!["row_count".to_owned()];
    for (at, plan) in plans.iter().enumerate() {
        for (part, expression) in plan.statistics(true).into_iter().enumerate() {
            let name = format!("c{at}_{part}");
            list.push(format!("{expression} AS {name}"));
            names.push(name);
        }
    }
    (format!("SELECT {} FROM {}", list.join(", "), scan.from), names)
}

fn column_stats(row: &[Value], at: usize, row_count: i64) -> ColumnStats {
    let value = |offset: usize| row.get(at + offset).cloned().unwrap_or(Value::Null);
    ColumnStats {
        null_pct: per_cent(row_count - as_count(row.get(at)), row_count),
        distinct_est: as_count(row.get(at + 1)),
        min: value(2),
        max: value(3),
        avg_length: as_float(row.get(at + 5)),
        top_values: Vec::new(),
    }
}

fn top_values(
    call: &Call<'_>,
    place: &Place<'_>,
    plan: &ColumnPlan,
    scan: &Scan,
) -> ToolResult<Vec<TopValue>> {
    let sql = format!(
        "SELECT {value} AS value_found, COUNT(*) AS value_count FROM {} WHERE {} IS NOT NULL GROUP BY 1 \
         ORDER BY 2 DESC, 1 LIMIT {TOP_VALUES}",
        scan.from,
        plan.quoted,
        value = plan.grouped,
    );
    let (_, rows) = place.small(call, sql, vec!["value_found".to_owned(), "value_count".to_owned()])?;
    Ok(rows
        .into_iter()
        .map(|mut row| {
            let count = as_count(row.pop().as_ref());
            TopValue { value: row.pop().unwrap_or(Value::Null), count }
        })
        .collect())
}
