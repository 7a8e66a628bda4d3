//! What a source of rows promises to ingestion: typed values, keyset pages, reads by key; it knows no driver and no SQL.

use serde::{Deserialize, Serialize};

use crate::deadline::Deadline;
use crate::error::AiResult;

/// One typed value of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RowValue {
    /// SQL NULL.
    Null,
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A float.
    Float(f64),
    /// An exact decimal in its text form.
    Decimal(String),
    /// Text.
    Text(String),
    /// Binary data.
    Bytes(Vec<u8>),
    /// A date or time as RFC 3339 text (UTC where the column has no zone).
    Time(String),
    /// A JSON value.
    Json(serde_json::Value),
}

impl RowValue {
    /// Bytes that the value occupies, roughly; for memory bounds.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 1,
            Self::Int(_) | Self::Uint(_) | Self::Float(_) => 8,
            Self::Decimal(s) | Self::Text(s) | Self::Time(s) => s.len(),
            Self::Bytes(b) => b.len(),
            Self::Json(v) => v.to_string().len(),
        }
    }

    /// Whether it is NULL.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// A column of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RowColumn {
    /// The column's name as the backend spells it.
    pub name: String,
    /// The backend's type name.
    pub type_name: String,
    /// Whether NULL can occur.
    pub nullable: bool,
}

impl RowColumn {
    /// A column.
    #[must_use]
    pub fn new(name: impl Into<String>, type_name: impl Into<String>, nullable: bool) -> Self {
        Self { name: name.into(), type_name: type_name.into(), nullable }
    }
}

/// A primary key: the values of the key columns in their declared order.
pub type RowKey = Vec<RowValue>;

/// One page to read in the order (cursor, key).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PageRequest {
    /// Columns wanted, the key columns not included unless named.
    pub columns: Vec<String>,
    /// The watermark column; `None` means the key alone orders the pages.
    pub cursor_column: Option<String>,
    /// Position after which to read: cursor value (NULL without a cursor column) and key.
    pub after: Option<(RowValue, RowKey)>,
    /// At most so many rows.
    pub rows_max: usize,
    /// Stop after the row that reaches so many bytes.
    pub bytes_max: usize,
}

impl PageRequest {
    /// The first page of `columns` in key order.
    #[must_use]
    pub fn first(columns: Vec<String>, rows_max: usize, bytes_max: usize) -> Self {
        Self { columns, cursor_column: None, after: None, rows_max, bytes_max }
    }

    /// Orders by a watermark column first.
    #[must_use]
    pub fn with_cursor(mut self, column: Option<String>) -> Self {
        self.cursor_column = column;
        self
    }

    /// Continues after a position.
    #[must_use]
    pub fn with_after(mut self, after: Option<(RowValue, RowKey)>) -> Self {
        self.after = after;
        self
    }
}

/// One row of a page.
#[derive(Debug, Clone, PartialEq)]
// Exhaustive on purpose: plain data that sources build.
pub struct SourceRow {
    /// Values of the key columns in their declared order.
    pub key: RowKey,
    /// Value of the cursor column, NULL without one.
    pub cursor: RowValue,
    /// Values of the wanted columns in the order asked for.
    pub values: Vec<RowValue>,
}

/// Rows in order, and whether more follow.
#[derive(Debug, Clone, PartialEq, Default)]
// Exhaustive on purpose: plain data that sources build.
pub struct RowPage {
    /// The rows.
    pub rows: Vec<SourceRow>,
    /// False when the last row of the source has been delivered.
    pub more: bool,
    /// Keys that could not be read, each with the reason; the run goes on without them.
    pub failed: Vec<(String, String)>,
}

/// Where rows come from; a connector turns it into a [`RowSource`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
// Exhaustive on purpose: a connector must look at every field.
pub struct SourceSpec {
    /// The source's name, for messages.
    pub name: String,
    /// `mysql`, `mariadb`, `postgresql`, `sqlite` or `files`.
    pub backend_type: String,
    /// Host, or empty.
    pub backend_host: String,
    /// Port, or 0.
    pub backend_port: u16,
    /// User, or empty.
    pub backend_user: String,
    /// A secret reference (`profile:`, `env:`, `file:`) or empty; never the secret itself.
    pub backend_pass: String,
    /// Database, file or folder.
    pub backend_db: String,
    /// A named target that takes the place of host, port and user.
    pub target_id: Option<String>,
    /// Table as `table` or `schema.table`, or a glob for files.
    pub table_name: String,
    /// Key columns in order.
    pub key_columns: Vec<String>,
    /// A boolean expression in the backend's dialect.
    pub where_sql: Option<String>,
    /// Longest time of one statement, in milliseconds.
    pub timeout_ms: u64,
    /// Whose request reads the rows; absent for ingestion, which reads on its own account.
    pub caller: Option<String>,
}

/// A stream of rows that can be read in key order and by key. Every value reaches the backend as a bound parameter.
pub trait RowSource: Send + Sync {
    /// The columns of the table.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` when the table does not exist, `UNAVAILABLE` when the backend cannot be reached.
    fn columns(&self) -> AiResult<Vec<RowColumn>>;

    /// The next page in the order (cursor, key): rows with `cursor > v OR (cursor = v AND key > k)`.
    ///
    /// # Errors
    /// `UNAVAILABLE`, `DEADLINE_EXCEEDED`, or `INVALID_ARGUMENT` for an unknown column.
    fn page(&self, request: &PageRequest, deadline: Deadline) -> AiResult<RowPage>;

    /// The next `n` keys in key order after `after`.
    ///
    /// # Errors
    /// As [`Self::page`].
    fn keys(&self, after: Option<&RowKey>, n: usize, deadline: Deadline) -> AiResult<Vec<RowKey>>;

    /// The rows with these keys, in one statement; keys that have gone are absent, doubled keys answer twice.
    ///
    /// # Errors
    /// As [`Self::page`].
    fn by_keys(
        &self,
        keys: &[RowKey],
        columns: &[String],
        bytes_max: usize,
        deadline: Deadline,
    ) -> AiResult<Vec<SourceRow>>;
}

/// Opens sources. Secrets are resolved inside it and never leave it.
pub trait SourceConnector: Send + Sync {
    /// Opens the source of `spec`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an unknown backend type, `UNAVAILABLE`, `PERMISSION_DENIED`.
    fn open(&self, spec: &SourceSpec) -> AiResult<Box<dyn RowSource>>;
}
