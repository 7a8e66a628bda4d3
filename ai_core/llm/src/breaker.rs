//! Stops calls to an endpoint that keeps failing, and lets one probe through from time to time; it knows no HTTP.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row that open it.
const FAILURES_MAX: u32 = 5;
/// First pause.
const OPEN_FIRST: Duration = Duration::from_secs(5);
/// Longest pause.
const OPEN_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    pause: Duration,
    open_until: Option<Instant>,
    probing: bool,
}

/// One endpoint's breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: Mutex<State>,
    open_first: Duration,
}

/// Permission for one call; dropped without a verdict it only frees the probe.
#[derive(Debug)]
pub(crate) struct Pass<'b> {
    breaker: &'b Breaker,
    is_probe: bool,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::with_first_pause(OPEN_FIRST)
    }
}

impl Breaker {
    pub(crate) fn with_first_pause(open_first: Duration) -> Self {
        Self { state: Mutex::default(), open_first }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call through, or says how long the breaker stays open.
    pub(crate) fn enter(&self) -> Result<Pass<'_>, Duration> {
        let mut state = self.lock();
        let Some(until) = state.open_until else {
            return Ok(Pass { breaker: self, is_probe: false });
        };
        let left = until.saturating_duration_since(Instant::now());
        if !left.is_zero() || state.probing {
            return Err(left.max(Duration::from_millis(100)));
        }
        state.probing = true;
        Ok(Pass { breaker: self, is_probe: true })
    }

    /// Whether calls are refused now, a probe excepted.
    pub(crate) fn is_open(&self) -> bool {
        let state = self.lock();
        state.open_until.is_some_and(|until| state.probing || until > Instant::now())
    }
}

impl Pass<'_> {
    /// The endpoint answered.
    pub(crate) fn succeeded(self) {
        *self.breaker.lock() = State::default();
    }

    /// The endpoint could not be reached or failed on its side.
    pub(crate) fn failed(self) {
        let mut state = self.breaker.lock();
        state.failures = state.failures.saturating_add(1);
        if self.is_probe || state.failures >= FAILURES_MAX {
            let next = if state.pause.is_zero() { self.breaker.open_first } else { state.pause * 2 };
            state.pause = next.min(OPEN_MAX);
            state.open_until = Some(Instant::now() + state.pause);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.breaker.lock().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_five_failures_and_doubles() {
        let breaker = Breaker::with_first_pause(Duration::from_millis(5));
        for _ in 0..4 {
            breaker.enter().unwrap().failed();
        }
        breaker.enter().unwrap().succeeded();
        for _ in 0..5 {
            assert!(!breaker.is_open());
            breaker.enter().unwrap().failed();
        }
        assert!(breaker.enter().is_err());
        std::thread::sleep(Duration::from_millis(10));
        let probe = breaker.enter().unwrap();
        assert!(breaker.enter().is_err(), "one probe only");
        probe.failed();
        assert_eq!(breaker.lock().pause, Duration::from_millis(10));
        std::thread::sleep(Duration::from_millis(20));
        drop(breaker.enter().unwrap());
        breaker.enter().expect("a dropped probe frees the place").succeeded();
        assert!(breaker.enter().is_ok() && breaker.enter().is_ok());
    }
}
