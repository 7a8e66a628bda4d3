//! Retrieval as part of a host: the engine over the host's targets and its background work; it searches nothing itself.

use std::path::Path;
use std::sync::Arc;

use ai_core::{AiError, AiErrorCode, AiResult, Deadline, Embedder, TextIndexOpener};
use ai_core_embed::HashedEmbedder;
use ai_core_llm::{HttpEmbedder, HttpEmbedderConfig, LlmService, resolve_secret};
use ai_core_rag::{Database, Embedding, Fulltext, Rag, SourceConfig};
use bridge_ai::{GatewayConnector, RagFulltext, RagSetup, RagStoreKind};
use harvest_gateway::Gateway;

use crate::error::HostError;
use crate::host::Host;

/// The endpoint of retrieval.
pub(crate) const RAG: &str = "/mcp/rag";
/// The provider's name of the built-in embedder in sources.
pub(crate) const BUILTIN: &str = "builtin";

pub(crate) const RAG_INSTRUCTIONS: &str = "Search over documents made from database rows and files. \
Begin with rag.search_hybrid in plain words, read the best hits in full with rag.get_chunks or rag.get_docs, \
and fetch current rows with rag.fetch_from_source. rag.admin.sources shows what is indexed.";

/// Opens the engine as configured, over the host's targets, with the built-in lexical embedder and those over HTTP.
pub(crate) fn open(data_dir: &Path, gateway: &Arc<Gateway>, setup: RagSetup) -> Result<Arc<Rag>, HostError> {
    let mut builder = Rag::builder(data_dir.join(&setup.path))
        .embedder(BUILTIN, Arc::new(HashedEmbedder::default()))
        .limits(setup.limits.clone())
        .ann(setup.ann)
        .file_roots(setup.file_roots.clone())
        .log_queries(setup.log_queries)
        .fulltext(
            match setup.fulltext {
                RagFulltext::Fts5 => Fulltext::Fts5,
                RagFulltext::Tantivy => Fulltext::Outer,
                _ => Fulltext::Auto,
            },
            tantivy(),
        )
        .connector(Arc::new(GatewayConnector::new(Arc::clone(gateway))));
    for provider in ["openai", "llama_cpp"] {
        let dimension = setup.dimension;
        builder = builder
            .embedder_factory(provider, Arc::new(move |settings| over_http(provider, settings, dimension)));
    }
    if setup.store == RagStoreKind::Postgres {
        builder = builder.database(postgres(&setup)?);
    }
    let rag = builder.open()?;
    rag.set_enabled(setup.enabled);
    rag.start_background()?;
    Ok(Arc::new(rag))
}

/// Lets sources name `default`: the embedder of the `genai-embedding_*` variables.
pub(crate) fn serve_default(rag: &Rag, service: &LlmService) {
    let embedder = service.embedder();
    rag.set_embedder("default", Arc::new(move |_| Ok(Arc::clone(&embedder))));
}

/// An embedder over HTTP for a source's settings; the service is asked once for the length of its vectors.
fn over_http(provider: &str, settings: &Embedding, dimension: usize) -> AiResult<Arc<dyn Embedder>> {
    let base = settings.api_base.as_deref().filter(|b| !b.is_empty()).ok_or_else(|| {
        AiError::invalid("embedding_json.api_base names no service").with("path", "embedding_json.api_base")
    })?;
    let mut config = HttpEmbedderConfig::new(match provider {
        "openai" if !base.ends_with("/embeddings") => format!("{}/embeddings", base.trim_end_matches('/')),
        _ => base.to_owned(),
    });
    provider.clone_into(&mut config.provider);
    config.model = settings.model.clone().unwrap_or_default();
    config.key = resolve_secret(settings.api_key.as_deref().unwrap_or_default(), false, None)?;
    config.timeout_ms = settings.timeout_ms;
    config.batch_size = settings.batch_size;
    config.retries_max = settings.max_retries;
    // A model that leaves its length open is asked for the configured one; others answer with their own.
    config.dimensions = settings.dim.unwrap_or(0);
    let embedder = HttpEmbedder::new(config.clone());
    match embedder.probe(Deadline::after_ms(settings.timeout_ms)) {
        Ok(_) => Ok(Arc::new(embedder)),
        Err(error) if error.code == AiErrorCode::InvalidArgument && settings.dim.is_none() => {
            config.dimensions = dimension;
            let embedder = HttpEmbedder::new(config);
            embedder.probe(Deadline::after_ms(settings.timeout_ms))?;
            Ok(Arc::new(embedder))
        }
        Err(error) => Err(error),
    }
}

/// How to open a tantivy index, when this program has it.
fn tantivy() -> Option<TextIndexOpener> {
    #[cfg(feature = "tantivy")]
    return Some(ai_core_rag_tantivy::opener());
    #[cfg(not(feature = "tantivy"))]
    None
}

#[cfg(feature = "pgvector")]
fn postgres(setup: &RagSetup) -> AiResult<Arc<dyn Database>> {
    use ai_core_rag_postgres::{PgDatabase, PgOptions, connector};
    let (url, reference) = setup.store_url.split_once(' ').unwrap_or((&setup.store_url, ""));
    let reference = reference.to_owned();
    let password = move || resolve_secret(&reference, false, None).map(|p| p.expose().to_owned());
    Ok(Arc::new(PgDatabase::open(connector(url, Arc::new(password)), PgOptions::default())?))
}

#[cfg(not(feature = "pgvector"))]
fn postgres(_: &RagSetup) -> AiResult<Arc<dyn Database>> {
    Err(AiError::new(
        AiErrorCode::FailedPrecondition,
        "this program was built without PostgreSQL stores (feature `pgvector`); use genai-rag_store = sqlite",
    ))
}

impl Host {
    /// The retrieval engine.
    #[must_use]
    pub fn rag(&self) -> &Arc<Rag> {
        &self.rag
    }

    /// Creates a source unless one of its name is there already; gives whether it was created.
    ///
    /// # Errors
    /// What is wrong with the source.
    pub fn ensure_source(&self, source: &SourceConfig) -> Result<bool, HostError> {
        if self.rag.source_id(&source.name)?.is_some() {
            return Ok(false);
        }
        self.rag.put_source(source, None)?;
        Ok(true)
    }
}
