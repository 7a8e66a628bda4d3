//! Comparing what the store holds in several places; it repairs counts, not documents.

use ai_core::{AiResult, entry_mark};

use super::{Store, meta, set_meta, spaces};
use crate::database::{Session, bind};

/// Count and checksum of the live chunks, counted afresh.
fn counted(c: &dyn Session) -> AiResult<(i64, i64)> {
    let (mut count, mut sum) = (0i64, 0i64);
    c.visit("SELECT chunk_pk, version FROM rag_chunks WHERE deleted = 0", &[], &mut |row| {
        count += 1;
        sum = sum.wrapping_add(entry_mark(row.get(0)?, row.get(1)?));
        Ok(())
    })?;
    Ok((count, sum))
}

fn kept(c: &dyn Session, key: &str) -> AiResult<i64> {
    Ok(meta(c, key)?.and_then(|t| t.parse().ok()).unwrap_or(0))
}

/// What does not fit together inside the database.
fn differences(c: &dyn Session) -> AiResult<Vec<String>> {
    let mut found = Vec::new();
    let (count, sum) = counted(c)?;
    if (count, sum) != (kept(c, "live_count")?, kept(c, "checksum")?) {
        found.push("the kept count or checksum of chunks differs from the chunks".to_owned());
    }
    if let Some(words) = c.words() {
        let outer = meta(c, "fulltext")?.as_deref() == Some("external");
        let entries = words.count()? as i64;
        let wanted = if outer { 0 } else { count };
        if entries != wanted {
            found.push(format!("FTS5 holds {entries} entries, expected {wanted}"));
        }
    }
    let orphans: i64 = c.cell(
        "SELECT count(*) FROM rag_chunks k LEFT JOIN rag_documents d ON d.doc_pk = k.doc_pk AND d.deleted = 0
         WHERE d.doc_pk IS NULL",
        &[],
    )?;
    if orphans > 0 {
        found.push(format!("{orphans} chunks have no document"));
    }
    for space in spaces::all(c)? {
        let table = space.vectors().table();
        let stored: i64 = c.cell(&format!("SELECT count(*) FROM {table}"), &[])?;
        let expected: i64 = c.cell(
            "SELECT count(*) FROM rag_chunk_embedding_state s JOIN rag_chunks k ON k.chunk_pk = s.chunk_pk
             WHERE s.space_id = ?1 AND s.status = 'ok'",
            bind![space.space_id],
        )?;
        let missing: i64 = c.cell(
            &format!(
                "SELECT count(*) FROM {table} v LEFT JOIN rag_chunks k ON k.chunk_pk = v.chunk_pk WHERE k.chunk_pk IS NULL"
            ),
            &[],
        )?;
        let paired: i64 = c.cell(
            &format!(
                "SELECT count(*) FROM {table} v JOIN rag_chunk_embedding_state s
                 ON s.chunk_pk = v.chunk_pk AND s.space_id = ?1 AND s.status = 'ok'"
            ),
            bind![space.space_id],
        )?;
        if stored != expected || missing > 0 || paired != expected {
            found.push(format!(
                "space {} holds {stored} vectors, expected {expected}; {missing} of them without a chunk",
                space.space_id
            ));
        }
    }
    Ok(found)
}

impl Store {
    /// What does not fit together, one sentence each; empty when all agrees.
    pub(crate) fn verify(&self) -> AiResult<Vec<String>> {
        self.catch_up(None)?;
        let deadline = ai_core::Deadline::after_ms(VERIFY_TIMEOUT_MS);
        let mut found = self.read(deadline, differences)?;
        if let Some(index) = self.external()
            && !self.agrees(index.as_ref())?
        {
            found.push(format!(
                "the outer full-text index holds {} entries, not one for each chunk in its present version",
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

/// How long counting everything may take, in milliseconds.
const VERIFY_TIMEOUT_MS: u64 = 600_000;
