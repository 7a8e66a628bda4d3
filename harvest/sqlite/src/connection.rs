//! One open file: runs statements under bounds, tells columns, reads metadata; how it is opened and stopped lives elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harvest::{
    AccountFinding, CheckedStatement, Column, ConnectParams, Connection, Dialect, Flow, HarvestCode,
    HarvestError, HarvestResult, Interrupt, Limits, MetadataRequest, MetadataSnapshot, MetadataWatch,
    RowSink, ServerInfo, Value,
};
use rusqlite::Statement;

use crate::columns::{Shape, fitted};
use crate::dialect::DIALECT;
use crate::errors::mapped;
use crate::guard::{Shared, Stop, Stopper, Watchdog};
use crate::values::{bind, read};
use crate::{metadata, open};

/// Rows that are read ahead to tell the types of columns.
const AHEAD_ROWS_MAX: usize = 64;
/// Bytes that are read ahead at most.
const AHEAD_BYTES_MAX: usize = 1_000_000;
/// Longest time that is spent on reading ahead once there is a row.
const AHEAD_MS_MAX: u64 = 20;

/// A connection to one SQLite file, open for reading only.
pub struct SqliteConnection {
    // Dropped before the connection, so that no interrupt meets a closed one.
    watchdog: Option<Watchdog>,
    shared: Arc<Shared>,
    stopper: Arc<Stopper>,
    db: rusqlite::Connection,
    server: ServerInfo,
}

impl std::fmt::Debug for SqliteConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteConnection").field("server", &self.server).finish_non_exhaustive()
    }
}

impl SqliteConnection {
    /// Opens the file at `params.host`.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the file cannot be read, `FAILED_PRECONDITION` when it is no database.
    pub fn open(params: &ConnectParams) -> HarvestResult<Self> {
        let shared = Shared::new();
        let db = open::open(params, &shared)?;
        let stopper = Arc::new(Stopper { shared: Arc::clone(&shared), handle: db.get_interrupt_handle() });
        let server = ServerInfo::new(format!("SQLite {}", rusqlite::version()), "main");
        Ok(Self { watchdog: None, shared, stopper, db, server })
    }

    /// Runs `work` under a deadline and names the cause of a stop.
    fn guarded<T>(
        &mut self,
        timeout_ms: u64,
        own: bool,
        work: impl FnOnce(&rusqlite::Connection, &Shared) -> HarvestResult<T>,
    ) -> HarvestResult<T> {
        self.shared.begin(timeout_ms);
        self.shared.set_own(own);
        if timeout_ms > 0 {
            let watchdog = self.watchdog.get_or_insert_with(|| {
                Watchdog::start(Arc::clone(&self.shared), self.db.get_interrupt_handle())
            });
            watchdog.arm(timeout_ms);
        }
        let done = work(&self.db, &self.shared);
        if let Some(watchdog) = &self.watchdog {
            watchdog.disarm();
        }
        self.shared.set_own(true);
        self.shared.end();
        if !self.db.is_autocommit() {
            // Nothing of a statement outlives it.
            let _ = self.db.execute_batch("ROLLBACK");
        }
        self.shared.set_own(false);
        let Err(error) = done else { return done };
        Err(self.cause(error, timeout_ms))
    }

    fn cause(&self, error: HarvestError, timeout_ms: u64) -> HarvestError {
        let interrupted = error.code == HarvestCode::Cancelled;
        match self.shared.stopped_before() {
            Stop::Deadline if interrupted => HarvestError::new(
                HarvestCode::DeadlineExceeded,
                format!("the statement ran longer than {timeout_ms} ms and was stopped; narrow it or raise its time"),
            )
            .with("timeout_ms", timeout_ms),
            _ => match self.shared.take_denied() {
                Some(what) if error.code == HarvestCode::PermissionDenied => {
                    HarvestError::gate(what, "only reading is allowed")
                }
                _ => error,
            },
        }
    }
}

fn only_main(schema: Option<&str>) -> HarvestResult<()> {
    match schema {
        None | Some("" | "main") => Ok(()),
        Some(other) => Err(HarvestError::new(
            HarvestCode::NotFound,
            format!("there is no schema {other:?}; a SQLite file has the schema main only"),
        )
        .with("kind", "schema")
        .with("id", other)),
    }
}

/// Prepares under the authorizer; tables whose modules prepare writes for themselves are opened first when needed.
fn prepare<'c>(db: &'c rusqlite::Connection, shared: &Shared, sql: &str) -> HarvestResult<Statement<'c>> {
    if sql.contains('\0') {
        // The engine would stop reading there without a word.
        return Err(HarvestError::syntax("the statement holds a NUL byte; remove it", sql.find('\0')));
    }
    let first = db.prepare(sql);
    let statement = match first {
        Err(error) if mapped(&error).code == HarvestCode::PermissionDenied => {
            let denied = shared.take_denied();
            let module = denied.as_deref().is_some_and(|d| {
                d.starts_with("a change of ") && ["_node", "_rowid", "_parent"].iter().any(|s| d.ends_with(s))
            });
            if !module {
                shared.set_denied(denied);
                return Err(mapped(&error));
            }
            shared.set_own(true);
            let opened = metadata::open_modules(db);
            shared.set_own(false);
            opened?;
            db.prepare(sql).map_err(|e| mapped(&e))?
        }
        other => other.map_err(|e| mapped(&e))?,
    };
    if !statement.readonly() {
        return Err(HarvestError::gate("the statement", "it does more than read"));
    }
    Ok(statement)
}

fn shapes(statement: &Statement<'_>) -> Vec<Shape> {
    statement.columns().map(|c| Shape::new(c.name(), c.decl_type())).collect()
}

impl Connection for SqliteConnection {
    fn server(&self) -> &ServerInfo {
        &self.server
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &DIALECT
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::clone(&self.stopper) as Arc<dyn Interrupt>
    }

    fn query(
        &mut self,
        statement: &CheckedStatement,
        params: &[Value],
        schema: Option<&str>,
        limits: &Limits,
        sink: &mut dyn RowSink,
    ) -> HarvestResult<()> {
        only_main(schema)?;
        self.shared.set_extra_functions(statement.functions.clone());
        let busy_ms =
            if limits.timeout_ms == 0 { open::BUSY_MS_MAX } else { limits.timeout_ms.min(open::BUSY_MS_MAX) };
        self.db.busy_timeout(Duration::from_millis(busy_ms)).map_err(|e| mapped(&e))?;
        let sql = statement.sql.as_str();
        self.guarded(limits.timeout_ms, false, |db, shared| run(db, shared, sql, params, limits, sink))
    }

    fn validate(&mut self, statement: &CheckedStatement, schema: Option<&str>) -> HarvestResult<Vec<Column>> {
        only_main(schema)?;
        self.shared.set_extra_functions(statement.functions.clone());
        self.guarded(open::BUSY_MS_MAX, false, |db, shared| {
            let prepared = prepare(db, shared, &statement.sql)?;
            Ok(shapes(&prepared).iter().map(Shape::column).collect())
        })
    }

    fn metadata(
        &mut self,
        request: &MetadataRequest,
        watch: &mut dyn MetadataWatch,
    ) -> HarvestResult<MetadataSnapshot> {
        self.guarded(0, true, |db, _| {
            db.execute_batch("BEGIN").map_err(|e| mapped(&e))?;
            metadata::read(db, request, watch)
        })
    }

    fn examine_account(&mut self) -> HarvestResult<Vec<AccountFinding>> {
        // SQLite has no accounts; the file is open for reading only whatever the process may do.
        Ok(Vec::new())
    }

    fn ping(&mut self) -> HarvestResult<()> {
        self.guarded(1_000, true, |db, _| {
            db.query_row("SELECT count(*) FROM (SELECT 1 FROM sqlite_schema LIMIT 1)", [], |_| Ok(()))
                .map_err(|e| mapped(&e).broken())
        })
    }

    fn reset(&mut self) -> HarvestResult<()> {
        self.shared.set_extra_functions(Vec::new());
        self.guarded(1_000, true, |db, _| {
            db.pragma_update(None, "query_only", true).map_err(|e| mapped(&e).broken())
        })
    }
}

fn run(
    db: &rusqlite::Connection,
    shared: &Shared,
    sql: &str,
    params: &[Value],
    limits: &Limits,
    sink: &mut dyn RowSink,
) -> HarvestResult<()> {
    let mut statement = prepare(db, shared, sql)?;
    let wanted = statement.parameter_count();
    if wanted != params.len() {
        return Err(mapped(&rusqlite::Error::InvalidParameterCount(params.len(), wanted)));
    }
    for (index, value) in params.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, bind(value)).map_err(|e| mapped(&e))?;
    }
    let mut shapes = shapes(&statement);
    let mut rows = statement.raw_query();
    let mut ahead: Vec<Vec<Value>> = Vec::new();
    let (mut ahead_bytes, started) = (0_usize, Instant::now());
    let mut types = Vec::new();
    loop {
        let next = rows.next().map_err(|e| mapped(&e))?;
        let ended = next.is_none();
        if let Some(row) = next {
            if ahead.is_empty() && types.is_empty() {
                // The first step prepares anew when another process has changed the schema.
                shapes = self::shapes(row.as_ref());
            }
            let mut values = Vec::with_capacity(shapes.len());
            for (index, shape) in shapes.iter_mut().enumerate() {
                let raw = row.get_ref(index).map_err(|e| mapped(&e))?;
                let (class, value) = read(raw, limits.cell_bytes_max);
                if types.is_empty() {
                    shape.note(class, &value);
                    ahead_bytes += value.size_bytes();
                }
                values.push(value);
            }
            if types.is_empty() {
                ahead.push(values);
                let enough = ahead.len() >= AHEAD_ROWS_MAX
                    || ahead_bytes >= AHEAD_BYTES_MAX
                    || started.elapsed() >= Duration::from_millis(AHEAD_MS_MAX);
                if !enough {
                    continue;
                }
            } else if pass(values, &types, sink)? == Flow::Stop {
                return Ok(());
            }
        }
        if types.is_empty() && (ended || !ahead.is_empty()) {
            let columns: Vec<Column> = shapes.iter().map(Shape::column).collect();
            types = columns.iter().map(|c| c.col_type).collect();
            sink.columns(&columns)?;
            for values in ahead.drain(..) {
                if pass(values, &types, sink)? == Flow::Stop {
                    return Ok(());
                }
            }
        }
        if ended {
            return Ok(());
        }
        if shared.stopped() != Stop::None {
            return Err(HarvestError::new(HarvestCode::Cancelled, "the statement was stopped"));
        }
    }
}

fn pass(values: Vec<Value>, types: &[harvest::ColType], sink: &mut dyn RowSink) -> HarvestResult<Flow> {
    sink.row(values.into_iter().zip(types).map(|(value, col_type)| fitted(value, *col_type)).collect())
}
