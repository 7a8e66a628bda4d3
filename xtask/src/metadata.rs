//! Reads `cargo metadata` into a small graph of packages and edges; it knows no rule about them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process;

/// Why one package names another.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

impl Kind {
    fn from_json(value: &Value) -> Self {
        match value.as_str() {
            Some("dev") => Self::Dev,
            Some("build") => Self::Build,
            _ => Self::Normal,
        }
    }

    /// The word used in findings.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Build => "build",
            Self::Dev => "dev",
        }
    }
}

/// One edge of the resolved graph.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) to: String,
    pub(crate) kind: Kind,
    pub(crate) target: Option<String>,
}

/// One dependency as a manifest declares it, resolved or not.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) package: String,
    pub(crate) rename: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) optional: bool,
    pub(crate) target: Option<String>,
}

/// One package of the graph.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) manifest: PathBuf,
    pub(crate) is_member: bool,
    pub(crate) declared: Vec<Declared>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) settings: Value,
}

/// The whole graph, by package id.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) root: PathBuf,
    pub(crate) packages: BTreeMap<String, Package>,
}

impl Graph {
    /// Runs `cargo metadata --all-features --locked` in a workspace: every feature on and no platform
    /// filtered, so that an edge cannot hide behind a feature or a target that is off here.
    pub(crate) fn load(workspace: &Path) -> Result<Self, String> {
        let mut command = process::cargo();
        command.current_dir(workspace);
        command.args(["metadata", "--all-features", "--locked", "--format-version", "1"]);
        let text = process::capture(&mut command)?;
        let json: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
        Self::from_json(&json)
    }

    fn from_json(json: &Value) -> Result<Self, String> {
        let root = PathBuf::from(text(&json["workspace_root"])?);
        let members: BTreeSet<String> =
            list(&json["workspace_members"]).iter().filter_map(|id| id.as_str().map(str::to_owned)).collect();
        let mut packages = BTreeMap::new();
        for package in list(&json["packages"]) {
            let id = text(&package["id"])?;
            let is_member = members.contains(&id);
            packages.insert(id.clone(), read_package(package, id, is_member)?);
        }
        for node in list(&json["resolve"]["nodes"]) {
            let id = text(&node["id"])?;
            let edges = read_edges(node)?;
            if let Some(package) = packages.get_mut(&id) {
                package.edges = edges;
            }
        }
        Ok(Self { root, packages })
    }

    /// The workspace's own packages, by name.
    pub(crate) fn members(&self) -> Vec<&Package> {
        let mut members: Vec<&Package> = self.packages.values().filter(|package| package.is_member).collect();
        members.sort_by(|left, right| left.name.cmp(&right.name));
        members
    }

    /// The name behind an id; the id itself if the graph has no such package.
    pub(crate) fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.packages.get(id).map_or(id, |package| package.name.as_str())
    }
}

fn read_package(package: &Value, id: String, is_member: bool) -> Result<Package, String> {
    let declared = list(&package["dependencies"])
        .iter()
        .map(|dependency| {
            Ok(Declared {
                package: text(&dependency["name"])?,
                rename: dependency["rename"].as_str().map(str::to_owned),
                kind: Kind::from_json(&dependency["kind"]),
                optional: dependency["optional"].as_bool().unwrap_or(false),
                target: dependency["target"].as_str().map(str::to_owned),
            })
        })
        .collect::<Result<_, String>>()?;
    Ok(Package {
        id,
        name: text(&package["name"])?,
        manifest: PathBuf::from(text(&package["manifest_path"])?),
        is_member,
        declared,
        edges: Vec::new(),
        settings: package["metadata"]["penstock"].clone(),
    })
}

fn read_edges(node: &Value) -> Result<Vec<Edge>, String> {
    let mut edges = Vec::new();
    for dependency in list(&node["deps"]) {
        let to = text(&dependency["pkg"])?;
        for kind in list(&dependency["dep_kinds"]) {
            edges.push(Edge {
                to: to.clone(),
                kind: Kind::from_json(&kind["kind"]),
                target: kind["target"].as_str().map(str::to_owned),
            });
        }
    }
    Ok(edges)
}

fn text(value: &Value) -> Result<String, String> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("cargo metadata: expected a string, found {value}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
