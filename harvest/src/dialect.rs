//! What differs between SQL dialects and can be told without a connection; it opens none.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::HarvestResult;
use crate::gate::{CheckedStatement, ExplainOptions, FragmentKind, GatePolicy};

/// The wire protocol of a target; the names are those of target profiles.
// Exhaustive: configuration and catalog name these three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// MySQL and MariaDB.
    Mysql,
    /// PostgreSQL.
    Pgsql,
    /// SQLite.
    Sqlite,
}

impl Protocol {
    /// The name in profiles and results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Pgsql => "pgsql",
            Self::Sqlite => "sqlite",
        }
    }
}

/// The exact dialect of a server.
// Exhaustive: catalog and results name these four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DialectName {
    /// MySQL.
    Mysql,
    /// MariaDB.
    Mariadb,
    /// PostgreSQL.
    Postgresql,
    /// SQLite.
    Sqlite,
}

impl DialectName {
    /// The name in results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
            Self::Postgresql => "postgresql",
            Self::Sqlite => "sqlite",
        }
    }
}

impl fmt::Display for DialectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The family of a column type, comparable between engines.
// Exhaustive: the catalog stores these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum TypeFamily {
    Integer,
    Decimal,
    Float,
    String,
    Bytes,
    Temporal,
    Boolean,
    Json,
    Uuid,
    Array,
    Other,
}

impl TypeFamily {
    /// The name in the catalog.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::Float => "float",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Temporal => "temporal",
            Self::Boolean => "boolean",
            Self::Json => "json",
            Self::Uuid => "uuid",
            Self::Array => "array",
            Self::Other => "other",
        }
    }
}

/// One SQL dialect: quoting, the gate, plans, types. Stateless and shared.
pub trait Dialect: Send + Sync {
    /// Which one.
    fn name(&self) -> DialectName;

    /// The protocol that it belongs to.
    fn protocol(&self) -> Protocol {
        match self.name() {
            DialectName::Mysql | DialectName::Mariadb => Protocol::Mysql,
            DialectName::Postgresql => Protocol::Pgsql,
            DialectName::Sqlite => Protocol::Sqlite,
        }
    }

    /// Quotes an identifier of any content.
    fn quote_identifier(&self, name: &str) -> String;

    /// Quotes a string literal of any content.
    fn quote_literal(&self, text: &str) -> String;

    /// The placeholder of parameter `position`, counted from 1.
    fn placeholder(&self, position: usize) -> String;

    /// The read-only gate: passes exactly one allowed statement, or says why not.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for what does not parse, `PERMISSION_DENIED` with `construct` for what is not allowed,
    /// `LIMIT_EXCEEDED` for size and depth.
    fn check(&self, sql: &str, policy: &GatePolicy) -> HarvestResult<CheckedStatement>;

    /// Checks a fragment and returns it with comments removed.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    fn check_fragment(&self, sql: &str, kind: FragmentKind, policy: &GatePolicy) -> HarvestResult<String>;

    /// Builds EXPLAIN with fixed options from a passed select; a passed EXPLAIN is absorbed.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` where the engine cannot do what the options ask for.
    fn explain(
        &self,
        statement: &CheckedStatement,
        options: ExplainOptions,
    ) -> HarvestResult<CheckedStatement>;

    /// The family of a base type (lower case, without length).
    fn type_family(&self, data_type: &str) -> TypeFamily;

    /// Whether a base type holds a date or a time.
    fn is_time_type(&self, data_type: &str) -> bool;

    /// Whether a schema belongs to the engine itself.
    fn is_system_schema(&self, schema: &str) -> bool;
}
