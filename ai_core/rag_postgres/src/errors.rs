//! PostgreSQL's failures as errors of this side; a driver's message may hold an address or a user, so none is passed on.

use ai_core::{AiError, AiErrorCode};
use postgres::error::SqlState;

/// An error without the address or the user.
pub(crate) fn failed(error: postgres::Error) -> AiError {
    if let Some(db) = error.as_db_error() {
        let code = match db.code() {
            c if *c == SqlState::QUERY_CANCELED => AiErrorCode::DeadlineExceeded,
            c if *c == SqlState::INSUFFICIENT_PRIVILEGE => AiErrorCode::PermissionDenied,
            c if *c == SqlState::INVALID_PASSWORD || *c == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                return AiError::new(
                    AiErrorCode::PermissionDenied,
                    "the PostgreSQL store refused the credentials",
                );
            }
            c if *c == SqlState::UNDEFINED_FILE || *c == SqlState::UNDEFINED_OBJECT => {
                AiErrorCode::FailedPrecondition
            }
            c if *c == SqlState::T_R_SERIALIZATION_FAILURE
                || *c == SqlState::T_R_DEADLOCK_DETECTED
                || *c == SqlState::ADMIN_SHUTDOWN
                || *c == SqlState::CRASH_SHUTDOWN
                || *c == SqlState::CANNOT_CONNECT_NOW
                || *c == SqlState::TOO_MANY_CONNECTIONS
                || *c == SqlState::LOCK_NOT_AVAILABLE =>
            {
                AiErrorCode::Unavailable
            }
            _ => AiErrorCode::Internal,
        };
        return AiError::new(code, format!("PostgreSQL store: {}", db.message()))
            .with("sqlstate", db.code().code());
    }
    let cause = std::error::Error::source(&error);
    if let Some(cause) = cause.filter(|c| c.is::<crate::values::Unbindable>()) {
        return AiError::internal(format!("PostgreSQL store: {cause}"));
    }
    AiError::unavailable("the PostgreSQL store cannot be reached; check its address and that it runs")
}

/// Whether the same transaction may succeed when it is run again.
pub(crate) fn may_repeat(error: &AiError) -> bool {
    let state = error.details.get("sqlstate").and_then(|s| s.as_str());
    matches!(state, Some("40001" | "40P01"))
}

/// Whether two processes created the same thing at once.
pub(crate) fn is_race(error: &AiError) -> bool {
    let state = error.details.get("sqlstate").and_then(|s| s.as_str());
    matches!(state, Some("23505" | "42P07" | "42710" | "42P06" | "40001" | "40P01" | "XX000"))
}
