//! Embed jobs sharing calls: collecting, splitting, joining and handing out; it does not make the calls.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use ai_core::{CallContext, Deadline, EmbedKind, LlmError, LlmErrorCode};

use super::{After, State};
use crate::pool_job::{JobError, JobOutput, JobWork};
use crate::pool_types::Outcome;

/// Bytes of one embedding call.
const BATCH_BYTES_MAX: usize = 1_048_576;
/// Embed jobs with the same key may share a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct BatchKey {
    pub(crate) lane: usize,
    pub(crate) model: Arc<str>,
    pub(crate) kind: EmbedKind,
}

/// One text to be embedded, the same for every job that wants it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct InputKey {
    model: Arc<str>,
    kind: EmbedKind,
    pub(crate) text: Arc<str>,
}

pub(super) struct EmbedJob {
    pub(super) key: BatchKey,
    pub(super) inputs: Vec<Arc<str>>,
    /// First input that is in no call yet.
    pub(super) next: usize,
    pub(super) missing: usize,
    pub(super) slots: Vec<Option<Vec<f32>>>,
    pub(super) batches: Vec<u64>,
}

/// A call that serves one or several embed jobs.
pub(crate) struct Batch {
    pub(crate) call: CallContext,
    deadline: Instant,
    /// Who waits for which text.
    waiters: HashMap<InputKey, Vec<(u64, usize)>>,
    /// The texts, each once, in the order of the call.
    pub(crate) texts: Vec<InputKey>,
    pub(super) jobs: HashSet<u64>,
}

impl State {
    /// Whether a call for `key` would be full.
    pub(crate) fn is_full(&self, key: &BatchKey) -> bool {
        self.waiting_inputs.get(key).is_none_or(|n| *n == 0 || *n >= self.limits.batch_size)
    }

    /// Ends the collecting for `key`: `first` and its companions become one call; `None` when every text is
    /// already being embedded or nobody is left.
    pub(crate) fn collect(&mut self, first: u64, key: &BatchKey) -> Option<u64> {
        self.gathering.remove(key);
        self.next_id += 1;
        let number = self.next_id;
        let mut batch = Batch {
            call: CallContext::default(),
            deadline: Instant::now(),
            waiters: HashMap::new(),
            texts: Vec::new(),
            jobs: HashSet::new(),
        };
        let mut bytes = 0;
        for id in self.companions(first, key) {
            if !self.take_inputs(id, number, &mut batch, &mut bytes) {
                break;
            }
        }
        if batch.texts.is_empty() {
            return None;
        }
        if let Some(entry) = batch.jobs.iter().min().and_then(|id| self.entries.get(id)) {
            batch.call.caller.clone_from(&entry.call.caller);
            batch.call.request_id.clone_from(&entry.call.request_id);
            batch.call.priority = entry.call.priority;
        }
        batch.call.deadline = Some(Deadline::at(batch.deadline));
        self.batches.insert(number, batch);
        self.stats.embed_calls += 1;
        Some(number)
    }

    /// Jobs of `key` in the order of the lane's turns, `first` first.
    fn companions(&self, first: u64, key: &BatchKey) -> Vec<u64> {
        let lane = &self.lanes[key.lane];
        let mut queues: Vec<_> =
            lane.turn.iter().filter_map(|caller| lane.queues.get(caller)).map(VecDeque::iter).collect();
        let mut ids = vec![first];
        let mut moved = true;
        while moved && ids.len() <= self.limits.batch_size {
            moved = false;
            for queue in &mut queues {
                let of_key = |id: &&u64| {
                    **id != first
                        && self.entries.get(id).and_then(|e| e.embed.as_ref()).is_some_and(|j| &j.key == key)
                };
                if let Some(id) = queue.find(of_key) {
                    ids.push(*id);
                    moved = true;
                }
            }
        }
        ids
    }

    /// Moves texts of one job into the call; false when the call is full.
    fn take_inputs(&mut self, id: u64, number: u64, batch: &mut Batch, bytes: &mut usize) -> bool {
        let (size, mut taken, mut own, mut full) = (self.limits.batch_size, 0, false, false);
        let Some(entry) = self.entries.get_mut(&id) else { return true };
        let Some(job) = entry.embed.as_mut() else { return true };
        let key = job.key.clone();
        let now = Instant::now();
        let halfway = now + entry.deadline.saturating_duration_since(now) / 2;
        while let Some(text) = job.inputs.get(job.next) {
            let input = InputKey { model: key.model.clone(), kind: key.kind, text: text.clone() };
            let place = (id, job.next);
            let running = self.inflight.get(&input).copied().filter(|n| *n != number);
            // Not into a call that would give up long before this job has to.
            let joined = running.and_then(|n| self.batches.get_mut(&n)).filter(|b| b.deadline >= halfway);
            if let Some(other) = joined {
                other.waiters.entry(input).or_default().push(place);
                other.jobs.insert(id);
                job.batches.extend(running);
            } else if let Some(waiters) = batch.waiters.get_mut(&input) {
                waiters.push(place);
                own = true;
            } else {
                let more = text.len();
                if batch.texts.len() >= size || (!batch.texts.is_empty() && *bytes + more > BATCH_BYTES_MAX) {
                    full = true;
                    break;
                }
                *bytes += more;
                own = true;
                batch.waiters.insert(input.clone(), vec![place]);
                batch.texts.push(input.clone());
                self.inflight.entry(input).or_insert(number);
            }
            job.next += 1;
            taken += 1;
        }
        if own {
            batch.jobs.insert(id);
            batch.deadline = batch.deadline.max(entry.deadline);
            job.batches.push(number);
        }
        if job.next >= job.inputs.len() {
            entry.in_lane = false;
            let caller = entry.caller.clone();
            self.lanes[key.lane].remove(&caller, id);
        }
        self.fewer_waiting(&key, taken);
        if taken > 0 {
            self.activate(id);
        }
        !full
    }

    pub(crate) fn batch(&self, number: u64) -> Option<(CallContext, Vec<InputKey>)> {
        self.batches.get(&number).map(|b| (b.call.clone(), b.texts.clone()))
    }

    /// Hands the vectors of a call, or its failure, to everybody who waits for them.
    pub(crate) fn deliver(
        &mut self,
        number: u64,
        result: Result<Vec<Vec<f32>>, JobError>,
        after: &mut After,
    ) {
        let Some(mut batch) = self.batches.remove(&number) else { return };
        for text in &batch.texts {
            if self.inflight.get(text) == Some(&number) {
                self.inflight.remove(text);
            }
        }
        let vectors = match result {
            Ok(vectors) if vectors.len() == batch.texts.len() => vectors,
            Ok(vectors) => {
                let why = format!("{} vectors came for {} texts", vectors.len(), batch.texts.len());
                let error = LlmError::new(LlmErrorCode::Internal, why);
                return self.fail_all(&batch, &error.into(), after);
            }
            Err(error) => return self.fail_all(&batch, &error, after),
        };
        for (text, vector) in batch.texts.iter().zip(vectors) {
            for (id, at) in batch.waiters.remove(text).unwrap_or_default() {
                self.fill_slot(id, at, vector.clone(), after);
            }
        }
    }

    fn fail_all(&mut self, batch: &Batch, error: &JobError, after: &mut After) {
        for (id, _) in batch.waiters.values().flatten() {
            let result = Err(error.clone());
            let outcome = Outcome::of(&result);
            self.finish(*id, result, outcome, after);
        }
    }

    fn fill_slot(&mut self, id: u64, at: usize, vector: Vec<f32>, after: &mut After) {
        let Some(job) = self.entries.get_mut(&id).and_then(|e| e.embed.as_mut()) else { return };
        if let Some(slot) = job.slots.get_mut(at)
            && slot.replace(vector).is_none()
        {
            job.missing -= 1;
        }
        if job.missing == 0 {
            let vectors = std::mem::take(&mut job.slots).into_iter().flatten().collect();
            self.finish(id, Ok(JobOutput::Vectors(vectors)), Outcome::Completed, after);
        }
    }
}

pub(super) fn split(work: JobWork, lane: usize) -> (Option<JobWork>, Option<EmbedJob>) {
    match work {
        JobWork::Embed { model, inputs, kind } => {
            let key = BatchKey { lane, model: Arc::from(model), kind };
            let missing = inputs.len();
            let inputs = inputs.into_iter().map(Arc::from).collect();
            let job =
                EmbedJob { key, inputs, next: 0, missing, slots: vec![None; missing], batches: Vec::new() };
            (None, Some(job))
        }
        other => (Some(other), None),
    }
}
