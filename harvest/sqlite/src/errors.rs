//! Errors of SQLite mapped to codes with a remedy; it knows no statement.

use harvest::{HarvestCode, HarvestError};
use rusqlite::{Error, ErrorCode};

/// Maps an error of the engine; interrupts are told apart by whoever knows the cause.
pub(crate) fn mapped(error: &Error) -> HarvestError {
    match error {
        Error::SqliteFailure(failure, text) => failed(failure, text.as_deref().unwrap_or_default(), None),
        Error::SqlInputError { error, msg, offset, .. } => failed(error, msg, usize::try_from(*offset).ok()),
        Error::MultipleStatement => {
            HarvestError::gate("a second statement", "send exactly one statement a call")
        }
        Error::Empty => HarvestError::syntax("the statement is empty", None),
        Error::InvalidParameterCount(got, wanted) => HarvestError::new(
            HarvestCode::InvalidArgument,
            format!("the statement has {wanted} parameters, {got} values were given"),
        ),
        Error::NulError(_) => HarvestError::syntax("the statement holds a NUL byte; remove it", None),
        other => HarvestError::new(HarvestCode::Internal, format!("sqlite failed: {other}")),
    }
}

fn failed(failure: &rusqlite::ffi::Error, text: &str, position: Option<usize>) -> HarvestError {
    let text = if text.is_empty() { "sqlite gave no reason" } else { text };
    let (code, message) = match failure.code {
        ErrorCode::AuthorizationForStatementDenied => {
            return HarvestError::gate("the statement", "it does more than read");
        }
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            (HarvestCode::PermissionDenied, format!("{text}: the database is open for reading only"))
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::SchemaChanged => {
            (HarvestCode::Conflict, format!("{text}: another process holds the file; try again"))
        }
        ErrorCode::TooBig => (
            HarvestCode::LimitExceeded,
            format!(
                "{text}: a value is larger than {} bytes; read a part with substr",
                crate::open::LENGTH_BYTES_MAX
            ),
        ),
        ErrorCode::OutOfMemory => {
            (HarvestCode::LimitExceeded, "the statement needs too much memory".to_owned())
        }
        ErrorCode::CannotOpen | ErrorCode::SystemIoFailure | ErrorCode::FileLockingProtocolFailed => {
            (HarvestCode::Unavailable, "the database file cannot be read".to_owned())
        }
        ErrorCode::NotADatabase => (
            HarvestCode::FailedPrecondition,
            "the file is not a SQLite database, or it is encrypted".to_owned(),
        ),
        ErrorCode::DatabaseCorrupt => (HarvestCode::Internal, "the database file is damaged".to_owned()),
        ErrorCode::OperationInterrupted => (HarvestCode::Cancelled, "the statement was stopped".to_owned()),
        // A refused function or column is a plain error to the engine.
        _ if text.starts_with("not authorized") || text.starts_with("access to ") => {
            return HarvestError::gate("the statement", "it does more than read");
        }
        _ if text.starts_with("no such table") || text.starts_with("no such view") => {
            (HarvestCode::NotFound, text.to_owned())
        }
        _ => (HarvestCode::InvalidArgument, text.to_owned()),
    };
    let broken = matches!(failure.code, ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt);
    let mut error = HarvestError::new(code, message).with("errno", failure.extended_code);
    if let Some(at) = position {
        error = error.with("position", at);
    }
    if let Some(name) = text.strip_prefix("no such table: ") {
        error = error.with("kind", "table").with("id", name);
    }
    if broken { error.broken() } else { error }
}
