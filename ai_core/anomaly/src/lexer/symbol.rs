//! Operators, parameters, variables and dollar quotes.

use super::{CLASS, D, Dialect, Kw, Lexer, O, W, hash_at};
use crate::token::{Kind, Op, Tok};

impl Lexer<'_> {
    /// `$1`, `$tag$…$tag$`; anything else is an odd byte.
    pub(super) fn dollar(&mut self, t: &mut Tok) {
        let start = self.pos;
        let mut i = start + 1;
        if self.at(i).is_ascii_digit() {
            while self.at(i).is_ascii_digit() {
                i += 1;
            }
            self.pos = i;
            t.kind = Kind::Param;
            return;
        }
        if self.dialect == Dialect::Postgres {
            while CLASS[usize::from(self.at(i))] & (W | D) != 0 {
                i += 1;
            }
            if self.at(i) == b'$' {
                let tag = &self.src[start..=i];
                let from = i + 1;
                t.kind = Kind::Text;
                let mut j = from;
                // Only a `$` can begin the closing tag, and a tag holds no further `$`: linear.
                while j < self.src.len() {
                    if self.src[j] == b'$' {
                        if self.src[j..].starts_with(tag) {
                            t.hash = (from as u64) << 32 | j as u64;
                            self.pos = j + tag.len();
                            return;
                        }
                        j += 1;
                        continue;
                    }
                    j += 1;
                }
                t.hash = (from.min(self.src.len()) as u64) << 32 | self.src.len() as u64;
                self.marks.open_literal = true;
                self.pos = self.src.len();
                return;
            }
        }
        self.pos = start + 1;
        t.kind = Kind::Other;
        t.hash = u64::from(b'$');
    }

    pub(super) fn variable(&mut self, t: &mut Tok) {
        let mut i = self.pos + 1;
        // At most two: a longer run must not be scanned again from each of its characters.
        if self.at(i) == b'@' {
            i += 1;
        }
        if matches!(self.at(i), b'`' | b'\'' | b'"') && self.dialect == Dialect::MySql {
            self.pos = i;
            self.quoted_ident(self.at(i), t);
            t.kind = Kind::Variable;
            t.kw = Kw::None;
            return;
        }
        let two = i - self.pos >= 2;
        let from = i;
        while CLASS[usize::from(self.at(i))] & O != 0 {
            i += 1;
        }
        if from == i {
            self.operator(t);
            return;
        }
        self.pos = i;
        t.kind = Kind::Variable;
        t.hash = hash_at(self.src, from, i);
        t.kw = if two { Kw::Version } else { Kw::None };
    }

    #[inline]
    pub(super) fn symbol(&mut self, b: u8, t: &mut Tok) {
        let one = |t: &mut Tok, kind: Kind| t.kind = kind;
        match b {
            b'(' => one(t, Kind::LParen),
            b')' => one(t, Kind::RParen),
            b',' => one(t, Kind::Comma),
            b';' => one(t, Kind::Semi),
            b'.' => one(t, Kind::Dot),
            b'\'' => return self.text(b'\'', self.backslash, t),
            b'"' if self.double_is_text => return self.text(b'"', self.backslash, t),
            b'"' => return self.quoted_ident(b'"', t),
            b'`' => return self.quoted_ident(b'`', t),
            b'[' if self.dialect == Dialect::Sqlite => return self.quoted_ident(b']', t),
            b'[' => one(t, Kind::LBracket),
            b']' => one(t, Kind::RBracket),
            b'$' => return self.dollar(t),
            b'@' => return self.variable(t),
            b'?' if self.dialect != Dialect::Postgres => {
                self.pos += 1;
                while self.at(self.pos).is_ascii_digit() {
                    self.pos += 1;
                }
                t.kind = Kind::Param;
                return;
            }
            b':' if CLASS[usize::from(self.at(self.pos + 1))] & (W | D) != 0
                && self.dialect != Dialect::MySql =>
            {
                self.pos += 2;
                while CLASS[usize::from(self.at(self.pos))] & O != 0 {
                    self.pos += 1;
                }
                t.kind = Kind::Param;
                return;
            }
            _ => return self.operator(t),
        }
        self.pos += 1;
    }

    /// PostgreSQL takes the longest run of operator characters as one operator; types bring their own.
    pub(super) fn custom_operator(&mut self, t: &mut Tok) -> bool {
        let is_op = |b: u8| {
            matches!(
                b,
                b'+' | b'-'
                    | b'*'
                    | b'/'
                    | b'<'
                    | b'>'
                    | b'='
                    | b'~'
                    | b'!'
                    | b'@'
                    | b'#'
                    | b'%'
                    | b'^'
                    | b'&'
                    | b'|'
                    | b'?'
            )
        };
        let start = self.pos;
        let mut end = start;
        while is_op(self.at(end)) && end - start < 16 {
            let comment = matches!((self.at(end), self.at(end + 1)), (b'-', b'-') | (b'/', b'*'));
            if comment {
                break;
            }
            end += 1;
        }
        // A sign at the end belongs to what follows, unless the operator is a special one.
        let special = self.src[start..end]
            .iter()
            .any(|b| matches!(b, b'~' | b'!' | b'@' | b'#' | b'%' | b'^' | b'&' | b'|' | b'?'));
        while !special && end - start > 1 && matches!(self.at(end - 1), b'+' | b'-') {
            end -= 1;
        }
        let text = &self.src[start..end];
        if text.len() < 2 || matches!(text, b"<=" | b">=" | b"<>" | b"!=" | b"||" | b"<<" | b">>") {
            return false;
        }
        let matches = text.iter().all(|b| matches!(b, b'~' | b'!' | b'*')) && text.contains(&b'~');
        (t.kind, t.op) = if matches { (Kind::Compare, Op::Unknown) } else { (Kind::Arith, Op::Arrow) };
        t.hash = text.iter().fold(0, |h, b| h << 8 ^ u64::from(*b) ^ h >> 48);
        self.pos = end;
        true
    }

    pub(super) fn operator(&mut self, t: &mut Tok) {
        if self.dialect == Dialect::Postgres && self.custom_operator(t) {
            return;
        }
        let b = self.at(self.pos);
        let n = self.at(self.pos + 1);
        let n2 = self.at(self.pos + 2);
        let my = self.dialect == Dialect::MySql;
        let (kind, op, len) = match (b, n) {
            (b'=', b'=') => (Kind::Compare, Op::Eq, 2),
            (b'=', _) => (Kind::Compare, Op::Eq, 1),
            (b'<', b'=') if n2 == b'>' => (Kind::Compare, Op::NullEq, 3),
            (b'<', b'=') => (Kind::Compare, Op::Le, 2),
            (b'<', b'>') => (Kind::Compare, Op::Ne, 2),
            (b'<', b'<') => (Kind::Arith, Op::Shl, 2),
            (b'<', b'@') => (Kind::Arith, Op::Unknown, 2),
            (b'<', _) => (Kind::Compare, Op::Lt, 1),
            (b'>', b'=') => (Kind::Compare, Op::Ge, 2),
            (b'>', b'>') => (Kind::Arith, Op::Shr, 2),
            (b'>', _) => (Kind::Compare, Op::Gt, 1),
            (b'!', b'=') => (Kind::Compare, Op::Ne, 2),
            (b'!', b'~') => (Kind::Compare, Op::Unknown, 2),
            (b'!', _) => (Kind::Arith, Op::Bang, 1),
            (b'&', b'&') if my => (Kind::Logic, Op::And, 2),
            (b'|', b'|') if my => (Kind::Logic, Op::Or, 2),
            (b'|', b'|') => (Kind::Arith, Op::Concat, 2),
            (b'&', b'&') => (Kind::Arith, Op::Unknown, 2),
            (b'&', _) => (Kind::Arith, Op::Amp, 1),
            (b'|', _) => (Kind::Arith, Op::Pipe, 1),
            (b'-', b'>') => (Kind::Arith, Op::Arrow, if n2 == b'>' { 3 } else { 2 }),
            (b'#', b'>') | (b'@', b'>' | b'@' | b'?') => (Kind::Arith, Op::Arrow, 2),
            (b':', b':') => (Kind::Cast, Op::None, 2),
            (b':', b'=') => (Kind::Assign, Op::None, 2),
            (b'+', _) => (Kind::Arith, Op::Plus, 1),
            (b'-', _) => (Kind::Arith, Op::Minus, 1),
            (b'*', _) => (Kind::Arith, Op::Star, 1),
            (b'/', _) => (Kind::Arith, Op::Slash, 1),
            (b'%', _) => (Kind::Arith, Op::Percent, 1),
            (b'^', _) => (Kind::Arith, Op::Caret, 1),
            (b'~', _) => (Kind::Arith, Op::Tilde, 1),
            (b'#', _) => (Kind::Arith, Op::Hash, 1),
            (b'@' | b'?', _) => (Kind::Arith, Op::Unknown, 1),
            _ => (Kind::Other, Op::Unknown, 1),
        };
        t.kind = kind;
        t.op = op;
        t.hash = u64::from(b) | (op as u64) << 8;
        self.pos = (self.pos + len).min(self.src.len());
    }
}
