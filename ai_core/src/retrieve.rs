//! What a retriever promises: the best passages for a question; it does not know how they are found.

use serde::{Deserialize, Serialize};

use crate::deadline::Deadline;
use crate::error::AiResult;

/// One passage that answers a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Passage {
    /// The chunk's name, such as `posts:1#0`.
    pub chunk_id: String,
    /// The document's name.
    pub doc_id: String,
    /// The source's name.
    pub source_name: String,
    /// The title, possibly empty.
    pub title: String,
    /// The text.
    pub body: String,
    /// Score in 0–1, higher is better.
    pub score: f32,
}

impl Passage {
    /// A passage of a document.
    #[must_use]
    pub fn new(
        chunk_id: impl Into<String>,
        doc_id: impl Into<String>,
        body: impl Into<String>,
        score: f32,
    ) -> Self {
        Self {
            chunk_id: chunk_id.into(),
            doc_id: doc_id.into(),
            source_name: String::new(),
            title: String::new(),
            body: body.into(),
            score,
        }
    }

    /// Sets source and title.
    #[must_use]
    pub fn with_origin(mut self, source_name: impl Into<String>, title: impl Into<String>) -> Self {
        self.source_name = source_name.into();
        self.title = title.into();
        self
    }
}

/// Finds passages for a question, with whatever legs it has.
pub trait Retriever: Send + Sync {
    /// At most `k` passages that `caller` may see, best first.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an empty question, `UNAVAILABLE` or `DEADLINE_EXCEEDED` when nothing could be searched.
    fn retrieve(&self, caller: &str, question: &str, k: usize, deadline: Deadline) -> AiResult<Vec<Passage>>;
}
