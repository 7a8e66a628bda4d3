//! Object keys (`schema.name`), identities and run references as text; it reads no store.

use harvest::HarvestResult;
use sha2::{Digest, Sha256};

use crate::fail;

/// The key of an object: `schema.name`, parts double-quoted when they hold a dot, a quote or nothing.
#[must_use]
pub fn object_key(schema: &str, name: &str) -> String {
    format!("{}.{}", key_part(schema), key_part(name))
}

fn key_part(part: &str) -> String {
    if part.is_empty() || part.contains(['.', '"']) {
        format!("\"{}\"", part.replace('"', "\"\""))
    } else {
        part.to_owned()
    }
}

/// Takes a key apart. A key without a dot has no schema.
///
/// # Errors
/// `INVALID_ARGUMENT` for an open quote, more than two parts or an empty key.
pub fn parse_object_key(key: &str) -> HarvestResult<(Option<String>, String)> {
    let bad = || fail::invalid("object_key", "schema.name, parts double-quoted if they hold a dot", key);
    let mut parts: Vec<String> = Vec::new();
    let mut rest = key;
    loop {
        let (part, after) = if let Some(body) = rest.strip_prefix('"') {
            take_quoted(body).ok_or_else(bad)?
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            if rest[..end].contains('"') || end == 0 {
                return Err(bad());
            }
            (rest[..end].to_owned(), &rest[end..])
        };
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => break,
            None => return Err(bad()),
        }
    }
    match (parts.pop(), parts.pop(), parts.is_empty()) {
        (Some(name), schema, true) => Ok((schema, name)),
        _ => Err(bad()),
    }
}

fn take_quoted(body: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = body.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            out.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == '"') {
            chars.next();
            out.push('"');
        } else {
            return Some((out, &body[at + 1..]));
        }
    }
    None
}

/// Identity of an object across runs.
#[must_use]
pub fn object_uid(target_id: &str, schema: &str, object_type: &str, name: &str, signature: &str) -> String {
    let mut hash = Sha256::new();
    for part in [target_id, schema, object_type, name, signature] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// Which run a call means.
// Exhaustive: resolution branches on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RunRef {
    /// The latest run of the target.
    #[default]
    Latest,
    /// The run with this id.
    Id(i64),
    /// The latest run of the target that holds this schema.
    Schema(String),
}

impl RunRef {
    /// Reads the text form: digits are an id, `schema:NAME` or any other text a schema.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map_or_else(|_| Self::Id(i64::MAX), Self::Id);
        }
        Self::Schema(text.strip_prefix("schema:").unwrap_or(text).to_owned())
    }
}

/// Which object a call means: an id or a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
// Exhaustive: callers fill it from their arguments.
pub struct ObjectRef {
    /// Id within the run.
    pub object_id: Option<i64>,
    /// `schema.name`.
    pub object_key: Option<String>,
    /// Narrows a key.
    pub object_type: Option<String>,
}

impl ObjectRef {
    /// By id.
    #[must_use]
    pub fn id(object_id: i64) -> Self {
        Self { object_id: Some(object_id), ..Self::default() }
    }

    /// By key.
    pub fn key(key: impl Into<String>) -> Self {
        Self { object_key: Some(key.into()), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_round_trip(schema in ".{0,12}", name in ".{0,12}") {
            let (s, n) = parse_object_key(&object_key(&schema, &name)).expect("own keys parse");
            prop_assert_eq!(s, Some(schema));
            prop_assert_eq!(n, name);
        }

        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = parse_object_key(&text);
        }
    }

    #[test]
    fn run_references_read_ids_and_schemas() {
        assert_eq!(RunRef::parse("12"), RunRef::Id(12));
        assert_eq!(RunRef::parse("schema:12"), RunRef::Schema("12".into()));
        assert_eq!(RunRef::parse("shop"), RunRef::Schema("shop".into()));
        assert_eq!(RunRef::parse("99999999999999999999"), RunRef::Id(i64::MAX));
    }

    #[test]
    fn uids_keep_parts_apart() {
        assert_ne!(object_uid("a", "b", "table", "c", ""), object_uid("a", "bt", "able", "c", ""));
    }
}
