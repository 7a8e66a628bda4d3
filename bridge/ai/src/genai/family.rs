//! The `genai-*` variables and the provider table as a family of the layered configuration; it knows neither the parts nor how
//! they are replaced.

use std::collections::BTreeMap;
use std::sync::Arc;

use ai_core::AiResult;
use ai_core_llm::{SecretResolver, SecretString};
use mcp_config::{Applied, Candidate, Cell, ConfigResult, Family, Row, RowView, Runtime, VARIABLES, refused};

use super::providers::{self, MODULES, PROVIDERS, ProviderState};
use super::{GENAI_ALIASES, GENAI_VARIABLES, GenaiConfig};

/// Puts a whole configuration into use: everything or nothing.
pub trait GenaiApply: Send + Sync {
    /// Applies it.
    ///
    /// # Errors
    /// A sentence with the part and the cause; what ran before goes on then.
    fn apply(&self, config: &GenaiConfig) -> Result<(), String>;

    /// Rows of `SHOW GENAI STATUS`.
    fn status(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// How a provider does; `None` before it is in use.
    fn provider(&self, name: &str) -> Option<ProviderState> {
        let _ = name;
        None
    }

    /// What runs.
    fn running(&self) -> Option<GenaiConfig> {
        None
    }

    /// Resolves `profile:<auth_profile_id>` in keys, where the host has such profiles.
    fn profiles(&self) -> Option<&dyn SecretResolver> {
        None
    }
}

struct GenaiRuntime(Arc<dyn GenaiApply>);

impl Runtime for GenaiRuntime {
    fn apply(&self, candidate: &Candidate) -> ConfigResult<Applied> {
        let config = config_of(candidate, self.0.profiles())?;
        self.0.apply(&config).map_err(|cause| refused(VARIABLES, None, cause))?;
        Ok(Applied::default())
    }

    fn live(&self, row: &RowView<'_>) -> Vec<(&'static str, Cell)> {
        providers::live(row, self.0.provider(row.text("name")).as_ref())
    }

    fn beside(&self, table: &str) -> Vec<Row> {
        if table != providers::TABLE {
            return Vec::new();
        }
        self.0
            .running()
            .map(|config| vec![providers::default_row(&config, self.0.provider("default").as_ref())])
            .unwrap_or_default()
    }

    fn status(&self) -> Vec<(String, String)> {
        self.0.status()
    }
}

fn config_of(candidate: &Candidate, profiles: Option<&dyn SecretResolver>) -> ConfigResult<GenaiConfig> {
    let rows = providers::rows(candidate, profiles)?;
    let variables = candidate.variables();
    let values: BTreeMap<&'static str, String> =
        GENAI_VARIABLES.iter().map(|def| (def.name, variables.text(def.name).to_owned())).collect();
    GenaiConfig::resolved(values, rows, profiles).map_err(|cause| refused(VARIABLES, None, cause))
}

/// Accepts every profile: which ones there are is known only when the candidate is applied.
struct AnyProfile;

impl SecretResolver for AnyProfile {
    fn resolve(&self, _id: &str) -> AiResult<SecretString> {
        Ok(SecretString::new("unknown yet"))
    }
}

fn check(candidate: &mut Candidate) -> ConfigResult<()> {
    config_of(candidate, Some(&AnyProfile)).map(|_| ())
}

fn report(candidate: &Candidate, module: &str) -> Option<String> {
    let (all, idle) = (candidate.rows(providers::TABLE).count(), skipped(candidate, module).len());
    (module == PROVIDERS).then(|| format!("{} of {all} providers effective", all - idle))
}

fn skipped(candidate: &Candidate, module: &str) -> Vec<(String, String)> {
    if module != PROVIDERS {
        return Vec::new();
    }
    let idle = candidate.rows(providers::TABLE).filter(|row| !providers::skip_reason(row).is_empty());
    idle.map(|row| (row.text("name").to_owned(), providers::skip_reason(&row).to_owned())).collect()
}

/// The family `GENAI`: `LOAD GENAI VARIABLES TO RUNTIME`, `LOAD GENAI PROVIDERS TO RUNTIME` and their kin end in `apply`. A fresh
/// installation has the values that `fresh` sets, and else those of the table.
#[must_use]
pub fn genai_family(apply: Arc<dyn GenaiApply>, fresh: &GenaiConfig) -> Family {
    Family {
        name: "GENAI",
        prefix: "genai-",
        section: "genai",
        variables: GENAI_VARIABLES,
        aliases: GENAI_ALIASES,
        start_values: fresh.values.clone(),
        modules: MODULES,
        check,
        report,
        skipped,
        runtime: Arc::new(GenaiRuntime(apply)),
    }
}
