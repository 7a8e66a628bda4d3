//! The durable store: documents, chunks, vectors, jobs over any database of the seam; it knows no source and no model.

mod fts;
mod ingest;
mod jobs;
mod leases;
mod outbox;
mod overlay;
mod read;
mod replicas;
mod sources;
mod spaces;
mod vectors;
mod verify;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ai_core::{AiError, AiResult, Deadline, TextIndex};

use crate::database::{Database, Session, SqlFamily, bind};
use crate::quant::Matrix;

pub(crate) use fts::Fts5Index;
pub(crate) use ingest::{WriteBatch, last_doc_pk};
pub(crate) use jobs::{
    by_id as job_by_id, errors as job_errors, page as jobs_page, unfinished as jobs_unfinished,
};
pub(crate) use read::{
    chunk_by_id, chunks_around, chunks_by_pk, doc_by_id, file_bytes, matching_chunks, stats,
};
pub use sources::AclEntry;
pub(crate) use sources::{SourceRow, acl as acl_all, all as sources_all, put_sync_state, sync_state};
pub(crate) use spaces::{EmbeddedChunk, all as spaces_all, roles as roles_all};
pub use vectors::AnnMode;
pub(crate) use vectors::{
    distances as vector_distances, from_blob, load as load_vectors, prepare as prepare_vector, scan_exact,
    sort_hits, to_blob,
};

/// The durable store of one retrieval engine.
pub(crate) struct Store {
    /// Names the files that belong to this process beside the database.
    path: PathBuf,
    database: Arc<dyn Database>,
    /// Held from a write to the moment when the copies have followed it.
    writing: Mutex<()>,
    /// Accelerated copies of vector spaces, by space.
    matrices: RwLock<HashMap<i64, Arc<RwLock<Matrix>>>>,
    /// recall@10 that a database measured of its own index, by space.
    recalls: RwLock<HashMap<i64, f32>>,
    ann: AnnMode,
    /// The full-text index outside the database, when there is one; else the database holds the words.
    external: RwLock<Option<Arc<dyn TextIndex>>>,
    /// Held while the outbox is applied, so that changes stay in order.
    applying: Mutex<()>,
    /// True while the outer index is filled anew.
    rebuilding: AtomicBool,
    /// The entries that wait in the outbox, searchable, for databases without words of their own.
    overlay: Mutex<Option<overlay::Overlay>>,
    /// This process among those that follow the outbox.
    replica: replicas::Replica,
    /// The sources as they were read last.
    parsed: sources::ParsedSources,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens or creates the store in one SQLite file at `path`.
    pub(crate) fn open(path: &Path) -> AiResult<Self> {
        Self::over(path, Arc::new(crate::sqlite::SqliteDatabase::open(path)?), AnnMode::default())
    }

    /// Opens or creates the store in a database; `path` names the files that this process keeps beside it.
    pub(crate) fn over(path: &Path, database: Arc<dyn Database>, ann: AnnMode) -> AiResult<Self> {
        database.migrate()?;
        let store = Self {
            path: path.to_owned(),
            database,
            writing: Mutex::new(()),
            matrices: RwLock::new(HashMap::new()),
            recalls: RwLock::new(HashMap::new()),
            ann,
            external: RwLock::new(None),
            applying: Mutex::new(()),
            rebuilding: AtomicBool::new(false),
            overlay: Mutex::new(None),
            replica: replicas::Replica::default(),
            parsed: sources::ParsedSources::default(),
        };
        if store.meta("analyser")?.as_deref() != Some(crate::analyse::ANALYSER_VERSION) {
            store.rebuild_text(&|| false)?;
        }
        Ok(store)
    }

    /// Names the files that belong to this process beside the database.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether several processes share this store.
    pub(crate) fn shared(&self) -> bool {
        self.database.family() == SqlFamily::Postgres
    }

    /// Runs `work` on one consistent state of the store.
    pub(crate) fn read<T>(
        &self,
        deadline: Deadline,
        work: impl FnOnce(&dyn Session) -> AiResult<T>,
    ) -> AiResult<T> {
        let (mut work, mut out) = (Some(work), None);
        self.database.read(deadline, &mut |session| {
            if let Some(work) = work.take() {
                out = Some(work(session)?);
            }
            Ok(())
        })?;
        out.ok_or_else(|| AiError::internal("the database ran no work"))
    }

    /// Runs a short read without a caller's deadline.
    pub(crate) fn quick<T>(&self, work: impl FnOnce(&dyn Session) -> AiResult<T>) -> AiResult<T> {
        self.read(Deadline::after_ms(10_000), work)
    }

    /// Runs `work` in one write transaction; an error rolls everything back.
    pub(crate) fn write<T>(&self, work: impl FnMut(&dyn Session) -> AiResult<T>) -> AiResult<T> {
        self.write_then(work, |_| ())
    }

    /// As [`Self::write`], then `after` with the outcome before any other write of this process begins.
    fn write_then<T>(
        &self,
        mut work: impl FnMut(&dyn Session) -> AiResult<T>,
        after: impl FnOnce(&T),
    ) -> AiResult<T> {
        let _order = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = None;
        self.database.write(&mut |session| {
            out = Some(work(session)?);
            Ok(())
        })?;
        let out = out.ok_or_else(|| AiError::internal("the database ran no work"))?;
        after(&out);
        Ok(out)
    }

    /// All sources in one snapshot; settings that have not changed are not read anew.
    pub(crate) fn sources(&self, c: &dyn Session) -> AiResult<Vec<SourceRow>> {
        sources::all_with(c, &self.parsed)
    }

    /// One value of `rag_meta`.
    pub(crate) fn meta(&self, key: &str) -> AiResult<Option<String>> {
        self.quick(|c| meta(c, key))
    }

    /// The index outside the database, when there is one.
    pub(crate) fn external(&self) -> Option<Arc<dyn TextIndex>> {
        self.external.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(crate) fn meta(c: &dyn Session, key: &str) -> AiResult<Option<String>> {
    c.first("SELECT value FROM rag_meta WHERE key = ?1", bind![key], |r| r.get(0))
}

pub(crate) fn set_meta(c: &dyn Session, key: &str, value: &str) -> AiResult<()> {
    c.execute(
        "INSERT INTO rag_meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
        bind![key, value],
    )
    .map(drop)
}

#[cfg(test)]
mod tests;
