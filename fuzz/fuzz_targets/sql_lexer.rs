//! Tokens cover any text without a gap, and what is derived from them is stable.
#![no_main]

use harvest::{DialectName, LexMode, Lexer, fingerprint, normal_form, strip_comments};
use libfuzzer_sys::fuzz_target;

const MODES: [LexMode; 5] = [
    LexMode::of(DialectName::Postgresql),
    LexMode::of(DialectName::Mysql),
    LexMode::of(DialectName::Sqlite),
    LexMode { dialect: DialectName::Mariadb, backslash_escapes: false, double_quoted_identifiers: true },
    LexMode { dialect: DialectName::Mysql, backslash_escapes: false, double_quoted_identifiers: false },
];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let Ok(sql) = std::str::from_utf8(rest) else { return };
    let mode = MODES[usize::from(*first) % MODES.len()];
    let mut at = 0;
    for token in Lexer::new(sql, mode) {
        assert_eq!(token.start, at, "a gap or an overlap");
        assert!(!token.text.is_empty(), "a token without text");
        at += token.text.len();
    }
    assert_eq!(at, sql.len(), "an end without tokens");
    let stripped = strip_comments(sql, mode);
    assert_eq!(strip_comments(&stripped, mode), stripped, "comments were left");
    let normal = normal_form(sql, mode);
    assert_eq!(normal_form(&normal, mode), normal, "the normal form has another normal form");
    let _ = fingerprint(sql, mode);
});
