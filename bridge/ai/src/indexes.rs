//! Embedding indexes: the rows of one table made searchable by meaning, each as sources of a retrieval engine of their own, which
//! reads, embeds and keeps them; it holds no vector itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ai_core::{AiError, AiErrorCode, AiResult, Deadline, EmbedKind, Embedder, EmbedderInfo, SourceConnector};
use ai_core_rag::{
    Filters, JobRequest, JobState, Rag, RagCaller, RagLimits, SearchVector, SourceConfig, SourceProgress,
    SourceStats, SyncMode, SyncRequest,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The provider of vectors of one text.
const PLAIN: &str = "default";
/// The provider whose vectors are the mean of a text's parts.
const MEAN: &str = "default-mean";
/// What stands between the parts of a text whose vectors are averaged.
const PART_END: char = '\u{1f}';
/// Columns of one index.
const COLUMNS_MAX: usize = 32;
/// How long a delete waits for its job, in milliseconds.
const DELETE_WAIT_MS: u64 = 30_000;
/// Pause between two looks at a job.
const POLL: Duration = Duration::from_millis(10);

/// How a row becomes vectors.
// Exhaustive: the three strategies of the tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IndexStrategy {
    /// The columns with their names as one text.
    #[default]
    Concat,
    /// The mean of the columns' vectors.
    Average,
    /// One vector for each column.
    Separate,
}

/// What an index is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexDefinition {
    /// Target of the table.
    pub target_id: String,
    /// The target's backend, as sources spell it.
    pub backend_type: String,
    /// Schema.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Columns that are embedded.
    pub columns: Vec<String>,
    /// Columns of the key.
    pub primary_key: Vec<String>,
    /// Which rows; empty means all.
    pub where_clause: String,
    /// How.
    pub strategy: IndexStrategy,
}

impl IndexDefinition {
    /// An index over the columns of a table with this key: all rows, columns together.
    #[must_use]
    pub fn new(target_id: &str, backend_type: &str, schema: &str, table: &str) -> Self {
        Self {
            target_id: target_id.to_owned(),
            backend_type: backend_type.to_owned(),
            schema: schema.to_owned(),
            table: table.to_owned(),
            columns: Vec::new(),
            primary_key: Vec::new(),
            where_clause: String::new(),
            strategy: IndexStrategy::Concat,
        }
    }

    /// The index's name: target, schema, table.
    #[must_use]
    pub fn name(&self) -> String {
        index_name(&self.target_id, &self.schema, &self.table)
    }

    fn check(&self) -> AiResult<()> {
        let bad = |argument: &str, why: String| Err(AiError::invalid(why).with("argument", argument));
        if self.columns.is_empty() || self.columns.len() > COLUMNS_MAX {
            return bad("columns", format!("columns must name 1 to {COLUMNS_MAX} columns"));
        }
        if self.primary_key.is_empty() {
            return bad("primary_key", "primary_key must name the columns of the key".to_owned());
        }
        let mut names = self.columns.clone();
        names.sort_unstable();
        names.dedup();
        if names.len() != self.columns.len() {
            return bad("columns", "columns names one twice".to_owned());
        }
        let odd = |name: &String| name.contains([',', '\u{1}', PART_END]);
        if self.columns.iter().chain(&self.primary_key).any(odd) || self.schema.contains('.') {
            return bad(
                "columns",
                "names with commas, points or control characters cannot be indexed".to_owned(),
            );
        }
        Ok(())
    }

    /// The sources that make the index: one, or one for each column.
    fn sources(&self) -> AiResult<Vec<SourceConfig>> {
        self.check()?;
        let named = |column: &String| json!({"col": column, "prefix": format!("{column}: "), "suffix": "\n"});
        let closed = |column: &String| json!({"col": column, "suffix": PART_END.to_string()});
        let name = self.name();
        match self.strategy {
            IndexStrategy::Concat => {
                Ok(vec![self.source(&name, PLAIN, self.columns.iter().map(named).collect())?])
            }
            IndexStrategy::Average => {
                Ok(vec![self.source(&name, MEAN, self.columns.iter().map(closed).collect())?])
            }
            IndexStrategy::Separate => {
                let one = |column: &String| {
                    self.source(&format!("{name}\u{2215}{column}"), PLAIN, vec![json!({"col": column})])
                };
                self.columns.iter().map(one).collect()
            }
        }
    }

    fn source(&self, name: &str, provider: &str, body: Vec<Value>) -> AiResult<SourceConfig> {
        let table = if self.schema.is_empty() {
            self.table.clone()
        } else {
            format!("{}.{}", self.schema, self.table)
        };
        let key = serde_json::to_string(&self.primary_key)
            .map_err(|e| AiError::internal(format!("a key is no JSON: {e}")))?;
        let filter = (!self.where_clause.trim().is_empty()).then(|| self.where_clause.trim().to_owned());
        let source = json!({
            "name": name, "backend_type": self.backend_type, "target_id": self.target_id,
            "table_name": table, "pk_column": key, "where_sql": filter,
            // Names of documents are unique in the store, and a row may be one document for each column.
            "doc_map_json": {
                "doc_id": {"format": "{_source}:{_pk}"}, "body": {"concat": body},
                "metadata": {"pick": self.primary_key},
            },
            "chunking_json": {"enabled": false},
            "embedding_json": {"enabled": true, "provider": provider, "input": {"concat": [{"chunk_body": true}]}},
            "sync_json": {"mode": "full", "sweep_interval_s": 0},
        });
        serde_json::from_value(source).map_err(|e| AiError::internal(format!("a source cannot be made: {e}")))
    }
}

fn index_name(target_id: &str, schema: &str, table: &str) -> String {
    // A sign that no identifier of a schema holds keeps the parts apart.
    format!("{target_id}\u{2215}{schema}\u{2215}{table}")
}

/// One index as it stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IndexInfo {
    /// What it is made of.
    pub definition: IndexDefinition,
    /// The model of its vectors; empty until there are any.
    pub model_name: String,
    /// Their length.
    pub vector_dim: usize,
    /// Rows in it.
    pub row_count: u64,
    /// When it was last complete, Unix seconds.
    pub indexed_at: Option<i64>,
    /// `building`, `ready`, `pending` while vectors are missing, or `failed`.
    pub state: &'static str,
    /// What its running job has done.
    pub progress: Option<SourceProgress>,
    /// Why the last run failed.
    pub last_error: Option<String>,
}

/// A job that was started, or was running already.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IndexJob {
    /// The index.
    pub index: String,
    /// The job.
    pub job_id: String,
    /// Where it stands.
    pub state: JobState,
    /// What it has done.
    pub progress: Vec<SourceProgress>,
}

/// One row that was found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IndexHit {
    /// Schema.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Target.
    pub target_id: String,
    /// The key, by column.
    pub pk: Value,
    /// The column whose vector was nearest, where each has its own.
    pub column: Option<String>,
    /// Cosine distance, 0 is equal.
    pub distance: f32,
    /// Similarity, 0 to 1.
    pub score: f32,
}

/// What to look for.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct IndexQuery {
    /// The question.
    pub query: String,
    /// Only this schema.
    pub schema: Option<String>,
    /// Only this table.
    pub table: Option<String>,
    /// Only this target.
    pub target_id: Option<String>,
    /// Rows at most.
    pub limit: usize,
    /// Largest distance.
    pub max_distance: f32,
    /// Conditions on the columns of the key.
    pub metadata: BTreeMap<String, Value>,
}

/// All embedding indexes of a host.
pub struct EmbedIndexes {
    rag: Rag,
    connector: Arc<dyn SourceConnector>,
}

impl std::fmt::Debug for EmbedIndexes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbedIndexes").finish_non_exhaustive()
    }
}

impl EmbedIndexes {
    /// Opens the store of the indexes; rows come through `connector`, vectors from `embedder`, which may change its model.
    ///
    /// # Errors
    /// What the store fails with.
    pub fn open(
        path: &Path,
        embedder: Arc<dyn Embedder>,
        connector: Arc<dyn SourceConnector>,
        limits: RagLimits,
    ) -> AiResult<Self> {
        let mean = Arc::new(MeanEmbedder(Arc::clone(&embedder)));
        let rag = Rag::builder(path)
            .embedder(PLAIN, embedder)
            .embedder(MEAN, mean)
            .connector(Arc::clone(&connector))
            .limits(limits)
            .open()?;
        rag.start_background()?;
        Ok(Self { rag, connector })
    }

    /// Ends background work.
    pub fn shutdown(&self, deadline: Deadline) {
        self.rag.shutdown(deadline);
    }

    /// Makes an index and starts to fill it. An equal one goes on where it was; another definition of the same table is a conflict.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a definition that makes no sense, `CONFLICT` for a different one, what a job fails with.
    pub fn create(&self, caller: &RagCaller, wanted: &IndexDefinition, wait_ms: u64) -> AiResult<IndexJob> {
        let sources = wanted.sources()?;
        let found = self.definitions(caller)?;
        let present = found.iter().find(|(definition, _)| definition.name() == wanted.name());
        match present {
            Some((definition, _)) if definition != wanted => {
                let message = format!(
                    "{}.{} is indexed with another definition; delete that index first",
                    wanted.schema, wanted.table
                );
                return Err(AiError::new(AiErrorCode::Conflict, message).with("remedy", "embed_delete_index"));
            }
            Some(_) => {}
            None => {
                for source in &sources {
                    self.look(wanted, source)?;
                }
                for source in &sources {
                    self.rag.put_source(source, None)?;
                }
            }
        }
        let names: Vec<String> = sources.into_iter().map(|source| source.name).collect();
        self.run(caller, &wanted.name(), names, SyncMode::Full, wait_ms, true)
    }

    /// Whether the table is there, with its columns and a condition that may be asked.
    fn look(&self, wanted: &IndexDefinition, source: &SourceConfig) -> AiResult<()> {
        let columns = self.connector.open(&source.spec()?)?.columns()?;
        let missing = |name: &&String| !columns.iter().any(|column| column.name == **name);
        match wanted.columns.iter().chain(&wanted.primary_key).find(missing) {
            Some(name) => {
                Err(AiError::not_found(format!("{}.{} has no column {name:?}", wanted.schema, wanted.table)))
            }
            None => Ok(()),
        }
    }

    /// Reads the table again.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CONFLICT` while a job is at work.
    pub fn reindex(
        &self,
        caller: &RagCaller,
        target_id: &str,
        schema: &str,
        table: &str,
        mode: SyncMode,
    ) -> AiResult<IndexJob> {
        let (definition, names) = self.find(caller, target_id, schema, table)?;
        self.run(caller, &definition.name(), names, mode, 0, false)
    }

    /// Reads every index again, of one target only where one is named.
    ///
    /// # Errors
    /// What a job fails with; those before it run on.
    pub fn rebuild_all(&self, caller: &RagCaller, target_id: Option<&str>) -> AiResult<Vec<IndexJob>> {
        let mut jobs = Vec::new();
        for (definition, names) in self.definitions(caller)? {
            if target_id.is_none_or(|wanted| definition.target_id == wanted) {
                jobs.push(self.run(caller, &definition.name(), names, SyncMode::Full, 0, true)?);
            }
        }
        Ok(jobs)
    }

    fn run(
        &self,
        caller: &RagCaller,
        index: &str,
        source_names: Vec<String>,
        mode: SyncMode,
        wait_ms: u64,
        may_join: bool,
    ) -> AiResult<IndexJob> {
        let request = SyncRequest { source_names, mode, wait_ms, ..SyncRequest::default() };
        match self.rag.sync(caller, &request) {
            Ok(started) => Ok(IndexJob {
                index: index.to_owned(),
                job_id: started.job_id,
                state: started.state,
                progress: started.progress,
            }),
            Err(error) if may_join && error.code == AiErrorCode::Conflict => {
                let Some(job_id) = error.details.get("job_id").and_then(Value::as_str) else {
                    return Err(error);
                };
                let one = JobRequest { job_id: Some(job_id.to_owned()), ..JobRequest::default() };
                let running = self.rag.jobs(caller, &one)?.jobs.into_iter().next().ok_or(error)?;
                Ok(IndexJob {
                    index: index.to_owned(),
                    job_id: running.job_id,
                    state: running.state,
                    progress: running.sources,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Removes an index, and ends what fills it; gives the rows that were in it.
    ///
    /// # Errors
    /// `NOT_FOUND`, `DEADLINE_EXCEEDED` when a job that fills it does not end.
    pub fn delete(&self, caller: &RagCaller, target_id: &str, schema: &str, table: &str) -> AiResult<u64> {
        let (_, names) = self.find(caller, target_id, schema, table)?;
        let mut rows = 0;
        for name in names {
            let deadline = Deadline::after_ms(DELETE_WAIT_MS);
            let gone = loop {
                match self.rag.source_delete(caller, &name, &name) {
                    Ok(gone) => break gone,
                    // What fills the index is of no use any more; it lets go of its sources at its next commit.
                    Err(error) if error.code == AiErrorCode::Conflict && !deadline.is_over() => {
                        if let Some(job_id) = error.details.get("job_id").and_then(Value::as_str) {
                            // One that has just ended cannot be cancelled, and need not be.
                            let _ = self.rag.cancel(caller, job_id);
                        }
                        std::thread::sleep(POLL);
                    }
                    Err(error) => return Err(error),
                }
            };
            rows = gone.docs.max(rows);
            while self.rag.source_id(&name)?.is_some() {
                if deadline.is_over() {
                    let message = format!("removing the index takes longer; job {} goes on", gone.job_id);
                    return Err(AiError::new(AiErrorCode::DeadlineExceeded, message));
                }
                std::thread::sleep(POLL);
            }
        }
        Ok(rows)
    }

    /// The indexes that a caller may see, by name.
    ///
    /// # Errors
    /// What the store fails with.
    pub fn list(&self, caller: &RagCaller) -> AiResult<Vec<IndexInfo>> {
        let stats = self.rag.stats(caller)?;
        let by_name: BTreeMap<&str, &SourceStats> =
            stats.sources.iter().map(|source| (source.source_name.as_str(), source)).collect();
        let jobs = self.rag.jobs(caller, &JobRequest::default())?.jobs;
        let running: Vec<&SourceProgress> =
            jobs.iter().filter(|job| !job.state.is_final()).flat_map(|job| &job.sources).collect();
        let all = self.definitions(caller)?.into_iter().map(|(definition, names)| {
            let mine: Vec<&SourceStats> =
                names.iter().filter_map(|n| by_name.get(n.as_str()).copied()).collect();
            let vectors: Vec<_> = mine.iter().filter_map(|source| source.embeddings.as_ref()).collect();
            let progress = running.iter().find(|p| names.contains(&p.source_name)).map(|p| (*p).clone());
            let last_error = mine.iter().find_map(|source| source.last_error.clone());
            let state = if progress.is_some() {
                "building"
            } else if last_error.is_some() {
                "failed"
            } else if vectors.iter().any(|v| v.pending > 0 || v.building.is_some()) {
                "pending"
            } else {
                "ready"
            };
            IndexInfo {
                model_name: vectors.first().map(|v| v.model.clone()).unwrap_or_default(),
                vector_dim: vectors.first().map_or(0, |v| v.dim),
                row_count: mine.iter().map(|source| source.docs).max().unwrap_or(0),
                indexed_at: mine.iter().map(|source| source.last_sync).min().flatten(),
                state,
                progress,
                last_error,
                definition,
            }
        });
        Ok(all.collect())
    }

    /// Rows near to a question, nearest first; and whether there were more.
    ///
    /// # Errors
    /// `NOT_FOUND` when no index fits, what searching fails with.
    pub fn search(&self, caller: &RagCaller, query: &IndexQuery) -> AiResult<(Vec<IndexHit>, bool)> {
        let fits = |d: &IndexDefinition| {
            query.target_id.as_ref().is_none_or(|t| d.target_id == *t)
                && query.schema.as_ref().is_none_or(|s| d.schema == *s)
                && query.table.as_ref().is_none_or(|t| d.table == *t)
        };
        let indexes: Vec<_> = self.definitions(caller)?.into_iter().filter(|(d, _)| fits(d)).collect();
        if indexes.is_empty() {
            let message =
                "no embedding index fits; see embed_list_indexes, or make one with embed_index_table";
            return Err(AiError::not_found(message));
        }
        let (mut hits, mut more) = (Vec::new(), false);
        for (definition, names) in &indexes {
            let found = self.search_one(caller, query, definition, names)?;
            more |= found.1;
            hits.extend(found.0);
        }
        hits.retain(|hit| hit.distance <= query.max_distance);
        hits.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        more |= hits.len() > query.limit;
        hits.truncate(query.limit);
        Ok((hits, more))
    }

    fn search_one(
        &self,
        caller: &RagCaller,
        query: &IndexQuery,
        definition: &IndexDefinition,
        names: &[String],
    ) -> AiResult<(Vec<IndexHit>, bool)> {
        // Of a row with several vectors the nearest counts, so the others must not take its neighbours' places.
        let mut request = SearchVector {
            query_text: Some(query.query.clone()),
            k: Some(query.limit.saturating_mul(names.len()).max(1)),
            ..SearchVector::default()
        };
        request.filters =
            Filters { source_names: names.to_vec(), metadata: query.metadata.clone(), ..Filters::default() };
        let answer = self.rag.search_vector(caller, &request)?;
        let mut best: Vec<IndexHit> = Vec::new();
        for hit in answer.results {
            let pk = hit.metadata.unwrap_or(Value::Null);
            if best.iter().any(|known| known.pk == pk) {
                continue;
            }
            let column = (definition.strategy == IndexStrategy::Separate)
                .then(|| hit.source_name.rsplit('\u{2215}').next().unwrap_or_default().to_owned());
            best.push(IndexHit {
                schema: definition.schema.clone(),
                table: definition.table.clone(),
                target_id: definition.target_id.clone(),
                pk,
                column,
                distance: hit.distance_raw.unwrap_or(1.0),
                score: hit.score_vec.unwrap_or(0.0),
            });
        }
        Ok((best, answer.truncated))
    }

    fn find(
        &self,
        caller: &RagCaller,
        target_id: &str,
        schema: &str,
        table: &str,
    ) -> AiResult<(IndexDefinition, Vec<String>)> {
        let name = index_name(target_id, schema, table);
        let found = self.definitions(caller)?.into_iter().find(|(definition, _)| definition.name() == name);
        found.ok_or_else(|| {
            AiError::not_found(format!("{schema}.{table} of target {target_id:?} has no embedding index"))
        })
    }

    /// What the sources say: definitions with the names of their sources, by name.
    fn definitions(&self, caller: &RagCaller) -> AiResult<Vec<(IndexDefinition, Vec<String>)>> {
        let mut all: BTreeMap<String, (IndexDefinition, Vec<String>)> = BTreeMap::new();
        for view in self.rag.sources(caller, &[])? {
            let Some(read) = read_back(&view.name, &view.config) else { continue };
            let entry = all.entry(read.name());
            let (definition, names) = entry.or_insert_with(|| (read.clone(), Vec::new()));
            if !names.is_empty() {
                definition.columns.extend(read.columns);
            }
            names.push(view.name);
        }
        Ok(all.into_values().collect())
    }
}

/// The definition behind one source.
fn read_back(name: &str, config: &Value) -> Option<IndexDefinition> {
    let mut parts = name.split('\u{2215}');
    let (target_id, schema, table) = (parts.next()?, parts.next()?, parts.next()?);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut read = IndexDefinition::new(target_id, &text(&config["backend_type"]), schema, table);
    read.strategy = match (parts.next(), config["embedding_json"]["provider"].as_str()) {
        (Some(_), _) => IndexStrategy::Separate,
        (None, Some(MEAN)) => IndexStrategy::Average,
        (None, _) => IndexStrategy::Concat,
    };
    let body = config["doc_map_json"]["body"]["concat"].as_array()?;
    read.columns = body.iter().map(|part| text(&part["col"])).collect();
    read.primary_key = serde_json::from_str(config["pk_column"].as_str()?).ok()?;
    read.where_clause = text(&config["where_sql"]);
    Some(read)
}

/// The mean of the vectors of a text's parts, of unit length.
struct MeanEmbedder(Arc<dyn Embedder>);

impl Embedder for MeanEmbedder {
    fn info(&self) -> EmbedderInfo {
        let mut info = self.0.info();
        // Vectors of another kind: they live in a space of their own.
        info.revision = format!("{}+mean", info.revision);
        info
    }

    fn embed(&self, inputs: &[&str], kind: EmbedKind, deadline: Deadline) -> AiResult<Vec<Vec<f32>>> {
        let parts: Vec<Vec<&str>> = inputs
            .iter()
            .map(|text| {
                let parts: Vec<&str> =
                    text.split(PART_END).map(str::trim).filter(|p| !p.is_empty()).collect();
                if parts.is_empty() { vec![*text] } else { parts }
            })
            .collect();
        let flat: Vec<&str> = parts.iter().flatten().copied().collect();
        let mut vectors = self.0.embed(&flat, kind, deadline)?.into_iter();
        let mean = |count: usize| {
            let own: Vec<Vec<f32>> = vectors.by_ref().take(count).collect();
            average(&own).ok_or_else(|| AiError::internal("the embedder gave vectors of unequal length"))
        };
        parts.iter().map(Vec::len).map(mean).collect()
    }
}

fn average(vectors: &[Vec<f32>]) -> Option<Vec<f32>> {
    let dim = vectors.first()?.len();
    if vectors.iter().any(|vector| vector.len() != dim) {
        return None;
    }
    let mut sum = vec![0.0_f32; dim];
    for vector in vectors {
        // Each column counts the same, however its text was scaled.
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        sum.iter_mut().zip(vector).for_each(|(s, x)| *s += x / length);
    }
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        sum.iter_mut().for_each(|x| *x /= length);
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_read_back_from_their_sources() {
        for strategy in [IndexStrategy::Concat, IndexStrategy::Average, IndexStrategy::Separate] {
            let mut wanted = IndexDefinition::new("shop", "sqlite", "main", "products");
            wanted.columns = vec!["name".to_owned(), "body".to_owned()];
            wanted.primary_key = vec!["id".to_owned(), "part".to_owned()];
            wanted.where_clause = "price > 3".to_owned();
            wanted.strategy = strategy;
            let sources = wanted.sources().expect("makes sense");
            let mut read: Option<IndexDefinition> = None;
            for source in &sources {
                source.validate().expect("a sound source");
                let one =
                    read_back(&source.name, &serde_json::to_value(source).expect("JSON")).expect("reads");
                match &mut read {
                    Some(all) => all.columns.extend(one.columns),
                    None => read = Some(one),
                }
            }
            assert_eq!(read, Some(wanted));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let make = |columns: &[&str], key: &[&str]| {
            let mut wanted = IndexDefinition::new("t", "sqlite", "main", "a");
            wanted.columns = columns.iter().map(|c| (*c).to_owned()).collect();
            wanted.primary_key = key.iter().map(|c| (*c).to_owned()).collect();
            wanted.sources()
        };
        assert!(make(&["a"], &["id"]).is_ok());
        for (columns, key) in
            [(&[][..], &["id"][..]), (&["a"], &[]), (&["a", "a"], &["id"]), (&["a,b"], &["id"])]
        {
            assert_eq!(make(columns, key).expect_err("refused").code, AiErrorCode::InvalidArgument);
        }
    }

    #[test]
    fn means_have_unit_length() {
        let mean = average(&[vec![3.0, 0.0], vec![0.0, 0.5]]).expect("equal lengths");
        assert!((mean[0] - mean[1]).abs() < 1e-6 && (mean[0] * mean[0] * 2.0 - 1.0).abs() < 1e-6);
        assert_eq!(average(&[vec![1.0], vec![1.0, 2.0]]), None);
        assert_eq!(average(&[vec![0.0, 0.0]]), Some(vec![0.0, 0.0]));
    }
}
