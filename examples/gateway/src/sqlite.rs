//! A SQLite file as a backend of one session: statements, writes and transactions, rows one by one; it knows neither wire.

use std::path::PathBuf;
use std::time::Duration;

use harvest::{ColType, Column, Value};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc::Sender;

use crate::engine::{Engine, Event};
use crate::failure::Failure;

/// Longest wait for a lock, in milliseconds.
const BUSY_MS: u64 = 5_000;

/// One connection.
pub(crate) struct SqliteEngine {
    connection: Connection,
}

impl SqliteEngine {
    /// Opens the file, which has to be there.
    pub(crate) fn open(path: &PathBuf) -> Result<Self, Failure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|e| failure(&e))?;
        connection.busy_timeout(Duration::from_millis(BUSY_MS)).map_err(|e| failure(&e))?;
        Ok(Self { connection })
    }

    fn statement(&self, sql: &str, out: &Sender<Event>) -> Result<u64, rusqlite::Error> {
        let mut statement = self.connection.prepare(sql)?;
        if statement.column_count() == 0 {
            let changed = statement.execute([])?;
            return Ok(if statement.readonly() { 0 } else { changed as u64 });
        }
        let columns: Vec<Column> = statement
            .columns()
            .map(|column| {
                Column::new(column.name(), kind(column.decl_type()), column.decl_type().unwrap_or(""))
            })
            .collect();
        let count = columns.len();
        let mut columns = Some(columns);
        let mut rows = statement.query([])?;
        loop {
            let row = rows.next()?;
            if let Some(columns) = columns.take()
                && out.blocking_send(Event::Columns(columns)).is_err()
            {
                return Ok(0);
            }
            let Some(row) = row else { return Ok(0) };
            let values = (0..count).map(|at| row.get_ref(at).map(value)).collect::<Result<_, _>>()?;
            if out.blocking_send(Event::Row(values)).is_err() {
                return Ok(0);
            }
        }
    }
}

impl Engine for SqliteEngine {
    fn run(&mut self, sql: &str, out: &Sender<Event>) {
        let end = match self.statement(sql, out) {
            Ok(affected) => Event::Done {
                affected,
                last_id: u64::try_from(self.connection.last_insert_rowid()).unwrap_or(0),
                in_transaction: !self.connection.is_autocommit(),
                info: String::new(),
            },
            Err(error) => Event::Fail(failure(&error)),
        };
        drop(out.blocking_send(end));
    }
}

fn kind(declared: Option<&str>) -> ColType {
    let upper = declared.unwrap_or("").to_ascii_uppercase();
    if upper.contains("INT") {
        ColType::Integer
    } else if ["REAL", "FLOA", "DOUB"].iter().any(|word| upper.contains(word)) {
        ColType::Float
    } else {
        ColType::String
    }
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::Float(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

fn failure(error: &rusqlite::Error) -> Failure {
    use rusqlite::ErrorCode;
    let (mysql_errno, mysql_state, postgres_state) = match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => (1062, "23000", "23000"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (1205, "HY000", "55P03"),
        Some(ErrorCode::ReadOnly | ErrorCode::AuthorizationForStatementDenied) => (1227, "42000", "42501"),
        Some(ErrorCode::CannotOpen) => (2003, "HY000", "08006"),
        _ => (1064, "42000", "42601"),
    };
    Failure { mysql_errno, mysql_state, postgres_state, message: error.to_string() }
}
