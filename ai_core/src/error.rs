//! The one error type of the AI side; it does not know how a host shows it.

use serde::{Deserialize, Serialize};

/// Shorthand for results of this side.
pub type AiResult<T> = Result<T, AiError>;

/// What kind of failure it was; the wire names are `SCREAMING_SNAKE_CASE`.
// Exhaustive on purpose: hosts map every code to their own and must notice a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AiErrorCode {
    /// The request is malformed.
    InvalidArgument,
    /// A named thing does not exist or is hidden from the caller.
    NotFound,
    /// The caller or the credential may not do this.
    PermissionDenied,
    /// State or configuration forbids it.
    FailedPrecondition,
    /// A size, count, rate or money bound was hit.
    LimitExceeded,
    /// Time is over.
    DeadlineExceeded,
    /// A needed part cannot be reached now.
    Unavailable,
    /// A concurrent change or a duplicate.
    Conflict,
    /// Anything else.
    Internal,
}

impl AiErrorCode {
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

/// A failure with a code, one sentence and machine-readable details; it never carries a secret.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
#[non_exhaustive]
pub struct AiError {
    /// The class of failure.
    pub code: AiErrorCode,
    /// One lower-case sentence with the cause and, where there is one, the remedy.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// An object with details such as `argument`, `limit`, `value`.
    pub details: serde_json::Map<String, serde_json::Value>,
}

impl AiError {
    /// A failure of `code`; `retryable` follows the code (deadline and unavailable are).
    pub fn new(code: AiErrorCode, message: impl Into<String>) -> Self {
        let retryable = matches!(code, AiErrorCode::DeadlineExceeded | AiErrorCode::Unavailable);
        Self { code, message: message.into(), retryable, details: serde_json::Map::new() }
    }

    /// An `INVALID_ARGUMENT` failure.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(AiErrorCode::InvalidArgument, message)
    }

    /// A `NOT_FOUND` failure.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(AiErrorCode::NotFound, message)
    }

    /// A `LIMIT_EXCEEDED` failure.
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(AiErrorCode::LimitExceeded, message)
    }

    /// An `UNAVAILABLE` failure.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(AiErrorCode::Unavailable, message)
    }

    /// An `INTERNAL` failure.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(AiErrorCode::Internal, message)
    }

    /// Adds one detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }
}
