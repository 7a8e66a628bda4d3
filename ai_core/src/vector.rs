//! What a vector store promises: keep vectors of one space and find the nearest; it does not know where they live.

use crate::deadline::Deadline;
use crate::embed::Metric;
use crate::error::AiResult;

/// One stored vector.
#[derive(Debug, Clone, PartialEq)]
// Exhaustive on purpose: this is plain data that callers build.
pub struct VectorItem {
    /// The chunk's key.
    pub chunk_pk: i64,
    /// The source that the chunk belongs to.
    pub source_id: i64,
    /// The vector, of the space's dimension.
    pub vector: Vec<f32>,
}

/// Which entries a search may return; it is applied before the best `k` are cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Allowed {
    /// Sources that may answer; `None` means all.
    pub source_ids: Option<Vec<i64>>,
    /// Chunks that may answer, sorted ascending; `None` means all.
    pub chunk_pks: Option<Vec<i64>>,
}

impl Allowed {
    /// Everything may answer.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Only chunks of these sources may answer.
    #[must_use]
    pub fn sources(ids: impl Into<Vec<i64>>) -> Self {
        Self { source_ids: Some(ids.into()), chunk_pks: None }
    }

    /// Further restricts the answer to these chunks; the list is sorted here.
    #[must_use]
    pub fn with_chunks(mut self, mut pks: Vec<i64>) -> Self {
        pks.sort_unstable();
        pks.dedup();
        self.chunk_pks = Some(pks);
        self
    }

    /// Whether a chunk of a source may answer.
    #[must_use]
    pub fn permits(&self, source_id: i64, chunk_pk: i64) -> bool {
        self.source_ids.as_ref().is_none_or(|ids| ids.contains(&source_id))
            && self.chunk_pks.as_ref().is_none_or(|pks| pks.binary_search(&chunk_pk).is_ok())
    }
}

/// One near vector.
#[derive(Debug, Clone, Copy, PartialEq)]
// Exhaustive on purpose: this is plain data that stores build.
pub struct VectorHit {
    /// The chunk's key.
    pub chunk_pk: i64,
    /// Distance under the space's metric; lower is nearer.
    pub distance: f32,
}

/// The vectors of one embedding space.
pub trait VectorStore: Send + Sync {
    /// Length of every vector.
    fn dim(&self) -> usize;

    /// How vectors are compared.
    fn metric(&self) -> Metric;

    /// Adds or replaces vectors durably, all or none.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a vector of another length, a component that is not finite or a zero vector.
    fn put(&self, items: &[VectorItem]) -> AiResult<()>;

    /// Removes vectors durably; unknown keys are ignored.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn delete(&self, chunk_pks: &[i64]) -> AiResult<()>;

    /// The `k` nearest of all permitted vectors, nearest first, equal distances by key.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a query of another length or one that is not finite, `DEADLINE_EXCEEDED`.
    fn search(
        &self,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Vec<VectorHit>>;

    /// Exact distances of known chunks; unknown ones are absent from the answer.
    ///
    /// # Errors
    /// As [`Self::search`].
    fn distances(&self, query: &[f32], chunk_pks: &[i64]) -> AiResult<Vec<VectorHit>>;

    /// Number of stored vectors.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn count(&self) -> AiResult<u64>;
}

/// Checks that a vector can be stored or searched with: right length, finite, not zero.
///
/// # Errors
/// `INVALID_ARGUMENT` that says which of the three it is.
pub fn check_vector(vector: &[f32], dim: usize) -> AiResult<()> {
    use crate::error::AiError;
    if vector.len() != dim {
        return Err(AiError::invalid(format!("vector has {} components, expected {dim}", vector.len())));
    }
    if vector.iter().any(|x| !x.is_finite()) {
        return Err(AiError::invalid("vector has a component that is not a finite number"));
    }
    if vector.iter().all(|x| *x == 0.0) {
        return Err(AiError::invalid("vector is zero and has no direction"));
    }
    Ok(())
}
