//! Opens a database file for reading only, with every switch and limit of the engine set; it runs no caller's statement.

use std::sync::Arc;
use std::time::Duration;

use harvest::{ConnectParams, HarvestCode, HarvestError, HarvestResult};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::authorizer::authorizer;
use crate::errors::mapped;
use crate::functions;
use crate::guard::{Shared, Stop};

/// Longest text, blob or row.
pub(crate) const LENGTH_BYTES_MAX: usize = 10_000_000;
/// Longest statement; the driver's own batches are shorter.
const SQL_BYTES_MAX: i32 = 2_000_000;
/// Longest LIKE or GLOB pattern: matching costs its length times the text's.
const PATTERN_BYTES_MAX: i32 = 200;
/// Engine steps between two looks at the clock.
const STEPS_PER_LOOK: i32 = 1_000;
/// Longest wait for another process's lock.
pub(crate) const BUSY_MS_MAX: u64 = 2_000;

/// Opens the file, sets it up, and makes sure that it is a database.
pub(crate) fn open(params: &ConnectParams, shared: &Arc<Shared>) -> HarvestResult<Connection> {
    if params.host.is_empty() || params.host.contains('\0') {
        let text = "a SQLite target needs the path of its file as host";
        return Err(HarvestError::new(HarvestCode::FailedPrecondition, text));
    }
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(uri(&params.host), flags).map_err(|e| mapped(&e))?;
    set_up(&mut connection, shared).map_err(|e| mapped(&e))?;
    Ok(connection)
}

/// A path as URI, so that nothing in it can be read as an option.
pub(crate) fn uri(path: &str) -> String {
    // A relative path gets a folder, so that `:memory:` is a file's name too.
    let mut out = String::from(if path.starts_with('/') { "file:" } else { "file:./" });
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out.push_str("?mode=ro");
    out
}

fn set_up(connection: &mut Connection, shared: &Arc<Shared>) -> rusqlite::Result<()> {
    for (switch, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
        (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
    ] {
        connection.set_db_config(switch, on)?;
    }
    connection.busy_timeout(Duration::from_millis(BUSY_MS_MAX))?;
    functions::register(connection)?;
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, i32::try_from(LENGTH_BYTES_MAX).unwrap_or(i32::MAX)),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES_MAX),
        (Limit::SQLITE_LIMIT_VDBE_OP, 1_000_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 127),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, value)?;
    }
    // Reads the header: a file that is no database fails here.
    connection.query_row("SELECT count(*) FROM (SELECT 1 FROM sqlite_schema LIMIT 1)", [], |_| Ok(()))?;
    connection.pragma_update(None, "query_only", true)?;
    connection.authorizer(Some(authorizer(Arc::clone(shared))))?;
    let seen = Arc::clone(shared);
    connection.progress_handler(STEPS_PER_LOOK, Some(move || seen.stopped() != Stop::None))?;
    Ok(())
}
