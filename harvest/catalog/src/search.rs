//! Full-text search over the objects of one run: matching, ranking, where a hit matched; it stores nothing.

use std::collections::HashSet;

use harvest::HarvestResult;
use rusqlite::{Connection, OptionalExtension, params};
use schemars::JsonSchema;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::catalog::{Catalog, Span};
use crate::fail::StoreResult;
use crate::object_tags;
use crate::query_text::{QueryText, Term, in_columns};
use crate::tokens::words;

/// Weights of the columns of `fts_objects`, in their order.
const RANK: &str = "bm25(fts_objects, 2.0, 2.0, 10.0, 6.0, 1.0, 4.0, 3.0, 1.0, 3.0)";
/// Hits at least that are ranked when only some of the words match.
const PARTIAL_HITS_MIN: usize = 50;
/// Characters of a definition that are looked at to tell where a hit matched.
const DEFINITION_CHARS_MAX: usize = 65_536;
/// Characters per token of a language model, for budgets.
const CHARS_PER_TOKEN: usize = 4;

/// A search over one run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SearchRequest {
    /// The run.
    pub run_id: i64,
    /// Its target.
    pub target_id: String,
    /// Words (ANDed, then ORed if nothing matches), `"phrases"`, `prefixes*`.
    pub query: String,
    /// Hits at most.
    pub limit: usize,
    /// Hits left out at the start.
    pub offset: usize,
    /// Only objects of this type.
    pub object_type: Option<String>,
    /// Only objects of this schema.
    pub schema_name: Option<String>,
    /// Whether words in definitions count.
    pub include_definition_hits: bool,
    /// Hits stop before their JSON is estimated at more tokens than this, and leave out what is empty or follows from
    /// the rest.
    pub token_budget: Option<usize>,
}

impl SearchRequest {
    /// A search with the usual limit and no filter.
    pub fn new(run_id: i64, target_id: impl Into<String>, query: impl Into<String>) -> Self {
        Self {
            run_id,
            target_id: target_id.into(),
            query: query.into(),
            limit: 25,
            offset: 0,
            object_type: None,
            schema_name: None,
            include_definition_hits: true,
            token_budget: None,
        }
    }
}

/// Hits, best first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SearchResponse {
    /// The hits.
    pub results: Vec<SearchHit>,
    /// Where the next page starts.
    #[serde(skip)]
    pub next_offset: Option<usize>,
}

/// One object that was found.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SearchHit {
    /// Id within the run.
    pub object_id: i64,
    /// `schema.name`, quoted where needed.
    pub object_key: String,
    /// Schema.
    #[serde(default)]
    pub schema_name: String,
    /// Name.
    #[serde(default)]
    pub object_name: String,
    /// table, view, materialized_view, routine, trigger, event, sequence or type.
    pub object_type: String,
    /// The engine's comment.
    #[serde(default)]
    pub comment: String,
    /// Tags that agents gave: note tags, domains, synonyms.
    #[serde(default)]
    pub tags: Vec<String>,
    /// 0 to 1, higher is better.
    pub score: f64,
    /// bm25, lower is better.
    #[serde(default)]
    pub score_raw: f64,
    /// name, comment, columns, definition, tags.
    pub matched_in: Vec<String>,
    /// What an agent says the object is.
    #[serde(default)]
    pub summary: Option<String>,
    /// What is empty or follows from the rest is not written.
    #[serde(skip)]
    #[schemars(skip)]
    brief: bool,
}

impl Serialize for SearchHit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("object_id", &self.object_id)?;
        map.serialize_entry("object_key", &self.object_key)?;
        if !self.brief {
            map.serialize_entry("schema_name", &self.schema_name)?;
            map.serialize_entry("object_name", &self.object_name)?;
        }
        map.serialize_entry("object_type", &self.object_type)?;
        if !self.brief || !self.comment.is_empty() {
            map.serialize_entry("comment", &self.comment)?;
        }
        if !self.brief || !self.tags.is_empty() {
            map.serialize_entry("tags", &self.tags)?;
        }
        map.serialize_entry("score", &self.score)?;
        if !self.brief {
            map.serialize_entry("score_raw", &self.score_raw)?;
        }
        map.serialize_entry("matched_in", &self.matched_in)?;
        if !self.brief || self.summary.is_some() {
            map.serialize_entry("summary", &self.summary)?;
        }
        map.end()
    }
}

/// Who asks in plain words wants rows: triggers, routines and the like rank behind what holds them.
const HOLDS_ROWS: &str =
    "CASE WHEN object_type IN ('table', 'view', 'materialized_view') THEN 1.0 ELSE 0.6 END";

struct Ranked {
    content_id: i64,
    raw: f64,
    score: f64,
}

struct Row {
    hit: SearchHit,
    uid: String,
    /// Folded words per field: name, comment, columns, tags, definition.
    fields: [(&'static str, Vec<String>); 5],
}

impl Catalog {
    /// Searches the objects of a run.
    ///
    /// # Errors
    /// Those of the store; no query is a syntax error.
    pub fn search(&self, request: &SearchRequest) -> HarvestResult<SearchResponse> {
        let query = QueryText::parse(&request.query);
        if query.terms.is_empty() {
            return Ok(SearchResponse { results: Vec::new(), next_offset: None });
        }
        self.store().read(|c| {
            let span = self.span(c, request.run_id)?;
            let wanted = request.offset.saturating_add(request.limit).saturating_add(1);
            let mut ranked = matches(c, request, span, &query.all(), wanted)?;
            let best = ranked.first().map_or(0.0, |r| r.raw);
            for hit in &mut ranked {
                hit.score = score(1.0, hit.raw, best);
            }
            // Whoever asks in a sentence wants what comes near it as well.
            let is_thin = ranked.is_empty() || (query.is_sentence && ranked.len() < wanted);
            if is_thin && query.terms.len() > 1 {
                let near = partial(c, request, span, &query, wanted)?;
                let known: HashSet<i64> = near.iter().map(|hit| hit.content_id).collect();
                ranked.retain(|hit| !known.contains(&hit.content_id));
                ranked.extend(near);
                ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.content_id.cmp(&b.content_id)));
                ranked.truncate(wanted);
            }
            page(c, request, &query.terms, ranked)
        })
    }
}

/// Half the share of terms that hit, half the rank relative to the best of the query.
pub(crate) fn score(share: f64, raw: f64, best: f64) -> f64 {
    let relative = if best < 0.0 { (raw / best).clamp(0.0, 1.0) } else { 1.0 };
    let score = 0.5 * share + 0.5 * relative;
    (score * 10_000.0).round() / 10_000.0
}

fn matches(
    c: &Connection,
    request: &SearchRequest,
    span: Span,
    expression: &str,
    wanted: usize,
) -> HarvestResult<Vec<Ranked>> {
    let expression = if request.include_definition_hits {
        expression.to_owned()
    } else {
        in_columns("- {definition_sql}", expression)
    };
    // What a run holds is mostly one range of contents; where it is not, each hit is looked up.
    let mut filter = String::from(" AND ?5 + 0 >= 0 AND ?6 IS NULL AND ?7 IS NULL");
    if request.object_type.is_some() || request.schema_name.is_some() {
        filter = " AND EXISTS (SELECT 1 FROM contents c WHERE c.content_id = f.rowid AND ?5 + 0 >= 0
           AND (?6 IS NULL OR c.object_type = ?6) AND (?7 IS NULL OR c.schema_name = ?7))"
            .to_owned();
    }
    if !span.whole {
        filter.push_str(
            " AND EXISTS (SELECT 1 FROM run_objects r WHERE r.run_id = ?5 AND r.content_id = f.rowid)",
        );
    }
    let sql = format!(
        "SELECT rowid, {RANK} * {HOLDS_ROWS} AS r FROM fts_objects f WHERE fts_objects MATCH ?1
           AND rowid BETWEEN ?2 AND ?3{filter} ORDER BY r, rowid LIMIT ?4"
    );
    let mut statement = c.prepare_cached(&sql).db()?;
    let rows = statement
        .query_map(
            params![
                expression,
                span.first,
                span.last,
                wanted as i64,
                request.run_id,
                request.object_type,
                request.schema_name
            ],
            |r| Ok(Ranked { content_id: r.get(0)?, raw: r.get(1)?, score: 0.0 }),
        )
        .db()?;
    rows.collect::<rusqlite::Result<_>>().db()
}

/// Some words match: hits rank by the share of words that they hold as well.
#[expect(clippy::cast_precision_loss, reason = "a handful of terms")]
fn partial(
    c: &Connection,
    request: &SearchRequest,
    span: Span,
    query: &QueryText,
    wanted: usize,
) -> HarvestResult<Vec<Ranked>> {
    let mut ranked = matches(c, request, span, &query.any(), wanted.saturating_mul(2).max(PARTIAL_HITS_MIN))?;
    let best = ranked.first().map_or(0.0, |r| r.raw);
    for hit in &mut ranked {
        let Some(row) = load(c, request, hit)? else { continue };
        let holds = |term: &&Term| row.fields.iter().any(|(_, words)| term.hits(words));
        let share = query.terms.iter().filter(holds).count() as f64 / query.terms.len() as f64;
        hit.score = score(share, hit.raw, best);
    }
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.content_id.cmp(&b.content_id)));
    Ok(ranked)
}

fn page(
    c: &Connection,
    request: &SearchRequest,
    terms: &[Term],
    ranked: Vec<Ranked>,
) -> HarvestResult<SearchResponse> {
    let total = ranked.len();
    let mut results = Vec::new();
    let mut next_offset = Some(request.offset.saturating_add(request.limit)).filter(|end| *end < total);
    let mut chars = 0;
    for (at, hit) in ranked.iter().enumerate().skip(request.offset).take(request.limit) {
        let Some(mut row) = load(c, request, hit)? else { continue };
        row.hit.matched_in = row
            .fields
            .iter()
            .filter(|(_, words)| terms.iter().any(|t| t.hits(words)))
            .map(|(name, _)| (*name).to_owned())
            .collect();
        row.hit.summary = summary(c, &request.target_id, &row.uid)?;
        if let Some(budget) = request.token_budget {
            chars += serde_json::to_string(&row.hit).map_or(0, |s| s.len());
            if chars / CHARS_PER_TOKEN > budget {
                next_offset = Some(at);
                break;
            }
        }
        results.push(row.hit);
    }
    results.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.object_key.cmp(&b.object_key)));
    Ok(SearchResponse { results, next_offset })
}

fn load(c: &Connection, request: &SearchRequest, ranked: &Ranked) -> HarvestResult<Option<Row>> {
    let mut statement = c
        .prepare_cached(
            "SELECT r.object_id, f.object_key, c.schema_name, c.object_name, c.object_type, c.object_comment, f.tags,
               c.object_uid, f.name_tokens, f.columns_blob,
               CASE WHEN ?2 THEN substr(c.definition_sql, 1, ?3) END
             FROM run_objects r JOIN contents c ON c.content_id = r.content_id
             JOIN fts_objects f ON f.rowid = r.content_id WHERE r.run_id = ?4 AND r.content_id = ?1",
        )
        .db()?;
    statement
        .query_row(
            params![
                ranked.content_id,
                request.include_definition_hits,
                DEFINITION_CHARS_MAX as i64,
                request.run_id
            ],
            |r| {
                let text = |at: usize| r.get::<_, Option<String>>(at).map(Option::unwrap_or_default);
                let hit = SearchHit {
                    object_id: r.get(0)?,
                    object_key: r.get(1)?,
                    schema_name: r.get(2)?,
                    object_name: r.get(3)?,
                    object_type: r.get(4)?,
                    comment: r.get(5)?,
                    tags: object_tags::list(&text(6)?),
                    score: ranked.score,
                    score_raw: ranked.raw,
                    matched_in: Vec::new(),
                    summary: None,
                    brief: request.token_budget.is_some(),
                };
                let name = format!("{} {} {} {}", text(1)?, text(3)?, text(8)?, text(4)?);
                let fields = [
                    ("name", words(&name).collect()),
                    ("comment", words(&hit.comment).collect()),
                    ("columns", words(&text(9)?).collect()),
                    ("tags", words(&text(6)?).collect()),
                    ("definition", words(&text(10)?).collect()),
                ];
                Ok(Row { hit, uid: r.get(7)?, fields })
            },
        )
        .optional()
        .db()
}

fn summary(c: &Connection, target_id: &str, uid: &str) -> HarvestResult<Option<String>> {
    c.prepare_cached(
        "SELECT summary_json ->> 'hypothesis' FROM llm_object_summaries WHERE target_id = ?1 AND object_uid = ?2
         ORDER BY created_at DESC, summary_id DESC LIMIT 1",
    )
    .db()?
    .query_row((target_id, uid), |r| r.get(0))
    .optional()
    .db()
    .map(Option::flatten)
}
