//! The statement pipeline of the database side: rules, hooks, gate, cache, targets, pools and digests; it knows no agent protocol.

mod account;
mod cache;
mod columns;
mod config;
mod cost;
mod digests;
mod execute;
mod gateway;
mod hooks;
mod metadata;
mod observe;
mod pipeline;
mod rules;
mod scope;
mod sink;
mod statement;
mod stats_source;
mod targets;
mod verdicts;
mod volatile;
mod watchdog;

#[cfg(test)]
mod tests;

pub use cache::{CacheCounters, CacheEntryInfo, CacheStats, CacheTarget, ResultCache};
pub use columns::{ColumnAction, ColumnGuard, ColumnRule};
pub use config::{
    BackendConfig, BackendDirectory, CacheSettings, LogSql, Settings, StaticDirectory, TargetConfig,
};
pub use cost::CostRule;
pub use digests::{DigestRow, DigestSample, DigestStats, SavedDigest, call_digest, call_fingerprint};
pub use gateway::{Gateway, TargetInfo};
pub use hooks::{
    DenyCode, DigestNote, FailPolicy, HookHandle, HookRegistry, PendingReply, Phase, PostQueryFeedback,
    PostQueryHook, PreQueryContext, PreQueryContextBuilder, PreQueryHook, PrefixHook, Reply, RowSet, SqlMode,
    TransactionState, Verdict,
};
pub use metadata::{MetadataLimit, MetadataOutcome};
pub use observe::{
    CommandStats, ErrorStats, GatewayCounters, LATENCY_BUCKETS_US, RunningStatement, StatementEvent,
    StatementObserver, Statistics, latency_percentile,
};
pub use pipeline::parameter;
pub use rules::{RuleConfig, RuleFacts, RuleHits, RuleOutcome, RuleSet};
pub use scope::{CallScope, NeverStops, StopSignal};
pub use statement::{
    CacheOutcome, EffectiveLimits, Origin, StatementOutcome, StatementRequest, StreamOutcome,
};
pub use stats_source::{NoStats, StatsFamily, StatsOrigin, StatsRequest, StatsRows, StatsSource};
pub use targets::{AdminBackend, ServerFacts, TargetFacts};
