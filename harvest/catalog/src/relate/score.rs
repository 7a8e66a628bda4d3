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
    pub(crate) names_or_values: bool,
}

impl Score {
    /// Whether the pair is worth keeping.
    pub(crate) fn is_kept(&self) -> bool {
        self.confidence >= CONFIDENCE_MIN && self.signals >= 2 && self.names_or_values
    }
}

/// Scores a pair of equal families; without a name only the values can make it a candidate.
pub(crate) fn score(
    name: Option<NameMatch>,
    child: &ColumnModel,
    parent: &ColumnModel,
    overlap: Option<Overlap>,
) -> Score {
    let mut signals: Vec<(&str, Json, f64)> =
        name.iter().map(|n| ("name", json!(n.as_str()), n.weight())).collect();
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
        let weight = overlap_weight(ratio);
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
    let names_or_values = signals.iter().any(|(s, _, w)| (*s == "name" || *s == "overlap") && *w > 0.0);
    Score {
        confidence: rounded(sum.clamp(0.0, CONFIDENCE_MAX)),
        evidence,
        signals: signals.len(),
        names_or_values,
    }
}

/// What a share of found values adds to a confidence.
pub(crate) fn overlap_weight(ratio: f64) -> f64 {
    match ratio {
        r if r >= 0.95 => 0.25,
        r if r >= 0.80 => 0.10,
        r if r < 0.50 => -0.40,
        _ => 0.0,
    }
}

fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
