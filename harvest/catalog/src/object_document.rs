//! Documents of stored objects: the whole one, tables and views as they are described, constraints; it finds no object by words.

use std::collections::BTreeMap;

use harvest::{HarvestResult, ObjectMeta};
use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::catalog::Catalog;
use crate::document::{self, ColumnDoc, ConstraintDoc, IndexDoc, TableDoc, ViewDoc, constraint_docs};
use crate::fail::{self, StoreResult};
use crate::keys::{ObjectRef, object_key};
use crate::object_load::{self, Loaded};
use crate::objects::{ObjectRow, resolve, schema_exists, similar};
use crate::relationships::{ForeignKeyDoc, keys_in, keys_out};

/// Which parts of an object's document are wanted.
#[derive(Debug, Clone, Copy)]
// Exhaustive: callers choose every part knowingly.
pub struct DocumentParts {
    /// The definition's text.
    pub definition: bool,
    /// Profiles.
    pub profiles: bool,
    /// Foreign keys in both directions.
    pub relationships: bool,
    /// The newest summary.
    pub llm: bool,
}

impl Default for DocumentParts {
    fn default() -> Self {
        Self { definition: false, profiles: true, relationships: true, llm: false }
    }
}

/// One object with everything known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ObjectDocument {
    /// The object itself.
    pub object: ObjectInfo,
    /// Columns; parameters of a routine.
    pub columns: Vec<ColumnDoc>,
    /// Indexes.
    pub indexes: Vec<IndexDoc>,
    /// Constraints.
    pub constraints: Vec<ConstraintDoc>,
    /// Declared keys of this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign_keys: Option<Vec<ForeignKeyDoc>>,
    /// Declared keys that point here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referenced_by: Option<Vec<ForeignKeyDoc>>,
    /// The definition, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition_sql: Option<Option<String>>,
    /// Profiles by kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profiles: Option<Map<String, Json>>,
    /// The newest summary, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Json>,
}

/// The object itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct ObjectInfo {
    pub object_id: i64,
    /// Identity across runs.
    pub object_uid: String,
    pub object_key: String,
    pub schema_name: String,
    pub object_name: String,
    pub object_type: String,
    pub object_subtype: String,
    pub signature: String,
    pub engine: Option<String>,
    pub comment: Option<String>,
    pub rows_est: Option<i64>,
    pub data_length: Option<i64>,
    pub index_length: Option<i64>,
    pub create_time: Option<i64>,
    pub update_time: Option<i64>,
    pub has_primary_key: bool,
    pub has_foreign_keys: bool,
    pub has_time_column: bool,
    pub guessed_kind: String,
    /// Changes whenever the schema of the object changes.
    pub content_hash: String,
}

impl Catalog {
    /// One object with everything known.
    ///
    /// # Errors
    /// `NOT_FOUND` with `similar`, `CONFLICT` with `candidates` for an ambiguous key.
    pub fn get_object(
        &self,
        target_id: &str,
        run_id: i64,
        object: &ObjectRef,
        parts: DocumentParts,
    ) -> HarvestResult<ObjectDocument> {
        self.store().read(|c| {
            let row = resolve(c, run_id, object)?;
            document(c, target_id, run_id, &row, parts)
        })
    }

    /// A table or view as `describe_table` shows it.
    ///
    /// # Errors
    /// As [`get_object`](Self::get_object).
    pub fn describe_table(&self, run_id: i64, schema: &str, table: &str) -> HarvestResult<TableDoc> {
        self.relation(run_id, schema, table, &["table", "view", "materialized_view"], "table")
            .map(|loaded| TableDoc::from_parts(&loaded.meta, &loaded.flags))
    }

    /// A view as `describe_view` shows it.
    ///
    /// # Errors
    /// As [`get_object`](Self::get_object).
    pub fn describe_view(&self, run_id: i64, schema: &str, view: &str) -> HarvestResult<ViewDoc> {
        self.relation(run_id, schema, view, &["view", "materialized_view"], "view")
            .map(|loaded| ViewDoc::from_meta(&loaded.meta))
    }

    /// Metadata of a stored table or view in the form that engines give.
    ///
    /// # Errors
    /// As [`get_object`](Self::get_object).
    pub fn object_meta(&self, run_id: i64, schema: &str, name: &str) -> HarvestResult<ObjectMeta> {
        self.relation(run_id, schema, name, &["table", "view", "materialized_view"], "table").map(|l| l.meta)
    }

    fn relation(
        &self,
        run_id: i64,
        schema: &str,
        name: &str,
        types: &[&str],
        kind: &str,
    ) -> HarvestResult<Loaded> {
        self.store().read(|c| {
            let sql = format!(
                "SELECT object_id FROM objects WHERE run_id = ?1 AND schema_name = ?2 AND object_name = ?3
                 AND object_type IN ({})",
                types.iter().map(|t| format!("'{t}'")).collect::<Vec<_>>().join(",")
            );
            let id: Option<i64> = c
                .prepare_cached(&sql)
                .db()?
                .query_row((run_id, schema, name), |r| r.get(0))
                .optional()
                .db()?;
            match id {
                Some(id) => object_load::load(c, id),
                None => Err(fail::not_found(kind, object_key(schema, name))
                    .with("similar", similar(c, run_id, name)?)),
            }
        })
    }

    /// Constraints of one table or of every table of a schema, by table.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown table or schema.
    pub fn list_constraints(
        &self,
        run_id: i64,
        schema: &str,
        table: Option<&str>,
    ) -> HarvestResult<Vec<ConstraintDoc>> {
        if let Some(table) = table {
            return self.describe_table(run_id, schema, table).map(|doc| doc.constraints);
        }
        self.store().read(|c| {
            schema_exists(c, run_id, schema)?;
            let mut statement = c
                .prepare_cached(
                    "SELECT object_id FROM objects WHERE run_id = ?1 AND schema_name = ?2 AND object_type = 'table'
                     ORDER BY object_name",
                )
                .db()?;
            let ids = statement.query_map((run_id, schema), |r| r.get::<_, i64>(0)).db()?;
            let mut out = Vec::new();
            for id in ids {
                out.extend(constraint_docs(&object_load::load(c, id.db()?)?.meta));
            }
            Ok(out)
        })
    }
}

/// The document of a resolved object.
pub(crate) fn document(
    c: &Connection,
    target_id: &str,
    run_id: i64,
    row: &ObjectRow,
    parts: DocumentParts,
) -> HarvestResult<ObjectDocument> {
    let Loaded { meta, flags } = object_load::load(c, row.object_id)?;
    let (has_pk, has_fk, has_time, kind): (bool, bool, bool, String) = c
        .prepare_cached(
            "SELECT has_primary_key, has_foreign_keys, has_time_column, guessed_kind FROM objects WHERE object_id = ?1",
        )
        .db()?
        .query_row([row.object_id], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))
        .db()?;
    let object = ObjectInfo {
        object_id: row.object_id,
        object_uid: row.uid.clone(),
        object_key: row.key(),
        schema_name: row.schema.clone(),
        object_name: row.name.clone(),
        object_type: row.object_type.clone(),
        object_subtype: meta.subtype.clone(),
        signature: row.signature.clone(),
        engine: meta.engine.clone(),
        comment: Some(meta.comment.clone()).filter(|text| !text.is_empty()),
        rows_est: meta.rows_est,
        data_length: meta.data_bytes,
        index_length: meta.index_bytes,
        create_time: meta.create_time,
        update_time: meta.update_time,
        has_primary_key: has_pk,
        has_foreign_keys: has_fk,
        has_time_column: has_time,
        guessed_kind: kind,
        content_hash: row.hash.clone(),
    };
    let (mut foreign_keys, mut referenced_by) = (None, None);
    if parts.relationships {
        foreign_keys = Some(keys_out(c, row)?);
        referenced_by = Some(keys_in(c, row)?);
    }
    let profiles = if parts.profiles { Some(profiles(c, run_id, row.object_id)?) } else { None };
    let summary = if parts.llm { Some(newest_summary(c, target_id, row)?) } else { None };
    Ok(ObjectDocument {
        object,
        columns: document::columns(&meta, &flags),
        indexes: document::indexes(&meta),
        constraints: constraint_docs(&meta),
        foreign_keys,
        referenced_by,
        definition_sql: parts.definition.then_some(meta.definition),
        profiles,
        summary,
    })
}

fn profiles(c: &Connection, run_id: i64, object_id: i64) -> HarvestResult<Map<String, Json>> {
    let mut statement = c
        .prepare_cached(
            "SELECT profile_kind, profile_json FROM profiles WHERE run_id = ?1 AND object_id = ?2 ORDER BY profile_kind",
        )
        .db()?;
    let rows = statement
        .query_map((run_id, object_id), |r| {
            let profile: String = r.get(1)?;
            Ok((r.get::<_, String>(0)?, serde_json::from_str(&profile).unwrap_or(Json::Null)))
        })
        .db()?;
    let map: BTreeMap<String, Json> = rows.collect::<rusqlite::Result<_>>().db()?;
    Ok(map.into_iter().collect())
}

/// The newest summary of an object with its confidence, status and staleness, or null.
pub(crate) fn newest_summary(c: &Connection, target_id: &str, row: &ObjectRow) -> HarvestResult<Json> {
    let found: Option<(i64, String, f64, String, String, i64)> = c
        .prepare_cached(
            "SELECT summary_id, summary_json, confidence, status, object_hash, created_at FROM llm_object_summaries
             WHERE target_id = ?1 AND object_uid = ?2 ORDER BY created_at DESC, summary_id DESC LIMIT 1",
        )
        .db()?
        .query_row((target_id, &row.uid), |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?))
        })
        .optional()
        .db()?;
    Ok(found.map_or(Json::Null, |(id, summary, confidence, status, hash, created_at)| {
        json!({
            "summary_id": id, "summary": serde_json::from_str::<Json>(&summary).unwrap_or_default(),
            "confidence": confidence, "status": status, "created_at": created_at, "stale": hash != row.hash,
        })
    }))
}
