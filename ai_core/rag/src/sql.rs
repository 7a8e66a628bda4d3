//! SQLite connections: opening, the vector extension, errors and the pool of readers; it knows no table.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use ai_core::{AiError, AiErrorCode, AiResult, Deadline};
use rusqlite::{Connection, OpenFlags};

/// How long a statement waits for another writer, in milliseconds.
const BUSY_TIMEOUT_MS: u64 = 5_000;

/// Statements kept prepared on each connection.
const STATEMENTS_MAX: usize = 64;

/// Steps of SQLite's machine between two looks at the deadline.
const OPCODES_PER_CHECK: i32 = 10_000;

/// Turns a SQLite failure into the error of this side; a busy store may be tried again.
pub(crate) fn sql(error: rusqlite::Error) -> AiError {
    use rusqlite::ErrorCode as C;
    match error.sqlite_error_code() {
        Some(C::DatabaseBusy | C::DatabaseLocked) => {
            AiError::unavailable(format!("the store is busy: {error}"))
        }
        Some(C::DiskFull) => AiError::unavailable("the disk of the store is full; free some space"),
        Some(C::OperationInterrupted) => {
            AiError::new(AiErrorCode::DeadlineExceeded, "time was over before the store answered")
        }
        Some(C::NotADatabase | C::DatabaseCorrupt) => AiError::new(
            AiErrorCode::FailedPrecondition,
            format!("the store's file is no usable database: {error}; restore it or start a new one"),
        ),
        _ => AiError::internal(format!("store: {error}")),
    }
}

/// `None` when a single-row query found no row.
pub(crate) fn optional<T>(result: rusqlite::Result<T>) -> AiResult<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
        Err(error) => Err(sql(error)),
    }
}

/// Opens one connection with the store's pragmas and the vector extension.
pub(crate) fn open(path: &Path, reader: bool) -> AiResult<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS)).map_err(sql)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    init_vectors(&connection)?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -16000; PRAGMA mmap_size = 268435456;",
        )
        .map_err(sql)?;
    if reader {
        connection.execute_batch("PRAGMA query_only = ON").map_err(sql)?;
    }
    Ok(connection)
}

/// Registers sqlite-vec on this one connection.
#[expect(unsafe_code, reason = "sqlite-vec offers its registration as a C function only")]
fn init_vectors(connection: &Connection) -> AiResult<()> {
    use std::os::raw::{c_char, c_int};
    type Init = unsafe extern "C" fn(
        *mut rusqlite::ffi::sqlite3,
        *mut *mut c_char,
        *const rusqlite::ffi::sqlite3_api_routines,
    ) -> c_int;
    // SAFETY: `sqlite3_vec_init` has the signature of every SQLite extension's entry point, which is `Init`; the crate
    // merely declares it without arguments. The handle belongs to `connection`, which is borrowed and open. The message
    // pointer may stay null, and the routines pointer is unused because sqlite-vec is compiled into the same program
    // as SQLite (SQLITE_CORE).
    let code = unsafe {
        let init: Init = std::mem::transmute::<*const (), Init>(sqlite_vec::sqlite3_vec_init as *const ());
        init(connection.handle(), std::ptr::null_mut(), std::ptr::null())
    };
    if code == rusqlite::ffi::SQLITE_OK {
        Ok(())
    } else {
        Err(AiError::internal(format!("the vector extension did not start (SQLite code {code})")))
    }
}

/// A bounded pool of reading connections.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    connections_max: usize,
    state: Mutex<(Vec<Connection>, usize)>,
    freed: Condvar,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, connections_max: usize) -> Self {
        Self { path, connections_max, state: Mutex::new((Vec::new(), 0)), freed: Condvar::new() }
    }

    /// Runs `work` on a connection inside one read transaction, so that it sees one state of the store.
    pub(crate) fn with<T>(
        &self,
        deadline: Deadline,
        work: impl FnOnce(&Connection) -> AiResult<T>,
    ) -> AiResult<T> {
        let connection = self.take(deadline)?;
        let mut guard = Lent { pool: self, connection: Some(connection) };
        let Some(connection) = guard.connection.as_mut() else {
            return Err(AiError::internal("reader connection was lost"));
        };
        connection.execute_batch("BEGIN").map_err(sql)?;
        connection.progress_handler(OPCODES_PER_CHECK, Some(move || deadline.is_over())).map_err(sql)?;
        let result = work(connection);
        connection.progress_handler(0, None::<fn() -> bool>).map_err(sql)?;
        connection.execute_batch("ROLLBACK").map_err(sql)?;
        result
    }

    fn take(&self, deadline: Deadline) -> AiResult<Connection> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = state.0.pop() {
                return Ok(connection);
            }
            if state.1 < self.connections_max {
                state.1 += 1;
                drop(state);
                return open(&self.path, true).inspect_err(|_| self.forget());
            }
            deadline.check("a reader of the store was free")?;
            let wait = deadline.remaining().min(Duration::from_millis(200));
            state = self.freed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn forget(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 -= 1;
        self.freed.notify_one();
    }
}

struct Lent<'a> {
    pool: &'a Readers,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if connection.is_autocommit() {
            self.pool.state.lock().unwrap_or_else(PoisonError::into_inner).0.push(connection);
            self.pool.freed.notify_one();
        } else {
            // A panic left a transaction open: a fresh connection takes this one's place.
            drop(connection);
            self.pool.forget();
        }
    }
}
