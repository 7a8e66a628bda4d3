//! How long to pause before a retry; it does not know what is retried.

use std::time::Duration;

use ai_core::{CancelToken, LlmRequest};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::config::LlmConfig;

/// Retries and pauses of one call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RetryPolicy {
    pub(crate) retries_max: u32,
    pub(crate) backoff_ms: u64,
    pub(crate) multiplier: f64,
    pub(crate) backoff_ms_max: u64,
}

impl RetryPolicy {
    pub(crate) fn of_config(config: &LlmConfig) -> Self {
        Self {
            retries_max: config.llm_max_retries,
            backoff_ms: config.llm_retry_backoff_ms,
            multiplier: config.llm_retry_multiplier,
            backoff_ms_max: config.llm_retry_max_backoff_ms,
        }
    }

    pub(crate) fn of(config: &LlmConfig, request: &LlmRequest) -> Self {
        let base = Self::of_config(config);
        Self {
            retries_max: request.max_retries.unwrap_or(base.retries_max),
            backoff_ms: request.retry_backoff_ms.unwrap_or(base.backoff_ms),
            multiplier: request.retry_multiplier.unwrap_or(base.multiplier),
            backoff_ms_max: request.retry_max_backoff_ms.unwrap_or(base.backoff_ms_max),
        }
    }

    /// The pause before retry number `retry` (from 0): back-off with ±10 %, capped, but never less than the
    /// server asked for.
    pub(crate) fn pause(&self, retry: u32, retry_after_ms: Option<u64>) -> Duration {
        let exact = self.backoff_ms as f64 * self.multiplier.powi(retry.min(64) as i32);
        let jittered = exact * (0.9 + 0.2 * random_unit());
        let own = jittered.min(self.backoff_ms_max as f64).max(0.0) as u64;
        Duration::from_millis(own.max(retry_after_ms.unwrap_or(0)))
    }
}

/// A number in 0–1; a half when the system has no randomness.
fn random_unit() -> f64 {
    getrandom::u32().map_or(0.5, |r| f64::from(r) / f64::from(u32::MAX))
}

/// Sleeps, but wakes when `cancel` is raised; true when it slept to the end.
pub(crate) fn sleep(pause: Duration, cancel: &CancelToken) -> bool {
    let bell = Arc::new((Mutex::new(false), Condvar::new()));
    let ringer = bell.clone();
    let _hook = cancel.on_cancel(move || {
        *ringer.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        ringer.1.notify_all();
    });
    let held = bell.0.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = bell.1.wait_timeout_while(held, pause, |rung| !*rung);
    let rung = waited.map_or_else(|e| *e.into_inner().0, |(rung, _)| *rung);
    !rung && !cancel.is_cancelled()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_respect_the_server() {
        let policy = RetryPolicy { retries_max: 3, backoff_ms: 100, multiplier: 2.0, backoff_ms_max: 350 };
        for (retry, low, high) in
            [(0, 90, 110), (1, 180, 220), (2, 350, 350), (9, 350, 350), (u32::MAX, 350, 350)]
        {
            let pause = policy.pause(retry, None).as_millis();
            assert!((low..=high).contains(&pause), "{retry}: {pause}");
        }
        assert_eq!(policy.pause(0, Some(5_000)), Duration::from_secs(5));
        assert!(policy.pause(2, Some(1)).as_millis() >= 350);
    }

    #[test]
    fn a_cancel_ends_the_sleep() {
        let cancel = CancelToken::new();
        assert!(sleep(Duration::from_millis(1), &cancel));
        let other = cancel.clone();
        let ringer = std::thread::spawn(move || other.cancel());
        assert!(!sleep(Duration::from_secs(600), &cancel));
        ringer.join().unwrap();
    }
}
