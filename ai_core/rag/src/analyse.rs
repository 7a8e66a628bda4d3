//! The one analyser of documents and queries: text to terms; it knows no index and no store.

use std::collections::HashSet;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;

/// Version of the analyser; stores rebuild their full-text index when it changes.
pub const ANALYSER_VERSION: &str = "words-1";

/// Longest term, in bytes; longer words keep their beginning.
pub const TERM_BYTES_MAX: usize = 255;

/// Most distinct terms of one query.
pub const QUERY_TERMS_MAX: usize = 256;

/// Words that carry no topic; dropped from queries unless nothing else is left.
const STOP_WORDS: &[&str] = &[
    "a",
    "about",
    "above",
    "after",
    "again",
    "against",
    "all",
    "also",
    "am",
    "an",
    "and",
    "any",
    "are",
    "as",
    "at",
    "be",
    "because",
    "been",
    "before",
    "being",
    "below",
    "between",
    "both",
    "but",
    "by",
    "can",
    "cannot",
    "could",
    "did",
    "do",
    "does",
    "doing",
    "down",
    "during",
    "each",
    "few",
    "for",
    "from",
    "further",
    "had",
    "has",
    "have",
    "having",
    "he",
    "her",
    "here",
    "hers",
    "herself",
    "him",
    "himself",
    "his",
    "how",
    "i",
    "if",
    "in",
    "into",
    "is",
    "it",
    "its",
    "itself",
    "just",
    "me",
    "more",
    "most",
    "my",
    "myself",
    "no",
    "nor",
    "not",
    "now",
    "of",
    "off",
    "on",
    "once",
    "only",
    "or",
    "other",
    "our",
    "ours",
    "ourselves",
    "out",
    "over",
    "own",
    "s",
    "same",
    "she",
    "should",
    "so",
    "some",
    "such",
    "t",
    "than",
    "that",
    "the",
    "their",
    "theirs",
    "them",
    "themselves",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "through",
    "to",
    "too",
    "under",
    "until",
    "up",
    "very",
    "was",
    "we",
    "were",
    "what",
    "when",
    "where",
    "which",
    "while",
    "who",
    "whom",
    "why",
    "will",
    "with",
    "would",
    "you",
    "your",
    "yours",
    "yourself",
    "yourselves",
];

/// Turns text into terms, with the stemming of one language or none.
pub struct Analyser {
    stemmer: Option<Stemmer>,
}

impl std::fmt::Debug for Analyser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Analyser").field("stems", &self.stemmer.is_some()).finish()
    }
}

impl Analyser {
    /// An analyser for a BCP 47 language tag; unknown and empty tags mean no stemming.
    #[must_use]
    pub fn new(language: &str) -> Self {
        Self { stemmer: algorithm(language).map(Stemmer::create) }
    }

    /// Whether a language tag selects stemming.
    #[must_use]
    pub fn knows(language: &str) -> bool {
        algorithm(language).is_some()
    }

    /// All terms of a text in order. Joined words give the whole and its parts: `a_b`, `a`, `b`.
    #[must_use]
    pub fn terms(&self, text: &str) -> Vec<String> {
        let mut out = Vec::with_capacity(text.len() / 6);
        for span in spans(text) {
            self.span_terms(&text[span.0..span.1], &mut out);
        }
        out
    }

    /// Terms of a query: distinct, without stop words, at most [`QUERY_TERMS_MAX`].
    #[must_use]
    pub fn query_terms(&self, text: &str) -> Vec<String> {
        let pick = |keep_stop: bool| {
            let mut seen = HashSet::new();
            let mut out = Vec::new();
            for span in spans(text) {
                let word = &text[span.0..span.1];
                if !keep_stop && is_stop_word(word) {
                    continue;
                }
                let mut terms = Vec::new();
                self.span_terms(word, &mut terms);
                for term in terms {
                    if out.len() < QUERY_TERMS_MAX && seen.insert(term.clone()) {
                        out.push(term);
                    }
                }
            }
            out
        };
        let terms = pick(false);
        if terms.is_empty() { pick(true) } else { terms }
    }

    /// Byte ranges of the words of `text` that share a term with `wanted`.
    #[must_use]
    pub fn matches(&self, text: &str, wanted: &HashSet<String>) -> Vec<(usize, usize)> {
        let mut terms = Vec::new();
        let mut hit = |span: &(usize, usize)| {
            terms.clear();
            self.span_terms(&text[span.0..span.1], &mut terms);
            terms.iter().any(|t| wanted.contains(t))
        };
        spans(text).into_iter().filter(|s| hit(s)).collect()
    }

    fn span_terms(&self, word: &str, out: &mut Vec<String>) {
        if word.chars().next().is_some_and(is_cjk) {
            bigrams(word, out);
            return;
        }
        let parts = parts(word);
        if parts.len() > 1 || parts.first().is_some_and(|p| p.len() != word.len()) {
            let whole = fold(word);
            if !whole.is_empty() {
                out.push(cut(whole));
            }
        }
        for part in parts {
            let folded = fold(part);
            let term = match &self.stemmer {
                Some(stemmer) if !folded.bytes().any(|b| b.is_ascii_digit()) => {
                    stemmer.stem(&folded).trim_matches('\'').replace('\'', "")
                }
                _ => folded.strip_suffix("'s").unwrap_or(&folded).replace('\'', ""),
            };
            if !term.is_empty() {
                out.push(cut(term));
            }
        }
    }
}

fn algorithm(language: &str) -> Option<Algorithm> {
    let primary = language.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    Some(match primary.as_str() {
        "ar" => Algorithm::Arabic,
        "da" => Algorithm::Danish,
        "nl" => Algorithm::Dutch,
        "en" => Algorithm::English,
        "fi" => Algorithm::Finnish,
        "fr" => Algorithm::French,
        "de" => Algorithm::German,
        "el" => Algorithm::Greek,
        "hu" => Algorithm::Hungarian,
        "it" => Algorithm::Italian,
        "no" | "nb" | "nn" => Algorithm::Norwegian,
        "pt" => Algorithm::Portuguese,
        "ro" => Algorithm::Romanian,
        "ru" => Algorithm::Russian,
        "es" => Algorithm::Spanish,
        "sv" => Algorithm::Swedish,
        "ta" => Algorithm::Tamil,
        "tr" => Algorithm::Turkish,
        _ => return None,
    })
}

fn is_stop_word(word: &str) -> bool {
    word.len() <= 10 && STOP_WORDS.binary_search(&word.to_ascii_lowercase().as_str()).is_ok()
}

fn is_cjk(c: char) -> bool {
    matches!(u32::from(c), 0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xAC00..=0xD7AF | 0xF900..=0xFAFF | 0x20000..=0x2FA1F)
}

fn is_mark(c: char) -> bool {
    matches!(u32::from(c), 0x0300..=0x036F | 0x0483..=0x0487 | 0x064B..=0x065F | 0x0900..=0x0903 | 0x093A..=0x094F | 0x1AB0..=0x1AFF | 0x20D0..=0x20FF | 0xFE00..=0xFE0F)
}

fn is_word(c: char) -> bool {
    (c.is_alphanumeric() || is_mark(c)) && !is_cjk(c)
}

fn is_joiner(c: char) -> bool {
    matches!(c, '_' | '-' | '.' | '@' | ':' | '\'' | '’')
}

/// Byte ranges of words: runs of word characters, joined by single joiners, with `+` and `#` at the end (`c++`).
fn spans(text: &str) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, first)) = chars.next() {
        if is_cjk(first) {
            let mut end = start + first.len_utf8();
            while let Some(&(i, c)) = chars.peek().filter(|(_, c)| is_cjk(*c)) {
                end = i + c.len_utf8();
                chars.next();
            }
            out.push((start, end));
        } else if is_word(first) {
            let mut end = start + first.len_utf8();
            while let Some(&(i, c)) = chars.peek() {
                let after = &text[i + c.len_utf8()..];
                if is_word(c) || (is_joiner(c) && after.chars().next().is_some_and(is_word)) {
                    end = i + c.len_utf8();
                    chars.next();
                } else if matches!(c, '+' | '#') && tail_only(&text[i..]) {
                    let tail = text[i..].bytes().take(2).take_while(|b| matches!(b, b'+' | b'#')).count();
                    end = i + tail;
                    (0..tail).for_each(|_| {
                        chars.next();
                    });
                    break;
                } else {
                    break;
                }
            }
            out.push((start, end));
        }
    }
    out
}

/// Whether a text starts with one or two `+` or `#` that no word follows.
fn tail_only(text: &str) -> bool {
    let tail = text.bytes().take_while(|b| matches!(b, b'+' | b'#')).count();
    tail <= 2 && !text[tail..].chars().next().is_some_and(is_word)
}

/// The pieces of a joined or camel-case word.
fn parts(word: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut previous: Option<char> = None;
    let mut push = |from: usize, to: usize| {
        if from < to {
            out.push(&word[from..to]);
        }
    };
    for (i, c) in word.char_indices() {
        if (is_joiner(c) && !matches!(c, '\'' | '’')) || matches!(c, '+' | '#') {
            push(start, i);
            start = i + c.len_utf8();
        } else if c.is_uppercase() && previous.is_some_and(|p| p.is_lowercase() || p.is_numeric()) {
            push(start, i);
            start = i;
        }
        previous = Some(c);
    }
    push(start, word.len());
    out
}

fn fold(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    let straight = word.chars().map(|c| if c == '’' { '\'' } else { c });
    straight
        .flat_map(char::to_lowercase)
        .nfkd()
        // Some letters decompose into a space and a mark.
        .filter(|c| is_word(*c) || is_cjk(*c) || is_joiner(*c) || matches!(c, '+' | '#'))
        .filter(|c| !is_mark(*c))
        .collect()
}

fn bigrams(run: &str, out: &mut Vec<String>) {
    let chars: Vec<char> = run.chars().collect();
    if chars.len() == 1 {
        out.push(run.to_owned());
    }
    out.extend(chars.windows(2).map(|w| w.iter().collect::<String>()));
}

fn cut(mut term: String) -> String {
    if term.len() > TERM_BYTES_MAX {
        term.truncate(crate::ids::floor_boundary(&term, TERM_BYTES_MAX));
    }
    term
}

#[cfg(test)]
mod tests;
