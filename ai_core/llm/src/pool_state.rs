//! Book-keeping of the pool under one lock: lanes, fairness, counters, deadlines, the one answer; it runs nothing.

mod batch;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use ai_core::{CallContext, CancelHook, CancelToken, LlmError, LlmErrorCode, Priority};

use crate::metrics::Metrics;
use crate::pool_job::{Cell, JobResult, JobWork};
use crate::pool_types::{Outcome, PoolLimits, PoolStats};

pub(crate) use batch::BatchKey;
use batch::{Batch, EmbedJob, InputKey, split};

/// Lanes: interactive embed and rerank, interactive LLM, background embed and rerank, background LLM.
pub(crate) const FAST: usize = 0;
const LLM: usize = 1;
const FAST_BACKGROUND: usize = 2;
const LLM_BACKGROUND: usize = 3;
const LANES: usize = 4;
/// Kinds of job, as metrics name them.
pub(crate) const KINDS: [&str; 3] = ["embed", "rerank", "llm"];
/// Which lane is looked at first in turn: nobody starves, background comes seldom.
const TURNS: [usize; 8] = [FAST, LLM, FAST, LLM, FAST_BACKGROUND, FAST, LLM, LLM_BACKGROUND];
/// How long a running job may report its own lateness before the pool answers for it.
const LATE_GRACE: Duration = Duration::from_millis(80);
/// Answers from which the drain rate is taken.
const DRAIN_SAMPLES: usize = 64;

/// What a worker needs to run a job that is not embedding.
pub(crate) struct Run {
    pub(crate) id: u64,
    pub(crate) lane: usize,
    pub(crate) work: JobWork,
    pub(crate) call: CallContext,
    pub(crate) waited: Duration,
}

/// What a worker does next.
pub(crate) enum Picked {
    Run(Box<Run>),
    Gather { first: u64, key: BatchKey, until: Instant },
}

struct Entry {
    cell: Arc<Cell>,
    call: CallContext,
    token: CancelToken,
    hook: Option<CancelHook>,
    lane: usize,
    caller: Arc<str>,
    queued: bool,
    in_lane: bool,
    bytes: usize,
    deadline: Instant,
    watch: Instant,
    enqueued: Instant,
    started: Option<Instant>,
    kind: usize,
    work: Option<JobWork>,
    embed: Option<EmbedJob>,
}

#[derive(Default)]
struct Lane {
    queues: HashMap<Arc<str>, VecDeque<u64>>,
    /// Callers in turn; exactly those with a queue.
    turn: VecDeque<Arc<str>>,
}

impl Lane {
    fn push(&mut self, caller: &Arc<str>, id: u64) {
        if !self.queues.contains_key(caller) {
            self.turn.push_back(caller.clone());
        }
        self.queues.entry(caller.clone()).or_default().push_back(id);
    }

    fn remove(&mut self, caller: &Arc<str>, id: u64) {
        let Some(queue) = self.queues.get_mut(caller) else { return };
        queue.retain(|other| *other != id);
        if queue.is_empty() {
            self.queues.remove(caller);
            self.turn.retain(|other| other != caller);
        }
    }
}

/// What is left to do after the lock is released: hooks and wakers run foreign code.
#[must_use]
#[derive(Default)]
pub(crate) struct After {
    tokens: Vec<CancelToken>,
    wakers: Vec<Waker>,
    hooks: Vec<CancelHook>,
}

impl After {
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.wakers.is_empty() && self.hooks.is_empty()
    }

    pub(crate) fn run(self) {
        drop(self.hooks);
        self.tokens.iter().for_each(CancelToken::cancel);
        self.wakers.into_iter().for_each(Waker::wake);
    }
}

/// Everything under the pool's lock.
pub(crate) struct State {
    pub(crate) limits: PoolLimits,
    pub(crate) stats: PoolStats,
    pub(crate) stopping: bool,
    metrics: Arc<Metrics>,
    active_kinds: [u64; KINDS.len()],
    entries: HashMap<u64, Entry>,
    lanes: [Lane; LANES],
    running: [usize; LANES],
    watches: BTreeSet<(Instant, u64)>,
    gathering: HashSet<BatchKey>,
    /// Inputs that wait for a call.
    waiting_inputs: HashMap<BatchKey, usize>,
    inflight: HashMap<InputKey, u64>,
    batches: HashMap<u64, Batch>,
    drained: VecDeque<Instant>,
    next_id: u64,
    turn: usize,
}

impl State {
    pub(crate) fn new(limits: PoolLimits, metrics: Arc<Metrics>) -> Self {
        Self {
            limits,
            stats: PoolStats::default(),
            stopping: false,
            metrics,
            active_kinds: [0; KINDS.len()],
            entries: HashMap::new(),
            lanes: Default::default(),
            running: [0; LANES],
            watches: BTreeSet::new(),
            gathering: HashSet::new(),
            waiting_inputs: HashMap::new(),
            inflight: HashMap::new(),
            batches: HashMap::new(),
            drained: VecDeque::new(),
            next_id: 0,
            turn: 0,
        }
    }

    /// Whether `bytes` more may wait; background work only fills half of the room.
    pub(crate) fn has_room(&self, bytes: usize, priority: Priority) -> bool {
        let share = if priority == Priority::Background { 2 } else { 1 };
        let jobs_max = (self.limits.queue_max_jobs / share).max(1) as u64;
        let bytes_max = (self.limits.queue_max_bytes / share) as u64;
        self.stats.queued < jobs_max && self.stats.queued_bytes.saturating_add(bytes as u64) <= bytes_max
    }

    /// When a refused caller should come back.
    pub(crate) fn retry_after(&self) -> Duration {
        let (Some(first), Some(last)) = (self.drained.front(), self.drained.back()) else {
            return Duration::from_secs(1);
        };
        let each = last.saturating_duration_since(*first) / self.drained.len().max(1) as u32;
        // The queue must fall below its bound, not to nothing: an eighth of it is a fair wish.
        let some = u32::try_from(self.stats.queued / 8 + 1).unwrap_or(u32::MAX);
        each.saturating_mul(some).clamp(Duration::from_millis(50), Duration::from_secs(60))
    }

    /// Takes a job in.
    pub(crate) fn accept(
        &mut self,
        work: JobWork,
        call: CallContext,
        bytes: usize,
        deadline: Instant,
    ) -> (u64, Arc<Cell>) {
        self.next_id += 1;
        let id = self.next_id;
        let is_llm = matches!(work, JobWork::Llm { .. });
        let kind = match work {
            JobWork::Embed { .. } => 0,
            JobWork::Rerank { .. } => 1,
            JobWork::Llm { .. } => 2,
        };
        let lane = match (is_llm, call.priority) {
            (false, Priority::Interactive) => FAST,
            (true, Priority::Interactive) => LLM,
            (false, Priority::Background) => FAST_BACKGROUND,
            (true, Priority::Background) => LLM_BACKGROUND,
        };
        let (work, embed) = split(work, lane);
        if let Some(job) = &embed {
            *self.waiting_inputs.entry(job.key.clone()).or_default() += job.inputs.len();
        }
        let cell = Arc::new(Cell::default());
        let caller: Arc<str> = Arc::from(call.caller.as_str());
        self.lanes[lane].push(&caller, id);
        self.watches.insert((deadline, id));
        let entry = Entry {
            cell: cell.clone(),
            call,
            token: CancelToken::new(),
            hook: None,
            lane,
            caller,
            queued: true,
            in_lane: true,
            bytes,
            deadline,
            watch: deadline,
            enqueued: Instant::now(),
            started: None,
            kind,
            work,
            embed,
        };
        self.entries.insert(id, entry);
        self.stats.accepted += 1;
        self.stats.queued += 1;
        self.stats.queued_bytes += bytes as u64;
        (id, cell)
    }

    /// Whether this job's deadline is the next one, so that the timer must look again.
    pub(crate) fn is_next(&self, id: u64) -> bool {
        self.watches.first().is_some_and(|(_, first)| *first == id)
    }

    /// Keeps the hook of the caller's token with the job; given back when the job is already answered.
    pub(crate) fn attach(&mut self, id: u64, hook: CancelHook) -> Option<CancelHook> {
        match self.entries.get_mut(&id) {
            Some(entry) => {
                entry.hook = Some(hook);
                None
            }
            None => Some(hook),
        }
    }

    fn activate(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id)
            && std::mem::take(&mut entry.queued)
        {
            self.stats.queued -= 1;
            self.stats.active += 1;
            self.stats.queued_bytes -= entry.bytes as u64;
            self.active_kinds[entry.kind] += 1;
            entry.started = Some(Instant::now());
        }
    }

    /// Jobs running now, by kind in the order of [`KINDS`].
    pub(crate) fn active_kinds(&self) -> [u64; KINDS.len()] {
        self.active_kinds
    }

    /// Counts an answered job before its answer can be seen.
    fn measure(&self, entry: &Entry, outcome: Outcome) {
        let kind = ("kind", KINDS[entry.kind]);
        self.metrics.count("jobs_total", &[kind, ("outcome", outcome.word())], 1.0);
        let background = entry.lane == FAST_BACKGROUND || entry.lane == LLM_BACKGROUND;
        let labels = [kind, ("priority", if background { "background" } else { "interactive" })];
        let until = entry.started.unwrap_or_else(Instant::now);
        let wait = until.saturating_duration_since(entry.enqueued).as_secs_f64();
        self.metrics.observe_seconds("job_wait_seconds", &labels, wait);
        if let Some(started) = entry.started {
            self.metrics.observe_seconds("job_run_seconds", &labels, started.elapsed().as_secs_f64());
        }
    }

    /// Answers a job, if it is not yet answered. This is the only place that does.
    pub(crate) fn finish(&mut self, id: u64, result: JobResult, outcome: Outcome, after: &mut After) {
        let Some(mut entry) = self.entries.remove(&id) else { return };
        if entry.queued {
            self.stats.queued -= 1;
            self.stats.queued_bytes -= entry.bytes as u64;
        } else {
            self.stats.active -= 1;
            self.active_kinds[entry.kind] -= 1;
        }
        self.measure(&entry, outcome);
        match outcome {
            Outcome::Completed => self.stats.completed += 1,
            Outcome::Failed => self.stats.failed += 1,
            Outcome::Cancelled => self.stats.cancelled += 1,
            Outcome::Expired => self.stats.expired += 1,
        }
        self.watches.remove(&(entry.watch, id));
        if entry.in_lane {
            self.lanes[entry.lane].remove(&entry.caller, id);
        }
        if let Some(job) = &entry.embed {
            self.fewer_waiting(&job.key, job.inputs.len() - job.next);
            for batch in &job.batches {
                if let Some(batch) = self.batches.get_mut(batch) {
                    batch.jobs.remove(&id);
                    if batch.jobs.is_empty() {
                        after.tokens.push(batch.call.cancel.clone());
                    }
                }
            }
        }
        if outcome != Outcome::Completed {
            after.tokens.push(entry.token);
        }
        after.hooks.extend(entry.hook.take());
        after.wakers.extend(entry.cell.fill(result));
        self.drained.push_back(Instant::now());
        if self.drained.len() > DRAIN_SAMPLES {
            self.drained.pop_front();
        }
    }

    fn fewer_waiting(&mut self, key: &BatchKey, by: usize) {
        if let Some(count) = self.waiting_inputs.get_mut(key) {
            *count = count.saturating_sub(by);
            if *count == 0 {
                self.waiting_inputs.remove(key);
            }
        }
    }

    /// Cancels one job.
    pub(crate) fn cancel(&mut self, id: u64, why: &str, after: &mut After) {
        let error = LlmError::new(LlmErrorCode::Cancelled, why);
        self.finish(id, Err(error.into()), Outcome::Cancelled, after);
    }

    /// Cancels everything.
    pub(crate) fn cancel_all(&mut self, why: &str, after: &mut After) {
        let ids: Vec<u64> = self.entries.keys().copied().collect();
        for id in ids {
            self.cancel(id, why, after);
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.entries.is_empty()
    }

    /// Ends every job whose time is over; returns when to look again.
    pub(crate) fn expire(&mut self, now: Instant, after: &mut After) -> Option<Instant> {
        while let Some((at, id)) = self.watches.first().copied() {
            if at > now {
                return Some(at);
            }
            self.watches.pop_first();
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            let last_call = entry.deadline + LATE_GRACE;
            if !entry.queued && entry.watch < last_call {
                // It is running and will say itself what it was waiting for.
                entry.watch = last_call;
                self.watches.insert((last_call, id));
                continue;
            }
            let error = LlmError::new(LlmErrorCode::Timeout, "the deadline passed before the job was done");
            self.finish(id, Err(error.into()), Outcome::Expired, after);
        }
        None
    }

    fn may_start(&self, lane: usize) -> bool {
        let threads = self.limits.threads;
        let running = &self.running;
        let llm_max = (threads * 3 / 4).max(1);
        let background_max = (threads / 2).max(1);
        let is_llm = lane == LLM || lane == LLM_BACKGROUND;
        let is_background = lane == FAST_BACKGROUND || lane == LLM_BACKGROUND;
        if is_llm && running[LLM] + running[LLM_BACKGROUND] >= llm_max {
            return false;
        }
        if is_background && running[FAST_BACKGROUND] + running[LLM_BACKGROUND] >= background_max {
            return false;
        }
        // One worker is always left for interactive embed and rerank.
        let slow = running[LLM] + running[FAST_BACKGROUND] + running[LLM_BACKGROUND];
        lane == FAST || threads < 2 || slow < threads - 1
    }

    /// Chooses the next work; the lane's worker is counted until [`State::release`].
    pub(crate) fn pick(&mut self) -> Option<Picked> {
        for step in 0..TURNS.len() {
            let lane = TURNS[(self.turn + step) % TURNS.len()];
            if !self.may_start(lane) {
                continue;
            }
            if let Some(picked) = self.pick_from(lane) {
                self.turn = (self.turn + step + 1) % TURNS.len();
                self.running[lane] += 1;
                return Some(picked);
            }
        }
        None
    }

    fn pick_from(&mut self, lane: usize) -> Option<Picked> {
        for _ in 0..self.lanes[lane].turn.len() {
            let caller = self.lanes[lane].turn.pop_front()?;
            self.lanes[lane].turn.push_back(caller.clone());
            let head = self.lanes[lane].queues.get(&caller).and_then(|q| q.front().copied());
            let Some(entry) = head.and_then(|id| self.entries.get_mut(&id)) else { continue };
            let id = head.unwrap_or_default();
            if let Some(job) = &entry.embed {
                let key = job.key.clone();
                // Somebody is already collecting for this key and will take this job too.
                if self.gathering.contains(&key) {
                    continue;
                }
                let until = entry.enqueued + Duration::from_millis(self.limits.batch_wait_ms);
                self.gathering.insert(key.clone());
                return Some(Picked::Gather { first: id, key, until });
            }
            let Some(work) = entry.work.take() else { continue };
            entry.in_lane = false;
            let mut call = entry.call.clone();
            call.cancel = entry.token.clone();
            call.deadline = Some(ai_core::Deadline::at(entry.deadline));
            let waited = entry.enqueued.elapsed();
            self.lanes[lane].remove(&caller, id);
            self.activate(id);
            return Some(Picked::Run(Box::new(Run { id, lane, work, call, waited })));
        }
        None
    }

    /// The lane's worker is free again.
    pub(crate) fn release(&mut self, lane: usize) {
        self.running[lane] -= 1;
    }
}
