//! The scorer of heuristic references: signals, weights, confidence, evidence; it does not know where models come from.

use serde_json::{Value as Json, json};

use crate::source::Overlap;

use super::model::ColumnModel;

/// Version of the scorer, part of every evidence.
pub(crate) const SCORER_VERSION: u32 = 1;
/// Pairs below are not stored.
pub(crate) const CONFIDENCE_MIN: f64 = 0.3;
const CONFIDENCE_MAX: f64 = 0.95;

/// How the names of a pair agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NameMatch {
    /// The same non-generic name on both sides.
    Same,
    /// The last tokens match after a role prefix.
    Role,
    /// Parent table plus key, or a distinctive key.
    Exact,
}

impl NameMatch {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Role => "role",
            Self::Exact => "exact",
        }
    }

    const fn weight(self) -> f64 {
        match self {
            Self::Same => 0.15,
            Self::Role => 0.30,
            Self::Exact => 0.40,
        }
    }
}

/// A scored pair.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Score {
    pub(crate) confidence: f64,
    pub(crate) evidence: Json,
    pub(crate) signals: usize,
}

impl Score {
    /// Whether the pair is worth keeping.
    pub(crate) fn is_kept(&self) -> bool {
        self.confidence >= CONFIDENCE_MIN && self.signals >= 2
    }
}

/// Scores a pair whose names agree; families are equal already.
pub(crate) fn score(
    name: NameMatch,
    child: &ColumnModel,
    parent: &ColumnModel,
    overlap: Option<Overlap>,
) -> Score {
    let mut signals = vec![("name", json!(name.as_str()), name.weight())];
    if child.column_type == parent.column_type && child.collation == parent.collation {
        signals.push(("type", json!("equal"), 0.15));
    } else {
        signals.push(("type", json!("compatible"), 0.05));
    }
    if parent.is_pk {
        signals.push(("parent_key", json!(true), 0.10));
    }
    if child.is_indexed {
        signals.push(("child_index", json!(true), 0.05));
    }
    let ratio = overlap.and_then(Overlap::ratio);
    if let Some(ratio) = ratio {
        let weight = if ratio >= 0.95 {
            0.25
        } else if ratio >= 0.80 {
            0.10
        } else if ratio < 0.50 {
            -0.40
        } else {
            0.0
        };
        if weight != 0.0 {
            signals.push(("overlap", json!(rounded(ratio)), weight));
        }
    }
    let sum: f64 = signals.iter().map(|(_, _, weight)| weight).sum();
    let mut evidence = json!({
        "signals": signals.iter().map(|(s, v, w)| json!({"signal": s, "value": v, "weight": w})).collect::<Vec<_>>(),
        "tokens": child.tokens,
        "computed_by": "heuristic",
        "version": SCORER_VERSION,
    });
    if let (Some(ratio), Some(overlap)) = (ratio, overlap) {
        evidence["overlap"] =
            json!({"checked": overlap.checked, "found": overlap.found, "ratio": rounded(ratio)});
    }
    Score { confidence: rounded(sum.clamp(0.0, CONFIDENCE_MAX)), evidence, signals: signals.len() }
}

fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
