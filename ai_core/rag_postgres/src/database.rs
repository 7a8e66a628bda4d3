//! A retrieval store's database in one schema of a PostgreSQL server, shared by several processes; it knows no document.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ai_core::{AiError, AiErrorCode, AiResult, Deadline};
use ai_core_rag::{Database, Session, SessionWork, SqlFamily, VectorSpace};
use postgres::{Client, IsolationLevel};

use crate::errors::{failed, is_race, may_repeat};
use crate::index::{self, Verdicts};
use crate::pool::{Lent, PgConnect, Pool};
use crate::schema;
use crate::session::PgSession;

/// How long one write may take, waiting for other writers included, in milliseconds.
const WRITE_TIMEOUT_MS: u64 = 120_000;

/// How long building and measuring an index may take, in milliseconds.
const INDEX_TIMEOUT_MS: u64 = 3_600_000;

/// Times that a transaction is run again when the server asks for it.
const REPEATS_MAX: u32 = 8;

/// How the store uses a server.
#[derive(Debug, Clone, PartialEq, Eq)]
// Exhaustive on purpose: hosts build it with struct update syntax.
pub struct PgOptions {
    /// Schema of the tables; created when it is missing. One store a schema.
    pub schema: String,
    /// Connections that are open at most.
    pub connections_max: usize,
    /// Vectors of a space from which an HNSW index is built; `None` means never.
    pub index_rows_min: Option<u64>,
}

impl Default for PgOptions {
    fn default() -> Self {
        Self { schema: "penstock_rag".to_owned(), connections_max: 8, index_rows_min: Some(20_000) }
    }
}

/// A store's database on a PostgreSQL server with pgvector.
#[non_exhaustive]
pub struct PgDatabase {
    options: PgOptions,
    pool: Pool,
    verdicts: Verdicts,
    /// Held while an index is built or measured, so that this process does so once.
    indexing: Mutex<()>,
}

impl std::fmt::Debug for PgDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgDatabase").field("schema", &self.options.schema).finish_non_exhaustive()
    }
}

pub(crate) fn check_schema(name: &str) -> AiResult<()> {
    let good = !name.is_empty()
        && name.len() <= 48
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if good {
        return Ok(());
    }
    Err(AiError::invalid("schema must have 1-48 lower-case letters, digits or _").with("argument", "schema"))
}

impl PgDatabase {
    /// Connects and makes sure that the server has pgvector and the schema exists; the tables come with the store.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a schema name other than lower-case letters, digits and `_`; `FAILED_PRECONDITION` when the
    /// server lacks pgvector; `UNAVAILABLE`, `PERMISSION_DENIED`.
    pub fn open(connect: PgConnect, options: PgOptions) -> AiResult<Self> {
        check_schema(&options.schema)?;
        let made = Self {
            pool: Pool::new(connect, options.connections_max),
            options,
            verdicts: Verdicts::default(),
            indexing: Mutex::new(()),
        };
        // Greeting the first connection is what checks the server.
        made.pool
            .with(Deadline::after_ms(WRITE_TIMEOUT_MS), &|c| made.greet(c), &|_| Ok(()), &mut |_| Ok(()))?;
        Ok(made)
    }

    pub(crate) const fn verdicts(&self) -> &Verdicts {
        &self.verdicts
    }

    /// Prepares a new connection: schema, pgvector, names without a schema.
    fn greet(&self, client: &mut Client) -> AiResult<()> {
        let schema = &self.options.schema;
        let place = match vector_place(client)? {
            Some(place) => place,
            None => {
                // A role without the right to create extensions may use one that is there.
                let made = client.batch_execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public");
                match (made, vector_place(client)?) {
                    (_, Some(place)) => place,
                    (Err(error), None) => return Err(failed(error)),
                    (Ok(()), None) => {
                        return Err(AiError::new(
                            AiErrorCode::FailedPrecondition,
                            "the PostgreSQL server has no type `vector`; install pgvector",
                        ));
                    }
                }
            }
        };
        let held =
            client.query_opt("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[schema]).map_err(failed)?;
        if held.is_none() {
            match client.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).map_err(failed) {
                Err(error) if is_race(&error) => {}
                other => other?,
            }
        }
        let place =
            if place == *schema { String::new() } else { format!(", \"{}\"", place.replace('"', "\"\"")) };
        client
            .batch_execute(&format!(
                "SET search_path TO {schema}{place}; SET application_name = 'retrieval store'; SET client_min_messages = warning"
            ))
            .map_err(failed)
    }

    /// Runs `work` in one transaction that the server ends at the deadline; an error rolls it back.
    pub(crate) fn transact(
        &self,
        deadline: Deadline,
        mode: Mode,
        work: &mut dyn FnMut(&PgSession<'_, '_>) -> AiResult<()>,
    ) -> AiResult<()> {
        deadline.check("the PostgreSQL store was asked")?;
        let start = |client: &mut Client| {
            let ms = deadline.remaining().as_millis().clamp(1, 86_400_000);
            client.batch_execute(&format!("SET statement_timeout = {ms}")).map_err(failed)
        };
        self.pool.with(deadline, &|c| self.greet(c), &start, &mut |lent: &mut Lent| {
            let builder = lent.client.build_transaction();
            let mut tx = match mode {
                Mode::Read => builder.isolation_level(IsolationLevel::RepeatableRead).read_only(true).start(),
                _ => builder.isolation_level(IsolationLevel::ReadCommitted).start(),
            }
            .map_err(failed)?;
            if mode == Mode::WriteAlone {
                // One writer at a time: positions of the outbox are committed in their order, and counters add up.
                tx.query_opt("SELECT value FROM rag_meta WHERE key = 'writer' FOR UPDATE", &[])
                    .map_err(failed)?;
            }
            work(&PgSession::new(&mut tx, &mut lent.statements, &self.verdicts))?;
            tx.commit().map_err(failed)
        })
    }

    /// As [`Self::transact`] for writes, again when the server asks for it.
    pub(crate) fn transact_again(
        &self,
        mode: Mode,
        work: &mut dyn FnMut(&PgSession<'_, '_>) -> AiResult<()>,
    ) -> AiResult<()> {
        let deadline = Deadline::after_ms(WRITE_TIMEOUT_MS);
        for round in 0.. {
            match self.transact(deadline, mode, work) {
                Err(error) if may_repeat(&error) && round < REPEATS_MAX && !deadline.is_over() => {
                    std::thread::sleep(Duration::from_millis(5 << round));
                }
                other => return other,
            }
        }
        Ok(())
    }

    /// Builds and measures the index of a space that is large enough; `epoch` tells whether anything has changed.
    pub(crate) fn warm_at(&self, space: &VectorSpace, epoch: u64) -> AiResult<Option<f32>> {
        let _one = self.indexing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.verdicts.current(space.space_id, epoch) {
            return Ok(None);
        }
        let deadline = Deadline::after_ms(INDEX_TIMEOUT_MS);
        let mut rows = 0;
        self.transact(deadline, Mode::Read, &mut |session| {
            rows = session.count_vectors(space)?;
            Ok(())
        })?;
        if self.verdicts.still_holds(space.space_id, epoch, rows) {
            return Ok(None);
        }
        if self.options.index_rows_min.is_none_or(|min| rows < min) {
            index::scan(&self.verdicts, space, rows, epoch);
            return Ok(None);
        }
        self.verdicts.withdraw(space.space_id);
        let mut built = false;
        let start = |client: &mut Client| {
            client.batch_execute(&format!("SET statement_timeout = {INDEX_TIMEOUT_MS}")).map_err(failed)
        };
        self.pool.with(deadline, &|c| self.greet(c), &start, &mut |lent: &mut Lent| {
            built = index::build(&mut lent.client, space)?;
            Ok(())
        })?;
        if !built {
            index::scan(&self.verdicts, space, rows, epoch);
            return Ok(None);
        }
        let mut recall = 0.0;
        self.transact(deadline, Mode::Read, &mut |session| {
            recall = index::measure(session, &self.verdicts, space, rows, epoch)?;
            Ok(())
        })?;
        Ok(Some(recall))
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One snapshot, read only.
    Read,
    /// A write beside others.
    Write,
    /// The store's one write at a time.
    WriteAlone,
}

/// The schema of the type `vector`.
fn vector_place(client: &mut Client) -> AiResult<Option<String>> {
    let row = client
        .query_opt(
            "SELECT CAST(n.nspname AS text) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
             WHERE t.typname = 'vector' LIMIT 1",
            &[],
        )
        .map_err(failed)?;
    Ok(row.map(|r| r.get(0)))
}

impl Database for PgDatabase {
    fn family(&self) -> SqlFamily {
        SqlFamily::Postgres
    }

    fn migrate(&self) -> AiResult<()> {
        let uuid = format!("{:x}-{:x}", std::process::id(), nanos());
        let deadline = Deadline::after_ms(WRITE_TIMEOUT_MS);
        for round in 0.. {
            let start = |client: &mut Client| {
                client.batch_execute(&format!("SET statement_timeout = {WRITE_TIMEOUT_MS}")).map_err(failed)
            };
            let done = self.pool.with(deadline, &|c| self.greet(c), &start, &mut |lent: &mut Lent| {
                let mut tx = lent.client.transaction().map_err(failed)?;
                schema::migrate(&mut tx, &uuid)?;
                tx.commit().map_err(failed)
            });
            match done {
                Err(error) if is_race(&error) && round < REPEATS_MAX => {
                    std::thread::sleep(Duration::from_millis(20 << round));
                }
                other => return other,
            }
        }
        Ok(())
    }

    fn read(&self, deadline: Deadline, work: SessionWork<'_>) -> AiResult<()> {
        self.transact(deadline, Mode::Read, &mut |session| work(session))
    }

    fn write(&self, work: SessionWork<'_>) -> AiResult<()> {
        self.transact_again(Mode::WriteAlone, &mut |session| work(session))
    }

    fn warm(&self, space: &VectorSpace) -> AiResult<Option<f32>> {
        let mut epoch = 0;
        self.transact(Deadline::after_ms(WRITE_TIMEOUT_MS), Mode::Read, &mut |session| {
            let session: &dyn Session = session;
            let text: Option<String> =
                session.first("SELECT value FROM rag_meta WHERE key = 'vec_epoch'", &[], |r| r.get(0))?;
            epoch = text.and_then(|t| t.parse().ok()).unwrap_or(0);
            Ok(())
        })?;
        self.warm_at(space, epoch)
    }
}

fn nanos() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos())
}
