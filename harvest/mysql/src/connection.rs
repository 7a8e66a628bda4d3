//! One session of MySQL or MariaDB: read-only transactions with server-side limits, always rolled back; it does not judge statements.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harvest::{
    AccountFinding, CheckedStatement, Column, ConnectParams, Connection, Dialect, Flow, HarvestCode,
    HarvestError, HarvestResult, Interrupt, Limits, MetadataRequest, MetadataSnapshot, MetadataWatch,
    RowSink, ServerInfo, StatementKind, Value,
};

use crate::dialect::{MariadbDialect, MysqlDialect};
use crate::interrupt::KillHandle;
use crate::session::{Answer, Prepared, Session};
use crate::startup::{self, Address};
use crate::wire::lost;
use crate::{account, decode, metadata, types};

/// Why a statement that cannot give rows is not executed.
const NO_ROWS: &str = "the statement gives no rows: send one that reads";
/// Longest wait for a row or metadata lock, in seconds.
const LOCK_WAIT_S: u64 = 2;
/// Longest wait for an answer to a ping, in milliseconds.
const PING_TIMEOUT_MS: u64 = 2_000;
/// Longest run of statements of our own, in milliseconds.
const OWN_TIMEOUT_MS: u64 = 5_000;
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
    session: Session,
    server: ServerInfo,
    mariadb: bool,
    /// The server's own modes without the lexical ones.
    sql_mode: String,
    default_schema: Option<String>,
    current_schema: Option<String>,
    kill: Arc<KillHandle>,
    /// Answers to ROLLBACK and the reset that are on their way.
    pending: usize,
    /// Whether something ran that is not rolled back and reset yet.
    dirty: bool,
}

impl MysqlConnection {
    pub(crate) fn open(params: &ConnectParams) -> HarvestResult<Self> {
        let address = Address::of(params)?;
        let opened = address.open()?;
        let mut session = Session::new(opened.wire);
        let mut rows = session.query("SELECT VERSION(), @@SESSION.sql_mode, DATABASE()", 1)?;
        let mut row = rows.pop().ok_or_else(lost)?;
        let (version, modes) = (metadata::text(&mut row, 0), metadata::text(&mut row, 1));
        let schema = metadata::optional(&mut row, 2);
        let sql_mode: Vec<&str> = modes.split(',').filter(|m| !LEXICAL_MODES.contains(m)).collect();
        Ok(Self {
            mariadb: version.to_lowercase().contains("mariadb"),
            server: ServerInfo::new(version, schema.clone().unwrap_or_default()),
            sql_mode: sql_mode.join(","),
            current_schema: schema.clone(),
            default_schema: schema,
            kill: Arc::new(KillHandle::new(address, opened.connection_id, opened.handle)),
            session,
            pending: 0,
            dirty: false,
        })
    }

    /// Opens the read-only transaction with pinned modes, limits and schema; `then` is sent along with it and may only
    /// add what runs nothing by itself, since it reaches the server even if the transaction cannot be opened.
    fn begin(
        &mut self,
        schema: Option<&str>,
        timeout_ms: u64,
        then: impl FnOnce(&mut Session),
    ) -> HarvestResult<HarvestResult<()>> {
        self.settle()?;
        self.dirty = true;
        let limit = if self.mariadb {
            format!("max_statement_time = {}.{:03}", timeout_ms / 1_000, timeout_ms % 1_000)
        } else {
            format!("max_execution_time = {timeout_ms}")
        };
        self.session.put_query(&format!(
            "SET SESSION sql_mode = '{}', lock_wait_timeout = {LOCK_WAIT_S}, innodb_lock_wait_timeout = {LOCK_WAIT_S}, {limit}",
            self.sql_mode
        ));
        let wanted = schema.or(self.default_schema.as_deref());
        let moved =
            wanted.filter(|wanted| self.current_schema.as_deref() != Some(*wanted)).map(str::to_owned);
        if let Some(wanted) = &moved {
            self.session.put_schema(wanted);
        }
        self.session.put_query("START TRANSACTION READ ONLY");
        then(&mut self.session);
        self.session.wire.send()?;
        let mut result = self.told()?;
        if let Some(wanted) = moved {
            match self.told()? {
                Ok(()) => self.current_schema = Some(wanted),
                Err(error) if error.code == HarvestCode::NotFound => {
                    result = result.and(Err(error.with("kind", "schema").with("id", wanted)));
                }
                Err(error) => result = result.and(Err(error)),
            }
        }
        Ok(result.and(self.told()?))
    }

    /// The answer to a command; the outer error is that of a connection that is of no more use.
    fn told(&mut self) -> HarvestResult<HarvestResult<()>> {
        match self.session.done() {
            Err(error) if error.connection_broken => Err(error),
            other => Ok(other),
        }
    }

    /// Adds what ends the transaction and returns the session to its initial state; nobody waits for the answers.
    fn send_end(&mut self) -> HarvestResult<()> {
        self.session.put_query("ROLLBACK");
        self.session.put_reset();
        self.session.wire.send()?;
        (self.pending, self.dirty) = (2, false);
        Ok(())
    }

    /// Waits until the transaction before is rolled back and the session reset.
    fn settle(&mut self) -> HarvestResult<()> {
        if self.dirty {
            self.send_end()?;
        }
        let mut answers = self.answers()?;
        if answers.is_err() {
            // A KILL QUERY may have hit one of the two.
            self.send_end()?;
            answers = self.answers()?;
        }
        answers.map_err(HarvestError::broken)
    }

    fn answers(&mut self) -> HarvestResult<HarvestResult<()>> {
        let mut answers = Ok(());
        while self.pending > 0 {
            self.pending -= 1;
            answers = answers.and(self.told()?);
        }
        Ok(answers)
    }

    /// Runs `work` and says of its error whether time, a KILL or something else was its cause.
    fn watched<T>(
        &mut self,
        timeout_ms: u64,
        work: impl FnOnce(&mut Self) -> HarvestResult<T>,
    ) -> HarvestResult<T> {
        self.kill.begin();
        let started = Instant::now();
        let mut result = work(self);
        if self.dirty && !result.as_ref().is_err_and(|error| error.connection_broken) {
            let ended = self.send_end();
            result = result.and_then(|value| ended.map(|()| value));
        }
        let interrupted = self.kill.end();
        if interrupted && result.is_ok() {
            result = result.and_then(|value| self.absorb_kill().map(|()| value));
        }
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

    /// Runs `work` inside a read-only transaction that is rolled back whatever happens.
    fn in_transaction<T>(
        &mut self,
        timeout_ms: u64,
        work: impl FnOnce(&mut Session) -> HarvestResult<T>,
    ) -> HarvestResult<T> {
        self.watched(timeout_ms, |this| {
            this.begin(None, timeout_ms, |_| {})??;
            work(&mut this.session)
        })
    }

    /// Opens the transaction and prepares the statement, in one round trip. The server prepares exactly one statement, and
    /// runs nothing of it.
    fn prepare(
        &mut self,
        statement: &CheckedStatement,
        schema: Option<&str>,
        timeout_ms: u64,
    ) -> HarvestResult<Prepared> {
        let begun = self.begin(schema, timeout_ms, |session| session.put_prepare(&statement.sql))?;
        match self.session.prepared() {
            Err(error) if error.connection_broken => Err(error),
            prepared => begun.and(prepared),
        }
    }

    fn stream(
        &mut self,
        statement: &CheckedStatement,
        params: &[Value],
        schema: Option<&str>,
        limits: &Limits,
        sink: &mut dyn RowSink,
    ) -> HarvestResult<()> {
        let values: Vec<mysql_common::Value> =
            params.iter().map(decode::parameter).collect::<HarvestResult<_>>()?;
        let prepared = self.prepare(statement, schema, limits.timeout_ms)?;
        if statement.kind == StatementKind::Select && prepared.columns.is_empty() {
            // A read-only transaction stops neither SET PASSWORD nor DDL; the server has only prepared it so far.
            return Err(HarvestError::new(HarvestCode::PermissionDenied, NO_ROWS));
        }
        if prepared.params != values.len() {
            let (expected, given) = (prepared.params, values.len());
            let message = format!("the statement has {expected} parameters, {given} were given");
            return Err(HarvestError::new(HarvestCode::InvalidArgument, message).with("argument", "params"));
        }
        self.session.put_execute(prepared.id, &values);
        self.session.put_close(prepared.id);
        self.send_end()?;
        let sources = match self.session.answer()? {
            Answer::Done => return sink.columns(&[]),
            Answer::Rows(columns) => columns,
        };
        let columns: Vec<Column> = sources.iter().map(types::column).collect();
        let mut result = sink.columns(&columns).map(|()| Flow::Continue);
        while matches!(result, Ok(Flow::Continue)) {
            let Some(row) = self.session.row(&sources, limits.cell_bytes_max)? else { return Ok(()) };
            let cells = row.into_iter().zip(&columns);
            let values =
                cells.map(|(raw, column)| decode::value(raw, column, limits.cell_bytes_max)).collect();
            result = sink.row(values);
        }
        self.cut()?;
        result.map(|_| ())
    }

    /// Ends a statement whose further rows nobody wants.
    fn cut(&mut self) -> HarvestResult<()> {
        let end = match self.session.skip_row() {
            Ok(false) => return Ok(()),
            Ok(true) => {
                self.kill.send();
                self.session.drain()
            }
            Err(error) => Err(error),
        };
        match end {
            Err(error) if error.connection_broken => Err(error),
            _ => self.absorb_kill(),
        }
    }

    /// A KILL QUERY that came too late for its statement stops the next one: that is one of ours, which does nothing.
    fn absorb_kill(&mut self) -> HarvestResult<()> {
        self.settle()?;
        self.session.put_query("DO 0");
        self.session.wire.send()?;
        self.told().map(|_| ())
    }
}

impl Drop for MysqlConnection {
    fn drop(&mut self) {
        self.session.put_quit();
        let _ = self.session.wire.send();
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
        self.watched(limits.timeout_ms, |this| this.stream(statement, params, schema, limits, sink))
    }

    fn validate(&mut self, statement: &CheckedStatement, schema: Option<&str>) -> HarvestResult<Vec<Column>> {
        self.watched(OWN_TIMEOUT_MS, |this| {
            let prepared = this.prepare(statement, schema, OWN_TIMEOUT_MS)?;
            this.session.put_close(prepared.id);
            Ok(prepared.columns.iter().map(types::column).collect())
        })
    }

    fn metadata(
        &mut self,
        request: &MetadataRequest,
        watch: &mut dyn MetadataWatch,
    ) -> HarvestResult<MetadataSnapshot> {
        let mariadb = self.mariadb;
        self.in_transaction(0, |session| metadata::read(session, mariadb, request, watch))
    }

    fn examine_account(&mut self) -> HarvestResult<Vec<AccountFinding>> {
        self.in_transaction(OWN_TIMEOUT_MS, account::examine)
    }

    fn ping(&mut self) -> HarvestResult<()> {
        let short = Duration::from_millis(PING_TIMEOUT_MS);
        self.session.wire.stream().set_timeouts(short, short).map_err(|_| lost())?;
        self.settle()?;
        self.session.put_ping();
        self.session.wire.send()?;
        self.session.done().map_err(HarvestError::broken)?;
        startup::relax(self.session.wire.stream())
    }

    fn reset(&mut self) -> HarvestResult<()> {
        self.settle()?;
        if self.session.wire.is_dead() { Err(lost()) } else { Ok(()) }
    }
}
