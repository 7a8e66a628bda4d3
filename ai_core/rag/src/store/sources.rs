//! Sources, who may see them, and where their synchronisation stands; it knows no backend.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use ai_core::{AiError, AiErrorCode, AiResult};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Store;
use crate::config::SourceConfig;
use crate::database::{Row, Session, SqlValue, bind};
use crate::ids::now_s;
use crate::records::SyncState;

/// A source as stored; a row that was edited into nonsense keeps its error.
#[derive(Debug, Clone)]
pub(crate) struct SourceRow {
    pub(crate) source_id: i64,
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) kind: String,
    pub(crate) config: AiResult<SourceConfig>,
    /// Hash of the content settings at the last full pass.
    pub(crate) passed_hash: Option<String>,
}

/// The rights of one caller on one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AclEntry {
    /// A caller's name, or `*`.
    pub caller: String,
    /// May find and read.
    #[serde(default = "yes")]
    pub can_search: bool,
    /// May fetch rows from the source.
    #[serde(default = "yes")]
    pub can_fetch: bool,
    /// May start synchronisation.
    #[serde(default)]
    pub can_sync: bool,
}

fn yes() -> bool {
    true
}

impl AclEntry {
    /// A caller who may find and fetch.
    #[must_use]
    pub fn reader(caller: impl Into<String>) -> Self {
        Self { caller: caller.into(), can_search: true, can_fetch: true, can_sync: false }
    }
}

const COLUMNS: &str = "source_id, name, enabled, backend_type, backend_host, backend_port, backend_user, backend_pass,
    backend_db, target_id, table_name, pk_column, where_sql, doc_map_json, chunking_json, embedding_json, sync_json,
    filter_map_json, fetch_columns_json, kind, config_hash";

/// All sources, by number.
pub(crate) fn all(c: &dyn Session) -> AiResult<Vec<SourceRow>> {
    all_with(c, &ParsedSources::default())
}

/// Sources as they were read last, with the cells that they were read from: reading settings costs more than a search by words.
#[derive(Default)]
pub(crate) struct ParsedSources(Mutex<HashMap<i64, (Vec<SqlValue>, SourceRow)>>);

/// As [`all`], reading only settings that have changed.
pub(crate) fn all_with(c: &dyn Session, parsed: &ParsedSources) -> AiResult<Vec<SourceRow>> {
    let mut parsed = parsed.0.lock().unwrap_or_else(PoisonError::into_inner);
    if parsed.len() > PARSED_MAX {
        parsed.clear();
    }
    c.all(&format!("SELECT {COLUMNS} FROM rag_sources ORDER BY source_id"), &[], |r| {
        let id: i64 = r.get(0)?;
        if let Some((cells, held)) = parsed.get(&id)
            && cells.as_slice() == r.cells()
        {
            return Ok(held.clone());
        }
        let made = row(r)?;
        parsed.insert(id, (r.cells().to_vec(), made.clone()));
        Ok(made)
    })
}

/// Sources that are kept read.
const PARSED_MAX: usize = 1_000;

fn row(r: &Row<'_>) -> AiResult<SourceRow> {
    let name: String = r.get(1)?;
    let mut object = serde_json::Map::new();
    for (i, key) in [
        (3, "backend_type"),
        (4, "backend_host"),
        (6, "backend_user"),
        (7, "backend_pass"),
        (8, "backend_db"),
        (9, "target_id"),
        (10, "table_name"),
        (11, "pk_column"),
        (12, "where_sql"),
        (19, "kind"),
    ] {
        object.insert(key.to_owned(), r.get::<Option<String>>(i)?.map_or(Value::Null, Value::from));
    }
    object.insert("source_id".to_owned(), r.get::<i64>(0)?.into());
    object.insert("name".to_owned(), name.clone().into());
    object.insert("enabled".to_owned(), r.get::<bool>(2)?.into());
    object.insert("backend_port".to_owned(), r.get::<i64>(5)?.into());
    let mut broken = None;
    for (i, key) in [
        (13, "doc_map_json"),
        (14, "chunking_json"),
        (15, "embedding_json"),
        (16, "sync_json"),
        (17, "filter_map_json"),
        (18, "fetch_columns_json"),
    ] {
        let Some(text) = r.get::<Option<String>>(i)?.filter(|t| !t.trim().is_empty()) else { continue };
        match serde_json::from_str::<Value>(&text) {
            Ok(value) => drop(object.insert(key.to_owned(), value)),
            Err(e) => broken = Some(AiError::invalid(format!("source {name:?}: {key} is not JSON: {e}"))),
        }
    }
    let config = match broken {
        Some(error) => Err(error),
        None => serde_json::from_value::<SourceConfig>(Value::Object(object))
            .map_err(|e| AiError::invalid(format!("source {name:?}: {e}")))
            .and_then(|c| c.validate().map(|()| c)),
    };
    Ok(SourceRow {
        source_id: r.get(0)?,
        enabled: r.get(2)?,
        kind: r.get(19)?,
        passed_hash: r.get(20)?,
        name,
        config,
    })
}

/// Rights of all sources: (source, entry).
pub(crate) fn acl(c: &dyn Session) -> AiResult<Vec<(i64, AclEntry)>> {
    c.all("SELECT source_id, caller, can_search, can_fetch, can_sync FROM rag_source_acl", &[], |r| {
        let entry =
            AclEntry { caller: r.get(1)?, can_search: r.get(2)?, can_fetch: r.get(3)?, can_sync: r.get(4)? };
        Ok((r.get(0)?, entry))
    })
}

/// Where the synchronisation of a source stands.
pub(crate) fn sync_state(c: &dyn Session, source_id: i64) -> AiResult<SyncState> {
    let found = c.first(
        "SELECT cursor_json, last_ok_at, last_run_at, last_error, last_sweep_at, consecutive_failures, next_run_at
         FROM rag_sync_state WHERE source_id = ?1",
        bind![source_id],
        |r| {
            Ok(SyncState {
                cursor: r.json(0),
                last_ok_at: r.get(1)?,
                last_run_at: r.get(2)?,
                last_error: r.get(3)?,
                last_sweep_at: r.get(4)?,
                consecutive_failures: r.get(5)?,
                next_run_at: r.get(6)?,
            })
        },
    )?;
    Ok(found.unwrap_or_default())
}

pub(crate) fn put_sync_state(c: &dyn Session, source_id: i64, state: &SyncState) -> AiResult<()> {
    c.execute(
        "INSERT INTO rag_sync_state (source_id, cursor_json, last_ok_at, last_run_at, last_error, last_sweep_at,
           consecutive_failures, next_run_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (source_id) DO UPDATE SET cursor_json = ?2, last_ok_at = ?3, last_run_at = ?4, last_error = ?5,
           last_sweep_at = ?6, consecutive_failures = ?7, next_run_at = ?8",
        bind![
            source_id,
            state.cursor.to_string(),
            state.last_ok_at,
            state.last_run_at,
            state.last_error.as_deref(),
            state.last_sweep_at,
            state.consecutive_failures,
            state.next_run_at
        ],
    )
    .map(drop)
}

fn json<T: Serialize>(value: &T) -> AiResult<String> {
    serde_json::to_string(value).map_err(|e| AiError::internal(e.to_string()))
}

const SET: &str =
    "name = ?2, enabled = ?3, backend_type = ?4, backend_host = ?5, backend_port = ?6, backend_user = ?7,
    backend_pass = ?8, backend_db = ?9, target_id = ?10, table_name = ?11, pk_column = ?12, where_sql = ?13,
    doc_map_json = ?14, chunking_json = ?15, embedding_json = ?16, sync_json = ?17, filter_map_json = ?18,
    fetch_columns_json = ?19, kind = ?20, updated_at = ?21";

/// Writes a source under a number of the caller's, or under the next one.
fn put(c: &dyn Session, config: &SourceConfig) -> AiResult<i64> {
    let filter_map = config.filter_map.as_ref().map(json).transpose()?;
    let fetch = config.fetch_columns.as_ref().map(json).transpose()?;
    let id = match config.source_id {
        Some(id) => id,
        None => c.cell("SELECT coalesce(max(source_id), 0) + 1 FROM rag_sources", &[])?,
    };
    let values = bind![
        id,
        &config.name,
        config.enabled,
        &config.backend_type,
        &config.backend_host,
        i64::from(config.backend_port),
        &config.backend_user,
        &config.backend_pass,
        &config.backend_db,
        config.target_id.as_deref(),
        &config.table_name,
        &config.pk_column,
        config.where_sql.as_deref(),
        json(&config.doc_map)?,
        json(&config.chunking)?,
        json(&config.embedding)?,
        json(&config.sync)?,
        filter_map,
        fetch,
        &config.kind,
        now_s()
    ];
    c.execute(
        &format!(
            "INSERT INTO rag_sources (source_id, name, enabled, backend_type, backend_host, backend_port, backend_user,
               backend_pass, backend_db, target_id, table_name, pk_column, where_sql, doc_map_json, chunking_json,
               embedding_json, sync_json, filter_map_json, fetch_columns_json, kind, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?21)
             ON CONFLICT (source_id) DO UPDATE SET {SET}"
        ),
        values,
    )?;
    Ok(id)
}

impl Store {
    /// Creates or replaces a source; returns its number.
    pub(crate) fn put_source(&self, config: &SourceConfig, acl: Option<&[AclEntry]>) -> AiResult<i64> {
        self.write(|c| {
            let taken: Option<i64> =
                c.first("SELECT source_id FROM rag_sources WHERE name = ?1", bind![&config.name], |r| r.get(0))?;
            if taken.is_some_and(|id| Some(id) != config.source_id) {
                return Err(AiError::new(
                    AiErrorCode::Conflict,
                    format!("a source named {:?} exists; give its source_id to change it", config.name),
                ));
            }
            let id = put(c, config)?;
            c.execute(
                "UPDATE rag_documents SET source_name = ?2 WHERE source_id = ?1 AND source_name <> ?2",
                bind![id, &config.name],
            )?;
            if let Some(entries) = acl {
                c.execute("DELETE FROM rag_source_acl WHERE source_id = ?1", bind![id])?;
                for e in entries {
                    c.execute(
                        "INSERT INTO rag_source_acl (source_id, caller, can_search, can_fetch, can_sync)
                         VALUES (?1, ?2, ?3, ?4, ?5)
                         ON CONFLICT (source_id, caller) DO UPDATE SET can_search = ?3, can_fetch = ?4, can_sync = ?5",
                        bind![id, &e.caller, e.can_search, e.can_fetch, e.can_sync],
                    )?;
                }
            }
            Ok(id)
        })
    }

    /// Records that all documents of a source follow these content settings.
    pub(crate) fn set_passed_hash(&self, source_id: i64, hash: &str) -> AiResult<()> {
        self.write(|c| {
            c.execute("UPDATE rag_sources SET config_hash = ?2 WHERE source_id = ?1", bind![source_id, hash])
                .map(drop)
        })
    }

    /// Removes the rows of a source itself; its documents must be gone.
    pub(crate) fn forget_source(&self, source_id: i64) -> AiResult<()> {
        self.write(|c| {
            for statement in [
                "DELETE FROM rag_documents WHERE source_id = ?1",
                "DELETE FROM rag_source_acl WHERE source_id = ?1",
                "DELETE FROM rag_sync_state WHERE source_id = ?1",
                "DELETE FROM rag_sync_errors WHERE source_id = ?1",
                "DELETE FROM rag_sources WHERE source_id = ?1",
            ] {
                c.execute(statement, bind![source_id])?;
            }
            Ok(())
        })
    }

    /// Hides a source at once, before its data go.
    pub(crate) fn disable_source(&self, source_id: i64) -> AiResult<()> {
        self.write(|c| {
            c.execute("UPDATE rag_sources SET enabled = 0 WHERE source_id = ?1", bind![source_id]).map(drop)
        })
    }

    /// Removes tombstones that are older than `before` (seconds since 1970).
    pub(crate) fn forget_tombstones(&self, before: i64) -> AiResult<u64> {
        self.write(|c| {
            c.execute("DELETE FROM rag_documents WHERE deleted = 1 AND updated_at < ?1", bind![before])
        })
    }
}
