//! Joins and references from a stored run.

use std::collections::HashMap;

use harvest::{Dialect, HarvestResult, ObjectMeta};
use rusqlite::Connection;

use crate::catalog::Catalog;
use crate::content;
use crate::derive::derive;
use crate::fail::{self, StoreResult};
use crate::keys::{ObjectRef, object_key, parse_object_key};
use crate::relate::{ColumnModel, TableModel, from_meta, infer, singular_tokens};
use crate::relationships::{RelationEnd, RelationshipFilter, Relationships};
use crate::source::ValueProbe;

use super::live::CHECKS_MAX;
use super::references::{self, KeyTables};
use super::{JoinRequest, JoinSuggestions, Link, ReferenceCandidates, ReferenceRequest, candidate, finish};

type Table = (String, String);

impl Catalog {
    /// Ways to join two tables, or a table with any other, from a run.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown table, `CANCELLED` from the probe.
    pub fn suggest_joins(
        &self,
        target_id: &str,
        run_id: i64,
        dialect: &dyn Dialect,
        request: &JoinRequest,
        probe: Option<&mut dyn ValueProbe>,
    ) -> HarvestResult<JoinSuggestions> {
        let a: Table = (request.schema.clone(), request.table_a.clone());
        let mut metas: HashMap<Table, Option<ObjectMeta>> = HashMap::new();
        metas.insert(a.clone(), Some(self.object_meta(run_id, &a.0, &a.1)?));
        if let Some(b) = &request.table_b {
            metas.insert(b.clone(), Some(self.object_meta(run_id, &b.0, &b.1)?));
        }
        let row_id = self.store().read(|c| relation_id(c, run_id, &a))?;
        let relations = self.get_relationships(
            target_id,
            run_id,
            &ObjectRef::id(row_id),
            &RelationshipFilter::default(),
        )?;
        let mut links = links(&a, relations)?;
        let other = |link: &Link| if link.child == a { link.parent.clone() } else { link.child.clone() };
        if let Some(b) = &request.table_b {
            links.retain(|link| other(link) == *b);
            if links.is_empty() {
                links = scored_pair(&metas, &a, b, dialect)?;
            }
        }
        if let Some(probe) = probe {
            for link in links.iter_mut().take(CHECKS_MAX) {
                link.verify(probe)?;
            }
        }
        for link in &links {
            let table = other(link);
            metas.entry(table.clone()).or_insert_with(|| self.object_meta(run_id, &table.0, &table.1).ok());
        }
        let meta = |table: &Table| metas.get(table).and_then(Option::as_ref);
        let mut candidates = Vec::new();
        for link in &links {
            let left_is_child = link.child == a;
            let pair = if left_is_child {
                (meta(&link.child), meta(&link.parent))
            } else {
                (meta(&link.parent), meta(&link.child))
            };
            candidates.push(candidate(link, left_is_child, pair, dialect));
        }
        Ok(finish(candidates, request.candidates_max, "catalog"))
    }

    /// Keys that a column may refer to, from a run.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown table or column, `CANCELLED` from the probe.
    pub fn find_references(
        &self,
        run_id: i64,
        dialect: &dyn Dialect,
        request: &ReferenceRequest,
        probe: Option<&mut dyn ValueProbe>,
    ) -> HarvestResult<ReferenceCandidates> {
        let child = self.object_meta(run_id, &request.column.schema, &request.column.table)?;
        let keys = self.store().read(|c| key_tables(c, run_id))?;
        let tables = KeyTables::new(keys, from_meta(&child, &derive(&child, dialect)));
        references::find(&tables, &child.foreign_keys, request, probe, "catalog")
    }
}

fn relation_id(c: &Connection, run_id: i64, table: &Table) -> HarvestResult<i64> {
    c.query_row(
        "SELECT object_id FROM objects WHERE run_id = ?1 AND schema_name = ?2 AND object_name = ?3
         AND object_type IN ('table', 'view', 'materialized_view')",
        (run_id, &table.0, &table.1),
        |r| r.get(0),
    )
    .map_err(|_| fail::not_found("table", object_key(&table.0, &table.1)))
}

fn links(a: &Table, relations: Relationships) -> HarvestResult<Vec<Link>> {
    let mut out = Vec::new();
    for key in relations.foreign_keys {
        let child = match (key.child_schema, key.child_object) {
            (Some(schema), Some(name)) => (schema, name),
            _ => a.clone(),
        };
        out.push(Link {
            child,
            parent: (key.parent_schema, key.parent_object),
            columns: key.child_columns.into_iter().zip(key.parent_columns).collect(),
            kind: "foreign_key",
            confidence: 1.0,
            evidence: serde_json::json!({"declared": key.fk_name}),
        });
    }
    let table = |end: &RelationEnd| -> HarvestResult<Table> {
        let (schema, name) = parse_object_key(&end.object_key)?;
        Ok((schema.unwrap_or_default(), name))
    };
    for found in relations.inferred_relationships {
        out.push(Link {
            child: table(&found.child)?,
            parent: table(&found.parent)?,
            columns: vec![(found.child.column, found.parent.column)],
            kind: "inferred",
            confidence: found.confidence,
            evidence: found.evidence,
        });
    }
    for found in relations.llm_relationships {
        out.push(Link {
            child: table(&found.child)?,
            parent: table(&found.parent)?,
            columns: vec![(found.child.column, found.parent.column)],
            kind: "llm",
            confidence: found.confidence,
            evidence: if found.evidence.is_object() { found.evidence } else { serde_json::json!({}) },
        });
    }
    Ok(out)
}

/// Two tables that no stored link joins are scored on the spot.
fn scored_pair(
    metas: &HashMap<Table, Option<ObjectMeta>>,
    a: &Table,
    b: &Table,
    dialect: &dyn Dialect,
) -> HarvestResult<Vec<Link>> {
    let mut tables: Vec<TableModel> = Vec::new();
    for table in [a, b] {
        if let Some(Some(meta)) = metas.get(table) {
            tables.push(from_meta(meta, &derive(meta, dialect)));
        }
    }
    let name = |at: usize| (tables[at].schema.clone(), tables[at].name.clone());
    let found = infer(&tables, None, 0, &|_| None, &mut |_| Ok(()))?;
    Ok(found
        .into_iter()
        .filter(|f| f.child.0 != f.parent.0 || a == b)
        .map(|f| Link {
            child: name(f.child.0),
            parent: name(f.parent.0),
            columns: vec![(
                tables[f.child.0].columns[f.child.1].name.clone(),
                tables[f.parent.0].columns[f.parent.1].name.clone(),
            )],
            kind: "inferred",
            confidence: f.confidence,
            evidence: f.evidence,
        })
        .collect())
}

/// Every table of a run with its single-column keys only.
fn key_tables(c: &Connection, run_id: i64) -> HarvestResult<Vec<TableModel>> {
    let mut statement = c
        .prepare_cached(
            "SELECT c.schema_name, c.object_name, c.detail FROM run_objects r
             JOIN contents c ON c.content_id = r.content_id
             WHERE r.run_id = ?1 AND c.object_type = 'table' AND c.object_subtype <> 'partition' ORDER BY r.object_id",
        )
        .db()?;
    let mut rows = statement.query([run_id]).db()?;
    let mut out: Vec<TableModel> = Vec::new();
    while let Some(r) = rows.next().db()? {
        let detail = r.get_ref(2).db()?.as_str().map_err(rusqlite::Error::from).db()?;
        let columns = content::columns(detail)?;
        let key_columns = columns.iter().filter(|c| c.flags.is_pk).count();
        let keys: Vec<ColumnModel> = columns
            .into_iter()
            .filter(|c| c.flags.is_unique)
            .map(|c| ColumnModel {
                tokens: singular_tokens(&c.meta.name),
                family: c.family,
                column_type: c.meta.column_type.to_lowercase(),
                collation: c.meta.collation,
                is_pk: c.flags.is_pk && key_columns == 1,
                is_unique: true,
                is_indexed: c.flags.is_indexed,
                is_id_like: c.flags.is_id_like,
                name: c.meta.name,
            })
            .collect();
        if keys.is_empty() {
            continue;
        }
        let (schema, name): (String, String) = (r.get(0).db()?, r.get(1).db()?);
        out.push(TableModel {
            tokens: singular_tokens(&name),
            schema,
            name,
            columns: keys,
            ..TableModel::default()
        });
    }
    Ok(out)
}
