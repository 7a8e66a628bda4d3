//! What two prompts of near meaning must share before one may answer for the other; it knows no vectors.

/// Numbers, quoted texts and negations of a prompt, each as a sorted list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Guard {
    numbers: Vec<String>,
    quoted: Vec<String>,
    negations: Vec<String>,
}

const NEGATIONS: &[&str] = &[
    "not",
    "no",
    "never",
    "none",
    "nothing",
    "nobody",
    "neither",
    "nor",
    "without",
    "cannot",
    "except",
    "excluding",
    "exclude",
    "excludes",
    "unless",
    "nicht",
    "kein",
    "keine",
    "keinen",
    "nie",
    "ohne",
    "ne",
    "pas",
    "sans",
    "jamais",
    "sin",
    "nunca",
    "non",
];

impl Guard {
    pub(crate) fn of(prompt: &str) -> Self {
        let mut guard = Self { numbers: numbers(prompt), quoted: quoted(prompt), negations: Vec::new() };
        let words = prompt.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '’'));
        for word in words.map(|w| w.trim_matches(['\'', '’']).to_lowercase().replace('’', "'")) {
            // don't, isn't, won't …: which verb is negated is left to the vectors.
            if word.ends_with("n't") {
                guard.negations.push("not".to_owned());
            } else if NEGATIONS.contains(&word.as_str()) {
                guard.negations.push(word);
            }
        }
        guard.numbers.sort_unstable();
        guard.quoted.sort_unstable();
        guard.negations.sort_unstable();
        guard
    }
}

/// Digit runs with inner dots, commas and colons, and a directly preceding minus.
fn numbers(text: &str) -> Vec<String> {
    let (mut found, mut current, mut before) = (Vec::new(), String::new(), ' ');
    for c in text.chars().chain([' ']) {
        if c.is_numeric() {
            if current.is_empty() && before == '-' {
                current.push('-');
            }
            current.push(c);
        } else if !current.is_empty() && matches!(c, '.' | ',' | ':') {
            current.push(c);
        } else if !current.is_empty() {
            found.push(current.trim_end_matches(['.', ',', ':']).to_owned());
            current.clear();
        }
        before = c;
    }
    found
}

/// Texts in quotes; an apostrophe inside a word opens none.
fn quoted(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(char, String)> = None;
    let mut before = ' ';
    for c in text.chars() {
        match &mut open {
            Some((close, _)) if c == *close => {
                found.extend(open.take().map(|(_, inner)| inner));
            }
            Some((_, inner)) => inner.push(c),
            None => {
                let close = match c {
                    '"' | '`' => Some(c),
                    '\'' if !before.is_alphanumeric() => Some(c),
                    '“' | '„' => Some('”'),
                    '‘' => Some('’'),
                    '«' => Some('»'),
                    _ => None,
                };
                open = close.map(|close| (close, String::new()));
            }
        }
        before = c;
    }
    // An opened quote that never closes is taken to the end: rather two texts too different than too equal.
    found.extend(open.map(|(_, inner)| inner));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        Guard::of(a) == Guard::of(b)
    }

    #[test]
    fn numbers_quotes_and_negations_must_agree() {
        assert!(same("orders in 2023", "all orders of 2023"));
        assert!(!same("orders in 2023", "orders in 2024"));
        assert!(!same("top 10 of 10", "top 10"));
        assert!(!same("price above 1.5", "price above 15"));
        assert!(!same("below -5", "below 5"));
        assert!(!same("customers with orders", "customers without orders"));
        assert!(!same("they are active", "they aren't active"));
        assert!(same("which aren't active", "which don't act"));
        assert!(!same("name is 'Bob'", "name is 'Eve'"));
        assert!(!same("name is \"Bob", "name is \"Eve"));
        assert!(same("what's new", "what is new"));
        assert!(!same("ends at 10:30", "ends at 10:45"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,80}") {
            proptest::prop_assert!(same(&text, &text));
        }
    }
}
