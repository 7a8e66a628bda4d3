//! Measures of retrieval quality over judged queries; it knows ids and grades, not how results were found.

use std::collections::{BTreeMap, HashMap, HashSet};

/// Judgements: query, then document, then grade (0 means not relevant).
pub type Judgements = BTreeMap<String, HashMap<String, u32>>;

/// Means over all judged queries.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Quality {
    /// nDCG@10 with gain 2^grade − 1.
    pub ndcg10: f64,
    /// Recall@100.
    pub recall100: f64,
    /// Reciprocal rank of the first relevant document among the first ten.
    pub mrr10: f64,
    /// Share of judged documents among the first ten.
    pub judged10: f64,
    /// Judged queries with at least one relevant document.
    pub queries: usize,
}

/// Compares rankings with judgements. A query without a ranking counts as found nothing.
#[must_use]
pub fn evaluate(rankings: &HashMap<String, Vec<String>>, judgements: &Judgements) -> Quality {
    let mut total = Quality::default();
    for (query, grades) in judgements {
        if !grades.values().any(|g| *g > 0) {
            continue;
        }
        let empty = Vec::new();
        let ranking = distinct(rankings.get(query).unwrap_or(&empty));
        total.queries += 1;
        total.ndcg10 += ndcg(&ranking, grades, 10);
        total.recall100 += recall(&ranking, grades, 100);
        total.mrr10 += reciprocal_rank(&ranking, grades, 10);
        let shown = ranking.len().min(10);
        if shown > 0 {
            total.judged10 +=
                ranking[..shown].iter().filter(|d| grades.contains_key(**d)).count() as f64 / shown as f64;
        }
    }
    let n = total.queries.max(1) as f64;
    Quality {
        ndcg10: total.ndcg10 / n,
        recall100: total.recall100 / n,
        mrr10: total.mrr10 / n,
        judged10: total.judged10 / n,
        queries: total.queries,
    }
}

fn distinct(ranking: &[String]) -> Vec<&str> {
    let mut seen = HashSet::new();
    ranking.iter().map(String::as_str).filter(|d| seen.insert(*d)).collect()
}

fn gain(grade: u32) -> f64 {
    f64::from(grade.min(30)).exp2() - 1.0
}

fn ndcg(ranking: &[&str], grades: &HashMap<String, u32>, k: usize) -> f64 {
    let discounted = |gains: &mut dyn Iterator<Item = f64>| -> f64 {
        gains.take(k).enumerate().map(|(i, g)| g / (i as f64 + 2.0).log2()).sum()
    };
    let got = discounted(&mut ranking.iter().map(|d| gain(grades.get(*d).copied().unwrap_or(0))));
    let mut best: Vec<u32> = grades.values().copied().collect();
    best.sort_unstable_by(|a, b| b.cmp(a));
    let ideal = discounted(&mut best.into_iter().map(gain));
    if ideal > 0.0 { got / ideal } else { 0.0 }
}

fn recall(ranking: &[&str], grades: &HashMap<String, u32>, k: usize) -> f64 {
    let relevant = grades.values().filter(|g| **g > 0).count();
    let found = ranking.iter().take(k).filter(|d| grades.get(**d).is_some_and(|g| *g > 0)).count();
    if relevant == 0 { 0.0 } else { found as f64 / relevant as f64 }
}

fn reciprocal_rank(ranking: &[&str], grades: &HashMap<String, u32>, k: usize) -> f64 {
    let first = ranking.iter().take(k).position(|d| grades.get(*d).is_some_and(|g| *g > 0));
    first.map_or(0.0, |rank| 1.0 / (rank as f64 + 1.0))
}

/// The value below which `percent` percent of the samples lie (nearest rank); 0 without samples.
#[must_use]
pub fn percentile(samples: &[f64], percent: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(pairs: &[(&str, u32)]) -> HashMap<String, u32> {
        pairs.iter().map(|(d, g)| ((*d).to_owned(), *g)).collect()
    }

    #[test]
    fn hand_computed_cases() {
        let judgements: Judgements = [
            ("q".to_owned(), judged(&[("a", 2), ("b", 1), ("c", 0)])),
            ("r".to_owned(), judged(&[("z", 1)])),
            ("none".to_owned(), judged(&[("z", 0)])),
        ]
        .into();
        let ranking = |ids: &[&str]| ids.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let rankings = HashMap::from([("q".to_owned(), ranking(&["c", "b", "b", "a"]))]);
        let q = evaluate(&rankings, &judgements);
        // c, b, a: 0 + 1/log2(3) + 3/log2(4) over the ideal 3/log2(2) + 1/log2(3).
        let third = 1.0 / 3f64.log2();
        let ndcg = (third + 1.5) / (3.0 + third);
        assert_eq!(q.queries, 2);
        assert!((q.ndcg10 - ndcg / 2.0).abs() < 1e-12);
        assert!((q.mrr10 - 0.25).abs() < 1e-12);
        assert!((q.recall100 - 0.5).abs() < 1e-12);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let samples: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(
            (percentile(&samples, 50.0), percentile(&samples, 99.0), percentile(&[], 50.0)),
            (50.0, 99.0, 0.0)
        );
    }
}
