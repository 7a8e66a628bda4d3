//! Tags of objects, gathered from what agents recorded: note tags, domain keys, synonyms of summaries.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use harvest::HarvestResult;
use rusqlite::{Connection, params};
use serde_json::Value as Json;

use crate::fail::StoreResult;

/// Tags at most per object, so that a search row stays small.
const TAGS_MAX: usize = 64;

const NOTE_TAGS: &str = "SELECT n.object_uid, j.value FROM llm_notes n, json_each(n.tags_json) j
  WHERE n.target_id = ?1 AND n.object_uid IS NOT NULL AND (?2 IS NULL OR n.object_uid = ?2)";
const DOMAIN_TAGS: &str = "SELECT m.object_uid, d.domain_key FROM llm_domain_members m
  JOIN llm_domains d ON d.domain_id = m.domain_id WHERE m.target_id = ?1 AND (?2 IS NULL OR m.object_uid = ?2)";
const SYNONYMS: &str = "SELECT object_uid, summary_json FROM llm_object_summaries
  WHERE target_id = ?1 AND (?2 IS NULL OR object_uid = ?2)
  AND (summary_json -> 'synonyms' IS NOT NULL OR summary_json -> 'tags' IS NOT NULL)";

fn gather(
    c: &Connection,
    target_id: &str,
    uid: Option<&str>,
) -> HarvestResult<BTreeMap<String, BTreeSet<String>>> {
    let mut tags: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |uid: String, tag: &str| {
        let set = tags.entry(uid).or_default();
        let tag = tag.replace('\n', " ");
        if !tag.trim().is_empty() && set.len() < TAGS_MAX {
            set.insert(tag.trim().to_owned());
        }
    };
    for sql in [NOTE_TAGS, DOMAIN_TAGS] {
        let mut statement = c.prepare_cached(sql).db()?;
        let rows = statement
            .query_map(params![target_id, uid], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)))
            .db()?;
        for row in rows {
            let (uid, tag) = row.db()?;
            add(uid, &tag);
        }
    }
    let mut statement = c.prepare_cached(SYNONYMS).db()?;
    let rows = statement
        .query_map(params![target_id, uid], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)))
        .db()?;
    for row in rows {
        let (uid, summary) = row.db()?;
        let summary: Json = serde_json::from_str(&summary).unwrap_or_default();
        for field in ["synonyms", "tags"] {
            for word in summary[field].as_array().into_iter().flatten().filter_map(Json::as_str) {
                add(uid.clone(), word);
            }
        }
    }
    Ok(tags)
}

/// Tags of every object of a target that has some, one a line.
pub(crate) fn of_target(c: &Connection, target_id: &str) -> HarvestResult<HashMap<String, String>> {
    let tags = gather(c, target_id, None)?;
    Ok(tags.into_iter().map(|(uid, set)| (uid, joined(&set))).collect())
}

/// Writes the tags of one object into its search rows of every run.
pub(crate) fn refresh(c: &Connection, target_id: &str, uid: &str) -> HarvestResult<()> {
    let tags = gather(c, target_id, Some(uid))?.remove(uid).unwrap_or_default();
    c.prepare_cached(
        "UPDATE fts_objects SET tags = ?1 WHERE rowid IN (SELECT content_id FROM contents WHERE object_uid = ?2)
         AND tags IS NOT ?1",
    )
    .db()?
    .execute((joined(&tags), uid))
    .db()
    .map(drop)
}

fn joined(tags: &BTreeSet<String>) -> String {
    tags.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
}

/// Takes a stored list apart.
pub(crate) fn list(tags: &str) -> Vec<String> {
    tags.lines().filter(|t| !t.is_empty()).map(str::to_owned).collect()
}
