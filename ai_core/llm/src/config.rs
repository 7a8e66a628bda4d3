//! Every setting that this side acts on, as one value; it does not know where settings are stored.

use crate::provider_row::{Locality, ProviderKind, ProviderRow, check_url};
use crate::secret::SecretString;

/// Which service makes vectors by default.
// Exhaustive on purpose: mirrors the values of `embedding_provider`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmbeddingChoice {
    /// The HTTP service when its URL or model is set, else the built-in one.
    #[default]
    Auto,
    /// The host's built-in embedder.
    Builtin,
    /// The host's embedder from files.
    Local,
    /// HTTP in the form of OpenAI.
    Openai,
    /// HTTP in either form of llama.cpp.
    LlamaCpp,
}

/// Which service reranks by default.
// Exhaustive on purpose: mirrors the values of `rerank_provider`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RerankChoice {
    /// The HTTP service when its URL or model is set, else the built-in one.
    #[default]
    Auto,
    /// Lexical overlap.
    Builtin,
    /// HTTP.
    Http,
    /// The host's cross-encoder from files.
    Local,
}

/// One snapshot of all settings; field names are the variable names without `genai-`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LlmConfig {
    /// Master switch.
    pub enabled: bool,
    /// Pool workers.
    pub threads: usize,
    /// Jobs that may wait.
    pub queue_max_jobs: usize,
    /// Bytes of waiting jobs.
    pub queue_max_bytes: usize,
    /// Default embedding service; `None` = the operator has set none.
    pub embedding_uri: Option<String>,
    /// Model sent to it; empty = not sent.
    pub embedding_model: String,
    /// Which service.
    pub embedding_provider: EmbeddingChoice,
    /// Bearer token of it.
    pub embedding_key: SecretString,
    /// Per attempt, milliseconds.
    pub embedding_timeout_ms: u64,
    /// Inputs of one call.
    pub embedding_batch_size: usize,
    /// How long a job waits for companions, milliseconds.
    pub embedding_batch_wait_ms: u64,
    /// Cached input vectors.
    pub embedding_cache_entries: usize,
    /// Rerank service; `None` = the operator has set none.
    pub rerank_uri: Option<String>,
    /// Which service.
    pub rerank_provider: RerankChoice,
    /// Bearer token of it.
    pub rerank_key: SecretString,
    /// Model sent to it; empty = not sent.
    pub rerank_model: String,
    /// Per attempt, milliseconds.
    pub rerank_timeout_ms: u64,
    /// Rows of `document_from_sql`.
    pub rerank_sql_max_rows: usize,
    /// Bridge, tools and prefixes.
    pub llm_enabled: bool,
    /// Kind of the row `default`.
    pub llm_provider: ProviderKind,
    /// Its URL.
    pub llm_provider_url: String,
    /// Its model.
    pub llm_provider_model: String,
    /// Its key.
    pub llm_provider_key: SecretString,
    /// Its locality.
    pub llm_provider_locality: Locality,
    /// Used when a request has no system message.
    pub llm_system_prompt: String,
    /// Generation limit.
    pub llm_max_output_tokens: u32,
    /// Sampling temperature.
    pub llm_temperature: f64,
    /// Per attempt, milliseconds.
    pub llm_timeout_ms: u64,
    /// Whole call, milliseconds.
    pub llm_total_timeout_ms: u64,
    /// Retries after the first attempt.
    pub llm_max_retries: u32,
    /// First pause, milliseconds.
    pub llm_retry_backoff_ms: u64,
    /// Growth of the pause.
    pub llm_retry_multiplier: f64,
    /// Longest pause, milliseconds.
    pub llm_retry_max_backoff_ms: u64,
    /// Largest request, bytes.
    pub llm_request_max_bytes: usize,
    /// Largest answer, bytes.
    pub llm_response_max_bytes: usize,
    /// Input price of `default`; −1 = unknown.
    pub llm_price_input_usd_per_mtok: f64,
    /// Output price of `default`; −1 = unknown.
    pub llm_price_output_usd_per_mtok: f64,
    /// Price of cloud endpoints without one.
    pub llm_default_price_usd_per_mtok: f64,
    /// Cache lookup and store.
    pub llm_cache_enabled: bool,
    /// Semantic lookup.
    pub llm_cache_semantic: bool,
    /// Cosine × 100 of a semantic hit.
    pub llm_cache_similarity_threshold: u32,
    /// Life of an entry, seconds.
    pub llm_cache_ttl_s: u64,
    /// Entries at most.
    pub llm_cache_max_entries: usize,
    /// Bytes at most.
    pub llm_cache_max_bytes: usize,
    /// Local before cloud.
    pub prefer_local_models: bool,
    /// Dollars of a UTC day; 0 = no paid calls.
    pub daily_budget_usd: f64,
    /// Cloud attempts in 60 minutes; 0 = none.
    pub max_cloud_requests_per_hour: u32,
    /// Prefix forms on data ports.
    pub query_prefix_enabled: bool,
    /// Who may use them: `*` or a list of users.
    pub query_prefix_users: String,
    /// The provider table, without `default`.
    pub providers: Vec<ProviderRow>,
}

/// The embedding service of `auto` when only a model is set.
pub const EMBEDDING_URI_DEFAULT: &str = "http://127.0.0.1:8013/embedding";
/// The rerank service of `auto` when only a model is set.
pub const RERANK_URI_DEFAULT: &str = "http://127.0.0.1:8012/rerank";

impl Default for LlmConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            threads: 4,
            queue_max_jobs: 1_024,
            queue_max_bytes: 67_108_864,
            embedding_uri: None,
            embedding_model: String::new(),
            embedding_provider: EmbeddingChoice::Auto,
            embedding_key: SecretString::default(),
            embedding_timeout_ms: 30_000,
            embedding_batch_size: 32,
            embedding_batch_wait_ms: 2,
            embedding_cache_entries: 50_000,
            rerank_uri: None,
            rerank_provider: RerankChoice::Auto,
            rerank_key: SecretString::default(),
            rerank_model: String::new(),
            rerank_timeout_ms: 30_000,
            rerank_sql_max_rows: 1_000,
            llm_enabled: false,
            llm_provider: ProviderKind::Openai,
            llm_provider_url: "http://localhost:11434/v1/chat/completions".to_owned(),
            llm_provider_model: "llama3.2".to_owned(),
            llm_provider_key: SecretString::default(),
            llm_provider_locality: Locality::Auto,
            llm_system_prompt: String::new(),
            llm_max_output_tokens: 1_024,
            llm_temperature: 0.1,
            llm_timeout_ms: 30_000,
            llm_total_timeout_ms: 60_000,
            llm_max_retries: 3,
            llm_retry_backoff_ms: 1_000,
            llm_retry_multiplier: 2.0,
            llm_retry_max_backoff_ms: 30_000,
            llm_request_max_bytes: 1_048_576,
            llm_response_max_bytes: 4_194_304,
            llm_price_input_usd_per_mtok: -1.0,
            llm_price_output_usd_per_mtok: -1.0,
            llm_default_price_usd_per_mtok: 10.0,
            llm_cache_enabled: true,
            llm_cache_semantic: true,
            llm_cache_similarity_threshold: 85,
            llm_cache_ttl_s: 86_400,
            llm_cache_max_entries: 10_000,
            llm_cache_max_bytes: 67_108_864,
            prefer_local_models: true,
            daily_budget_usd: 10.0,
            max_cloud_requests_per_hour: 100,
            query_prefix_enabled: true,
            query_prefix_users: "*".to_owned(),
            providers: Vec::new(),
        }
    }
}

impl LlmConfig {
    /// The row `default`, made of the `llm_provider*` variables.
    #[must_use]
    pub fn default_row(&self) -> ProviderRow {
        let known = |price: f64| (price >= 0.0).then_some(price);
        let mut row =
            ProviderRow::new("default", self.llm_provider, &self.llm_provider_url, &self.llm_provider_model);
        row.key = self.llm_provider_key.clone();
        row.locality = self.llm_provider_locality;
        row.price_input = known(self.llm_price_input_usd_per_mtok);
        row.price_output = known(self.llm_price_output_usd_per_mtok);
        row
    }

    /// Whether `user` may use the prefix forms.
    #[must_use]
    pub fn prefix_allowed(&self, user: &str) -> bool {
        let listed = |list: &str| list.split(',').map(str::trim).any(|u| u == "*" || u == user);
        self.enabled && self.llm_enabled && self.query_prefix_enabled && listed(&self.query_prefix_users)
    }

    /// Everything that is wrong, each entry named; empty when the snapshot may be applied.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for spec in crate::config_names::NUMBERS {
            if let Err(why) = spec.check(self) {
                faults.push(why);
            }
        }
        let urls = [("embedding_uri", &self.embedding_uri), ("rerank_uri", &self.rerank_uri)];
        for (name, url) in urls {
            if let Some(Err(why)) = url.as_deref().map(check_url) {
                faults.push(format!("genai-{name}: {why}"));
            }
        }
        if self.llm_system_prompt.len() > 65_536 {
            faults.push("genai-llm_system_prompt: longer than 65536 bytes".to_owned());
        }
        faults.extend(self.default_row().faults());
        let mut names = std::collections::HashSet::from(["default"]);
        for row in &self.providers {
            faults.extend(row.faults());
            if !names.insert(&row.name) {
                faults.push(format!("provider '{}': the name is taken", row.name));
            }
        }
        faults
    }
}
