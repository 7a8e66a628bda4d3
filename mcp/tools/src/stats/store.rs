//! The history of statistics in a SQLite file: samples, hourly means, digest snapshots, events; it knows no tool and measures nothing.

mod series;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use harvest_gateway::{DigestRow, SavedDigest};
use mcp::{ErrorCode, ToolError, ToolResult};
use rusqlite::{Connection, params};
use serde_json::{Map, Value};

use super::events::QueryEvent;
use crate::errors::internal_error;

pub(crate) use series::{CONNECTIONS, CPU, MEMORY, POOL, QUERY_CACHE, SERIES, Series};

/// Longest wait for another connection to the file, in milliseconds.
const BUSY_TIMEOUT_MS: u64 = 2_000;
/// How long raw samples are kept, in seconds.
const RAW_KEPT_S: i64 = 8 * 86_400;
/// How long hourly samples and digest snapshots are kept, in seconds.
const HOURLY_KEPT_S: i64 = 100 * 86_400;
/// Rows of one answer.
const ROWS_MAX: i64 = 50_000;
/// Events that the file holds.
const EVENTS_MAX: i64 = 1_000_000;

const LAYOUT: &str = "
CREATE TABLE IF NOT EXISTS live_query_digest (key TEXT PRIMARY KEY, saved TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history_mcp_query_digest (
  dump_time INTEGER NOT NULL, tool_name TEXT NOT NULL, run_id INTEGER NOT NULL, digest TEXT NOT NULL, digest_text TEXT NOT NULL,
  count_star INTEGER NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, sum_time INTEGER NOT NULL,
  min_time INTEGER NOT NULL, max_time INTEGER NOT NULL, target_id TEXT NOT NULL, schema TEXT NOT NULL, errors INTEGER NOT NULL,
  sum_rows INTEGER NOT NULL, username TEXT NOT NULL, protocol TEXT NOT NULL,
  PRIMARY KEY (dump_time, tool_name, target_id, run_id, digest)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history_mcp_query_events (
  event_id INTEGER PRIMARY KEY, thread_id INTEGER NOT NULL, username TEXT NOT NULL, caller TEXT NOT NULL, tool TEXT NOT NULL,
  database TEXT NOT NULL, start_time INTEGER NOT NULL, end_time INTEGER NOT NULL, duration_us INTEGER NOT NULL,
  query_digest TEXT NOT NULL, query TEXT NOT NULL, server TEXT NOT NULL, client TEXT NOT NULL, event_type INTEGER NOT NULL,
  affected_rows INTEGER NOT NULL, rows_sent INTEGER NOT NULL, errno INTEGER NOT NULL, error TEXT, target_id TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS ix_events_start ON history_mcp_query_events (start_time);
PRAGMA user_version = 1;
";

/// A digest with what its target says of it.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotRow {
    pub(crate) row: DigestRow,
    pub(crate) username: String,
    pub(crate) protocol: &'static str,
}

/// The open file.
pub(crate) struct StatsStore {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl StatsStore {
    /// Opens the file, making what is missing.
    pub(crate) fn open(path: &Path) -> ToolResult<Self> {
        let cannot = |e: &dyn std::fmt::Display| {
            ToolError::precondition(format!("{}: {e}", path.display()))
                .with("reason", "stats_store")
                .with("remedy", "set mcp-stats_path to a file that this server may write")
        };
        private_file(path).map_err(|e| cannot(&e))?;
        let connection = Connection::open(path).map_err(|e| cannot(&e))?;
        let prepare = || -> rusqlite::Result<()> {
            connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.execute_batch(LAYOUT)?;
            SERIES.iter().try_for_each(|series| connection.execute_batch(&series.layout()))
        };
        prepare().map_err(|e| cannot(&e))?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file can be written now.
    pub(crate) fn probe(&self) -> ToolResult<()> {
        self.write(|c| c.execute_batch("PRAGMA user_version = 1"))
    }

    /// Adds samples of a series.
    pub(crate) fn add(&self, series: &Series, timestamp: i64, rows: &[Vec<Value>]) -> ToolResult<()> {
        self.write(|c| series.add(c, timestamp, rows))
    }

    /// Samples of a series since a moment, oldest first; by the hour or as they were taken.
    pub(crate) fn read_series(
        &self,
        series: &Series,
        since: i64,
        hourly: bool,
    ) -> ToolResult<Vec<Map<String, Value>>> {
        self.read(|c| series.read(c, since, hourly, ROWS_MAX))
    }

    /// Makes hourly rows of whole hours and deletes what is past its time.
    pub(crate) fn tidy(&self, now: i64, events_kept_days: u32) -> ToolResult<()> {
        self.write(|c| {
            for series in SERIES {
                series.roll_up(c, now)?;
                series.forget(c, now - RAW_KEPT_S, now - HOURLY_KEPT_S)?;
            }
            let oldest = now - i64::from(events_kept_days) * 86_400;
            c.execute("DELETE FROM history_mcp_query_events WHERE start_time < ?1", [oldest])?;
            c.execute(
                "DELETE FROM history_mcp_query_events WHERE event_id <= (SELECT max(event_id) FROM history_mcp_query_events) - ?1",
                [EVENTS_MAX],
            )?;
            c.execute("DELETE FROM history_mcp_query_digest WHERE dump_time < ?1", [now - HOURLY_KEPT_S])?;
            Ok(())
        })
    }

    /// Replaces the copy of the live digests.
    pub(crate) fn save_digests(&self, digests: &[SavedDigest]) -> ToolResult<()> {
        let rows: Vec<(String, String)> =
            digests.iter().filter_map(|d| Some((key(d), serde_json::to_string(d).ok()?))).collect();
        self.write(|c| {
            c.execute("DELETE FROM live_query_digest", [])?;
            let mut insert = c.prepare_cached("INSERT OR REPLACE INTO live_query_digest VALUES (?1, ?2)")?;
            rows.iter().try_for_each(|(key, saved)| insert.execute([key, saved]).map(drop))
        })
    }

    /// The copy of the live digests; what this version cannot read is left out.
    pub(crate) fn saved_digests(&self) -> ToolResult<Vec<SavedDigest>> {
        self.read(|c| {
            let mut all = c.prepare_cached("SELECT saved FROM live_query_digest")?;
            let texts = all.query_map([], |row| row.get::<_, String>(0))?;
            let mut digests = Vec::new();
            for text in texts {
                digests.extend(serde_json::from_str(&text?).ok());
            }
            Ok(digests)
        })
    }

    /// Adds a snapshot of digests, with the live copies of `gone` deleted in the same transaction.
    pub(crate) fn add_snapshot(
        &self,
        dump_time: i64,
        rows: &[SnapshotRow],
        gone: &[SavedDigest],
    ) -> ToolResult<()> {
        self.write(|c| {
            let mut insert = c.prepare_cached(
                "INSERT OR REPLACE INTO history_mcp_query_digest VALUES \
                 (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            )?;
            for SnapshotRow { row, username, protocol } in rows {
                insert.execute(params![
                    dump_time,
                    row.tool_name,
                    row.run_id,
                    format!("0x{:016X}", row.digest),
                    row.digest_text,
                    whole(row.count_star),
                    row.first_seen,
                    row.last_seen,
                    whole(row.sum_time),
                    whole(row.min_time),
                    whole(row.max_time),
                    row.target_id,
                    row.schema,
                    whole(row.errors),
                    whole(row.sum_rows),
                    username,
                    protocol,
                ])?;
            }
            let mut delete = c.prepare_cached("DELETE FROM live_query_digest WHERE key = ?1")?;
            gone.iter().try_for_each(|digest| delete.execute([key(digest)]).map(drop))
        })
    }

    /// Times of the snapshots that fit, newest first, and rows of each are read by [`snapshot`](Self::snapshot).
    pub(crate) fn snapshot_times(
        &self,
        protocol: &str,
        range: (Option<i64>, Option<i64>, Option<i64>),
    ) -> ToolResult<Vec<i64>> {
        let (exact, from, to) = range;
        self.read(|c| {
            let mut times = c.prepare_cached(
                "SELECT DISTINCT dump_time FROM history_mcp_query_digest WHERE protocol = ?1 AND (?2 IS NULL OR dump_time = ?2) \
                 AND (?3 IS NULL OR dump_time >= ?3) AND (?4 IS NULL OR dump_time <= ?4) ORDER BY dump_time DESC LIMIT ?5",
            )?;
            let found = times.query_map(params![protocol, exact, from, to, ROWS_MAX], |row| row.get(0))?;
            found.collect()
        })
    }

    /// The rows of one snapshot, most frequent first, with the columns of the digest list.
    pub(crate) fn snapshot(&self, protocol: &str, dump_time: i64) -> ToolResult<Vec<Map<String, Value>>> {
        self.read(|c| {
            let mut rows = c.prepare_cached(
                "SELECT digest, digest_text, schema AS database, username, count_star, first_seen, last_seen, \
                 sum_time AS sum_time_us, min_time AS min_time_us, max_time AS max_time_us, 0 AS sum_rows_affected, \
                 sum_rows AS sum_rows_sent, target_id FROM history_mcp_query_digest WHERE protocol = ?1 AND dump_time = ?2 \
                 ORDER BY count_star DESC, digest LIMIT ?3",
            )?;
            series::objects(&mut rows, params![protocol, dump_time, ROWS_MAX])
        })
    }

    /// Adds events.
    pub(crate) fn add_events(&self, events: &[QueryEvent]) -> ToolResult<()> {
        self.write(|c| {
            let mut insert = c.prepare_cached(
                "INSERT INTO history_mcp_query_events VALUES \
                 (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
            )?;
            for e in events {
                insert.execute(params![
                    whole(e.thread_id),
                    e.username,
                    e.caller,
                    e.tool,
                    e.database,
                    e.start_time,
                    e.end_time,
                    whole(e.duration_us),
                    e.query_digest,
                    e.query,
                    e.server,
                    e.client,
                    e.event_type,
                    whole(e.affected_rows),
                    whole(e.rows_sent),
                    e.errno,
                    e.error,
                    e.target_id,
                ])?;
            }
            Ok(())
        })
    }

    /// Events between two moments, newest first.
    pub(crate) fn events(&self, from: Option<i64>, to: Option<i64>) -> ToolResult<Vec<Map<String, Value>>> {
        self.read(|c| {
            let mut rows = c.prepare_cached(
                "SELECT thread_id, username, caller, tool, database, start_time, end_time, duration_us, query_digest, query, server, \
                 client, event_type, affected_rows, rows_sent, errno, error, target_id FROM history_mcp_query_events \
                 WHERE (?1 IS NULL OR start_time >= ?1) AND (?2 IS NULL OR start_time <= ?2) ORDER BY event_id DESC LIMIT ?3",
            )?;
            series::objects(&mut rows, params![from, to, ROWS_MAX])
        })
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> ToolResult<T> {
        work(&self.lock()).map_err(|e| failed(&e))
    }

    fn write<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> ToolResult<T> {
        let mut connection = self.lock();
        let outcome = connection.transaction().and_then(|tx| {
            let value = work(&tx)?;
            tx.commit()?;
            Ok(value)
        });
        outcome.map_err(|e| failed(&e))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for StatsStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatsStore").field("path", &self.path).finish_non_exhaustive()
    }
}

fn key(digest: &SavedDigest) -> String {
    format!("{}\u{1}{}\u{1}{}\u{1}{:016x}", digest.tool_name, digest.target_id, digest.run_id, digest.digest)
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn failed(error: &rusqlite::Error) -> ToolError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            ToolError::new(ErrorCode::Unavailable, "the store of statistics is in use: try again")
                .retryable(true)
        }
        _ => internal_error(&format!("the store of statistics: {error}")),
    }
}

/// Makes the file, open to its owner only.
fn private_file(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}
