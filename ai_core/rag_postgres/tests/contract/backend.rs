//! The store of these tests: one schema of a PostgreSQL server, and a tantivy index in a temporary folder.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ai_core_rag::{Fulltext, Rag, RagBuilder};
use ai_core_rag_postgres::{PgDatabase, PgOptions, plain_connector};

/// The address of a PostgreSQL with pgvector.
const URL: &str = "PENSTOCK_TEST_PGVECTOR_URL";

/// Whether the words lie in the store itself.
pub(crate) const WORDS_INSIDE: bool = false;

/// The server, or nothing after saying so.
pub(crate) fn server() -> Option<String> {
    match std::env::var(URL) {
        Ok(url) => Some(url),
        Err(_) if std::env::var("CI").is_ok_and(|v| v == "true") => panic!("{URL} names no server"),
        Err(_) => {
            eprintln!("skipped: {URL} names no PostgreSQL with pgvector");
            None
        }
    }
}

/// A place for one store: a schema of its own.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    schema: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut random = [0u8; 4];
        getrandom::fill(&mut random).unwrap();
        let nr = NEXT.fetch_add(1, Ordering::SeqCst);
        let schema = format!("rag_test_{:08x}_{nr}", u32::from_le_bytes(random));
        Self { folder: tempfile::tempdir().unwrap(), schema }
    }

    /// An engine over this store.
    pub(crate) fn builder(&self) -> RagBuilder {
        let options = PgOptions { schema: self.schema.clone(), ..PgOptions::default() };
        let database = PgDatabase::open(plain_connector(server().unwrap()), options).unwrap();
        Rag::builder(self.folder.path().join("rag"))
            .database(Arc::new(database))
            .fulltext(Fulltext::Outer, Some(ai_core_rag_tantivy::opener()))
    }

    fn raw(&self) -> postgres::Client {
        let mut client = plain_connector(server().unwrap())().unwrap();
        client.batch_execute(&format!("SET search_path TO {}, public", self.schema)).unwrap();
        client
    }

    /// Runs a statement behind the engine's back.
    pub(crate) fn execute(&self, text: &str) {
        self.raw().batch_execute(text).unwrap();
    }

    /// One number.
    pub(crate) fn count(&self, text: &str) -> i64 {
        self.raw().query_one(text, &[]).unwrap().get(0)
    }

    /// What is stored, to see whether it changed.
    pub(crate) fn image(&self) -> Vec<u8> {
        let mut client = self.raw();
        let mut out = String::new();
        for table in ["rag_meta", "rag_sources", "rag_documents", "rag_chunks"] {
            let text = format!(
                "SELECT coalesce(string_agg(CAST(t AS text), '|' ORDER BY CAST(t AS text)), '') FROM {table} t"
            );
            out.push_str(client.query_one(&text, &[]).unwrap().get(0));
        }
        out.into_bytes()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.raw().batch_execute(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema));
    }
}
