//! Takes out, before parsing, words that the parser does not know and that cannot hide anything; what runs is the original text.

use std::borrow::Cow;

use harvest::{DialectName, Token, TokenKind};

use crate::functions::is_known_operator;

/// A stand-in for a name that the grammar lets people leave out.
const ALIAS: Token<'static> = Token { kind: TokenKind::Word, text: "unnamed", start: 0, comment_depth: 0 };
/// Stands for any operator before ANY and ALL.
const EQUAL: Token<'static> = Token { kind: TokenKind::Operator, text: "=", start: 0, comment_depth: 0 };
/// Stands for `!`.
const NOT: Token<'static> = Token { kind: TokenKind::Word, text: "NOT", start: 0, comment_depth: 0 };
/// Stands for units of two parts.
const SECOND: Token<'static> = Token { kind: TokenKind::Word, text: "SECOND", start: 0, comment_depth: 0 };
/// The function, which the parser takes for the keyword.
const INTERVAL: Token<'static> =
    Token { kind: TokenKind::QuotedIdent, text: "`interval`", start: 0, comment_depth: 0 };
/// MySQL's MOD between operands.
const MODULO: Token<'static> = Token { kind: TokenKind::Operator, text: "%", start: 0, comment_depth: 0 };

/// What happens to the token at a position.
enum Edit {
    /// It stays.
    Keep,
    /// This many tokens go.
    Drop(usize),
    /// This token takes its place.
    Put(Token<'static>),
    /// It stays and this token follows.
    Add(Token<'static>),
    /// It stays and this many tokens after it go.
    DropAfter(usize),
}

/// The tokens that the parser reads.
pub(crate) fn for_parser<'t, 's>(words: &'t [Token<'s>], dialect: DialectName) -> Cow<'t, [Token<'s>]> {
    let mut closers: Vec<usize> = Vec::new();
    let mut out: Option<Vec<Token<'s>>> = None;
    let mut at = 0;
    while at < words.len() {
        if closers.last() == Some(&at) {
            closers.pop();
            out.get_or_insert_with(|| words[..at].to_vec());
            at += 1;
            continue;
        }
        let edit = edit(words, at, dialect, &mut closers);
        let out_so_far = |out: &mut Option<Vec<Token<'s>>>| {
            if out.is_none() {
                *out = Some(words[..at].to_vec());
            }
        };
        match edit {
            Edit::Keep => {
                if let Some(out) = &mut out {
                    out.push(words[at]);
                }
                at += 1;
            }
            Edit::Drop(count) => {
                out_so_far(&mut out);
                at += count;
            }
            Edit::DropAfter(count) => {
                out_so_far(&mut out);
                if let Some(out) = &mut out {
                    out.push(words[at]);
                }
                at += count + 1;
            }
            Edit::Put(token) => {
                out_so_far(&mut out);
                if let Some(out) = &mut out {
                    out.push(Token { start: words[at].start, ..token });
                }
                at += 1;
            }
            Edit::Add(token) => {
                out_so_far(&mut out);
                if let Some(out) = &mut out {
                    out.push(words[at]);
                    out.push(Token { start: words[at].start, ..token });
                }
                at += 1;
            }
        }
    }
    out.map_or(Cow::Borrowed(words), Cow::Owned)
}

fn is_any(token: Option<&Token<'_>>, words: &[&str]) -> bool {
    token.is_some_and(|t| t.kind == TokenKind::Word && words.iter().any(|w| t.is_word(w)))
}

fn edit(words: &[Token<'_>], at: usize, dialect: DialectName, closers: &mut Vec<usize>) -> Edit {
    let token = &words[at];
    let before = at.checked_sub(1).and_then(|i| words.get(i));
    let next = words.get(at + 1);
    match dialect {
        DialectName::Postgresql => {
            frame(words, at).unwrap_or_else(|| postgres(words, at, token, before, next, closers))
        }
        DialectName::Sqlite => frame(words, at).unwrap_or_else(|| sqlite(words, at, token, before, next)),
        DialectName::Mysql | DialectName::Mariadb => mysql(words, at, token, before, next),
    }
}

/// `EXCLUDE …` of a window frame.
fn frame(words: &[Token<'_>], at: usize) -> Option<Edit> {
    if !words[at].is_word("exclude")
        || !is_any(words.get(at.checked_sub(1)?), &["row", "preceding", "following"])
    {
        return None;
    }
    let (next, second) = (words.get(at + 1), words.get(at + 2));
    if is_any(next, &["group", "ties"]) {
        return Some(Edit::Drop(2));
    }
    let two = (is_any(next, &["current"]) && is_any(second, &["row"]))
        || (is_any(next, &["no"]) && is_any(second, &["others"]));
    two.then_some(Edit::Drop(3))
}

fn sqlite(
    words: &[Token<'_>],
    at: usize,
    token: &Token<'_>,
    before: Option<&Token<'_>>,
    next: Option<&Token<'_>>,
) -> Edit {
    if token.is_word("not") && is_any(next, &["glob", "match", "regexp"]) {
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
    if token.kind != TokenKind::Word {
        return None;
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
    if token.is_word("with") && is_any(next, &["ordinality"]) {
        return drop(2);
    }
    let called = at.checked_sub(2).and_then(|i| words.get(i));
    let xml = before.is_some_and(|t| t.is_op("(")) && is_any(called, &["xmlelement", "xmlpi"]);
    if token.is_word("name") && xml {
        return drop(1);
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
        let names = is_any(words.get(open.checked_sub(1)?), &["xmlforest", "xmlattributes"]);
        let length = item_length(words, at);
        let label =
            words[at..at + length].iter().all(|t| matches!(t.kind, TokenKind::Word | TokenKind::QuotedIdent));
        return (names && label).then_some(Edit::Drop(length));
    }
    None
}

/// Whether only words, literals and commas are there: nothing that could call.
fn plain(words: &[Token<'_>]) -> bool {
    words.iter().all(|t| matches!(t.kind, TokenKind::Word | TokenKind::Comma) || t.kind.is_literal())
}

/// The bracket that is open at `at`; looks back over one argument list at most.
fn enclosing(words: &[Token<'_>], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for place in (at.saturating_sub(200)..at).rev() {
        match words[place].kind {
            TokenKind::Close => depth += 1,
            TokenKind::Open if depth == 0 => return Some(place),
            TokenKind::Open => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Tokens from `at` to the comma or bracket that ends the item.
fn item_length(words: &[Token<'_>], at: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, token) in words[at..].iter().enumerate() {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close if depth == 0 => return offset,
            TokenKind::Close => depth -= 1,
            TokenKind::Comma if depth == 0 => return offset,
            _ => {}
        }
    }
    words.len() - at
}

fn postgres(
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

fn mysql(
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
                return Edit::Drop(length);
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
            return Edit::Drop(2);
        }
    }
    Edit::Keep
}

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

fn closing(words: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in words.iter().enumerate().skip(open) {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The bracket that the one at `close` closes; looks back over one argument list at most.
fn opening(words: &[Token<'_>], close: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for at in (close.saturating_sub(200)..=close).rev() {
        match words[at].kind {
            TokenKind::Close => depth += 1,
            TokenKind::Open => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use harvest::{LexMode, Lexer};

    fn rewritten(sql: &str, dialect: DialectName) -> String {
        let words: Vec<_> = Lexer::new(sql, LexMode::of(dialect)).filter(|t| !t.kind.is_blank()).collect();
        for_parser(&words, dialect).iter().map(|t| t.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_that_the_parser_does_not_know_go() {
        let pg = DialectName::Postgresql;
        assert_eq!(rewritten("ROWS 1 PRECEDING EXCLUDE NO OTHERS )", pg), "ROWS 1 PRECEDING )");
        assert_eq!(rewritten("FROM ROWS FROM (f(), g()) AS x", pg), "FROM f ( ) , g ( ) AS x");
        assert_eq!(rewritten("f() AS (a int)", pg), "f ( ) AS unnamed ( a int )");
        assert_eq!(rewritten("c(x) AS (SELECT 1)", pg), "c ( x ) AS ( SELECT 1 )");
        assert_eq!(rewritten(") SEARCH DEPTH FIRST BY a SET b CYCLE a SET c USING d SELECT", pg), ") SELECT");
        assert_eq!(rewritten("a NOT GLOB b", DialectName::Sqlite), "a GLOB b");
        assert_eq!(rewritten("1 MOD 2, MOD(1, 2)", DialectName::Mysql), "1 % 2 , MOD ( 1 , 2 )");
        assert_eq!(rewritten("CHAR(65 USING latin1)", DialectName::Mariadb), "CHAR ( 65 )");
    }

    #[test]
    fn other_words_stay() {
        let sql = "SELECT exclude, mod, cycle FROM rows";
        for dialect in [DialectName::Postgresql, DialectName::Mysql, DialectName::Sqlite] {
            assert!(matches!(
                for_parser(
                    &Lexer::new(sql, LexMode::of(dialect)).filter(|t| !t.kind.is_blank()).collect::<Vec<_>>(),
                    dialect
                ),
                Cow::Borrowed(_)
            ));
        }
    }
}
