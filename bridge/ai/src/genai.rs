//! The `genai-*` variables as one value: set, read back, and turned into the settings of each part; it applies nothing.

mod family;
mod providers;
mod retrieval;
mod table;

use std::collections::BTreeMap;

use ai_core_anomaly::{DetectorConfig, ExemptUser, LogSql, Mode, RateAction};
use ai_core_llm::{LlmConfig, ProviderRow, SecretResolver, resolve_secret};
use mcp_config::VariableDef;

use crate::nl2sql::Nl2SqlConfig;

pub use family::{GenaiApply, genai_family};
pub use providers::ProviderState;
pub use retrieval::{RagFulltext, RagSetup, RagStoreKind};
pub use table::{GENAI_ALIASES, GENAI_VARIABLES};

/// Variables of the model side whose default means that the operator has set none.
const UNSET_AT_DEFAULT: &[&str] = &["embedding_uri", "rerank_uri"];

/// The settings of every part, made of variables. Parts agree with the variables at any time.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GenaiConfig {
    /// Models, embedding, reranking, money, cache.
    pub llm: LlmConfig,
    /// The detector.
    pub detector: DetectorConfig,
    /// Bounds, store and indexes of retrieval.
    pub rag: RagSetup,
    /// Text to SQL.
    pub nl2sql: Nl2SqlConfig,
    /// Whether questions are kept.
    pub history_enabled: bool,
    /// Questions kept.
    pub history_rows_max: usize,
    /// Age of the oldest question kept, in seconds.
    pub history_ttl_s: u64,
    values: BTreeMap<&'static str, String>,
}

impl Default for GenaiConfig {
    /// Everything at its default: models and detector are off.
    fn default() -> Self {
        let mut config = Self {
            llm: LlmConfig::default(),
            detector: DetectorConfig::default(),
            rag: RagSetup::default(),
            nl2sql: Nl2SqlConfig::default(),
            history_enabled: true,
            history_rows_max: 10_000,
            history_ttl_s: 2_592_000,
            values: BTreeMap::new(),
        };
        config.detector.enabled = false;
        config
    }
}

impl GenaiConfig {
    /// What a host starts with that nobody has configured: the detector records and never denies, no model is asked.
    #[must_use]
    pub fn hosted() -> Self {
        let mut config = Self::default();
        config.llm.enabled = true;
        config.detector.enabled = true;
        config.detector.mode = Mode::Log;
        config.rag.enabled = true;
        for (name, value) in [
            ("enabled", "true"),
            ("anomaly_enabled", "true"),
            ("anomaly_mode", "log"),
            ("rag_enabled", "true"),
        ] {
            config.values.insert(name, value.to_owned());
        }
        config
    }

    /// Sets one variable, named with or without `genai-`; all parts follow at once.
    ///
    /// # Errors
    /// A sentence that names the variable and what it accepts; nothing is changed then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let def = variable(name).ok_or_else(|| format!("there is no variable genai-{}", short(name)))?;
        let normal =
            def.normalise(value).map_err(|expected| format!("genai-{}: expected {expected}", def.name))?;
        let mut values = self.values.clone();
        values.insert(def.name, normal);
        let providers = std::mem::take(&mut self.llm.providers);
        match Self::resolved(values, providers.clone(), None) {
            Ok(config) => *self = config,
            Err(fault) => {
                self.llm.providers = providers;
                return Err(fault);
            }
        }
        Ok(())
    }

    /// The value of a variable, `***` for a secret that is set; `None` when there is no such variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let def = variable(name)?;
        let value = self.values.get(def.name).map_or(def.default, String::as_str);
        let masked = def.is_secret() && !value.is_empty();
        Some(if masked { mcp_config::MASK.to_owned() } else { value.to_owned() })
    }

    /// The settings of these variables; those that are not named are at their default.
    ///
    /// # Errors
    /// As [`set`](Self::set), every fault named.
    pub fn of(values: BTreeMap<&'static str, String>) -> Result<Self, String> {
        Self::resolved(values, Vec::new(), None)
    }

    /// The settings of these variables and providers; `profiles` knows the secrets behind `profile:` references.
    pub(crate) fn resolved(
        values: BTreeMap<&'static str, String>,
        providers: Vec<ProviderRow>,
        profiles: Option<&dyn SecretResolver>,
    ) -> Result<Self, String> {
        let mut config = Self::default();
        config.llm.providers = providers;
        let mut faults = Vec::new();
        for (name, value) in &values {
            if let Err(fault) = config.act(name, value, profiles) {
                faults.push(fault);
            }
        }
        // The master switch is over both of them.
        config.detector.enabled &= config.llm.enabled;
        faults.extend(config.llm.faults());
        faults.extend(config.rag.faults());
        if let Err(error) = config.detector.validate() {
            faults.push(error.to_string());
        }
        if !faults.is_empty() {
            return Err(faults.join("; "));
        }
        config.values = values;
        Ok(config)
    }

    fn act(
        &mut self,
        name: &'static str,
        value: &str,
        profiles: Option<&dyn SecretResolver>,
    ) -> Result<(), String> {
        let default = variable(name).map_or("", |def| def.default);
        if UNSET_AT_DEFAULT.contains(&name) && value == default {
            return Ok(());
        }
        if let Some(rest) = name.strip_prefix("anomaly_") {
            return self.act_anomaly(rest, value);
        }
        if self.rag.set(name, value) {
            return Ok(());
        }
        if let Some(rest) = name.strip_prefix("rag_") {
            return self.act_rag(rest, value);
        }
        let number = || value.parse::<u64>().map_err(|_| format!("genai-{name}: expected a whole number"));
        match name {
            "nl2sql_enabled" => self.nl2sql.enabled = value == "true",
            "nl2sql_timeout_ms" => self.nl2sql.timeout_ms = number()?,
            "nl2sql_max_tables" => self.nl2sql.tables_max = size(number()?),
            "nl2sql_examples" => self.nl2sql.examples_max = size(number()?),
            "nl2sql_max_repairs" => self.nl2sql.repairs_max = size(number()?),
            "query_history_enabled" => self.history_enabled = value == "true",
            "query_history_max_rows" => self.history_rows_max = size(number()?),
            "query_history_ttl_s" => self.history_ttl_s = number()?,
            _ => return self.act_llm(name, value, profiles),
        }
        Ok(())
    }

    fn act_llm(
        &mut self,
        name: &'static str,
        value: &str,
        profiles: Option<&dyn SecretResolver>,
    ) -> Result<(), String> {
        let secret = variable(name).is_some_and(VariableDef::is_secret);
        let known = if secret {
            let text =
                resolve_secret(value, true, profiles).map_err(|e| format!("genai-{name}: {}", e.message))?;
            self.llm.set_variable(name, text.expose())?
        } else {
            self.llm.set_variable(name, value)?
        };
        if known { Ok(()) } else { Err(format!("nothing acts on genai-{name}")) }
    }

    fn act_anomaly(&mut self, name: &str, value: &str) -> Result<(), String> {
        let full = || format!("genai-anomaly_{name}");
        let number = || value.parse::<u64>().map_err(|_| format!("{}: expected a whole number", full()));
        let small = || number().map(|n| u8::try_from(n).unwrap_or(u8::MAX));
        let medium = || number().map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let detector = &mut self.detector;
        match name {
            "enabled" => detector.enabled = value == "true",
            "auto_block" => detector.auto_block = value == "true",
            "log_only" => detector.log_only = value == "true",
            "threats_enabled" => detector.threats_enabled = value == "true",
            "fail_closed" => detector.fail_closed = value == "true",
            "risk_threshold" => detector.risk_threshold = small()?,
            "similarity_threshold" => detector.similarity_threshold = small()?,
            "rate_limit" => detector.rate_limit_per_s = medium()?,
            "rate_window_s" => detector.rate_window_s = medium()?,
            "rate_action" => {
                detector.rate_action = if value == "deny" { RateAction::Deny } else { RateAction::Flag };
            }
            "learning_min_queries" => detector.learning_min_queries = number()?,
            "learning_period_s" => detector.learning_period_s = number()?,
            "profile_max_keys" => detector.profile_keys_max = size(number()?),
            "profile_max_digests" => detector.profile_digests_max = size(number()?),
            "slow_ms" => detector.slow_ms = number()?,
            "rows_limit" => detector.rows_limit = number()?,
            "incident_max_rows" => detector.incident_rows_max = size(number()?),
            "incident_ttl_s" => detector.incident_ttl_s = number()?,
            "exempt_users" => detector.exempt_users = exempt_users(value)?,
            "mode" => {
                detector.mode = match value {
                    "learn" => Mode::Learn,
                    "log" => Mode::Log,
                    "enforce" => Mode::Enforce,
                    _ => Mode::Auto,
                }
            }
            "log_sql" => {
                detector.log_sql = match value {
                    "none" => LogSql::None,
                    "digest" => LogSql::Digest,
                    "full" => LogSql::Full,
                    _ => LogSql::Redacted,
                }
            }
            _ => return Err(format!("nothing acts on {}", full())),
        }
        Ok(())
    }

    fn act_rag(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number =
            value.parse::<u64>().map_err(|_| format!("genai-rag_{name}: expected a whole number"))?;
        let rag = &mut self.rag.limits;
        match name {
            "k_max" => rag.k_max = size(number),
            "candidates_max" => rag.candidates_max = size(number),
            "query_max_bytes" => rag.query_bytes_max = size(number),
            "response_max_bytes" => rag.response_bytes_max = size(number),
            "timeout_ms" => rag.timeout_ms = number,
            "max_ids" => rag.ids_max = size(number),
            "get_max_bytes" => rag.get_bytes_max = size(number),
            "fetch_max_rows" => rag.fetch_rows_max = size(number),
            "fetch_max_bytes" => rag.fetch_bytes_max = size(number),
            "sync_workers" => rag.sync_workers_max = size(number),
            "tombstone_ttl_s" => rag.tombstone_ttl_s = number,
            "log_ttl_s" => rag.log_ttl_s = number,
            "sync_interval_s" => rag.sync_interval_s = number,
            "full_sweep_interval_s" => rag.sweep_interval_s = number,
            "memory_max_bytes" => rag.memory_bytes_max = number,
            _ => return Err(format!("nothing acts on genai-rag_{name}")),
        }
        Ok(())
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn short(name: &str) -> &str {
    name.strip_prefix("genai-").unwrap_or(name)
}

/// A variable by its name or alias, with or without `genai-`.
fn variable(name: &str) -> Option<&'static VariableDef> {
    let name = short(name);
    let name = GENAI_ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, real)| real);
    GENAI_VARIABLES.iter().find(|def| def.name == name)
}

/// `user` or `user@address/prefix`, comma-separated.
fn exempt_users(text: &str) -> Result<Vec<ExemptUser>, String> {
    let parse = |part: &str| {
        let bad = || format!("genai-anomaly_exempt_users: {part:?} is no user or user@address/prefix");
        let Some((user, network)) = part.rsplit_once('@') else {
            return Ok(ExemptUser { user: part.to_owned(), network: None });
        };
        let (address, prefix) = network.split_once('/').map_or((network, None), |(a, p)| (a, Some(p)));
        let address: std::net::IpAddr = address.parse().map_err(|_| bad())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits: u8 = prefix.map_or(Ok(width), |p| p.parse().map_err(|_| bad()))?;
        if bits > width {
            return Err(bad());
        }
        Ok(ExemptUser { user: user.to_owned(), network: Some((address, bits)) })
    };
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(parse).collect()
}

#[cfg(test)]
mod tests;
