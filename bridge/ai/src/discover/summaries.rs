//! Stage 2: one question per object, one checked summary per answer; it ranks nothing and links nothing.

use mcp::{ErrorCode, ToolResult};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::{Asker, NoAnswer};
use super::facts::{KeyFact, KeyOrigin, ObjectFact, columns, keys_out, object_document, texts};

const TEXT_CHARS_MAX: usize = 600;
const QUESTIONS_MAX: usize = 8;
const WARNINGS_MAX: usize = 10;
const COLUMNS_MAX: usize = 200;
const DEFINITION_CHARS_MAX: usize = 6_000;
/// Below this a record is kept only if sent on purpose.
const WEAK: f64 = 0.3;

#[derive(Deserialize)]
struct Answer {
    hypothesis: String,
    #[serde(default)]
    grain: String,
    #[serde(default)]
    primary_key: Vec<String>,
    #[serde(default)]
    time_columns: Vec<String>,
    #[serde(default)]
    dimensions: Vec<String>,
    #[serde(default)]
    measures: Vec<String>,
    #[serde(default)]
    join_keys: Vec<String>,
    #[serde(default)]
    example_questions: Vec<String>,
    #[serde(default)]
    synonyms: Vec<String>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    evidence: Vec<String>,
    confidence: f64,
}

/// What became of one object.
pub(crate) enum Summarised {
    /// A current summary was there.
    Kept,
    Written,
    Skipped,
}

fn schema() -> Value {
    let list = || json!({"type": "array", "items": {"type": "string"}});
    json!({"type": "object", "additionalProperties": false,
        "required": ["hypothesis", "grain", "primary_key", "time_columns", "dimensions", "measures", "join_keys",
                     "example_questions", "synonyms", "warnings", "evidence", "confidence"],
        "properties": {"hypothesis": {"type": "string"}, "grain": {"type": "string"}, "primary_key": list(),
            "time_columns": list(), "dimensions": list(), "measures": list(), "join_keys": list(),
            "example_questions": list(), "synonyms": list(), "warnings": list(), "evidence": list(),
            "confidence": {"type": "number", "minimum": 0, "maximum": 1}}})
}

const TASK: &str = "Say what this database object is: what one row stands for (grain), a hypothesis in one or two sentences, \
which of its columns are the key, times, dimensions, measures and join keys, three to eight questions that it helps to answer, \
other words that people use for it (synonyms), warnings, the evidence for the hypothesis, and your confidence.";

/// Describes one object unless a current summary is there.
pub(crate) fn summarise(asker: &Asker<'_>, object: &ObjectFact) -> Result<Summarised, NoAnswer> {
    let hands = asker.hands;
    let existing = hands.find("llm.summary_get", json!({"object_id": object.object_id}))?;
    if existing.as_ref().is_some_and(is_current) {
        return Ok(Summarised::Kept);
    }
    let document = object_document(hands, object.object_id, object.object_type != "table", false)?;
    let keys = keys_out(hands, object)?;
    let (data, names) = (describe(object, &document, &keys), columns(&document));
    let answer: Answer = match asker.ask(&object.object_key, TASK, &data, &schema()) {
        Ok(answer) => answer,
        Err(NoAnswer::Unanswered(_)) => return Ok(Summarised::Skipped),
        Err(other) => return Err(other),
    };
    let names: Vec<&str> = names.iter().map(|(name, _, _)| name.as_str()).collect();
    Ok(write(asker, object, &keys, answer, &names)?)
}

fn is_current(found: &Value) -> bool {
    let newest = found.get("summaries").and_then(Value::as_array).and_then(|l| l.first());
    newest.is_some_and(|s| s.get("stale").and_then(Value::as_bool) == Some(false))
}

fn write(
    asker: &Asker<'_>,
    object: &ObjectFact,
    keys: &[KeyFact],
    answer: Answer,
    names: &[&str],
) -> ToolResult<Summarised> {
    let confidence = believed(answer.confidence, object, keys);
    if answer.hypothesis.trim().is_empty() || confidence < WEAK {
        asker.journal.note(
            json!({"kind": "summary_dropped", "object_key": object.object_key, "confidence": confidence}),
        )?;
        return Ok(Summarised::Skipped);
    }
    let real = |list: Vec<String>| -> Vec<String> {
        list.into_iter().filter(|c| names.contains(&c.as_str())).take(COLUMNS_MAX).collect()
    };
    let mut warnings = cut_list(answer.warnings, WARNINGS_MAX);
    if confidence < 0.6 && warnings.is_empty() {
        warnings.push("Tentative: look at rows or ask somebody who knows the table.".to_owned());
    }
    let summary = json!({
        "hypothesis": cut(&answer.hypothesis),
        "grain": cut(&answer.grain),
        "primary_key": real(answer.primary_key),
        "time_columns": real(answer.time_columns),
        "dimensions": real(answer.dimensions),
        "measures": real(answer.measures),
        "join_keys": real(answer.join_keys),
        "example_questions": cut_list(answer.example_questions, QUESTIONS_MAX),
        "synonyms": cut_list(answer.synonyms, QUESTIONS_MAX),
        "warnings": warnings,
    });
    let args = json!({
        "agent_run_id": asker.journal.agent_run_id,
        "object_id": object.object_id,
        "summary": summary,
        "confidence": confidence,
        "status": "draft",
        "sources": {"evidence": cut_list(answer.evidence, WARNINGS_MAX), "read": ["catalog.get_object", "catalog.get_relationships"]},
    });
    match asker.hands.call("llm.summary_upsert", args) {
        Ok(_) => {
            let decided = json!({"object_key": object.object_key, "confidence": confidence});
            asker.journal.finish_step(&format!("summary {}", object.object_id), decided)?;
            Ok(Summarised::Written)
        }
        // A stronger record appeared in between: it stays.
        Err(error) if error.code == ErrorCode::Conflict => Ok(Summarised::Kept),
        Err(error) => Err(error),
    }
}

/// The model's confidence, cut to what the schema supports.
pub(crate) fn believed(claimed: f64, object: &ObjectFact, keys: &[KeyFact]) -> f64 {
    let claimed = if claimed.is_finite() { claimed.clamp(0.0, 1.0) } else { 0.0 };
    let is_linked = object.fk_in > 0 || keys.iter().any(|k| k.origin == KeyOrigin::Declared);
    let signals =
        [object.has_primary_key, is_linked, !object.comment.is_empty(), object.object_type != "table"];
    let most = match signals.iter().filter(|s| **s).count() {
        0 => 0.55,
        1 => 0.75,
        2 => 0.85,
        _ => 0.95,
    };
    (claimed.min(most) * 100.0).round() / 100.0
}

/// The object as text for a question.
pub(crate) fn describe(object: &ObjectFact, document: &Value, keys: &[KeyFact]) -> String {
    let mut out = format!("{} {}\n", object.object_type, object.object_key);
    if let Some(rows) = object.rows_est {
        out.push_str(&format!("rows: about {rows}\n"));
    }
    if !object.comment.is_empty() {
        out.push_str(&format!("comment: {}\n", cut(&object.comment)));
    }
    let list = document.get("columns").and_then(Value::as_array).into_iter().flatten();
    for column in list.take(COLUMNS_MAX) {
        let word = |key: &str| column.get(key).and_then(Value::as_str).unwrap_or_default();
        let flag = |key: &str, text: &'static str| {
            if column.get(key).and_then(Value::as_bool) == Some(true) { text } else { "" }
        };
        out.push_str(&format!(
            "column {}: {}{}{}{} {}\n",
            word("name"),
            word("column_type"),
            flag("is_pk", " primary key"),
            flag("is_unique", " unique"),
            flag("nullable", " nullable"),
            cut(word("comment"))
        ));
        let labels = texts(column, "enum_values");
        if !labels.is_empty() {
            out.push_str(&format!("  values: {}\n", cut(&labels.join(", "))));
        }
    }
    for constraint in document.get("constraints").and_then(Value::as_array).into_iter().flatten().take(50) {
        let expression = constraint.get("expression").and_then(Value::as_str).unwrap_or_default();
        if !expression.is_empty() {
            out.push_str(&format!("check: {}\n", cut(expression)));
        }
    }
    for key in keys {
        out.push_str(&key_line(key));
    }
    let definition = document.get("definition_sql").and_then(Value::as_str).unwrap_or_default();
    if !definition.is_empty() {
        out.extend("definition: ".chars().chain(definition.chars().take(DEFINITION_CHARS_MAX)));
        out.push('\n');
    }
    out
}

/// A key as text for a question.
pub(crate) fn key_line(key: &KeyFact) -> String {
    format!(
        "{} key: {}({}) -> {}({}) confidence {:.2}\n",
        match key.origin {
            KeyOrigin::Declared => "declared",
            KeyOrigin::Inferred => "inferred",
            KeyOrigin::Llm => "noted",
        },
        key.child,
        key.child_columns.join(", "),
        key.parent,
        key.parent_columns.join(", "),
        key.confidence
    )
}

pub(crate) fn cut(text: &str) -> String {
    text.trim().chars().take(TEXT_CHARS_MAX).collect()
}

pub(crate) fn cut_list(list: Vec<String>, items_max: usize) -> Vec<String> {
    list.iter().map(|t| cut(t)).filter(|t| !t.is_empty()).take(items_max).collect()
}
