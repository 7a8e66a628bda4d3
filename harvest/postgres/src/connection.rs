//! One PostgreSQL session: read-only transactions with server-side limits, always rolled back; it does not judge statements.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harvest::{
    AccountFinding, CheckedStatement, Column, Connection, Dialect, Flow, HarvestCode, HarvestError,
    HarvestResult, Interrupt, Limits, MetadataRequest, MetadataSnapshot, MetadataWatch, RowSink, ServerInfo,
    StatementKind, Value,
};
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{Format, IsNull, ToSql, Type};
use postgres::{Client, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::decode::Cell;
use crate::dialect::{PostgresDialect, quote};
use crate::error::from_postgres;
use crate::interrupt::CancelHandle;
use crate::types::{self, Reading};
use crate::{account, metadata};

/// Longest wait for a lock, in milliseconds: reading takes weak locks only, so a longer wait means DDL at work.
const LOCK_TIMEOUT_MS: u64 = 2_000;
/// The server ends a transaction that we forgot after this long, in milliseconds.
const IDLE_TIMEOUT_MS: u64 = 60_000;
/// Longest wait for an answer to a ping, in milliseconds.
const PING_TIMEOUT_MS: u64 = 2_000;

pub(crate) struct PostgresConnection {
    client: Client,
    server: ServerInfo,
    /// Schemas searched after `pg_catalog`, quoted and joined.
    search_path: String,
    cancel: Arc<CancelHandle>,
}

impl PostgresConnection {
    pub(crate) fn open(mut client: Client, tls: Option<Arc<MakeRustlsConnect>>) -> HarvestResult<Self> {
        let sql = "SELECT pg_catalog.current_setting('server_version'), pg_catalog.current_schemas(false)::pg_catalog.text[]";
        let row = client.query_one(sql, &[]).map_err(|e| from_postgres(&e))?;
        let (version, schemas): (String, Vec<String>) = (row.get(0), row.get(1));
        let default = schemas.first().cloned().unwrap_or_else(|| "public".to_owned());
        let quoted: Vec<String> = schemas.iter().map(|s| quote(s)).collect();
        let cancel = Arc::new(CancelHandle::new(client.cancel_token(), tls));
        Ok(Self { client, server: ServerInfo::new(version, default), search_path: quoted.join(", "), cancel })
    }

    /// Opens the read-only transaction and pins every setting that the gate or the row reader relies on.
    ///
    /// `pg_catalog` comes first in the search path, so that no object of the same name can stand in for a built-in.
    fn begin(&mut self, schema: Option<&str>, timeout_ms: u64, isolation: &str) -> HarvestResult<()> {
        let path = match schema {
            Some(schema) => quote(schema),
            None => self.search_path.clone(),
        };
        let mut sql = format!("BEGIN {isolation} READ ONLY; SET LOCAL statement_timeout = {timeout_ms}; ");
        let _ = write!(sql, "SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}; ");
        let _ = write!(sql, "SET LOCAL idle_in_transaction_session_timeout = {IDLE_TIMEOUT_MS}; ");
        let _ = write!(
            sql,
            "SET LOCAL search_path = pg_catalog{}{path}; ",
            if path.is_empty() { "" } else { ", " }
        );
        sql.push_str("SET LOCAL standard_conforming_strings = on; SET LOCAL datestyle = ISO; SET LOCAL intervalstyle = iso_8601");
        self.client.batch_execute(&sql).map_err(|e| {
            let error = from_postgres(&e);
            let _ = self.client.batch_execute("ROLLBACK");
            error
        })
    }

    fn rollback(&mut self) -> HarvestResult<()> {
        self.client.batch_execute("ROLLBACK").map_err(|e| from_postgres(&e).broken())
    }

    /// Runs `work` inside a read-only transaction that is rolled back whatever happens.
    fn in_transaction<T>(
        &mut self,
        schema: Option<&str>,
        timeout_ms: u64,
        isolation: &str,
        work: impl FnOnce(&mut Self) -> HarvestResult<T>,
    ) -> HarvestResult<T> {
        self.cancel.begin();
        let started = Instant::now();
        let result = self.begin(schema, timeout_ms, isolation).and_then(|()| {
            let result = work(self);
            match self.rollback() {
                Ok(()) => result,
                Err(error) => Err(result.err().unwrap_or(error).broken()),
            }
        });
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

    /// Prepares the statement; columns that have no plain binary form are cast to text by the server itself.
    fn prepare(&mut self, statement: &CheckedStatement) -> HarvestResult<(Statement, Vec<Column>)> {
        let prepared = self.client.prepare(&statement.sql).map_err(|e| from_postgres(&e))?;
        let read: Vec<(Column, Reading)> =
            prepared.columns().iter().map(|c| types::column(c.name(), c.type_())).collect();
        let plain = read.iter().all(|(_, reading)| *reading == Reading::Binary);
        let columns = read.iter().map(|(column, _)| column.clone()).collect();
        if plain || statement.kind != StatementKind::Select {
            return Ok((prepared, columns));
        }
        let casts: Vec<String> = read
            .iter()
            .enumerate()
            .map(|(index, (_, reading))| match reading {
                Reading::Binary => format!("c{index}"),
                Reading::CastText => format!("c{index}::pg_catalog.text"),
                Reading::CastTextArray => format!("c{index}::pg_catalog.text[]"),
                Reading::CastNumeric => format!("c{index}::pg_catalog.numeric"),
            })
            .collect();
        let names: Vec<String> = (0..read.len()).map(|index| format!("c{index}")).collect();
        let sql =
            format!("SELECT {} FROM ({}\n) AS q({})", casts.join(", "), statement.sql, names.join(", "));
        let wrapped = self.client.prepare(&sql).map_err(|e| from_postgres(&e))?;
        Ok((wrapped, columns))
    }

    fn stream(
        &mut self,
        statement: &CheckedStatement,
        params: &[Value],
        cell_bytes_max: usize,
        sink: &mut dyn RowSink,
    ) -> HarvestResult<()> {
        let (prepared, columns) = self.prepare(statement)?;
        if prepared.params().len() != params.len() {
            let message = format!(
                "the statement has {} parameters, {} were given",
                prepared.params().len(),
                params.len()
            );
            return Err(HarvestError::new(HarvestCode::InvalidArgument, message).with("argument", "params"));
        }
        sink.columns(&columns)?;
        let cancel = Arc::clone(&self.cancel);
        let mut rows =
            self.client.query_raw(&prepared, params.iter().map(TextParam)).map_err(|e| from_postgres(&e))?;
        while let Some(row) = rows.next().map_err(|e| from_postgres(&e))? {
            let mut values = Vec::with_capacity(columns.len());
            for (index, column) in columns.iter().enumerate() {
                let Cell(value) = row.try_get(index).map_err(|e| unreadable(column, &e))?;
                values.push(cut(value, cell_bytes_max));
            }
            if sink.row(values)? == Flow::Stop {
                // More rows may be on their way: the server is told to stop, what is left is drained and dropped.
                if rows.next().is_ok_and(|row| row.is_some()) {
                    cancel.send();
                    while rows.next().is_ok_and(|row| row.is_some()) {}
                }
                break;
            }
        }
        Ok(())
    }
}

fn unreadable(column: &Column, error: &postgres::Error) -> HarvestError {
    let message = format!(
        "column {:?} of type {} cannot be read: cast it to text ({error})",
        column.name, column.native_type
    );
    HarvestError::new(HarvestCode::FailedPrecondition, message)
}

/// Cuts a long text or byte cell at a character boundary.
fn cut(value: Value, cell_bytes_max: usize) -> Value {
    match value {
        Value::Text(mut text) if text.len() > cell_bytes_max => {
            let end = (0..=cell_bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
            text.truncate(end);
            text.shrink_to_fit();
            Value::Text(text)
        }
        Value::Bytes(mut bytes) if bytes.len() > cell_bytes_max => {
            bytes.truncate(cell_bytes_max);
            bytes.shrink_to_fit();
            Value::Bytes(bytes)
        }
        other => other,
    }
}

/// A parameter in the server's text form, so that the server gives it the type that the statement wants.
#[derive(Debug)]
struct TextParam<'a>(&'a Value);

impl ToSql for TextParam<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let text = match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::UInt(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Json(value) => value.to_string(),
            Value::Decimal(text)
            | Value::Text(text)
            | Value::Date(text)
            | Value::Time(text)
            | Value::DateTime(text)
            | Value::TimestampTz(text)
            | Value::Interval(text)
            | Value::Uuid(text) => text.clone(),
            Value::Bytes(bytes) => bytes.iter().fold(String::from("\\x"), |mut hex, b| {
                let _ = write!(hex, "{b:02x}");
                hex
            }),
            Value::Array(_) => return Err("arrays cannot be bound: pass the array's text form".into()),
        };
        if text.contains('\0') {
            return Err("a parameter must not hold a NUL character".into());
        }
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    postgres::types::to_sql_checked!();
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
        let cell_bytes_max = limits.cell_bytes_max;
        self.in_transaction(schema, limits.timeout_ms, "", |this| {
            this.stream(statement, params, cell_bytes_max, sink)
        })
    }

    fn validate(&mut self, statement: &CheckedStatement, schema: Option<&str>) -> HarvestResult<Vec<Column>> {
        self.in_transaction(schema, 5_000, "", |this| this.prepare(statement).map(|(_, columns)| columns))
    }

    fn metadata(
        &mut self,
        request: &MetadataRequest,
        watch: &mut dyn MetadataWatch,
    ) -> HarvestResult<MetadataSnapshot> {
        // An empty search path makes the server write every name with its schema.
        self.in_transaction(Some("pg_catalog"), 0, "ISOLATION LEVEL REPEATABLE READ", |this| {
            metadata::read(&mut this.client, request, watch)
        })
    }

    fn examine_account(&mut self) -> HarvestResult<Vec<AccountFinding>> {
        self.in_transaction(None, 5_000, "", |this| account::examine(&mut this.client))
    }

    fn ping(&mut self) -> HarvestResult<()> {
        self.client.is_valid(Duration::from_millis(PING_TIMEOUT_MS)).map_err(|e| from_postgres(&e).broken())
    }

    fn reset(&mut self) -> HarvestResult<()> {
        self.client.batch_execute("DISCARD ALL").map_err(|e| from_postgres(&e).broken())
    }
}
