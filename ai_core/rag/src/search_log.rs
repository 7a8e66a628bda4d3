//! The log of searches: bounded in memory, written aside from the searches; it knows no ranking.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use ai_core::AiResult;

use crate::api::SearchResponse;
use crate::catalogue::RagCaller;
use crate::database::bind;
use crate::ids::{now_s, sha256};
use crate::store::Store;

/// Searches that wait to be written; later ones are dropped.
const QUEUE_ROWS_MAX: usize = 10_000;

/// What is kept of a query's text.
// Exhaustive on purpose: these are the values of the setting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogQueries {
    /// Nothing is logged.
    Off,
    /// A hash that is keyed by the store, so that equal queries can be counted.
    #[default]
    Hash,
    /// The text.
    Text,
}

struct Row {
    tool: &'static str,
    caller: String,
    query: String,
    results: Option<usize>,
    degraded: bool,
    filters: String,
    k: usize,
    ms: f64,
    error_code: Option<&'static str>,
    at: i64,
}

/// Searches that wait to be written.
pub(crate) struct SearchLog {
    mode: LogQueries,
    key: String,
    waiting: Mutex<VecDeque<Row>>,
}

impl SearchLog {
    pub(crate) fn new(mode: LogQueries, key: String) -> Self {
        Self { mode, key, waiting: Mutex::new(VecDeque::new()) }
    }

    /// Notes a search and hands its outcome on.
    pub(crate) fn note(
        &self,
        tool: &'static str,
        caller: &RagCaller,
        query: &str,
        outcome: AiResult<SearchResponse>,
    ) -> AiResult<SearchResponse> {
        if self.mode == LogQueries::Off {
            return outcome;
        }
        let query = match self.mode {
            LogQueries::Text => query.to_owned(),
            _ => sha256(&[self.key.as_bytes(), query.as_bytes()]),
        };
        let found = outcome.as_ref().ok();
        let row = Row {
            tool,
            caller: caller.name.clone(),
            query,
            results: found.map(|f| f.results.len()),
            degraded: found.is_some_and(|f| f.degraded),
            filters: found.map(|f| f.stats.filters.join(",")).unwrap_or_default(),
            k: found.map_or(0, |f| f.stats.k_requested),
            ms: found.map_or(0.0, |f| f.stats.ms),
            error_code: outcome.as_ref().err().map(|e| e.code.as_str()),
            at: now_s(),
        };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < QUEUE_ROWS_MAX {
            waiting.push_back(row);
        }
        outcome
    }

    /// Writes what waits and forgets rows older than `ttl_s` seconds; without anything waiting nothing is written.
    pub(crate) fn flush(&self, store: &Store, ttl_s: u64) -> AiResult<usize> {
        let rows = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if rows.is_empty() {
            return Ok(0);
        }
        store.write(|c| {
            for r in &rows {
                c.execute(
                    "INSERT INTO rag_search_log (tool, caller, query, k, filters, results, degraded, ms, error_code, searched_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                    bind![
                        r.tool,
                        &r.caller,
                        &r.query,
                        r.k,
                        &r.filters,
                        r.results,
                        r.degraded,
                        r.ms.round() as i64,
                        r.error_code,
                        r.at
                    ],
                )?;
            }
            let before = now_s().saturating_sub(i64::try_from(ttl_s).unwrap_or(i64::MAX));
            c.execute("DELETE FROM rag_search_log WHERE searched_at < ?1", bind![before])?;
            Ok(rows.len())
        })
    }
}
