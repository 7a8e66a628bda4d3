//! Values between SQLite and the seam; it decides no column's type.

use harvest::Value;
use rusqlite::types::{Value as Own, ValueRef};

/// The storage class of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// Exhaustive: the engine has exactly these.
pub(crate) enum Class {
    Null,
    Integer,
    Real,
    Text,
    Blob,
}

/// One value of a row, a long one cut to `cell_bytes_max`.
pub(crate) fn read(value: ValueRef<'_>, cell_bytes_max: usize) -> (Class, Value) {
    match value {
        ValueRef::Null => (Class::Null, Value::Null),
        ValueRef::Integer(i) => (Class::Integer, Value::Int(i)),
        ValueRef::Real(r) => (Class::Real, Value::Float(r)),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => {
                let cut = (0..=cell_bytes_max.min(text.len()))
                    .rev()
                    .find(|i| text.is_char_boundary(*i))
                    .unwrap_or(0);
                (Class::Text, Value::Text(text[..cut].to_owned()))
            }
            // Text that is no UTF-8 keeps its bytes.
            Err(_) => (Class::Blob, Value::Bytes(bytes[..bytes.len().min(cell_bytes_max)].to_vec())),
        },
        ValueRef::Blob(bytes) => {
            (Class::Blob, Value::Bytes(bytes[..bytes.len().min(cell_bytes_max)].to_vec()))
        }
    }
}

/// A parameter as the engine binds it.
pub(crate) fn bind(value: &Value) -> Own {
    match value {
        Value::Null => Own::Null,
        Value::Bool(b) => Own::Integer(i64::from(*b)),
        Value::Int(i) => Own::Integer(*i),
        Value::UInt(u) => i64::try_from(*u).map_or_else(|_| Own::Text(u.to_string()), Own::Integer),
        Value::Float(f) => Own::Real(*f),
        Value::Bytes(b) => Own::Blob(b.clone()),
        Value::Decimal(s)
        | Value::Text(s)
        | Value::Date(s)
        | Value::Time(s)
        | Value::DateTime(s)
        | Value::TimestampTz(s)
        | Value::Interval(s)
        | Value::Uuid(s) => Own::Text(s.clone()),
        Value::Json(json) => Own::Text(json.to_string()),
        Value::Array(items) => Own::Text(array_json(items)),
    }
}

/// An array as JSON text, which is how SQLite's functions take lists.
fn array_json(items: &[Value]) -> String {
    let parts: Vec<String> = items
        .iter()
        .map(|item| match bind(item) {
            Own::Null => "null".to_owned(),
            Own::Integer(i) => i.to_string(),
            Own::Real(r) if r.is_finite() => format!("{r:?}"),
            Own::Real(_) => "null".to_owned(),
            Own::Text(t) if matches!(item, Value::Json(_) | Value::Array(_)) => t,
            Own::Text(t) => quoted(&t),
            Own::Blob(b) => quoted(&b.iter().map(|x| format!("{x:02X}")).collect::<String>()),
        })
        .collect();
    format!("[{}]", parts.join(","))
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
