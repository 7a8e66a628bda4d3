//! Words of PostgreSQL that the parser does not know; it decides nothing about safety.

use harvest::{Token, TokenKind};

use super::{Edit, closing, enclosing, is_any, item_length, plain};
use crate::functions::is_known_operator;

/// A stand-in for a name that the grammar lets people leave out.
const ALIAS: Token<'static> = Token { kind: TokenKind::Word, text: "unnamed", start: 0, comment_depth: 0 };
/// Stands for any operator before ANY and ALL.
const EQUAL: Token<'static> = Token { kind: TokenKind::Operator, text: "=", start: 0, comment_depth: 0 };
/// Stands for a word that only follows IS.
const NULL: Token<'static> = Token { kind: TokenKind::Word, text: "NULL", start: 0, comment_depth: 0 };

pub(super) fn postgres(
    words: &[Token<'_>],
    at: usize,
    token: &Token<'_>,
    before: Option<&Token<'_>>,
    next: Option<&Token<'_>>,
    closers: &mut Vec<usize>,
) -> Edit {
    if let Some(edit) = postgres_small(words, at, token, before, next) {
        return edit;
    }
    // A cast of a frame's bound: `'1 day'::interval PRECEDING`.
    if token.is_op("::") && is_any(words.get(at + 2), &["preceding", "following"]) {
        return Edit::Drop(2);
    }
    // `ROWS FROM (f(), g())` reads its functions like a list.
    if token.is_word("rows")
        && is_any(next, &["from"])
        && words.get(at + 2).is_some_and(|t| t.is_op("("))
        && let Some(close) = closing(words, at + 2)
    {
        closers.push(close);
        closers.sort_unstable_by(|a, b| b.cmp(a));
        return Edit::Drop(3);
    }
    // `f() AS (a int)` names columns without naming the table.
    if token.is_word("as") && before.is_some_and(|t| t.is_op(")")) && next.is_some_and(|t| t.is_op("(")) {
        let name =
            words.get(at + 2).is_some_and(|t| matches!(t.kind, TokenKind::Word | TokenKind::QuotedIdent));
        let type_name =
            words.get(at + 3).is_some_and(|t| matches!(t.kind, TokenKind::Word | TokenKind::QuotedIdent));
        let statement = is_any(
            words.get(at + 2),
            &["select", "with", "values", "table", "insert", "update", "delete", "merge"],
        );
        if name && type_name && !statement {
            return Edit::Add(ALIAS);
        }
    }
    // SEARCH and CYCLE of a recursive query name columns only.
    if before.is_some_and(|t| t.is_op(")"))
        && (token.is_word("search") || token.is_word("cycle"))
        && let Some(length) = search_or_cycle(&words[at..])
    {
        return Edit::Drop(length);
    }
    Edit::Keep
}

/// Words of PostgreSQL that say how a value is taken, not which.
fn postgres_small(
    words: &[Token<'_>],
    at: usize,
    token: &Token<'_>,
    before: Option<&Token<'_>>,
    next: Option<&Token<'_>>,
) -> Option<Edit> {
    let opens = next.is_some_and(|t| t.is_op("("));
    let drop = |count| Some(Edit::Drop(count));
    if token.kind == TokenKind::Operator {
        // Any known operator may stand before ANY and ALL.
        let set = is_any(next, &["any", "all", "some"]) && words.get(at + 2).is_some_and(|t| t.is_op("("));
        return (set && is_known_operator(token.text)).then_some(Edit::Put(EQUAL));
    }
    // `(value).*`
    if token.kind == TokenKind::Dot
        && before.is_some_and(|t| t.is_op(")"))
        && next.is_some_and(|t| t.is_op("*"))
    {
        return drop(2);
    }
    if token.kind != TokenKind::Word {
        return None;
    }
    if token.is_word("distinct") && is_any(before, &["by"]) {
        return drop(1);
    }
    if token.is_word("document") && is_any(before, &["is", "not"]) {
        return Some(Edit::Put(NULL));
    }
    if let Some(length) = json_words(words, at) {
        return drop(length);
    }
    if token.is_word("uescape")
        && before.is_some_and(|t| t.kind == TokenKind::UnicodeString)
        && next.is_some_and(|t| t.kind == TokenKind::String)
    {
        return drop(2);
    }
    if is_any(before, &["between"]) && (token.is_word("symmetric") || token.is_word("asymmetric")) {
        return drop(1);
    }
    if token.is_word("variadic") && before.is_some_and(|t| t.is_op("(") || t.is_op(",")) && !opens {
        return drop(1);
    }
    if token.is_word("for") && is_any(before, &["collation"]) && opens {
        return drop(1);
    }
    if token.is_word("with") && is_any(next, &["ordinality"]) && before.is_some_and(|t| t.is_op(")")) {
        return drop(2);
    }
    xml_words(words, at, token, before)
}

/// Words inside the XML functions.
fn xml_words(words: &[Token<'_>], at: usize, token: &Token<'_>, before: Option<&Token<'_>>) -> Option<Edit> {
    let called = at.checked_sub(2).and_then(|i| words.get(i));
    let xml = before.is_some_and(|t| t.is_op("(")) && is_any(called, &["xmlelement", "xmlpi"]);
    if token.is_word("name") && xml {
        return Some(Edit::Drop(1));
    }
    let content = before.is_some_and(|t| t.is_op("(")) && is_any(called, &["xmlserialize"]);
    if content && (token.is_word("document") || token.is_word("content")) {
        return Some(Edit::Drop(1));
    }
    if token.is_word("version") && before.is_some_and(|t| t.is_op(",")) {
        // `XMLROOT(x, VERSION NO VALUE, STANDALONE YES)` keeps a word in the place of its options.
        let open = enclosing(words, at)?;
        let root = is_any(words.get(open.checked_sub(1)?), &["xmlroot"]);
        let close = closing(words, open)?;
        return (root && close > at + 1 && plain(&words[at + 1..close]))
            .then(|| Edit::DropAfter(close - at - 1));
    }
    if token.is_word("as") {
        let open = enclosing(words, at)?;
        let names = is_any(words.get(open.checked_sub(1)?), &["xmlforest", "xmlattributes", "xmlserialize"]);
        if !names {
            return None;
        }
        let length = item_length(words, at);
        let label =
            words[at..at + length].iter().all(|t| matches!(t.kind, TokenKind::Word | TokenKind::QuotedIdent));
        return label.then_some(Edit::Drop(length));
    }
    None
}

/// Length of what JSON functions say about wrapping and quotes: words only.
fn json_words(words: &[Token<'_>], at: usize) -> Option<usize> {
    let first = words.get(at);
    let next = words.get(at + 1);
    if !is_any(first, &["with", "without", "keep", "omit"]) {
        return None;
    }
    let open = enclosing(words, at)?;
    if !is_any(words.get(open.checked_sub(1)?), &["json_query"]) {
        return None;
    }
    if is_any(first, &["with", "without"]) {
        let mut end = at + 1;
        while is_any(words.get(end), &["conditional", "unconditional", "array"]) {
            end += 1;
        }
        return is_any(words.get(end), &["wrapper"]).then_some(end + 1 - at);
    }
    (is_any(first, &["keep", "omit"]) && is_any(next, &["quotes"])).then_some(2)
}

/// Length of `SEARCH DEPTH FIRST BY a, b SET c` and `CYCLE a, b SET c [TO x DEFAULT y] USING d`, both or one.
fn search_or_cycle(words: &[Token<'_>]) -> Option<usize> {
    let mut at = 0;
    let names = |mut at: usize| -> Option<usize> {
        loop {
            let name = words.get(at)?;
            if !matches!(name.kind, TokenKind::Word | TokenKind::QuotedIdent) {
                return None;
            }
            at += 1;
            if words.get(at).is_none_or(|t| t.kind != TokenKind::Comma) {
                return Some(at);
            }
            at += 1;
        }
    };
    if words.first()?.is_word("search") {
        if !is_any(words.get(1), &["depth", "breadth"])
            || !is_any(words.get(2), &["first"])
            || !is_any(words.get(3), &["by"])
        {
            return None;
        }
        at = names(4)?;
        if !is_any(words.get(at), &["set"]) {
            return None;
        }
        at += 2;
    }
    if is_any(words.get(at), &["cycle"]) {
        at = names(at + 1)?;
        if !is_any(words.get(at), &["set"]) {
            return None;
        }
        at += 2;
        if is_any(words.get(at), &["to"]) && is_any(words.get(at + 2), &["default"]) {
            let plain = [at + 1, at + 3].iter().all(|i| {
                words.get(*i).is_some_and(|t| t.kind.is_literal() || is_any(Some(t), &["true", "false"]))
            });
            if !plain {
                return None;
            }
            at += 4;
        }
        if is_any(words.get(at), &["using"]) {
            at += 2;
        }
    }
    (at > 0 && at <= words.len()).then_some(at)
}
