//! Rerankers: a service over HTTP and the built-in lexical one; they do not know where documents come from.

use std::collections::HashMap;
use std::sync::Arc;

use ai_core::{AiError, AiResult, CallContext, Deadline, Reranker};
use serde_json::{Map, Value, json};

use crate::clock::{Clock, SystemClock};
use crate::money::estimate_tokens;
use crate::retry::RetryPolicy;
use crate::secret::SecretString;
use crate::service_http::{HttpService, Purse, ServiceSettings};

/// Bytes of documents in one call.
const CALL_BYTES_MAX: usize = 1_048_576;

/// Scores as 0–1: as they are when all lie there, else through the logistic function.
#[must_use]
pub fn normalise_scores(scores: &[f32]) -> Vec<f32> {
    if scores.iter().all(|s| (0.0..=1.0).contains(s)) {
        return scores.to_vec();
    }
    scores.iter().map(|s| 1.0 / (1.0 + (-s).exp())).collect()
}

/// How a rerank service is asked.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HttpRerankerConfig {
    /// URL, used as given.
    pub url: String,
    /// Model sent along; empty = not sent.
    pub model: String,
    /// Bearer token; empty = none.
    pub key: SecretString,
    /// Per attempt, milliseconds.
    pub timeout_ms: u64,
    /// Retries after the first attempt.
    pub retries_max: u32,
    /// First pause before a retry, milliseconds.
    pub backoff_ms: u64,
}

impl HttpRerankerConfig {
    /// A service at `url` with the defaults of the `rerank_*` variables.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            model: String::new(),
            key: SecretString::default(),
            timeout_ms: 30_000,
            retries_max: 3,
            backoff_ms: 1_000,
        }
    }
}

/// A rerank service over HTTP.
pub struct HttpReranker {
    config: HttpRerankerConfig,
    service: HttpService,
}

impl HttpReranker {
    /// A reranker outside any budget, for services that cost nothing.
    #[must_use]
    pub fn new(config: HttpRerankerConfig) -> Self {
        Self::with_purse(config, Arc::new(SystemClock), None)
    }

    pub(crate) fn with_purse(
        config: HttpRerankerConfig,
        clock: Arc<dyn Clock>,
        purse: Option<Purse>,
    ) -> Self {
        let retry = RetryPolicy {
            retries_max: config.retries_max,
            backoff_ms: config.backoff_ms,
            multiplier: 2.0,
            backoff_ms_max: 30_000,
        };
        let settings = ServiceSettings {
            kind: "rerank",
            url: config.url.clone(),
            key: config.key.clone(),
            attempt_timeout_ms: config.timeout_ms,
            retry,
        };
        Self { service: HttpService::new(settings, clock, purse), config }
    }

    /// The service's own scores, one for each document in input order; `model` empty = the configured.
    ///
    /// # Errors
    /// As [`Reranker::rerank`].
    pub fn scores(
        &self,
        model: &str,
        query: &str,
        documents: &[&str],
        call: &CallContext,
    ) -> AiResult<Vec<f32>> {
        let model = if model.is_empty() { &self.config.model } else { model };
        let mut scores = Vec::with_capacity(documents.len());
        let mut rest = documents;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |d: &&&str| {
                bytes += d.len();
                bytes <= CALL_BYTES_MAX
            };
            let (now, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            rest = later;
            scores.extend(self.ask(model, query, now, call)?);
        }
        Ok(scores)
    }

    fn ask(&self, model: &str, query: &str, documents: &[&str], call: &CallContext) -> AiResult<Vec<f32>> {
        let mut body = Map::new();
        if !model.is_empty() {
            body.insert("model".into(), json!(model));
        }
        body.insert("query".into(), json!(query));
        body.insert("documents".into(), json!(documents));
        body.insert("top_n".into(), json!(documents.len()));
        let texts = documents.iter().map(|d| estimate_tokens(d) + estimate_tokens(query) + 4).sum();
        let answer = self.service.post(&Value::Object(body), model, texts, call)?;
        read_scores(&answer, documents.len())
    }
}

impl Reranker for HttpReranker {
    fn model(&self) -> String {
        self.config.model.clone()
    }

    fn rerank(&self, query: &str, documents: &[&str], deadline: Deadline) -> AiResult<Vec<f32>> {
        let call = CallContext::default().with_deadline(deadline);
        Ok(normalise_scores(&self.scores("", query, documents, &call)?))
    }
}

fn read_scores(answer: &Value, count: usize) -> AiResult<Vec<f32>> {
    let bad = |why: String| AiError::internal(format!("rerank service: {why}"));
    let items = ["results", "data"].iter().find_map(|k| answer.get(*k).and_then(Value::as_array));
    let items = items.ok_or_else(|| bad("the answer holds neither results nor data".into()))?;
    let mut scores: Vec<Option<f32>> = vec![None; count];
    for item in items {
        let index = item.get("index").and_then(Value::as_u64).and_then(|i| usize::try_from(i).ok());
        let slot = index.and_then(|i| scores.get_mut(i));
        let slot = slot.ok_or_else(|| bad("an index is missing or out of range".into()))?;
        let score = item.get("relevance_score").or_else(|| item.get("score")).and_then(Value::as_f64);
        let score = score.map(|s| s as f32).filter(|s| s.is_finite());
        let score = score.ok_or_else(|| bad("a score is missing or not finite".into()))?;
        if slot.replace(score).is_some() {
            return Err(bad("a document was scored twice".into()));
        }
    }
    let found = scores.iter().flatten().count();
    if found < count {
        return Err(bad(format!("{found} scores came for {count} documents")));
    }
    Ok(scores.into_iter().flatten().collect())
}

/// Lexical overlap with BM25 weights over the given documents; deterministic and offline.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct LexicalReranker;

const K1: f64 = 1.2;
const B: f64 = 0.75;

impl LexicalReranker {
    /// A score in 0–1 for each document: its BM25 weight as a share of the most that the query allows.
    #[must_use]
    pub fn scores(query: &str, documents: &[&str]) -> Vec<f32> {
        let mut terms = words(query);
        terms.sort_unstable();
        terms.dedup();
        let counted: Vec<HashMap<String, f64>> = documents.iter().map(|d| count(d)).collect();
        let lengths: Vec<f64> = counted.iter().map(|c| c.values().sum()).collect();
        let mean = (lengths.iter().sum::<f64>() / documents.len().max(1) as f64).max(1.0);
        let weight = |term: &String| {
            let holding = counted.iter().filter(|c| c.contains_key(term)).count() as f64;
            (1.0 + (documents.len() as f64 - holding + 0.5) / (holding + 0.5)).ln()
        };
        let weighted: Vec<(&String, f64)> = terms.iter().map(|t| (t, weight(t))).collect();
        let most: f64 = weighted.iter().map(|(_, w)| w * (K1 + 1.0)).sum();
        let score = |(counts, length): (&HashMap<String, f64>, &f64)| {
            let part = |(term, weight): &(&String, f64)| {
                let n = counts.get(*term).copied().unwrap_or(0.0);
                weight * n * (K1 + 1.0) / (n + K1 * (1.0 - B + B * length / mean))
            };
            if most > 0.0 { (weighted.iter().map(part).sum::<f64>() / most) as f32 } else { 0.0 }
        };
        counted.iter().zip(&lengths).map(score).collect()
    }
}

impl Reranker for LexicalReranker {
    fn model(&self) -> String {
        "builtin".to_owned()
    }

    fn rerank(&self, query: &str, documents: &[&str], deadline: Deadline) -> AiResult<Vec<f32>> {
        deadline.check("reranking")?;
        Ok(Self::scores(query, documents))
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
}

fn count(text: &str) -> HashMap<String, f64> {
    let mut counts = HashMap::new();
    for word in words(text) {
        *counts.entry(word).or_insert(0.0) += 1.0;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_faults_of_answers() {
        let read = |answer: Value| read_scores(&answer, 2);
        let ok =
            json!({"results": [{"index": 1, "relevance_score": 0.5}, {"index": 0, "relevance_score": -2}]});
        assert_eq!(read(ok).unwrap(), [-2.0, 0.5]);
        assert_eq!(
            read(json!({"data": [{"index": 0, "score": 1}, {"index": 1, "score": 0}]})).unwrap(),
            [1.0, 0.0]
        );
        for bad in [
            json!({}),
            json!({"results": [{"index": 0, "score": 1}]}),
            json!({"results": [{"index": 0, "score": 1}, {"index": 0, "score": 1}]}),
            json!({"results": [{"index": 0, "score": 1}, {"index": 2, "score": 1}]}),
            json!({"results": [{"index": 0, "score": 1}, {"index": 1, "score": null}]}),
            json!({"results": [{"index": 0, "score": 1}, {"index": 1, "score": 1e200}]}),
            json!({"results": [{"score": 1}, {"index": 1, "score": 1}]}),
        ] {
            assert_eq!(read(bad.clone()).unwrap_err().code.as_str(), "INTERNAL", "{bad}");
        }
    }

    #[test]
    fn logits_become_shares() {
        assert_eq!(normalise_scores(&[0.1, 1.0]), [0.1, 1.0]);
        let shares = normalise_scores(&[-3.0, 0.0, 4.0]);
        assert!(shares[0] < 0.1 && shares[1] == 0.5 && shares[2] > 0.9);
    }

    #[test]
    fn lexical_scores_rank_rare_words_higher() {
        let documents = ["the red car", "the blue car drives", "a tree", ""];
        let scores = LexicalReranker::scores("red the", &documents);
        assert!(scores[0] > scores[1] && scores[1] > scores[2], "{scores:?}");
        assert_eq!((scores[2], scores[3]), (0.0, 0.0));
        assert!(scores.iter().all(|s| (0.0..=1.0).contains(s)));
        assert_eq!(LexicalReranker::scores("", &documents), [0.0; 4]);
    }
}
