//! Words of SQLite that the parser does not know; it decides nothing about safety.

use harvest::Token;

use super::{Edit, is_any};

pub(super) fn sqlite(
    words: &[Token<'_>],
    at: usize,
    token: &Token<'_>,
    before: Option<&Token<'_>>,
    next: Option<&Token<'_>>,
) -> Edit {
    if token.is_word("not") && is_any(next, &["glob", "match", "regexp"]) {
        return Edit::Drop(1);
    }
    if (token.is_word("big") || token.is_word("int")) && is_any(before, &["unsigned", "big"]) {
        return Edit::Drop(1);
    }
    if is_any(before, &["as"]) {
        if token.is_word("materialized") && next.is_some_and(|t| t.is_op("(")) {
            return Edit::Drop(1);
        }
        let not = token.is_word("not") && is_any(next, &["materialized"]);
        if not && words.get(at + 2).is_some_and(|t| t.is_op("(")) {
            return Edit::Drop(2);
        }
    }
    Edit::Keep
}
