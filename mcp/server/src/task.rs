//! Tasks: calls that go on after their answer, fetched by their caller until they expire; it does not know what they do.

mod files;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mcp::{
    Ask, AskFailure, CallContext, CancelToken, ClientCapabilities, ClientLink, ErrorCode, Judgement,
    ProgressSink, Rounds, RpcError, ToolError, input_requests,
};
use serde_json::{Map, Value, json};

use crate::clock::{now_ms, random_hex, rfc3339};
use files::{Record, TaskFiles};

/// Longest wait for one answer before the cancel token is looked at again.
const WAIT_STEP: Duration = Duration::from_millis(250);

/// How a task ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ending {
    /// A tool result, failures included: the result object.
    Completed(Value),
    /// A JSON-RPC error.
    Failed(RpcError),
    /// Cancelled by its caller or by the server's shutdown.
    Cancelled,
}

#[derive(Default)]
struct State {
    ending: Option<Ending>,
    pending: BTreeMap<String, Ask>,
    answers: HashMap<String, Value>,
    asked: u64,
    message: Option<String>,
    updated_ms: u64,
    /// Size of the result that is kept.
    bytes: usize,
}

/// One task.
pub(crate) struct Task {
    id: String,
    token_name: String,
    endpoint: Arc<str>,
    created_ms: u64,
    ttl_ms: u64,
    poll_interval_ms: u64,
    pub(crate) cancel: CancelToken,
    capabilities: ClientCapabilities,
    state: Mutex<State>,
    changed: Condvar,
    files: Option<Arc<TaskFiles>>,
}

impl Task {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the task; a task that has ended stays as it is. `bytes` is the size of the result that is kept. Writes a file where
    /// tasks are kept on disk.
    pub(crate) fn end(&self, ending: Ending, bytes: usize) {
        let mut state = self.lock();
        if state.ending.is_some() {
            return;
        }
        state.ending = Some(ending);
        state.bytes = bytes;
        state.pending.clear();
        state.updated_ms = now_ms();
        drop(state);
        self.changed.notify_all();
        if let Err(error) = self.keep() {
            tracing::error!(task_id = self.id, %error, "the end of a task could not be written");
        }
    }

    /// Writes the file; its own lock is not held meanwhile, so that the task can be fetched.
    fn keep(&self) -> std::io::Result<()> {
        let Some(files) = &self.files else { return Ok(()) };
        files.write(&self.record())
    }

    fn record(&self) -> Record {
        let state = self.lock();
        Record {
            task_id: self.id.clone(),
            token_name: self.token_name.clone(),
            endpoint: self.endpoint.to_string(),
            created_ms: self.created_ms,
            updated_ms: state.updated_ms,
            ttl_ms: self.ttl_ms,
            poll_interval_ms: self.poll_interval_ms,
            message: state.message.clone(),
            ended: state.ending.as_ref().map(Into::into),
        }
    }

    /// A task of an earlier process; what ran then runs no more.
    fn recalled(record: Record, files: &Arc<TaskFiles>) -> Self {
        let bytes = match &record.ended {
            Some(files::Ended::Completed(result)) => result.to_string().len(),
            _ => 0,
        };
        Self {
            id: record.task_id,
            token_name: record.token_name,
            endpoint: record.endpoint.into(),
            created_ms: record.created_ms,
            ttl_ms: record.ttl_ms,
            poll_interval_ms: record.poll_interval_ms,
            cancel: CancelToken::new(),
            capabilities: ClientCapabilities::default(),
            state: Mutex::new(State {
                ending: record.ended.map(Into::into),
                message: record.message,
                updated_ms: record.updated_ms,
                bytes,
                ..State::default()
            }),
            changed: Condvar::new(),
            files: Some(Arc::clone(files)),
        }
    }

    fn is_expired(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.created_ms) >= self.ttl_ms && self.has_ended()
    }

    fn has_ended(&self) -> bool {
        self.lock().ending.is_some()
    }

    /// Cancels a task that runs; one that has ended stays as it is.
    pub(crate) fn cancel_now(&self) {
        self.end(Ending::Cancelled, 0);
        self.cancel.cancel();
    }

    /// The members of a task in results: the base, and with `detailed` what belongs to its status.
    pub(crate) fn members(&self, detailed: bool) -> Map<String, Value> {
        let state = self.lock();
        let mut map = Map::new();
        let status = match &state.ending {
            Some(Ending::Completed(_)) => "completed",
            Some(Ending::Failed(_)) => "failed",
            Some(Ending::Cancelled) => "cancelled",
            None if detailed && !state.pending.is_empty() => "input_required",
            None => "working",
        };
        map.insert("taskId".into(), self.id.clone().into());
        map.insert("status".into(), status.into());
        if let Some(message) = &state.message {
            map.insert("statusMessage".into(), message.clone().into());
        }
        map.insert("createdAt".into(), rfc3339(self.created_ms).into());
        map.insert("lastUpdatedAt".into(), rfc3339(state.updated_ms).into());
        map.insert("ttlMs".into(), self.ttl_ms.into());
        map.insert("pollIntervalMs".into(), self.poll_interval_ms.into());
        if detailed {
            match &state.ending {
                Some(Ending::Completed(result)) => drop(map.insert("result".into(), result.clone())),
                Some(Ending::Failed(error)) => drop(map.insert("error".into(), json!(error))),
                None if !state.pending.is_empty() => {
                    let asks: Vec<Ask> = state.pending.values().cloned().collect();
                    map.insert("inputRequests".into(), Value::Object(input_requests(&asks)));
                }
                _ => {}
            }
        }
        map
    }

    /// Takes answers to open questions; unknown keys are ignored.
    ///
    /// # Errors
    /// `-32602` for an answer that does not answer its question; none is taken then.
    pub(crate) fn update(&self, answers: Map<String, Value>) -> Result<(), RpcError> {
        let mut state = self.lock();
        for (key, answer) in &answers {
            if let Some(ask) = state.pending.get(key)
                && ask.judge(answer) != Judgement::Good
            {
                return Err(RpcError::invalid_params(format!(
                    "the answer to {key:?} does not fit its question"
                )));
            }
        }
        for (key, answer) in answers {
            if state.pending.remove(&key).is_some() {
                state.answers.insert(key, answer);
                state.updated_ms = now_ms();
            }
        }
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    fn open(&self, asks: &[Ask]) -> Vec<String> {
        let mut state = self.lock();
        let mut keys = Vec::with_capacity(asks.len());
        for ask in asks {
            state.asked += 1;
            // Keys are unique over the life of a task, whatever the tool calls its questions.
            let key = format!("{}-{}", ask.key, state.asked);
            let mut named = ask.clone();
            named.key.clone_from(&key);
            state.pending.insert(key.clone(), named);
            keys.push(key);
        }
        state.updated_ms = now_ms();
        keys
    }

    fn wait(&self, keys: &[String], until: Instant) -> Result<Vec<Value>, AskFailure> {
        let failed = |code, text: &str| Err(AskFailure::Failed(ToolError::new(code, text.to_owned())));
        let mut state = self.lock();
        loop {
            if keys.iter().all(|key| state.answers.contains_key(key)) {
                return Ok(keys.iter().filter_map(|key| state.answers.remove(key)).collect());
            }
            if state.ending.is_some() || self.cancel.is_cancelled() {
                return failed(ErrorCode::FailedPrecondition, "the task was cancelled");
            }
            if Instant::now() >= until {
                state.pending.clear();
                return failed(ErrorCode::DeadlineExceeded, "the client did not answer in time");
            }
            state = self.changed.wait_timeout(state, WAIT_STEP).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Questions of a task: they wait in the task until the client fetches and answers them.
pub(crate) struct TaskLink {
    pub(crate) task: Arc<Task>,
    pub(crate) ask_timeout: Duration,
}

impl ClientLink for TaskLink {
    fn capabilities(&self) -> ClientCapabilities {
        self.task.capabilities.clone()
    }

    fn ask(&self, cx: &CallContext, asks: &[Ask]) -> Result<Vec<Value>, AskFailure> {
        if let Some(ask) = asks.iter().find(|a| !a.is_possible(&self.task.capabilities)) {
            return Err(AskFailure::MissingCapability(ask.capability()));
        }
        let keys = self.task.open(asks);
        let wait = cx.remaining().map_or(self.ask_timeout, |left| left.min(self.ask_timeout));
        self.task.wait(&keys, Instant::now() + wait)
    }

    fn become_task(&self) -> bool {
        true
    }
}

impl ProgressSink for TaskLink {
    fn progress(&self, _: f64, _: Option<f64>, message: Option<&str>) {
        if let Some(message) = message {
            let mut state = self.task.lock();
            state.message = Some(message.to_owned());
            state.updated_ms = now_ms();
        }
    }
}

/// A call that asks in rounds first and becomes a task when its tool says so.
pub(crate) struct LateTaskLink {
    pub(crate) rounds: Arc<Rounds>,
    pub(crate) make: Box<dyn Fn() -> Option<Arc<Task>> + Send + Sync>,
    pub(crate) task: Mutex<Option<Arc<TaskLink>>>,
    pub(crate) ask_timeout: Duration,
}

impl LateTaskLink {
    fn late(&self) -> Option<Arc<TaskLink>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientLink for LateTaskLink {
    fn capabilities(&self) -> ClientCapabilities {
        self.rounds.capabilities()
    }

    fn ask(&self, cx: &CallContext, asks: &[Ask]) -> Result<Vec<Value>, AskFailure> {
        match self.late() {
            Some(link) => link.ask(cx, asks),
            None => self.rounds.ask(cx, asks),
        }
    }

    fn recall(&self) -> Option<Value> {
        self.rounds.recall()
    }

    fn remember(&self, state: Value) {
        self.rounds.remember(state);
    }

    fn become_task(&self) -> bool {
        let mut slot = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none()
            && let Some(task) = (self.make)()
        {
            *slot = Some(Arc::new(TaskLink { task, ask_timeout: self.ask_timeout }));
        }
        slot.is_some()
    }
}

/// All tasks.
#[derive(Default)]
pub(crate) struct Tasks {
    by_id: Mutex<HashMap<String, Arc<Task>>>,
    files: Option<Arc<TaskFiles>>,
}

/// What a new task needs to know.
pub(crate) struct NewTask<'a> {
    pub(crate) cx: &'a CallContext,
    pub(crate) endpoint: Arc<str>,
    pub(crate) capabilities: ClientCapabilities,
    pub(crate) ttl_ms: u64,
    pub(crate) poll_interval_ms: u64,
    pub(crate) tasks_max: usize,
    pub(crate) bytes_max: usize,
}

impl Tasks {
    /// Tasks that are kept in `folder`; in memory while another process keeps its own there. Those that ran when their process ended are failed now, with the reason `interrupted`.
    ///
    /// # Errors
    /// When the folder cannot be made, read or written.
    pub(crate) fn open(folder: &Path) -> std::io::Result<Self> {
        let Some((files, records)) = TaskFiles::open(folder)? else {
            tracing::warn!(folder = %folder.display(), "another process keeps its tasks there: those of this one end with it");
            return Ok(Self::default());
        };
        let files = Arc::new(files);
        let now = now_ms();
        let mut by_id = HashMap::new();
        for record in records {
            let task = Task::recalled(record, &files);
            task.end(Ending::Failed(interrupted()), 0);
            if task.is_expired(now) {
                files.remove(&task.id);
            } else {
                by_id.insert(task.id.clone(), Arc::new(task));
            }
        }
        Ok(Self { by_id: Mutex::new(by_id), files: Some(files) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Task>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a task; it can be fetched as soon as this returns, after a restart too where tasks are kept on disk.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` when there are too many tasks that run or may still be fetched, `INTERNAL` when it cannot be written.
    pub(crate) fn create(&self, new: NewTask<'_>) -> Result<Arc<Task>, ToolError> {
        let id = random_hex(16).map_err(|e| ToolError::internal(format!("no randomness: {e}")))?;
        let now = now_ms();
        let task = Arc::new(Task {
            id: id.clone(),
            token_name: new.cx.caller.token_name.clone(),
            endpoint: new.endpoint,
            created_ms: now,
            ttl_ms: new.ttl_ms,
            poll_interval_ms: new.poll_interval_ms,
            cancel: new.cx.cancel.clone(),
            capabilities: new.capabilities,
            state: Mutex::new(State { updated_ms: now, ..State::default() }),
            changed: Condvar::new(),
            files: self.files.clone(),
        });
        let mut map = self.lock();
        map.retain(|id, task| {
            let expired = task.is_expired(now);
            if expired && let Some(files) = &self.files {
                files.remove(id);
            }
            !expired
        });
        let kept: usize = map.values().map(|t| t.lock().bytes).sum();
        for (have, max, name) in
            [(map.len(), new.tasks_max, "tasks_max"), (kept, new.bytes_max, "task_results_bytes_max")]
        {
            if have >= max {
                let text = "too many tasks are kept: wait until others have ended or expired";
                return Err(ToolError::limit(text).with("limit", name).with("value", max));
            }
        }
        task.keep().map_err(|error| ToolError::internal(format!("the task cannot be kept: {error}")))?;
        map.insert(id, Arc::clone(&task));
        Ok(task)
    }

    /// A task of this caller on this endpoint.
    ///
    /// # Errors
    /// `-32602` for a task that does not exist, has expired or belongs to somebody else.
    pub(crate) fn get(&self, id: &str, token_name: &str, endpoint: &str) -> Result<Arc<Task>, RpcError> {
        let found = self.lock().get(id).cloned();
        found
            .filter(|t| t.token_name == token_name && *t.endpoint == *endpoint)
            .filter(|t| !t.is_expired(now_ms()))
            .ok_or_else(|| {
                RpcError::invalid_params("unknown task").with_data(json!({"reason": "unknown_task"}))
            })
    }

    pub(crate) fn cancel_all(&self) {
        let all: Vec<Arc<Task>> = self.lock().values().cloned().collect();
        all.iter().for_each(|t| t.cancel_now());
    }
}

fn interrupted() -> RpcError {
    RpcError::new(RpcError::INTERNAL, "the server ended while the task ran; call the tool again")
        .with_data(json!({"reason": "interrupted"}))
}

#[cfg(test)]
mod tests;
