//! One space of vectors in its own table behind the seam's `VectorStore`; it knows no document and no store.

use std::sync::atomic::{AtomicU64, Ordering};

use ai_core::{
    AiError, AiErrorCode, AiResult, Allowed, Deadline, Metric, VectorHit, VectorItem, VectorStore,
    check_vector,
};
use ai_core_rag::{Session, VectorSpace};

use crate::database::{Mode, PgDatabase, PgOptions, check_schema};
use crate::pool::PgConnect;
use crate::session::DIM_MAX;

/// How long a write or a count may take, in milliseconds.
const WRITE_TIMEOUT_MS: u64 = 60_000;

/// How a table of vectors is used.
#[derive(Debug, Clone, PartialEq, Eq)]
// Exhaustive on purpose: hosts build it with struct update syntax.
pub struct PgVectorsOptions {
    /// Schema of the table; created when it is missing.
    pub schema: String,
    /// Number of the embedding space; the table is `rag_vec_<space_id>`.
    pub space_id: u32,
    /// Vectors from which [`PgVectors::warm`] builds an HNSW index, when the dimension allows one; `None` means never.
    pub index_rows_min: Option<u64>,
    /// Connections that are open at most.
    pub connections_max: usize,
}

impl Default for PgVectorsOptions {
    fn default() -> Self {
        Self { schema: "penstock".to_owned(), space_id: 1, index_rows_min: None, connections_max: 4 }
    }
}

/// The vectors of one embedding space.
#[derive(Debug)]
#[non_exhaustive]
pub struct PgVectors {
    database: PgDatabase,
    space: VectorSpace,
    /// Changes made through this handle.
    changes: AtomicU64,
}

impl PgVectors {
    /// Opens the table of a space and creates what is missing: extension, schema, table.
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
        check_schema(&options.schema)?;
        if dim == 0 || dim > DIM_MAX {
            return Err(AiError::new(
                AiErrorCode::FailedPrecondition,
                format!("dimension {dim} is outside 1-{DIM_MAX}"),
            )
            .with("limit", DIM_MAX as u64));
        }
        let database = PgDatabase::open(
            connect,
            PgOptions {
                schema: options.schema.clone(),
                connections_max: options.connections_max,
                index_rows_min: options.index_rows_min,
            },
        )?;
        let space = VectorSpace { space_id: i64::from(options.space_id), dim, metric, normalize: false };
        let made = Self { database, space, changes: AtomicU64::new(0) };
        made.database.transact_again(Mode::Write, &mut |session| {
            session.create_vectors(&made.space)?;
            made.check_dimension(session)
        })?;
        Ok(made)
    }

    fn check_dimension(&self, session: &dyn Session) -> AiResult<()> {
        let held: i64 = session.cell(
            "SELECT CAST(atttypmod AS bigint) FROM pg_attribute WHERE attrelid = CAST(CAST(?1 AS text) AS regclass)
             AND attname = 'embedding'",
            &[self.space.table().into()],
        )?;
        if usize::try_from(held).ok() == Some(self.space.dim) {
            return Ok(());
        }
        Err(AiError::new(
            AiErrorCode::FailedPrecondition,
            format!(
                "table {} holds vectors of {held} components, not {}",
                self.space.table(),
                self.space.dim
            ),
        ))
    }

    /// Builds the index of a large table and measures its recall@10 against the exact scan; below 0.99, and until this was
    /// called, every search scans. Gives the recall when it was measured now.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub fn warm(&self) -> AiResult<Option<f32>> {
        self.database.warm_at(&self.space, self.changes.load(Ordering::SeqCst))
    }

    /// Whether the index answers searches at present.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.database.verdicts().reach(self.space.space_id).is_some()
    }

    fn changed(&self, rows: usize) {
        self.changes.fetch_add(rows as u64, Ordering::SeqCst);
    }
}

impl VectorStore for PgVectors {
    fn dim(&self) -> usize {
        self.space.dim
    }

    fn metric(&self) -> Metric {
        self.space.metric
    }

    fn put(&self, items: &[VectorItem]) -> AiResult<()> {
        for item in items {
            check_vector(&item.vector, self.space.dim)?;
        }
        let items: Vec<(i64, i64, &[f32])> =
            items.iter().map(|i| (i.chunk_pk, i.source_id, i.vector.as_slice())).collect();
        self.database.transact_again(Mode::Write, &mut |session| session.put_vectors(&self.space, &items))?;
        self.changed(items.len());
        Ok(())
    }

    fn delete(&self, chunk_pks: &[i64]) -> AiResult<()> {
        self.database
            .transact_again(Mode::Write, &mut |session| session.remove_vectors(&self.space, chunk_pks))?;
        self.changed(chunk_pks.len());
        Ok(())
    }

    fn search(
        &self,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Vec<VectorHit>> {
        check_vector(query, self.space.dim)?;
        deadline.check("the vector scan")?;
        if k == 0 {
            return Ok(Vec::new());
        }
        let mut hits = Vec::new();
        self.database.transact(deadline, Mode::Read, &mut |session| {
            hits = session.nearest(&self.space, query, k, allowed, deadline)?;
            Ok(())
        })?;
        Ok(hits)
    }

    fn distances(&self, query: &[f32], chunk_pks: &[i64]) -> AiResult<Vec<VectorHit>> {
        check_vector(query, self.space.dim)?;
        let mut hits = Vec::new();
        self.database.transact(Deadline::after_ms(WRITE_TIMEOUT_MS), Mode::Read, &mut |session| {
            hits = session.distances(&self.space, self.space.metric, query, chunk_pks)?;
            Ok(())
        })?;
        Ok(hits)
    }

    fn count(&self) -> AiResult<u64> {
        let mut count = 0;
        self.database.transact(Deadline::after_ms(WRITE_TIMEOUT_MS), Mode::Read, &mut |session| {
            count = session.count_vectors(&self.space)?;
            Ok(())
        })?;
        Ok(count)
    }
}
