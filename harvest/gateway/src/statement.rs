//! What goes into the pipeline and what comes out; it does nothing.

use harvest::{DialectName, ExplainOptions, Protocol, ResultSet, StatementKind, Value};
use serde::Serialize;

/// Where a statement comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
// Exhaustive: the pipeline treats each origin knowingly.
pub enum Origin {
    /// A caller wrote it.
    #[default]
    Caller,
    /// A tool composed it and reads these columns; a rewrite must keep them.
    Tool {
        /// Names of the columns.
        columns: Vec<String>,
    },
}

/// One statement of a call.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StatementRequest {
    /// Target, `None` for the default.
    pub target_id: Option<String>,
    /// Schema, `None` for the target's default.
    pub schema: Option<String>,
    /// The text.
    pub sql: String,
    /// Bound parameters.
    pub params: Vec<Value>,
    /// The caller's row limit; it can only lower the target's.
    pub rows_max: Option<usize>,
    /// The caller's time limit, in milliseconds; it can only lower the target's.
    pub timeout_ms: Option<u64>,
    /// Bytes that the rows may take on the wire; `None` for what an answer may take.
    pub bytes_max: Option<usize>,
    /// Whether the wire carries the rows twice, as structure and as text.
    pub text_copy: bool,
    /// Whether the result cache may answer and keep the result.
    pub use_cache: bool,
    /// Time to live of the result in the cache, in milliseconds, where no rule sets one; `None` for the default.
    pub cache_ttl_ms: Option<u64>,
    /// Ask for the plan instead of the rows.
    pub plan: Option<ExplainOptions>,
    /// Rows of a plan, instead of the row limits of data.
    pub plan_rows_max: Option<usize>,
    /// Where the statement comes from.
    pub origin: Origin,
}

impl StatementRequest {
    /// A statement of a caller for the default target.
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), text_copy: true, ..Self::default() }
    }

    /// Sets target and schema.
    #[must_use]
    pub fn on(mut self, target_id: Option<String>, schema: Option<String>) -> Self {
        self.target_id = target_id;
        self.schema = schema;
        self
    }
}

/// The limits that held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
// Exhaustive: results show exactly these.
pub struct EffectiveLimits {
    /// Rows.
    #[serde(rename = "max_rows")]
    pub rows_max: usize,
    /// Milliseconds; 0 means none.
    pub timeout_ms: u64,
}

/// How the result cache took part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
// Exhaustive: results show exactly these.
pub struct CacheOutcome {
    /// Whether the cache answered.
    pub hit: bool,
    /// Age of the answer, in milliseconds.
    pub age_ms: Option<u64>,
    /// Time to live, in milliseconds, when the result is cached.
    pub ttl_ms: Option<u64>,
}

/// A finished statement.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StatementOutcome {
    /// The target that answered.
    pub target_id: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its dialect.
    pub dialect: DialectName,
    /// Schema of the statement; empty when the server's own and not yet known.
    pub schema: String,
    /// The rows; none when a rule answered.
    pub result: ResultSet,
    /// The answer of a rule; then nothing was executed.
    pub ok_message: Option<String>,
    /// Rules that matched.
    pub rules_matched: Vec<i64>,
    /// Whether rules or hooks changed the text.
    pub rewritten: bool,
    /// The limits that held.
    pub limits: EffectiveLimits,
    /// How the cache took part.
    pub cache: CacheOutcome,
    /// The text that was executed.
    pub executed: String,
    /// What kind of statement it was.
    pub kind: StatementKind,
}

/// A finished statement whose rows went elsewhere.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamOutcome {
    /// Everything but the rows.
    pub outcome: StatementOutcome,
    /// Rows that the sink took.
    pub rows: usize,
}
