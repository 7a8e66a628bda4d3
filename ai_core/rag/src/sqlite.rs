//! A store's database in one SQLite file: one writer, a pool of readers; it knows connections, not what is stored.

mod session;
mod vectors;
mod words;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ai_core::{AiError, AiErrorCode, AiResult, Deadline};
use rusqlite::Connection;

use crate::database::{Database, SessionWork, SqlFamily, VectorSpace};
use crate::sql::{self, Readers, sql};

/// Reading connections that are open at most.
const READERS_MAX: usize = 8;

/// One SQLite file.
pub(crate) struct SqliteDatabase {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Readers,
}

impl std::fmt::Debug for SqliteDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteDatabase").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteDatabase {
    /// Opens or creates the file; parent folders are created for the owner alone.
    pub(crate) fn open(path: &Path) -> AiResult<Self> {
        prepare_files(path)?;
        Ok(Self {
            path: path.to_owned(),
            writer: Mutex::new(sql::open(path, false)?),
            readers: Readers::new(path.to_owned(), READERS_MAX),
        })
    }
}

impl Database for SqliteDatabase {
    fn family(&self) -> SqlFamily {
        SqlFamily::Sqlite
    }

    fn migrate(&self) -> AiResult<()> {
        crate::schema::migrate(&mut self.writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn read(&self, deadline: Deadline, work: SessionWork<'_>) -> AiResult<()> {
        self.readers.with(deadline, |connection| work(connection))
    }

    fn write(&self, work: SessionWork<'_>) -> AiResult<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(sql)?;
        work(&*tx)?;
        tx.commit().map_err(sql)
    }

    fn warm(&self, _: &VectorSpace) -> AiResult<Option<f32>> {
        Ok(None) // the store's own int8 copy is what makes this database fast
    }
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
