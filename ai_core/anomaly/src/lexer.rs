//! One pass over raw bytes into tokens for one dialect; it knows no grammar and never fails.

use crate::keywords::{Kw, hash_at, lookup};
use crate::token::{Dialect, Kind, LitClass, Op, Tok};

/// Session settings that change lexis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
// Exhaustive on purpose: hosts build it from the session's `sql_mode`.
pub struct SqlMode {
    /// `"x"` is an identifier (MySQL `ANSI_QUOTES`).
    pub ansi_quotes: bool,
    /// A backslash is an ordinary character (MySQL `NO_BACKSLASH_ESCAPES`).
    pub no_backslash_escapes: bool,
    /// A backslash escapes in every PostgreSQL string (`standard_conforming_strings = off`).
    pub backslash_strings: bool,
}

/// What the lexer noticed besides tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) open_literal: bool,
    pub(crate) open_comment: bool,
    /// Comments that hold nothing and stand where white space would do.
    pub(crate) hollow_comments: u16,
    /// Vertical tab, form feed and the like between tokens.
    pub(crate) odd_blanks: u16,
    /// Reserved words in mixed case such as `sElEcT`.
    pub(crate) mixed_case: u16,
    pub(crate) exec_comments: u16,
    /// The comment that ends the text: its kind and what it hides.
    pub(crate) tail: Tail,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tail {
    #[default]
    None,
    /// A comment that reads like a remark.
    Remark,
    /// A comment that holds an odd number of quotes or a closing bracket without its opener.
    Residue,
    /// A `--` or `#` with nothing or one bare word behind it.
    Stub,
}

pub(crate) struct Lexer<'a> {
    src: &'a [u8],
    pos: usize,
    dialect: Dialect,
    backslash: bool,
    double_is_text: bool,
    in_exec: bool,
    pub(crate) marks: Marks,
}

const W: u8 = 1; // letter, underscore, high bytes
const D: u8 = 2; // digit
const S: u8 = 4; // blank
const O: u8 = 8; // may follow in a word
const C: u8 = 16; // may begin or end a comment
const U: u8 = 32; // capital letter
const T: u8 = 64; // may matter inside a text literal
const CLASS: [u8; 256] = {
    let mut t = [0_u8; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        t[i] = match b {
            b'A'..=b'Z' => W | O | U,
            b'a'..=b'z' | b'_' | 128..=255 => W | O,
            b'0'..=b'9' => D | O,
            b'$' => O,
            b' ' | b'\t' | b'\n' | b'\r' | 11 | 12 => S,
            b'-' | b'/' | b'#' | b'*' => C,
            b'\'' | b'"' | b'\\' | b'<' | b':' | b'=' => T,
            _ => 0,
        };
        i += 1;
    }
    t
};

impl<'a> Lexer<'a> {
    pub(crate) fn new(src: &'a [u8], dialect: Dialect, mode: SqlMode) -> Self {
        // Offsets are 32 bits wide; protocols end far below.
        let src = &src[..src.len().min(u32::MAX as usize - 1)];
        Self {
            src,
            pos: 0,
            dialect,
            backslash: match dialect {
                Dialect::MySql => !mode.no_backslash_escapes,
                Dialect::Postgres => mode.backslash_strings,
                Dialect::Sqlite => false,
            },
            double_is_text: dialect == Dialect::MySql && !mode.ansi_quotes,
            in_exec: false,
            marks: Marks::default(),
        }
    }

    #[inline(always)]
    fn at(&self, i: usize) -> u8 {
        self.src.get(i).copied().unwrap_or(0)
    }

    /// The next token; `Eof` for ever at the end.
    #[inline]
    pub(crate) fn next_token(&mut self) -> Tok {
        let mut t = Tok::EOF;
        self.skip_blanks(&mut t);
        let start = self.pos;
        t.start = start as u32;
        let Some(&b) = self.src.get(start) else {
            t.end = t.start;
            return t;
        };
        let class = CLASS[usize::from(b)];
        if class & W != 0 {
            self.word(&mut t);
        } else if class & D != 0 || (b == b'.' && self.at(start + 1).is_ascii_digit()) {
            self.number(&mut t);
        } else {
            self.symbol(b, &mut t);
        }
        t.end = self.pos as u32;
        t
    }

    #[inline]
    fn skip_blanks(&mut self, t: &mut Tok) {
        loop {
            let Some(&b) = self.src.get(self.pos) else { return };
            let class = CLASS[usize::from(b)];
            if class & (S | C) == 0 {
                return;
            }
            if class & S != 0 {
                if b == 11 || b == 12 {
                    self.marks.odd_blanks = self.marks.odd_blanks.saturating_add(1);
                }
                self.pos += 1;
                t.spaced = true;
                continue;
            }
            let n = self.at(self.pos + 1);
            let comment = match b {
                b'-' if n == b'-' => self.dash_comment(),
                b'#' if self.dialect == Dialect::MySql => self.line_comment(1),
                b'/' if n == b'*' => self.block_comment(),
                b'*' if n == b'/' && self.in_exec => {
                    self.in_exec = false;
                    self.pos += 2;
                    true
                }
                _ => false,
            };
            if !comment {
                return;
            }
            t.spaced = true;
            t.commented = true;
        }
    }

    fn dash_comment(&mut self) -> bool {
        if self.dialect == Dialect::MySql {
            let c = self.at(self.pos + 2);
            let ends = self.pos + 2 >= self.src.len();
            if !(ends || c <= b' ') {
                return false;
            }
        }
        self.line_comment(2)
    }

    fn line_comment(&mut self, skip: usize) -> bool {
        let from = (self.pos + skip).min(self.src.len());
        let rest = &self.src[from..];
        let len = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        let body = &rest[..len];
        self.pos = from + len;
        if self.pos >= self.src.len() {
            self.marks.tail = tail_of(body, from > skip);
        }
        true
    }

    fn block_comment(&mut self) -> bool {
        let bang = self.at(self.pos + 2);
        if self.dialect == Dialect::MySql
            && !self.in_exec
            && (bang == b'!' || (bang == b'M' && self.at(self.pos + 3) == b'!'))
        {
            self.pos += if bang == b'!' { 3 } else { 4 };
            while self.at(self.pos).is_ascii_digit() {
                self.pos += 1;
            }
            self.in_exec = true;
            let rest = self.src.get(self.pos..).unwrap_or(&[]).trim_ascii_start();
            // Dump tools hint the query cache this way; what else the comment holds is judged as code.
            if !rest.get(..4).is_some_and(|w| w.eq_ignore_ascii_case(b"sql_")) {
                self.marks.exec_comments = self.marks.exec_comments.saturating_add(1);
            }
            return true;
        }
        let from = self.pos + 2;
        let nested = self.dialect == Dialect::Postgres;
        let mut depth = 1_usize;
        let mut i = from;
        while i < self.src.len() {
            let b = self.src[i];
            if b == b'*' && self.at(i + 1) == b'/' {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    break;
                }
            } else if nested && b == b'/' && self.at(i + 1) == b'*' {
                depth += 1;
                i += 2;
            } else {
                i += 1;
            }
        }
        self.pos = i.min(self.src.len());
        if depth > 0 {
            self.marks.open_comment = true;
            self.marks.tail = tail_of(&self.src[from.min(self.pos)..self.pos], true);
        } else if self.pos - from <= 2
            && from > 2
            && CLASS[usize::from(self.at(from - 3))] & S == 0
            && CLASS[usize::from(self.at(self.pos))] & S == 0
            && self.pos < self.src.len()
        {
            self.marks.hollow_comments = self.marks.hollow_comments.saturating_add(1);
        }
        true
    }

    #[inline]
    fn word(&mut self, t: &mut Tok) {
        let start = self.pos;
        let b = self.src[start];
        let n = self.at(start + 1);
        if (n == b'\'' || n == b'&') && self.prefixed_text(b | 0x20, n, t) {
            return;
        }
        let mut i = start;
        let mut any = 0_u8;
        let mut every = U;
        while let Some(&b) = self.src.get(i) {
            let class = CLASS[usize::from(b)];
            if class & O == 0 {
                break;
            }
            any |= class;
            every &= class;
            i += 1;
        }
        self.pos = i;
        t.kind = Kind::Word;
        t.hash = hash_at(self.src, start, i);
        let len = i - start;
        if (2..=25).contains(&len) {
            let word = &self.src[start..i];
            t.kw = lookup(t.hash, word);
            if any & U != 0 && every & U == 0 && t.kw.is_reserved() {
                let capitals = word.iter().filter(|b| b.is_ascii_uppercase()).count();
                if !(capitals == 1 && word[0].is_ascii_uppercase()) {
                    self.marks.mixed_case = self.marks.mixed_case.saturating_add(1);
                }
            }
        }
    }

    /// `E''`, `B''`, `X''`, `N''`, `U&''`; false if it is a plain word after all.
    fn prefixed_text(&mut self, lower: u8, next: u8, t: &mut Tok) -> bool {
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
    fn number(&mut self, t: &mut Tok) {
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
    fn text(&mut self, quote: u8, backslash: bool, t: &mut Tok) {
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

    fn quoted_ident(&mut self, close: u8, t: &mut Tok) {
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
            if kw.class() == crate::keywords::Class::System || kw == Kw::MySchema {
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

    /// `$1`, `$tag$…$tag$`; anything else is an odd byte.
    fn dollar(&mut self, t: &mut Tok) {
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

    fn variable(&mut self, t: &mut Tok) {
        let mut i = self.pos + 1;
        while self.at(i) == b'@' {
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
    fn symbol(&mut self, b: u8, t: &mut Tok) {
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
    fn custom_operator(&mut self, t: &mut Tok) -> bool {
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

    fn operator(&mut self, t: &mut Tok) {
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

/// What the text's last comment hides.
fn tail_of(body: &[u8], has_code: bool) -> Tail {
    if !has_code {
        return Tail::None;
    }
    let body = &body[..body.len().min(4096)];
    let mut depth = 0_i32;
    let mut lowest = 0_i32;
    let (mut single, mut double) = (0_usize, 0_usize);
    for &b in body {
        match b {
            b'(' => depth += 1,
            b')' => {
                depth -= 1;
                lowest = lowest.min(depth);
            }
            b'\'' => single += 1,
            b'"' => double += 1,
            _ => {}
        }
    }
    let apostrophe_word =
        body.windows(3).any(|w| w[1] == b'\'' && w[0].is_ascii_alphabetic() && w[2].is_ascii_alphabetic());
    if lowest < 0 || double % 2 == 1 || (single % 2 == 1 && !apostrophe_word) {
        return Tail::Residue;
    }
    let words = body.split(|b| b.is_ascii_whitespace()).filter(|w| !w.is_empty()).count();
    if words <= 1 { Tail::Stub } else { Tail::Remark }
}

fn has_script(body: &[u8]) -> bool {
    const NEEDLES: [&[u8]; 5] = [b"<script", b"javascript:", b"onerror=", b"onload=", b"</script"];
    body.iter().enumerate().any(|(i, b)| {
        matches!(b | 0x20, b'<' | b'j' | b'o')
            && NEEDLES.iter().any(|n| body.get(i..i + n.len()).is_some_and(|w| w.eq_ignore_ascii_case(n)))
    })
}

#[cfg(test)]
mod tests;
