//! How database work fails: one code, one sentence, typed details; it knows no tool and no protocol of agents.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Shorthand for results of this side.
pub type HarvestResult<T> = Result<T, HarvestError>;

/// The class of failure; wire names are `SCREAMING_SNAKE_CASE`.
// Exhaustive on purpose: adapters map every code and must notice a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HarvestCode {
    /// SQL syntax, arguments or run-time data are wrong.
    InvalidArgument,
    /// A named object does not exist or is hidden.
    NotFound,
    /// Gate, rule, policy or backend privilege refuses.
    PermissionDenied,
    /// State forbids it, or the engine lacks the concept.
    FailedPrecondition,
    /// A size, count or rate bound.
    LimitExceeded,
    /// Time is over; the statement has been cancelled on the backend.
    DeadlineExceeded,
    /// No connection can be had or it was lost.
    Unavailable,
    /// Lock or serialisation failure, concurrent work.
    Conflict,
    /// The caller cancelled.
    Cancelled,
    /// Anything else.
    Internal,
}

/// A failure of the database side. `message` never carries hosts, users or credentials.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct HarvestError {
    /// The class of failure.
    pub code: HarvestCode,
    /// One sentence with the cause and, where there is one, the remedy.
    pub message: String,
    /// Whether the same work may succeed later.
    pub retryable: bool,
    /// Whether the connection must not be used again.
    pub connection_broken: bool,
    /// Details such as `sqlstate`, `errno`, `position`, `by`, `construct`, `limit`, `value`, `variable`.
    pub details: Map<String, Json>,
}

impl HarvestError {
    /// A failure of `code`; `retryable` follows the code.
    pub fn new(code: HarvestCode, message: impl Into<String>) -> Self {
        let retryable =
            matches!(code, HarvestCode::DeadlineExceeded | HarvestCode::Unavailable | HarvestCode::Conflict);
        Self { code, message: message.into(), retryable, connection_broken: false, details: Map::new() }
    }

    /// A refusal by the read-only gate: `construct` names what was refused, `remedy` what to do instead.
    pub fn gate(construct: impl Into<String>, remedy: impl Into<String>) -> Self {
        let construct = construct.into();
        Self::new(
            HarvestCode::PermissionDenied,
            format!("{construct} is refused by the read-only gate: {}", remedy.into()),
        )
        .with("by", "gate")
        .with("construct", construct)
    }

    /// A syntax error at a byte offset of the statement, when known.
    pub fn syntax(message: impl Into<String>, position_bytes: Option<usize>) -> Self {
        let error = Self::new(HarvestCode::InvalidArgument, message);
        match position_bytes {
            Some(at) => error.with("position", at),
            None => error,
        }
    }

    /// A bound was hit: `limit` is the bound, `value` what was met, `variable` what an operator may change.
    pub fn limit(message: impl Into<String>, limit: u64, value: u64, variable: &str) -> Self {
        Self::new(HarvestCode::LimitExceeded, message)
            .with("limit", limit)
            .with("value", value)
            .with("variable", variable)
    }

    /// Adds one detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// Marks the connection as unusable.
    #[must_use]
    pub fn broken(mut self) -> Self {
        self.connection_broken = true;
        self
    }
}
