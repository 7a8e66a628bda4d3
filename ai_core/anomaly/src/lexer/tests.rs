//! Tokens of each dialect, and the marks left by comments and open ends.

use super::*;

fn kinds(sql: &str, dialect: Dialect) -> Vec<Kind> {
    all(sql.as_bytes(), dialect).0.iter().map(|t| t.kind).collect()
}

fn all(sql: &[u8], dialect: Dialect) -> (Vec<Tok>, Marks) {
    let mut lexer = Lexer::new(sql, dialect, SqlMode::default());
    let mut out = Vec::new();
    loop {
        let t = lexer.next_token();
        if t.kind == Kind::Eof {
            return (out, lexer.marks);
        }
        out.push(t);
    }
}

const ALL: [Dialect; 3] = [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite];

#[test]
fn quotes_follow_the_dialect() {
    use Kind::{QuotedIdent, Text, Word};
    assert_eq!(kinds(r#""a""#, Dialect::MySql), [Text]);
    assert_eq!(kinds(r#""a""#, Dialect::Postgres), [QuotedIdent]);
    assert_eq!(kinds("[a b]", Dialect::Sqlite), [QuotedIdent]);
    assert_eq!(kinds(r"'a\'b'", Dialect::MySql), [Text]);
    assert_eq!(kinds(r"'a\' b", Dialect::Postgres), [Text, Word]);
    assert_eq!(kinds(r"E'a\'b'", Dialect::Postgres), [Text]);
    assert_eq!(kinds("$x$ it's $x$ b", Dialect::Postgres), [Text, Word]);
    assert_eq!(kinds(r#"U&"d\0061t" x"#, Dialect::Postgres), [QuotedIdent, Word]);
    for d in ALL {
        assert_eq!(kinds("'it''s' x", d), [Text, Word]);
        assert_eq!(kinds("`a b` x", d), [QuotedIdent, Word]);
    }
}

#[test]
fn comments_follow_the_dialect() {
    assert_eq!(kinds("a # b", Dialect::MySql).len(), 1);
    assert_eq!(kinds("a # b", Dialect::Postgres).len(), 3);
    assert_eq!(kinds("a --b", Dialect::MySql).len(), 4);
    assert_eq!(kinds("a -- b", Dialect::MySql).len(), 1);
    assert_eq!(kinds("a --b", Dialect::Sqlite).len(), 1);
    assert_eq!(kinds("a /* x /* y */ z */ b", Dialect::Postgres).len(), 2);
    assert_eq!(kinds("a /* x /* y */ z */ b", Dialect::Sqlite).len(), 5);
    assert_eq!(kinds("a /*!50000 b */ c", Dialect::MySql).len(), 3);
    assert_eq!(kinds("a /*!50000 b */ c", Dialect::Sqlite).len(), 2);
}

#[test]
fn numbers_are_read() {
    for (text, value) in
        [("12", 12.0), ("1.5", 1.5), (".5", 0.5), ("2e3", 2000.0), ("0x1F", 31.0), ("0b11", 3.0)]
    {
        let (t, _) = all(text.as_bytes(), Dialect::MySql);
        assert_eq!((t.len(), t[0].kind), (1, Kind::Number), "{text}");
        assert!((t[0].num - value).abs() < 1e-9, "{text}: {}", t[0].num);
    }
}

#[test]
fn tails_are_told_apart() {
    let tail = |sql: &str| all(sql.as_bytes(), Dialect::Postgres).1.tail;
    assert_eq!(tail("select 1"), Tail::None);
    assert_eq!(tail("select 1 -- "), Tail::Stub);
    assert_eq!(tail("select 1 --x"), Tail::Stub);
    assert_eq!(tail("select 1 -- the user's first order"), Tail::Remark);
    assert_eq!(tail("select 1 -- x' and b = 2"), Tail::Residue);
    assert_eq!(tail("select 1 -- x) and b = 2"), Tail::Residue);
    assert_eq!(tail("-- a remark\nselect 1"), Tail::None);
}

#[test]
fn open_ends_are_marked() {
    for d in ALL {
        assert!(all(b"select 'a", d).1.open_literal);
        assert!(all(b"select /* a", d).1.open_comment);
        assert!(!all(b"select 'a' /* b */ c", d).1.open_literal);
    }
    assert!(all(b"select $a$ x", Dialect::Postgres).1.open_literal);
}

#[test]
fn any_bytes_end() {
    for d in ALL {
        for bytes in [
            &b"\xFF\xFE\x00"[..],
            b"\\",
            b"'\\",
            b"/*!",
            b"$",
            b"$a",
            b"@",
            b"@@",
            b"@`",
            b"0x",
            b"1e",
            b"1e+",
            b"u&",
            b"-",
        ] {
            let (tokens, _) = all(bytes, d);
            assert!(
                tokens.iter().all(|t| t.end > t.start && t.end as usize <= bytes.len()),
                "{bytes:?} {d:?}"
            );
        }
    }
}
