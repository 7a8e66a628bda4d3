//! Rules for Cargo.toml files: each crate inherits what the workspace decides; dependency rules belong to `layering`.

use super::{Report, Source};

/// What every package takes from the workspace.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "publish"];

/// Checks one manifest and hands back the package's name, if it is one of a workspace crate.
pub(super) fn check(source: &Source<'_>, report: &mut Report) -> Option<String> {
    let path = source.path;
    if path == "Cargo.toml" || path.split('/').any(|part| part == "fuzz") {
        return None;
    }
    let name = value(source.text, "package", "name");
    let Some(name) = name else {
        report.findings.push(format!("{path}: no package name"));
        return None;
    };
    if value(source.text, "package", "description").is_none_or(|description| description.len() < 20) {
        report.findings.push(format!("{path}: no description that says what the crate is for"));
    }
    for key in INHERITED {
        if value(source.text, "package", &format!("{key}.workspace")).as_deref() != Some("true") {
            report.findings.push(format!("{path}: `{key}.workspace = true` is missing"));
        }
    }
    if value(source.text, "lints", "workspace").as_deref() != Some("true") {
        report.findings.push(format!("{path}: `[lints] workspace = true` is missing"));
    }
    for (number, line) in source.text.lines().enumerate() {
        let line = line.trim_start();
        if !line.starts_with('#') && line.contains("version = \"") && line.contains('{') {
            report.findings.push(format!(
                "{path}:{}: a version here; the root's [workspace.dependencies] holds them all",
                number + 1
            ));
        }
    }
    Some(name)
}

/// The value of `key` in `[section]`, without quotes. Enough TOML for manifests that a person wrote.
fn value(text: &str, section: &str, key: &str) -> Option<String> {
    let mut inside = false;
    for line in text.lines() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            inside = header.trim_end_matches(']') == section;
            continue;
        }
        if !inside {
            continue;
        }
        if let Some((found, value)) = line.split_once('=')
            && found.trim() == key
        {
            return Some(value.trim().trim_matches('"').to_owned());
        }
    }
    None
}
