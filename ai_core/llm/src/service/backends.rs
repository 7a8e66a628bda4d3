//! The services behind the pool: which embedder and reranker a configuration chooses, and the workers' calls to them.

use std::sync::Arc;
use std::time::Instant;

use ai_core::{
    AiError, AiErrorCode, AiResult, CallContext, Deadline, EmbedKind, Embedder, LlmClient, LlmDelta,
    LlmError, LlmFlow, LlmRequest, LlmResponse, Reranker,
};
use arc_swap::ArcSwap;

use crate::bridge::LlmBridge;
use crate::config::{EMBEDDING_URI_DEFAULT, EmbeddingChoice, LlmConfig, RERANK_URI_DEFAULT, RerankChoice};
use crate::embed_http::{HttpEmbedder, HttpEmbedderConfig};
use crate::pool_job::JobRunner;
use crate::rerank::{HttpReranker, HttpRerankerConfig, LexicalReranker};

/// Models that the host brings along.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct HostModels {
    /// The embedder of `builtin`.
    pub builtin_embedder: Option<Arc<dyn Embedder>>,
    /// The embedder of `local`, from `embedding_model_path`.
    pub local_embedder: Option<Arc<dyn Embedder>>,
    /// The reranker of `local`, from `rerank_model_path`.
    pub local_reranker: Option<Arc<dyn Reranker>>,
}

impl HostModels {
    /// Only a built-in embedder.
    #[must_use]
    pub fn with_builtin(embedder: Arc<dyn Embedder>) -> Self {
        Self { builtin_embedder: Some(embedder), ..Self::default() }
    }
}

pub(super) enum EmbedBackend {
    Http(Arc<HttpEmbedder>),
    Host(Arc<dyn Embedder>),
    Missing(&'static str),
}

pub(super) enum RerankBackend {
    Http(Arc<HttpReranker>),
    Host(Arc<dyn Reranker>),
    Builtin,
    Missing(&'static str),
}

impl EmbedBackend {
    const fn word(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Host(_) => "host",
            Self::Missing(_) => "none",
        }
    }
}

impl RerankBackend {
    const fn word(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Host(_) => "host",
            Self::Builtin => "builtin",
            Self::Missing(_) => "none",
        }
    }
}

fn outcome<T>(result: &AiResult<T>) -> &'static str {
    result.as_ref().map_or_else(|e| e.code.as_str(), |_| "ok")
}

/// The services that one configuration chose, with the settings that made them.
pub(super) struct Services {
    pub(super) embed: EmbedBackend,
    embed_made_of: Option<HttpEmbedderConfig>,
    pub(super) rerank: RerankBackend,
    rerank_made_of: Option<HttpRerankerConfig>,
}

/// What the pool's workers run.
pub(super) struct Runner {
    pub(super) bridge: Arc<LlmBridge>,
    pub(super) services: ArcSwap<Services>,
    pub(super) models: HostModels,
}

impl JobRunner for Runner {
    fn embed(
        &self,
        model: &str,
        inputs: &[&str],
        kind: EmbedKind,
        call: &CallContext,
    ) -> AiResult<Vec<Vec<f32>>> {
        let started = Instant::now();
        let services = self.services.load();
        let result = match &services.embed {
            EmbedBackend::Http(http) => http.embed_for(model, inputs, kind, call),
            EmbedBackend::Host(host) => {
                let deadline = call.deadline.unwrap_or_else(|| Deadline::after_ms(Deadline::MAX_MS));
                check_model(model, &host.info().model).and_then(|()| host.embed(inputs, kind, deadline))
            }
            EmbedBackend::Missing(why) => Err(AiError::new(AiErrorCode::FailedPrecondition, *why)),
        };
        let provider = ("provider", services.embed.word());
        let metrics = &self.bridge.metrics;
        metrics.count("embed_requests_total", &[provider, ("outcome", outcome(&result))], 1.0);
        metrics.observe_seconds("embed_seconds", &[provider], started.elapsed().as_secs_f64());
        metrics.observe_size("embed_batch_size", &[provider], inputs.len());
        result
    }

    fn rerank(&self, model: &str, query: &str, documents: &[&str], call: &CallContext) -> AiResult<Vec<f32>> {
        let started = Instant::now();
        let services = self.services.load();
        let result = match &services.rerank {
            RerankBackend::Http(http) => http.scores(model, query, documents, call),
            RerankBackend::Builtin => {
                check_model(model, "builtin").map(|()| LexicalReranker::scores(query, documents))
            }
            RerankBackend::Host(host) => {
                let deadline = call.deadline.unwrap_or_else(|| Deadline::after_ms(Deadline::MAX_MS));
                check_model(model, &host.model()).and_then(|()| host.rerank(query, documents, deadline))
            }
            RerankBackend::Missing(why) => Err(AiError::new(AiErrorCode::FailedPrecondition, *why)),
        };
        let provider = ("provider", services.rerank.word());
        let metrics = &self.bridge.metrics;
        metrics.count("rerank_requests_total", &[provider, ("outcome", outcome(&result))], 1.0);
        metrics.observe_seconds("rerank_seconds", &[provider], started.elapsed().as_secs_f64());
        result
    }

    fn llm(
        &self,
        request: &LlmRequest,
        call: &CallContext,
        on_delta: Option<&mut dyn FnMut(LlmDelta) -> LlmFlow>,
    ) -> Result<LlmResponse, LlmError> {
        match on_delta {
            Some(on_delta) => self.bridge.stream(request, call, on_delta),
            None => self.bridge.complete(request, call),
        }
    }
}

fn check_model(wanted: &str, have: &str) -> AiResult<()> {
    if wanted.is_empty() || wanted == have {
        return Ok(());
    }
    Err(AiError::invalid(format!("model '{wanted}' is not served here; the configured one is '{have}'")))
}

pub(super) fn choose(bridge: &LlmBridge, models: &HostModels, old: Option<&Services>) -> Services {
    let snapshot = bridge.snapshot();
    let config = &snapshot.config;
    let host = |model: &Option<Arc<dyn Embedder>>, why| match model {
        Some(model) => EmbedBackend::Host(model.clone()),
        None => EmbedBackend::Missing(why),
    };
    let embed_made_of = embed_settings(config);
    let embed = match (&embed_made_of, config.embedding_provider) {
        (Some(made_of), _) => match old {
            Some(Services { embed: EmbedBackend::Http(same), embed_made_of: Some(before), .. })
                if before == made_of =>
            {
                EmbedBackend::Http(same.clone())
            }
            _ => EmbedBackend::Http(Arc::new(HttpEmbedder::with_purse(
                made_of.clone(),
                bridge.clock.clone(),
                Some(bridge.purse()),
            ))),
        },
        (None, EmbeddingChoice::Local) => host(&models.local_embedder, "no local embedding model is loaded"),
        (None, _) => host(&models.builtin_embedder, "the host has no built-in embedder"),
    };
    let rerank_made_of = rerank_settings(config);
    let rerank =
        match (&rerank_made_of, config.rerank_provider) {
            (Some(made_of), _) => match old {
                Some(Services {
                    rerank: RerankBackend::Http(same), rerank_made_of: Some(before), ..
                }) if before == made_of => RerankBackend::Http(same.clone()),
                _ => RerankBackend::Http(Arc::new(HttpReranker::with_purse(
                    made_of.clone(),
                    bridge.clock.clone(),
                    Some(bridge.purse()),
                ))),
            },
            (None, RerankChoice::Local) => match &models.local_reranker {
                Some(model) => RerankBackend::Host(model.clone()),
                None => RerankBackend::Missing("no local rerank model is loaded"),
            },
            (None, _) => RerankBackend::Builtin,
        };
    Services { embed, embed_made_of, rerank, rerank_made_of }
}

/// The HTTP embedding service of this configuration, if it chooses one.
fn embed_settings(config: &LlmConfig) -> Option<HttpEmbedderConfig> {
    let provider = match config.embedding_provider {
        EmbeddingChoice::Openai => "openai",
        EmbeddingChoice::LlamaCpp => "llama_cpp",
        // The shape of the question follows the path, that of the answer is recognised.
        EmbeddingChoice::Auto if config.embedding_uri.is_some() || !config.embedding_model.is_empty() => {
            "llama_cpp"
        }
        _ => return None,
    };
    let url = config.embedding_uri.as_deref().unwrap_or(EMBEDDING_URI_DEFAULT);
    let mut settings = HttpEmbedderConfig::new(url);
    settings.provider = provider.to_owned();
    settings.model.clone_from(&config.embedding_model);
    settings.key = config.embedding_key.clone();
    settings.timeout_ms = config.embedding_timeout_ms;
    settings.batch_size = config.embedding_batch_size;
    settings.retries_max = config.llm_max_retries;
    settings.backoff_ms = config.llm_retry_backoff_ms;
    settings.cache_entries = config.embedding_cache_entries;
    Some(settings)
}

fn rerank_settings(config: &LlmConfig) -> Option<HttpRerankerConfig> {
    let wanted = config.rerank_uri.is_some() || !config.rerank_model.is_empty();
    match config.rerank_provider {
        RerankChoice::Http => {}
        RerankChoice::Auto if wanted => {}
        _ => return None,
    }
    let mut settings = HttpRerankerConfig::new(config.rerank_uri.as_deref().unwrap_or(RERANK_URI_DEFAULT));
    settings.model.clone_from(&config.rerank_model);
    settings.key = config.rerank_key.clone();
    settings.timeout_ms = config.rerank_timeout_ms;
    settings.retries_max = config.llm_max_retries;
    settings.backoff_ms = config.llm_retry_backoff_ms;
    Some(settings)
}
