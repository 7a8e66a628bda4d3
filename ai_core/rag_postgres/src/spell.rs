//! The store's statements as PostgreSQL spells them: `?1` is `$1`, `{list:1}` is `= ANY ($1)`; it knows no statement.

/// One statement in PostgreSQL's spelling. Question marks and braces inside quotes stay.
pub(crate) fn spelled(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = rest.next() {
        match c {
            '\'' => {
                quoted = !quoted;
                out.push(c);
            }
            '?' if !quoted && rest.peek().is_some_and(char::is_ascii_digit) => out.push('$'),
            '{' if !quoted => {
                let inner: String = rest.by_ref().take_while(|c| *c != '}').collect();
                match inner.strip_prefix("list:") {
                    Some(number) => out.push_str(&format!("= ANY (${number})")),
                    None => out.push_str(&format!("{{{inner}}}")),
                }
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::spelled;

    #[test]
    fn parameters_and_lists_are_spelled_and_texts_stay() {
        assert_eq!(
            spelled("SELECT '{}', '?1' FROM t WHERE a {list:12} AND b = ?3"),
            "SELECT '{}', '?1' FROM t WHERE a = ANY ($12) AND b = $3"
        );
        assert_eq!(spelled("SELECT 1"), "SELECT 1");
    }
}
