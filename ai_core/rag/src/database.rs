//! What a database must offer to hold a retrieval store: sessions with bound SQL, vectors, perhaps words; it knows no table.
//!
//! The store's statements are written once. They use numbered parameters (`?1`), and `{list:1}` after an operand for "is one
//! of the values of parameter 1". Beyond that they stay within what SQLite and the PostgreSQL family share, so that an
//! implementation only spells parameters its own way.

use std::fmt;

use ai_core::{AiError, AiResult, Allowed, Deadline, Metric, TextClause, TextHit, VectorHit};
use serde_json::Value;

/// A bound value, or a cell of a result.
#[derive(Debug, Clone, PartialEq)]
// Exhaustive on purpose: a database must bind every kind.
pub enum SqlValue {
    /// NULL.
    Null,
    /// A whole number; truth values are 0 and 1.
    Int(i64),
    /// A floating-point number.
    Real(f64),
    /// A text, JSON included.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
    /// Whole numbers for `{list:n}`.
    Ints(Vec<i64>),
    /// Texts for `{list:n}`.
    Texts(Vec<String>),
}

macro_rules! into_value {
    ($($from:ty => |$x:ident| $to:expr),* $(,)?) => {
        $(impl From<$from> for SqlValue {
            fn from($x: $from) -> Self {
                $to
            }
        })*
    };
}

into_value! {
    i64 => |x| Self::Int(x),
    bool => |x| Self::Int(i64::from(x)),
    f64 => |x| Self::Real(x),
    usize => |x| Self::Int(i64::try_from(x).unwrap_or(i64::MAX)),
    &str => |x| Self::Text(x.to_owned()),
    String => |x| Self::Text(x),
    &String => |x| Self::Text(x.clone()),
    Vec<u8> => |x| Self::Blob(x),
    &[i64] => |x| Self::Ints(x.to_vec()),
    Vec<i64> => |x| Self::Ints(x),
    Vec<String> => |x| Self::Texts(x),
    &[String] => |x| Self::Texts(x.to_vec()),
}

impl<T: Into<Self>> From<Option<T>> for SqlValue {
    fn from(x: Option<T>) -> Self {
        x.map_or(Self::Null, Into::into)
    }
}

/// A type that a cell can be read as.
pub trait FromCell: Sized {
    /// The value, or `None` when the cell holds another kind.
    fn from_cell(cell: &SqlValue) -> Option<Self>;
}

impl FromCell for i64 {
    fn from_cell(cell: &SqlValue) -> Option<Self> {
        match cell {
            SqlValue::Int(i) => Some(*i),
            _ => None,
        }
    }
}

impl FromCell for bool {
    fn from_cell(cell: &SqlValue) -> Option<Self> {
        i64::from_cell(cell).map(|i| i != 0)
    }
}

impl FromCell for f64 {
    fn from_cell(cell: &SqlValue) -> Option<Self> {
        match cell {
            SqlValue::Real(x) => Some(*x),
            SqlValue::Int(i) => Some(*i as f64),
            _ => None,
        }
    }
}

impl FromCell for String {
    fn from_cell(cell: &SqlValue) -> Option<Self> {
        match cell {
            SqlValue::Text(t) => Some(t.clone()),
            _ => None,
        }
    }
}

impl FromCell for Vec<u8> {
    fn from_cell(cell: &SqlValue) -> Option<Self> {
        match cell {
            SqlValue::Blob(b) => Some(b.clone()),
            _ => None,
        }
    }
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: &SqlValue) -> Option<Self> {
        match cell {
            SqlValue::Null => Some(None),
            other => T::from_cell(other).map(Some),
        }
    }
}

/// One row of a result.
#[derive(Debug)]
pub struct Row<'a>(&'a [SqlValue]);

impl<'a> Row<'a> {
    /// A row of these cells.
    #[must_use]
    pub const fn new(cells: &'a [SqlValue]) -> Self {
        Self(cells)
    }

    /// All cells.
    #[must_use]
    pub const fn cells(&self) -> &[SqlValue] {
        self.0
    }

    /// The cell at `index`, from 0.
    ///
    /// # Errors
    /// `INTERNAL` when there is no such cell or it holds another kind.
    pub fn get<T: FromCell>(&self, index: usize) -> AiResult<T> {
        self.0
            .get(index)
            .and_then(T::from_cell)
            .ok_or_else(|| AiError::internal(format!("store: column {index} is not of the expected kind")))
    }

    /// The JSON of a cell; NULL and text that is no JSON are null.
    #[must_use]
    pub fn json(&self, index: usize) -> Value {
        match self.0.get(index) {
            Some(SqlValue::Text(t)) => serde_json::from_str(t).unwrap_or(Value::Null),
            _ => Value::Null,
        }
    }
}

/// Which of the two families of SQL a database speaks.
// Exhaustive on purpose: the few statements that differ are written for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlFamily {
    /// One file with one writer; words can live in it.
    Sqlite,
    /// A server that several processes share; words live in an index beside each process.
    Postgres,
}

/// One table of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// Exhaustive on purpose: this is plain data that the store builds.
pub struct VectorSpace {
    /// Its number; the table is `rag_vec_<space_id>`.
    pub space_id: i64,
    /// Components of a vector.
    pub dim: usize,
    /// How distance is measured.
    pub metric: Metric,
    /// Whether all vectors have unit length.
    pub normalize: bool,
}

impl VectorSpace {
    /// The name of its table; only ever built from a number.
    #[must_use]
    pub fn table(&self) -> String {
        format!("rag_vec_{}", self.space_id)
    }
}

/// What a session does with each row.
pub type EachRow<'a> = &'a mut dyn FnMut(&Row<'_>) -> AiResult<()>;

/// What a session does with each vector: chunk, source, components.
pub type EachVector<'a> = &'a mut dyn FnMut(i64, i64, &[f32]) -> AiResult<()>;

/// One transaction or snapshot of the store's database.
pub trait Session {
    /// The family of SQL.
    fn family(&self) -> SqlFamily;

    /// Runs a statement; gives the number of rows that it changed.
    ///
    /// # Errors
    /// `UNAVAILABLE`, `DEADLINE_EXCEEDED`, or what is wrong with the statement.
    fn execute(&self, sql: &str, values: &[SqlValue]) -> AiResult<u64>;

    /// Runs a query and hands over its rows.
    ///
    /// # Errors
    /// As [`execute`](Self::execute), and what `each` gives.
    fn visit(&self, sql: &str, values: &[SqlValue], each: EachRow<'_>) -> AiResult<()>;

    /// Runs statements without parameters.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    fn batch(&self, sql: &str) -> AiResult<()>;

    /// Creates the table of a space unless it exists.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` for a dimension that the database cannot hold.
    fn create_vectors(&self, space: &VectorSpace) -> AiResult<()>;

    /// Drops the table of a space.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    fn drop_vectors(&self, space: &VectorSpace) -> AiResult<()>;

    /// Stores checked vectors (chunk, source, components); those that the chunks had before are replaced.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    fn put_vectors(&self, space: &VectorSpace, items: &[(i64, i64, &[f32])]) -> AiResult<()>;

    /// Removes the vectors of these chunks; unknown ones are ignored.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    fn remove_vectors(&self, space: &VectorSpace, chunk_pks: &[i64]) -> AiResult<()>;

    /// Hands over the vectors of these chunks, or all.
    ///
    /// # Errors
    /// As [`visit`](Self::visit).
    fn visit_vectors(
        &self,
        space: &VectorSpace,
        chunk_pks: Option<&[i64]>,
        each: EachVector<'_>,
    ) -> AiResult<()>;

    /// The `k` nearest permitted chunks, nearest first, equal distances by key.
    ///
    /// # Errors
    /// As [`visit`](Self::visit).
    fn nearest(
        &self,
        space: &VectorSpace,
        query: &[f32],
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Vec<VectorHit>>;

    /// Exact distances of these chunks under `metric`, in no particular order; those without a vector are left out.
    ///
    /// # Errors
    /// As [`visit`](Self::visit).
    fn distances(
        &self,
        space: &VectorSpace,
        metric: Metric,
        query: &[f32],
        chunk_pks: &[i64],
    ) -> AiResult<Vec<VectorHit>>;

    /// Number of vectors of a space.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    fn count_vectors(&self, space: &VectorSpace) -> AiResult<u64>;

    /// Bytes that the store takes.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    fn size_bytes(&self) -> AiResult<u64>;

    /// The full-text table inside the transaction, if the database has one.
    fn words(&self) -> Option<&dyn Words>;
}

impl<'s> dyn Session + 's {
    /// All rows of a query.
    ///
    /// # Errors
    /// As [`Session::visit`].
    pub fn all<T>(
        &self,
        sql: &str,
        values: &[SqlValue],
        mut read: impl FnMut(&Row<'_>) -> AiResult<T>,
    ) -> AiResult<Vec<T>> {
        let mut out = Vec::new();
        self.visit(sql, values, &mut |row| {
            out.push(read(row)?);
            Ok(())
        })?;
        Ok(out)
    }

    /// The first row of a query, if there is one.
    ///
    /// # Errors
    /// As [`Session::visit`].
    pub fn first<T>(
        &self,
        sql: &str,
        values: &[SqlValue],
        mut read: impl FnMut(&Row<'_>) -> AiResult<T>,
    ) -> AiResult<Option<T>> {
        let mut out = None;
        self.visit(sql, values, &mut |row| {
            if out.is_none() {
                out = Some(read(row)?);
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// The one cell of a query that always has a row.
    ///
    /// # Errors
    /// As [`Session::visit`], and `INTERNAL` without a row.
    pub fn cell<T: FromCell>(&self, sql: &str, values: &[SqlValue]) -> AiResult<T> {
        self.first(sql, values, |r| r.get(0))?
            .ok_or_else(|| AiError::internal("store: a query without a row where one was sure"))
    }
}

/// A full-text table that changes in the transaction of the chunks. Terms have passed the shared analyser.
pub trait Words {
    /// Adds an entry; the key must be new.
    ///
    /// # Errors
    /// As [`Session::execute`].
    fn add(&self, chunk_pk: i64, title: &[String], body: &[String]) -> AiResult<()>;

    /// Removes an entry; unknown keys are ignored.
    ///
    /// # Errors
    /// As [`Session::execute`].
    fn remove(&self, chunk_pk: i64) -> AiResult<()>;

    /// Removes all entries.
    ///
    /// # Errors
    /// As [`Session::execute`].
    fn clear(&self) -> AiResult<()>;

    /// Number of entries.
    ///
    /// # Errors
    /// As [`Session::execute`].
    fn count(&self) -> AiResult<u64>;

    /// The `k` best permitted entries, best first.
    ///
    /// # Errors
    /// As [`Session::visit`], and `INVALID_ARGUMENT` for a query beyond the bounds.
    fn search(&self, query: &TextClause, k: usize, allowed: &Allowed) -> AiResult<Vec<TextHit>>;
}

/// Work in a session.
pub type SessionWork<'a> = &'a mut dyn FnMut(&dyn Session) -> AiResult<()>;

/// A database that holds a store.
pub trait Database: Send + Sync + fmt::Debug {
    /// The family of SQL.
    fn family(&self) -> SqlFamily;

    /// Creates or completes the tables; harmless on a current store.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` for a store of a newer version, which is left as it is.
    fn migrate(&self) -> AiResult<()>;

    /// Runs `work` once on one consistent state, until the deadline; it can change nothing.
    ///
    /// # Errors
    /// What `work` gives, `UNAVAILABLE`, `DEADLINE_EXCEEDED`.
    fn read(&self, deadline: Deadline, work: SessionWork<'_>) -> AiResult<()>;

    /// Runs `work` in the one write transaction that the store has at a time, over all processes; an error rolls everything
    /// back. `work` may run again when the database asks to repeat it.
    ///
    /// # Errors
    /// What `work` gives, `UNAVAILABLE`.
    fn write(&self, work: SessionWork<'_>) -> AiResult<()>;

    /// Makes searches of a space fast, where that takes preparation: gives recall@10 against the exact scan on a sample when
    /// it was measured now.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn warm(&self, space: &VectorSpace) -> AiResult<Option<f32>>;
}

/// Bound values from anything that is one.
macro_rules! bind {
    ($($value:expr),* $(,)?) => {
        &[$($crate::database::SqlValue::from($value)),*]
    };
}
pub(crate) use bind;
