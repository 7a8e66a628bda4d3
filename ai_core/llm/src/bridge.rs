//! The language model bridge: settings, cache, routing and one answer; attempts and their money are in `bridge_call`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ai_core::{
    AiResult, CallContext, Deadline, EmbedKind, Embedder, LlmCached, LlmClient, LlmDelta, LlmError,
    LlmErrorCode, LlmFinish, LlmFlow, LlmRequest, LlmResponse, LlmRole, LlmTimings,
};
use arc_swap::{ArcSwap, ArcSwapOption};

use crate::cache::{Cache, CacheHit, CacheItem, CacheKey, CacheLimits, CachePurge, CacheStats, hex};
use crate::clock::{Clock, SystemClock};
use crate::config::LlmConfig;
use crate::flight::{Boarding, Flights};
use crate::history::{HistoryEntry, HistorySink};
use crate::ledger::{Ledger, SpendStatus, UsageTotal};
use crate::money::Usd;
use crate::output::shape_output;
use crate::provider::Provider;
use crate::route;
use crate::service_http::{Purse, SpendLimits};
use crate::store::{LlmStore, NoStore};

/// Cosine below which a lexical embedder's similarity says nothing about meaning.
const LEXICAL_THRESHOLD: f64 = 0.95;
/// Texts that may end a generation.
const STOPS_MAX: usize = 16;
/// Tools on offer.
const TOOLS_MAX: usize = 128;
/// Messages of one conversation.
const MESSAGES_MAX: usize = 1_024;

/// What the host gives to the bridge.
#[non_exhaustive]
pub struct LlmDeps {
    /// Wall-clock time of days, hours and ages.
    pub clock: Arc<dyn Clock>,
    /// Durable memory.
    pub store: Arc<dyn LlmStore>,
    /// Takes finished calls.
    pub history: Option<Arc<dyn HistorySink>>,
}

impl Default for LlmDeps {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), store: Arc::new(NoStore), history: None }
    }
}

impl LlmDeps {
    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the durable memory.
    #[must_use]
    pub fn with_store(mut self, store: Arc<dyn LlmStore>) -> Self {
        self.store = store;
        self
    }

    /// Sets the history.
    #[must_use]
    pub fn with_history(mut self, history: Arc<dyn HistorySink>) -> Self {
        self.history = Some(history);
        self
    }
}

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

/// What an in-flight call gives to its equals.
#[derive(Clone)]
struct Shared {
    response: LlmResponse,
    raw: String,
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
    pub(crate) counters: Counters,
}

/// State of one provider.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ProviderStatus {
    /// Row name.
    pub name: String,
    /// Kind.
    pub kind: &'static str,
    /// Model asked by default.
    pub model: String,
    /// `local` or `cloud`.
    pub locality: &'static str,
    /// Whether it is used at all.
    pub active: bool,
    /// Whether its breaker refuses calls now.
    pub breaker_open: bool,
    /// Calls running now.
    pub running: u32,
    /// HTTP attempts.
    pub attempts: u64,
    /// HTTP attempts that failed.
    pub failures: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Cost, US dollars.
    pub cost_usd: f64,
    /// Half of the last answers took less, milliseconds.
    pub p50_ms: Option<f64>,
    /// 95 % of the last answers took less, milliseconds.
    pub p95_ms: Option<f64>,
}

/// Counters and states of the bridge at one moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BridgeStatus {
    /// Grows with each reload.
    pub generation: u64,
    /// When the snapshot was applied, unix milliseconds.
    pub loaded_at_ms: u64,
    /// Calls.
    pub total_requests: u64,
    /// Calls that failed.
    pub failed_requests: u64,
    /// HTTP attempts at local providers.
    pub local_model_calls: u64,
    /// HTTP attempts at cloud providers.
    pub cloud_model_calls: u64,
    /// HTTP attempts after the first of their call.
    pub retries: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Sum over all calls, milliseconds.
    pub total_response_time_ms: f64,
    /// Sum over all lookups, milliseconds.
    pub cache_total_lookup_time_ms: f64,
    /// Sum over all stores, milliseconds.
    pub cache_total_store_time_ms: f64,
    /// The cache.
    pub cache: CacheStats,
    /// Money and cloud calls.
    pub spend: SpendStatus,
    /// The day's limit, US dollars.
    pub budget_usd: f64,
    /// One row for each provider, `default` first.
    pub providers: Vec<ProviderStatus>,
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
        Purse { ledger: self.ledger.clone(), limits: self.spend.clone() }
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

    /// Counters and states at this moment.
    #[must_use]
    pub fn status(&self) -> BridgeStatus {
        let snapshot = self.snapshot.load_full();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let ms = |counter: &AtomicU64| read(counter) as f64 / 1e3;
        let c = &self.counters;
        BridgeStatus {
            generation: snapshot.generation,
            loaded_at_ms: snapshot.loaded_at_ms,
            total_requests: read(&c.requests),
            failed_requests: read(&c.failures),
            local_model_calls: read(&c.local_calls),
            cloud_model_calls: read(&c.cloud_calls),
            retries: read(&c.retries),
            input_tokens: read(&c.input_tokens),
            output_tokens: read(&c.output_tokens),
            total_response_time_ms: ms(&c.response_us),
            cache_total_lookup_time_ms: ms(&c.lookup_us),
            cache_total_store_time_ms: ms(&c.store_us),
            cache: self.cache.stats(),
            spend: self.ledger.status(),
            budget_usd: snapshot.config.daily_budget_usd,
            providers: snapshot.providers.iter().map(|p| provider_status(p)).collect(),
        }
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
        self.record(request, call, &result, total_ms);
        result
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

    fn answer(
        &self,
        snapshot: &Snapshot,
        request: &LlmRequest,
        call: &CallContext,
        mut on_delta: Option<&mut dyn FnMut(LlmDelta) -> LlmFlow>,
    ) -> Result<LlmResponse, LlmError> {
        let config = &snapshot.config;
        if !config.enabled || !config.llm_enabled {
            let why = "the bridge is switched off; set genai-enabled and genai-llm_enabled";
            return Err(LlmError::new(LlmErrorCode::UnknownProvider, why));
        }
        validate(request, config)?;
        let total_ms =
            if request.max_latency_ms > 0 { request.max_latency_ms } else { config.llm_total_timeout_ms };
        let deadline = call.deadline.unwrap_or_else(|| Deadline::after_ms(total_ms)).capped_ms(total_ms);
        let system = request.system_message.as_deref().unwrap_or(&config.llm_system_prompt);
        let lanes = route::candidates(&snapshot.providers, config, request, system, on_delta.is_some())?;
        let cacheable = config.llm_cache_enabled && request.allow_cache;
        let keys: Vec<CacheKey> = match cacheable {
            true => lanes.iter().map(|p| cache_key(p, config, request, system, call)).collect(),
            false => Vec::new(),
        };
        let mut timings = LlmTimings::default();
        let mut vector = None;
        if cacheable {
            let started = Instant::now();
            let hit = self.look_up(config, request, &keys, deadline, &mut vector);
            timings.lookup = ms_since(started);
            Counters::add_ms(&self.counters.lookup_us, timings.lookup);
            if let Some(hit) = hit {
                return hit_response(&hit, request, timings, on_delta);
            }
        }
        let mut leader = None;
        if let (Some(key), None) = (keys.first(), &on_delta) {
            match self.flights.board(&key.exact, deadline, &call.cancel) {
                Boarding::Lead(first) => leader = Some(first),
                Boarding::Shared(result) => {
                    self.cache.count_shared();
                    return result.map(|shared| shared_response(shared, timings));
                }
                Boarding::GaveUp => {
                    self.cache.count_miss();
                    return Err(over(call));
                }
            }
        }
        if cacheable {
            // An equal call may have ended between the lookup and the boarding.
            let late = leader.as_ref().and_then(|_| self.cache.exact(&keys));
            if let Some(hit) = late {
                return hit_response(&hit, request, timings, on_delta);
            }
            self.cache.count_miss();
        }
        let work = crate::bridge_call::Work { snapshot, request, system, call, deadline };
        let done = self.call_lanes(&work, &lanes, on_delta.take(), &mut timings);
        let (mut response, raw, lane) = match done {
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
            response.cache_id = self.keep(config, request, call, *key, &response, &raw, vector, deadline);
            timings.store = ms_since(started);
            Counters::add_ms(&self.counters.store_us, timings.store);
        }
        response.timings_ms = timings;
        if let Some(leader) = leader {
            leader.land(Ok(Shared { response: response.clone(), raw }));
        }
        Ok(response)
    }

    fn look_up(
        &self,
        config: &LlmConfig,
        request: &LlmRequest,
        keys: &[CacheKey],
        deadline: Deadline,
        vector: &mut Option<(String, Vec<f32>)>,
    ) -> Option<CacheHit> {
        if let Some(hit) = self.cache.exact(keys) {
            return Some(hit);
        }
        let held = self.embedder.load_full().filter(|_| config.llm_cache_semantic)?;
        let info = held.info();
        let space = space_of(&info);
        if !self.cache.has_group(keys, &space) {
            return None;
        }
        let made = embed_prompt(&**held, config, request.prompt(), deadline)?;
        let lowest = if info.lexical { LEXICAL_THRESHOLD } else { 0.0 };
        let threshold = (f64::from(config.llm_cache_similarity_threshold) / 100.0).max(lowest);
        let hit = self.cache.semantic(keys, request.prompt(), &space, &made, threshold);
        *vector = Some((space, made));
        hit
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one cache entry, each from a different owner"
    )]
    fn keep(
        &self,
        config: &LlmConfig,
        request: &LlmRequest,
        call: &CallContext,
        key: CacheKey,
        response: &LlmResponse,
        raw: &str,
        vector: Option<(String, Vec<f32>)>,
        deadline: Deadline,
    ) -> String {
        let made = vector.or_else(|| {
            let held = self.embedder.load_full().filter(|_| config.llm_cache_semantic)?;
            let made = embed_prompt(&**held, config, request.prompt(), deadline)?;
            Some((space_of(&held.info()), made))
        });
        let (space, embedding) = made.unwrap_or_default();
        let item = CacheItem {
            provider: response.provider_used.clone(),
            model: response.model_used.clone(),
            prompt: request.prompt().to_owned(),
            scope: [call.caller.as_str(), &request.schema_name, &request.scope].join("\u{1f}"),
            response: raw.to_owned(),
            usage: response.usage,
            space,
            embedding,
        };
        self.cache.put(key, item, limits(config)).unwrap_or_default()
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

fn validate(request: &LlmRequest, config: &LlmConfig) -> Result<(), LlmError> {
    let bad = |why: String| Err(LlmError::new(LlmErrorCode::ValidationFailed, why));
    let says_something =
        request.messages.iter().any(|m| m.role != LlmRole::System && !m.content.trim().is_empty());
    if !says_something {
        return bad("the prompt is empty".into());
    }
    let counts = [
        ("messages", request.messages.len(), MESSAGES_MAX),
        ("stop texts", request.stop.len(), STOPS_MAX),
        ("tools", request.tools.len(), TOOLS_MAX),
    ];
    if let Some((what, count, max)) = counts.iter().find(|(_, count, max)| count > max) {
        return bad(format!("{count} {what}, allowed are {max}"));
    }
    if request.temperature.is_some_and(|t| !(0.0..=2.0).contains(&t)) {
        return bad("temperature must be 0–2".into());
    }
    if request.max_output_tokens.is_some_and(|t| !(1..=131_072).contains(&t)) {
        return bad("max_output_tokens must be 1–131072".into());
    }
    if request.max_retries.is_some_and(|r| r > 10) {
        return bad("max_retries must be 0–10".into());
    }
    if request.retry_multiplier.is_some_and(|m| !(1.0..=10.0).contains(&m)) {
        return bad("retry_multiplier must be 1–10".into());
    }
    let texts = request.messages.iter().map(|m| m.content.len());
    let bytes = texts.sum::<usize>() + request.system_message.as_ref().map_or(0, String::len);
    if bytes > config.llm_request_max_bytes {
        let max = config.llm_request_max_bytes;
        let why = format!("the texts have {bytes} bytes, allowed are {max}; see llm_request_max_bytes");
        return Err(LlmError::new(LlmErrorCode::RequestTooLarge, why));
    }
    Ok(())
}

fn cache_key(
    provider: &Provider,
    config: &LlmConfig,
    request: &LlmRequest,
    system: &str,
    call: &CallContext,
) -> CacheKey {
    let row = &provider.row;
    let prompt_at = request.messages.iter().rposition(|m| m.role == LlmRole::User);
    let mut other = request.messages.clone();
    if let Some(prompt) = prompt_at.and_then(|at| other.get_mut(at)) {
        prompt.content.clear();
    }
    let json = |value: &dyn Fn() -> serde_json::Result<String>| value().unwrap_or_default();
    let generation = format!(
        "{} {} {:?} {:?} {:?} {:?} {:?}",
        request.max_output_tokens.unwrap_or(config.llm_max_output_tokens),
        request.temperature.unwrap_or(config.llm_temperature),
        request.stop,
        request.output,
        request.tool_choice,
        prompt_at,
        row.options.extra_body,
    );
    let parts = [
        row.name.clone(),
        row.kind.as_str().to_owned(),
        row.url.clone(),
        request.model.clone().unwrap_or_else(|| row.model.clone()),
        system.to_owned(),
        call.caller.clone(),
        request.schema_name.clone(),
        request.scope.clone(),
        generation,
        json(&|| serde_json::to_string(&other)),
        json(&|| serde_json::to_string(&request.tools)),
        json(&|| serde_json::to_string(&request.response_schema)),
    ];
    let bytes: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
    CacheKey::new(&bytes, request.prompt())
}

fn space_of(info: &ai_core::EmbedderInfo) -> String {
    format!("{}/{}/{}", info.provider, info.model, info.revision)
}

/// The prompt's vector; `None` when it cannot be had, which only costs the semantic lookup.
fn embed_prompt(
    embedder: &dyn Embedder,
    config: &LlmConfig,
    prompt: &str,
    deadline: Deadline,
) -> Option<Vec<f32>> {
    // At most half of the time left: the model needs the rest.
    let until = deadline.share(50).capped_ms(config.embedding_timeout_ms);
    embedder.embed(&[prompt], EmbedKind::Query, until).ok()?.pop()
}

fn hit_response(
    hit: &CacheHit,
    request: &LlmRequest,
    timings: LlmTimings,
    on_delta: Option<&mut dyn FnMut(LlmDelta) -> LlmFlow>,
) -> Result<LlmResponse, LlmError> {
    if let Some(on_delta) = on_delta
        && on_delta(LlmDelta::Text(hit.item.response.clone())) == LlmFlow::Stop
    {
        return Err(LlmError::new(LlmErrorCode::Cancelled, "the receiver stopped the stream"));
    }
    let how = hit.similarity.map_or_else(|| "exact".to_owned(), |s| format!("semantic {s:.2}"));
    let mut response = LlmResponse::default();
    response.text_response = shape_output(&hit.item.response, request.output);
    response.explanation = format!(
        "cache {how}: answer of provider {} model {}; no call, no cost",
        hit.item.provider, hit.item.model
    );
    response.cached = if hit.similarity.is_none() { LlmCached::Exact } else { LlmCached::Semantic };
    response.cache_id.clone_from(&hit.id);
    response.similarity = hit.similarity.unwrap_or(1.0);
    response.provider_used.clone_from(&hit.item.provider);
    response.model_used.clone_from(&hit.item.model);
    response.usage = hit.item.usage;
    response.timings_ms = timings;
    Ok(response)
}

fn shared_response(shared: Shared, timings: LlmTimings) -> LlmResponse {
    let mut response = shared.response;
    response.explanation = format!(
        "cache exact: shared with an equal call in flight, {} characters of provider {} model {}; no call, no cost",
        shared.raw.chars().count(),
        response.provider_used,
        response.model_used
    );
    response.cached = LlmCached::Exact;
    response.similarity = 1.0;
    response.attempts = 0;
    response.cost_usd = 0.0;
    response.price_source = String::new();
    response.timings_ms = timings;
    response
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

pub(crate) const fn cached_word(cached: LlmCached) -> &'static str {
    match cached {
        LlmCached::Miss => "miss",
        LlmCached::Exact => "exact",
        LlmCached::Semantic => "semantic",
    }
}

pub(crate) fn ms_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}

fn provider_status(provider: &Provider) -> ProviderStatus {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    ProviderStatus {
        name: provider.row.name.clone(),
        kind: provider.row.kind.as_str(),
        model: provider.row.model.clone(),
        locality: if provider.local { "local" } else { "cloud" },
        active: provider.row.active,
        breaker_open: provider.breaker.is_open(),
        running: provider.active(),
        attempts: read(&provider.counts.attempts),
        failures: read(&provider.counts.failures),
        input_tokens: read(&provider.counts.input_tokens),
        output_tokens: read(&provider.counts.output_tokens),
        cost_usd: crate::Usd::from_units(read(&provider.counts.cost_units)).dollars(),
        p50_ms: provider.latency.percentile(50),
        p95_ms: provider.latency.percentile(95),
    }
}
