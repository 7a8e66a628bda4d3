//! Free documents under (target, schema, kind, key): writing, reading, search, merging; it knows no meaning of a kind.

mod merge;
mod search;

use harvest::{HarvestError, HarvestResult};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::catalog::Catalog;
use crate::fail::{self, StoreResult};
use crate::store::now;

pub use merge::{KvMerge, KvMerged};
pub use search::{KvHit, KvSearchRequest, KvSearchResponse};

/// Longest document as JSON.
pub const DOCUMENT_BYTES_MAX: usize = 262_144;

/// Where an entry lives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
// Exhaustive: it is the key of an entry.
pub struct KvKey {
    /// Empty: independent of a target.
    pub target_id: String,
    /// Empty: global.
    pub schema: String,
    /// Any word.
    pub kind: String,
    /// Unique within the three above.
    pub key: String,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct KvEntry {
    pub id: i64,
    pub target_id: String,
    pub schema: String,
    pub kind: String,
    pub key: String,
    pub document: Json,
    pub tags: Vec<String>,
    pub links: Vec<String>,
    pub created_at: i64,
    pub updated_at: i64,
}

/// A written entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct KvUpserted {
    pub id: i64,
    pub schema: String,
    pub kind: String,
    pub key: String,
    /// inserted or updated.
    pub action: String,
    pub updated_at: i64,
}

/// One entry read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct KvGot {
    /// The entry.
    pub entry: KvEntry,
}

/// A page of entries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct KvList {
    /// Entries that match, on all pages.
    pub total: u64,
    /// By schema, kind, key.
    pub results: Vec<KvEntry>,
}

/// Entries were deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct KvDeleted {
    /// How many.
    pub deleted: u64,
}

/// Which entries a list, a search or a deletion means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
// Exhaustive: callers fill every field from their arguments.
pub struct KvFilter {
    /// Only of these targets; the empty name means independent ones. `None` means all.
    pub targets: Option<Vec<String>>,
    /// Only of this schema.
    pub schema: Option<String>,
    /// Only of this kind.
    pub kind: Option<String>,
}

impl KvFilter {
    pub(crate) fn targets_json(&self) -> Option<String> {
        self.targets.as_ref().map(|list| serde_json::json!(list).to_string())
    }
}

pub(crate) const ENTRY: &str =
    "e.id, e.target_id, e.schema, e.kind, e.key, e.document, e.tags, e.links, e.created_at, e.updated_at";
pub(crate) const FILTER: &str = "(?1 IS NULL OR e.target_id IN (SELECT value FROM json_each(?1)))
  AND (?2 IS NULL OR e.schema = ?2) AND (?3 IS NULL OR e.kind = ?3)";

pub(crate) fn entry(r: &rusqlite::Row<'_>) -> rusqlite::Result<KvEntry> {
    let document: String = r.get(5)?;
    let lines = |text: String| text.lines().map(str::to_owned).collect();
    Ok(KvEntry {
        id: r.get(0)?,
        target_id: r.get(1)?,
        schema: r.get(2)?,
        kind: r.get(3)?,
        key: r.get(4)?,
        document: serde_json::from_str(&document).unwrap_or_default(),
        tags: lines(r.get(6)?),
        links: lines(r.get(7)?),
        created_at: r.get(8)?,
        updated_at: r.get(9)?,
    })
}

pub(crate) fn find(c: &Connection, at: &KvKey) -> HarvestResult<Option<KvEntry>> {
    let sql = format!(
        "SELECT {ENTRY} FROM catalog e WHERE target_id = ?1 AND schema = ?2 AND kind = ?3 AND key = ?4"
    );
    c.prepare_cached(&sql)
        .db()?
        .query_row((&at.target_id, &at.schema, &at.kind, &at.key), entry)
        .optional()
        .db()
}

/// One a line; line breaks inside become spaces, empty ones and repetitions are dropped.
fn joined(list: &[String]) -> String {
    let mut out: Vec<String> = Vec::new();
    for item in list {
        let item = item.replace(['\n', '\r'], " ").trim().to_owned();
        if !item.is_empty() && !out.contains(&item) {
            out.push(item);
        }
    }
    out.join("\n")
}

pub(crate) fn put(
    tx: &Transaction<'_>,
    at: &KvKey,
    document: &Json,
    tags: &[String],
    links: &[String],
) -> HarvestResult<KvUpserted> {
    if !document.is_object() && !document.is_array() {
        return Err(fail::invalid("document", "a JSON object or array", document.to_string()));
    }
    let text = document.to_string();
    if text.len() > DOCUMENT_BYTES_MAX {
        let (limit, value) = (DOCUMENT_BYTES_MAX as u64, text.len() as u64);
        return Err(HarvestError::new(
            harvest::HarvestCode::LimitExceeded,
            format!("the document is {value} bytes as JSON, at most {limit} are kept: split it"),
        )
        .with("limit", limit)
        .with("value", value));
    }
    let existed = find(tx, at)?.is_some();
    let tags = joined(tags);
    let (id, updated_at): (i64, i64) = tx
        .query_row(
            "INSERT INTO catalog(target_id, schema, kind, key, document, tags, links, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)
             ON CONFLICT(target_id, schema, kind, key) DO UPDATE SET document = excluded.document,
               tags = excluded.tags, links = excluded.links, updated_at = excluded.updated_at
             RETURNING id, updated_at",
            params![at.target_id, at.schema, at.kind, at.key, text, tags, joined(links), now()],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )
        .db()?;
    tx.execute("DELETE FROM catalog_tags WHERE entry_id = ?1", [id]).db()?;
    for tag in tags.lines() {
        tx.prepare_cached("INSERT INTO catalog_tags(entry_id, tag) VALUES (?1, ?2)")
            .db()?
            .execute((id, tag))
            .db()?;
    }
    Ok(KvUpserted {
        id,
        schema: at.schema.clone(),
        kind: at.kind.clone(),
        key: at.key.clone(),
        action: if existed { "updated" } else { "inserted" }.to_owned(),
        updated_at,
    })
}

impl Catalog {
    /// Writes or replaces an entry.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a document that is no object or array, `LIMIT_EXCEEDED`.
    pub fn kv_upsert(
        &self,
        at: &KvKey,
        document: &Json,
        tags: &[String],
        links: &[String],
    ) -> HarvestResult<KvUpserted> {
        self.store().write(|tx| put(tx, at, document, tags, links))
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn kv_get(&self, at: &KvKey) -> HarvestResult<KvGot> {
        self.store().read(|c| {
            find(c, at)?.map(|entry| KvGot { entry }).ok_or_else(|| fail::not_found("entry", at.key.clone()))
        })
    }

    /// Entries by schema, kind, key.
    ///
    /// # Errors
    /// Those of the store.
    pub fn kv_list(&self, filter: &KvFilter, limit: usize, offset: usize) -> HarvestResult<KvList> {
        self.store().read(|c| {
            let given = (filter.targets_json(), &filter.schema, &filter.kind);
            let total: i64 = c
                .prepare_cached(&format!("SELECT COUNT(*) FROM catalog e WHERE {FILTER}"))
                .db()?
                .query_row(params![given.0, given.1, given.2], |r| r.get(0))
                .db()?;
            let sql = format!(
                "SELECT {ENTRY} FROM catalog e WHERE {FILTER} ORDER BY e.schema, e.kind, e.key, e.target_id
                 LIMIT ?4 OFFSET ?5"
            );
            let mut statement = c.prepare_cached(&sql).db()?;
            let rows = statement
                .query_map(params![given.0, given.1, given.2, limit as i64, offset as i64], entry)
                .db()?;
            Ok(KvList { total: total.unsigned_abs(), results: rows.collect::<rusqlite::Result<_>>().db()? })
        })
    }

    /// Deletes an entry.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn kv_delete(&self, at: &KvKey) -> HarvestResult<KvDeleted> {
        self.store().write(|tx| {
            let deleted = tx
                .execute(
                    "DELETE FROM catalog WHERE target_id = ?1 AND schema = ?2 AND kind = ?3 AND key = ?4",
                    (&at.target_id, &at.schema, &at.kind, &at.key),
                )
                .db()?;
            if deleted == 0 {
                return Err(fail::not_found("entry", at.key.clone()));
            }
            Ok(KvDeleted { deleted: deleted as u64 })
        })
    }

    /// Deletes every entry that the filter means.
    ///
    /// # Errors
    /// Those of the store.
    pub fn kv_clear(&self, filter: &KvFilter) -> HarvestResult<KvDeleted> {
        self.store().write(|tx| {
            let sql = format!("DELETE FROM catalog AS e WHERE {FILTER}");
            let deleted =
                tx.execute(&sql, params![filter.targets_json(), filter.schema, filter.kind]).db()?;
            Ok(KvDeleted { deleted: deleted as u64 })
        })
    }
}
