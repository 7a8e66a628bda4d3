//! Search over everything that agents recorded of a target: matching, ranking, reuse of templates.

use std::collections::HashMap;

use harvest::HarvestResult;
use rusqlite::{Connection, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::catalog::Catalog;
use crate::fail::StoreResult;
use crate::keys::ObjectRef;
use crate::object_document::{DocumentParts, ObjectDocument, document};
use crate::objects::resolve;
use crate::query_text::QueryText;
use crate::search::score;
use crate::text_enum::text_enum;
use crate::tokens::words;

use super::norm::{dice, is_stop_word, question_norm};
use super::search_records::{Record, load};

text_enum! {
    /// Kinds of records.
    RecordKind {
        /// Of an object.
        Summary = "summary",
        /// Between two columns.
        Relationship = "relationship",
        /// A business domain.
        Domain = "domain",
        /// A metric.
        Metric = "metric",
        /// A question with its answer plan.
        QuestionTemplate = "question_template",
        /// A note.
        Note = "note",
    }
}

impl RecordKind {
    const ALL: [Self; 6] =
        [Self::Summary, Self::Relationship, Self::Domain, Self::Metric, Self::QuestionTemplate, Self::Note];

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A search over agents' records.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LlmSearchRequest {
    /// The target.
    pub target_id: String,
    /// The run that staleness and objects refer to.
    pub run_id: i64,
    /// Words; empty lists, newest and best first.
    pub query: String,
    /// Records of other runs too.
    pub across_runs: bool,
    /// Only these kinds; empty means all.
    pub kinds: Vec<RecordKind>,
    /// Weaker ones are left out.
    pub min_confidence: f64,
    /// Records whose objects changed too.
    pub include_stale: bool,
    /// Documents of related objects too.
    pub include_objects: bool,
    /// Score from which a template may be reused as it is.
    pub reuse_score: f64,
    /// Hits at most.
    pub limit: usize,
    /// Hits left out at the start.
    pub offset: usize,
}

impl LlmSearchRequest {
    /// A search with the usual limit over all kinds and runs.
    pub fn new(target_id: impl Into<String>, run_id: i64, query: impl Into<String>) -> Self {
        Self {
            target_id: target_id.into(),
            run_id,
            query: query.into(),
            across_runs: true,
            kinds: Vec::new(),
            min_confidence: 0.0,
            include_stale: true,
            include_objects: false,
            reuse_score: 0.8,
            limit: 25,
            offset: 0,
        }
    }
}

/// Hits, best first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct LlmSearchResponse {
    /// The hits.
    pub results: Vec<LlmSearchHit>,
    /// Where the next page starts.
    #[serde(skip)]
    pub next_offset: Option<usize>,
}

/// One record that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct LlmSearchHit {
    pub kind: String,
    pub id: i64,
    pub key: String,
    pub title: String,
    pub body: String,
    pub tags: Vec<String>,
    /// 0 to 1.
    pub score: f64,
    pub confidence: f64,
    /// An object of the record has changed since or is gone.
    pub stale: bool,
    pub run_id: Option<i64>,
    pub agent_run_id: Option<i64>,
    pub example_sql: Option<String>,
    /// Keys of the objects that it is about.
    pub related_objects: Vec<String>,
    pub template_json: Option<Map<String, Json>>,
    /// May be run as it is, after filling its parameters.
    pub reuse: bool,
    pub success_rate: Option<f64>,
    /// Documents of the related objects, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<Vec<ObjectDocument>>,
}

/// Records that are ranked per search.
const CANDIDATES_MAX: i64 = 500;
/// Object documents in one answer.
const OBJECTS_MAX: usize = 20;

struct Found {
    record: Record,
    key: String,
    title: String,
    body: String,
    tags: String,
    score: f64,
    order: f64,
}

impl Catalog {
    /// Searches what agents recorded of a target.
    ///
    /// # Errors
    /// Those of the store; no query is a syntax error.
    pub fn llm_search(&self, request: &LlmSearchRequest) -> HarvestResult<LlmSearchResponse> {
        self.store().read(|c| {
            let text = meaningful(&request.query);
            let mut found = match &text {
                Some(text) => matching(c, request, text)?,
                None if request.query.trim().is_empty() => newest(c, request)?,
                None => Vec::new(),
            };
            found.retain(|f| is_wanted(request, &f.record, text.is_none()));
            if text.is_some() {
                found.sort_by(|a, b| {
                    b.order
                        .total_cmp(&a.order)
                        .then_with(|| a.key.cmp(&b.key))
                        .then(a.record.id.cmp(&b.record.id))
                });
            }
            let end = request.offset.saturating_add(request.limit);
            let next_offset = (end < found.len()).then_some(end);
            let mut results: Vec<LlmSearchHit> = found
                .into_iter()
                .skip(request.offset)
                .take(request.limit)
                .map(|f| hit(f, request.reuse_score))
                .collect();
            if request.include_objects {
                add_objects(c, request, &mut results)?;
            }
            Ok(LlmSearchResponse { results, next_offset })
        })
    }
}

/// The query without stop words, or with them if nothing else is left.
fn meaningful(query: &str) -> Option<QueryText> {
    let all = QueryText::parse(query);
    let is_kept = |t: &crate::query_text::Term| {
        t.alternatives.iter().any(|words| words.len() > 1 || words.iter().any(|w| !is_stop_word(w)))
    };
    let kept: Vec<_> = all.terms.iter().filter(|t| is_kept(t)).cloned().collect();
    if all.terms.is_empty() {
        None
    } else if kept.is_empty() {
        Some(all)
    } else {
        Some(QueryText { terms: kept, is_sentence: false })
    }
}

fn is_wanted(request: &LlmSearchRequest, record: &Record, is_list: bool) -> bool {
    let is_retired = record.template.as_ref().is_some_and(|t| t.status == "retired");
    let asks_for_retired = is_list && request.kinds.contains(&RecordKind::QuestionTemplate);
    record.confidence >= request.min_confidence
        && (request.include_stale || !record.stale)
        && (request.across_runs || record.run_id == Some(request.run_id))
        && (!is_retired || asks_for_retired)
}

fn kinds_json(request: &LlmSearchRequest) -> Option<String> {
    let names: Vec<&str> = request.kinds.iter().map(|k| k.as_str()).collect();
    (!names.is_empty()).then(|| serde_json::json!(names).to_string())
}

#[expect(clippy::cast_precision_loss, reason = "a handful of terms")]
fn matching(c: &Connection, request: &LlmSearchRequest, query: &QueryText) -> HarvestResult<Vec<Found>> {
    let mut statement = c
        .prepare_cached(
            "SELECT kind, ref_id, key, title, body, tags, bm25(fts_llm, 4.0, 6.0, 2.0, 3.0) AS r FROM fts_llm
             WHERE fts_llm MATCH ?1 AND target_id = ?2
               AND (?3 IS NULL OR kind IN (SELECT value FROM json_each(?3))) AND (?4 OR run_id = ?5)
             ORDER BY r LIMIT ?6",
        )
        .db()?;
    let mut rows = statement
        .query(params![
            query.any(),
            request.target_id,
            kinds_json(request),
            request.across_runs,
            request.run_id,
            CANDIDATES_MAX
        ])
        .db()?;
    let norm = question_norm(&request.query);
    let mut best = None;
    let mut out = Vec::new();
    while let Some(r) = rows.next().db()? {
        let raw: f64 = r.get(6).db()?;
        let best = *best.get_or_insert(raw);
        let kind: String = r.get(0).db()?;
        let Some(kind) = RecordKind::parse(&kind) else { continue };
        let Some(record) = load(c, kind, r.get(1).db()?, request.run_id)? else { continue };
        let (key, title, body, tags): (String, String, String, String) =
            (r.get(2).db()?, r.get(3).db()?, r.get(4).db()?, r.get(5).db()?);
        let score = match &record.template {
            Some(t) => dice(&norm, &t.question_norm).max(dice(&norm, &question_norm(&t.title))),
            None => {
                let text: Vec<String> = words(&format!("{key}\n{title}\n{body}\n{tags}")).collect();
                let held = query.terms.iter().filter(|t| t.hits(&text)).count();
                score(held as f64 / query.terms.len() as f64, raw, best)
            }
        };
        let order = order(score, &record);
        out.push(Found { record, key, title, body, tags, score, order });
    }
    Ok(out)
}

/// Score weighed by confidence and success, less for what is stale or suspect.
fn order(score: f64, record: &Record) -> f64 {
    let rate = record.template.as_ref().map_or(0.5, |t| t.success_rate);
    let is_suspect = record.template.as_ref().is_some_and(|t| t.status != "active");
    let penalty = if record.stale || is_suspect { 0.2 } else { 0.0 };
    score * (0.6 + 0.25 * record.confidence + 0.15 * rate) - penalty
}

fn newest(c: &Connection, request: &LlmSearchRequest) -> HarvestResult<Vec<Found>> {
    let mut statement = c
        .prepare_cached(
            "SELECT kind, ref_id, key, title, body, tags FROM fts_llm WHERE target_id = ?1
               AND (?2 IS NULL OR kind IN (SELECT value FROM json_each(?2))) AND (?3 OR run_id = ?4)
             ORDER BY rowid DESC LIMIT ?5",
        )
        .db()?;
    let wanted = CANDIDATES_MAX.max((request.offset.saturating_add(request.limit).saturating_add(1)) as i64);
    let mut rows = statement
        .query(params![request.target_id, kinds_json(request), request.across_runs, request.run_id, wanted])
        .db()?;
    let mut out = Vec::new();
    while let Some(r) = rows.next().db()? {
        let kind: String = r.get(0).db()?;
        let Some(kind) = RecordKind::parse(&kind) else { continue };
        let Some(record) = load(c, kind, r.get(1).db()?, request.run_id)? else { continue };
        let order = order(1.0, &record);
        out.push(Found {
            key: r.get(2).db()?,
            title: r.get(3).db()?,
            body: r.get(4).db()?,
            tags: r.get(5).db()?,
            score: 1.0,
            order,
            record,
        });
    }
    out.sort_by(|a, b| {
        b.record
            .created_at
            .cmp(&a.record.created_at)
            .then(b.order.total_cmp(&a.order))
            .then_with(|| (a.record.kind, b.record.id).cmp(&(b.record.kind, a.record.id)))
    });
    Ok(out)
}

fn hit(found: Found, reuse_score: f64) -> LlmSearchHit {
    let Found { record, key, title, body, tags, score, .. } = found;
    let reuse = record.template.as_ref().is_some_and(|t| {
        score >= reuse_score && t.status == "active" && !record.stale && t.sql_valid != Some(false)
    });
    let (mut example_sql, mut template_json, mut success_rate) = (None, None, None);
    if let Some(t) = record.template {
        example_sql = t.example_sql;
        template_json = Some(t.template_json);
        success_rate = Some(t.success_rate);
    }
    LlmSearchHit {
        kind: record.kind.as_str().to_owned(),
        id: record.id,
        key,
        title,
        body,
        tags: tags.lines().map(str::to_owned).collect(),
        score,
        confidence: record.confidence,
        stale: record.stale,
        run_id: record.run_id,
        agent_run_id: record.agent_run_id,
        example_sql,
        related_objects: record.related,
        template_json,
        reuse,
        success_rate,
        objects: None,
    }
}

/// Adds each document once, to the first hit that names the object.
fn add_objects(c: &Connection, request: &LlmSearchRequest, hits: &mut [LlmSearchHit]) -> HarvestResult<()> {
    let mut seen: HashMap<String, ()> = HashMap::new();
    let parts = DocumentParts { profiles: false, llm: true, ..DocumentParts::default() };
    for hit in hits {
        let mut objects = Vec::new();
        for key in &hit.related_objects {
            if seen.len() >= OBJECTS_MAX || seen.contains_key(key) {
                continue;
            }
            // An object that is gone, or a key that names several, has no document.
            let Ok(row) = resolve(c, request.run_id, &ObjectRef::key(key.clone())) else { continue };
            objects.push(document(c, &request.target_id, request.run_id, &row, parts)?);
            seen.insert(key.clone(), ());
        }
        hit.objects = Some(objects);
    }
    Ok(())
}
