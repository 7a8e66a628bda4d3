//! Jobs and their error rows; it knows no worker.

use ai_core::AiResult;
use rusqlite::{Connection, params};

use super::Store;
use crate::ids::now_s;
use crate::records::{JobRow, JobState, SyncErrorRow};
use crate::sql::{optional, sql};

/// Error rows kept of one job; the rest is only counted.
pub(crate) const ERRORS_MAX: i64 = 1000;

/// Days that finished jobs are kept.
const JOB_DAYS: i64 = 30;

fn job(r: &rusqlite::Row<'_>) -> rusqlite::Result<JobRow> {
    let state: String = r.get(2)?;
    Ok(JobRow {
        job_id: r.get(0)?,
        kind: r.get(1)?,
        state: JobState::parse(&state),
        requested_by: r.get(3)?,
        sources_json: super::read::json_column(r, 4)?,
        dry_run: r.get(5)?,
        created_at: r.get(6)?,
        started_at: r.get(7)?,
        finished_at: r.get(8)?,
        progress: super::read::json_column(r, 9)?,
        error: r.get(10)?,
    })
}

const COLUMNS: &str =
    "job_id, kind, state, requested_by, sources_json, dry_run, created_at, started_at, finished_at,
    progress_json, error";

/// One job.
pub(crate) fn by_id(connection: &Connection, job_id: &str) -> AiResult<Option<JobRow>> {
    optional(connection.query_row(
        &format!("SELECT {COLUMNS} FROM rag_sync_jobs WHERE job_id = ?1"),
        [job_id],
        job,
    ))
}

/// Jobs, latest first, after a position.
pub(crate) fn page(connection: &Connection, n: usize, skip: usize) -> AiResult<Vec<JobRow>> {
    let mut statement = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM rag_sync_jobs ORDER BY created_at DESC, rowid DESC LIMIT ?1 OFFSET ?2"
        ))
        .map_err(sql)?;
    let rows = statement.query_map([n as i64, skip as i64], job).map_err(sql)?;
    rows.collect::<rusqlite::Result<_>>().map_err(sql)
}

/// Jobs that a stopped process left unfinished, oldest first.
pub(crate) fn unfinished(connection: &Connection) -> AiResult<Vec<JobRow>> {
    let mut statement = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM rag_sync_jobs WHERE state IN ('queued', 'running') ORDER BY created_at, rowid"
        ))
        .map_err(sql)?;
    let rows = statement.query_map([], job).map_err(sql)?;
    rows.collect::<rusqlite::Result<_>>().map_err(sql)
}

/// The first error rows of a job.
pub(crate) fn errors(connection: &Connection, job_id: &str, n: usize) -> AiResult<Vec<SyncErrorRow>> {
    let mut statement = connection
        .prepare_cached(
            "SELECT source_id, key_json, stage, code, message FROM rag_sync_errors WHERE job_id = ?1 ORDER BY rowid LIMIT ?2",
        )
        .map_err(sql)?;
    let rows = statement
        .query_map(params![job_id, n as i64], |r| {
            Ok(SyncErrorRow {
                source_id: r.get(0)?,
                key_json: r.get(1)?,
                stage: r.get(2)?,
                code: r.get(3)?,
                message: r.get(4)?,
            })
        })
        .map_err(sql)?;
    rows.collect::<rusqlite::Result<_>>().map_err(sql)
}

impl Store {
    /// Writes a job's present state.
    pub(crate) fn put_job(&self, j: &JobRow) -> AiResult<()> {
        self.write(|c| {
            c.execute(
                "INSERT INTO rag_sync_jobs (job_id, kind, state, requested_by, sources_json, dry_run, created_at, started_at,
                   heartbeat_at, finished_at, progress_json, error)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
                 ON CONFLICT (job_id) DO UPDATE SET state = ?3, started_at = ?8, heartbeat_at = ?9, finished_at = ?10,
                   progress_json = ?11, error = ?12",
                params![
                    j.job_id, j.kind, j.state.as_str(), j.requested_by, j.sources_json.to_string(), j.dry_run, j.created_at,
                    j.started_at, now_s(), j.finished_at, j.progress.to_string(), j.error
                ],
            )
            .map_err(sql)?;
            if j.state.is_final() {
                let before = now_s() - JOB_DAYS * 86_400;
                c.execute(
                    "DELETE FROM rag_sync_errors WHERE job_id IN (SELECT job_id FROM rag_sync_jobs WHERE finished_at < ?1)",
                    [before],
                )
                .map_err(sql)?;
                c.execute("DELETE FROM rag_sync_jobs WHERE finished_at < ?1", [before]).map_err(sql)?;
            }
            Ok(())
        })
    }

    /// Adds error rows of a job, up to the bound.
    pub(crate) fn add_errors(&self, job_id: &str, rows: &[SyncErrorRow]) -> AiResult<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.write(|c| {
            let held: i64 = c
                .query_row("SELECT count(*) FROM rag_sync_errors WHERE job_id = ?1", [job_id], |r| r.get(0))
                .map_err(sql)?;
            for row in rows.iter().take((ERRORS_MAX - held).max(0) as usize) {
                c.execute(
                    "INSERT INTO rag_sync_errors (job_id, source_id, key_json, stage, code, message, at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![job_id, row.source_id, row.key_json, row.stage, row.code, row.message, now_s()],
                )
                .map_err(sql)?;
            }
            Ok(())
        })
    }
}
