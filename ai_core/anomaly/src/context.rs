//! What a host tells the detector about one statement and, later, about its outcome.

use crate::lexer::SqlMode;
use crate::token::Dialect;
use std::net::IpAddr;
use std::time::Duration;

/// Where in a statement's life the detector is asked.
// Exhaustive on purpose: the wire protocols know no other phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A text statement.
    #[default]
    Query,
    /// A prepared statement's text; it counts in no rate.
    Prepare,
    /// An execution of a prepared statement; `sql` is its text.
    Execute,
}

/// One statement before it runs; borrowed for the call.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct StatementContext<'a> {
    /// Lexical rules.
    pub dialect: Dialect,
    /// The text; any bytes.
    pub sql: &'a [u8],
    /// Database user.
    pub user: &'a str,
    /// Default schema or database.
    pub schema: &'a str,
    /// Client address; `None` for local sockets.
    pub client_addr: Option<IpAddr>,
    /// The host's session number, kept in incidents.
    pub session_id: u64,
    /// Phase.
    pub phase: Phase,
    /// Whether the session announced multi-statements; `None` = not known, taken as no.
    pub multi_statements: Option<bool>,
    /// The session's SQL mode; `None` = not known, then every reading is judged.
    pub sql_mode: Option<SqlMode>,
}

impl<'a> StatementContext<'a> {
    /// A text statement of an unnamed user.
    #[must_use]
    pub fn new(dialect: Dialect, sql: &'a [u8]) -> Self {
        Self {
            dialect,
            sql,
            user: "",
            schema: "",
            client_addr: None,
            session_id: 0,
            phase: Phase::Query,
            multi_statements: None,
            sql_mode: None,
        }
    }

    /// Sets the user.
    #[must_use]
    pub fn user(mut self, user: &'a str) -> Self {
        self.user = user;
        self
    }

    /// Sets the default schema.
    #[must_use]
    pub fn schema(mut self, schema: &'a str) -> Self {
        self.schema = schema;
        self
    }

    /// Sets the client's address.
    #[must_use]
    pub fn client_addr(mut self, addr: Option<IpAddr>) -> Self {
        self.client_addr = addr;
        self
    }

    /// Sets the session number.
    #[must_use]
    pub fn session_id(mut self, id: u64) -> Self {
        self.session_id = id;
        self
    }

    /// Sets the phase.
    #[must_use]
    pub fn phase(mut self, phase: Phase) -> Self {
        self.phase = phase;
        self
    }

    /// Says whether the session announced multi-statements.
    #[must_use]
    pub fn multi_statements(mut self, announced: Option<bool>) -> Self {
        self.multi_statements = announced;
        self
    }

    /// Sets the session's SQL mode.
    #[must_use]
    pub fn sql_mode(mut self, mode: Option<SqlMode>) -> Self {
        self.sql_mode = mode;
        self
    }
}

/// The class of a backend error, as far as rules care.
// Exhaustive on purpose: hosts map every error code to one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendErrorClass {
    /// The backend could not parse the statement or resolve a name.
    Syntax,
    /// The backend refused for want of rights.
    Permission,
    /// Anything else.
    Other,
}

/// The outcome of a statement, reported by the host after it ran.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct PostQueryFeedback {
    /// Wall time in the backend.
    pub duration: Duration,
    /// Rows sent to the client.
    pub rows_sent: Option<u64>,
    /// Rows changed.
    pub rows_affected: Option<u64>,
    /// Error class, if the backend failed.
    pub error: Option<BackendErrorClass>,
    /// The detector's digest, from the verdict.
    pub digest: u64,
}

impl PostQueryFeedback {
    /// Feedback for the statement with this digest.
    #[must_use]
    pub fn new(digest: u64, duration: Duration) -> Self {
        Self { duration, digest, ..Self::default() }
    }

    /// Sets the rows sent.
    #[must_use]
    pub fn rows_sent(mut self, rows: Option<u64>) -> Self {
        self.rows_sent = rows;
        self
    }

    /// Sets the rows changed.
    #[must_use]
    pub fn rows_affected(mut self, rows: Option<u64>) -> Self {
        self.rows_affected = rows;
        self
    }

    /// Sets the error class.
    #[must_use]
    pub fn error(mut self, error: Option<BackendErrorClass>) -> Self {
        self.error = error;
        self
    }
}
