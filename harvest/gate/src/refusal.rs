//! Words of refusal and of syntax errors; it decides nothing.

use harvest::{DialectName, HarvestError, HarvestResult};
use sqlparser::parser::ParserError;

/// Refuses a construct with a remedy.
pub(crate) fn refuse<T>(construct: &str, remedy: &str) -> HarvestResult<T> {
    Err(HarvestError::gate(construct, remedy))
}

/// Refuses a node kind that the walker does not know.
pub(crate) fn unknown<T>(construct: &str) -> HarvestResult<T> {
    refuse(construct, "this construct is not on the list of allowed ones; write the query without it")
}

/// The engine's name as people write it.
pub(crate) const fn engine(dialect: DialectName) -> &'static str {
    match dialect {
        DialectName::Mysql => "MySQL",
        DialectName::Mariadb => "MariaDB",
        DialectName::Postgresql => "PostgreSQL",
        DialectName::Sqlite => "SQLite",
    }
}

/// Maps a parser's error; columns of our tokens are byte offsets plus one.
pub(crate) fn syntax(error: &ParserError, dialect: DialectName) -> HarvestError {
    let text = match error {
        ParserError::RecursionLimitExceeded => {
            return HarvestError::limit(
                "the statement is nested too deeply to be checked; flatten it",
                100,
                101,
                "depth_max",
            );
        }
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
    };
    let (said, position) = match text.rsplit_once(" at Line: 1, Column: ") {
        Some((said, column)) => (said, column.parse::<usize>().ok().map(|c| c.saturating_sub(1))),
        None => (text.as_str(), None),
    };
    let mut said = said.replace("Expected: ", "expected ").replace(", found: ", ", found ");
    if said.len() > 300 {
        let cut = (0..=300).rev().find(|i| said.is_char_boundary(*i)).unwrap_or(0);
        said.truncate(cut);
    }
    HarvestError::syntax(format!("syntax error in {} SQL: {said}", engine(dialect)), position)
}
