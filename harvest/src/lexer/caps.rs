//! Bounds that a text must keep before any parser sees it; it does not judge what the text says.

use super::{LexMode, Lexer, Token, TokenKind};
use crate::error::{HarvestError, HarvestResult};

/// Bounds of one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// Exhaustive: a gate sets every bound knowingly.
pub struct LexCaps {
    /// Longest text in bytes.
    pub sql_bytes_max: usize,
    /// Deepest nesting of comments.
    pub comment_depth_max: u32,
    /// Deepest nesting of brackets.
    pub bracket_depth_max: u32,
    /// Most tokens, blanks and comments not counted.
    pub tokens_max: usize,
}

impl Default for LexCaps {
    fn default() -> Self {
        Self { sql_bytes_max: 65_536, comment_depth_max: 8, bracket_depth_max: 100, tokens_max: 10_000 }
    }
}

/// Reads bytes as the text of a statement.
///
/// # Errors
/// `INVALID_ARGUMENT` for invalid UTF-8 and for NUL.
pub fn utf8(bytes: &[u8]) -> HarvestResult<&str> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| HarvestError::syntax("the statement is not valid UTF-8", Some(e.valid_up_to())))?;
    no_nul(text)?;
    Ok(text)
}

fn no_nul(sql: &str) -> HarvestResult<()> {
    match sql.bytes().position(|b| b == 0) {
        Some(at) => Err(HarvestError::syntax("the statement holds a NUL byte; remove it", Some(at))),
        None => Ok(()),
    }
}

/// All tokens of a text that keeps its bounds, blanks and comments included.
///
/// # Errors
/// `LIMIT_EXCEEDED` past a bound, `INVALID_ARGUMENT` for NUL, for what does not end and for characters that the engine
/// does not know.
pub fn scan(sql: &str, mode: LexMode, caps: LexCaps) -> HarvestResult<Vec<Token<'_>>> {
    if sql.len() > caps.sql_bytes_max {
        return Err(HarvestError::limit(
            format!("the statement has {} bytes, the limit is {}", sql.len(), caps.sql_bytes_max),
            caps.sql_bytes_max as u64,
            sql.len() as u64,
            "mcp-max_sql_bytes",
        ));
    }
    no_nul(sql)?;
    let mut tokens = Vec::with_capacity(sql.len() / 3 + 4);
    let (mut count, mut brackets) = (0_usize, 0_u32);
    for token in Lexer::new(sql, mode) {
        bounded(token.comment_depth, caps.comment_depth_max, "comments")?;
        match token.kind {
            TokenKind::Open => {
                brackets += 1;
                bounded(brackets, caps.bracket_depth_max, "brackets")?;
            }
            TokenKind::Close => brackets = brackets.saturating_sub(1),
            TokenKind::Unterminated => {
                let text = "a literal, quoted identifier or comment has no end; close it";
                return Err(HarvestError::syntax(text, Some(token.start)));
            }
            TokenKind::Unknown => {
                let text = format!("unexpected character {:?} in {} SQL", token.text, mode.dialect);
                return Err(HarvestError::syntax(text, Some(token.start)));
            }
            _ => {}
        }
        count += usize::from(!token.kind.is_blank());
        if count > caps.tokens_max {
            let text = format!("the statement has more than {} tokens; shorten its lists", caps.tokens_max);
            return Err(HarvestError::limit(text, caps.tokens_max as u64, count as u64, "tokens_max"));
        }
        tokens.push(token);
    }
    Ok(tokens)
}

fn bounded(depth: u32, max: u32, what: &str) -> HarvestResult<()> {
    if depth > max {
        let text = format!("{what} are nested deeper than {max}; flatten the statement");
        return Err(HarvestError::limit(text, max.into(), depth.into(), "depth_max"));
    }
    Ok(())
}
