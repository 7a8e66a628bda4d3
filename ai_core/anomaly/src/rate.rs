//! A sliding-window counter over atomics, and per-minute history; it does not know what it counts.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Slots of one window; the oldest leaves as the window slides by one slot.
const SLOTS: usize = 16;
const COUNT_BITS: u32 = 26;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Counts events in the last window; each slot holds its own time, so nothing has to be swept.
#[derive(Debug)]
pub(crate) struct SlidingWindow {
    slots: [AtomicU64; SLOTS],
}

impl SlidingWindow {
    pub(crate) fn new() -> Self {
        Self { slots: [const { AtomicU64::new(0) }; SLOTS] }
    }

    /// Counts one event if fewer than `limit` lie in the window; false if it is excess.
    /// With `always`, excess counts as well.
    pub(crate) fn admit(&self, now_ms: u64, window_ms: u64, limit: u64, always: bool) -> bool {
        let width = (window_ms / SLOTS as u64).max(1);
        let epoch = now_ms / width;
        let slot = &self.slots[(epoch % SLOTS as u64) as usize];
        let stamp = (epoch & (u64::MAX >> COUNT_BITS)) << COUNT_BITS;
        let mut seen = slot.load(Ordering::Relaxed);
        loop {
            let own = if seen & !COUNT_MASK == stamp { seen & COUNT_MASK } else { 0 };
            let within = own < limit && self.others(epoch) + own < limit;
            if !within && !always {
                return false;
            }
            let next = stamp | (own + 1).min(COUNT_MASK);
            match slot.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return within,
                Err(now) => seen = now,
            }
        }
    }

    /// Events in the other slots of the window.
    fn others(&self, epoch: u64) -> u64 {
        let mask = u64::MAX >> COUNT_BITS;
        let mut sum = 0;
        for back in 1..SLOTS as u64 {
            let Some(e) = epoch.checked_sub(back) else { break };
            let v = self.slots[(e % SLOTS as u64) as usize].load(Ordering::Relaxed);
            if v >> COUNT_BITS == e & mask {
                sum += v & COUNT_MASK;
            }
        }
        sum
    }
}

/// Minutes of history for the spike rule.
const MINUTES: usize = 64;
/// Minutes with traffic before the spike rule speaks.
const MINUTES_MIN: usize = 16;

/// Statements per minute with a robust threshold over the last hour of traffic.
#[derive(Debug)]
pub(crate) struct MinuteHistory {
    minute: AtomicU64,
    current: AtomicU32,
    ring: [AtomicU32; MINUTES],
    next: AtomicU32,
    threshold: AtomicU32,
}

impl MinuteHistory {
    pub(crate) fn new() -> Self {
        Self {
            minute: AtomicU64::new(0),
            current: AtomicU32::new(0),
            ring: [const { AtomicU32::new(0) }; MINUTES],
            next: AtomicU32::new(0),
            threshold: AtomicU32::new(u32::MAX),
        }
    }

    /// Counts one event; true if this minute is a spike against the history.
    pub(crate) fn count(&self, now_ms: u64) -> bool {
        let minute = now_ms / 60_000;
        let known = self.minute.load(Ordering::Relaxed);
        if known != minute
            && self.minute.compare_exchange(known, minute, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            let done = self.current.swap(0, Ordering::AcqRel);
            if known != 0 && done > 0 {
                let at = self.next.fetch_add(1, Ordering::Relaxed) as usize % MINUTES;
                self.ring[at].store(done, Ordering::Relaxed);
                self.renew();
            }
        }
        self.current.fetch_add(1, Ordering::Relaxed) >= self.threshold.load(Ordering::Relaxed)
    }

    /// Median + 6 MAD, at least twice the largest minute but one.
    fn renew(&self) {
        let mut v: Vec<u32> =
            self.ring.iter().map(|a| a.load(Ordering::Relaxed)).filter(|n| *n > 0).collect();
        if v.len() < MINUTES_MIN {
            return;
        }
        v.sort_unstable();
        let (median, mad) = crate::stats::median_mad(&v);
        let high = v[v.len() - 1 - v.len() / 100];
        let threshold = (median + 6.0 * mad).max(2.0 * f64::from(high));
        self.threshold.store(threshold.min(f64::from(u32::MAX - 1)) as u32, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_limit_passes_and_service_resumes() {
        let w = SlidingWindow::new();
        let mut passed = 0;
        for i in 0..500 {
            passed += u32::from(w.admit(1_000_000 + i, 10_000, 100, false));
        }
        assert_eq!(passed, 100);
        assert!(!w.admit(1_005_000, 10_000, 100, false));
        assert!(w.admit(1_012_000, 10_000, 100, false));
    }

    #[test]
    fn threads_cannot_pass_the_limit_together() {
        let w = SlidingWindow::new();
        let passed = AtomicU32::new(0);
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    for _ in 0..1000 {
                        if w.admit(5_000_000, 10_000, 777, false) {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.load(Ordering::Relaxed), 777);
    }

    #[test]
    fn a_spike_stands_out_and_a_steady_load_does_not() {
        let h = MinuteHistory::new();
        let mut t = 60_000_000;
        for _ in 0..40 {
            for _ in 0..50 {
                assert!(!h.count(t));
            }
            t += 60_000;
        }
        let mut spikes = 0;
        for _ in 0..1000 {
            spikes += u32::from(h.count(t));
        }
        assert!(spikes > 800, "{spikes}");
    }
}
