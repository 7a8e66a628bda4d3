//! What each journey may cost and must not compile, and what each example says it must not reach.

use std::path::Path;

use super::Report;
use super::groups::Group;
use super::tree::{Scope, Tree};
use crate::metadata::{Graph, Package};

/// Crates that a user of this package compiles at most, normal and build dependencies together.
const PACKAGES_MAX: &[(&str, usize)] =
    &[("mcp", 16), ("mcp_server", 124), ("bridge", 17), ("ai_core_anomaly", 40), ("ai_core_llm", 70)];

/// One way of using the libraries, with what it must never compile.
struct Journey {
    what: &'static str,
    takes: &'static [&'static str],
    must_not_compile: &'static [&'static str],
}

const JOURNEYS: &[Journey] = &[
    Journey {
        what: "MCP endpoints with my own tools",
        takes: &["mcp", "mcp_server", "bridge"],
        must_not_compile: &[
            "harvest*",
            "ai_core*",
            "rusqlite",
            "libsqlite3-sys",
            "mysql",
            "mysql_common",
            "postgres",
            "tokio-postgres",
            "tantivy",
            "ureq",
        ],
    },
    Journey {
        what: "agents on my databases, no AI",
        takes: &[
            "harvest",
            "harvest_mysql",
            "harvest_postgres",
            "harvest_sqlite",
            "harvest_catalog",
            "harvest_gate",
            "harvest_gateway",
            "mcp_config",
            "mcp_tools",
        ],
        must_not_compile: &["ai_core*", "tantivy", "ureq"],
    },
    Journey {
        what: "only the anomaly detector",
        takes: &["ai_core_anomaly"],
        must_not_compile: &["mcp*", "harvest*", "ureq", "tantivy", "rusqlite", "tokio"],
    },
];

/// Checks budgets and journeys of the crates that exist, and the statement of each example.
pub(crate) fn check(graph: &Graph, report: &mut Report) -> Result<(), String> {
    for package in graph.members() {
        let name = package.name.as_str();
        let budget = PACKAGES_MAX.iter().find(|(named, _)| *named == name);
        let journeys: Vec<&Journey> =
            JOURNEYS.iter().filter(|journey| journey.takes.contains(&name)).collect();
        if budget.is_some() || !journeys.is_empty() {
            let tree = Tree::load(&graph.root, package, Scope::Compiled)?;
            if let Some((_, max)) = budget {
                check_budget(name, &tree, *max, report);
            }
            for journey in journeys {
                check_journey(name, &tree, journey, report);
            }
        }
        if Group::of(graph, package) == Some(Group::Examples) {
            check_example(&graph.root, package, report)?;
        }
    }
    Ok(())
}

fn check_budget(name: &str, tree: &Tree, max: usize, report: &mut Report) {
    let count = tree.len();
    report.notes.push(format!("layering: `{name}` compiles {count} crates of {max}"));
    if count > max {
        report.findings.push(format!("`{name}` compiles {count} crates, its budget is {max}"));
    }
}

fn check_journey(name: &str, tree: &Tree, journey: &Journey, report: &mut Report) {
    for pattern in journey.must_not_compile {
        if let Some(path) = tree.path_to(pattern) {
            report.findings.push(format!(
                "the journey `{}` must not compile `{pattern}`, but `{name}` does: {path}",
                journey.what
            ));
        }
    }
}

fn check_example(workspace: &Path, package: &Package, report: &mut Report) -> Result<(), String> {
    let Some(patterns) = package.settings["must_not_reach"].as_array() else {
        report.findings.push(format!(
            "example `{}` does not state [package.metadata.penstock] must_not_reach (an empty list is a statement)",
            package.name
        ));
        return Ok(());
    };
    let tree = Tree::load(workspace, package, Scope::Everything)?;
    for pattern in patterns {
        let Some(pattern) = pattern.as_str() else {
            report
                .findings
                .push(format!("example `{}`: must_not_reach holds {pattern}, not a name", package.name));
            continue;
        };
        if let Some(path) = tree.path_to(pattern) {
            report.findings.push(format!("example `{}` must not reach `{pattern}`: {path}", package.name));
        }
    }
    Ok(())
}
