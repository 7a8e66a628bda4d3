//! `query`: one statement or verb on the admin interface.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use mcp::{CallContext, ToolAnnotations, ToolError, ToolExample, ToolOutput, ToolResult, ToolSpec};
use mcp_config::{AdminReply, AdminSql, Cell};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{finish, full_session};
use crate::schema::{OutputSchema, input_schema};
use crate::toolbox::QueryTool;

/// Largest integer that every JSON reader keeps exactly.
const SAFE_MAX: i64 = (1 << 53) - 1;

pub(super) struct Query(pub(super) Arc<AdminSql>);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// One statement: SELECT, WITH, VALUES, INSERT, UPDATE, DELETE, REPLACE, SET, SHOW, CHECKSUM, LOAD or SAVE.
    #[schemars(length(min = 1, max = 65536))]
    sql: String,
    /// Most rows of the answer.
    #[serde(default = "rows_default")]
    #[schemars(range(min = 1, max = 1000))]
    max_rows: usize,
    /// Values for the placeholders ?1, ?2, …
    #[serde(default)]
    params: Vec<Value>,
}

const fn rows_default() -> usize {
    200
}

#[derive(Serialize, JsonSchema)]
struct Column {
    /// Name.
    name: String,
    /// integer, bigint, float, string, bytes or any.
    r#type: &'static str,
    /// Type as declared.
    native_type: String,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    /// The statement as run, secrets masked.
    sql: String,
    /// select, dml, verb, set, show or checksum.
    kind: &'static str,
    /// Rows changed or moved.
    rows_affected: u64,
    /// Columns of the rows.
    columns: Vec<Column>,
    /// The rows.
    rows: Vec<Vec<Value>>,
    /// How many rows the answer holds.
    row_count: usize,
    /// Whether a limit left something out.
    truncated: bool,
    /// max_rows, max_bytes or null.
    truncated_by: Option<&'static str>,
    /// What a verb did.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<String>,
}

impl QueryTool for Query {
    type Args = Args;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "query",
            "Runs one statement or verb on the admin interface: SQL over the tables mcp_query_rules, mcp_auth_profiles, \
             mcp_target_profiles, mcp_backends, global_variables, their runtime_ views and the statistics; and verbs such as \
             LOAD MCP QUERY RULES TO RUNTIME or SAVE MCP VARIABLES TO DISK. Tables hold the memory layer: nothing runs until \
             a LOAD. Secrets can be written and are never read back; tokens are for the operator alone.",
            input_schema::<Args>(),
            ToolAnnotations::DESTRUCTIVE,
        )
        .with_title("Admin SQL and verbs")
        .with_toolset("layers")
        .with_output(OutputSchema::of::<Output>().build())
        .with_example(ToolExample::new(
            "Which query rules run?",
            json!({"sql": "SELECT rule_id, active, match_pattern, error_msg FROM runtime_mcp_query_rules"}),
        ))
    }

    fn call(&self, cx: &CallContext, args: Args) -> ToolResult<ToolOutput> {
        let started = Instant::now();
        let params: ToolResult<Vec<Cell>> = args
            .params
            .iter()
            .map(|value| {
                Cell::from_json(value)
                    .ok_or_else(|| ToolError::invalid("params holds plain values").with("argument", "params"))
            })
            .collect();
        let rows_max = args.max_rows.clamp(1, 1000);
        let reply = self.0.execute(&full_session(cx), &args.sql, &params?, rows_max)?;
        finish(started, &output(reply, rows_max))
    }
}

fn output(reply: AdminReply, rows_max: usize) -> Output {
    let by = if reply.rows.len() >= rows_max { "max_rows" } else { "max_bytes" };
    let kinds: Vec<&'static str> =
        (0..reply.columns.len()).map(|at| column_type(reply.rows.iter().map(|row| &row[at]))).collect();
    let rows: Vec<Vec<Value>> = reply
        .rows
        .iter()
        .map(|row| row.iter().zip(&kinds).map(|(cell, kind)| json_of(cell, kind)).collect())
        .collect();
    let columns = reply.columns.into_iter().zip(kinds);
    Output {
        sql: reply.sql,
        kind: reply.kind.as_str(),
        rows_affected: reply.rows_affected,
        columns: columns.map(|((name, native_type), r#type)| Column { name, r#type, native_type }).collect(),
        row_count: rows.len(),
        rows,
        truncated: reply.truncated,
        truncated_by: reply.truncated.then_some(by),
        report: reply.report,
    }
}

fn column_type<'a>(cells: impl Iterator<Item = &'a Cell>) -> &'static str {
    let mut found: Option<&'static str> = None;
    for cell in cells {
        let kind = match cell {
            Cell::Null => continue,
            Cell::Integer(number) if number.unsigned_abs() > SAFE_MAX.unsigned_abs() => "bigint",
            Cell::Integer(_) => "integer",
            Cell::Real(_) => "float",
            Cell::Text(_) => "string",
            Cell::Blob(_) => "bytes",
        };
        found = match (found, kind) {
            (None, kind) => Some(kind),
            (Some(old), kind) if old == kind => Some(old),
            (Some("integer" | "bigint"), "integer" | "bigint") => Some("bigint"),
            _ => return "any",
        };
    }
    found.unwrap_or("string")
}

fn json_of(cell: &Cell, kind: &str) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) if kind == "bigint" => Value::String(number.to_string()),
        Cell::Integer(number) => json!(number),
        Cell::Real(number) if number.is_finite() => json!(number),
        Cell::Real(number) if *number > 0.0 => json!("Infinity"),
        Cell::Real(_) => json!("-Infinity"),
        Cell::Text(text) => Value::String(text.clone()),
        Cell::Blob(bytes) => {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            if kind == "any" { json!({"base64": text}) } else { Value::String(text) }
        }
    }
}
