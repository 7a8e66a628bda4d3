//! One table of vectors: writes in transactions, exact or indexed search, filters before the cut; it opens no TLS itself.

use std::fmt::Write as _;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use ai_core::{
    AiError, AiErrorCode, AiResult, Allowed, Deadline, Metric, VectorHit, VectorItem, VectorStore,
    check_vector,
};
use postgres::error::SqlState;
use postgres::{Client, NoTls, Transaction};

/// The largest dimension that pgvector indexes; larger spaces are scanned.
const INDEX_DIM_MAX: usize = 2_000;

/// The largest dimension of a `vector` column that this store uses.
const DIM_MAX: usize = 8_192;

/// Rows of one insert statement.
const INSERT_ROWS: usize = 200;

/// How long a write or a count may take, in milliseconds.
const WRITE_TIMEOUT_MS: u64 = 60_000;

/// Opens a connection; a host that wants TLS opens it here.
pub type PgConnect = Arc<dyn Fn() -> AiResult<Client> + Send + Sync>;

/// Connections without TLS to a `postgres://` address, for servers on the same machine or network.
#[must_use]
pub fn plain_connector(address: impl Into<String>) -> PgConnect {
    let address = address.into();
    Arc::new(move || Client::connect(&address, NoTls).map_err(failed))
}

/// How a table of vectors is used.
#[derive(Debug, Clone, PartialEq, Eq)]
// Exhaustive on purpose: hosts build it with struct update syntax.
pub struct PgVectorsOptions {
    /// Schema of the table; created when it is missing.
    pub schema: String,
    /// Number of the embedding space; the table is `rag_vec_<space_id>`.
    pub space_id: u32,
    /// Keep an HNSW index, when the dimension allows one. Filtered searches still return every match they should.
    pub index: bool,
    /// Connections that are open at most.
    pub connections_max: usize,
}

impl Default for PgVectorsOptions {
    fn default() -> Self {
        Self { schema: "penstock".to_owned(), space_id: 1, index: false, connections_max: 4 }
    }
}

/// The vectors of one embedding space.
#[non_exhaustive]
pub struct PgVectors {
    connect: PgConnect,
    table: String,
    dim: usize,
    metric: Metric,
    indexed: bool,
    connections_max: usize,
    pool: Mutex<(Vec<Client>, usize)>,
    freed: Condvar,
}

impl std::fmt::Debug for PgVectors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgVectors")
            .field("table", &self.table)
            .field("dim", &self.dim)
            .finish_non_exhaustive()
    }
}

/// An error without the address or the user: a server's message may hold neither, a driver's may.
fn failed(error: postgres::Error) -> AiError {
    if let Some(db) = error.as_db_error() {
        let code = match db.code() {
            c if *c == SqlState::QUERY_CANCELED => AiErrorCode::DeadlineExceeded,
            c if *c == SqlState::INSUFFICIENT_PRIVILEGE => AiErrorCode::PermissionDenied,
            c if *c == SqlState::INVALID_PASSWORD || *c == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                return AiError::new(
                    AiErrorCode::PermissionDenied,
                    "the PostgreSQL store refused the credentials",
                );
            }
            c if *c == SqlState::UNDEFINED_FILE || *c == SqlState::UNDEFINED_OBJECT => {
                AiErrorCode::FailedPrecondition
            }
            c if *c == SqlState::T_R_SERIALIZATION_FAILURE || *c == SqlState::T_R_DEADLOCK_DETECTED => {
                AiErrorCode::Unavailable
            }
            _ => AiErrorCode::Internal,
        };
        return AiError::new(code, format!("PostgreSQL store: {}", db.message()))
            .with("sqlstate", db.code().code());
    }
    AiError::unavailable("the PostgreSQL store cannot be reached; check its address and that it runs")
}

fn name_ok(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 48
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn text(vector: &[f32]) -> String {
    let mut out = String::with_capacity(vector.len() * 10 + 2);
    out.push('[');
    for (i, x) in vector.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        // Writing to a String does not fail.
        let _ = write!(out, "{x}");
    }
    out.push(']');
    out
}

impl PgVectors {
    /// Opens the table of a space and creates what is missing: extension, schema, table, index.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a schema name other than lower-case letters, digits and `_`; `FAILED_PRECONDITION` when the
    /// server lacks pgvector, the dimension is out of range or the table has another; `UNAVAILABLE`, `PERMISSION_DENIED`.
    pub fn open(
        connect: PgConnect,
        dim: usize,
        metric: Metric,
        options: &PgVectorsOptions,
    ) -> AiResult<Self> {
        if !name_ok(&options.schema) {
            return Err(AiError::invalid("schema must have 1-48 lower-case letters, digits or _")
                .with("argument", "schema"));
        }
        if dim == 0 || dim > DIM_MAX {
            return Err(AiError::new(
                AiErrorCode::FailedPrecondition,
                format!("dimension {dim} is outside 1-{DIM_MAX}"),
            )
            .with("limit", DIM_MAX as u64));
        }
        let table = format!("{}.rag_vec_{}", options.schema, options.space_id);
        let indexed = options.index && dim <= INDEX_DIM_MAX;
        let made = Self {
            connect,
            table,
            dim,
            metric,
            indexed,
            connections_max: options.connections_max.max(1),
            pool: Mutex::new((Vec::new(), 0)),
            freed: Condvar::new(),
        };
        made.transact(Deadline::after_ms(WRITE_TIMEOUT_MS), |tx| made.prepare(tx, &options.schema))?;
        Ok(made)
    }

    fn prepare(&self, tx: &mut Transaction<'_>, schema: &str) -> AiResult<()> {
        let known = |tx: &mut Transaction<'_>| {
            tx.query_one("SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'vector')", &[])
                .map_err(failed)
        };
        // A role without the right to create extensions may use one that is there.
        if !known(tx)?.get::<_, bool>(0) {
            tx.batch_execute("CREATE EXTENSION vector").map_err(failed)?;
        }
        tx.batch_execute(&format!(
            "CREATE SCHEMA IF NOT EXISTS {schema};
             CREATE TABLE IF NOT EXISTS {table} (chunk_pk bigint PRIMARY KEY, source_id bigint NOT NULL,
               embedding vector({dim}) NOT NULL);
             CREATE INDEX IF NOT EXISTS {index}_source ON {table} (source_id);",
            table = self.table,
            dim = self.dim,
            index = self.index_name(),
        ))
        .map_err(failed)?;
        let held: i32 = tx
            .query_one(
                "SELECT atttypmod FROM pg_attribute WHERE attrelid = $1::text::regclass AND attname = 'embedding'",
                &[&self.table],
            )
            .map_err(failed)?
            .get(0);
        if usize::try_from(held).ok() != Some(self.dim) {
            return Err(AiError::new(
                AiErrorCode::FailedPrecondition,
                format!("table {} holds vectors of {held} components, not {}", self.table, self.dim),
            ));
        }
        if self.indexed {
            tx.batch_execute(&format!(
                "CREATE INDEX IF NOT EXISTS {}_hnsw ON {} USING hnsw (embedding {})",
                self.index_name(),
                self.table,
                match self.metric {
                    Metric::Cosine => "vector_cosine_ops",
                    Metric::L2 => "vector_l2_ops",
                    Metric::Dot => "vector_ip_ops",
                }
            ))
            .map_err(failed)?;
        }
        Ok(())
    }

    fn index_name(&self) -> String {
        self.table.rsplit('.').next().unwrap_or("rag_vec").to_owned()
    }

    const fn operator(&self) -> &'static str {
        match self.metric {
            Metric::Cosine => "<=>",
            Metric::L2 => "<->",
            Metric::Dot => "<#>",
        }
    }

    fn take(&self, deadline: Deadline) -> AiResult<Client> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(client) = pool.0.pop() {
                if client.is_closed() {
                    pool.1 -= 1;
                    continue;
                }
                return Ok(client);
            }
            if pool.1 < self.connections_max {
                pool.1 += 1;
                drop(pool);
                return (self.connect)().inspect_err(|_| self.forget());
            }
            deadline.check("a connection to the PostgreSQL store was free")?;
            let wait = deadline.remaining().min(Duration::from_millis(200));
            pool = self.freed.wait_timeout(pool, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn forget(&self) {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).1 -= 1;
        self.freed.notify_one();
    }

    /// Runs `work` in one transaction that the server ends at the deadline; an error rolls it back.
    fn transact<T>(
        &self,
        deadline: Deadline,
        work: impl FnOnce(&mut Transaction<'_>) -> AiResult<T>,
    ) -> AiResult<T> {
        deadline.check("the PostgreSQL store was asked")?;
        let mut client = self.take(deadline)?;
        let result = (|| {
            let ms = deadline.remaining().as_millis().clamp(1, 86_400_000);
            let mut tx = client.transaction().map_err(failed)?;
            tx.batch_execute(&format!("SET LOCAL statement_timeout = {ms}")).map_err(failed)?;
            let value = work(&mut tx)?;
            tx.commit().map_err(failed)?;
            Ok(value)
        })();
        if client.is_closed() {
            self.forget();
        } else {
            self.pool.lock().unwrap_or_else(PoisonError::into_inner).0.push(client);
            self.freed.notify_one();
        }
        result
    }

    /// The exact nearest by a scan of what is permitted.
    fn exact(
        &self,
        tx: &mut Transaction<'_>,
        query: &str,
        k: i64,
        allowed: &Allowed,
    ) -> AiResult<Vec<VectorHit>> {
        // "+ 0" keeps an approximate index from answering in place of the scan.
        let rows = tx
            .query(
                &format!(
                    "SELECT chunk_pk, (embedding {op} $1::text::vector) + 0 AS distance FROM {table}
                     WHERE ($2::bigint[] IS NULL OR source_id = ANY ($2)) AND ($3::bigint[] IS NULL OR chunk_pk = ANY ($3))
                     ORDER BY distance, chunk_pk LIMIT $4",
                    op = self.operator(),
                    table = self.table
                ),
                &[&query, &allowed.source_ids, &allowed.chunk_pks, &k],
            )
            .map_err(failed)?;
        Ok(rows.iter().map(hit).collect())
    }

    /// The nearest by the index; fewer than `k` come back when the index gave up early.
    fn by_index(
        &self,
        tx: &mut Transaction<'_>,
        query: &str,
        k: i64,
        allowed: &Allowed,
    ) -> AiResult<Vec<VectorHit>> {
        let wide = (k * 4).clamp(40, 1000);
        tx.batch_execute(&format!("SET LOCAL hnsw.ef_search = {wide}")).map_err(failed)?;
        let rows = tx
            .query(
                &format!(
                    "SELECT chunk_pk, distance FROM (SELECT chunk_pk, embedding {op} $1::text::vector AS distance
                     FROM {table} WHERE ($2::bigint[] IS NULL OR source_id = ANY ($2))
                     ORDER BY embedding {op} $1::text::vector LIMIT $3) AS near
                     ORDER BY distance, chunk_pk LIMIT $4",
                    op = self.operator(),
                    table = self.table
                ),
                &[&query, &allowed.source_ids, &wide, &k],
            )
            .map_err(failed)?;
        Ok(rows.iter().map(hit).collect())
    }
}

fn hit(row: &postgres::Row) -> VectorHit {
    VectorHit { chunk_pk: row.get(0), distance: row.get::<_, f64>(1) as f32 }
}

impl VectorStore for PgVectors {
    fn dim(&self) -> usize {
        self.dim
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn put(&self, items: &[VectorItem]) -> AiResult<()> {
        for item in items {
            check_vector(&item.vector, self.dim)?;
        }
        self.transact(Deadline::after_ms(WRITE_TIMEOUT_MS), |tx| {
            let statement = tx
                .prepare(&format!(
                    "INSERT INTO {} (chunk_pk, source_id, embedding)
                     SELECT p, s, v::vector FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS rows (p, s, v)
                     ON CONFLICT (chunk_pk) DO UPDATE SET source_id = excluded.source_id, embedding = excluded.embedding",
                    self.table
                ))
                .map_err(failed)?;
            for batch in distinct(items).chunks(INSERT_ROWS) {
                let pks: Vec<i64> = batch.iter().map(|i| i.chunk_pk).collect();
                let sources: Vec<i64> = batch.iter().map(|i| i.source_id).collect();
                let vectors: Vec<String> = batch.iter().map(|i| text(&i.vector)).collect();
                tx.execute(&statement, &[&pks, &sources, &vectors]).map_err(failed)?;
            }
            Ok(())
        })
    }

    fn delete(&self, chunk_pks: &[i64]) -> AiResult<()> {
        self.transact(Deadline::after_ms(WRITE_TIMEOUT_MS), |tx| {
            tx.execute(&format!("DELETE FROM {} WHERE chunk_pk = ANY ($1)", self.table), &[&chunk_pks])
                .map(drop)
                .map_err(failed)
        })
    }

    fn search(
        &self,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Vec<VectorHit>> {
        check_vector(query, self.dim)?;
        if k == 0 {
            return Ok(Vec::new());
        }
        let (query, wanted) = (text(query), i64::try_from(k).unwrap_or(i64::MAX));
        self.transact(deadline, |tx| {
            if self.indexed && allowed.chunk_pks.is_none() && k <= 250 {
                let hits = self.by_index(tx, &query, wanted, allowed)?;
                if hits.len() == k {
                    return Ok(hits);
                }
            }
            self.exact(tx, &query, wanted, allowed)
        })
    }

    fn distances(&self, query: &[f32], chunk_pks: &[i64]) -> AiResult<Vec<VectorHit>> {
        check_vector(query, self.dim)?;
        let query = text(query);
        let allowed = Allowed::all().with_chunks(chunk_pks.to_vec());
        self.transact(Deadline::after_ms(WRITE_TIMEOUT_MS), |tx| {
            self.exact(tx, &query, i64::try_from(chunk_pks.len()).unwrap_or(i64::MAX), &allowed)
        })
    }

    fn count(&self) -> AiResult<u64> {
        self.transact(Deadline::after_ms(WRITE_TIMEOUT_MS), |tx| {
            let n: i64 =
                tx.query_one(&format!("SELECT count(*) FROM {}", self.table), &[]).map_err(failed)?.get(0);
            Ok(n.max(0) as u64)
        })
    }
}

/// One item for each key: of several, the last counts.
fn distinct(items: &[VectorItem]) -> Vec<&VectorItem> {
    let mut last: std::collections::BTreeMap<i64, &VectorItem> = std::collections::BTreeMap::new();
    for item in items {
        last.insert(item.chunk_pk, item);
    }
    last.into_values().collect()
}
