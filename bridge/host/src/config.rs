//! What a host is told before it opens; it opens nothing.

use std::path::PathBuf;

use harvest_gateway::Settings;
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
    /// Accounts that may do more than read are refused unless this is set.
    pub allow_privileged_backend: bool,
}

impl HostConfig {
    /// A host without targets, with the default bounds.
    ///
    /// Accounts that may write are served with a warning, because the gate and the read-only sessions hold for them too.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            config_file: None,
            targets: Vec::new(),
            settings: Settings::default(),
            server: ServerConfig::default(),
            allow_privileged_backend: true,
        }
    }
}
