//! Joins and references from live metadata, for targets without a run.

use harvest::{Dialect, HarvestResult, MetadataSnapshot, ObjectMeta};

use crate::derive::derive;
use crate::fail;
use crate::keys::object_key;
use crate::relate::{TableModel, from_meta, infer, takes_part};
use crate::source::ValueProbe;

use super::references::{self, KeyTables};
use super::{JoinRequest, JoinSuggestions, Link, ReferenceCandidates, ReferenceRequest, candidate, finish};

/// Value checks in one call.
pub(super) const CHECKS_MAX: usize = 50;

fn find<'a>(snapshot: &'a MetadataSnapshot, schema: &str, table: &str) -> HarvestResult<&'a ObjectMeta> {
    snapshot
        .objects
        .iter()
        .find(|o| o.schema == schema && o.name == table && super::references::is_relation(o))
        .ok_or_else(|| fail::not_found("table", object_key(schema, table)))
}

/// Ways to join, from metadata that holds both tables (and every other table that may be meant).
///
/// # Errors
/// `NOT_FOUND` for an unknown table, `CANCELLED` from the probe.
pub fn suggest_joins_live(
    snapshot: &MetadataSnapshot,
    dialect: &dyn Dialect,
    request: &JoinRequest,
    probe: Option<&mut dyn ValueProbe>,
) -> HarvestResult<JoinSuggestions> {
    find(snapshot, &request.schema, &request.table_a)?;
    if let Some((schema, table)) = &request.table_b {
        find(snapshot, schema, table)?;
    }
    let a = (request.schema.clone(), request.table_a.clone());
    let touches = |link: &Link| {
        let other = if link.child == a {
            &link.parent
        } else if link.parent == a {
            &link.child
        } else {
            return false;
        };
        request.table_b.as_ref().is_none_or(|b| b == other)
    };
    let mut links: Vec<Link> = snapshot
        .objects
        .iter()
        .flat_map(|o| o.foreign_keys.iter().map(move |key| Link::declared((&o.schema, &o.name), key)))
        .collect();
    let tables: Vec<TableModel> = snapshot
        .objects
        .iter()
        .filter(|o| takes_part(o))
        .map(|o| from_meta(o, &derive(o, dialect)))
        .collect();
    for found in infer(&tables, None, 0, &|_| None, &mut |_| Ok(()))? {
        let (child, parent) = (&tables[found.child.0], &tables[found.parent.0]);
        links.push(Link {
            child: (child.schema.clone(), child.name.clone()),
            parent: (parent.schema.clone(), parent.name.clone()),
            columns: vec![(
                child.columns[found.child.1].name.clone(),
                parent.columns[found.parent.1].name.clone(),
            )],
            kind: "inferred",
            confidence: found.confidence,
            evidence: found.evidence,
        });
    }
    links.retain(touches);
    if let Some(probe) = probe {
        for link in links.iter_mut().take(CHECKS_MAX) {
            link.verify(probe)?;
        }
    }
    let meta = |table: &(String, String)| find(snapshot, &table.0, &table.1).ok();
    let candidates = links
        .iter()
        .map(|link| {
            let left_is_child = link.child == a;
            let (left, right) =
                if left_is_child { (&link.child, &link.parent) } else { (&link.parent, &link.child) };
            candidate(link, left_is_child, (meta(left), meta(right)), dialect)
        })
        .collect();
    Ok(finish(candidates, request.candidates_max, "live"))
}

/// Keys that a column may refer to, from metadata that holds every table that may be meant.
///
/// # Errors
/// `NOT_FOUND` for an unknown table or column, `CANCELLED` from the probe.
pub fn find_references_live(
    snapshot: &MetadataSnapshot,
    dialect: &dyn Dialect,
    request: &ReferenceRequest,
    probe: Option<&mut dyn ValueProbe>,
) -> HarvestResult<ReferenceCandidates> {
    let child = find(snapshot, &request.column.schema, &request.column.table)?;
    let tables: Vec<TableModel> = snapshot
        .objects
        .iter()
        .filter(|o| takes_part(o))
        .map(|o| from_meta(o, &derive(o, dialect)))
        .collect();
    let tables = KeyTables::new(tables, from_meta(child, &derive(child, dialect)));
    references::find(&tables, &child.foreign_keys, request, probe, "live")
}
