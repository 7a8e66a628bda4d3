//! Query text to clauses: plain words, and the advanced language; it knows no index.

use ai_core::{AiError, AiResult, TextClause};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analyse::{Analyser, QUERY_TERMS_MAX};

/// Deepest nesting of parentheses.
const DEPTH_MAX: usize = 32;

/// Most clauses of one query.
const CLAUSES_MAX: usize = 256;

/// How query text is read.
// Exhaustive on purpose: these are the two languages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Syntax {
    /// Every character is data.
    #[default]
    Plain,
    /// Terms, "phrases", +, -, AND, OR, NOT, parentheses, prefix*, title:, body:.
    Advanced,
}

/// Which words of a plain query must occur.
// Exhaustive on purpose: these are the three forms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MatchMode {
    /// At least one; more rank higher.
    #[default]
    Any,
    /// All of them.
    All,
    /// All of them, side by side in this order.
    Phrase,
}

/// The clause of a query for texts of one language; `None` when nothing in it can be searched.
pub(crate) fn parse(
    text: &str,
    syntax: Syntax,
    mode: MatchMode,
    analyser: &Analyser,
) -> AiResult<Option<TextClause>> {
    match syntax {
        Syntax::Plain => Ok(plain(text, mode, analyser)),
        Syntax::Advanced => Parser::new(text, analyser)?.query(),
    }
}

fn plain(text: &str, mode: MatchMode, analyser: &Analyser) -> Option<TextClause> {
    let words = || analyser.query_terms(text).into_iter().map(TextClause::Term).collect::<Vec<_>>();
    let clause = match mode {
        MatchMode::Any => TextClause::Any(words()),
        MatchMode::All => TextClause::All(words()),
        MatchMode::Phrase => {
            let mut terms = analyser.terms(text);
            terms.truncate(QUERY_TERMS_MAX);
            return (!terms.is_empty()).then_some(TextClause::Phrase(terms));
        }
    };
    match &clause {
        TextClause::Any(c) | TextClause::All(c) if c.is_empty() => None,
        _ => Some(clause),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Phrase(String),
    Open,
    Close,
    Plus,
    Minus,
    And,
    Or,
    Not,
    Field(bool),
}

struct Parser<'a> {
    tokens: Vec<(usize, Token)>,
    at: usize,
    clauses: usize,
    end: usize,
    analyser: &'a Analyser,
}

fn fault(position: usize, why: &str) -> AiError {
    AiError::invalid(format!("query: {why} at character {position}")).with("position", position as u64)
}

fn tokens(text: &str) -> AiResult<Vec<(usize, Token)>> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let start = i;
        let starts_word = |i: usize| i + 1 < chars.len() && !chars[i + 1].is_whitespace();
        match chars[i] {
            c if c.is_whitespace() => i += 1,
            '(' => {
                out.push((start, Token::Open));
                i += 1;
            }
            ')' => {
                out.push((start, Token::Close));
                i += 1;
            }
            '+' if starts_word(i) => {
                out.push((start, Token::Plus));
                i += 1;
            }
            '-' if starts_word(i) => {
                out.push((start, Token::Minus));
                i += 1;
            }
            '"' => {
                let length = chars[i + 1..]
                    .iter()
                    .position(|c| *c == '"')
                    .ok_or_else(|| fault(start, "a quote is not closed"))?;
                out.push((start, Token::Phrase(chars[i + 1..i + 1 + length].iter().collect())));
                i += length + 2;
            }
            _ => {
                while i < chars.len() && !chars[i].is_whitespace() && !matches!(chars[i], '(' | ')' | '"') {
                    i += 1;
                    if chars[i - 1] == ':'
                        && matches!(chars[start..i].iter().collect::<String>().as_str(), "title:" | "body:")
                    {
                        break;
                    }
                }
                let word: String = chars[start..i].iter().collect();
                out.push((
                    start,
                    match word.as_str() {
                        "AND" => Token::And,
                        "OR" => Token::Or,
                        "NOT" => Token::Not,
                        "title:" => Token::Field(true),
                        "body:" => Token::Field(false),
                        _ => Token::Word(word),
                    },
                ));
            }
        }
    }
    Ok(out)
}

impl<'a> Parser<'a> {
    fn new(text: &str, analyser: &'a Analyser) -> AiResult<Self> {
        Ok(Self { tokens: tokens(text)?, at: 0, clauses: 0, end: text.chars().count(), analyser })
    }

    fn query(mut self) -> AiResult<Option<TextClause>> {
        let clause = self.any(0)?;
        match self.tokens.get(self.at) {
            Some((position, _)) => Err(fault(*position, "unexpected closing parenthesis or operator")),
            None => Ok(clause),
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, t)| t)
    }

    fn position(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |(p, _)| *p)
    }

    /// `a OR b`, and words side by side, which mean the same unless some of them are required.
    fn any(&mut self, depth: usize) -> AiResult<Option<TextClause>> {
        if depth > DEPTH_MAX {
            return Err(fault(self.position(), "parentheses are nested too deeply"));
        }
        let (mut wanted, mut required, mut unwanted) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(token) = self.peek() {
            match token {
                Token::Close => break,
                Token::Or => {
                    self.at += 1;
                    if wanted.is_empty() && required.is_empty()
                        || matches!(self.peek(), None | Some(Token::Close | Token::Or | Token::And))
                    {
                        return Err(fault(self.position(), "OR needs a clause on both sides"));
                    }
                }
                Token::Plus => {
                    self.at += 1;
                    required.extend(self.one(depth)?);
                }
                Token::Minus | Token::Not => {
                    self.at += 1;
                    unwanted.extend(self.one(depth)?);
                }
                _ => wanted.extend(self.all(depth)?),
            }
        }
        Ok(combine(wanted, required, unwanted))
    }

    /// `a AND b AND NOT c`.
    fn all(&mut self, depth: usize) -> AiResult<Option<TextClause>> {
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        wanted.extend(self.one(depth)?);
        while self.peek() == Some(&Token::And) {
            self.at += 1;
            if self.peek() == Some(&Token::Not) {
                self.at += 1;
                unwanted.extend(self.one(depth)?);
            } else {
                wanted.extend(self.one(depth)?);
            }
        }
        let base = match wanted.len() {
            0 => return Ok(None),
            1 => wanted.remove(0),
            _ => TextClause::All(wanted),
        };
        Ok(Some(
            unwanted
                .into_iter()
                .fold(base, |left, right| TextClause::Without(Box::new(left), Box::new(right))),
        ))
    }

    fn one(&mut self, depth: usize) -> AiResult<Option<TextClause>> {
        self.clauses += 1;
        if self.clauses > CLAUSES_MAX {
            return Err(fault(self.position(), "more than 256 clauses"));
        }
        let position = self.position();
        let Some((_, token)) = self.tokens.get(self.at).cloned() else {
            return Err(fault(position, "a clause is missing"));
        };
        self.at += 1;
        match token {
            Token::Open => {
                let inner = self.any(depth + 1)?;
                if self.peek() != Some(&Token::Close) {
                    return Err(fault(position, "a parenthesis is not closed"));
                }
                self.at += 1;
                Ok(inner)
            }
            Token::Field(title) => {
                if depth >= DEPTH_MAX {
                    return Err(fault(position, "clauses are nested too deeply"));
                }
                let inner = self.one(depth + 1)?;
                Ok(inner.map(|c| {
                    if title { TextClause::Title(Box::new(c)) } else { TextClause::Body(Box::new(c)) }
                }))
            }
            Token::Phrase(text) => {
                let mut terms = self.analyser.terms(&text);
                terms.truncate(QUERY_TERMS_MAX);
                Ok((!terms.is_empty()).then_some(TextClause::Phrase(terms)))
            }
            Token::Word(word) => Ok(self.word(&word)),
            _ => Err(fault(position, "an operator stands where a clause is expected")),
        }
    }

    fn word(&self, word: &str) -> Option<TextClause> {
        if let Some(stem) = word.strip_suffix('*') {
            // Stemming would cut a prefix short, so prefixes are only folded.
            return Analyser::new("").terms(stem).into_iter().next().map(TextClause::Prefix);
        }
        let mut terms = self.analyser.terms(word);
        terms.truncate(16);
        match terms.len() {
            0 => None,
            1 => Some(TextClause::Term(terms.remove(0))),
            _ => Some(TextClause::All(terms.into_iter().map(TextClause::Term).collect())),
        }
    }
}

fn combine(
    wanted: Vec<TextClause>,
    required: Vec<TextClause>,
    unwanted: Vec<TextClause>,
) -> Option<TextClause> {
    let group = |mut clauses: Vec<TextClause>, all: bool| match clauses.len() {
        0 => None,
        1 => Some(clauses.remove(0)),
        _ if all => Some(TextClause::All(clauses)),
        _ => Some(TextClause::Any(clauses)),
    };
    let base = match (group(required, true), group(wanted, false)) {
        // Optional words beside required ones only lift the score.
        (Some(must), Some(may)) => TextClause::All(vec![must.clone(), TextClause::Any(vec![must, may])]),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => return None,
    };
    Some(match group(unwanted, false) {
        Some(not) => TextClause::Without(Box::new(base), Box::new(not)),
        None => base,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn advanced(text: &str) -> AiResult<Option<TextClause>> {
        parse(text, Syntax::Advanced, MatchMode::Any, &Analyser::new(""))
    }

    fn term(text: &str) -> TextClause {
        TextClause::Term(text.to_owned())
    }

    #[test]
    fn advanced_forms() {
        assert_eq!(
            advanced("a AND NOT b").unwrap().unwrap(),
            TextClause::Without(Box::new(term("a")), Box::new(term("b")))
        );
        assert_eq!(advanced("title:x").unwrap().unwrap(), TextClause::Title(Box::new(term("x"))));
        assert_eq!(advanced("repl*").unwrap().unwrap(), TextClause::Prefix("repl".into()));
        assert_eq!(
            advanced("(a OR b) AND \"c d\"").unwrap().unwrap(),
            TextClause::All(vec![
                TextClause::Any(vec![term("a"), term("b")]),
                TextClause::Phrase(vec!["c".into(), "d".into()])
            ])
        );
        assert!(advanced("-only").unwrap().is_none());
        for broken in ["(a", "a)", "\"a", "a AND", "OR a", "a OR", "+", "title:", "AND", "NOT"] {
            let got = advanced(broken);
            assert!(got.is_err() || broken == "+", "{broken} {got:?}");
        }
        assert!(advanced(&format!("{}a{}", "(".repeat(40), ")".repeat(40))).is_err());
        assert!(advanced(&"title:".repeat(300)).is_err());
    }

    #[test]
    fn plain_text_is_data() {
        let analyser = Analyser::new("");
        for text in ["foo-bar", "c++", "AND", "DROP TABLE t; --", "a:b", "5.7", "user@host"] {
            assert!(parse(text, Syntax::Plain, MatchMode::Any, &analyser).unwrap().is_some(), "{text}");
        }
        for text in ["\"", "(", "*", "  "] {
            assert!(parse(text, Syntax::Plain, MatchMode::Any, &analyser).unwrap().is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|[()\"+*:-]|AND |OR |NOT |title:){0,50}") {
            let _ = advanced(&text);
        }
    }
}
