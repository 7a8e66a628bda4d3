//! Relationships between columns that agents record; declared and inferred ones live elsewhere.

use harvest::HarvestResult;
use rusqlite::{Connection, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::agent::{bounded, running};
use crate::catalog::Catalog;
use crate::fail::{self, StoreResult};
use crate::keys::ObjectRef;
use crate::llm_index::{self, SearchRow};
use crate::objects::{ObjectRow, resolve};
use crate::store::now;
use crate::text_enum::text_enum;

use super::{action, strings};

text_enum! {
    /// What kind of relationship.
    RelType {
        /// As a foreign key.
        FkLike = "fk_like",
        /// Through a table of pairs.
        Bridge = "bridge",
        /// The parent depends on another column.
        Polymorphic = "polymorphic",
    }
}

/// A relationship to write.
#[derive(Debug, Clone)]
// Exhaustive: callers fill every field from their arguments.
pub struct RelationshipUpsert {
    /// The agent run.
    pub agent_run_id: i64,
    /// The referring object.
    pub child: ObjectRef,
    /// Its column.
    pub child_column: String,
    /// The object referred to.
    pub parent: ObjectRef,
    /// Its column.
    pub parent_column: String,
    /// 0 to 1.
    pub confidence: f64,
    /// The kind.
    pub rel_type: RelType,
    /// Signals by name.
    pub evidence: Option<Map<String, Json>>,
}

/// A written relationship.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct RelationshipUpserted {
    pub llm_rel_id: i64,
    /// inserted or updated.
    pub action: String,
    pub warnings: Vec<String>,
}

impl Catalog {
    /// Writes a relationship, one per agent run, both ends and kind.
    ///
    /// # Errors
    /// `NOT_FOUND` for an object or a column, `FAILED_PRECONDITION` for a finished agent run, `LIMIT_EXCEEDED`.
    pub fn relationship_upsert(&self, request: &RelationshipUpsert) -> HarvestResult<RelationshipUpserted> {
        let evidence = Json::Object(request.evidence.clone().unwrap_or_default());
        let text = bounded("evidence", &evidence)?;
        self.store().write(|tx| {
            let (scope, run_id) = running(tx, request.agent_run_id)?;
            let child = end(tx, run_id, &request.child, &request.child_column)?;
            let parent = end(tx, run_id, &request.parent, &request.parent_column)?;
            let before: i64 = tx.query_row("SELECT COALESCE(MAX(llm_rel_id), 0) FROM llm_relationships", [], |r| r.get(0)).db()?;
            let llm_rel_id: i64 = tx
                .query_row(
                    "INSERT INTO llm_relationships(target_id, run_id, agent_run_id, child_object_id, child_uid, child_hash,
                       child_key, child_column, parent_object_id, parent_uid, parent_hash, parent_key, parent_column,
                       rel_type, confidence, evidence_json, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
                     ON CONFLICT(agent_run_id, child_uid, child_column, parent_uid, parent_column, rel_type)
                     DO UPDATE SET child_hash = excluded.child_hash, parent_hash = excluded.parent_hash,
                       confidence = excluded.confidence, evidence_json = excluded.evidence_json
                     RETURNING llm_rel_id",
                    params![
                        scope.target_id,
                        run_id,
                        request.agent_run_id,
                        child.object_id,
                        child.uid,
                        child.hash,
                        child.key(),
                        request.child_column,
                        parent.object_id,
                        parent.uid,
                        parent.hash,
                        parent.key(),
                        request.parent_column,
                        request.rel_type.as_str(),
                        request.confidence,
                        text,
                        now()
                    ],
                    |r| r.get(0),
                )
                .db()?;
            let key = format!(
                "{}.{} -> {}.{}",
                child.key(),
                request.child_column,
                parent.key(),
                request.parent_column
            );
            llm_index::put(
                tx,
                &SearchRow {
                    kind: "relationship",
                    ref_id: llm_rel_id,
                    key: &key,
                    title: &key,
                    body: &strings(&evidence),
                    tags: request.rel_type.as_str(),
                    target_id: &scope.target_id,
                    run_id: Some(run_id),
                    object_uid: Some(&child.uid),
                },
            )?;
            let signals = request.evidence.as_ref().map_or(0, Map::len);
            let warnings = if request.confidence >= 0.6 && signals < 2 {
                vec![format!("evidence: two or more signals are expected from confidence 0.6 on, got {signals}")]
            } else {
                Vec::new()
            };
            Ok(RelationshipUpserted { llm_rel_id, action: action(llm_rel_id <= before).to_owned(), warnings })
        })
    }
}

fn end(c: &Connection, run_id: i64, object: &ObjectRef, column: &str) -> HarvestResult<ObjectRow> {
    let row = resolve(c, run_id, object)?;
    let known: bool = c
        .prepare_cached("SELECT EXISTS(SELECT 1 FROM columns WHERE object_id = ?1 AND column_name = ?2)")
        .db()?
        .query_row((row.object_id, column), |r| r.get(0))
        .db()?;
    if known { Ok(row) } else { Err(fail::not_found("column", format!("{}.{column}", row.key()))) }
}
