//! `cargo xtask layering`: runs every dependency rule over the resolved graph; each rule lives in a file of its own.

mod budget;
mod closure;
mod groups;
mod owners;
mod seams;
#[cfg(test)]
mod tests;
mod tree;

use std::path::Path;

use crate::args::Args;
use crate::metadata::Graph;
use crate::{process, say};

/// Checks this workspace and prints every finding.
pub(crate) fn command(words: &[String]) -> Result<(), String> {
    Args::new(words).finish()?;
    let report = check(&process::root())?;
    for note in &report.notes {
        say::line(note);
    }
    if report.findings.is_empty() {
        say::line(&format!("layering: {} crates, no finding", report.crates));
        return Ok(());
    }
    for finding in &report.findings {
        say::line(&format!("layering: {finding}"));
    }
    Err(format!(
        "layering: {} finding(s); the rules and their reasons are in ARCHITECTURE.md",
        report.findings.len()
    ))
}

/// What a check of one workspace brought.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) crates: usize,
    pub(crate) findings: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// Runs all rules over the workspace in a folder.
pub(crate) fn check(workspace: &Path) -> Result<Report, String> {
    let graph = Graph::load(workspace)?;
    let mut report = Report { crates: graph.members().len(), ..Report::default() };
    report.findings.extend(groups::check(&graph));
    report.findings.extend(closure::check(&graph));
    report.findings.extend(seams::check(&graph));
    report.findings.extend(owners::check(&graph));
    budget::check(&graph, &mut report)?;
    report.findings.sort();
    report.findings.dedup();
    Ok(report)
}
