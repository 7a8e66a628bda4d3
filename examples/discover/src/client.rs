//! One provider of language models as a client; it knows no command line and asks nothing.

use ai_core_llm::{LlmBridge, LlmConfig, LlmDeps, ProviderKind, ProviderRow, SecretString};

/// Longest single answer.
const ANSWER_TIMEOUT_MS: u64 = 180_000;

/// A provider and what may be spent on it.
pub(crate) struct Wanted {
    kind: String,
    url: String,
    model: String,
    /// Environment variable that holds the key.
    pub(crate) key_env: Option<String>,
    /// US dollars a day.
    pub(crate) budget_usd: f64,
    /// Requests an hour.
    pub(crate) calls_max: u64,
}

impl Wanted {
    /// A provider without a key, with a small budget.
    pub(crate) fn new(kind: &str, url: &str, model: &str) -> Self {
        let (kind, url, model) = (kind.to_owned(), url.to_owned(), model.to_owned());
        Self { kind, url, model, key_env: None, budget_usd: 5.0, calls_max: 500 }
    }

    /// The client; nothing goes over the network yet.
    pub(crate) fn client(&self) -> Result<LlmBridge, Box<dyn std::error::Error>> {
        let kind =
            ProviderKind::parse(&self.kind).ok_or("--provider is openai, anthropic, generic or llama_cpp")?;
        let mut row = ProviderRow::new("discover", kind, &self.url, &self.model);
        if let Some(name) = &self.key_env {
            let key =
                std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))?;
            row.key = SecretString::new(key);
        }
        let mut config = LlmConfig::default();
        config.enabled = true;
        config.llm_enabled = true;
        config.llm_timeout_ms = ANSWER_TIMEOUT_MS;
        config.llm_total_timeout_ms = ANSWER_TIMEOUT_MS;
        config.daily_budget_usd = self.budget_usd;
        config.max_cloud_requests_per_hour = u32::try_from(self.calls_max).unwrap_or(u32::MAX);
        config.providers = vec![row];
        Ok(LlmBridge::new(config, LlmDeps::default())?)
    }
}
