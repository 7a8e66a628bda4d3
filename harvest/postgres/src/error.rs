//! Server errors as typed codes; messages never carry hosts, users or credentials.

use harvest::{HarvestCode, HarvestError};
use postgres::error::{DbError, ErrorPosition};

/// The innermost cause, in words.
pub(crate) fn root_cause(error: &postgres::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Maps an error by its SQLSTATE class.
pub(crate) fn from_postgres(error: &postgres::Error) -> HarvestError {
    match error.as_db_error() {
        Some(db) => from_db(db),
        None if error.is_closed() || error.to_string().contains("communicating") => {
            HarvestError::new(HarvestCode::Unavailable, "the connection to the server was lost").broken()
        }
        None => HarvestError::new(HarvestCode::InvalidArgument, root_cause(error)),
    }
}

fn from_db(db: &DbError) -> HarvestError {
    let state = db.code().code();
    let code = match (state, state.get(..2).unwrap_or_default()) {
        ("57014", _) => HarvestCode::Cancelled,
        ("42P01" | "3F000" | "42704", _) => HarvestCode::NotFound,
        ("42501" | "25006" | "42P18", _) | (_, "28") => HarvestCode::PermissionDenied,
        ("40001" | "40P01" | "55P03" | "55006", _) => HarvestCode::Conflict,
        ("0A000" | "55000" | "25P02", _) => HarvestCode::FailedPrecondition,
        (_, "08" | "57" | "53" | "58") => HarvestCode::Unavailable,
        (_, "54") => HarvestCode::LimitExceeded,
        (_, "22" | "42" | "21" | "20" | "23" | "2B" | "44" | "P0") => HarvestCode::InvalidArgument,
        _ => HarvestCode::Internal,
    };
    let mut message = db.message().to_owned();
    if let Some(hint) = db.hint() {
        message = format!("{message} ({hint})");
    }
    let mut error = HarvestError::new(code, message).with("sqlstate", state);
    if let Some(ErrorPosition::Original(position)) = db.position() {
        error = error.with("position", *position);
    }
    if code == HarvestCode::PermissionDenied {
        error = error.with("by", "backend");
    }
    if matches!(state.get(..2), Some("08"))
        || matches!(state, "57P01" | "57P02" | "57P03" | "57P05" | "25P03")
    {
        error = error.broken();
    }
    error
}
