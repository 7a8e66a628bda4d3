//! Whatever text comes, the gate answers: it never panics, and what it passes stays passed and keeps its tokens.

use harvest::{DialectName, FragmentKind, GatePolicy, LexMode, Lexer};
use proptest::prelude::*;

const ALL: [DialectName; 4] =
    [DialectName::Postgresql, DialectName::Mysql, DialectName::Mariadb, DialectName::Sqlite];

/// Pieces that make statements which sometimes parse.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "SELECT",
        "FROM",
        "WHERE",
        "t",
        "a",
        ".",
        ",",
        "(",
        ")",
        "*",
        "1",
        "'x'",
        "\"y\"",
        "`z`",
        "AND",
        "OR",
        "NOT",
        "IN",
        "WITH",
        "AS",
        "UNION",
        "ALL",
        "GROUP BY",
        "ORDER BY",
        "LIMIT",
        "CASE",
        "WHEN",
        "THEN",
        "END",
        "::int",
        "->",
        "||",
        "@>",
        "?",
        "$1",
        "/* c */",
        "-- d\n",
        ";",
        "DELETE",
        "UPDATE",
        "INSERT",
        "INTO",
        "FOR UPDATE",
        "pg_sleep(1)",
        "SLEEP(1)",
        "lower(a)",
        "count(*)",
        "OVER (ORDER BY a)",
        "ROWS",
        "PRECEDING",
        "EXCLUDE",
        "TIES",
        "INTERVAL",
        "DAY",
        "EXPLAIN",
        "SHOW",
        "PRAGMA",
        "TABLES",
        "table_info",
        "=",
        "<",
        "-",
        "[",
        "]",
        "$$",
        "E'\\''",
        "x'41'",
        "@v",
        "@@version",
        "VALUES",
        "TABLE",
        "JOIN",
        "ON",
        "USING",
        "LATERAL",
        "AS (a int)",
        "ROWS FROM (",
        "NOT GLOB",
        "BETWEEN SYMMETRIC",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_gets_an_answer(text in any::<String>()) {
        for dialect in ALL {
            let _ = harvest_gate::check(dialect, &text, &GatePolicy::default());
            let _ = harvest_gate::check_fragment(dialect, &text, FragmentKind::OrderBy, &GatePolicy::default());
        }
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(text) = harvest::utf8(&bytes) {
            for dialect in ALL {
                let covered: usize = Lexer::new(text, LexMode::of(dialect)).map(|t| t.text.len()).sum();
                prop_assert_eq!(covered, text.len());
            }
        }
    }

    #[test]
    fn pieces_of_sql_get_an_answer(pieces in prop::collection::vec(piece(), 1..25)) {
        let sql = pieces.join(" ");
        for dialect in ALL {
            if let Ok(passed) = harvest_gate::check(dialect, &sql, &GatePolicy::default()) {
                // What is passed on holds no comment and no second statement, and passes again.
                let mode = LexMode::of(dialect);
                let has_comment = Lexer::new(&passed.sql, mode).any(|t| t.kind == harvest::TokenKind::Comment);
                prop_assert!(!has_comment);
                let again = harvest_gate::check(dialect, &passed.sql, &GatePolicy::default());
                prop_assert_eq!(again.map(|s| s.sql).ok(), Some(passed.sql.clone()));
                for word in ["pg_sleep(1)", "SLEEP(1)"] {
                    prop_assert!(!passed.functions.iter().any(|f| word.to_lowercase().starts_with(f.as_str())));
                }
            }
        }
    }
}
