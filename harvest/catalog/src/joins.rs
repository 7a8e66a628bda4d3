//! Ways to join tables, and tables that a column may refer to, from a run or from live metadata; values are checked through a probe.

mod from_run;
mod live;
mod references;

use harvest::{Dialect, ForeignKeyMeta, HarvestResult, ObjectMeta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::relate::checked;
use crate::source::{ColumnRef, OverlapQuery, ValueProbe};

pub use live::{find_references_live, suggest_joins_live};

/// Which tables to join.
#[derive(Debug, Clone)]
// Exhaustive: callers fill every field from their arguments.
pub struct JoinRequest {
    /// Schema of the first table.
    pub schema: String,
    /// The first table.
    pub table_a: String,
    /// The second table with its schema; `None` means any.
    pub table_b: Option<(String, String)>,
    /// Candidates at most.
    pub candidates_max: usize,
}

/// Which column may refer to what.
#[derive(Debug, Clone)]
// Exhaustive: callers fill every field from their arguments.
pub struct ReferenceRequest {
    /// The referring column.
    pub column: ColumnRef,
    /// Tables to look at, at most.
    pub tables_max: usize,
    /// Weaker ones are left out.
    pub min_confidence: f64,
}

/// One side of a join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct JoinSide {
    pub schema: String,
    pub table: String,
    pub columns: Vec<String>,
}

/// One way to join.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct JoinCandidate {
    /// The first table's side.
    pub left: JoinSide,
    /// The other side.
    pub right: JoinSide,
    /// foreign_key, inferred or llm.
    pub kind: String,
    /// 0 to 1; 1 is for declared keys.
    pub confidence: f64,
    /// one_to_one, one_to_many, many_to_one, many_to_many or unknown.
    pub cardinality: String,
    /// Quoted SQL for the ON clause.
    pub join_condition: String,
    /// Signals with values and weights.
    pub evidence: Json,
}

/// Ways to join, best first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct JoinSuggestions {
    /// The ways.
    pub candidates: Vec<JoinCandidate>,
    /// catalog or live.
    pub source: String,
    /// Whether a limit left something out.
    pub truncated: bool,
}

/// A key that a column may refer to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ReferenceCandidate {
    /// Schema of the key.
    pub parent_schema: String,
    /// Table of the key.
    pub parent_table: String,
    /// The key.
    pub parent_column: String,
    /// A declared foreign key says so.
    pub declared: bool,
    /// 0 to 1; 1 is for declared keys.
    pub confidence: f64,
    /// Signals with values and weights.
    pub evidence: Json,
}

/// Keys that a column may refer to, best first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ReferenceCandidates {
    /// The keys.
    pub candidates: Vec<ReferenceCandidate>,
    /// Tables that were looked at.
    pub tables_checked: u64,
    /// catalog or live.
    pub source: String,
    /// Whether a limit left something out.
    pub truncated: bool,
}

/// A link before it is shown: child refers to parent.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) child: (String, String),
    pub(crate) parent: (String, String),
    pub(crate) columns: Vec<(String, String)>,
    pub(crate) kind: &'static str,
    pub(crate) confidence: f64,
    pub(crate) evidence: Json,
}

impl Link {
    pub(crate) fn declared(child: (&str, &str), key: &ForeignKeyMeta) -> Self {
        Self {
            child: (child.0.to_owned(), child.1.to_owned()),
            parent: (key.parent_schema.clone(), key.parent_table.clone()),
            columns: key.columns.clone(),
            kind: "foreign_key",
            confidence: 1.0,
            evidence: json!({"declared": key.name}),
        }
    }

    /// Checks values where the link has one column and nothing has checked them yet.
    pub(crate) fn verify(&mut self, probe: &mut dyn ValueProbe) -> HarvestResult<()> {
        let [(child, parent)] = self.columns.as_slice() else { return Ok(()) };
        if self.kind == "foreign_key" || self.evidence.get("overlap").is_some() {
            return Ok(());
        }
        let end = |table: &(String, String), column: &String| ColumnRef {
            schema: table.0.clone(),
            table: table.1.clone(),
            column: column.clone(),
        };
        let query = OverlapQuery {
            child: end(&self.child, child),
            parent: end(&self.parent, parent),
            values_max: crate::relate::OVERLAP_VALUES_MAX,
            timeout_ms: crate::relate::OVERLAP_TIMEOUT_MS,
        };
        let Some(overlap) = checked(probe, &query, &mut |_| Ok(()), 0)? else { return Ok(()) };
        let Some(ratio) = overlap.ratio() else { return Ok(()) };
        let weight = crate::relate::overlap_weight(ratio);
        let is_heuristic = self.kind == "inferred";
        if is_heuristic {
            self.confidence = (self.confidence + weight).clamp(0.0, 0.95);
        }
        if let Json::Object(map) = &mut self.evidence {
            map.insert(
                "overlap".to_owned(),
                json!({"checked": overlap.checked, "found": overlap.found, "ratio": ratio}),
            );
            if let (true, Some(Json::Array(signals))) =
                (is_heuristic && weight != 0.0, map.get_mut("signals"))
            {
                signals.push(json!({"signal": "overlap", "value": ratio, "weight": weight}));
            }
        }
        Ok(())
    }
}

/// Whether the columns hold a key of the table.
fn is_unique(meta: Option<&ObjectMeta>, columns: &[&str]) -> Option<bool> {
    let meta = meta?;
    Some(meta.indexes.iter().any(|index| {
        let mut keys = index.columns.iter().filter(|c| !c.included).peekable();
        (index.unique || index.primary)
            && index.predicate.is_none()
            && keys.peek().is_some()
            && keys.all(|c| c.sub_part.is_none() && c.name.as_deref().is_some_and(|n| columns.contains(&n)))
    }))
}

/// Shows a link from the first table's side.
pub(crate) fn candidate(
    link: &Link,
    left_is_child: bool,
    metas: (Option<&ObjectMeta>, Option<&ObjectMeta>),
    dialect: &dyn Dialect,
) -> JoinCandidate {
    let child: Vec<&str> = link.columns.iter().map(|(c, _)| c.as_str()).collect();
    let parent: Vec<&str> = link.columns.iter().map(|(_, p)| p.as_str()).collect();
    let side = |table: &(String, String), columns: &[&str]| JoinSide {
        schema: table.0.clone(),
        table: table.1.clone(),
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
    };
    let (left, right) = if left_is_child {
        (side(&link.child, &child), side(&link.parent, &parent))
    } else {
        (side(&link.parent, &parent), side(&link.child, &child))
    };
    let refs = |side: &JoinSide| -> Vec<String> { side.columns.clone() };
    let unique = |meta: Option<&ObjectMeta>, side: &JoinSide| {
        let columns = refs(side);
        is_unique(meta, &columns.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let cardinality = match (unique(metas.0, &left), unique(metas.1, &right)) {
        (Some(true), Some(true)) => "one_to_one",
        (Some(true), Some(false)) => "one_to_many",
        (Some(false), Some(true)) => "many_to_one",
        (Some(false), Some(false)) => "many_to_many",
        _ => "unknown",
    };
    let q = |side: &JoinSide, column: &str| {
        format!(
            "{}.{}.{}",
            dialect.quote_identifier(&side.schema),
            dialect.quote_identifier(&side.table),
            dialect.quote_identifier(column)
        )
    };
    let condition: Vec<String> = left
        .columns
        .iter()
        .zip(&right.columns)
        .map(|(l, r)| format!("{} = {}", q(&left, l), q(&right, r)))
        .collect();
    JoinCandidate {
        kind: link.kind.to_owned(),
        confidence: link.confidence,
        cardinality: cardinality.to_owned(),
        join_condition: condition.join(" AND "),
        evidence: link.evidence.clone(),
        left,
        right,
    }
}

/// Best first, cut to the limit. One pair of columns is shown once per kind.
pub(crate) fn finish(mut candidates: Vec<JoinCandidate>, max: usize, source: &str) -> JoinSuggestions {
    let rank = |kind: &str| match kind {
        "foreign_key" => 0,
        "inferred" => 1,
        _ => 2,
    };
    candidates.sort_by(|a, b| {
        b.confidence
            .total_cmp(&a.confidence)
            .then(rank(&a.kind).cmp(&rank(&b.kind)))
            .then_with(|| a.join_condition.cmp(&b.join_condition))
    });
    candidates.dedup_by(|a, b| a.kind == b.kind && a.join_condition == b.join_condition);
    let truncated = candidates.len() > max;
    candidates.truncate(max);
    JoinSuggestions { candidates, source: source.to_owned(), truncated }
}
