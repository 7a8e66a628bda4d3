//! SQL tokens exactly as each engine reads them, without copying; it does not know grammar and parses nothing.

mod caps;
mod quotes;
mod text;

#[cfg(test)]
mod tests;

pub use caps::{LexCaps, scan, utf8};
pub use text::{digest, fingerprint, normal_form, push_blank, strip_comments};

use crate::dialect::DialectName;

/// What the lexer must know about a session to read the same tokens as its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
// Exhaustive: a new lexical setting must be decided for every engine.
pub struct LexMode {
    /// The engine.
    pub dialect: DialectName,
    /// A backslash escapes in plain string literals (MySQL without NO_BACKSLASH_ESCAPES).
    pub backslash_escapes: bool,
    /// Double quotes delimit identifiers (all but MySQL without ANSI_QUOTES).
    pub double_quoted_identifiers: bool,
}

impl LexMode {
    /// The mode that drivers pin for their sessions.
    #[must_use]
    pub const fn of(dialect: DialectName) -> Self {
        let mysql = matches!(dialect, DialectName::Mysql | DialectName::Mariadb);
        Self { dialect, backslash_escapes: mysql, double_quoted_identifiers: !mysql }
    }

    const fn is_mysql(self) -> bool {
        matches!(self.dialect, DialectName::Mysql | DialectName::Mariadb)
    }

    const fn is_postgres(self) -> bool {
        matches!(self.dialect, DialectName::Postgresql)
    }

    const fn is_sqlite(self) -> bool {
        matches!(self.dialect, DialectName::Sqlite)
    }
}

/// The class of a token.
// Exhaustive: gates branch on every class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// White space.
    Space,
    /// An ordinary comment.
    Comment,
    /// An optimizer hint, `/*+ … */`.
    Hint,
    /// `/*! … */` or `/*M! … */`, which MySQL and MariaDB execute.
    ExecutableComment,
    /// A keyword or a plain identifier.
    Word,
    /// A quoted identifier, with its quotes.
    QuotedIdent,
    /// `U&"…"`.
    UnicodeIdent,
    /// A plain string literal, with its quotes.
    String,
    /// `E'…'`.
    EscapeString,
    /// `N'…'`.
    NationalString,
    /// `U&'…'`.
    UnicodeString,
    /// `$tag$…$tag$`.
    DollarString,
    /// `X'…'`.
    HexString,
    /// `B'…'`.
    BitString,
    /// A number of any form.
    Number,
    /// A parameter placeholder: `?`, `$1`, `:name`.
    Param,
    /// `@user` or `@@system` variable of MySQL.
    Variable,
    /// An operator.
    Operator,
    /// An opening bracket, round or square.
    Open,
    /// A closing bracket.
    Close,
    /// A comma.
    Comma,
    /// A semicolon.
    Semicolon,
    /// A full stop between names.
    Dot,
    /// A literal, identifier or comment without its end.
    Unterminated,
    /// A character that the engine does not know here.
    Unknown,
}

impl TokenKind {
    /// Whether the token separates without meaning anything itself.
    #[must_use]
    pub const fn is_blank(self) -> bool {
        matches!(self, Self::Space | Self::Comment)
    }

    /// Whether the token is a constant.
    #[must_use]
    pub const fn is_literal(self) -> bool {
        matches!(
            self,
            Self::String
                | Self::EscapeString
                | Self::NationalString
                | Self::UnicodeString
                | Self::DollarString
                | Self::HexString
                | Self::BitString
                | Self::Number
        )
    }
}

/// One token: its class, its text and where it begins.
// Exhaustive: tests and gates build it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// The class.
    pub kind: TokenKind,
    /// The text, quotes included.
    pub text: &'a str,
    /// Byte offset of the text in the statement.
    pub start: usize,
    /// Depth of nested comments in a comment, 0 in any other token.
    pub comment_depth: u32,
}

impl Token<'_> {
    /// Byte offset just past the token.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether this is the plain word `word`, in any case.
    #[must_use]
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether this is the operator or punctuation `text`.
    #[must_use]
    pub fn is_op(&self, text: &str) -> bool {
        matches!(
            self.kind,
            TokenKind::Operator
                | TokenKind::Open
                | TokenKind::Close
                | TokenKind::Comma
                | TokenKind::Semicolon
                | TokenKind::Dot
        ) && self.text == text
    }
}

/// Yields the tokens of a text; together they cover it without a gap. Linear in the text's length.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    mode: LexMode,
    after_name: bool,
    after_name_dot: bool,
}

impl<'a> Lexer<'a> {
    /// Begins at the start of `sql`.
    #[must_use]
    pub fn new(sql: &'a str, mode: LexMode) -> Self {
        Self { sql, at: 0, mode, after_name: false, after_name_dot: false }
    }

    fn byte(&self, at: usize) -> u8 {
        self.sql.as_bytes().get(at).copied().unwrap_or(0)
    }

    fn token(&mut self, kind: TokenKind, end: usize, comment_depth: u32) -> Token<'a> {
        let start = self.at;
        let mut end = end.clamp(start + 1, self.sql.len());
        while !self.sql.is_char_boundary(end) {
            end += 1;
        }
        self.at = end;
        self.after_name_dot = kind == TokenKind::Dot && self.after_name;
        self.after_name = matches!(kind, TokenKind::Word | TokenKind::QuotedIdent);
        Token { kind, text: &self.sql[start..end], start, comment_depth }
    }

    fn is_word_byte(&self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
    }

    fn word_end(&self, from: usize) -> usize {
        let bytes = self.sql.as_bytes();
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest.iter().position(|b| !self.is_word_byte(*b)).unwrap_or(rest.len())
    }

    fn space_end(&self, from: usize) -> usize {
        let mysql = self.mode.is_mysql();
        let rest = self.sql.as_bytes().get(from..).unwrap_or_default();
        let stop = rest
            .iter()
            .position(|b| !(matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0c) || (mysql && *b == 0x0b)));
        from + stop.unwrap_or(rest.len())
    }

    fn next_kind(&self) -> (TokenKind, usize, u32) {
        let at = self.at;
        let first = self.byte(at);
        let second = self.byte(at + 1);
        let space = self.space_end(at);
        if space > at {
            return (TokenKind::Space, space, 0);
        }
        if let Some(found) = self.comment(at, first, second) {
            return found;
        }
        let (kind, end) = match first {
            b'\'' => self.string(TokenKind::String, at + 1, self.mode.backslash_escapes),
            b'"' if self.mode.double_quoted_identifiers => {
                self.delimited(TokenKind::QuotedIdent, at + 1, b'"')
            }
            b'"' => self.doubled(TokenKind::String, at + 1, b'"', self.mode.backslash_escapes),
            b'`' if !self.mode.is_postgres() => self.delimited(TokenKind::QuotedIdent, at + 1, b'`'),
            b'[' if self.mode.is_sqlite() => self.bracketed(at + 1),
            b'(' | b'[' => (TokenKind::Open, at + 1),
            b')' | b']' => (TokenKind::Close, at + 1),
            b',' => (TokenKind::Comma, at + 1),
            b';' => (TokenKind::Semicolon, at + 1),
            b'.' => self.dot(at, second),
            b'0'..=b'9' => self.number(at),
            b'$' => self.dollar(at, second),
            b'?' if !self.mode.is_postgres() => self.question(at),
            b'@' | b':' | b'#' if self.mode.is_sqlite() => self.named_param(at),
            b'@' if self.mode.is_mysql() => self.variable(at, second),
            _ if self.is_word_byte(first) => self.word(at, first, second),
            _ => self.operator(at, first),
        };
        (kind, end, 0)
    }

    fn dot(&self, at: usize, second: u8) -> (TokenKind, usize) {
        if self.mode.is_postgres() && second == b'.' {
            return (TokenKind::Operator, at + 2);
        }
        let number = second.is_ascii_digit() && !(self.mode.is_mysql() && self.after_name);
        if number { self.fraction(at) } else { (TokenKind::Dot, at + 1) }
    }

    fn question(&self, at: usize) -> (TokenKind, usize) {
        let mut end = at + 1;
        while self.mode.is_sqlite() && self.byte(end).is_ascii_digit() {
            end += 1;
        }
        (TokenKind::Param, end)
    }

    fn named_param(&self, at: usize) -> (TokenKind, usize) {
        let end = self.word_end(at + 1);
        // SQLite lets Tcl-style names swallow `::` and brackets; nobody needs them, and hiding places are refused.
        let tcl = self.byte(at) == b'$' && matches!(self.byte(end), b'(' | b':');
        if end == at + 1 || tcl || self.byte(at) == b'#' {
            return (TokenKind::Unknown, end);
        }
        (TokenKind::Param, end)
    }

    fn variable(&self, at: usize, second: u8) -> (TokenKind, usize) {
        let mut end = at + 1;
        if second == b'@' {
            end += 1;
        }
        match self.byte(end) {
            quote @ (b'\'' | b'"') => {
                self.doubled(TokenKind::Variable, end + 1, quote, self.mode.backslash_escapes)
            }
            b'`' => self.delimited(TokenKind::Variable, end + 1, b'`'),
            _ => {
                while self.is_word_byte(self.byte(end)) || self.byte(end) == b'.' {
                    end += 1;
                }
                (TokenKind::Variable, end)
            }
        }
    }

    fn word(&self, at: usize, first: u8, second: u8) -> (TokenKind, usize) {
        let quote = second == b'\'';
        match first.to_ascii_lowercase() {
            b'x' if quote && !self.mode.is_postgres() => {
                return self.digits(TokenKind::HexString, at + 2, |b| b.is_ascii_hexdigit());
            }
            b'x' if quote => return self.string(TokenKind::HexString, at + 2, false),
            b'b' if quote && self.mode.is_mysql() => {
                return self.digits(TokenKind::BitString, at + 2, |b| matches!(b, b'0' | b'1'));
            }
            b'b' if quote && !self.mode.is_sqlite() => {
                return self.string(TokenKind::BitString, at + 2, false);
            }
            b'n' if quote && !self.mode.is_sqlite() => {
                return self.string(TokenKind::NationalString, at + 2, self.mode.backslash_escapes);
            }
            b'e' if quote && self.mode.is_postgres() => {
                return self.string(TokenKind::EscapeString, at + 2, true);
            }
            b'u' if second == b'&' && self.mode.is_postgres() => match self.byte(at + 2) {
                b'\'' => return self.string(TokenKind::UnicodeString, at + 3, false),
                b'"' => return self.delimited(TokenKind::UnicodeIdent, at + 3, b'"'),
                _ => {}
            },
            _ => {}
        }
        (TokenKind::Word, self.word_end(at))
    }

    /// A literal of digits ends at its first quote: what follows is read anew, with escapes where the engine has them.
    fn digits(&self, kind: TokenKind, at: usize, is_digit: fn(u8) -> bool) -> (TokenKind, usize) {
        let mut end = at;
        while is_digit(self.byte(end)) {
            end += 1;
        }
        if self.byte(end) == b'\'' { (kind, end + 1) } else { (TokenKind::Unknown, end) }
    }

    fn fraction(&self, at: usize) -> (TokenKind, usize) {
        let mut end = at + 1;
        while self.byte(end).is_ascii_digit() || self.byte(end) == b'_' {
            end += 1;
        }
        (TokenKind::Number, self.exponent(end))
    }

    fn exponent(&self, at: usize) -> usize {
        if !matches!(self.byte(at), b'e' | b'E') {
            return at;
        }
        let digits = if matches!(self.byte(at + 1), b'+' | b'-') { at + 2 } else { at + 1 };
        let mut end = digits;
        while self.byte(end).is_ascii_digit() {
            end += 1;
        }
        if end > digits { end } else { at }
    }

    fn number(&self, at: usize) -> (TokenKind, usize) {
        let word = self.word_end(at);
        if self.mode.is_mysql() && self.after_name_dot {
            return (TokenKind::Word, word);
        }
        if self.byte(at) == b'0' && self.byte(at + 1).is_ascii_alphabetic() {
            let digits = &self.sql.as_bytes()[at + 2..word];
            let all = |ok: fn(&u8) -> bool| !digits.is_empty() && digits.iter().all(|b| ok(b) || *b == b'_');
            let based = match self.byte(at + 1) {
                b'x' | b'X' => all(u8::is_ascii_hexdigit),
                b'b' | b'B' | b'o' | b'O' => all(u8::is_ascii_digit),
                _ => false,
            };
            if based {
                return (TokenKind::Number, word);
            }
        }
        let mut end = at;
        while self.byte(end).is_ascii_digit() || (self.byte(end) == b'_' && !self.mode.is_mysql()) {
            end += 1;
        }
        if self.byte(end) == b'.' && !(self.mode.is_postgres() && self.byte(end + 1) == b'.') {
            return self.fraction(end);
        }
        let full = self.exponent(end);
        // MySQL names may begin with digits.
        if self.mode.is_mysql() && full < word {
            return (TokenKind::Word, word);
        }
        (TokenKind::Number, full)
    }

    fn operator(&self, at: usize, first: u8) -> (TokenKind, usize) {
        if self.mode.is_postgres() {
            return self.postgres_operator(at, first);
        }
        let rest = &self.sql[at..];
        for op in ["<=>", "->>", "<<", ">>", "<=", ">=", "<>", "!=", "==", "||", "&&", ":=", "->"] {
            let known = match op {
                "==" => self.mode.is_sqlite(),
                "<=>" | "&&" | ":=" => self.mode.is_mysql(),
                _ => true,
            };
            if known && rest.starts_with(op) {
                return (TokenKind::Operator, at + op.len());
            }
        }
        match first {
            b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'>' | b'=' | b'~' | b'&' | b'|' => {
                (TokenKind::Operator, at + 1)
            }
            b'!' | b'^' if self.mode.is_mysql() => (TokenKind::Operator, at + 1),
            _ => (TokenKind::Unknown, at + 1),
        }
    }

    fn postgres_operator(&self, at: usize, first: u8) -> (TokenKind, usize) {
        if first == b':' {
            let long = matches!(self.byte(at + 1), b':' | b'=');
            return (TokenKind::Operator, at + if long { 2 } else { 1 });
        }
        let bytes = self.sql.as_bytes();
        let is_op = |b: u8| b"~!@#^&|`?+-*/%<>=".contains(&b);
        let mut end = at;
        while end < bytes.len() && is_op(bytes[end]) {
            // A comment opener ends an operator.
            let opener = matches!(&bytes[end..], [b'-', b'-', ..] | [b'/', b'*', ..]);
            if opener && end > at {
                break;
            }
            end += 1;
        }
        if end == at {
            return (TokenKind::Unknown, at + 1);
        }
        // A long operator ends in + or - only if it holds one of the characters that no number follows.
        let marked = bytes[at..end].iter().any(|b| b"~!@#^&|`?%".contains(b));
        while !marked && end > at + 1 && matches!(bytes[end - 1], b'+' | b'-') {
            end -= 1;
        }
        (TokenKind::Operator, end)
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if self.at >= self.sql.len() {
            return None;
        }
        let (kind, end, depth) = self.next_kind();
        Some(self.token(kind, end, depth))
    }
}
