//! Robust statistics of outcomes per digest: medians and MADs over small rings; it decides nothing.

/// Median and median absolute deviation of a sorted slice; zeros if it is empty.
pub(crate) fn median_mad(sorted: &[u32]) -> (f64, f64) {
    if sorted.is_empty() {
        return (0.0, 0.0);
    }
    let median = f64::from(sorted[sorted.len() / 2]);
    let mut away: Vec<f64> = sorted.iter().map(|v| (f64::from(*v) - median).abs()).collect();
    away.sort_unstable_by(f64::total_cmp);
    (median, away[away.len() / 2])
}

const SAMPLES: usize = 15;
const DIGESTS: usize = 48;
/// Samples before a digest's own statistics count.
const SAMPLES_MIN: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Series {
    values: [u32; SAMPLES],
    len: u8,
    next: u8,
}

impl Series {
    const EMPTY: Self = Self { values: [0; SAMPLES], len: 0, next: 0 };

    /// Whether `value` lies above median + 6 MAD of the samples before it; then records it.
    fn outlier(&mut self, value: u32) -> bool {
        let n = usize::from(self.len);
        let mut odd = false;
        if n >= SAMPLES_MIN {
            let mut v = self.values;
            v[..n].sort_unstable();
            let (median, mad) = median_mad(&v[..n]);
            odd = f64::from(value) > median + 6.0 * mad;
        }
        self.values[usize::from(self.next)] = value;
        self.next = (self.next + 1) % SAMPLES as u8;
        self.len = (self.len + 1).min(SAMPLES as u8);
        odd
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    digest: u64,
    used: u32,
    time_ms: Series,
    rows: Series,
}

/// What an outcome says against its own history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outliers {
    pub(crate) slow: bool,
    pub(crate) rows: bool,
    pub(crate) errors: bool,
}

/// Outcomes of one profile, for its busiest digests.
#[derive(Debug)]
pub(crate) struct Outcomes {
    entries: Vec<Entry>,
    tick: u32,
    errors: [u64; 5],
    error_next: u8,
}

impl Outcomes {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), tick: 0, errors: [0; 5], error_next: 0 }
    }

    pub(crate) fn record(&mut self, digest: u64, time_ms: u64, rows: u64) -> Outliers {
        self.tick = self.tick.wrapping_add(1);
        let tick = self.tick;
        let at = self.entries.iter().position(|e| e.digest == digest).unwrap_or_else(|| {
            let fresh = Entry { digest, used: tick, time_ms: Series::EMPTY, rows: Series::EMPTY };
            if self.entries.len() < DIGESTS {
                self.entries.push(fresh);
                return self.entries.len() - 1;
            }
            let oldest = (0..DIGESTS).min_by_key(|i| self.entries[*i].used).unwrap_or(0);
            self.entries[oldest] = fresh;
            oldest
        });
        let e = &mut self.entries[at];
        e.used = tick;
        let cap = |v: u64| u32::try_from(v).unwrap_or(u32::MAX);
        Outliers { slow: e.time_ms.outlier(cap(time_ms)), rows: e.rows.outlier(cap(rows)), errors: false }
    }

    /// Records an error; true if more than five lie within 60 s.
    pub(crate) fn error(&mut self, now_ms: u64) -> bool {
        let oldest = self.errors[usize::from(self.error_next)];
        self.errors[usize::from(self.error_next)] = now_ms;
        self.error_next = (self.error_next + 1) % 5;
        oldest != 0 && now_ms.saturating_sub(oldest) <= 60_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median_mad(&[]), (0.0, 0.0));
        assert_eq!(median_mad(&[1, 2, 3, 4, 100]), (3.0, 1.0));
    }

    #[test]
    fn outliers_need_history() {
        let mut o = Outcomes::new();
        assert!(!o.record(1, 100_000, 5).slow);
        for i in 0..14 {
            o.record(1, 10 + i % 3, 5);
        }
        assert!(o.record(1, 9_000, 5).slow);
        assert!(o.record(1, 10, 90_000).rows);
        assert!(!o.record(1, 11, 5).slow);
        assert!(!o.record(2, 9_000, 5).slow);
    }

    #[test]
    fn six_errors_in_a_minute() {
        let mut o = Outcomes::new();
        assert_eq!((0..5).filter(|i| o.error(1_000 + i * 1_000)).count(), 0);
        assert!(o.error(7_000));
        assert!(!o.error(500_000));
    }
}
