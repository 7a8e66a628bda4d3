//! Files, connections and transactions of the catalog store: one writer, a pool of read-only readers; it knows no record.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};
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

/// Where the file is, and what opening it did.
#[derive(Clone)]
struct Place {
    options: StoreOptions,
    status: LayoutStatus,
}

/// One SQLite file with its connections; another file may take its place.
pub(crate) struct Store {
    place: RwLock<Place>,
    /// Counts the files. It changes while both locks below are held, so it is stable under either.
    generation: AtomicU64,
    writer: Mutex<Option<Connection>>,
    writer_free: Condvar,
    readers: Mutex<Pool>,
    reader_free: Condvar,
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
            place: RwLock::new(Place { options, status }),
            generation: AtomicU64::new(0),
            writer: Mutex::new(Some(writer)),
            writer_free: Condvar::new(),
            readers: Mutex::new(Pool { idle: Vec::new(), open: 0 }),
            reader_free: Condvar::new(),
        })
    }

    fn place(&self) -> Place {
        self.place.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.place().options.path
    }

    pub(crate) fn status(&self) -> LayoutStatus {
        self.place().status
    }

    fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.place().options.acquire_timeout_ms)
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Goes on with the file of `fresh`. Transactions that run end on the old file, which is closed behind the last of them.
    pub(crate) fn take_over(&self, fresh: Self) {
        let place = fresh.place.into_inner().unwrap_or_else(PoisonError::into_inner);
        let writer = fresh.writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut readers = lock(&self.readers);
        let mut slot = lock(&self.writer);
        *self.place.write().unwrap_or_else(PoisonError::into_inner) = place;
        self.generation.fetch_add(1, Ordering::Release);
        *slot = writer;
        *readers = Pool { idle: Vec::new(), open: 0 };
        drop((slot, readers));
        self.writer_free.notify_all();
        self.reader_free.notify_all();
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
        Ok(Lease { store: self, generation: self.generation(), connection: slot.take(), is_writer: true })
    }

    fn lease_reader(&self) -> HarvestResult<Lease<'_>> {
        let until = Instant::now() + self.acquire_timeout();
        let readers_max = self.place().options.readers_max.max(1);
        let mut pool = lock(&self.readers);
        loop {
            let lease = |connection| Lease {
                store: self,
                generation: self.generation(),
                connection,
                is_writer: false,
            };
            if let Some(connection) = pool.idle.pop() {
                return Ok(lease(Some(connection)));
            }
            if pool.open < readers_max {
                pool.open += 1;
                // The lease gives the place back if opening fails.
                let mut lease = lease(None);
                drop(pool);
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
        let options = self.place().options;
        let reader = Connection::open_with_flags(&options.path, flags).db()?;
        reader.busy_timeout(Duration::from_millis(options.busy_timeout_ms)).db()?;
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
    /// The file that the connection belongs to.
    generation: u64,
    connection: Option<Connection>,
    is_writer: bool,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.is_writer {
            let mut slot = lock(&self.store.writer);
            if self.generation == self.store.generation() {
                *slot = self.connection.take();
            }
            drop(slot);
            self.store.writer_free.notify_one();
            return;
        }
        let mut pool = lock(&self.store.readers);
        if self.generation != self.store.generation() {
            return;
        }
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
