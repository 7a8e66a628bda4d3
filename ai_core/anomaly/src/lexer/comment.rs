//! Comments of the three dialects, and what a comment at the end of a text hides.

use super::{CLASS, Dialect, Lexer, S, Tail};

impl Lexer<'_> {
    pub(super) fn dash_comment(&mut self) -> bool {
        if self.dialect == Dialect::MySql {
            let c = self.at(self.pos + 2);
            let ends = self.pos + 2 >= self.src.len();
            if !(ends || c <= b' ') {
                return false;
            }
        }
        self.line_comment(2)
    }

    pub(super) fn line_comment(&mut self, skip: usize) -> bool {
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

    pub(super) fn block_comment(&mut self) -> bool {
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
