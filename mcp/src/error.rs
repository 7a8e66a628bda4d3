//! How a tool fails: one code, one sentence, machine-readable details; it does not know JSON-RPC.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Shorthand for what a tool returns.
pub type ToolResult<T> = Result<T, ToolError>;

/// The class of a tool failure; wire names are `SCREAMING_SNAKE_CASE`.
// Exhaustive on purpose: layers map every code and must notice a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// Arguments, SQL syntax, cursors or data are wrong.
    InvalidArgument,
    /// A named thing does not exist or is hidden from the caller.
    NotFound,
    /// Token, policy, rule, gate or backend refuses.
    PermissionDenied,
    /// State forbids it: feature off, engine lacks the concept, confirmation missing.
    FailedPrecondition,
    /// A size, count, rate or quota bound.
    LimitExceeded,
    /// Statement or call time is over.
    DeadlineExceeded,
    /// No backend, no connection, open breaker, pool exhausted.
    Unavailable,
    /// Concurrent work, duplicate, stronger record present, lock failure.
    Conflict,
    /// Anything else; logged with an incident id.
    Internal,
}

impl ErrorCode {
    /// The wire name, such as `INVALID_ARGUMENT`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Conflict => "CONFLICT",
            Self::Internal => "INTERNAL",
        }
    }
}

/// A tool failure. It becomes a result with `isError: true` and `{"error": {code, message, retryable, details}}`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
#[non_exhaustive]
pub struct ToolError {
    /// The class of failure.
    pub code: ErrorCode,
    /// One sentence with the cause and, where there is one, the remedy; never a secret.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// An object with details such as `argument`, `expected`, `got`.
    pub details: Map<String, Value>,
}

impl ToolError {
    /// A failure of `code`; `retryable` follows the code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let retryable = matches!(code, ErrorCode::DeadlineExceeded | ErrorCode::Unavailable);
        Self { code, message: message.into(), retryable, details: Map::new() }
    }

    /// An `INVALID_ARGUMENT` failure.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    /// A `NOT_FOUND` failure with `details.kind` and `details.id`.
    pub fn not_found(kind: &str, id: impl Into<String>) -> Self {
        let id = id.into();
        Self::new(ErrorCode::NotFound, format!("{kind} {id:?} does not exist"))
            .with("kind", kind)
            .with("id", id)
    }

    /// A `PERMISSION_DENIED` failure; `by` is token, policy, rule, gate or backend.
    pub fn denied(by: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorCode::PermissionDenied, message).with("by", by)
    }

    /// A `FAILED_PRECONDITION` failure.
    pub fn precondition(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::FailedPrecondition, message)
    }

    /// A `LIMIT_EXCEEDED` failure.
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::LimitExceeded, message)
    }

    /// An `INTERNAL` failure.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }

    /// Adds one detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// Overrides whether the call may be repeated.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// The structured form that clients read: `{"error": {…}}`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        json!({"error": {"code": self.code.as_str(), "message": self.message, "retryable": self.retryable, "details": self.details}})
    }
}
