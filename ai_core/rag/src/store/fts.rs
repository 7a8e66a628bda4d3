//! The words inside the database behind the seam that outer indexes implement too; it knows terms, not texts.

use std::sync::Arc;

use ai_core::{
    AiError, AiResult, Allowed, Deadline, TextChange, TextClause, TextHit, TextIndex, TextIndexStatus,
};

use super::{Store, meta, set_meta};
use crate::database::{Session, Words};

/// The full-text table of a store.
#[derive(Debug, Clone)]
pub(crate) struct Fts5Index {
    store: Arc<Store>,
}

impl Fts5Index {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

/// The words of a session; a database without any has them in an outer index only.
pub(super) fn words(c: &dyn Session) -> AiResult<&dyn Words> {
    c.words().ok_or_else(|| {
        AiError::new(
            ai_core::AiErrorCode::FailedPrecondition,
            "this database holds no words itself; use the outer full-text index (rag_fulltext = tantivy)",
        )
    })
}

impl TextIndex for Fts5Index {
    fn apply(&self, changes: &[TextChange], seq: u64) -> AiResult<()> {
        self.store.write(|c| {
            let words = words(c)?;
            for change in changes {
                match change {
                    TextChange::Upsert(entry) => {
                        words.remove(entry.chunk_pk)?;
                        words.add(entry.chunk_pk, &entry.title_terms, &entry.body_terms)?;
                    }
                    TextChange::Delete(pk) => words.remove(*pk)?,
                }
            }
            set_meta(c, "fts5_seq", &seq.to_string())
        })
    }

    fn clear(&self) -> AiResult<()> {
        self.store.write(|c| {
            words(c)?.clear()?;
            set_meta(c, "fts5_seq", "0")
        })
    }

    fn search(
        &self,
        query: &TextClause,
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Vec<TextHit>> {
        self.store.read(deadline, |c| words(c)?.search(query, k, allowed))
    }

    fn status(&self) -> AiResult<TextIndexStatus> {
        self.store.quick(|c| {
            let seq = meta(c, "fts5_seq")?.and_then(|s| s.parse().ok()).unwrap_or(0);
            Ok(TextIndexStatus::new("fts5", words(c)?.count()?, seq))
        })
    }
}
