-- Layout 2 of the catalog store: what a harvest finds of an object is stored once and shared by the runs that saw it
-- unchanged. The tables of layout 1 are views now, with the columns that they had.

-- One state of one object. `detail` holds its parts as arrays: c columns, i indexes, k constraints, f foreign keys,
-- d dependencies; `fingerprint` covers everything here, `content_hash` only what counts as a change of the schema.
CREATE TABLE contents(
  content_id INTEGER PRIMARY KEY AUTOINCREMENT,
  object_uid TEXT NOT NULL,
  schema_name TEXT NOT NULL, object_name TEXT NOT NULL,
  object_type TEXT NOT NULL CHECK(object_type IN
    ('table','view','materialized_view','routine','trigger','event','sequence','type')),
  object_subtype TEXT NOT NULL DEFAULT '', signature TEXT NOT NULL DEFAULT '',
  parent_object TEXT, engine TEXT,
  object_comment TEXT NOT NULL DEFAULT '',
  definition_sql TEXT, definition_reason TEXT,
  details_json TEXT CHECK(json_valid(details_json)),
  has_primary_key INTEGER NOT NULL DEFAULT 0 CHECK(has_primary_key IN (0,1)),
  has_foreign_keys INTEGER NOT NULL DEFAULT 0 CHECK(has_foreign_keys IN (0,1)),
  has_time_column INTEGER NOT NULL DEFAULT 0 CHECK(has_time_column IN (0,1)),
  guessed_kind TEXT NOT NULL DEFAULT 'unknown',
  lookup_if_small INTEGER NOT NULL DEFAULT 0 CHECK(lookup_if_small IN (0,1)),
  columns_count INTEGER NOT NULL DEFAULT 0,
  content_hash TEXT NOT NULL, fingerprint TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;

ALTER TABLE runs ADD COLUMN inferred_set INTEGER;
ALTER TABLE runs ADD COLUMN quick_profiles INTEGER NOT NULL DEFAULT 0 CHECK(quick_profiles IN (0,1));
ALTER TABLE runs ADD COLUMN source_token TEXT;

ALTER TABLE objects RENAME TO run_objects;
DROP INDEX objects_name;
DROP INDEX objects_type;
DROP INDEX objects_rows;
DROP INDEX objects_uid;

INSERT INTO contents(content_id, object_uid, schema_name, object_name, object_type, object_subtype, signature,
  parent_object, engine, object_comment, definition_sql, definition_reason, details_json, has_primary_key,
  has_foreign_keys, has_time_column, guessed_kind, columns_count, content_hash, fingerprint, detail)
SELECT o.object_id, object_uid, schema_name, object_name, object_type, object_subtype, signature, parent_object, engine,
  object_comment, definition_sql, definition_reason, details_json, has_primary_key, has_foreign_keys, has_time_column,
  guessed_kind, (SELECT COUNT(*) FROM columns c WHERE c.object_id = o.object_id), content_hash, '',
  -- json() around each list: a subquery hands on its text, not that it is JSON.
  json_object(
    'c', json((SELECT json_group_array(json_array(ordinal_pos, column_name, data_type, column_type, type_family, is_nullable,
        column_default, extra, generation_expr, json(enum_values), charset, collation, column_comment,
        is_pk + 2 * is_unique + 4 * is_indexed + 8 * is_time + 16 * is_id_like) ORDER BY ordinal_pos)
      FROM columns c WHERE c.object_id = o.object_id)),
    'i', json((SELECT json_group_array(json_array(index_name, is_unique, is_primary, index_type, cardinality, predicate,
        is_visible, comment,
        json((SELECT json_group_array(json_array(column_name, expression, sub_part, sort_order = 'desc', is_included, collation)
           ORDER BY seq_in_index) FROM index_columns p WHERE p.index_id = x.index_id))) ORDER BY index_id)
      FROM indexes x WHERE x.object_id = o.object_id)),
    'k', json((SELECT json_group_array(json_array(constraint_name, constraint_type, json(columns_json), expression)
        ORDER BY constraint_id) FROM constraints k WHERE k.object_id = o.object_id)),
    'f', json((SELECT json_group_array(json_array(fk_name, parent_schema_name, parent_object_name,
        json((SELECT json_group_array(json_array(child_column, parent_column) ORDER BY seq)
           FROM foreign_key_columns p WHERE p.fk_id = f.fk_id)), on_update, on_delete, is_deferrable) ORDER BY fk_id)
      FROM foreign_keys f WHERE f.child_object_id = o.object_id)),
    'd', json((SELECT json_group_array(json_array(depends_on_schema, depends_on_name, depends_on_type, via = 'catalog')
        ORDER BY depends_on_schema, depends_on_name) FROM view_dependencies d WHERE d.view_object_id = o.object_id)))
FROM run_objects o;

-- One object of one run: which state it had, and what is read anew each time.
CREATE TABLE run_objects_new(
  object_id INTEGER PRIMARY KEY AUTOINCREMENT,
  run_id INTEGER NOT NULL REFERENCES runs(run_id) ON DELETE CASCADE,
  content_id INTEGER NOT NULL REFERENCES contents(content_id),
  table_rows_est INTEGER, rows_est_source TEXT CHECK(rows_est_source IN ('statistics','max_rowid')),
  data_length INTEGER, index_length INTEGER, create_time INTEGER, update_time INTEGER,
  carried_over INTEGER NOT NULL DEFAULT 0 CHECK(carried_over IN (0,1))
) STRICT;
INSERT INTO run_objects_new SELECT object_id, run_id, object_id, table_rows_est, rows_est_source, data_length, index_length,
  create_time, update_time, carried_over FROM run_objects;

-- Keys and dependencies once more by what they point at; their order is that of the parts in `detail`.
CREATE TABLE content_foreign_keys(
  fk_id INTEGER PRIMARY KEY,
  content_id INTEGER NOT NULL REFERENCES contents(content_id) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  parent_schema_name TEXT NOT NULL, parent_object_name TEXT NOT NULL
) STRICT;
INSERT INTO content_foreign_keys SELECT fk_id, child_object_id,
  row_number() OVER (PARTITION BY child_object_id ORDER BY fk_id) - 1, parent_schema_name, parent_object_name FROM foreign_keys;
CREATE TABLE content_dependencies(
  content_id INTEGER NOT NULL REFERENCES contents(content_id) ON DELETE CASCADE,
  depends_on_schema TEXT NOT NULL, depends_on_name TEXT NOT NULL, depends_on_type TEXT,
  via TEXT NOT NULL CHECK(via IN ('catalog','parsed')),
  PRIMARY KEY(content_id, depends_on_schema, depends_on_name)
) STRICT, WITHOUT ROWID;
INSERT INTO content_dependencies SELECT view_object_id, depends_on_schema, depends_on_name, depends_on_type, via
  FROM view_dependencies;

-- References found by inference, as sets that runs share.
CREATE TABLE content_relationships(
  rel_id INTEGER PRIMARY KEY,
  set_id INTEGER NOT NULL,
  child_content_id INTEGER NOT NULL REFERENCES contents(content_id) ON DELETE CASCADE,
  child_column TEXT NOT NULL,
  parent_content_id INTEGER NOT NULL REFERENCES contents(content_id) ON DELETE CASCADE,
  parent_column TEXT NOT NULL,
  confidence REAL NOT NULL CHECK(confidence BETWEEN 0 AND 1),
  evidence_json TEXT NOT NULL CHECK(json_valid(evidence_json))
) STRICT;
INSERT INTO content_relationships SELECT rel_id, run_id, child_object_id, child_column, parent_object_id, parent_column,
  confidence, evidence_json FROM inferred_relationships;
UPDATE runs SET inferred_set = run_id
  WHERE EXISTS (SELECT 1 FROM inferred_relationships r WHERE r.run_id = runs.run_id);

-- Profiles that cost a look at the data; `table_quick` follows from what is stored anyway.
CREATE TABLE deep_profiles(
  profile_id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES runs(run_id) ON DELETE CASCADE,
  object_id INTEGER NOT NULL,
  profile_kind TEXT NOT NULL,
  profile_json TEXT NOT NULL CHECK(json_valid(profile_json)),
  updated_at INTEGER NOT NULL,
  UNIQUE(run_id, object_id, profile_kind)
) STRICT;
INSERT INTO deep_profiles SELECT * FROM profiles WHERE profile_kind <> 'table_quick';
UPDATE runs SET quick_profiles = 1 WHERE EXISTS (SELECT 1 FROM profiles p WHERE p.run_id = runs.run_id);

DROP TABLE profiles;
DROP TABLE inferred_relationships;
DROP TABLE view_dependencies;
DROP TABLE constraints;
DROP TABLE foreign_key_columns;
DROP TABLE foreign_keys;
DROP TABLE index_columns;
DROP TABLE indexes;
DROP TABLE columns;
DROP TABLE run_objects;
ALTER TABLE run_objects_new RENAME TO run_objects;

CREATE INDEX contents_uid ON contents(object_uid);
CREATE INDEX contents_name ON contents(object_name, schema_name);
CREATE UNIQUE INDEX run_objects_run ON run_objects(run_id, content_id);
CREATE INDEX run_objects_content ON run_objects(content_id);
CREATE INDEX content_foreign_keys_child ON content_foreign_keys(content_id, seq);
CREATE INDEX content_foreign_keys_parent ON content_foreign_keys(parent_object_name, parent_schema_name);
CREATE INDEX content_dependencies_on ON content_dependencies(depends_on_name, depends_on_schema);
CREATE INDEX content_relationships_child ON content_relationships(set_id, child_content_id);
CREATE INDEX content_relationships_parent ON content_relationships(set_id, parent_content_id);
CREATE INDEX content_relationships_child_content ON content_relationships(child_content_id);
CREATE INDEX content_relationships_parent_content ON content_relationships(parent_content_id);
CREATE INDEX deep_profiles_object ON deep_profiles(object_id);
CREATE INDEX runs_inferred_set ON runs(inferred_set);

-- What the planner must know before it has seen a run: a run has many objects, a name has few.
ANALYZE schemas;
DELETE FROM sqlite_stat1;
INSERT INTO sqlite_stat1(tbl, idx, stat) VALUES
  ('contents', 'contents_uid', '40000 2'), ('contents', 'contents_name', '40000 4 2'),
  ('run_objects', 'run_objects_run', '200000 10000 1'), ('run_objects', 'run_objects_content', '200000 10'),
  ('content_foreign_keys', 'content_foreign_keys_child', '40000 2 1'),
  ('content_foreign_keys', 'content_foreign_keys_parent', '40000 20 10'),
  ('content_dependencies', 'content_dependencies_on', '4000 20 10'),
  ('content_relationships', 'content_relationships_child', '40000 10000 2'),
  ('content_relationships', 'content_relationships_parent', '40000 10000 10');

CREATE VIEW objects AS
SELECT r.object_id, r.run_id, c.object_uid, c.schema_name, c.object_name, c.object_type, c.object_subtype, c.signature,
  c.parent_object, c.engine, r.table_rows_est, r.rows_est_source, r.data_length, r.index_length, r.create_time,
  r.update_time, c.object_comment, c.definition_sql, c.definition_reason, c.details_json, c.has_primary_key,
  c.has_foreign_keys, c.has_time_column,
  CASE WHEN c.lookup_if_small AND r.table_rows_est <= 1000 THEN 'lookup' ELSE c.guessed_kind END AS guessed_kind,
  c.content_hash, r.carried_over, c.content_id, c.columns_count
FROM run_objects r JOIN contents c ON c.content_id = r.content_id;

CREATE VIEW columns AS
SELECT r.object_id << 16 | (j.value ->> 0) AS column_id, r.object_id, j.value ->> 0 AS ordinal_pos,
  j.value ->> 1 AS column_name, j.value ->> 2 AS data_type, j.value ->> 3 AS column_type, j.value ->> 4 AS type_family,
  j.value ->> 5 AS is_nullable, j.value ->> 6 AS column_default, j.value ->> 7 AS extra, j.value ->> 8 AS generation_expr,
  j.value ->> 9 AS enum_values, j.value ->> 10 AS charset, j.value ->> 11 AS collation, j.value ->> 12 AS column_comment,
  (j.value ->> 13) & 1 AS is_pk, (j.value ->> 13) >> 1 & 1 AS is_unique, (j.value ->> 13) >> 2 & 1 AS is_indexed,
  (j.value ->> 13) >> 3 & 1 AS is_time, (j.value ->> 13) >> 4 & 1 AS is_id_like
FROM run_objects r JOIN contents c ON c.content_id = r.content_id JOIN json_each(c.detail, '$.c') j;

CREATE VIEW indexes AS
SELECT r.object_id << 16 | j.key AS index_id, r.object_id, j.value ->> 0 AS index_name, j.value ->> 1 AS is_unique,
  j.value ->> 2 AS is_primary, j.value ->> 3 AS index_type, j.value ->> 4 AS cardinality, j.value ->> 5 AS predicate,
  j.value ->> 6 AS is_visible, j.value ->> 7 AS comment
FROM run_objects r JOIN contents c ON c.content_id = r.content_id JOIN json_each(c.detail, '$.i') j;

CREATE VIEW index_columns AS
SELECT r.object_id << 16 | j.key AS index_id, p.key + 1 AS seq_in_index, p.value ->> 0 AS column_name,
  p.value ->> 1 AS expression, p.value ->> 2 AS sub_part, iif(p.value ->> 3, 'desc', 'asc') AS sort_order,
  p.value ->> 4 AS is_included, p.value ->> 5 AS collation
FROM run_objects r JOIN contents c ON c.content_id = r.content_id JOIN json_each(c.detail, '$.i') j
  JOIN json_each(j.value, '$[8]') p;

CREATE VIEW constraints AS
SELECT r.object_id << 16 | j.key AS constraint_id, r.object_id, j.value ->> 0 AS constraint_name,
  j.value ->> 1 AS constraint_type, j.value -> 2 AS columns_json, j.value ->> 3 AS expression
FROM run_objects r JOIN contents c ON c.content_id = r.content_id JOIN json_each(c.detail, '$.k') j;

CREATE VIEW foreign_keys AS
SELECT r.object_id << 16 | j.key AS fk_id, r.run_id, r.object_id AS child_object_id, j.value ->> 0 AS fk_name,
  j.value ->> 1 AS parent_schema_name, j.value ->> 2 AS parent_object_name,
  (SELECT p.object_id FROM contents pc CROSS JOIN run_objects p ON p.content_id = pc.content_id AND p.run_id = r.run_id
   WHERE pc.object_name = j.value ->> 2 AND pc.schema_name = j.value ->> 1
     AND pc.object_type IN ('table', 'view', 'materialized_view') LIMIT 1) AS parent_object_id,
  j.value ->> 4 AS on_update, j.value ->> 5 AS on_delete, j.value ->> 6 AS is_deferrable
FROM run_objects r JOIN contents c ON c.content_id = r.content_id JOIN json_each(c.detail, '$.f') j;

CREATE VIEW foreign_key_columns AS
SELECT r.object_id << 16 | j.key AS fk_id, p.key + 1 AS seq, p.value ->> 0 AS child_column, p.value ->> 1 AS parent_column
FROM run_objects r JOIN contents c ON c.content_id = r.content_id JOIN json_each(c.detail, '$.f') j
  JOIN json_each(j.value, '$[3]') p;

CREATE VIEW view_dependencies AS
SELECT r.object_id AS view_object_id, d.depends_on_schema, d.depends_on_name, d.depends_on_type,
  (SELECT p.object_id FROM contents pc CROSS JOIN run_objects p ON p.content_id = pc.content_id AND p.run_id = r.run_id
   WHERE pc.object_name = d.depends_on_name AND pc.schema_name = d.depends_on_schema
     AND pc.object_type IN ('table', 'view', 'materialized_view') LIMIT 1) AS depends_on_object_id, d.via
FROM run_objects r JOIN content_dependencies d ON d.content_id = r.content_id;

CREATE VIEW inferred_relationships AS
SELECT i.rel_id, r.run_id, ch.object_id AS child_object_id, i.child_column, p.object_id AS parent_object_id,
  i.parent_column, i.confidence, i.evidence_json
FROM runs r JOIN content_relationships i ON i.set_id = r.inferred_set
  JOIN run_objects ch ON ch.run_id = r.run_id AND ch.content_id = i.child_content_id
  JOIN run_objects p ON p.run_id = r.run_id AND p.content_id = i.parent_content_id;

CREATE VIEW profiles AS
SELECT profile_id, run_id, object_id, profile_kind, profile_json, updated_at FROM deep_profiles
UNION ALL
SELECT -o.object_id, o.run_id, o.object_id, 'table_quick', json_object(
    'guessed_kind', o.guessed_kind,
    'rows_est', o.table_rows_est,
    'size_bytes', iif(o.data_length IS NULL AND o.index_length IS NULL, NULL,
                      coalesce(o.data_length, 0) + coalesce(o.index_length, 0)),
    'engine', o.engine,
    'has_primary_key', json(iif(o.has_primary_key, 'true', 'false')),
    'has_foreign_keys', json(iif(o.has_foreign_keys, 'true', 'false')),
    'has_time_column', json(iif(o.has_time_column, 'true', 'false')),
    'time_columns', json((SELECT json_group_array(j.value ->> 1) FROM contents c JOIN json_each(c.detail, '$.c') j
                          WHERE c.content_id = o.content_id AND (j.value ->> 13) & 8)),
    'id_columns', json((SELECT json_group_array(j.value ->> 1) FROM contents c JOIN json_each(c.detail, '$.c') j
                        WHERE c.content_id = o.content_id AND (j.value ->> 13) & 16))),
  r.finished_at
FROM runs r JOIN objects o ON o.run_id = r.run_id
WHERE r.quick_profiles AND o.object_type IN ('table', 'view', 'materialized_view');
