//! Penstock's bridge to language models, embedding and rerank services: providers over HTTP, worker pool, retries,
//! budget, cache and JSON operations; it knows neither MCP nor databases.

mod breaker;
mod bridge;
mod bridge_call;
mod cache;
mod cache_guard;
mod classify;
mod clock;
mod config;
mod config_names;
mod flight;
mod history;
mod http;
mod latency;
mod ledger;
mod money;
mod output;
mod pool;
mod pool_job;
mod pool_state;
mod provider;
mod provider_row;
mod retry;
mod route;
mod secret;
mod sse;
mod store;
mod wire;
mod wire_anthropic;
mod wire_llama;
mod wire_openai;

pub use bridge::{BridgeStatus, LlmBridge, LlmDeps, ProviderStatus};
pub use cache::{CachePurge, CacheStats};
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{EMBEDDING_URI_DEFAULT, EmbeddingChoice, LlmConfig, RERANK_URI_DEFAULT, RerankChoice};
pub use history::{HistoryEntry, HistorySink, MemoryHistory};
pub use ledger::{SpendStatus, UsageTotal};
pub use money::{Price, Usd, estimate_tokens};
pub use pool::Pool;
pub use pool_job::{DeltaSink, Job, JobError, JobOutput, JobResult, JobRunner, JobWork, Ticket};
pub use pool_state::{PoolLimits, PoolStats};
pub use provider_row::{Capabilities, Locality, ProviderKind, ProviderOptions, ProviderRow};
pub use secret::{SecretResolver, SecretString, resolve_secret};
pub use store::{CacheRecord, JournalStore, LlmStore, NoStore, UsageRow};
