//! Wall time, CPU and peak memory of this process; it measures nobody else.

use std::time::Instant;

/// What something cost.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall_ms: f64,
    pub(crate) cpu_ms: f64,
}

/// A running measurement.
pub(crate) struct Watch {
    at: Instant,
    cpu_ms: f64,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { cpu_ms: cpu_ms(), at: Instant::now() }
    }

    pub(crate) fn stop(self) -> Cost {
        Cost { wall_ms: self.at.elapsed().as_secs_f64() * 1_000.0, cpu_ms: cpu_ms() - self.cpu_ms }
    }
}

/// User and system time of all threads, in clock ticks of 10 ms.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u32 = after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u32>().ok()).sum();
    f64::from(ticks) * 10.0
}

/// Makes the peak start anew.
pub(crate) fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most resident memory since then.
pub(crate) fn peak_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// The cost in the middle by wall time.
pub(crate) fn median(costs: &mut [Cost]) -> Cost {
    costs.sort_by(|a, b| a.wall_ms.total_cmp(&b.wall_ms));
    costs.get(costs.len() / 2).copied().unwrap_or(Cost { wall_ms: 0.0, cpu_ms: 0.0 })
}
