//! What an operator sets: targets, backends and bounds as plain values; it does not know where they are stored.

use harvest::{BackendStatus, ConnectParams, PoolConfig, Protocol, Secret};

use crate::columns::ColumnRule;
use crate::cost::CostRule;

/// How much of a statement's text logs and event tables carry.
// Exhaustive: the three words of the variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogSql {
    /// No text.
    Off,
    /// Digest text, without literals.
    #[default]
    Digest,
    /// The text as sent.
    Full,
}

/// Bounds and switches of the result cache.
// Exhaustive: configuration sets each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSettings {
    /// Whether results are cached at all.
    pub enabled: bool,
    /// Time to live without a rule, in milliseconds; 0 means only rules cache.
    pub default_ttl_ms: u64,
    /// Longest time to live, in milliseconds.
    pub ttl_ms_max: u64,
    /// Memory of all entries, in bytes.
    pub bytes_max: usize,
    /// Memory of one entry, in bytes.
    pub entry_bytes_max: usize,
    /// Whether callers share entries.
    pub shared: bool,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            default_ttl_ms: 0,
            ttl_ms_max: 86_400_000,
            bytes_max: 67_108_864,
            entry_bytes_max: 1_048_576,
            shared: false,
        }
    }
}

/// Settings of the whole gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Target of calls that name none.
    pub default_target_id: Option<String>,
    /// Upper bound of any row limit.
    pub rows_max_hard: usize,
    /// Longest statement, in bytes.
    pub sql_bytes_max: usize,
    /// Largest answer on the wire, in bytes, its text copy included.
    pub response_bytes_max: usize,
    /// Functions allowed beyond the gates' lists, as `engine:name` or `name`.
    pub allowed_functions: Vec<String>,
    /// Objects refused beyond the gates' lists.
    pub denied_objects: Vec<String>,
    /// Largest table that a full profile scans without sampling, in rows.
    pub profile_scan_rows_max: u64,
    /// The result cache.
    pub cache: CacheSettings,
    /// The pools.
    pub pool: PoolConfig,
    /// Text in logs.
    pub log_sql: LogSql,
    /// Live digests.
    pub digest_entries_max: usize,
    /// Whether a hook that panics refuses the statement.
    pub hooks_fail_closed: bool,
    /// Bounds on what the engine expects of a caller's statement.
    pub cost_rules: Vec<CostRule>,
    /// Who may see which columns, and how.
    pub column_rules: Vec<ColumnRule>,
    /// Whether targets are served whose accounts may do more than read.
    pub allow_privileged_backend: bool,
    /// Secret of the `hash` action; empty for one that lives as long as the process.
    pub column_hash_key: Secret,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_target_id: None,
            rows_max_hard: 10_000,
            sql_bytes_max: 65_536,
            response_bytes_max: 5_000_000,
            allowed_functions: Vec::new(),
            denied_objects: Vec::new(),
            profile_scan_rows_max: 1_000_000,
            cache: CacheSettings::default(),
            pool: PoolConfig::default(),
            log_sql: LogSql::Digest,
            digest_entries_max: 20_000,
            hooks_fail_closed: false,
            cost_rules: Vec::new(),
            column_rules: Vec::new(),
            allow_privileged_backend: false,
            column_hash_key: Secret::default(),
        }
    }
}

/// One target, its credential already resolved.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TargetConfig {
    /// Name used by clients.
    pub target_id: String,
    /// Protocol.
    pub protocol: Protocol,
    /// Group of backends that serve it.
    pub hostgroup_id: u32,
    /// User, password, database, TLS and timeout; host and port come from the backend.
    pub connect: ConnectParams,
    /// Changes whenever the credential does; part of cache keys.
    pub credential_generation: u64,
    /// Schema of calls that name none; empty means the server's own.
    pub default_schema: String,
    /// One sentence for agents.
    pub description: String,
    /// Most rows of a statement.
    pub rows_max: usize,
    /// Longest statement, in milliseconds; 0 means none.
    pub timeout_ms: u64,
    /// Whether plans are allowed.
    pub allow_explain: bool,
    /// Whether harvests are allowed.
    pub allow_discovery: bool,
    /// Whether a credential for operations exists.
    pub has_admin: bool,
    /// The account for operations; host and port come from the backend.
    pub admin: Option<ConnectParams>,
    /// Why the target cannot be used although it is configured.
    pub skip_reason: Option<String>,
}

impl TargetConfig {
    /// A target with the defaults of the profile table.
    pub fn new(target_id: impl Into<String>, protocol: Protocol, hostgroup_id: u32) -> Self {
        Self {
            target_id: target_id.into(),
            protocol,
            hostgroup_id,
            connect: ConnectParams::new(String::new()),
            credential_generation: 0,
            default_schema: String::new(),
            description: String::new(),
            rows_max: 200,
            timeout_ms: 2_000,
            allow_explain: true,
            allow_discovery: true,
            has_admin: false,
            admin: None,
            skip_reason: None,
        }
    }
}

/// One backend server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendConfig {
    /// Group that it serves.
    pub hostgroup_id: u32,
    /// Host, address or socket path; SQLite: the file.
    pub host: String,
    /// Port; 0 means the engine's default.
    pub port: u16,
    /// Share of new calls.
    pub weight: u32,
    /// Administrative state.
    pub status: BackendStatus,
    /// Connections that it takes over all targets.
    pub connections_max: usize,
    /// Whether this server must be reached over TLS.
    pub use_ssl: bool,
}

impl BackendConfig {
    /// An ONLINE backend of weight 1 and 10 connections.
    pub fn new(hostgroup_id: u32, host: impl Into<String>, port: u16) -> Self {
        Self {
            hostgroup_id,
            host: host.into(),
            port,
            weight: 1,
            status: BackendStatus::Online,
            connections_max: 10,
            use_ssl: false,
        }
    }

    /// The name in statistics.
    #[must_use]
    pub fn name(&self) -> String {
        if self.port == 0 { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

/// Where backends come from: the configuration, or a host that keeps its own list.
pub trait BackendDirectory: Send + Sync {
    /// The backends of a group, with status and weight as they are now.
    fn backends(&self, hostgroup_id: u32) -> Vec<BackendConfig>;

    /// Changes whenever the answer of [`backends`](Self::backends) may have changed.
    fn generation(&self) -> u64;

    /// The groups that there are, for lists; groups of targets are asked for whether they stand here or not.
    fn hostgroups(&self) -> Vec<u32> {
        Vec::new()
    }
}

/// A directory over a fixed list.
#[derive(Debug, Clone, Default)]
pub struct StaticDirectory {
    backends: Vec<BackendConfig>,
}

impl StaticDirectory {
    /// A directory of these backends.
    #[must_use]
    pub fn new(backends: Vec<BackendConfig>) -> Self {
        Self { backends }
    }
}

impl BackendDirectory for StaticDirectory {
    fn backends(&self, hostgroup_id: u32) -> Vec<BackendConfig> {
        self.backends.iter().filter(|b| b.hostgroup_id == hostgroup_id).cloned().collect()
    }

    fn generation(&self) -> u64 {
        0
    }
}
