//! One session of MySQL or MariaDB: read-only transactions with server-side limits, always rolled back; it does not judge statements.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harvest::{
    AccountFinding, CheckedStatement, Column, Connection, Dialect, Flow, HarvestCode, HarvestError,
    HarvestResult, Interrupt, Limits, MetadataRequest, MetadataSnapshot, MetadataWatch, RowSink, ServerInfo,
    StatementKind, Value,
};
use mysql::prelude::Queryable;
use mysql::{Conn, Opts, Params};

use crate::dialect::{MariadbDialect, MysqlDialect};
use crate::error::from_mysql;
use crate::interrupt::KillHandle;
use crate::{account, decode, metadata, types};

/// Why a statement that cannot give rows is not executed.
const NO_ROWS: &str = "the statement gives no rows: send one that reads";
/// Longest wait for a row or metadata lock, in seconds.
const LOCK_WAIT_S: u64 = 2;
/// SQL modes that change how a statement is read; they are taken out, so that the gate and the server read alike.
const LEXICAL_MODES: &[&str] = &[
    "ANSI",
    "ANSI_QUOTES",
    "NO_BACKSLASH_ESCAPES",
    "PIPES_AS_CONCAT",
    "IGNORE_SPACE",
    "HIGH_NOT_PRECEDENCE",
    "ORACLE",
    "MSSQL",
    "DB2",
    "MAXDB",
    "POSTGRESQL",
    "MYSQL323",
    "MYSQL40",
];

pub(crate) struct MysqlConnection {
    conn: Conn,
    server: ServerInfo,
    mariadb: bool,
    /// The server's own modes without the lexical ones.
    sql_mode: String,
    default_schema: Option<String>,
    /// Whether the session still has the settings of the last statement, and with which time limit.
    prepared_for_ms: Option<u64>,
    current_schema: Option<String>,
    kill: Arc<KillHandle>,
}

impl MysqlConnection {
    pub(crate) fn open(mut conn: Conn, opts: Opts) -> HarvestResult<Self> {
        let row: Option<(String, String, Option<String>)> = conn
            .query_first("SELECT VERSION(), @@SESSION.sql_mode, DATABASE()")
            .map_err(|e| from_mysql(&e))?;
        let (version, modes, schema) = row.ok_or_else(|| {
            HarvestError::new(HarvestCode::Unavailable, "the server does not say what it is").broken()
        })?;
        let sql_mode: Vec<&str> = modes.split(',').filter(|m| !LEXICAL_MODES.contains(m)).collect();
        let kill = Arc::new(KillHandle::new(opts, conn.connection_id()));
        Ok(Self {
            mariadb: version.to_lowercase().contains("mariadb"),
            server: ServerInfo::new(version, schema.clone().unwrap_or_default()),
            sql_mode: sql_mode.join(","),
            current_schema: schema.clone(),
            default_schema: schema,
            prepared_for_ms: None,
            kill,
            conn,
        })
    }

    fn run(&mut self, sql: &str) -> HarvestResult<()> {
        self.conn.query_drop(sql).map_err(|e| from_mysql(&e))
    }

    /// Pins lexical modes, limits and the schema, then opens the read-only transaction.
    fn begin(&mut self, schema: Option<&str>, timeout_ms: u64) -> HarvestResult<()> {
        if self.prepared_for_ms != Some(timeout_ms) {
            let limit = if self.mariadb {
                format!("max_statement_time = {}.{:03}", timeout_ms / 1_000, timeout_ms % 1_000)
            } else {
                format!("max_execution_time = {timeout_ms}")
            };
            let sql = format!(
                "SET SESSION sql_mode = '{}', lock_wait_timeout = {LOCK_WAIT_S}, innodb_lock_wait_timeout = {LOCK_WAIT_S}, {limit}",
                self.sql_mode
            );
            self.run(&sql)?;
            self.prepared_for_ms = Some(timeout_ms);
        }
        let wanted = schema.or(self.default_schema.as_deref());
        if wanted.is_some() && wanted != self.current_schema.as_deref() {
            let wanted = wanted.unwrap_or_default().to_owned();
            self.conn.select_db(&wanted).map_err(|e| {
                let error = from_mysql(&e);
                if error.code == HarvestCode::NotFound {
                    error.with("kind", "schema").with("id", wanted.clone())
                } else {
                    error
                }
            })?;
            self.current_schema = Some(wanted);
        }
        self.run("START TRANSACTION READ ONLY")
    }

    /// Runs `work` inside a read-only transaction that is rolled back whatever happens.
    fn in_transaction<T>(
        &mut self,
        schema: Option<&str>,
        timeout_ms: u64,
        work: impl FnOnce(&mut Self) -> HarvestResult<T>,
    ) -> HarvestResult<T> {
        self.kill.begin();
        let started = Instant::now();
        let result = self.begin(schema, timeout_ms).and_then(|()| {
            let result = work(self);
            match self.run("ROLLBACK") {
                Ok(()) => result,
                Err(error) => Err(result.err().unwrap_or(error).broken()),
            }
        });
        let interrupted = self.kill.end();
        let timed_out = timeout_ms > 0 && started.elapsed() >= Duration::from_millis(timeout_ms);
        result.map_err(|error| {
            let late = error.code == HarvestCode::Cancelled && timed_out && !interrupted;
            let error = if late || error.code == HarvestCode::DeadlineExceeded {
                let message = "the statement ran out of time and was stopped on the server";
                HarvestError::new(HarvestCode::DeadlineExceeded, message).with("timeout_ms", timeout_ms)
            } else {
                error
            };
            if interrupted { error.broken() } else { error }
        })
    }

    /// Caller's text goes through a prepared statement only: the server prepares exactly one.
    fn stream(
        &mut self,
        statement: &CheckedStatement,
        params: &[Value],
        cell_bytes_max: usize,
        sink: &mut dyn RowSink,
    ) -> HarvestResult<()> {
        let values: Vec<mysql::Value> = params.iter().map(decode::parameter).collect::<HarvestResult<_>>()?;
        let params = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
        let kill = Arc::clone(&self.kill);
        let prepared = self.conn.prep(&statement.sql).map_err(|e| from_mysql(&e))?;
        if statement.kind == StatementKind::Select && prepared.columns().is_empty() {
            // A read-only transaction stops neither SET PASSWORD nor DDL; the server has only prepared it so far.
            let _ = self.conn.close(prepared);
            return Err(HarvestError::new(HarvestCode::PermissionDenied, NO_ROWS));
        }
        let mut stopped = Ok(());
        {
            let mut result = self.conn.exec_iter(&prepared, params).map_err(|e| from_mysql(&e))?;
            let columns: Vec<Column> = result.columns().as_ref().iter().map(types::column).collect();
            sink.columns(&columns)?;
            while let Some(row) = result.next() {
                let row = row.map_err(|e| from_mysql(&e))?;
                let cells = row.unwrap().into_iter().zip(&columns);
                let values = cells.map(|(raw, column)| decode::value(raw, column, cell_bytes_max)).collect();
                let flow = sink.row(values);
                if !matches!(flow, Ok(Flow::Continue)) {
                    // More rows may be on their way: the server is told to stop, what is left is drained and dropped.
                    if result.next().is_some_and(|row| row.is_ok()) {
                        kill.mark();
                        kill.send();
                    }
                    stopped = flow.map(|_| ());
                    break;
                }
            }
        }
        let _ = self.conn.close(prepared);
        stopped
    }
}

impl Connection for MysqlConnection {
    fn server(&self) -> &ServerInfo {
        &self.server
    }

    fn dialect(&self) -> &'static dyn Dialect {
        if self.mariadb { &MariadbDialect } else { &MysqlDialect }
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::clone(&self.kill) as Arc<dyn Interrupt>
    }

    fn query(
        &mut self,
        statement: &CheckedStatement,
        params: &[Value],
        schema: Option<&str>,
        limits: &Limits,
        sink: &mut dyn RowSink,
    ) -> HarvestResult<()> {
        let cell_bytes_max = limits.cell_bytes_max;
        self.in_transaction(schema, limits.timeout_ms, |this| {
            this.stream(statement, params, cell_bytes_max, sink)
        })
    }

    fn validate(&mut self, statement: &CheckedStatement, schema: Option<&str>) -> HarvestResult<Vec<Column>> {
        self.in_transaction(schema, 5_000, |this| {
            let prepared = this.conn.prep(&statement.sql).map_err(|e| from_mysql(&e))?;
            let columns = prepared.columns().iter().map(types::column).collect();
            let _ = this.conn.close(prepared);
            Ok(columns)
        })
    }

    fn metadata(
        &mut self,
        request: &MetadataRequest,
        watch: &mut dyn MetadataWatch,
    ) -> HarvestResult<MetadataSnapshot> {
        let mariadb = self.mariadb;
        self.in_transaction(None, 0, |this| metadata::read(&mut this.conn, mariadb, request, watch))
    }

    fn examine_account(&mut self) -> HarvestResult<Vec<AccountFinding>> {
        self.in_transaction(None, 5_000, |this| account::examine(&mut this.conn))
    }

    fn ping(&mut self) -> HarvestResult<()> {
        self.conn.ping().map_err(|e| from_mysql(&e).broken())
    }

    fn reset(&mut self) -> HarvestResult<()> {
        self.prepared_for_ms = None;
        self.conn.reset().map_err(|e| from_mysql(&e).broken())
    }
}
