//! The audit log: rows that are only appended, each bound to the one before by a hash; it does not decide what is recorded.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use mcp::{ErrorCode, ToolError, ToolResult};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::ops::now_s;

/// Longest arguments or details of a row, in bytes; longer ones are cut.
const TEXT_BYTES_MAX: usize = 16_384;
/// The hash before the first row.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One row on its way into the log. It holds no secret: whoever makes it masks them.
#[derive(Debug, Clone, Default)]
// Exhaustive: the columns of the table.
pub struct AuditRow<'a> {
    /// `tool`, `verb`, `config`, `auth` or `listener`.
    pub kind: &'a str,
    /// Token name, or `local`.
    pub caller: &'a str,
    /// Address of the client.
    pub client_address: Option<&'a str>,
    /// Endpoint path.
    pub endpoint: Option<&'a str>,
    /// Canonical tool or verb.
    pub action: &'a str,
    /// Target.
    pub target_id: Option<&'a str>,
    /// Arguments as JSON.
    pub arguments_json: Option<&'a str>,
    /// `intent`, `ok`, `refused` or `error`.
    pub outcome: &'a str,
    /// Code of the failure.
    pub error_code: Option<&'a str>,
    /// Words about it.
    pub detail: Option<&'a str>,
    /// The intent row that this outcome belongs to.
    pub ref_id: Option<i64>,
}

/// What the whole chain looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditReport {
    /// Rows that are there.
    pub rows: u64,
    /// Number of the first row; rows before it are older than the retention.
    pub first_id: i64,
    /// Number of the last row.
    pub last_id: i64,
    /// Hash of the last row. Kept elsewhere, it proves later that nothing before it was rewritten.
    pub head_hash: String,
    /// The first row that does not fit, and why.
    pub fault: Option<(i64, String)>,
}

/// The audit log of one server.
pub struct AuditLog {
    store: Mutex<Connection>,
}

/// The action of the row that retention leaves behind.
const RETENTION: &str = "audit_retention";
const NO_UPDATE: &str = "CREATE TRIGGER IF NOT EXISTS audit_log_no_update BEFORE UPDATE ON audit_log
    BEGIN SELECT RAISE(ABORT, 'audit rows are only appended'); END;";
const NO_DELETE: &str = "CREATE TRIGGER IF NOT EXISTS audit_log_no_delete BEFORE DELETE ON audit_log
    BEGIN SELECT RAISE(ABORT, 'audit rows are only appended'); END;";

impl AuditLog {
    /// Opens the file, and makes it, readable for its owner alone, where it is missing.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be used.
    pub fn open(path: &Path) -> ToolResult<Self> {
        private_file(path)?;
        let store = Connection::open(path).map_err(|e| unusable(&e))?;
        store
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000;
                 CREATE TABLE IF NOT EXISTS audit_log (
                   audit_id INTEGER PRIMARY KEY AUTOINCREMENT, ts INTEGER NOT NULL, kind TEXT NOT NULL,
                   caller TEXT NOT NULL, client_address TEXT, endpoint TEXT, action TEXT NOT NULL, target_id TEXT,
                   arguments_json TEXT, outcome TEXT NOT NULL, error_code TEXT, detail TEXT, ref_id INTEGER,
                   prev_hash TEXT NOT NULL, hash TEXT NOT NULL);",
            )
            .and_then(|()| store.execute_batch(NO_UPDATE))
            .and_then(|()| store.execute_batch(NO_DELETE))
            .map_err(|e| unusable(&e))?;
        Ok(Self { store: Mutex::new(store) })
    }

    /// Opens a file that is there, to look at it only.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it is missing or cannot be read.
    pub fn open_to_read(path: &Path) -> ToolResult<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let store = Connection::open_with_flags(path, flags).map_err(|e| unusable(&e))?;
        store.execute_batch("PRAGMA busy_timeout = 2000").map_err(|e| unusable(&e))?;
        Ok(Self { store: Mutex::new(store) })
    }

    /// Appends a row, durable when this returns; gives its number.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be written: the caller refuses what it was about to do.
    pub fn append(&self, row: &AuditRow<'_>) -> ToolResult<i64> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let mut write = || {
            let transaction = store.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let id = insert(&transaction, row, now_s())?;
            transaction.commit()?;
            Ok(id)
        };
        write().map_err(|e: rusqlite::Error| unusable(&e))
    }

    /// Removes the oldest rows, as far as all of them are older than `days`, and leaves a row that says which they were and
    /// what their last hash was: the rest stays verifiable. Gives the number of rows removed.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be written; nothing is removed then.
    pub fn retain(&self, days: u32) -> ToolResult<u64> {
        self.remove_before(now_s() - i64::from(days) * 86_400)
    }

    fn remove_before(&self, oldest: i64) -> ToolResult<u64> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let mut write = || {
            let transaction = store.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let through: Option<i64> = transaction.query_row(
                "SELECT coalesce((SELECT min(audit_id) FROM audit_log WHERE ts >= ?1) - 1, max(audit_id)) FROM audit_log",
                [oldest],
                |row| row.get(0),
            )?;
            let last: Option<String> = transaction
                .query_row("SELECT hash FROM audit_log WHERE audit_id = ?1", [through], |row| row.get(0))
                .optional()?;
            let Some((through, last)) = through.zip(last) else { return Ok(0) };
            transaction.execute_batch("DROP TRIGGER audit_log_no_delete")?;
            let removed = transaction.execute("DELETE FROM audit_log WHERE audit_id <= ?1", [through])?;
            transaction.execute_batch(NO_DELETE)?;
            let what = json!({"removed": removed, "removed_through": through, "last_hash": last}).to_string();
            let marker = AuditRow {
                kind: "config",
                caller: "local",
                action: RETENTION,
                arguments_json: Some(&what),
                outcome: "ok",
                ..AuditRow::default()
            };
            // The chain goes on from the last row that was removed, also when none is left.
            insert_after(&transaction, &marker, now_s(), last_hash(&transaction)?.unwrap_or(last))?;
            transaction.commit()?;
            Ok(removed as u64)
        };
        write().map_err(|e: rusqlite::Error| unusable(&e))
    }

    /// Reads the whole chain and says whether it holds: each row bound to the one before, none missing at the beginning,
    /// between or at the end.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be read.
    pub fn verify(&self) -> ToolResult<AuditReport> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        walk(&store).map_err(|e| unusable(&e))
    }

    /// Number of rows, for reports.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be read.
    pub fn rows(&self) -> ToolResult<u64> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let count = store.query_row("SELECT count(*) FROM audit_log", [], |row| row.get::<_, i64>(0));
        count.map(i64::unsigned_abs).map_err(|e| unusable(&e))
    }
}

fn last_hash(store: &Connection) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT hash FROM audit_log ORDER BY audit_id DESC LIMIT 1";
    store.query_row(sql, [], |row| row.get(0)).optional()
}

fn insert(transaction: &Transaction<'_>, row: &AuditRow<'_>, ts: i64) -> rusqlite::Result<i64> {
    let previous = last_hash(transaction)?.unwrap_or_else(|| GENESIS.to_owned());
    insert_after(transaction, row, ts, previous)
}

fn insert_after(
    transaction: &Transaction<'_>,
    row: &AuditRow<'_>,
    ts: i64,
    previous: String,
) -> rusqlite::Result<i64> {
    let (arguments, detail) = (row.arguments_json.map(cut), row.detail.map(cut));
    let text = |text: &str| Some(text.to_owned());
    let fields = [
        Some(ts.to_string()),
        text(row.kind),
        text(row.caller),
        row.client_address.and_then(text),
        row.endpoint.and_then(text),
        text(row.action),
        row.target_id.and_then(text),
        arguments.and_then(text),
        text(row.outcome),
        row.error_code.and_then(text),
        detail.and_then(text),
        row.ref_id.map(|id| id.to_string()),
    ];
    let hash = chain(&previous, &fields);
    transaction.execute(
        "INSERT INTO audit_log (ts, kind, caller, client_address, endpoint, action, target_id, arguments_json,
         outcome, error_code, detail, ref_id, prev_hash, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        params![
            ts,
            row.kind,
            row.caller,
            row.client_address,
            row.endpoint,
            row.action,
            row.target_id,
            arguments,
            row.outcome,
            row.error_code,
            detail,
            row.ref_id,
            previous,
            hash
        ],
    )?;
    Ok(transaction.last_insert_rowid())
}

fn walk(store: &Connection) -> rusqlite::Result<AuditReport> {
    let sql = "SELECT audit_id, CAST(ts AS TEXT), kind, caller, client_address, endpoint, action, target_id,
               arguments_json, outcome, error_code, detail, CAST(ref_id AS TEXT), prev_hash, hash
               FROM audit_log ORDER BY audit_id";
    let mut statement = store.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut report =
        AuditReport { rows: 0, first_id: 0, last_id: 0, head_hash: GENESIS.to_owned(), fault: None };
    // Where the rows begin must be what the last retention says.
    let (mut begins, mut removed) = (GENESIS.to_owned(), (0, GENESIS.to_owned()));
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let fields = (1..13).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<Option<String>>>>()?;
        let (prev_hash, hash): (String, String) = (row.get(13)?, row.get(14)?);
        if report.rows == 0 {
            (report.first_id, report.last_id) = (id, id - 1);
            begins.clone_from(&prev_hash);
            report.head_hash.clone_from(&prev_hash);
        }
        let fault = if id != report.last_id + 1 {
            Some("rows before it are missing")
        } else if prev_hash != report.head_hash {
            Some("it does not follow the row before")
        } else if chain(&prev_hash, &fields) != hash {
            Some("it was changed")
        } else {
            None
        };
        if let Some(why) = fault {
            report.fault = Some((id, why.to_owned()));
            return Ok(report);
        }
        if fields[5].as_deref() == Some(RETENTION) {
            let what: Value =
                serde_json::from_str(fields[7].as_deref().unwrap_or_default()).unwrap_or_default();
            let last = what["last_hash"].as_str().unwrap_or_default().to_owned();
            removed = (what["removed_through"].as_i64().unwrap_or_default(), last);
        }
        (report.last_id, report.head_hash) = (id, hash);
        report.rows += 1;
    }
    let kept: Option<i64> = store
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'audit_log'", [], |row| row.get(0))
        .optional()?;
    let begins_well = begins == removed.1 && report.first_id == removed.0 + 1;
    if report.rows > 0 && !begins_well {
        let why = "rows before it are gone, and no retention says so".to_owned();
        report.fault = Some((report.first_id, why));
    } else if kept.unwrap_or(0) != report.last_id {
        report.fault = Some((report.last_id + 1, "rows at the end are missing".to_owned()));
    }
    Ok(report)
}

/// Makes the file, open to its owner only.
fn private_file(path: &Path) -> ToolResult<()> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|cause| {
        tracing::error!(%cause, path = %path.display(), "the audit log cannot be opened");
        let message = format!("the audit log {} cannot be opened: {cause}", path.display());
        ToolError::new(ErrorCode::Unavailable, message).with("reason", "audit_log")
    })
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditLog").finish_non_exhaustive()
    }
}

/// The hash of a row: over the hash before and each field with its length, so that no two rows read alike.
fn chain(previous: &str, fields: &[Option<String>]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(previous.as_bytes());
    for field in fields {
        match field {
            None => hasher.update([0]),
            Some(text) => {
                hasher.update([1]);
                hasher.update((text.len() as u64).to_be_bytes());
                hasher.update(text.as_bytes());
            }
        }
    }
    hasher.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn unusable(cause: &rusqlite::Error) -> ToolError {
    tracing::error!(%cause, "the audit log cannot be used");
    ToolError::new(ErrorCode::Unavailable, "the audit log cannot be written: nothing was done")
        .retryable(true)
        .with("reason", "audit_log")
}

#[cfg(test)]
mod tests;
