//! What a pool is made of and what it tells: settings, backends, capacities, counters; it lends nothing.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::slot::Permit;
use crate::connection::Backend;

/// Administrative state of a backend.
// Exhaustive: the four states of the backends table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BackendStatus {
    /// In use.
    Online,
    /// Starts with an open breaker.
    Shunned,
    /// No new calls; running ones finish.
    OfflineSoft,
    /// Nothing runs.
    OfflineHard,
}

/// How a pool behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolConfig {
    /// Longest wait for a free connection, in milliseconds.
    pub acquire_timeout_ms: u64,
    /// A connection idle for longer is pinged before use, in milliseconds.
    pub idle_ping_ms: u64,
    /// A connection idle for longer is closed, in milliseconds.
    pub idle_max_ms: u64,
    /// An older connection is closed, in milliseconds.
    pub lifetime_max_ms: u64,
    /// Connect failures in a row that open the breaker.
    pub shun_failures: u32,
    /// How long the breaker stays open before one trial, in milliseconds.
    pub shun_ms: u64,
    /// Most callers that wait at once; more are refused at once.
    pub waiters_max: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            acquire_timeout_ms: 2_000,
            idle_ping_ms: 10_000,
            idle_max_ms: 300_000,
            lifetime_max_ms: 3_600_000,
            shun_failures: 3,
            shun_ms: 10_000,
            waiters_max: 1_024,
        }
    }
}

/// The connections that one server takes, over all pools that lead to it.
#[derive(Debug)]
pub struct Capacity {
    state: Mutex<(usize, usize)>,
}

impl Capacity {
    /// A server that takes `connections_max` connections.
    #[must_use]
    pub fn new(connections_max: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new((0, connections_max.max(1))) })
    }

    /// Changes the bound; connections above it are not cut, but none are opened.
    pub fn set_max(&self, connections_max: usize) {
        self.lock().1 = connections_max.max(1);
    }

    /// Connections in use or idle, and the bound.
    #[must_use]
    pub fn used(&self) -> (usize, usize) {
        *self.lock()
    }

    pub(super) fn take(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.lock();
        if state.0 >= state.1 {
            return None;
        }
        state.0 += 1;
        Some(Permit(Arc::clone(self)))
    }

    pub(super) fn is_free(&self) -> bool {
        let state = self.lock();
        state.0 < state.1
    }

    pub(super) fn give(&self) {
        let mut state = self.lock();
        state.0 = state.0.saturating_sub(1);
    }

    fn lock(&self) -> MutexGuard<'_, (usize, usize)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One backend of a pool.
#[derive(Clone)]
// Exhaustive: whoever assembles a pool knows all of it.
pub struct PoolMember {
    /// Name in statistics, such as `host:port`; never shown to agents.
    pub name: String,
    /// Opens connections.
    pub backend: Arc<dyn Backend>,
    /// Share of new calls; 0 takes none.
    pub weight: u32,
    /// Administrative state.
    pub status: BackendStatus,
    /// Connections that the server takes.
    pub capacity: Arc<Capacity>,
}

impl fmt::Debug for PoolMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolMember")
            .field("weight", &self.weight)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Counters of one backend of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PoolStats {
    /// Name of the backend.
    pub backend: String,
    /// Status now: `SHUNNED` while the breaker is open.
    pub status: BackendStatus,
    /// Weight.
    pub weight: u32,
    /// Connections in use.
    pub conn_used: usize,
    /// Idle connections.
    pub conn_free: usize,
    /// Successful connects.
    pub conn_ok: u64,
    /// Failed connects.
    pub conn_err: u64,
    /// Most connections in use at once.
    pub conn_used_max: usize,
    /// Connections that the server takes over all pools.
    pub connections_max: usize,
    /// Calls served.
    pub queries: u64,
    /// Duration of the latest connect or ping, in microseconds.
    pub latency_us: u64,
    /// Bytes of statements and parameters sent.
    pub bytes_sent: u64,
    /// Bytes of values received.
    pub bytes_received: u64,
    /// Why the breaker opened.
    pub shunned_reason: Option<String>,
    /// How long the breaker stays open, in milliseconds; `None` while it is closed.
    pub shunned_for_ms: Option<u64>,
}

/// Upper ends of the buckets of waits for a connection, in microseconds; the last bucket is open.
pub const WAIT_BUCKETS_US: [u64; 9] =
    [100, 1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000];

/// A connection that nobody uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IdleConnection {
    /// Position of its backend among the members of the pool.
    pub member: usize,
    /// Name of its backend.
    pub backend: String,
    /// Number of the connection, unique within the pool.
    pub number: u64,
    /// Time since it was opened, in milliseconds.
    pub age_ms: u64,
    /// Time without work, in milliseconds.
    pub idle_ms: u64,
}

/// Counters of a whole pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct PoolTotals {
    /// Acquisitions asked for.
    pub gets: u64,
    /// Acquisitions served without waiting.
    pub gets_immediate: u64,
    /// Acquisitions served.
    pub gets_ok: u64,
    /// Acquisitions that failed.
    pub gets_failed: u64,
    /// Time that callers waited, in microseconds.
    pub wait_us: u64,
    /// Connections that were found dead before a statement was sent.
    pub found_dead: u64,
    /// Connections closed.
    pub closed: u64,
    /// Session resets.
    pub resets: u64,
    /// Callers waiting now.
    pub waiting: usize,
    /// Connections opened.
    pub opened: u64,
    /// Connects that failed.
    pub open_failed: u64,
    /// Acquisitions by the time that they waited, see [`WAIT_BUCKETS_US`].
    pub wait_buckets: [u64; 10],
}
