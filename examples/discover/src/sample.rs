//! The small sample shop that is used without a database; it is the one that `serve` embeds.

#[path = "../../serve/src/sample/rows.rs"]
mod rows;
#[path = "../../serve/src/sample/words.rs"]
mod words;

use std::path::Path;

/// Writes the sample to `path`, which must not exist.
///
/// # Errors
/// What SQLite fails with.
pub(crate) fn create(path: &Path) -> rusqlite::Result<()> {
    let mut connection = rusqlite::Connection::open(path)?;
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
    connection.execute_batch(include_str!("../../serve/src/sample/schema.sql"))?;
    rows::fill(&mut connection)?;
    connection.execute_batch("ANALYZE;")
}
