//! Whether the HNSW index of a space may answer: built when a space is large, measured against the exact scan, else off.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ai_core::{AiResult, Allowed, Metric};
use ai_core_rag::{Session, SqlValue, VectorSpace};
use postgres::Client;

use crate::errors::failed;
use crate::session::{PgSession, ordering};

/// Lowest recall@10 at which the index answers.
const RECALL_MIN: f32 = 0.99;

/// The largest dimension that pgvector indexes; larger spaces are scanned.
pub(crate) const INDEX_DIM_MAX: usize = 2_000;

/// Stored vectors that serve as sample queries.
const SAMPLES: i64 = 32;

/// Breadths of the index's search that are tried, the cheapest first.
const REACHES: &[u32] = &[80, 200, 400, 800];

/// Growth after which recall is measured anew, as a divisor of the rows.
const GROWTH: u64 = 10;

#[derive(Debug, Clone, Copy)]
struct Verdict {
    rows: u64,
    epoch: u64,
    recall: f32,
    /// The breadth that reached the recall; none means that the scan answers.
    reach: Option<u32>,
}

/// What is known about the index of each space.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(Mutex<HashMap<i64, Verdict>>);

impl Verdicts {
    fn get(&self, space_id: i64) -> Option<Verdict> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&space_id).copied()
    }

    fn set(&self, space_id: i64, verdict: Option<Verdict>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match verdict {
            Some(verdict) => all.insert(space_id, verdict),
            None => all.remove(&space_id),
        };
    }

    /// How broadly the index must search, when it may answer.
    pub(crate) fn reach(&self, space_id: i64) -> Option<u32> {
        self.get(space_id).and_then(|v| v.reach)
    }

    /// Whether nothing has changed since the last look.
    pub(crate) fn current(&self, space_id: i64, epoch: u64) -> bool {
        self.get(space_id).is_some_and(|v| v.epoch == epoch)
    }

    /// Whether the space has hardly grown since it was measured; then only the look is noted.
    pub(crate) fn still_holds(&self, space_id: i64, epoch: u64, rows: u64) -> bool {
        let Some(mut held) = self.get(space_id) else { return false };
        if rows.abs_diff(held.rows) > held.rows / GROWTH {
            return false;
        }
        held.epoch = epoch;
        self.set(space_id, Some(held));
        true
    }

    /// The index must not answer until it is measured again.
    pub(crate) fn withdraw(&self, space_id: i64) {
        self.set(space_id, None);
    }
}

fn name(space: &VectorSpace) -> String {
    format!("{}_hnsw", space.table())
}

/// Builds the index of a space unless there is a usable one. Runs outside any transaction: writers go on meanwhile.
pub(crate) fn build(client: &mut Client, space: &VectorSpace) -> AiResult<bool> {
    if space.dim > INDEX_DIM_MAX {
        return Ok(false);
    }
    let known = client.query_opt("SELECT 1 FROM pg_am WHERE amname = 'hnsw'", &[]).map_err(failed)?;
    if known.is_none() {
        return Ok(false); // a server of the family without this index: the scan answers
    }
    let index = name(space);
    let held = client
        .query_opt(
            "SELECT i.indisvalid FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
             JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relname = $1 AND n.nspname = current_schema()",
            &[&index],
        )
        .map_err(failed)?;
    match held.map(|row| row.get::<_, bool>(0)) {
        Some(true) => return Ok(true),
        // Another process builds it at this moment, or one died while it did: whoever comes later starts over.
        Some(false) if building(client)? => return Ok(false),
        Some(false) => client.batch_execute(&format!("DROP INDEX IF EXISTS {index}")).map_err(failed)?,
        None => {}
    }
    client
        .batch_execute(&format!(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS {index} ON {} USING hnsw (embedding {})",
            space.table(),
            match space.metric {
                Metric::Cosine => "vector_cosine_ops",
                Metric::L2 => "vector_l2_ops",
                Metric::Dot => "vector_ip_ops",
            }
        ))
        .map_err(failed)?;
    Ok(true)
}

fn building(client: &mut Client) -> AiResult<bool> {
    let row = client
        .query_one(
            "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()
             AND state = 'active' AND query LIKE 'CREATE INDEX CONCURRENTLY%rag_vec_%')",
            &[],
        )
        .map_err(failed)?;
    Ok(row.get(0))
}

/// Measures recall@10 of the index on stored vectors, from the cheapest breadth on, and writes the verdict down.
pub(crate) fn measure(
    session: &PgSession<'_, '_>,
    verdicts: &Verdicts,
    space: &VectorSpace,
    rows: u64,
    epoch: u64,
) -> AiResult<f32> {
    verdicts.withdraw(space.space_id);
    let mut samples: Vec<(Vec<f32>, Vec<i64>)> = Vec::new();
    for query in sampled(session, space)? {
        let exact = session.exact(space, ordering(space), &query, 10, &Allowed::all())?;
        samples.push((query, exact.into_iter().map(|h| h.chunk_pk).collect()));
    }
    let mut best = Verdict { rows, epoch, recall: 0.0, reach: None };
    for reach in REACHES {
        let (mut found, mut wanted) = (0usize, 0usize);
        for (query, exact) in &samples {
            let near = session.by_index(space, query, 10, *reach, &Allowed::all())?;
            found += exact.iter().filter(|pk| near.iter().any(|h| h.chunk_pk == **pk)).count();
            wanted += exact.len();
        }
        let recall = if wanted == 0 { 1.0 } else { found as f32 / wanted as f32 };
        best.recall = best.recall.max(recall);
        if recall >= RECALL_MIN {
            best.reach = Some(*reach);
            break;
        }
    }
    verdicts.set(space.space_id, Some(best));
    Ok(best.recall)
}

/// Notes that a space is scanned: it is small, or has no index.
pub(crate) fn scan(verdicts: &Verdicts, space: &VectorSpace, rows: u64, epoch: u64) {
    verdicts.set(space.space_id, Some(Verdict { rows, epoch, recall: 1.0, reach: None }));
}

/// Vectors spread over the keys of a space, moved a little so that no query finds itself alone.
fn sampled(session: &PgSession<'_, '_>, space: &VectorSpace) -> AiResult<Vec<Vec<f32>>> {
    let own: &dyn Session = session;
    let table = space.table();
    let ends = own.first(&format!("SELECT min(chunk_pk), max(chunk_pk) FROM {table}"), &[], |r| {
        Ok((r.get::<Option<i64>>(0)?, r.get::<Option<i64>>(1)?))
    })?;
    let Some((Some(first), Some(last))) = ends else { return Ok(Vec::new()) };
    let mut pks = Vec::new();
    for at in 0..SAMPLES {
        let from = first + (last - first) / SAMPLES * at;
        let text = format!("SELECT chunk_pk FROM {table} WHERE chunk_pk >= ?1 ORDER BY chunk_pk LIMIT 1");
        pks.extend(own.first(&text, &[SqlValue::Int(from)], |r| r.get::<i64>(0))?);
    }
    let mut out: Vec<Vec<f32>> = Vec::new();
    own.visit_vectors(space, Some(&pks), &mut |_, _, vector| {
        out.push(vector.to_vec());
        Ok(())
    })?;
    let originals = out.clone();
    for (at, query) in out.iter_mut().enumerate() {
        // Half of the queries lie between two stored vectors.
        if at % 2 == 1 {
            let other = &originals[(at + 1) % originals.len()];
            query.iter_mut().zip(other).for_each(|(x, y)| *x = 0.7 * *x + 0.3 * y);
        }
    }
    out.retain(|query| ai_core::check_vector(query, space.dim).is_ok());
    Ok(out)
}
