//! Tests of the lexer: how each engine reads tricky text, and what is true of every text.

use super::*;

fn kinds(sql: &str, dialect: DialectName) -> Vec<(TokenKind, &str)> {
    Lexer::new(sql, LexMode::of(dialect)).filter(|t| !t.kind.is_blank()).map(|t| (t.kind, t.text)).collect()
}

fn words(sql: &str, dialect: DialectName) -> Vec<&str> {
    kinds(sql, dialect).into_iter().map(|(_, text)| text).collect()
}

const ALL: [DialectName; 4] =
    [DialectName::Mysql, DialectName::Mariadb, DialectName::Postgresql, DialectName::Sqlite];

#[test]
fn backslashes_end_literals_only_where_they_do_not_escape() {
    let sql = r"SELECT 'x\', 1";
    assert_eq!(words(sql, DialectName::Postgresql).len(), 4);
    assert_eq!(kinds(sql, DialectName::Mysql).last().unwrap().0, TokenKind::Unterminated);
    assert_eq!(kinds(r"SELECT E'x\'', 1", DialectName::Postgresql)[1].1, r"E'x\''");
}

#[test]
fn postgres_continues_escape_literals_over_line_ends() {
    let sql = "SELECT e'a'  -- note\n  'b\\' ; drop' , 2";
    let found = kinds(sql, DialectName::Postgresql);
    assert_eq!(found[1].0, TokenKind::EscapeString);
    assert_eq!(found.len(), 4);
}

#[test]
fn dollar_bodies_need_their_own_tag_and_names_may_hold_dollars() {
    assert_eq!(kinds("$a$ $$ ; $a$", DialectName::Postgresql), [(TokenKind::DollarString, "$a$ $$ ; $a$")]);
    assert_eq!(words("x$$ ; y$$", DialectName::Postgresql), ["x$$", ";", "y$$"]);
    assert_eq!(kinds("$1 + $2", DialectName::Postgresql)[2], (TokenKind::Param, "$2"));
}

#[test]
fn comments_nest_in_postgres_only() {
    assert_eq!(words("1 /* /* */ ; */ 2", DialectName::Postgresql), ["1", "2"]);
    assert_eq!(words("1 /* /* */ ; 2", DialectName::Sqlite), ["1", ";", "2"]);
    assert_eq!(words("1 # x\n; 2", DialectName::Mysql), ["1", ";", "2"]);
    assert_eq!(words("1--1", DialectName::Mysql), ["1", "-", "-", "1"]);
    assert_eq!(words("1--1", DialectName::Sqlite), ["1"]);
    assert_eq!(words("1 -- a\r; 2", DialectName::Postgresql), ["1", ";", "2"]);
    assert_eq!(words("1 -- a\r; 2", DialectName::Mysql), ["1"]);
}

#[test]
fn executable_comments_and_hints_are_no_comments() {
    assert_eq!(kinds("/*!50000 x */", DialectName::Mysql)[0].0, TokenKind::ExecutableComment);
    assert_eq!(kinds("/*M! x */", DialectName::Mariadb)[0].0, TokenKind::ExecutableComment);
    assert_eq!(kinds("/*+ x */", DialectName::Mysql)[0].0, TokenKind::Hint);
    assert!(kinds("/*! x */", DialectName::Postgresql).is_empty());
}

#[test]
fn unicode_blanks_are_part_of_names() {
    for dialect in ALL {
        assert_eq!(words("abs\u{a0}(1)", dialect)[0], "abs\u{a0}");
    }
}

#[test]
fn numbers_and_names_that_begin_with_digits() {
    assert_eq!(kinds("1e3", DialectName::Mysql), [(TokenKind::Number, "1e3")]);
    assert_eq!(kinds("2nd", DialectName::Mysql), [(TokenKind::Word, "2nd")]);
    assert_eq!(kinds("t.1e3", DialectName::Mysql)[2], (TokenKind::Word, "1e3"));
    assert_eq!(words("1..2", DialectName::Postgresql), ["1", "..", "2"]);
    assert_eq!(words("a<-1", DialectName::Postgresql), ["a", "<", "-", "1"]);
    assert_eq!(words("a@-1", DialectName::Postgresql), ["a", "@-", "1"]);
}

#[test]
fn quoted_names_by_engine() {
    assert_eq!(kinds("[a]]b", DialectName::Sqlite)[0], (TokenKind::QuotedIdent, "[a]"));
    assert_eq!(kinds("\"a\"\"b\"", DialectName::Postgresql)[0].0, TokenKind::QuotedIdent);
    assert_eq!(kinds("\"a\\\"b\"", DialectName::Mysql)[0].0, TokenKind::String);
    assert_eq!(kinds("`a``b`", DialectName::Mariadb)[0], (TokenKind::QuotedIdent, "`a``b`"));
}

#[test]
fn caps_are_named() {
    let mode = LexMode::of(DialectName::Postgresql);
    let caps = LexCaps::default();
    let deep = format!("SELECT {}1{}", "(".repeat(101), ")".repeat(101));
    let nested = format!("{}{}", "/*".repeat(9), "*/".repeat(9));
    let long = format!("SELECT 1{}", ",1".repeat(5_000));
    for sql in [deep, nested, long, "x".repeat(65_537)] {
        assert_eq!(scan(&sql, mode, caps).unwrap_err().code, crate::HarvestCode::LimitExceeded);
    }
    for sql in ["SELECT 'x", "SELECT \"x", "/* x", "SELECT $$x", "SELECT 1\0", "SELECT \\N"] {
        assert_eq!(scan(sql, mode, caps).unwrap_err().code, crate::HarvestCode::InvalidArgument, "{sql:?}");
    }
    assert!(utf8(b"SELECT '\xff'").is_err());
}

#[test]
fn comments_are_stripped_outside_literals_only() {
    let mode = LexMode::of(DialectName::Mysql);
    assert_eq!(strip_comments("SELECT/* a */1 # b\n, '/* c */'", mode), "SELECT 1 \n, '/* c */'");
    assert_eq!(strip_comments("SELECT /*+ h */ 1", mode), "SELECT /*+ h */ 1");
    assert_eq!(normal_form(" SELECT\n\t1 -- x\n ; ", mode), "SELECT 1");
}

#[test]
fn fingerprints_forget_values() {
    let mode = LexMode::of(DialectName::Postgresql);
    let one = fingerprint("SELECT * FROM t WHERE a IN (1, 2,3) AND b = -4 -- x", mode);
    assert_eq!(one, "SELECT * FROM t WHERE a IN (?, ...) AND b = ?");
    assert_eq!(one, fingerprint("SELECT *\nFROM t WHERE a IN (7,'x') AND b = 'y'", mode));
    assert_eq!(fingerprint("SELECT a-1, b", mode), "SELECT a-?, b");
    assert_eq!(fingerprint("SELECT 1, a, 2", mode), "SELECT ?, a, ?");
    assert_eq!(digest("SELECT ?"), digest("select ?"));
    assert_ne!(digest("a"), digest("b"));
}

#[test]
fn what_stands_before_a_comment_does_not_become_one() {
    let words = |sql: &str, mode| {
        let all: Vec<String> =
            Lexer::new(sql, mode).filter(|t| !t.kind.is_blank()).map(|t| t.text.to_owned()).collect();
        all
    };
    for dialect in ALL {
        let mode = LexMode::of(dialect);
        for sql in
            ["SELECT 5----\u{1}x\n2", "SELECT 5--/* x */2", "SELECT 5-/* x */-\n-/**/2", "SELECT 5--#x"]
        {
            let expected = words(sql, mode);
            assert_eq!(words(&strip_comments(sql, mode), mode), expected, "{dialect:?} {sql:?}");
            assert_eq!(words(&normal_form(sql, mode), mode), expected, "{dialect:?} {sql:?}");
        }
    }
}

#[test]
fn literals_of_digits_end_at_their_first_quote() {
    // A quote behind them begins a text with escapes, so that the semicolon is none of a text.
    for (dialect, sql) in [
        (DialectName::Mariadb, r"SELECT x'41''\''; DELETE FROM t -- '"),
        (DialectName::Mysql, r"SELECT b'01''\''; DELETE FROM t -- '"),
    ] {
        let kinds: Vec<TokenKind> = Lexer::new(sql, LexMode::of(dialect)).map(|t| t.kind).collect();
        assert!(kinds.contains(&TokenKind::Semicolon), "{dialect:?}: {kinds:?}");
    }
    let unknown =
        |dialect, sql: &str| Lexer::new(sql, LexMode::of(dialect)).any(|t| t.kind == TokenKind::Unknown);
    assert!(unknown(DialectName::Mariadb, "SELECT x'4g'") && unknown(DialectName::Sqlite, "SELECT x'4"));
    assert!(!unknown(DialectName::Mariadb, "SELECT x'', X'4a', B'01'"));
}

#[test]
fn tokens_cover_every_text() {
    // A small generator keeps the seam free of test dependencies.
    let alphabet: Vec<char> =
        "aE1.eXx'\"`[](){}$@#?:;,-/*+!<>=\\ \n\r\t\u{a0}\u{4e2d}\u{1f600}UuNnBbM&|~%^_0".chars().collect();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..4_000 {
        let mut sql = String::new();
        for _ in 0..round % 60 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            sql.push(alphabet[(state % alphabet.len() as u64) as usize]);
        }
        for dialect in ALL {
            let mode = LexMode::of(dialect);
            let mut at = 0;
            for token in Lexer::new(&sql, mode) {
                assert_eq!(token.start, at, "{sql:?}");
                at = token.end();
            }
            assert_eq!(at, sql.len(), "{sql:?}");
            let _ = scan(&sql, mode, LexCaps::default());
            let _ = fingerprint(&sql, mode);
            // Stripped text holds no comment any more.
            let stripped = strip_comments(&sql, mode).into_owned();
            let twice = strip_comments(&stripped, mode).into_owned();
            assert_eq!(twice, stripped, "{sql:?}");
            let normal = normal_form(&sql, mode);
            assert_eq!(normal_form(&normal, mode), normal, "{sql:?}");
        }
    }
}
