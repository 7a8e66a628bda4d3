//! The tokens that the lexer hands on; it does not know what any of them means in a statement.

use crate::keywords::Kw;

/// Which lexical rules apply.
// Exhaustive on purpose: a new dialect changes the lexer everywhere and must be noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// PostgreSQL: dollar quotes, nested comments, `E''`, standard-conforming strings.
    #[default]
    Postgres,
    /// MySQL and MariaDB: backslash escapes, `#` comments, executable comments.
    MySql,
    /// SQLite: four ways to quote an identifier, `--` comments.
    Sqlite,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Eof,
    Word,
    QuotedIdent,
    Number,
    Text,
    Param,
    Variable,
    LParen,
    RParen,
    Comma,
    Semi,
    Dot,
    LBracket,
    RBracket,
    /// `=`, `==`, `<>`, `<=>` and so on.
    Compare,
    /// `+ - * / % ^ & | << >> ~ || !` and every other operator.
    Arith,
    /// `&&`, and `||` where it means OR.
    Logic,
    Cast,
    Assign,
    Other,
}

/// Single operators, as far as folding must tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Op {
    None,
    Eq,
    Ne,
    Lt,
    Gt,
    Le,
    Ge,
    NullEq,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Caret,
    Amp,
    Pipe,
    Concat,
    Shl,
    Shr,
    Tilde,
    Bang,
    Hash,
    Arrow,
    And,
    Or,
    Unknown,
}

/// What a literal looks like, as far as rules may see its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum LitClass {
    Plain,
    Empty,
    /// Only `%` characters.
    Wild,
    /// Text with the marks of a script.
    Script,
    /// `0x..`, `x'..'`, `0b..`.
    Hex,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Tok {
    pub(crate) kind: Kind,
    pub(crate) op: Op,
    pub(crate) class: LitClass,
    /// White space or a comment stands before it.
    pub(crate) spaced: bool,
    /// A comment stands directly before it.
    pub(crate) commented: bool,
    pub(crate) kw: Kw,
    /// Hash of the name (folded unless quoted); for a text its body's bounds, start << 32 | end.
    pub(crate) hash: u64,
    pub(crate) num: f64,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Tok {
    pub(crate) const EOF: Self = Self {
        kind: Kind::Eof,
        op: Op::None,
        class: LitClass::Plain,
        spaced: false,
        commented: false,
        kw: Kw::None,
        hash: 0,
        num: 0.0,
        start: 0,
        end: 0,
    };

    pub(crate) fn is_literal(&self) -> bool {
        matches!(self.kind, Kind::Number | Kind::Text)
    }

    pub(crate) fn is_name(&self) -> bool {
        matches!(self.kind, Kind::QuotedIdent) || (self.kind == Kind::Word && !self.kw.is_reserved())
    }
}
