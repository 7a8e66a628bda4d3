//! One run over one source: read, compare, cut, embed, commit, sweep; it knows rows and the store, not jobs or threads.

mod vectors;

use std::collections::{HashMap, HashSet};

use ai_core::{AiError, AiErrorCode, AiResult, Deadline, PageRequest, RowKey, RowSource, RowValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::catalogue::precondition;
use crate::config::{SourceConfig, bad};
use crate::engine::Inner;
use crate::folder::FolderSource;
use crate::ids::{canonical, now_s};
use crate::map::{MappedDoc, Mapper};
use crate::prepare::{self, Binding};
use crate::records::{DocWrite, SyncErrorRow, SyncState};
use crate::store::{self, WriteBatch};

/// Bytes of one page of rows.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// Rows that failed whose documents a sweep spares; with more failures nothing is swept.
const SPARED_MAX: usize = 10_000;

/// Deletions that are always allowed, whatever the ratio.
const FREE_DELETES: u64 = 100;

/// Longest back-off after failures, in seconds.
const BACK_OFF_MAX_S: i64 = 3_600;

/// What a run is asked to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RunOptions {
    pub(crate) full: bool,
    pub(crate) reembed: bool,
    pub(crate) dry_run: bool,
    pub(crate) force_delete: bool,
}

/// Where one source of a job stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[non_exhaustive]
pub struct SourceProgress {
    /// The source's number.
    pub source_id: i64,
    /// The source's name.
    pub source_name: String,
    /// `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// `validate`, `read`, `embed`, `sweep` or `index`.
    pub phase: String,
    /// Rows read.
    pub rows_read: u64,
    /// New documents.
    pub docs_new: u64,
    /// Replaced documents.
    pub docs_changed: u64,
    /// Documents that were the same.
    pub docs_unchanged: u64,
    /// Removed documents; in a dry run those that would be removed.
    pub docs_deleted: u64,
    /// Chunks written.
    pub chunks_written: u64,
    /// Vectors computed.
    pub embeddings_done: u64,
    /// Vectors taken from the cache.
    pub embeddings_reused: u64,
    /// Chunks that wait for a vector.
    pub embeddings_pending: u64,
    /// Chunks that can have no vector.
    pub embeddings_failed: u64,
    /// Rows that failed.
    pub errors: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Rows a second so far.
    pub rate: f64,
    /// Why the source failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a run reports to.
pub(crate) trait Watcher {
    fn progress(&self, progress: &SourceProgress);
    fn errors(&self, rows: Vec<SyncErrorRow>);
    fn cancelled(&self) -> bool;
    fn job_id(&self) -> String;
}

fn cancelled() -> AiError {
    AiError::new(AiErrorCode::DeadlineExceeded, "the job was cancelled").with("cancelled", true)
}

pub(crate) fn is_cancelled(error: &AiError) -> bool {
    error.details.contains_key("cancelled")
}

/// Opens the rows of a source, for a caller's request or for ingestion.
pub(crate) fn open_rows(
    inner: &Inner,
    config: &SourceConfig,
    caller: Option<&str>,
) -> AiResult<Box<dyn RowSource>> {
    match config.backend_type.as_str() {
        "push" => Err(precondition(format!(
            "source {:?} gets its documents pushed; there is nothing to read",
            config.name
        ))),
        "files" => Ok(Box::new(FolderSource::open(
            &config.backend_db,
            &config.table_name,
            &config.key_columns()?,
            &inner.file_roots,
        )?)),
        other => match &inner.connector {
            Some(connector) => {
                let mut spec = config.spec()?;
                spec.caller = caller.map(str::to_owned);
                connector.open(&spec)
            }
            None => Err(precondition(format!(
                "this program cannot read from {other:?}; it has no connector for databases"
            ))),
        },
    }
}

/// Checks that the columns that a source needs exist.
pub(crate) fn check_columns(config: &SourceConfig, rows: &dyn RowSource) -> AiResult<()> {
    if config.backend_type == "files" {
        return Ok(()); // front matter and JSONL keys are known only when the files are read
    }
    let known: HashSet<String> = rows.columns()?.into_iter().map(|c| c.name).collect();
    let mapper = Mapper::new(config)?;
    let wanted = mapper.columns().iter().chain(&config.sync.cursor_column);
    for column in wanted.chain(&config.key_columns()?) {
        if !known.contains(column) {
            return Err(bad(
                "doc_map_json",
                &format!("column {column:?} does not exist in {}", config.table_name),
            ));
        }
    }
    Ok(())
}

struct Run<'a> {
    inner: &'a Inner,
    source_id: i64,
    config: &'a SourceConfig,
    options: RunOptions,
    watcher: &'a dyn Watcher,
    /// None when the documents are pushed and only their vectors are made.
    rows: Option<Box<dyn RowSource>>,
    mapper: Mapper,
    bindings: Vec<Binding>,
    progress: SourceProgress,
    state: SyncState,
    started_s: i64,
    clock: std::time::Instant,
    /// Documents met by a full pass: one bit for each key.
    met: Vec<u64>,
    /// Keys of rows that exist but could not be read or mapped.
    spared: HashSet<String>,
    /// The settings changed: unchanged documents are cut anew too.
    recut: bool,
}

/// Runs one source to its end and records the outcome in its state.
pub(crate) fn run(
    inner: &Inner,
    source_id: i64,
    config: &SourceConfig,
    passed_hash: Option<&str>,
    options: RunOptions,
    watcher: &dyn Watcher,
) -> (SourceProgress, AiResult<()>) {
    let mut progress = SourceProgress {
        source_id,
        source_name: config.name.clone(),
        state: "running".to_owned(),
        phase: "validate".to_owned(),
        ..SourceProgress::default()
    };
    watcher.progress(&progress);
    let result = start(inner, source_id, config, options, watcher, &progress).and_then(|mut run| {
        let result = run.go(passed_hash);
        progress = std::mem::take(&mut run.progress);
        result
    });
    progress.state = match &result {
        Ok(()) => "succeeded",
        Err(e) if is_cancelled(e) => "cancelled",
        Err(_) => "failed",
    }
    .to_owned();
    progress.error = result.as_ref().err().map(|e| e.message.clone());
    watcher.progress(&progress);
    let result = match (&result, options.dry_run) {
        (_, true) => result,
        (Ok(()), _) => result.and(record(inner, source_id, config, None)),
        (Err(error), _) if is_cancelled(error) => result,
        (Err(error), _) => {
            let message = error.message.clone();
            // The first error is the one to report, whether or not it could be recorded.
            record(inner, source_id, config, Some(&message)).and(result.map(drop))
        }
    };
    (progress, result)
}

fn record(inner: &Inner, source_id: i64, config: &SourceConfig, error: Option<&str>) -> AiResult<()> {
    let mut state = inner.store.quick(|c| store::sync_state(c, source_id))?;
    let now = now_s();
    state.last_run_at = Some(now);
    let interval = i64::try_from(config.sync.interval_s.unwrap_or(inner.limits().sync_interval_s))
        .unwrap_or(i64::MAX / 4);
    match error {
        None => {
            state.last_ok_at = Some(now);
            state.last_error = None;
            state.consecutive_failures = 0;
            // Sources of one interval spread over time instead of running together.
            let jitter = interval / 10 * (source_id % 3 - 1);
            state.next_run_at = (interval > 0).then(|| now + interval + jitter);
        }
        Some(message) => {
            state.last_error = Some(message.to_owned());
            state.consecutive_failures += 1;
            let wait = (interval.max(30) << state.consecutive_failures.min(7)).min(BACK_OFF_MAX_S);
            state.next_run_at = (interval > 0).then_some(now + wait);
        }
    }
    inner.store.write(|c| store::put_sync_state(c, source_id, &state))
}

fn start<'a>(
    inner: &'a Inner,
    source_id: i64,
    config: &'a SourceConfig,
    options: RunOptions,
    watcher: &'a dyn Watcher,
    progress: &SourceProgress,
) -> AiResult<Run<'a>> {
    config.validate()?;
    let rows = if options.reembed && config.backend_type == "push" {
        None
    } else {
        let rows = open_rows(inner, config, None)?;
        check_columns(config, rows.as_ref())?;
        Some(rows)
    };
    let bindings = if options.dry_run { Vec::new() } else { bindings(inner, source_id, config)? };
    Ok(Run {
        inner,
        source_id,
        config,
        options,
        watcher,
        rows,
        mapper: Mapper::new(config)?,
        bindings,
        progress: progress.clone(),
        state: inner.store.quick(|c| store::sync_state(c, source_id))?,
        started_s: now_s(),
        clock: std::time::Instant::now(),
        met: Vec::new(),
        spared: HashSet::new(),
        recut: false,
    })
}

/// With `on_error: defer` an unreachable embedder postpones vectors instead of stopping documents.
fn bindings(inner: &Inner, source_id: i64, config: &SourceConfig) -> AiResult<Vec<Binding>> {
    match inner.bindings(source_id, config) {
        Err(e) if config.embedding.on_error == "defer" && e.code == AiErrorCode::Unavailable => {
            Ok(Vec::new())
        }
        other => other,
    }
}

impl Run<'_> {
    fn go(&mut self, passed_hash: Option<&str>) -> AiResult<()> {
        let hash = self.config.content_hash();
        let changed = passed_hash != Some(hash.as_str());
        self.recut = changed && passed_hash.is_some();
        let interval =
            i64::try_from(self.config.sync.sweep_interval_s.unwrap_or(self.inner.limits().sweep_interval_s))
                .unwrap_or(i64::MAX / 4);
        let due = match self.state.last_sweep_at {
            None => true,
            Some(at) => interval > 0 && at + interval <= self.started_s,
        };
        let full = self.options.full || changed || due || self.config.sync.mode == "full";
        let by_key = self.config.sync.cursor_column.is_none();
        if self.rows.is_some() && (!self.options.reembed || changed) {
            // A pass in key order over everything is the incremental pass too.
            if !(full && by_key) {
                self.pass(false)?;
            }
            if full {
                self.full_pass()?;
                if !self.options.dry_run {
                    self.inner.store.set_passed_hash(self.source_id, &hash)?;
                }
            }
        }
        if !self.options.dry_run {
            self.embed_pending()?;
            self.phase("index");
            if self.inner.store.external().is_some() {
                self.inner.store.catch_up(None)?;
            }
        }
        Ok(())
    }

    fn phase(&mut self, name: &str) {
        self.progress.phase = name.to_owned();
        let seconds = self.clock.elapsed().as_secs_f64();
        self.progress.rate = if seconds > 0.0 { self.progress.rows_read as f64 / seconds } else { 0.0 };
        self.watcher.progress(&self.progress);
    }

    /// Bytes of one page or one commit: rows, documents, chunks and their terms each take about as much again, and so does
    /// every source that runs at the same time.
    fn share_bytes(&self) -> usize {
        let limits = self.inner.limits();
        let runs = limits.sync_workers_max.max(1) as u64;
        usize::try_from(limits.memory_bytes_max / (16 * runs)).unwrap_or(usize::MAX)
    }

    fn stop_if_cancelled(&self) -> AiResult<()> {
        if self.watcher.cancelled() { Err(cancelled()) } else { Ok(()) }
    }

    fn full_pass(&mut self) -> AiResult<()> {
        let last: i64 = self.inner.store.quick(store::last_doc_pk)?;
        self.met = vec![0; usize::try_from(last / 64 + 1).unwrap_or(0)];
        self.pass(true)?;
        self.sweep(last)?;
        if !self.options.dry_run {
            self.state.last_sweep_at = Some(self.started_s);
            self.inner.store.write(|c| store::put_sync_state(c, self.source_id, &self.state))?;
        }
        Ok(())
    }

    /// Reads from the watermark in (cursor, key) order, or everything in key order.
    fn pass(&mut self, full: bool) -> AiResult<()> {
        let cursor_column = if full { None } else { self.config.sync.cursor_column.clone() };
        let mut after = if full { None } else { self.watermark() };
        loop {
            self.stop_if_cancelled()?;
            self.phase("read");
            let request = PageRequest::first(
                self.mapper.columns().to_vec(),
                self.config.sync.page_rows,
                PAGE_BYTES_MAX.min(self.share_bytes()),
            )
            .with_cursor(cursor_column.clone())
            .with_after(after.clone());
            let Some(rows) = &self.rows else { return Ok(()) };
            let page = rows.page(&request, Deadline::after_ms(self.config.sync.timeout_ms))?;
            for (key, why) in &page.failed {
                self.row_failed(key, "read", &AiError::invalid(why.clone()));
            }
            let last = page.rows.last().map(|r| (r.cursor.clone(), r.key.clone()));
            let mut docs = Vec::new();
            for row in &page.rows {
                self.progress.rows_read += 1;
                self.progress.bytes_read += row.values.iter().map(RowValue::size_bytes).sum::<usize>() as u64;
                match self.mapper.map(&row.key, &row.values) {
                    Ok(doc) => docs.push((row.cursor.clone(), row.key.clone(), doc)),
                    Err(e) => self.row_failed(&self.mapper.pk_json(&row.key), "map", &e),
                }
            }
            self.page_of_docs(docs, full)?;
            let Some(last) = last else { break };
            if !full || self.config.sync.cursor_column.is_none() {
                self.set_watermark(&last)?;
            }
            after = Some(last);
            if !page.more {
                break;
            }
        }
        Ok(())
    }

    fn watermark(&self) -> Option<(RowValue, RowKey)> {
        let stored = self.state.cursor.get("after")?;
        let (mut cursor, key): (RowValue, RowKey) = serde_json::from_value(stored.clone()).ok()?;
        if self.state.cursor.get("column").and_then(Value::as_str)
            != self.config.sync.cursor_column.as_deref()
        {
            return None; // another watermark column: start over
        }
        let back = i64::try_from(self.config.sync.lookback).unwrap_or(i64::MAX);
        if back > 0 {
            cursor = match cursor {
                RowValue::Int(i) => RowValue::Int(i.saturating_sub(back).saturating_sub(1)),
                RowValue::Uint(u) => RowValue::Uint(u.saturating_sub(back.unsigned_abs()).saturating_sub(1)),
                RowValue::Float(f) => RowValue::Float(f - back as f64),
                RowValue::Time(t) => match crate::times::parse_ms(&t) {
                    Some(ms) => {
                        RowValue::Time(crate::times::rfc3339(ms.div_euclid(1000).saturating_sub(back)))
                    }
                    None => RowValue::Time(t),
                },
                other => other,
            };
        }
        Some((cursor, key))
    }

    fn set_watermark(&mut self, last: &(RowValue, RowKey)) -> AiResult<()> {
        if self.options.dry_run {
            return Ok(());
        }
        let next = json!({"column": self.config.sync.cursor_column, "after": last});
        if self.state.cursor == next {
            return Ok(());
        }
        self.state.cursor = next;
        self.inner.store.write(|c| store::put_sync_state(c, self.source_id, &self.state))
    }

    fn row_failed(&mut self, key_json: &str, stage: &str, error: &AiError) {
        self.progress.errors += 1;
        if self.spared.len() <= SPARED_MAX {
            self.spared.insert(canonical(key_json));
        }
        self.watcher.errors(vec![SyncErrorRow {
            source_id: self.source_id,
            key_json: key_json.to_owned(),
            stage: stage.to_owned(),
            code: error.code.as_str().to_owned(),
            message: error.message.clone(),
        }]);
    }

    /// Compares a page with the store and commits what differs, in bounded batches.
    fn page_of_docs(&mut self, docs: Vec<(RowValue, RowKey, MappedDoc)>, full: bool) -> AiResult<()> {
        let ids: Vec<String> = docs.iter().map(|(_, _, d)| d.doc_id.clone()).collect();
        let states = self.inner.store.doc_states(&ids)?;
        let mut seen: HashMap<String, String> = HashMap::new();
        let mut batch = WriteBatch::default();
        let mut bytes = 0;
        for (cursor, key, doc) in docs {
            let state = states.get(&doc.doc_id);
            if let Some(state) = state.filter(|s| s.source_id == self.source_id) {
                self.meet(state.doc_pk);
            }
            let twin = seen.get(&doc.doc_id).cloned().or_else(|| {
                state.filter(|s| s.source_id == self.source_id && !s.deleted).map(|s| s.pk_json.clone())
            });
            let taken = state.is_some_and(|s| s.source_id != self.source_id && !s.deleted);
            if taken || twin.is_some_and(|pk| pk != doc.pk_json && canonical(&pk) != canonical(&doc.pk_json))
            {
                let owner = if taken { "another source" } else { "another row" };
                let error = AiError::new(
                    AiErrorCode::Conflict,
                    format!("document {:?} belongs to {owner}", doc.doc_id),
                );
                self.row_failed(&doc.pk_json, "map", &error);
                continue;
            }
            seen.insert(doc.doc_id.clone(), doc.pk_json.clone());
            let live = state.filter(|s| !s.deleted);
            if doc.tombstone {
                batch.delete_doc_pks.extend(live.map(|s| s.doc_pk));
                continue;
            }
            if live.is_some_and(|s| s.content_hash == prepare::content_hash(&doc)) && !self.rechunk(full) {
                self.progress.docs_unchanged += 1;
                continue;
            }
            let pk = doc.pk_json.clone();
            let counter = self.bindings.first().map(|b| b.embedder.as_ref());
            let (write, warning) = prepare::cut(self.config, self.source_id, doc, counter);
            if let Some(why) = warning {
                self.row_failed(&pk, "chunk", &AiError::limit(why));
            }
            bytes += write.body.len();
            batch.docs.push(write);
            let position = (cursor, key);
            if batch.docs.len() >= self.config.sync.commit_docs
                || bytes >= self.config.sync.commit_bytes.min(self.share_bytes())
            {
                self.commit(std::mem::take(&mut batch), Some(&position), full)?;
                bytes = 0;
            }
        }
        self.commit(batch, None, full)
    }

    /// Changed settings cut unchanged documents anew, once, in the full pass that follows the change.
    fn rechunk(&self, full: bool) -> bool {
        full && self.recut
    }

    fn meet(&mut self, doc_pk: i64) {
        let place = usize::try_from(doc_pk / 64).unwrap_or(usize::MAX);
        if let Some(word) = self.met.get_mut(place) {
            *word |= 1 << (doc_pk % 64);
        }
    }

    fn met(&self, doc_pk: i64) -> bool {
        let place = usize::try_from(doc_pk / 64).unwrap_or(usize::MAX);
        self.met.get(place).is_some_and(|word| word >> (doc_pk % 64) & 1 == 1)
    }

    fn commit(
        &mut self,
        mut batch: WriteBatch,
        position: Option<&(RowValue, RowKey)>,
        full: bool,
    ) -> AiResult<()> {
        if batch.docs.is_empty() && batch.delete_doc_pks.is_empty() {
            return Ok(());
        }
        if self.options.dry_run {
            self.count_dry(&batch.docs);
            self.progress.docs_deleted += batch.delete_doc_pks.len() as u64;
            return Ok(());
        }
        self.phase("embed");
        let watcher = self.watcher;
        // No transaction is open here: embedding may take long.
        let counts =
            prepare::embed(&self.inner.store, self.config, &self.bindings, &mut batch.docs, &|| {
                watcher.cancelled()
            })?;
        self.progress.embeddings_done += counts.done;
        self.progress.embeddings_reused += counts.reused;
        self.progress.embeddings_failed += counts.failed;
        self.stop_if_cancelled()?;
        if let Some(position) = position.filter(|_| !full || self.config.sync.cursor_column.is_none()) {
            self.state.cursor = json!({"column": self.config.sync.cursor_column, "after": position});
            batch.state = Some((self.source_id, self.state.clone()));
        }
        self.wait_for_index()?;
        batch.lease = Some((self.source_id, self.watcher.job_id()));
        let counts = self.inner.store.apply(&batch)?;
        self.progress.docs_new += counts.docs_new;
        self.progress.docs_changed += counts.docs_changed;
        self.progress.docs_deleted += counts.docs_deleted;
        self.progress.chunks_written += counts.chunks_written;
        Ok(())
    }

    fn count_dry(&mut self, docs: &[DocWrite]) {
        for doc in docs {
            let known = self.inner.store.doc_states(std::slice::from_ref(&doc.doc_id));
            let live = known.is_ok_and(|k| k.get(&doc.doc_id).is_some_and(|s| !s.deleted));
            if live {
                self.progress.docs_changed += 1;
            } else {
                self.progress.docs_new += 1;
            }
            self.progress.chunks_written += doc.chunks.len() as u64;
        }
    }

    fn wait_for_index(&self) -> AiResult<()> {
        if self.inner.store.external().is_some()
            && self.inner.store.outbox_depth()?.0 > self.inner.limits().outbox_rows_max
        {
            self.inner.store.catch_up(None)?;
        }
        Ok(())
    }

    /// Removes what a completed full pass did not meet.
    fn sweep(&mut self, last: i64) -> AiResult<()> {
        self.phase("sweep");
        if self.spared.len() > SPARED_MAX {
            return Err(precondition(
                "too many rows failed to tell which documents are gone; nothing was deleted",
            ));
        }
        let (mut total, mut gone) = (0u64, 0u64);
        self.each_unmet(last, |_, stored, unmet| {
            total += stored;
            gone += unmet.len() as u64;
            Ok(())
        })?;
        let ratio = gone as f64 / total.max(1) as f64;
        if gone > FREE_DELETES && ratio > self.config.sync.max_delete_ratio && !self.options.force_delete {
            return Err(precondition(format!(
                "the sweep would delete {gone} of {total} documents, more than the ratio {} allows; check the source, \
                 then run with force_delete",
                self.config.sync.max_delete_ratio
            ))
            .with("would_delete", gone));
        }
        if self.options.dry_run {
            self.progress.docs_deleted += gone;
            return Ok(());
        }
        self.each_unmet(last, |run, _, unmet| {
            run.stop_if_cancelled()?;
            let lease = Some((run.source_id, run.watcher.job_id()));
            let counts = run.inner.store.apply(&WriteBatch {
                delete_doc_pks: unmet,
                lease,
                ..WriteBatch::default()
            })?;
            run.progress.docs_deleted += counts.docs_deleted;
            Ok(())
        })
    }

    fn each_unmet(
        &mut self,
        last: i64,
        mut each: impl FnMut(&mut Self, u64, Vec<i64>) -> AiResult<()>,
    ) -> AiResult<()> {
        let mut after = 0;
        loop {
            let stored = self.inner.store.stored_keys(self.source_id, after, 500)?;
            let Some(end) = stored.last() else { return Ok(()) };
            after = end.doc_pk;
            let count = stored.len() as u64;
            let unmet = stored
                .into_iter()
                .filter(|k| k.doc_pk <= last && k.updated_at <= self.started_s)
                .filter(|k| !self.met(k.doc_pk))
                .filter(|k| self.spared.is_empty() || !self.spared.contains(&canonical(&k.pk_json)))
                .map(|k| k.doc_pk)
                .collect();
            each(self, count, unmet)?;
        }
    }
}
