//! Text to SQL: its settings; the steps have files of their own.

/// Settings of `ai.nl2sql_convert`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Nl2SqlConfig {
    /// Whether it answers at all.
    pub enabled: bool,
    /// Time of one conversion, in milliseconds.
    pub timeout_ms: u64,
    /// Objects shown to the model.
    pub tables_max: usize,
    /// Examples shown to the model.
    pub examples_max: usize,
    /// Repairs of a refused statement.
    pub repairs_max: usize,
}

impl Default for Nl2SqlConfig {
    fn default() -> Self {
        Self { enabled: true, timeout_ms: 30_000, tables_max: 20, examples_max: 5, repairs_max: 2 }
    }
}
