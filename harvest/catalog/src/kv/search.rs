//! Full-text search over entries, with whole-tag filters.

use harvest::HarvestResult;
use rusqlite::params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::fail::StoreResult;
use crate::query_text::QueryText;
use crate::search::score;
use crate::tokens::words;

use super::{ENTRY, FILTER, KvEntry, KvFilter, entry};

/// A search over entries.
#[derive(Debug, Clone, Default)]
// Exhaustive: callers fill every field from their arguments.
pub struct KvSearchRequest {
    /// Words (ANDed, then ORed if nothing matches), `"phrases"`, `prefixes*`.
    pub query: String,
    /// Which entries.
    pub filter: KvFilter,
    /// All must be present, whole.
    pub tags: Vec<String>,
    /// Hits at most.
    pub limit: usize,
    /// Hits left out at the start.
    pub offset: usize,
}

/// An entry with its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct KvHit {
    /// The entry.
    #[serde(flatten)]
    pub entry: KvEntry,
    /// 0 to 1.
    pub score: f64,
}

/// Hits, best first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct KvSearchResponse {
    /// The hits.
    pub results: Vec<KvHit>,
    /// Entries that match, on all pages.
    pub total: u64,
}

/// Entries that are ranked when only some of the words match.
const HITS_MAX: usize = 1_000;

impl Catalog {
    /// Searches entries.
    ///
    /// # Errors
    /// Those of the store; no query is a syntax error.
    pub fn kv_search(&self, request: &KvSearchRequest) -> HarvestResult<KvSearchResponse> {
        let query = QueryText::parse(&request.query);
        if query.terms.is_empty() {
            return Ok(KvSearchResponse { results: Vec::new(), total: 0 });
        }
        let mut hits = self.kv_matches(request, &query.all(), &query)?;
        if hits.1.is_empty() && query.terms.len() > 1 {
            hits = self.kv_matches(request, &query.any(), &query)?;
        }
        let (total, mut results) = hits;
        results.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.entry.key.cmp(&b.entry.key)));
        let results = results.into_iter().skip(request.offset).take(request.limit).collect();
        Ok(KvSearchResponse { results, total })
    }

    #[expect(clippy::cast_precision_loss, reason = "a handful of terms")]
    fn kv_matches(
        &self,
        request: &KvSearchRequest,
        expression: &str,
        query: &QueryText,
    ) -> HarvestResult<(u64, Vec<KvHit>)> {
        let tags = serde_json::json!(request.tags).to_string();
        self.store().read(|c| {
            let matches = format!(
                "FROM catalog_fts f JOIN catalog e ON e.id = f.rowid WHERE catalog_fts MATCH ?4 AND {FILTER}
                 AND NOT EXISTS (SELECT 1 FROM json_each(?5) j WHERE NOT EXISTS (SELECT 1 FROM catalog_tags t
                   WHERE t.entry_id = e.id AND t.tag = j.value))"
            );
            let given = (request.filter.targets_json(), &request.filter.schema, &request.filter.kind);
            let total: i64 = c
                .prepare_cached(&format!("SELECT COUNT(*) {matches}"))
                .db()?
                .query_row(params![given.0, given.1, given.2, expression, tags], |r| r.get(0))
                .db()?;
            let sql = format!(
                "SELECT {ENTRY}, bm25(catalog_fts, 2.0, 1.0, 8.0, 2.0, 4.0) AS r {matches} ORDER BY r LIMIT ?6"
            );
            let wanted = request.offset.saturating_add(request.limit).max(HITS_MAX);
            let mut statement = c.prepare_cached(&sql).db()?;
            let rows = statement
                .query_map(params![given.0, given.1, given.2, expression, tags, wanted as i64], |r| {
                    Ok((entry(r)?, r.get::<_, f64>(10)?))
                })
                .db()?;
            let rows: Vec<(KvEntry, f64)> = rows.collect::<rusqlite::Result<_>>().db()?;
            let best = rows.first().map_or(0.0, |(_, raw)| *raw);
            let hits = rows.into_iter().map(|(entry, raw)| {
                let text = format!(
                    "{} {} {} {} {}",
                    entry.schema,
                    entry.kind,
                    entry.key,
                    entry.document,
                    entry.tags.join(" ")
                );
                let text: Vec<String> = words(&text).collect();
                let held = query.terms.iter().filter(|t| t.hits(&text)).count();
                KvHit { score: score(held as f64 / query.terms.len() as f64, raw, best), entry }
            });
            Ok((total.unsigned_abs(), hits.collect()))
        })
    }
}
