//! Jobs and their error rows; it knows no worker.

use ai_core::AiResult;

use super::{Store, leases};
use crate::database::{Row, Session, SqlFamily, bind};
use crate::ids::now_s;
use crate::records::{JobRow, JobState, SyncErrorRow};

/// Error rows kept of one job; the rest is only counted.
pub(crate) const ERRORS_MAX: i64 = 1000;

/// Days that finished jobs are kept.
const JOB_DAYS: i64 = 30;

fn job(r: &Row<'_>) -> AiResult<JobRow> {
    let state: String = r.get(2)?;
    Ok(JobRow {
        job_id: r.get(0)?,
        kind: r.get(1)?,
        state: JobState::parse(&state),
        requested_by: r.get(3)?,
        sources_json: r.json(4),
        dry_run: r.get(5)?,
        created_at: r.get(6)?,
        started_at: r.get(7)?,
        finished_at: r.get(8)?,
        progress: r.json(9),
        error: r.get(10)?,
    })
}

const COLUMNS: &str =
    "job_id, kind, state, requested_by, sources_json, dry_run, created_at, started_at, finished_at,
    progress_json, error";

/// The column that tells the order in which rows came.
fn arrival(c: &dyn Session) -> &'static str {
    match c.family() {
        SqlFamily::Sqlite => "rowid",
        SqlFamily::Postgres => "arrival",
    }
}

/// One job.
pub(crate) fn by_id(c: &dyn Session, job_id: &str) -> AiResult<Option<JobRow>> {
    c.first(&format!("SELECT {COLUMNS} FROM rag_sync_jobs WHERE job_id = ?1"), bind![job_id], job)
}

/// Jobs, latest first, after a position.
pub(crate) fn page(c: &dyn Session, n: usize, skip: usize) -> AiResult<Vec<JobRow>> {
    c.all(
        &format!(
            "SELECT {COLUMNS} FROM rag_sync_jobs ORDER BY created_at DESC, {} DESC LIMIT ?1 OFFSET ?2",
            arrival(c)
        ),
        bind![n, skip],
        job,
    )
}

/// Jobs that a stopped process left unfinished, oldest first: those without a heartbeat since `before`.
pub(crate) fn unfinished(c: &dyn Session, before: i64) -> AiResult<Vec<JobRow>> {
    c.all(
        &format!(
            "SELECT {COLUMNS} FROM rag_sync_jobs WHERE state IN ('queued', 'running') AND coalesce(heartbeat_at, 0) < ?1
             ORDER BY created_at, {}",
            arrival(c)
        ),
        bind![before],
        job,
    )
}

/// The first error rows of a job.
pub(crate) fn errors(c: &dyn Session, job_id: &str, n: usize) -> AiResult<Vec<SyncErrorRow>> {
    c.all(
        &format!(
            "SELECT source_id, key_json, stage, code, message FROM rag_sync_errors WHERE job_id = ?1
             ORDER BY {} LIMIT ?2",
            arrival(c)
        ),
        bind![job_id, n],
        |r| {
            Ok(SyncErrorRow {
                source_id: r.get(0)?,
                key_json: r.get(1)?,
                stage: r.get(2)?,
                code: r.get(3)?,
                message: r.get(4)?,
            })
        },
    )
}

impl Store {
    /// Writes a job's present state; in a shared store its sources stay its own for `lease_s` seconds more.
    pub(crate) fn put_job(&self, j: &JobRow, lease_s: u64) -> AiResult<()> {
        self.write(|c| {
            put(c, j)?;
            leases::keep(c, j, lease_s)
        })
    }

    /// Writes a new job and takes its sources for it; `CONFLICT` when the job of another process has one of them.
    pub(crate) fn start_job(&self, j: &JobRow, source_ids: &[i64], lease_s: u64) -> AiResult<()> {
        self.write(|c| {
            leases::take(c, j, source_ids, lease_s)?;
            put(c, j)
        })
    }

    /// Adds error rows of a job, up to the bound.
    pub(crate) fn add_errors(&self, job_id: &str, rows: &[SyncErrorRow]) -> AiResult<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.write(|c| {
            let held: i64 =
                c.cell("SELECT count(*) FROM rag_sync_errors WHERE job_id = ?1", bind![job_id])?;
            for row in rows.iter().take((ERRORS_MAX - held).max(0) as usize) {
                c.execute(
                    "INSERT INTO rag_sync_errors (job_id, source_id, key_json, stage, code, message, at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    bind![job_id, row.source_id, &row.key_json, &row.stage, &row.code, &row.message, now_s()],
                )?;
            }
            Ok(())
        })
    }
}

fn put(c: &dyn Session, j: &JobRow) -> AiResult<()> {
    c.execute(
        "INSERT INTO rag_sync_jobs (job_id, kind, state, requested_by, sources_json, dry_run, created_at, started_at,
           heartbeat_at, finished_at, progress_json, error)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (job_id) DO UPDATE SET state = ?3, started_at = ?8, heartbeat_at = ?9, finished_at = ?10,
           progress_json = ?11, error = ?12",
        bind![
            &j.job_id,
            &j.kind,
            j.state.as_str(),
            &j.requested_by,
            j.sources_json.to_string(),
            j.dry_run,
            j.created_at,
            j.started_at,
            now_s(),
            j.finished_at,
            j.progress.to_string(),
            j.error.as_deref()
        ],
    )?;
    if j.state.is_final() {
        let before = now_s() - JOB_DAYS * 86_400;
        c.execute(
            "DELETE FROM rag_sync_errors WHERE job_id IN (SELECT job_id FROM rag_sync_jobs WHERE finished_at < ?1)",
            bind![before],
        )?;
        c.execute("DELETE FROM rag_sync_jobs WHERE finished_at < ?1", bind![before])?;
    }
    Ok(())
}
