//! The SQLite store: one writer, a pool of readers, vectors and full text in the same file; it knows no source and no model.

mod fts;
mod ingest;
mod jobs;
mod outbox;
mod read;
mod sources;
mod spaces;
mod vectors;
mod verify;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ai_core::{AiError, AiErrorCode, AiResult, Deadline, TextIndex};
use rusqlite::Connection;

use crate::quant::Matrix;
use crate::sql::{self, Readers, sql};

pub(crate) use fts::Fts5Index;
pub(crate) use ingest::{WriteBatch, last_doc_pk};
pub(crate) use jobs::{
    by_id as job_by_id, errors as job_errors, page as jobs_page, unfinished as jobs_unfinished,
};
pub(crate) use read::{
    chunk_by_id, chunks_around, chunks_by_pk, doc_by_id, file_bytes, json_ints, matching_chunks, stats,
};
pub use sources::AclEntry;
pub(crate) use sources::{SourceRow, acl as acl_all, all as sources_all, put_sync_state, sync_state};
pub(crate) use spaces::{EmbeddedChunk, all as spaces_all, roles as roles_all};
pub(crate) use vectors::{distances as vector_distances, load as load_vectors, prepare as prepare_vector};

/// Reading connections that are open at most.
const READERS_MAX: usize = 8;

/// The durable store of one retrieval engine.
pub(crate) struct Store {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Readers,
    /// Accelerated copies of vector spaces, by space.
    matrices: RwLock<HashMap<i64, Arc<RwLock<Matrix>>>>,
    /// The full-text index outside the file, when there is one; else FTS5 holds everything.
    external: RwLock<Option<Arc<dyn TextIndex>>>,
    /// Held while the outbox is applied, so that changes stay in order.
    applying: Mutex<()>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens or creates the store at `path`; parent folders are created for the owner alone.
    pub(crate) fn open(path: &Path) -> AiResult<Self> {
        prepare_files(path)?;
        let mut writer = sql::open(path, false)?;
        crate::schema::migrate(&mut writer)?;
        let store = Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers: Readers::new(path.to_owned(), READERS_MAX),
            matrices: RwLock::new(HashMap::new()),
            external: RwLock::new(None),
            applying: Mutex::new(()),
        };
        if store.meta("analyser")?.as_deref() != Some(crate::analyse::ANALYSER_VERSION) {
            store.rebuild_text(&|| false)?;
        }
        Ok(store)
    }

    /// Where the store lives.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on one consistent state of the store.
    pub(crate) fn read<T>(
        &self,
        deadline: Deadline,
        work: impl FnOnce(&Connection) -> AiResult<T>,
    ) -> AiResult<T> {
        self.readers.with(deadline, work)
    }

    /// Runs a short read without a caller's deadline.
    pub(crate) fn quick<T>(&self, work: impl FnOnce(&Connection) -> AiResult<T>) -> AiResult<T> {
        self.read(Deadline::after_ms(10_000), work)
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in one write transaction; an error rolls everything back.
    pub(crate) fn write<T>(&self, work: impl FnOnce(&Connection) -> AiResult<T>) -> AiResult<T> {
        let mut writer = self.writer();
        let tx = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(sql)?;
        let result = work(&tx)?;
        tx.commit().map_err(sql)?;
        Ok(result)
    }

    /// One value of `rag_meta`.
    pub(crate) fn meta(&self, key: &str) -> AiResult<Option<String>> {
        self.quick(|c| meta(c, key))
    }

    /// The index outside the file, when there is one.
    pub(crate) fn external(&self) -> Option<Arc<dyn TextIndex>> {
        self.external.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(crate) fn meta(connection: &Connection, key: &str) -> AiResult<Option<String>> {
    sql::optional(connection.query_row("SELECT value FROM rag_meta WHERE key = ?1", [key], |r| r.get(0)))
}

pub(crate) fn set_meta(connection: &Connection, key: &str, value: &str) -> AiResult<()> {
    connection
        .prepare_cached(
            "INSERT INTO rag_meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
        )
        .and_then(|mut s| s.execute([key, value]))
        .map(drop)
        .map_err(sql)
}

fn prepare_files(path: &Path) -> AiResult<()> {
    let refuse = |what: &Path, e: std::io::Error| {
        AiError::new(
            AiErrorCode::FailedPrecondition,
            format!("store at {} cannot be opened: {e}", what.display()),
        )
        .with("path", what.display().to_string())
    };
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty() && !p.exists()) {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(|e| refuse(folder, e))?;
    }
    if !path.exists() {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map_err(|e| refuse(path, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
