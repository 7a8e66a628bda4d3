//! One globally ranked result over all matching data indexes.

use std::collections::HashMap;

use harvest::HarvestResult;
use rusqlite::{Connection, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::fail::{self, StoreResult};
use crate::keys::object_key;

use super::DataIndexes;
use super::fill::{data_table, search_table};
use super::query::DataQuery;

/// A search over data.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DataSearchRequest {
    /// Words, `"phrases"`, `prefixes*`, AND, OR, NOT.
    pub query: String,
    /// Only these targets; `None` means all.
    pub targets: Option<Vec<String>>,
    /// Only this schema.
    pub schema: Option<String>,
    /// Only this table.
    pub table: Option<String>,
    /// Hits at most.
    pub limit: usize,
    /// Hits left out at the start.
    pub offset: usize,
    /// Tokens of a snippet.
    pub snippet_tokens: u32,
}

impl DataSearchRequest {
    /// A search of one target with the usual limits.
    pub fn new(target_id: impl Into<String>, query: impl Into<String>) -> Self {
        Self {
            query: query.into(),
            targets: Some(vec![target_id.into()]),
            schema: None,
            table: None,
            limit: 100,
            offset: 0,
            snippet_tokens: 30,
        }
    }
}

/// Hits, best first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DataSearchResponse {
    /// The query as sent.
    pub query: String,
    /// Rows that match, exactly.
    pub total_matches: u64,
    /// The hits.
    pub results: Vec<DataHit>,
}

/// One row that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct DataHit {
    pub schema: String,
    pub table: String,
    /// The key as text; parts of a composite key joined by `|`, `|` and `\` escaped by `\`.
    pub primary_key_value: String,
    /// The key by column.
    pub primary_key: Map<String, Json>,
    /// Text around the hits, in `<mark>` tags; other markup is escaped.
    pub snippet: String,
    /// The indexed columns, typed.
    pub metadata: Map<String, Json>,
    /// 0 to 1.
    pub score: f64,
    /// The raw bm25 value, lower is better.
    pub score_raw: f64,
}

/// Rows that are ranked per index where only some of the words match.
const PARTIAL_HITS_MAX: usize = 1_000;

struct Index {
    index_id: i64,
    generation: i64,
    schema: String,
    table: String,
}

struct Ranked {
    index: usize,
    rowid: i64,
    raw: f64,
    score: f64,
}

impl DataIndexes {
    /// Searches all matching indexes.
    ///
    /// # Errors
    /// `NOT_FOUND` when a named table has no index; no query is a syntax error.
    pub fn search(&self, request: &DataSearchRequest) -> HarvestResult<DataSearchResponse> {
        let query = DataQuery::parse(&request.query);
        self.store.read(|c| {
            let indexes = indexes(c, request)?;
            if let (Some(table), true) = (&request.table, indexes.is_empty()) {
                let key = request.schema.as_ref().map_or_else(|| table.clone(), |s| object_key(s, table));
                return Err(fail::not_found("full-text index", key));
            }
            let mut out =
                DataSearchResponse { query: request.query.clone(), total_matches: 0, results: Vec::new() };
            if query.is_empty() {
                return Ok(out);
            }
            let whole = query.expression();
            let mut expression = whole.as_str();
            let fallback = query.fallback();
            out.total_matches = count(c, &indexes, expression)?;
            if let (0, Some(any)) = (out.total_matches, &fallback) {
                expression = any;
                out.total_matches = count(c, &indexes, expression)?;
            }
            let is_partial = expression != whole;
            let wanted = request.offset.saturating_add(request.limit);
            let mut ranked = Vec::new();
            for (at, index) in indexes.iter().enumerate() {
                let wanted = if is_partial { wanted.max(PARTIAL_HITS_MAX) } else { wanted };
                ranked.extend(rank(c, at, index, expression, &query, is_partial, wanted)?);
            }
            ranked.sort_by(|a, b| {
                b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)).then(a.rowid.cmp(&b.rowid))
            });
            for hit in ranked.iter().skip(request.offset).take(request.limit) {
                out.results.push(show(c, &indexes[hit.index], hit, expression, request.snippet_tokens)?);
            }
            Ok(out)
        })
    }
}

fn indexes(c: &Connection, request: &DataSearchRequest) -> HarvestResult<Vec<Index>> {
    let mut statement = c
        .prepare_cached(
            "SELECT index_id, generation, schema_name, table_name FROM fts_indexes WHERE generation > 0
               AND (?1 IS NULL OR target_id IN (SELECT value FROM json_each(?1)))
               AND (?2 IS NULL OR schema_name = ?2) AND (?3 IS NULL OR table_name = ?3)
             ORDER BY target_id, schema_name, table_name",
        )
        .db()?;
    let targets = request.targets.as_ref().map(|t| serde_json::json!(t).to_string());
    let rows = statement
        .query_map(params![targets, request.schema, request.table], |r| {
            Ok(Index { index_id: r.get(0)?, generation: r.get(1)?, schema: r.get(2)?, table: r.get(3)? })
        })
        .db()?;
    rows.collect::<rusqlite::Result<_>>().db()
}

fn count(c: &Connection, indexes: &[Index], expression: &str) -> HarvestResult<u64> {
    let mut total = 0;
    for index in indexes {
        let search = search_table(index.index_id, index.generation);
        let sql = format!("SELECT COUNT(*) FROM {search} WHERE {search} MATCH ?1");
        let count: i64 = c.prepare_cached(&sql).db()?.query_row([expression], |r| r.get(0)).db()?;
        total += count.unsigned_abs();
    }
    Ok(total)
}

#[expect(clippy::cast_precision_loss, reason = "a handful of terms")]
fn rank(
    c: &Connection,
    at: usize,
    index: &Index,
    expression: &str,
    query: &DataQuery,
    is_partial: bool,
    wanted: usize,
) -> HarvestResult<Vec<Ranked>> {
    let search = search_table(index.index_id, index.generation);
    let sql = format!("SELECT rowid, rank FROM {search} WHERE {search} MATCH ?1 ORDER BY rank LIMIT ?2");
    let mut statement = c.prepare_cached(&sql).db()?;
    let rows = statement
        .query_map(params![expression, wanted as i64], |r| {
            Ok(Ranked { index: at, rowid: r.get(0)?, raw: r.get(1)?, score: 0.0 })
        })
        .db()?;
    let mut ranked: Vec<Ranked> = rows.collect::<rusqlite::Result<_>>().db()?;
    let best = ranked.first().map_or(0.0, |r| r.raw);
    let terms = query.terms();
    let held = if is_partial { held(c, &search, &terms, &ranked)? } else { HashMap::new() };
    for hit in &mut ranked {
        let relative = if best < 0.0 { (hit.raw / best).clamp(0.0, 1.0) } else { 1.0 };
        let share = if is_partial {
            held.get(&hit.rowid).copied().unwrap_or(0) as f64 / terms.len() as f64
        } else {
            1.0
        };
        hit.score = (relative * share * 10_000.0).round() / 10_000.0;
    }
    Ok(ranked)
}

/// How many terms each candidate holds, as the index itself sees it.
fn held(
    c: &Connection,
    search: &str,
    terms: &[&crate::query_text::Term],
    ranked: &[Ranked],
) -> HarvestResult<HashMap<i64, usize>> {
    let ids: Vec<i64> = ranked.iter().map(|r| r.rowid).collect();
    let ids = serde_json::json!(ids).to_string();
    let sql = format!(
        "SELECT rowid FROM {search} WHERE {search} MATCH ?1 AND rowid IN (SELECT value FROM json_each(?2))"
    );
    let mut out: HashMap<i64, usize> = HashMap::new();
    for term in terms {
        let mut statement = c.prepare_cached(&sql).db()?;
        let rows = statement.query_map((term.expression(), &ids), |r| r.get::<_, i64>(0)).db()?;
        for row in rows {
            *out.entry(row.db()?).or_default() += 1;
        }
    }
    Ok(out)
}

fn show(
    c: &Connection,
    index: &Index,
    hit: &Ranked,
    expression: &str,
    snippet_tokens: u32,
) -> HarvestResult<DataHit> {
    let search = search_table(index.index_id, index.generation);
    let sql = format!(
        "SELECT d.metadata, snippet({search}, -1, char(1), char(2), '…', ?3) FROM {search} JOIN {} d
           ON d.rowid = {search}.rowid WHERE {search} MATCH ?1 AND {search}.rowid = ?2",
        data_table(index.index_id, index.generation)
    );
    let (stored, snippet): (String, String) = c
        .prepare_cached(&sql)
        .db()?
        .query_row(params![expression, hit.rowid, snippet_tokens], |r| Ok((r.get(0)?, r.get(1)?)))
        .db()?;
    let mut stored: Map<String, Json> = serde_json::from_str(&stored).unwrap_or_default();
    let mut part = |name: &str| match stored.remove(name) {
        Some(Json::Object(map)) => map,
        _ => Map::new(),
    };
    let primary_key = part("key");
    Ok(DataHit {
        schema: index.schema.clone(),
        table: index.table.clone(),
        primary_key_value: key_text(&primary_key),
        primary_key,
        snippet: marked(&snippet),
        metadata: part("columns"),
        score: hit.score,
        score_raw: hit.raw,
    })
}

fn key_text(key: &Map<String, Json>) -> String {
    let text = |value: &Json| match value {
        Json::String(s) => s.clone(),
        other => other.to_string(),
    };
    if key.len() == 1 {
        return key.values().next().map(text).unwrap_or_default();
    }
    let parts: Vec<String> =
        key.values().map(|v| text(v).replace('\\', "\\\\").replace('|', "\\|")).collect();
    parts.join("|")
}

/// Escapes markup, then turns the hit marks into tags.
fn marked(snippet: &str) -> String {
    snippet
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\u{1}', "<mark>")
        .replace('\u{2}', "</mark>")
}
