//! The language model bridge: settings, cache, routing and one answer; attempts and their money are in `bridge_call`.

mod cached;
mod check;
mod deps;
mod status;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ai_core::{
    AiResult, CallContext, Deadline, Embedder, LlmClient, LlmDelta, LlmError, LlmErrorCode, LlmFinish,
    LlmFlow, LlmRequest, LlmResponse, LlmTimings,
};
use arc_swap::{ArcSwap, ArcSwapOption};

use crate::bridge_call::Work;
use crate::cache::{Cache, CacheKey, CacheLimits, CachePurge, hex};
use crate::clock::Clock;
use crate::config::LlmConfig;
use crate::flight::{Boarding, Flights};
use crate::history::{HistoryEntry, HistorySink};
use crate::ledger::{Ledger, UsageTotal};
use crate::metrics::Metrics;
use crate::money::Usd;
use crate::provider::Provider;
use crate::route;
use crate::service_http::{Purse, SpendLimits};

pub(crate) use cached::cached_word;
use cached::{PromptVector, Shared, cache_key, hit_response, shared_response};
use check::validate;
pub use deps::LlmDeps;
pub use status::{BridgeStatus, ProviderStatus};

/// One configuration with the providers built from it; never changed, only replaced.
pub(crate) struct Snapshot {
    pub(crate) config: LlmConfig,
    pub(crate) providers: Vec<Arc<Provider>>,
    pub(crate) generation: u64,
    loaded_at_ms: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) local_calls: AtomicU64,
    pub(crate) cloud_calls: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) input_tokens: AtomicU64,
    pub(crate) output_tokens: AtomicU64,
    response_us: AtomicU64,
    lookup_us: AtomicU64,
    store_us: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }

    fn add_ms(counter: &AtomicU64, ms: f64) {
        Self::add(counter, (ms * 1e3) as u64);
    }
}

/// A checked request with its candidates; without keys when the cache has no part in it.
struct Prepared<'a> {
    work: Work<'a>,
    lanes: Vec<Arc<Provider>>,
    keys: Vec<CacheKey>,
}

/// The bridge. It blocks the calling thread; put a [`Pool`](crate::Pool) in front to bound the work.
pub struct LlmBridge {
    snapshot: ArcSwap<Snapshot>,
    reload: Mutex<()>,
    pub(crate) ledger: Arc<Ledger>,
    spend: Arc<ArcSwap<SpendLimits>>,
    cache: Cache,
    flights: Flights<[u8; 32], Result<Shared, LlmError>>,
    embedder: ArcSwapOption<Arc<dyn Embedder>>,
    pub(crate) clock: Arc<dyn Clock>,
    history: Option<Arc<dyn HistorySink>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) counters: Counters,
}

impl LlmBridge {
    /// A bridge with `config`; what `deps.store` kept is loaded.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming every bad setting, `UNAVAILABLE` when the store cannot be read.
    pub fn new(config: LlmConfig, deps: LlmDeps) -> AiResult<Self> {
        let faults = config.faults();
        if !faults.is_empty() {
            return Err(ai_core::AiError::invalid(faults.join("; ")));
        }
        let ledger = Arc::new(Ledger::open(deps.clock.clone(), deps.store.clone())?);
        let cache = Cache::open(deps.clock.clone(), deps.store)?;
        let snapshot = build(config.clone(), &[], &deps.clock, 1);
        cache.shrink(limits(&snapshot.config));
        Ok(Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            spend: Arc::new(ArcSwap::from_pointee(spend_limits(&config))),
            reload: Mutex::new(()),
            ledger,
            cache,
            flights: Flights::default(),
            embedder: ArcSwapOption::empty(),
            clock: deps.clock,
            history: deps.history,
            metrics: deps.metrics,
            counters: Counters::default(),
        })
    }

    /// Replaces the configuration as a whole; running calls end under the old one. Providers whose row is
    /// unchanged keep connections, breaker and latency. Returns the new generation.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming every bad setting; nothing is changed then.
    pub fn reload(&self, config: LlmConfig) -> AiResult<u64> {
        let faults = config.faults();
        if !faults.is_empty() {
            return Err(ai_core::AiError::invalid(faults.join("; ")));
        }
        let _one_at_a_time = self.reload.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.snapshot.load_full();
        let new = build(config, &old.providers, &self.clock, old.generation + 1);
        let (generation, cache_limits) = (new.generation, limits(&new.config));
        self.spend.store(Arc::new(spend_limits(&new.config)));
        self.snapshot.store(Arc::new(new));
        self.cache.shrink(cache_limits);
        Ok(generation)
    }

    /// The present configuration.
    #[must_use]
    pub fn config(&self) -> LlmConfig {
        self.snapshot.load().config.clone()
    }

    /// Ledger and limits for the services beside the bridge.
    pub(crate) fn purse(&self) -> Purse {
        Purse { ledger: self.ledger.clone(), limits: self.spend.clone(), metrics: self.metrics.clone() }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Sets or removes the embedder of semantic lookups.
    pub fn set_embedder(&self, embedder: Option<Arc<dyn Embedder>>) {
        self.embedder.store(embedder.map(Arc::new));
    }

    /// Removes kept answers; returns how many.
    pub fn purge_cache(&self, which: &CachePurge) -> u64 {
        self.cache.purge(which)
    }

    /// What was spent in the last `days` UTC days (1–90), today included.
    #[must_use]
    pub fn usage(&self, days: u64) -> Vec<UsageTotal> {
        self.ledger.totals(days)
    }

    fn run(
        &self,
        request: &LlmRequest,
        call: &CallContext,
        on_delta: Option<&mut dyn FnMut(LlmDelta) -> LlmFlow>,
    ) -> Result<LlmResponse, LlmError> {
        let started = Instant::now();
        let snapshot = self.snapshot.load_full();
        Counters::add(&self.counters.requests, 1);
        let mut result = self.answer(&snapshot, request, call, on_delta);
        let total_ms = ms_since(started);
        Counters::add_ms(&self.counters.response_us, total_ms);
        match &mut result {
            Ok(response) => {
                response.timings_ms.total = total_ms;
                response.request_id = request_id(request, call);
            }
            Err(_) => Counters::add(&self.counters.failures, 1),
        }
        self.measure(&snapshot, &result, total_ms);
        self.record(request, call, &result, total_ms);
        result
    }

    fn measure(&self, snapshot: &Snapshot, result: &Result<LlmResponse, LlmError>, total_ms: f64) {
        let (provider, outcome) = match result {
            Ok(response) => (response.provider_used.as_str(), "ok"),
            Err(error) => (error.provider_used.as_str(), error.code.as_str()),
        };
        let row = snapshot.providers.iter().find(|p| p.row.name == provider);
        let locality = row.map_or("none", |p| if p.local { "local" } else { "cloud" });
        // A row of an older configuration is no label any more.
        let provider = ("provider", row.map_or("none", |p| p.row.name.as_str()));
        let labels = [provider, ("locality", locality), ("outcome", outcome)];
        self.metrics.count("llm_requests_total", &labels, 1.0);
        self.metrics.observe_seconds("llm_request_seconds", &[provider], total_ms / 1e3);
        if let Ok(response) = result {
            let t = response.timings_ms;
            for (stage, ms) in [("lookup", t.lookup), ("call", t.call), ("store", t.store)] {
                if ms > 0.0 {
                    self.metrics.observe_seconds("llm_stage_seconds", &[("stage", stage)], ms / 1e3);
                }
            }
        }
    }

    fn record(
        &self,
        request: &LlmRequest,
        call: &CallContext,
        result: &Result<LlmResponse, LlmError>,
        total_ms: f64,
    ) {
        let Some(history) = &self.history else { return };
        let none = LlmResponse::default();
        let (response, error) = match result {
            Ok(response) => (response, None),
            Err(error) => (&none, Some(error)),
        };
        let of_error = |pick: fn(&LlmError) -> &String, other: &String| error.map_or(other, pick).clone();
        history.record(HistoryEntry {
            kind: "llm",
            prompt: request.prompt().to_owned(),
            response: response.text_response.clone(),
            execution_time_ms: total_ms,
            provider: of_error(|e| &e.provider_used, &response.provider_used),
            model: of_error(|e| &e.model_used, &response.model_used),
            caller: call.caller.clone(),
            schema_name: request.schema_name.clone(),
            cache: cached_word(response.cached),
            error_code: error.map(|e| e.code),
            usage: response.usage,
            at_ms: self.clock.now_ms(),
        });
    }

    fn prepare<'a>(
        &self,
        snapshot: &'a Snapshot,
        request: &'a LlmRequest,
        call: &'a CallContext,
        stream: bool,
    ) -> Result<Prepared<'a>, LlmError> {
        let config = &snapshot.config;
        if !config.enabled || !config.llm_enabled {
            let why = "the bridge is switched off; set genai-enabled and genai-llm_enabled";
            return Err(LlmError::new(LlmErrorCode::UnknownProvider, why));
        }
        validate(request, config)?;
        let total_ms = match request.max_latency_ms {
            0 => config.llm_total_timeout_ms,
            ms => ms,
        };
        let deadline = call.deadline.unwrap_or_else(|| Deadline::after_ms(total_ms)).capped_ms(total_ms);
        let system = request.system_message.as_deref().unwrap_or(&config.llm_system_prompt);
        let lanes = route::candidates(&snapshot.providers, config, request, system, stream)?;
        let keys: Vec<CacheKey> = match config.llm_cache_enabled && request.allow_cache {
            true => lanes.iter().map(|p| cache_key(p, config, request, system, call)).collect(),
            false => Vec::new(),
        };
        Ok(Prepared { work: Work { snapshot, request, system, call, deadline }, lanes, keys })
    }

    fn answer(
        &self,
        snapshot: &Snapshot,
        request: &LlmRequest,
        call: &CallContext,
        on_delta: Option<&mut dyn FnMut(LlmDelta) -> LlmFlow>,
    ) -> Result<LlmResponse, LlmError> {
        let Prepared { work, lanes, keys } = self.prepare(snapshot, request, call, on_delta.is_some())?;
        let (mut timings, mut vector) = (LlmTimings::default(), PromptVector::default());
        let mut leader = None;
        if let Some(first) = keys.first() {
            let started = Instant::now();
            let hit = self.look_up(&work, &keys, &mut vector);
            timings.lookup = ms_since(started);
            Counters::add_ms(&self.counters.lookup_us, timings.lookup);
            if let Some(hit) = hit {
                return hit_response(&hit, request, timings, on_delta);
            }
            if on_delta.is_none() {
                match self.flights.board(&first.exact, work.deadline, &call.cancel) {
                    Boarding::Lead(this) => leader = Some(this),
                    Boarding::Shared(result) => {
                        self.cache.count_shared();
                        return result.map(|shared| shared_response(shared, timings));
                    }
                    Boarding::GaveUp => {
                        self.cache.count_miss();
                        return Err(over(call));
                    }
                }
                // An equal call may have ended between the lookup and the boarding.
                if let Some(hit) = self.cache.exact(&keys) {
                    return hit_response(&hit, request, timings, on_delta);
                }
            }
            self.cache.count_miss();
        }
        let (mut response, raw, lane) = match self.call_lanes(&work, &lanes, on_delta, &mut timings) {
            Ok(done) => done,
            Err(error) => {
                // Faults of this call alone (its deadline, its cancel) are no answer for its equals.
                if let (Some(leader), false) = (leader, is_personal(error.code)) {
                    leader.land(Err(error.clone()));
                }
                return Err(error);
            }
        };
        let key = lanes.iter().position(|p| Arc::ptr_eq(p, &lane)).and_then(|at| keys.get(at));
        if let (Some(key), true) = (key, is_complete(&response)) {
            let started = Instant::now();
            response.cache_id = self.keep(&work, *key, &response, &raw, vector);
            timings.store = ms_since(started);
            Counters::add_ms(&self.counters.store_us, timings.store);
        }
        response.timings_ms = timings;
        if let Some(leader) = leader {
            leader.land(Ok(Shared { response: response.clone(), raw }));
        }
        Ok(response)
    }
}

impl LlmClient for LlmBridge {
    fn complete(&self, request: &LlmRequest, call: &CallContext) -> Result<LlmResponse, LlmError> {
        self.run(request, call, None)
    }

    fn stream(
        &self,
        request: &LlmRequest,
        call: &CallContext,
        on_delta: &mut dyn FnMut(LlmDelta) -> LlmFlow,
    ) -> Result<LlmResponse, LlmError> {
        self.run(request, call, Some(on_delta))
    }
}

fn build(config: LlmConfig, old: &[Arc<Provider>], clock: &Arc<dyn Clock>, generation: u64) -> Snapshot {
    let rows = std::iter::once(config.default_row()).chain(config.providers.iter().cloned());
    let keep = |row: crate::ProviderRow| match old.iter().find(|p| p.row == row) {
        Some(same) => same.clone(),
        None => Arc::new(Provider::new(row, clock.clone())),
    };
    let providers = rows.map(keep).collect();
    Snapshot { config, providers, generation, loaded_at_ms: clock.now_ms() }
}

fn spend_limits(config: &LlmConfig) -> SpendLimits {
    SpendLimits {
        budget: Usd::from_dollars(config.daily_budget_usd),
        hourly_max: config.max_cloud_requests_per_hour,
        default_price: config.llm_default_price_usd_per_mtok,
    }
}

fn limits(config: &LlmConfig) -> CacheLimits {
    CacheLimits {
        ttl_s: config.llm_cache_ttl_s,
        entries_max: config.llm_cache_max_entries,
        bytes_max: config.llm_cache_max_bytes,
    }
}

fn is_complete(response: &LlmResponse) -> bool {
    response.finish_reason == LlmFinish::Stop && response.tool_calls.is_empty()
}

fn is_personal(code: LlmErrorCode) -> bool {
    matches!(code, LlmErrorCode::Cancelled | LlmErrorCode::Timeout)
}

pub(crate) fn over(call: &CallContext) -> LlmError {
    if call.cancel.is_cancelled() {
        LlmError::new(LlmErrorCode::Cancelled, "the call was cancelled")
    } else {
        LlmError::new(
            LlmErrorCode::Timeout,
            "the total time is over; see llm_total_timeout_ms and max_latency_ms",
        )
    }
}

fn request_id(request: &LlmRequest, call: &CallContext) -> String {
    let given = [&request.request_id, &call.request_id].into_iter().find(|id| !id.is_empty());
    given.cloned().unwrap_or_else(|| {
        let mut bytes = [0; 8];
        // Without randomness ids are equal, which only blurs logs.
        let _ = getrandom::fill(&mut bytes);
        format!("llm-{}", hex(&bytes))
    })
}

pub(crate) fn ms_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}
