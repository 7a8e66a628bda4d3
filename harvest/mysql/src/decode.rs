//! Binary protocol values to plain ones, and parameters the other way; it knows no connection.

use harvest::{ColType, Column, HarvestCode, HarvestError, HarvestResult, Value};

/// Bytes of the reference system in front of a geometry's well-known binary.
const SRID_BYTES: usize = 4;

/// One cell; text and bytes longer than `cell_bytes_max` are cut.
pub(crate) fn value(raw: mysql_common::Value, column: &Column, cell_bytes_max: usize) -> Value {
    match raw {
        mysql_common::Value::NULL => Value::Null,
        mysql_common::Value::Int(value) => Value::Int(value),
        mysql_common::Value::UInt(value) => i64::try_from(value).map_or(Value::UInt(value), Value::Int),
        // The f64 that prints like the f32, so that 0.1 stays 0.1.
        mysql_common::Value::Float(value) => {
            Value::Float(value.to_string().parse().unwrap_or_else(|_| f64::from(value)))
        }
        mysql_common::Value::Double(value) => Value::Float(value),
        mysql_common::Value::Date(year, month, day, hour, minute, second, micros) => {
            let date = format!("{year:04}-{month:02}-{day:02}");
            if column.col_type == ColType::Date {
                Value::Date(date)
            } else {
                Value::DateTime(format!("{date}T{hour:02}:{minute:02}:{second:02}{}", fraction(micros)))
            }
        }
        mysql_common::Value::Time(negative, days, hours, minutes, seconds, micros) => {
            let sign = if negative { "-" } else { "" };
            let hours = u64::from(days) * 24 + u64::from(hours);
            Value::Time(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{}", fraction(micros)))
        }
        mysql_common::Value::Bytes(bytes) => bytes_value(bytes, column, cell_bytes_max),
    }
}

fn fraction(micros: u32) -> String {
    if micros == 0 { String::new() } else { format!(".{micros:06}").trim_end_matches('0').to_owned() }
}

fn bytes_value(mut bytes: Vec<u8>, column: &Column, cell_bytes_max: usize) -> Value {
    if column.native_type == "geometry" && bytes.len() > SRID_BYTES {
        bytes.drain(..SRID_BYTES);
    }
    match column.col_type {
        ColType::Bytes => {
            bytes.truncate(cell_bytes_max);
            bytes.shrink_to_fit();
            Value::Bytes(bytes)
        }
        ColType::Json => match serde_json::from_slice(&bytes) {
            Ok(json) => Value::Json(json),
            Err(_) => Value::Text(lossy(bytes, cell_bytes_max)),
        },
        ColType::Decimal => Value::Decimal(lossy(bytes, cell_bytes_max)),
        _ => Value::Text(lossy(bytes, cell_bytes_max)),
    }
}

fn lossy(mut bytes: Vec<u8>, cell_bytes_max: usize) -> String {
    // A character may straddle the cut: its bytes go with it.
    if bytes.len() > cell_bytes_max {
        bytes.truncate(cell_bytes_max);
        bytes.shrink_to_fit();
        while std::str::from_utf8(&bytes).is_err_and(|e| e.error_len().is_none()) && bytes.pop().is_some() {}
    }
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// One parameter for a placeholder.
pub(crate) fn parameter(value: &Value) -> HarvestResult<mysql_common::Value> {
    Ok(match value {
        Value::Null => mysql_common::Value::NULL,
        Value::Bool(value) => mysql_common::Value::Int(i64::from(*value)),
        Value::Int(value) => mysql_common::Value::Int(*value),
        Value::UInt(value) => mysql_common::Value::UInt(*value),
        Value::Float(value) => mysql_common::Value::Double(*value),
        Value::Bytes(bytes) => mysql_common::Value::Bytes(bytes.clone()),
        Value::Json(json) => mysql_common::Value::Bytes(json.to_string().into_bytes()),
        Value::Decimal(text)
        | Value::Text(text)
        | Value::Date(text)
        | Value::Time(text)
        | Value::DateTime(text)
        | Value::TimestampTz(text)
        | Value::Interval(text)
        | Value::Uuid(text) => mysql_common::Value::Bytes(text.clone().into_bytes()),
        Value::Array(_) => {
            return Err(HarvestError::new(
                HarvestCode::InvalidArgument,
                "arrays cannot be bound: this engine has none",
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(raw: mysql_common::Value, col_type: ColType) -> Value {
        value(raw, &Column::new("c", col_type, "x"), 8)
    }

    #[test]
    fn temporal_values_are_iso_text_and_zero_dates_stay() {
        let zero = mysql_common::Value::Date(0, 0, 0, 0, 0, 0, 0);
        assert_eq!(show(zero.clone(), ColType::Date), Value::Date("0000-00-00".into()));
        assert_eq!(show(zero, ColType::Datetime), Value::DateTime("0000-00-00T00:00:00".into()));
        let moment = mysql_common::Value::Date(2024, 2, 29, 23, 59, 59, 120_000);
        assert_eq!(show(moment, ColType::Datetime), Value::DateTime("2024-02-29T23:59:59.12".into()));
        assert_eq!(
            show(mysql_common::Value::Time(true, 34, 22, 59, 59, 0), ColType::Time),
            Value::Time("-838:59:59".into())
        );
    }

    #[test]
    fn long_cells_are_cut_at_a_character() {
        let text = "äöüßxyz€".as_bytes().to_vec();
        assert_eq!(show(mysql_common::Value::Bytes(text), ColType::String), Value::Text("äöüß".into()));
        let text = "xäöüß".as_bytes().to_vec();
        assert_eq!(show(mysql_common::Value::Bytes(text), ColType::String), Value::Text("xäöü".into()));
        assert_eq!(
            show(mysql_common::Value::Bytes(vec![255; 20]), ColType::Bytes),
            Value::Bytes(vec![255; 8])
        );
    }

    #[test]
    fn numbers_keep_their_meaning() {
        assert_eq!(show(mysql_common::Value::UInt(u64::MAX), ColType::Integer), Value::UInt(u64::MAX));
        assert_eq!(show(mysql_common::Value::UInt(7), ColType::Integer), Value::Int(7));
        assert_eq!(show(mysql_common::Value::Float(0.1), ColType::Float), Value::Float(0.1));
        assert_eq!(
            show(mysql_common::Value::Bytes(b"1.50".to_vec()), ColType::Decimal),
            Value::Decimal("1.50".into())
        );
    }
}
