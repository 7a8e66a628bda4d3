//! Values and columns as every engine hands them over; it does not know how they are shown in JSON results.

use serde::{Deserialize, Serialize};

/// One value of a row or a bound parameter.
///
/// Temporal values are ISO 8601 text with their fraction kept; engine specials (`0000-00-00`, `infinity`) stay verbatim.
// Exhaustive: encoders must handle every kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer above `i64::MAX`, or of an unsigned column.
    UInt(u64),
    /// A decimal with its scale kept.
    Decimal(String),
    /// A float; NaN and infinities are legal.
    Float(f64),
    /// Text and every type without a form of its own.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A date.
    Date(String),
    /// A time of day.
    Time(String),
    /// A date and time without offset.
    DateTime(String),
    /// A date and time with offset.
    TimestampTz(String),
    /// An ISO 8601 duration.
    Interval(String),
    /// A UUID in its hyphenated form.
    Uuid(String),
    /// A JSON document.
    Json(serde_json::Value),
    /// An array.
    Array(Vec<Value>),
}

impl Value {
    /// Approximate size in memory, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let own = std::mem::size_of::<Self>();
        own + match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::UInt(_) | Self::Float(_) => 0,
            Self::Decimal(s)
            | Self::Text(s)
            | Self::Date(s)
            | Self::Time(s)
            | Self::DateTime(s)
            | Self::TimestampTz(s)
            | Self::Interval(s)
            | Self::Uuid(s) => s.len(),
            Self::Bytes(b) => b.len(),
            Self::Json(j) => json_bytes(j),
            Self::Array(items) => items.iter().map(Self::size_bytes).sum(),
        }
    }
}

fn json_bytes(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::String(s) => s.len() + 2,
        serde_json::Value::Array(items) => 2 + items.iter().map(|v| json_bytes(v) + 1).sum::<usize>(),
        serde_json::Value::Object(map) => {
            2 + map.iter().map(|(k, v)| k.len() + 4 + json_bytes(v)).sum::<usize>()
        }
        _ => 8,
    }
}

/// How a column's values are shown; the wire names are lower case.
// Exhaustive: encoders must handle every type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColType {
    /// true and false.
    Boolean,
    /// A number; becomes `Bigint` when any value lies beyond ±(2^53−1).
    Integer,
    /// A decimal string, for every value of the column.
    Bigint,
    /// A string, scale kept.
    Decimal,
    /// A number, or `"NaN"`, `"Infinity"`, `"-Infinity"`.
    Float,
    /// A string.
    String,
    /// A base64 string.
    Bytes,
    /// An ISO 8601 date.
    Date,
    /// An ISO 8601 time.
    Time,
    /// An ISO 8601 date and time.
    Datetime,
    /// An ISO 8601 date and time with offset.
    Timestamptz,
    /// An ISO 8601 duration.
    Interval,
    /// A UUID.
    Uuid,
    /// A native JSON value.
    Json,
    /// A JSON array.
    Array,
    /// Mixed storage classes (SQLite); bytes as `{"base64": …}`.
    Any,
}

/// One column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
// Exhaustive: every driver builds it.
pub struct Column {
    /// Name as the engine gives it; duplicates are legal.
    pub name: String,
    /// How values are shown.
    #[serde(rename = "type")]
    pub col_type: ColType,
    /// The engine's own name of the type.
    pub native_type: String,
    /// For arrays: how the elements are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element_type: Option<ColType>,
}

impl Column {
    /// A column without element type.
    pub fn new(name: impl Into<String>, col_type: ColType, native_type: impl Into<String>) -> Self {
        Self { name: name.into(), col_type, native_type: native_type.into(), element_type: None }
    }
}
