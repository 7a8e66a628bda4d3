//! What a crate reaches over any number of edges, with the shortest path as proof; it leaves single edges to `groups`.

use std::collections::{BTreeMap, VecDeque};

use super::groups::{self, Group};
use crate::metadata::{Edge, Graph, Package};

/// Reports every workspace crate that another may not reach but does, over edges of all kinds.
pub(crate) fn check(graph: &Graph) -> Vec<String> {
    let mut findings = Vec::new();
    for package in graph.members() {
        let Some(group) = Group::of(graph, package) else { continue };
        let parents = reach(graph, package);
        for to in graph.members() {
            let Some(to_group) = Group::of(graph, to) else { continue };
            if to.id == package.id || !parents.contains_key(&to.id) {
                continue;
            }
            let Some(reason) = groups::refusal((&package.name, group), (&to.name, to_group)) else {
                continue;
            };
            let path = path(graph, package, &to.id, &parents);
            findings.push(format!("`{}` reaches `{}`: {path}: {reason}", package.name, to.name));
        }
    }
    findings
}

type Parents<'a> = BTreeMap<String, (String, &'a Edge)>;

/// Breadth first, so that the path found is a shortest one.
fn reach<'a>(graph: &'a Graph, from: &'a Package) -> Parents<'a> {
    let mut parents = BTreeMap::new();
    let mut queue = VecDeque::from([&from.id]);
    while let Some(id) = queue.pop_front() {
        let Some(package) = graph.packages.get(id) else { continue };
        for edge in &package.edges {
            if edge.to != from.id && !parents.contains_key(&edge.to) {
                parents.insert(edge.to.clone(), (id.clone(), edge));
                queue.push_back(&edge.to);
            }
        }
    }
    parents
}

fn path(graph: &Graph, from: &Package, to: &str, parents: &Parents<'_>) -> String {
    let mut steps = Vec::new();
    let mut at = to;
    while let Some((parent, edge)) = parents.get(at) {
        let target = edge.target.as_ref().map(|target| format!(", {target}")).unwrap_or_default();
        steps.push(format!(" -({}{target})-> {}", edge.kind.word(), graph.name(at)));
        at = parent;
    }
    steps.reverse();
    format!("{}{}", from.name, steps.concat())
}
