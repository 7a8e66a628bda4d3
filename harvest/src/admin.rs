//! Operations on a server with an account of their own: its sessions, its users, its statistics; it knows no engine and no tool.

use serde_json::{Map, Value as Json};

use crate::error::{HarvestCode, HarvestError, HarvestResult};

/// A row with the names that its list has in every engine.
pub type AdminRow = Map<String, Json>;

/// What an administrative connection can list.
// Exhaustive: an engine lists or refuses each one knowingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdminList {
    /// `username`, `host`, `auth_method`, `locked`, `password_expired`, `superuser`, `roles`, `max_connections`,
    /// `valid_until`, `tls_required`.
    Users,
    /// `process_id`, `user`, `host`, `port`, `database`, `command`, `state`, `time_ms`, `info`, `is_system`, `is_idle`.
    Processes,
    /// `variable_name`, `value`, `category`.
    Status,
    /// `digest`, `digest_text`, `database`, `username`, `count_star`, `first_seen`, `last_seen`, `sum_time_us`,
    /// `min_time_us`, `max_time_us`, `sum_rows_affected`, `sum_rows_sent`.
    Digests,
    /// `command`, `total_count`, `total_time_us`.
    Commands,
    /// `errno`, `last_error`, `count_star`, `first_seen`, `last_seen`.
    Errors,
    /// `username`, `connections`, `max_connections`.
    UserConnections,
    /// `client_address`, `error_count`, `last_updated`.
    HostErrors,
    /// `global_stmt_id`, `database`, `username`, `ref_count_server`, `query`.
    Prepared,
    /// `position_kind`, `gtid_executed`.
    Position,
    /// `role`, `state`, `members`.
    Replication,
}

/// A cache of the server.
// Exhaustive: an engine has it or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdminCache {
    /// Results of statements.
    Query,
    /// Addresses of clients.
    Host,
}

/// One session of an account that may administer. It is opened for a call and never pooled.
pub trait AdminConnection: Send {
    /// Number of this session in the server.
    fn session_id(&self) -> i64;

    /// At most `rows_max` rows and one more where there are more.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` with `reason` where the engine lacks the concept or has it switched off,
    /// `PERMISSION_DENIED` with `grant` where the account may not read it.
    fn list(&mut self, what: AdminList, rows_max: usize) -> HarvestResult<Vec<AdminRow>>;

    /// Cancels the statement of a session, or ends the session.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is no such session, `PERMISSION_DENIED`.
    fn kill(&mut self, process_id: i64, whole_session: bool) -> HarvestResult<()>;

    /// Empties a cache of the server.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` with `reason` where the engine has none, `PERMISSION_DENIED`.
    fn flush(&mut self, cache: AdminCache) -> HarvestResult<()>;
}

/// The refusal of an engine that lacks a concept.
#[must_use]
pub fn lacks(reason: &str, message: impl Into<String>) -> HarvestError {
    HarvestError::new(HarvestCode::FailedPrecondition, message).with("reason", reason)
}
