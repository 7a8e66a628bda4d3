//! The thread that samples, saves and tidies as the settings say; it shows nothing.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use harvest_gateway::{CallScope, Gateway, TargetFacts};
use mcp::ToolResult;
use serde_json::{Value, json};

use super::hub::{HarvestFigures, StatsHub};
use super::process;
use super::store::{CONNECTIONS, CPU, MEMORY, POOL, QUERY_CACHE};
use crate::errors::internal_error;
use crate::ops::{OpsDeps, now_s};

/// Time between two looks at the clock, in milliseconds.
const LOOK_MS: u64 = 1_000;
/// Time between two looks at the catalog's harvests.
const HARVESTS_EVERY: Duration = Duration::from_secs(10);
/// Time between two rounds of hourly rows and retention.
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// A statement that took longer is slow, in microseconds.
pub(crate) const SLOW_US: u64 = 1_000_000;

#[derive(Default)]
struct Stop {
    told: Mutex<bool>,
    wake: Condvar,
}

/// Samples and saves until it is dropped, and saves once more then.
pub struct StatsKeeper {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl StatsKeeper {
    /// Starts the thread over a hub whose store is open.
    ///
    /// # Errors
    /// `INTERNAL` when the thread cannot be started.
    pub fn start(deps: OpsDeps) -> ToolResult<Self> {
        let stop = Arc::new(Stop::default());
        let own = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("stats-keeper".to_owned())
            .spawn(move || work(&deps, &own))
            .map_err(|e| internal_error(&format!("statistics thread: {e}")))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Saves and ends.
    pub fn stop(&mut self) {
        *self.stop.told.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported; there is nothing left to save.
            let _ = thread.join();
        }
    }
}

impl Drop for StatsKeeper {
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for StatsKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatsKeeper").finish_non_exhaustive()
    }
}

/// When each duty was done last; `None` is long ago.
#[derive(Default)]
struct Done {
    sampled: Option<Instant>,
    saved: Option<Instant>,
    harvests: Option<Instant>,
    tidied: Option<Instant>,
}

fn due(last: &mut Option<Instant>, every: Duration) -> bool {
    let is_due = last.is_none_or(|at| at.elapsed() >= every);
    if is_due {
        *last = Some(Instant::now());
    }
    is_due
}

fn work(deps: &OpsDeps, stop: &Stop) {
    let hub = &deps.stats;
    let mut done = Done { saved: Some(Instant::now()), ..Done::default() };
    loop {
        let settings = hub.settings();
        if due(&mut done.harvests, HARVESTS_EVERY) {
            hub.set_harvests(harvests(deps));
        }
        if due(&mut done.sampled, Duration::from_secs(settings.history_interval_s)) {
            hub.note(sample(deps).as_ref().map(drop));
        }
        if due(&mut done.saved, Duration::from_secs(settings.digest_persist_s)) {
            hub.note(hub.save_digests(&deps.tools.gateway).as_ref().map(drop));
        }
        if due(&mut done.tidied, TIDY_EVERY) {
            hub.note(hub.tidy().as_ref().map(drop));
        }
        let told = stop.told.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = stop.wake.wait_timeout_while(told, Duration::from_millis(LOOK_MS), |told| !*told);
        if *wait.unwrap_or_else(PoisonError::into_inner).0 {
            break;
        }
    }
    hub.note(hub.save_digests(&deps.tools.gateway).as_ref().map(drop));
}

/// Takes one sample of everything.
pub(crate) fn sample(deps: &OpsDeps) -> ToolResult<()> {
    let store = deps.stats.store()?;
    let now = now_s();
    if let Some((user, system)) = process::cpu_ticks() {
        store.add(&CPU, now, &[vec![json!(user), json!(system)]])?;
    }
    if let Some((resident, mapped)) = process::memory_bytes() {
        let none = Value::Null;
        let row = vec![none.clone(), json!(resident), none.clone(), json!(mapped), none.clone(), none];
        store.add(&MEMORY, now, &[row])?;
    }
    let facts = deps.tools.gateway.facts();
    store.add(&CONNECTIONS, now, &[connections(deps, &facts)])?;
    store.add(&POOL, now, &pool_rows(&facts))?;
    let cache = deps.tools.gateway.cache().stats();
    let c = cache.counters;
    let row = [
        c.hits + c.misses,
        c.hits,
        c.sets,
        c.bytes_in,
        c.bytes_out,
        c.evictions + c.expirations + c.invalidations,
        cache.entries as u64,
        cache.bytes as u64,
    ];
    store.add(&QUERY_CACHE, now, &[row.iter().map(|n| json!(n)).collect()])
}

fn pool_rows(facts: &[TargetFacts]) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for target in facts {
        for server in &target.servers {
            let p = &server.pool;
            rows.push(vec![
                json!(target.target_id),
                json!(target.protocol.as_str()),
                json!(target.hostgroup_id),
                json!(server.host),
                if server.port == 0 { Value::Null } else { json!(server.port) },
                json!(p.status),
                json!(p.weight),
                json!(p.conn_used),
                json!(p.conn_free),
                json!(p.conn_ok),
                json!(p.conn_err),
                json!(p.conn_used_max),
                json!(p.connections_max),
                json!(p.queries),
                json!(p.bytes_sent),
                json!(p.bytes_received),
                json!(p.latency_us),
                json!(p.shunned_reason),
            ]);
        }
    }
    rows
}

/// The habitual counters of connections and pools, in the order of the series.
fn connections(deps: &OpsDeps, facts: &[TargetFacts]) -> Vec<Value> {
    let figures = ServerFigures::read(deps, facts);
    [
        figures.clients_refused,
        figures.clients_now,
        figures.clients_created,
        figures.connects_failed,
        figures.connected,
        figures.connects_ok,
        figures.gets_failed,
        figures.gets_immediate,
        figures.gets_ok,
        figures.questions,
        figures.slow,
        figures.closed,
        figures.gets,
        figures.gets_ok,
        figures.gets_ok.saturating_sub(figures.in_use),
        figures.resets,
    ]
    .iter()
    .map(|n| json!(n))
    .collect()
}

/// Counters of the whole server under one roof.
pub(crate) struct ServerFigures {
    pub(crate) clients_refused: u64,
    pub(crate) clients_now: u64,
    pub(crate) clients_created: u64,
    pub(crate) connects_failed: u64,
    pub(crate) connects_ok: u64,
    pub(crate) connected: u64,
    pub(crate) in_use: u64,
    pub(crate) gets: u64,
    pub(crate) gets_ok: u64,
    pub(crate) gets_failed: u64,
    pub(crate) gets_immediate: u64,
    pub(crate) closed: u64,
    pub(crate) resets: u64,
    pub(crate) questions: u64,
    pub(crate) slow: u64,
}

impl ServerFigures {
    pub(crate) fn read(deps: &OpsDeps, facts: &[TargetFacts]) -> Self {
        let (book, gateway) = (&deps.book, &deps.tools.gateway);
        Self::of(book, gateway, facts)
    }

    pub(crate) fn of(book: &crate::ops::CallBook, gateway: &Gateway, facts: &[TargetFacts]) -> Self {
        let (clients_now, clients_created, clients_refused) = book.totals();
        let totals = |read: fn(&harvest::PoolTotals) -> u64| facts.iter().map(|t| read(&t.totals)).sum();
        let servers = || facts.iter().flat_map(|target| &target.servers);
        let open_from = harvest_gateway::LATENCY_BUCKETS_US.iter().position(|end| *end >= SLOW_US);
        let slow_from = open_from.map_or(usize::MAX, |at| at + 1);
        let slow = gateway.statistics().commands();
        let slow = slow.iter().flat_map(|(_, _, stats)| stats.buckets.iter().skip(slow_from)).sum();
        Self {
            clients_refused,
            clients_now,
            clients_created,
            connects_failed: totals(|t| t.open_failed),
            connects_ok: totals(|t| t.opened),
            connected: servers().map(|s| (s.pool.conn_used + s.pool.conn_free) as u64).sum(),
            in_use: servers().map(|s| s.pool.conn_used as u64).sum(),
            gets: totals(|t| t.gets),
            gets_ok: totals(|t| t.gets_ok),
            gets_failed: totals(|t| t.gets_failed),
            gets_immediate: totals(|t| t.gets_immediate),
            closed: totals(|t| t.closed),
            resets: totals(|t| t.resets),
            questions: gateway.statistics().counters().statements,
            slow,
        }
    }
}

/// The latest harvests of every target, as the catalog tells them.
pub(crate) fn harvests(deps: &OpsDeps) -> Vec<HarvestFigures> {
    let Some(catalog) = &deps.tools.catalog else { return Vec::new() };
    let targets = deps.tools.gateway.targets(&CallScope::new("metrics", "host"));
    let mut all = Vec::new();
    for target in targets {
        // A catalog that cannot be read has its own check in get_health.
        let Ok(list) = catalog.list_runs(&target.target_id, None, true, 1, 0) else { continue };
        let mut seconds: Vec<(String, i64)> = Vec::new();
        for attempt in list.attempts.into_iter().flatten() {
            let Some(finished) = attempt.finished_at else { continue };
            if seconds.iter().all(|(status, _)| *status != attempt.status) {
                seconds.push((attempt.status, finished.saturating_sub(attempt.started_at)));
            }
        }
        let objects = list.runs.into_iter().next().map(|run| run.objects.into_iter().collect());
        all.push(HarvestFigures {
            target_id: target.target_id,
            seconds,
            objects: objects.unwrap_or_default(),
        });
    }
    all
}

/// The hub observes every statement of a gateway from now on.
pub fn attach_stats(hub: &Arc<StatsHub>, gateway: &Gateway) {
    gateway.observe(Arc::clone(hub) as Arc<_>);
}
