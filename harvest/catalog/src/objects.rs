//! Objects of a run: finding one, listing, describing, the whole document; it searches no text.

use std::collections::BTreeMap;

use harvest::{HarvestResult, ObjectMeta};
use rusqlite::{Connection, OptionalExtension, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::catalog::Catalog;
use crate::document::{self, ColumnDoc, ConstraintDoc, IndexDoc, TableDoc, ViewDoc, constraint_docs};
use crate::fail::{self, StoreResult};
use crate::keys::{ObjectRef, object_key, parse_object_key};
use crate::object_load::{self, Loaded};
use crate::relationships::{ForeignKeyDoc, keys_in, keys_out};

/// Identity of a resolved object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectRow {
    pub(crate) object_id: i64,
    pub(crate) uid: String,
    pub(crate) hash: String,
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) object_type: String,
    pub(crate) signature: String,
}

impl ObjectRow {
    pub(crate) fn key(&self) -> String {
        object_key(&self.schema, &self.name)
    }
}

const ROW: &str = "SELECT object_id, object_uid, content_hash, schema_name, object_name, object_type, signature FROM objects";

fn object_row(r: &rusqlite::Row<'_>) -> rusqlite::Result<ObjectRow> {
    Ok(ObjectRow {
        object_id: r.get(0)?,
        uid: r.get(1)?,
        hash: r.get(2)?,
        schema: r.get(3)?,
        name: r.get(4)?,
        object_type: r.get(5)?,
        signature: r.get(6)?,
    })
}

/// The one object of the run that is meant.
pub(crate) fn resolve(c: &Connection, run_id: i64, wanted: &ObjectRef) -> HarvestResult<ObjectRow> {
    let key = match (wanted.object_id, &wanted.object_key) {
        (Some(id), None) => {
            let sql = format!("{ROW} WHERE object_id = ?1 AND run_id = ?2");
            return c
                .prepare_cached(&sql)
                .db()?
                .query_row((id, run_id), object_row)
                .optional()
                .db()?
                .ok_or_else(|| fail::not_found("object", id.to_string()));
        }
        (None, Some(key)) => key,
        (Some(_), Some(_)) => {
            return Err(fail::invalid("object_id", "absent when object_key is given", "both"));
        }
        (None, None) => return Err(fail::invalid("object_id", "given, or object_key", "neither")),
    };
    let (schema, name) = parse_object_key(key)?;
    let sql = format!(
        "{ROW} WHERE run_id = ?1 AND (?2 IS NULL OR schema_name = ?2) AND object_name = ?3
         AND (?4 IS NULL OR object_type = ?4) ORDER BY object_id LIMIT 20"
    );
    let mut statement = c.prepare_cached(&sql).db()?;
    let rows = statement.query_map(params![run_id, schema, name, wanted.object_type], object_row).db()?;
    let mut found: Vec<ObjectRow> = rows.collect::<rusqlite::Result<_>>().db()?;
    if found.len() > 1 {
        let candidates: Vec<Json> = found
            .iter()
            .map(|o| json!({"object_id": o.object_id, "object_key": o.key(), "object_type": o.object_type, "signature": o.signature}))
            .collect();
        return Err(fail::conflict(format!(
            "{key} names {} objects: pass object_id or object_type",
            found.len()
        ))
        .with("candidates", candidates));
    }
    match found.pop() {
        Some(one) => Ok(one),
        None => Err(fail::not_found("object", key).with("similar", similar(c, run_id, &name)?)),
    }
}

/// Keys of objects with nearly this name.
fn similar(c: &Connection, run_id: i64, name: &str) -> HarvestResult<Vec<Json>> {
    let stem: String =
        crate::tokens::name_tokens(name).into_iter().max_by_key(String::len).unwrap_or_default();
    let stem = crate::tokens::singular(&stem);
    let mut statement = c
        .prepare_cached(
            "SELECT schema_name, object_name FROM objects WHERE run_id = ?1
             AND (lower(object_name) = lower(?2) OR (?3 <> '' AND instr(lower(object_name), ?3) > 0))
             ORDER BY lower(object_name) = lower(?2) DESC, length(object_name), object_name LIMIT 5",
        )
        .db()?;
    let rows = statement
        .query_map(params![run_id, name, stem], |r| {
            Ok(Json::String(object_key(&r.get::<_, String>(0)?, &r.get::<_, String>(1)?)))
        })
        .db()?;
    rows.collect::<rusqlite::Result<_>>().db()
}

/// Order of a list of objects.
// Exhaustive: it is an argument of `catalog.list_objects`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectOrder {
    /// By schema, name, type.
    #[default]
    Name,
    /// Most rows first.
    RowsEstDesc,
    /// Largest first.
    SizeDesc,
}

/// Which objects to list.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListObjectsRequest {
    /// The run.
    pub run_id: i64,
    /// Its target.
    pub target_id: String,
    /// Only this schema.
    pub schema_name: Option<String>,
    /// Only this type.
    pub object_type: Option<String>,
    /// The order.
    pub order_by: ObjectOrder,
    /// Only objects that no agent has summarised.
    pub without_summary: bool,
    /// Objects at most.
    pub limit: usize,
    /// Objects left out at the start.
    pub offset: usize,
}

impl ListObjectsRequest {
    /// The first page of all objects of a run.
    pub fn new(run_id: i64, target_id: impl Into<String>) -> Self {
        Self {
            run_id,
            target_id: target_id.into(),
            schema_name: None,
            object_type: None,
            order_by: ObjectOrder::Name,
            without_summary: false,
            limit: 50,
            offset: 0,
        }
    }
}

/// A page of objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ListObjectsResponse {
    /// The objects.
    pub results: Vec<ObjectListItem>,
    /// Objects that match, on all pages.
    pub total: u64,
    /// Where the next page starts.
    #[serde(skip)]
    pub next_offset: Option<usize>,
}

/// One object of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct ObjectListItem {
    pub object_id: i64,
    pub object_key: String,
    pub object_type: String,
    pub engine: Option<String>,
    pub rows_est: Option<i64>,
    pub size_bytes: Option<i64>,
    /// Number of columns or parameters.
    pub columns: u64,
    pub has_primary_key: bool,
    pub has_foreign_keys: bool,
    pub has_time_column: bool,
    /// log/event, fact, entity, bridge, lookup or unknown.
    pub guessed_kind: String,
    /// Declared foreign keys that point here.
    pub fk_in: u64,
    /// Declared foreign keys of this object.
    pub fk_out: u64,
    pub comment: String,
    /// Whether an agent has summarised it.
    pub has_summary: bool,
}

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
    /// Objects of a run.
    ///
    /// # Errors
    /// Those of the store.
    pub fn list_objects(&self, request: &ListObjectsRequest) -> HarvestResult<ListObjectsResponse> {
        self.store().read(|c| list(c, request))
    }

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

    /// Schemas of a run: name, charset, collation, number of tables and views.
    ///
    /// # Errors
    /// Those of the store.
    pub fn list_schemas(&self, run_id: i64) -> HarvestResult<Vec<SchemaRow>> {
        self.store().read(|c| {
            let mut statement = c
                .prepare_cached(
                    "SELECT schema_name, charset, collation, owner, comment, (SELECT COUNT(*) FROM objects o
                       WHERE o.run_id = s.run_id AND o.schema_name = s.schema_name)
                     FROM schemas s WHERE run_id = ?1 ORDER BY schema_name",
                )
                .db()?;
            let rows = statement
                .query_map([run_id], |r| {
                    Ok(SchemaRow {
                        schema_name: r.get(0)?,
                        charset: r.get(1)?,
                        collation: r.get(2)?,
                        owner: r.get(3)?,
                        comment: r.get(4)?,
                        objects: r.get(5)?,
                    })
                })
                .db()?;
            rows.collect::<rusqlite::Result<_>>().db()
        })
    }
}

/// A schema of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct SchemaRow {
    pub schema_name: String,
    pub charset: Option<String>,
    pub collation: Option<String>,
    pub owner: Option<String>,
    pub comment: String,
    /// Number of objects of every type.
    pub objects: i64,
}

pub(crate) fn schema_exists(c: &Connection, run_id: i64, schema: &str) -> HarvestResult<()> {
    let found: bool = c
        .prepare_cached("SELECT EXISTS(SELECT 1 FROM schemas WHERE run_id = ?1 AND schema_name = ?2)")
        .db()?
        .query_row((run_id, schema), |r| r.get(0))
        .db()?;
    if found { Ok(()) } else { Err(fail::not_found("schema", schema)) }
}

fn list(c: &Connection, request: &ListObjectsRequest) -> HarvestResult<ListObjectsResponse> {
    let order = match request.order_by {
        ObjectOrder::Name => "schema_name, object_name, object_type, signature",
        ObjectOrder::RowsEstDesc => "table_rows_est DESC NULLS LAST, object_id",
        ObjectOrder::SizeDesc => {
            "coalesce(data_length, 0) + coalesce(index_length, 0) DESC, data_length IS NULL, object_id"
        }
    };
    let filter = "o.run_id = ?1 AND (?2 IS NULL OR o.schema_name = ?2) AND (?3 IS NULL OR o.object_type = ?3)
       AND (NOT ?4 OR NOT EXISTS (SELECT 1 FROM llm_object_summaries s WHERE s.target_id = ?5
         AND s.object_uid = o.object_uid))";
    let given = params![
        request.run_id,
        request.schema_name,
        request.object_type,
        request.without_summary,
        request.target_id
    ];
    let total: i64 = c
        .prepare_cached(&format!("SELECT COUNT(*) FROM objects o WHERE {filter}"))
        .db()?
        .query_row(given, |r| r.get(0))
        .db()?;
    let sql = format!(
        "WITH page AS MATERIALIZED (SELECT * FROM objects o WHERE {filter} ORDER BY {order} LIMIT ?6 OFFSET ?7)
         SELECT p.object_id, p.schema_name, p.object_name, p.object_type, p.engine, p.table_rows_est, p.data_length,
           p.index_length, p.has_primary_key, p.has_foreign_keys, p.has_time_column, p.guessed_kind, p.object_comment,
           (SELECT COUNT(*) FROM columns x WHERE x.object_id = p.object_id),
           (SELECT COUNT(*) FROM foreign_keys x WHERE x.parent_object_id = p.object_id),
           (SELECT COUNT(*) FROM foreign_keys x WHERE x.child_object_id = p.object_id),
           EXISTS (SELECT 1 FROM llm_object_summaries s WHERE s.target_id = ?5 AND s.object_uid = p.object_uid)
         FROM page p ORDER BY {order}"
    );
    let mut statement = c.prepare_cached(&sql).db()?;
    let rows = statement
        .query_map(
            params![
                request.run_id,
                request.schema_name,
                request.object_type,
                request.without_summary,
                request.target_id,
                request.limit as i64,
                request.offset as i64
            ],
            list_item,
        )
        .db()?;
    let results: Vec<ObjectListItem> = rows.collect::<rusqlite::Result<_>>().db()?;
    let end = request.offset.saturating_add(results.len());
    let next_offset = Some(end).filter(|e| (*e as i64) < total && !results.is_empty());
    Ok(ListObjectsResponse { results, total: total.unsigned_abs(), next_offset })
}

fn list_item(r: &rusqlite::Row<'_>) -> rusqlite::Result<ObjectListItem> {
    let size: (Option<i64>, Option<i64>) = (r.get(6)?, r.get(7)?);
    Ok(ObjectListItem {
        object_id: r.get(0)?,
        object_key: object_key(&r.get::<_, String>(1)?, &r.get::<_, String>(2)?),
        object_type: r.get(3)?,
        engine: r.get(4)?,
        rows_est: r.get(5)?,
        size_bytes: match size {
            (None, None) => None,
            (data, index) => Some(data.unwrap_or(0).saturating_add(index.unwrap_or(0))),
        },
        columns: r.get::<_, i64>(13)?.unsigned_abs(),
        has_primary_key: r.get(8)?,
        has_foreign_keys: r.get(9)?,
        has_time_column: r.get(10)?,
        guessed_kind: r.get(11)?,
        fk_in: r.get::<_, i64>(14)?.unsigned_abs(),
        fk_out: r.get::<_, i64>(15)?.unsigned_abs(),
        comment: r.get(12)?,
        has_summary: r.get(16)?,
    })
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
