//! Vectors in the SQLite file (sqlite-vec): stored, removed, read, scanned exactly; it knows no copy and no text.

use ai_core::{AiError, AiErrorCode, AiResult, Allowed, Deadline, Metric, VectorHit};
use rusqlite::{Connection, params};

use super::session::list;
use crate::database::{EachVector, VectorSpace};
use crate::sql::sql;
use crate::store::{from_blob, scan_exact, sort_hits, to_blob};

/// The largest `k` that sqlite-vec answers.
const VEC_K_MAX: usize = 4096;

/// The largest dimension of a vector.
const DIM_MAX: usize = 8192;

/// Bytes of one blob of vectors, roughly.
const BLOB_BYTES: usize = 64 * 1024;

pub(super) fn create(connection: &Connection, space: &VectorSpace) -> AiResult<()> {
    if space.dim == 0 || space.dim > DIM_MAX {
        return Err(AiError::new(
            AiErrorCode::FailedPrecondition,
            format!("dimension {} is outside 1-{DIM_MAX}, the limit of the vector store", space.dim),
        )
        .with("limit", DIM_MAX as u64));
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
pub(super) fn put(
    connection: &Connection,
    space: &VectorSpace,
    pk: i64,
    source_id: i64,
    vector: &[f32],
) -> AiResult<()> {
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

pub(super) fn remove(connection: &Connection, space: &VectorSpace, pk: i64) -> AiResult<()> {
    connection
        .prepare_cached(&format!("DELETE FROM {} WHERE chunk_pk = ?1", space.table()))
        .and_then(|mut s| s.execute([pk]))
        .map(drop)
        .map_err(sql)
}

pub(super) fn visit(
    connection: &Connection,
    space: &VectorSpace,
    chunk_pks: Option<&[i64]>,
    each: EachVector<'_>,
) -> AiResult<()> {
    let wanted = if chunk_pks.is_some() { " WHERE chunk_pk = ?1" } else { "" };
    let mut statement = connection
        .prepare_cached(&format!("SELECT chunk_pk, source_id, embedding FROM {}{wanted}", space.table()))
        .map_err(sql)?;
    let mut run = |key: Option<i64>| -> AiResult<()> {
        let mut rows = statement.query(rusqlite::params_from_iter(key)).map_err(sql)?;
        while let Some(row) = rows.next().map_err(sql)? {
            let blob = row.get_ref(2).and_then(|v| v.as_blob().map_err(Into::into)).map_err(sql)?;
            each(row.get(0).map_err(sql)?, row.get(1).map_err(sql)?, &from_blob(blob))?;
        }
        Ok(())
    };
    match chunk_pks {
        None => run(None),
        Some(pks) => pks.iter().try_for_each(|pk| run(Some(*pk))),
    }
}

pub(super) fn nearest(
    connection: &Connection,
    space: &VectorSpace,
    query: &[f32],
    k: usize,
    allowed: &Allowed,
    deadline: Deadline,
) -> AiResult<Vec<VectorHit>> {
    if k > VEC_K_MAX || space.metric == Metric::Dot {
        return scan_exact(connection, space, query, k, allowed, deadline);
    }
    scan_vec0(connection, space, query, k, allowed)
}

/// The scan of sqlite-vec, exact, for `k` up to its limit.
fn scan_vec0(
    connection: &Connection,
    space: &VectorSpace,
    query: &[f32],
    k: usize,
    allowed: &Allowed,
) -> AiResult<Vec<VectorHit>> {
    let mut statement = format!("SELECT chunk_pk FROM {} WHERE embedding MATCH ?1 AND k = ?2", space.table());
    let filter = match (&allowed.chunk_pks, &allowed.source_ids) {
        (Some(pks), _) => {
            statement.push_str(" AND chunk_pk IN (SELECT value FROM json_each(?3))");
            Some(list(pks))
        }
        (None, Some(ids)) => {
            statement.push_str(
                " AND chunk_pk IN (SELECT chunk_pk FROM rag_chunks WHERE source_id IN (SELECT value FROM json_each(?3)))",
            );
            Some(list(ids))
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
    let mut hits = Vec::with_capacity(pks.len());
    visit(connection, space, Some(&pks), &mut |chunk_pk, _, vector| {
        hits.push(VectorHit { chunk_pk, distance: space.metric.distance(query, vector) });
        Ok(())
    })?;
    sort_hits(&mut hits, k);
    Ok(hits)
}
