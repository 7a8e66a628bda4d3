//! Question templates and the feedback on them; who may be reused is decided by search and checks.

use harvest::{DialectName, HarvestResult, LexMode, TableRef};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::agent::{bounded, running};
use crate::catalog::{Catalog, resolve_run};
use crate::fail::{self, StoreResult};
use crate::keys::{ObjectRef, RunRef};
use crate::llm_index::{self, SearchRow};
use crate::objects::{ObjectRow, resolve};
use crate::store::now;
use crate::text_enum::text_enum;

use super::norm::question_norm;

text_enum! {
    /// How using a template went.
    Outcome {
        /// It answered the question.
        Success = "success",
        /// It did not.
        Failure = "failure",
    }
}

/// A template to write.
#[derive(Debug, Clone)]
// Exhaustive: callers fill every field from their arguments.
pub struct TemplateAdd {
    /// The target.
    pub target_id: String,
    /// The run that objects belong to.
    pub run_id: i64,
    /// The agent run, if it is filed under one.
    pub agent_run_id: Option<i64>,
    /// Who adds it.
    pub caller: String,
    /// A short title.
    pub title: String,
    /// The question in words.
    pub question_nl: String,
    /// The plan of the answer.
    pub template: Map<String, Json>,
    /// SQL that answers it.
    pub example_sql: Option<String>,
    /// Whether the SQL passed the gate; `None` without one.
    pub sql_valid: Option<bool>,
    /// Objects that the caller names; all must exist.
    pub related: Vec<ObjectRef>,
    /// Tables found in the SQL, used when the caller names none; unknown ones are left out.
    pub tables: Vec<TableRef>,
    /// Schema of tables that the SQL names without one.
    pub default_schema: String,
    /// 0 to 1.
    pub confidence: f64,
}

/// A written template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct TemplateAdded {
    pub template_id: i64,
    pub agent_run_id: Option<i64>,
    pub title: String,
    /// inserted, or merged into the one with the same question and SQL.
    pub action: String,
    /// Whether the SQL passed the gate; null without one.
    pub sql_valid: Option<bool>,
    /// Keys of the objects that it reads.
    pub related_objects: Vec<String>,
}

/// Feedback to write.
#[derive(Debug, Clone)]
// Exhaustive: callers fill every field from their arguments.
pub struct TemplateFeedback {
    /// The target.
    pub target_id: String,
    /// The template.
    pub template_id: i64,
    /// Who used it.
    pub caller: String,
    /// How it went.
    pub outcome: Outcome,
    /// Why it failed.
    pub error: Option<String>,
    /// Rows of the answer.
    pub row_count: Option<i64>,
    /// Milliseconds that it took.
    pub ms: Option<f64>,
}

/// State of a template after feedback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct TemplateFeedbackDone {
    pub template_id: i64,
    pub use_count: i64,
    pub success_count: i64,
    pub failure_count: i64,
    /// (success + 1) / (success + failure + 2).
    pub success_rate: f64,
    /// active, suspect or retired.
    pub status: String,
}

/// Rate that a template without use has.
#[expect(clippy::cast_precision_loss, reason = "counts of uses")]
pub(crate) fn success_rate(success: i64, failure: i64) -> f64 {
    (success as f64 + 1.0) / ((success + failure) as f64 + 2.0)
}

impl Catalog {
    /// Writes a template; a question and SQL that are equal in normal form update the existing one.
    ///
    /// # Errors
    /// `NOT_FOUND` for a named object or an agent run of another target, `FAILED_PRECONDITION` for a finished one.
    pub fn template_add(&self, request: &TemplateAdd) -> HarvestResult<TemplateAdded> {
        let template = bounded("template", &Json::Object(request.template.clone()))?;
        self.store().write(|tx| {
            let run = resolve_run(tx, &request.target_id, &RunRef::Id(request.run_id))?;
            if let Some(id) = request.agent_run_id {
                let (scope, agent_run) = running(tx, id)?;
                if scope.target_id != request.target_id || agent_run != request.run_id {
                    return Err(fail::not_found("agent run", id.to_string()));
                }
            }
            let objects = related(tx, request)?;
            let keys: Vec<String> = objects.iter().map(ObjectRow::key).collect();
            let question = question_norm(&request.question_nl);
            let sql =
                request.example_sql.as_deref().map_or_else(String::new, |sql| sql_norm(sql, &run.dialect));
            let found: Option<i64> = tx
                .query_row(
                    "SELECT template_id FROM llm_question_templates
                     WHERE target_id = ?1 AND question_norm = ?2 AND sql_norm = ?3",
                    (&request.target_id, &question, &sql),
                    |r| r.get(0),
                )
                .optional()
                .db()?;
            let template_id = match found {
                Some(id) => merge(tx, id, request, &template, &keys)?,
                None => insert(tx, request, &template, &keys, &question, &sql)?,
            };
            store_objects(tx, template_id, &objects)?;
            let body = format!(
                "{}\n{}",
                request.question_nl,
                super::strings(&Json::Object(request.template.clone()))
            );
            llm_index::put(
                tx,
                &SearchRow {
                    kind: "question_template",
                    ref_id: template_id,
                    key: &question,
                    title: &request.title,
                    body: &body,
                    tags: &keys.join("\n"),
                    target_id: &request.target_id,
                    run_id: Some(request.run_id),
                    object_uid: None,
                },
            )?;
            let (agent_run_id, title): (Option<i64>, String) = tx
                .query_row(
                    "SELECT agent_run_id, title FROM llm_question_templates WHERE template_id = ?1",
                    [template_id],
                    |r| Ok((r.get(0)?, r.get(1)?)),
                )
                .db()?;
            Ok(TemplateAdded {
                template_id,
                agent_run_id,
                title,
                action: if found.is_some() { "merged" } else { "inserted" }.to_owned(),
                sql_valid: request.sql_valid,
                related_objects: keys,
            })
        })
    }

    /// Counts the outcome of using a template.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn template_feedback(&self, feedback: &TemplateFeedback) -> HarvestResult<TemplateFeedbackDone> {
        self.store().write(|tx| {
            let (good, bad) = match feedback.outcome {
                Outcome::Success => (1, 0),
                Outcome::Failure => (0, 1),
            };
            let counts: Option<(i64, i64, i64, String)> = tx
                .query_row(
                    "UPDATE llm_question_templates SET use_count = use_count + 1, success_count = success_count + ?3,
                       failure_count = failure_count + ?4, last_used_at = ?5, updated_at = ?5,
                       last_success_at = CASE WHEN ?3 THEN ?5 ELSE last_success_at END,
                       last_error = CASE WHEN ?4 THEN ?6 ELSE last_error END
                     WHERE template_id = ?1 AND target_id = ?2
                     RETURNING use_count, success_count, failure_count, status",
                    params![feedback.template_id, feedback.target_id, good, bad, now(), feedback.error],
                    |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)),
                )
                .optional()
                .db()?;
            let Some((use_count, success_count, failure_count, before)) = counts else {
                return Err(fail::not_found("question template", feedback.template_id.to_string()));
            };
            let failed_before = last_failed(tx, feedback.template_id)?;
            tx.execute(
                "INSERT INTO llm_template_feedback(template_id, ts, caller, outcome, row_count, ms, error)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    feedback.template_id,
                    now(),
                    feedback.caller,
                    feedback.outcome.as_str(),
                    feedback.row_count,
                    feedback.ms,
                    feedback.error
                ],
            )
            .db()?;
            let rate = success_rate(success_count, failure_count);
            let failed_twice = failed_before && feedback.outcome == Outcome::Failure;
            let status = next_status(&before, feedback.outcome, failed_twice, use_count, rate);
            tx.execute(
                "UPDATE llm_question_templates SET status = ?2 WHERE template_id = ?1",
                (feedback.template_id, status),
            )
            .db()?;
            Ok(TemplateFeedbackDone {
                template_id: feedback.template_id,
                use_count,
                success_count,
                failure_count,
                success_rate: rate,
                status: status.to_owned(),
            })
        })
    }
}

fn next_status(before: &str, outcome: Outcome, failed_twice: bool, uses: i64, rate: f64) -> &'static str {
    if before == "retired" || (uses >= 10 && rate < 0.2) {
        return "retired";
    }
    if outcome == Outcome::Success {
        return "active";
    }
    if before == "suspect" || failed_twice || (uses >= 5 && rate < 0.4) { "suspect" } else { "active" }
}

fn last_failed(c: &Connection, template_id: i64) -> HarvestResult<bool> {
    let outcome: Option<String> = c
        .query_row(
            "SELECT outcome FROM llm_template_feedback WHERE template_id = ?1 ORDER BY feedback_id DESC LIMIT 1",
            [template_id],
            |r| r.get(0),
        )
        .optional()
        .db()?;
    Ok(outcome.as_deref() == Some("failure"))
}

/// SQL in normal form with literals as `?`, as the run's dialect reads it.
fn sql_norm(sql: &str, dialect: &str) -> String {
    let dialect = match dialect {
        "mysql" => DialectName::Mysql,
        "mariadb" => DialectName::Mariadb,
        "postgresql" => DialectName::Postgresql,
        _ => DialectName::Sqlite,
    };
    harvest::fingerprint(sql.trim().trim_end_matches(';'), LexMode::of(dialect)).to_lowercase()
}

/// The objects of a template: the named ones, else the tables of its SQL.
fn related(c: &Connection, request: &TemplateAdd) -> HarvestResult<Vec<ObjectRow>> {
    let mut out: Vec<ObjectRow> = Vec::new();
    for wanted in &request.related {
        out.push(resolve(c, request.run_id, wanted)?);
    }
    if request.related.is_empty() {
        for table in &request.tables {
            let schema = table.schema.as_ref().unwrap_or(&request.default_schema);
            let id: Option<i64> = c
                .prepare_cached(
                    "SELECT object_id FROM objects WHERE run_id = ?1 AND lower(schema_name) = lower(?2)
                       AND lower(object_name) = lower(?3) AND object_type IN ('table', 'view', 'materialized_view')
                     ORDER BY schema_name = ?2 AND object_name = ?3 DESC LIMIT 1",
                )
                .db()?
                .query_row((request.run_id, schema, &table.name), |r| r.get(0))
                .optional()
                .db()?;
            if let Some(id) = id {
                out.push(resolve(c, request.run_id, &ObjectRef::id(id))?);
            }
        }
    }
    out.sort_by_key(|object| object.object_id);
    out.dedup_by(|a, b| a.object_id == b.object_id);
    Ok(out)
}

fn insert(
    tx: &Transaction<'_>,
    request: &TemplateAdd,
    template: &str,
    keys: &[String],
    question: &str,
    sql: &str,
) -> HarvestResult<i64> {
    tx.query_row(
        "INSERT INTO llm_question_templates(target_id, run_id, agent_run_id, caller, title, question_nl, question_norm,
           template_json, example_sql, sql_norm, sql_valid, validated_at, validated_run_id, related_objects, confidence,
           created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?16) RETURNING template_id",
        params![
            request.target_id,
            request.run_id,
            request.agent_run_id,
            request.caller,
            request.title,
            request.question_nl,
            question,
            template,
            request.example_sql,
            sql,
            request.sql_valid,
            request.sql_valid.map(|_| now()),
            request.sql_valid.map(|_| request.run_id),
            json!(keys).to_string(),
            request.confidence,
            now()
        ],
        |r| r.get(0),
    )
    .db()
}

fn merge(
    tx: &Transaction<'_>,
    id: i64,
    request: &TemplateAdd,
    template: &str,
    keys: &[String],
) -> HarvestResult<i64> {
    tx.query_row(
        "UPDATE llm_question_templates SET title = ?2, question_nl = ?3, template_json = ?4, example_sql = ?5,
           sql_valid = ?6, validated_at = CASE WHEN ?6 IS NULL THEN validated_at ELSE ?9 END,
           validated_run_id = CASE WHEN ?6 IS NULL THEN validated_run_id ELSE ?10 END, related_objects = ?7,
           confidence = max(confidence, ?8), updated_at = ?9, run_id = ?10 WHERE template_id = ?1 RETURNING template_id",
        params![
            id,
            request.title,
            request.question_nl,
            template,
            request.example_sql,
            request.sql_valid,
            json!(keys).to_string(),
            request.confidence,
            now(),
            request.run_id
        ],
        |r| r.get(0),
    )
    .db()
}

pub(crate) fn store_objects(
    tx: &Transaction<'_>,
    template_id: i64,
    objects: &[ObjectRow],
) -> HarvestResult<()> {
    tx.execute("DELETE FROM llm_template_objects WHERE template_id = ?1", [template_id]).db()?;
    for object in objects {
        tx.prepare_cached(
            "INSERT INTO llm_template_objects(template_id, object_uid, object_hash, object_key) VALUES (?1, ?2, ?3, ?4)",
        )
        .db()?
        .execute((template_id, &object.uid, &object.hash, object.key()))
        .db()?;
    }
    Ok(())
}
