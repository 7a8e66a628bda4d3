//! The door between async transports and blocking tools: permits, a deadline, cancellation, panics; it does not know MCP.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::permits::Permits;
use mcp::CancelToken;

/// Why a job gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// Its time was over; it was cancelled and did not come back within the grace time.
    #[error("the call took longer than its deadline")]
    Deadline,
    /// It panicked.
    #[error("the call panicked: {0}")]
    Panicked(String),
    /// The door is closed for good.
    #[error("the server is shutting down")]
    Closed,
}

/// Lets a bounded number of blocking jobs through at a time.
#[derive(Debug, Clone)]
pub struct Gate {
    permits: Arc<Permits>,
    cancel_grace: Duration,
}

impl Gate {
    /// A door for `calls_max` jobs at a time; a cancelled job may take `cancel_grace_ms` to come back.
    #[must_use]
    pub fn new(calls_max: usize, cancel_grace_ms: u64) -> Self {
        Self {
            permits: Arc::new(Permits::new(calls_max)),
            cancel_grace: Duration::from_millis(cancel_grace_ms),
        }
    }

    /// Runs `job` on a blocking thread. Waiting for a permit counts towards the deadline; when it passes, `cancel` is
    /// cancelled. A job that is left behind keeps its permit until it ends.
    ///
    /// # Errors
    /// Why there is no result.
    pub async fn run<T, F>(
        &self,
        cancel: &CancelToken,
        deadline: Option<Instant>,
        job: F,
    ) -> Result<T, GateError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let acquire = self.permits.acquire();
        let permit = match deadline {
            None => acquire.await,
            Some(at) => match tokio::time::timeout_at(at.into(), acquire).await {
                Ok(permit) => permit,
                Err(_) => return Err(GateError::Deadline),
            },
        }
        .ok_or(GateError::Closed)?;
        let mut handle = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            guarded(job)
        });
        let Some(at) = deadline else { return flatten(handle.await) };
        if let Ok(done) = tokio::time::timeout_at(at.into(), &mut handle).await {
            return flatten(done);
        }
        cancel.cancel();
        match tokio::time::timeout(self.cancel_grace, handle).await {
            Ok(done) => flatten(done),
            Err(_) => Err(GateError::Deadline),
        }
    }

    /// Jobs that could start now.
    #[must_use]
    pub fn free(&self) -> usize {
        self.permits.free()
    }

    /// Moves towards `calls_max` jobs at a time, as far as jobs have ended.
    pub fn fit(&self, calls_max: usize) {
        self.permits.fit(calls_max);
    }
}

/// Runs `job` on this thread and turns a panic into an error.
///
/// # Errors
/// The panic's message.
pub(crate) fn guarded<T>(job: impl FnOnce() -> T) -> Result<T, GateError> {
    catch_unwind(AssertUnwindSafe(job)).map_err(|payload| GateError::Panicked(panic_text(payload.as_ref())))
}

pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

fn flatten<T>(joined: Result<Result<T, GateError>, tokio::task::JoinError>) -> Result<T, GateError> {
    joined.unwrap_or_else(|error| Err(GateError::Panicked(error.to_string())))
}

/// Cancels a token when it is dropped before [`disarm`](Self::disarm): the client left.
pub(crate) struct CancelOnDrop {
    token: CancelToken,
    armed: bool,
}

impl CancelOnDrop {
    pub(crate) fn new(token: CancelToken) -> Self {
        Self { token, armed: true }
    }

    pub(crate) fn disarm(&mut self) {
        self.armed = false;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if self.armed {
            self.token.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn deadlines_cancel_and_panics_are_caught() {
        let gate = Gate::new(1, 2000);
        let cancel = CancelToken::new();
        let seen = cancel.clone();
        let soon = Instant::now() + Duration::from_millis(20);
        let outcome = gate
            .run(&cancel, Some(soon), move || {
                while !seen.is_cancelled() {
                    std::thread::sleep(Duration::from_millis(2));
                }
                "stopped"
            })
            .await;
        assert_eq!(outcome, Ok("stopped"));
        let outcome = gate.run(&CancelToken::new(), None, || panic!("boom")).await;
        assert_eq!(outcome, Err::<(), _>(GateError::Panicked("boom".to_owned())));
        assert_eq!(gate.free(), 1);
    }

    #[tokio::test]
    async fn a_job_that_ignores_its_deadline_is_left_behind_with_its_permit() {
        let gate = Gate::new(1, 1);
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let now = Some(Instant::now());
        let outcome = gate.run(&CancelToken::new(), now, move || wait.recv()).await;
        assert_eq!(outcome.map(drop), Err(GateError::Deadline));
        assert_eq!(gate.free(), 0);
        drop(release);
    }
}
