//! Vectors of the SQLite store: sqlite-vec holds the truth, an int8 copy finds candidates fast; it knows no text.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use ai_core::{
    AiError, AiErrorCode, AiResult, Allowed, Deadline, Metric, VectorHit, VectorItem, check_vector,
};
use rusqlite::{Connection, params};

use super::{Store, meta, set_meta};
use crate::quant::Matrix;
use crate::records::Space;
use crate::sql::sql;

/// The largest `k` that sqlite-vec answers.
const VEC_K_MAX: usize = 4096;

/// Vectors from which the int8 copy pays for its memory.
const MATRIX_ROWS_MIN: u64 = 1_000;

/// Lowest recall@10 of the copy on the sample; below it the copy stays off.
const MATRIX_RECALL_MIN: f32 = 0.99;

/// Vectors that serve as sample queries when the copy is checked.
const SAMPLE_QUERIES: usize = 24;

/// Candidates of the copy that are scored exactly, at least.
const RESCORE_MIN: usize = 64;

/// Bytes of one blob of vectors, roughly.
const BLOB_BYTES: usize = 64 * 1024;

/// Little-endian bytes of a vector.
pub(crate) fn to_blob(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// A vector from little-endian bytes.
pub(crate) fn from_blob(blob: &[u8]) -> Vec<f32> {
    blob.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Creates the vector table of a space.
pub(crate) fn create(connection: &Connection, space: &Space) -> AiResult<()> {
    if space.dim == 0 || space.dim > 8192 {
        return Err(AiError::new(
            AiErrorCode::FailedPrecondition,
            format!("dimension {} is outside 1-8192, the limit of the vector store", space.dim),
        )
        .with("limit", 8192));
    }
    // Unit vectors are ordered alike by L2 and cosine, and L2 is the faster of the two.
    let metric = if space.metric == Metric::Cosine && !space.normalize { "cosine" } else { "L2" };
    // Vectors lie in blobs of this many rows; reading one vector walks through its blob, so blobs are kept small.
    let rows = (BLOB_BYTES / (space.dim * 4) / 8 * 8).clamp(8, 1024);
    connection
        .execute_batch(&format!(
            "CREATE VIRTUAL TABLE IF NOT EXISTS {} USING vec0(chunk_pk INTEGER PRIMARY KEY, source_id INTEGER, \
             embedding float[{}] distance_metric={metric}, chunk_size={rows})",
            space.table(),
            space.dim
        ))
        .map_err(sql)
}

/// Stores one checked vector; an older one of the chunk is replaced.
pub(crate) fn put(
    connection: &Connection,
    space: &Space,
    pk: i64,
    source_id: i64,
    vector: &[f32],
) -> AiResult<()> {
    check_vector(vector, space.dim)?;
    remove(connection, space, pk)?;
    connection
        .prepare_cached(&format!(
            "INSERT INTO {} (chunk_pk, source_id, embedding) VALUES (?1, ?2, ?3)",
            space.table()
        ))
        .and_then(|mut s| s.execute(params![pk, source_id, to_blob(vector)]))
        .map(drop)
        .map_err(sql)
}

/// Removes the vector of a chunk, if there is one.
pub(crate) fn remove(connection: &Connection, space: &Space, pk: i64) -> AiResult<()> {
    connection
        .prepare_cached(&format!("DELETE FROM {} WHERE chunk_pk = ?1", space.table()))
        .and_then(|mut s| s.execute([pk]))
        .map(drop)
        .map_err(sql)
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
pub(crate) fn bump_epoch(connection: &Connection) -> AiResult<u64> {
    let next = epoch(connection)? + 1;
    set_meta(connection, "vec_epoch", &next.to_string())?;
    Ok(next)
}

pub(crate) fn epoch(connection: &Connection) -> AiResult<u64> {
    Ok(meta(connection, "vec_epoch")?.and_then(|t| t.parse().ok()).unwrap_or(0))
}

/// The stored vectors of these chunks.
pub(crate) fn load(connection: &Connection, space: &Space, pks: &[i64]) -> AiResult<HashMap<i64, Vec<f32>>> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT embedding FROM {} WHERE chunk_pk = ?1", space.table()))
        .map_err(sql)?;
    let mut out = HashMap::with_capacity(pks.len());
    for pk in pks {
        let blob: Option<Vec<u8>> = crate::sql::optional(statement.query_row([pk], |r| r.get(0)))?;
        if let Some(blob) = blob {
            out.insert(*pk, from_blob(&blob));
        }
    }
    Ok(out)
}

/// Exact distances of these chunks under `metric`.
pub(crate) fn distances(
    connection: &Connection,
    space: &Space,
    metric: Metric,
    query: &[f32],
    pks: &[i64],
) -> AiResult<Vec<VectorHit>> {
    let vectors = load(connection, space, pks)?;
    Ok(pks
        .iter()
        .filter_map(|pk| {
            vectors.get(pk).map(|v| VectorHit { chunk_pk: *pk, distance: metric.distance(query, v) })
        })
        .collect())
}

pub(crate) fn sort_hits(hits: &mut Vec<VectorHit>, k: usize) {
    hits.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.chunk_pk.cmp(&b.chunk_pk)));
    hits.truncate(k);
}

fn scan_exact(
    connection: &Connection,
    space: &Space,
    query: &[f32],
    k: usize,
    allowed: &Allowed,
    deadline: Deadline,
) -> AiResult<Vec<VectorHit>> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT chunk_pk, source_id, embedding FROM {}", space.table()))
        .map_err(sql)?;
    let mut rows = statement.query([]).map_err(sql)?;
    let mut hits = Vec::new();
    let mut seen = 0u32;
    while let Some(row) = rows.next().map_err(sql)? {
        seen += 1;
        if seen.is_multiple_of(4096) {
            deadline.check("the vector scan")?;
        }
        let (pk, source): (i64, i64) = (row.get(0).map_err(sql)?, row.get(1).map_err(sql)?);
        if allowed.permits(source, pk) {
            let blob = row.get_ref(2).and_then(|v| v.as_blob().map_err(Into::into)).map_err(sql)?;
            hits.push(VectorHit { chunk_pk: pk, distance: space.metric.distance(query, &from_blob(blob)) });
            if hits.len() > 4 * k + 1024 {
                sort_hits(&mut hits, k);
            }
        }
    }
    sort_hits(&mut hits, k);
    Ok(hits)
}

/// The scan of sqlite-vec, exact, for `k` up to its limit.
fn scan_vec0(
    connection: &Connection,
    space: &Space,
    query: &[f32],
    k: usize,
    allowed: &Allowed,
) -> AiResult<Vec<VectorHit>> {
    let mut statement = format!("SELECT chunk_pk FROM {} WHERE embedding MATCH ?1 AND k = ?2", space.table());
    let filter = match (&allowed.chunk_pks, &allowed.source_ids) {
        (Some(pks), _) => {
            statement.push_str(" AND chunk_pk IN (SELECT value FROM json_each(?3))");
            Some(super::read::json_ints(pks))
        }
        (None, Some(ids)) => {
            statement.push_str(
                " AND chunk_pk IN (SELECT chunk_pk FROM rag_chunks WHERE source_id IN (SELECT value FROM json_each(?3)))",
            );
            Some(super::read::json_ints(ids))
        }
        (None, None) => None,
    };
    let mut statement = connection.prepare_cached(&statement).map_err(sql)?;
    statement.raw_bind_parameter(1, to_blob(query)).map_err(sql)?;
    statement.raw_bind_parameter(2, i64::try_from(k).unwrap_or(1)).map_err(sql)?;
    if let Some(filter) = filter {
        statement.raw_bind_parameter(3, filter).map_err(sql)?;
    }
    let mut rows = statement.raw_query();
    let mut pks: Vec<i64> = Vec::with_capacity(k);
    while let Some(row) = rows.next().map_err(sql)? {
        pks.push(row.get(0).map_err(sql)?);
    }
    drop(rows);
    let mut hits = distances(connection, space, space.metric, query, &pks)?;
    sort_hits(&mut hits, k);
    Ok(hits)
}

impl Store {
    /// The `k` nearest permitted chunks in one snapshot, nearest first.
    pub(crate) fn nearest(
        &self,
        connection: &Connection,
        space: &Space,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Vec<VectorHit>> {
        check_vector(query, space.dim)?;
        deadline.check("the vector scan")?;
        if k == 0 {
            return Ok(Vec::new());
        }
        let matrix =
            self.matrices.read().unwrap_or_else(PoisonError::into_inner).get(&space.space_id).cloned();
        if let Some(matrix) = matrix {
            let now = epoch(connection)?;
            let matrix = matrix.read().unwrap_or_else(PoisonError::into_inner);
            // A copy of another state than this snapshot is not asked.
            if matrix.epoch == now && matrix.recall >= MATRIX_RECALL_MIN {
                let candidates = matrix.candidates(query, (k + k / 2).max(RESCORE_MIN), allowed);
                drop(matrix);
                let mut hits = distances(connection, space, space.metric, query, &candidates)?;
                sort_hits(&mut hits, k);
                return Ok(hits);
            }
        }
        if k > VEC_K_MAX || space.metric == Metric::Dot {
            return scan_exact(connection, space, query, k, allowed, deadline);
        }
        scan_vec0(connection, space, query, k, allowed)
    }

    /// As [`Self::nearest`] for spaces whose vectors belong to no chunk of this store: sources are compared with what the
    /// vector table itself holds.
    pub(crate) fn nearest_of(
        &self,
        connection: &Connection,
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
            return self.nearest(connection, space, query, k, allowed, deadline);
        }
        deadline.check("the vector scan")?;
        scan_exact(connection, space, query, k, allowed, deadline)
    }

    /// Adds or replaces vectors in one transaction.
    pub(crate) fn put_vectors(&self, space: &Space, items: &[VectorItem]) -> AiResult<()> {
        if items.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer();
        let tx = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(sql)?;
        for item in items {
            put(&tx, space, item.chunk_pk, item.source_id, &item.vector)?;
        }
        let epoch = bump_epoch(&tx)?;
        tx.commit().map_err(sql)?;
        let added: Vec<_> =
            items.iter().map(|i| (space.space_id, i.chunk_pk, i.source_id, i.vector.clone())).collect();
        self.follow(epoch, &[], &added);
        Ok(())
    }

    /// Removes vectors in one transaction.
    pub(crate) fn delete_vectors(&self, space: &Space, pks: &[i64]) -> AiResult<()> {
        let mut writer = self.writer();
        let tx = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(sql)?;
        for pk in pks {
            remove(&tx, space, *pk)?;
        }
        let epoch = bump_epoch(&tx)?;
        tx.commit().map_err(sql)?;
        self.follow(epoch, pks, &[]);
        Ok(())
    }

    /// Number of vectors of a space.
    pub(crate) fn vector_count(&self, space: &Space) -> AiResult<u64> {
        self.quick(|c| {
            c.query_row(&format!("SELECT count(*) FROM {}_rowids", space.table()), [], |r| r.get::<_, i64>(0))
                .map(|n| n.max(0) as u64)
                .map_err(sql)
        })
    }

    /// Builds the int8 copy of a space unless it is small or current; returns recall@10 on a sample, if it was built.
    pub(crate) fn warm(&self, space: &Space) -> AiResult<Option<f32>> {
        if let Some(matrix) =
            self.matrices.read().unwrap_or_else(PoisonError::into_inner).get(&space.space_id)
        {
            let current = self.quick(epoch)?;
            if matrix.read().unwrap_or_else(PoisonError::into_inner).epoch == current {
                return Ok(None);
            }
        }
        // The writer waits meanwhile, so that no change falls between the copy and its epoch.
        let writer = self.writer();
        let rows: i64 = writer
            .query_row(&format!("SELECT count(*) FROM {}_rowids", space.table()), [], |r| r.get(0))
            .map_err(sql)?;
        if (rows as u64) < MATRIX_ROWS_MIN {
            return Ok(None);
        }
        let matrix = build(&writer, space, rows as usize)?;
        let recall = matrix.recall;
        self.matrices
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(space.space_id, Arc::new(RwLock::new(matrix)));
        Ok(Some(recall))
    }

    /// Brings the copies to a new epoch after a commit; called while the writer is still held.
    pub(super) fn follow(&self, epoch: u64, removed: &[i64], added: &[(i64, i64, i64, Vec<f32>)]) {
        let matrices = self.matrices.read().unwrap_or_else(PoisonError::into_inner);
        for (space_id, matrix) in matrices.iter() {
            let mut matrix = matrix.write().unwrap_or_else(PoisonError::into_inner);
            if matrix.epoch + 1 != epoch {
                continue; // another process wrote in between: this copy stays behind until it is rebuilt
            }
            removed.iter().for_each(|pk| matrix.remove(*pk));
            for (_, pk, source_id, vector) in added.iter().filter(|a| a.0 == *space_id) {
                matrix.put(*pk, *source_id, vector);
            }
            matrix.epoch = epoch;
        }
    }

    /// Recall and size in bytes of the copy of a space, if there is one.
    pub(crate) fn matrix_state(&self, space_id: i64) -> Option<(f32, usize)> {
        let matrices = self.matrices.read().unwrap_or_else(PoisonError::into_inner);
        matrices.get(&space_id).map(|m| {
            let m = m.read().unwrap_or_else(PoisonError::into_inner);
            (m.recall, m.size_bytes())
        })
    }

    pub(super) fn drop_matrix(&self, space_id: i64) {
        self.matrices.write().unwrap_or_else(PoisonError::into_inner).remove(&space_id);
    }
}

fn build(connection: &Connection, space: &Space, rows: usize) -> AiResult<Matrix> {
    let mut matrix = Matrix::new(space.dim, space.metric, epoch(connection)?);
    let every = (rows / SAMPLE_QUERIES).max(1);
    let mut samples: Vec<(Vec<f32>, Vec<VectorHit>)> = Vec::new();
    let visit = |each: &mut dyn FnMut(usize, i64, i64, Vec<f32>)| -> AiResult<()> {
        let mut statement = connection
            .prepare(&format!("SELECT chunk_pk, source_id, embedding FROM {}", space.table()))
            .map_err(sql)?;
        let mut rows = statement.query([]).map_err(sql)?;
        let mut at = 0;
        while let Some(row) = rows.next().map_err(sql)? {
            let blob = row.get_ref(2).and_then(|v| v.as_blob().map_err(Into::into)).map_err(sql)?;
            each(at, row.get(0).map_err(sql)?, row.get(1).map_err(sql)?, from_blob(blob));
            at += 1;
        }
        Ok(())
    };
    visit(&mut |at, pk, source_id, vector| {
        matrix.put(pk, source_id, &vector);
        if at % every == 0 && samples.len() < SAMPLE_QUERIES {
            samples.push((vector, Vec::new()));
        }
    })?;
    visit(&mut |_, pk, _, vector| {
        for (query, best) in &mut samples {
            let distance = space.metric.distance(query, &vector);
            if best.len() < 10 || best.last().is_some_and(|b| distance < b.distance) {
                best.push(VectorHit { chunk_pk: pk, distance });
                sort_hits(best, 10);
            }
        }
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
