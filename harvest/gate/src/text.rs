//! Quoting and unquoting of names and literals per engine; it checks nothing.

use std::borrow::Cow;

use harvest::{DialectName, Token, TokenKind};

/// Quotes an identifier of any content.
#[must_use]
pub fn quote_identifier(dialect: DialectName, name: &str) -> String {
    let quote = match dialect {
        DialectName::Mysql | DialectName::Mariadb => '`',
        DialectName::Postgresql | DialectName::Sqlite => '"',
    };
    let mut out = String::with_capacity(name.len() + 2);
    out.push(quote);
    for c in name.chars() {
        if c == quote {
            out.push(quote);
        }
        out.push(c);
    }
    out.push(quote);
    out
}

/// Quotes a string literal of any content, under the lexical modes that drivers pin.
#[must_use]
pub fn quote_literal(dialect: DialectName, text: &str) -> String {
    let backslash = matches!(dialect, DialectName::Mysql | DialectName::Mariadb);
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' if backslash => out.push_str("\\\\"),
            '\0' if backslash => out.push_str("\\0"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// The name that an identifier token stands for.
pub(crate) fn unquoted<'a>(token: &Token<'a>) -> Cow<'a, str> {
    let text = token.text;
    match token.kind {
        TokenKind::QuotedIdent if text.starts_with('[') => Cow::Borrowed(inner(text, 1)),
        TokenKind::QuotedIdent => {
            let quote = &text[..1];
            undouble(inner(text, 1), quote)
        }
        TokenKind::UnicodeIdent => decode_unicode(&undouble(inner(text, 3), "\"")).into(),
        TokenKind::String => undouble(inner(text, 1), &text[..1]),
        _ => Cow::Borrowed(text),
    }
}

fn inner(text: &str, prefix: usize) -> &str {
    text.get(prefix..text.len().saturating_sub(1)).unwrap_or_default()
}

fn undouble<'a>(text: &'a str, quote: &str) -> Cow<'a, str> {
    if !text.contains(quote) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace(&format!("{quote}{quote}"), quote))
}

/// Decodes `\XXXX` and `\+XXXXXX` of a `U&` identifier; what is no escape stays.
fn decode_unicode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let (digits, skip) = if tail.starts_with('+') { (6, 1) } else { (4, 0) };
        let decoded = tail
            .get(skip..skip + digits)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok())
            .and_then(char::from_u32);
        match decoded {
            Some(c) => {
                out.push(c);
                rest = &tail[skip + digits..];
            }
            None => {
                out.push('\\');
                rest = tail.strip_prefix('\\').unwrap_or(tail);
            }
        }
    }
    out.push_str(rest);
    out
}
