//! Turning a row into a document: names, text, metadata, tags; it knows no backend and no store.

use ai_core::{AiError, AiErrorCode, AiResult, RowKey, RowValue};
use base64::Engine as _;
use serde_json::{Map, Number, Value};
use unicode_normalization::UnicodeNormalization;

use crate::config::{Concat, Normalize, SourceConfig, bad};
use crate::html;

/// A mapped document, before it is cut.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MappedDoc {
    pub(crate) doc_id: String,
    pub(crate) pk_json: String,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) tags: Vec<String>,
    pub(crate) created_ms: Option<i64>,
    pub(crate) score_num: Option<f64>,
    pub(crate) post_type: Option<i64>,
    /// The row says that the document is gone.
    pub(crate) tombstone: bool,
}

enum NamePart {
    Text(String),
    Column(usize),
    Source,
    Table,
    Key,
}

/// A prepared mapping of one source.
pub(crate) struct Mapper {
    config: SourceConfig,
    keys: Vec<String>,
    columns: Vec<String>,
    name: Option<Vec<NamePart>>,
}

impl Mapper {
    /// Prepares a mapping; the columns that it reads are found here.
    pub(crate) fn new(config: &SourceConfig) -> AiResult<Self> {
        let keys = config.key_columns()?;
        let mut columns: Vec<String> = Vec::new();
        let mut want = |name: &str| match columns.iter().position(|c| c == name) {
            Some(at) => at,
            None => {
                columns.push(name.to_owned());
                columns.len() - 1
            }
        };
        let map = &config.doc_map;
        for part in map.title.concat.iter().chain(&map.body.concat) {
            part.col.iter().for_each(|c| {
                want(c);
            });
        }
        map.metadata.pick.iter().for_each(|c| {
            want(c);
        });
        config.embedding.input.iter().flat_map(|i| &i.concat).filter_map(|p| p.col.as_deref()).for_each(
            |c| {
                want(c);
            },
        );
        if let Some(tombstone) = &config.sync.tombstone {
            want(&tombstone.column);
        }
        let name = match &map.doc_id.format {
            Some(format) => Some(parse_name(format, &mut want)?),
            None => None,
        };
        Ok(Self { config: config.clone(), keys, columns, name })
    }

    /// The columns to read, in order.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    fn value<'a>(&self, values: &'a [RowValue], column: &str) -> Option<&'a RowValue> {
        self.columns.iter().position(|c| c == column).and_then(|i| values.get(i))
    }

    /// The name of a document, from its key and values.
    pub(crate) fn doc_id(&self, key: &RowKey, values: &[RowValue]) -> String {
        let Some(parts) = &self.name else {
            let mut out = self.config.table_name.clone();
            for value in key {
                out.push(':');
                out.push_str(&escape(&text_of(value)));
            }
            return out;
        };
        let mut out = String::new();
        for part in parts {
            match part {
                NamePart::Text(text) => out.push_str(text),
                NamePart::Column(i) => out.push_str(&values.get(*i).map(text_of).unwrap_or_default()),
                NamePart::Source => out.push_str(&self.config.name),
                NamePart::Table => out.push_str(&self.config.table_name),
                NamePart::Key => {
                    out.push_str(&key.iter().map(|v| escape(&text_of(v))).collect::<Vec<_>>().join(":"));
                }
            }
        }
        out
    }

    /// The document of a row.
    pub(crate) fn map(&self, key: &RowKey, values: &[RowValue]) -> AiResult<MappedDoc> {
        let map = &self.config.doc_map;
        let doc_id = self.doc_id(key, values);
        if doc_id.is_empty() || doc_id.len() > 1000 {
            return Err(AiError::invalid("the document's name is empty or longer than 1000 bytes"));
        }
        let mut metadata = Map::new();
        for column in &map.metadata.pick {
            let value = self.value(values, column).map_or(Value::Null, json_of);
            metadata.insert(self.config.renamed(column).to_owned(), value);
        }
        let mut doc = derive(
            &self.config,
            doc_id,
            self.pk_json(key),
            self.concat(&map.title, values),
            self.concat(&map.body, values),
            metadata,
        );
        doc.tombstone = self.config.sync.tombstone.as_ref().is_some_and(|t| {
            let value = self.value(values, &t.column).map_or(Value::Null, json_of);
            t.values.iter().any(|v| *v == value || plain(v) == plain(&value))
        });
        Ok(doc)
    }

    /// Every key column with its typed value.
    pub(crate) fn pk_json(&self, key: &RowKey) -> String {
        let object: Map<String, Value> =
            self.keys.iter().zip(key).map(|(k, v)| (k.clone(), json_of(v))).collect();
        Value::Object(object).to_string()
    }

    fn concat(&self, concat: &Concat, values: &[RowValue]) -> String {
        let mut out = String::new();
        for part in &concat.concat {
            if let Some(text) = &part.lit {
                out.push_str(text);
            } else if let Some(value) =
                part.col.as_deref().and_then(|c| self.value(values, c)).filter(|v| !v.is_null())
            {
                out.push_str(&part.prefix);
                out.push_str(&text_of(value));
                out.push_str(&part.suffix);
            }
        }
        out.replace('\0', "\u{fffd}")
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

/// Adds what filters need to a document's parts, and cleans the body where the map says so.
pub(crate) fn derive(
    config: &SourceConfig,
    doc_id: String,
    pk_json: String,
    title: String,
    body: String,
    metadata: Map<String, Value>,
) -> MappedDoc {
    let body = if applies(&config.doc_map.normalize, "body") {
        clean(&config.doc_map.normalize, &body)
    } else {
        body
    };
    let filter = |name: &str| {
        let key = config.filter_key(name)?;
        metadata.get(config.renamed(&key)).or_else(|| metadata.get(&key))
    };
    let number = |v: &Value| v.as_f64().or_else(|| v.as_str().and_then(|s| s.trim().parse().ok()));
    MappedDoc {
        created_ms: filter("created").and_then(|v| match v {
            Value::String(s) => crate::times::parse_ms(s),
            other => {
                other.as_i64().map(|n| if n.abs() < 100_000_000_000 { n.saturating_mul(1000) } else { n })
            }
        }),
        score_num: filter("score").and_then(number),
        post_type: filter("post_type").and_then(number).map(|n| n as i64),
        tags: filter("tags").map(tags).unwrap_or_default(),
        doc_id,
        pk_json,
        title,
        body,
        metadata,
        tombstone: false,
    }
}

/// Whether normalisation reaches `body`, `fts` or `embedding`.
pub(crate) fn applies(normalize: &Normalize, place: &str) -> bool {
    match &normalize.apply_to {
        Some(places) => places.iter().any(|p| p == place),
        None => place != "body",
    }
}

/// The text after the configured cleaning.
pub(crate) fn clean(normalize: &Normalize, text: &str) -> String {
    let mut out = if normalize.strip_html { html::text(text).1 } else { text.to_owned() };
    if normalize.unicode.is_some() {
        out = out.nfc().collect();
    }
    if normalize.collapse_whitespace {
        out = out.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    out
}

/// Splits tags of any common form; they are case-folded and distinct.
pub(crate) fn tags(value: &Value) -> Vec<String> {
    let raw: Vec<String> = match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::String(text) => {
            let text = text.trim();
            if let Ok(Value::Array(items)) = serde_json::from_str(text) {
                items.iter().map(plain).collect()
            } else if text.starts_with('<') {
                text.split(['<', '>']).map(str::to_owned).collect()
            } else if text.contains('|') {
                text.split('|').map(str::to_owned).collect()
            } else if text.contains(',') {
                text.split(',').map(str::to_owned).collect()
            } else {
                text.split_whitespace().map(str::to_owned).collect()
            }
        }
        Value::Null => Vec::new(),
        other => vec![other.to_string()],
    };
    let mut out: Vec<String> =
        raw.iter().map(|t| t.trim().to_lowercase()).filter(|t| !t.is_empty()).collect();
    out.sort();
    out.dedup();
    out
}

fn parse_name(format: &str, want: &mut impl FnMut(&str) -> usize) -> AiResult<Vec<NamePart>> {
    let fault = |why: &str| bad("doc_map_json.doc_id.format", why);
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' if rest.peek() == Some(&'{') => {
                rest.next();
                text.push('{');
            }
            '}' if rest.peek() == Some(&'}') => {
                rest.next();
                text.push('}');
            }
            '}' => return Err(fault("has a brace without its partner")),
            '{' => {
                let mut name = String::new();
                loop {
                    match rest.next() {
                        Some('}') => break,
                        Some('{') | None => return Err(fault("has a brace without its partner")),
                        Some(c) => name.push(c),
                    }
                }
                if !text.is_empty() {
                    parts.push(NamePart::Text(std::mem::take(&mut text)));
                }
                parts.push(match name.as_str() {
                    "" => return Err(fault("names no column")),
                    "_source" => NamePart::Source,
                    "_table" => NamePart::Table,
                    "_pk" => NamePart::Key,
                    column => NamePart::Column(want(column)),
                });
            }
            c => text.push(c),
        }
    }
    if !text.is_empty() {
        parts.push(NamePart::Text(text));
    }
    if parts.iter().all(|p| matches!(p, NamePart::Text(_) | NamePart::Source | NamePart::Table)) {
        return Err(fault("gives every row the same name; use a column or {_pk}"));
    }
    Ok(parts)
}

fn escape(text: &str) -> String {
    text.replace('%', "%25").replace(':', "%3A").replace('#', "%23")
}

/// A value as text, for names and bodies.
pub(crate) fn text_of(value: &RowValue) -> String {
    match value {
        RowValue::Text(s) | RowValue::Decimal(s) | RowValue::Time(s) => s.clone(),
        RowValue::Bytes(b) => String::from_utf8_lossy(b).into_owned(),
        RowValue::Null => String::new(),
        other => plain(&json_of(other)),
    }
}

/// A value as typed JSON.
pub(crate) fn json_of(value: &RowValue) -> Value {
    match value {
        RowValue::Bool(b) => Value::Bool(*b),
        RowValue::Int(i) => Value::from(*i),
        RowValue::Uint(u) => Value::from(*u),
        RowValue::Float(f) => Number::from_f64(*f).map_or_else(|| Value::from(f.to_string()), Value::Number),
        RowValue::Decimal(text) => decimal(text),
        RowValue::Text(s) | RowValue::Time(s) => Value::from(s.replace('\0', "\u{fffd}")),
        RowValue::Bytes(b) => Value::from(base64::engine::general_purpose::STANDARD.encode(b)),
        RowValue::Json(v) => v.clone(),
        _ => Value::Null,
    }
}

/// A decimal is a number when a float holds it exactly, else its text.
fn decimal(text: &str) -> Value {
    let bare = |t: &str| {
        let t = t.trim().trim_start_matches('+');
        if t.contains('.') { t.trim_end_matches('0').trim_end_matches('.').to_owned() } else { t.to_owned() }
    };
    if let Ok(i) = text.trim().parse::<i64>() {
        return Value::from(i);
    }
    match text.trim().parse::<f64>().ok().filter(|f| f.is_finite() && bare(&f.to_string()) == bare(text)) {
        Some(f) => Number::from_f64(f).map_or_else(|| Value::from(text), Value::Number),
        None => Value::from(text),
    }
}

/// The key of a stored document as typed values, in the order of the source's key columns.
pub(crate) fn key_of(pk_json: &str, keys: &[String]) -> AiResult<RowKey> {
    let object: Map<String, Value> = serde_json::from_str(pk_json)
        .map_err(|e| AiError::new(AiErrorCode::Internal, format!("a stored key is no object: {e}")))?;
    Ok(keys
        .iter()
        .map(|k| match object.get(k) {
            Some(Value::String(s)) => RowValue::Text(s.clone()),
            Some(Value::Bool(b)) => RowValue::Bool(*b),
            Some(Value::Number(n)) => match (n.as_i64(), n.as_u64()) {
                (Some(i), _) => RowValue::Int(i),
                (None, Some(u)) => RowValue::Uint(u),
                _ => RowValue::Float(n.as_f64().unwrap_or(0.0)),
            },
            Some(Value::Null) | None => RowValue::Null,
            Some(other) => RowValue::Json(other.clone()),
        })
        .collect())
}

#[cfg(test)]
mod tests;
