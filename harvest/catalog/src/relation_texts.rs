//! The words and the links of all relations of a run, read in bulk for whoever ranks them; it ranks nothing.

use std::collections::HashMap;

use harvest::HarvestResult;
use rusqlite::{Connection, params};

use crate::catalog::Catalog;
use crate::content;
use crate::fail::StoreResult;

/// Columns of one relation whose words are read.
const COLUMNS_MAX: usize = 300;
/// Characters of agents' words about one relation.
const NOTES_CHARS_MAX: usize = 4_000;
/// Links that are read.
const LINKS_MAX: i64 = 200_000;
/// What a view has to do with its sources, as a confidence.
const VIEW_CONFIDENCE: f64 = 0.7;

/// The words of a table or view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RelationText {
    /// Id within the run.
    pub object_id: i64,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// table, view or materialized_view.
    pub object_type: String,
    /// The partitioned table, if this is one of its partitions.
    pub partition_of: Option<String>,
    /// The engine's comment.
    pub comment: String,
    /// Names and comments of the columns, in their order.
    pub columns: Vec<(String, String)>,
    /// What agents wrote: summary, notes, tags, domains.
    pub notes: String,
}

/// Two relations that are joined: a declared key, an inferred or a recorded reference, or a view and its source.
// Exhaustive on purpose: two ends and a weight are all that a link is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RelationLink {
    /// The referring object.
    pub child_id: i64,
    /// The object that is referred to.
    pub parent_id: i64,
    /// 1 for declared keys.
    pub confidence: f64,
}

const RELATIONS: &str =
    "SELECT o.object_id, o.object_uid, o.schema_name, o.object_name, o.object_type, o.object_comment,
    CASE WHEN o.object_subtype = 'partition' THEN o.parent_object END, f.tags
  FROM objects o LEFT JOIN fts_objects f ON f.rowid = o.content_id
  WHERE o.run_id = ?1 AND o.object_type IN ('table', 'view', 'materialized_view')
    AND (?2 IS NULL OR o.schema_name = ?2) ORDER BY o.object_id";
const DETAILS: &str =
    "SELECT r.object_id, c.detail FROM run_objects r JOIN contents c ON c.content_id = r.content_id
  WHERE r.run_id = ?1 AND c.object_type IN ('table', 'view', 'materialized_view')
    AND (?2 IS NULL OR c.schema_name = ?2)";
const NOTES: &str = "SELECT object_uid, title || ' ' || body FROM fts_llm
  WHERE target_id = ?1 AND kind IN ('summary', 'note') AND object_uid IS NOT NULL ORDER BY rowid DESC";
const DOMAINS: &str = "SELECT m.object_uid, d.title FROM llm_domain_members m
  JOIN llm_domains d ON d.domain_id = m.domain_id WHERE m.target_id = ?1 ORDER BY d.domain_id DESC";
const LINKS: &str = "SELECT ch.object_id, p.object_id, 1.0 FROM run_objects ch
    CROSS JOIN content_foreign_keys k ON k.content_id = ch.content_id
    CROSS JOIN contents pc ON pc.object_name = k.parent_object_name AND pc.schema_name = k.parent_schema_name
      AND pc.object_type IN ('table', 'view', 'materialized_view')
    CROSS JOIN run_objects p ON p.run_id = ch.run_id AND p.content_id = pc.content_id WHERE ch.run_id = ?1
  UNION ALL SELECT child_object_id, parent_object_id, confidence FROM inferred_relationships WHERE run_id = ?1
  UNION ALL SELECT ch.object_id, p.object_id, r.confidence FROM llm_relationships r
    JOIN objects ch ON ch.object_uid = r.child_uid AND ch.run_id = ?1
    JOIN objects p ON p.object_uid = r.parent_uid AND p.run_id = ?1 WHERE r.target_id = ?2
  UNION ALL SELECT d.view_object_id, d.depends_on_object_id, ?3 FROM view_dependencies d
    JOIN objects o ON o.object_id = d.view_object_id WHERE o.run_id = ?1 AND d.depends_on_object_id IS NOT NULL
  LIMIT ?4";

impl Catalog {
    /// The words of all tables and views of a run, or of one schema of it, by object id.
    ///
    /// # Errors
    /// Those of the store.
    pub fn relation_texts(
        &self,
        target_id: &str,
        run_id: i64,
        schema: Option<&str>,
    ) -> HarvestResult<Vec<RelationText>> {
        self.store().read(|c| {
            let (mut list, by_uid) = relations(c, run_id, schema)?;
            columns(c, run_id, schema, &mut list)?;
            for sql in [NOTES, DOMAINS] {
                notes(c, sql, target_id, &by_uid, &mut list)?;
            }
            Ok(list)
        })
    }

    /// The links between relations of a run; a pair may come more than once.
    ///
    /// # Errors
    /// Those of the store.
    pub fn relation_links(&self, target_id: &str, run_id: i64) -> HarvestResult<Vec<RelationLink>> {
        self.store().read(|c| {
            let mut statement = c.prepare_cached(LINKS).db()?;
            let rows = statement
                .query_map(params![run_id, target_id, VIEW_CONFIDENCE, LINKS_MAX], |r| {
                    Ok(RelationLink { child_id: r.get(0)?, parent_id: r.get(1)?, confidence: r.get(2)? })
                })
                .db()?;
            rows.collect::<rusqlite::Result<_>>().db()
        })
    }
}

type ByUid = HashMap<String, usize>;

fn relations(c: &Connection, run_id: i64, schema: Option<&str>) -> HarvestResult<(Vec<RelationText>, ByUid)> {
    let mut statement = c.prepare_cached(RELATIONS).db()?;
    let rows = statement
        .query_map(params![run_id, schema], |r| {
            let text = RelationText {
                object_id: r.get(0)?,
                schema: r.get(2)?,
                name: r.get(3)?,
                object_type: r.get(4)?,
                comment: r.get(5)?,
                partition_of: r.get(6)?,
                columns: Vec::new(),
                notes: r.get::<_, Option<String>>(7)?.unwrap_or_default(),
            };
            Ok((r.get::<_, String>(1)?, text))
        })
        .db()?;
    let (mut list, mut by_uid) = (Vec::new(), HashMap::new());
    for row in rows {
        let (uid, text) = row.db()?;
        by_uid.insert(uid, list.len());
        list.push(text);
    }
    Ok((list, by_uid))
}

fn columns(
    c: &Connection,
    run_id: i64,
    schema: Option<&str>,
    list: &mut [RelationText],
) -> HarvestResult<()> {
    let mut statement = c.prepare_cached(DETAILS).db()?;
    let mut rows = statement.query(params![run_id, schema]).db()?;
    while let Some(row) = rows.next().db()? {
        let object_id: i64 = row.get(0).db()?;
        let Ok(at) = list.binary_search_by_key(&object_id, |text| text.object_id) else { continue };
        let detail = row.get_ref(1).db()?.as_str().map_err(rusqlite::Error::from).db()?;
        let columns = content::columns(detail)?.into_iter().take(COLUMNS_MAX);
        list[at].columns = columns.map(|c| (c.meta.name, c.meta.comment)).collect();
    }
    Ok(())
}

fn notes(
    c: &Connection,
    sql: &str,
    target_id: &str,
    by_uid: &ByUid,
    list: &mut [RelationText],
) -> HarvestResult<()> {
    let mut statement = c.prepare_cached(sql).db()?;
    let mut rows = statement.query([target_id]).db()?;
    while let Some(row) = rows.next().db()? {
        let uid: String = row.get(0).db()?;
        let Some(at) = by_uid.get(&uid) else { continue };
        let notes = &mut list[*at].notes;
        let left = NOTES_CHARS_MAX.saturating_sub(notes.len());
        if left > 0 {
            let text: String = row.get(1).db()?;
            notes.push(' ');
            notes.extend(text.chars().take(left));
        }
    }
    Ok(())
}
