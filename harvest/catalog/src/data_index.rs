//! Full-text indexes over table data in a store of their own: creating, rebuilding beside, deleting; rows come through a reader.

mod fill;
mod query;
mod search;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use harvest::{HarvestCode, HarvestError, HarvestResult};
use rusqlite::{Connection, OptionalExtension, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::fail::{self, StoreResult};
use crate::keys::object_key;
use crate::layout::FTS_STEPS;
use crate::source::RowReader;
use crate::store::{Store, StoreOptions, now};

use fill::{Filled, drop_generation};

pub use search::{DataHit, DataSearchRequest, DataSearchResponse};

/// The store of data indexes. Cheap to clone; every call may block on the store's file.
#[derive(Clone)]
pub struct DataIndexes {
    store: Arc<Store>,
}

/// Bounds of one index.
#[derive(Debug, Clone, Copy)]
// Exhaustive: callers set every bound knowingly.
pub struct DataLimits {
    /// Rows at most.
    pub rows_max: u64,
    /// Bytes of text at most.
    pub bytes_max: u64,
    /// Rows read at once.
    pub batch_rows: usize,
}

impl Default for DataLimits {
    fn default() -> Self {
        Self { rows_max: 1_000_000, bytes_max: 1_073_741_824, batch_rows: 500 }
    }
}

/// What to index.
#[derive(Debug, Clone, PartialEq, Eq)]
// Exhaustive: callers fill every field from their arguments.
pub struct DataIndexSpec {
    /// The target.
    pub target_id: String,
    /// Schema.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Columns with text.
    pub columns: Vec<String>,
    /// Columns that tell rows apart.
    pub primary_key: Vec<String>,
    /// A boolean expression of the target's dialect.
    pub where_clause: Option<String>,
    /// Who asked.
    pub caller: String,
}

/// A filled index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct DataIndexed {
    pub index_id: i64,
    pub schema: String,
    pub table: String,
    pub columns: Vec<String>,
    pub row_count: u64,
    pub size_bytes: u64,
    /// Unix seconds.
    pub indexed_at: i64,
    /// Rows of the index that was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_row_count: Option<u64>,
}

/// An index in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct DataIndexRow {
    pub index_id: i64,
    pub target_id: String,
    pub schema: String,
    pub table: String,
    pub columns: Vec<String>,
    pub primary_key: Vec<String>,
    pub where_clause: Option<String>,
    pub row_count: i64,
    pub size_bytes: i64,
    pub indexed_at: i64,
    /// Seconds since it was filled.
    pub age_s: i64,
    /// ready, rebuilding or failed.
    pub status: String,
    pub last_error: Option<String>,
}

/// Existing indexes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DataIndexList {
    /// By target, schema, table.
    pub indexes: Vec<DataIndexRow>,
}

/// An index was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
#[non_exhaustive]
pub struct DataIndexDeleted {
    pub schema: String,
    pub table: String,
    pub deleted_rows: i64,
}

/// A row of `fts_indexes` as work needs it.
pub(crate) struct Stored {
    pub(crate) index_id: i64,
    pub(crate) generation: i64,
    pub(crate) spec: DataIndexSpec,
    pub(crate) row_count: i64,
}

impl DataIndexes {
    /// Opens the store; what an earlier process left unfinished is removed, and its indexes stay in service.
    ///
    /// # Errors
    /// As [`Catalog::open`](crate::Catalog::open).
    pub fn open(options: StoreOptions) -> HarvestResult<Self> {
        let store = Store::open(options, FTS_STEPS)?;
        store.write(|tx| {
            tx.execute("DELETE FROM fts_indexes WHERE generation = 0", []).db()?;
            tx.execute("UPDATE fts_indexes SET status = 'ready' WHERE status = 'rebuilding'", []).db()?;
            fill::drop_leftovers(tx)
        })?;
        Ok(Self { store: Arc::new(store) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> std::path::PathBuf {
        self.store.path()
    }

    /// Goes on with the store of `fresh`, which nobody else holds. An index that is being filled ends with an error.
    ///
    /// # Errors
    /// `INTERNAL` when somebody else holds `fresh`.
    pub fn take_over(&self, fresh: Self) -> HarvestResult<()> {
        let held = |_| fail::internal("the fresh store of data indexes is in use already");
        self.store.take_over(Arc::try_unwrap(fresh.store).map_err(held)?);
        Ok(())
    }

    /// Creates and fills an index.
    ///
    /// # Errors
    /// `CONFLICT` if it exists, `LIMIT_EXCEEDED` (nothing is left behind), `FAILED_PRECONDITION` for a key that is not
    /// unique, what the reader fails with.
    pub fn index_table(
        &self,
        spec: &DataIndexSpec,
        limits: &DataLimits,
        reader: &mut dyn RowReader,
    ) -> HarvestResult<DataIndexed> {
        check(spec)?;
        let index_id = self.reserve(spec)?;
        let filled = fill::fill(&self.store, index_id, 1, spec, limits, reader)
            .and_then(|filled| self.swap(index_id, 1, filled).map(|at| (filled, at)));
        match filled {
            Ok((filled, indexed_at)) => Ok(indexed(index_id, spec, filled, indexed_at, None)),
            Err(error) => {
                self.store.write(|tx| {
                    drop_generation(tx, index_id, 1)?;
                    tx.execute("DELETE FROM fts_indexes WHERE index_id = ?1", [index_id]).db().map(drop)
                })?;
                Err(error)
            }
        }
    }

    /// Rebuilds an index beside the old one and swaps; on failure the old one stays in service.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CONFLICT` while it is being built, others as [`index_table`](Self::index_table).
    pub fn reindex(
        &self,
        target_id: &str,
        schema: &str,
        table: &str,
        limits: &DataLimits,
        reader: &mut dyn RowReader,
    ) -> HarvestResult<DataIndexed> {
        let old = self.claim(target_id, schema, table)?;
        let next = old.generation + 1;
        let filled = fill::fill(&self.store, old.index_id, next, &old.spec, limits, reader)
            .and_then(|filled| self.swap(old.index_id, next, filled).map(|at| (filled, at)));
        match filled {
            Ok((filled, indexed_at)) => {
                self.store.write(|tx| drop_generation(tx, old.index_id, old.generation))?;
                Ok(indexed(old.index_id, &old.spec, filled, indexed_at, Some(old.row_count.unsigned_abs())))
            }
            Err(error) => {
                self.store.write(|tx| {
                    drop_generation(tx, old.index_id, next)?;
                    tx.execute(
                        "UPDATE fts_indexes SET status = 'ready', last_error = ?2 WHERE index_id = ?1",
                        (old.index_id, &error.message),
                    )
                    .db()
                    .map(drop)
                })?;
                Err(error)
            }
        }
    }

    /// What an index holds, for building its reader.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn spec(&self, target_id: &str, schema: &str, table: &str) -> HarvestResult<DataIndexSpec> {
        self.store.read(|c| find(c, target_id, schema, table)).map(|stored| stored.spec)
    }

    /// Existing indexes of these targets, or of all.
    ///
    /// # Errors
    /// Those of the store.
    pub fn list(&self, targets: Option<&[String]>) -> HarvestResult<DataIndexList> {
        self.store.read(|c| {
            let mut statement = c
                .prepare_cached(
                    "SELECT index_id, target_id, schema_name, table_name, columns_json, primary_key_json, where_clause,
                       row_count, size_bytes, indexed_at, status, last_error FROM fts_indexes
                     WHERE ?1 IS NULL OR target_id IN (SELECT value FROM json_each(?1))
                     ORDER BY target_id, schema_name, table_name",
                )
                .db()?;
            let targets = targets.map(|t| json!(t).to_string());
            let now = now();
            let rows = statement
                .query_map([targets], |r| {
                    let names = |at: usize| -> rusqlite::Result<Vec<String>> {
                        Ok(serde_json::from_str(&r.get::<_, String>(at)?).unwrap_or_default())
                    };
                    let indexed_at: i64 = r.get(9)?;
                    Ok(DataIndexRow {
                        index_id: r.get(0)?,
                        target_id: r.get(1)?,
                        schema: r.get(2)?,
                        table: r.get(3)?,
                        columns: names(4)?,
                        primary_key: names(5)?,
                        where_clause: r.get(6)?,
                        row_count: r.get(7)?,
                        size_bytes: r.get(8)?,
                        indexed_at,
                        age_s: now.saturating_sub(indexed_at).max(0),
                        status: r.get(10)?,
                        last_error: r.get(11)?,
                    })
                })
                .db()?;
            Ok(DataIndexList { indexes: rows.collect::<rusqlite::Result<_>>().db()? })
        })
    }

    /// Removes an index.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CONFLICT` while it is being built.
    pub fn delete(&self, target_id: &str, schema: &str, table: &str) -> HarvestResult<DataIndexDeleted> {
        self.store.write(|tx| {
            let stored = find(tx, target_id, schema, table)?;
            refuse_busy(tx, &stored)?;
            drop_generation(tx, stored.index_id, stored.generation)?;
            tx.execute("DELETE FROM fts_indexes WHERE index_id = ?1", [stored.index_id]).db()?;
            Ok(DataIndexDeleted {
                schema: schema.to_owned(),
                table: table.to_owned(),
                deleted_rows: stored.row_count,
            })
        })
    }

    /// A row of generation 0: nobody finds it, and a second creation is refused.
    fn reserve(&self, spec: &DataIndexSpec) -> HarvestResult<i64> {
        self.store.write(|tx| {
            let existing: Option<i64> = tx
                .query_row(
                    "SELECT index_id FROM fts_indexes WHERE target_id = ?1 AND schema_name = ?2 AND table_name = ?3",
                    (&spec.target_id, &spec.schema, &spec.table),
                    |r| r.get(0),
                )
                .optional()
                .db()?;
            if let Some(id) = existing {
                let key = object_key(&spec.schema, &spec.table);
                return Err(fail::conflict(format!("an index of {key} exists: use fts_reindex"))
                    .with("existing_id", id));
            }
            tx.query_row(
                "INSERT INTO fts_indexes(target_id, schema_name, table_name, columns_json, primary_key_json,
                   where_clause, row_count, size_bytes, indexed_at, status, generation, caller)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7, 'rebuilding', 0, ?8) RETURNING index_id",
                params![
                    spec.target_id,
                    spec.schema,
                    spec.table,
                    json!(spec.columns).to_string(),
                    json!(spec.primary_key).to_string(),
                    spec.where_clause,
                    now(),
                    spec.caller
                ],
                |r| r.get(0),
            )
            .db()
        })
    }

    fn claim(&self, target_id: &str, schema: &str, table: &str) -> HarvestResult<Stored> {
        self.store.write(|tx| {
            let stored = find(tx, target_id, schema, table)?;
            refuse_busy(tx, &stored)?;
            tx.execute("UPDATE fts_indexes SET status = 'rebuilding' WHERE index_id = ?1", [stored.index_id])
                .db()?;
            Ok(stored)
        })
    }

    fn swap(&self, index_id: i64, generation: i64, filled: Filled) -> HarvestResult<i64> {
        self.store.write(|tx| {
            tx.query_row(
                "UPDATE fts_indexes SET generation = ?2, row_count = ?3, size_bytes = ?4, indexed_at = ?5,
                   status = 'ready', last_error = NULL WHERE index_id = ?1 RETURNING indexed_at",
                params![index_id, generation, filled.rows as i64, filled.bytes as i64, now()],
                |r| r.get(0),
            )
            .db()
        })
    }
}

fn indexed(
    index_id: i64,
    spec: &DataIndexSpec,
    filled: Filled,
    indexed_at: i64,
    before: Option<u64>,
) -> DataIndexed {
    DataIndexed {
        index_id,
        schema: spec.schema.clone(),
        table: spec.table.clone(),
        columns: spec.columns.clone(),
        row_count: filled.rows,
        size_bytes: filled.bytes,
        indexed_at,
        previous_row_count: before,
    }
}

fn check(spec: &DataIndexSpec) -> HarvestResult<()> {
    for (argument, list) in [("columns", &spec.columns), ("primary_key", &spec.primary_key)] {
        let mut sorted: Vec<&String> = list.iter().collect();
        sorted.sort();
        sorted.dedup();
        if list.is_empty() || list.len() > 32 || sorted.len() != list.len() {
            return Err(fail::invalid(argument, "1 to 32 different columns", json!(list).to_string()));
        }
    }
    Ok(())
}

fn refuse_busy(c: &Connection, stored: &Stored) -> HarvestResult<()> {
    let status: String = c
        .query_row("SELECT status FROM fts_indexes WHERE index_id = ?1", [stored.index_id], |r| r.get(0))
        .db()?;
    if status != "rebuilding" {
        return Ok(());
    }
    let mut error = HarvestError::new(HarvestCode::Conflict, "the index is being rebuilt: wait for it");
    error.retryable = true;
    Err(error.with("existing_id", stored.index_id))
}

pub(crate) fn find(c: &Connection, target_id: &str, schema: &str, table: &str) -> HarvestResult<Stored> {
    c.prepare_cached(
        "SELECT index_id, generation, columns_json, primary_key_json, where_clause, caller, row_count FROM fts_indexes
         WHERE target_id = ?1 AND schema_name = ?2 AND table_name = ?3",
    )
    .db()?
    .query_row((target_id, schema, table), |r| {
        let names = |at: usize| -> rusqlite::Result<Vec<String>> {
            Ok(serde_json::from_str(&r.get::<_, String>(at)?).unwrap_or_default())
        };
        Ok(Stored {
            index_id: r.get(0)?,
            generation: r.get(1)?,
            spec: DataIndexSpec {
                target_id: target_id.to_owned(),
                schema: schema.to_owned(),
                table: table.to_owned(),
                columns: names(2)?,
                primary_key: names(3)?,
                where_clause: r.get(4)?,
                caller: r.get(5)?,
            },
            row_count: r.get(6)?,
        })
    })
    .optional()
    .db()?
    .ok_or_else(|| fail::not_found("full-text index", object_key(schema, table)))
}
