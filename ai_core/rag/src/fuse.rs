//! Fusing the legs of a hybrid search and ordering results; it knows numbers, not texts.

use std::cmp::Ordering;
use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How two rankings become one.
// Exhaustive on purpose: each method is a formula below.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FuseMethod {
    /// Weighted sum of each leg's scores, scaled to 0–1.
    #[default]
    Score,
    /// Reciprocal ranks: Σ w / (k0 + rank).
    Rrf,
}

/// Weight of the vector leg in score fusion when its embedder knows words only.
pub const LEXICAL_VECTOR_WEIGHT: f32 = 0.1;

/// Weight of the vector leg in score fusion when its embedder knows meaning.
pub const SEMANTIC_VECTOR_WEIGHT: f32 = 0.5;

/// One candidate with what the legs know about it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) chunk_pk: i64,
    /// BM25, higher is better.
    pub(crate) fts_raw: Option<f32>,
    pub(crate) rank_fts: Option<usize>,
    /// Distance, lower is nearer.
    pub(crate) distance: Option<f32>,
    pub(crate) rank_vec: Option<usize>,
    /// Similarity in 0–1 under the metric.
    pub(crate) score_vec: Option<f32>,
    pub(crate) rrf: f32,
    /// The fused score in 0–1.
    pub(crate) score: f32,
}

/// How to fuse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FuseSettings {
    pub(crate) method: FuseMethod,
    pub(crate) w_fts: f32,
    pub(crate) w_vec: f32,
    pub(crate) rrf_k0: f32,
}

/// BM25 as a score in 0–1.
pub(crate) fn score_fts(raw: f32) -> f32 {
    raw / (raw + 10.0)
}

/// Joins the two legs by chunk; each leg comes best first.
pub(crate) fn join(fts: &[(i64, f32)], vec: &[(i64, f32, f32)]) -> Vec<Candidate> {
    let mut out: Vec<Candidate> = Vec::with_capacity(fts.len() + vec.len());
    let mut place: HashMap<i64, usize> = HashMap::new();
    for (rank, (pk, raw)) in fts.iter().enumerate() {
        place.insert(*pk, out.len());
        out.push(Candidate {
            chunk_pk: *pk,
            fts_raw: Some(*raw),
            rank_fts: Some(rank + 1),
            ..Candidate::default()
        });
    }
    for (rank, (pk, distance, score)) in vec.iter().enumerate() {
        let at = *place.entry(*pk).or_insert_with(|| {
            out.push(Candidate { chunk_pk: *pk, ..Candidate::default() });
            out.len() - 1
        });
        out[at].distance = Some(*distance);
        out[at].score_vec = Some(*score);
        out[at].rank_vec = Some(rank + 1);
    }
    out
}

/// Scores all candidates; the order is left as it is.
///
/// Score fusion scales each leg to 0–1: full text by its best score, vectors between the lowest and the highest
/// similarity of the pool, because similarities of one model crowd into a narrow band that says nothing by itself.
pub(crate) fn fuse(candidates: &mut [Candidate], settings: FuseSettings) {
    let FuseSettings { method, w_fts, w_vec, rrf_k0 } = settings;
    let best_fts = candidates.iter().filter_map(|c| c.fts_raw).fold(0.0f32, f32::max);
    let similarities = || candidates.iter().filter_map(|c| c.score_vec);
    let high = similarities().fold(f32::NEG_INFINITY, f32::max);
    let low = similarities().fold(f32::INFINITY, f32::min);
    let most = (w_fts + w_vec) / (rrf_k0 + 1.0);
    for c in candidates {
        let reciprocal = |rank: Option<usize>, w: f32| rank.map_or(0.0, |r| w / (rrf_k0 + r as f32));
        c.rrf = reciprocal(c.rank_fts, w_fts) + reciprocal(c.rank_vec, w_vec);
        c.score = match method {
            FuseMethod::Rrf if most > 0.0 => c.rrf / most,
            FuseMethod::Rrf => 0.0,
            FuseMethod::Score => {
                let text = c.fts_raw.map_or(0.0, |r| if best_fts > 0.0 { r / best_fts } else { 0.0 });
                let near =
                    c.score_vec.map_or(0.0, |s| if high > low { (s - low) / (high - low) } else { 1.0 });
                let total = w_fts + w_vec;
                if total > 0.0 { (w_fts * text + w_vec * near) / total } else { 0.0 }
            }
        };
    }
}

/// The order of results: score, then BM25, then distance; the chunk's name breaks what is left.
pub(crate) fn better(a: &Candidate, b: &Candidate) -> Ordering {
    b.score
        .total_cmp(&a.score)
        .then_with(|| b.fts_raw.unwrap_or(-1.0).total_cmp(&a.fts_raw.unwrap_or(-1.0)))
        .then_with(|| a.distance.unwrap_or(f32::MAX).total_cmp(&b.distance.unwrap_or(f32::MAX)))
}

/// Picks `k` of `items` by maximal marginal relevance: `lambda` weighs relevance against likeness to those picked.
pub(crate) fn diversify(
    relevance: &[f32],
    likeness: &dyn Fn(usize, usize) -> f32,
    lambda: f32,
    k: usize,
) -> Vec<usize> {
    let mut left: Vec<usize> = (0..relevance.len()).collect();
    let mut nearest = vec![0.0f32; relevance.len()];
    let mut picked = Vec::with_capacity(k.min(left.len()));
    while picked.len() < k && !left.is_empty() {
        let value = |i: usize| lambda * relevance[i] - (1.0 - lambda) * nearest[i];
        let mut best = 0;
        for at in 1..left.len() {
            if value(left[at]) > value(left[best]) {
                best = at;
            }
        }
        let chosen = left.remove(best);
        for i in &left {
            nearest[*i] = nearest[*i].max(likeness(*i, chosen));
        }
        picked.push(chosen);
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn legs() -> Vec<Candidate> {
        join(&[(1, 8.0), (2, 4.0)], &[(2, 0.2, 0.9), (3, 0.4, 0.8)])
    }

    fn scores(method: FuseMethod, w_fts: f32, w_vec: f32) -> Vec<f32> {
        let mut c = legs();
        fuse(&mut c, FuseSettings { method, w_fts, w_vec, rrf_k0: 60.0 });
        c.iter().map(|c| c.score).collect()
    }

    #[test]
    fn rrf_equals_the_formula() {
        let got = scores(FuseMethod::Rrf, 1.0, 1.0);
        let most = 2.0 / 61.0;
        let want = [1.0 / 61.0 / most, (1.0 / 62.0 + 1.0 / 61.0) / most, 1.0 / 62.0 / most];
        got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() < 1e-6));
        let first_in_both = {
            let mut c = join(&[(1, 1.0)], &[(1, 0.1, 0.9)]);
            fuse(&mut c, FuseSettings { method: FuseMethod::Rrf, w_fts: 1.0, w_vec: 1.0, rrf_k0: 60.0 });
            c[0].score
        };
        assert!((first_in_both - 1.0).abs() < 1e-6);
    }

    #[test]
    fn score_fusion_scales_each_leg_and_weights_matter() {
        assert_eq!(scores(FuseMethod::Score, 1.0, 1.0), [0.5, 0.75, 0.0]);
        assert_eq!(scores(FuseMethod::Score, 1.0, 0.0), [1.0, 0.5, 0.0]);
        assert_ne!(scores(FuseMethod::Rrf, 1.0, 0.5), scores(FuseMethod::Rrf, 1.0, 0.0));
        assert_ne!(scores(FuseMethod::Rrf, 1.0, 0.5), scores(FuseMethod::Rrf, 1.0, 1.0));
    }

    #[test]
    fn diversity_avoids_likeness() {
        let like = |a: usize, b: usize| if (a, b) == (1, 0) || (a, b) == (0, 1) { 1.0 } else { 0.0 };
        assert_eq!(diversify(&[1.0, 0.99, 0.5], &like, 0.5, 2), [0, 2]);
        assert_eq!(diversify(&[1.0, 0.99, 0.5], &like, 1.0, 2), [0, 1]);
    }
}
