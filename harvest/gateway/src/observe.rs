//! What the pipeline tells of itself: counters, running statements, one record a statement; it keeps no history.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use harvest::{HarvestCode, HarvestError, StatementKind};
use serde::Serialize;

/// Upper ends of the latency buckets, in microseconds; the last bucket is open.
pub const LATENCY_BUCKETS_US: [u64; 11] =
    [100, 500, 1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000, 10_000_000];
/// Kinds of errors and constructs that are told apart.
const KINDS_MAX: usize = 1_000;

/// One statement, finished or refused.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StatementEvent<'a> {
    /// Start, Unix milliseconds.
    pub at_ms: i64,
    /// Number of the call.
    pub call_id: u64,
    /// Endpoint path.
    pub endpoint: &'a str,
    /// Canonical tool.
    pub tool: &'a str,
    /// Token name.
    pub caller: &'a str,
    /// Address of the client.
    pub client_address: &'a str,
    /// Target; empty when none was resolved.
    pub target_id: &'a str,
    /// Schema.
    pub schema: &'a str,
    /// Backend user.
    pub username: &'a str,
    /// Rules that matched.
    pub rules: &'a [i64],
    /// The text as sent.
    pub original: &'a str,
    /// The text as executed or refused.
    pub executed: &'a str,
    /// Kind, when the gate has passed it.
    pub kind: Option<StatementKind>,
    /// Rows.
    pub rows: u64,
    /// Duration, in microseconds.
    pub time_us: u64,
    /// Failure.
    pub error: Option<&'a HarvestError>,
    /// Whether rules ask for a log record.
    pub log: bool,
    /// Whether the cache answered.
    pub cached: bool,
    /// Group of the target's servers.
    pub hostgroup: Option<u32>,
    /// Host and port of the server that it went to; empty and 0 when it went to none.
    pub server: (&'a str, u16),
}

/// Hears of every statement. Must not block.
pub trait StatementObserver: Send + Sync {
    /// Takes note of one statement.
    fn statement(&self, event: &StatementEvent<'_>);
}

/// Counters and histogram of one kind of statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct CommandStats {
    /// Statements.
    pub count: u64,
    /// Their time, in microseconds.
    pub time_us: u64,
    /// Statements by latency, see [`LATENCY_BUCKETS_US`].
    pub buckets: [u64; 12],
}

/// One kind of backend error of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are the columns of the statistics table")]
pub struct ErrorStats {
    pub target_id: String,
    pub hostgroup: u32,
    pub hostname: String,
    pub port: u16,
    pub username: String,
    pub client_address: String,
    pub schema: String,
    pub errno: Option<i64>,
    pub sqlstate: Option<String>,
    pub count_star: u64,
    pub first_seen: i64,
    pub last_seen: i64,
    pub last_error: String,
}

/// A statement that runs now.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are the columns of the process list")]
pub struct RunningStatement {
    pub call_id: u64,
    pub endpoint: String,
    pub tool: String,
    pub caller: String,
    pub client_address: String,
    pub target_id: String,
    pub schema: String,
    pub digest_text: String,
    #[serde(skip)]
    pub started: Instant,
}

/// Plain counters since start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct GatewayCounters {
    /// Statements that came in.
    pub statements: u64,
    /// Statements that failed on a backend.
    pub failed: u64,
    /// Statements refused by rules.
    pub refused_rules: u64,
    /// Statements answered by rules.
    pub answered_rules: u64,
    /// Statements refused by hooks.
    pub refused_hooks: u64,
    /// Statements refused by the gate.
    pub refused_gate: u64,
    /// Statements refused by the target's profile or a cost rule.
    pub refused_policy: u64,
    /// Statements past their time.
    pub timed_out: u64,
    /// Statements cancelled by their callers.
    pub cancelled: u64,
    /// Rows given.
    pub rows: u64,
}

/// What a counter counts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    RefusedRules,
    AnsweredRules,
    RefusedHooks,
    RefusedGate,
    RefusedPolicy,
}

type ErrorKey = (String, String, u16, String, String, String, Option<i64>, Option<String>);

#[derive(Default)]
struct Slow {
    /// By target and kind; there are as many targets as were ever configured.
    commands: BTreeMap<(String, &'static str), CommandStats>,
    constructs: HashMap<String, u64>,
    errors: HashMap<ErrorKey, ErrorStats>,
    errors_evicted: u64,
    /// By target and code; never taken, unlike `errors`.
    error_totals: BTreeMap<(String, String), u64>,
    running: BTreeMap<u64, RunningStatement>,
    next_running: u64,
}

/// All statistics of the pipeline.
#[derive(Default)]
pub struct Statistics {
    statements: AtomicU64,
    failed: AtomicU64,
    refused_rules: AtomicU64,
    answered_rules: AtomicU64,
    refused_hooks: AtomicU64,
    refused_gate: AtomicU64,
    refused_policy: AtomicU64,
    timed_out: AtomicU64,
    cancelled: AtomicU64,
    rows: AtomicU64,
    slow: Mutex<Slow>,
}

impl Statistics {
    /// Counters since start.
    #[must_use]
    pub fn counters(&self) -> GatewayCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        GatewayCounters {
            statements: read(&self.statements),
            failed: read(&self.failed),
            refused_rules: read(&self.refused_rules),
            answered_rules: read(&self.answered_rules),
            refused_hooks: read(&self.refused_hooks),
            refused_gate: read(&self.refused_gate),
            refused_policy: read(&self.refused_policy),
            timed_out: read(&self.timed_out),
            cancelled: read(&self.cancelled),
            rows: read(&self.rows),
        }
    }

    /// Counts and latencies by target and kind of statement.
    #[must_use]
    pub fn commands(&self) -> Vec<(String, &'static str, CommandStats)> {
        let slow = self.lock();
        slow.commands.iter().map(|((target, kind), stats)| (target.clone(), *kind, *stats)).collect()
    }

    /// Refusals of the gate by construct.
    #[must_use]
    pub fn constructs(&self) -> Vec<(String, u64)> {
        let mut all: Vec<_> =
            self.lock().constructs.iter().map(|(name, count)| (name.clone(), *count)).collect();
        all.sort();
        all
    }

    /// Errors of backends by kind.
    #[must_use]
    pub fn errors(&self) -> Vec<ErrorStats> {
        self.lock().errors.values().cloned().collect()
    }

    /// Errors of backends since start by target and errno or SQLSTATE.
    #[must_use]
    pub fn error_totals(&self) -> Vec<(String, String, u64)> {
        let slow = self.lock();
        slow.error_totals.iter().map(|((target, code), n)| (target.clone(), code.clone(), *n)).collect()
    }

    /// Errors that were counted under no kind of their own because there are too many kinds.
    #[must_use]
    pub fn errors_evicted(&self) -> u64 {
        self.lock().errors_evicted
    }

    /// Errors of backends by kind, and forgets them in the same step.
    #[must_use]
    pub fn take_errors(&self) -> Vec<ErrorStats> {
        std::mem::take(&mut self.lock().errors).into_values().collect()
    }

    /// Statements that run now.
    #[must_use]
    pub fn running(&self) -> Vec<RunningStatement> {
        self.lock().running.values().cloned().collect()
    }

    pub(crate) fn count(&self, what: Count) {
        let counter = match what {
            Count::RefusedRules => &self.refused_rules,
            Count::AnsweredRules => &self.answered_rules,
            Count::RefusedHooks => &self.refused_hooks,
            Count::RefusedGate => &self.refused_gate,
            Count::RefusedPolicy => &self.refused_policy,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn construct(&self, error: &HarvestError) {
        let name = error.details.get("construct").and_then(|name| name.as_str()).unwrap_or("syntax");
        let mut slow = self.lock();
        // Names of constructs come from the gates, but some carry names of functions that callers choose.
        if slow.constructs.len() < KINDS_MAX || slow.constructs.contains_key(name) {
            *slow.constructs.entry(name.to_owned()).or_default() += 1;
        } else {
            *slow.constructs.entry("other".to_owned()).or_default() += 1;
        }
    }

    /// Lists a statement as running until the guard is dropped.
    pub(crate) fn start(&self, statement: RunningStatement) -> RunningGuard<'_> {
        let mut slow = self.lock();
        slow.next_running += 1;
        let id = slow.next_running;
        slow.running.insert(id, statement);
        RunningGuard { statistics: self, id }
    }

    pub(crate) fn finish(&self, event: &StatementEvent<'_>) {
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(event.rows, Ordering::Relaxed);
        let mut slow = self.lock();
        if let Some(kind) = event.kind {
            let key = (event.target_id.to_owned(), kind_name(kind));
            let stats = slow.commands.entry(key).or_default();
            stats.count += 1;
            stats.time_us = stats.time_us.saturating_add(event.time_us);
            let bucket = LATENCY_BUCKETS_US.iter().position(|end| event.time_us <= *end);
            stats.buckets[bucket.unwrap_or(LATENCY_BUCKETS_US.len())] += 1;
        }
        let Some(error) = event.error else { return };
        match error.code {
            HarvestCode::DeadlineExceeded => self.timed_out.fetch_add(1, Ordering::Relaxed),
            HarvestCode::Cancelled => self.cancelled.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        let from_backend = error.details.contains_key("errno") || error.details.contains_key("sqlstate");
        if from_backend || error.code == HarvestCode::Unavailable {
            self.failed.fetch_add(1, Ordering::Relaxed);
            note_error(&mut slow, event, error);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Statistics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statistics").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

fn note_error(slow: &mut Slow, event: &StatementEvent<'_>, error: &HarvestError) {
    let errno = error.details.get("errno").and_then(serde_json::Value::as_i64);
    let sqlstate = error.details.get("sqlstate").and_then(|state| state.as_str()).map(str::to_owned);
    let code = sqlstate.clone().or(errno.map(|n| n.to_string())).unwrap_or_else(|| "unavailable".to_owned());
    let total = (event.target_id.to_owned(), code);
    if slow.error_totals.len() < KINDS_MAX || slow.error_totals.contains_key(&total) {
        *slow.error_totals.entry(total).or_default() += 1;
    }
    let key = (
        event.target_id.to_owned(),
        event.server.0.to_owned(),
        event.server.1,
        event.username.to_owned(),
        event.client_address.to_owned(),
        event.schema.to_owned(),
        errno,
        sqlstate.clone(),
    );
    if slow.errors.len() >= KINDS_MAX && !slow.errors.contains_key(&key) {
        slow.errors_evicted += 1;
        return;
    }
    let now = event.at_ms / 1_000;
    let row = slow.errors.entry(key).or_insert_with(|| ErrorStats {
        target_id: event.target_id.to_owned(),
        hostgroup: event.hostgroup.unwrap_or_default(),
        hostname: event.server.0.to_owned(),
        port: event.server.1,
        username: event.username.to_owned(),
        client_address: event.client_address.to_owned(),
        schema: event.schema.to_owned(),
        errno,
        sqlstate,
        count_star: 0,
        first_seen: now,
        last_seen: now,
        last_error: String::new(),
    });
    row.count_star += 1;
    row.last_seen = now;
    row.last_error.clone_from(&error.message);
}

/// A percentile of a latency histogram, in microseconds, interpolated within its bucket; `None` in the open bucket.
#[must_use]
pub fn latency_percentile(buckets: &[u64; 12], per_cent: u64) -> Option<u64> {
    let count: u64 = buckets.iter().sum();
    if count == 0 {
        return None;
    }
    let rank = count.saturating_mul(per_cent).div_ceil(100).max(1);
    let (mut seen, mut low) = (0, 0);
    for (in_bucket, high) in buckets.iter().zip(LATENCY_BUCKETS_US) {
        if seen + in_bucket >= rank {
            let within = (high - low).saturating_mul(rank - seen) / (*in_bucket).max(1);
            return Some(low + within);
        }
        seen += in_bucket;
        low = high;
    }
    None
}

/// The habitual name of a kind.
pub(crate) const fn kind_name(kind: StatementKind) -> &'static str {
    match kind {
        StatementKind::Select => "SELECT",
        StatementKind::Explain => "EXPLAIN",
        StatementKind::Show => "SHOW",
        StatementKind::Describe => "DESCRIBE",
        StatementKind::Pragma => "PRAGMA",
    }
}

pub(crate) struct RunningGuard<'a> {
    statistics: &'a Statistics,
    id: u64,
}

impl Drop for RunningGuard<'_> {
    fn drop(&mut self) {
        self.statistics.lock().running.remove(&self.id);
    }
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_interpolated_and_absent_in_the_open_bucket() {
        let mut buckets = [0; 12];
        assert_eq!(latency_percentile(&buckets, 50), None, "nothing was counted");
        buckets[1] = 100;
        assert_eq!(latency_percentile(&buckets, 50), Some(300), "half way between 100 and 500");
        assert_eq!(latency_percentile(&buckets, 100), Some(500));
        buckets[11] = 10;
        assert_eq!(latency_percentile(&buckets, 99), None);
        assert!(latency_percentile(&buckets, 90).is_some());
    }
}
