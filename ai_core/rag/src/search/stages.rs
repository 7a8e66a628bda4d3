//! Stages after the legs: rerank, diversity, results of one document; it knows no index.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use ai_core::{AiResult, Metric};

use super::{Found, Search};
use crate::analyse::Analyser;
use crate::fuse;

impl Search<'_> {
    pub(super) fn stages(&mut self, mut found: Found) -> AiResult<Found> {
        self.rerank(&mut found);
        self.diversify(&mut found);
        self.limit_per_doc(&mut found);
        Ok(found)
    }

    fn rerank(&mut self, found: &mut Found) {
        if !self.common.rerank.enabled || self.query.is_empty() {
            return;
        }
        let Some(reranker) = self.inner.reranker.clone() else {
            self.degrade("no reranker is configured");
            return;
        };
        let started = Instant::now();
        let n = self.common.rerank.top_n.min(found.candidates.len());
        let bodies: Vec<&str> = found.candidates[..n]
            .iter()
            .filter_map(|c| found.rows.get(&c.chunk_pk))
            .map(|r| r.body.as_str())
            .collect();
        match reranker.rerank(self.query, &bodies, self.deadline) {
            Ok(scores) if scores.len() == n && scores.iter().all(|s| s.is_finite()) => {
                for (candidate, score) in found.candidates[..n].iter_mut().zip(scores) {
                    candidate.score = score.clamp(0.0, 1.0);
                }
                found.candidates[..n].sort_by(fuse::better);
                found.candidates.truncate(n);
                self.time("rerank", started);
            }
            Ok(_) => self.degrade("the reranker answered another number of scores than asked for"),
            Err(error) => self.degrade(format!("reranking failed: {}", error.message)),
        }
    }

    fn diversify(&mut self, found: &mut Found) {
        let Some(mmr) = self.common.mmr.clone() else { return };
        let started = Instant::now();
        let pool = (mmr.pool.unwrap_or(4 * self.k).min(200) + self.common.offset).min(found.candidates.len());
        let analyser = Analyser::new("");
        let mut words: HashMap<i64, HashSet<String>> = HashMap::new();
        for c in &found.candidates[..pool] {
            if !found.vectors.contains_key(&c.chunk_pk)
                && let Some(row) = found.rows.get(&c.chunk_pk)
            {
                words.insert(c.chunk_pk, analyser.terms(&row.body).into_iter().collect());
            }
        }
        let relevance: Vec<f32> = found.candidates[..pool].iter().map(|c| c.score).collect();
        let likeness = |a: usize, b: usize| {
            let (a, b) = (found.candidates[a].chunk_pk, found.candidates[b].chunk_pk);
            match (found.vectors.get(&a), found.vectors.get(&b)) {
                (Some(x), Some(y)) if x.len() == y.len() => {
                    (1.0 - Metric::Cosine.distance(x, y)).clamp(0.0, 1.0)
                }
                _ => match (words.get(&a), words.get(&b)) {
                    (Some(x), Some(y)) => {
                        let shared = x.intersection(y).count() as f32;
                        shared / ((x.len() + y.len()) as f32 - shared).max(1.0)
                    }
                    _ => 0.0,
                },
            }
        };
        let order = fuse::diversify(&relevance, &likeness, mmr.lambda, pool);
        found.candidates = order.into_iter().map(|i| found.candidates[i]).collect();
        self.time("mmr", started);
    }

    fn limit_per_doc(&mut self, found: &mut Found) {
        if self.common.max_per_doc == 0 {
            return;
        }
        let mut seen: HashMap<i64, usize> = HashMap::new();
        let rows = &found.rows;
        let most = self.common.max_per_doc;
        found.candidates.retain(|c| {
            rows.get(&c.chunk_pk).is_some_and(|row| {
                let n = seen.entry(row.doc_pk).or_default();
                *n += 1;
                *n <= most
            })
        });
    }
}
