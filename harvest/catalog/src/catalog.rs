//! The catalog store as one handle: opening, status, health, scopes of runs; the records have files of their own.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use harvest::HarvestResult;
use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::docs;
use crate::fail::{self, StoreResult};
use crate::keys::RunRef;
use crate::layout::{self, CATALOG_STEPS};
use crate::store::{Store, StoreOptions, now};

/// The discovery catalog. Cheap to clone; every call may block on the store's file.
#[derive(Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    /// Unix seconds.
    opened_at: AtomicI64,
    /// Contents of runs: a run never changes, so they never go stale.
    spans: Mutex<HashMap<i64, Span>>,
}

/// The contents of a run.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// Every content between the two belongs to the run.
    pub(crate) whole: bool,
}
const SPANS_MAX: usize = 10_000;

/// State of the store's layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CatalogStatus {
    /// The file.
    pub sqlite_path: String,
    /// initialized, migrated or current: what opening did.
    pub status: String,
    /// Version of the layout.
    pub schema_version: u64,
    /// Tables in the store.
    pub tables: u64,
}

/// A run that a call resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
// Exhaustive: plain facts of one row.
pub struct RunInfo {
    /// Its id.
    pub run_id: i64,
    /// Its target.
    pub target_id: String,
    /// mysql, pgsql or sqlite.
    pub protocol: String,
    /// mysql, mariadb, postgresql or sqlite.
    pub dialect: String,
}

impl Catalog {
    /// Opens the store, creating or migrating it. Harvests that a dead process left running become failed.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` for a path that cannot be opened, a damaged store or one of a newer version.
    pub fn open(options: StoreOptions) -> HarvestResult<Self> {
        let store = Store::open(options, CATALOG_STEPS)?;
        store.write(|tx| {
            tx.execute(
                "UPDATE discovery_attempts SET status = 'failed', finished_at = ?1, error_code = 'UNAVAILABLE',
                 error_text = 'the process ended during the harvest' WHERE status = 'running'",
                [now()],
            )
            .db()?;
            docs::seed(tx)
        })?;
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                opened_at: AtomicI64::new(now()),
                spans: Mutex::new(HashMap::new()),
            }),
        })
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn opened_at(&self) -> i64 {
        self.inner.opened_at.load(Ordering::Acquire)
    }

    /// Goes on with the store of `fresh`, which nobody else holds: every clone of this handle reads and writes there from
    /// now on. Transactions that run end on the old file; a harvest that runs ends with an error.
    ///
    /// # Errors
    /// `INTERNAL` when somebody else holds `fresh`.
    pub fn take_over(&self, fresh: Self) -> HarvestResult<()> {
        let held = |_| fail::internal("the fresh catalog is in use already");
        let Inner { store, opened_at, .. } = Arc::try_unwrap(fresh.inner).map_err(held)?;
        let mut spans = self.inner.spans.lock().unwrap_or_else(PoisonError::into_inner);
        self.inner.store.take_over(store);
        self.inner.opened_at.store(opened_at.into_inner(), Ordering::Release);
        spans.clear();
        Ok(())
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.store().path()
    }

    /// What opening did, the layout's version and the number of tables.
    ///
    /// # Errors
    /// Those of the store.
    pub fn status(&self) -> HarvestResult<CatalogStatus> {
        self.store().read(|c| {
            let tables: i64 = c
                .query_row(
                    "SELECT COUNT(*) FROM pragma_table_list WHERE schema = 'main' AND type IN ('table','virtual')
                     AND name NOT LIKE 'sqlite_%'",
                    [],
                    |r| r.get(0),
                )
                .db()?;
            Ok(CatalogStatus {
                sqlite_path: self.path().display().to_string(),
                status: self.store().status().as_str().to_owned(),
                schema_version: layout::version(c)? as u64,
                tables: tables.unsigned_abs(),
            })
        })
    }

    /// Checks the file and its search indexes; the list of findings is empty when all is well.
    ///
    /// # Errors
    /// Those of the store.
    pub fn check_integrity(&self) -> HarvestResult<Vec<String>> {
        self.store().on_writer(|c| {
            let mut findings: Vec<String> = {
                let mut statement = c.prepare("PRAGMA integrity_check(20)").db()?;
                let rows = statement.query_map([], |r| r.get::<_, String>(0)).db()?;
                rows.collect::<rusqlite::Result<_>>().db()?
            };
            findings.retain(|f| f != "ok");
            for table in ["fts_objects", "fts_llm", "catalog_fts"] {
                let sql = format!("INSERT INTO {table}({table}) VALUES ('integrity-check')");
                if let Err(error) = c.execute(&sql, []) {
                    findings.push(format!("{table}: {error}"));
                }
            }
            Ok(findings)
        })
    }

    /// The latest run of a target, if it has one.
    ///
    /// # Errors
    /// Those of the store.
    pub fn latest_run_id(&self, target_id: &str) -> HarvestResult<Option<i64>> {
        self.store().read(|c| {
            c.prepare_cached("SELECT MAX(run_id) FROM runs WHERE target_id = ?1")
                .db()?
                .query_row([target_id], |r| r.get(0))
                .db()
        })
    }

    /// The run that a call means.
    ///
    /// # Errors
    /// `NOT_FOUND` for a run of another target or a schema that no run holds, `FAILED_PRECONDITION` when the target
    /// has no run.
    pub fn resolve_run(&self, target_id: &str, run: &RunRef) -> HarvestResult<RunInfo> {
        self.store().read(|c| resolve_run(c, target_id, run))
    }

    pub(crate) fn span(&self, c: &Connection, run_id: i64) -> HarvestResult<Span> {
        let mut spans = self.inner.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(span) = spans.get(&run_id) {
            return Ok(*span);
        }
        let (first, last, count): (Option<i64>, Option<i64>, i64) = c
            .query_row(
                "SELECT MIN(content_id), MAX(content_id), COUNT(*) FROM run_objects WHERE run_id = ?1",
                [run_id],
                |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
            )
            .db()?;
        // A run without objects spans nothing.
        let (first, last) = (first.unwrap_or(1), last.unwrap_or(0));
        let span = Span { first, last, whole: last.saturating_sub(first).saturating_add(1) == count };
        if spans.len() >= SPANS_MAX {
            spans.clear();
        }
        spans.insert(run_id, span);
        Ok(span)
    }
}

pub(crate) fn resolve_run(c: &Connection, target_id: &str, run: &RunRef) -> HarvestResult<RunInfo> {
    let info = |r: &rusqlite::Row<'_>| {
        Ok(RunInfo { run_id: r.get(0)?, target_id: r.get(1)?, protocol: r.get(2)?, dialect: r.get(3)? })
    };
    const FIELDS: &str = "SELECT run_id, target_id, protocol, dialect FROM runs";
    let found = match run {
        RunRef::Latest => c
            .prepare_cached(&format!("{FIELDS} WHERE target_id = ?1 ORDER BY run_id DESC LIMIT 1"))
            .db()?
            .query_row([target_id], info),
        RunRef::Id(id) => c
            .prepare_cached(&format!("{FIELDS} WHERE target_id = ?1 AND run_id = ?2"))
            .db()?
            .query_row((target_id, id), info),
        RunRef::Schema(schema) => c
            .prepare_cached(&format!(
                "{FIELDS} r WHERE target_id = ?1 AND EXISTS (SELECT 1 FROM schemas s WHERE s.run_id = r.run_id
                 AND s.schema_name = ?2) ORDER BY run_id DESC LIMIT 1"
            ))
            .db()?
            .query_row((target_id, schema), info),
    }
    .optional()
    .db()?;
    if let Some(found) = found {
        return Ok(found);
    }
    let has_run: bool = c
        .query_row("SELECT EXISTS(SELECT 1 FROM runs WHERE target_id = ?1)", [target_id], |r| r.get(0))
        .db()?;
    match run {
        _ if !has_run => Err(fail::precondition(
            format!("target {target_id:?} has no discovery run"),
            "run discovery.run_static first",
        )),
        RunRef::Id(id) => Err(fail::not_found("run", id.to_string())),
        RunRef::Schema(schema) => Err(fail::not_found("run", format!("schema:{schema}"))),
        RunRef::Latest => Err(fail::not_found("run", "latest")),
    }
}
