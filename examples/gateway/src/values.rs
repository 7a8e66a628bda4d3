//! Values as SQL clients read them in text form; it does not know the wires.

use std::borrow::Cow;

use harvest::{ColType, Column, Value};

/// The text of a value; `None` is NULL.
pub(crate) fn text_of(value: &Value) -> Option<Cow<'_, [u8]>> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => Cow::Borrowed(if *flag { b"1" } else { b"0" }),
        Value::Int(number) => owned(number.to_string()),
        Value::UInt(number) => owned(number.to_string()),
        Value::Float(number) => owned(number.to_string()),
        Value::Bytes(bytes) => Cow::Borrowed(bytes),
        Value::Decimal(text)
        | Value::Text(text)
        | Value::Date(text)
        | Value::Time(text)
        | Value::DateTime(text)
        | Value::TimestampTz(text)
        | Value::Interval(text)
        | Value::Uuid(text) => Cow::Borrowed(text.as_bytes()),
        Value::Json(json) => owned(json.to_string()),
        other => owned(format!("{other:?}")),
    })
}

fn owned(text: String) -> Cow<'static, [u8]> {
    Cow::Owned(text.into_bytes())
}

/// Whether a column holds numbers.
pub(crate) fn is_number(column: &Column) -> bool {
    matches!(column.col_type, ColType::Integer | ColType::Decimal | ColType::Float)
}
