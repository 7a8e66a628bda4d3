//! Cases and properties of the analyser.

use proptest::prelude::*;

use super::*;

fn terms(text: &str) -> Vec<String> {
    Analyser::new("").terms(text)
}

#[test]
fn stop_words_are_sorted() {
    assert!(STOP_WORDS.windows(2).all(|w| w[0] < w[1]));
}

#[test]
fn identifiers_are_whole_and_in_parts() {
    let cases = [
        ("json_extract(x)", vec!["json_extract", "json", "extract", "x"]),
        ("user@host", vec!["user@host", "user", "host"]),
        ("MySQL 5.7.", vec!["mysql", "my", "sql", "5.7", "5", "7"]),
        ("foo-bar", vec!["foo-bar", "foo", "bar"]),
        ("C++, c# and C", vec!["c++", "c", "c#", "c", "and", "c"]),
        ("a:b", vec!["a:b", "a", "b"]),
        ("maxConnections", vec!["maxconnections", "max", "connections"]),
        ("naïve Ärger", vec!["naive", "arger"]),
        ("数据库", vec!["数据", "据库"]),
        ("a+b - 'x' \"", vec!["a", "b", "x"]),
    ];
    for (text, wanted) in cases {
        assert_eq!(terms(text), wanted, "{text}");
    }
}

#[test]
fn stemming_and_stop_words_apply_to_queries() {
    let en = Analyser::new("en-GB");
    assert_eq!(en.query_terms("What are the running engines' speeds, running?"), ["run", "engin", "speed"]);
    assert_eq!(en.query_terms("the"), ["the"]);
    assert!(en.query_terms("\"(*").is_empty());
}

#[test]
fn words_are_bounded() {
    assert_eq!(terms(&"é".repeat(400))[0].len(), 255);
    assert_eq!(
        Analyser::new("").query_terms(&(0..999).map(|i| format!("w{i} ")).collect::<String>()).len(),
        256
    );
}

proptest! {
    #[test]
    fn no_text_panics_and_terms_hold_no_space_or_quote(text in "\\PC{0,60}") {
        for term in Analyser::new("en").terms(&text) {
            prop_assert!(!term.is_empty() && term.len() <= TERM_BYTES_MAX);
            prop_assert!(!term.contains(|c: char| c.is_whitespace() || c == '"' || c == '\0'));
        }
    }
}
