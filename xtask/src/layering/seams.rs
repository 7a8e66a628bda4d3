//! Keeps the seam crates pure: traits and plain types only, so their list of dependencies is closed.

use super::groups;
use crate::metadata::{Graph, Kind};

const PLAIN: &[&str] = &["serde", "serde_json", "thiserror"];

/// Each seam with what it may name beyond [`PLAIN`].
const SEAMS: &[(&str, &[&str])] = &[("mcp", &[]), ("harvest", &[]), ("ai_core", &[]), ("bridge", &["mcp"])];

/// Reports whatever a seam names beyond its closed list. Dev-dependencies are left to the other rules:
/// they cost the seam's users nothing.
pub(crate) fn check(graph: &Graph) -> Vec<String> {
    let mut findings = Vec::new();
    for package in graph.members() {
        let Some((_, extra)) = SEAMS.iter().find(|(name, _)| *name == package.name) else { continue };
        for declared in package.declared.iter().filter(|declared| declared.kind != Kind::Dev) {
            let name = declared.package.as_str();
            if !PLAIN.contains(&name) && !extra.contains(&name) {
                let how = groups::describe(declared);
                findings.push(format!(
                    "seam `{}` names `{name}` ({how}): a seam takes only {}",
                    package.name,
                    PLAIN.iter().chain(*extra).copied().collect::<Vec<_>>().join(", "),
                ));
            }
        }
    }
    findings
}
