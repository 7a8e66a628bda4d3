//! Which statements may answer differently at the next moment; it decides nothing about caching.

use harvest::{CheckedStatement, LexMode, Lexer, TokenKind};

const FUNCTIONS: &[&str] = &[
    "age",
    "changes",
    "clock_timestamp",
    "connection_id",
    "curdate",
    "current_date",
    "current_time",
    "current_timestamp",
    "curtime",
    "date",
    "datetime",
    "found_rows",
    "gen_random_uuid",
    "julianday",
    "last_insert_rowid",
    "localtime",
    "localtimestamp",
    "now",
    "pg_backend_pid",
    "rand",
    "random",
    "randomblob",
    "row_count",
    "statement_timestamp",
    "strftime",
    "sysdate",
    "time",
    "timediff",
    "timeofday",
    "total_changes",
    "transaction_timestamp",
    "unix_timestamp",
    "unixepoch",
    "utc_date",
    "utc_time",
    "utc_timestamp",
    "uuid",
    "uuid_generate_v1",
    "uuid_generate_v4",
    "uuid_short",
    "uuidv4",
    "uuidv7",
];

const WORDS: &[&str] = &[
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "current_user",
    "session_user",
    "utc_date",
    "utc_time",
    "utc_timestamp",
];

/// Whether the statement reads the clock, random numbers or the session.
pub(crate) fn is_volatile(statement: &CheckedStatement, mode: LexMode) -> bool {
    let named = |name: &str| {
        let name = name.rsplit('.').next().unwrap_or(name);
        FUNCTIONS.contains(&name)
    };
    if statement.functions.iter().any(|name| named(name)) {
        return true;
    }
    Lexer::new(&statement.sql, mode).any(|token| {
        token.kind == TokenKind::Word && WORDS.iter().any(|word| token.text.eq_ignore_ascii_case(word))
    })
}
