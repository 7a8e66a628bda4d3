//! Administration as plain requests and responses: stats, jobs, sources; it checks rights on sources, not scopes.

use std::sync::Arc;
use std::time::Instant;

use ai_core::{AiError, AiErrorCode, AiResult, Deadline};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalogue::{Catalogue, RagCaller, Right, precondition};
use crate::config::SourceConfig;
use crate::engine::Rag;
use crate::jobs::{self, JobKind, JobOrder};
use crate::records::{JobRow, JobState, SyncErrorRow};
use crate::store::{self, AclEntry};
use crate::sync::{self, SourceProgress};

/// Longest wait for a job, in milliseconds.
const WAIT_MS_MAX: u64 = 30_000;

/// Jobs of one page at most.
const PAGE_JOBS_MAX: usize = 100;

/// Error rows shown with a job.
const ERRORS_SHOWN: usize = 10;

/// The embeddings of one source.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct EmbeddingStats {
    /// The model.
    pub model: String,
    /// Length of vectors.
    pub dim: usize,
    /// How they are compared.
    pub metric: String,
    /// True when vectors reflect words, not meaning.
    pub lexical: bool,
    /// Chunks with a vector.
    pub ok: u64,
    /// Chunks that wait for one.
    pub pending: u64,
    /// Chunks that can have none.
    pub error: u64,
    /// The model that is being prepared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub building: Option<String>,
    /// recall@10 of the accelerated copy, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ann_recall: Option<f32>,
}

/// One source in numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SourceStats {
    /// The number.
    pub source_id: i64,
    /// The name.
    pub source_name: String,
    /// The backend.
    pub backend_type: String,
    /// Whether searches see it.
    pub enabled: bool,
    /// Live documents.
    pub docs: u64,
    /// Live chunks.
    pub chunks: u64,
    /// Tombstones.
    pub deleted_docs: u64,
    /// Vectors, when the source has any.
    pub embeddings: Option<EmbeddingStats>,
    /// The last good run, in seconds since 1970.
    pub last_sync: Option<i64>,
    /// Why the last run failed.
    pub last_error: Option<String>,
    /// The next run.
    pub next_run: Option<i64>,
    /// Failed runs in a row.
    pub consecutive_failures: i64,
    /// Bytes of text.
    pub bytes: u64,
}

/// Sums over the visible sources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct StatTotals {
    /// Live documents.
    pub docs: u64,
    /// Live chunks.
    pub chunks: u64,
    /// Bytes of the store's file.
    pub store_bytes: u64,
}

/// The full-text index in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct IndexStats {
    /// `fts5` or the name of the outer index.
    pub kind: String,
    /// Age of the oldest change that it has not seen, in milliseconds.
    pub lag_ms: u64,
    /// Entries.
    pub docs: u64,
    /// Whether it is being rebuilt.
    pub rebuilding: bool,
}

/// The answer of `stats`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct StatsResponse {
    /// The visible sources.
    pub sources: Vec<SourceStats>,
    /// Sums.
    pub totals: StatTotals,
    /// The full-text index.
    pub index: IndexStats,
    /// How long it took.
    pub stats: CallStats,
}

/// How long a call took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CallStats {
    /// Milliseconds.
    pub ms: f64,
    /// Queries sent to sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queries: Option<u64>,
}

impl CallStats {
    pub(crate) fn since(started: Instant) -> Self {
        Self { ms: started.elapsed().as_secs_f64() * 1000.0, queries: None }
    }
}

/// What `sync` does.
// Exhaustive on purpose: these are the modes of the contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyncMode {
    /// Read what changed.
    #[default]
    Incremental,
    /// Read everything and remove what is gone.
    Full,
    /// Make missing vectors.
    Reembed,
    /// Write the full-text index anew.
    RebuildFts,
    /// Compare store and indexes.
    Verify,
}

/// Arguments of `sync`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
// Exhaustive on purpose: hosts build it.
pub struct SyncRequest {
    /// Sources by name; none means all that the caller may synchronise.
    pub source_names: Vec<String>,
    /// Sources by number.
    pub source_ids: Vec<i64>,
    /// What to do.
    pub mode: SyncMode,
    /// Read and count, write nothing.
    pub dry_run: bool,
    /// Delete even when the sweep looks too large.
    pub force_delete: bool,
    /// With `verify`: fix what differs.
    pub repair: bool,
    /// Wait for the end, at most 30000 ms.
    #[schemars(range(max = 30000))]
    pub wait_ms: u64,
}

/// The answer of `sync`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SyncResponse {
    /// Always true; a refused job is an error.
    pub accepted: bool,
    /// The job.
    pub job_id: String,
    /// Names of its sources.
    pub sources: Vec<String>,
    /// Where it stands.
    pub state: JobState,
    /// Each source's progress.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub progress: Vec<SourceProgress>,
}

/// Arguments of `job`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
// Exhaustive on purpose: hosts build it.
pub struct JobRequest {
    /// One job; none means the latest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Jobs of a page, 1-100; 20 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<usize>,
    /// Where the next page starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct JobInfo {
    /// The job.
    pub job_id: String,
    /// What it does.
    pub kind: String,
    /// Where it stands.
    pub state: JobState,
    /// When it was asked for, in seconds since 1970.
    pub created_at: i64,
    /// When it began.
    pub started_at: Option<i64>,
    /// When it ended.
    pub finished_at: Option<i64>,
    /// Each source's progress.
    pub sources: Vec<SourceProgress>,
    /// Why it failed, or what it found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The first rows that failed.
    pub errors_sample: Vec<SyncErrorRow>,
}

/// The answer of `job`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct JobsResponse {
    /// Jobs.
    pub jobs: Vec<JobInfo>,
    /// Where the next page starts, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// One source's settings without secrets and user names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SourceView {
    /// The number.
    pub source_id: i64,
    /// The name.
    pub name: String,
    /// Whether searches see it.
    pub enabled: bool,
    /// How the backend is authenticated: `profile`, `env`, `file` or `none`.
    pub auth: String,
    /// The settings.
    pub config: Value,
    /// Who may see it; empty means everybody.
    pub acl: Vec<AclEntry>,
    /// Why the stored settings cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Arguments of `source_put`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
// Exhaustive on purpose: hosts build it.
pub struct SourcePut {
    /// The settings; without `source_id` a new source.
    pub source: SourceConfig,
    /// Who may see it; absent leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<Vec<AclEntry>>,
    /// Check only.
    #[serde(default)]
    pub validate_only: bool,
}

/// The answer of `source_put`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SourcePutResponse {
    /// The number; 0 when only checked.
    pub source_id: i64,
    /// Whether it is new.
    pub created: bool,
    /// Settings that changed.
    pub changes: Vec<String>,
    /// What the change asks for: `none`, `full_sync` or `reembed`.
    pub needs: String,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// The answer of `source_delete`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SourceDeleteResponse {
    /// The job that removes the data.
    pub job_id: String,
    /// Documents that go.
    pub docs: u64,
    /// Chunks that go.
    pub chunks: u64,
}

fn auth_of(config: &SourceConfig) -> String {
    config.backend_pass.split_once(':').map_or("none", |(kind, _)| kind).to_owned()
}

impl Rag {
    /// Starts the background thread: outer index, schedule, accelerated copies, unfinished jobs. It ends with the engine.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start_background(&self) -> AiResult<()> {
        jobs::resume(&self.inner)?;
        let engine = Arc::downgrade(&self.inner);
        std::thread::Builder::new()
            .name("rag-background".to_owned())
            .spawn(move || jobs::background(&engine))
            .map(drop)
            .map_err(|e| AiError::unavailable(format!("no thread for the background work: {e}")))
    }

    /// Cancels all jobs at their next commit and waits for them, at most until `deadline`.
    pub fn shutdown(&self, deadline: Deadline) {
        self.inner.jobs.stop(deadline);
    }

    /// Sources, documents, chunks and vectors in numbers.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn stats(&self, caller: &RagCaller) -> AiResult<StatsResponse> {
        let started = Instant::now();
        let mut out = StatsResponse::default();
        self.inner.store.quick(|c| {
            let catalogue = Catalogue::read(c)?;
            let rows = store::stats(c)?;
            for source in catalogue.sources.iter().filter(|s| catalogue.permits(s, caller, Right::Search)) {
                let row = rows.get(&source.source_id).cloned().unwrap_or_default();
                let state = store::sync_state(c, source.source_id)?;
                let building = catalogue
                    .spaces_of(source.source_id)
                    .into_iter()
                    .find(|(_, active)| !active)
                    .map(|(space, _)| space.model.clone());
                let embeddings = catalogue.active_space(source.source_id).map(|space| EmbeddingStats {
                    model: space.model.clone(),
                    dim: space.dim,
                    metric: space.metric.as_str().to_owned(),
                    lexical: space.lexical,
                    ok: row.embeddings.0,
                    pending: row.embeddings.1,
                    error: row.embeddings.2,
                    building,
                    ann_recall: self.inner.store.matrix_state(space.space_id).map(|(recall, _)| recall),
                });
                out.totals.docs += row.docs;
                out.totals.chunks += row.chunks;
                let broken = source.config.as_ref().err().map(|e| e.message.clone());
                out.sources.push(SourceStats {
                    source_id: source.source_id,
                    source_name: source.name.clone(),
                    backend_type: source.config.as_ref().map(|c| c.backend_type.clone()).unwrap_or_default(),
                    enabled: source.enabled,
                    docs: row.docs,
                    chunks: row.chunks,
                    deleted_docs: row.deleted_docs,
                    embeddings,
                    last_sync: state.last_ok_at,
                    last_error: broken.or(state.last_error),
                    next_run: state.next_run_at,
                    consecutive_failures: state.consecutive_failures,
                    bytes: row.bytes,
                });
            }
            out.totals.store_bytes = store::file_bytes(c)?;
            Ok(())
        })?;
        let status = self.inner.text_index().status()?;
        out.index = IndexStats {
            kind: status.kind,
            lag_ms: self.inner.index_lag_ms(),
            docs: status.entries,
            rebuilding: status.rebuilding,
        };
        out.stats = CallStats::since(started);
        Ok(out)
    }

    /// Starts a job over sources.
    ///
    /// # Errors
    /// `NOT_FOUND`, `PERMISSION_DENIED` on a source without the right, `CONFLICT` with `job_id` when one is at work,
    /// `FAILED_PRECONDITION` when there is nothing to run on.
    pub fn sync(&self, caller: &RagCaller, request: &SyncRequest) -> AiResult<SyncResponse> {
        if request.wait_ms > WAIT_MS_MAX {
            return Err(AiError::invalid(format!("wait_ms must be at most {WAIT_MS_MAX}"))
                .with("argument", "wait_ms"));
        }
        let kind = match request.mode {
            SyncMode::Incremental => JobKind::Incremental,
            SyncMode::Full => JobKind::Full,
            SyncMode::Reembed => JobKind::Reembed,
            SyncMode::RebuildFts => JobKind::RebuildFts,
            SyncMode::Verify => JobKind::Verify,
        };
        let picked = self.sources_to_sync(caller, request)?;
        let order = JobOrder {
            kind,
            source_ids: picked.iter().map(|(id, _)| *id).collect(),
            requested_by: caller.name.clone(),
            dry_run: request.dry_run,
            force_delete: request.force_delete,
            repair: request.repair,
        };
        let job_id = jobs::submit(&self.inner, &order)?;
        let (row, progress) = self.wait(&job_id, Deadline::after_ms(request.wait_ms))?;
        Ok(SyncResponse {
            accepted: true,
            job_id,
            sources: picked.into_iter().map(|(_, name)| name).collect(),
            state: row.state,
            progress,
        })
    }

    fn sources_to_sync(&self, caller: &RagCaller, request: &SyncRequest) -> AiResult<Vec<(i64, String)>> {
        let catalogue = self.inner.store.quick(Catalogue::read)?;
        let mut picked: Vec<(i64, String)> = Vec::new();
        let named = !request.source_names.is_empty() || !request.source_ids.is_empty();
        let mut wanted: Vec<&store::SourceRow> = Vec::new();
        for name in &request.source_names {
            wanted.push(catalogue.by_name(caller, name)?);
        }
        for id in &request.source_ids {
            let found =
                catalogue.sources.iter().find(|s| s.source_id == *id && catalogue.exists_for(s, caller));
            wanted.push(found.ok_or_else(|| AiError::not_found(format!("no source has number {id}")))?);
        }
        if !named {
            let reads = matches!(request.mode, SyncMode::Incremental | SyncMode::Full);
            let readable =
                |s: &&store::SourceRow| !reads || s.config.as_ref().is_ok_and(|c| c.backend_type != "push");
            wanted = catalogue
                .sources
                .iter()
                .filter(|s| s.enabled && catalogue.permits(s, caller, Right::Sync))
                .filter(readable)
                .collect();
        }
        for source in wanted {
            if !catalogue.permits(source, caller, Right::Sync) {
                return Err(AiError::new(
                    AiErrorCode::PermissionDenied,
                    format!("{:?} may not synchronise source {:?}", caller.name, source.name),
                ));
            }
            if !source.enabled {
                return Err(precondition(format!("source {:?} is disabled", source.name)));
            }
            if !picked.iter().any(|(id, _)| *id == source.source_id) {
                picked.push((source.source_id, source.name.clone()));
            }
        }
        if picked.is_empty() {
            return Err(precondition("there is no source to synchronise"));
        }
        Ok(picked)
    }

    fn wait(&self, job_id: &str, deadline: Deadline) -> AiResult<(JobRow, Vec<SourceProgress>)> {
        loop {
            match self.inner.jobs.live(job_id) {
                Some(live) if deadline.is_over() => return Ok(live.snapshot()),
                Some(_) => std::thread::sleep(deadline.remaining().min(std::time::Duration::from_millis(10))),
                None => {
                    let row = self.inner.store.quick(|c| store::job_by_id(c, job_id))?;
                    let row = row.ok_or_else(|| AiError::not_found(format!("no job {job_id:?}")))?;
                    let progress = serde_json::from_value(row.progress.clone()).unwrap_or_default();
                    return Ok((row, progress));
                }
            }
        }
    }

    /// One job, or the latest ones.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown job, `INVALID_ARGUMENT` for a broken page token.
    pub fn jobs(&self, caller: &RagCaller, request: &JobRequest) -> AiResult<JobsResponse> {
        let size = request.page_size.unwrap_or(20);
        if !(1..=PAGE_JOBS_MAX).contains(&size) {
            return Err(AiError::invalid(format!("page_size must be between 1 and {PAGE_JOBS_MAX}")));
        }
        let skip: usize = match &request.page_token {
            None => 0,
            Some(token) => {
                token.parse().map_err(|_| AiError::invalid("page_token was not made by this tool"))?
            }
        };
        self.inner.store.quick(|c| {
            let catalogue = Catalogue::read(c)?;
            let rows = match &request.job_id {
                Some(id) => vec![
                    store::job_by_id(c, id)?.ok_or_else(|| AiError::not_found(format!("no job {id:?}")))?,
                ],
                None => store::jobs_page(c, size + 1, skip)?,
            };
            let more = request.job_id.is_none() && rows.len() > size;
            let mut jobs = Vec::new();
            for row in rows.into_iter().take(size) {
                let (row, progress) = match self.inner.jobs.live(&row.job_id) {
                    Some(live) => live.snapshot(),
                    None => {
                        let progress = serde_json::from_value(row.progress.clone()).unwrap_or_default();
                        (row, progress)
                    }
                };
                let visible = |id: i64| {
                    catalogue
                        .sources
                        .iter()
                        .find(|s| s.source_id == id)
                        .is_none_or(|s| catalogue.exists_for(s, caller))
                };
                let all: Vec<SourceProgress> = progress;
                let shown: Vec<SourceProgress> =
                    all.iter().filter(|p| visible(p.source_id)).cloned().collect();
                if shown.is_empty() && !all.is_empty() {
                    continue;
                }
                let errors = store::job_errors(c, &row.job_id, ERRORS_SHOWN)?;
                jobs.push(JobInfo {
                    job_id: row.job_id,
                    kind: row.kind,
                    state: row.state,
                    created_at: row.created_at,
                    started_at: row.started_at,
                    finished_at: row.finished_at,
                    error: if shown.len() == all.len() { row.error } else { None },
                    errors_sample: errors.into_iter().filter(|e| visible(e.source_id)).collect(),
                    sources: shown,
                });
            }
            Ok(JobsResponse { jobs, next_page_token: more.then(|| (skip + size).to_string()) })
        })
    }

    /// Asks a job to stop at its next commit.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown job, `FAILED_PRECONDITION` for a finished one.
    pub fn cancel(&self, _caller: &RagCaller, job_id: &str) -> AiResult<JobInfo> {
        match self.inner.jobs.live(job_id) {
            Some(live) => {
                live.cancel();
                let (row, sources) = live.snapshot();
                Ok(JobInfo {
                    job_id: row.job_id,
                    kind: row.kind,
                    state: row.state,
                    created_at: row.created_at,
                    started_at: row.started_at,
                    finished_at: row.finished_at,
                    sources,
                    error: row.error,
                    errors_sample: Vec::new(),
                })
            }
            None => match self.inner.store.quick(|c| store::job_by_id(c, job_id))? {
                None => Err(AiError::not_found(format!("no job {job_id:?}"))),
                Some(_) => Err(precondition(format!("job {job_id:?} has ended already"))),
            },
        }
    }

    /// The settings of sources, without secrets and user names.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown name.
    pub fn sources(&self, caller: &RagCaller, names: &[String]) -> AiResult<Vec<SourceView>> {
        self.inner.store.quick(|c| {
            let catalogue = Catalogue::read(c)?;
            let acl = store::acl_all(c)?;
            for name in names {
                catalogue.by_name(caller, name)?;
            }
            let shown = catalogue.sources.iter().filter(|s| catalogue.exists_for(s, caller));
            Ok(shown
                .filter(|s| names.is_empty() || names.contains(&s.name))
                .map(|s| {
                    let mut config = s
                        .config
                        .as_ref()
                        .ok()
                        .and_then(|c| serde_json::to_value(c).ok())
                        .unwrap_or(Value::Null);
                    if let Some(object) = config.as_object_mut() {
                        object.remove("backend_pass");
                        object.remove("backend_user");
                        if let Some(embedding) =
                            object.get_mut("embedding_json").and_then(Value::as_object_mut)
                        {
                            embedding.remove("api_key");
                        }
                    }
                    SourceView {
                        source_id: s.source_id,
                        name: s.name.clone(),
                        enabled: s.enabled,
                        auth: s.config.as_ref().map_or_else(|_| "none".to_owned(), auth_of),
                        config,
                        acl: acl
                            .iter()
                            .filter(|(id, _)| *id == s.source_id)
                            .map(|(_, e)| e.clone())
                            .collect(),
                        error: s.config.as_ref().err().map(|e| e.message.clone()),
                    }
                })
                .collect())
        })
    }

    /// Creates or changes a source after checking it against its backend.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with the JSON path, `CONFLICT` for a taken name, `NOT_FOUND` for an unknown number,
    /// `UNAVAILABLE` when backend or embedder cannot be reached.
    pub fn source_put(&self, caller: &RagCaller, request: &SourcePut) -> AiResult<SourcePutResponse> {
        let config = &request.source;
        config.validate()?;
        crate::map::Mapper::new(config)?;
        let mut out = SourcePutResponse { needs: "none".to_owned(), ..SourcePutResponse::default() };
        if config.backend_type != "push" {
            let rows = sync::open_rows(&self.inner, config)?;
            sync::check_columns(config, rows.as_ref())?;
            if config.sync.cursor_column.is_none() && config.sync.mode == "poll" {
                out.warnings
                    .push("without a cursor column changed rows are found by full passes only".to_owned());
            }
        }
        if config.embedding.enabled {
            self.inner.embedders.get(&config.embedding)?;
        }
        let catalogue = self.inner.store.quick(Catalogue::read)?;
        let before = match config.source_id {
            None => None,
            Some(id) => Some(
                catalogue
                    .sources
                    .iter()
                    .find(|s| s.source_id == id && catalogue.exists_for(s, caller))
                    .ok_or_else(|| AiError::not_found(format!("no source has number {id}")))?,
            ),
        };
        match before.map(|s| &s.config) {
            None => {
                out.created = true;
                out.needs = if config.backend_type == "push" { "none" } else { "full_sync" }.to_owned();
            }
            Some(held) => {
                let (old, new) = (
                    held.as_ref().ok().and_then(|c| serde_json::to_value(c).ok()),
                    serde_json::to_value(config),
                );
                let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
                if let Some(new) = new.as_object() {
                    out.changes = new
                        .iter()
                        .filter(|(k, v)| old.get(k.as_str()) != Some(*v))
                        .map(|(k, _)| k.clone())
                        .collect();
                }
                let content = held.as_ref().map_or(true, |c| c.content_hash() != config.content_hash());
                let embedding = held.as_ref().map_or(true, |c| c.embedding != config.embedding);
                if content {
                    "full_sync".clone_into(&mut out.needs);
                } else if embedding && config.embedding.enabled {
                    "reembed".clone_into(&mut out.needs);
                }
            }
        }
        if !request.validate_only {
            out.source_id = self.inner.store.put_source(config, request.acl.as_deref())?;
        }
        Ok(out)
    }

    /// Removes a source with all its data, under a job; `confirm` repeats the name.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when `confirm` differs, `NOT_FOUND`, `CONFLICT` when a job is at work.
    pub fn source_delete(
        &self,
        caller: &RagCaller,
        name: &str,
        confirm: &str,
    ) -> AiResult<SourceDeleteResponse> {
        if name != confirm {
            return Err(AiError::invalid("confirm must repeat source_name").with("argument", "confirm"));
        }
        let (source_id, row) = self.inner.store.quick(|c| {
            let catalogue = Catalogue::read(c)?;
            let id = catalogue.by_name(caller, name)?.source_id;
            Ok((id, store::stats(c)?.remove(&id).unwrap_or_default()))
        })?;
        let order = JobOrder {
            kind: JobKind::DeleteSource,
            source_ids: vec![source_id],
            requested_by: caller.name.clone(),
            ..JobOrder::default()
        };
        let job_id = jobs::submit(&self.inner, &order)?;
        Ok(SourceDeleteResponse { job_id, docs: row.docs, chunks: row.chunks })
    }
}
