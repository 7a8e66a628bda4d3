//! Replacement texts with `\0` to `\9`; it does not know when they are used.

use regex::{Captures, Regex};

/// Longest rewritten text, in bytes; a rewrite beyond it leaves the text as it is for the gate to judge by size.
const REWRITTEN_BYTES_MAX: usize = 4 << 20;

enum Piece {
    Text(String),
    Group(usize),
}

/// A parsed replacement.
pub(super) struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    /// Parses `text`; a reference beyond `groups` is refused with a sentence.
    pub(super) fn parse(text: &str, groups: usize) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '\\' {
                plain.push(c);
                continue;
            }
            match chars.next() {
                Some('\\') => plain.push('\\'),
                Some(digit @ '0'..='9') => {
                    let group = digit as usize - '0' as usize;
                    if group > groups {
                        return Err(format!("replace_pattern refers to group {group} of {groups}"));
                    }
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Group(group));
                }
                _ => {
                    return Err(
                        "replace_pattern holds a backslash that is neither \\0 to \\9 nor \\\\".to_owned()
                    );
                }
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces })
    }

    /// Replaces the first match, or all of them, and trims the result.
    pub(super) fn replace(&self, pattern: &Regex, text: &str, global: bool) -> String {
        let mut out = String::with_capacity(text.len() + 64);
        let mut copied = 0;
        for found in pattern.captures_iter(text) {
            let Some(whole) = found.get(0) else { continue };
            out.push_str(&text[copied..whole.start()]);
            self.expand(&found, &mut out);
            copied = whole.end();
            if !global || out.len() > REWRITTEN_BYTES_MAX {
                break;
            }
        }
        out.push_str(&text[copied..]);
        out.trim().to_owned()
    }

    fn expand(&self, found: &Captures<'_>, out: &mut String) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Group(group) => out.push_str(found.get(*group).map_or("", |m| m.as_str())),
            }
        }
    }
}
