//! Files, connections and transactions of the catalog store: one writer, a pool of read-only readers; it knows no record.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use harvest::{HarvestCode, HarvestError, HarvestResult};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::fail::{self, StoreResult};
use crate::layout::{self, LayoutStatus, Step};

/// How a store is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreOptions {
    /// The file; parent directories are created.
    pub path: PathBuf,
    /// Read-only connections at most.
    pub readers_max: usize,
    /// Longest wait of SQLite for another process's lock, in milliseconds.
    pub busy_timeout_ms: u64,
    /// Longest wait for the writer or a reader, in milliseconds.
    pub acquire_timeout_ms: u64,
}

impl StoreOptions {
    /// The usual bounds for the store at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), readers_max: 8, busy_timeout_ms: 5_000, acquire_timeout_ms: 60_000 }
    }
}

struct Pool {
    idle: Vec<Connection>,
    open: usize,
}

/// One SQLite file with its connections.
pub(crate) struct Store {
    options: StoreOptions,
    writer: Mutex<Option<Connection>>,
    writer_free: Condvar,
    readers: Mutex<Pool>,
    reader_free: Condvar,
    status: LayoutStatus,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the file, creating or migrating it.
    pub(crate) fn open(options: StoreOptions, steps: &[Step]) -> HarvestResult<Self> {
        prepare_file(&options.path)?;
        let mut writer = Connection::open_with_flags(
            &options.path,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .db()?;
        writer.busy_timeout(Duration::from_millis(options.busy_timeout_ms)).db()?;
        writer.pragma_update(None, "journal_mode", "wal").db()?;
        writer.pragma_update(None, "synchronous", "normal").db()?;
        writer.pragma_update(None, "temp_store", "memory").db()?;
        writer.pragma_update(None, "cache_size", -65_536).db()?;
        let status = layout::bring_up(&mut writer, &options.path, steps)?;
        writer.pragma_update(None, "foreign_keys", true).db()?;
        writer.set_prepared_statement_cache_capacity(256);
        Ok(Self {
            options,
            writer: Mutex::new(Some(writer)),
            writer_free: Condvar::new(),
            readers: Mutex::new(Pool { idle: Vec::new(), open: 0 }),
            reader_free: Condvar::new(),
            status,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.options.path
    }

    pub(crate) const fn status(&self) -> LayoutStatus {
        self.status
    }

    fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.options.acquire_timeout_ms)
    }

    /// Runs `work` in one write transaction: committed on success, rolled back on failure.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> HarvestResult<T>,
    ) -> HarvestResult<T> {
        let mut lease = self.lease_writer()?;
        let Some(connection) = lease.connection.as_mut() else {
            return Err(fail::internal("the writer of the catalog store is gone"));
        };
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).db()?;
        let value = work(&tx)?;
        tx.commit().db()?;
        Ok(value)
    }

    /// Runs `work` on the write connection outside a transaction (maintenance only).
    pub(crate) fn on_writer<T>(
        &self,
        work: impl FnOnce(&Connection) -> HarvestResult<T>,
    ) -> HarvestResult<T> {
        let lease = self.lease_writer()?;
        match lease.connection.as_ref() {
            Some(connection) => work(connection),
            None => Err(fail::internal("the writer of the catalog store is gone")),
        }
    }

    /// Runs `work` on a read-only connection, inside one snapshot.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> HarvestResult<T>) -> HarvestResult<T> {
        let lease = self.lease_reader()?;
        let Some(connection) = lease.connection.as_ref() else {
            return Err(fail::internal("a reader of the catalog store is gone"));
        };
        let tx = connection.unchecked_transaction().db()?;
        let value = work(&tx)?;
        tx.finish().db()?;
        Ok(value)
    }

    fn lease_writer(&self) -> HarvestResult<Lease<'_>> {
        let until = Instant::now() + self.acquire_timeout();
        let mut slot = lock(&self.writer);
        while slot.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(busy("the catalog store is being written"));
            }
            slot = self.writer_free.wait_timeout(slot, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(Lease { store: self, connection: slot.take(), is_writer: true })
    }

    fn lease_reader(&self) -> HarvestResult<Lease<'_>> {
        let until = Instant::now() + self.acquire_timeout();
        let mut pool = lock(&self.readers);
        loop {
            if let Some(connection) = pool.idle.pop() {
                return Ok(Lease { store: self, connection: Some(connection), is_writer: false });
            }
            if pool.open < self.options.readers_max.max(1) {
                pool.open += 1;
                drop(pool);
                // The lease gives the place back if opening fails.
                let mut lease = Lease { store: self, connection: None, is_writer: false };
                lease.connection = Some(self.open_reader()?);
                return Ok(lease);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(busy("every reader of the catalog store is busy"));
            }
            pool = self.reader_free.wait_timeout(pool, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn open_reader(&self) -> HarvestResult<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(&self.options.path, flags).db()?;
        reader.busy_timeout(Duration::from_millis(self.options.busy_timeout_ms)).db()?;
        reader.pragma_update(None, "query_only", true).db()?;
        reader.pragma_update(None, "temp_store", "memory").db()?;
        reader.pragma_update(None, "cache_size", -16_384).db()?;
        reader.set_prepared_statement_cache_capacity(128);
        Ok(reader)
    }
}

fn busy(message: &str) -> HarvestError {
    HarvestError::new(HarvestCode::Unavailable, format!("{message}: repeat the call"))
}

/// Gives its connection back when dropped.
struct Lease<'a> {
    store: &'a Store,
    connection: Option<Connection>,
    is_writer: bool,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.is_writer {
            *lock(&self.store.writer) = self.connection.take();
            self.store.writer_free.notify_one();
            return;
        }
        let mut pool = lock(&self.store.readers);
        match self.connection.take() {
            Some(connection) => pool.idle.push(connection),
            None => pool.open = pool.open.saturating_sub(1),
        }
        drop(pool);
        self.store.reader_free.notify_one();
    }
}

fn prepare_file(path: &Path) -> HarvestResult<()> {
    let io = |e: std::io::Error| {
        fail::precondition(
            format!("the store {} cannot be opened ({e})", path.display()),
            "check the path and its permissions",
        )
    };
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(io)?;
    }
    let mut open = std::fs::OpenOptions::new();
    open.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    let file = open.open(path).map_err(io)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(io)?;
    drop(file);
    Ok(())
}

/// Seconds since 1970, UTC.
pub(crate) fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
