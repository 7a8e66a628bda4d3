//! Failures of the catalog in the code set of the database side; it knows no tool.

use harvest::{HarvestCode, HarvestError};

pub(crate) fn not_found(kind: &str, id: impl Into<String>) -> HarvestError {
    let id = id.into();
    HarvestError::new(HarvestCode::NotFound, format!("{kind} {id:?} does not exist"))
        .with("kind", kind)
        .with("id", id)
}

pub(crate) fn precondition(message: impl Into<String>, remedy: &str) -> HarvestError {
    let message = message.into();
    HarvestError::new(HarvestCode::FailedPrecondition, format!("{message}: {remedy}"))
        .with("reason", message)
        .with("remedy", remedy)
}

pub(crate) fn invalid(argument: &str, expected: &str, got: impl Into<String>) -> HarvestError {
    let got: String = got.into().chars().take(200).collect();
    HarvestError::new(HarvestCode::InvalidArgument, format!("{argument} must be {expected}"))
        .with("argument", argument)
        .with("expected", expected)
        .with("got", got)
}

pub(crate) fn conflict(message: impl Into<String>) -> HarvestError {
    let mut error = HarvestError::new(HarvestCode::Conflict, message);
    error.retryable = false;
    error
}

pub(crate) fn internal(message: impl Into<String>) -> HarvestError {
    HarvestError::new(HarvestCode::Internal, message)
}

/// Maps an error of the store: busy is a retryable conflict, a constraint a conflict, anything else internal.
pub(crate) fn store(error: rusqlite::Error) -> HarvestError {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
            HarvestError::new(HarvestCode::Conflict, "the catalog store is busy: repeat the call")
        }
        Some(Code::ConstraintViolation) => {
            conflict(format!("a record breaks a rule of the catalog store: {error}"))
        }
        Some(Code::DiskFull) => {
            HarvestError::new(HarvestCode::Unavailable, "the disk of the catalog store is full")
        }
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => {
            precondition("the catalog store is damaged", "restore it from a backup or move it away")
        }
        _ => internal(format!("catalog store: {error}")),
    }
}

/// Maps store errors with `?`-friendly syntax.
pub(crate) trait StoreResult<T> {
    fn db(self) -> Result<T, HarvestError>;
}

impl<T> StoreResult<T> for rusqlite::Result<T> {
    fn db(self) -> Result<T, HarvestError> {
        self.map_err(store)
    }
}
