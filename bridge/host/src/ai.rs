//! The AI side as part of a host: model service, detector in front of every statement, tools, variables; it asks and judges nothing itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ai_core::Deadline;
use ai_core_anomaly::{Detector, LexicalEmbedder, Maintenance, SystemClock};
use ai_core_embed::HashedEmbedder;
use ai_core_llm::{HostModels, JournalStore, LlmDeps, LlmService, SecretResolver, SecretString};
use bridge_ai::{
    AiDeps, AiHistory, DETECTOR_ORDER, DetectorHook, EmbedIndexes, GatewayConnector, GenaiApply, GenaiConfig,
    ProviderState,
};
use harvest_gateway::{FailPolicy, Gateway, HookHandle};
use mcp_config::{Candidate, ConfigResult};
use mcp_tools::ToolDeps;

use crate::ai_stats::{self, Counted};
use crate::error::HostError;
use crate::runtime::ConfigConsumer;

/// The endpoint of models, detector and text to SQL.
pub(crate) const AI: &str = "/mcp/ai";

pub(crate) const AI_INSTRUCTIONS: &str = "Text to SQL, language models, vectors and the detector in front of every statement. \
ai.nl2sql_convert turns a question into one verified SELECT, which it does not run. \
ai.status shows what is configured; ai.embed and ai.rerank work without any provider. \
ai.anomaly_check judges a statement without running it.";

/// How long running model calls may take to end when the host closes.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How long a running build of an index may take to reach its next commit, in milliseconds.
const INDEXES_STOP_MS: u64 = 5_000;

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
        let connector = Arc::new(GatewayConnector::new(Arc::clone(&tools.gateway)));
        let indexes = EmbedIndexes::open(
            &folder.join("embed_indexes.db"),
            service.embedder(),
            connector,
            config.rag.limits.clone(),
        )?;
        let me = Self {
            deps: AiDeps::new(tools.clone(), service, detector, history).with_indexes(Arc::new(indexes)),
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
        if let Some(indexes) = &self.deps.indexes {
            indexes.shutdown(Deadline::after_ms(INDEXES_STOP_MS));
        }
        self.deps.service.stop(STOP_GRACE);
        drop(self.hooks.lock().unwrap_or_else(PoisonError::into_inner).take());
        drop(self.maintenance.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Where the `genai-*` variables arrive: before the AI side runs they wait here, then they reach it.
pub(crate) struct AiSwitch {
    latest: Mutex<GenaiConfig>,
    side: OnceLock<Arc<AiSide>>,
    counted: OnceLock<Counted>,
    /// Passwords of the running auth profiles: keys may name them.
    profiles: Mutex<BTreeMap<String, SecretString>>,
}

impl AiSwitch {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            latest: Mutex::new(GenaiConfig::hosted()),
            side: OnceLock::new(),
            counted: OnceLock::new(),
            profiles: Mutex::default(),
        })
    }

    /// The configuration that runs.
    pub(crate) fn config(&self) -> GenaiConfig {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Further figures of `stats_genai_global`.
    pub(crate) fn count_also(&self, counted: Counted) {
        if let Some(side) = self.side.get() {
            crate::rag::serve_default(&counted.rag, &side.deps.service);
        }
        // A host opens its parts once.
        let _ = self.counted.set(counted);
    }

    /// Starts the AI side with what has arrived.
    pub(crate) fn start(&self, data_dir: &Path, tools: &ToolDeps) -> Result<Arc<AiSide>, HostError> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let side = Arc::new(AiSide::open(data_dir, &latest, tools)?);
        Ok(Arc::clone(self.side.get_or_init(|| side)))
    }

    /// Everything that is counted, by name.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let side = self.side.get().map(|side| ai_stats::side_rows(side, self.config().llm.threads));
        let others = self.counted.get().map(Counted::rows);
        let rows = side.into_iter().chain(others).flatten();
        rows.map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl GenaiApply for AiSwitch {
    fn apply(&self, config: &GenaiConfig) -> Result<(), String> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(side) = self.side.get() {
            side.apply(config).map_err(|error| error.message)?;
        }
        if let Some(counted) = self.counted.get() {
            counted.rag.set_limits(config.rag.limits.clone());
            counted.rag.set_enabled(config.rag.enabled);
        }
        *latest = config.clone();
        Ok(())
    }

    fn running(&self) -> Option<GenaiConfig> {
        self.side.get().map(|_| self.config())
    }

    fn provider(&self, name: &str) -> Option<ProviderState> {
        let (bridge, _) = self.side.get()?.deps.service.status();
        let found = bridge.providers.iter().find(|provider| provider.name == name)?;
        Some(ProviderState::new(found.breaker_open, found.attempts, found.failures))
    }

    fn profiles(&self) -> Option<&dyn SecretResolver> {
        Some(self)
    }

    fn status(&self) -> Vec<(String, String)> {
        self.rows()
    }
}

impl SecretResolver for AiSwitch {
    fn resolve(&self, id: &str) -> ai_core::AiResult<SecretString> {
        let found = self.profiles.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        found.ok_or_else(|| {
            let message =
                format!("there is no running auth profile {id:?}: LOAD MCP PROFILES TO RUNTIME first");
            ai_core::AiError::new(ai_core::AiErrorCode::NotFound, message)
        })
    }
}

impl ConfigConsumer for AiSwitch {
    fn check(&self, _: &Candidate) -> ConfigResult<()> {
        Ok(())
    }

    fn apply(&self, candidate: &Candidate) {
        let secret = |row: mcp_config::RowView<'_>| {
            // What cannot be resolved was refused before, with its target.
            let text = mcp_config::resolve_secret(row.text("db_password"), &candidate.data_dir).ok()?;
            Some((row.text("auth_profile_id").to_owned(), SecretString::new(text)))
        };
        let found = candidate.rows("mcp_auth_profiles").filter_map(secret).collect();
        *self.profiles.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}
