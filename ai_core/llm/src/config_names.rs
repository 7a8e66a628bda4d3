//! The settings by variable name: reading texts and checking ranges; it does not know layers or verbs.

use crate::config::{EmbeddingChoice, LlmConfig, RerankChoice};
use crate::provider_row::{Locality, ProviderKind, check_url};
use crate::secret::SecretString;

/// A number with its range.
pub(crate) struct NumberSpec {
    name: &'static str,
    min: f64,
    max: f64,
    get: fn(&LlmConfig) -> f64,
    set: fn(&mut LlmConfig, f64),
    whole: bool,
}

macro_rules! numbers {
    ($($field:ident : $kind:ty, $min:literal, $max:literal, $whole:literal;)*) => {
        &[$(NumberSpec {
            name: stringify!($field),
            min: $min,
            max: $max,
            get: |c| c.$field as f64,
            set: |c, v| c.$field = v as $kind,
            whole: $whole,
        }),*]
    };
}

/// Every numeric setting.
pub(crate) const NUMBERS: &[NumberSpec] = numbers! {
    threads: usize, 1.0, 256.0, true;
    queue_max_jobs: usize, 1.0, 1_000_000.0, true;
    queue_max_bytes: usize, 1_048_576.0, 4_294_967_296.0, true;
    embedding_timeout_ms: u64, 100.0, 300_000.0, true;
    embedding_batch_size: usize, 1.0, 2_048.0, true;
    embedding_batch_wait_ms: u64, 0.0, 100.0, true;
    embedding_cache_entries: usize, 0.0, 10_000_000.0, true;
    rerank_timeout_ms: u64, 100.0, 300_000.0, true;
    rerank_sql_max_rows: usize, 1.0, 10_000.0, true;
    llm_max_output_tokens: u32, 1.0, 131_072.0, true;
    llm_temperature: f64, 0.0, 2.0, false;
    llm_timeout_ms: u64, 1_000.0, 600_000.0, true;
    llm_total_timeout_ms: u64, 1_000.0, 900_000.0, true;
    llm_max_retries: u32, 0.0, 10.0, true;
    llm_retry_backoff_ms: u64, 10.0, 60_000.0, true;
    llm_retry_multiplier: f64, 1.0, 10.0, false;
    llm_retry_max_backoff_ms: u64, 10.0, 300_000.0, true;
    llm_request_max_bytes: usize, 1_024.0, 67_108_864.0, true;
    llm_response_max_bytes: usize, 1_024.0, 67_108_864.0, true;
    llm_price_input_usd_per_mtok: f64, -1.0, 10_000.0, false;
    llm_price_output_usd_per_mtok: f64, -1.0, 10_000.0, false;
    llm_default_price_usd_per_mtok: f64, 0.0, 10_000.0, false;
    llm_cache_similarity_threshold: u32, 0.0, 100.0, true;
    llm_cache_ttl_s: u64, 1.0, 31_536_000.0, true;
    llm_cache_max_entries: usize, 0.0, 10_000_000.0, true;
    llm_cache_max_bytes: usize, 0.0, 68_719_476_736.0, true;
    daily_budget_usd: f64, 0.0, 10_000.0, false;
    max_cloud_requests_per_hour: u32, 0.0, 100_000.0, true;
};

impl NumberSpec {
    pub(crate) fn check(&self, config: &LlmConfig) -> Result<(), String> {
        self.check_value((self.get)(config))
    }

    fn check_value(&self, value: f64) -> Result<(), String> {
        if (self.min..=self.max).contains(&value) {
            return Ok(());
        }
        Err(format!("genai-{}: {value} is outside {}–{}", self.name, self.min, self.max))
    }
}

type BoolField = (&'static str, fn(&mut LlmConfig) -> &mut bool);

const BOOLS: &[BoolField] = &[
    ("enabled", |c| &mut c.enabled),
    ("llm_enabled", |c| &mut c.llm_enabled),
    ("llm_cache_enabled", |c| &mut c.llm_cache_enabled),
    ("llm_cache_semantic", |c| &mut c.llm_cache_semantic),
    ("prefer_local_models", |c| &mut c.prefer_local_models),
    ("query_prefix_enabled", |c| &mut c.query_prefix_enabled),
];

const TEXTS: &[&str] = &[
    "embedding_uri",
    "embedding_model",
    "embedding_provider",
    "embedding_key",
    "rerank_uri",
    "rerank_provider",
    "rerank_key",
    "rerank_model",
    "llm_provider",
    "llm_provider_url",
    "llm_provider_model",
    "llm_provider_key",
    "llm_provider_locality",
    "llm_system_prompt",
    "query_prefix_users",
];

impl LlmConfig {
    /// Names of the variables that this side acts on, without `genai-`.
    #[must_use]
    pub fn variable_names() -> Vec<&'static str> {
        let numbers = NUMBERS.iter().map(|n| n.name);
        let mut names: Vec<_> =
            numbers.chain(BOOLS.iter().map(|b| b.0)).chain(TEXTS.iter().copied()).collect();
        names.sort_unstable();
        names
    }

    /// Sets one variable from its text (secrets already resolved); `Ok(false)` when this side does not know it.
    ///
    /// # Errors
    /// A text that names the variable and what is wrong with the value; nothing is changed then.
    pub fn set_variable(&mut self, name: &str, value: &str) -> Result<bool, String> {
        if let Some(spec) = NUMBERS.iter().find(|n| n.name == name) {
            let number: f64 = match spec.whole {
                true => {
                    value.trim().parse::<u64>().map(|v| v as f64).map_err(|_| bad(name, "a whole number"))?
                }
                false => value.trim().parse().map_err(|_| bad(name, "a number"))?,
            };
            spec.check_value(number)?;
            (spec.set)(self, number);
            return Ok(true);
        }
        if let Some((_, field)) = BOOLS.iter().find(|b| b.0 == name) {
            *field(self) = match value.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "on" => true,
                "false" | "0" | "off" => false,
                _ => return Err(bad(name, "true, false, 1, 0, on or off")),
            };
            return Ok(true);
        }
        self.set_text(name, value)
    }

    fn set_text(&mut self, name: &str, value: &str) -> Result<bool, String> {
        let url = |v: &str| check_url(v).map(|()| v.to_owned()).map_err(|why| format!("genai-{name}: {why}"));
        match name {
            "embedding_uri" => self.embedding_uri = Some(url(value)?),
            "rerank_uri" => self.rerank_uri = Some(url(value)?),
            "llm_provider_url" => self.llm_provider_url = url(value)?,
            "embedding_model" => value.clone_into(&mut self.embedding_model),
            "rerank_model" => value.clone_into(&mut self.rerank_model),
            "llm_provider_model" => value.clone_into(&mut self.llm_provider_model),
            "query_prefix_users" => value.clone_into(&mut self.query_prefix_users),
            "embedding_key" => self.embedding_key = SecretString::new(value),
            "rerank_key" => self.rerank_key = SecretString::new(value),
            "llm_provider_key" => self.llm_provider_key = SecretString::new(value),
            "llm_system_prompt" if value.len() > 65_536 => return Err(bad(name, "at most 65536 bytes")),
            "llm_system_prompt" => value.clone_into(&mut self.llm_system_prompt),
            "llm_provider" => {
                let kind = ProviderKind::parse(value);
                self.llm_provider =
                    kind.ok_or_else(|| bad(name, "openai, anthropic, generic or llama_cpp"))?;
            }
            "llm_provider_locality" => {
                let found = Locality::parse(value);
                self.llm_provider_locality = found.ok_or_else(|| bad(name, "auto, local or cloud"))?;
            }
            "embedding_provider" => {
                self.embedding_provider = match value {
                    "auto" => EmbeddingChoice::Auto,
                    "builtin" => EmbeddingChoice::Builtin,
                    "local" => EmbeddingChoice::Local,
                    "openai" => EmbeddingChoice::Openai,
                    "llama_cpp" => EmbeddingChoice::LlamaCpp,
                    _ => return Err(bad(name, "auto, builtin, local, openai or llama_cpp")),
                }
            }
            "rerank_provider" => {
                self.rerank_provider = match value {
                    "auto" => RerankChoice::Auto,
                    "builtin" => RerankChoice::Builtin,
                    "http" => RerankChoice::Http,
                    "local" => RerankChoice::Local,
                    _ => return Err(bad(name, "auto, builtin, http or local")),
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn bad(name: &str, wanted: &str) -> String {
    format!("genai-{name}: the value must be {wanted}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_ranges_are_kept() {
        let mut config = LlmConfig::default();
        assert_eq!(config.faults(), Vec::<String>::new());
        assert_eq!(config.set_variable("threads", "8"), Ok(true));
        assert!(config.set_variable("threads", "0").unwrap_err().contains("genai-threads"));
        assert!(config.set_variable("threads", "1.5").is_err());
        assert!(config.set_variable("llm_temperature", "NaN").is_err());
        assert_eq!(config.threads, 8);
        assert_eq!(config.set_variable("llm_cache_enabled", "off"), Ok(true));
        assert!(!config.llm_cache_enabled);
        assert!(config.set_variable("llm_provider", "none").is_err());
        assert!(config.set_variable("embedding_uri", "nowhere").is_err());
        assert_eq!(config.set_variable("anomaly_enabled", "true"), Ok(false));
        config.daily_budget_usd = 1e9;
        config.providers = vec![crate::ProviderRow::new("default", ProviderKind::Openai, "x", "m")];
        let faults = config.faults().join("\n");
        assert!(
            faults.contains("daily_budget_usd") && faults.contains("taken") && faults.contains("'x'"),
            "{faults}"
        );
    }

    #[test]
    fn every_number_accepts_its_bounds_and_refuses_beyond() {
        for spec in NUMBERS {
            let mut config = LlmConfig::default();
            for edge in [spec.min, spec.max] {
                if edge >= 0.0 || !spec.whole {
                    assert_eq!(config.set_variable(spec.name, &edge.to_string()), Ok(true), "{}", spec.name);
                }
            }
            let beyond = (spec.max + 1.0).to_string();
            assert!(config.set_variable(spec.name, &beyond).is_err(), "{}", spec.name);
        }
        assert!(LlmConfig::variable_names().contains(&"llm_provider_key"));
    }

    #[test]
    fn prefix_users() {
        let mut config = LlmConfig { enabled: true, llm_enabled: true, ..LlmConfig::default() };
        assert!(config.prefix_allowed("anyone"));
        config.query_prefix_users = "ann, bob".into();
        assert!(config.prefix_allowed("bob") && !config.prefix_allowed("eve"));
        config.query_prefix_enabled = false;
        assert!(!config.prefix_allowed("bob"));
    }
}
