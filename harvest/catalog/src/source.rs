//! What a harvest and a data index need from outside: metadata, value checks, rows, progress; it knows no pool and no rule.

use harvest::{
    Connection, Dialect, HarvestCode, HarvestError, HarvestResult, MetadataRequest, MetadataSnapshot,
    MetadataStage, MetadataWatch, Value,
};
use serde::{Deserialize, Serialize};

/// Where a harvest reads metadata.
pub trait MetadataSource {
    /// The exact dialect of the server.
    fn dialect(&self) -> &'static dyn Dialect;

    /// Version as the server words it.
    fn server_version(&self) -> String;

    /// Reads metadata.
    ///
    /// # Errors
    /// Those of [`Connection::metadata`].
    fn metadata(
        &mut self,
        request: &MetadataRequest,
        watch: &mut dyn MetadataWatch,
    ) -> HarvestResult<MetadataSnapshot>;
}

impl MetadataSource for dyn Connection + '_ {
    fn dialect(&self) -> &'static dyn Dialect {
        Connection::dialect(self)
    }

    fn server_version(&self) -> String {
        self.server().version.clone()
    }

    fn metadata(
        &mut self,
        request: &MetadataRequest,
        watch: &mut dyn MetadataWatch,
    ) -> HarvestResult<MetadataSnapshot> {
        Connection::metadata(self, request, watch)
    }
}

impl MetadataSource for Box<dyn Connection> {
    fn dialect(&self) -> &'static dyn Dialect {
        Connection::dialect(self.as_ref())
    }

    fn server_version(&self) -> String {
        self.server().version.clone()
    }

    fn metadata(
        &mut self,
        request: &MetadataRequest,
        watch: &mut dyn MetadataWatch,
    ) -> HarvestResult<MetadataSnapshot> {
        Connection::metadata(self.as_mut(), request, watch)
    }
}

/// One end of a possible reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
// Exhaustive: probes build statements from it.
pub struct ColumnRef {
    /// Schema.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Column.
    pub column: String,
}

/// A question to the data: which share of the child's values exist in the parent?
#[derive(Debug, Clone, PartialEq, Eq)]
// Exhaustive: probes build statements from it.
pub struct OverlapQuery {
    /// The referring column.
    pub child: ColumnRef,
    /// The key referred to.
    pub parent: ColumnRef,
    /// Distinct child values to check at most.
    pub values_max: u32,
    /// Longest run time in milliseconds.
    pub timeout_ms: u64,
}

impl OverlapQuery {
    /// One statement that answers with two integers: values checked, values found.
    #[must_use]
    pub fn sql(&self, dialect: &dyn Dialect) -> String {
        let q = |name: &str| dialect.quote_identifier(name);
        format!(
            "SELECT COUNT(*) AS checked, COUNT(p.{pc}) AS found FROM (SELECT DISTINCT {cc} AS v FROM {cs}.{ct} \
             WHERE {cc} IS NOT NULL LIMIT {max}) d LEFT JOIN {ps}.{pt} p ON p.{pc} = d.v",
            pc = q(&self.parent.column),
            ps = q(&self.parent.schema),
            pt = q(&self.parent.table),
            cc = q(&self.child.column),
            cs = q(&self.child.schema),
            ct = q(&self.child.table),
            max = self.values_max,
        )
    }
}

/// Answer of a value check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
// Exhaustive: probes build it.
pub struct Overlap {
    /// Distinct child values checked.
    pub checked: u64,
    /// Those found in the parent.
    pub found: u64,
}

impl Overlap {
    /// Share found, `None` when nothing was checked.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "at most a few hundred values")]
    pub fn ratio(self) -> Option<f64> {
        (self.checked > 0).then(|| self.found as f64 / self.checked as f64)
    }
}

/// Checks values and profiles through the SQL pipeline.
pub trait ValueProbe {
    /// Runs one value check.
    ///
    /// # Errors
    /// Any; a failed check counts as no evidence, except `CANCELLED` and `DEADLINE_EXCEEDED` of the whole harvest.
    fn overlap(&mut self, query: &OverlapQuery) -> HarvestResult<Overlap>;

    /// The result object of a full table profile.
    ///
    /// # Errors
    /// Any; a failed profile becomes a warning of the run.
    fn full_profile(&mut self, schema: &str, table: &str) -> HarvestResult<serde_json::Value> {
        let _ = (schema, table);
        Err(HarvestError::new(HarvestCode::FailedPrecondition, "full profiles are not available here"))
    }
}

/// Stages of a harvest in order; their names are those of progress messages and attempts.
// Exhaustive: progress counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum HarvestStage {
    Start,
    Schemas,
    Objects,
    Columns,
    Indexes,
    ForeignKeys,
    Constraints,
    Definitions,
    Profiles,
    Inference,
    Write,
    Finish,
}

impl HarvestStage {
    /// Number of stages.
    pub const COUNT: usize = 12;

    /// The name in attempts and progress messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Schemas => "schemas",
            Self::Objects => "objects",
            Self::Columns => "columns",
            Self::Indexes => "indexes",
            Self::ForeignKeys => "foreign_keys",
            Self::Constraints => "constraints",
            Self::Definitions => "definitions",
            Self::Profiles => "profiles",
            Self::Inference => "inference",
            Self::Write => "write",
            Self::Finish => "finish",
        }
    }

    /// Position, from 1.
    #[must_use]
    pub const fn number(self) -> usize {
        self as usize + 1
    }
}

impl From<MetadataStage> for HarvestStage {
    fn from(stage: MetadataStage) -> Self {
        match stage {
            MetadataStage::Schemas => Self::Schemas,
            MetadataStage::Objects => Self::Objects,
            MetadataStage::Columns => Self::Columns,
            MetadataStage::Indexes => Self::Indexes,
            MetadataStage::ForeignKeys => Self::ForeignKeys,
            MetadataStage::Constraints => Self::Constraints,
            MetadataStage::Definitions => Self::Definitions,
        }
    }
}

/// Watches a harvest: hears of progress, says when to stop.
pub trait HarvestWatch {
    /// `done` objects of `stage` are through: at its start with 0, then about every 200.
    ///
    /// # Errors
    /// `CANCELLED` or `DEADLINE_EXCEEDED` to stop the harvest.
    fn stage(&mut self, stage: HarvestStage, done: usize) -> HarvestResult<()>;
}

impl HarvestWatch for () {
    fn stage(&mut self, _: HarvestStage, _: usize) -> HarvestResult<()> {
        Ok(())
    }
}

/// One batch of rows for a data index, in key order.
#[derive(Debug, Clone)]
// Exhaustive: readers build statements from it.
pub struct BatchRequest {
    /// Schema.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Columns of the answer: key columns first, then the indexed ones.
    pub columns: Vec<String>,
    /// The key, a prefix of `columns`.
    pub key: Vec<String>,
    /// A boolean expression as the caller wrote it; the reader has it checked as a fragment.
    pub where_clause: Option<String>,
    /// Key of the last row read; rows from this key on are wanted, that row included.
    pub from_key: Option<Vec<Value>>,
    /// Rows at most.
    pub rows_max: usize,
}

impl BatchRequest {
    /// The statement with its parameters; `predicate` is the checked `where_clause`.
    #[must_use]
    pub fn sql(&self, dialect: &dyn Dialect, predicate: Option<&str>) -> (String, Vec<Value>) {
        let q = |name: &str| dialect.quote_identifier(name);
        let list = |names: &[String]| names.iter().map(|n| q(n)).collect::<Vec<_>>().join(", ");
        let mut conditions: Vec<String> = predicate.map(|p| format!("({p})")).into_iter().collect();
        let mut params = Vec::new();
        if let Some(key) = &self.from_key {
            // (k1 > ?) OR (k1 = ? AND k2 > ?) OR … with >= on the last part.
            let mut branches = Vec::new();
            for last in 0..self.key.len() {
                let parts: Vec<String> = (0..=last)
                    .map(|at| {
                        params.push(key[at].clone());
                        let operator = match (at == last, last + 1 == self.key.len()) {
                            (false, _) => "=",
                            (true, false) => ">",
                            (true, true) => ">=",
                        };
                        format!("{} {operator} {}", q(&self.key[at]), dialect.placeholder(params.len()))
                    })
                    .collect();
                branches.push(format!("({})", parts.join(" AND ")));
            }
            conditions.push(format!("({})", branches.join(" OR ")));
        }
        let filter = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        let sql = format!(
            "SELECT {} FROM {}.{}{filter} ORDER BY {} LIMIT {}",
            list(&self.columns),
            q(&self.schema),
            q(&self.table),
            list(&self.key),
            self.rows_max
        );
        (sql, params)
    }

    /// A statement that gives a row if some row's key holds a NULL.
    #[must_use]
    pub fn null_key_sql(&self, dialect: &dyn Dialect, predicate: Option<&str>) -> String {
        let q = |name: &str| dialect.quote_identifier(name);
        let nulls = self.key.iter().map(|k| format!("{} IS NULL", q(k))).collect::<Vec<_>>().join(" OR ");
        let filter = predicate.map(|p| format!("({p}) AND ")).unwrap_or_default();
        format!("SELECT 1 FROM {}.{} WHERE {filter}({nulls}) LIMIT 1", q(&self.schema), q(&self.table))
    }
}

/// Reads rows of one table through the SQL pipeline.
pub trait RowReader {
    /// Rows of one batch in key order, values in the order of `request.columns`.
    ///
    /// # Errors
    /// Those of the pipeline; the index is not touched then.
    fn read_batch(&mut self, request: &BatchRequest) -> HarvestResult<Vec<Vec<Value>>>;

    /// Whether some row's key holds a NULL.
    ///
    /// # Errors
    /// Those of the pipeline.
    fn has_null_key(&mut self, request: &BatchRequest) -> HarvestResult<bool>;

    /// Hears that `rows` rows are indexed.
    ///
    /// # Errors
    /// `CANCELLED` or `DEADLINE_EXCEEDED` to stop; the index is not touched then.
    fn progress(&mut self, rows: u64) -> HarvestResult<()> {
        let _ = rows;
        Ok(())
    }
}
