//! What the catalog-backed tools share beyond the query tools; it knows no tool.

use std::sync::{Arc, PoisonError, RwLock};

use harvest_catalog::{Catalog, DataIndexes, DataLimits, LogWriter};
use mcp::{ChangeFeed, ToolError, ToolResult};

use crate::deps::ToolDeps;

/// Bounds that an operator sets; the names are those of the variables.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CatalogSettings {
    /// `mcp-discovery_timeout_ms`.
    pub discovery_timeout_ms: u64,
    /// `mcp-discovery_max_objects`.
    pub discovery_objects_max: usize,
    /// `mcp-discovery_max_value_checks`.
    pub discovery_value_checks_max: usize,
    /// `mcp-catalog_max_runs_per_target`.
    pub runs_max_per_target: usize,
    /// `mcp-catalog_run_retention_days`.
    pub run_retention_days: u32,
    /// `mcp-template_reuse_score`.
    pub template_reuse_score: f64,
    /// `mcp-fts_max_rows`.
    pub fts_rows_max: u64,
    /// `mcp-fts_max_bytes`.
    pub fts_bytes_max: u64,
    /// Whether `tools/list` advertises names with `_` instead of `.`; prompts name tools alike.
    pub underscore_names: bool,
}

impl Default for CatalogSettings {
    fn default() -> Self {
        let limits = DataLimits::default();
        Self {
            discovery_timeout_ms: 600_000,
            discovery_objects_max: 200_000,
            discovery_value_checks_max: 200,
            runs_max_per_target: 20,
            run_retention_days: 90,
            template_reuse_score: 0.8,
            fts_rows_max: limits.rows_max,
            fts_bytes_max: limits.bytes_max,
            underscore_names: false,
        }
    }
}

/// Calls of one tool with one schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are those of the counters")]
pub struct ToolUsageRow {
    pub endpoint: String,
    pub tool: String,
    pub schema: String,
    pub count: u64,
    pub errors: u64,
    pub first_seen: i64,
    pub last_seen: i64,
    /// Microseconds.
    pub sum_time: u64,
    /// Microseconds.
    pub min_time: u64,
    /// Microseconds.
    pub max_time: u64,
}

impl ToolUsageRow {
    /// A row without calls.
    pub fn new(endpoint: impl Into<String>, tool: impl Into<String>, schema: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into(), tool: tool.into(), schema: schema.into(), ..Self::default() }
    }
}

/// Counts calls of tools; the host's counters or the catalog's log.
pub trait ToolUsageSource: Send + Sync {
    /// The counters, since the last reset or since ever.
    ///
    /// # Errors
    /// Any failure of the source.
    fn usage(&self, since_reset: bool) -> ToolResult<Vec<ToolUsageRow>>;
}

/// Everything that the catalog-backed tools need. Cheap to clone.
#[derive(Clone)]
#[non_exhaustive]
pub struct CatalogDeps {
    /// The gateway, the catalog, page tokens.
    pub tools: ToolDeps,
    /// Data indexes; without them `fts_*` answer `FAILED_PRECONDITION`.
    pub data: Option<DataIndexes>,
    /// Where searches are logged.
    pub logs: Option<Arc<LogWriter>>,
    /// Hears of new runs.
    pub changes: Option<ChangeFeed>,
    /// Counts calls; without it the catalog's log answers.
    pub usage: Option<Arc<dyn ToolUsageSource>>,
    settings: Arc<RwLock<Arc<CatalogSettings>>>,
}

impl CatalogDeps {
    /// Tools over these parts with the usual bounds.
    #[must_use]
    pub fn new(tools: ToolDeps, data: Option<DataIndexes>) -> Self {
        Self { tools, data, logs: None, changes: None, usage: None, settings: Arc::default() }
    }

    /// Logs searches.
    #[must_use]
    pub fn with_logs(mut self, logs: Arc<LogWriter>) -> Self {
        self.logs = Some(logs);
        self
    }

    /// Tells of new runs.
    #[must_use]
    pub fn with_changes(mut self, changes: ChangeFeed) -> Self {
        self.changes = Some(changes);
        self
    }

    /// Takes counters from the host.
    #[must_use]
    pub fn with_usage(mut self, usage: Arc<dyn ToolUsageSource>) -> Self {
        self.usage = Some(usage);
        self
    }

    /// The bounds in force.
    #[must_use]
    pub fn settings(&self) -> Arc<CatalogSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the bounds, for every clone.
    pub fn set_settings(&self, settings: CatalogSettings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    pub(crate) fn catalog(&self) -> ToolResult<&Catalog> {
        self.tools.catalog()
    }

    pub(crate) fn data(&self) -> ToolResult<&DataIndexes> {
        self.data.as_ref().ok_or_else(|| {
            ToolError::precondition("this server runs without a store for data indexes: set mcp-fts_path")
                .with("reason", "no data index store")
        })
    }
}

impl std::fmt::Debug for CatalogDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CatalogDeps").field("tools", &self.tools).finish_non_exhaustive()
    }
}
