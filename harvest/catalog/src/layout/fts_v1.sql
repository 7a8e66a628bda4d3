-- Layout 1 of the data full-text store; the tables of an index carry numbers only and are made with it.

CREATE TABLE fts_indexes(
  index_id INTEGER PRIMARY KEY AUTOINCREMENT,
  target_id TEXT NOT NULL, schema_name TEXT NOT NULL, table_name TEXT NOT NULL,
  columns_json TEXT NOT NULL CHECK(json_valid(columns_json)),
  primary_key_json TEXT NOT NULL CHECK(json_valid(primary_key_json)),
  where_clause TEXT,
  row_count INTEGER NOT NULL, size_bytes INTEGER NOT NULL, indexed_at INTEGER NOT NULL,
  status TEXT NOT NULL CHECK(status IN ('ready','rebuilding','failed')),
  generation INTEGER NOT NULL, last_error TEXT, caller TEXT NOT NULL,
  UNIQUE(target_id, schema_name, table_name)
) STRICT;
