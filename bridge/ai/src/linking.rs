//! Which tables and views a question is about: words, vectors and joins over one run's catalog; it asks no model to think.

mod index;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use ai_core::{Deadline, EmbedKind, Embedder};
use harvest::HarvestResult;
use harvest_catalog::{Catalog, RelationLink, question_norm};

use index::Index;

/// Words of a question that are looked up.
const WORDS_MAX: usize = 32;
/// Relations that get a vector, the best by words first.
const EMBEDDED_MAX: usize = 1_000;
/// Characters of one relation that an embedder reads.
const EMBEDDED_CHARS_MAX: usize = 2_000;
/// Vectors that are kept.
const VECTORS_MAX: usize = 10_000;
/// Texts in one call of the embedder.
const BATCH_MAX: usize = 64;
/// Longest wait for the vectors of one question, in milliseconds; without them the words decide alone.
const EMBED_TIMEOUT_MS: u64 = 5_000;
/// Best relations whose neighbours gain by being joined to them.
const SEEDS_MAX: usize = 6;
/// Weakest reference that is followed.
const CONFIDENCE_MIN: f64 = 0.6;
/// What a vector weighs beside the words.
const VECTOR_WEIGHT: f64 = 0.35;
/// What a join to a better relation weighs.
const JOIN_WEIGHT: f64 = 0.25;
/// What it weighs to be referred to by others.
const CENTRE_WEIGHT: f64 = 0.04;

/// A question and where to look.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LinkRequest<'a> {
    /// The target.
    pub target_id: &'a str,
    /// Its run.
    pub run_id: i64,
    /// In plain words.
    pub question: &'a str,
    /// Only relations of this schema.
    pub schema: Option<&'a str>,
    /// Relations at most.
    pub limit: usize,
}

impl<'a> LinkRequest<'a> {
    /// A question to all schemas of a run, for the ten best.
    #[must_use]
    pub const fn new(target_id: &'a str, run_id: i64, question: &'a str) -> Self {
        Self { target_id, run_id, question, schema: None, limit: 10 }
    }
}

/// A table or view that fits.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LinkedRelation {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Higher is better; comparable within one answer only.
    pub score: f64,
    /// Words of the question that name, comments, columns or notes hold.
    pub words: Vec<String>,
}

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Linked {
    /// Best first.
    pub relations: Vec<LinkedRelation>,
    /// The words that were looked up, each with schema and name of every relation that holds it.
    pub words: Vec<(String, Vec<(String, String)>)>,
}

/// Finds relations for questions; keeps vectors between questions.
#[derive(Debug, Default)]
pub struct SchemaLinker {
    vectors: Mutex<HashMap<(String, String), Vec<f32>>>,
}

impl SchemaLinker {
    /// The tables and views that `request` is about. Without an embedder, or while it fails, words and joins decide.
    ///
    /// # Errors
    /// Those of the catalog.
    pub fn link(
        &self,
        catalog: &Catalog,
        request: &LinkRequest<'_>,
        embedder: Option<&dyn Embedder>,
    ) -> HarvestResult<Linked> {
        let texts = catalog.relation_texts(request.target_id, request.run_id, request.schema)?;
        let index = Index::new(texts, request.question);
        let norm = question_norm(request.question);
        let mut words: Vec<String> = Vec::new();
        for word in norm.split(' ').filter(|word| !word.is_empty()).take(WORDS_MAX) {
            if !words.iter().any(|have| have == word) {
                words.push(word.to_owned());
            }
        }
        let fit = index.fit(&words);
        let mut scores = fit.scores.clone();
        if let Some(embedder) = embedder {
            self.add_vectors(&index, request.question, embedder, &mut scores);
        }
        let links = catalog.relation_links(request.target_id, request.run_id)?;
        add_joins(&index, &links, &mut scores);
        let mut order: Vec<usize> = (0..scores.len()).filter(|at| scores[*at] > 0.0).collect();
        order.sort_by(|a, b| {
            scores[*b].total_cmp(&scores[*a]).then_with(|| name(&index, *a).cmp(&name(&index, *b)))
        });
        let relations = order.into_iter().take(request.limit).map(|at| {
            let (schema, name) = name(&index, at);
            let held = words.iter().zip(&fit.holders).filter(|(_, holders)| holders.contains(&at));
            LinkedRelation {
                schema,
                name,
                score: scores[at],
                words: held.map(|(word, _)| word.clone()).collect(),
            }
        });
        let relations = relations.collect();
        let named = |holders: &Vec<usize>| holders.iter().map(|at| name(&index, *at)).collect();
        let words = words.into_iter().zip(fit.holders.iter().map(named)).collect();
        Ok(Linked { relations, words })
    }

    /// Adds how near the vectors of question and relation are; the best by words are compared first.
    fn add_vectors(&self, index: &Index, question: &str, embedder: &dyn Embedder, scores: &mut [f64]) {
        let deadline = Deadline::after_ms(EMBED_TIMEOUT_MS);
        let Ok(asked) = embedder.embed(&[question], EmbedKind::Query, deadline) else { return };
        let Some(asked) = asked.first() else { return };
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
        order.truncate(EMBEDDED_MAX);
        let model = embedder.info().model;
        let key = |at: usize| {
            (model.clone(), index.entries[at].words().chars().take(EMBEDDED_CHARS_MAX).collect::<String>())
        };
        for batch in order.chunks(BATCH_MAX) {
            let keys: Vec<(String, String)> = batch.iter().map(|at| key(*at)).collect();
            let Some(vectors) = self.vectors_of(&keys, embedder, deadline) else { return };
            for (at, vector) in batch.iter().zip(vectors) {
                scores[*at] += VECTOR_WEIGHT * cosine(asked, &vector).max(0.0);
            }
        }
    }

    fn vectors_of(
        &self,
        keys: &[(String, String)],
        embedder: &dyn Embedder,
        deadline: Deadline,
    ) -> Option<Vec<Vec<f32>>> {
        let lock = || self.vectors.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<Option<Vec<f32>>> = {
            let kept = lock();
            keys.iter().map(|key| kept.get(key).cloned()).collect()
        };
        let missing: Vec<usize> = (0..keys.len()).filter(|at| found[*at].is_none()).collect();
        if !missing.is_empty() {
            let texts: Vec<&str> = missing.iter().map(|at| keys[*at].1.as_str()).collect();
            let new = embedder.embed(&texts, EmbedKind::Document, deadline).ok()?;
            let mut kept = lock();
            if kept.len() + new.len() > VECTORS_MAX {
                kept.clear();
            }
            for (at, vector) in missing.into_iter().zip(new) {
                kept.insert(keys[at].clone(), vector.clone());
                found[at] = Some(vector);
            }
        }
        found.into_iter().collect()
    }
}

fn name(index: &Index, at: usize) -> (String, String) {
    let text = &index.entries[at].text;
    (text.schema.clone(), text.name.clone())
}

/// Neighbours of the best gain by them, and a little gains who is referred to by many.
#[expect(clippy::cast_precision_loss, reason = "thousands of relations at most")]
fn add_joins(index: &Index, links: &[RelationLink], scores: &mut [f64]) {
    let places: HashMap<i64, usize> =
        index.entries.iter().enumerate().map(|(at, entry)| (entry.text.object_id, at)).collect();
    let mut joins: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    let mut referred = vec![0_usize; scores.len()];
    for link in links.iter().filter(|link| link.confidence >= CONFIDENCE_MIN) {
        let (Some(child), Some(parent)) = (places.get(&link.child_id), places.get(&link.parent_id)) else {
            continue;
        };
        if child == parent {
            continue;
        }
        referred[*parent] += 1;
        let strength = joins.entry((*child.min(parent), *child.max(parent))).or_default();
        *strength = strength.max(link.confidence);
    }
    for (at, score) in scores.iter_mut().enumerate().filter(|(_, score)| **score > 0.0) {
        *score += CENTRE_WEIGHT * (1.0 + referred[at] as f64).ln().min(3.0);
    }
    let mut seeds: Vec<usize> = (0..scores.len()).filter(|at| scores[*at] > 0.0).collect();
    seeds.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    seeds.truncate(SEEDS_MAX);
    let mut gains: BTreeMap<usize, f64> = BTreeMap::new();
    for ((one, other), confidence) in joins {
        for (seed, neighbour) in [(one, other), (other, one)] {
            if seeds.contains(&seed) {
                *gains.entry(neighbour).or_default() += JOIN_WEIGHT * confidence * scores[seed];
            }
        }
    }
    for (at, gain) in gains {
        scores[at] += gain;
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(p, q)| f64::from(p * q)).sum::<f64>();
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms > 0.0 { dot(a, b) / norms } else { 0.0 }
}
