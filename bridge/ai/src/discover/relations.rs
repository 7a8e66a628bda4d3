//! Stage 3: pairs of columns that names leave open are judged by the model and checked against values; it invents no pair.

use mcp::{ErrorCode, ToolResult};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::{Asker, NoAnswer};
use super::facts::{KeyFact, KeyOrigin, ObjectFact, keys_out};
use super::options::{DiscoverProgress, DiscoverStage};
use super::summaries::{cut, key_line};

/// Pairs per question.
const BATCH: usize = 20;
/// Pairs of a whole discovery.
const PAIRS_MAX: usize = 400;
/// Inferred keys from here on need no second opinion.
const CLEAR: f64 = 0.6;
/// Distinct child values that are compared.
const VALUES_MAX: usize = 200;

#[derive(Deserialize)]
struct Verdicts {
    #[serde(default)]
    pairs: Vec<Verdict>,
}

#[derive(Deserialize)]
struct Verdict {
    pair: usize,
    refers: bool,
    #[serde(default)]
    confidence: f64,
    #[serde(default)]
    reason: String,
}

const TASK: &str = "For each numbered pair, say whether the left column refers to the right key in meaning: refers true or false, \
your confidence, and the reason in one sentence. Judge only these pairs.";

fn schema() -> Value {
    json!({"type": "object", "additionalProperties": false, "required": ["pairs"], "properties": {"pairs": {"type": "array",
        "items": {"type": "object", "additionalProperties": false, "required": ["pair", "refers", "confidence", "reason"],
            "properties": {"pair": {"type": "integer"}, "refers": {"type": "boolean"},
                           "confidence": {"type": "number"}, "reason": {"type": "string"}}}}}})
}

/// Judges what is open, batch by batch; gives the number of keys written.
pub(crate) fn relate(
    asker: &Asker<'_>,
    objects: &[ObjectFact],
    all: &[ObjectFact],
    protocol: &str,
    step: &mut dyn FnMut(&DiscoverProgress<'_>),
) -> Result<usize, NoAnswer> {
    let mut open = Vec::new();
    for object in objects {
        let keys = keys_out(asker.hands, object)?;
        let is_open = |k: &&KeyFact| {
            k.origin == KeyOrigin::Inferred && k.confidence < CLEAR && k.child_columns.len() == 1
        };
        open.extend(keys.iter().filter(is_open).cloned());
    }
    open.truncate(PAIRS_MAX);
    let mut written = 0;
    for (at, batch) in open.chunks(BATCH).enumerate() {
        step(&DiscoverProgress {
            stage: DiscoverStage::Relationships,
            done: at * BATCH,
            total: open.len(),
            subject: &batch[0].child,
            spent: asker.journal.spent.get(),
        });
        let name = format!("relationships {at}");
        if asker.journal.step(&name).is_some() {
            continue;
        }
        let data: String =
            batch.iter().enumerate().map(|(n, key)| format!("{n}. {}", key_line(key))).collect();
        let verdicts: Verdicts = match asker.ask(&name, TASK, &data, &schema()) {
            Ok(verdicts) => verdicts,
            Err(NoAnswer::Unanswered(_)) => continue,
            Err(other) => return Err(other),
        };
        let mut decided = Vec::new();
        for verdict in verdicts.pairs.into_iter().take(BATCH) {
            let Some(key) = batch.get(verdict.pair) else { continue };
            let confidence = judge(asker, key, &verdict, all, protocol)?;
            written += usize::from(confidence.is_some());
            decided.push(json!({"pair": key_line(key), "refers": verdict.refers, "confidence": confidence}));
        }
        asker.journal.finish_step(&name, json!({"decided": decided}))?;
    }
    Ok(written)
}

/// Writes the pair if the model and the values agree; the confidence follows the signals.
fn judge(
    asker: &Asker<'_>,
    key: &KeyFact,
    verdict: &Verdict,
    all: &[ObjectFact],
    protocol: &str,
) -> ToolResult<Option<f64>> {
    let id = |object_key: &str| all.iter().find(|o| o.object_key == object_key).map(|o| o.object_id);
    let (Some(child), Some(parent)) = (id(&key.child), id(&key.parent)) else { return Ok(None) };
    if !verdict.refers {
        return Ok(None);
    }
    let overlap = overlap(asker, key, protocol)?;
    let mut signals = vec![
        json!({"signal": "name", "value": key.confidence}),
        json!({"signal": "meaning", "value": cut(&verdict.reason)}),
    ];
    let most = match overlap {
        Some(ratio) if ratio >= 0.95 => 0.8,
        Some(ratio) if ratio >= 0.8 => 0.7,
        Some(ratio) if ratio < 0.5 => return Ok(None),
        Some(_) | None => 0.55,
    };
    if let Some(ratio) = overlap {
        signals.push(json!({"signal": "overlap", "value": (ratio * 100.0).round() / 100.0}));
    }
    let claimed = if verdict.confidence.is_finite() { verdict.confidence.clamp(0.0, 1.0) } else { 0.0 };
    let confidence = claimed.min(most);
    if confidence < 0.3 {
        return Ok(None);
    }
    asker.hands.call(
        "llm.relationship_upsert",
        json!({"agent_run_id": asker.journal.agent_run_id, "child_object_id": child, "child_column": key.child_columns[0],
               "parent_object_id": parent, "parent_column": key.parent_columns[0], "confidence": confidence,
               "rel_type": "fk_like", "evidence": {"signals": signals}}),
    )?;
    Ok(Some(confidence))
}

/// Share of child values that the parent has; `None` when they cannot be compared.
fn overlap(asker: &Asker<'_>, key: &KeyFact, protocol: &str) -> ToolResult<Option<f64>> {
    let (Some(child), Some(parent)) = (table(&key.child, protocol), table(&key.parent, protocol)) else {
        return Ok(None);
    };
    let (c, p) = (quoted(&key.child_columns[0], protocol), quoted(&key.parent_columns[0], protocol));
    let sql = format!(
        "SELECT COUNT(*) AS checked, COUNT(p.{p}) AS found FROM (SELECT DISTINCT {c} AS v FROM {child} WHERE {c} IS NOT NULL \
         LIMIT {VALUES_MAX}) d LEFT JOIN {parent} p ON p.{p} = d.v"
    );
    let answer =
        match asker.hands.call("run_sql_readonly", json!({"sql": sql, "max_rows": 1, "timeout_sec": 2.0})) {
            Ok(answer) => answer,
            Err(error) if error.code == ErrorCode::Internal || error.code == ErrorCode::Unavailable => {
                return Err(error);
            }
            Err(_) => return Ok(None),
        };
    let row = answer.get("rows").and_then(Value::as_array).and_then(|r| r.first());
    let cell = |at: usize, name: &str| {
        let value = row.and_then(|r| r.get(at).or_else(|| r.get(name)));
        value.and_then(|v| v.as_f64().or_else(|| v.as_str().and_then(|s| s.parse().ok())))
    };
    Ok(match (cell(0, "checked"), cell(1, "found")) {
        (Some(checked), Some(found)) if checked > 0.0 => Some(found / checked),
        _ => None,
    })
}

/// An object key as SQL.
fn table(object_key: &str, protocol: &str) -> Option<String> {
    let mut parts = Vec::new();
    let mut rest = object_key;
    while !rest.is_empty() {
        let (part, left) = match rest.strip_prefix('"') {
            Some(body) => {
                let end = (0..body.len()).find(|i| {
                    body.as_bytes()[*i] == b'"'
                        && body.as_bytes().get(i + 1) != Some(&b'"')
                        && body[..*i].bytes().rev().take_while(|b| *b == b'"').count() % 2 == 0
                })?;
                (body[..end].replace("\"\"", "\""), &body[end + 1..])
            }
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        parts.push(quoted(&part, protocol));
        rest = left.strip_prefix('.').unwrap_or(left);
    }
    (!parts.is_empty()).then(|| parts.join("."))
}

fn quoted(name: &str, protocol: &str) -> String {
    let mark = if protocol == "mysql" { '`' } else { '"' };
    format!("{mark}{}{mark}", name.replace(mark, &format!("{mark}{mark}")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn keys_become_quoted_names() {
        assert_eq!(super::table("main.orders", "sqlite").as_deref(), Some("\"main\".\"orders\""));
        assert_eq!(super::table("main.\"a.\"\"b\"", "sqlite").as_deref(), Some("\"main\".\"a.\"\"b\""));
        assert_eq!(super::table("shop.a`b", "mysql").as_deref(), Some("`shop`.`a``b`"));
    }
}
