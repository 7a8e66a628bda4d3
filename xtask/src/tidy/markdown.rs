//! Rules for documents: every relative link resolves, and the code map names every crate.

use std::path::Path;

use super::{Report, Source};

/// Checks the links of one document.
pub(super) fn check(root: &Path, source: &Source<'_>, report: &mut Report) {
    let folder = root.join(source.path);
    let folder = folder.parent().unwrap_or(root);
    let mut fenced = false;
    for (number, line) in source.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for link in links(line) {
            let path = link.split('#').next().unwrap_or_default();
            let is_elsewhere = link.contains("://") || link.starts_with("mailto:") || path.is_empty();
            if !is_elsewhere && !folder.join(path).exists() {
                report.findings.push(format!("{}:{}: `{link}` does not exist", source.path, number + 1));
            }
        }
    }
}

/// The targets of `[text](target)`, code spans left out.
fn links(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (index, part) in line.split('`').enumerate() {
        if index % 2 == 1 {
            continue;
        }
        let mut rest = part;
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let Some(end) = rest.find(')') else { break };
            found.push(rest[..end].trim());
            rest = &rest[end..];
        }
    }
    // A link whose text is a code span is cut in two by the split above.
    if found.is_empty() && line.contains("`](") {
        for part in line.split("`](").skip(1) {
            found.extend(part.split(')').next());
        }
    }
    found
}

/// ARCHITECTURE.md names each crate, so that a newcomer finds its place and its rules.
pub(super) fn check_code_map(root: &Path, crates: &[String], report: &mut Report) {
    let Ok(text) = std::fs::read_to_string(root.join("ARCHITECTURE.md")) else {
        report.findings.push("ARCHITECTURE.md: missing".to_owned());
        return;
    };
    for name in crates {
        if !text.contains(&format!("`{name}`")) {
            report.findings.push(format!("ARCHITECTURE.md: the code map does not name `{name}`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::links;

    #[test]
    fn finds_links_beside_and_around_code() {
        assert_eq!(links("see [a](b.md#c) and [d](https://e.f), not `[g](h)`"), ["b.md#c", "https://e.f"]);
        assert_eq!(links("| [`mcp`](mcp/src) | text |"), ["mcp/src"]);
        assert!(links("no link (here) [nor] here").is_empty());
    }
}
