//! One pass over raw bytes into tokens for one dialect; it knows no grammar and never fails.

mod comment;
mod literal;
mod symbol;

use crate::keywords::{Kw, hash_at, lookup};
use crate::token::{Dialect, Kind, Tok};

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
}

#[cfg(test)]
mod tests;
