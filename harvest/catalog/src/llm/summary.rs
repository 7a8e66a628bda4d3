//! Summaries of objects: strength rules, staleness, warnings about columns that do not exist.

use harvest::HarvestResult;
use rusqlite::{Connection, OptionalExtension, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::agent::{bounded, running};
use crate::catalog::Catalog;
use crate::fail::{self, StoreResult};
use crate::keys::ObjectRef;
use crate::llm_index::{self, SearchRow};
use crate::object_tags;
use crate::objects::{ObjectRow, resolve};
use crate::store::now;
use crate::text_enum::text_enum;

use super::{action, band, strings};

text_enum! {
    /// How firm a summary is; each is stronger than the one before.
    SummaryStatus {
        /// A first reading.
        Draft = "draft",
        /// Checked against data.
        Validated = "validated",
        /// Settled.
        Stable = "stable",
    }
}

impl SummaryStatus {
    fn parse(text: &str) -> Self {
        match text {
            "validated" => Self::Validated,
            "stable" => Self::Stable,
            _ => Self::Draft,
        }
    }
}

/// A summary to write.
#[derive(Debug, Clone)]
// Exhaustive: callers fill every field from their arguments.
pub struct SummaryUpsert {
    /// The agent run.
    pub agent_run_id: i64,
    /// The object, in the agent run's discovery run.
    pub object: ObjectRef,
    /// hypothesis, grain, primary_key, time_columns, dimensions, measures, join_keys, example_questions, warnings, others.
    pub summary: Map<String, Json>,
    /// 0 to 1.
    pub confidence: f64,
    /// How firm.
    pub status: SummaryStatus,
    /// Where it comes from.
    pub sources: Option<Json>,
    /// Replace stronger records.
    pub force: bool,
}

/// A written summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct SummaryUpserted {
    pub summary_id: i64,
    pub object_id: i64,
    /// inserted or updated.
    pub action: String,
    pub status: SummaryStatus,
    /// strong, likely, tentative or weak.
    pub band: String,
    pub warnings: Vec<String>,
}

/// Summaries of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SummaryList {
    /// Newest first.
    pub summaries: Vec<SummaryRow>,
}

/// One summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct SummaryRow {
    pub summary_id: i64,
    pub object_id: i64,
    pub agent_run_id: i64,
    pub run_id: Option<i64>,
    pub summary: Map<String, Json>,
    pub confidence: f64,
    pub status: String,
    pub sources: Json,
    pub created_at: i64,
    /// The object has changed since.
    pub stale: bool,
}

const COLUMN_LISTS: &[&str] = &["primary_key", "time_columns", "dimensions", "measures", "join_keys"];
const SUMMARIES_MAX: i64 = 50;

impl Catalog {
    /// Writes a summary, one per agent run and object.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FAILED_PRECONDITION` for a finished agent run, `CONFLICT` when a stronger current record exists,
    /// `LIMIT_EXCEEDED`.
    pub fn summary_upsert(&self, request: &SummaryUpsert) -> HarvestResult<SummaryUpserted> {
        let text = bounded("summary", &Json::Object(request.summary.clone()))?;
        let sources = request.sources.as_ref().map(|s| bounded("sources", s)).transpose()?;
        self.store().write(|tx| {
            let (scope, run_id) = running(tx, request.agent_run_id)?;
            let object = resolve(tx, run_id, &request.object)?;
            if !request.force {
                refuse_weaker(tx, &scope.target_id, &object, request)?;
            }
            let existed: bool = tx
                .query_row(
                    "SELECT EXISTS(SELECT 1 FROM llm_object_summaries WHERE agent_run_id = ?1 AND object_uid = ?2)",
                    (request.agent_run_id, &object.uid),
                    |r| r.get(0),
                )
                .db()?;
            let summary_id: i64 = tx
                .query_row(
                    "INSERT INTO llm_object_summaries(target_id, run_id, agent_run_id, object_id, object_uid, object_hash,
                       object_key, summary_json, confidence, status, sources_json, created_at, updated_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12)
                     ON CONFLICT(agent_run_id, object_uid) DO UPDATE SET object_id = excluded.object_id,
                       object_hash = excluded.object_hash, summary_json = excluded.summary_json,
                       confidence = excluded.confidence, status = excluded.status,
                       sources_json = excluded.sources_json, updated_at = excluded.updated_at
                     RETURNING summary_id",
                    params![
                        scope.target_id,
                        run_id,
                        request.agent_run_id,
                        object.object_id,
                        object.uid,
                        object.hash,
                        object.key(),
                        text,
                        request.confidence,
                        request.status.as_str(),
                        sources,
                        now()
                    ],
                    |r| r.get(0),
                )
                .db()?;
            let title = request.summary.get("hypothesis").and_then(Json::as_str).unwrap_or_default();
            llm_index::put(
                tx,
                &SearchRow {
                    kind: "summary",
                    ref_id: summary_id,
                    key: &object.key(),
                    title,
                    body: &strings(&Json::Object(request.summary.clone())),
                    tags: "",
                    target_id: &scope.target_id,
                    run_id: Some(run_id),
                    object_uid: Some(&object.uid),
                },
            )?;
            object_tags::refresh(tx, &scope.target_id, &object.uid)?;
            Ok(SummaryUpserted {
                summary_id,
                object_id: object.object_id,
                action: action(existed).to_owned(),
                status: request.status,
                band: band(request.confidence).to_owned(),
                warnings: warnings(tx, object.object_id, request)?,
            })
        })
    }

    /// Summaries of an object, newest first: those of this run, else those of earlier runs with the same identity.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is none.
    pub fn summary_get(
        &self,
        target_id: &str,
        run_id: i64,
        object: &ObjectRef,
        agent_run_id: Option<i64>,
        latest: bool,
    ) -> HarvestResult<SummaryList> {
        self.store().read(|c| {
            let object = resolve(c, run_id, object)?;
            let mut summaries = rows(c, target_id, Some(run_id), &object, agent_run_id)?;
            if summaries.is_empty() {
                summaries = rows(c, target_id, None, &object, agent_run_id)?;
            }
            if latest {
                summaries.truncate(1);
            }
            if summaries.is_empty() {
                return Err(fail::not_found("summary", object.key()));
            }
            Ok(SummaryList { summaries })
        })
    }
}

/// A record of higher status, or of equal status and higher confidence, stays; a stale one yields.
fn refuse_weaker(
    c: &Connection,
    target_id: &str,
    object: &ObjectRow,
    request: &SummaryUpsert,
) -> HarvestResult<()> {
    let mut statement = c
        .prepare_cached(
            "SELECT summary_id, status, confidence FROM llm_object_summaries
             WHERE target_id = ?1 AND object_uid = ?2 AND object_hash = ?3",
        )
        .db()?;
    let mut rows = statement.query((target_id, &object.uid, &object.hash)).db()?;
    while let Some(r) = rows.next().db()? {
        let (id, status, confidence): (i64, String, f64) = (r.get(0).db()?, r.get(1).db()?, r.get(2).db()?);
        let existing = (SummaryStatus::parse(&status), confidence);
        let is_stronger =
            existing.0 > request.status || (existing.0 == request.status && existing.1 > request.confidence);
        if is_stronger {
            return Err(fail::conflict(format!(
                "a stronger summary of {} exists ({status}, confidence {confidence}): read it, or pass force",
                object.key()
            ))
            .with("existing_id", id));
        }
    }
    Ok(())
}

fn warnings(c: &Connection, object_id: i64, request: &SummaryUpsert) -> HarvestResult<Vec<String>> {
    let mut statement = c.prepare_cached("SELECT column_name FROM columns WHERE object_id = ?1").db()?;
    let known: Vec<String> =
        statement.query_map([object_id], |r| r.get(0)).db()?.collect::<rusqlite::Result<_>>().db()?;
    let mut out = Vec::new();
    for list in COLUMN_LISTS {
        for name in request.summary.get(*list).and_then(Json::as_array).into_iter().flatten() {
            // A reference may name its table as well; the last part is the column.
            let Some(name) = name.as_str() else { continue };
            if !known.iter().any(|k| k == name) {
                out.push(format!("{list}: the object has no column {name:?}"));
            }
        }
    }
    let questions = request.summary.get("example_questions").and_then(Json::as_array).map_or(0, Vec::len);
    if questions > 0 && !(3..=8).contains(&questions) {
        out.push(format!("example_questions: 3 to 8 are useful, got {questions}"));
    }
    if request.status > SummaryStatus::Draft && request.sources.is_none() {
        out.push("sources: a validated or stable summary names the check against data".to_owned());
    }
    Ok(out)
}

fn rows(
    c: &Connection,
    target_id: &str,
    run_id: Option<i64>,
    object: &ObjectRow,
    agent_run_id: Option<i64>,
) -> HarvestResult<Vec<SummaryRow>> {
    let mut statement = c
        .prepare_cached(
            "SELECT summary_id, agent_run_id, run_id, summary_json, confidence, status, sources_json, created_at,
               object_hash FROM llm_object_summaries WHERE target_id = ?1 AND object_uid = ?2
               AND (?3 IS NULL OR run_id = ?3) AND (?4 IS NULL OR agent_run_id = ?4)
             ORDER BY created_at DESC, summary_id DESC LIMIT ?5",
        )
        .db()?;
    let rows = statement
        .query_map(params![target_id, object.uid, run_id, agent_run_id, SUMMARIES_MAX], |r| {
            let summary: String = r.get(3)?;
            let sources: Option<String> = r.get(6)?;
            Ok(SummaryRow {
                summary_id: r.get(0)?,
                object_id: object.object_id,
                agent_run_id: r.get(1)?,
                run_id: r.get(2)?,
                summary: serde_json::from_str(&summary).unwrap_or_default(),
                confidence: r.get(4)?,
                status: r.get(5)?,
                sources: sources.and_then(|s| serde_json::from_str(&s).ok()).unwrap_or_default(),
                created_at: r.get(7)?,
                stale: r.get::<_, String>(8)? != object.hash,
            })
        })
        .db()?;
    rows.collect::<rusqlite::Result<_>>().db()
}

/// Whether an identity's object is there with this hash.
pub(crate) fn is_current(c: &Connection, run_id: i64, uid: &str, hash: &str) -> HarvestResult<bool> {
    c.prepare_cached("SELECT content_hash = ?3 FROM objects WHERE object_uid = ?1 AND run_id = ?2")
        .db()?
        .query_row((uid, run_id, hash), |r| r.get(0))
        .optional()
        .db()
        .map(|same| same == Some(true))
}
