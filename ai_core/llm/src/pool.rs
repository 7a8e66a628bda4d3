//! The worker pool: threads, submission, timer and stop; what runs is a `JobRunner`, what comes next is in `pool_state`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ai_core::{AiError, AiErrorCode, AiResult, LlmError, LlmErrorCode};

use crate::metrics::Metrics;
use crate::pool_job::{Job, JobError, JobOutput, JobResult, JobRunner, JobWork, Ticket};
use crate::pool_state::{After, BatchKey, KINDS, Picked, Run, State};
use crate::pool_types::{Outcome, PoolLimits, PoolStats};

/// Deadline of a job whose caller has set none, milliseconds.
const JOB_TIMEOUT_MS_MAX: u64 = 900_000;

pub(crate) struct Shared {
    state: Mutex<State>,
    /// Workers wait here for work.
    work: Condvar,
    /// Collecting workers wait here for companions.
    gather: Condvar,
    /// Submitters wait here for room.
    room: Condvar,
    /// The timer waits here for the next deadline.
    timer: Condvar,
    /// A stop waits here for the last answer.
    idle: Condvar,
    runner: Arc<dyn JobRunner>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `change` under the lock and its consequences outside of it.
    fn change<T>(&self, change: impl FnOnce(&mut State, &mut After) -> T) -> T {
        let mut after = After::default();
        let (value, idle) = {
            let mut state = self.lock();
            let value = change(&mut state, &mut after);
            (value, state.is_idle())
        };
        self.room.notify_all();
        if idle {
            self.idle.notify_all();
        }
        after.run();
        value
    }

    pub(crate) fn cancel(&self, id: u64, why: &str) {
        self.change(|state, after| state.cancel(id, why, after));
    }
}

/// A bounded pool of workers with typed jobs. Dropping it stops it without grace.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

impl Pool {
    /// Starts the workers.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the system gives no threads.
    pub fn start(limits: PoolLimits, runner: Arc<dyn JobRunner>) -> AiResult<Self> {
        Self::start_measured(limits, runner, Arc::default())
    }

    /// [`start`](Self::start) with a registry that other parts count in too.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_measured(
        limits: PoolLimits,
        runner: Arc<dyn JobRunner>,
        metrics: Arc<Metrics>,
    ) -> AiResult<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(limits, metrics)),
            work: Condvar::new(),
            gather: Condvar::new(),
            room: Condvar::new(),
            timer: Condvar::new(),
            idle: Condvar::new(),
            runner,
        });
        let pool = Self { shared, workers: Mutex::default() };
        let shared = pool.shared.clone();
        pool.spawn("pool-timer", move || run_timer(&shared))?;
        pool.set_limits(limits)?;
        Ok(pool)
    }

    fn spawn(&self, name: &str, body: impl FnOnce() + Send + 'static) -> AiResult<()> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        let thread =
            thread.map_err(|e| AiError::unavailable(format!("no thread for the pool: {}", e.kind())))?;
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|w| !w.is_finished());
        workers.push(thread);
        Ok(())
    }

    /// Changes the bounds; jobs stay, workers come or go after their present job.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the system gives no threads, and after a stop.
    pub fn set_limits(&self, limits: PoolLimits) -> AiResult<()> {
        let missing = {
            let mut state = self.shared.lock();
            if state.stopping {
                return Err(AiError::unavailable("the pool is stopped"));
            }
            state.limits =
                PoolLimits { threads: limits.threads.max(1), batch_size: limits.batch_size.max(1), ..limits };
            let missing = (state.limits.threads as u64).saturating_sub(state.stats.threads);
            state.stats.threads += missing;
            missing
        };
        self.shared.work.notify_all();
        self.shared.room.notify_all();
        for started in 0..missing {
            let shared = self.shared.clone();
            if let Err(error) = self.spawn("pool-worker", move || run_worker(&shared)) {
                self.shared.lock().stats.threads -= missing - started;
                return Err(error);
            }
        }
        Ok(())
    }

    /// The bounds in force.
    #[must_use]
    pub fn limits(&self) -> PoolLimits {
        self.shared.lock().limits
    }

    /// The numbers of this moment, consistent with each other.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.shared.lock().stats
    }

    /// Jobs running now, by kind.
    pub(crate) fn active_kinds(&self) -> Vec<(&'static str, u64)> {
        KINDS.into_iter().zip(self.shared.lock().active_kinds()).collect()
    }

    /// Puts a job into the queue.
    ///
    /// # Errors
    /// `ERR_QUEUE_FULL` with the time after which to try again, `ERR_REQUEST_TOO_LARGE` for a job that can never
    /// fit, `ERR_CANCELLED` while stopping, `ERR_VALIDATION_FAILED` for a job without inputs.
    pub fn submit(&self, job: Job) -> Result<Ticket, LlmError> {
        let bytes = job.work.bytes();
        check_job(&job.work)?;
        let deadline = job.call.deadline.map_or_else(
            || Instant::now() + Duration::from_millis(JOB_TIMEOUT_MS_MAX),
            ai_core::Deadline::instant,
        );
        let is_embed = matches!(job.work, JobWork::Embed { .. });
        let cancel = job.call.cancel.clone();
        let (id, cell, is_next) = {
            let mut state = self.wait_for_room(&job, bytes, deadline)?;
            let (id, cell) = state.accept(job.work, job.call, bytes, deadline);
            (id, cell, state.is_next(id))
        };
        self.shared.work.notify_one();
        if is_embed {
            self.shared.gather.notify_all();
        }
        if is_next {
            self.shared.timer.notify_all();
        }
        let weak: Weak<Shared> = Arc::downgrade(&self.shared);
        let hook = cancel.on_cancel(move || {
            if let Some(shared) = weak.upgrade() {
                shared.cancel(id, "the call was cancelled");
            }
        });
        let late = self.shared.lock().attach(id, hook);
        drop(late);
        Ok(Ticket { shared: self.shared.clone(), cell, id })
    }

    fn wait_for_room(
        &self,
        job: &Job,
        bytes: usize,
        deadline: Instant,
    ) -> Result<MutexGuard<'_, State>, LlmError> {
        let patience = Instant::now() + Duration::from_millis(job.submit_timeout_ms.min(JOB_TIMEOUT_MS_MAX));
        let patience = patience.min(deadline);
        let mut state = self.shared.lock();
        loop {
            if state.stopping {
                return Err(LlmError::new(LlmErrorCode::Cancelled, "the pool is stopping"));
            }
            if bytes > state.limits.queue_max_bytes {
                let why = format!("the job has {bytes} bytes, more than queue_max_bytes");
                return Err(LlmError::new(LlmErrorCode::RequestTooLarge, why));
            }
            if state.has_room(bytes, job.call.priority) {
                return Ok(state);
            }
            let left = patience.saturating_duration_since(Instant::now());
            if left.is_zero() || job.call.cancel.is_cancelled() {
                state.stats.rejected += 1;
                let why = "the queue is full; see queue_max_jobs and queue_max_bytes";
                return Err(LlmError::new(LlmErrorCode::QueueFull, why).with_retry_after(state.retry_after()));
            }
            let nap = left.min(Duration::from_millis(25));
            state = self.shared.room.wait_timeout(state, nap).map_or_else(|e| e.into_inner().0, |(s, _)| s);
        }
    }

    /// [`submit`](Self::submit) and wait for the answer.
    ///
    /// # Errors
    /// Those of the submission and of the job.
    pub fn call(&self, job: Job) -> JobResult {
        self.submit(job)?.wait()
    }

    /// Refuses new jobs, waits up to `grace` for the accepted ones, cancels the rest and joins every thread.
    /// May be called again.
    pub fn stop(&self, grace: Duration) {
        let until = Instant::now() + grace.min(Duration::from_millis(JOB_TIMEOUT_MS_MAX));
        {
            let mut state = self.shared.lock();
            state.stopping = true;
            while !state.is_idle() {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                state =
                    self.shared.idle.wait_timeout(state, left).map_or_else(|e| e.into_inner().0, |(s, _)| s);
            }
        }
        self.shared.change(|state, after| state.cancel_all("the pool is stopping", after));
        for bell in [&self.shared.work, &self.shared.gather, &self.shared.room, &self.shared.timer] {
            bell.notify_all();
        }
        let workers = std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        let own = std::thread::current().id();
        for worker in workers.into_iter().filter(|w| w.thread().id() != own) {
            // A worker cannot have panicked: everything foreign is caught inside.
            let _ = worker.join();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

fn check_job(work: &JobWork) -> Result<(), LlmError> {
    let empty = match work {
        JobWork::Embed { inputs, .. } => inputs.is_empty(),
        JobWork::Rerank { documents, .. } => documents.is_empty(),
        JobWork::Llm { .. } => false,
    };
    if empty { Err(LlmError::new(LlmErrorCode::ValidationFailed, "the job has no inputs")) } else { Ok(()) }
}

fn run_timer(shared: &Shared) {
    loop {
        let mut after = After::default();
        let mut state = shared.lock();
        let next = state.expire(Instant::now(), &mut after);
        let (idle, stopping) = (state.is_idle(), state.stopping);
        let nap = next.map_or(Duration::from_secs(3_600), |at| at.saturating_duration_since(Instant::now()));
        let has_work = !after.is_empty();
        if has_work || (stopping && idle) {
            drop(state);
            shared.room.notify_all();
            if idle {
                shared.idle.notify_all();
            }
            after.run();
            if stopping && idle {
                return;
            }
            continue;
        }
        drop(shared.timer.wait_timeout(state, nap.max(Duration::from_millis(1))));
    }
}

fn run_worker(shared: &Shared) {
    loop {
        let picked = {
            let mut state = shared.lock();
            loop {
                let surplus = state.stats.threads > state.limits.threads as u64;
                if surplus || (state.stopping && state.is_idle()) {
                    state.stats.threads -= 1;
                    return;
                }
                match state.pick() {
                    Some(picked) => break picked,
                    None => state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                }
            }
        };
        let lane = match picked {
            Picked::Run(run) => run_job(shared, *run),
            Picked::Gather { first, key, until } => run_batch(shared, first, &key, until),
        };
        shared.lock().release(lane);
        // A freed place may allow work of any lane, for any number of workers.
        shared.work.notify_all();
    }
}

fn run_job(shared: &Shared, run: Run) -> usize {
    let Run { id, lane, work, call, waited } = run;
    let result = guarded(shared, || match work {
        JobWork::Rerank { model, query, documents } => {
            let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
            Ok(JobOutput::Scores(shared.runner.rerank(&model, &query, &documents, &call)?))
        }
        JobWork::Llm { request, mut stream } => {
            let sink = stream.as_mut().map(|s| &mut **s as &mut dyn FnMut(_) -> _);
            let mut response = shared.runner.llm(&request, &call, sink)?;
            response.timings_ms.queue = waited.as_secs_f64() * 1e3;
            response.timings_ms.total += response.timings_ms.queue;
            Ok(JobOutput::Llm(Box::new(response)))
        }
        JobWork::Embed { .. } => Err(AiError::internal("embed jobs run as batches").into()),
    });
    let outcome = Outcome::of(&result);
    shared.change(|state, after| state.finish(id, result, outcome, after));
    lane
}

fn run_batch(shared: &Shared, first: u64, key: &BatchKey, until: Instant) -> usize {
    let batch = {
        let mut state = shared.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.stopping || state.is_full(key) {
                break;
            }
            state = shared.gather.wait_timeout(state, left).map_or_else(|e| e.into_inner().0, |(s, _)| s);
        }
        let number = state.collect(first, key);
        number.and_then(|n| state.batch(n).map(|(call, texts)| (n, call, texts)))
    };
    // The key is free again, and rests of large jobs may be waiting under it.
    shared.work.notify_all();
    shared.room.notify_all();
    if let Some((number, call, texts)) = batch {
        let result = guarded(shared, || {
            let inputs: Vec<&str> = texts.iter().map(|t| &*t.text).collect();
            Ok(shared.runner.embed(&key.model, &inputs, key.kind, &call)?)
        });
        shared.change(|state, after| state.deliver(number, result, after));
    }
    key.lane
}

/// Runs foreign code; a panic becomes an answer, and the worker lives on.
fn guarded<T>(shared: &Shared, work: impl FnOnce() -> Result<T, JobError>) -> Result<T, JobError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        shared.lock().stats.panics += 1;
        Err(AiError::new(AiErrorCode::Internal, "the work panicked; this is a fault of the program").into())
    })
}
