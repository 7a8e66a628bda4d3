//! Literals and quoted names: where they end, never what they mean.

use super::{CLASS, Dialect, Kw, Lexer, T, hash_at, lookup};
use crate::keywords::Class;
use crate::token::{Kind, LitClass, Tok};

impl Lexer<'_> {
    /// `E''`, `B''`, `X''`, `N''`, `U&''`; false if it is a plain word after all.
    pub(super) fn prefixed_text(&mut self, lower: u8, next: u8, t: &mut Tok) -> bool {
        let pg = self.dialect == Dialect::Postgres;
        match (lower, next) {
            (b'e', b'\'') if pg => {
                self.pos += 1;
                self.text(b'\'', true, t);
            }
            (b'n', b'\'') if self.dialect != Dialect::Sqlite => {
                self.pos += 1;
                self.text(b'\'', self.backslash, t);
            }
            (b'x', b'\'') | (b'b', b'\'') => {
                self.pos += 1;
                self.text(b'\'', false, t);
                t.class = LitClass::Hex;
            }
            (b'u', b'&') if pg && matches!(self.at(self.pos + 2), b'\'' | b'"') => {
                let quote = self.at(self.pos + 2);
                self.pos += 2;
                if quote == b'"' { self.quoted_ident(b'"', t) } else { self.text(b'\'', false, t) }
            }
            _ => return false,
        }
        true
    }

    #[inline]
    pub(super) fn number(&mut self, t: &mut Tok) {
        let start = self.pos;
        t.kind = Kind::Number;
        let second = self.at(start + 1) | 0x20;
        if self.src[start] == b'0' && (second == b'x' || second == b'b') {
            let mut i = start + 2;
            let mut value = 0.0_f64;
            let base = if second == b'x' { 16 } else { 2 };
            while let Some(digit) = char::from(self.at(i)).to_digit(base) {
                value = value * f64::from(base) + f64::from(digit);
                i += 1;
            }
            if i > start + 2 {
                self.pos = i;
                t.num = value;
                t.class = LitClass::Hex;
                t.hash = value.to_bits();
                return;
            }
        }
        let mut i = start;
        let mut whole = 0_u64;
        while self.at(i).is_ascii_digit() {
            whole = whole.saturating_mul(10).saturating_add(u64::from(self.at(i) - b'0'));
            i += 1;
        }
        let mut value = whole as f64;
        if self.at(i) == b'.' && self.at(i + 1) != b'.' {
            i += 1;
            let mut scale = 0.1_f64;
            while self.at(i).is_ascii_digit() {
                value += f64::from(self.at(i) - b'0') * scale;
                scale *= 0.1;
                i += 1;
            }
        }
        if self.at(i) | 0x20 == b'e' {
            let sign = matches!(self.at(i + 1), b'+' | b'-');
            let mut j = i + 1 + usize::from(sign);
            if self.at(j).is_ascii_digit() {
                let mut exponent = 0_i32;
                while self.at(j).is_ascii_digit() {
                    exponent = (exponent * 10 + i32::from(self.at(j) - b'0')).min(400);
                    j += 1;
                }
                if self.at(i + 1) == b'-' {
                    exponent = -exponent;
                }
                value *= 10_f64.powi(exponent);
                i = j;
            }
        }
        self.pos = i;
        t.num = value;
        t.hash = value.to_bits();
    }

    /// A text literal whose opening quote is at `pos`.
    pub(super) fn text(&mut self, quote: u8, backslash: bool, t: &mut Tok) {
        t.kind = Kind::Text;
        let from = self.pos + 1;
        let src = self.src;
        let mut i = from;
        let mut angle = false;
        loop {
            while src.get(i).is_some_and(|b| CLASS[usize::from(*b)] & T == 0) {
                i += 1;
            }
            let Some(&b) = src.get(i) else {
                self.marks.open_literal = true;
                break;
            };
            if b == quote {
                if self.at(i + 1) != quote {
                    break;
                }
                i += 1;
            } else if b == b'\\' && backslash {
                i += 1;
            }
            angle |= b == b'<' || b == b':' || b == b'=';
            i += 1;
        }
        let end = i.min(src.len());
        self.pos = (end + 1).min(src.len());
        // The body's bounds travel in the hash; content is hashed only where a rule needs it.
        t.hash = (from.min(end) as u64) << 32 | end as u64;
        let body = &src[from.min(end)..end];
        t.class = if body.is_empty() {
            LitClass::Empty
        } else if body.iter().all(|&b| b == b'%') {
            LitClass::Wild
        } else if angle && has_script(body) {
            LitClass::Script
        } else {
            LitClass::Plain
        };
    }

    pub(super) fn quoted_ident(&mut self, close: u8, t: &mut Tok) {
        t.kind = Kind::QuotedIdent;
        let mut i = self.pos + 1;
        let mut capitals = false;
        loop {
            let Some(&b) = self.src.get(i) else {
                self.marks.open_literal = true;
                break;
            };
            capitals |= b.is_ascii_uppercase();
            if b == close {
                if close == b']' || self.at(i + 1) != close {
                    break;
                }
                i += 1;
            }
            i += 1;
        }
        let start = self.pos + 1;
        let end = i.min(self.src.len());
        self.pos = (end + 1).min(self.src.len());
        t.hash = hash_at(self.src, start.min(end), end);
        // A quoted name is never a keyword, but catalogs stay catalogs however they are quoted.
        if let Some(name) = self.src.get(start..end) {
            let kw = lookup(t.hash, name);
            if kw.class() == Class::System || kw == Kw::MySchema {
                t.kw = kw;
            }
            if capitals {
                // Quoted names keep their case; without capitals they equal the unquoted name.
                let exact =
                    name.iter().fold(0_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01B3));
                t.hash = crate::digest::mix(t.hash, exact);
            }
        }
    }
}

fn has_script(body: &[u8]) -> bool {
    const NEEDLES: [&[u8]; 5] = [b"<script", b"javascript:", b"onerror=", b"onload=", b"</script"];
    body.iter().enumerate().any(|(i, b)| {
        matches!(b | 0x20, b'<' | b'j' | b'o')
            && NEEDLES.iter().any(|n| body.get(i..i + n.len()).is_some_and(|w| w.eq_ignore_ascii_case(n)))
    })
}
