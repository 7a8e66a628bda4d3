//! What was asked of the model side, kept in memory within bounds, and `ai.query_history` over it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ai_core_llm::{HistoryEntry, HistorySink};
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tool::{Ask, Paging, Reply, bad};

/// Characters of a question or an answer that are kept.
const TEXT_CHARS_MAX: usize = 8_192;

/// One finished request.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct HistoryRow {
    /// Grows with each row.
    pub id: u64,
    /// llm or nl2sql.
    pub kind: String,
    /// The question, cut at 8192 characters.
    pub prompt: String,
    /// The answer, cut alike; empty for a failure.
    pub response: String,
    /// Milliseconds.
    pub execution_time_ms: f64,
    /// Whether it was answered.
    pub success: bool,
    /// Provider; empty when none was asked.
    pub provider: String,
    /// Model.
    pub model: String,
    /// Who asked.
    pub caller: String,
    /// Schema of the question.
    pub schema_name: String,
    /// miss, exact or semantic.
    pub cache: String,
    /// Why it failed.
    pub error_code: Option<String>,
    /// Unix milliseconds.
    pub at_ms: u64,
}

impl HistoryRow {
    /// A finished request of `kind` at this moment, without provider and cache.
    #[must_use]
    pub fn new(kind: &str, caller: &str, prompt: &str, answer: Result<&str, &str>) -> Self {
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        Self {
            id: 0,
            kind: kind.to_owned(),
            prompt: cut(prompt),
            response: answer.map(cut).unwrap_or_default(),
            execution_time_ms: 0.0,
            success: answer.is_ok(),
            provider: String::new(),
            model: String::new(),
            caller: caller.to_owned(),
            schema_name: String::new(),
            cache: "miss".to_owned(),
            error_code: answer.err().map(str::to_owned),
            at_ms: u64::try_from(at_ms).unwrap_or(u64::MAX),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

/// The last requests, in memory.
#[derive(Debug)]
pub struct AiHistory {
    rows: Mutex<VecDeque<HistoryRow>>,
    next_id: AtomicU64,
    enabled: AtomicBool,
    rows_max: AtomicUsize,
    ttl_s: AtomicU64,
}

impl Default for AiHistory {
    fn default() -> Self {
        Self {
            rows: Mutex::default(),
            next_id: AtomicU64::new(1),
            enabled: AtomicBool::new(true),
            rows_max: AtomicUsize::new(10_000),
            ttl_s: AtomicU64::new(2_592_000),
        }
    }
}

impl AiHistory {
    /// Sets whether rows are taken, how many are kept, and for how many seconds.
    pub fn configure(&self, enabled: bool, rows_max: usize, ttl_s: u64) {
        self.enabled.store(enabled, Ordering::Relaxed);
        self.rows_max.store(rows_max, Ordering::Relaxed);
        self.ttl_s.store(ttl_s, Ordering::Relaxed);
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let surplus = rows.len().saturating_sub(rows_max);
        rows.drain(..surplus);
    }

    /// Takes a row; its id is given here.
    pub fn push(&self, mut row: HistoryRow) {
        let rows_max = self.rows_max.load(Ordering::Relaxed);
        if !self.enabled.load(Ordering::Relaxed) || rows_max == 0 {
            return;
        }
        let oldest = row.at_ms.saturating_sub(self.ttl_s.load(Ordering::Relaxed).saturating_mul(1_000));
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        row.id = self.next_id.fetch_add(1, Ordering::Relaxed);
        rows.push_back(row);
        while rows.len() > rows_max || rows.front().is_some_and(|row| row.at_ms < oldest) {
            rows.pop_front();
        }
    }

    /// Newest rows that `pick` accepts, at most `max`.
    #[must_use]
    pub fn newest(&self, max: usize, pick: impl Fn(&HistoryRow) -> bool) -> Vec<HistoryRow> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.iter().rev().filter(|row| pick(row)).take(max).cloned().collect()
    }
}

impl HistorySink for AiHistory {
    fn record(&self, entry: HistoryEntry) {
        let answer = match entry.error_code {
            None => Ok(entry.response.as_str()),
            Some(code) => Err(code.as_str()),
        };
        let mut row = HistoryRow::new(entry.kind, &entry.caller, &entry.prompt, answer);
        row.execution_time_ms = entry.execution_time_ms;
        row.provider = entry.provider;
        row.model = entry.model;
        row.schema_name = entry.schema_name;
        row.cache = entry.cache.to_owned();
        row.at_ms = entry.at_ms;
        self.push(row);
    }
}

/// Which requests.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryArgs {
    /// Words that question or answer hold, in any order and case.
    #[schemars(length(max = 8192))]
    query: Option<String>,
    /// llm or nl2sql.
    kind: Option<String>,
    /// Only answered ones, or only failures.
    success: Option<bool>,
    /// Not before this moment, Unix seconds.
    since: Option<u64>,
    /// Entries at most; 50 if absent.
    #[serde(skip_serializing)]
    #[schemars(range(min = 1, max = 500))]
    page_size: Option<usize>,
    /// `next_page_token` of the page before.
    #[serde(skip_serializing)]
    #[schemars(length(max = 8192))]
    page_token: Option<String>,
}

/// Requests, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct HistoryAnswer {
    /// The requests.
    entries: Vec<HistoryRow>,
    /// Token of the next page; null on the last one.
    next_page_token: Option<String>,
}

pub(super) fn query_history(ask: &Ask<'_>, args: HistoryArgs) -> ToolResult<Reply<HistoryAnswer>> {
    let paging = Paging::new(args.page_size, args.page_token.clone());
    let before: Option<u64> = ask
        .after(&args, &paging)?
        .map(|id| id.parse().map_err(|_| bad("page_token", "page_token holds no row")))
        .transpose()?;
    let (caller, all) = (ask.caller(), ask.holds("ai:admin"));
    let words: Vec<String> =
        args.query.iter().flat_map(|text| text.split_whitespace()).map(str::to_lowercase).collect();
    let pick = |row: &HistoryRow| {
        (all || row.caller == caller)
            && before.is_none_or(|id| row.id < id)
            && args.kind.as_ref().is_none_or(|kind| row.kind == *kind)
            && args.success.is_none_or(|success| row.success == success)
            && args.since.is_none_or(|since| row.at_ms / 1_000 >= since)
            && holds(row, &words)
    };
    let rows = ask.deps.history.newest(paging.look_ahead(), pick);
    let (entries, next_page_token) = ask.cut(&args, rows, |row| row.id.to_string(), &paging)?;
    Ok(HistoryAnswer { entries, next_page_token }.into())
}

fn holds(row: &HistoryRow, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let text = format!("{} {}", row.prompt, row.response).to_lowercase();
    words.iter().all(|word| text.contains(word))
}
