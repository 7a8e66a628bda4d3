//! Failures of model calls by the names that operators know; it does not know who failed.

use std::fmt;
use std::time::Duration;

use crate::{AiError, AiErrorCode};

/// Why a model call failed, by the names that operators know.
// Exhaustive on purpose: hosts map every code and must notice a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LlmErrorCode {
    /// No key where one is needed.
    ApiKeyMissing,
    /// The provider refused the key.
    ApiKeyInvalid,
    /// The attempt or the whole call took too long.
    Timeout,
    /// DNS, connect, TLS, reset or short body.
    ConnectionFailed,
    /// Too many requests.
    RateLimited,
    /// 5xx.
    ServerError,
    /// Neither text nor tool call.
    EmptyResponse,
    /// Not the promised JSON, or over the size cap.
    InvalidResponse,
    /// A bad request.
    ValidationFailed,
    /// No such provider, or switched off.
    UnknownProvider,
    /// Over a size cap or the context length.
    RequestTooLarge,
    /// The day's money is spent.
    BudgetExceeded,
    /// The hour's cloud calls are spent.
    HourlyCap,
    /// The provider refused to answer.
    ContentFiltered,
    /// No place in the queue.
    QueueFull,
    /// The caller or a stop ended it.
    Cancelled,
    /// A fault in this program.
    Internal,
}

impl LlmErrorCode {
    /// The wire name, such as `ERR_TIMEOUT`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKeyMissing => "ERR_API_KEY_MISSING",
            Self::ApiKeyInvalid => "ERR_API_KEY_INVALID",
            Self::Timeout => "ERR_TIMEOUT",
            Self::ConnectionFailed => "ERR_CONNECTION_FAILED",
            Self::RateLimited => "ERR_RATE_LIMITED",
            Self::ServerError => "ERR_SERVER_ERROR",
            Self::EmptyResponse => "ERR_EMPTY_RESPONSE",
            Self::InvalidResponse => "ERR_INVALID_RESPONSE",
            Self::ValidationFailed => "ERR_VALIDATION_FAILED",
            Self::UnknownProvider => "ERR_UNKNOWN_PROVIDER",
            Self::RequestTooLarge => "ERR_REQUEST_TOO_LARGE",
            Self::BudgetExceeded => "ERR_BUDGET_EXCEEDED",
            Self::HourlyCap => "ERR_HOURLY_CAP",
            Self::ContentFiltered => "ERR_CONTENT_FILTERED",
            Self::QueueFull => "ERR_QUEUE_FULL",
            Self::Cancelled => "ERR_CANCELLED",
            Self::Internal => "ERR_INTERNAL",
        }
    }

    /// The typed code of the AI side.
    #[must_use]
    pub const fn typed(self) -> AiErrorCode {
        match self {
            Self::ApiKeyMissing | Self::UnknownProvider | Self::ContentFiltered => {
                AiErrorCode::FailedPrecondition
            }
            Self::ApiKeyInvalid => AiErrorCode::PermissionDenied,
            Self::Timeout => AiErrorCode::DeadlineExceeded,
            Self::ConnectionFailed
            | Self::RateLimited
            | Self::ServerError
            | Self::EmptyResponse
            | Self::QueueFull
            | Self::Cancelled => AiErrorCode::Unavailable,
            Self::InvalidResponse | Self::Internal => AiErrorCode::Internal,
            Self::ValidationFailed => AiErrorCode::InvalidArgument,
            Self::RequestTooLarge | Self::BudgetExceeded | Self::HourlyCap => AiErrorCode::LimitExceeded,
        }
    }

    /// Whether the bridge itself tries again.
    #[must_use]
    pub const fn is_retried(self) -> bool {
        matches!(self, Self::Timeout | Self::ConnectionFailed | Self::RateLimited | Self::ServerError)
    }
}

impl fmt::Display for LlmErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed model call with its real cause; it never carries a key.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{code}: {error_details}")]
#[non_exhaustive]
pub struct LlmError {
    /// The cause.
    pub code: LlmErrorCode,
    /// The cause in words and, where there is one, the remedy; at most 512 characters.
    pub error_details: String,
    /// Status of the last HTTP answer; 0 without one.
    pub http_status_code: u16,
    /// HTTP attempts made.
    pub attempts: u32,
    /// Provider row asked last; empty when none was.
    pub provider_used: String,
    /// Model asked last.
    pub model_used: String,
    /// When trying again makes sense, milliseconds.
    pub retry_after_ms: Option<u64>,
    /// Whether trying again can help at all (false for a refused TLS certificate).
    pub retryable: bool,
}

impl LlmError {
    /// Most characters of [`LlmError::error_details`].
    pub const DETAILS_CHARS_MAX: usize = 512;

    /// A failure before or without any HTTP answer.
    pub fn new(code: LlmErrorCode, details: impl Into<String>) -> Self {
        let mut error_details = details.into();
        if let Some((cut, _)) = error_details.char_indices().nth(Self::DETAILS_CHARS_MAX) {
            error_details.truncate(cut);
        }
        let retryable =
            code.is_retried() || matches!(code, LlmErrorCode::QueueFull | LlmErrorCode::Cancelled);
        Self {
            code,
            error_details,
            http_status_code: 0,
            attempts: 0,
            provider_used: String::new(),
            model_used: String::new(),
            retry_after_ms: None,
            retryable,
        }
    }

    /// Adds the HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.http_status_code = status;
        self
    }

    /// Adds the time after which a retry makes sense.
    #[must_use]
    pub fn with_retry_after(mut self, pause: Duration) -> Self {
        self.retry_after_ms = Some(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Marks a failure that no retry can heal.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.retryable = false;
        self
    }
}

impl From<LlmError> for AiError {
    fn from(error: LlmError) -> Self {
        let mut typed = AiError::new(error.code.typed(), error.error_details)
            .with("error_code", error.code.as_str())
            .with("attempts", error.attempts);
        typed.retryable = error.retryable;
        if error.http_status_code != 0 {
            typed = typed.with("http_status_code", error.http_status_code);
        }
        if !error.provider_used.is_empty() {
            typed = typed.with("provider_used", error.provider_used).with("model_used", error.model_used);
        }
        if let Some(ms) = error.retry_after_ms {
            typed = typed.with("retry_after_ms", ms);
        }
        typed
    }
}
