//! Processes that follow the outbox of a shared store, each with a full-text index of its own; it knows no index.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ai_core::{AiError, AiResult};

use super::Store;
use crate::database::{Session, bind};
use crate::ids::now_s;

/// Silence after which a follower is dropped; it rebuilds when it comes back. In seconds.
const SILENT_MAX_S: i64 = 24 * 3600;

/// Time between two signs of life of a follower that has nothing to do, in milliseconds.
const BEAT_MS: u64 = 60_000;

/// This process as a follower.
#[derive(Default)]
pub(super) struct Replica {
    state: Mutex<(Option<String>, Option<Instant>)>,
}

fn file_of(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".consumer");
    PathBuf::from(name)
}

impl Store {
    /// The name of this process's index among the followers; it stays the same over restarts.
    pub(super) fn consumer(&self) -> AiResult<String> {
        let mut state = self.replica.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = &state.0 {
            return Ok(name.clone());
        }
        let file = file_of(self.path());
        let name = match std::fs::read_to_string(&file) {
            Ok(text) if text.trim().len() == 32 => text.trim().to_owned(),
            _ => {
                let name = crate::ids::random_hex(16)?;
                if let Some(folder) = file.parent().filter(|f| !f.as_os_str().is_empty()) {
                    std::fs::create_dir_all(folder).map_err(|e| unwritable(&file, &e))?;
                }
                std::fs::write(&file, &name).map_err(|e| unwritable(&file, &e))?;
                name
            }
        };
        state.0 = Some(name.clone());
        Ok(name)
    }

    /// Registers this process as one that has applied everything up to `seq`; from now on the rest is kept for it.
    pub(super) fn register(&self, seq: i64) -> AiResult<()> {
        let name = self.consumer()?;
        self.write(|c| passed(c, &name, seq))
    }

    /// Says that this process still follows, now and then.
    pub(super) fn beat(&self, seq: i64) -> AiResult<()> {
        {
            let mut state = self.replica.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.1.is_some_and(|at| at.elapsed() < Duration::from_millis(BEAT_MS)) {
                return Ok(());
            }
            state.1 = Some(Instant::now());
        }
        self.register(seq)
    }
}

fn unwritable(file: &Path, error: &std::io::Error) -> AiError {
    AiError::unavailable(format!("{} cannot be written: {error}", file.display()))
}

/// Notes that a follower has applied everything up to `seq`, and removes what every live follower has passed.
pub(super) fn passed(c: &dyn Session, consumer: &str, seq: i64) -> AiResult<()> {
    let now = now_s();
    c.execute(
        "INSERT INTO rag_index_consumers (consumer_id, applied_seq, heartbeat_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (consumer_id) DO UPDATE SET applied_seq = ?2, heartbeat_at = ?3",
        bind![consumer, seq, now],
    )?;
    c.execute("DELETE FROM rag_index_consumers WHERE heartbeat_at < ?1", bind![now - SILENT_MAX_S])?;
    let all: i64 = c.cell("SELECT coalesce(min(applied_seq), 0) FROM rag_index_consumers", &[])?;
    c.execute("DELETE FROM rag_outbox WHERE seq <= ?1", bind![all]).map(drop)
}
