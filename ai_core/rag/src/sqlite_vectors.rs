//! One space of vectors in its own SQLite file behind the seam; it knows no document.

use std::path::Path;
use std::sync::Arc;

use ai_core::{
    AiResult, Allowed, Deadline, EmbedderInfo, Metric, VectorHit, VectorItem, VectorStore, check_vector,
};

use crate::records::Space;
use crate::store::{self, Store};

/// Vectors in sqlite-vec, with the int8 copy for large numbers of them.
#[derive(Debug)]
#[non_exhaustive]
pub struct SqliteVectors {
    store: Arc<Store>,
    space: Space,
}

impl SqliteVectors {
    /// Opens or creates the space `name` in the file at `path`. Vectors are stored as they are given.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` for a dimension outside 1–8192 or a file that is no store.
    pub fn open(path: &Path, name: &str, dim: usize, metric: Metric) -> AiResult<Self> {
        let store = Arc::new(Store::open(path)?);
        let space = store.space_for(&EmbedderInfo::new("vectors", name, dim), metric, false, None)?;
        Ok(Self { store, space })
    }

    /// Builds the int8 copy; searches work without it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn warm(&self) -> AiResult<()> {
        self.store.warm(&self.space).map(drop)
    }
}

impl VectorStore for SqliteVectors {
    fn dim(&self) -> usize {
        self.space.dim
    }

    fn metric(&self) -> Metric {
        self.space.metric
    }

    fn put(&self, items: &[VectorItem]) -> AiResult<()> {
        items.iter().try_for_each(|item| check_vector(&item.vector, self.space.dim))?;
        self.store.put_vectors(&self.space, items)
    }

    fn delete(&self, chunk_pks: &[i64]) -> AiResult<()> {
        self.store.delete_vectors(&self.space, chunk_pks)
    }

    fn search(
        &self,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Vec<VectorHit>> {
        self.store.read(deadline, |c| self.store.nearest_of(c, &self.space, query, k, allowed, deadline))
    }

    fn distances(&self, query: &[f32], chunk_pks: &[i64]) -> AiResult<Vec<VectorHit>> {
        check_vector(query, self.space.dim)?;
        self.store.quick(|c| store::vector_distances(c, &self.space, self.space.metric, query, chunk_pks))
    }

    fn count(&self) -> AiResult<u64> {
        self.store.vector_count(&self.space)
    }
}
