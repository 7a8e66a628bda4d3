//! What the tools of `/mcp/ai` stand on; it does no work.

use std::sync::Arc;

use ai_core::LlmClient;
use ai_core_anomaly::Detector;
use ai_core_llm::LlmService;
use arc_swap::ArcSwap;
use mcp_tools::ToolDeps;

use super::history::AiHistory;
use crate::indexes::EmbedIndexes;
use crate::linking::SchemaLinker;
use crate::nl2sql::Nl2SqlConfig;

/// Everything that the tools need. Cheap to clone.
#[derive(Clone)]
#[non_exhaustive]
pub struct AiDeps {
    /// Pipeline, catalog and page tokens.
    pub tools: ToolDeps,
    /// Models, embedding, reranking, money and cache.
    pub service: LlmService,
    /// Who answers questions: the service, unless a host puts another in its place.
    pub model: Arc<dyn LlmClient>,
    /// The detector.
    pub detector: Arc<Detector>,
    /// What was asked.
    pub history: Arc<AiHistory>,
    /// Settings of text to SQL, swapped while it runs.
    pub nl2sql: Arc<ArcSwap<Nl2SqlConfig>>,
    /// Finds the tables of a question.
    pub linker: Arc<SchemaLinker>,
    /// Embedding indexes, where the host keeps any.
    pub indexes: Option<Arc<EmbedIndexes>>,
}

impl AiDeps {
    /// Tools over a running service and detector. The history should be the one that the service reports to.
    #[must_use]
    pub fn new(
        tools: ToolDeps,
        service: LlmService,
        detector: Arc<Detector>,
        history: Arc<AiHistory>,
    ) -> Self {
        let (nl2sql, linker) = (Arc::default(), Arc::default());
        let model = Arc::new(service.clone());
        Self { tools, model, service, detector, history, nl2sql, linker, indexes: None }
    }

    /// Adds embedding indexes and their tools.
    #[must_use]
    pub fn with_indexes(mut self, indexes: Arc<EmbedIndexes>) -> Self {
        self.indexes = Some(indexes);
        self
    }

    /// Puts another model in place of the service's providers.
    #[must_use]
    pub fn with_model(mut self, model: Arc<dyn LlmClient>) -> Self {
        self.model = model;
        self
    }
}

impl std::fmt::Debug for AiDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AiDeps").finish_non_exhaustive()
    }
}
