//! Values of admin tables as they are stored, NULL and empty text apart; it does not know any table.

use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};
use serde_json::Value as Json;

/// One value of a row. It has no `Debug` output of its own content, because any cell may be a secret.
#[derive(Clone, PartialEq)]
// Exhaustive: the five storage classes.
pub enum Cell {
    /// NULL.
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// A float.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// Values in the order of a table's columns.
pub type Row = Vec<Cell>;

impl Cell {
    /// Text.
    pub fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    /// 0 or 1.
    #[must_use]
    pub fn flag(value: bool) -> Self {
        Self::Integer(i64::from(value))
    }

    /// Text or NULL.
    #[must_use]
    pub fn optional(value: Option<&str>) -> Self {
        value.map_or(Self::Null, Self::text)
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The integer, if it is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// Whether it is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(crate) fn read(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }

    /// The cell of a plain JSON value; arrays and objects have none.
    #[must_use]
    pub fn from_json(value: &Json) -> Option<Self> {
        Some(match value {
            Json::Null => Self::Null,
            Json::Bool(flag) => Self::flag(*flag),
            Json::String(text) => Self::text(text),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Self::Integer(whole),
                (None, Some(float)) => Self::Real(float),
                _ => return None,
            },
            Json::Array(_) | Json::Object(_) => return None,
        })
    }

    /// As a person reads it; NULL is the word.
    #[must_use]
    pub fn display(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Integer(number) => number.to_string(),
            Self::Real(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Blob(bytes) => format!("<{} bytes>", bytes.len()),
        }
    }

    /// Bytes that the value takes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
            _ => 8,
        }
    }
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Integer(_) => "Integer(…)",
            Self::Real(_) => "Real(…)",
            Self::Text(_) => "Text(…)",
            Self::Blob(_) => "Blob(…)",
        })
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Integer(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            Self::Real(number) => ToSqlOutput::Owned(Value::Real(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}
