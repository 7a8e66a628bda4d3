//! The `genai-*` variables as a family of the layered configuration; it knows neither the parts nor how they are replaced.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcp_config::{Applied, Candidate, ConfigResult, Family, Runtime, VARIABLES, refused};

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
}

struct GenaiRuntime(Arc<dyn GenaiApply>);

impl Runtime for GenaiRuntime {
    fn apply(&self, candidate: &Candidate) -> ConfigResult<Applied> {
        let config = config_of(candidate)?;
        self.0.apply(&config).map_err(|cause| refused(VARIABLES, None, cause))?;
        Ok(Applied::default())
    }

    fn status(&self) -> Vec<(String, String)> {
        self.0.status()
    }
}

fn config_of(candidate: &Candidate) -> ConfigResult<GenaiConfig> {
    let variables = candidate.variables();
    let values: BTreeMap<&'static str, String> =
        GENAI_VARIABLES.iter().map(|def| (def.name, variables.text(def.name).to_owned())).collect();
    GenaiConfig::of(values).map_err(|cause| refused(VARIABLES, None, cause))
}

fn check(candidate: &mut Candidate) -> ConfigResult<()> {
    config_of(candidate).map(|_| ())
}

/// The family `GENAI`: `LOAD GENAI VARIABLES TO RUNTIME` and its kin end in `apply`. A fresh installation has the values
/// that `fresh` sets, and else those of the table.
#[must_use]
pub fn genai_family(apply: Arc<dyn GenaiApply>, fresh: &GenaiConfig) -> Family {
    Family {
        name: "GENAI",
        prefix: "genai-",
        section: "genai",
        variables: GENAI_VARIABLES,
        aliases: GENAI_ALIASES,
        start_values: fresh.values.clone(),
        modules: &[],
        check,
        report: |_, _| None,
        skipped: |_, _| Vec::new(),
        runtime: Arc::new(GenaiRuntime(apply)),
    }
}
