//! Why a host cannot be put together; it carries no secret.

use std::path::PathBuf;

/// A failure while a host is configured, opened or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A target is described wrongly.
    #[error("target: {0}")]
    Target(String),
    /// A file or folder cannot be used.
    #[error("{path}: {cause}", path = path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The listener cannot be had.
    #[error("the listener: {0}")]
    Listener(String),
    /// A store or a backend failed.
    #[error(transparent)]
    Harvest(#[from] harvest::HarvestError),
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] mcp::ToolError),
    /// The retrieval engine failed.
    #[error(transparent)]
    Ai(#[from] ai_core::AiError),
    /// A handler was refused.
    #[error(transparent)]
    Registry(#[from] bridge::RegistryError),
}

impl HostError {
    pub(crate) fn file(path: impl Into<PathBuf>, cause: std::io::Error) -> Self {
        Self::File { path: path.into(), cause }
    }
}
