//! Reading chunks, documents and counts; it knows rows, not who may see them.

use std::collections::HashMap;

use ai_core::{AiError, AiResult};
use rusqlite::{Connection, params};
use serde_json::Value;

use crate::records::{ChunkRow, DocRow};
use crate::sql::sql;

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

/// A JSON array of integers, for `json_each`.
pub(crate) fn json_ints(values: &[i64]) -> String {
    let mut out = String::with_capacity(values.len() * 8 + 2);
    out.push('[');
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(&value.to_string());
    }
    out.push(']');
    out
}

pub(crate) fn json_column(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<Value> {
    let text: Option<String> = row.get(index)?;
    Ok(text.and_then(|t| serde_json::from_str(&t).ok()).unwrap_or(Value::Null))
}

const CHUNK_COLUMNS: &str = "c.chunk_pk, c.chunk_id, c.doc_pk, c.doc_id, c.source_id, d.source_name, c.chunk_index,
    coalesce(nullif(c.title, ''), d.title, ''), c.body, c.start_char, c.end_char, d.metadata_json, c.metadata_json";

fn chunk(row: &rusqlite::Row<'_>) -> rusqlite::Result<ChunkRow> {
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
        doc_metadata: json_column(row, 11)?,
        chunk_metadata: json_column(row, 12)?,
    })
}

/// Chunks by key, live ones only.
pub(crate) fn chunks_by_pk(connection: &Connection, pks: &[i64]) -> AiResult<HashMap<i64, ChunkRow>> {
    let mut statement = connection
        .prepare_cached(&format!(
            "SELECT {CHUNK_COLUMNS} FROM rag_chunks c JOIN rag_documents d ON d.doc_pk = c.doc_pk
             WHERE c.chunk_pk = ?1 AND c.deleted = 0 AND d.deleted = 0"
        ))
        .map_err(sql)?;
    let mut out = HashMap::with_capacity(pks.len());
    for pk in pks {
        if let Some(row) = crate::sql::optional(statement.query_row([pk], chunk))? {
            out.insert(*pk, row);
        }
    }
    Ok(out)
}

/// A chunk by its name.
pub(crate) fn chunk_by_id(connection: &Connection, chunk_id: &str) -> AiResult<Option<ChunkRow>> {
    let mut statement = connection
        .prepare_cached(&format!(
            "SELECT {CHUNK_COLUMNS} FROM rag_chunks c JOIN rag_documents d ON d.doc_pk = c.doc_pk
             WHERE c.chunk_id = ?1 AND c.deleted = 0 AND d.deleted = 0"
        ))
        .map_err(sql)?;
    crate::sql::optional(statement.query_row([chunk_id], chunk))
}

/// Chunks of a document in a range of indexes, in order.
pub(crate) fn chunks_around(
    connection: &Connection,
    doc_pk: i64,
    from: i64,
    to: i64,
) -> AiResult<Vec<ChunkRow>> {
    let mut statement = connection
        .prepare_cached(&format!(
            "SELECT {CHUNK_COLUMNS} FROM rag_chunks c JOIN rag_documents d ON d.doc_pk = c.doc_pk
             WHERE c.doc_pk = ?1 AND c.chunk_index BETWEEN ?2 AND ?3 AND c.deleted = 0 ORDER BY c.chunk_index"
        ))
        .map_err(sql)?;
    let rows = statement.query_map(params![doc_pk, from, to], chunk).map_err(sql)?;
    rows.collect::<rusqlite::Result<_>>().map_err(sql)
}

/// A live document by its name.
pub(crate) fn doc_by_id(connection: &Connection, doc_id: &str) -> AiResult<Option<DocRow>> {
    let mut statement = connection
        .prepare_cached(
            "SELECT doc_pk, doc_id, source_id, source_name, pk_json, coalesce(title, ''), coalesce(body, ''),
               metadata_json, updated_at
             FROM rag_documents WHERE doc_id = ?1 AND deleted = 0",
        )
        .map_err(sql)?;
    crate::sql::optional(statement.query_row([doc_id], |r| {
        Ok(DocRow {
            doc_pk: r.get(0)?,
            doc_id: r.get(1)?,
            source_id: r.get(2)?,
            source_name: r.get(3)?,
            pk_json: json_column(r, 4)?,
            title: r.get(5)?,
            body: r.get(6)?,
            metadata: json_column(r, 7)?,
            updated_at: r.get(8)?,
        })
    }))
}

/// Counts of every source.
pub(crate) fn stats(connection: &Connection) -> AiResult<HashMap<i64, StatRow>> {
    let mut out: HashMap<i64, StatRow> = HashMap::new();
    let unsigned = |n: i64| n.max(0) as u64;
    let mut each = |text: &str, store: &dyn Fn(&mut StatRow, i64, i64, i64)| -> AiResult<()> {
        let mut statement = connection.prepare_cached(text).map_err(sql)?;
        let rows = statement
            .query_map([], |r| Ok((r.get::<_, i64>(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))
            .map_err(sql)?;
        for row in rows {
            let (source, a, b, c) = row.map_err(sql)?;
            store(out.entry(source).or_default(), a, b, c);
        }
        Ok(())
    };
    each(
        "SELECT source_id, sum(deleted = 0), sum(deleted = 1), coalesce(sum(length(body)), 0) FROM rag_documents
         GROUP BY source_id",
        &|row, docs, deleted, bytes| {
            (row.docs, row.deleted_docs, row.bytes) = (unsigned(docs), unsigned(deleted), unsigned(bytes));
        },
    )?;
    each(
        "SELECT source_id, count(*), coalesce(sum(length(body)), 0), 0 FROM rag_chunks WHERE deleted = 0 GROUP BY source_id",
        &|row, chunks, bytes, _| {
            row.chunks = unsigned(chunks);
            row.bytes += unsigned(bytes);
        },
    )?;
    each(
        "SELECT s.source_id, sum(s.status = 'ok'), sum(s.status = 'pending'), sum(s.status = 'error')
         FROM rag_chunk_embedding_state s
         JOIN rag_source_spaces r ON r.source_id = s.source_id AND r.space_id = s.space_id AND r.role = 'active'
         GROUP BY s.source_id",
        &|row, ok, pending, error| row.embeddings = (unsigned(ok), unsigned(pending), unsigned(error)),
    )?;
    Ok(out)
}

/// Bytes of the store's file.
pub(crate) fn file_bytes(connection: &Connection) -> AiResult<u64> {
    connection
        .query_row("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()", [], |r| {
            r.get::<_, i64>(0)
        })
        .map(|n| n.max(0) as u64)
        .map_err(sql)
}

/// Keys of the chunks that a condition over the chunk (`c`) admits, ascending. Deleted documents have no chunks.
pub(crate) fn matching_chunks(
    connection: &Connection,
    condition: &str,
    values: &[rusqlite::types::Value],
) -> AiResult<Vec<i64>> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT c.chunk_pk FROM rag_chunks c WHERE {condition} ORDER BY c.chunk_pk"))
        .map_err(sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), |r| r.get(0)).map_err(sql)?;
    rows.collect::<rusqlite::Result<_>>().map_err(|e: rusqlite::Error| match sql(e) {
        e if e.code == ai_core::AiErrorCode::Internal => AiError::internal(format!("filter: {}", e.message)),
        e => e,
    })
}
