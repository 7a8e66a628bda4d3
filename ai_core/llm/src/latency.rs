//! How long an endpoint took lately; it does not know what for.

use std::sync::{Mutex, PoisonError};

/// Answers that are remembered.
const SAMPLES_MAX: usize = 64;

/// A ring of the last durations.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    ring: Mutex<(Vec<f64>, usize)>,
}

impl Latency {
    pub(crate) fn record(&self, ms: f64) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let at = ring.1 % SAMPLES_MAX;
        if ring.0.len() < SAMPLES_MAX {
            ring.0.push(ms);
        } else if let Some(slot) = ring.0.get_mut(at) {
            *slot = ms;
        }
        ring.1 = (at + 1) % SAMPLES_MAX;
    }

    /// The given percentile in milliseconds; `None` before the first answer.
    pub(crate) fn percentile(&self, percent: usize) -> Option<f64> {
        let mut sorted = self.ring.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent.min(100)).div_ceil(100).max(1) - 1;
        sorted.get(rank).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_the_last_samples() {
        let latency = Latency::default();
        assert_eq!(latency.percentile(95), None);
        for ms in 0..1_000 {
            latency.record(f64::from(ms));
        }
        assert_eq!(latency.percentile(0), Some(936.0));
        assert_eq!(latency.percentile(50), Some(967.0));
        assert_eq!(latency.percentile(100), Some(999.0));
    }
}
