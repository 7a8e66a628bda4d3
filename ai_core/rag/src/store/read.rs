//! Reading chunks, documents and counts; it knows rows, not who may see them.

use std::collections::HashMap;

use ai_core::{AiError, AiErrorCode, AiResult};

use crate::database::{Row, Session, SqlValue, bind};
use crate::records::{ChunkRow, DocRow};

/// Counts of one source.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct StatRow {
    pub(crate) docs: u64,
    pub(crate) chunks: u64,
    pub(crate) deleted_docs: u64,
    pub(crate) bytes: u64,
    /// Embedding states: ok, pending, error, of the active space.
    pub(crate) embeddings: (u64, u64, u64),
}

const CHUNK_COLUMNS: &str = "c.chunk_pk, c.chunk_id, c.doc_pk, c.doc_id, c.source_id, d.source_name, c.chunk_index,
    coalesce(nullif(c.title, ''), d.title, ''), c.body, c.start_char, c.end_char, d.metadata_json, c.metadata_json";

fn chunk(row: &Row<'_>) -> AiResult<ChunkRow> {
    Ok(ChunkRow {
        chunk_pk: row.get(0)?,
        chunk_id: row.get(1)?,
        doc_pk: row.get(2)?,
        doc_id: row.get(3)?,
        source_id: row.get(4)?,
        source_name: row.get(5)?,
        chunk_index: row.get(6)?,
        title: row.get(7)?,
        body: row.get(8)?,
        start_char: row.get(9)?,
        end_char: row.get(10)?,
        doc_metadata: row.json(11),
        chunk_metadata: row.json(12),
    })
}

/// Chunks by key, live ones only; without `bodies` their bodies stay on disk.
pub(crate) fn chunks_by_pk(c: &dyn Session, pks: &[i64], bodies: bool) -> AiResult<HashMap<i64, ChunkRow>> {
    let columns = if bodies { CHUNK_COLUMNS.to_owned() } else { CHUNK_COLUMNS.replace(", c.body,", ", '',") };
    let mut out = HashMap::with_capacity(pks.len());
    c.visit(
        &format!(
            "SELECT {columns} FROM rag_chunks c JOIN rag_documents d ON d.doc_pk = c.doc_pk
             WHERE c.chunk_pk {{list:1}} AND c.deleted = 0 AND d.deleted = 0"
        ),
        bind![pks],
        &mut |row| {
            let row = chunk(row)?;
            out.insert(row.chunk_pk, row);
            Ok(())
        },
    )?;
    Ok(out)
}

/// A chunk by its name.
pub(crate) fn chunk_by_id(c: &dyn Session, chunk_id: &str) -> AiResult<Option<ChunkRow>> {
    c.first(
        &format!(
            "SELECT {CHUNK_COLUMNS} FROM rag_chunks c JOIN rag_documents d ON d.doc_pk = c.doc_pk
             WHERE c.chunk_id = ?1 AND c.deleted = 0 AND d.deleted = 0"
        ),
        bind![chunk_id],
        chunk,
    )
}

/// Chunks of a document in a range of indexes, in order.
pub(crate) fn chunks_around(c: &dyn Session, doc_pk: i64, from: i64, to: i64) -> AiResult<Vec<ChunkRow>> {
    c.all(
        &format!(
            "SELECT {CHUNK_COLUMNS} FROM rag_chunks c JOIN rag_documents d ON d.doc_pk = c.doc_pk
             WHERE c.doc_pk = ?1 AND c.chunk_index BETWEEN ?2 AND ?3 AND c.deleted = 0 ORDER BY c.chunk_index"
        ),
        bind![doc_pk, from, to],
        chunk,
    )
}

/// A live document by its name.
pub(crate) fn doc_by_id(c: &dyn Session, doc_id: &str) -> AiResult<Option<DocRow>> {
    c.first(
        "SELECT doc_pk, doc_id, source_id, source_name, pk_json, coalesce(title, ''), coalesce(body, ''),
           metadata_json, updated_at
         FROM rag_documents WHERE doc_id = ?1 AND deleted = 0",
        bind![doc_id],
        |r| {
            Ok(DocRow {
                doc_pk: r.get(0)?,
                doc_id: r.get(1)?,
                source_id: r.get(2)?,
                source_name: r.get(3)?,
                pk_json: r.json(4),
                title: r.get(5)?,
                body: r.get(6)?,
                metadata: r.json(7),
                updated_at: r.get(8)?,
            })
        },
    )
}

/// Counts of every source.
pub(crate) fn stats(connection: &dyn Session) -> AiResult<HashMap<i64, StatRow>> {
    let mut out: HashMap<i64, StatRow> = HashMap::new();
    let unsigned = |n: i64| n.max(0) as u64;
    let mut each = |text: &str, store: &dyn Fn(&mut StatRow, i64, i64, i64)| {
        connection.visit(text, &[], &mut |r| {
            store(out.entry(r.get(0)?).or_default(), r.get(1)?, r.get(2)?, r.get(3)?);
            Ok(())
        })
    };
    each(
        "SELECT source_id, CAST(sum(1 - deleted) AS BIGINT), CAST(sum(deleted) AS BIGINT),
           CAST(coalesce(sum(length(body)), 0) AS BIGINT) FROM rag_documents GROUP BY source_id",
        &|row, docs, deleted, bytes| {
            (row.docs, row.deleted_docs, row.bytes) = (unsigned(docs), unsigned(deleted), unsigned(bytes));
        },
    )?;
    each(
        "SELECT source_id, count(*), CAST(coalesce(sum(length(body)), 0) AS BIGINT), CAST(0 AS BIGINT)
         FROM rag_chunks WHERE deleted = 0 GROUP BY source_id",
        &|row, chunks, bytes, _| {
            row.chunks = unsigned(chunks);
            row.bytes += unsigned(bytes);
        },
    )?;
    each(
        "SELECT s.source_id, CAST(sum(CASE WHEN s.status = 'ok' THEN 1 ELSE 0 END) AS BIGINT),
           CAST(sum(CASE WHEN s.status = 'pending' THEN 1 ELSE 0 END) AS BIGINT),
           CAST(sum(CASE WHEN s.status = 'error' THEN 1 ELSE 0 END) AS BIGINT)
         FROM rag_chunk_embedding_state s
         JOIN rag_source_spaces r ON r.source_id = s.source_id AND r.space_id = s.space_id AND r.role = 'active'
         GROUP BY s.source_id",
        &|row, ok, pending, error| row.embeddings = (unsigned(ok), unsigned(pending), unsigned(error)),
    )?;
    Ok(out)
}

/// Bytes that the store takes.
pub(crate) fn file_bytes(c: &dyn Session) -> AiResult<u64> {
    c.size_bytes()
}

/// Keys of the chunks that a condition over the chunk (`c`) admits, ascending. Deleted documents have no chunks.
pub(crate) fn matching_chunks(c: &dyn Session, condition: &str, values: &[SqlValue]) -> AiResult<Vec<i64>> {
    let text = format!("SELECT c.chunk_pk FROM rag_chunks c WHERE {condition} ORDER BY c.chunk_pk");
    c.all(&text, values, |r| r.get(0)).map_err(|e| match e.code {
        AiErrorCode::Internal => AiError::internal(format!("filter: {}", e.message)),
        _ => e,
    })
}
