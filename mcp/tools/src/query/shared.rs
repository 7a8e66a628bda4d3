//! Argument and result types that several tools share, and the text of a result set; it knows no single tool.

use harvest::{ColType, ResultSet};
use harvest_gateway::{EffectiveLimits, StatementOutcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::deps::Frame;

/// Where metadata comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// The engine, now.
    #[default]
    Live,
    /// The latest run of the catalog.
    Catalog,
}

/// The limits that held.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub(crate) struct Limits {
    /// Most rows of the statement.
    pub(crate) max_rows: usize,
    /// Longest run of the statement in milliseconds; 0 means none.
    pub(crate) timeout_ms: u64,
}

impl From<EffectiveLimits> for Limits {
    fn from(limits: EffectiveLimits) -> Self {
        Self { max_rows: limits.rows_max, timeout_ms: limits.timeout_ms }
    }
}

/// A column of a result set.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ResultColumn {
    /// Name as the engine gives it; duplicates are legal.
    name: String,
    /// How the values are shown: boolean, integer, bigint, decimal, float, string, bytes, date, time, datetime,
    /// timestamptz, interval, uuid, json, array or any.
    #[serde(rename = "type")]
    col_type: String,
    /// The engine's own name of the type.
    native_type: String,
    /// For arrays: how the elements are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    element_type: Option<String>,
}

/// The keys of a result set, for output schemas; the text itself is written by hand.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ResultSetShape {
    /// Columns in the order of the values.
    columns: Vec<ResultColumn>,
    /// Rows, each an array of values in the order of `columns`.
    rows: Vec<Vec<serde_json::Value>>,
    /// Number of rows.
    row_count: usize,
    /// What cut the result: `max_rows`, `max_bytes`, or null.
    truncated_by: Option<String>,
    /// The limits that held.
    limits: Limits,
}

/// The wire name of a column type.
pub(crate) fn type_name(col_type: ColType) -> String {
    serde_json::to_value(col_type).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The keys of a result set as JSON text, without braces: columns, rows, counts, truncation, limits.
pub(crate) fn result_set_text(result: &ResultSet, limits: EffectiveLimits) -> String {
    let columns = serde_json::to_string(&*result.columns).unwrap_or_else(|_| "[]".to_owned());
    let by = match result.truncated_by {
        None => "null",
        Some(harvest::TruncatedBy::MaxRows) => "\"max_rows\"",
        Some(harvest::TruncatedBy::MaxBytes) => "\"max_bytes\"",
    };
    let mut out = String::with_capacity(columns.len() + result.rows_json.len() + 256);
    out.push_str("\"columns\":");
    out.push_str(&columns);
    out.push_str(",\"rows\":");
    out.push_str(&result.rows_json);
    out.push_str(&format!(
        ",\"row_count\":{},\"truncated\":{},\"truncated_by\":{by},\"limits\":{{\"max_rows\":{},\"timeout_ms\":{}}}",
        result.row_count,
        result.truncated_by.is_some(),
        limits.rows_max,
        limits.timeout_ms
    ));
    out
}

/// The frame of a statement's answer.
pub(crate) fn statement_frame(outcome: &StatementOutcome) -> Frame {
    Frame::target(outcome.target_id.clone(), outcome.protocol)
        .rules(&outcome.rules_matched, outcome.ok_message.as_deref())
}
