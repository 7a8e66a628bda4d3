//! The tables of the SQLite store and their migration; it knows SQL, not what is stored.

use rusqlite::Connection;

use crate::sql::sql;
use ai_core::{AiError, AiErrorCode, AiResult};

/// Version of the tables; a store with a higher one is refused.
pub const SCHEMA_VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS rag_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rag_sources (
  source_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, enabled INTEGER NOT NULL DEFAULT 1,
  backend_type TEXT NOT NULL, backend_host TEXT NOT NULL DEFAULT '', backend_port INTEGER NOT NULL DEFAULT 0,
  backend_user TEXT NOT NULL DEFAULT '',
  backend_pass TEXT NOT NULL DEFAULT '' CHECK (backend_pass = '' OR backend_pass LIKE 'profile:_%'
    OR backend_pass LIKE 'env:_%' OR backend_pass LIKE 'file:_%'),
  backend_db TEXT NOT NULL DEFAULT '', target_id TEXT, table_name TEXT NOT NULL, pk_column TEXT NOT NULL,
  where_sql TEXT, doc_map_json TEXT NOT NULL, chunking_json TEXT NOT NULL DEFAULT '{}', embedding_json TEXT,
  sync_json TEXT NOT NULL DEFAULT '{}', filter_map_json TEXT, fetch_columns_json TEXT,
  kind TEXT NOT NULL DEFAULT 'rag', config_hash TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rag_documents (
  doc_pk INTEGER PRIMARY KEY, doc_id TEXT NOT NULL UNIQUE, source_id INTEGER NOT NULL REFERENCES rag_sources,
  source_name TEXT NOT NULL, pk_json TEXT NOT NULL, title TEXT, body TEXT, metadata_json TEXT NOT NULL DEFAULT '{}',
  content_hash TEXT NOT NULL, version INTEGER NOT NULL, created_ms INTEGER, score_num REAL, post_type INTEGER,
  updated_at INTEGER NOT NULL, deleted INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS rag_chunks (
  chunk_pk INTEGER PRIMARY KEY AUTOINCREMENT, chunk_id TEXT NOT NULL UNIQUE, doc_pk INTEGER NOT NULL REFERENCES rag_documents,
  doc_id TEXT NOT NULL, source_id INTEGER NOT NULL, chunk_index INTEGER NOT NULL, title TEXT, body TEXT NOT NULL,
  fts_text TEXT, metadata_json TEXT NOT NULL DEFAULT '{}', content_hash TEXT NOT NULL, start_char INTEGER NOT NULL,
  end_char INTEGER NOT NULL, heading_path TEXT, language TEXT NOT NULL DEFAULT '', version INTEGER NOT NULL,
  updated_at INTEGER NOT NULL, deleted INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS rag_document_tags (
  doc_pk INTEGER NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (doc_pk, tag)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rag_document_meta (
  doc_pk INTEGER NOT NULL, key TEXT NOT NULL, num REAL, text TEXT, ts_ms INTEGER);
CREATE TABLE IF NOT EXISTS rag_sync_state (
  source_id INTEGER PRIMARY KEY, mode TEXT NOT NULL DEFAULT 'poll', cursor_json TEXT NOT NULL DEFAULT '{}',
  last_ok_at INTEGER, last_error TEXT, last_run_at INTEGER, last_job_id TEXT, last_sweep_at INTEGER, sweep_json TEXT,
  consecutive_failures INTEGER NOT NULL DEFAULT 0, next_run_at INTEGER, lease_owner TEXT, lease_until INTEGER);
CREATE TABLE IF NOT EXISTS rag_sync_jobs (
  job_id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, requested_by TEXT NOT NULL DEFAULT '',
  sources_json TEXT NOT NULL DEFAULT '{}', dry_run INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL,
  started_at INTEGER, heartbeat_at INTEGER, finished_at INTEGER, progress_json TEXT NOT NULL DEFAULT '{}',
  result_json TEXT, error_code TEXT, error TEXT);
CREATE TABLE IF NOT EXISTS rag_sync_errors (
  job_id TEXT NOT NULL, source_id INTEGER NOT NULL, key_json TEXT NOT NULL, stage TEXT NOT NULL, code TEXT NOT NULL,
  message TEXT NOT NULL, at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rag_vec_spaces (
  space_id INTEGER PRIMARY KEY, provider TEXT NOT NULL, model TEXT NOT NULL, revision TEXT NOT NULL DEFAULT '',
  dim INTEGER NOT NULL, metric TEXT NOT NULL, normalize INTEGER NOT NULL, lexical INTEGER NOT NULL, canary BLOB, settings_json TEXT,
  UNIQUE (provider, model, revision, dim, metric, normalize));
CREATE TABLE IF NOT EXISTS rag_source_spaces (
  source_id INTEGER NOT NULL, space_id INTEGER NOT NULL, role TEXT NOT NULL, progress REAL NOT NULL DEFAULT 0,
  PRIMARY KEY (source_id, space_id));
CREATE UNIQUE INDEX IF NOT EXISTS rag_source_spaces_active ON rag_source_spaces (source_id) WHERE role = 'active';
CREATE TABLE IF NOT EXISTS rag_chunk_embedding_state (
  chunk_pk INTEGER NOT NULL, space_id INTEGER NOT NULL, source_id INTEGER NOT NULL, input_hash TEXT NOT NULL,
  status TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, last_error TEXT, updated_at INTEGER NOT NULL,
  PRIMARY KEY (chunk_pk, space_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rag_embed_cache (
  space_id INTEGER NOT NULL, input_hash TEXT NOT NULL, vector BLOB NOT NULL, last_used INTEGER NOT NULL,
  PRIMARY KEY (space_id, input_hash)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rag_outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, op TEXT NOT NULL, chunk_pk INTEGER NOT NULL, version INTEGER NOT NULL,
  created_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rag_index_consumers (
  consumer_id TEXT PRIMARY KEY, applied_seq INTEGER NOT NULL, heartbeat_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rag_source_acl (
  source_id INTEGER NOT NULL, caller TEXT NOT NULL, can_search INTEGER NOT NULL DEFAULT 1,
  can_fetch INTEGER NOT NULL DEFAULT 1, can_sync INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (source_id, caller)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rag_search_log (
  log_id INTEGER PRIMARY KEY, tool TEXT NOT NULL, caller TEXT NOT NULL, query TEXT NOT NULL, k INTEGER, filters TEXT,
  results INTEGER, degraded INTEGER, ms INTEGER, error_code TEXT, searched_at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS rag_sources_enabled ON rag_sources (enabled);
CREATE INDEX IF NOT EXISTS rag_sources_backend ON rag_sources (backend_type, backend_host, backend_port, backend_db, table_name);
CREATE INDEX IF NOT EXISTS rag_documents_updated ON rag_documents (source_id, updated_at);
CREATE INDEX IF NOT EXISTS rag_documents_deleted ON rag_documents (source_id, deleted);
CREATE UNIQUE INDEX IF NOT EXISTS rag_chunks_doc ON rag_chunks (doc_id, chunk_index);
CREATE INDEX IF NOT EXISTS rag_chunks_doc_pk ON rag_chunks (doc_pk, source_id);
CREATE INDEX IF NOT EXISTS rag_documents_post_type ON rag_documents (post_type) WHERE post_type IS NOT NULL;
CREATE INDEX IF NOT EXISTS rag_documents_created ON rag_documents (created_ms) WHERE created_ms IS NOT NULL;
CREATE INDEX IF NOT EXISTS rag_documents_score ON rag_documents (score_num) WHERE score_num IS NOT NULL;
CREATE INDEX IF NOT EXISTS rag_chunks_source ON rag_chunks (source_id, doc_id);
CREATE INDEX IF NOT EXISTS rag_chunks_deleted ON rag_chunks (deleted);
CREATE INDEX IF NOT EXISTS rag_meta_num ON rag_document_meta (key, num);
CREATE INDEX IF NOT EXISTS rag_meta_text ON rag_document_meta (key, text);
CREATE INDEX IF NOT EXISTS rag_meta_ts ON rag_document_meta (key, ts_ms);
CREATE INDEX IF NOT EXISTS rag_meta_doc ON rag_document_meta (doc_pk);
CREATE INDEX IF NOT EXISTS rag_tags_tag ON rag_document_tags (tag);
CREATE INDEX IF NOT EXISTS rag_embedding_pending ON rag_chunk_embedding_state (source_id, space_id, status, chunk_pk);
CREATE INDEX IF NOT EXISTS rag_cache_used ON rag_embed_cache (space_id, last_used);
CREATE INDEX IF NOT EXISTS rag_errors_job ON rag_sync_errors (job_id);
CREATE INDEX IF NOT EXISTS rag_log_at ON rag_search_log (searched_at);
CREATE INDEX IF NOT EXISTS rag_log_query ON rag_search_log (query);
CREATE VIEW IF NOT EXISTS rag_chunk_view AS
  SELECT c.chunk_id, c.doc_id, c.source_id, s.name AS source_name, d.pk_json,
    coalesce(nullif(c.title, ''), d.title) AS title, c.body, d.metadata_json AS doc_metadata_json,
    c.metadata_json AS chunk_metadata_json, c.updated_at
  FROM rag_chunks c JOIN rag_documents d ON d.doc_pk = c.doc_pk JOIN rag_sources s ON s.source_id = c.source_id
  WHERE c.deleted = 0 AND d.deleted = 0 AND s.enabled = 1;
";

/// The full-text table: terms come analysed, every character of them counts.
pub(crate) const WORDS: &str = "
CREATE VIRTUAL TABLE IF NOT EXISTS rag_fts_chunks USING fts5(
  title, body, content='', contentless_delete=1, columnsize=1,
  tokenize = \"unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Co'\");
";

/// Columns that stores of earlier hosts may lack: table, column, declaration.
const ADDED_COLUMNS: &[(&str, &str, &str)] = &[
    ("rag_sources", "target_id", "TEXT"),
    ("rag_sources", "filter_map_json", "TEXT"),
    ("rag_sources", "fetch_columns_json", "TEXT"),
    ("rag_sources", "kind", "TEXT NOT NULL DEFAULT 'rag'"),
    ("rag_sources", "config_hash", "TEXT"),
    ("rag_sync_state", "sweep_json", "TEXT"),
    ("rag_sync_state", "lease_owner", "TEXT"),
    ("rag_sync_state", "lease_until", "INTEGER"),
    ("rag_vec_spaces", "canary", "BLOB"),
    ("rag_vec_spaces", "settings_json", "TEXT"),
];

/// Creates or completes the tables in one transaction; harmless on a current store.
pub(crate) fn migrate(connection: &mut Connection) -> AiResult<()> {
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(sql)?;
    let version = stored_version(&tx)?;
    if version > SCHEMA_VERSION {
        return Err(AiError::new(
            AiErrorCode::FailedPrecondition,
            format!(
                "store has schema version {version}, this program knows {SCHEMA_VERSION}; use a newer program"
            ),
        ));
    }
    for (table, column, declaration) in ADDED_COLUMNS {
        if has_table(&tx, table)? && !has_column(&tx, table, column)? {
            tx.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {declaration}"))
                .map_err(sql)?;
        }
    }
    tx.execute_batch(TABLES).map_err(sql)?;
    tx.execute_batch(WORDS).map_err(sql)?;
    tx.execute(
        "INSERT INTO rag_meta (key, value) VALUES ('schema_version', ?1) ON CONFLICT (key) DO UPDATE SET value = ?1
         WHERE value <> ?1",
        [SCHEMA_VERSION.to_string()],
    )
    .map_err(sql)?;
    tx.execute(
        "INSERT OR IGNORE INTO rag_meta (key, value) VALUES ('store_uuid', ?1), ('analyser', ?2), ('vec_epoch', '0'),
         ('live_count', '0'), ('checksum', '0')",
        [crate::ids::random_hex(16)?, crate::analyse::ANALYSER_VERSION.to_owned()],
    )
    .map_err(sql)?;
    tx.commit().map_err(sql)
}

fn stored_version(connection: &Connection) -> AiResult<i64> {
    if !has_table(connection, "rag_meta")? {
        return Ok(0);
    }
    let text: Option<String> = crate::sql::optional(connection.query_row(
        "SELECT value FROM rag_meta WHERE key = 'schema_version'",
        [],
        |r| r.get(0),
    ))?;
    Ok(text.and_then(|t| t.parse().ok()).unwrap_or(0))
}

fn has_table(connection: &Connection, table: &str) -> AiResult<bool> {
    connection
        .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = ?1)", [table], |r| r.get(0))
        .map_err(sql)
}

fn has_column(connection: &Connection, table: &str, column: &str) -> AiResult<bool> {
    connection
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)",
            [table, column],
            |r| r.get(0),
        )
        .map_err(sql)
}
