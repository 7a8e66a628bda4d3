//! How configuration fails: the one form of tool failures, with what operators see; it carries no secret.

use mcp::{ErrorCode, ToolError};

/// Shorthand for results of this crate. The error is the form that every endpoint answers with.
pub type ConfigResult<T> = Result<T, ToolError>;

/// A load or save that is refused: the module, the row and the cause.
pub fn refused(module: &str, row: Option<&str>, cause: impl Into<String>) -> ToolError {
    let cause = cause.into();
    let place = row.map_or_else(|| module.to_owned(), |row| format!("{module}, {row}"));
    let error = ToolError::precondition(format!("the load is refused: {place}: {cause}"))
        .with("module", module)
        .with("cause", cause);
    match row {
        Some(row) => error.with("row", row),
        None => error,
    }
}

/// A failure of SQLite on one of the configuration's own statements. The text of SQLite names tables and columns only.
pub(crate) fn store(what: &str, error: &rusqlite::Error) -> ToolError {
    let busy = matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
    );
    let code = if busy { ErrorCode::Conflict } else { ErrorCode::FailedPrecondition };
    ToolError::new(code, format!("{what}: {error}")).retryable(busy).with("reason", "store")
}

/// A file that cannot be used.
pub(crate) fn file(path: &std::path::Path, cause: &dyn std::fmt::Display) -> ToolError {
    ToolError::precondition(format!("{}: {cause}", path.display())).with("reason", "file")
}
