//! Words of MySQL and MariaDB that the parser does not know; it decides nothing about safety.

use harvest::{Token, TokenKind};

use super::{Edit, closing, enclosing, is_any, item_length, opening};

/// Stands for `!`.
const NOT: Token<'static> = Token { kind: TokenKind::Word, text: "NOT", start: 0, comment_depth: 0 };
/// Stands for units of two parts.
const SECOND: Token<'static> = Token { kind: TokenKind::Word, text: "SECOND", start: 0, comment_depth: 0 };
/// The function, which the parser takes for the keyword.
const INTERVAL: Token<'static> =
    Token { kind: TokenKind::QuotedIdent, text: "`interval`", start: 0, comment_depth: 0 };
/// MySQL's MOD between operands.
const MODULO: Token<'static> = Token { kind: TokenKind::Operator, text: "%", start: 0, comment_depth: 0 };

/// Units of MySQL that take two numbers.
const TWO_PART_UNITS: &[&str] = &[
    "day_hour",
    "day_microsecond",
    "day_minute",
    "day_second",
    "hour_microsecond",
    "hour_minute",
    "hour_second",
    "minute_microsecond",
    "minute_second",
    "second_microsecond",
    "year_month",
];

pub(super) fn mysql(
    words: &[Token<'_>],
    at: usize,
    token: &Token<'_>,
    before: Option<&Token<'_>>,
    next: Option<&Token<'_>>,
) -> Edit {
    if token.is_word("mod") {
        let operand = before.is_some_and(|t| {
            t.kind.is_literal() || t.kind == TokenKind::Close || t.kind == TokenKind::QuotedIdent
        });
        let call = next.is_some_and(|t| t.is_op("("));
        let name = before.is_some_and(|t| t.kind == TokenKind::Word);
        let ends =
            next.is_none_or(|t| matches!(t.kind, TokenKind::Comma | TokenKind::Close | TokenKind::Dot));
        if operand || (name && !call && !ends && !is_any(before, &["as", "select", "from", "by"])) {
            return Edit::Put(MODULO);
        }
    }
    if token.is_op("!") {
        return Edit::Put(NOT);
    }
    if (token.is_word("asc") || token.is_word("desc")) && before.is_some_and(|t| t.kind != TokenKind::Dot) {
        return Edit::Drop(1);
    }
    if token.is_word("from") && is_any(before, &["leading", "trailing", "both"]) {
        return Edit::Drop(1);
    }
    if token.is_word("for")
        && is_any(next, &["system_time"])
        && let Some(length) = system_time(&words[at..])
    {
        return Edit::Drop(length);
    }
    if token.is_word("sounds") && is_any(next, &["like"]) {
        return Edit::Drop(1);
    }
    let follows_value = before.is_some_and(|t| {
        t.kind.is_literal() || matches!(t.kind, TokenKind::Close | TokenKind::Param | TokenKind::Word)
    });
    if token.kind == TokenKind::Word
        && token.text.contains('_')
        && follows_value
        && is_any(Some(token), TWO_PART_UNITS)
    {
        return Edit::Put(SECOND);
    }
    if token.is_word("interval") && next.is_some_and(|t| t.is_op("(")) {
        let unit = closing(words, at + 1).and_then(|close| words.get(close + 1));
        if unit.is_none_or(|t| {
            t.kind != TokenKind::Word || is_any(Some(t), &["from", "as", "and", "or", "where"])
        }) {
            return Edit::Put(INTERVAL);
        }
    }
    inside_call(words, at, token, next).unwrap_or(Edit::Keep)
}

/// Words that only stand inside the brackets of a call.
fn inside_call(words: &[Token<'_>], at: usize, token: &Token<'_>, next: Option<&Token<'_>>) -> Option<Edit> {
    let charset = token.is_word("charset") as usize
        + 2 * usize::from(token.is_word("character") && is_any(next, &["set"]));
    if charset > 0
        && words.get(at + charset).is_some_and(|t| t.kind == TokenKind::Word)
        && words.get(at + charset + 1).is_some_and(|t| t.is_op(")"))
    {
        return Some(Edit::Drop(charset + 1));
    }
    if token.kind == TokenKind::Word
        && is_any(next, &["from"])
        && is_any(at.checked_sub(2).and_then(|i| words.get(i)), &["extract"])
        && is_any(Some(token), TWO_PART_UNITS)
    {
        return Some(Edit::Put(SECOND));
    }
    if token.is_word("as") {
        let called = enclosing(words, at).and_then(|open| open.checked_sub(1)).and_then(|i| words.get(i));
        if is_any(called, &["column_get", "column_create", "column_add"]) {
            let length = item_length(words, at);
            let typed = words[at..at + length].iter().all(|t| {
                matches!(
                    t.kind,
                    TokenKind::Word
                        | TokenKind::Number
                        | TokenKind::Open
                        | TokenKind::Close
                        | TokenKind::Comma
                )
            });
            if typed {
                return Some(Edit::Drop(length));
            }
        }
    }
    // `CHAR(65 USING utf8mb4)`.
    if token.is_word("using") && words.get(at + 2).is_some_and(|t| t.is_op(")")) {
        let open = opening(words, at + 2);
        let char_call =
            open.and_then(|o| o.checked_sub(1)).and_then(|i| words.get(i)).is_some_and(|t| t.is_word("char"));
        let plain = next.is_some_and(|t| t.kind == TokenKind::Word);
        if char_call && plain {
            return Some(Edit::Drop(2));
        }
    }
    None
}

/// Length of `FOR SYSTEM_TIME ALL`, or with constants `AS OF x`, `BETWEEN x AND y`, `FROM x TO y`.
fn system_time(words: &[Token<'_>]) -> Option<usize> {
    let constant = |at: usize| {
        let at = at + usize::from(is_any(words.get(at), &["timestamp", "transaction"]));
        words.get(at).is_some_and(|t| t.kind.is_literal()).then_some(at + 1)
    };
    let second = words.get(2);
    if is_any(second, &["all"]) {
        return Some(3);
    }
    if is_any(second, &["as"]) && is_any(words.get(3), &["of"]) {
        return constant(4);
    }
    let middle = constant(3)?;
    let joined = (is_any(second, &["between"]) && is_any(words.get(middle), &["and"]))
        || (is_any(second, &["from"]) && is_any(words.get(middle), &["to"]));
    if joined { constant(middle + 1) } else { None }
}
