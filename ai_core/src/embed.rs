//! What an embedder and a reranker promise; it does not know models, files or providers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::deadline::Deadline;
use crate::error::AiResult;

/// What a text is embedded for; models trained with instructions treat the two differently.
// Exhaustive on purpose: there is no third side of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbedKind {
    /// A question that looks for documents.
    Query,
    /// A text that is stored and found.
    Document,
}

/// How two vectors of one space are compared.
// Exhaustive on purpose: every store must support all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Distance is `1 - cos`.
    #[default]
    Cosine,
    /// Distance is Euclidean.
    L2,
    /// Distance is the negated inner product.
    Dot,
}

impl Metric {
    /// The wire name: `cosine`, `l2` or `dot`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::L2 => "l2",
            Self::Dot => "dot",
        }
    }

    /// Reads a wire name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "cosine" => Some(Self::Cosine),
            "l2" => Some(Self::L2),
            "dot" => Some(Self::Dot),
            _ => None,
        }
    }

    /// The distance of two vectors of equal length; lower is nearer.
    #[must_use]
    pub fn distance(self, a: &[f32], b: &[f32]) -> f32 {
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(p, q)| p * q).sum::<f32>();
        match self {
            Self::Cosine => {
                let norms = (dot(a, a) * dot(b, b)).sqrt();
                if norms > 0.0 { 1.0 - dot(a, b) / norms } else { 1.0 }
            }
            Self::L2 => a.iter().zip(b).map(|(p, q)| (p - q) * (p - q)).sum::<f32>().sqrt(),
            Self::Dot => -dot(a, b),
        }
    }

    /// The distance as a score in 0–1, higher is better.
    #[must_use]
    pub fn score(self, distance: f32) -> f32 {
        match self {
            Self::Cosine => (1.0 - distance / 2.0).clamp(0.0, 1.0),
            Self::L2 => 1.0 / (1.0 + distance.max(0.0)),
            Self::Dot => 1.0 / (1.0 + distance.exp()),
        }
    }
}

/// Who makes the vectors and what they look like; equal values mean comparable vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EmbedderInfo {
    /// `builtin`, `local`, `openai`, `llama_cpp` or a host's own name.
    pub provider: String,
    /// The model's name.
    pub model: String,
    /// The model's revision or a fingerprint of its files; may be empty.
    pub revision: String,
    /// Length of every vector.
    pub dim: usize,
    /// The metric the model was made for.
    pub metric: Metric,
    /// Longest input in tokens of the model; longer inputs are cut. 0 means unlimited.
    pub max_input_tokens: usize,
    /// True when vectors reflect the letters and words of a text, not its meaning.
    pub lexical: bool,
}

impl EmbedderInfo {
    /// Info with metric cosine, no revision, no input limit and `lexical` false.
    #[must_use]
    pub fn new(provider: impl Into<String>, model: impl Into<String>, dim: usize) -> Self {
        Self {
            provider: provider.into(),
            model: model.into(),
            revision: String::new(),
            dim,
            metric: Metric::Cosine,
            max_input_tokens: 0,
            lexical: false,
        }
    }

    /// Sets the revision.
    #[must_use]
    pub fn with_revision(mut self, revision: impl Into<String>) -> Self {
        self.revision = revision.into();
        self
    }

    /// Sets the metric.
    #[must_use]
    pub const fn with_metric(mut self, metric: Metric) -> Self {
        self.metric = metric;
        self
    }

    /// Sets the longest input in tokens.
    #[must_use]
    pub const fn with_max_input_tokens(mut self, tokens: usize) -> Self {
        self.max_input_tokens = tokens;
        self
    }

    /// Declares whether the vectors are lexical.
    #[must_use]
    pub const fn with_lexical(mut self, lexical: bool) -> Self {
        self.lexical = lexical;
        self
    }
}

/// Turns texts into vectors. Calls block; they may come from many threads at once.
pub trait Embedder: Send + Sync {
    /// Who makes the vectors and what they look like.
    fn info(&self) -> EmbedderInfo;

    /// One finite, non-zero vector of `info().dim` components for each input, in input order.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the model cannot be reached, `DEADLINE_EXCEEDED` when time is over, `INVALID_ARGUMENT`
    /// when an input cannot be embedded, `FAILED_PRECONDITION` when the model is not usable. All or nothing: an
    /// error means no vector at all.
    fn embed(&self, inputs: &[&str], kind: EmbedKind, deadline: Deadline) -> AiResult<Vec<Vec<f32>>>;

    /// Number of tokens of `text` in the model's own tokenizer, or `None` when that is not known.
    fn count_tokens(&self, text: &str) -> Option<usize> {
        let _ = text;
        None
    }
}

/// Scores documents against a query more precisely, and more slowly, than an index does.
pub trait Reranker: Send + Sync {
    /// The model's name.
    fn model(&self) -> String;

    /// One score in 0–1 for each document, higher is better, in input order.
    ///
    /// # Errors
    /// As [`Embedder::embed`].
    fn rerank(&self, query: &str, documents: &[&str], deadline: Deadline) -> AiResult<Vec<f32>>;
}

impl<T: Embedder + ?Sized> Embedder for Arc<T> {
    fn info(&self) -> EmbedderInfo {
        (**self).info()
    }

    fn embed(&self, inputs: &[&str], kind: EmbedKind, deadline: Deadline) -> AiResult<Vec<Vec<f32>>> {
        (**self).embed(inputs, kind, deadline)
    }

    fn count_tokens(&self, text: &str) -> Option<usize> {
        (**self).count_tokens(text)
    }
}
