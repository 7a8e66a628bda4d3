//! Jobs: a bounded number of workers, progress, cancelling, resuming, the schedule; it knows what a run is, not how it works.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use ai_core::{AiError, AiErrorCode, AiResult, Deadline};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::catalogue::{Catalogue, precondition};
use crate::engine::Inner;
use crate::ids::{now_s, random_hex};
use crate::records::{JobRow, JobState, SyncErrorRow};
use crate::store::{self, SourceRow, WriteBatch};
use crate::sync::{self, RunOptions, SourceProgress, Watcher};

/// Jobs that wait at most.
const QUEUE_JOBS_MAX: usize = 256;

/// How often the background thread looks for work, in milliseconds.
const TICK_MS: u64 = 250;

/// How often a running job writes its progress to the store, in milliseconds.
const HEARTBEAT_MS: u128 = 1_000;

/// Documents that one transaction of a source's removal takes.
const DELETE_DOCS: usize = 200;

/// What a job does.
// Exhaustive on purpose: every kind has its branch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JobKind {
    /// Reads what changed.
    #[default]
    Incremental,
    /// Reads everything and removes what is gone.
    Full,
    /// Makes missing vectors, failed ones too.
    Reembed,
    /// Writes the full-text index anew.
    RebuildFts,
    /// Compares store and indexes.
    Verify,
    /// Removes a source with its data.
    DeleteSource,
}

impl JobKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Incremental => "incremental",
            Self::Full => "full",
            Self::Reembed => "reembed",
            Self::RebuildFts => "rebuild_fts",
            Self::Verify => "verify",
            Self::DeleteSource => "delete_source",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "full" => Self::Full,
            "reembed" => Self::Reembed,
            "rebuild_fts" => Self::RebuildFts,
            "verify" => Self::Verify,
            "delete_source" => Self::DeleteSource,
            _ => Self::Incremental,
        }
    }
}

/// A job before it is queued.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobOrder {
    pub(crate) kind: JobKind,
    pub(crate) source_ids: Vec<i64>,
    pub(crate) requested_by: String,
    pub(crate) dry_run: bool,
    pub(crate) force_delete: bool,
    pub(crate) repair: bool,
}

/// The live side of a job.
pub(crate) struct Live {
    row: Mutex<JobRow>,
    progress: Mutex<Vec<SourceProgress>>,
    cancel: AtomicBool,
    written: Mutex<std::time::Instant>,
    store: Arc<store::Store>,
    lease_s: u64,
}

/// All live jobs of an engine.
#[derive(Default)]
pub(crate) struct Jobs {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Default)]
struct State {
    live: HashMap<String, Arc<Live>>,
    /// Sources that have a queued or running job, and its id.
    busy: HashMap<i64, String>,
    running: usize,
}

impl Jobs {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job that works on a source now.
    pub(crate) fn busy(&self, source_id: i64) -> Option<String> {
        self.state().busy.get(&source_id).cloned()
    }

    pub(crate) fn live(&self, job_id: &str) -> Option<Arc<Live>> {
        self.state().live.get(job_id).cloned()
    }

    fn all(&self) -> Vec<Arc<Live>> {
        self.state().live.values().cloned().collect()
    }

    /// Stops all jobs at their next commit and waits for them.
    pub(crate) fn stop(&self, deadline: Deadline) {
        self.stop.store(true, Ordering::SeqCst);
        let mut state = self.state();
        for live in state.live.values() {
            live.cancel.store(true, Ordering::SeqCst);
        }
        while !state.live.is_empty() && !deadline.is_over() {
            let wait = deadline.remaining().min(Duration::from_millis(100));
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

impl Live {
    pub(crate) fn cancel(&self) {
        self.cancel.store(true, Ordering::SeqCst);
    }

    /// The job as it stands, and each source's progress.
    pub(crate) fn snapshot(&self) -> (JobRow, Vec<SourceProgress>) {
        let row = self.row.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (row, progress)
    }

    /// Writes the job's state now and then, so that it is seen to live.
    fn beat(&self) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.elapsed().as_millis() >= HEARTBEAT_MS {
            *written = std::time::Instant::now();
            // A heartbeat that cannot be written now is written the next time; the job itself reports failures.
            let _ = self.save();
        }
    }

    fn save(&self) -> AiResult<()> {
        let (mut row, progress) = self.snapshot();
        row.progress = serde_json::to_value(progress).unwrap_or(Value::Null);
        self.store.put_job(&row, self.lease_s)
    }
}

impl Watcher for Live {
    fn progress(&self, progress: &SourceProgress) {
        {
            let mut all = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            match all.iter_mut().find(|p| p.source_id == progress.source_id) {
                Some(held) => *held = progress.clone(),
                None => all.push(progress.clone()),
            }
        }
        self.beat();
    }

    fn errors(&self, rows: Vec<SyncErrorRow>) {
        let job_id = self.snapshot().0.job_id;
        // Error rows are a help for the operator; the counters hold the truth.
        let _ = self.store.add_errors(&job_id, &rows);
    }

    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::SeqCst)
    }

    fn job_id(&self) -> String {
        self.row.lock().unwrap_or_else(PoisonError::into_inner).job_id.clone()
    }
}

/// Queues a job and starts its worker; `CONFLICT` when one of its sources has a job already.
pub(crate) fn submit(inner: &Arc<Inner>, order: &JobOrder) -> AiResult<String> {
    let created_at = now_s();
    let job_id = format!("sync-{}-{}", crate::times::rfc3339(created_at), random_hex(3)?);
    let row = JobRow {
        job_id: job_id.clone(),
        kind: order.kind.as_str().to_owned(),
        state: JobState::Queued,
        requested_by: order.requested_by.clone(),
        sources_json: json!({
            "source_ids": order.source_ids, "force_delete": order.force_delete, "repair": order.repair,
        }),
        dry_run: order.dry_run,
        created_at,
        started_at: None,
        finished_at: None,
        progress: json!([]),
        error: None,
    };
    launch(inner, row)?;
    Ok(job_id)
}

fn order_of(row: &JobRow) -> JobOrder {
    let flag = |key: &str| row.sources_json.get(key).and_then(Value::as_bool).unwrap_or(false);
    let ids = row.sources_json.get("source_ids").and_then(Value::as_array);
    JobOrder {
        kind: JobKind::parse(&row.kind),
        source_ids: ids.map(|a| a.iter().filter_map(Value::as_i64).collect()).unwrap_or_default(),
        requested_by: row.requested_by.clone(),
        dry_run: row.dry_run,
        force_delete: flag("force_delete"),
        repair: flag("repair"),
    }
}

fn launch(inner: &Arc<Inner>, row: JobRow) -> AiResult<()> {
    let order = order_of(&row);
    let job_id = row.job_id.clone();
    let live = Arc::new(Live {
        row: Mutex::new(row),
        progress: Mutex::new(Vec::new()),
        cancel: AtomicBool::new(false),
        written: Mutex::new(std::time::Instant::now()),
        store: Arc::clone(&inner.store),
        lease_s: inner.limits().lease_s,
    });
    {
        let mut state = inner.jobs.state();
        if inner.jobs.stopped() {
            return Err(AiError::unavailable("the engine is stopping"));
        }
        if state.live.len() >= QUEUE_JOBS_MAX {
            return Err(
                AiError::unavailable("too many jobs wait; try again later").with("retry_after_ms", 1000)
            );
        }
        for id in &order.source_ids {
            if let Some(other) = state.busy.get(id) {
                return Err(AiError::new(AiErrorCode::Conflict, "a job for one of the sources is running")
                    .with("job_id", other.clone())
                    .with("source_id", *id));
            }
        }
        let row = live.snapshot().0;
        inner.store.start_job(&row, &order.source_ids, inner.limits().lease_s)?;
        for id in &order.source_ids {
            state.busy.insert(*id, job_id.clone());
        }
        state.live.insert(job_id.clone(), Arc::clone(&live));
    }
    let worker = Arc::clone(inner);
    let spawned = std::thread::Builder::new().name("rag-job".to_owned()).spawn({
        let live = Arc::clone(&live);
        move || work(&worker, &live, &order)
    });
    if let Err(error) = spawned {
        finish(inner, &live, JobState::Failed, Some(format!("no thread for the job: {error}")));
    }
    Ok(())
}

/// Ends a job. Whoever sees it ended may start the next one, so its end shows only once its sources are free.
fn finish(inner: &Inner, live: &Live, job_state: JobState, error: Option<String>) {
    let (mut row, progress) = live.snapshot();
    row.state = job_state;
    row.finished_at = Some(now_s());
    row.error = error;
    row.progress = serde_json::to_value(progress).unwrap_or(Value::Null);
    let mut state = inner.jobs.state();
    // A job whose end cannot be written is found unfinished at the next start and runs again, which is harmless.
    let _ = live.store.put_job(&row, live.lease_s);
    state.live.remove(&row.job_id);
    state.busy.retain(|_, id| *id != row.job_id);
    inner.jobs.changed.notify_all();
}

/// Frees the job's place however its worker ends.
struct Guard<'a> {
    inner: &'a Inner,
    live: &'a Live,
    outcome: Option<(JobState, Option<String>)>,
    counted: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.counted {
            self.inner.jobs.state().running -= 1;
        }
        let (state, error) =
            self.outcome.take().unwrap_or((JobState::Failed, Some("the job ended unexpectedly".to_owned())));
        finish(self.inner, self.live, state, error);
    }
}

fn work(inner: &Arc<Inner>, live: &Live, order: &JobOrder) {
    let mut guard = Guard { inner, live, outcome: None, counted: false };
    {
        let mut state = inner.jobs.state();
        while state.running >= inner.limits().sync_workers_max.max(1) {
            if live.cancelled() {
                drop(state);
                guard.outcome = Some((JobState::Cancelled, None));
                return;
            }
            state = inner
                .jobs
                .changed
                .wait_timeout(state, Duration::from_millis(TICK_MS))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.running += 1;
        guard.counted = true;
    }
    {
        let mut row = live.row.lock().unwrap_or_else(PoisonError::into_inner);
        row.state = JobState::Running;
        row.started_at = Some(now_s());
    }
    let outcome = live.save().and_then(|()| execute(inner, live, order));
    guard.outcome = Some(match outcome {
        Ok(outcome) => outcome,
        Err(error) if sync::is_cancelled(&error) => (JobState::Cancelled, None),
        Err(error) => (JobState::Failed, Some(error.message)),
    });
}

fn execute(inner: &Arc<Inner>, live: &Live, order: &JobOrder) -> AiResult<(JobState, Option<String>)> {
    match order.kind {
        JobKind::RebuildFts => {
            inner.store.rebuild_fulltext(&|| live.cancelled())?;
            Ok((JobState::Succeeded, None))
        }
        JobKind::Verify => verify(inner, order.repair),
        JobKind::DeleteSource => {
            for id in &order.source_ids {
                delete_source(inner, live, *id)?;
            }
            Ok((JobState::Succeeded, None))
        }
        _ => synchronise(inner, live, order),
    }
}

fn synchronise(inner: &Arc<Inner>, live: &Live, order: &JobOrder) -> AiResult<(JobState, Option<String>)> {
    let catalogue = inner.store.quick(Catalogue::read)?;
    let sources: Vec<&SourceRow> =
        catalogue.sources.iter().filter(|s| order.source_ids.contains(&s.source_id)).collect();
    let options = RunOptions {
        full: order.kind == JobKind::Full,
        reembed: order.kind == JobKind::Reembed,
        dry_run: order.dry_run,
        force_delete: order.force_delete,
    };
    let (mut good, mut failures) = (0, Vec::new());
    for source in &sources {
        if live.cancelled() {
            return Ok((JobState::Cancelled, None));
        }
        let outcome = match &source.config {
            Ok(config) => {
                sync::run(inner, source.source_id, config, source.passed_hash.as_deref(), options, live).1
            }
            Err(error) => Err(error.clone()),
        };
        match outcome {
            Ok(()) => good += 1,
            Err(error) if sync::is_cancelled(&error) => return Ok((JobState::Cancelled, None)),
            Err(error) => failures.push(format!("{}: {}", source.name, error.message)),
        }
    }
    let error = (!failures.is_empty()).then(|| failures.join("; "));
    Ok(match (good, failures.len()) {
        (_, 0) => (JobState::Succeeded, None),
        (0, _) => (JobState::Failed, error),
        _ => (JobState::Partial, error),
    })
}

fn verify(inner: &Arc<Inner>, repair: bool) -> AiResult<(JobState, Option<String>)> {
    let differences = inner.store.verify()?;
    if differences.is_empty() {
        return Ok((JobState::Succeeded, None));
    }
    let report = differences.join("; ");
    if !repair {
        return Ok((JobState::Failed, Some(format!("{report}; run with repair to fix it"))));
    }
    inner.store.rebuild_fulltext(&|| false)?;
    inner.store.repair_counts()?;
    let left = inner.store.verify()?;
    if left.is_empty() {
        Ok((JobState::Succeeded, Some(format!("repaired: {report}"))))
    } else {
        Err(precondition(left.join("; ")))
    }
}

fn delete_source(inner: &Arc<Inner>, live: &Live, source_id: i64) -> AiResult<()> {
    inner.store.disable_source(source_id)?;
    loop {
        if live.cancelled() {
            return Err(
                AiError::new(AiErrorCode::DeadlineExceeded, "the job was cancelled").with("cancelled", true)
            );
        }
        let keys = inner.store.stored_keys(source_id, 0, DELETE_DOCS)?;
        if keys.is_empty() {
            break;
        }
        let pks = keys.into_iter().map(|k| k.doc_pk).collect();
        inner.store.apply(&WriteBatch { delete_doc_pks: pks, ..WriteBatch::default() })?;
    }
    let catalogue = inner.store.quick(Catalogue::read)?;
    for (space, _) in catalogue.spaces_of(source_id) {
        inner.store.drop_space(source_id, space)?;
    }
    inner.store.forget_source(source_id)
}

/// Takes up the jobs that a stopped process left unfinished.
pub(crate) fn resume(inner: &Arc<Inner>) -> AiResult<usize> {
    // In a shared store another process may be at work; silence tells that it is not.
    let before = if inner.store.shared() {
        now_s().saturating_sub(i64::try_from(inner.limits().lease_s).unwrap_or(i64::MAX))
    } else {
        i64::MAX
    };
    let rows = inner.store.quick(|c| store::jobs_unfinished(c, before))?;
    let mut taken = 0;
    for mut row in rows {
        if inner.jobs.live(&row.job_id).is_some() {
            continue;
        }
        row.state = JobState::Queued;
        match launch(inner, row.clone()) {
            Ok(()) => taken += 1,
            Err(error) if error.code == AiErrorCode::Conflict => {} // its sources are in other hands by now
            Err(error) => {
                row.state = JobState::Failed;
                row.finished_at = Some(now_s());
                row.error = Some(error.message);
                inner.store.put_job(&row, inner.limits().lease_s)?;
            }
        }
    }
    Ok(taken)
}

/// Starts runs that are due.
fn schedule(inner: &Arc<Inner>) -> AiResult<()> {
    let now = now_s();
    let every = inner.limits().sync_interval_s;
    let due: Vec<i64> = inner.store.quick(|c| {
        let catalogue = Catalogue::read(c)?;
        let mut due = Vec::new();
        for source in catalogue.sources.iter().filter(|s| s.enabled) {
            let Ok(config) = &source.config else { continue };
            if config.sync.interval_s.unwrap_or(every) == 0 || config.backend_type == "push" {
                continue;
            }
            let state = store::sync_state(c, source.source_id)?;
            if state.next_run_at.is_none_or(|at| at <= now) {
                due.push(source.source_id);
            }
        }
        Ok(due)
    })?;
    for source_id in due.into_iter().filter(|id| inner.jobs.busy(*id).is_none()) {
        let order = JobOrder {
            source_ids: vec![source_id],
            requested_by: "schedule".to_owned(),
            ..JobOrder::default()
        };
        match submit(inner, &order) {
            Ok(_) => {}
            Err(e) if matches!(e.code, AiErrorCode::Conflict | AiErrorCode::Unavailable) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Follows the outbox, runs the schedule and clears old tombstones until the engine is gone.
pub(crate) fn background(engine: &Weak<Inner>) {
    let mut ticks = 0u64;
    loop {
        std::thread::sleep(Duration::from_millis(TICK_MS));
        let Some(inner) = engine.upgrade() else { return };
        if inner.jobs.stopped() {
            return;
        }
        // Each of these is tried again at the next tick; their state is visible in stats and job rows.
        let _ = inner.store.catch_up(Some(4));
        let _ = inner.log.flush(&inner.store, inner.limits().log_ttl_s);
        for live in inner.jobs.all() {
            live.beat();
        }
        if ticks.is_multiple_of(20) {
            if inner.store.shared() {
                let _ = resume(&inner);
            }
            if inner.enabled() {
                let _ = schedule(&inner);
            }
            for space in inner.store.quick(store::spaces_all).unwrap_or_default() {
                let _ = inner.store.warm(&space);
            }
        }
        if ticks.is_multiple_of(14_400) {
            let ttl = i64::try_from(inner.limits().tombstone_ttl_s).unwrap_or(i64::MAX / 2);
            let _ = inner.store.forget_tombstones(now_s() - ttl);
        }
        ticks += 1;
    }
}
