//! Stops a running statement: deadline, interrupt from another thread, watchdog; it does not know what runs.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use harvest::Interrupt;
use rusqlite::InterruptHandle;

/// Why a statement was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// Exhaustive: the connection maps each to a code.
pub(crate) enum Stop {
    /// It goes on.
    None,
    /// Somebody interrupted it.
    Cancelled,
    /// Its time is over.
    Deadline,
}

/// What the connection, its callbacks and other threads share.
pub(crate) struct Shared {
    born: Instant,
    running: AtomicBool,
    stop: AtomicU8,
    /// Microseconds after `born`; 0 means none.
    deadline_us: AtomicU64,
    /// The driver's own statements run; the authorizer lets them pass.
    own: AtomicBool,
    /// What the authorizer refused last.
    denied: Mutex<Option<String>>,
    /// Functions that the statement's gate has passed beyond the built-in list.
    extra_functions: Mutex<Vec<String>>,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            born: Instant::now(),
            running: AtomicBool::new(false),
            stop: AtomicU8::new(0),
            deadline_us: AtomicU64::new(0),
            own: AtomicBool::new(false),
            denied: Mutex::new(None),
            extra_functions: Mutex::new(Vec::new()),
        })
    }

    pub(crate) fn begin(&self, timeout_ms: u64) {
        self.stop.store(0, Ordering::SeqCst);
        let deadline =
            if timeout_ms == 0 { 0 } else { self.now_us().saturating_add(timeout_ms.saturating_mul(1_000)) };
        self.deadline_us.store(deadline, Ordering::SeqCst);
        self.set_denied(None);
        self.running.store(true, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.running.store(false, Ordering::SeqCst);
        self.deadline_us.store(0, Ordering::SeqCst);
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }

    /// Checked every few hundred steps of the engine.
    pub(crate) fn stopped(&self) -> Stop {
        match self.stop.load(Ordering::Relaxed) {
            1 => return Stop::Cancelled,
            2 => return Stop::Deadline,
            _ => {}
        }
        let deadline = self.deadline_us.load(Ordering::Relaxed);
        if deadline != 0 && self.now_us() >= deadline {
            self.stop.store(2, Ordering::SeqCst);
            return Stop::Deadline;
        }
        Stop::None
    }

    /// Why the last statement was stopped, after its end.
    pub(crate) fn stopped_before(&self) -> Stop {
        match self.stop.load(Ordering::SeqCst) {
            1 => Stop::Cancelled,
            2 => Stop::Deadline,
            _ => Stop::None,
        }
    }

    pub(crate) fn own(&self) -> bool {
        self.own.load(Ordering::Relaxed)
    }

    pub(crate) fn set_own(&self, own: bool) {
        self.own.store(own, Ordering::SeqCst);
    }

    pub(crate) fn set_denied(&self, what: Option<String>) {
        *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    pub(crate) fn take_denied(&self) -> Option<String> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn set_extra_functions(&self, names: Vec<String>) {
        *self.extra_functions.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    pub(crate) fn is_extra_function(&self, name: &str) -> bool {
        self.extra_functions.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|n| n == name)
    }
}

/// The handle that others get.
pub(crate) struct Stopper {
    pub(crate) shared: Arc<Shared>,
    pub(crate) handle: InterruptHandle,
}

impl Interrupt for Stopper {
    fn interrupt(&self) {
        if self.shared.running.load(Ordering::SeqCst) {
            self.shared.stop.store(1, Ordering::SeqCst);
            self.handle.interrupt();
        }
    }
}

/// A thread that interrupts at the deadline also where the engine does not call back for long.
pub(crate) struct Watchdog {
    state: Arc<(Mutex<Watch>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Watch {
    until: Option<Instant>,
    /// When the thread looks again by itself; `None` while it waits to be woken.
    looks_at: Option<Instant>,
    closed: bool,
}

impl Watchdog {
    /// Starts the thread; without one the progress handler alone keeps the deadline.
    pub(crate) fn start(shared: Arc<Shared>, handle: InterruptHandle) -> Self {
        let state = Arc::new((Mutex::new(Watch::default()), Condvar::new()));
        let seen = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("sqlite-deadline".into())
            .stack_size(64 * 1024)
            .spawn(move || watch(&seen, &shared, &handle))
            .ok();
        Self { state, thread }
    }

    pub(crate) fn arm(&self, timeout_ms: u64) {
        let until = (timeout_ms > 0).then(|| Instant::now() + Duration::from_millis(timeout_ms));
        let mut watch = self.lock();
        watch.until = until;
        // A wake-up per statement would cost more than many a statement: the thread that looks early enough sleeps on.
        let late = until.is_some_and(|until| watch.looks_at.is_none_or(|looks_at| looks_at > until));
        drop(watch);
        if late {
            self.state.1.notify_one();
        }
    }

    pub(crate) fn disarm(&self) {
        self.lock().until = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Watch> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.lock().closed = true;
        self.state.1.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(state: &(Mutex<Watch>, Condvar), shared: &Shared, handle: &InterruptHandle) {
    let mut watch = state.0.lock().unwrap_or_else(PoisonError::into_inner);
    while !watch.closed {
        watch = match watch.until {
            None => {
                watch.looks_at = None;
                state.1.wait(watch).unwrap_or_else(PoisonError::into_inner)
            }
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    if shared.stopped() != Stop::None {
                        handle.interrupt();
                    }
                    // Once may come between two steps, so it goes on until it is disarmed.
                    watch.until = Some(Instant::now() + Duration::from_millis(50));
                    continue;
                }
                watch.looks_at = Some(until);
                state.1.wait_timeout(watch, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}
