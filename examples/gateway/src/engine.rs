//! What answers statements inside this process, on a thread of its own per session: rows stream through a bounded channel; it
//! knows neither wire.

use std::sync::Arc;

use harvest::{ColType, Column, Value};
use mcp_config::{AdminSession, AdminSql, Cell};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::failure::Failure;

/// Rows between the engine and the client.
const ROWS_WAITING_MAX: usize = 256;
/// Rows of one answer of the admin console.
const ADMIN_ROWS_MAX: usize = 100_000;

/// One piece of an answer; `Done` and `Fail` end it.
#[derive(Debug)]
pub(crate) enum Event {
    Columns(Vec<Column>),
    Row(Vec<Value>),
    Done { affected: u64, last_id: u64, in_transaction: bool, info: String },
    Fail(Failure),
}

/// Runs one statement and tells of it. A receiver that has gone is no matter: the work is cut short.
pub(crate) trait Engine: Send + 'static {
    fn run(&mut self, sql: &str, out: &Sender<Event>);
}

/// The session's end of its engine.
pub(crate) struct EngineSession {
    statements: Sender<(String, Sender<Event>)>,
}

impl EngineSession {
    /// Starts the thread. `open` runs on it, because engines need not move between threads.
    pub(crate) fn start<E, F>(open: F) -> std::io::Result<Self>
    where
        E: Engine,
        F: FnOnce() -> Result<E, Failure> + Send + 'static,
    {
        let (statements, mut receiver) = channel::<(String, Sender<Event>)>(1);
        std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            let mut engine = open();
            while let Some((sql, out)) = receiver.blocking_recv() {
                match &mut engine {
                    Ok(engine) => engine.run(&sql, &out),
                    Err(failure) => drop(out.blocking_send(Event::Fail(failure.clone()))),
                }
            }
        })?;
        Ok(Self { statements })
    }

    /// Sends a statement; its answer arrives on the receiver.
    pub(crate) async fn run(&self, sql: String) -> Receiver<Event> {
        let (sender, receiver) = channel(ROWS_WAITING_MAX);
        // A thread that is gone has dropped its end: the receiver ends at once, which callers take as a failure.
        drop(self.statements.send((sql, sender)).await);
        receiver
    }
}

/// The admin console of one client.
pub(crate) struct AdminEngine {
    pub(crate) admin: Arc<AdminSql>,
    pub(crate) session: AdminSession,
}

impl Engine for AdminEngine {
    fn run(&mut self, sql: &str, out: &Sender<Event>) {
        let end = match self.admin.execute(&self.session, sql, &[], ADMIN_ROWS_MAX) {
            Err(error) => Event::Fail(Failure {
                mysql_errno: 1105,
                mysql_state: "HY000",
                postgres_state: "XX000",
                message: format!("{}: {}", error.code.as_str(), error.message),
            }),
            Ok(reply) => {
                if !reply.columns.is_empty() {
                    let columns =
                        reply.columns.iter().map(|(name, declared)| column(name, declared)).collect();
                    if out.blocking_send(Event::Columns(columns)).is_err() {
                        return;
                    }
                    for row in reply.rows {
                        if out.blocking_send(Event::Row(row.into_iter().map(value).collect())).is_err() {
                            return;
                        }
                    }
                }
                let info = reply.report.unwrap_or_default();
                Event::Done { affected: reply.rows_affected, last_id: 0, in_transaction: false, info }
            }
        };
        drop(out.blocking_send(end));
    }
}

fn column(name: &str, declared: &str) -> Column {
    let upper = declared.to_ascii_uppercase();
    let kind = if upper.contains("INT") {
        ColType::Integer
    } else if upper.contains("REAL") {
        ColType::Float
    } else {
        ColType::String
    };
    Column::new(name, kind, declared)
}

fn value(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => Value::Int(number),
        Cell::Real(number) => Value::Float(number),
        Cell::Text(text) => Value::Text(text),
        Cell::Blob(bytes) => Value::Bytes(bytes),
    }
}
