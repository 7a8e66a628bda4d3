//! Comparing what the store holds in several places; it repairs counts, not documents.

use ai_core::AiResult;
use rusqlite::Connection;

use super::ingest::mark;
use super::{Store, fts, meta, set_meta, spaces};
use crate::sql::sql;

fn number(connection: &Connection, text: &str) -> AiResult<i64> {
    connection.query_row(text, [], |r| r.get(0)).map_err(sql)
}

/// Count and checksum of the live chunks, counted afresh.
fn counted(connection: &Connection) -> AiResult<(i64, i64)> {
    let mut statement =
        connection.prepare("SELECT chunk_pk, version FROM rag_chunks WHERE deleted = 0").map_err(sql)?;
    let mut rows = statement.query([]).map_err(sql)?;
    let (mut count, mut sum) = (0i64, 0i64);
    while let Some(row) = rows.next().map_err(sql)? {
        count += 1;
        sum = sum.wrapping_add(mark(row.get(0).map_err(sql)?, row.get(1).map_err(sql)?));
    }
    Ok((count, sum))
}

impl Store {
    /// What does not fit together, one sentence each; empty when all agrees.
    pub(crate) fn verify(&self) -> AiResult<Vec<String>> {
        self.catch_up(None)?;
        let mut found = self.quick(|c| {
            let mut found = Vec::new();
            let (count, sum) = counted(c)?;
            let kept = |key: &str| -> AiResult<i64> { Ok(meta(c, key)?.and_then(|t| t.parse().ok()).unwrap_or(0)) };
            if (count, sum) != (kept("live_count")?, kept("checksum")?) {
                found.push("the kept count or checksum of chunks differs from the chunks".to_owned());
            }
            let outer = meta(c, "fulltext")?.as_deref() == Some("external");
            let entries = fts::count(c)? as i64;
            let wanted = if outer { 0 } else { count };
            if entries != wanted {
                found.push(format!("FTS5 holds {entries} entries, expected {wanted}"));
            }
            let orphans = number(
                c,
                "SELECT count(*) FROM rag_chunks k LEFT JOIN rag_documents d ON d.doc_pk = k.doc_pk AND d.deleted = 0
                 WHERE d.doc_pk IS NULL",
            )?;
            if orphans > 0 {
                found.push(format!("{orphans} chunks have no document"));
            }
            for space in spaces::all(c)? {
                let stored = number(c, &format!("SELECT count(*) FROM {}", space.table()))?;
                let expected: i64 = c
                    .query_row(
                        "SELECT count(*) FROM rag_chunk_embedding_state s JOIN rag_chunks k ON k.chunk_pk = s.chunk_pk
                         WHERE s.space_id = ?1 AND s.status = 'ok'",
                        [space.space_id],
                        |r| r.get(0),
                    )
                    .map_err(sql)?;
                let missing = number(
                    c,
                    &format!(
                        "SELECT count(*) FROM {} v LEFT JOIN rag_chunks k ON k.chunk_pk = v.chunk_pk WHERE k.chunk_pk IS NULL",
                        space.table()
                    ),
                )?;
                if stored != expected || missing > 0 {
                    found.push(format!(
                        "space {} holds {stored} vectors, expected {expected}; {missing} of them without a chunk",
                        space.space_id
                    ));
                }
            }
            Ok(found)
        })?;
        if let Some(index) = self.external()
            && !self.agrees(index.as_ref())?
        {
            found.push(format!(
                "the outer full-text index holds {} entries, not one for each chunk",
                index.status()?.entries
            ));
        }
        Ok(found)
    }

    /// Counts the chunks afresh and writes count and checksum down.
    pub(crate) fn repair_counts(&self) -> AiResult<()> {
        self.write(|c| {
            let (count, sum) = counted(c)?;
            set_meta(c, "live_count", &count.to_string())?;
            set_meta(c, "checksum", &sum.to_string())
        })
    }
}
