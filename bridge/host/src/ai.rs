//! The AI side as part of a host: model service, detector in front of every statement, tools, variables; it asks and judges nothing itself.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ai_core_anomaly::{Detector, LexicalEmbedder, Maintenance, SystemClock};
use ai_core_embed::HashedEmbedder;
use ai_core_llm::{HostModels, JournalStore, LlmDeps, LlmService};
use bridge_ai::{AiDeps, AiHistory, DETECTOR_ORDER, DetectorHook, GenaiApply, GenaiConfig};
use harvest_gateway::{FailPolicy, Gateway, HookHandle};
use mcp_tools::ToolDeps;

use crate::error::HostError;

/// The endpoint of models, detector and text to SQL.
pub(crate) const AI: &str = "/mcp/ai";

pub(crate) const AI_INSTRUCTIONS: &str = "Text to SQL, language models, vectors and the detector in front of every statement. \
ai.nl2sql_convert turns a question into one verified SELECT, which it does not run. \
ai.status shows what is configured; ai.embed and ai.rerank work without any provider. \
ai.anomaly_check judges a statement without running it.";

/// How long running model calls may take to end when the host closes.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// The running AI side; closing it takes the detector out of the pipeline and writes its last snapshot.
pub(crate) struct AiSide {
    pub(crate) deps: AiDeps,
    gateway: Arc<Gateway>,
    /// Whether a failing detector refuses, and what keeps it in the pipeline.
    hooks: Mutex<Option<(bool, [HookHandle; 2])>>,
    maintenance: Mutex<Option<Maintenance>>,
}

impl AiSide {
    /// Starts everything; nothing goes over the network.
    fn open(data_dir: &Path, config: &GenaiConfig, tools: &ToolDeps) -> Result<Self, HostError> {
        let folder = data_dir.join("ai");
        let history = Arc::new(AiHistory::default());
        let store = JournalStore::open(&folder)?;
        let deps =
            LlmDeps::default().with_store(Arc::new(store)).with_history(Arc::clone(&history) as Arc<_>);
        let models = HostModels::with_builtin(Arc::new(HashedEmbedder::default()));
        let service = LlmService::start(config.llm.clone(), deps, models)?;
        let snapshot = folder.join("anomaly.json");
        let detector = Detector::open(config.detector.clone(), Arc::new(SystemClock::default()), &snapshot)
            .map_err(|e| HostError::file(&snapshot, std::io::Error::other(e.to_string())))?;
        let detector = Arc::new(detector);
        let maintenance =
            Maintenance::start(Arc::clone(&detector), Box::new(LexicalEmbedder), Some(snapshot))
                .map_err(|e| HostError::file("thread of the detector", e))?;
        let me = Self {
            deps: AiDeps::new(tools.clone(), service, detector, history),
            gateway: Arc::clone(&tools.gateway),
            hooks: Mutex::new(None),
            maintenance: Mutex::new(maintenance),
        };
        me.apply(config)?;
        Ok(me)
    }

    /// Puts settings into use: all of them, or none.
    fn apply(&self, config: &GenaiConfig) -> Result<(), ai_core::AiError> {
        // Whatever may refuse goes first: the detector's settings were checked when the configuration was made.
        self.deps.service.reload(config.llm.clone())?;
        self.deps
            .detector
            .set_config(config.detector.clone())
            .map_err(|e| ai_core::AiError::invalid(e.to_string()))?;
        self.deps.history.configure(config.history_enabled, config.history_rows_max, config.history_ttl_s);
        self.deps.nl2sql.store(Arc::new(config.nl2sql.clone()));
        self.hook(config.detector.fail_closed);
        Ok(())
    }

    /// Puts the detector in front of every statement, unless it is there with the same policy.
    fn hook(&self, closed: bool) {
        let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        if hooks.as_ref().is_some_and(|(now, _)| *now == closed) {
            return;
        }
        let policy = if closed { FailPolicy::Closed } else { FailPolicy::Open };
        let hook = Arc::new(DetectorHook::new(Arc::clone(&self.deps.detector)));
        let registry = self.gateway.hooks();
        // The old ones go afterwards, so that no statement passes unjudged.
        let fresh = [
            registry.before(DETECTOR_ORDER, policy, Arc::clone(&hook) as Arc<_>),
            registry.after(DETECTOR_ORDER, hook),
        ];
        *hooks = Some((closed, fresh));
    }

    /// Ends model calls and background work.
    pub(crate) fn close(&self) {
        self.deps.service.stop(STOP_GRACE);
        drop(self.hooks.lock().unwrap_or_else(PoisonError::into_inner).take());
        drop(self.maintenance.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Where the `genai-*` variables arrive: before the AI side runs they wait here, then they reach it.
pub(crate) struct AiSwitch {
    latest: Mutex<GenaiConfig>,
    side: OnceLock<Arc<AiSide>>,
}

impl AiSwitch {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { latest: Mutex::new(GenaiConfig::hosted()), side: OnceLock::new() })
    }

    /// The configuration that runs.
    pub(crate) fn config(&self) -> GenaiConfig {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts the AI side with what has arrived.
    pub(crate) fn start(&self, data_dir: &Path, tools: &ToolDeps) -> Result<Arc<AiSide>, HostError> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let side = Arc::new(AiSide::open(data_dir, &latest, tools)?);
        Ok(Arc::clone(self.side.get_or_init(|| side)))
    }
}

impl GenaiApply for AiSwitch {
    fn apply(&self, config: &GenaiConfig) -> Result<(), String> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(side) = self.side.get() {
            side.apply(config).map_err(|error| error.message)?;
        }
        *latest = config.clone();
        Ok(())
    }

    fn status(&self) -> Vec<(String, String)> {
        let Some(side) = self.side.get() else { return Vec::new() };
        let (bridge, pool) = side.deps.service.status();
        let (choice, stats) = (side.deps.service.choice(), side.deps.detector.stats());
        let rows = [
            ("genai_threads_initialized", self.config().llm.threads.to_string()),
            ("genai_active_requests", pool.active.to_string()),
            ("genai_completed_requests", pool.completed.to_string()),
            ("genai_failed_requests", pool.failed.to_string()),
            ("genai_queued_requests", pool.queued.to_string()),
            ("genai_rejected_requests", pool.rejected.to_string()),
            ("genai_cancelled_requests", pool.cancelled.to_string()),
            ("genai_expired_requests", pool.expired.to_string()),
            ("genai_snapshot_generation", bridge.generation.to_string()),
            ("genai_embedding_provider", choice.embedding_provider),
            ("genai_embedding_model", choice.embedding_model),
            ("llm_total_requests", bridge.total_requests.to_string()),
            ("llm_cache_hits", (bridge.cache.exact_hits + bridge.cache.semantic_hits).to_string()),
            ("llm_cache_misses", bridge.cache.misses.to_string()),
            ("llm_cache_lookups", bridge.cache.lookups.to_string()),
            ("llm_cache_stores", bridge.cache.stores.to_string()),
            ("llm_cache_entries", bridge.cache.entries.to_string()),
            ("llm_cache_evictions", bridge.cache.evictions.to_string()),
            ("llm_local_model_calls", bridge.local_model_calls.to_string()),
            ("llm_cloud_model_calls", bridge.cloud_model_calls.to_string()),
            ("llm_cloud_requests_last_hour", bridge.spend.cloud_requests_last_hour.to_string()),
            ("llm_input_tokens", bridge.input_tokens.to_string()),
            ("llm_output_tokens", bridge.output_tokens.to_string()),
            ("llm_retries", bridge.retries.to_string()),
            ("daily_cloud_spend_usd", bridge.spend.daily.dollars().to_string()),
            ("anomaly_total_checks", stats.total_checks.to_string()),
            ("anomaly_blocked_queries", stats.denied.to_string()),
            ("anomaly_flagged_queries", stats.flagged.to_string()),
            ("anomaly_profiles", stats.profiles.to_string()),
            ("anomaly_threat_patterns", stats.threat_patterns.to_string()),
            ("anomaly_async_dropped", stats.async_dropped.to_string()),
        ];
        rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
