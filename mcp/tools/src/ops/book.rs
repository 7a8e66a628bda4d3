//! Counters of calls, clients and refusals since start, and what runs now; it knows no transport and stores nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mcp::CallContext;

use super::now_s;

/// Upper ends of the duration buckets, in microseconds.
pub(crate) const BUCKETS_US: [u64; 11] =
    [1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000, 30_000_000];
/// Clients, addresses and rows of callers that are told apart; further ones are not listed.
const KINDS_MAX: usize = 2_000;
/// A client that was quiet for so long is no longer listed, in milliseconds.
const CLIENT_QUIET_MS: u64 = 300_000;

/// Counters of one tool with one schema, times in microseconds, moments in Unix seconds.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are the columns of the statistics table")]
pub struct CallRow {
    pub endpoint: String,
    pub tool: String,
    pub schema: String,
    pub count: u64,
    pub errors: u64,
    pub first_seen: i64,
    pub last_seen: i64,
    pub sum_time: u64,
    pub min_time: u64,
    pub max_time: u64,
}

/// What metrics say of one tool and one caller since start; nothing takes it away.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallTotals {
    pub(crate) count: u64,
    pub(crate) errors: u64,
    pub(crate) sum_time: u64,
    pub(crate) by_code: BTreeMap<&'static str, u64>,
    pub(crate) buckets: [u64; 12],
}

impl CallTotals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.errors += other.errors;
        self.sum_time = self.sum_time.saturating_add(other.sum_time);
        for (code, count) in &other.by_code {
            *self.by_code.entry(code).or_default() += count;
        }
        for (to, from) in self.buckets.iter_mut().zip(other.buckets) {
            *to += from;
        }
    }
}

/// What one token did on one endpoint, since start or since the rows were last taken.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are the columns of the statistics table")]
pub struct CallerRow {
    pub endpoint: String,
    pub caller: String,
    pub requests: u64,
    pub failed: u64,
    pub denied: u64,
    pub rate_limited: u64,
    pub first_seen: i64,
    pub last_seen: i64,
}

/// A call that runs now.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are the columns of the process list")]
pub struct LiveCall {
    pub call_id: u64,
    pub endpoint: String,
    pub tool: String,
    pub caller: String,
    pub client_address: String,
    /// As the arguments name it; empty if they do not.
    pub target_id: String,
    /// As the arguments name it; empty if they do not.
    pub schema: String,
    pub started: Instant,
}

/// One client: token, address and endpoint.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are the columns of the connection list")]
pub struct ClientRow {
    pub caller: String,
    pub client_address: String,
    pub endpoint: String,
    pub first_seen: Instant,
    pub last_seen: Instant,
    pub first_seen_s: i64,
    pub last_seen_s: i64,
    pub requests: u64,
    pub failed: u64,
    pub denied: u64,
    pub active: usize,
    pub current: Option<String>,
}

#[derive(Default)]
struct State {
    /// By endpoint, tool and schema.
    tools: BTreeMap<(String, String, String), CallRow>,
    tools_evicted: u64,
    /// By endpoint, tool and caller.
    totals: BTreeMap<(String, String, String), CallTotals>,
    callers: BTreeMap<(String, String), CallerRow>,
    live: BTreeMap<u64, LiveCall>,
    next_live: u64,
    clients: HashMap<(String, String, String), ClientRow>,
    auth_failures: BTreeMap<(String, &'static str), u64>,
    rate_limited: u64,
    /// By address: refusals and the last one.
    refused: HashMap<String, (u64, i64)>,
}

/// All calls of one server. It outlives listeners.
pub struct CallBook {
    state: Mutex<State>,
    connections: AtomicI64,
    connections_created: AtomicU64,
    refused: AtomicU64,
    requests: AtomicU64,
    requests_failed: AtomicU64,
    requests_active: AtomicI64,
    started: Instant,
    started_s: i64,
}

impl Default for CallBook {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            connections: AtomicI64::new(0),
            connections_created: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            requests_failed: AtomicU64::new(0),
            requests_active: AtomicI64::new(0),
            started: Instant::now(),
            started_s: now_s(),
        }
    }
}

impl CallBook {
    /// An empty book; its clock starts now.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Lists a call as running until the guard goes; target and schema are those of its arguments.
    #[must_use]
    pub fn begin(
        self: &Arc<Self>,
        cx: &CallContext,
        tool: &str,
        (target_id, schema): (&str, &str),
    ) -> LiveGuard {
        let mut state = self.lock();
        state.next_live += 1;
        let id = state.next_live;
        let call = LiveCall {
            call_id: if cx.call_id == 0 { id } else { cx.call_id },
            endpoint: cx.endpoint.to_string(),
            tool: tool.to_owned(),
            caller: cx.caller.token_name.clone(),
            client_address: cx.caller.address.clone(),
            target_id: target_id.to_owned(),
            schema: schema.to_owned(),
            started: Instant::now(),
        };
        let key = (call.caller.clone(), call.client_address.clone(), call.endpoint.clone());
        if state.clients.len() >= KINDS_MAX && !state.clients.contains_key(&key) {
            let quiet = Duration::from_millis(CLIENT_QUIET_MS);
            state.clients.retain(|_, row| row.active > 0 || row.last_seen.elapsed() < quiet);
        }
        if state.clients.len() < KINDS_MAX || state.clients.contains_key(&key) {
            let row = state.clients.entry(key).or_insert_with(|| client(&call));
            row.requests += 1;
            row.active += 1;
            row.last_seen = call.started;
            row.last_seen_s = now_s();
            row.current = Some(call.tool.clone());
        }
        state.live.insert(id, call);
        LiveGuard { book: Arc::clone(self), id }
    }

    /// Counts a finished call: `schema` is that of its arguments, `code` that of its failure.
    pub fn finish(
        &self,
        cx: &CallContext,
        tool: &str,
        schema: &str,
        took: Duration,
        code: Option<&'static str>,
    ) {
        let time_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut state = self.lock();
        state.count(cx, tool, schema, time_us, code.is_some());
        state.total(cx, tool, time_us, code);
        let denied = u64::from(code == Some("PERMISSION_DENIED"));
        if let Some(row) = state.caller(&cx.endpoint, &cx.caller.token_name) {
            row.requests += 1;
            row.failed += u64::from(code.is_some());
            row.denied += denied;
        }
        let key = (cx.caller.token_name.clone(), cx.caller.address.clone(), cx.endpoint.to_string());
        if let Some(client) = state.clients.get_mut(&key) {
            client.failed += u64::from(code.is_some());
            client.denied += denied;
        }
    }

    /// A caller with a valid token has used up its requests.
    pub fn rate_limited(&self, endpoint: &str, caller: &str) {
        let mut state = self.lock();
        state.rate_limited += 1;
        if let Some(row) = state.caller(endpoint, caller) {
            row.requests += 1;
            row.rate_limited += 1;
        }
    }

    /// A client connected or left.
    pub fn connections(&self, change: i64) {
        self.connections.fetch_add(change, Ordering::Relaxed);
        self.connections_created.fetch_add(u64::try_from(change).unwrap_or(0), Ordering::Relaxed);
    }

    /// A request of any method began.
    pub fn request_started(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.requests_active.fetch_add(1, Ordering::Relaxed);
    }

    /// A request of any method ended.
    pub fn request_finished(&self, failed: bool) {
        self.requests_active.fetch_sub(1, Ordering::Relaxed);
        self.requests_failed.fetch_add(u64::from(failed), Ordering::Relaxed);
    }

    /// Requests since start, those that failed or were refused, those served now.
    #[must_use]
    pub fn requests(&self) -> (u64, u64, i64) {
        let refused = self.refused.load(Ordering::Relaxed);
        let total = self.requests.load(Ordering::Relaxed).saturating_add(refused);
        let failed = self.requests_failed.load(Ordering::Relaxed).saturating_add(refused);
        (total, failed, self.requests_active.load(Ordering::Relaxed))
    }

    /// A request was refused before it reached a tool.
    pub fn refused(&self, address: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        if state.refused.len() < KINDS_MAX || state.refused.contains_key(address) {
            let row = state.refused.entry(address.to_owned()).or_default();
            row.0 += 1;
            row.1 = now_s();
        }
    }

    /// A request was refused for its token: it is missing, unknown, lacks a scope, or its address is locked out.
    pub fn auth_failed(&self, endpoint: &str, reason: &'static str) {
        let mut state = self.lock();
        let key = (endpoint.to_owned(), reason);
        if state.auth_failures.len() < KINDS_MAX || state.auth_failures.contains_key(&key) {
            *state.auth_failures.entry(key).or_default() += 1;
        }
    }

    /// Counters by tool and schema.
    #[must_use]
    pub fn tools(&self) -> Vec<CallRow> {
        self.lock().tools.values().cloned().collect()
    }

    /// Counters by tool and schema, and forgets them in the same step.
    #[must_use]
    pub fn take_tools(&self) -> Vec<CallRow> {
        std::mem::take(&mut self.lock().tools).into_values().collect()
    }

    /// Calls that were counted under no row of their own because there are too many schemas.
    #[must_use]
    pub fn tools_evicted(&self) -> u64 {
        self.lock().tools_evicted
    }

    /// Counters since start by endpoint, tool and caller.
    pub(crate) fn call_totals(&self) -> Vec<((String, String, String), CallTotals)> {
        self.lock().totals.iter().map(|(key, totals)| (key.clone(), totals.clone())).collect()
    }

    /// Counters by endpoint and token.
    #[must_use]
    pub fn callers(&self) -> Vec<CallerRow> {
        self.lock().callers.values().cloned().collect()
    }

    /// Counters by endpoint and token, and forgets them in the same step.
    #[must_use]
    pub fn take_callers(&self) -> Vec<CallerRow> {
        std::mem::take(&mut self.lock().callers).into_values().collect()
    }

    /// Calls that run now.
    #[must_use]
    pub fn live(&self) -> Vec<LiveCall> {
        self.lock().live.values().cloned().collect()
    }

    /// Clients that were heard of in the last five minutes.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientRow> {
        let quiet = Duration::from_millis(CLIENT_QUIET_MS);
        let state = self.lock();
        state.clients.values().filter(|c| c.active > 0 || c.last_seen.elapsed() < quiet).cloned().collect()
    }

    /// Failed authentications by endpoint and reason.
    #[must_use]
    pub fn auth_failures(&self) -> Vec<(String, &'static str, u64)> {
        let state = self.lock();
        state.auth_failures.iter().map(|((endpoint, why), n)| (endpoint.clone(), *why, *n)).collect()
    }

    /// Requests refused because their token had used up its rate.
    #[must_use]
    pub fn rate_limited_total(&self) -> u64 {
        self.lock().rate_limited
    }

    /// Refused requests by address, with the time of the last one in Unix seconds.
    #[must_use]
    pub fn refusals(&self) -> Vec<(String, u64, i64)> {
        self.lock().refused.iter().map(|(address, (n, at))| (address.clone(), *n, *at)).collect()
    }

    /// Refused requests by address, and forgets them in the same step.
    #[must_use]
    pub fn take_refusals(&self) -> Vec<(String, u64, i64)> {
        let taken = std::mem::take(&mut self.lock().refused);
        taken.into_iter().map(|(address, (n, at))| (address, n, at)).collect()
    }

    /// Connections now, connections since start, requests refused since start.
    #[must_use]
    pub fn totals(&self) -> (u64, u64, u64) {
        let now = u64::try_from(self.connections.load(Ordering::Relaxed)).unwrap_or(0);
        (now, self.connections_created.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    /// Seconds since start, and the start in Unix seconds.
    #[must_use]
    pub fn uptime(&self) -> (u64, i64) {
        (self.started.elapsed().as_secs(), self.started_s)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, cx: &CallContext, tool: &str, schema: &str, time_us: u64, failed: bool) {
        let now = now_s();
        let mut key = (cx.endpoint.to_string(), tool.to_owned(), schema.to_owned());
        if self.tools.len() >= KINDS_MAX && !self.tools.contains_key(&key) {
            // Callers choose the names of schemas: beyond the bound only tools are told apart.
            self.tools_evicted += 1;
            key.2 = String::new();
        }
        let row = self.tools.entry(key).or_insert_with_key(|key| CallRow {
            endpoint: key.0.clone(),
            tool: key.1.clone(),
            schema: key.2.clone(),
            first_seen: now,
            min_time: u64::MAX,
            ..CallRow::default()
        });
        row.count += 1;
        row.errors += u64::from(failed);
        row.last_seen = now;
        row.sum_time = row.sum_time.saturating_add(time_us);
        row.min_time = row.min_time.min(time_us);
        row.max_time = row.max_time.max(time_us);
    }

    fn total(&mut self, cx: &CallContext, tool: &str, time_us: u64, code: Option<&'static str>) {
        let mut key = (cx.endpoint.to_string(), tool.to_owned(), cx.caller.token_name.clone());
        if self.totals.len() >= KINDS_MAX && !self.totals.contains_key(&key) {
            key.2 = "other".to_owned();
        }
        let totals = self.totals.entry(key).or_default();
        totals.count += 1;
        totals.sum_time = totals.sum_time.saturating_add(time_us);
        let bucket = BUCKETS_US.iter().position(|end| time_us <= *end).unwrap_or(BUCKETS_US.len());
        totals.buckets[bucket] += 1;
        if let Some(code) = code {
            totals.errors += 1;
            *totals.by_code.entry(code).or_default() += 1;
        }
    }

    fn caller(&mut self, endpoint: &str, caller: &str) -> Option<&mut CallerRow> {
        let now = now_s();
        let key = (endpoint.to_owned(), caller.to_owned());
        if self.callers.len() >= KINDS_MAX && !self.callers.contains_key(&key) {
            return None;
        }
        let row = self.callers.entry(key).or_insert_with_key(|key| CallerRow {
            endpoint: key.0.clone(),
            caller: key.1.clone(),
            first_seen: now,
            ..CallerRow::default()
        });
        row.last_seen = now;
        Some(row)
    }
}

impl std::fmt::Debug for CallBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallBook").field("live", &self.lock().live.len()).finish_non_exhaustive()
    }
}

fn client(call: &LiveCall) -> ClientRow {
    ClientRow {
        caller: call.caller.clone(),
        client_address: call.client_address.clone(),
        endpoint: call.endpoint.clone(),
        first_seen: call.started,
        last_seen: call.started,
        first_seen_s: now_s(),
        last_seen_s: now_s(),
        requests: 0,
        failed: 0,
        denied: 0,
        active: 0,
        current: None,
    }
}

/// Keeps a call in the list of running ones.
#[derive(Debug)]
pub struct LiveGuard {
    book: Arc<CallBook>,
    id: u64,
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        let mut state = self.book.lock();
        let Some(call) = state.live.remove(&self.id) else { return };
        let key = (call.caller, call.client_address, call.endpoint);
        if let Some(client) = state.clients.get_mut(&key) {
            client.active = client.active.saturating_sub(1);
            client.last_seen = Instant::now();
            client.last_seen_s = now_s();
            if client.active == 0 {
                client.current = None;
            }
        }
    }
}
