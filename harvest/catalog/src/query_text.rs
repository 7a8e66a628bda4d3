//! User words as full-text expressions: terms, phrases, prefixes, alternatives; no input is a syntax error.

use std::fmt::Write as _;

use crate::llm::is_stop_word;
use crate::tokens::{fold, name_tokens, singular};

/// Terms of one query at most; further ones are left out.
const TERMS_MAX: usize = 32;
/// Alternatives that one term may have.
const ALTERNATIVES_MAX: usize = 6;

/// One word, phrase or prefix with its alternatives: spellings that mean the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Term {
    /// Sequences of folded words; any of them is a hit.
    pub(crate) alternatives: Vec<Vec<String>>,
    /// The last word of a sequence is a prefix.
    pub(crate) is_prefix: bool,
}

impl Term {
    /// The full-text expression of this term.
    pub(crate) fn expression(&self) -> String {
        let star = if self.is_prefix { "*" } else { "" };
        let parts: Vec<String> =
            self.alternatives.iter().map(|words| format!("\"{}\"{star}", words.join(" "))).collect();
        if parts.len() == 1 { parts.concat() } else { format!("({})", parts.join(" OR ")) }
    }

    /// Whether folded words hold this term.
    pub(crate) fn hits(&self, words: &[String]) -> bool {
        self.alternatives.iter().any(|wanted| {
            words.windows(wanted.len()).any(|window| {
                window.iter().zip(wanted).enumerate().all(|(at, (have, want))| {
                    have == want
                        || (self.is_prefix && at + 1 == wanted.len() && have.starts_with(want.as_str()))
                })
            })
        })
    }
}

/// A query taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct QueryText {
    pub(crate) terms: Vec<Term>,
    /// Small words such as `of` were left out: somebody asks in a sentence.
    pub(crate) is_sentence: bool,
}

impl QueryText {
    /// Words are terms, `"…"` is a phrase, a trailing `*` a prefix; anything else separates words.
    pub(crate) fn parse(text: &str) -> Self {
        let mut terms = Vec::new();
        let list = chunks(text);
        let is_small = |(chunk, is_phrase): &(&str, bool)| !is_phrase && is_stop_word(chunk);
        // Small words alone are what is meant.
        let is_sentence = list.iter().any(is_small) && !list.iter().all(is_small);
        for (chunk, is_phrase) in list {
            if terms.len() >= TERMS_MAX {
                break;
            }
            if is_sentence && is_small(&(chunk, is_phrase)) {
                continue;
            }
            let is_prefix = !is_phrase && chunk.ends_with('*');
            if let Some(term) = term(chunk, is_phrase, is_prefix)
                && !terms.contains(&term)
            {
                terms.push(term);
            }
        }
        Self { terms, is_sentence }
    }

    pub(crate) fn all(&self) -> String {
        self.joined(" AND ")
    }

    pub(crate) fn any(&self) -> String {
        self.joined(" OR ")
    }

    fn joined(&self, operator: &str) -> String {
        let parts: Vec<String> = self.terms.iter().map(Term::expression).collect();
        parts.join(operator)
    }
}

/// Splits at white space outside quotes; an open quote reaches to the end.
pub(crate) fn chunks(text: &str) -> Vec<(&str, bool)> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\0');
        if rest.is_empty() {
            return out;
        }
        if let Some(body) = rest.strip_prefix('"') {
            let end = body.find('"').unwrap_or(body.len());
            out.push((&body[..end], true));
            rest = body.get(end + 1..).unwrap_or("");
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || c == '"' || c == '\0').unwrap_or(rest.len());
            out.push((&rest[..end], false));
            rest = &rest[end..];
        }
    }
}

pub(crate) fn term(chunk: &str, is_phrase: bool, is_prefix: bool) -> Option<Term> {
    let plain: Vec<String> = crate::tokens::words(chunk).collect();
    if plain.is_empty() {
        return None;
    }
    let mut alternatives = vec![plain.clone()];
    if !is_phrase && !is_prefix {
        let mut add = |words: Vec<String>| {
            if !words.is_empty() && alternatives.len() < ALTERNATIVES_MAX && !alternatives.contains(&words) {
                alternatives.push(words);
            }
        };
        add(plain.iter().map(|w| singular(w)).collect());
        let split: Vec<String> = name_tokens(chunk).iter().map(|t| fold(t)).collect();
        add(split.iter().map(|w| singular(w)).collect());
        add(split);
    }
    Some(Term { alternatives, is_prefix })
}

/// An expression limited to, or without, columns of the index.
pub(crate) fn in_columns(columns: &str, expression: &str) -> String {
    let mut out = String::new();
    let _ = write!(out, "{columns} : ({expression})");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_phrases_and_prefixes() {
        let q = QueryText::parse(r#"orderId "first name" cust* AND"#);
        assert_eq!(q.terms.len(), 4);
        assert_eq!(q.terms[0].expression(), r#"("orderid" OR "order id")"#);
        assert_eq!(q.terms[1].expression(), r#""first name""#);
        assert_eq!(q.terms[2].expression(), r#""cust"*"#);
        assert_eq!(q.terms[3].expression(), r#""and""#);
        assert_eq!(QueryText::parse("customers").all(), r#"("customers" OR "customer")"#);
        assert!(QueryText::parse("* - ( \" ^").terms.is_empty());
        let q = QueryText::parse("unpaid invoices of a customer");
        assert_eq!((q.terms.len(), q.is_sentence), (3, true));
        let q = QueryText::parse("of all");
        assert_eq!((q.terms.len(), q.is_sentence), (2, false));
    }
}
