INSERT INTO runs(run_id, target_id, protocol, dialect, started_at, finished_at, source_dsn, server_version,
  harvester_version, caller, counts_json) VALUES (1, 'a', 'sqlite', 'sqlite', 1, 2, '', '3', 2, 'x', '{"columns": 3}');
INSERT INTO schemas(run_id, schema_name) VALUES (1, 's');
INSERT INTO objects(object_id, run_id, object_uid, schema_name, object_name, object_type, object_subtype, content_hash,
  table_rows_est, has_primary_key) VALUES (1, 1, 'u1', 's', 'parent', 'table', 'base', 'h1', 5, 1);
INSERT INTO objects(object_id, run_id, object_uid, schema_name, object_name, object_type, object_subtype, content_hash,
  definition_sql, details_json, has_foreign_keys, guessed_kind)
  VALUES (2, 1, 'u2', 's', 'child', 'table', 'base', 'h2', 'CREATE TABLE child', '{"partitioning": "by year"}', 1, 'lookup');
INSERT INTO columns(object_id, ordinal_pos, column_name, data_type, column_type, type_family, is_nullable, is_pk, is_unique,
  is_indexed, is_id_like) VALUES (1, 1, 'id', 'integer', 'integer', 'integer', 0, 1, 1, 1, 1);
INSERT INTO columns(object_id, ordinal_pos, column_name, data_type, column_type, type_family, is_nullable, column_default,
  enum_values, column_comment) VALUES (2, 1, 'kind', 'enum', 'enum(''x'')', 'string', 1, 'x', '["x", "y"]', 'what');
INSERT INTO columns(object_id, ordinal_pos, column_name, data_type, column_type, type_family, is_nullable, is_time)
  VALUES (2, 2, 'birth', 'date', 'date', 'temporal', 1, 1);
INSERT INTO indexes(index_id, object_id, index_name, is_unique, is_primary) VALUES (1, 1, 'PRIMARY', 1, 1);
INSERT INTO indexes(index_id, object_id, index_name, is_unique, is_primary, predicate) VALUES (2, 2, 'i', 0, 0, 'kind > 1');
INSERT INTO index_columns(index_id, seq_in_index, column_name, sort_order) VALUES (1, 1, 'id', 'asc');
INSERT INTO index_columns(index_id, seq_in_index, expression, sort_order) VALUES (2, 2, 'lower(kind)', 'desc');
INSERT INTO index_columns(index_id, seq_in_index, column_name, sort_order) VALUES (2, 1, 'birth', 'asc');
INSERT INTO constraints(object_id, constraint_name, constraint_type, columns_json, expression)
  VALUES (2, 'c', 'check', '["kind"]', 'kind <> 1');
INSERT INTO foreign_keys(fk_id, run_id, child_object_id, fk_name, parent_schema_name, parent_object_name, parent_object_id,
  on_delete) VALUES (7, 1, 2, 'fk', 's', 'parent', 1, 'CASCADE');
INSERT INTO foreign_key_columns(fk_id, seq, child_column, parent_column) VALUES (7, 1, 'kind', 'id');
INSERT INTO inferred_relationships(run_id, child_object_id, child_column, parent_object_id, parent_column, confidence,
  evidence_json) VALUES (1, 2, 'kind', 1, 'id', 0.5, '{}');
INSERT INTO profiles(run_id, object_id, profile_kind, profile_json, updated_at) VALUES (1, 2, 'table_quick', '{}', 2);
INSERT INTO profiles(run_id, object_id, profile_kind, profile_json, updated_at) VALUES (1, 2, 'table_full', '{"deep": 1}', 2);
INSERT INTO agent_runs(agent_run_id, target_id, run_id, started_at, model_name, caller) VALUES (1, 'a', 1, 1, 'm', 'x');
UPDATE agent_runs SET status = 'success';
INSERT INTO llm_object_summaries(target_id, run_id, agent_run_id, object_id, object_uid, object_hash, object_key,
  summary_json, created_at, updated_at) VALUES ('a', 1, 1, 2, 'u2', 'h2', 's.child', '{"hypothesis": "people"}', 1, 1);
INSERT INTO fts_objects(rowid, object_key, schema_name, object_name, name_tokens, object_type, columns_blob, target_id, run_id)
  VALUES (2, 's.child', 's', 'child', 'child', 'table', 'birth:date', 'a', 1);
