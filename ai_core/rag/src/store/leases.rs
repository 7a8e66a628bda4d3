//! Which job works on which source, over all processes of a shared store; it knows no thread.

use ai_core::{AiError, AiErrorCode, AiResult};

use crate::database::{Session, SqlFamily, bind};
use crate::ids::now_s;
use crate::records::JobRow;

fn until(lease_s: u64) -> i64 {
    now_s().saturating_add(i64::try_from(lease_s).unwrap_or(i64::MAX / 2))
}

fn shared(c: &dyn Session) -> bool {
    c.family() == SqlFamily::Postgres
}

/// Takes sources for a job; `CONFLICT` when another job holds one of them.
pub(super) fn take(c: &dyn Session, job: &JobRow, source_ids: &[i64], lease_s: u64) -> AiResult<()> {
    if !shared(c) {
        return Ok(()); // one process: it knows its own jobs, and those of a process before it are its to take up
    }
    for id in source_ids {
        let other = c.first(
            "SELECT lease_owner FROM rag_sync_state
             WHERE source_id = ?1 AND lease_until > ?2 AND lease_owner IS NOT NULL AND lease_owner <> ?3",
            bind![*id, now_s(), &job.job_id],
            |r| r.get::<String>(0),
        )?;
        if let Some(other) = other {
            return Err(AiError::new(AiErrorCode::Conflict, "a job for one of the sources is running")
                .with("job_id", other)
                .with("source_id", *id));
        }
        c.execute(
            "INSERT INTO rag_sync_state (source_id, lease_owner, lease_until) VALUES (?1, ?2, ?3)
             ON CONFLICT (source_id) DO UPDATE SET lease_owner = ?2, lease_until = ?3",
            bind![*id, &job.job_id, until(lease_s)],
        )?;
    }
    Ok(())
}

/// Keeps a running job's sources for it, and frees those of a job that has ended.
pub(super) fn keep(c: &dyn Session, job: &JobRow, lease_s: u64) -> AiResult<()> {
    if !shared(c) {
        return Ok(());
    }
    let until = if job.state.is_final() { None } else { Some(until(lease_s)) };
    c.execute("UPDATE rag_sync_state SET lease_until = ?2 WHERE lease_owner = ?1", bind![&job.job_id, until])
        .map(drop)
}

/// Refuses a commit of a job whose source another one has taken meanwhile.
pub(super) fn check(c: &dyn Session, source_id: i64, job_id: &str) -> AiResult<()> {
    if !shared(c) {
        return Ok(());
    }
    let owner: Option<Option<String>> =
        c.first("SELECT lease_owner FROM rag_sync_state WHERE source_id = ?1", bind![source_id], |r| {
            r.get(0)
        })?;
    match owner.flatten() {
        Some(owner) if owner != job_id => {
            Err(AiError::new(AiErrorCode::Conflict, "another process has taken over this source")
                .with("job_id", owner))
        }
        _ => Ok(()),
    }
}
