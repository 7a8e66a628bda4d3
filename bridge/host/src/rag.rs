//! Retrieval as part of a host: the engine over the host's targets and its background work; it searches nothing itself.

use std::path::Path;
use std::sync::Arc;

use ai_core_embed::HashedEmbedder;
use ai_core_rag::{Rag, RagLimits, SourceConfig};
use bridge_ai::GatewayConnector;
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

/// Opens the engine in the data folder, over the host's targets, with the built-in lexical embedder.
pub(crate) fn open(
    data_dir: &Path,
    gateway: &Arc<Gateway>,
    limits: RagLimits,
) -> Result<Arc<Rag>, HostError> {
    let rag = Rag::builder(data_dir.join("mcp_rag.db"))
        .embedder(BUILTIN, Arc::new(HashedEmbedder::default()))
        .limits(limits)
        .connector(Arc::new(GatewayConnector::new(Arc::clone(gateway))))
        .open()?;
    rag.start_background()?;
    Ok(Arc::new(rag))
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
