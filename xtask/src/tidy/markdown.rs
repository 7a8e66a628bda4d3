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
        for path in named_paths(line) {
            if !root.join(path).exists() {
                report.findings.push(format!("{}:{}: `{path}` does not exist", source.path, number + 1));
            }
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

/// Folders whose files documents name in code spans, counted from the root.
const OUR_FOLDERS: &[&str] = &["mcp/", "harvest/", "ai_core/", "bridge/", "examples/", "xtask/"];

/// Code spans that are paths of ours; one with a placeholder such as `<dialect>` names no file.
fn named_paths(line: &str) -> Vec<&str> {
    let spans = line.split('`').skip(1).step_by(2);
    spans
        .filter(|span| OUR_FOLDERS.iter().any(|folder| span.starts_with(folder)))
        .filter(|span| !span.contains(['<', '*', ' ', '{', '…']))
        .collect()
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
    use super::{links, named_paths};

    #[test]
    fn finds_paths_of_ours_in_code() {
        assert_eq!(
            named_paths("edit `mcp/src/a.rs` and `harvest/<dialect>/src`, run `cargo x`, see `mcp`"),
            ["mcp/src/a.rs"]
        );
    }

    #[test]
    fn finds_links_beside_and_around_code() {
        assert_eq!(links("see [a](b.md#c) and [d](https://e.f), not `[g](h)`"), ["b.md#c", "https://e.f"]);
        assert_eq!(links("| [`mcp`](mcp/src) | text |"), ["mcp/src"]);
        assert!(links("no link (here) [nor] here").is_empty());
    }
}
