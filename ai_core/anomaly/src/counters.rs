//! Counters in stripes, so that threads do not share a cache line; it gives them no meaning.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

const STRIPES: usize = 16;

#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Stripe {
    pub(crate) checks: AtomicU64,
    pub(crate) flagged: AtomicU64,
    pub(crate) denied: AtomicU64,
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

impl Counters {
    pub(crate) fn new() -> Self {
        Self { stripes: std::array::from_fn(|_| Stripe::default()) }
    }

    #[inline]
    pub(crate) fn mine(&self) -> &Stripe {
        let at = MINE.with(|c| std::ptr::from_ref(c).addr());
        &self.stripes[(crate::digest::mix(3, at as u64) >> 32) as usize % STRIPES]
    }

    pub(crate) fn sum(&self, f: impl Fn(&Stripe) -> &AtomicU64) -> u64 {
        self.stripes.iter().map(|s| f(s).load(Ordering::Relaxed)).sum()
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
