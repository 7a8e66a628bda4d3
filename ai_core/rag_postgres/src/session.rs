//! One PostgreSQL transaction as a session of the store: bound statements and pgvector's distances; it knows no document.

use std::cell::RefCell;

use ai_core::{AiError, AiErrorCode, AiResult, Allowed, Deadline, Metric, VectorHit, check_vector};
use ai_core_rag::{EachRow, EachVector, Row, Session, SqlFamily, SqlValue, VectorSpace, Words};
use postgres::Transaction;

use crate::errors::failed;
use crate::index::Verdicts;
use crate::pool::Statements;
use crate::values::{Bound, Cell, vector_of, vector_text};

/// The largest dimension of a vector.
pub(crate) const DIM_MAX: usize = 8_192;

/// Rows of one insert statement, and of one page of a scan.
const VECTOR_ROWS: usize = 200;

/// Permitted chunks up to which all of them are measured instead of asking the index.
const MEASURED_MAX: usize = 20_000;

/// The largest `k` that the index is asked for.
const INDEXED_K_MAX: usize = 250;

pub(crate) struct PgSession<'a, 't> {
    tx: RefCell<&'a mut Transaction<'t>>,
    statements: RefCell<&'a mut Statements>,
    verdicts: &'a Verdicts,
}

/// How distances of a metric are written.
pub(crate) const fn operator(metric: Metric) -> &'static str {
    match metric {
        Metric::Cosine => "<=>",
        Metric::L2 => "<->",
        Metric::Dot => "<#>",
    }
}

/// The distance by which a space is ordered: unit vectors need no cosine.
pub(crate) const fn ordering(space: &VectorSpace) -> &'static str {
    operator(space.metric)
}

impl<'a, 't> PgSession<'a, 't> {
    pub(crate) fn new(
        tx: &'a mut Transaction<'t>,
        statements: &'a mut Statements,
        verdicts: &'a Verdicts,
    ) -> Self {
        Self { tx: RefCell::new(tx), statements: RefCell::new(statements), verdicts }
    }

    fn rows(&self, text: &str, values: &[SqlValue]) -> AiResult<Vec<postgres::Row>> {
        let mut tx = self.tx.borrow_mut();
        let statement = self.statements.borrow_mut().get(&mut tx, text)?;
        let bound: Vec<Bound<'_>> = values.iter().map(Bound).collect();
        let params: Vec<&(dyn postgres::types::ToSql + Sync)> =
            bound.iter().map(|b| b as &(dyn postgres::types::ToSql + Sync)).collect();
        tx.query(&statement, &params).map_err(failed)
    }

    fn setting(&self, text: &str) -> AiResult<()> {
        self.tx.borrow_mut().batch_execute(text).map_err(failed)
    }

    /// The nearest by looking at every permitted vector.
    pub(crate) fn exact(
        &self,
        space: &VectorSpace,
        operator: &str,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
    ) -> AiResult<Vec<VectorHit>> {
        let mut values = vec![SqlValue::Text(vector_text(query)), SqlValue::from(k)];
        let conditions = conditions(allowed, &mut values);
        // "+ 0" keeps an approximate index from answering in place of the scan.
        let text = format!(
            "SELECT chunk_pk, (embedding {operator} CAST(CAST(?1 AS text) AS vector)) + 0 AS distance FROM {table}{conditions}
             ORDER BY distance, chunk_pk LIMIT ?2",
            table = space.table()
        );
        self.hits(&text, &values)
    }

    /// The nearest by the index, which goes on looking until it has `k` permitted ones or gives up.
    pub(crate) fn by_index(
        &self,
        space: &VectorSpace,
        query: &[f32],
        k: usize,
        reach: u32,
        allowed: &Allowed,
    ) -> AiResult<Vec<VectorHit>> {
        self.setting(&format!(
            "SET LOCAL hnsw.ef_search = {reach}; SET LOCAL hnsw.iterative_scan = strict_order;
             SET LOCAL hnsw.max_scan_tuples = 100000"
        ))?;
        let mut values = vec![SqlValue::Text(vector_text(query)), SqlValue::from(k)];
        let conditions = conditions(allowed, &mut values);
        let text = format!(
            "SELECT chunk_pk, embedding {op} CAST(CAST(?1 AS text) AS vector) AS distance FROM {table}{conditions}
             ORDER BY embedding {op} CAST(CAST(?1 AS text) AS vector) LIMIT ?2",
            op = ordering(space),
            table = space.table()
        );
        let mut hits = self.hits(&text, &values)?;
        hits.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.chunk_pk.cmp(&b.chunk_pk)));
        Ok(hits)
    }

    fn hits(&self, text: &str, values: &[SqlValue]) -> AiResult<Vec<VectorHit>> {
        let rows = self.rows(text, values)?;
        rows.iter()
            .map(|row| {
                let chunk_pk = row.try_get(0).map_err(failed)?;
                let distance: f64 = row.try_get(1).map_err(failed)?;
                Ok(VectorHit { chunk_pk, distance: distance as f32 })
            })
            .collect()
    }
}

/// Conditions for what is permitted; their values join the others.
fn conditions(allowed: &Allowed, values: &mut Vec<SqlValue>) -> String {
    let mut parts = Vec::new();
    for (column, list) in [("source_id", &allowed.source_ids), ("chunk_pk", &allowed.chunk_pks)] {
        if let Some(list) = list {
            values.push(list.as_slice().into());
            parts.push(format!("{column} {{list:{}}}", values.len()));
        }
    }
    if parts.is_empty() { String::new() } else { format!(" WHERE {}", parts.join(" AND ")) }
}

impl Session for PgSession<'_, '_> {
    fn family(&self) -> SqlFamily {
        SqlFamily::Postgres
    }

    fn execute(&self, text: &str, values: &[SqlValue]) -> AiResult<u64> {
        let mut tx = self.tx.borrow_mut();
        let statement = self.statements.borrow_mut().get(&mut tx, text)?;
        let bound: Vec<Bound<'_>> = values.iter().map(Bound).collect();
        let params: Vec<&(dyn postgres::types::ToSql + Sync)> =
            bound.iter().map(|b| b as &(dyn postgres::types::ToSql + Sync)).collect();
        tx.execute(&statement, &params).map_err(failed)
    }

    fn visit(&self, text: &str, values: &[SqlValue], each: EachRow<'_>) -> AiResult<()> {
        let mut cells = Vec::new();
        for row in self.rows(text, values)? {
            cells.clear();
            for at in 0..row.len() {
                cells.push(row.try_get::<_, Cell>(at).map_err(failed)?.0);
            }
            each(&Row::new(&cells))?;
        }
        Ok(())
    }

    fn batch(&self, text: &str) -> AiResult<()> {
        self.setting(text)
    }

    fn create_vectors(&self, space: &VectorSpace) -> AiResult<()> {
        if space.dim == 0 || space.dim > DIM_MAX {
            return Err(AiError::new(
                AiErrorCode::FailedPrecondition,
                format!("dimension {} is outside 1-{DIM_MAX}, the limit of the vector store", space.dim),
            )
            .with("limit", DIM_MAX as u64));
        }
        let table = space.table();
        self.setting(&format!(
            "CREATE TABLE IF NOT EXISTS {table} (chunk_pk bigint PRIMARY KEY, source_id bigint NOT NULL,
               embedding vector({}) NOT NULL);
             CREATE INDEX IF NOT EXISTS {table}_source ON {table} (source_id)",
            space.dim
        ))
    }

    fn drop_vectors(&self, space: &VectorSpace) -> AiResult<()> {
        self.setting(&format!("DROP TABLE IF EXISTS {}", space.table()))
    }

    fn put_vectors(&self, space: &VectorSpace, items: &[(i64, i64, &[f32])]) -> AiResult<()> {
        // One item for each key: of several, the last counts.
        let mut last = std::collections::BTreeMap::new();
        for (pk, source, vector) in items {
            check_vector(vector, space.dim)?;
            last.insert(*pk, (*source, *vector));
        }
        let items: Vec<(i64, (i64, &[f32]))> = last.into_iter().collect();
        let text = format!(
            "INSERT INTO {} (chunk_pk, source_id, embedding)
             SELECT p, s, CAST(v AS vector) FROM unnest(CAST(?1 AS bigint[]), CAST(?2 AS bigint[]), CAST(?3 AS text[]))
               AS new (p, s, v)
             ON CONFLICT (chunk_pk) DO UPDATE SET source_id = excluded.source_id, embedding = excluded.embedding",
            space.table()
        );
        for batch in items.chunks(VECTOR_ROWS) {
            let values = [
                SqlValue::Ints(batch.iter().map(|i| i.0).collect()),
                SqlValue::Ints(batch.iter().map(|i| i.1.0).collect()),
                SqlValue::Texts(batch.iter().map(|i| vector_text(i.1.1)).collect()),
            ];
            self.execute(&text, &values)?;
        }
        Ok(())
    }

    fn remove_vectors(&self, space: &VectorSpace, chunk_pks: &[i64]) -> AiResult<()> {
        let text = format!("DELETE FROM {} WHERE chunk_pk {{list:1}}", space.table());
        self.execute(&text, &[chunk_pks.into()]).map(drop)
    }

    fn visit_vectors(
        &self,
        space: &VectorSpace,
        chunk_pks: Option<&[i64]>,
        each: EachVector<'_>,
    ) -> AiResult<()> {
        let mut hand_over = |rows: Vec<postgres::Row>| -> AiResult<Option<i64>> {
            let mut last = None;
            for row in rows {
                let pk: i64 = row.try_get(0).map_err(failed)?;
                let text: &str = row.try_get(2).map_err(failed)?;
                let vector = vector_of(text)
                    .ok_or_else(|| AiError::internal("a stored vector is not of pgvector's form"))?;
                each(pk, row.try_get(1).map_err(failed)?, &vector)?;
                last = Some(pk);
            }
            Ok(last)
        };
        let columns = format!("SELECT chunk_pk, source_id, CAST(embedding AS text) FROM {}", space.table());
        if let Some(pks) = chunk_pks {
            let text = format!("{columns} WHERE chunk_pk {{list:1}}");
            return hand_over(self.rows(&text, &[pks.into()])?).map(drop);
        }
        let text = format!("{columns} WHERE chunk_pk > ?1 ORDER BY chunk_pk LIMIT ?2");
        let mut after = i64::MIN;
        while let Some(last) = hand_over(self.rows(&text, &[after.into(), VECTOR_ROWS.into()])?)? {
            after = last;
        }
        Ok(())
    }

    fn nearest(
        &self,
        space: &VectorSpace,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
        _: Deadline,
    ) -> AiResult<Vec<VectorHit>> {
        let few = allowed.chunk_pks.as_ref().is_some_and(|pks| pks.len() <= MEASURED_MAX);
        if !few
            && k <= INDEXED_K_MAX
            && let Some(reach) = self.verdicts.reach(space.space_id)
        {
            let reach = reach.max(u32::try_from(k).unwrap_or(u32::MAX)).min(1000);
            let hits = self.by_index(space, query, k, reach, allowed)?;
            if hits.len() == k {
                return Ok(hits);
            }
            // The index gave up before it had k permitted ones; the scan knows whether there are more.
        }
        self.exact(space, ordering(space), query, k, allowed)
    }

    fn distances(
        &self,
        space: &VectorSpace,
        metric: Metric,
        query: &[f32],
        chunk_pks: &[i64],
    ) -> AiResult<Vec<VectorHit>> {
        let allowed = Allowed::all().with_chunks(chunk_pks.to_vec());
        self.exact(space, operator(metric), query, chunk_pks.len(), &allowed)
    }

    fn count_vectors(&self, space: &VectorSpace) -> AiResult<u64> {
        let session: &dyn Session = self;
        let n: i64 = session.cell(&format!("SELECT count(*) FROM {}", space.table()), &[])?;
        Ok(n.max(0) as u64)
    }

    fn size_bytes(&self) -> AiResult<u64> {
        let text = "SELECT CAST(coalesce(sum(pg_total_relation_size(c.oid)), 0) AS bigint) FROM pg_class c
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r'";
        let session: &dyn Session = self;
        session.cell::<i64>(text, &[]).map(|n| n.max(0) as u64)
    }

    fn words(&self) -> Option<&dyn Words> {
        None
    }
}
