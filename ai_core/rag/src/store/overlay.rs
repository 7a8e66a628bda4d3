//! The entries that an outer index has not applied yet, searchable in memory; for databases that hold no words themselves.

use ai_core::{AiResult, Allowed, TextClause, TextHit};
use rusqlite::Connection;

use super::outbox::{self, Waiting};
use crate::database::{Session, Words};
use crate::sql::sql;

/// Waiting entries of one span of the outbox.
pub(super) struct Overlay {
    /// The span: after this position …
    from: i64,
    /// … up to this one.
    to: i64,
    words: Connection,
}

impl Overlay {
    fn empty(from: i64) -> AiResult<Self> {
        let words = Connection::open_in_memory().map_err(sql)?;
        words.execute_batch(crate::schema::WORDS).map_err(sql)?;
        words
            .execute_batch(
                "CREATE TABLE rag_chunks (chunk_pk INTEGER PRIMARY KEY, source_id INTEGER NOT NULL)",
            )
            .map_err(sql)?;
        Ok(Self { from, to: from, words })
    }

    /// Follows the snapshot from where the overlay stands to `to`.
    fn extend(&mut self, c: &dyn Session, to: i64) -> AiResult<()> {
        while self.to < to {
            let (changes, seq) = outbox::batch(c, self.to, to)?;
            self.words.execute_batch("BEGIN").map_err(sql)?;
            for change in &changes {
                match change {
                    Waiting::Upsert(entry) => {
                        self.words.remove(entry.chunk_pk)?;
                        self.words.add(entry.chunk_pk, &entry.title_terms, &entry.body_terms)?;
                        self.words
                            .execute(
                                "INSERT OR REPLACE INTO rag_chunks (chunk_pk, source_id) VALUES (?1, ?2)",
                                [entry.chunk_pk, entry.source_id],
                            )
                            .map_err(sql)?;
                    }
                    Waiting::Delete(pk) => {
                        self.words.remove(*pk)?;
                        Connection::execute(&self.words, "DELETE FROM rag_chunks WHERE chunk_pk = ?1", [pk])
                            .map_err(sql)?;
                    }
                }
            }
            self.words.execute_batch("COMMIT").map_err(sql)?;
            self.to = if changes.is_empty() { to } else { seq };
        }
        Ok(())
    }

    /// The best of the entries that wait between two positions in a snapshot; `held` is kept for the next search.
    pub(super) fn search(
        held: &mut Option<Self>,
        c: &dyn Session,
        (from, to): (i64, i64),
        query: &TextClause,
        k: usize,
        allowed: &Allowed,
    ) -> AiResult<Vec<TextHit>> {
        // One that reaches back a little further does no harm; one that has seen a later state does.
        let usable = held
            .as_ref()
            .is_some_and(|o| o.from <= from && o.to <= to && from - o.from <= outbox::APPLY_ROWS_MAX as i64);
        let mut overlay = match held.take() {
            Some(overlay) if usable => overlay,
            _ => Self::empty(from)?,
        };
        overlay.extend(c, to)?;
        let hits = Words::search(&overlay.words, query, k, allowed);
        *held = Some(overlay);
        hits
    }
}
