//! `ai.status`, `ai.usage`, `ai.cache_stats`, `ai.cache_purge`: what the model side says of itself; it counts nothing.

use std::collections::BTreeMap;

use ai_core_llm::{CachePurge, UsageTotal};
use mcp::ToolResult;
use mcp_tools::NoArgs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::tool::{Ask, Reply, bad};
use crate::detector::detector_mode;

/// State of the AI side.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StatusAnswer {
    /// Version of the server.
    version: &'static str,
    /// running, or degraded when a component has a fault.
    state: &'static str,
    /// Components that are switched on.
    features: Vec<&'static str>,
    /// Generation of the configuration, and when it was loaded.
    snapshot: Map<String, Value>,
    /// Workers and jobs.
    pool: Value,
    /// Requests, cache, providers.
    llm: Map<String, Value>,
    /// Mode and counts of the detector.
    anomaly: Map<String, Value>,
    /// The embedder in force.
    embedding: Map<String, Value>,
    /// The reranker in force.
    rerank: Map<String, Value>,
    /// Money of the day.
    spend: Map<String, Value>,
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub(super) fn status(ask: &Ask<'_>, _: NoArgs) -> ToolResult<Reply<StatusAnswer>> {
    let (bridge, pool) = ask.deps.service.status();
    let config = ask.deps.service.bridge().config();
    let choice = ask.deps.service.choice();
    let (detector, stats) = (ask.deps.detector.config(), ask.deps.detector.stats());
    let mut features = Vec::new();
    let switches =
        [("llm", config.enabled && config.llm_enabled), ("anomaly", detector.enabled), ("embedding", true)];
    features.extend(switches.iter().filter(|(_, on)| *on).map(|(name, _)| *name));
    let degraded =
        choice.embedding_provider.starts_with("none") || choice.rerank_provider.starts_with("none");
    Ok(StatusAnswer {
        version: env!("CARGO_PKG_VERSION"),
        state: if degraded { "degraded" } else { "running" },
        features,
        snapshot: object(json!({"generation": bridge.generation, "loaded_at": bridge.loaded_at_ms / 1_000})),
        pool: json!({"threads": config.threads, "stats": pool}),
        llm: object(json!({
            "enabled": config.enabled && config.llm_enabled,
            "total_requests": bridge.total_requests, "failed_requests": bridge.failed_requests,
            "cache_hits": bridge.cache.exact_hits + bridge.cache.semantic_hits,
            "cache_misses": bridge.cache.misses, "cache_lookups": bridge.cache.lookups,
            "cache_stores": bridge.cache.stores,
            "local_calls": bridge.local_model_calls, "cloud_calls": bridge.cloud_model_calls,
            "total_response_time_ms": bridge.total_response_time_ms,
            "cache_total_lookup_time_ms": bridge.cache_total_lookup_time_ms,
            "cache_total_store_time_ms": bridge.cache_total_store_time_ms,
            "providers": bridge.providers,
        })),
        anomaly: object(json!({
            "mode": detector_mode(&detector), "total_checks": stats.total_checks, "blocked": stats.denied,
            "flagged": stats.flagged, "profiles": stats.profiles, "threats": stats.threat_patterns,
        })),
        embedding: object(json!({
            "provider": choice.embedding_provider, "model": choice.embedding_model,
            "dim": choice.embedding_dim, "lexical": choice.embedding_lexical,
        })),
        rerank: object(json!({"provider": choice.rerank_provider})),
        spend: object(json!({
            "daily_usd": bridge.spend.daily, "budget_usd": bridge.budget_usd,
            "cloud_requests_last_hour": bridge.spend.cloud_requests_last_hour,
        })),
    }
    .into())
}

/// What totals are summed by.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum GroupBy {
    /// Provider.
    #[default]
    Provider,
    /// Model.
    Model,
    /// Caller.
    Caller,
    /// llm, embed or rerank.
    Kind,
}

/// Which usage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageArgs {
    /// UTC days, today included.
    #[serde(default = "one_day")]
    #[schemars(range(min = 1, max = 90))]
    days: u64,
    /// What totals are summed by.
    #[serde(default)]
    group_by: GroupBy,
}

fn one_day() -> u64 {
    1
}

/// Totals of one group.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct UsageRow {
    /// The group.
    group: String,
    /// Attempts.
    requests: u64,
    /// Attempts that failed.
    failures: u64,
    /// Tokens read.
    input_tokens: u64,
    /// Tokens written.
    output_tokens: u64,
    /// US dollars.
    cost_usd: f64,
}

/// Usage and spending.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct UsageAnswer {
    /// US dollars spent on this UTC day.
    spent_usd: f64,
    /// US dollars of a UTC day.
    budget_usd: f64,
    /// Cloud attempts in the last 60 minutes.
    cloud_requests_last_hour: u64,
    /// Totals, the most expensive first.
    rows: Vec<UsageRow>,
}

pub(super) fn usage(ask: &Ask<'_>, args: UsageArgs) -> ToolResult<Reply<UsageAnswer>> {
    if !(1..=90).contains(&args.days) {
        return Err(bad("days", "days must be 1 to 90"));
    }
    let bridge = ask.deps.service.bridge();
    let group = |total: &UsageTotal| match args.group_by {
        GroupBy::Provider => total.provider.clone(),
        GroupBy::Model => total.model.clone(),
        GroupBy::Caller => total.caller.clone(),
        GroupBy::Kind => total.kind.clone(),
    };
    let mut sums: BTreeMap<String, UsageRow> = BTreeMap::new();
    for total in bridge.usage(args.days) {
        let name = group(&total);
        let row = sums.entry(name.clone()).or_insert_with(|| UsageRow { group: name, ..UsageRow::default() });
        row.requests += total.requests;
        row.failures += total.failures;
        row.input_tokens += total.input_tokens;
        row.output_tokens += total.output_tokens;
        row.cost_usd += total.cost.dollars();
    }
    let mut rows: Vec<UsageRow> = sums.into_values().collect();
    rows.sort_by(|a, b| b.cost_usd.total_cmp(&a.cost_usd).then_with(|| a.group.cmp(&b.group)));
    let status = bridge.status();
    Ok(UsageAnswer {
        spent_usd: status.spend.daily.dollars(),
        budget_usd: status.budget_usd,
        cloud_requests_last_hour: status.spend.cloud_requests_last_hour,
        rows,
    }
    .into())
}

/// Numbers of the answer cache.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CacheAnswer {
    /// Kept answers.
    entries: u64,
    /// Their bytes.
    bytes: u64,
    /// Lookups.
    lookups: u64,
    /// Answered by the same question.
    exact_hits: u64,
    /// Answered by a question of the same meaning.
    semantic_hits: u64,
    /// Not answered.
    misses: u64,
    /// Answers kept since the start.
    stores: u64,
    /// Dropped for room or age.
    evictions: u64,
    /// When the oldest was made, Unix seconds; null without one.
    oldest: Option<u64>,
}

pub(super) fn cache_stats(ask: &Ask<'_>, _: NoArgs) -> ToolResult<Reply<CacheAnswer>> {
    let stats = ask.deps.service.bridge().status().cache;
    Ok(CacheAnswer {
        entries: stats.entries,
        bytes: stats.bytes,
        lookups: stats.lookups,
        exact_hits: stats.exact_hits,
        semantic_hits: stats.semantic_hits,
        misses: stats.misses,
        stores: stats.stores,
        evictions: stats.evictions,
        oldest: (stats.oldest_ms > 0).then_some(stats.oldest_ms / 1_000),
    }
    .into())
}

/// Which kept answers go; at least one criterion.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PurgeArgs {
    /// All of them.
    #[serde(default)]
    all: bool,
    /// Of this provider.
    provider: Option<String>,
    /// Of this model.
    model: Option<String>,
    /// Of this scope: caller or schema.
    scope: Option<String>,
    /// Older than this many seconds.
    older_than_s: Option<u64>,
    /// This one.
    cache_id: Option<String>,
}

/// How many went.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PurgeAnswer {
    /// Answers removed.
    purged: u64,
}

pub(super) fn cache_purge(ask: &Ask<'_>, args: PurgeArgs) -> ToolResult<Reply<PurgeAnswer>> {
    let which = CachePurge {
        all: args.all,
        provider: args.provider,
        model: args.model,
        scope: args.scope,
        older_than_s: args.older_than_s,
        cache_id: args.cache_id,
    };
    if !which.has_criterion() {
        return Err(bad(
            "all",
            "say what goes: all true, or provider, model, scope, older_than_s or cache_id",
        ));
    }
    Ok(PurgeAnswer { purged: ask.deps.service.bridge().purge_cache(&which) }.into())
}
