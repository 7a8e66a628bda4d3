//! Fills one generation of an index in batches, in key order, within bounds; it never holds a table in memory.

use std::fmt::Write as _;

use harvest::{HarvestError, HarvestResult, Value};
use rusqlite::{Connection, Transaction};
use serde_json::{Map, Value as Json, json};

use crate::fail::{self, StoreResult};
use crate::source::{BatchRequest, RowReader};
use crate::store::Store;

use super::{DataIndexSpec, DataLimits};

/// What a generation holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

pub(super) fn data_table(index_id: i64, generation: i64) -> String {
    format!("fts_data_{index_id}_{generation}")
}

pub(super) fn search_table(index_id: i64, generation: i64) -> String {
    format!("fts_search_{index_id}_{generation}")
}

pub(super) fn drop_generation(c: &Connection, index_id: i64, generation: i64) -> HarvestResult<()> {
    let (data, search) = (data_table(index_id, generation), search_table(index_id, generation));
    c.execute_batch(&format!("DROP TABLE IF EXISTS {search}; DROP TABLE IF EXISTS {data};")).db()
}

/// Drops the tables of generations that no index names.
pub(super) fn drop_leftovers(c: &Connection) -> HarvestResult<()> {
    let mut statement = c
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND (name GLOB 'fts_data_[0-9]*_[0-9]*'
               OR sql LIKE 'CREATE VIRTUAL TABLE fts_search_%') AND name NOT IN (
                 SELECT 'fts_data_' || index_id || '_' || generation FROM fts_indexes
                 UNION ALL SELECT 'fts_search_' || index_id || '_' || generation FROM fts_indexes)
             ORDER BY name DESC",
        )
        .db()?;
    let names: Vec<String> =
        statement.query_map([], |r| r.get(0)).db()?.collect::<rusqlite::Result<_>>().db()?;
    for name in names {
        // The names are this module's own: letters, digits and underscores.
        if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            c.execute_batch(&format!("DROP TABLE IF EXISTS {name}")).db()?;
        }
    }
    Ok(())
}

fn create(tx: &Transaction<'_>, index_id: i64, generation: i64, columns: usize) -> HarvestResult<()> {
    let (data, search) = (data_table(index_id, generation), search_table(index_id, generation));
    let list = |prefix: &str| {
        (0..columns).fold(String::new(), |mut out, at| {
            let _ = write!(out, "{}{prefix}c{at}", if at == 0 { "" } else { ", " });
            out
        })
    };
    let typed = (0..columns).fold(String::new(), |mut out, at| {
        let _ = write!(out, "c{at} TEXT, ");
        out
    });
    let (plain, new, old) = (list(""), list("new."), list("old."));
    drop_generation(tx, index_id, generation)?;
    tx.execute_batch(&format!(
        "CREATE TABLE {data}(rowid INTEGER PRIMARY KEY, pk TEXT NOT NULL UNIQUE, {typed}
           metadata TEXT NOT NULL CHECK(json_valid(metadata))) STRICT;
         CREATE VIRTUAL TABLE {search} USING fts5({plain}, content = '{data}', content_rowid = 'rowid',
           tokenize = 'porter unicode61 remove_diacritics 2');
         CREATE TRIGGER {data}_ai AFTER INSERT ON {data} BEGIN
           INSERT INTO {search}(rowid, {plain}) VALUES (new.rowid, {new}); END;
         CREATE TRIGGER {data}_ad AFTER DELETE ON {data} BEGIN
           INSERT INTO {search}({search}, rowid, {plain}) VALUES ('delete', old.rowid, {old}); END;
         CREATE TRIGGER {data}_au AFTER UPDATE ON {data} BEGIN
           INSERT INTO {search}({search}, rowid, {plain}) VALUES ('delete', old.rowid, {old});
           INSERT INTO {search}(rowid, {plain}) VALUES (new.rowid, {new}); END;"
    ))
    .db()
}

pub(super) fn fill(
    store: &Store,
    index_id: i64,
    generation: i64,
    spec: &DataIndexSpec,
    limits: &DataLimits,
    reader: &mut dyn RowReader,
) -> HarvestResult<Filled> {
    let mut columns = spec.primary_key.clone();
    columns.extend(spec.columns.iter().cloned());
    let mut request = BatchRequest {
        schema: spec.schema.clone(),
        table: spec.table.clone(),
        columns,
        key: spec.primary_key.clone(),
        where_clause: spec.where_clause.clone(),
        from_key: None,
        rows_max: limits.batch_rows.max(2),
    };
    if reader.has_null_key(&request)? {
        return Err(not_a_key(spec, "holds NULL"));
    }
    store.write(|tx| create(tx, index_id, generation, spec.columns.len()))?;
    let mut filled = Filled { rows: 0, bytes: 0 };
    loop {
        let mut rows = reader.read_batch(&request)?;
        let is_last = rows.len() < request.rows_max;
        // The batch begins with the last row of the one before.
        if let Some(from) = &request.from_key
            && rows.first().is_some_and(|row| row[..from.len()] == from[..])
        {
            rows.remove(0);
        }
        let Some(last) = rows.last() else { break };
        request.from_key = Some(last[..spec.primary_key.len()].to_vec());
        store.write(|tx| insert(tx, index_id, generation, spec, limits, &rows, &mut filled))?;
        reader.progress(filled.rows)?;
        if is_last {
            break;
        }
    }
    Ok(filled)
}

fn insert(
    tx: &Transaction<'_>,
    index_id: i64,
    generation: i64,
    spec: &DataIndexSpec,
    limits: &DataLimits,
    rows: &[Vec<Value>],
    filled: &mut Filled,
) -> HarvestResult<()> {
    let marks = (1..=spec.columns.len() + 2).map(|at| format!("?{at}")).collect::<Vec<_>>().join(", ");
    let columns = (0..spec.columns.len()).map(|at| format!("c{at}, ")).collect::<String>();
    let sql =
        format!("INSERT INTO {}(pk, {columns}metadata) VALUES ({marks})", data_table(index_id, generation));
    let mut statement = tx.prepare_cached(&sql).db()?;
    for row in rows {
        let (key, values) = row.split_at(spec.primary_key.len());
        let mut metadata = Map::new();
        let mut bind: Vec<Option<String>> =
            vec![Some(Json::Array(key.iter().map(value_json).collect()).to_string())];
        for (name, value) in spec.columns.iter().zip(values) {
            metadata.insert(name.clone(), value_json(value));
            bind.push(value_text(value));
        }
        let named: Map<String, Json> =
            spec.primary_key.iter().cloned().zip(key.iter().map(value_json)).collect();
        bind.push(Some(json!({"key": named, "columns": metadata}).to_string()));
        filled.rows += 1;
        filled.bytes += bind.iter().flatten().map(|t| t.len() as u64).sum::<u64>();
        bounded("rows", filled.rows, limits.rows_max, "mcp-fts_max_rows")?;
        bounded("bytes", filled.bytes, limits.bytes_max, "mcp-fts_max_bytes")?;
        statement.execute(rusqlite::params_from_iter(bind)).map_err(|error| {
            match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::ConstraintViolation) => not_a_key(spec, "is not unique"),
                _ => fail::store(error),
            }
        })?;
    }
    Ok(())
}

fn bounded(what: &str, value: u64, limit: u64, variable: &str) -> HarvestResult<()> {
    if value <= limit {
        return Ok(());
    }
    let message = format!("the index would hold more than {limit} {what}: narrow it with where_clause");
    Err(HarvestError::limit(message, limit, value, variable))
}

fn not_a_key(spec: &DataIndexSpec, problem: &str) -> HarvestError {
    fail::precondition(
        format!("primary_key ({}) {problem} in the data", spec.primary_key.join(", ")),
        "name columns that tell rows apart",
    )
}

/// A value as JSON that keeps its type where JSON can.
pub(super) fn value_json(value: &Value) -> Json {
    const EXACT: i64 = 1 << 53;
    match value {
        Value::Null => Json::Null,
        Value::Bool(b) => json!(b),
        Value::Int(i) if i.abs() <= EXACT => json!(i),
        Value::Int(i) => json!(i.to_string()),
        Value::UInt(u) if *u <= EXACT.unsigned_abs() => json!(u),
        Value::UInt(u) => json!(u.to_string()),
        Value::Float(f) if f.is_finite() => json!(f),
        Value::Float(f) => json!(f.to_string()),
        Value::Decimal(s)
        | Value::Text(s)
        | Value::Date(s)
        | Value::Time(s)
        | Value::DateTime(s)
        | Value::TimestampTz(s)
        | Value::Interval(s)
        | Value::Uuid(s) => json!(s),
        Value::Bytes(bytes) => json!(crate::keys::hex(bytes)),
        Value::Json(json) => json.clone(),
        Value::Array(items) => Json::Array(items.iter().map(value_json).collect()),
    }
}

/// The words of a value; bytes have none. Control characters that mark hits in snippets are taken out.
fn value_text(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null | Value::Bytes(_) => return None,
        Value::Json(json) => crate::llm::strings(json),
        Value::Array(_) => crate::llm::strings(&value_json(value)),
        other => match value_json(other) {
            Json::String(s) => s,
            json => json.to_string(),
        },
    };
    Some(text.replace(['\u{1}', '\u{2}', '\0'], " "))
}
