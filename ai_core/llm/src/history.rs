//! What was asked and answered, for the host's history; it does not know where the host keeps it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use ai_core::{LlmErrorCode, LlmUsage};

/// One finished call.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// `llm`, `nl2sql` or `rerank`.
    pub kind: &'static str,
    /// The question.
    pub prompt: String,
    /// The answer; empty for a failure.
    pub response: String,
    /// How long it took, milliseconds.
    pub execution_time_ms: f64,
    /// Provider row; empty when none was asked.
    pub provider: String,
    /// Model.
    pub model: String,
    /// Who asked.
    pub caller: String,
    /// Schema named in the request.
    pub schema_name: String,
    /// `miss`, `exact` or `semantic`.
    pub cache: &'static str,
    /// The failure; `None` for a success.
    pub error_code: Option<LlmErrorCode>,
    /// Tokens.
    pub usage: LlmUsage,
    /// Unix milliseconds.
    pub at_ms: u64,
}

/// Takes finished calls. It must not block: the call that it records waits for it.
pub trait HistorySink: Send + Sync {
    /// Takes one entry.
    fn record(&self, entry: HistoryEntry);
}

/// The last entries, in memory.
#[derive(Debug)]
pub struct MemoryHistory {
    entries: Mutex<VecDeque<HistoryEntry>>,
    entries_max: usize,
}

impl MemoryHistory {
    /// A history of at most `entries_max` entries.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self { entries: Mutex::default(), entries_max }
    }

    /// What it holds, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<HistoryEntry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl HistorySink for MemoryHistory {
    fn record(&self, entry: HistoryEntry) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push_back(entry);
        while entries.len() > self.entries_max {
            entries.pop_front();
        }
    }
}
