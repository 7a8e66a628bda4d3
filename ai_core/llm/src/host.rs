//! What the operations need from the host: rows for reranking, text to SQL; the host decides about rights.

use ai_core::{AiResult, CallContext};
use serde_json::{Map, Value};

/// A SELECT to be run for the caller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SelectRequest {
    /// The statement; the host's gate decides whether it may run.
    pub sql: String,
    /// Target; empty = the caller's own.
    pub target_id: String,
    /// Schema; empty = the caller's own.
    pub schema: String,
    /// Rows at most.
    pub rows_max: usize,
    /// Bytes of all values at most.
    pub bytes_max: usize,
}

/// Rows of a SELECT.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SelectRows {
    /// Column names.
    pub columns: Vec<String>,
    /// Values as text; `None` = NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// Whether there were more.
    pub truncated: bool,
}

impl SelectRows {
    /// Rows.
    #[must_use]
    pub fn new(columns: Vec<String>, rows: Vec<Vec<Option<String>>>) -> Self {
        Self { columns, rows, truncated: false }
    }
}

/// Runs a SELECT with the caller's own rights, never stronger ones, within the caps and the call's deadline.
pub trait ReadOnlySql: Send + Sync {
    /// Runs it.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` with the reason when the gate or the server refuses.
    fn select(&self, request: &SelectRequest, call: &CallContext) -> AiResult<SelectRows>;
}

/// The answer of the text-to-SQL pipeline.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Nl2SqlAnswer {
    /// The statement.
    pub sql_query: String,
    /// 0–1.
    pub confidence: f64,
    /// How it arose.
    pub explanation: String,
    /// Objects that it uses.
    pub objects_used: Vec<String>,
    /// Whether it was kept from before.
    pub cached: bool,
    /// Its id in the cache.
    pub cache_id: String,
    /// Who made it.
    pub provider_used: String,
}

/// Turns a question into a statement that is never run here.
pub trait Nl2Sql: Send + Sync {
    /// Converts; `members` are those of the operation, `natural_language` checked.
    ///
    /// # Errors
    /// As the pipeline's.
    fn convert(&self, members: &Map<String, Value>, call: &CallContext) -> AiResult<Nl2SqlAnswer>;
}
