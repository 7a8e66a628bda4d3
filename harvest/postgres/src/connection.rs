//! One PostgreSQL session: read-only transactions with server-side limits, always rolled back; it does not judge statements.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harvest::{
    AccountFinding, CheckedStatement, Column, ConnectParams, Connection, Dialect, HarvestCode, HarvestError,
    HarvestResult, Interrupt, Limits, MetadataRequest, MetadataSnapshot, MetadataWatch, RowSink, ServerInfo,
    Value,
};

use crate::dialect::{PostgresDialect, quote};
use crate::interrupt::CancelHandle;
use crate::session::{Session, columns_of};
use crate::startup::{self, Address};
use crate::statement::{self, End, Shape, Shapes};
use crate::wire::lost;
use crate::{account, metadata};

/// The server ends a transaction that waits for a lock for two seconds: reading takes weak locks only, so a longer wait
/// means DDL at work. It ends one that we forgot after a minute. The other settings are what the gate and the row reader
/// rely on; `$1` is the search path, `$2` the time limit in milliseconds. After this query the server refuses to make the
/// transaction writable.
const PIN: &str = "SELECT pg_catalog.set_config('statement_timeout', $2, true), \
    pg_catalog.set_config('lock_timeout', '2000', true), \
    pg_catalog.set_config('idle_in_transaction_session_timeout', '60000', true), \
    pg_catalog.set_config('search_path', $1, true), \
    pg_catalog.set_config('standard_conforming_strings', 'on', true), \
    pg_catalog.set_config('datestyle', 'ISO', true), \
    pg_catalog.set_config('intervalstyle', 'iso_8601', true)";
/// Longest wait for an answer to a ping, in milliseconds.
const PING_TIMEOUT_MS: u64 = 2_000;
/// Longest run of statements of our own, in milliseconds.
const OWN_TIMEOUT_MS: u64 = 5_000;

pub(crate) struct PostgresConnection {
    session: Session,
    server: ServerInfo,
    /// Schemas searched after `pg_catalog`, quoted and joined.
    search_path: String,
    cancel: Arc<CancelHandle>,
    shapes: Shapes,
    /// Answers to ROLLBACK and DISCARD ALL that are on their way.
    pending: usize,
    /// Whether something ran that is not rolled back and discarded yet.
    dirty: bool,
}

impl PostgresConnection {
    pub(crate) fn open(params: &ConnectParams) -> HarvestResult<Self> {
        let address = Address::of(params)?;
        let opened = startup::open(params, &address)?;
        let mut session = Session::new(opened.wire);
        let sql = "SELECT pg_catalog.current_setting('server_version'), pg_catalog.current_schemas(false)::pg_catalog.text[]";
        let row = session.query_one(sql, &[])?;
        let (version, schemas): (String, Vec<String>) = (row.get(0), row.get(1));
        let default = schemas.first().cloned().unwrap_or_else(|| "public".to_owned());
        let quoted: Vec<String> = schemas.iter().map(|s| quote(s)).collect();
        let cancel = CancelHandle::new(address, opened.process_id, opened.secret, opened.handle);
        Ok(Self {
            session,
            server: ServerInfo::new(version, default),
            search_path: quoted.join(", "),
            cancel: Arc::new(cancel),
            shapes: Shapes::default(),
            pending: 0,
            dirty: false,
        })
    }

    /// The search path of a statement: `pg_catalog` comes first, so that no object of the same name can stand in for a
    /// built-in.
    fn path(&self, schema: Option<&str>) -> String {
        let path = schema.map_or_else(|| self.search_path.clone(), quote);
        format!("pg_catalog{}{path}", if path.is_empty() { "" } else { ", " })
    }

    /// Adds what opens the read-only transaction and pins its settings. Nothing that follows up to the next Sync runs
    /// unless all of this succeeds: the server skips it.
    fn put_begin(&mut self, begin: &str, path: &str, timeout_ms: u64) -> HarvestResult<()> {
        self.settle()?;
        self.dirty = true;
        self.session.put_parse("", begin)?;
        self.session.put_execute("", false, |out| out.extend_from_slice(&[0, 0]), &[]);
        self.session.put_parse("", PIN)?;
        let params = [Value::Text(path.to_owned()), Value::Text(timeout_ms.to_string())];
        let params = statement::parameters(&params)?;
        self.session.put_execute("", false, |out| out.extend_from_slice(&params), &[]);
        Ok(())
    }

    /// Adds what ends the transaction and returns the session to its initial state; nobody waits for the answers.
    fn put_end(&mut self) {
        self.session.put_query("ROLLBACK");
        self.session.put_query("DISCARD ALL");
    }

    fn send_end(&mut self) -> HarvestResult<()> {
        self.put_end();
        self.session.wire.send()?;
        (self.pending, self.dirty) = (2, false);
        Ok(())
    }

    /// Waits until the transaction before is rolled back and the session reset.
    fn settle(&mut self) -> HarvestResult<()> {
        if self.dirty {
            self.send_end()?;
        }
        let mut failed = self.answers()?;
        if failed.is_some() {
            // A cancel request may have hit one of the two.
            self.send_end()?;
            failed = self.answers()?;
        }
        failed.map_or(Ok(()), |error| Err(error.broken()))
    }

    fn answers(&mut self) -> HarvestResult<Option<HarvestError>> {
        let mut failed = None;
        while self.pending > 0 {
            self.pending -= 1;
            let answer = self.session.until_ready()?;
            failed = failed.or(answer);
        }
        Ok(failed)
    }

    /// Runs `work` and says of its error whether time, a cancel request or something else was its cause.
    fn watched<T>(
        &mut self,
        timeout_ms: u64,
        work: impl FnOnce(&mut Self) -> HarvestResult<T>,
    ) -> HarvestResult<T> {
        self.cancel.begin();
        let started = Instant::now();
        let mut result = work(self);
        if self.dirty && !result.as_ref().is_err_and(|error| error.connection_broken) {
            let ended = self.send_end();
            result = result.and_then(|value| ended.map(|()| value));
        }
        let interrupted = self.cancel.end();
        let timed_out = timeout_ms > 0 && started.elapsed() >= Duration::from_millis(timeout_ms);
        result.map_err(|error| {
            let error = if error.code == HarvestCode::Cancelled && timed_out && !interrupted {
                HarvestError::new(
                    HarvestCode::DeadlineExceeded,
                    "the statement ran out of time and was cancelled on the server",
                )
                .with("timeout_ms", timeout_ms)
            } else {
                error
            };
            if interrupted { error.broken() } else { error }
        })
    }

    /// Runs `work` inside a read-only transaction that is rolled back whatever happens.
    fn in_transaction<T>(
        &mut self,
        schema: Option<&str>,
        timeout_ms: u64,
        begin: &str,
        work: impl FnOnce(&mut Session) -> HarvestResult<T>,
    ) -> HarvestResult<T> {
        let path = self.path(schema);
        self.watched(timeout_ms, |this| {
            this.put_begin(begin, &path, timeout_ms)?;
            this.session.put_sync();
            this.session.wire.send()?;
            if let Some(error) = this.session.until_ready()? {
                return Err(error);
            }
            work(&mut this.session)
        })
    }

    /// Opens the transaction, prepares the statement and learns its columns, in one round trip.
    fn prepare(
        &mut self,
        statement: &CheckedStatement,
        path: &str,
        timeout_ms: u64,
    ) -> HarvestResult<Arc<Shape>> {
        self.put_begin("BEGIN READ ONLY", path, timeout_ms)?;
        self.session.put_parse("", &statement.sql)?;
        self.session.put_describe("");
        self.session.put_sync();
        self.session.wire.send()?;
        let described = self.session.described()?;
        let mut shape = Shape::of(&mut self.session, described, statement.kind)?;
        if let Some(sql) = shape.cast(statement) {
            self.session.put_parse("", &sql)?;
            self.session.put_describe("");
            self.session.put_sync();
            self.session.wire.send()?;
            let described = self.session.described()?;
            shape.cast_to(&mut self.session, &described)?;
        }
        Ok(Arc::new(shape))
    }

    fn stream(
        &mut self,
        statement: &CheckedStatement,
        params: &[Value],
        path: &str,
        limits: &Limits,
        sink: &mut dyn RowSink,
    ) -> HarvestResult<()> {
        let bound = statement::parameters(params)?;
        let key = self.shapes.key(&statement.sql, path);
        if let Some(shape) = self.shapes.get(key)
            && shape.described.params.len() == params.len()
        {
            if self.start_known(statement, &bound, path, limits.timeout_ms, &shape)? {
                return self.rows(&shape, limits.cell_bytes_max, sink);
            }
            // A table has changed: the statement starts again, and nothing of it was read.
            self.shapes.forget(key);
        }
        let shape = self.prepare(statement, path, limits.timeout_ms)?;
        statement::check_params(&shape, params.len())?;
        sink.columns(&shape.columns)?;
        self.session.put_execute("", false, |out| out.extend_from_slice(&bound), &shape.formats());
        self.session.put_sync();
        self.send_end()?;
        self.read(&shape, limits.cell_bytes_max, sink)?;
        self.shapes.keep(key, &shape);
        Ok(())
    }

    /// Starts a statement whose columns are known, in one round trip from BEGIN to ROLLBACK; `false` if they are other ones
    /// by now.
    fn start_known(
        &mut self,
        statement: &CheckedStatement,
        bound: &[u8],
        path: &str,
        timeout_ms: u64,
        shape: &Shape,
    ) -> HarvestResult<bool> {
        self.put_begin("BEGIN READ ONLY", path, timeout_ms)?;
        self.session.put_parse("", &statement.sql)?;
        self.session.put_describe("");
        self.session.put_execute("", false, |out| out.extend_from_slice(bound), &[1]);
        self.session.put_sync();
        self.send_end()?;
        let columns = loop {
            let frame = self.session.wire.next(false)?;
            match frame.tag {
                b'T' => break columns_of(self.session.wire.body(frame))?,
                b'n' => break Vec::new(),
                b'E' => {
                    let error = self.session.error_of(frame);
                    if !error.connection_broken {
                        self.session.until_ready()?;
                    }
                    return Err(error);
                }
                b'Z' => return Err(lost()),
                _ => {}
            }
        };
        if columns == shape.described.columns {
            return Ok(true);
        }
        self.session.until_ready()?;
        self.settle()?;
        Ok(false)
    }

    fn rows(&mut self, shape: &Shape, cell_bytes_max: usize, sink: &mut dyn RowSink) -> HarvestResult<()> {
        if let Err(error) = sink.columns(&shape.columns) {
            self.session.until_ready()?;
            return Err(error);
        }
        self.read(shape, cell_bytes_max, sink)
    }

    fn read(&mut self, shape: &Shape, cell_bytes_max: usize, sink: &mut dyn RowSink) -> HarvestResult<()> {
        let cancel = Arc::clone(&self.cancel);
        let (end, result) =
            statement::rows(&mut self.session, shape, cell_bytes_max, sink, &|| cancel.send())?;
        if matches!(end, End::Cut) {
            self.settle()?;
        }
        result
    }
}

impl Drop for PostgresConnection {
    fn drop(&mut self) {
        self.session.wire.put(b'X', |_| {});
        let _ = self.session.wire.send();
    }
}

impl Connection for PostgresConnection {
    fn server(&self) -> &ServerInfo {
        &self.server
    }

    fn dialect(&self) -> &'static dyn Dialect {
        &PostgresDialect
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::clone(&self.cancel) as Arc<dyn Interrupt>
    }

    fn query(
        &mut self,
        statement: &CheckedStatement,
        params: &[Value],
        schema: Option<&str>,
        limits: &Limits,
        sink: &mut dyn RowSink,
    ) -> HarvestResult<()> {
        let path = self.path(schema);
        self.watched(limits.timeout_ms, |this| this.stream(statement, params, &path, limits, sink))
    }

    fn validate(&mut self, statement: &CheckedStatement, schema: Option<&str>) -> HarvestResult<Vec<Column>> {
        let path = self.path(schema);
        self.watched(OWN_TIMEOUT_MS, |this| {
            this.prepare(statement, &path, OWN_TIMEOUT_MS).map(|shape| shape.columns.clone())
        })
    }

    fn metadata(
        &mut self,
        request: &MetadataRequest,
        watch: &mut dyn MetadataWatch,
    ) -> HarvestResult<MetadataSnapshot> {
        // An empty search path makes the server write every name with its schema.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        self.in_transaction(Some("pg_catalog"), 0, begin, |session| metadata::read(session, request, watch))
    }

    fn examine_account(&mut self) -> HarvestResult<Vec<AccountFinding>> {
        self.in_transaction(None, OWN_TIMEOUT_MS, "BEGIN READ ONLY", account::examine)
    }

    fn ping(&mut self) -> HarvestResult<()> {
        let short = Duration::from_millis(PING_TIMEOUT_MS);
        self.session.wire.stream().set_timeouts(short, short).map_err(|_| lost())?;
        self.settle()?;
        self.session.put_sync();
        self.session.wire.send()?;
        self.session.until_ready()?;
        startup::relax(self.session.wire.stream())
    }

    fn reset(&mut self) -> HarvestResult<()> {
        self.settle()?;
        if self.session.wire.is_dead() { Err(lost()) } else { Ok(()) }
    }
}
