//! Which embedder serves a source's settings; it knows names and settings, not models.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ai_core::{AiError, AiErrorCode, AiResult, Embedder};
use ai_core_embed::HashedEmbedder;

use crate::config::{Embedding, bad};

/// Makes an embedder for settings whose provider it was registered for.
pub type EmbedderFactory = Arc<dyn Fn(&Embedding) -> AiResult<Arc<dyn Embedder>> + Send + Sync>;

/// Embedders by provider, each made once for equal settings.
#[derive(Default)]
pub(crate) struct Embedders {
    factories: RwLock<HashMap<String, EmbedderFactory>>,
    made: Mutex<HashMap<String, Arc<dyn Embedder>>>,
}

impl Embedders {
    pub(crate) fn register(&self, provider: &str, factory: EmbedderFactory) {
        self.factories.write().unwrap_or_else(PoisonError::into_inner).insert(provider.to_owned(), factory);
        // What the factory before it made is of the past.
        let prefix = format!("{provider}\u{1f}");
        self.made.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| !key.starts_with(&prefix));
    }

    /// The embedder for these settings.
    ///
    /// Models are loaded under a lock, so that two callers do not load one model twice.
    pub(crate) fn get(&self, settings: &Embedding) -> AiResult<Arc<dyn Embedder>> {
        let key = format!(
            "{}\u{1f}{:?}\u{1f}{:?}\u{1f}{:?}\u{1f}{:?}\u{1f}{:?}\u{1f}{:?}\u{1f}{}\u{1f}{}",
            settings.provider,
            settings.model,
            settings.revision,
            settings.dim,
            settings.api_base,
            settings.path,
            settings.pooling,
            settings.query_prefix,
            settings.document_prefix
        );
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(embedder) = made.get(&key) {
            return Ok(Arc::clone(embedder));
        }
        let factory = self
            .factories
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&settings.provider)
            .map(Arc::clone);
        let embedder = match (factory, settings.provider.as_str()) {
            (Some(factory), _) => factory(settings)?,
            (None, "builtin" | "stub") => Arc::new(match settings.dim {
                Some(dim) => HashedEmbedder::new(dim)?,
                None => HashedEmbedder::default(),
            }),
            (None, "local" | "openai" | "llama_cpp" | "default") => {
                return Err(AiError::new(
                    AiErrorCode::FailedPrecondition,
                    format!(
                        "this program was built without the embedder {:?}; use \"builtin\"",
                        settings.provider
                    ),
                ));
            }
            (None, _) => return Err(bad("embedding_json.provider", "names no known embedder")),
        };
        if settings.dim.is_some_and(|dim| dim != embedder.info().dim) {
            return Err(bad(
                "embedding_json.dim",
                &format!("the model makes {} components", embedder.info().dim),
            ));
        }
        made.insert(key, Arc::clone(&embedder));
        Ok(embedder)
    }
}
