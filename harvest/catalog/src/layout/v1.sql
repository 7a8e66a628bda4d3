-- Layout 1 of the catalog store: the deterministic layer, the agents' layer, search and logs.

CREATE TABLE schema_docs(
  doc_key TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL, updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE runs(
  run_id INTEGER PRIMARY KEY AUTOINCREMENT,
  target_id TEXT NOT NULL,
  protocol TEXT NOT NULL CHECK(protocol IN ('mysql','pgsql','sqlite')),
  dialect TEXT NOT NULL CHECK(dialect IN ('mysql','mariadb','postgresql','sqlite')),
  started_at INTEGER NOT NULL, finished_at INTEGER NOT NULL,
  source_dsn TEXT NOT NULL, server_version TEXT NOT NULL,
  notes TEXT NOT NULL DEFAULT '',
  schema_filter TEXT CHECK(json_valid(schema_filter)),
  base_run_id INTEGER REFERENCES runs(run_id) ON DELETE SET NULL,
  harvester_version INTEGER NOT NULL,
  pinned INTEGER NOT NULL DEFAULT 0 CHECK(pinned IN (0,1)),
  caller TEXT NOT NULL,
  counts_json TEXT NOT NULL CHECK(json_valid(counts_json)),
  warnings_json TEXT NOT NULL DEFAULT '[]' CHECK(json_valid(warnings_json))
) STRICT;
CREATE INDEX runs_target ON runs(target_id, finished_at DESC);
CREATE INDEX runs_base ON runs(base_run_id);

CREATE TABLE discovery_attempts(
  attempt_id INTEGER PRIMARY KEY AUTOINCREMENT,
  target_id TEXT NOT NULL, caller TEXT NOT NULL,
  started_at INTEGER NOT NULL, finished_at INTEGER,
  status TEXT NOT NULL CHECK(status IN ('running','failed','cancelled','committed')),
  stage TEXT NOT NULL,
  run_id INTEGER REFERENCES runs(run_id) ON DELETE SET NULL,
  error_code TEXT, error_text TEXT
) STRICT;
CREATE INDEX attempts_target ON discovery_attempts(target_id, started_at DESC);
CREATE INDEX attempts_run ON discovery_attempts(run_id);
CREATE UNIQUE INDEX attempts_running ON discovery_attempts(target_id) WHERE status = 'running';

CREATE TABLE schemas(
  schema_id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES runs(run_id) ON DELETE CASCADE,
  schema_name TEXT NOT NULL, charset TEXT, collation TEXT, owner TEXT, comment TEXT NOT NULL DEFAULT '',
  UNIQUE(run_id, schema_name)
) STRICT;

CREATE TABLE objects(
  object_id INTEGER PRIMARY KEY AUTOINCREMENT,
  run_id INTEGER NOT NULL REFERENCES runs(run_id) ON DELETE CASCADE,
  object_uid TEXT NOT NULL,
  schema_name TEXT NOT NULL, object_name TEXT NOT NULL,
  object_type TEXT NOT NULL CHECK(object_type IN
    ('table','view','materialized_view','routine','trigger','event','sequence','type')),
  object_subtype TEXT NOT NULL DEFAULT '', signature TEXT NOT NULL DEFAULT '',
  parent_object TEXT, engine TEXT,
  table_rows_est INTEGER, rows_est_source TEXT CHECK(rows_est_source IN ('statistics','max_rowid')),
  data_length INTEGER, index_length INTEGER, create_time INTEGER, update_time INTEGER,
  object_comment TEXT NOT NULL DEFAULT '',
  definition_sql TEXT, definition_reason TEXT,
  details_json TEXT CHECK(json_valid(details_json)),
  has_primary_key INTEGER NOT NULL DEFAULT 0 CHECK(has_primary_key IN (0,1)),
  has_foreign_keys INTEGER NOT NULL DEFAULT 0 CHECK(has_foreign_keys IN (0,1)),
  has_time_column INTEGER NOT NULL DEFAULT 0 CHECK(has_time_column IN (0,1)),
  guessed_kind TEXT NOT NULL DEFAULT 'unknown',
  content_hash TEXT NOT NULL,
  carried_over INTEGER NOT NULL DEFAULT 0 CHECK(carried_over IN (0,1)),
  UNIQUE(run_id, schema_name, object_type, object_name, signature)
) STRICT;
CREATE INDEX objects_name ON objects(run_id, schema_name, object_name);
CREATE INDEX objects_type ON objects(run_id, object_type);
CREATE INDEX objects_rows ON objects(run_id, table_rows_est);
CREATE INDEX objects_uid ON objects(object_uid, run_id);

CREATE TABLE columns(
  column_id INTEGER PRIMARY KEY,
  object_id INTEGER NOT NULL REFERENCES objects(object_id) ON DELETE CASCADE,
  ordinal_pos INTEGER NOT NULL, column_name TEXT NOT NULL,
  data_type TEXT NOT NULL, column_type TEXT NOT NULL,
  type_family TEXT NOT NULL CHECK(type_family IN
    ('integer','decimal','float','string','bytes','temporal','boolean','json','uuid','array','other')),
  is_nullable INTEGER NOT NULL CHECK(is_nullable IN (0,1)),
  column_default TEXT, extra TEXT NOT NULL DEFAULT '', generation_expr TEXT,
  enum_values TEXT CHECK(json_valid(enum_values)),
  charset TEXT, collation TEXT, column_comment TEXT NOT NULL DEFAULT '',
  is_pk INTEGER NOT NULL DEFAULT 0 CHECK(is_pk IN (0,1)),
  is_unique INTEGER NOT NULL DEFAULT 0 CHECK(is_unique IN (0,1)),
  is_indexed INTEGER NOT NULL DEFAULT 0 CHECK(is_indexed IN (0,1)),
  is_time INTEGER NOT NULL DEFAULT 0 CHECK(is_time IN (0,1)),
  is_id_like INTEGER NOT NULL DEFAULT 0 CHECK(is_id_like IN (0,1)),
  UNIQUE(object_id, column_name), UNIQUE(object_id, ordinal_pos)
) STRICT;
CREATE INDEX columns_name ON columns(column_name);
CREATE INDEX columns_time ON columns(object_id, is_time);
CREATE INDEX columns_id_like ON columns(object_id, is_id_like);

CREATE TABLE indexes(
  index_id INTEGER PRIMARY KEY,
  object_id INTEGER NOT NULL REFERENCES objects(object_id) ON DELETE CASCADE,
  index_name TEXT NOT NULL,
  is_unique INTEGER NOT NULL CHECK(is_unique IN (0,1)),
  is_primary INTEGER NOT NULL CHECK(is_primary IN (0,1)),
  index_type TEXT, cardinality INTEGER, predicate TEXT,
  is_visible INTEGER NOT NULL DEFAULT 1 CHECK(is_visible IN (0,1)),
  comment TEXT NOT NULL DEFAULT '',
  UNIQUE(object_id, index_name)
) STRICT;

CREATE TABLE index_columns(
  index_id INTEGER NOT NULL REFERENCES indexes(index_id) ON DELETE CASCADE,
  seq_in_index INTEGER NOT NULL, column_name TEXT, expression TEXT, sub_part INTEGER,
  sort_order TEXT NOT NULL CHECK(sort_order IN ('asc','desc')),
  is_included INTEGER NOT NULL DEFAULT 0 CHECK(is_included IN (0,1)), collation TEXT,
  PRIMARY KEY(index_id, seq_in_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE foreign_keys(
  fk_id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES runs(run_id) ON DELETE CASCADE,
  child_object_id INTEGER NOT NULL REFERENCES objects(object_id) ON DELETE CASCADE,
  fk_name TEXT NOT NULL, parent_schema_name TEXT NOT NULL, parent_object_name TEXT NOT NULL,
  parent_object_id INTEGER REFERENCES objects(object_id) ON DELETE SET NULL,
  on_update TEXT, on_delete TEXT,
  is_deferrable INTEGER NOT NULL DEFAULT 0 CHECK(is_deferrable IN (0,1)),
  UNIQUE(child_object_id, fk_name)
) STRICT;
CREATE INDEX foreign_keys_run ON foreign_keys(run_id, parent_object_id);
CREATE INDEX foreign_keys_parent ON foreign_keys(parent_object_id);

CREATE TABLE foreign_key_columns(
  fk_id INTEGER NOT NULL REFERENCES foreign_keys(fk_id) ON DELETE CASCADE,
  seq INTEGER NOT NULL, child_column TEXT NOT NULL, parent_column TEXT NOT NULL,
  PRIMARY KEY(fk_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE constraints(
  constraint_id INTEGER PRIMARY KEY,
  object_id INTEGER NOT NULL REFERENCES objects(object_id) ON DELETE CASCADE,
  constraint_name TEXT NOT NULL,
  constraint_type TEXT NOT NULL CHECK(constraint_type IN ('unique','check','exclusion')),
  columns_json TEXT NOT NULL CHECK(json_valid(columns_json)), expression TEXT,
  UNIQUE(object_id, constraint_name)
) STRICT;

CREATE TABLE view_dependencies(
  view_object_id INTEGER NOT NULL REFERENCES objects(object_id) ON DELETE CASCADE,
  depends_on_schema TEXT NOT NULL, depends_on_name TEXT NOT NULL, depends_on_type TEXT,
  depends_on_object_id INTEGER REFERENCES objects(object_id) ON DELETE SET NULL,
  via TEXT NOT NULL CHECK(via IN ('catalog','parsed')),
  PRIMARY KEY(view_object_id, depends_on_schema, depends_on_name)
) STRICT;
CREATE INDEX view_dependencies_on ON view_dependencies(depends_on_object_id);

CREATE TABLE inferred_relationships(
  rel_id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES runs(run_id) ON DELETE CASCADE,
  child_object_id INTEGER NOT NULL REFERENCES objects(object_id) ON DELETE CASCADE,
  child_column TEXT NOT NULL,
  parent_object_id INTEGER NOT NULL REFERENCES objects(object_id) ON DELETE CASCADE,
  parent_column TEXT NOT NULL,
  confidence REAL NOT NULL CHECK(confidence BETWEEN 0 AND 1),
  evidence_json TEXT NOT NULL CHECK(json_valid(evidence_json)),
  UNIQUE(run_id, child_object_id, child_column, parent_object_id, parent_column)
) STRICT;
CREATE INDEX inferred_parent ON inferred_relationships(run_id, parent_object_id);
CREATE INDEX inferred_child_object ON inferred_relationships(child_object_id);
CREATE INDEX inferred_parent_object ON inferred_relationships(parent_object_id);

CREATE TABLE profiles(
  profile_id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES runs(run_id) ON DELETE CASCADE,
  object_id INTEGER NOT NULL REFERENCES objects(object_id) ON DELETE CASCADE,
  profile_kind TEXT NOT NULL,
  profile_json TEXT NOT NULL CHECK(json_valid(profile_json)),
  updated_at INTEGER NOT NULL,
  UNIQUE(run_id, object_id, profile_kind)
) STRICT;
CREATE INDEX profiles_object ON profiles(object_id);

CREATE TABLE agent_runs(
  agent_run_id INTEGER PRIMARY KEY AUTOINCREMENT,
  target_id TEXT NOT NULL,
  run_id INTEGER REFERENCES runs(run_id) ON DELETE SET NULL,
  started_at INTEGER NOT NULL, finished_at INTEGER,
  model_name TEXT NOT NULL, prompt_hash TEXT,
  budget_json TEXT CHECK(json_valid(budget_json)),
  status TEXT NOT NULL DEFAULT 'running' CHECK(status IN ('running','success','failed')),
  error TEXT, caller TEXT NOT NULL
) STRICT;
CREATE INDEX agent_runs_target ON agent_runs(target_id, started_at DESC);
CREATE INDEX agent_runs_run ON agent_runs(run_id);

CREATE TABLE agent_events(
  event_id INTEGER PRIMARY KEY AUTOINCREMENT,
  target_id TEXT NOT NULL,
  agent_run_id INTEGER NOT NULL REFERENCES agent_runs(agent_run_id) ON DELETE CASCADE,
  ts INTEGER NOT NULL,
  event_type TEXT NOT NULL CHECK(event_type IN ('tool_call','tool_result','note','decision')),
  payload_json TEXT NOT NULL CHECK(json_valid(payload_json))
) STRICT;
CREATE INDEX agent_events_run ON agent_events(agent_run_id, event_id);

CREATE TABLE llm_object_summaries(
  summary_id INTEGER PRIMARY KEY AUTOINCREMENT,
  target_id TEXT NOT NULL,
  run_id INTEGER REFERENCES runs(run_id) ON DELETE SET NULL,
  agent_run_id INTEGER NOT NULL REFERENCES agent_runs(agent_run_id) ON DELETE CASCADE,
  object_id INTEGER REFERENCES objects(object_id) ON DELETE SET NULL,
  object_uid TEXT NOT NULL, object_hash TEXT NOT NULL, object_key TEXT NOT NULL,
  summary_json TEXT NOT NULL CHECK(json_valid(summary_json)),
  confidence REAL NOT NULL DEFAULT 0.5 CHECK(confidence BETWEEN 0 AND 1),
  status TEXT NOT NULL DEFAULT 'draft' CHECK(status IN ('draft','validated','stable')),
  sources_json TEXT CHECK(json_valid(sources_json)),
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  UNIQUE(agent_run_id, object_uid)
) STRICT;
CREATE INDEX summaries_object ON llm_object_summaries(target_id, object_uid, created_at DESC);
CREATE INDEX summaries_run ON llm_object_summaries(run_id);
CREATE INDEX summaries_object_id ON llm_object_summaries(object_id);

CREATE TABLE llm_relationships(
  llm_rel_id INTEGER PRIMARY KEY AUTOINCREMENT,
  target_id TEXT NOT NULL,
  run_id INTEGER REFERENCES runs(run_id) ON DELETE SET NULL,
  agent_run_id INTEGER NOT NULL REFERENCES agent_runs(agent_run_id) ON DELETE CASCADE,
  child_object_id INTEGER REFERENCES objects(object_id) ON DELETE SET NULL,
  child_uid TEXT NOT NULL, child_hash TEXT NOT NULL, child_key TEXT NOT NULL, child_column TEXT NOT NULL,
  parent_object_id INTEGER REFERENCES objects(object_id) ON DELETE SET NULL,
  parent_uid TEXT NOT NULL, parent_hash TEXT NOT NULL, parent_key TEXT NOT NULL, parent_column TEXT NOT NULL,
  rel_type TEXT NOT NULL DEFAULT 'fk_like' CHECK(rel_type IN ('fk_like','bridge','polymorphic')),
  confidence REAL NOT NULL CHECK(confidence BETWEEN 0 AND 1),
  evidence_json TEXT CHECK(json_valid(evidence_json)),
  created_at INTEGER NOT NULL,
  UNIQUE(agent_run_id, child_uid, child_column, parent_uid, parent_column, rel_type)
) STRICT;
CREATE INDEX llm_relationships_child ON llm_relationships(target_id, child_uid);
CREATE INDEX llm_relationships_parent ON llm_relationships(target_id, parent_uid);
CREATE INDEX llm_relationships_run ON llm_relationships(run_id);
CREATE INDEX llm_relationships_child_id ON llm_relationships(child_object_id);
CREATE INDEX llm_relationships_parent_id ON llm_relationships(parent_object_id);

CREATE TABLE llm_domains(
  domain_id INTEGER PRIMARY KEY AUTOINCREMENT,
  target_id TEXT NOT NULL,
  run_id INTEGER REFERENCES runs(run_id) ON DELETE SET NULL,
  agent_run_id INTEGER NOT NULL REFERENCES agent_runs(agent_run_id) ON DELETE CASCADE,
  domain_key TEXT NOT NULL, title TEXT NOT NULL DEFAULT '', description TEXT NOT NULL DEFAULT '',
  confidence REAL NOT NULL DEFAULT 0.6 CHECK(confidence BETWEEN 0 AND 1),
  created_at INTEGER NOT NULL,
  UNIQUE(agent_run_id, domain_key)
) STRICT;
CREATE INDEX llm_domains_target ON llm_domains(target_id, domain_key);
CREATE INDEX llm_domains_run ON llm_domains(run_id);

CREATE TABLE llm_domain_members(
  domain_id INTEGER NOT NULL REFERENCES llm_domains(domain_id) ON DELETE CASCADE,
  target_id TEXT NOT NULL,
  object_id INTEGER REFERENCES objects(object_id) ON DELETE SET NULL,
  object_uid TEXT NOT NULL, object_key TEXT NOT NULL,
  role TEXT CHECK(role IN ('entity','fact','dimension','log','bridge','lookup')),
  confidence REAL NOT NULL DEFAULT 0.6 CHECK(confidence BETWEEN 0 AND 1),
  PRIMARY KEY(domain_id, object_uid)
) STRICT;
CREATE INDEX llm_domain_members_object ON llm_domain_members(object_id);
CREATE INDEX llm_domain_members_uid ON llm_domain_members(target_id, object_uid);

CREATE TABLE llm_metrics(
  metric_id INTEGER PRIMARY KEY AUTOINCREMENT,
  target_id TEXT NOT NULL,
  run_id INTEGER REFERENCES runs(run_id) ON DELETE SET NULL,
  agent_run_id INTEGER NOT NULL REFERENCES agent_runs(agent_run_id) ON DELETE CASCADE,
  metric_key TEXT NOT NULL, title TEXT NOT NULL, description TEXT NOT NULL DEFAULT '',
  domain_key TEXT, grain TEXT, unit TEXT, sql_template TEXT,
  sql_valid INTEGER CHECK(sql_valid IN (0,1)),
  depends_json TEXT NOT NULL DEFAULT '[]' CHECK(json_valid(depends_json)),
  confidence REAL NOT NULL DEFAULT 0.6 CHECK(confidence BETWEEN 0 AND 1),
  created_at INTEGER NOT NULL,
  UNIQUE(agent_run_id, metric_key)
) STRICT;
CREATE INDEX llm_metrics_target ON llm_metrics(target_id, metric_key);
CREATE INDEX llm_metrics_run ON llm_metrics(run_id);

CREATE TABLE llm_question_templates(
  template_id INTEGER PRIMARY KEY AUTOINCREMENT,
  target_id TEXT NOT NULL,
  run_id INTEGER REFERENCES runs(run_id) ON DELETE SET NULL,
  agent_run_id INTEGER REFERENCES agent_runs(agent_run_id) ON DELETE SET NULL,
  caller TEXT NOT NULL, title TEXT NOT NULL,
  question_nl TEXT NOT NULL, question_norm TEXT NOT NULL,
  template_json TEXT NOT NULL CHECK(json_valid(template_json)),
  example_sql TEXT, sql_norm TEXT NOT NULL DEFAULT '',
  sql_valid INTEGER CHECK(sql_valid IN (0,1)),
  validated_at INTEGER, validated_run_id INTEGER,
  related_objects TEXT NOT NULL DEFAULT '[]' CHECK(json_valid(related_objects)),
  confidence REAL NOT NULL DEFAULT 0.6 CHECK(confidence BETWEEN 0 AND 1),
  status TEXT NOT NULL DEFAULT 'active' CHECK(status IN ('active','suspect','retired')),
  use_count INTEGER NOT NULL DEFAULT 0, success_count INTEGER NOT NULL DEFAULT 0,
  failure_count INTEGER NOT NULL DEFAULT 0,
  last_used_at INTEGER, last_success_at INTEGER, last_error TEXT,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  UNIQUE(target_id, question_norm, sql_norm)
) STRICT;
CREATE INDEX templates_run ON llm_question_templates(run_id);
CREATE INDEX templates_agent ON llm_question_templates(agent_run_id);

CREATE TABLE llm_template_objects(
  template_id INTEGER NOT NULL REFERENCES llm_question_templates(template_id) ON DELETE CASCADE,
  object_uid TEXT NOT NULL, object_hash TEXT NOT NULL, object_key TEXT NOT NULL,
  PRIMARY KEY(template_id, object_uid)
) STRICT;

CREATE TABLE llm_template_feedback(
  feedback_id INTEGER PRIMARY KEY AUTOINCREMENT,
  template_id INTEGER NOT NULL REFERENCES llm_question_templates(template_id) ON DELETE CASCADE,
  ts INTEGER NOT NULL, caller TEXT NOT NULL,
  outcome TEXT NOT NULL CHECK(outcome IN ('success','failure')),
  row_count INTEGER, ms REAL, error TEXT
) STRICT;
CREATE INDEX template_feedback_ts ON llm_template_feedback(template_id, ts);

CREATE TABLE llm_notes(
  note_id INTEGER PRIMARY KEY AUTOINCREMENT,
  target_id TEXT NOT NULL,
  run_id INTEGER REFERENCES runs(run_id) ON DELETE SET NULL,
  agent_run_id INTEGER NOT NULL REFERENCES agent_runs(agent_run_id) ON DELETE CASCADE,
  scope TEXT NOT NULL CHECK(scope IN ('global','schema','object','domain')),
  object_id INTEGER REFERENCES objects(object_id) ON DELETE SET NULL,
  object_uid TEXT, object_hash TEXT, object_key TEXT, schema_name TEXT, domain_key TEXT,
  title TEXT NOT NULL DEFAULT '', body TEXT NOT NULL,
  tags_json TEXT NOT NULL DEFAULT '[]' CHECK(json_valid(tags_json)),
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX llm_notes_target ON llm_notes(target_id, scope);
CREATE INDEX llm_notes_uid ON llm_notes(target_id, object_uid);
CREATE INDEX llm_notes_run ON llm_notes(run_id);
CREATE INDEX llm_notes_object ON llm_notes(object_id);

CREATE VIRTUAL TABLE fts_objects USING fts5(
  object_key, schema_name, object_name, name_tokens, object_type, comment, columns_blob, definition_sql, tags,
  target_id UNINDEXED, run_id UNINDEXED,
  tokenize = 'unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE fts_llm USING fts5(
  key, title, body, tags,
  kind UNINDEXED, ref_id UNINDEXED, target_id UNINDEXED, run_id UNINDEXED, object_uid UNINDEXED,
  tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TABLE llm_fts_map(
  rowid INTEGER PRIMARY KEY, kind TEXT NOT NULL, ref_id INTEGER NOT NULL, UNIQUE(kind, ref_id)
) STRICT;

CREATE TABLE catalog(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  target_id TEXT NOT NULL DEFAULT '', schema TEXT NOT NULL DEFAULT '',
  kind TEXT NOT NULL, key TEXT NOT NULL,
  document TEXT NOT NULL CHECK(json_valid(document)),
  tags TEXT NOT NULL DEFAULT '', links TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  UNIQUE(target_id, schema, kind, key)
) STRICT;
CREATE TABLE catalog_tags(
  entry_id INTEGER NOT NULL REFERENCES catalog(id) ON DELETE CASCADE, tag TEXT NOT NULL,
  PRIMARY KEY(entry_id, tag)
) STRICT, WITHOUT ROWID;
CREATE VIRTUAL TABLE catalog_fts USING fts5(
  schema, kind, key, document, tags,
  content = 'catalog', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER catalog_ai AFTER INSERT ON catalog BEGIN
  INSERT INTO catalog_fts(rowid, schema, kind, key, document, tags)
  VALUES (new.id, new.schema, new.kind, new.key, new.document, new.tags);
END;
CREATE TRIGGER catalog_ad AFTER DELETE ON catalog BEGIN
  INSERT INTO catalog_fts(catalog_fts, rowid, schema, kind, key, document, tags)
  VALUES ('delete', old.id, old.schema, old.kind, old.key, old.document, old.tags);
END;
CREATE TRIGGER catalog_au AFTER UPDATE ON catalog BEGIN
  INSERT INTO catalog_fts(catalog_fts, rowid, schema, kind, key, document, tags)
  VALUES ('delete', old.id, old.schema, old.kind, old.key, old.document, old.tags);
  INSERT INTO catalog_fts(rowid, schema, kind, key, document, tags)
  VALUES (new.id, new.schema, new.kind, new.key, new.document, new.tags);
END;
CREATE TABLE merge_log(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  target_id TEXT NOT NULL, schema TEXT NOT NULL, kind TEXT NOT NULL, target_key TEXT NOT NULL,
  source_keys TEXT NOT NULL CHECK(json_valid(source_keys)),
  instructions TEXT, caller TEXT NOT NULL, created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE query_tool_calls(
  call_id INTEGER PRIMARY KEY AUTOINCREMENT,
  endpoint TEXT NOT NULL, tool_name TEXT NOT NULL, caller TEXT NOT NULL, client_address TEXT,
  target_id TEXT, schema TEXT, run_id INTEGER,
  start_time INTEGER NOT NULL, execution_time INTEGER NOT NULL,
  rows INTEGER, bytes INTEGER, cache_hit INTEGER CHECK(cache_hit IN (0,1)),
  rules_json TEXT CHECK(json_valid(rules_json)), digest TEXT, sql_text TEXT,
  error_code TEXT, error TEXT, called_at INTEGER NOT NULL
) STRICT;
CREATE INDEX tool_calls_at ON query_tool_calls(called_at);
CREATE INDEX tool_calls_tool ON query_tool_calls(tool_name, called_at);
CREATE INDEX tool_calls_target ON query_tool_calls(target_id, called_at);
CREATE INDEX tool_calls_caller ON query_tool_calls(caller, called_at);

CREATE TABLE llm_search_log(
  log_id INTEGER PRIMARY KEY AUTOINCREMENT,
  target_id TEXT NOT NULL, run_id INTEGER, caller TEXT NOT NULL, query TEXT NOT NULL,
  lmt INTEGER NOT NULL DEFAULT 25, results INTEGER NOT NULL, best_score REAL, searched_at INTEGER NOT NULL
) STRICT;
CREATE INDEX search_log_at ON llm_search_log(searched_at);
CREATE INDEX search_log_target ON llm_search_log(target_id, searched_at);
CREATE INDEX search_log_query ON llm_search_log(query);

CREATE TABLE mcp_query_digest_persist(
  tool_name TEXT NOT NULL, run_id INTEGER NOT NULL DEFAULT 0, digest TEXT NOT NULL, digest_text TEXT NOT NULL,
  count_star INTEGER NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
  sum_time INTEGER NOT NULL, min_time INTEGER NOT NULL, max_time INTEGER NOT NULL,
  target_id TEXT NOT NULL, schema TEXT NOT NULL DEFAULT '',
  errors INTEGER NOT NULL DEFAULT 0, sum_rows INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(tool_name, target_id, run_id, digest)
) STRICT, WITHOUT ROWID;
