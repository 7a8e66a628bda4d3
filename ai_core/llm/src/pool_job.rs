//! Jobs of the worker pool, their answers and the ticket of whoever waits; it does not know how jobs are scheduled.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ai_core::{
    AiError, AiResult, CallContext, EmbedKind, LlmDelta, LlmError, LlmErrorCode, LlmFlow, LlmRequest,
    LlmResponse,
};

use crate::classify::from_ai;
use crate::pool::Shared;

/// Takes the pieces of a streamed answer in the worker's thread; while it runs nothing more is read.
pub type DeltaSink = Box<dyn FnMut(LlmDelta) -> LlmFlow + Send>;

/// What is to be done.
#[non_exhaustive]
pub enum JobWork {
    /// Vectors of texts.
    Embed {
        /// Model; empty = the default.
        model: String,
        /// The texts.
        inputs: Vec<String>,
        /// What they are embedded for.
        kind: EmbedKind,
    },
    /// Scores of documents.
    Rerank {
        /// Model; empty = the default.
        model: String,
        /// The query.
        query: String,
        /// The documents.
        documents: Vec<String>,
    },
    /// A model's answer.
    Llm {
        /// The request.
        request: Box<LlmRequest>,
        /// Receiver of pieces; `None` = no stream.
        stream: Option<DeltaSink>,
    },
}

impl JobWork {
    /// Bytes that the job holds in the queue.
    pub(crate) fn bytes(&self) -> usize {
        let texts = |all: &[String]| all.iter().map(|t| t.len() + 24).sum::<usize>();
        256 + match self {
            Self::Embed { inputs, .. } => texts(inputs),
            Self::Rerank { query, documents, .. } => query.len() + texts(documents),
            Self::Llm { request, .. } => {
                let messages = request.messages.iter().map(|m| m.content.len() + 64).sum::<usize>();
                messages + request.system_message.as_ref().map_or(0, String::len)
            }
        }
    }
}

/// A job: what, for whom, until when.
#[non_exhaustive]
pub struct Job {
    /// What is to be done.
    pub work: JobWork,
    /// Caller, priority, deadline, cancel token.
    pub call: CallContext,
    /// How long [`submit`](crate::Pool::submit) may wait for room, milliseconds.
    pub submit_timeout_ms: u64,
}

impl Job {
    /// A job that is refused at once when the queue is full.
    #[must_use]
    pub fn new(work: JobWork, call: CallContext) -> Self {
        Self { work, call, submit_timeout_ms: 0 }
    }

    /// Lets the submission wait for room.
    #[must_use]
    pub fn with_submit_timeout_ms(mut self, ms: u64) -> Self {
        self.submit_timeout_ms = ms;
        self
    }
}

/// The answer to a job of the same kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum JobOutput {
    /// To [`JobWork::Embed`]: one vector for each input, in input order.
    Vectors(Vec<Vec<f32>>),
    /// To [`JobWork::Rerank`]: one score in 0–1 for each document, in input order.
    Scores(Vec<f32>),
    /// To [`JobWork::Llm`].
    Llm(Box<LlmResponse>),
}

/// The failure of a job.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// Of the pool or of a model.
    #[error(transparent)]
    Llm(#[from] LlmError),
    /// Of an embedder or reranker.
    #[error(transparent)]
    Ai(#[from] AiError),
}

impl JobError {
    /// As the AI side's error.
    #[must_use]
    pub fn into_ai(self) -> AiError {
        match self {
            Self::Llm(error) => error.into(),
            Self::Ai(error) => error,
        }
    }

    /// As a model error.
    #[must_use]
    pub fn into_llm(self) -> LlmError {
        match self {
            Self::Llm(error) => error,
            Self::Ai(error) => from_ai(error),
        }
    }

    pub(crate) fn is_cancel(&self) -> bool {
        matches!(self, Self::Llm(e) if e.code == LlmErrorCode::Cancelled)
    }
}

/// What a job brings.
pub type JobResult = Result<JobOutput, JobError>;

/// Does the work of jobs. Called from many workers at once; a panic is caught and answered.
pub trait JobRunner: Send + Sync {
    /// One vector for each input, in input order.
    ///
    /// # Errors
    /// As [`ai_core::Embedder::embed`].
    fn embed(
        &self,
        model: &str,
        inputs: &[&str],
        kind: EmbedKind,
        call: &CallContext,
    ) -> AiResult<Vec<Vec<f32>>>;

    /// One score in 0–1 for each document, in input order.
    ///
    /// # Errors
    /// As [`ai_core::Reranker::rerank`].
    fn rerank(&self, model: &str, query: &str, documents: &[&str], call: &CallContext) -> AiResult<Vec<f32>>;

    /// A model's answer.
    ///
    /// # Errors
    /// As [`ai_core::LlmClient::complete`].
    fn llm(
        &self,
        request: &LlmRequest,
        call: &CallContext,
        on_delta: Option<&mut dyn FnMut(LlmDelta) -> LlmFlow>,
    ) -> Result<LlmResponse, LlmError>;
}

#[derive(Default)]
struct CellState {
    result: Option<JobResult>,
    done: bool,
    waker: Option<Waker>,
}

/// Where the answer of one job is put.
#[derive(Default)]
pub(crate) struct Cell {
    state: Mutex<CellState>,
    bell: Condvar,
}

impl Cell {
    fn lock(&self) -> MutexGuard<'_, CellState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the answer in; returns the waker to be woken after every lock is released.
    pub(crate) fn fill(&self, result: JobResult) -> Option<Waker> {
        let mut state = self.lock();
        state.result = Some(result);
        state.done = true;
        self.bell.notify_all();
        state.waker.take()
    }
}

/// The claim to a job's one answer. Dropped before the answer, it cancels the job. Also a future.
pub struct Ticket {
    pub(crate) shared: Arc<Shared>,
    pub(crate) cell: Arc<Cell>,
    pub(crate) id: u64,
}

fn taken() -> JobResult {
    Err(LlmError::new(LlmErrorCode::Internal, "the answer was already taken").into())
}

impl Ticket {
    /// Waits for the answer; the job's deadline bounds the wait.
    ///
    /// # Errors
    /// The job's failure.
    pub fn wait(self) -> JobResult {
        let mut state = self.cell.lock();
        while !state.done {
            state = self.cell.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.result.take().unwrap_or_else(taken)
    }

    /// The answer, if it is there and not yet taken.
    pub fn try_take(&self) -> Option<JobResult> {
        self.cell.lock().result.take()
    }

    /// Whether the answer is there or was taken.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.cell.lock().done
    }

    /// Ends the job with `ERR_CANCELLED`, unless it is already answered.
    pub fn cancel(&self) {
        self.shared.cancel(self.id, "the job was cancelled");
    }
}

impl Future for Ticket {
    type Output = JobResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<JobResult> {
        let mut state = self.cell.lock();
        if state.done {
            return Poll::Ready(state.result.take().unwrap_or_else(taken));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_done() {
            self.shared.cancel(self.id, "nobody waits for the job");
        }
    }
}
