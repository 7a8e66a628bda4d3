//! What travels with every call of the AI side: caller, priority, deadline and cancellation; it does not know what is called.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::{AiError, AiErrorCode, AiResult, Deadline};

/// Which lane a piece of work takes when workers are scarce.
// Exhaustive on purpose: a queue has exactly these lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Priority {
    /// Somebody waits for the answer.
    #[default]
    Interactive,
    /// Bulk work such as ingest; yields to interactive work.
    Background,
}

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct TokenState {
    cancelled: AtomicBool,
    next_hook: AtomicU64,
    hooks: Mutex<Vec<(u64, Hook)>>,
}

/// A flag that is raised once and seen by every clone; hooks let blocking code be woken.
#[derive(Clone, Default)]
pub struct CancelToken {
    state: Arc<TokenState>,
}

impl CancelToken {
    /// A token that nobody has cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag and runs the registered hooks once, in the calling thread. Later calls do nothing.
    pub fn cancel(&self) {
        self.state.cancelled.store(true, Ordering::SeqCst);
        let hooks = {
            let mut held = self.state.hooks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *held)
        };
        for (_, hook) in hooks {
            hook();
        }
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.state.cancelled.load(Ordering::SeqCst)
    }

    /// Runs `hook` when the token is cancelled (at once if it already is), unless the guard is dropped before.
    /// Hooks must be short and must not wait for the code that holds the guard.
    #[must_use = "the hook is withdrawn when the guard is dropped"]
    pub fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) -> CancelHook {
        let id = self.state.next_hook.fetch_add(1, Ordering::Relaxed);
        {
            let mut held = self.state.hooks.lock().unwrap_or_else(PoisonError::into_inner);
            // Checked under the lock, so that a cancel in between cannot miss this hook.
            if !self.is_cancelled() {
                held.push((id, Box::new(hook)));
                return CancelHook { state: Arc::downgrade(&self.state), id };
            }
        }
        hook();
        CancelHook { state: Weak::new(), id }
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish()
    }
}

/// Keeps a cancel hook registered; dropping it withdraws the hook.
pub struct CancelHook {
    state: Weak<TokenState>,
    id: u64,
}

impl Drop for CancelHook {
    fn drop(&mut self) {
        if let Some(state) = self.state.upgrade() {
            let mut held = state.hooks.lock().unwrap_or_else(PoisonError::into_inner);
            held.retain(|(id, _)| *id != self.id);
        }
    }
}

impl fmt::Debug for CancelHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHook").field("id", &self.id).finish()
    }
}

/// Who asks, how urgently, until when, and how to stop it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CallContext {
    /// Stable name of the caller (token or session user); empty for the host itself. Part of cache scopes.
    pub caller: String,
    /// Correlates logs and answers; empty lets the callee generate one.
    pub request_id: String,
    /// The lane.
    pub priority: Priority,
    /// When the answer is worthless; `None` leaves it to the callee's own limits.
    pub deadline: Option<Deadline>,
    /// Ends the call early.
    pub cancel: CancelToken,
}

impl CallContext {
    /// An interactive call of `caller` without a deadline of its own.
    #[must_use]
    pub fn new(caller: impl Into<String>) -> Self {
        Self { caller: caller.into(), ..Self::default() }
    }

    /// Sets the deadline, unless an earlier one is set.
    #[must_use]
    pub fn with_deadline(mut self, at: Deadline) -> Self {
        let earlier = |old: Deadline| if old.instant() < at.instant() { old } else { at };
        self.deadline = Some(self.deadline.map_or(at, earlier));
        self
    }

    /// Sets the lane.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the cancel token.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancelToken) -> Self {
        self.cancel = cancel;
        self
    }

    /// Sets the request id.
    #[must_use]
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = id.into();
        self
    }

    /// Fails with `UNAVAILABLE` when cancelled and with `DEADLINE_EXCEEDED` when the time is over.
    pub fn check(&self) -> AiResult<()> {
        if self.cancel.is_cancelled() {
            return Err(AiError::unavailable("the call was cancelled"));
        }
        if self.deadline.is_some_and(Deadline::is_over) {
            return Err(AiError::new(AiErrorCode::DeadlineExceeded, "the deadline has passed"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn hooks_run_once_and_can_be_withdrawn() {
        let token = CancelToken::new();
        let ran = Arc::new(AtomicUsize::new(0));
        let count = |by: usize| {
            let ran = ran.clone();
            move || {
                ran.fetch_add(by, Ordering::SeqCst);
            }
        };
        let kept = token.on_cancel(count(1));
        drop(token.on_cancel(count(10)));
        token.cancel();
        token.cancel();
        assert_eq!(ran.load(Ordering::SeqCst), 1);
        let late = token.on_cancel(count(100));
        assert_eq!(ran.load(Ordering::SeqCst), 101);
        drop((kept, late));
    }

    #[test]
    fn check_reports_cancel_and_deadline() {
        let call = CallContext::new("a").with_deadline(Deadline::after_ms(3_600_000));
        assert!(call.check().is_ok());
        let late = call.clone().with_deadline(Deadline::after_ms(0));
        assert_eq!(late.check().unwrap_err().code, AiErrorCode::DeadlineExceeded);
        call.cancel.cancel();
        assert_eq!(call.check().unwrap_err().code, AiErrorCode::Unavailable);
    }
}
