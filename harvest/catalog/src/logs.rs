//! Logs of calls and searches, written in batches off the call path; a full queue drops its oldest rows and counts them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use harvest::HarvestResult;
use rusqlite::{Transaction, params};
use serde_json::json;

use crate::catalog::Catalog;
use crate::fail::{self, StoreResult};
use crate::store::now;

/// Bounds of the log writer.
#[derive(Debug, Clone, Copy)]
// Exhaustive: callers set every bound knowingly.
pub struct LogOptions {
    /// Rows that may wait.
    pub queue_rows_max: usize,
    /// Rows written at once.
    pub batch_rows_max: usize,
    /// Longest wait before a batch is written, in milliseconds.
    pub flush_ms: u64,
    /// Age of the oldest row kept, in days.
    pub retention_days: u32,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { queue_rows_max: 10_000, batch_rows_max: 500, flush_ms: 250, retention_days: 30 }
    }
}

/// One tool call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of query_tool_calls")]
// Exhaustive: callers fill what they know.
pub struct ToolCallRow {
    pub endpoint: String,
    pub tool_name: String,
    pub caller: String,
    pub client_address: Option<String>,
    pub target_id: Option<String>,
    pub schema: Option<String>,
    pub run_id: Option<i64>,
    /// Unix seconds.
    pub start_time: i64,
    pub execution_time_us: i64,
    pub rows: Option<i64>,
    pub bytes: Option<i64>,
    pub cache_hit: Option<bool>,
    /// Ids of the query rules that matched.
    pub rules: Vec<i64>,
    /// `0x` and 16 hex digits.
    pub digest: Option<String>,
    pub sql_text: Option<String>,
    pub error_code: Option<String>,
    pub error: Option<String>,
}

/// One search of agents' records.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "the names are those of llm_search_log")]
// Exhaustive: callers fill what they know.
pub struct SearchLogRow {
    pub target_id: String,
    pub run_id: Option<i64>,
    pub caller: String,
    pub query: String,
    pub limit: i64,
    pub results: i64,
    pub best_score: Option<f64>,
}

enum Row {
    Call(Box<ToolCallRow>, i64),
    Search(Box<SearchLogRow>, i64),
}

#[derive(Default)]
struct Queue {
    rows: VecDeque<Row>,
    writing: bool,
    stop: bool,
}

struct Shared {
    catalog: Catalog,
    options: LogOptions,
    queue: Mutex<Queue>,
    wake: Condvar,
    idle: Condvar,
    dropped: AtomicU64,
    retention_days: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The batching writer; dropping it writes what waits and ends its thread.
pub struct LogWriter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

const HOUR: Duration = Duration::from_secs(3_600);

impl LogWriter {
    /// Starts the writer's thread.
    ///
    /// # Errors
    /// `INTERNAL` when the thread cannot be started.
    pub fn start(catalog: Catalog, options: LogOptions) -> HarvestResult<Self> {
        let shared = Arc::new(Shared {
            catalog,
            options,
            queue: Mutex::new(Queue::default()),
            wake: Condvar::new(),
            idle: Condvar::new(),
            dropped: AtomicU64::new(0),
            retention_days: AtomicU64::new(u64::from(options.retention_days)),
        });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("catalog-log".to_owned())
            .spawn(move || work(&own))
            .map_err(|e| fail::internal(format!("log thread: {e}")))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Queues a tool call; never waits for the store.
    pub fn call(&self, row: ToolCallRow) {
        self.push(Row::Call(Box::new(row), now()));
    }

    /// Queues a search; never waits for the store.
    pub fn search(&self, row: SearchLogRow) {
        self.push(Row::Search(Box::new(row), now()));
    }

    fn push(&self, row: Row) {
        let mut queue = self.shared.lock();
        if queue.rows.len() >= self.shared.options.queue_rows_max.max(1) {
            queue.rows.pop_front();
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        queue.rows.push_back(row);
        let is_full = queue.rows.len() >= self.shared.options.batch_rows_max;
        drop(queue);
        if is_full {
            self.shared.wake.notify_one();
        }
    }

    /// Rows dropped since start, because the queue was full or the store failed.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Changes how long rows are kept.
    pub fn set_retention_days(&self, days: u32) {
        self.shared.retention_days.store(u64::from(days), Ordering::Relaxed);
    }

    /// Waits until everything queued before is written, at most `timeout_ms`; false when time is over.
    #[must_use]
    pub fn flush(&self, timeout_ms: u64) -> bool {
        let until = Instant::now() + Duration::from_millis(timeout_ms);
        let mut queue = self.shared.lock();
        while !queue.rows.is_empty() || queue.writing {
            self.shared.wake.notify_one();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            queue = self
                .shared
                .idle
                .wait_timeout(queue, left.min(Duration::from_millis(20)))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has nothing left to wait for.
            let _ = thread.join();
        }
    }
}

fn work(shared: &Shared) {
    let mut cleaned: Option<Instant> = None;
    loop {
        let (batch, stop) = next_batch(shared);
        if !batch.is_empty() {
            let count = batch.len() as u64;
            if shared.catalog.store().write(|tx| write(tx, &batch)).is_err() {
                shared.dropped.fetch_add(count, Ordering::Relaxed);
            }
        }
        if cleaned.is_none_or(|at| at.elapsed() >= HOUR) {
            cleaned = Some(Instant::now());
            let days = i64::try_from(shared.retention_days.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
            // Retention that fails now is tried again in an hour.
            let _ = shared.catalog.delete_logs_before(now().saturating_sub(days.saturating_mul(86_400)));
        }
        let mut queue = shared.lock();
        queue.writing = false;
        let done = stop && queue.rows.is_empty();
        drop(queue);
        shared.idle.notify_all();
        if done {
            return;
        }
    }
}

fn next_batch(shared: &Shared) -> (Vec<Row>, bool) {
    let mut queue = shared.lock();
    if queue.rows.len() < shared.options.batch_rows_max && !queue.stop {
        let wait = Duration::from_millis(shared.options.flush_ms.clamp(10, 60_000));
        queue = shared.wake.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
    let count = queue.rows.len().min(shared.options.batch_rows_max.max(1));
    let batch: Vec<Row> = queue.rows.drain(..count).collect();
    queue.writing = !batch.is_empty();
    (batch, queue.stop)
}

fn write(tx: &Transaction<'_>, batch: &[Row]) -> HarvestResult<()> {
    for row in batch {
        match row {
            Row::Call(call, at) => write_call(tx, call, *at)?,
            Row::Search(search, at) => {
                tx.prepare_cached(
                    "INSERT INTO llm_search_log(target_id, run_id, caller, query, lmt, results, best_score, searched_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )
                .db()?
                .execute(params![
                    search.target_id,
                    search.run_id,
                    search.caller,
                    search.query,
                    search.limit,
                    search.results,
                    search.best_score,
                    at
                ])
                .db()?;
            }
        }
    }
    Ok(())
}

fn write_call(tx: &Transaction<'_>, call: &ToolCallRow, at: i64) -> HarvestResult<()> {
    let rules = (!call.rules.is_empty()).then(|| json!(call.rules).to_string());
    tx.prepare_cached(
        "INSERT INTO query_tool_calls(endpoint, tool_name, caller, client_address, target_id, schema, run_id, start_time,
           execution_time, rows, bytes, cache_hit, rules_json, digest, sql_text, error_code, error, called_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )
    .db()?
    .execute(params![
        call.endpoint,
        call.tool_name,
        call.caller,
        call.client_address,
        call.target_id,
        call.schema,
        call.run_id,
        call.start_time,
        call.execution_time_us,
        call.rows,
        call.bytes,
        call.cache_hit,
        rules,
        call.digest,
        call.sql_text,
        call.error_code,
        call.error,
        at
    ])
    .db()
    .map(drop)
}

/// Calls of one tool with one schema, counted from the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub struct ToolUsage {
    pub endpoint: String,
    pub tool: String,
    pub schema: String,
    pub count: u64,
    pub errors: u64,
    /// Unix seconds.
    pub first_seen: i64,
    /// Unix seconds.
    pub last_seen: i64,
    /// Microseconds.
    pub sum_time: u64,
    /// Microseconds.
    pub min_time: u64,
    /// Microseconds.
    pub max_time: u64,
}

impl Catalog {
    /// Counts the logged calls by endpoint, tool and schema, since this process opened the store or since ever.
    ///
    /// # Errors
    /// Those of the store.
    pub fn tool_usage(&self, since_open: bool) -> HarvestResult<Vec<ToolUsage>> {
        let since = if since_open { self.opened_at() } else { 0 };
        self.store().read(|c| {
            let mut statement = c
                .prepare_cached(
                    "SELECT endpoint, tool_name, COALESCE(schema, ''), COUNT(*), COUNT(error_code), MIN(called_at),
                       MAX(called_at), SUM(execution_time), MIN(execution_time), MAX(execution_time)
                     FROM query_tool_calls WHERE called_at >= ?1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
                )
                .db()?;
            let rows = statement
                .query_map([since], |r| {
                    let number = |at: usize| r.get::<_, i64>(at).map(i64::unsigned_abs);
                    Ok(ToolUsage {
                        endpoint: r.get(0)?,
                        tool: r.get(1)?,
                        schema: r.get(2)?,
                        count: number(3)?,
                        errors: number(4)?,
                        first_seen: r.get(5)?,
                        last_seen: r.get(6)?,
                        sum_time: number(7)?,
                        min_time: number(8)?,
                        max_time: number(9)?,
                    })
                })
                .db()?;
            rows.collect::<rusqlite::Result<_>>().db()
        })
    }

    /// Deletes log rows older than a time in Unix seconds; gives their number.
    ///
    /// # Errors
    /// Those of the store.
    pub fn delete_logs_before(&self, ts: i64) -> HarvestResult<u64> {
        self.store().write(|tx| {
            let calls = tx.execute("DELETE FROM query_tool_calls WHERE called_at < ?1", [ts]).db()?;
            let searches = tx.execute("DELETE FROM llm_search_log WHERE searched_at < ?1", [ts]).db()?;
            Ok((calls + searches) as u64)
        })
    }
}
