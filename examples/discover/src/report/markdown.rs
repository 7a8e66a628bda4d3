//! The report as Markdown; it draws no diagram.

use std::fmt::Write as _;

use bridge_ai::Facts;

use super::{Phase, counts, label, origin};

/// The whole report.
pub(crate) fn markdown(facts: &Facts, phase: &Phase<'_>) -> String {
    let mut out = format!(
        "# {}\n\nRun {}. {}.\n\n{}\n",
        plain(&facts.target_id),
        facts.run_id,
        counts(facts),
        plain(phase.0)
    );
    domains(&mut out, facts);
    out.push_str(
        "\n## Tables and views\n\n| Object | Kind | Rows | Columns | What it is |\n|---|---|---|---|---|\n",
    );
    for object in &facts.objects {
        let what = object.summary.as_ref().map_or(object.comment.as_str(), |s| s.hypothesis.as_str());
        let rows = object.rows_est.map_or_else(String::new, |n| n.to_string());
        let _ = writeln!(
            out,
            "| {} | {} | {rows} | {} | {} |",
            plain(label(facts, &object.object_key)),
            plain(&object.guessed_kind),
            object.columns.len(),
            plain(what)
        );
    }
    out.push_str("\n## Keys\n\n| From | To | Origin | Confidence |\n|---|---|---|---|\n");
    for key in &facts.keys {
        let _ = writeln!(
            out,
            "| {}.{} | {}.{} | {} | {:.2} |",
            plain(label(facts, &key.child)),
            plain(&key.child_columns.join(", ")),
            plain(label(facts, &key.parent)),
            plain(&key.parent_columns.join(", ")),
            origin(key.origin),
            key.confidence
        );
    }
    answers(&mut out, facts);
    out.push_str("\n## Open doubts\n\n");
    let doubts = facts.doubts();
    if doubts.is_empty() {
        out.push_str("None.\n");
    }
    for doubt in doubts {
        let _ = writeln!(out, "- {}", plain(&doubt));
    }
    out
}

fn domains(out: &mut String, facts: &Facts) {
    if facts.domains.is_empty() {
        return;
    }
    out.push_str("\n## Domains\n");
    for domain in &facts.domains {
        let _ = writeln!(out, "\n### {}\n\n{}\n", plain(&domain.title), plain(&domain.description));
        for member in &domain.members {
            let _ = writeln!(out, "- {} ({})", plain(label(facts, &member.object_key)), plain(&member.role));
        }
    }
}

fn answers(out: &mut String, facts: &Facts) {
    if !facts.metrics.is_empty() {
        out.push_str("\n## Metrics\n");
        for metric in &facts.metrics {
            let _ = writeln!(
                out,
                "\n- **{}** {} (confidence {:.2})",
                plain(&metric.title),
                plain(&metric.description),
                metric.confidence
            );
            code(out, &metric.sql);
        }
    }
    if !facts.questions.is_empty() {
        out.push_str("\n## Questions that the data answers\n");
        for question in &facts.questions {
            let text = if question.question.is_empty() { &question.title } else { &question.question };
            let _ = writeln!(out, "\n- {}", plain(text));
            code(out, &question.sql);
        }
    }
}

/// A block of code, indented, so that no text can end it.
fn code(out: &mut String, sql: &str) {
    if sql.is_empty() {
        return;
    }
    out.push('\n');
    for line in sql.lines() {
        let _ = writeln!(out, "      {line}");
    }
}

/// One line of text whose marks are not Markdown's.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '|' | '*' | '`' | '<' | '>' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_of_the_database_stays_text() {
        assert_eq!(super::plain("a|b\n<script>"), "a\\|b \\<script\\>");
        let mut out = String::new();
        super::code(&mut out, "SELECT 1\n```\n# x");
        assert!(out.lines().all(|l| l.is_empty() || l.starts_with("      ")), "{out}");
    }
}
