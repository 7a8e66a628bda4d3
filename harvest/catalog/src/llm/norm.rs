//! Normal form of questions and how alike two are; it knows no record.

use std::collections::HashSet;

use crate::tokens::{singular, words};

const STOP_WORDS: &[&str] = &[
    "a", "all", "an", "and", "any", "are", "as", "at", "be", "been", "by", "can", "could", "did", "do",
    "does", "each", "every", "for", "from", "get", "give", "had", "has", "have", "how", "i", "in", "is",
    "it", "its", "list", "many", "me", "much", "my", "of", "on", "or", "our", "per", "please", "show",
    "tell", "that", "the", "their", "there", "these", "this", "those", "to", "us", "was", "we", "were",
    "what", "when", "where", "which", "who", "whose", "will", "with", "would", "you", "your",
];

pub(crate) fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// Tokens of a question in lower case and in order, without stop words and literals (quoted text, numbers).
#[must_use]
pub fn question_norm(question: &str) -> String {
    let mut plain = String::with_capacity(question.len());
    let mut quote: Option<char> = None;
    let mut before = ' ';
    for c in question.chars() {
        match quote {
            Some(end) if c == end => {
                quote = None;
                plain.push(' ');
            }
            Some(_) => {}
            // An apostrophe inside a word opens nothing.
            None if c == '"' || (c == '\'' && !before.is_alphanumeric()) => quote = Some(c),
            None => plain.push(c),
        }
        before = c;
    }
    // An open quote is no literal.
    let text = if quote.is_some() { question } else { plain.as_str() };
    let kept: Vec<String> = words(text)
        .filter(|w| !is_stop_word(w) && !w.chars().all(char::is_numeric))
        .map(|w| singular(&w))
        .collect();
    kept.join(" ")
}

/// Dice coefficient of the token sets of two normal forms, 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a question has a few hundred tokens at most")]
pub(crate) fn dice(a: &str, b: &str) -> f64 {
    let a: HashSet<&str> = a.split(' ').filter(|t| !t.is_empty()).collect();
    let b: HashSet<&str> = b.split(' ').filter(|t| !t.is_empty()).collect();
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    2.0 * a.intersection(&b).count() as f64 / (a.len() + b.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_that_differ_in_literals_are_equal() {
        let one = question_norm("How many orders did customer 'Ann Lee' place in 2023?");
        assert_eq!(one, "order customer place");
        assert_eq!(question_norm("how many ORDERS did the customer \"Bob\" place in 1999"), one);
        assert!((dice(&one, "order customer place") - 1.0).abs() < 1e-9);
        assert!((dice(&one, "order total") - 0.4).abs() < 1e-9);
        assert_eq!(question_norm("the customer's order"), "customer s order");
        assert_eq!(dice("", "x"), 0.0);
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.windows(2).all(|w| w[0] < w[1]));
    }
}
