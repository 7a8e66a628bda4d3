//! Stage 1: which objects are worth describing first, by keys, names, time columns and views; it asks no model.

use super::facts::ObjectFact;
use super::journal::Journal;
use super::options::DiscoverStage;
use mcp::ToolResult;
use serde_json::json;

/// Objects that the decision names.
const TOP_MAX: usize = 20;
const BUSINESS: &[&str] = &[
    "customer",
    "order",
    "invoice",
    "payment",
    "product",
    "item",
    "account",
    "user",
    "employee",
    "sale",
    "transaction",
    "contract",
    "supplier",
    "shipment",
    "stock",
    "price",
];
const TECHNICAL: &[&str] = &["tmp", "temp", "bak", "backup", "migration", "schema_version", "test", "old"];

/// The objects, most valuable first, cut to `objects_max`; the same for the same run, always.
pub(crate) fn rank(mut objects: Vec<ObjectFact>, objects_max: usize) -> Vec<ObjectFact> {
    objects.sort_by(|a, b| {
        score(b)
            .cmp(&score(a))
            .then_with(|| a.rows_est.cmp(&b.rows_est))
            .then_with(|| a.object_key.cmp(&b.object_key))
    });
    objects.truncate(objects_max);
    objects
}

/// Records the choice once.
pub(crate) fn record(journal: &Journal<'_>, ranked: &[ObjectFact]) -> ToolResult<()> {
    let step = DiscoverStage::Triage.as_str();
    if journal.step(step).is_some() {
        return Ok(());
    }
    let top: Vec<_> = ranked
        .iter()
        .take(TOP_MAX)
        .map(|o| json!({"object_key": o.object_key, "score": score(o), "fk_in": o.fk_in, "fk_out": o.fk_out}))
        .collect();
    journal.finish_step(step, json!({"top": top, "objects": ranked.len()}))
}

fn score(object: &ObjectFact) -> u64 {
    let name = object.object_key.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| name.contains(w));
    let mut score = object.fk_in.min(10) * 3 + object.fk_out.min(5) * 2 + 10;
    if has(BUSINESS) {
        score += 8;
    }
    if object.has_time_column {
        score += 3;
    }
    if object.object_type != "table" {
        score += 4;
    }
    if !object.comment.is_empty() {
        score += 1;
    }
    if has(TECHNICAL) { score / 4 } else { score }
}
