//! What the bridge tells about itself; it changes nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use super::LlmBridge;
use crate::cache::CacheStats;
use crate::ledger::SpendStatus;
use crate::money::Usd;
use crate::provider::Provider;
use serde::Serialize;

/// State of one provider.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize)]
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
        cost_usd: Usd::from_units(read(&provider.counts.cost_units)).dollars(),
        p50_ms: provider.latency.percentile(50),
        p95_ms: provider.latency.percentile(95),
    }
}
