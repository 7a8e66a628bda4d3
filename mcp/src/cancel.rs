//! A token that says "stop" once and runs hooks when it does; it does not know what the hooks interrupt.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    hooks: Mutex<(u64, BTreeMap<u64, Hook>)>,
}

/// Cooperative cancellation, shared by clones: whoever holds one may cancel, whoever works polls it or registers a hook.
#[derive(Clone, Default)]
pub struct CancelToken {
    inner: Arc<Inner>,
}

impl CancelToken {
    /// A token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.load(Ordering::Acquire)
    }

    /// Asks to stop: runs each registered hook once, on this thread. Later calls do nothing.
    pub fn cancel(&self) {
        if self.inner.cancelled.swap(true, Ordering::AcqRel) {
            return;
        }
        let hooks = std::mem::take(&mut self.lock().1);
        for hook in hooks.into_values() {
            hook();
        }
    }

    /// Runs `hook` when the token is cancelled (at once if it already is), unless the returned guard is dropped first.
    ///
    /// A hook must be quick and must not block: it typically interrupts a running statement.
    pub fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) -> CancelHook {
        let mut hooks = self.lock();
        if self.is_cancelled() {
            drop(hooks);
            hook();
            return CancelHook { inner: Arc::clone(&self.inner), id: 0 };
        }
        hooks.0 += 1;
        let id = hooks.0;
        hooks.1.insert(id, Box::new(hook));
        CancelHook { inner: Arc::clone(&self.inner), id }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (u64, BTreeMap<u64, Hook>)> {
        self.inner.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

/// Keeps a hook registered; dropping it forgets the hook.
#[must_use = "the hook is forgotten when this is dropped"]
pub struct CancelHook {
    inner: Arc<Inner>,
    id: u64,
}

impl Drop for CancelHook {
    fn drop(&mut self) {
        self.inner.hooks.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&self.id);
    }
}

impl fmt::Debug for CancelHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHook").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn hooks_run_once_and_dropped_hooks_never() {
        let token = CancelToken::new();
        let runs = Arc::new(AtomicU32::new(0));
        let (kept, dropped) = (Arc::clone(&runs), Arc::clone(&runs));
        let _guard = token.on_cancel(move || {
            kept.fetch_add(1, Ordering::SeqCst);
        });
        drop(token.on_cancel(move || {
            dropped.fetch_add(100, Ordering::SeqCst);
        }));
        token.cancel();
        token.clone().cancel();
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_hook_on_a_cancelled_token_runs_at_once() {
        let token = CancelToken::new();
        token.cancel();
        let ran = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ran);
        let _guard = token.on_cancel(move || flag.store(true, Ordering::SeqCst));
        assert!(ran.load(Ordering::SeqCst) && token.is_cancelled());
    }
}
