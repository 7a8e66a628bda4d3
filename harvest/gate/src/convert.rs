//! Turns our tokens into those of the parser, so that the parser never reads text itself; it knows no grammar.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

use harvest::{DialectName, HarvestResult, Token as Lexed, TokenKind};
use sqlparser::keywords::{ALL_KEYWORDS, ALL_KEYWORDS_INDEX, Keyword};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Word};

use crate::refusal::refuse;
use crate::text::unquoted;

/// Longer literals reach the parser empty: nothing that the walker inspects is longer.
const LITERAL_BYTES_KEPT: usize = 128;

/// FNV-1a: keywords are short and nobody can choose them.
#[derive(Default)]
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

static KEYWORDS: LazyLock<HashMap<&'static str, Keyword, BuildHasherDefault<Fnv>>> =
    LazyLock::new(|| ALL_KEYWORDS.iter().copied().zip(ALL_KEYWORDS_INDEX.iter().copied()).collect());

/// Longest keyword that is looked up.
const KEYWORD_BYTES_MAX: usize = 40;

fn keyword(word: &str) -> Keyword {
    let mut upper = [0_u8; KEYWORD_BYTES_MAX];
    let Some(slot) = upper.get_mut(..word.len()) else { return Keyword::NoKeyword };
    slot.copy_from_slice(word.as_bytes());
    slot.make_ascii_uppercase();
    let found = std::str::from_utf8(slot).ok().and_then(|w| KEYWORDS.get(w));
    found.copied().unwrap_or(Keyword::NoKeyword)
}

/// The parser's tokens for a slice of significant tokens; with `places` each knows its byte offset plus one.
///
/// Without places the parser saves itself the texts of errors that it only tries out.
pub(crate) fn tokens(
    lexed: &[Lexed<'_>],
    dialect: DialectName,
    places: bool,
) -> HarvestResult<Vec<TokenWithSpan>> {
    let mut out = Vec::with_capacity(lexed.len() + 1);
    for token in lexed {
        let span = if places {
            let start = Location { line: 1, column: token.start as u64 + 1 };
            let end = Location { line: 1, column: token.end() as u64 + 1 };
            Span { start, end }
        } else {
            Span::empty()
        };
        out.push(TokenWithSpan { token: convert(token, dialect)?, span });
    }
    Ok(out)
}

fn name(value: &str, quote: Option<char>) -> Token {
    let keyword = if quote.is_some() { Keyword::NoKeyword } else { keyword(value) };
    Token::Word(Word { value: value.to_owned(), quote_style: quote, keyword })
}

fn short(text: &str) -> String {
    if text.len() <= LITERAL_BYTES_KEPT { text.to_owned() } else { String::new() }
}

fn convert(token: &Lexed<'_>, dialect: DialectName) -> HarvestResult<Token> {
    let text = token.text;
    Ok(match token.kind {
        TokenKind::Word => name(text, None),
        TokenKind::QuotedIdent | TokenKind::UnicodeIdent => {
            let quote = if text.starts_with('`') { '`' } else { '"' };
            name(&unquoted(token), Some(quote))
        }
        TokenKind::String => Token::SingleQuotedString(short(&unquoted(token))),
        TokenKind::EscapeString => Token::EscapedStringLiteral(String::new()),
        TokenKind::NationalString => Token::NationalStringLiteral(String::new()),
        TokenKind::UnicodeString | TokenKind::DollarString => Token::SingleQuotedString(String::new()),
        TokenKind::HexString | TokenKind::BitString => Token::HexStringLiteral(String::new()),
        TokenKind::Number => number(text),
        TokenKind::Param => Token::Placeholder(text.to_owned()),
        TokenKind::Variable => variable(text)?,
        TokenKind::Comma => Token::Comma,
        TokenKind::Semicolon => Token::SemiColon,
        TokenKind::Dot => Token::Period,
        TokenKind::Open if text == "(" => Token::LParen,
        TokenKind::Open => Token::LBracket,
        TokenKind::Close if text == ")" => Token::RParen,
        TokenKind::Close => Token::RBracket,
        TokenKind::Operator => operator(text, dialect),
        TokenKind::Hint => return refuse("an optimizer hint", "remove the /*+ … */ comment"),
        TokenKind::ExecutableComment => {
            return refuse("an executable comment", "write the SQL outside of /*! … */");
        }
        TokenKind::Space | TokenKind::Comment | TokenKind::Unterminated | TokenKind::Unknown => {
            return refuse("an unreadable token", "rewrite the statement");
        }
    })
}

fn number(text: &str) -> Token {
    let based = text.len() > 2 && text.starts_with('0') && text.as_bytes()[1].is_ascii_alphabetic();
    if based { Token::HexStringLiteral(String::new()) } else { Token::Number(text.to_owned(), false) }
}

/// System variables that tell nothing that an account may not know.
const SYSTEM_VARIABLES: &[&str] = &[
    "version",
    "version_comment",
    "version_compile_machine",
    "version_compile_os",
    "sql_mode",
    "time_zone",
    "system_time_zone",
    "autocommit",
    "transaction_isolation",
    "tx_isolation",
    "transaction_read_only",
    "tx_read_only",
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "character_set_server",
    "character_set_database",
    "collation_connection",
    "collation_database",
    "collation_server",
    "max_allowed_packet",
    "lower_case_table_names",
    "lc_time_names",
    "default_storage_engine",
    "max_execution_time",
    "max_statement_time",
    "group_concat_max_len",
    "div_precision_increment",
    "innodb_version",
    "protocol_version",
    "license",
    "wait_timeout",
    "interactive_timeout",
    "net_write_timeout",
    "net_read_timeout",
    "init_connect",
    "auto_increment_increment",
    "auto_increment_offset",
    "sql_auto_is_null",
    "foreign_key_checks",
    "unique_checks",
    "read_only",
    "have_ssl",
    "max_connections",
    "cte_max_recursion_depth",
    "max_recursive_iterations",
];

fn variable(text: &str) -> HarvestResult<Token> {
    let Some(system) = text.strip_prefix("@@") else {
        return refuse("a user variable", "use a literal or a parameter instead of @variables");
    };
    let lower = system.to_ascii_lowercase();
    let bare = ["session.", "global.", "local."].iter().find_map(|p| lower.strip_prefix(p)).unwrap_or(&lower);
    if SYSTEM_VARIABLES.contains(&bare) {
        return Ok(name(text, Some('`')));
    }
    refuse("a server variable", "only variables without secrets, such as @@version, may be read")
}

fn operator(text: &str, dialect: DialectName) -> Token {
    let postgres = matches!(dialect, DialectName::Postgresql);
    match text {
        "=" => Token::Eq,
        "==" => Token::DoubleEq,
        "<>" | "!=" => Token::Neq,
        "<" => Token::Lt,
        ">" => Token::Gt,
        "<=" => Token::LtEq,
        ">=" => Token::GtEq,
        "+" => Token::Plus,
        "-" => Token::Minus,
        "*" => Token::Mul,
        "/" => Token::Div,
        "%" => Token::Mod,
        "||" => Token::StringConcat,
        "->" => Token::Arrow,
        "->>" => Token::LongArrow,
        "&" => Token::Ampersand,
        "|" => Token::Pipe,
        "^" => Token::Caret,
        "~" => Token::Tilde,
        "<<" => Token::ShiftLeft,
        ">>" => Token::ShiftRight,
        "&&" => Token::Overlap,
        "!" => Token::ExclamationMark,
        ":=" => Token::Assignment,
        ":" => Token::Colon,
        "::" => Token::DoubleColon,
        "=>" => Token::RArrow,
        "<=>" if !postgres => Token::Spaceship,
        _ if postgres => postgres_operator(text),
        other => Token::CustomBinaryOperator(other.to_owned()),
    }
}

fn postgres_operator(text: &str) -> Token {
    match text {
        "#" => Token::Sharp,
        "##" => Token::DoubleSharp,
        "~*" => Token::TildeAsterisk,
        "!~" => Token::ExclamationMarkTilde,
        "!~*" => Token::ExclamationMarkTildeAsterisk,
        "~~" => Token::DoubleTilde,
        "~~*" => Token::DoubleTildeAsterisk,
        "!~~" => Token::ExclamationMarkDoubleTilde,
        "!~~*" => Token::ExclamationMarkDoubleTildeAsterisk,
        "!!" => Token::DoubleExclamationMark,
        "@" => Token::AtSign,
        "^@" => Token::CaretAt,
        "|/" => Token::PGSquareRoot,
        "||/" => Token::PGCubeRoot,
        "#>" => Token::HashArrow,
        "#>>" => Token::HashLongArrow,
        "@-@" => Token::AtDashAt,
        "?-" => Token::QuestionMarkDash,
        "@>" => Token::AtArrow,
        "<@" => Token::ArrowAt,
        "#-" => Token::HashMinus,
        "@?" => Token::AtQuestion,
        "@@" => Token::AtAt,
        "?" => Token::Question,
        "?&" => Token::QuestionAnd,
        "?|" => Token::QuestionPipe,
        other => Token::CustomBinaryOperator(other.to_owned()),
    }
}
