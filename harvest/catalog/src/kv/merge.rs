//! Merges entries into one: deep merge in key order, losers of conflicts kept, sources linked or deleted.

use harvest::HarvestResult;
use rusqlite::{Transaction, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::catalog::Catalog;
use crate::fail::{self, StoreResult};
use crate::store::now;

use super::{ENTRY, KvEntry, KvKey, entry, find, put};

/// Entries to merge.
#[derive(Debug, Clone, Default)]
// Exhaustive: callers fill every field from their arguments.
pub struct KvMerge {
    /// Keys of the sources, in the order of merging.
    pub keys: Vec<String>,
    /// Where the result goes.
    pub target: KvKey,
    /// Kind of the sources; `None` means any, unless a key has several.
    pub source_kind: Option<String>,
    /// The caller's words, kept in the log.
    pub instructions: Option<String>,
    /// Delete the sources instead of linking them to the result.
    pub delete_sources: bool,
    /// Who merges.
    pub caller: String,
}

/// Entries were merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct KvMerged {
    pub id: i64,
    pub target_key: String,
    /// Number of sources.
    pub merged: u64,
    /// Entry of the merge log.
    pub merge_id: i64,
}

const CONFLICTS: &str = "_conflicts";

impl Catalog {
    /// Merges entries into one, as one unit.
    ///
    /// # Errors
    /// `NOT_FOUND` for any key (nothing is changed then), `CONFLICT` for a key of several kinds.
    pub fn kv_merge(&self, request: &KvMerge) -> HarvestResult<KvMerged> {
        self.store().write(|tx| {
            let mut sources = Vec::new();
            for key in &request.keys {
                sources.push(source(tx, request, key)?);
            }
            let mut merged = Json::Object(Map::new());
            let mut conflicts = Map::new();
            let (mut tags, mut links) = (Vec::new(), Vec::new());
            let before = find(tx, &request.target)?;
            let is_target = |s: &KvEntry| before.as_ref().is_some_and(|b| b.id == s.id);
            // What is at the target already is the first layer, unless it is a source itself.
            let present = before.as_ref().filter(|b| sources.iter().all(|s| s.id != b.id));
            for one in present.into_iter().chain(&sources) {
                let document = match &one.document {
                    Json::Array(items) => json!({ "items": items }),
                    other => other.clone(),
                };
                merge(&mut merged, document, "", &mut conflicts);
                tags.extend(one.tags.iter().cloned());
                links.extend(one.links.iter().cloned());
            }
            if let (Json::Object(map), false) = (&mut merged, conflicts.is_empty()) {
                map.insert(CONFLICTS.to_owned(), Json::Object(conflicts));
            }
            let written = put(tx, &request.target, &merged, &tags, &links)?;
            for one in sources.iter().filter(|s| !is_target(s)) {
                settle(tx, request, one)?;
            }
            let merge_id: i64 = tx
                .query_row(
                    "INSERT INTO merge_log(target_id, schema, kind, target_key, source_keys, instructions, caller,
                       created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id",
                    params![
                        request.target.target_id,
                        request.target.schema,
                        request.target.kind,
                        request.target.key,
                        json!(request.keys).to_string(),
                        request.instructions,
                        request.caller,
                        now()
                    ],
                    |r| r.get(0),
                )
                .db()?;
            Ok(KvMerged {
                id: written.id,
                target_key: request.target.key.clone(),
                merged: sources.len() as u64,
                merge_id,
            })
        })
    }
}

fn source(tx: &Transaction<'_>, request: &KvMerge, key: &str) -> HarvestResult<KvEntry> {
    let sql = format!(
        "SELECT {ENTRY} FROM catalog e WHERE target_id = ?1 AND schema = ?2 AND key = ?3
         AND (?4 IS NULL OR kind = ?4) ORDER BY kind LIMIT 20"
    );
    let mut statement = tx.prepare_cached(&sql).db()?;
    let rows = statement
        .query_map(params![request.target.target_id, request.target.schema, key, request.source_kind], entry)
        .db()?;
    let mut found: Vec<KvEntry> = rows.collect::<rusqlite::Result<_>>().db()?;
    if found.len() > 1 {
        let kinds: Vec<&str> = found.iter().map(|e| e.kind.as_str()).collect();
        return Err(fail::conflict(format!("{key} exists in several kinds: pass source_kind"))
            .with("candidates", json!(kinds)));
    }
    found.pop().ok_or_else(|| fail::not_found("entry", key))
}

fn settle(tx: &Transaction<'_>, request: &KvMerge, one: &KvEntry) -> HarvestResult<()> {
    if request.delete_sources {
        tx.execute("DELETE FROM catalog WHERE id = ?1", [one.id]).db()?;
        return Ok(());
    }
    let mut links = one.links.clone();
    links.push(format!("{}:{}", request.target.kind, request.target.key));
    let at = KvKey {
        target_id: one.target_id.clone(),
        schema: one.schema.clone(),
        kind: one.kind.clone(),
        key: one.key.clone(),
    };
    put(tx, &at, &one.document, &one.tags, &links).map(drop)
}

/// Objects by key, arrays united, scalars: the later wins and the loser is kept by path.
fn merge(into: &mut Json, from: Json, path: &str, conflicts: &mut Map<String, Json>) {
    match (into, from) {
        (Json::Object(a), Json::Object(b)) => {
            for (key, value) in b {
                if path.is_empty() && key == CONFLICTS {
                    if let Json::Object(old) = value {
                        conflicts.extend(old);
                    }
                    continue;
                }
                let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match a.get_mut(&key) {
                    Some(present) => merge(present, value, &at, conflicts),
                    None => {
                        a.insert(key, value);
                    }
                }
            }
        }
        (Json::Array(a), Json::Array(b)) => {
            for item in b {
                if !a.contains(&item) {
                    a.push(item);
                }
            }
        }
        (a, b) if *a == b => {}
        (a, b) => {
            let loser = std::mem::replace(a, b);
            if let Json::Array(list) = conflicts.entry(path).or_insert_with(|| json!([]))
                && !list.contains(&loser)
            {
                list.push(loser);
            }
        }
    }
}
