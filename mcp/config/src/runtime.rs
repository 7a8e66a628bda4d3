//! What the configuration asks of its host: apply a candidate, tell live state, serve statistics, hear of changes.

use std::collections::BTreeMap;

use crate::cell::{Cell, Row};
use crate::error::ConfigResult;
use crate::family::{Candidate, ColumnDef, RowView};

/// What a load does to the listener.
// Exhaustive: the four words of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListenerChange {
    /// Nothing.
    #[default]
    Unchanged,
    /// Another address or certificate.
    RestartScheduled,
    /// It was off.
    Started,
    /// It goes off; running calls finish.
    StopScheduled,
}

impl ListenerChange {
    /// The word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::RestartScheduled => "restart_scheduled",
            Self::Started => "started",
            Self::StopScheduled => "stop_scheduled",
        }
    }
}

/// The listener as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ListenerState {
    /// Whether it is wanted.
    pub enabled: bool,
    /// Whether it accepts connections.
    pub listening: bool,
    /// Address without port.
    pub bind_address: String,
    /// Port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub use_ssl: bool,
    /// Why it is as it is, where that is no matter of course.
    pub reason: String,
}

impl ListenerState {
    /// One line for reports.
    #[must_use]
    pub fn line(&self) -> String {
        let tls = if self.use_ssl { "TLS" } else { "plain HTTP" };
        let why = if self.reason.is_empty() { String::new() } else { format!(" ({})", self.reason) };
        if self.listening {
            let host = &self.bind_address;
            let host =
                if host.contains(':') && !host.contains(',') { format!("[{host}]") } else { host.clone() };
            format!("listening on {host}:{} with {tls}{why}", self.port)
        } else {
            format!("not listening{why}")
        }
    }
}

/// What applying a candidate did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Applied {
    /// What happens to the listener.
    pub listener: ListenerChange,
}

impl Applied {
    /// Applied, with this change of the listener.
    #[must_use]
    pub fn new(listener: ListenerChange) -> Self {
        Self { listener }
    }
}

/// Applies the configuration of one family and tells what became of it.
pub trait Runtime: Send + Sync {
    /// Checks the whole candidate, then puts it into use: everything or nothing.
    ///
    /// # Errors
    /// The module, the row and the cause; what ran before goes on then.
    fn apply(&self, candidate: &Candidate) -> ConfigResult<Applied>;

    /// The listener.
    fn listener(&self) -> ListenerState {
        ListenerState::default()
    }

    /// Live values for the `runtime_` table of `row`, by column: those that it adds, and those that differ from the row.
    fn live(&self, row: &RowView<'_>) -> Vec<(&'static str, Cell)> {
        let _ = row;
        Vec::new()
    }

    /// Rows of the `runtime_` table of `table` that no row of the table stands for, with all its columns.
    fn beside(&self, table: &str) -> Vec<Row> {
        let _ = table;
        Vec::new()
    }

    /// Rows of a table that the host itself keeps: the table in memory mirrors them and is read-only then.
    fn mirrored(&self, table: &str) -> Option<Vec<Row>> {
        let _ = table;
        None
    }

    /// Rows of `SHOW … STATUS`.
    fn status(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Live figures for `get_status`, by name.
    fn figures(&self) -> BTreeMap<&'static str, i64> {
        BTreeMap::new()
    }

    /// Endpoints: path, active tokens, tools.
    fn endpoints(&self) -> Vec<(String, usize, usize)> {
        Vec::new()
    }
}

/// A table of the database `stats`.
#[derive(Debug, Clone, Copy)]
// Exhaustive: tables are written as literals, also by other crates.
pub struct StatsTable {
    /// Name.
    pub name: &'static str,
    /// Columns in order.
    pub columns: &'static [ColumnDef],
    /// Whether a twin `…_reset` is there.
    pub has_reset: bool,
}

/// Serves tables of the database `stats`.
pub trait StatsTables: Send + Sync {
    /// The tables.
    fn tables(&self) -> &'static [StatsTable];

    /// The rows of a table, one snapshot. With `reset` they are cleared in the same step.
    ///
    /// # Errors
    /// What the source fails with; nothing is cleared then.
    fn read(&self, table: &str, reset: bool) -> ConfigResult<Vec<Row>>;
}

/// One change that an audit log hears of. It holds no secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AuditEvent {
    /// `verb` or `config`.
    pub kind: &'static str,
    /// The session that asks.
    pub session: AdminSession,
    /// Canonical verb, or the kind of statement with its tables.
    pub action: String,
    /// The statement with secrets masked.
    pub statement: String,
}

/// Hears of every change on the admin interface, before and after it.
pub trait AuditHook: Send + Sync {
    /// A change is asked for. Its number goes to [`done`](Self::done).
    ///
    /// # Errors
    /// When it cannot be recorded: then nothing is changed.
    fn intent(&self, event: &AuditEvent) -> ConfigResult<u64>;

    /// The change is done, refused or has failed.
    fn done(&self, intent: u64, event: &AuditEvent, outcome: Result<&str, &mcp::ToolError>);
}

/// Who speaks to the admin interface, and what that allows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdminSession {
    /// Token name, or `local`.
    pub caller: String,
    /// Client address, if there is one.
    pub client_address: String,
    /// Endpoint, if there is one.
    pub endpoint: String,
    /// Whether it may change anything.
    pub may_write: bool,
    /// Whether it may change tokens and secret variables.
    pub may_write_secrets: bool,
}

impl AdminSession {
    /// The operator at the machine: may do everything.
    #[must_use]
    pub fn local() -> Self {
        Self {
            caller: "local".to_owned(),
            client_address: String::new(),
            endpoint: String::new(),
            may_write: true,
            may_write_secrets: true,
        }
    }

    /// A caller over the network: no tokens, no secret variables, and changes only where `may_write` says so.
    pub fn remote(
        caller: impl Into<String>,
        client_address: impl Into<String>,
        endpoint: impl Into<String>,
        may_write: bool,
    ) -> Self {
        Self {
            caller: caller.into(),
            client_address: client_address.into(),
            endpoint: endpoint.into(),
            may_write,
            may_write_secrets: false,
        }
    }
}
