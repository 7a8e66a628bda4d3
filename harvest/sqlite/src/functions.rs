//! Linear replacements of built-in functions whose run time is a product of two lengths inside one opcode.

use std::collections::HashSet;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Error, Result};

/// Registers the replacements; they answer what the originals answer.
pub(crate) fn register(connection: &Connection) -> Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function(c"instr", 2, flags, |c| instr(c))?;
    connection.create_scalar_function(c"replace", 3, flags, |c| replace(c))?;
    for arguments in [1, 2] {
        connection.create_scalar_function(c"trim", arguments, flags, |c| trim(c, true, true))?;
        connection.create_scalar_function(c"ltrim", arguments, flags, |c| trim(c, true, false))?;
        connection.create_scalar_function(c"rtrim", arguments, flags, |c| trim(c, false, true))?;
    }
    Ok(())
}

/// A value as text, the way the engine casts it.
fn text(context: &Context<'_>, index: usize) -> Option<String> {
    match context.get_raw(index) {
        ValueRef::Null => None,
        ValueRef::Integer(i) => Some(i.to_string()),
        ValueRef::Real(r) => Some(real(r)),
        ValueRef::Text(t) | ValueRef::Blob(t) => Some(String::from_utf8_lossy(t).into_owned()),
    }
}

/// Fifteen significant digits with a point, as the engine prints them.
fn real(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            String::new()
        } else {
            format!("{}Inf", if value < 0.0 { "-" } else { "" })
        };
    }
    let exponent = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    if (-4..15).contains(&exponent) {
        let digits = usize::try_from(14 - exponent).unwrap_or(0);
        let mut out = format!("{value:.digits$}");
        if out.contains('.') {
            out.truncate(out.trim_end_matches('0').len());
        }
        if out.ends_with('.') {
            out.push('0');
        }
        if !out.contains('.') {
            out.push_str(".0");
        }
        return out;
    }
    let mut mantissa = format!("{value:.14e}");
    let (digits, exponent) =
        mantissa.split_once('e').map(|(d, e)| (d.to_owned(), e.to_owned())).unwrap_or_default();
    mantissa = digits.trim_end_matches('0').to_owned();
    if mantissa.ends_with('.') {
        mantissa.push('0');
    }
    let number: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if number < 0 { '-' } else { '+' }, number.abs())
}

fn instr(context: &Context<'_>) -> Result<Option<i64>> {
    if let (ValueRef::Blob(hay), ValueRef::Blob(needle)) = (context.get_raw(0), context.get_raw(1)) {
        // Latin-1 keeps one byte one character, so that text search finds bytes.
        let wide = |bytes: &[u8]| bytes.iter().map(|b| char::from(*b)).collect::<String>();
        let (hay, needle) = (wide(hay), wide(needle));
        let found = hay.find(&needle).map_or(0, |at| hay[..at].chars().count() + 1);
        return Ok(i64::try_from(found).ok());
    }
    let (Some(hay), Some(needle)) = (text(context, 0), text(context, 1)) else { return Ok(None) };
    let found = hay.find(&needle).map_or(0, |at| hay[..at].chars().count() + 1);
    Ok(i64::try_from(found).ok())
}

fn replace<'a>(context: &Context<'_>) -> Result<ToSqlOutput<'a>> {
    let null = ToSqlOutput::Owned(Value::Null);
    let (Some(hay), Some(needle)) = (text(context, 0), text(context, 1)) else { return Ok(null) };
    if needle.is_empty() {
        return Ok(ToSqlOutput::Owned(Value::Text(hay)));
    }
    let Some(with) = text(context, 2) else { return Ok(null) };
    let max = crate::open::LENGTH_BYTES_MAX;
    let mut out = String::with_capacity(hay.len().min(max));
    let mut copied = 0;
    for (at, found) in hay.match_indices(needle.as_str()) {
        out.push_str(&hay[copied..at]);
        out.push_str(&with);
        copied = at + found.len();
        if out.len() > max {
            return Err(too_big());
        }
    }
    out.push_str(&hay[copied..]);
    if out.len() > max {
        return Err(too_big());
    }
    Ok(ToSqlOutput::Owned(Value::Text(out)))
}

fn too_big() -> Error {
    Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_TOOBIG),
        Some("string or blob too big".into()),
    )
}

fn trim(context: &Context<'_>, left: bool, right: bool) -> Result<Option<String>> {
    let Some(value) = text(context, 0) else { return Ok(None) };
    let set: HashSet<char> = if context.len() > 1 {
        let Some(set) = text(context, 1) else { return Ok(None) };
        set.chars().collect()
    } else {
        HashSet::from([' '])
    };
    let mut out = value.as_str();
    if left {
        out = out.trim_start_matches(|c| set.contains(&c));
    }
    if right {
        out = out.trim_end_matches(|c| set.contains(&c));
    }
    Ok(Some(out.to_owned()))
}
