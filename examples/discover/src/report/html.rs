//! The report as one HTML file without scripts or outside parts; every text is escaped.

use std::fmt::Write as _;

use bridge_ai::Facts;

use super::{Phase, counts, diagram, domain_of, label, origin};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
h1,h2,h3{line-height:1.2}table{border-collapse:collapse;width:100%;font-size:14px}td,th{border-bottom:1px solid #ddd;padding:.3rem .5rem;\
text-align:left;vertical-align:top}pre{background:#f5f5f5;padding:.5rem;overflow:auto;font-size:13px}.wide{overflow:auto;border:1px solid #ddd}\
.low{color:#777}@media(prefers-color-scheme:dark){body{background:#1b1b1b;color:#ddd}td,th{border-color:#444}pre{background:#262626}\
.wide{background:#fff}}";

/// The whole report.
pub(crate) fn html(facts: &Facts, phase: &Phase<'_>) -> String {
    let title = escape(&facts.target_id);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<p>Run {}. {}.</p>\n<p>{}</p>\n",
        facts.run_id,
        escape(&counts(facts)),
        escape(phase.0)
    );
    domains(&mut out, facts);
    let _ = writeln!(
        out,
        "<h2>Diagram</h2>\n<p class=\"low\">Solid: declared keys. Dashed: inferred. Dotted: found by the model. A dot marks the table that is referred to; green boxes are views.</p>\n<div class=\"wide\">{}</div>",
        diagram::svg(facts)
    );
    objects(&mut out, facts);
    keys(&mut out, facts);
    answers(&mut out, facts);
    out.push_str("<h2>Open doubts</h2>\n<ul>");
    let doubts = facts.doubts();
    if doubts.is_empty() {
        out.push_str("<li>None.</li>");
    }
    for doubt in doubts {
        let _ = write!(out, "<li>{}</li>", escape(&doubt));
    }
    out.push_str("</ul>\n</body></html>\n");
    out
}

fn domains(out: &mut String, facts: &Facts) {
    if facts.domains.is_empty() {
        return;
    }
    out.push_str("<h2>Domains</h2>\n<table><tr><th>Domain</th><th>What it is about</th><th>Tables and views</th></tr>\n");
    for domain in &facts.domains {
        let members: Vec<String> = domain
            .members
            .iter()
            .map(|m| {
                format!(
                    "{} <span class=\"low\">{}</span>",
                    escape(label(facts, &m.object_key)),
                    escape(&m.role)
                )
            })
            .collect();
        let _ = writeln!(
            out,
            "<tr><td><b>{}</b></td><td>{}</td><td>{}</td></tr>",
            escape(&domain.title),
            escape(&domain.description),
            members.join(", ")
        );
    }
    out.push_str("</table>\n");
}

fn objects(out: &mut String, facts: &Facts) {
    out.push_str("<h2>Tables and views</h2>\n<table><tr><th>Object</th><th>Kind</th><th>Rows</th><th>Columns</th><th>What it is</th></tr>\n");
    for object in &facts.objects {
        let what = object.summary.as_ref().map_or(object.comment.as_str(), |s| s.hypothesis.as_str());
        let columns: Vec<String> = object
            .columns
            .iter()
            .map(|(name, _, is_pk)| if *is_pk { format!("<b>{}</b>", escape(name)) } else { escape(name) })
            .collect();
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}<br><span class=\"low\">{}</span></td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(label(facts, &object.object_key)),
            escape(&object.guessed_kind),
            escape(domain_of(facts, &object.object_key).unwrap_or_default()),
            object.rows_est.map_or_else(String::new, |n| n.to_string()),
            columns.join(", "),
            escape(what)
        );
    }
    out.push_str("</table>\n");
}

fn keys(out: &mut String, facts: &Facts) {
    out.push_str(
        "<h2>Keys</h2>\n<table><tr><th>From</th><th>To</th><th>Origin</th><th>Confidence</th></tr>\n",
    );
    for key in &facts.keys {
        let _ = writeln!(
            out,
            "<tr><td>{}.{}</td><td>{}.{}</td><td>{}</td><td>{:.2}</td></tr>",
            escape(label(facts, &key.child)),
            escape(&key.child_columns.join(", ")),
            escape(label(facts, &key.parent)),
            escape(&key.parent_columns.join(", ")),
            origin(key.origin),
            key.confidence
        );
    }
    out.push_str("</table>\n");
}

fn answers(out: &mut String, facts: &Facts) {
    if !facts.metrics.is_empty() {
        out.push_str("<h2>Metrics</h2>\n");
        for metric in &facts.metrics {
            let _ = writeln!(
                out,
                "<h3>{}</h3><p>{} <span class=\"low\">confidence {:.2}</span></p>{}",
                escape(&metric.title),
                escape(&metric.description),
                metric.confidence,
                code(&metric.sql)
            );
        }
    }
    if !facts.questions.is_empty() {
        out.push_str("<h2>Questions that the data answers</h2>\n");
        for question in &facts.questions {
            let text = if question.question.is_empty() { &question.title } else { &question.question };
            let _ = writeln!(out, "<p>{}</p>{}", escape(text), code(&question.sql));
        }
    }
}

fn code(sql: &str) -> String {
    if sql.is_empty() { String::new() } else { format!("<pre>{}</pre>", escape(sql)) }
}

/// Text as HTML text, also inside attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn markup_of_the_database_stays_text() {
        assert_eq!(
            super::escape("<img src=x onerror='a()'>&\""),
            "&lt;img src=x onerror=&#39;a()&#39;&gt;&amp;&quot;"
        );
    }
}
