//! The readable form of a digest: literals hidden, lists folded, keywords upper-cased; off the hot path.

use crate::lexer::{Lexer, SqlMode};
use crate::token::{Dialect, Kind, Op, Tok};
use crate::value::{Val, compare};

/// Bytes kept of a normalised text.
pub const NORMALIZED_BYTES_MAX: usize = 4096;

/// The text of a statement without its literals, at most [`NORMALIZED_BYTES_MAX`] bytes.
#[must_use]
pub fn normalize(sql: &[u8], dialect: Dialect, mode: SqlMode) -> String {
    let mut lexer = Lexer::new(sql, dialect, mode);
    let mut out = String::new();
    let mut tail: [Tok; 3] = [Tok::EOF; 3];
    let mut folded = false;
    loop {
        let t = lexer.next_token();
        if t.kind == Kind::Eof || out.len() >= NORMALIZED_BYTES_MAX {
            break;
        }
        let [_, b, c] = tail;
        if t.is_literal() && c.kind == Kind::Comma && b.is_literal() {
            // A list of literals is one `?+` however long it is.
            if folded {
                out.truncate(out.len() - 1);
            } else {
                out.truncate(out.trim_end_matches(',').len());
                out.push('+');
                folded = true;
            }
        } else {
            push(&mut out, &t, &tail, sql);
            folded &= t.kind == Kind::Comma;
            mark(&mut out, &t, &tail, sql);
        }
        tail = [tail[1], tail[2], t];
    }
    let mut end = out.len().min(NORMALIZED_BYTES_MAX);
    while !out.is_char_boundary(end) {
        end -= 1;
    }
    out.truncate(end);
    out
}

fn push(out: &mut String, t: &Tok, tail: &[Tok; 3], sql: &[u8]) {
    let prev = tail[2];
    let tight = matches!(t.kind, Kind::Comma | Kind::RParen | Kind::Dot | Kind::Semi)
        || matches!(prev.kind, Kind::LParen | Kind::Dot | Kind::Eof)
        || (t.kind == Kind::LParen && prev.is_name() && !prev.spaced_after(t));
    let sign = prev.kind == Kind::Arith
        && matches!(prev.op, Op::Minus | Op::Plus)
        && t.is_literal()
        && !matches!(
            tail[1].kind,
            Kind::Word | Kind::QuotedIdent | Kind::Number | Kind::Text | Kind::RParen | Kind::Param
        );
    if sign && out.ends_with(['-', '+']) {
        out.pop();
        while out.ends_with(' ') {
            out.pop();
        }
    }
    let tight = tight && !(sign && out.is_empty());
    if !tight && !out.is_empty() && !out.ends_with(['(', '.']) {
        out.push(' ');
    }
    if t.is_literal() {
        out.push('?');
        return;
    }
    let raw = String::from_utf8_lossy(sql.get(t.start as usize..t.end as usize).unwrap_or(&[]));
    if t.kind == Kind::Word && t.kw.is_reserved() {
        out.push_str(&raw.to_ascii_uppercase());
    } else {
        out.push_str(&raw);
    }
}

/// Puts `<true>` or `<false>` in place of a comparison of two literals.
fn mark(out: &mut String, t: &Tok, tail: &[Tok; 3], sql: &[u8]) {
    let [before, left, op] = *tail;
    let alone = !matches!(before.kind, Kind::Compare | Kind::Arith | Kind::Comma);
    if !(t.is_literal() && op.kind == Kind::Compare && left.is_literal() && alone) {
        return;
    }
    if let Some(b) = compare(op.op, Val::of(&left), Val::of(t), sql) {
        let shown = "? = ?".len() - 1 + (op.end - op.start) as usize;
        let keep = out.len().saturating_sub(shown);
        if out.is_char_boundary(keep) {
            out.truncate(keep);
            out.push_str(if b { "<true>" } else { "<false>" });
        }
    }
}

impl Tok {
    fn spaced_after(&self, next: &Tok) -> bool {
        next.spaced && self.end != next.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(sql: &str) -> String {
        normalize(sql.as_bytes(), Dialect::MySql, SqlMode::default())
    }

    #[test]
    fn hides_literals_and_folds_lists() {
        assert_eq!(
            n("select  a from t where b='x' and c in (1,2, 3)"),
            "SELECT a FROM t WHERE b = ? AND c IN (?+)"
        );
        assert_eq!(n("select a from t where b = -5"), "SELECT a FROM t WHERE b = ?");
        assert_eq!(n("select count(*) from t -- x"), "SELECT count(*) FROM t");
    }

    #[test]
    fn constant_comparisons_stay_visible() {
        assert_eq!(n("select 1 from t where a = 'x' or 1=1"), "SELECT ? FROM t WHERE a = ? OR <true>");
        assert_eq!(n("select 1 from t where a = 'x' and 1=2"), "SELECT ? FROM t WHERE a = ? AND <false>");
    }

    #[test]
    fn is_bounded() {
        assert!(n(&"select abc, ".repeat(10_000)).len() <= NORMALIZED_BYTES_MAX);
    }
}
