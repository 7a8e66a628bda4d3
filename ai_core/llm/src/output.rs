//! What is made of a model's text: fences for SQL and JSON; it never runs or checks what it finds.

use ai_core::LlmOutput;

/// The part of `text` that `output` asks for. A non-empty text never becomes empty.
pub(crate) fn shape_output(text: &str, output: LlmOutput) -> String {
    let wanted: &[&str] = match output {
        LlmOutput::Text => return text.to_owned(),
        LlmOutput::Sql => &["sql", "mysql", "postgresql", "postgres", "pgsql", "sqlite", "mariadb"],
        LlmOutput::Json => &["json", "jsonc"],
    };
    let found = fences(text);
    let of_kind = found.iter().find(|(label, _)| wanted.contains(&label.to_ascii_lowercase().as_str()));
    let inner = of_kind.or_else(|| found.first()).map_or("", |(_, inner)| inner.trim());
    let whole = text.trim();
    match (inner.is_empty(), whole.is_empty()) {
        (false, _) => inner.to_owned(),
        (true, false) => whole.to_owned(),
        (true, true) => text.to_owned(),
    }
}

/// Label and content of every fenced block with content; an unclosed last block counts to the end.
fn fences(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut open: Option<(&str, usize, &str)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        let next = at + line.len();
        match open {
            Some((mark, start, label)) if trimmed == mark => {
                found.push((label, &text[start..at]));
                open = None;
            }
            Some(_) => {}
            None => {
                let ticks = trimmed.len() - trimmed.trim_start_matches('`').len();
                if ticks >= 3 {
                    // A fence that opens and closes on one line: ```sql SELECT 1```.
                    let body = &trimmed[ticks..];
                    if let Some(inner) = body.strip_suffix(&trimmed[..ticks]) {
                        let (label, inner) = inner.split_once(' ').unwrap_or(("", inner));
                        found.push((label, inner));
                    } else {
                        let label = body.split_whitespace().next().unwrap_or("");
                        open = Some((&trimmed[..ticks], next, label));
                    }
                }
            }
        }
        at = next;
    }
    if let Some((_, start, label)) = open {
        found.push((label, &text[start..]));
    }
    found.retain(|(_, inner)| !inner.trim().is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_answers() {
        let sql = |t: &str| shape_output(t, LlmOutput::Sql);
        assert_eq!(sql("```sql\nSELECT 1\n```"), "SELECT 1");
        assert_eq!(sql("Here:\n```\nSELECT 2;\n```\nbye"), "SELECT 2;");
        assert_eq!(sql("```json\n{}\n```\n```SQL\nSELECT 3\n```"), "SELECT 3");
        assert_eq!(sql("SELECT 4"), "SELECT 4");
        assert_eq!(sql("```sql\nSELECT 5"), "SELECT 5");
        assert_eq!(sql("```sql SELECT 6```"), "SELECT 6");
        assert_eq!(sql("```sql\n```"), "```sql\n```");
        assert_eq!(sql("  \n"), "  \n");
        assert_eq!(shape_output("a ```json\n{\"a\":1}\n```", LlmOutput::Json), "a ```json\n{\"a\":1}\n```");
        assert_eq!(shape_output("x\n```json\n{\"a\":1}\n```", LlmOutput::Json), "{\"a\":1}");
        let verbatim = "```sql\nSELECT 1\n```\n";
        assert_eq!(shape_output(verbatim, LlmOutput::Text), verbatim);
    }

    proptest::proptest! {
        #[test]
        fn never_empties_a_text(text in "[`a-z \n]{0,80}") {
            for output in [LlmOutput::Text, LlmOutput::Sql, LlmOutput::Json] {
                proptest::prop_assert!(text.is_empty() || !shape_output(&text, output).is_empty());
            }
        }
    }
}
