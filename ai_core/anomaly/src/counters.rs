//! Counters in stripes, so that threads do not share a cache line; it gives them no meaning.

use crate::config::Mode;
use crate::token::Dialect;
use crate::verdict::Action;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const STRIPES: usize = 16;
/// Actions × modes × dialects.
const DECISIONS: usize = 3 * 3 * 3;
/// Upper bounds of the buckets of check times, in nanoseconds; beyond the last one there is one more bucket.
const LATENCY_NS: [u64; 14] = [
    500, 1_000, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000, 20_000, 50_000, 100_000, 250_000, 1_000_000,
    10_000_000,
];
/// One of so many checks of a thread's stripe is timed, so that looking at the clock does not slow all of them.
const TIMED_EVERY: u64 = 16;

#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Stripe {
    /// Statements that somebody is about to judge; what came of it is in `decisions`.
    pub(crate) checks: AtomicU64,
    decisions: [AtomicU64; DECISIONS],
    /// Flags out of feedback, which belong to no check.
    pub(crate) told: AtomicU64,
    /// Outcomes that found their profile busy.
    pub(crate) dropped: AtomicU64,
    latency: [AtomicU64; LATENCY_NS.len() + 1],
    latency_ns: AtomicU64,
    pub(crate) exempt: AtomicU64,
    pub(crate) known: AtomicU64,
    pub(crate) analysed: AtomicU64,
    pub(crate) feedback: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Counters {
    stripes: [Stripe; STRIPES],
}

thread_local! {
    /// Its address tells threads apart; it holds nothing.
    static MINE: Cell<u8> = const { Cell::new(0) };
}

impl Stripe {
    /// Counts what became of one check.
    #[inline]
    pub(crate) fn decided(&self, action: Action, mode: Mode, dialect: Dialect) {
        self.decisions[place(action, mode, dialect)].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one check; true if it is one that is timed.
    #[inline]
    pub(crate) fn begin(&self) -> bool {
        self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(TIMED_EVERY)
    }

    pub(crate) fn took(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = LATENCY_NS.iter().position(|most| ns <= *most).unwrap_or(LATENCY_NS.len());
        self.latency[bucket].fetch_add(1, Ordering::Relaxed);
        self.latency_ns.fetch_add(ns, Ordering::Relaxed);
    }
}

const ACTIONS: [Action; 3] = [Action::Allow, Action::Flag, Action::Deny];
const MODES: [Mode; 3] = [Mode::Learn, Mode::Log, Mode::Enforce];
const DIALECTS: [Dialect; 3] = [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite];

#[inline]
fn place(action: Action, mode: Mode, dialect: Dialect) -> usize {
    let mode = match mode {
        Mode::Learn => 0,
        Mode::Log => 1,
        Mode::Auto | Mode::Enforce => 2,
    };
    (action as usize * 3 + mode) * 3 + dialect as usize
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self { stripes: std::array::from_fn(|_| Stripe::default()) }
    }

    #[inline]
    pub(crate) fn mine(&self) -> &Stripe {
        let at = MINE.with(|c| std::ptr::from_ref(c).addr());
        &self.stripes[(crate::digest::mix(3, at as u64) >> 32) as usize % STRIPES]
    }

    /// Every decision that was made at least once.
    pub(crate) fn decisions(&self) -> Vec<Decisions> {
        let mut all = Vec::new();
        for action in ACTIONS {
            for mode in MODES {
                for dialect in DIALECTS {
                    let count = self.sum(|s| &s.decisions[place(action, mode, dialect)]);
                    if count > 0 {
                        all.push(Decisions { action, mode, dialect, count });
                    }
                }
            }
        }
        all
    }

    pub(crate) fn acted(&self, action: Action) -> u64 {
        let of = |mode: Mode| {
            DIALECTS.iter().map(move |dialect| self.sum(|s| &s.decisions[place(action, mode, *dialect)]))
        };
        MODES.iter().flat_map(|mode| of(*mode)).sum()
    }

    pub(crate) fn latency(&self) -> Latency {
        let counts: Vec<u64> = (0..=LATENCY_NS.len()).map(|at| self.sum(|s| &s.latency[at])).collect();
        Latency { bounds_ns: LATENCY_NS.to_vec(), counts, sum_ns: self.sum(|s| &s.latency_ns) }
    }

    pub(crate) fn sum(&self, f: impl Fn(&Stripe) -> &AtomicU64) -> u64 {
        self.stripes.iter().map(|s| f(s).load(Ordering::Relaxed)).sum()
    }
}

/// How often one kind of statement met one decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Decisions {
    /// What was done.
    pub action: Action,
    /// The mode in force: learn, log or enforce.
    pub mode: Mode,
    /// Dialect of the statement.
    pub dialect: Dialect,
    /// How often.
    pub count: u64,
}

/// Times of a sample of checks.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Latency {
    /// Upper bounds of the buckets, in nanoseconds.
    pub bounds_ns: Vec<u64>,
    /// Checks by bucket; one bucket more than bounds, for what took longer.
    pub counts: Vec<u64>,
    /// Sum of all times, in nanoseconds.
    pub sum_ns: u64,
}

impl Latency {
    /// The time below which `share` (0 to 1) of the checks lie, in microseconds, as fine as the buckets; 0 without any.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> f64 {
        let total: u64 = self.counts.iter().sum();
        let wanted = (share.clamp(0.0, 1.0) * total as f64).ceil().max(1.0);
        let (mut before, mut from) = (0_u64, 0_u64);
        for (at, count) in self.counts.iter().enumerate() {
            let to = self.bounds_ns.get(at).copied().unwrap_or(from);
            if *count > 0 && (before + count) as f64 >= wanted {
                let part = (wanted - before as f64) / *count as f64;
                return (from as f64 + part * (to - from) as f64) / 1_000.0;
            }
            before += count;
            from = to;
        }
        0.0
    }
}

/// What the detector counted since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct DetectorStats {
    /// Statements judged, exempt ones included.
    pub total_checks: u64,
    /// Flagged, not denied.
    pub flagged: u64,
    /// Denied.
    pub denied: u64,
    /// Skipped because of the user.
    pub exempt: u64,
    /// Answered from a mature profile's digests.
    pub known: u64,
    /// Taken through the structural pass.
    pub analysed: u64,
    /// Outcomes reported.
    pub feedback: u64,
    /// Outcomes that were passed over, because their profile was busy with another one.
    pub feedback_dropped: u64,
    /// Decisions by action, mode and dialect.
    pub decisions: Vec<Decisions>,
    /// Times of checks.
    pub latency: Latency,
    /// Profiles held.
    pub profiles: usize,
    /// Enabled threat patterns.
    pub threat_patterns: usize,
    /// Statements waiting for the similarity worker.
    pub async_queued: u64,
    /// Statements that found its queue full.
    pub async_dropped: u64,
    /// Snapshots that the maintenance thread wrote.
    pub snapshots_saved: u64,
    /// Snapshots that it could not write; the last good file stays.
    pub snapshots_failed: u64,
    /// Hits of each rule, by name.
    pub by_rule: Vec<(&'static str, u64)>,
}
