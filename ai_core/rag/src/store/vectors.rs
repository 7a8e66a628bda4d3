//! Vectors of the store: the database holds the truth, an int8 copy finds candidates fast; it knows no text.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use ai_core::{AiResult, Allowed, Deadline, Metric, VectorHit, VectorItem, check_vector};

use super::ingest::Followed;
use super::{Store, meta, set_meta};
use crate::database::{Session, SqlFamily, VectorSpace};
use crate::quant::Matrix;
use crate::records::Space;

/// Vectors from which the int8 copy pays for its memory.
const MATRIX_ROWS_MIN: u64 = 1_000;

/// Lowest recall@10 of the copy on the sample; below it the copy stays off.
const MATRIX_RECALL_MIN: f32 = 0.99;

/// Vectors that serve as sample queries when the copy is checked.
const SAMPLE_QUERIES: usize = 24;

/// Candidates of the copy that are scored exactly, at least.
const RESCORE_MIN: usize = 64;

/// Vectors between two looks at the deadline.
const VECTORS_PER_CHECK: u32 = 4096;

/// How long building a copy may take, in milliseconds.
const BUILD_TIMEOUT_MS: u64 = 1_800_000;

/// What makes searches of vectors fast.
// Exhaustive on purpose: these are the values of the setting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AnnMode {
    /// Nothing: every search scans all permitted vectors.
    Off,
    /// What suits the database: the int8 copy for SQLite, an HNSW index for PostgreSQL.
    #[default]
    Auto,
    /// A quantised copy in memory, whose candidates are scored exactly.
    Int8,
    /// The database's own HNSW index.
    Hnsw,
}

/// Little-endian bytes of a vector.
pub(crate) fn to_blob(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// A vector from little-endian bytes.
pub(crate) fn from_blob(blob: &[u8]) -> Vec<f32> {
    blob.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Scales a vector to unit length where the space asks for it; refuses what cannot be stored.
pub(crate) fn prepare(space: &Space, mut vector: Vec<f32>) -> AiResult<Vec<f32>> {
    check_vector(&vector, space.dim)?;
    if space.normalize {
        let norm = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
        check_vector(&vector, space.dim)?;
    }
    Ok(vector)
}

/// Counts one more change of vectors and returns the new epoch.
pub(crate) fn bump_epoch(c: &dyn Session) -> AiResult<u64> {
    let next = epoch(c)? + 1;
    set_meta(c, "vec_epoch", &next.to_string())?;
    Ok(next)
}

pub(crate) fn epoch(c: &dyn Session) -> AiResult<u64> {
    Ok(meta(c, "vec_epoch")?.and_then(|t| t.parse().ok()).unwrap_or(0))
}

/// The stored vectors of these chunks.
pub(crate) fn load(c: &dyn Session, space: &Space, pks: &[i64]) -> AiResult<HashMap<i64, Vec<f32>>> {
    let mut out = HashMap::with_capacity(pks.len());
    c.visit_vectors(&space.vectors(), Some(pks), &mut |pk, _, vector| {
        out.insert(pk, vector.to_vec());
        Ok(())
    })?;
    Ok(out)
}

/// Exact distances of these chunks under `metric`.
pub(crate) fn distances(
    c: &dyn Session,
    space: &Space,
    metric: Metric,
    query: &[f32],
    pks: &[i64],
) -> AiResult<Vec<VectorHit>> {
    if pks.is_empty() {
        return Ok(Vec::new());
    }
    c.distances(&space.vectors(), metric, query, pks)
}

pub(crate) fn sort_hits(hits: &mut Vec<VectorHit>, k: usize) {
    hits.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.chunk_pk.cmp(&b.chunk_pk)));
    hits.truncate(k);
}

/// The nearest by looking at every vector.
pub(crate) fn scan_exact(
    c: &dyn Session,
    space: &VectorSpace,
    query: &[f32],
    k: usize,
    allowed: &Allowed,
    deadline: Deadline,
) -> AiResult<Vec<VectorHit>> {
    let mut hits = Vec::new();
    let mut seen = 0u32;
    c.visit_vectors(space, None, &mut |chunk_pk, source, vector| {
        seen += 1;
        if seen.is_multiple_of(VECTORS_PER_CHECK) {
            deadline.check("the vector scan")?;
        }
        if allowed.permits(source, chunk_pk) {
            hits.push(VectorHit { chunk_pk, distance: space.metric.distance(query, vector) });
            if hits.len() > 4 * k + 1024 {
                sort_hits(&mut hits, k);
            }
        }
        Ok(())
    })?;
    sort_hits(&mut hits, k);
    Ok(hits)
}

impl Store {
    /// The `k` nearest permitted chunks in one snapshot, nearest first.
    pub(crate) fn nearest(
        &self,
        c: &dyn Session,
        space: &Space,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Vec<VectorHit>> {
        check_vector(query, space.dim)?;
        deadline.check("the vector scan")?;
        if k == 0 || allowed.chunk_pks.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        if let Some(hits) = self.by_copy(c, space, query, k, allowed)? {
            return Ok(hits);
        }
        c.nearest(&space.vectors(), query, k, allowed, deadline)
    }

    /// The nearest by the int8 copy, when there is one of this snapshot's state.
    fn by_copy(
        &self,
        c: &dyn Session,
        space: &Space,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
    ) -> AiResult<Option<Vec<VectorHit>>> {
        let held = self.matrices.read().unwrap_or_else(PoisonError::into_inner).get(&space.space_id).cloned();
        let Some(matrix) = held else { return Ok(None) };
        let now = epoch(c)?;
        let candidates = {
            let matrix = matrix.read().unwrap_or_else(PoisonError::into_inner);
            if matrix.epoch != now || matrix.recall < MATRIX_RECALL_MIN {
                return Ok(None);
            }
            matrix.candidates(query, (k + k / 2).max(RESCORE_MIN), allowed)
        };
        let mut hits = distances(c, space, space.metric, query, &candidates)?;
        sort_hits(&mut hits, k);
        Ok(Some(hits))
    }

    /// As [`Self::nearest`] for spaces whose vectors belong to no chunk of this store: sources are compared with what the
    /// vector table itself holds.
    pub(crate) fn nearest_of(
        &self,
        c: &dyn Session,
        space: &Space,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Vec<VectorHit>> {
        check_vector(query, space.dim)?;
        let copied =
            self.matrices.read().unwrap_or_else(PoisonError::into_inner).contains_key(&space.space_id);
        if allowed.source_ids.is_none() || copied {
            return self.nearest(c, space, query, k, allowed, deadline);
        }
        deadline.check("the vector scan")?;
        scan_exact(c, &space.vectors(), query, k, allowed, deadline)
    }

    /// Adds or replaces vectors in one transaction.
    pub(crate) fn put_vectors(&self, space: &Space, items: &[VectorItem]) -> AiResult<()> {
        if items.is_empty() {
            return Ok(());
        }
        let write = |c: &dyn Session| {
            for item in items {
                c.put_vectors(&space.vectors(), &[(item.chunk_pk, item.source_id, item.vector.as_slice())])?;
            }
            let added =
                items.iter().map(|i| (space.space_id, i.chunk_pk, i.source_id, i.vector.clone())).collect();
            Ok(Followed { epoch: Some(bump_epoch(c)?), added, removed: Vec::new() })
        };
        self.write_then(write, |followed| self.follow(followed)).map(drop)
    }

    /// Removes vectors in one transaction.
    pub(crate) fn delete_vectors(&self, space: &Space, pks: &[i64]) -> AiResult<()> {
        let write = |c: &dyn Session| {
            c.remove_vectors(&space.vectors(), pks)?;
            Ok(Followed { epoch: Some(bump_epoch(c)?), added: Vec::new(), removed: pks.to_vec() })
        };
        self.write_then(write, |followed| self.follow(followed)).map(drop)
    }

    /// Number of vectors of a space.
    pub(crate) fn vector_count(&self, space: &Space) -> AiResult<u64> {
        self.quick(|c| c.count_vectors(&space.vectors()))
    }

    /// Makes searches of a space fast, unless it is small or that is done; returns recall@10 on a sample, if it was measured.
    pub(crate) fn warm(&self, space: &Space) -> AiResult<Option<f32>> {
        let (copied, rows_min) = match (self.ann, self.database.family()) {
            (AnnMode::Int8, _) => (true, 1),
            (AnnMode::Auto, SqlFamily::Sqlite) => (true, MATRIX_ROWS_MIN),
            (AnnMode::Auto | AnnMode::Hnsw, SqlFamily::Postgres) => (false, 0),
            (AnnMode::Off, _) | (AnnMode::Hnsw, SqlFamily::Sqlite) => return Ok(None),
        };
        if copied {
            return self.warm_copy(space, rows_min);
        }
        let recall = self.database.warm(&space.vectors())?;
        if let Some(recall) = recall {
            self.recalls.write().unwrap_or_else(PoisonError::into_inner).insert(space.space_id, recall);
        }
        Ok(recall)
    }

    fn warm_copy(&self, space: &Space, rows_min: u64) -> AiResult<Option<f32>> {
        let held = self.matrices.read().unwrap_or_else(PoisonError::into_inner).get(&space.space_id).cloned();
        if let Some(matrix) = held
            && matrix.read().unwrap_or_else(PoisonError::into_inner).epoch == self.quick(epoch)?
        {
            return Ok(None);
        }
        if self.vector_count(space)? < rows_min {
            return Ok(None);
        }
        // Writers of this process wait meanwhile, so that the copy can follow the next change.
        let _order = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let matrix = self.read(Deadline::after_ms(BUILD_TIMEOUT_MS), |c| build(c, space))?;
        let recall = matrix.recall;
        self.matrices
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(space.space_id, Arc::new(RwLock::new(matrix)));
        Ok(Some(recall))
    }

    /// Brings the copies to a new epoch after a commit; called while no other write of this process runs.
    pub(super) fn follow(&self, followed: &Followed) {
        let Some(epoch) = followed.epoch else { return };
        let matrices = self.matrices.read().unwrap_or_else(PoisonError::into_inner);
        for (space_id, matrix) in matrices.iter() {
            let mut matrix = matrix.write().unwrap_or_else(PoisonError::into_inner);
            if matrix.epoch + 1 != epoch {
                continue; // another process wrote in between: this copy stays behind until it is rebuilt
            }
            followed.removed.iter().for_each(|pk| matrix.remove(*pk));
            for (_, pk, source_id, vector) in followed.added.iter().filter(|a| a.0 == *space_id) {
                matrix.put(*pk, *source_id, vector);
            }
            matrix.epoch = epoch;
        }
    }

    /// Recall and size in bytes of what accelerates a space, if anything does.
    pub(crate) fn matrix_state(&self, space_id: i64) -> Option<(f32, usize)> {
        let matrices = self.matrices.read().unwrap_or_else(PoisonError::into_inner);
        let copy = matrices.get(&space_id).map(|m| {
            let m = m.read().unwrap_or_else(PoisonError::into_inner);
            (m.recall, m.size_bytes())
        });
        copy.or_else(|| {
            let recalls = self.recalls.read().unwrap_or_else(PoisonError::into_inner);
            recalls.get(&space_id).map(|recall| (*recall, 0))
        })
    }

    pub(super) fn drop_matrix(&self, space_id: i64) {
        self.matrices.write().unwrap_or_else(PoisonError::into_inner).remove(&space_id);
        self.recalls.write().unwrap_or_else(PoisonError::into_inner).remove(&space_id);
    }
}

fn build(c: &dyn Session, space: &Space) -> AiResult<Matrix> {
    let table = space.vectors();
    let rows = usize::try_from(c.count_vectors(&table)?).unwrap_or(usize::MAX);
    let mut matrix = Matrix::new(space.dim, space.metric, epoch(c)?);
    let every = (rows / SAMPLE_QUERIES).max(1);
    let mut samples: Vec<(Vec<f32>, Vec<VectorHit>)> = Vec::new();
    let mut at = 0;
    c.visit_vectors(&table, None, &mut |pk, source_id, vector| {
        matrix.put(pk, source_id, vector);
        if at % every == 0 && samples.len() < SAMPLE_QUERIES {
            samples.push((vector.to_vec(), Vec::new()));
        }
        at += 1;
        Ok(())
    })?;
    c.visit_vectors(&table, None, &mut |chunk_pk, _, vector| {
        for (query, best) in &mut samples {
            let distance = space.metric.distance(query, vector);
            if best.len() < 10 || best.last().is_some_and(|b| distance < b.distance) {
                best.push(VectorHit { chunk_pk, distance });
                sort_hits(best, 10);
            }
        }
        Ok(())
    })?;
    let (mut found, mut wanted) = (0usize, 0usize);
    for (query, best) in &samples {
        let got = matrix.candidates(query, RESCORE_MIN, &Allowed::all());
        found += best.iter().filter(|b| got.contains(&b.chunk_pk)).count();
        wanted += best.len();
    }
    matrix.recall = if wanted == 0 { 1.0 } else { found as f32 / wanted as f32 };
    Ok(matrix)
}
