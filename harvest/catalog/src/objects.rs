//! Objects of a run: finding one, listing them and their schemas; it searches no text.

use harvest::HarvestResult;
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::catalog::Catalog;
use crate::fail::{self, StoreResult};
use crate::keys::{ObjectRef, object_key, parse_object_key};

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
pub(crate) fn similar(c: &Connection, run_id: i64, name: &str) -> HarvestResult<Vec<Json>> {
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

impl Catalog {
    /// Objects of a run.
    ///
    /// # Errors
    /// Those of the store.
    pub fn list_objects(&self, request: &ListObjectsRequest) -> HarvestResult<ListObjectsResponse> {
        self.store().read(|c| list(c, request))
    }

    /// Schemas of a run: name, charset, collation, number of tables and views.
    ///
    /// # Errors
    /// Those of the store.
    pub fn list_schemas(&self, run_id: i64) -> HarvestResult<Vec<SchemaRow>> {
        self.store().read(|c| {
            let mut statement = c
                .prepare_cached(
                    "SELECT s.schema_name, charset, collation, owner, comment, coalesce(n.objects, 0)
                     FROM schemas s LEFT JOIN (SELECT schema_name, COUNT(*) AS objects FROM objects WHERE run_id = ?1
                       GROUP BY schema_name) n ON n.schema_name = s.schema_name
                     WHERE run_id = ?1 ORDER BY s.schema_name",
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
        ObjectOrder::Name => "o.schema_name, o.object_name, o.object_type, o.signature",
        ObjectOrder::RowsEstDesc => "o.table_rows_est DESC NULLS LAST, o.object_id",
        ObjectOrder::SizeDesc => {
            "coalesce(o.data_length, 0) + coalesce(o.index_length, 0) DESC, o.data_length IS NULL, o.object_id"
        }
    };
    let mut filter = "o.run_id = ?1".to_owned();
    let mut given: Vec<&dyn ToSql> = vec![&request.run_id];
    let wanted = [("schema_name", &request.schema_name), ("object_type", &request.object_type)];
    for (column, value) in wanted.iter().filter(|(_, value)| value.is_some()) {
        given.push(value);
        filter.push_str(&format!(" AND o.{column} = ?{}", given.len()));
    }
    let has_summary = |at: usize| {
        format!(
            "EXISTS (SELECT 1 FROM llm_object_summaries s WHERE s.target_id = ?{at} AND s.object_uid = o.object_uid)"
        )
    };
    if request.without_summary {
        given.push(&request.target_id);
        filter.push_str(&format!(" AND NOT {}", has_summary(given.len())));
    }
    // Without a condition on the content the objects are counted without looking at it.
    let counted = if given.len() == 1 { "run_objects" } else { "objects" };
    let total: i64 = c
        .prepare_cached(&format!("SELECT COUNT(*) FROM {counted} o WHERE {filter}"))
        .db()?
        .query_row(given.as_slice(), |r| r.get(0))
        .db()?;
    let (limit, offset) = (request.limit as i64, request.offset as i64);
    given.extend([&request.target_id as &dyn ToSql, &limit, &offset]);
    let last = given.len();
    let sql = format!(
        "WITH page AS MATERIALIZED (SELECT o.object_id AS id FROM objects o WHERE {filter} ORDER BY {order}
           LIMIT ?{} OFFSET ?{last})
         SELECT o.object_id, o.schema_name, o.object_name, o.object_type, o.engine, o.table_rows_est, o.data_length,
           o.index_length, o.has_primary_key, o.has_foreign_keys, o.has_time_column, o.guessed_kind, o.object_comment,
           o.columns_count,
           (SELECT COUNT(*) FROM content_foreign_keys k CROSS JOIN run_objects x ON x.run_id = o.run_id
              AND x.content_id = k.content_id WHERE k.parent_object_name = o.object_name
              AND k.parent_schema_name = o.schema_name AND o.object_type IN ('table', 'view', 'materialized_view')),
           (SELECT COUNT(*) FROM content_foreign_keys k WHERE k.content_id = o.content_id), {}
         FROM page p CROSS JOIN objects o ON o.object_id = p.id ORDER BY {order}",
        last - 1,
        has_summary(last - 2)
    );
    let mut statement = c.prepare_cached(&sql).db()?;
    let rows = statement.query_map(given.as_slice(), list_item).db()?;
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
