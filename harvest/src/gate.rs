//! The read-only gate's contract: what goes in, what comes out; the grammars live with their engines.

use serde::{Deserialize, Serialize};

/// What the gate is told by configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GatePolicy {
    /// Longest statement in bytes.
    pub sql_bytes_max: usize,
    /// Functions allowed beyond the engine's list, lower case, optionally `schema.name`.
    pub allowed_functions: Vec<String>,
    /// Objects refused beyond the engine's list, lower case, `schema.name` or `name`.
    pub denied_objects: Vec<String>,
    /// Whether EXPLAIN passes.
    pub allow_explain: bool,
}

impl Default for GatePolicy {
    fn default() -> Self {
        Self {
            sql_bytes_max: 65_536,
            allowed_functions: Vec::new(),
            denied_objects: Vec::new(),
            allow_explain: true,
        }
    }
}

/// What kind of statement passed.
// Exhaustive: the pipeline treats each kind knowingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatementKind {
    /// SELECT, WITH … SELECT, set operations, VALUES, TABLE.
    Select,
    /// EXPLAIN of a select.
    Explain,
    /// SHOW.
    Show,
    /// DESCRIBE.
    Describe,
    /// A read PRAGMA.
    Pragma,
}

/// A table or view that a statement names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
// Exhaustive: gates build it.
pub struct TableRef {
    /// Schema or database, when written.
    pub schema: Option<String>,
    /// Name, unquoted.
    pub name: String,
}

/// A statement that the gate has passed. Only a gate makes one, so a driver may trust it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedStatement {
    /// The text to execute: exactly one statement, ordinary comments removed, no trailing semicolon.
    pub sql: String,
    /// What kind of statement it is.
    pub kind: StatementKind,
    /// Tables and views named, sorted, without names of CTEs.
    pub tables: Vec<TableRef>,
    /// Functions called, lower case, sorted.
    pub functions: Vec<String>,
    /// Number of parameter placeholders.
    pub params: usize,
}

impl CheckedStatement {
    /// For gates only: vouches that the text is one read-only statement of `kind`.
    pub fn vouched(sql: impl Into<String>, kind: StatementKind) -> Self {
        Self { sql: sql.into(), kind, tables: Vec::new(), functions: Vec::new(), params: 0 }
    }
}

/// A fragment of SQL that a tool accepts from a caller.
// Exhaustive: each dialect parses each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FragmentKind {
    /// One boolean expression, as after WHERE.
    Predicate,
    /// One ordering list, as after ORDER BY.
    OrderBy,
}

/// How a plan is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// Exhaustive: each dialect honours each option.
pub struct ExplainOptions {
    /// Execute the statement and measure.
    pub analyze: bool,
    /// JSON where the engine has it.
    pub json: bool,
}
