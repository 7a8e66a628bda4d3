//! Values on their way into and out of PostgreSQL, by the type that the server names; it knows no table.

use std::error::Error;
use std::fmt;

use ai_core_rag::SqlValue;
use postgres::types::private::BytesMut;
use postgres::types::{FromSql, IsNull, ToSql, Type};

type Failure = Box<dyn Error + Sync + Send>;

/// A value that a column cannot take, or a column that cannot be read.
#[derive(Debug)]
pub(crate) struct Unbindable(String);

impl fmt::Display for Unbindable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Unbindable {}

fn mismatch(what: &str, ty: &Type) -> Failure {
    Box::new(Unbindable(format!("{what} does not fit the type {}", ty.name())))
}

/// A value of the store as a parameter.
#[derive(Debug)]
pub(crate) struct Bound<'a>(pub(crate) &'a SqlValue);

impl ToSql for Bound<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self.0 {
            SqlValue::Null => Ok(IsNull::Yes),
            SqlValue::Int(i) => match *ty {
                Type::INT8 => i.to_sql(ty, out),
                Type::INT4 => i32::try_from(*i)?.to_sql(ty, out),
                Type::INT2 => i16::try_from(*i)?.to_sql(ty, out),
                Type::BOOL => (*i != 0).to_sql(ty, out),
                Type::FLOAT8 => (*i as f64).to_sql(ty, out),
                Type::TEXT | Type::VARCHAR => i.to_string().to_sql(ty, out),
                _ => Err(mismatch("a whole number", ty)),
            },
            SqlValue::Real(x) => match *ty {
                Type::FLOAT8 => x.to_sql(ty, out),
                Type::FLOAT4 => (*x as f32).to_sql(ty, out),
                _ => Err(mismatch("a number", ty)),
            },
            SqlValue::Text(text) => match *ty {
                Type::JSONB => {
                    out.extend_from_slice(&[1]);
                    out.extend_from_slice(json_text(text).as_bytes());
                    Ok(IsNull::No)
                }
                Type::TEXT | Type::VARCHAR | Type::JSON | Type::UNKNOWN => {
                    // The server's texts cannot hold NUL; ingest has replaced it long before.
                    out.extend_from_slice(text.replace('\0', "\u{fffd}").as_bytes());
                    Ok(IsNull::No)
                }
                _ => Err(mismatch("a text", ty)),
            },
            SqlValue::Blob(bytes) if *ty == Type::BYTEA => bytes.as_slice().to_sql(ty, out),
            SqlValue::Ints(items) if *ty == Type::INT8_ARRAY => items.as_slice().to_sql(ty, out),
            SqlValue::Texts(items) if *ty == Type::TEXT_ARRAY || *ty == Type::VARCHAR_ARRAY => {
                items.iter().map(|t| t.replace('\0', "\u{fffd}")).collect::<Vec<_>>().to_sql(ty, out)
            }
            _ => Err(mismatch("a value", ty)),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    postgres::types::to_sql_checked!();
}

/// JSON that the server takes: its texts cannot hold NUL.
fn json_text(text: &str) -> String {
    if !text.contains("\\u0000") {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        if let Some(after) = tail.strip_prefix("\\u0000") {
            out.push('\u{fffd}');
            rest = after;
        } else {
            // Another escape: both characters go on together, so that an escaped backslash hides nothing.
            let end = tail.char_indices().nth(2).map_or(tail.len(), |(i, _)| i);
            out.push_str(&tail[..end]);
            rest = &tail[end..];
        }
    }
    out.push_str(rest);
    out
}

/// A cell of a result as the store reads it.
pub(crate) struct Cell(pub(crate) SqlValue);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        Ok(Self(match *ty {
            Type::INT8 => SqlValue::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => SqlValue::Int(i64::from(i32::from_sql(ty, raw)?)),
            Type::INT2 => SqlValue::Int(i64::from(i16::from_sql(ty, raw)?)),
            Type::BOOL => SqlValue::Int(i64::from(bool::from_sql(ty, raw)?)),
            Type::FLOAT8 => SqlValue::Real(f64::from_sql(ty, raw)?),
            Type::FLOAT4 => SqlValue::Real(f64::from(f32::from_sql(ty, raw)?)),
            Type::BYTEA => SqlValue::Blob(raw.to_vec()),
            Type::JSONB => {
                let text = raw.strip_prefix(&[1]).ok_or_else(|| mismatch("JSON", ty))?;
                SqlValue::Text(std::str::from_utf8(text)?.to_owned())
            }
            Type::TEXT | Type::VARCHAR | Type::JSON | Type::NAME | Type::UNKNOWN | Type::BPCHAR => {
                SqlValue::Text(std::str::from_utf8(raw)?.to_owned())
            }
            _ => return Err(mismatch("a cell", ty)),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Self(SqlValue::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A vector as pgvector reads it.
pub(crate) fn vector_text(vector: &[f32]) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(vector.len() * 10 + 2);
    out.push('[');
    for (i, x) in vector.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        // Writing to a String does not fail.
        let _ = write!(out, "{x}");
    }
    out.push(']');
    out
}

/// A vector as pgvector writes it.
pub(crate) fn vector_of(text: &str) -> Option<Vec<f32>> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    inner.split(',').map(|x| x.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{json_text, vector_of, vector_text};

    #[test]
    fn nul_is_replaced_in_json_and_nothing_else_is() {
        assert_eq!(
            json_text(r#"{"a":"x\u0000y","b":"\\u0000","c":"\n\\"}"#),
            "{\"a\":\"x\u{fffd}y\",\"b\":\"\\\\u0000\",\"c\":\"\\n\\\\\"}"
        );
        assert_eq!(json_text("{}"), "{}");
        assert_eq!(json_text("\"é\\u0000\\"), "\"é\u{fffd}\\");
    }

    #[test]
    fn vectors_survive_their_text() {
        let vector = vec![1.0, -0.25, 1e-7, 3.402_823_5e38, 0.1];
        assert_eq!(vector_of(&vector_text(&vector)), Some(vector));
        assert_eq!(vector_of("1,2"), None);
        assert_eq!(vector_of("[1,x]"), None);
    }
}
