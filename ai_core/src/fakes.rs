//! In-memory implementations of the retrieval seams, deterministic and small; they know no disk and no model.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::deadline::Deadline;
use crate::embed::{EmbedKind, Embedder, EmbedderInfo, Metric, Reranker};
use crate::error::{AiError, AiResult};
use crate::retrieve::{Passage, Retriever};
use crate::rows::{PageRequest, RowColumn, RowKey, RowPage, RowSource, RowValue, SourceRow};
use crate::text::{TextChange, TextClause, TextEntry, TextHit, TextIndex, TextIndexStatus};
use crate::vector::{Allowed, VectorHit, VectorItem, VectorStore, check_vector};

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
}

/// An embedder that counts letters into `dim` buckets; equal texts get equal vectors.
#[derive(Debug)]
#[non_exhaustive]
pub struct FakeEmbedder {
    dim: usize,
    down: Mutex<Option<AiError>>,
    calls: Mutex<u64>,
}

impl FakeEmbedder {
    /// An embedder of `dim` components (at least 1).
    #[must_use]
    pub fn new(dim: usize) -> Self {
        Self { dim: dim.max(1), down: Mutex::new(None), calls: Mutex::new(0) }
    }

    /// Makes every later call fail with `error`, or work again with `None`.
    pub fn set_failure(&self, error: Option<AiError>) {
        *lock(&self.down) = error;
    }

    /// Number of inputs embedded so far.
    #[must_use]
    pub fn inputs_seen(&self) -> u64 {
        *lock(&self.calls)
    }
}

impl Embedder for FakeEmbedder {
    fn info(&self) -> EmbedderInfo {
        EmbedderInfo::new("fake", "letter-count", self.dim).with_lexical(true)
    }

    fn embed(&self, inputs: &[&str], _kind: EmbedKind, deadline: Deadline) -> AiResult<Vec<Vec<f32>>> {
        if let Some(error) = lock(&self.down).clone() {
            return Err(error);
        }
        deadline.check("embedding")?;
        *lock(&self.calls) += inputs.len() as u64;
        let one = |text: &&str| {
            let mut v = vec![0.0f32; self.dim];
            for word in words(text) {
                let h =
                    word.bytes().fold(2_166_136_261u32, |h, b| (h ^ u32::from(b)).wrapping_mul(16_777_619));
                v[h as usize % self.dim] += 1.0;
            }
            let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
            if norm == 0.0 {
                v[0] = 1.0;
            } else {
                v.iter_mut().for_each(|x| *x /= norm);
            }
            v
        };
        Ok(inputs.iter().map(one).collect())
    }

    fn count_tokens(&self, text: &str) -> Option<usize> {
        Some(words(text).len())
    }
}

/// A reranker that scores by the share of query words that occur in a document.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct FakeReranker;

impl Reranker for FakeReranker {
    fn model(&self) -> String {
        "word-overlap".to_owned()
    }

    fn rerank(&self, query: &str, documents: &[&str], deadline: Deadline) -> AiResult<Vec<f32>> {
        deadline.check("reranking")?;
        let wanted: HashSet<String> = words(query).into_iter().collect();
        let score = |doc: &&str| {
            let found: HashSet<String> = words(doc).into_iter().collect();
            wanted.intersection(&found).count() as f32 / wanted.len().max(1) as f32
        };
        Ok(documents.iter().map(score).collect())
    }
}

/// A vector store that scans a map.
#[derive(Debug)]
#[non_exhaustive]
pub struct MemoryVectors {
    dim: usize,
    metric: Metric,
    rows: Mutex<BTreeMap<i64, VectorItem>>,
}

impl MemoryVectors {
    /// An empty store.
    #[must_use]
    pub fn new(dim: usize, metric: Metric) -> Self {
        Self { dim, metric, rows: Mutex::new(BTreeMap::new()) }
    }
}

impl VectorStore for MemoryVectors {
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
        lock(&self.rows).extend(items.iter().map(|i| (i.chunk_pk, i.clone())));
        Ok(())
    }

    fn delete(&self, chunk_pks: &[i64]) -> AiResult<()> {
        let mut rows = lock(&self.rows);
        for pk in chunk_pks {
            rows.remove(pk);
        }
        Ok(())
    }

    fn search(
        &self,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Vec<VectorHit>> {
        check_vector(query, self.dim)?;
        deadline.check("the vector scan")?;
        let rows = lock(&self.rows);
        let mut hits: Vec<VectorHit> = rows
            .values()
            .filter(|r| allowed.permits(r.source_id, r.chunk_pk))
            .map(|r| VectorHit { chunk_pk: r.chunk_pk, distance: self.metric.distance(query, &r.vector) })
            .collect();
        hits.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.chunk_pk.cmp(&b.chunk_pk)));
        hits.truncate(k);
        Ok(hits)
    }

    fn distances(&self, query: &[f32], chunk_pks: &[i64]) -> AiResult<Vec<VectorHit>> {
        check_vector(query, self.dim)?;
        let rows = lock(&self.rows);
        let hit = |pk: &i64| {
            rows.get(pk)
                .map(|r| VectorHit { chunk_pk: *pk, distance: self.metric.distance(query, &r.vector) })
        };
        Ok(chunk_pks.iter().filter_map(hit).collect())
    }

    fn count(&self) -> AiResult<u64> {
        Ok(lock(&self.rows).len() as u64)
    }
}

/// A full-text index that scans a map and scores by term frequency.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct MemoryText {
    state: Mutex<(BTreeMap<i64, TextEntry>, u64)>,
}

impl MemoryText {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

fn clause_score(clause: &TextClause, title: &[String], body: &[String]) -> f32 {
    let count = |pred: &dyn Fn(&[String]) -> usize| (2 * pred(title) + pred(body)) as f32;
    match clause {
        TextClause::Term(t) => count(&|ts| ts.iter().filter(|x| *x == t).count()),
        TextClause::Prefix(p) => count(&|ts| ts.iter().filter(|x| x.starts_with(p.as_str())).count()),
        TextClause::Phrase(p) if p.is_empty() => 0.0,
        TextClause::Phrase(p) => count(&|ts| ts.windows(p.len()).filter(|w| *w == p.as_slice()).count()),
        TextClause::Title(c) => clause_score(c, title, &[]),
        TextClause::Body(c) => clause_score(c, &[], body),
        TextClause::Any(cs) => cs.iter().map(|c| clause_score(c, title, body)).sum(),
        TextClause::All(cs) => {
            let scores: Vec<f32> = cs.iter().map(|c| clause_score(c, title, body)).collect();
            if scores.contains(&0.0) { 0.0 } else { scores.iter().sum() }
        }
        TextClause::Without(a, b) if clause_score(b, title, body) == 0.0 => clause_score(a, title, body),
        TextClause::Without(..) => 0.0,
    }
}

impl TextIndex for MemoryText {
    fn apply(&self, changes: &[TextChange], seq: u64) -> AiResult<()> {
        let mut state = lock(&self.state);
        for change in changes {
            match change {
                TextChange::Upsert(entry) => state.0.insert(entry.chunk_pk, entry.clone()),
                TextChange::Delete(pk) => state.0.remove(pk),
            };
        }
        state.1 = state.1.max(seq);
        Ok(())
    }

    fn clear(&self) -> AiResult<()> {
        *lock(&self.state) = (BTreeMap::new(), 0);
        Ok(())
    }

    fn search(
        &self,
        query: &TextClause,
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Vec<TextHit>> {
        deadline.check("the full-text search")?;
        let state = lock(&self.state);
        let mut hits: Vec<TextHit> = state
            .0
            .values()
            .filter(|e| allowed.permits(e.source_id, e.chunk_pk))
            .map(|e| TextHit {
                chunk_pk: e.chunk_pk,
                version: e.version,
                score: clause_score(query, &e.title_terms, &e.body_terms),
            })
            .filter(|h| h.score > 0.0)
            .collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk_pk.cmp(&b.chunk_pk)));
        hits.truncate(k);
        Ok(hits)
    }

    fn status(&self) -> AiResult<TextIndexStatus> {
        let state = lock(&self.state);
        Ok(TextIndexStatus::new("memory", state.0.len() as u64, state.1))
    }
}

/// A retriever that returns given passages whose body shares a word with the question.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct FakeRetriever {
    passages: Vec<Passage>,
}

impl FakeRetriever {
    /// A retriever over `passages`.
    #[must_use]
    pub fn new(passages: Vec<Passage>) -> Self {
        Self { passages }
    }
}

impl Retriever for FakeRetriever {
    fn retrieve(
        &self,
        _caller: &str,
        question: &str,
        k: usize,
        deadline: Deadline,
    ) -> AiResult<Vec<Passage>> {
        if question.trim().is_empty() {
            return Err(AiError::invalid("the question is empty"));
        }
        let bodies: Vec<&str> = self.passages.iter().map(|p| p.body.as_str()).collect();
        let scores = FakeReranker.rerank(question, &bodies, deadline)?;
        let mut found: Vec<Passage> = self
            .passages
            .iter()
            .zip(scores)
            .filter(|(_, s)| *s > 0.0)
            .map(|(p, score)| Passage { score, ..p.clone() })
            .collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.chunk_id.cmp(&b.chunk_id)));
        found.truncate(k);
        Ok(found)
    }
}

/// A table in memory whose first column, an integer, is the key; rows can be changed between reads.
#[derive(Debug)]
#[non_exhaustive]
pub struct MemoryRows {
    columns: Vec<String>,
    rows: Mutex<BTreeMap<i64, Vec<RowValue>>>,
}

impl MemoryRows {
    /// An empty table; `columns[0]` is the key.
    #[must_use]
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|c| (*c).to_owned()).collect(), rows: Mutex::new(BTreeMap::new()) }
    }

    /// Adds or replaces a row; `rest` are the values after the key.
    pub fn put(&self, key: i64, rest: Vec<RowValue>) {
        let mut row = vec![RowValue::Int(key)];
        row.extend(rest);
        row.resize(self.columns.len(), RowValue::Null);
        lock(&self.rows).insert(key, row);
    }

    /// Removes a row.
    pub fn remove(&self, key: i64) {
        lock(&self.rows).remove(&key);
    }

    fn index_of(&self, column: &str) -> AiResult<usize> {
        self.columns
            .iter()
            .position(|c| c == column)
            .ok_or_else(|| AiError::invalid(format!("unknown column {column:?}")))
    }

    fn row(&self, row: &[RowValue], columns: &[String], cursor: Option<&str>) -> AiResult<SourceRow> {
        let values =
            columns.iter().map(|c| self.index_of(c).map(|i| row[i].clone())).collect::<AiResult<Vec<_>>>()?;
        let cursor = match cursor {
            Some(c) => row[self.index_of(c)?].clone(),
            None => RowValue::Null,
        };
        Ok(SourceRow { key: vec![row[0].clone()], cursor, values })
    }
}

fn value_order(a: &RowValue, b: &RowValue) -> std::cmp::Ordering {
    let number = |v: &RowValue| match v {
        RowValue::Int(i) => Some(*i as f64),
        RowValue::Uint(u) => Some(*u as f64),
        RowValue::Float(f) => Some(*f),
        _ => None,
    };
    match (number(a), number(b)) {
        (Some(x), Some(y)) => x.total_cmp(&y),
        _ => format!("{a:?}").cmp(&format!("{b:?}")),
    }
}

impl RowSource for MemoryRows {
    fn columns(&self) -> AiResult<Vec<RowColumn>> {
        let column = |(i, name): (usize, &String)| {
            RowColumn::new(name, if i == 0 { "integer" } else { "any" }, i != 0)
        };
        Ok(self.columns.iter().enumerate().map(column).collect())
    }

    fn page(&self, request: &PageRequest, deadline: Deadline) -> AiResult<RowPage> {
        deadline.check("reading a page")?;
        let rows = lock(&self.rows);
        let cursor = request.cursor_column.as_deref();
        let mut found =
            rows.values().map(|r| self.row(r, &request.columns, cursor)).collect::<AiResult<Vec<_>>>()?;
        if cursor.is_some() {
            found.retain(|r| !r.cursor.is_null());
        }
        let order = |a: (&RowValue, &RowKey), b: (&RowValue, &RowKey)| {
            value_order(a.0, b.0).then_with(|| value_order(&a.1[0], &b.1[0]))
        };
        found.sort_by(|a, b| order((&a.cursor, &a.key), (&b.cursor, &b.key)));
        if let Some((c, k)) = &request.after {
            found.retain(|r| order((&r.cursor, &r.key), (c, k)).is_gt());
        }
        let mut page = RowPage::default();
        let mut bytes = 0;
        for row in found {
            if page.rows.len() >= request.rows_max || bytes >= request.bytes_max {
                page.more = true;
                break;
            }
            bytes += row.values.iter().map(RowValue::size_bytes).sum::<usize>();
            page.rows.push(row);
        }
        Ok(page)
    }

    fn keys(&self, after: Option<&RowKey>, n: usize, deadline: Deadline) -> AiResult<Vec<RowKey>> {
        deadline.check("reading keys")?;
        let rows = lock(&self.rows);
        let start = match after.and_then(|k| k.first()) {
            Some(RowValue::Int(i)) => i.saturating_add(1),
            _ => i64::MIN,
        };
        Ok(rows.range(start..).take(n).map(|(k, _)| vec![RowValue::Int(*k)]).collect())
    }

    fn by_keys(
        &self,
        keys: &[RowKey],
        columns: &[String],
        bytes_max: usize,
        deadline: Deadline,
    ) -> AiResult<Vec<SourceRow>> {
        deadline.check("reading rows by key")?;
        let rows = lock(&self.rows);
        let mut bytes = 0;
        let mut found = Vec::new();
        for key in keys {
            let Some(RowValue::Int(k)) = key.first() else { continue };
            let Some(row) = rows.get(k) else { continue };
            if bytes >= bytes_max {
                break;
            }
            let row = self.row(row, columns, None)?;
            bytes += row.values.iter().map(RowValue::size_bytes).sum::<usize>();
            found.push(row);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
