//! Interrupts statements that outlive their deadline or whose caller is gone; it knows no engine and no rule.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use harvest::Interrupt;

/// An interrupt that came before the statement reached the server is repeated after this time, in milliseconds.
const REPEAT_MS: u64 = 200;
/// Longest wait for an interrupt in flight when its statement is over, in milliseconds.
const SETTLE_MS: u64 = 2_000;
/// Interrupts that run at once on threads of their own; more run on the watchdog's.
const FIRING_MAX: usize = 16;

/// Why a statement was interrupted.
// Exhaustive: the pipeline maps each cause to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Deadline,
    Stopped,
}

struct Entry {
    interrupt: Arc<dyn Interrupt>,
    state: Mutex<EntryState>,
    settled: Condvar,
}

#[derive(Default)]
struct EntryState {
    done: bool,
    firing: bool,
    cause: Option<Cause>,
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, EntryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Interrupts unless the statement is over; tells whether it must be looked at again.
    fn fire(&self, cause: Cause) -> bool {
        {
            let mut state = self.lock();
            if state.done {
                return false;
            }
            if state.firing {
                return true;
            }
            state.firing = true;
            state.cause.get_or_insert(cause);
        }
        self.interrupt.interrupt();
        self.lock().firing = false;
        self.settled.notify_all();
        true
    }
}

type Tick = Box<dyn Fn() + Send>;

#[derive(Default)]
struct Agenda {
    next: u64,
    due: BTreeMap<(Instant, u64), (Arc<Entry>, Cause)>,
    running: bool,
    /// When the thread looks again by itself; `None` while it is awake, and looks before it sleeps.
    looks_at: Option<Instant>,
}

struct Shared {
    agenda: Mutex<Agenda>,
    changed: Condvar,
    closing: AtomicBool,
    firing: AtomicUsize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn schedule(&self, at: Instant, entry: &Arc<Entry>, cause: Cause) -> (Instant, u64) {
        let mut agenda = self.lock();
        agenda.next += 1;
        let key = (at, agenda.next);
        agenda.due.insert(key, (Arc::clone(entry), cause));
        // A wake-up per statement would cost more than many a statement.
        let late = agenda.looks_at.is_some_and(|looks_at| at < looks_at);
        drop(agenda);
        if late {
            self.changed.notify_all();
        }
        key
    }
}

/// One thread that keeps the deadlines of all running statements and runs a periodic task.
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
}

impl Watchdog {
    /// A watchdog; `tick` runs every `tick_ms` on its thread and must be quick.
    pub(crate) fn new(tick_ms: u64, tick: Tick) -> Self {
        let shared = Arc::new(Shared {
            agenda: Mutex::new(Agenda::default()),
            changed: Condvar::new(),
            closing: AtomicBool::new(false),
            firing: AtomicUsize::new(0),
        });
        let weak = Arc::downgrade(&shared);
        let started = std::thread::Builder::new()
            .name("statement-watchdog".to_owned())
            .spawn(move || run(&weak, Duration::from_millis(tick_ms), &tick));
        if let Err(error) = started {
            tracing::error!(%error, "no thread for the watchdog: statements rely on their engines' own time limits");
        } else {
            shared.lock().running = true;
        }
        Self { shared }
    }

    /// Watches one statement until the guard is dropped.
    pub(crate) fn watch(&self, deadline: Option<Instant>, interrupt: Arc<dyn Interrupt>) -> WatchGuard {
        let entry =
            Arc::new(Entry { interrupt, state: Mutex::new(EntryState::default()), settled: Condvar::new() });
        let key = deadline.map(|at| self.shared.schedule(at, &entry, Cause::Deadline));
        WatchGuard { shared: Arc::clone(&self.shared), entry, key }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.changed.notify_all();
    }
}

/// A statement being watched.
pub(crate) struct WatchGuard {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    key: Option<(Instant, u64)>,
}

impl WatchGuard {
    /// Something that interrupts the statement soon, without blocking its caller.
    pub(crate) fn stopper(&self) -> impl FnOnce() + Send + 'static {
        let (shared, entry) = (Arc::downgrade(&self.shared), Arc::downgrade(&self.entry));
        move || {
            if let (Some(shared), Some(entry)) = (shared.upgrade(), entry.upgrade()) {
                shared.schedule(Instant::now(), &entry, Cause::Stopped);
            }
        }
    }

    /// Ends watching. Gives why the statement was interrupted, if it was, and whether no interrupt can come any more.
    pub(crate) fn finish(self) -> (Option<Cause>, bool) {
        let mut state = self.entry.lock();
        state.done = true;
        let end = Instant::now() + Duration::from_millis(SETTLE_MS);
        while state.firing {
            let now = Instant::now();
            if now >= end {
                return (state.cause, false);
            }
            state =
                self.entry.settled.wait_timeout(state, end - now).unwrap_or_else(PoisonError::into_inner).0;
        }
        (state.cause, true)
    }
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.entry.lock().done = true;
        if let Some(key) = self.key {
            self.shared.lock().due.remove(&key);
        }
    }
}

fn run(shared: &Weak<Shared>, tick_every: Duration, tick: &Tick) {
    let mut next_tick = Instant::now() + tick_every;
    while let Some(shared) = shared.upgrade() {
        if shared.closing.load(Ordering::Acquire) {
            return;
        }
        let now = Instant::now();
        if now >= next_tick {
            tick();
            next_tick = now + tick_every;
        }
        let mut agenda = shared.lock();
        agenda.looks_at = None;
        let first = agenda.due.first_key_value().map(|(key, _)| key.0);
        if first.is_some_and(|at| at <= now) {
            if let Some((_, (entry, cause))) = agenda.due.pop_first() {
                drop(agenda);
                fire(&shared, entry, cause);
            }
            continue;
        }
        let until = first.map_or(next_tick, |at| at.min(next_tick));
        let wait = until.saturating_duration_since(now).min(Duration::from_millis(500));
        agenda.looks_at = Some(Instant::now() + wait);
        drop(shared.changed.wait_timeout(agenda, wait));
    }
}

/// Interrupts on a thread of its own, since an interrupt may take a round trip, and looks again later.
fn fire(shared: &Arc<Shared>, entry: Arc<Entry>, cause: Cause) {
    let work = {
        let (shared, entry) = (Arc::clone(shared), Arc::clone(&entry));
        move || {
            if entry.fire(cause) {
                shared.schedule(Instant::now() + Duration::from_millis(REPEAT_MS), &entry, cause);
            }
        }
    };
    if shared.firing.fetch_add(1, Ordering::AcqRel) < FIRING_MAX {
        let done = Arc::clone(shared);
        let backup = work.clone();
        let spawned = std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
            work();
            done.firing.fetch_sub(1, Ordering::AcqRel);
        });
        if spawned.is_ok() {
            return;
        }
        backup();
    } else {
        work();
    }
    shared.firing.fetch_sub(1, Ordering::AcqRel);
}
