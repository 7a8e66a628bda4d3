//! The keys that one column may refer to: names first, then values; it knows neither store nor driver.

use harvest::{ForeignKeyMeta, HarvestResult, ObjectMeta, ObjectType};
use serde_json::json;

use crate::fail;
use crate::keys::object_key;
use crate::relate::{Candidate, KeyIndex, NameMatch, Place, TableModel, checked, overlap_query, score};
use crate::source::ValueProbe;

use super::{ReferenceCandidate, ReferenceCandidates, ReferenceRequest};

pub(super) fn is_relation(object: &ObjectMeta) -> bool {
    matches!(object.object_type, ObjectType::Table | ObjectType::View | ObjectType::MaterializedView)
}

/// Tables with their keys, the child's table among them.
pub(super) struct KeyTables {
    tables: Vec<TableModel>,
    child: usize,
}

impl KeyTables {
    pub(super) fn new(mut tables: Vec<TableModel>, child: TableModel) -> Self {
        let at = tables.iter().position(|t| t.schema == child.schema && t.name == child.name);
        match at {
            Some(at) => {
                tables[at] = child;
                Self { tables, child: at }
            }
            None => {
                tables.push(child);
                Self { child: tables.len() - 1, tables }
            }
        }
    }
}

pub(super) fn find(
    tables: &KeyTables,
    declared: &[ForeignKeyMeta],
    request: &ReferenceRequest,
    mut probe: Option<&mut dyn ValueProbe>,
    source: &str,
) -> HarvestResult<ReferenceCandidates> {
    let all = &tables.tables;
    let column = all[tables.child].column(&request.column.column).ok_or_else(|| {
        let key = object_key(&request.column.schema, &request.column.table);
        fail::not_found("column", format!("{key}.{}", request.column.column))
    })?;
    let child: Place = (tables.child, column);
    let mut candidates: Vec<ReferenceCandidate> = declared
        .iter()
        .filter_map(|key| match key.columns.as_slice() {
            [(c, parent)] if *c == request.column.column => Some(ReferenceCandidate {
                parent_schema: key.parent_schema.clone(),
                parent_table: key.parent_table.clone(),
                parent_column: parent.clone(),
                declared: true,
                confidence: 1.0,
                evidence: json!({"declared": key.name}),
            }),
            _ => None,
        })
        .collect();
    let mut places = named(all, child);
    if probe.is_some() {
        // Values alone may tell as well: every other key of the same type family, own schema first.
        let mut others = keys(all, child);
        others.retain(|place| !places.iter().any(|(p, _)| p == place));
        others.sort_by_key(|p| (all[p.0].schema != request.column.schema, !all[p.0].columns[p.1].is_pk, *p));
        places.extend(others.into_iter().map(|p| (p, None)));
    }
    let is_declared = |p: &Place, list: &[ReferenceCandidate]| {
        let (table, column) = (&all[p.0], &all[p.0].columns[p.1]);
        list.iter().any(|c| {
            c.parent_schema == table.schema && c.parent_table == table.name && c.parent_column == column.name
        })
    };
    places.retain(|(p, _)| !is_declared(p, &candidates));
    let truncated = places.len() > request.tables_max;
    places.truncate(request.tables_max);
    let checked_tables = places.len() as u64;
    for (place, name) in places {
        let overlap = match probe.as_deref_mut() {
            Some(probe) => checked(probe, &overlap_query(all, child, place), &mut |_| Ok(()), 0)?,
            None => None,
        };
        let (from, to) = (&all[child.0].columns[child.1], &all[place.0].columns[place.1]);
        let scored = score(name, from, to, overlap);
        if scored.is_kept() && scored.confidence >= request.min_confidence {
            candidates.push(ReferenceCandidate {
                parent_schema: all[place.0].schema.clone(),
                parent_table: all[place.0].name.clone(),
                parent_column: to.name.clone(),
                declared: false,
                confidence: scored.confidence,
                evidence: scored.evidence,
            });
        }
    }
    candidates.sort_by(|a, b| {
        b.confidence.total_cmp(&a.confidence).then_with(|| {
            (&a.parent_schema, &a.parent_table, &a.parent_column).cmp(&(
                &b.parent_schema,
                &b.parent_table,
                &b.parent_column,
            ))
        })
    });
    Ok(ReferenceCandidates {
        candidates,
        tables_checked: checked_tables,
        source: source.to_owned(),
        truncated,
    })
}

fn named(tables: &[TableModel], child: Place) -> Vec<(Place, Option<NameMatch>)> {
    let found: Vec<Candidate> = KeyIndex::new(tables).of(child);
    found.into_iter().map(|c| (c.parent, Some(c.name))).collect()
}

/// Single-column keys of the child's type family.
fn keys(tables: &[TableModel], child: Place) -> Vec<Place> {
    let family = &tables[child.0].columns[child.1].family;
    let mut out = Vec::new();
    for (t, table) in tables.iter().enumerate() {
        for (c, column) in table.columns.iter().enumerate() {
            if column.is_unique && column.family == *family && (t, c) != child {
                out.push((t, c));
            }
        }
    }
    out
}
