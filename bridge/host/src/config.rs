//! What a host is told before it opens; it opens nothing.

use std::path::PathBuf;
use std::sync::Arc;

use harvest_gateway::{BackendDirectory, Settings};
use mcp_server::ServerConfig;

use crate::targets::TargetSpec;

/// The first phase: plain values.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HostConfig {
    /// Folder of the stores, the certificate and the tokens; made when it is missing, open to its owner only.
    pub data_dir: PathBuf,
    /// The configuration file, TOML or JSON: read at the first start, and by the verbs that name it.
    pub config_file: Option<PathBuf>,
    /// Databases beside those of the configuration, such as those of a command line.
    pub targets: Vec<TargetSpec>,
    /// Bounds of the SQL pipeline that no variable sets.
    pub settings: Settings,
    /// Bounds of the server that no variable sets.
    pub server: ServerConfig,
    /// Accounts that may do more than read are refused unless this or `mcp-allow_privileged_backend` is set.
    pub allow_privileged_backend: bool,
    /// The host's own list of backends; `mcp_backends` mirrors it then and is read-only.
    pub backends: Option<HostDirectory>,
}

/// A list of backends that the host itself keeps.
#[derive(Clone)]
pub struct HostDirectory(pub Arc<dyn BackendDirectory>);

impl std::fmt::Debug for HostDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostDirectory").field("generation", &self.0.generation()).finish_non_exhaustive()
    }
}

impl HostConfig {
    /// A host without targets, with the default bounds.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            config_file: None,
            targets: Vec::new(),
            settings: Settings::default(),
            server: ServerConfig::default(),
            allow_privileged_backend: false,
            backends: None,
        }
    }
}
