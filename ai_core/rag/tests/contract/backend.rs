//! The store of these tests: one SQLite file in a temporary folder.

use std::path::PathBuf;

use ai_core_rag::{Rag, RagBuilder};

/// Whether the words lie in the store itself.
pub(crate) const WORDS_INSIDE: bool = true;

/// A place for one store.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("rag.db")
    }

    /// An engine over this store.
    pub(crate) fn builder(&self) -> RagBuilder {
        Rag::builder(self.path())
    }

    fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }

    /// Runs a statement behind the engine's back.
    pub(crate) fn execute(&self, text: &str) {
        self.raw().execute_batch(text).unwrap();
    }

    /// One number.
    pub(crate) fn count(&self, text: &str) -> i64 {
        self.raw().query_row(text, [], |r| r.get(0)).unwrap()
    }

    /// Everything that is stored, to see whether it changed.
    pub(crate) fn image(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }
}
