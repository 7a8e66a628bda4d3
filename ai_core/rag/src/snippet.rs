//! Cutting the window of a text that shows most matches; it knows words, not where the text came from.

use std::collections::HashSet;

use crate::analyse::Analyser;

/// A window of at most `chars_max` characters around the most matches, with each matched word between `pre` and `post`.
/// The marks do not count towards the length.
pub(crate) fn snippet(
    text: &str,
    analyser: &Analyser,
    wanted: &HashSet<String>,
    chars_max: usize,
    pre: &str,
    post: &str,
) -> String {
    let matches = analyser.matches(text, wanted);
    let (from, to) = window(text, &matches, chars_max);
    let mut out = String::new();
    if from > 0 {
        out.push('…');
    }
    let mut at = from;
    for (start, end) in matches.iter().filter(|(s, e)| *s >= from && *e <= to) {
        out.push_str(&text[at..*start]);
        out.push_str(pre);
        out.push_str(&text[*start..*end]);
        out.push_str(post);
        at = *end;
    }
    out.push_str(&text[at..to]);
    if to < text.len() {
        out.push('…');
    }
    out
}

fn window(text: &str, matches: &[(usize, usize)], chars_max: usize) -> (usize, usize) {
    // Byte place of every character, so that a window is cut in characters.
    let mut places: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
    places.push(text.len());
    let length = places.len() - 1;
    if length <= chars_max {
        return (0, text.len());
    }
    let char_at = |byte: usize| places.partition_point(|p| *p < byte);
    let mut best = (0, 0);
    let mut last = 0;
    for (i, (start, _)) in matches.iter().enumerate() {
        let first_char = char_at(*start);
        last = last.max(i);
        while last < matches.len() && char_at(matches[last].1) <= first_char + chars_max {
            last += 1;
        }
        if last - i > best.0 {
            best = (last - i, i);
        }
    }
    let start = match matches.get(best.1).filter(|_| best.0 > 0) {
        Some((start, _)) => {
            let covered = char_at(matches[best.1 + best.0 - 1].1) - char_at(*start);
            char_at(*start).saturating_sub((chars_max - covered.min(chars_max)) / 3)
        }
        None => 0,
    };
    let start = start.min(length - chars_max);
    (places[start], places[start + chars_max])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, words: &[&str], n: usize) -> String {
        let wanted = words.iter().map(|w| (*w).to_owned()).collect();
        snippet(text, &Analyser::new(""), &wanted, n, "[", "]")
    }

    #[test]
    fn shows_the_window_with_most_matches() {
        let text = format!("lag once {} lag and replica lag here {}", "x ".repeat(60), "y ".repeat(60));
        let got = cut(&text, &["lag", "replica"], 40);
        assert!(got.contains("[lag] and [replica] [lag]"), "{got}");
        assert!(got.starts_with('…') && got.ends_with('…'));
    }

    #[test]
    fn cuts_on_characters() {
        let text = "é数👩‍👩‍👧".repeat(50);
        for n in 1..20 {
            assert!(cut(&text, &["x"], n).chars().count() <= n + 2);
        }
        assert_eq!(cut("short", &["short"], 200), "[short]");
        assert_eq!(cut("", &[], 10), "");
    }
}
