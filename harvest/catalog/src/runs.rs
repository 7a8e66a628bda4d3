//! Runs and attempts of a target: listing, pinning, deletion, retention; it harvests nothing.

use std::collections::BTreeMap;

use harvest::HarvestResult;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::catalog::Catalog;
use crate::fail::{self, StoreResult};
use crate::llm_index;
use crate::store::now;

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct RunRow {
    pub run_id: i64,
    pub protocol: String,
    pub server_version: String,
    /// Unix seconds.
    pub started_at: i64,
    /// Unix seconds.
    pub finished_at: i64,
    /// Names of the schemas that it holds.
    pub schemas: Vec<String>,
    /// Objects by type.
    pub objects: BTreeMap<String, u64>,
    pub notes: String,
    /// Kept by retention.
    pub pinned: bool,
    pub base_run_id: Option<i64>,
    /// Agent runs on it.
    pub agent_runs: i64,
    /// Summaries written on it.
    pub summaries: i64,
}

/// An attempt to harvest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct AttemptRow {
    pub attempt_id: i64,
    /// Unix seconds.
    pub started_at: i64,
    /// Unix seconds.
    pub finished_at: Option<i64>,
    /// running, failed, cancelled or committed.
    pub status: String,
    /// Where it is or ended.
    pub stage: String,
    pub error_text: Option<String>,
}

/// A page of runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RunList {
    /// Runs, newest first.
    pub runs: Vec<RunRow>,
    /// Attempts, newest first, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Vec<AttemptRow>>,
    /// Where the next page starts.
    #[serde(skip)]
    pub next_offset: Option<usize>,
}

/// What a deletion removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DeletedRun {
    /// The run.
    pub run_id: i64,
    /// Rows removed by table.
    pub deleted: BTreeMap<String, u64>,
    /// Records of agents that stay, linked by object identity.
    pub kept_llm: u64,
}

/// Attempts that a list shows.
const ATTEMPTS_MAX: usize = 50;

impl Catalog {
    /// Runs of a target, newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub fn list_runs(
        &self,
        target_id: &str,
        schema: Option<&str>,
        include_attempts: bool,
        limit: usize,
        offset: usize,
    ) -> HarvestResult<RunList> {
        self.store().read(|c| {
            let mut runs = run_rows(c, target_id, schema, limit.saturating_add(1), offset)?;
            let next_offset = (runs.len() > limit).then_some(offset.saturating_add(limit));
            runs.truncate(limit);
            let attempts = if include_attempts { Some(attempts(c, target_id)?) } else { None };
            Ok(RunList { runs, attempts, next_offset })
        })
    }

    /// Pins a run against retention and deletion, or releases it.
    ///
    /// # Errors
    /// `NOT_FOUND` for a run of another target.
    pub fn pin_run(&self, target_id: &str, run_id: i64, pinned: bool) -> HarvestResult<()> {
        self.store().write(|tx| {
            let changed = tx
                .execute(
                    "UPDATE runs SET pinned = ?3 WHERE target_id = ?1 AND run_id = ?2",
                    params![target_id, run_id, pinned],
                )
                .db()?;
            if changed == 1 { Ok(()) } else { Err(fail::not_found("run", run_id.to_string())) }
        })
    }

    /// Deletes a run with its search rows; records of agents stay unless `delete_llm`.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FAILED_PRECONDITION` for a pinned run or one that an agent works on.
    pub fn delete_run(&self, target_id: &str, run_id: i64, delete_llm: bool) -> HarvestResult<DeletedRun> {
        self.store().write(|tx| {
            let pinned: Option<bool> = tx
                .query_row(
                    "SELECT pinned FROM runs WHERE target_id = ?1 AND run_id = ?2",
                    (target_id, run_id),
                    |r| r.get(0),
                )
                .optional()
                .db()?;
            match pinned {
                None => return Err(fail::not_found("run", run_id.to_string())),
                Some(true) => return Err(fail::precondition("the run is pinned", "release it first")),
                Some(false) => {}
            }
            if has_running_agent(tx, run_id)? {
                return Err(fail::precondition(
                    "an agent run on this run is running",
                    "finish the agent run first",
                ));
            }
            delete(tx, run_id, delete_llm)
        })
    }

    /// Applies retention: runs beyond the count or the age are deleted, oldest first, but never the latest, a pinned
    /// one or one that an agent works on.
    pub(crate) fn retain_runs(&self, target_id: &str, runs_max: usize, days: u32) -> HarvestResult<Vec<i64>> {
        self.store().write(|tx| {
            let mut statement = tx
                .prepare_cached(
                    "SELECT run_id, finished_at, pinned FROM runs WHERE target_id = ?1 ORDER BY run_id DESC",
                )
                .db()?;
            let rows = statement
                .query_map([target_id], |r| {
                    Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?, r.get::<_, bool>(2)?))
                })
                .db()?;
            let runs: Vec<(i64, i64, bool)> = rows.collect::<rusqlite::Result<_>>().db()?;
            drop(statement);
            let oldest = now().saturating_sub(i64::from(days) * 86_400);
            let mut deleted = Vec::new();
            for (at, (run_id, finished_at, pinned)) in runs.into_iter().enumerate().skip(1).rev() {
                let too_many = at >= runs_max.max(1);
                let too_old = days > 0 && finished_at < oldest;
                if (too_many || too_old) && !pinned && !has_running_agent(tx, run_id)? {
                    delete(tx, run_id, false)?;
                    deleted.push(run_id);
                }
            }
            Ok(deleted)
        })
    }
}

fn has_running_agent(c: &Connection, run_id: i64) -> HarvestResult<bool> {
    c.query_row(
        "SELECT EXISTS(SELECT 1 FROM agent_runs WHERE run_id = ?1 AND status = 'running')",
        [run_id],
        |r| r.get(0),
    )
    .db()
}

fn run_rows(
    c: &Connection,
    target_id: &str,
    schema: Option<&str>,
    limit: usize,
    offset: usize,
) -> HarvestResult<Vec<RunRow>> {
    let mut statement = c
        .prepare_cached(
            "SELECT run_id, protocol, server_version, started_at, finished_at, counts_json, notes, pinned, base_run_id,
               (SELECT json_group_array(schema_name) FROM (SELECT schema_name FROM schemas s WHERE s.run_id = r.run_id
                  ORDER BY schema_name)),
               (SELECT COUNT(*) FROM agent_runs a WHERE a.run_id = r.run_id),
               (SELECT COUNT(*) FROM llm_object_summaries l WHERE l.run_id = r.run_id)
             FROM runs r WHERE target_id = ?1 AND (?2 IS NULL OR EXISTS (SELECT 1 FROM schemas s
               WHERE s.run_id = r.run_id AND s.schema_name = ?2)) ORDER BY run_id DESC LIMIT ?3 OFFSET ?4",
        )
        .db()?;
    let rows = statement
        .query_map(params![target_id, schema, limit as i64, offset as i64], |r| {
            let counts: String = r.get(5)?;
            let counts: Json = serde_json::from_str(&counts).unwrap_or_default();
            let schemas: String = r.get(9)?;
            Ok(RunRow {
                run_id: r.get(0)?,
                protocol: r.get(1)?,
                server_version: r.get(2)?,
                started_at: r.get(3)?,
                finished_at: r.get(4)?,
                schemas: serde_json::from_str(&schemas).unwrap_or_default(),
                objects: serde_json::from_value(counts["objects"].clone()).unwrap_or_default(),
                notes: r.get(6)?,
                pinned: r.get(7)?,
                base_run_id: r.get(8)?,
                agent_runs: r.get(10)?,
                summaries: r.get(11)?,
            })
        })
        .db()?;
    rows.collect::<rusqlite::Result<_>>().db()
}

fn attempts(c: &Connection, target_id: &str) -> HarvestResult<Vec<AttemptRow>> {
    let mut statement = c
        .prepare_cached(
            "SELECT attempt_id, started_at, finished_at, status, stage, error_text FROM discovery_attempts
             WHERE target_id = ?1 ORDER BY attempt_id DESC LIMIT ?2",
        )
        .db()?;
    let rows = statement
        .query_map(params![target_id, ATTEMPTS_MAX as i64], |r| {
            Ok(AttemptRow {
                attempt_id: r.get(0)?,
                started_at: r.get(1)?,
                finished_at: r.get(2)?,
                status: r.get(3)?,
                stage: r.get(4)?,
                error_text: r.get(5)?,
            })
        })
        .db()?;
    rows.collect::<rusqlite::Result<_>>().db()
}

fn delete(tx: &Transaction<'_>, run_id: i64, delete_llm: bool) -> HarvestResult<DeletedRun> {
    let mut deleted = BTreeMap::new();
    let mut kept_llm = 0;
    for (table, _) in llm_index::RECORD_TABLES {
        let count: i64 = tx
            .query_row(&format!("SELECT COUNT(*) FROM {table} WHERE run_id = ?1"), [run_id], |r| r.get(0))
            .db()?;
        if !delete_llm {
            kept_llm += count.unsigned_abs();
        } else if count > 0 {
            deleted.insert((*table).to_owned(), count.unsigned_abs());
        }
    }
    if delete_llm {
        llm_index::delete_of_run(tx, run_id)?;
        let agents = tx.execute("DELETE FROM agent_runs WHERE run_id = ?1", [run_id]).db()?;
        if agents > 0 {
            deleted.insert("agent_runs".to_owned(), agents as u64);
        }
    }
    count_parts(tx, run_id, &mut deleted)?;
    // What other runs hold as well stays.
    tx.execute_batch(
        "CREATE TEMP TABLE IF NOT EXISTS gone(content_id INTEGER PRIMARY KEY); DELETE FROM temp.gone",
    )
    .db()?;
    const STATEMENTS: [(&str, &str); 10] = [
        (
            "",
            "INSERT INTO temp.gone SELECT content_id FROM run_objects r WHERE run_id = ?1 AND NOT EXISTS
               (SELECT 1 FROM run_objects o WHERE o.content_id = r.content_id AND o.run_id <> r.run_id)",
        ),
        ("", "DELETE FROM deep_profiles WHERE run_id = ?1"),
        (
            "",
            "DELETE FROM content_relationships WHERE set_id = (SELECT inferred_set FROM runs WHERE run_id = ?1)
               AND NOT EXISTS (SELECT 1 FROM runs o WHERE o.inferred_set = set_id AND o.run_id <> ?1)",
        ),
        ("objects", "DELETE FROM run_objects WHERE run_id = ?1"),
        (
            "fts_objects",
            "DELETE FROM fts_objects WHERE rowid IN (SELECT content_id FROM temp.gone) AND ?1 IS NOT NULL",
        ),
        (
            "",
            "DELETE FROM content_foreign_keys WHERE content_id IN (SELECT content_id FROM temp.gone) AND ?1 IS NOT NULL",
        ),
        (
            "",
            "DELETE FROM content_dependencies WHERE content_id IN (SELECT content_id FROM temp.gone) AND ?1 IS NOT NULL",
        ),
        ("", "DELETE FROM contents WHERE content_id IN (SELECT content_id FROM temp.gone) AND ?1 IS NOT NULL"),
        ("schemas", "DELETE FROM schemas WHERE run_id = ?1"),
        ("runs", "DELETE FROM runs WHERE run_id = ?1"),
    ];
    for (table, sql) in STATEMENTS {
        let rows = tx.execute(sql, [run_id]).db()?;
        if !table.is_empty() {
            deleted.insert(table.to_owned(), rows as u64);
        }
    }
    Ok(DeletedRun { run_id, deleted, kept_llm })
}

/// Rows of the run that are stored as parts of its objects.
fn count_parts(tx: &Transaction<'_>, run_id: i64, deleted: &mut BTreeMap<String, u64>) -> HarvestResult<()> {
    let counts: String =
        tx.query_row("SELECT counts_json FROM runs WHERE run_id = ?1", [run_id], |r| r.get(0)).db()?;
    let counts: Json = serde_json::from_str(&counts).unwrap_or_default();
    for part in
        ["columns", "indexes", "foreign_keys", "constraints", "view_dependencies", "inferred_relationships"]
    {
        deleted.insert(part.to_owned(), counts[part].as_u64().unwrap_or_default());
    }
    let profiles: i64 = tx
        .query_row(
            "SELECT (SELECT COUNT(*) FROM deep_profiles WHERE run_id = ?1)
               + (SELECT COUNT(*) FROM runs u JOIN objects o ON o.run_id = u.run_id WHERE u.run_id = ?1
                  AND u.quick_profiles AND o.object_type IN ('table', 'view', 'materialized_view'))",
            [run_id],
            |r| r.get(0),
        )
        .db()?;
    deleted.insert("profiles".to_owned(), profiles.unsigned_abs());
    Ok(())
}
