//! Reads the record behind a search hit, whole, from its own table; it ranks nothing.

use harvest::HarvestResult;
use rusqlite::{Connection, OptionalExtension};
use serde_json::{Map, Value as Json};

use crate::fail::StoreResult;

use super::metric::dependencies;
use super::search::RecordKind;
use super::summary::is_current;
use super::template::success_rate;
use super::template_check::is_stale;

/// A record with what ranking and answers need.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) kind: RecordKind,
    pub(crate) id: i64,
    pub(crate) confidence: f64,
    pub(crate) stale: bool,
    pub(crate) run_id: Option<i64>,
    pub(crate) agent_run_id: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) related: Vec<String>,
    pub(crate) template: Option<Template>,
}

/// What only templates have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template {
    pub(crate) question_norm: String,
    pub(crate) title: String,
    pub(crate) example_sql: Option<String>,
    pub(crate) sql_valid: Option<bool>,
    pub(crate) status: String,
    pub(crate) success_rate: f64,
    pub(crate) template_json: Map<String, Json>,
}

/// The record, or `None` if it is gone.
pub(crate) fn load(c: &Connection, kind: RecordKind, id: i64, run_id: i64) -> HarvestResult<Option<Record>> {
    match kind {
        RecordKind::Summary => summary(c, id, run_id),
        RecordKind::Relationship => relationship(c, id, run_id),
        RecordKind::Domain => domain(c, id),
        RecordKind::Metric => metric(c, id, run_id),
        RecordKind::QuestionTemplate => template(c, id, run_id),
        RecordKind::Note => note(c, id, run_id),
    }
}

fn record(kind: RecordKind, id: i64, r: &rusqlite::Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        kind,
        id,
        confidence: r.get(0)?,
        stale: false,
        run_id: r.get(1)?,
        agent_run_id: r.get(2)?,
        created_at: r.get(3)?,
        related: Vec::new(),
        template: None,
    })
}

fn summary(c: &Connection, id: i64, run_id: i64) -> HarvestResult<Option<Record>> {
    let found: Option<(Record, String, String, String)> = c
        .prepare_cached(
            "SELECT confidence, run_id, agent_run_id, updated_at, object_uid, object_hash, object_key
             FROM llm_object_summaries WHERE summary_id = ?1",
        )
        .db()?
        .query_row([id], |r| Ok((record(RecordKind::Summary, id, r)?, r.get(4)?, r.get(5)?, r.get(6)?)))
        .optional()
        .db()?;
    let Some((mut record, uid, hash, key)) = found else { return Ok(None) };
    record.stale = !is_current(c, run_id, &uid, &hash)?;
    record.related = vec![key];
    Ok(Some(record))
}

fn relationship(c: &Connection, id: i64, run_id: i64) -> HarvestResult<Option<Record>> {
    let found: Option<(Record, [String; 6])> = c
        .prepare_cached(
            "SELECT confidence, run_id, agent_run_id, created_at, child_uid, child_hash, child_key, parent_uid,
               parent_hash, parent_key FROM llm_relationships WHERE llm_rel_id = ?1",
        )
        .db()?
        .query_row([id], |r| {
            let texts = [r.get(4)?, r.get(5)?, r.get(6)?, r.get(7)?, r.get(8)?, r.get(9)?];
            Ok((record(RecordKind::Relationship, id, r)?, texts))
        })
        .optional()
        .db()?;
    let Some((mut record, [child, child_hash, child_key, parent, parent_hash, parent_key])) = found else {
        return Ok(None);
    };
    record.stale =
        !is_current(c, run_id, &child, &child_hash)? || !is_current(c, run_id, &parent, &parent_hash)?;
    record.related = vec![child_key, parent_key];
    Ok(Some(record))
}

fn domain(c: &Connection, id: i64) -> HarvestResult<Option<Record>> {
    let found: Option<Record> = c
        .prepare_cached(
            "SELECT confidence, run_id, agent_run_id, created_at FROM llm_domains WHERE domain_id = ?1",
        )
        .db()?
        .query_row([id], |r| record(RecordKind::Domain, id, r))
        .optional()
        .db()?;
    let Some(mut record) = found else { return Ok(None) };
    let mut statement = c
        .prepare_cached(
            "SELECT object_key FROM llm_domain_members WHERE domain_id = ?1 ORDER BY object_key LIMIT 200",
        )
        .db()?;
    let rows = statement.query_map([id], |r| r.get(0)).db()?;
    record.related = rows.collect::<rusqlite::Result<_>>().db()?;
    Ok(Some(record))
}

fn metric(c: &Connection, id: i64, run_id: i64) -> HarvestResult<Option<Record>> {
    let found: Option<(Record, String)> = c
        .prepare_cached(
            "SELECT confidence, run_id, agent_run_id, created_at, depends_json FROM llm_metrics WHERE metric_id = ?1",
        )
        .db()?
        .query_row([id], |r| Ok((record(RecordKind::Metric, id, r)?, r.get(4)?)))
        .optional()
        .db()?;
    let Some((mut record, depends)) = found else { return Ok(None) };
    let (objects, stale) = dependencies(c, run_id, &depends)?;
    record.stale = stale;
    record.related = objects.into_iter().map(|o| o.object_key).collect();
    Ok(Some(record))
}

fn note(c: &Connection, id: i64, run_id: i64) -> HarvestResult<Option<Record>> {
    let found: Option<(Record, [Option<String>; 3])> = c
        .prepare_cached(
            "SELECT 1.0, run_id, agent_run_id, created_at, object_uid, object_hash, object_key FROM llm_notes
             WHERE note_id = ?1",
        )
        .db()?
        .query_row([id], |r| Ok((record(RecordKind::Note, id, r)?, [r.get(4)?, r.get(5)?, r.get(6)?])))
        .optional()
        .db()?;
    let Some((mut record, [uid, hash, key])) = found else { return Ok(None) };
    if let (Some(uid), Some(hash)) = (uid, hash) {
        record.stale = !is_current(c, run_id, &uid, &hash)?;
    }
    record.related = key.into_iter().collect();
    Ok(Some(record))
}

fn template(c: &Connection, id: i64, run_id: i64) -> HarvestResult<Option<Record>> {
    let found: Option<(Record, String)> = c
        .prepare_cached(
            "SELECT confidence, run_id, agent_run_id, updated_at, question_norm, title, example_sql, sql_valid, status,
               success_count, failure_count, template_json, related_objects FROM llm_question_templates
             WHERE template_id = ?1",
        )
        .db()?
        .query_row([id], |r| {
            let plan: String = r.get(11)?;
            let mut record = record(RecordKind::QuestionTemplate, id, r)?;
            record.template = Some(Template {
                question_norm: r.get(4)?,
                title: r.get(5)?,
                example_sql: r.get(6)?,
                sql_valid: r.get(7)?,
                status: r.get(8)?,
                success_rate: success_rate(r.get(9)?, r.get(10)?),
                template_json: serde_json::from_str(&plan).unwrap_or_default(),
            });
            Ok((record, r.get(12)?))
        })
        .optional()
        .db()?;
    let Some((mut record, related)) = found else { return Ok(None) };
    record.related = serde_json::from_str(&related).unwrap_or_default();
    record.stale = is_stale(c, run_id, id)?;
    Ok(Some(record))
}
