//! Heuristic references of a whole set of tables: candidates, value checks within a budget, scores; it stores nothing.

mod candidates;
mod model;
mod score;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use harvest::{HarvestCode, HarvestResult};
use serde_json::Value as Json;

use crate::source::{ColumnRef, Overlap, OverlapQuery, ValueProbe};

pub(crate) use candidates::{Candidate, KeyIndex, Place};
pub(crate) use model::{ColumnModel, TableModel, from_meta, singular_tokens, takes_part};
pub(crate) use score::{NameMatch, overlap_weight, score};

/// Distinct child values per check.
pub(crate) const OVERLAP_VALUES_MAX: u32 = 200;
/// Longest value check.
pub(crate) const OVERLAP_TIMEOUT_MS: u64 = 1_000;

/// Confidence from which a reference counts as likely.
const BELIEVED_MIN: f64 = 0.6;

/// A reference worth keeping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Inferred {
    pub(crate) child: Place,
    pub(crate) parent: Place,
    pub(crate) confidence: f64,
    pub(crate) evidence: Json,
}

/// What an earlier run knows of a pair: nothing, "no reference", or a confidence with its evidence.
pub(crate) type Known<'a> = dyn Fn(&Candidate) -> Option<Option<(f64, Json)>> + 'a;

/// The value check of a pair.
pub(crate) fn overlap_query(tables: &[TableModel], child: Place, parent: Place) -> OverlapQuery {
    let column = |place: Place| ColumnRef {
        schema: tables[place.0].schema.clone(),
        table: tables[place.0].name.clone(),
        column: tables[place.0].columns[place.1].name.clone(),
    };
    OverlapQuery {
        child: column(child),
        parent: column(parent),
        values_max: OVERLAP_VALUES_MAX,
        timeout_ms: OVERLAP_TIMEOUT_MS,
    }
}

/// Runs a value check; a check that fails by itself is no evidence, a cancelled call is an error.
pub(crate) fn checked(
    probe: &mut dyn ValueProbe,
    query: &OverlapQuery,
    watch: &mut dyn FnMut(usize) -> HarvestResult<()>,
    done: usize,
) -> HarvestResult<Option<Overlap>> {
    watch(done)?;
    match probe.overlap(query) {
        Ok(overlap) => Ok(Some(overlap)),
        Err(error) if error.code == HarvestCode::Cancelled => Err(error),
        Err(_) => {
            // The harvest's own deadline shows itself through the watch.
            watch(done)?;
            Ok(None)
        }
    }
}

/// What a value check can change about a pair; checks are few, so they go where they decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gain {
    /// Only the values can tell whether the pair, or which of several parents, is to be believed.
    Decides,
    /// Believed by its name; the values could refute it.
    Confirms,
    /// Not believed even if all values are found.
    Nothing,
}

impl Gain {
    fn of(confidence: f64, parents_of_child: usize) -> Self {
        if confidence + overlap_weight(1.0) < BELIEVED_MIN {
            Self::Nothing
        } else if confidence < BELIEVED_MIN || parents_of_child > 1 {
            Self::Decides
        } else {
            Self::Confirms
        }
    }
}

/// Scores the candidates; `checks_max` of them get a value check, first those that it decides. `known` answers for pairs that an earlier
/// run has scored already: `Some(None)` means "known to be nothing".
pub(crate) fn infer(
    tables: &[TableModel],
    mut probe: Option<&mut dyn ValueProbe>,
    checks_max: usize,
    known: &Known<'_>,
    watch: &mut dyn FnMut(usize) -> HarvestResult<()>,
) -> HarvestResult<Vec<Inferred>> {
    let index = KeyIndex::new(tables);
    let pair =
        |c: &Candidate| (&tables[c.child.0].columns[c.child.1], &tables[c.parent.0].columns[c.parent.1]);
    let all = index.all();
    let mut parents: HashMap<Place, usize> = HashMap::new();
    for candidate in &all {
        *parents.entry(candidate.child).or_default() += 1;
    }
    let mut ranked: Vec<(Gain, f64, Candidate)> = all
        .into_iter()
        .map(|c| {
            let (child, parent) = pair(&c);
            let confidence = score(Some(c.name), child, parent, None).confidence;
            (Gain::of(confidence, parents[&c.child]), confidence, c)
        })
        .collect();
    ranked.sort_by(|a, b| {
        let (x, y) = (&a.2, &b.2);
        a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(x.child.cmp(&y.child)).then(x.parent.cmp(&y.parent))
    });
    let mut out = Vec::new();
    let mut checks = 0;
    for (done, (_, _, candidate)) in ranked.iter().enumerate() {
        if done % 200 == 0 {
            watch(done)?;
        }
        if let Some(known) = known(candidate) {
            out.extend(known.map(|(confidence, evidence)| Inferred {
                child: candidate.child,
                parent: candidate.parent,
                confidence,
                evidence,
            }));
            continue;
        }
        let overlap = match probe.as_deref_mut() {
            Some(probe) if checks < checks_max => {
                checks += 1;
                checked(probe, &overlap_query(tables, candidate.child, candidate.parent), watch, done)?
            }
            _ => None,
        };
        let (child, parent) = pair(candidate);
        let scored = score(Some(candidate.name), child, parent, overlap);
        if scored.is_kept() {
            out.push(Inferred {
                child: candidate.child,
                parent: candidate.parent,
                confidence: scored.confidence,
                evidence: scored.evidence,
            });
        }
    }
    Ok(out)
}
