//! Everything that links an object: declared keys, view dependencies, inferred and agents' relationships, kept apart.

use harvest::HarvestResult;
use rusqlite::{Connection, OptionalExtension, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::catalog::Catalog;
use crate::fail::StoreResult;
use crate::keys::{ObjectRef, object_key};
use crate::object_load;
use crate::objects::{ObjectRow, resolve};

/// A declared foreign key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct ForeignKeyDoc {
    pub fk_name: String,
    /// Schema of the referring table; only in `referenced_by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child_schema: Option<String>,
    /// The referring table; only in `referenced_by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child_object: Option<String>,
    pub child_columns: Vec<String>,
    pub parent_schema: String,
    pub parent_object: String,
    /// In the order of `child_columns`.
    pub parent_columns: Vec<String>,
    pub on_update: Option<String>,
    pub on_delete: Option<String>,
    /// out or in, seen from the object asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
}

/// A link between a view and what it reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct ViewLink {
    /// out: the object reads it; in: it reads the object.
    pub direction: String,
    pub schema: String,
    pub name: String,
    pub object_id: Option<i64>,
}

/// One end of a relationship.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct RelationEnd {
    pub object_id: Option<i64>,
    pub object_key: String,
    pub column: String,
}

/// A relationship found by inference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct InferredRelationship {
    pub rel_id: i64,
    pub direction: String,
    pub child: RelationEnd,
    pub parent: RelationEnd,
    pub confidence: f64,
    /// Signals with values and weights.
    pub evidence: Json,
}

/// A relationship that an agent recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct LlmRelationship {
    pub llm_rel_id: i64,
    pub direction: String,
    pub child: RelationEnd,
    pub parent: RelationEnd,
    /// fk_like, bridge or polymorphic.
    pub rel_type: String,
    pub confidence: f64,
    pub evidence: Json,
    pub agent_run_id: i64,
    /// One of the objects has changed since or is gone.
    pub stale: bool,
}

/// Which way links are followed.
// Exhaustive: it is an argument of `catalog.get_relationships`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// What the object refers to.
    Out,
    /// What refers to the object.
    In,
    /// Both.
    #[default]
    Both,
}

impl Direction {
    fn has(self, out: bool) -> bool {
        matches!((self, out), (Self::Both, _) | (Self::Out, true) | (Self::In, false))
    }
}

/// What to include.
#[derive(Debug, Clone, Copy)]
// Exhaustive: callers choose every part knowingly.
pub struct RelationshipFilter {
    /// Which way.
    pub direction: Direction,
    /// Inferred ones.
    pub include_inferred: bool,
    /// Those of agents.
    pub include_llm: bool,
    /// Weaker ones are left out.
    pub min_confidence: f64,
}

impl Default for RelationshipFilter {
    fn default() -> Self {
        Self { direction: Direction::Both, include_inferred: true, include_llm: true, min_confidence: 0.0 }
    }
}

/// All links of an object, kind by kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct Relationships {
    pub foreign_keys: Vec<ForeignKeyDoc>,
    pub view_dependencies: Vec<ViewLink>,
    pub inferred_relationships: Vec<InferredRelationship>,
    pub llm_relationships: Vec<LlmRelationship>,
}

impl Catalog {
    /// Everything that links an object.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CONFLICT` for an ambiguous key.
    pub fn get_relationships(
        &self,
        target_id: &str,
        run_id: i64,
        object: &ObjectRef,
        filter: &RelationshipFilter,
    ) -> HarvestResult<Relationships> {
        self.store().read(|c| {
            let row = resolve(c, run_id, object)?;
            let mut foreign_keys = Vec::new();
            if filter.direction.has(true) {
                foreign_keys.extend(keys_out(c, &row)?.into_iter().map(|k| directed(k, "out")));
            }
            if filter.direction.has(false) {
                foreign_keys.extend(keys_in(c, &row)?.into_iter().map(|k| directed(k, "in")));
            }
            Ok(Relationships {
                foreign_keys,
                view_dependencies: view_links(c, run_id, &row, filter.direction)?,
                inferred_relationships: if filter.include_inferred {
                    inferred(c, run_id, &row, filter)?
                } else {
                    Vec::new()
                },
                llm_relationships: if filter.include_llm {
                    recorded(c, target_id, run_id, &row, filter)?
                } else {
                    Vec::new()
                },
            })
        })
    }
}

fn directed(mut key: ForeignKeyDoc, direction: &str) -> ForeignKeyDoc {
    key.direction = Some(direction.to_owned());
    key
}

/// Declared keys of the object.
pub(crate) fn keys_out(c: &Connection, row: &ObjectRow) -> HarvestResult<Vec<ForeignKeyDoc>> {
    let keys = object_load::foreign_keys(c, row.object_id)?;
    Ok(keys
        .into_iter()
        .map(|key| {
            let (child_columns, parent_columns) = key.columns.into_iter().unzip();
            ForeignKeyDoc {
                fk_name: key.name,
                child_schema: None,
                child_object: None,
                child_columns,
                parent_schema: key.parent_schema,
                parent_object: key.parent_table,
                parent_columns,
                on_update: key.on_update,
                on_delete: key.on_delete,
                direction: None,
            }
        })
        .collect())
}

/// Declared keys that point at the object.
pub(crate) fn keys_in(c: &Connection, row: &ObjectRow) -> HarvestResult<Vec<ForeignKeyDoc>> {
    let mut statement = c
        .prepare_cached(
            "SELECT DISTINCT o.object_id, c.schema_name, c.object_name FROM run_objects me
             JOIN contents p ON p.content_id = me.content_id
             JOIN content_foreign_keys k ON k.parent_object_name = p.object_name
               AND k.parent_schema_name = p.schema_name
             JOIN run_objects o ON o.run_id = me.run_id AND o.content_id = k.content_id
             JOIN contents c ON c.content_id = k.content_id
             WHERE me.object_id = ?1 AND p.object_type IN ('table', 'view', 'materialized_view')
             ORDER BY c.schema_name, c.object_name",
        )
        .db()?;
    let children = statement
        .query_map([row.object_id], |r| {
            Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?, r.get::<_, String>(2)?))
        })
        .db()?;
    let mut out = Vec::new();
    for child in children {
        let (id, schema, name) = child.db()?;
        let child = ObjectRow { object_id: id, ..row.clone() };
        let to_here = |k: &ForeignKeyDoc| k.parent_schema == row.schema && k.parent_object == row.name;
        out.extend(keys_out(c, &child)?.into_iter().filter(to_here).map(|mut key| {
            key.child_schema = Some(schema.clone());
            key.child_object = Some(name.clone());
            key
        }));
    }
    Ok(out)
}

fn view_links(
    c: &Connection,
    run_id: i64,
    row: &ObjectRow,
    direction: Direction,
) -> HarvestResult<Vec<ViewLink>> {
    let mut out = Vec::new();
    let mut add = |sql: &str, way: &str| -> HarvestResult<()> {
        let mut statement = c.prepare_cached(sql).db()?;
        let rows = statement
            .query_map([row.object_id], |r| {
                Ok(ViewLink {
                    direction: way.to_owned(),
                    schema: r.get(0)?,
                    name: r.get(1)?,
                    object_id: r.get(2)?,
                })
            })
            .db()?;
        for link in rows {
            out.push(link.db()?);
        }
        Ok(())
    };
    let _ = run_id;
    if direction.has(true) {
        add(
            "SELECT depends_on_schema, depends_on_name, depends_on_object_id FROM view_dependencies
             WHERE view_object_id = ?1 ORDER BY 1, 2",
            "out",
        )?;
    }
    if direction.has(false) {
        add(
            "SELECT c.schema_name, c.object_name, o.object_id FROM run_objects me
             JOIN contents p ON p.content_id = me.content_id
             JOIN content_dependencies d ON d.depends_on_name = p.object_name
               AND d.depends_on_schema = p.schema_name
             JOIN run_objects o ON o.run_id = me.run_id AND o.content_id = d.content_id
             JOIN contents c ON c.content_id = d.content_id
             WHERE me.object_id = ?1 AND p.object_type IN ('table', 'view', 'materialized_view') ORDER BY 1, 2",
            "in",
        )?;
    }
    Ok(out)
}

fn inferred(
    c: &Connection,
    run_id: i64,
    row: &ObjectRow,
    filter: &RelationshipFilter,
) -> HarvestResult<Vec<InferredRelationship>> {
    let mut statement = c
        .prepare_cached(
            "SELECT r.rel_id, r.child_object_id, ch.schema_name, ch.object_name, r.child_column, r.parent_object_id,
               p.schema_name, p.object_name, r.parent_column, r.confidence, r.evidence_json
             FROM (SELECT i.*, u.run_id, ro.object_id AS child_object_id, po.object_id AS parent_object_id
               FROM runs u JOIN run_objects me ON me.run_id = u.run_id AND me.object_id = ?2
               JOIN content_relationships i ON i.rel_id IN (
                 SELECT rel_id FROM content_relationships
                 WHERE ?3 AND set_id = u.inferred_set AND child_content_id = me.content_id
                 UNION SELECT rel_id FROM content_relationships
                 WHERE ?4 AND set_id = u.inferred_set AND parent_content_id = me.content_id)
               JOIN run_objects ro ON ro.run_id = u.run_id AND ro.content_id = i.child_content_id
               JOIN run_objects po ON po.run_id = u.run_id AND po.content_id = i.parent_content_id
               WHERE u.run_id = ?1) r
             JOIN objects ch ON ch.object_id = r.child_object_id
             JOIN objects p ON p.object_id = r.parent_object_id
             WHERE r.confidence >= ?5 ORDER BY r.confidence DESC, r.rel_id",
        )
        .db()?;
    let rows = statement
        .query_map(
            params![
                run_id,
                row.object_id,
                filter.direction.has(true),
                filter.direction.has(false),
                filter.min_confidence
            ],
            |r| {
                let child: i64 = r.get(1)?;
                let evidence: String = r.get(10)?;
                let is_out = child == row.object_id && filter.direction.has(true);
                Ok(InferredRelationship {
                    rel_id: r.get(0)?,
                    direction: if is_out { "out" } else { "in" }.to_owned(),
                    child: RelationEnd {
                        object_id: Some(child),
                        object_key: object_key(&r.get::<_, String>(2)?, &r.get::<_, String>(3)?),
                        column: r.get(4)?,
                    },
                    parent: RelationEnd {
                        object_id: r.get(5)?,
                        object_key: object_key(&r.get::<_, String>(6)?, &r.get::<_, String>(7)?),
                        column: r.get(8)?,
                    },
                    confidence: r.get(9)?,
                    evidence: serde_json::from_str(&evidence).unwrap_or_default(),
                })
            },
        )
        .db()?;
    rows.collect::<rusqlite::Result<_>>().db()
}

struct Recorded {
    relation: LlmRelationship,
    uids: [String; 2],
    hashes: [String; 2],
}

fn recorded(
    c: &Connection,
    target_id: &str,
    run_id: i64,
    row: &ObjectRow,
    filter: &RelationshipFilter,
) -> HarvestResult<Vec<LlmRelationship>> {
    let mut statement = c
        .prepare_cached(
            "SELECT llm_rel_id, child_uid, child_hash, child_key, child_column, parent_uid, parent_hash, parent_key,
               parent_column, rel_type, confidence, evidence_json, agent_run_id FROM llm_relationships
             WHERE target_id = ?1 AND (child_uid = ?2 AND ?3 OR parent_uid = ?2 AND ?4) AND confidence >= ?5
             ORDER BY confidence DESC, llm_rel_id",
        )
        .db()?;
    let rows = statement
        .query_map(
            params![
                target_id,
                row.uid,
                filter.direction.has(true),
                filter.direction.has(false),
                filter.min_confidence
            ],
            |r| {
                let evidence: Option<String> = r.get(11)?;
                let uids: [String; 2] = [r.get(1)?, r.get(5)?];
                let is_out = uids[0] == row.uid && filter.direction.has(true);
                Ok(Recorded {
                    relation: LlmRelationship {
                        llm_rel_id: r.get(0)?,
                        direction: if is_out { "out" } else { "in" }.to_owned(),
                        child: RelationEnd { object_id: None, object_key: r.get(3)?, column: r.get(4)? },
                        parent: RelationEnd { object_id: None, object_key: r.get(7)?, column: r.get(8)? },
                        rel_type: r.get(9)?,
                        confidence: r.get(10)?,
                        evidence: evidence.and_then(|e| serde_json::from_str(&e).ok()).unwrap_or_default(),
                        agent_run_id: r.get(12)?,
                        stale: false,
                    },
                    uids,
                    hashes: [r.get(2)?, r.get(6)?],
                })
            },
        )
        .db()?;
    let mut out = Vec::new();
    for recorded in rows {
        let Recorded { mut relation, uids, hashes } = recorded.db()?;
        let child = current(c, run_id, &uids[0])?;
        let parent = current(c, run_id, &uids[1])?;
        let differs =
            |now: &Option<(i64, String)>, hash: &String| now.as_ref().is_none_or(|(_, h)| h != hash);
        relation.stale = differs(&child, &hashes[0]) || differs(&parent, &hashes[1]);
        relation.child.object_id = child.map(|(id, _)| id);
        relation.parent.object_id = parent.map(|(id, _)| id);
        out.push(relation);
    }
    Ok(out)
}

/// Id and content hash of an identity in a run.
pub(crate) fn current(c: &Connection, run_id: i64, uid: &str) -> HarvestResult<Option<(i64, String)>> {
    c.prepare_cached("SELECT object_id, content_hash FROM objects WHERE object_uid = ?1 AND run_id = ?2")
        .db()?
        .query_row((uid, run_id), |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()
        .db()
}
