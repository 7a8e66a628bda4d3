//! Texts derived from tokens: without comments, in normal form, and as a digest; it refuses nothing.

use std::borrow::Cow;

use super::{LexMode, Lexer, TokenKind};

/// The statement with each run of ordinary comments outside literals replaced by one space; hints are kept.
#[must_use]
pub fn strip_comments(sql: &str, mode: LexMode) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    let mut any = false;
    for token in Lexer::new(sql, mode) {
        if token.kind == TokenKind::Comment {
            any = true;
            out.push_str(&sql[copied..token.start]);
            push_blank(&mut out, mode);
            copied = token.end();
        }
    }
    if !any {
        return Cow::Borrowed(sql);
    }
    out.push_str(&sql[copied..]);
    Cow::Owned(out)
}

/// Ends `out` with a blank in place of a comment, without making a comment of what stands before it: MySQL and MariaDB read
/// two minus signs as operators until white space or a control character follows them.
pub fn push_blank(out: &mut String, mode: LexMode) {
    let before = out.trim_end_matches('-').len();
    let signs = out.len() - before;
    if mode.is_mysql() && signs > 1 {
        out.truncate(before);
        out.push_str(&"- ".repeat(signs));
    } else if !out.ends_with([' ', '\n']) {
        out.push(' ');
    }
}

/// Comments removed, white space outside literals collapsed to one space, ends trimmed, case and literals kept.
#[must_use]
pub fn normal_form(sql: &str, mode: LexMode) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut blank = false;
    for token in Lexer::new(sql, mode) {
        if token.kind.is_blank() {
            blank = true;
            continue;
        }
        if blank && !out.is_empty() {
            push_blank(&mut out, mode);
        }
        blank = false;
        out.push_str(token.text);
    }
    let trim = |out: &mut String| out.truncate(out.trim_end_matches([';', ' ']).len());
    trim(&mut out);
    if out.ends_with('-') {
        // The end of a text is white space to MySQL and MariaDB.
        push_blank(&mut out, mode);
        trim(&mut out);
    }
    out
}

/// The statement with literals as `?`, lists of literals as `?, ...`, one space between tokens: equal for statements that
/// differ in values, white space and comments only.
#[must_use]
pub fn fingerprint(sql: &str, mode: LexMode) -> String {
    let mut out = String::with_capacity(sql.len());
    let (mut blank, mut listed, mut signable) = (false, 0_usize, true);
    let mut pending_comma = false;
    for token in Lexer::new(sql, mode) {
        if token.kind.is_blank() {
            blank = true;
            continue;
        }
        let literal = token.kind.is_literal() || token.kind == TokenKind::Param;
        if literal {
            if pending_comma && listed >= 1 {
                if listed == 1 {
                    out.push_str(", ...");
                }
                listed += 1;
            } else {
                flush_comma(&mut out, &mut pending_comma);
                // A sign in front of a literal is part of it.
                if signable && out.ends_with(['-', '+']) {
                    out.pop();
                }
                gap(&mut out, blank);
                out.push('?');
                listed = 1;
            }
            pending_comma = false;
            signable = false;
        } else if token.kind == TokenKind::Comma && listed > 0 {
            pending_comma = true;
        } else {
            let sign = matches!(token.text, "-" | "+");
            if !(sign && pending_comma) {
                flush_comma(&mut out, &mut pending_comma);
                signable = sign && ends_operand(&out);
                listed = 0;
                gap(&mut out, blank);
                out.push_str(token.text);
            }
        }
        blank = false;
    }
    flush_comma(&mut out, &mut pending_comma);
    while out.ends_with([';', ' ']) {
        out.pop();
    }
    out
}

/// Whether a sign that follows belongs to the next literal.
fn ends_operand(out: &str) -> bool {
    out.trim_end().is_empty()
        || out.trim_end().ends_with(['(', ',', '=', '<', '>', '+', '-', '*', '/'])
        || out.ends_with(' ')
            && !out.trim_end().ends_with(|c: char| c.is_alphanumeric() || ")?_\"`]".contains(c))
}

fn flush_comma(out: &mut String, pending: &mut bool) {
    if std::mem::take(pending) {
        out.push(',');
    }
}

fn gap(out: &mut String, blank: bool) {
    let wanted = blank || out.ends_with(',');
    if wanted && !out.is_empty() && !out.ends_with([' ', '(']) {
        out.push(' ');
    }
}

/// A 64-bit digest of a fingerprint (FNV-1a over its lower-case form); stable between runs and machines.
#[must_use]
pub fn digest(fingerprint: &str) -> u64 {
    fingerprint.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
