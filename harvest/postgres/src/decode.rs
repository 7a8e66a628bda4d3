//! Binary values to plain ones, after the formats that PostgreSQL's send functions document; it knows no connection.

use std::error::Error;

use harvest::Value;
use postgres_types::{Kind, Type};

use crate::literal;
use crate::types::Reading;

/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
const EPOCH_DAYS: i64 = 10_957;
const DAY_US: i64 = 86_400_000_000;

pub(crate) type Decoded<T> = Result<T, Box<dyn Error + Sync + Send>>;

/// One cell in the form that its reading asks for.
pub(crate) fn cell(ty: &Type, reading: Reading, raw: &[u8]) -> Decoded<Value> {
    Ok(match reading {
        Reading::Text => Value::Text(text(raw)),
        Reading::TextArray(delimiter) => literal::array(&text(raw), delimiter)?,
        Reading::Binary | Reading::CastNumeric | Reading::CastNumericArray => value(ty, raw)?,
    })
}

fn value(ty: &Type, raw: &[u8]) -> Decoded<Value> {
    match ty.kind() {
        Kind::Domain(inner) => return value(inner, raw),
        Kind::Array(element) => return array(element, raw),
        Kind::Enum(_) => return Ok(Value::Text(text(raw))),
        _ => {}
    }
    Ok(match *ty {
        Type::BOOL => Value::Bool(raw.first().is_some_and(|b| *b != 0)),
        Type::INT2 => Value::Int(i64::from(i16::from_be_bytes(fixed(raw)?))),
        Type::INT4 => Value::Int(i64::from(i32::from_be_bytes(fixed(raw)?))),
        Type::INT8 => Value::Int(i64::from_be_bytes(fixed(raw)?)),
        Type::OID => Value::Int(i64::from(u32::from_be_bytes(fixed(raw)?))),
        Type::FLOAT4 => Value::Float(widen(f32::from_be_bytes(fixed(raw)?))),
        Type::FLOAT8 => Value::Float(f64::from_be_bytes(fixed(raw)?)),
        Type::NUMERIC => numeric(raw)?,
        Type::BYTEA => Value::Bytes(raw.to_vec()),
        Type::BIT | Type::VARBIT => Value::Bytes(raw.get(4..).unwrap_or_default().to_vec()),
        Type::DATE => Value::Date(date(i32::from_be_bytes(fixed(raw)?))),
        Type::TIME => Value::Time(time(i64::from_be_bytes(fixed(raw)?))),
        Type::TIMETZ => Value::Time(timetz(raw)?),
        Type::TIMESTAMP => Value::DateTime(timestamp(i64::from_be_bytes(fixed(raw)?), "")),
        Type::TIMESTAMPTZ => Value::TimestampTz(timestamp(i64::from_be_bytes(fixed(raw)?), "+00:00")),
        Type::INTERVAL => Value::Interval(interval(raw)?),
        Type::UUID => Value::Uuid(uuid(fixed(raw)?)),
        Type::JSON => json(raw),
        Type::JSONB => json(raw.get(1..).unwrap_or_default()),
        _ if matches!(ty.name(), "geometry" | "geography") => Value::Bytes(raw.to_vec()),
        _ => Value::Text(text(raw)),
    })
}

fn fixed<const N: usize>(raw: &[u8]) -> Decoded<[u8; N]> {
    raw.try_into().map_err(|_| format!("expected {N} bytes, got {}", raw.len()).into())
}

/// Text; what is no UTF-8, as databases without an encoding may hold, is shown with replacement characters.
fn text(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).into_owned()
}

/// A document; one that no reader here can hold, such as the number 1e400, is shown as text.
fn json(raw: &[u8]) -> Value {
    serde_json::from_slice(raw).map_or_else(|_| Value::Text(text(raw)), Value::Json)
}

/// The f64 that prints like the f32, so that 0.1 stays 0.1.
fn widen(value: f32) -> f64 {
    if value.is_finite() {
        value.to_string().parse().unwrap_or_else(|_| f64::from(value))
    } else {
        f64::from(value)
    }
}

/// Base-10,000 digits with weight, sign and display scale.
fn numeric(raw: &[u8]) -> Decoded<Value> {
    let word = |at: usize| -> Decoded<u16> {
        Ok(u16::from_be_bytes(fixed(raw.get(at..at + 2).ok_or("short numeric")?)?))
    };
    let (count, weight, sign, scale) =
        (usize::from(word(0)?), i32::from(word(2)?.cast_signed()), word(4)?, usize::from(word(6)?));
    match sign {
        0xC000 => return Ok(Value::Decimal("NaN".to_owned())),
        0xD000 => return Ok(Value::Decimal("Infinity".to_owned())),
        0xF000 => return Ok(Value::Decimal("-Infinity".to_owned())),
        _ => {}
    }
    let digit = |index: i32| -> Decoded<u16> {
        match usize::try_from(index) {
            Ok(index) if index < count => word(8 + 2 * index),
            _ => Ok(0),
        }
    };
    let mut out = String::with_capacity(count * 4 + 4);
    if sign == 0x4000 {
        out.push('-');
    }
    if weight < 0 {
        out.push('0');
    }
    for index in 0..=weight {
        let group = digit(index)?;
        if index == 0 {
            push_number(&mut out, u64::from(group), 1)
        } else {
            push_number(&mut out, u64::from(group), 4)
        }
    }
    if scale > 0 {
        out.push('.');
        let start = out.len();
        let mut index = weight + 1;
        while out.len() - start < scale {
            push_number(&mut out, if index < 0 { 0 } else { u64::from(digit(index)?) }, 4);
            index += 1;
        }
        out.truncate(start + scale);
    }
    Ok(Value::Decimal(out))
}

/// Adds a number with leading zeros up to `width` digits.
fn push_number(out: &mut String, number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let (mut at, mut rest) = (digits.len(), number);
    while rest > 0 {
        at -= 1;
        // The remainder is below ten.
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let from = at.min(digits.len() - width.min(digits.len()));
    out.extend(digits[from..].iter().map(|digit| char::from(*digit)));
}

/// Civil calendar from days since 1970 (after Howard Hinnant's days algorithms); years before 1 are marked BC.
fn push_civil(out: &mut String, days: i64) -> &'static str {
    let z = days + 719_468;
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (shown, era_mark) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    for (part, width) in [(shown, 4), (month, 2), (day, 2)] {
        if width == 2 {
            out.push('-');
        }
        push_number(out, part.unsigned_abs(), width);
    }
    era_mark
}

fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        _ => {
            let mut out = String::with_capacity(10);
            let era = push_civil(&mut out, i64::from(days) + EPOCH_DAYS);
            out.push_str(era);
            out
        }
    }
}

fn time(us: i64) -> String {
    let mut out = String::with_capacity(15);
    push_time(&mut out, us);
    out
}

fn push_time(out: &mut String, us: i64) {
    let us = us.unsigned_abs();
    let (seconds, fraction) = (us / 1_000_000, us % 1_000_000);
    push_number(out, seconds / 3_600, 2);
    out.push(':');
    push_number(out, seconds / 60 % 60, 2);
    out.push(':');
    push_number(out, seconds % 60, 2);
    if fraction != 0 {
        out.push('.');
        push_number(out, fraction, 6);
        out.truncate(out.trim_end_matches('0').len());
    }
}

fn timetz(raw: &[u8]) -> Decoded<String> {
    let us = i64::from_be_bytes(fixed(raw.get(..8).ok_or("short timetz")?)?);
    let west = i32::from_be_bytes(fixed(raw.get(8..).ok_or("short timetz")?)?);
    let (sign, ahead) = if west <= 0 { ('+', -west) } else { ('-', west) };
    let mut zone = format!("{sign}{:02}:{:02}", ahead / 3_600, ahead / 60 % 60);
    if ahead % 60 != 0 {
        zone.push_str(&format!(":{:02}", ahead % 60));
    }
    Ok(time(us) + &zone)
}

fn timestamp(us: i64, zone: &str) -> String {
    match us {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        _ => {
            let mut out = String::with_capacity(32);
            let era = push_civil(&mut out, us.div_euclid(DAY_US) + EPOCH_DAYS);
            out.push('T');
            push_time(&mut out, us.rem_euclid(DAY_US));
            out.push_str(zone);
            out.push_str(era);
            out
        }
    }
}

fn interval(raw: &[u8]) -> Decoded<String> {
    let us = i64::from_be_bytes(fixed(raw.get(..8).ok_or("short interval")?)?);
    let days = i32::from_be_bytes(fixed(raw.get(8..12).ok_or("short interval")?)?);
    let months = i32::from_be_bytes(fixed(raw.get(12..).ok_or("short interval")?)?);
    match (us, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => return Ok("infinity".to_owned()),
        (i64::MIN, i32::MIN, i32::MIN) => return Ok("-infinity".to_owned()),
        _ => {}
    }
    let mut out = String::from("P");
    let mut part = |amount: i64, unit: char| {
        if amount != 0 {
            out.push_str(&format!("{amount}{unit}"));
        }
    };
    part(i64::from(months / 12), 'Y');
    part(i64::from(months % 12), 'M');
    part(i64::from(days), 'D');
    if us != 0 {
        out.push('T');
        let (hours, minutes, rest) = (us / 3_600_000_000, us / 60_000_000 % 60, us % 60_000_000);
        for (amount, unit) in [(hours, 'H'), (minutes, 'M')] {
            if amount != 0 {
                out.push_str(&format!("{amount}{unit}"));
            }
        }
        if rest != 0 {
            let sign = if rest < 0 { "-" } else { "" };
            let (seconds, fraction) = (rest.abs() / 1_000_000, rest.abs() % 1_000_000);
            out.push_str(&format!("{sign}{seconds}"));
            if fraction != 0 {
                out.push_str(format!(".{fraction:06}").trim_end_matches('0'));
            }
            out.push('S');
        }
    }
    if out == "P" {
        out.push_str("T0S");
    }
    Ok(out)
}

fn uuid(bytes: [u8; 16]) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(36);
    for (at, byte) in bytes.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
    out
}

/// Dimensions, then the elements in row order; several dimensions become nested arrays.
fn array(element: &Type, raw: &[u8]) -> Decoded<Value> {
    let int = |at: usize| -> Decoded<i32> {
        Ok(i32::from_be_bytes(fixed(raw.get(at..at + 4).ok_or("short array")?)?))
    };
    let dimensions = usize::try_from(int(0)?)?;
    if dimensions > 6 {
        return Err("an array has at most 6 dimensions".into());
    }
    let mut lengths = Vec::with_capacity(dimensions);
    for dimension in 0..dimensions {
        lengths.push(usize::try_from(int(12 + 8 * dimension)?)?);
    }
    let mut at = 12 + 8 * dimensions;
    let mut items = Vec::new();
    while at + 4 <= raw.len() {
        let length = int(at)?;
        at += 4;
        if let Ok(length) = usize::try_from(length) {
            items.push(value(element, raw.get(at..at + length).ok_or("short array")?)?);
            at += length;
        } else {
            items.push(Value::Null);
        }
    }
    for length in lengths.iter().skip(1).rev() {
        if *length == 0 {
            break;
        }
        items = items.chunks(*length).map(|chunk| Value::Array(chunk.to_vec())).collect();
    }
    Ok(Value::Array(items))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics_keep_their_scale() {
        let encode = |weight: i16, sign: u16, scale: u16, digits: &[u16]| {
            let mut raw = Vec::new();
            for word in [digits.len() as u16, weight.cast_unsigned(), sign, scale].iter().chain(digits) {
                raw.extend_from_slice(&word.to_be_bytes());
            }
            match numeric(&raw).expect("decodes") {
                Value::Decimal(text) => text,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(encode(0, 0, 2, &[12, 3400]), "12.34");
        assert_eq!(encode(1, 0x4000, 0, &[1, 5]), "-10005");
        assert_eq!(encode(-1, 0, 4, &[50]), "0.0050");
        assert_eq!(encode(-2, 0, 8, &[1]), "0.00000001");
        assert_eq!(encode(1, 0, 1, &[1]), "10000.0");
        assert_eq!(encode(0, 0, 0, &[]), "0");
        assert_eq!(encode(0, 0xC000, 0, &[]), "NaN");
    }

    #[test]
    fn calendar_edges() {
        assert_eq!(date(0), "2000-01-01");
        assert_eq!(date(-10_957), "1970-01-01");
        assert_eq!(date(-730_119), "0001-01-01");
        assert_eq!(date(-730_120), "0001-12-31 BC");
        assert_eq!(date(i32::MAX), "infinity");
        assert_eq!(timestamp(-1, "+00:00"), "1999-12-31T23:59:59.999999+00:00");
        assert_eq!(timestamp(500_000, ""), "2000-01-01T00:00:00.5");
    }

    #[test]
    fn intervals_are_iso_durations() {
        let encode = |us: i64, days: i32, months: i32| {
            let mut raw = us.to_be_bytes().to_vec();
            raw.extend_from_slice(&days.to_be_bytes());
            raw.extend_from_slice(&months.to_be_bytes());
            interval(&raw).expect("decodes")
        };
        assert_eq!(encode(0, 0, 0), "PT0S");
        assert_eq!(encode(3_723_500_000, 4, 14), "P1Y2M4DT1H2M3.5S");
        assert_eq!(encode(-1_500_000, 0, 0), "PT-1.5S");
    }

    #[test]
    fn broken_bytes_are_errors() {
        for ty in [
            Type::INT4,
            Type::NUMERIC,
            Type::TIMETZ,
            Type::INTERVAL,
            Type::UUID,
            Type::JSONB,
            Type::INT4_ARRAY,
        ] {
            for length in 0..12 {
                let _ = value(&ty, &vec![0xFF; length]);
            }
        }
    }
}
