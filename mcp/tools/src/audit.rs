//! The audit log: rows that are only appended, each bound to the one before by a hash; it does not decide what is recorded.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use mcp::{ErrorCode, ToolError, ToolResult};
use rusqlite::{Connection, OptionalExtension, params};
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

/// The audit log of one server.
pub struct AuditLog {
    store: Mutex<Connection>,
}

impl AuditLog {
    /// Opens the file, and makes it where it is missing.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be used.
    pub fn open(path: &Path) -> ToolResult<Self> {
        let store = Connection::open(path).map_err(|e| unusable(&e))?;
        store
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000;
                 CREATE TABLE IF NOT EXISTS audit_log (
                   audit_id INTEGER PRIMARY KEY AUTOINCREMENT, ts INTEGER NOT NULL, kind TEXT NOT NULL,
                   caller TEXT NOT NULL, client_address TEXT, endpoint TEXT, action TEXT NOT NULL, target_id TEXT,
                   arguments_json TEXT, outcome TEXT NOT NULL, error_code TEXT, detail TEXT, ref_id INTEGER,
                   prev_hash TEXT NOT NULL, hash TEXT NOT NULL);
                 CREATE TRIGGER IF NOT EXISTS audit_log_no_update BEFORE UPDATE ON audit_log
                   BEGIN SELECT RAISE(ABORT, 'audit rows are only appended'); END;",
            )
            .map_err(|e| unusable(&e))?;
        Ok(Self { store: Mutex::new(store) })
    }

    /// Appends a row, durable when this returns; gives its number.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be written: the caller refuses what it was about to do.
    pub fn append(&self, row: &AuditRow<'_>) -> ToolResult<i64> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = store.transaction().map_err(|e| unusable(&e))?;
        let previous: Option<String> = transaction
            .query_row("SELECT hash FROM audit_log ORDER BY audit_id DESC LIMIT 1", [], |row| row.get(0))
            .optional()
            .map_err(|e| unusable(&e))?;
        let previous = previous.unwrap_or_else(|| GENESIS.to_owned());
        let (ts, arguments, detail) = (now_s(), row.arguments_json.map(cut), row.detail.map(cut));
        let fields = [
            Some(ts.to_string()),
            Some(row.kind.to_owned()),
            Some(row.caller.to_owned()),
            row.client_address.map(str::to_owned),
            row.endpoint.map(str::to_owned),
            Some(row.action.to_owned()),
            row.target_id.map(str::to_owned),
            arguments.map(str::to_owned),
            Some(row.outcome.to_owned()),
            row.error_code.map(str::to_owned),
            detail.map(str::to_owned),
            row.ref_id.map(|id| id.to_string()),
        ];
        let hash = chain(&previous, &fields);
        transaction
            .execute(
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
            )
            .map_err(|e| unusable(&e))?;
        let id = transaction.last_insert_rowid();
        transaction.commit().map_err(|e| unusable(&e))?;
        Ok(id)
    }

    /// Reads the whole chain: the number of rows, or the number of the first row that does not fit.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be read.
    pub fn verify(&self) -> ToolResult<Result<u64, i64>> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let sql =
            "SELECT audit_id, CAST(ts AS TEXT), kind, caller, client_address, endpoint, action, target_id,
                   arguments_json, outcome, error_code, detail, CAST(ref_id AS TEXT), prev_hash, hash
                   FROM audit_log ORDER BY audit_id";
        let mut statement = store.prepare(sql).map_err(|e| unusable(&e))?;
        let mut rows = statement.query([]).map_err(|e| unusable(&e))?;
        let (mut previous, mut count) = (GENESIS.to_owned(), 0);
        while let Some(row) = rows.next().map_err(|e| unusable(&e))? {
            let read = || -> rusqlite::Result<(i64, Vec<Option<String>>, String, String)> {
                let fields = (1..13).map(|at| row.get(at)).collect::<rusqlite::Result<_>>()?;
                Ok((row.get(0)?, fields, row.get(13)?, row.get(14)?))
            };
            let (id, fields, prev_hash, hash) = read().map_err(|e| unusable(&e))?;
            if prev_hash != previous || chain(&previous, &fields) != hash {
                return Ok(Err(id));
            }
            previous = hash;
            count += 1;
        }
        Ok(Ok(count))
    }
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
mod tests {
    use super::*;

    #[test]
    fn a_changed_row_breaks_the_chain_and_rows_are_not_updated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.db");
        let log = AuditLog::open(&path).unwrap();
        let row = |outcome, ref_id| AuditRow {
            kind: "tool",
            caller: "ops",
            action: "admin_kill_query",
            outcome,
            ref_id,
            ..AuditRow::default()
        };
        let intent = log.append(&row("intent", None)).unwrap();
        log.append(&row("ok", Some(intent))).unwrap();
        log.append(&row("refused", None)).unwrap();
        assert_eq!(log.verify().unwrap(), Ok(3));
        drop(log);
        let log = AuditLog::open(&path).unwrap();
        log.append(&row("intent", None)).unwrap();
        assert_eq!(log.verify().unwrap(), Ok(4), "the chain goes on after a restart");
        let other = Connection::open(&path).unwrap();
        assert!(other.execute("UPDATE audit_log SET caller = 'nobody' WHERE audit_id = 2", []).is_err());
        other
            .execute_batch(
                "DROP TRIGGER audit_log_no_update; UPDATE audit_log SET caller = 'x' WHERE audit_id = 2",
            )
            .unwrap();
        assert_eq!(log.verify().unwrap(), Err(2));
    }
}
