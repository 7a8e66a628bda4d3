//! Takes out, before parsing, words that the parser does not know and that cannot hide anything; what runs is the original text.

mod mysql;
mod postgres;
mod sqlite;

use std::borrow::Cow;

use harvest::{DialectName, Token, TokenKind};

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
            frame(words, at).unwrap_or_else(|| postgres::postgres(words, at, token, before, next, closers))
        }
        DialectName::Sqlite => {
            frame(words, at).unwrap_or_else(|| sqlite::sqlite(words, at, token, before, next))
        }
        DialectName::Mysql | DialectName::Mariadb => mysql::mysql(words, at, token, before, next),
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
