//! The literals of a question: what tells two questions of the same words apart; it knows no SQL.

/// Numbers and quoted texts of a question, sorted.
pub(super) fn literals(question: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = question;
    while let Some(at) = rest.find(['"', '\'']) {
        let quote = &rest[at..=at];
        let before = rest[..at].chars().next_back();
        let body = &rest[at + 1..];
        // An apostrophe inside a word opens nothing.
        if quote == "'" && before.is_some_and(char::is_alphanumeric) {
            rest = body;
            continue;
        }
        let Some(end) = body.find(quote) else { break };
        found.push(format!("'{}'", &body[..end]));
        rest = &body[end + 1..];
    }
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | ',' | '-' | '%');
    let words = question.split(|c: char| !is_part(c)).map(|word| word.trim_matches(['.', ',', '-']));
    found.extend(words.filter(|word| word.contains(|c: char| c.is_ascii_digit())).map(str::to_owned));
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_numbers_and_quoted_texts() {
        assert_eq!(literals("orders of customer 'Ann Lee' in 2023?"), ["'Ann Lee'", "2023"]);
        assert_eq!(literals("the customer's orders of 2024"), ["2024"]);
        assert_ne!(literals("orders in 2023"), literals("orders in 2024"));
        assert_eq!(literals("open 'quote"), Vec::<String>::new());
    }
}
