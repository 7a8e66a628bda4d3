//! Which group a crate belongs to and which groups it may use directly; it knows nothing of third-party crates.

use std::path::Path;

use crate::metadata::{Declared, Graph, Package};

/// A top-level folder of the workspace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Group {
    Harvest,
    Mcp,
    AiCore,
    Bridge,
    Examples,
    Xtask,
}

/// Crates of `mcp/` that may look at `harvest/`: the ones whose work is databases.
const MCP_OVER_HARVEST: &[&str] = &["mcp_config", "mcp_tools"];

impl Group {
    /// The group of a manifest, by the first folder below the workspace root.
    pub(crate) fn of(graph: &Graph, package: &Package) -> Option<Self> {
        let relative = package.manifest.strip_prefix(&graph.root).ok()?;
        match relative.components().next()?.as_os_str().to_str()? {
            "harvest" => Some(Self::Harvest),
            "mcp" => Some(Self::Mcp),
            "ai_core" => Some(Self::AiCore),
            "bridge" => Some(Self::Bridge),
            "examples" => Some(Self::Examples),
            "xtask" => Some(Self::Xtask),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Harvest => "harvest/",
            Self::Mcp => "mcp/",
            Self::AiCore => "ai_core/",
            Self::Bridge => "bridge/",
            Self::Examples => "examples/",
            Self::Xtask => "xtask",
        }
    }
}

/// The reason why `from` may not use `to`, or nothing when it may.
pub(crate) fn refusal(from: (&str, Group), to: (&str, Group)) -> Option<String> {
    let (name, group) = from;
    let allowed = match group {
        Group::Harvest | Group::AiCore => to.1 == group,
        Group::Mcp => to.1 == Group::Mcp || (to.1 == Group::Harvest && MCP_OVER_HARVEST.contains(&name)),
        Group::Bridge if name == "bridge" => to.0 == "mcp",
        Group::Bridge => !matches!(to.1, Group::Examples | Group::Xtask),
        Group::Examples => to.1 != Group::Xtask,
        Group::Xtask => false,
    };
    if allowed {
        return None;
    }
    Some(match group {
        Group::Mcp if to.1 == Group::Harvest => {
            format!("in mcp/ only {} may use harvest/", MCP_OVER_HARVEST.join(" and "))
        }
        Group::Bridge if name == "bridge" => "the root `bridge` may use only `mcp`".to_owned(),
        Group::Xtask => {
            "xtask uses no crate of the workspace, so that it runs when they do not build".to_owned()
        }
        _ => format!("{} may not use {}", group.word(), to.1.word()),
    })
}

/// Checks the place of every crate and each dependency that a manifest declares.
pub(crate) fn check(graph: &Graph) -> Vec<String> {
    let mut findings = Vec::new();
    let members = graph.members();
    for package in &members {
        let Some(group) = Group::of(graph, package) else {
            findings.push(format!("`{}` is in no known group folder", package.name));
            continue;
        };
        findings.extend(misplaced(graph, package));
        for declared in &package.declared {
            let Some(to) = members.iter().find(|member| member.name == declared.package) else { continue };
            let Some(to_group) = Group::of(graph, to) else { continue };
            if let Some(reason) = refusal((&package.name, group), (&to.name, to_group)) {
                findings.push(format!(
                    "`{}` -> `{}` ({}): {reason}",
                    package.name,
                    to.name,
                    describe(declared)
                ));
            }
        }
    }
    findings
}

/// Path equals name: `mcp/server` is the crate `mcp_server`; an example is named after its own folder.
fn misplaced(graph: &Graph, package: &Package) -> Option<String> {
    let folder = package.manifest.parent()?.strip_prefix(&graph.root).ok()?;
    let folder = folder.strip_prefix("examples").unwrap_or(folder);
    let expected = joined(folder);
    (expected != package.name)
        .then(|| format!("`{}` is in a folder that calls for the name `{expected}`", package.name))
}

fn joined(folder: &Path) -> String {
    folder.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("_")
}

/// How a manifest declares a dependency, for a finding.
pub(crate) fn describe(declared: &Declared) -> String {
    let mut words = vec![declared.kind.word().to_owned()];
    if declared.optional {
        words.push("optional".to_owned());
    }
    if let Some(rename) = &declared.rename {
        words.push(format!("renamed `{rename}`"));
    }
    if let Some(target) = &declared.target {
        words.push(format!("target {target}"));
    }
    words.join(", ")
}
