//! Which statistics a column can have in its engine, and the SQL for them; it runs nothing.

use harvest::{ColumnMeta, Dialect, DialectName, ObjectMeta, TypeFamily};
use serde_json::Value;

/// The expressions for one column.
#[derive(Debug, Clone)]
pub(super) struct ColumnPlan {
    /// The column, quoted.
    pub(super) quoted: String,
    /// The column in a form that can be grouped and compared.
    pub(super) grouped: String,
    /// Whether MIN and MAX exist for it.
    pub(super) ordered: bool,
    /// Whether AVG exists for it.
    pub(super) averaged: bool,
    /// Its length, where it has one.
    pub(super) length: Option<String>,
}

impl ColumnPlan {
    pub(super) fn new(column: &ColumnMeta, dialect: &dyn Dialect) -> Self {
        let quoted = dialect.quote_identifier(&column.name);
        let family = dialect.type_family(&column.data_type);
        let name = dialect.name();
        let postgres = name == DialectName::Postgresql;
        // PostgreSQL cannot compare json and geometric values, nor order booleans and (before 18) UUIDs.
        let incomparable = postgres && matches!(family, TypeFamily::Json | TypeFamily::Other);
        let grouped = if incomparable { format!("CAST({quoted} AS text)") } else { quoted.clone() };
        let unordered = matches!(family, TypeFamily::Json | TypeFamily::Bytes | TypeFamily::Array)
            || (postgres && matches!(family, TypeFamily::Boolean | TypeFamily::Uuid | TypeFamily::Other));
        let characters = if name == DialectName::Sqlite { "length" } else { "char_length" };
        let length = match family {
            TypeFamily::String => Some(format!("{characters}({quoted})")),
            TypeFamily::Bytes => Some(format!("length({quoted})")),
            TypeFamily::Other if name == DialectName::Sqlite => Some(format!("length({quoted})")),
            _ => None,
        };
        Self {
            quoted,
            grouped,
            ordered: !unordered,
            averaged: matches!(family, TypeFamily::Integer | TypeFamily::Decimal | TypeFamily::Float),
            length,
        }
    }

    /// Expressions in this order: values, distinct, minimum, maximum, average, average length. Absent ones are NULL.
    pub(super) fn statistics(&self, distinct: bool) -> [String; 6] {
        let null = || "NULL".to_owned();
        let ordered =
            |function: &str| if self.ordered { format!("{function}({})", self.quoted) } else { null() };
        [
            format!("COUNT({})", self.quoted),
            if distinct { format!("COUNT(DISTINCT {})", self.grouped) } else { null() },
            ordered("MIN"),
            ordered("MAX"),
            if self.averaged { format!("AVG({})", self.quoted) } else { null() },
            self.length.as_ref().map_or_else(null, |length| format!("AVG({length})")),
        ]
    }
}

/// The rows that a profile reads: the whole table, or its first rows when it is large.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    /// What stands behind FROM.
    pub(super) from: String,
    /// Whether only a part is read.
    pub(super) sampled: bool,
}

impl Scan {
    /// Plans the scan of `table` (quoted) with these columns (quoted).
    pub(super) fn new(object: &ObjectMeta, table: &str, columns: &[String], rows_max: u64) -> Self {
        let large = object.rows_est.is_some_and(|rows| u64::try_from(rows).is_ok_and(|rows| rows > rows_max));
        // An estimate may be missing or stale: the bound holds anyway.
        let columns = columns.join(", ");
        Self { from: format!("(SELECT {columns} FROM {table} LIMIT {rows_max}) s"), sampled: large }
    }
}

/// A number that an engine may have given as text.
pub(super) fn as_count(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        Some(other) => other.as_i64().unwrap_or(0),
        None => 0,
    }
}

/// A float that an engine may have given as text.
pub(super) fn as_float(value: Option<&Value>) -> Option<f64> {
    match value? {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    }
}

/// A share in per cent, rounded to two digits.
#[expect(clippy::cast_precision_loss, reason = "a share needs no more digits than a double has")]
pub(super) fn per_cent(part: i64, whole: i64) -> f64 {
    if whole <= 0 { 0.0 } else { (part as f64 * 10_000.0 / whole as f64).round() / 100.0 }
}
