//! Stage 5: metrics and questions per domain, each with SQL that has run; SQL that does not run is not kept.

use mcp::{ErrorCode, ToolResult};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::{Asker, NoAnswer};
use super::domains::slug;
use super::facts::{ObjectFact, keys_out, object_document, text};
use super::options::{DiscoverProgress, DiscoverStage};
use super::summaries::{cut, describe};

const METRICS_MAX: usize = 6;
const QUESTIONS_MAX: usize = 10;
/// Members of a domain that a question shows.
const MEMBERS_MAX: usize = 15;
const SQL_CHARS_MAX: usize = 8_000;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    metrics: Vec<Metric>,
    #[serde(default)]
    questions: Vec<Question>,
}

#[derive(Deserialize)]
struct Metric {
    key: String,
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    grain: String,
    #[serde(default)]
    unit: String,
    sql: String,
    #[serde(default)]
    confidence: f64,
}

#[derive(Deserialize)]
struct Question {
    title: String,
    question: String,
    sql: String,
    #[serde(default)]
    confidence: f64,
}

fn schema() -> Value {
    let word = || json!({"type": "string"});
    json!({"type": "object", "additionalProperties": false, "required": ["metrics", "questions"], "properties": {
        "metrics": {"type": "array", "items": {"type": "object", "additionalProperties": false,
            "required": ["key", "title", "description", "grain", "unit", "sql", "confidence"],
            "properties": {"key": word(), "title": word(), "description": word(), "grain": word(), "unit": word(),
                           "sql": word(), "confidence": {"type": "number"}}}},
        "questions": {"type": "array", "items": {"type": "object", "additionalProperties": false,
            "required": ["title", "question", "sql", "confidence"],
            "properties": {"title": word(), "question": word(), "sql": word(), "confidence": {"type": "number"}}}}}})
}

/// Asks per domain, and records per domain that it is done.
pub(crate) fn answerable(
    asker: &Asker<'_>,
    objects: &[ObjectFact],
    protocol: &str,
    step: &mut dyn FnMut(&DiscoverProgress<'_>),
) -> Result<(), NoAnswer> {
    let args = json!({"agent_run_id": asker.journal.agent_run_id, "page_size": 50});
    let domains = asker.hands.pages("llm.domain_list", &args, "domains", 50)?;
    for (at, domain) in domains.iter().enumerate() {
        let key = text(domain, "domain_key");
        step(&DiscoverProgress {
            stage: DiscoverStage::Answerability,
            done: at,
            total: domains.len(),
            subject: &key,
            spent: asker.journal.spent.get(),
        });
        let name = format!("answerability {key}");
        if asker.journal.step(&name).is_some() {
            continue;
        }
        let data = data(asker, domain, objects)?;
        let task = format!(
            "For this domain of a {protocol} database give two to six metrics and three to ten questions that a business user asks. \
             Each has one read-only SELECT in {protocol} SQL that computes it from these objects only, and your confidence."
        );
        let answer: Answer = match asker.ask(&name, &task, &data, &schema()) {
            Ok(answer) => answer,
            Err(NoAnswer::Unanswered(_)) => continue,
            Err(other) => return Err(other),
        };
        let kept = keep(asker, &key, answer)?;
        asker.journal.finish_step(&name, kept)?;
    }
    Ok(())
}

fn data(asker: &Asker<'_>, domain: &Value, objects: &[ObjectFact]) -> ToolResult<String> {
    let mut out = format!("domain {}: {}\n", text(domain, "title"), text(domain, "description"));
    let members = domain.get("members").and_then(Value::as_array).cloned().unwrap_or_default();
    for member in members.iter().take(MEMBERS_MAX) {
        let id = member.get("object_id").and_then(Value::as_i64);
        let Some(object) = objects.iter().find(|o| Some(o.object_id) == id) else { continue };
        let document = object_document(asker.hands, object.object_id, false, false)?;
        out.push_str(&describe(object, &document, &keys_out(asker.hands, object)?));
    }
    Ok(out)
}

fn keep(asker: &Asker<'_>, domain_key: &str, answer: Answer) -> ToolResult<Value> {
    let (mut metrics, mut questions, mut dropped) = (0, 0, Vec::new());
    let agent_run_id = asker.journal.agent_run_id;
    for metric in answer.metrics.into_iter().take(METRICS_MAX) {
        let key = slug(&metric.key);
        if key.is_empty() || metric.title.trim().is_empty() {
            continue;
        }
        if let Some(reason) = fails(asker, &metric.sql)? {
            dropped.push(json!({"metric": key, "reason": reason}));
            continue;
        }
        asker.hands.call(
            "llm.metric_upsert",
            json!({"agent_run_id": agent_run_id, "metric_key": key, "title": short(&metric.title),
                   "description": cut(&metric.description), "domain_key": domain_key, "grain": short(&metric.grain),
                   "unit": metric.unit.chars().take(64).collect::<String>(), "sql_template": metric.sql,
                   "confidence": checked(metric.confidence)}),
        )?;
        metrics += 1;
    }
    for question in answer.questions.into_iter().take(QUESTIONS_MAX) {
        if question.title.trim().is_empty() || question.question.trim().is_empty() {
            continue;
        }
        if let Some(reason) = fails(asker, &question.sql)? {
            dropped.push(json!({"question": short(&question.title), "reason": reason}));
            continue;
        }
        let added = asker.hands.call(
            "llm.question_template_add",
            json!({"agent_run_id": agent_run_id, "title": short(&question.title), "question_nl": cut(&question.question),
                   "template": {"domain_key": domain_key}, "example_sql": question.sql,
                   "confidence": checked(question.confidence)}),
        );
        match added {
            Ok(_) => questions += 1,
            Err(error)
                if matches!(
                    error.code,
                    ErrorCode::PermissionDenied | ErrorCode::InvalidArgument | ErrorCode::NotFound
                ) =>
            {
                dropped.push(json!({"question": short(&question.title), "reason": error.message}));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(json!({"metrics": metrics, "questions": questions, "dropped": dropped}))
}

/// Why the statement is not kept; it runs once, with one row.
fn fails(asker: &Asker<'_>, sql: &str) -> ToolResult<Option<String>> {
    if sql.trim().is_empty() || sql.chars().count() > SQL_CHARS_MAX {
        return Ok(Some("no SQL, or too much of it".to_owned()));
    }
    match asker.hands.call("run_sql_readonly", json!({"sql": sql, "max_rows": 1, "timeout_sec": 5.0})) {
        Ok(_) => Ok(None),
        Err(error) if matches!(error.code, ErrorCode::Unavailable) => Err(error),
        Err(error) => Ok(Some(cut(&error.message))),
    }
}

fn short(text: &str) -> String {
    text.trim().chars().take(200).collect()
}

/// SQL that ran is one signal, the model's word another: likely, not more.
fn checked(claimed: f64) -> f64 {
    if claimed.is_finite() { claimed.clamp(0.3, 0.8) } else { 0.3 }
}
