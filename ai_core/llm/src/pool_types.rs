//! Bounds, numbers and outcomes of the pool; it keeps no books itself.

use serde::Serialize;

use crate::pool_job::JobResult;

/// Bounds of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolLimits {
    /// Workers, at least 1.
    pub threads: usize,
    /// Jobs that may wait.
    pub queue_max_jobs: usize,
    /// Bytes of waiting jobs.
    pub queue_max_bytes: usize,
    /// Inputs of one embedding call.
    pub batch_size: usize,
    /// How long an embed job waits for companions, milliseconds.
    pub batch_wait_ms: u64,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            threads: 4,
            queue_max_jobs: 1_024,
            queue_max_bytes: 67_108_864,
            batch_size: 32,
            batch_wait_ms: 2,
        }
    }
}

/// Numbers of the pool at one moment: `accepted` is always the sum of `queued`, `active`, `completed`, `failed`,
/// `cancelled` and `expired`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct PoolStats {
    /// Jobs taken in.
    pub accepted: u64,
    /// Jobs refused for lack of room.
    pub rejected: u64,
    /// Waiting now.
    pub queued: u64,
    /// Running now.
    pub active: u64,
    /// Answered with success.
    pub completed: u64,
    /// Answered with an error.
    pub failed: u64,
    /// Ended by caller, dropped ticket or stop.
    pub cancelled: u64,
    /// Ended by their deadline.
    pub expired: u64,
    /// Panics caught in workers.
    pub panics: u64,
    /// Bytes waiting now.
    pub queued_bytes: u64,
    /// Embedding calls made.
    pub embed_calls: u64,
    /// Workers alive.
    pub threads: u64,
}

/// How a job ended, for the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Completed,
    Failed,
    Cancelled,
    Expired,
}

impl Outcome {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    pub(crate) fn of(result: &JobResult) -> Self {
        match result {
            Ok(_) => Self::Completed,
            Err(error) if error.is_cancel() => Self::Cancelled,
            Err(_) => Self::Failed,
        }
    }
}
