//! Ends of literals, quoted identifiers and comments; it does not classify anything else.

use super::{Lexer, TokenKind};

impl Lexer<'_> {
    /// A literal in single quotes from just past its opening quote.
    pub(super) fn string(&self, kind: TokenKind, from: usize, escapes: bool) -> (TokenKind, usize) {
        let mut found = self.doubled(kind, from, b'\'', escapes);
        // PostgreSQL joins literals that only a line end and `--` comments part, and reads the next in the same mode.
        while self.mode.is_postgres() && found.0 == kind {
            let Some(next) = self.continuation(found.1) else { break };
            found = self.doubled(kind, next, b'\'', escapes);
        }
        found
    }

    /// Past the opening quote of a literal that continues the one which ended at `from`.
    fn continuation(&self, from: usize) -> Option<usize> {
        let mut at = from;
        let mut newline = false;
        loop {
            match self.byte(at) {
                b' ' | b'\t' | 0x0c => at += 1,
                b'\n' | b'\r' => {
                    newline = true;
                    at += 1;
                }
                b'-' if self.byte(at + 1) == b'-' => at = self.line_end(at, true),
                b'\'' if newline => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// Text up to an undoubled `quote`.
    pub(super) fn doubled(
        &self,
        kind: TokenKind,
        from: usize,
        quote: u8,
        escapes: bool,
    ) -> (TokenKind, usize) {
        let bytes = self.sql.as_bytes();
        let mut at = from;
        while at < bytes.len() {
            let byte = bytes[at];
            if byte == b'\\' && escapes {
                at += 2;
            } else if byte == quote {
                if self.byte(at + 1) != quote {
                    return (kind, at + 1);
                }
                at += 2;
            } else {
                at += 1;
            }
        }
        (TokenKind::Unterminated, bytes.len())
    }

    /// A quoted identifier or variable.
    pub(super) fn delimited(&self, kind: TokenKind, from: usize, quote: u8) -> (TokenKind, usize) {
        self.doubled(kind, from, quote, false)
    }

    /// A `[name]` of SQLite, which knows no escape.
    pub(super) fn bracketed(&self, from: usize) -> (TokenKind, usize) {
        let rest = self.sql.as_bytes().get(from..).unwrap_or_default();
        match rest.iter().position(|b| *b == b']') {
            Some(length) => (TokenKind::QuotedIdent, from + length + 1),
            None => (TokenKind::Unterminated, self.sql.len()),
        }
    }

    /// `$1`, `$tag$…$tag$`, `$name`, or a word.
    pub(super) fn dollar(&self, at: usize, second: u8) -> (TokenKind, usize) {
        if self.mode.is_sqlite() {
            return self.named_param(at);
        }
        if self.mode.is_mysql() {
            return (TokenKind::Word, self.word_end(at));
        }
        let mut end = at + 1;
        if second.is_ascii_digit() {
            while self.byte(end).is_ascii_digit() {
                end += 1;
            }
            return (TokenKind::Param, end);
        }
        while self.byte(end) != b'$' && self.is_word_byte(self.byte(end)) {
            end += 1;
        }
        if self.byte(end) != b'$' {
            return (TokenKind::Unknown, at + 1);
        }
        let tag = &self.sql[at..=end];
        match self.sql[end + 1..].find(tag) {
            Some(length) => (TokenKind::DollarString, end + 1 + length + tag.len()),
            None => (TokenKind::Unterminated, self.sql.len()),
        }
    }

    fn line_end(&self, from: usize, carriage_return: bool) -> usize {
        let rest = self.sql.as_bytes().get(from..).unwrap_or_default();
        let length = rest.iter().position(|b| *b == b'\n' || (carriage_return && *b == b'\r'));
        from + length.unwrap_or(rest.len())
    }

    /// A comment, hint or executable comment that begins at `at`.
    pub(super) fn comment(&self, at: usize, first: u8, second: u8) -> Option<(TokenKind, usize, u32)> {
        match (first, second) {
            (b'#', _) if self.mode.is_mysql() => Some((TokenKind::Comment, self.line_end(at, false), 1)),
            (b'-', b'-') => {
                let third = self.byte(at + 2);
                // MySQL wants a blank or control character after the dashes.
                let opens = !self.mode.is_mysql()
                    || at + 2 >= self.sql.len()
                    || third.is_ascii_whitespace()
                    || third.is_ascii_control();
                opens.then(|| (TokenKind::Comment, self.line_end(at, self.mode.is_postgres()), 1))
            }
            (b'/', b'*') => Some(self.block_comment(at)),
            _ => None,
        }
    }

    fn block_comment(&self, at: usize) -> (TokenKind, usize, u32) {
        let third = self.byte(at + 2);
        let kind = match third {
            b'+' if !self.mode.is_sqlite() => TokenKind::Hint,
            b'!' if self.mode.is_mysql() => TokenKind::ExecutableComment,
            b'M' | b'm' if self.mode.is_mysql() && self.byte(at + 3) == b'!' => TokenKind::ExecutableComment,
            _ => TokenKind::Comment,
        };
        let nested = self.mode.is_postgres();
        let bytes = self.sql.as_bytes();
        let (mut depth, mut deepest, mut end) = (1_u32, 1_u32, at + 2);
        while end + 1 < bytes.len() {
            match (bytes[end], bytes[end + 1]) {
                (b'*', b'/') => {
                    depth -= 1;
                    end += 2;
                    if depth == 0 {
                        return (kind, end, deepest);
                    }
                }
                (b'/', b'*') if nested => {
                    depth += 1;
                    deepest = deepest.max(depth);
                    end += 2;
                }
                _ => end += 1,
            }
        }
        (TokenKind::Unterminated, bytes.len(), deepest)
    }
}
