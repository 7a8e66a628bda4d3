//! What a full-text index promises: follow the store's changes and rank chunks; it does not know where they live.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::deadline::Deadline;
use crate::error::AiResult;
use crate::vector::Allowed;

/// A chunk as the index sees it: text that the shared analyser has already turned into terms.
#[derive(Debug, Clone, PartialEq, Eq)]
// Exhaustive on purpose: this is plain data that the store builds.
pub struct TextEntry {
    /// The chunk's key.
    pub chunk_pk: i64,
    /// The version of the chunk's document.
    pub version: i64,
    /// The source that the chunk belongs to.
    pub source_id: i64,
    /// Terms of the title, in order.
    pub title_terms: Vec<String>,
    /// Terms of the body, in order.
    pub body_terms: Vec<String>,
}

/// One change that an index follows.
#[derive(Debug, Clone, PartialEq, Eq)]
// Exhaustive on purpose: an index must handle every kind of change.
pub enum TextChange {
    /// Adds a chunk or replaces it.
    Upsert(TextEntry),
    /// Removes a chunk by key.
    Delete(i64),
}

/// One clause of a query; terms have already passed the shared analyser.
#[derive(Debug, Clone, PartialEq, Eq)]
// Exhaustive on purpose: an index must handle every clause.
pub enum TextClause {
    /// One term, in the title or the body.
    Term(String),
    /// Terms in this order, side by side.
    Phrase(Vec<String>),
    /// Every term that starts so.
    Prefix(String),
    /// The clause, in the title only.
    Title(Box<TextClause>),
    /// The clause, in the body only.
    Body(Box<TextClause>),
    /// At least one of the clauses; more matches rank higher.
    Any(Vec<TextClause>),
    /// All of the clauses.
    All(Vec<TextClause>),
    /// The first, without chunks that match the second.
    Without(Box<TextClause>, Box<TextClause>),
}

/// One chunk that matches.
#[derive(Debug, Clone, Copy, PartialEq)]
// Exhaustive on purpose: this is plain data that indexes build.
pub struct TextHit {
    /// The chunk's key.
    pub chunk_pk: i64,
    /// The version that was indexed.
    pub version: i64,
    /// BM25; at least 0, higher is better.
    pub score: f32,
}

/// How an index stands to its store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TextIndexStatus {
    /// `fts5`, `tantivy` or a host's own name.
    pub kind: String,
    /// Number of entries.
    pub entries: u64,
    /// The last change that is durably applied.
    pub applied_seq: u64,
    /// True while the index is rebuilt and cannot answer.
    pub rebuilding: bool,
}

impl TextIndexStatus {
    /// A status that is not rebuilding.
    #[must_use]
    pub fn new(kind: impl Into<String>, entries: u64, applied_seq: u64) -> Self {
        Self { kind: kind.into(), entries, applied_seq, rebuilding: false }
    }
}

/// A full-text index over chunks with BM25 ranking.
pub trait TextIndex: Send + Sync {
    /// Applies changes in order and records `seq` as applied, durably and together; applying twice is harmless.
    ///
    /// # Errors
    /// When the index cannot be written; nothing is recorded then.
    fn apply(&self, changes: &[TextChange], seq: u64) -> AiResult<()>;

    /// Empties the index and sets the applied position back to 0.
    ///
    /// # Errors
    /// When the index cannot be written.
    fn clear(&self) -> AiResult<()>;

    /// The `k` best of all permitted chunks, best first, equal scores by key.
    ///
    /// # Errors
    /// `UNAVAILABLE` while rebuilding, `INVALID_ARGUMENT` for a query beyond the index's bounds.
    fn search(
        &self,
        query: &TextClause,
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Vec<TextHit>>;

    /// How the index stands.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn status(&self) -> AiResult<TextIndexStatus>;

    /// The wrapping sum of [`entry_mark`] over all entries; `None` from an index that cannot tell.
    ///
    /// # Errors
    /// When the index cannot be read.
    fn checksum(&self) -> AiResult<Option<i64>> {
        Ok(None)
    }
}

/// The share of one entry in a checksum that does not depend on order.
#[must_use]
pub fn entry_mark(chunk_pk: i64, version: i64) -> i64 {
    let mut h = (chunk_pk as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (version as u64).rotate_left(32);
    h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (h ^ (h >> 33)) as i64
}

/// Opens an index in a folder; the text is the identity that the index must carry, and an index of another identity
/// is emptied.
pub type TextIndexOpener = Arc<dyn Fn(&Path, &str) -> AiResult<Arc<dyn TextIndex>> + Send + Sync>;
