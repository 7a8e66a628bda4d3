//! Administration as plain requests and responses: stats, jobs, sources; it checks rights on sources, not scopes.

mod forms;

use std::sync::Arc;
use std::time::Instant;

use ai_core::{AiError, AiErrorCode, AiResult, Deadline, EmbedKind};
use serde_json::Value;

use crate::catalogue::{Catalogue, RagCaller, Right, precondition};
use crate::config::SourceConfig;
use crate::engine::Rag;
use crate::jobs::{self, JobKind, JobOrder};
use crate::records::JobRow;
use crate::store;
use crate::sync::{self, SourceProgress};

pub use forms::{
    CallStats, EmbeddingStats, IndexStats, JobInfo, JobRequest, JobsResponse, SourceDeleteResponse,
    SourcePut, SourcePutResponse, SourceStats, SourceView, StatTotals, StatsResponse, SyncMode, SyncRequest,
    SyncResponse,
};

/// Longest wait for a job, in milliseconds.
const WAIT_MS_MAX: u64 = 30_000;

/// Jobs of one page at most.
const PAGE_JOBS_MAX: usize = 100;

/// Error rows shown with a job.
const ERRORS_SHOWN: usize = 10;

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
        // What cannot be written now is lost with the process: it is a log, not data.
        let _ = self.flush_log();
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
                if row.state.is_final() {
                    return Err(precondition(format!("job {job_id:?} has ended already")));
                }
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
            let rows = sync::open_rows(&self.inner, config, None)?;
            sync::check_columns(config, rows.as_ref())?;
            if config.sync.cursor_column.is_none() && config.sync.mode == "poll" {
                out.warnings
                    .push("without a cursor column changed rows are found by full passes only".to_owned());
            }
        }
        if config.embedding.enabled {
            let embedder = self.inner.embedders.get(&config.embedding)?;
            let deadline = Deadline::after_ms(config.embedding.timeout_ms);
            let probe = embedder.embed(&["probe"], EmbedKind::Document, deadline)?;
            let dim = embedder.info().dim;
            if probe.first().map(Vec::len) != Some(dim) {
                return Err(precondition(format!(
                    "the embedder does not answer vectors of {dim} components as it says"
                )));
            }
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
