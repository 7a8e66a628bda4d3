//! `cargo xtask tidy`: reads every file of the repository once and hands it to the house rules; the rules live beside it.

mod manifests;
mod markdown;
mod rust;
#[cfg(test)]
mod tests;
mod words;

use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::{process, say};

/// Folders that hold no source of ours.
const SKIPPED_FOLDERS: &[&str] = &[".git", "target", "node_modules", "corpus", "artifacts", "__pycache__"];

/// Endings of the files that are read as text.
const TEXT_ENDINGS: &[&str] = &[
    "rs", "md", "toml", "sh", "py", "mjs", "js", "ts", "css", "html", "sql", "json", "jsonl", "yml", "yaml",
    "snap", "txt", "run",
];

/// Files without an ending that are text all the same.
const TEXT_NAMES: &[&str] = &["run", "LICENSE-MIT", "LICENSE-APACHE", ".gitignore"];

/// What the rules found; a warning does not fail.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) files: usize,
    pub(crate) findings: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// One file, its path relative to the root with forward slashes.
pub(crate) struct Source<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
}

impl Source<'_> {
    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

/// Checks this repository and prints every finding.
pub(crate) fn command(words: &[String]) -> Result<(), String> {
    Args::new(words).finish()?;
    let report = check(&process::root())?;
    for warning in &report.warnings {
        say::line(&format!("tidy: warning: {warning}"));
    }
    for finding in &report.findings {
        say::line(&format!("tidy: {finding}"));
    }
    if report.findings.is_empty() {
        say::line(&format!("tidy: {} files, no finding, {} warning(s)", report.files, report.warnings.len()));
        return Ok(());
    }
    Err(format!("tidy: {} finding(s)", report.findings.len()))
}

/// Runs all rules over the repository in a folder.
pub(crate) fn check(root: &Path) -> Result<Report, String> {
    let mut paths = Vec::new();
    walk(root, root, &mut paths)?;
    paths.sort();
    let mut report = Report { files: paths.len(), ..Report::default() };
    let mut crates = Vec::new();
    for path in &paths {
        let bytes = std::fs::read(root.join(path)).map_err(|error| format!("{path}: {error}"))?;
        let Ok(text) = std::str::from_utf8(&bytes) else {
            report.findings.push(format!("{path}: not UTF-8"));
            continue;
        };
        let source = Source { path, text };
        words::check(&source, &mut report);
        if path.ends_with(".rs") {
            rust::check(&source, &mut report);
        }
        if path.ends_with(".md") {
            markdown::check(root, &source, &mut report);
        }
        if source.name() == "Cargo.toml" {
            crates.extend(manifests::check(&source, &mut report));
        }
    }
    markdown::check_code_map(root, &crates, &mut report);
    Ok(report)
}

fn walk(root: &Path, folder: &Path, paths: &mut Vec<String>) -> Result<(), String> {
    let shown = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(shown)? {
        let entry = entry.map_err(shown)?;
        let path: PathBuf = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(shown)?;
        if kind.is_dir() && !SKIPPED_FOLDERS.contains(&name.as_str()) {
            walk(root, &path, paths)?;
        } else if kind.is_file() && is_text(&name) {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            paths.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

fn is_text(name: &str) -> bool {
    TEXT_NAMES.contains(&name)
        || name.rsplit_once('.').is_some_and(|(_, ending)| TEXT_ENDINGS.contains(&ending))
}
