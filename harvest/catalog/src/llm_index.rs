//! The search rows of agents' records: one map gives each record its own row; it knows no record's fields.

use harvest::HarvestResult;
use rusqlite::{Connection, OptionalExtension, params};

use crate::fail::StoreResult;

/// Tables of records with their kinds in the search index.
pub(crate) const RECORD_TABLES: &[(&str, &str)] = &[
    ("llm_object_summaries", "summary"),
    ("llm_relationships", "relationship"),
    ("llm_domains", "domain"),
    ("llm_metrics", "metric"),
    ("llm_question_templates", "question_template"),
    ("llm_notes", "note"),
];

/// What a search row holds.
pub(crate) struct SearchRow<'a> {
    pub(crate) kind: &'static str,
    pub(crate) ref_id: i64,
    pub(crate) key: &'a str,
    pub(crate) title: &'a str,
    pub(crate) body: &'a str,
    pub(crate) tags: &'a str,
    pub(crate) target_id: &'a str,
    pub(crate) run_id: Option<i64>,
    pub(crate) object_uid: Option<&'a str>,
}

/// Writes or replaces the search row of a record.
pub(crate) fn put(c: &Connection, row: &SearchRow<'_>) -> HarvestResult<()> {
    let found: Option<i64> = c
        .prepare_cached("SELECT rowid FROM llm_fts_map WHERE kind = ?1 AND ref_id = ?2")
        .db()?
        .query_row((row.kind, row.ref_id), |r| r.get(0))
        .optional()
        .db()?;
    let rowid: i64 = match found {
        Some(rowid) => {
            c.prepare_cached("DELETE FROM fts_llm WHERE rowid = ?1").db()?.execute([rowid]).db()?;
            rowid
        }
        None => c
            .prepare_cached("INSERT INTO llm_fts_map(kind, ref_id) VALUES (?1, ?2) RETURNING rowid")
            .db()?
            .query_row((row.kind, row.ref_id), |r| r.get(0))
            .db()?,
    };
    c.prepare_cached(
        "INSERT INTO fts_llm(rowid, key, title, body, tags, kind, ref_id, target_id, run_id, object_uid)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )
    .db()?
    .execute(params![
        rowid,
        row.key,
        row.title,
        row.body,
        row.tags,
        row.kind,
        row.ref_id,
        row.target_id,
        row.run_id,
        row.object_uid
    ])
    .db()
    .map(drop)
}

/// Deletes every record of a run that has no life of its own, with its search row. Agent runs go with their records.
pub(crate) fn delete_of_run(c: &Connection, run_id: i64) -> HarvestResult<()> {
    for (table, kind) in RECORD_TABLES {
        let id = id_column(table);
        c.execute(
            &format!(
                "DELETE FROM fts_llm WHERE rowid IN (SELECT rowid FROM llm_fts_map WHERE kind = ?2
                 AND ref_id IN (SELECT {id} FROM {table} WHERE run_id = ?1))"
            ),
            (run_id, kind),
        )
        .db()?;
        c.execute(
            &format!(
                "DELETE FROM llm_fts_map WHERE kind = ?2 AND ref_id IN (SELECT {id} FROM {table} WHERE run_id = ?1)"
            ),
            (run_id, kind),
        )
        .db()?;
        c.execute(&format!("DELETE FROM {table} WHERE run_id = ?1"), [run_id]).db()?;
    }
    Ok(())
}

/// Name of the id column of a table of records.
pub(crate) fn id_column(table: &str) -> &'static str {
    match table {
        "llm_object_summaries" => "summary_id",
        "llm_relationships" => "llm_rel_id",
        "llm_domains" => "domain_id",
        "llm_metrics" => "metric_id",
        "llm_question_templates" => "template_id",
        _ => "note_id",
    }
}
