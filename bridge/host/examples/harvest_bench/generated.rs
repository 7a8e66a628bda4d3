//! A scratch database with any number of tables, and the bare statements that read its metadata; it knows no catalog.

use std::fmt::Write as _;
use std::path::Path;

use harvest::ConnectParams;
use mysql::prelude::Queryable as _;

use crate::Fail;

const NOUNS: &[&str] = &[
    "customer",
    "order",
    "invoice",
    "payment",
    "product",
    "category",
    "supplier",
    "warehouse",
    "shipment",
    "address",
    "employee",
    "department",
    "contract",
    "ticket",
    "campaign",
    "session",
    "device",
    "event",
    "account",
    "ledger",
    "refund",
    "coupon",
    "review",
    "message",
    "project",
    "task",
    "asset",
    "vehicle",
    "route",
    "region",
];
const PARTS: &[&str] =
    &["detail", "history", "item", "status", "type", "note", "log", "summary", "map", "archive"];
const COLUMNS: &[(&str, &str)] = &[
    ("name", "varchar(80)"),
    ("amount", "decimal(12, 2)"),
    ("currency", "char(3)"),
    ("status", "varchar(20)"),
    ("description", "varchar(200)"),
    ("quantity", "integer"),
    ("email", "varchar(100)"),
    ("phone", "varchar(30)"),
    ("started_on", "date"),
    ("score", "double precision"),
    ("channel", "varchar(20)"),
    ("reference", "bigint"),
];
/// Tables that one round trip creates.
const BATCH: usize = 200;

/// A scratch database on one engine.
pub(crate) enum Scratch {
    Sqlite {
        path: String,
        file: Option<rusqlite::Connection>,
    },
    Postgres {
        admin: Box<postgres::Client>,
        inside: Option<Box<postgres::Client>>,
        url: String,
        name: String,
    },
    Mysql {
        conn: Box<mysql::Conn>,
        url: String,
        name: String,
    },
}

/// The bare statements of the engines: what a reader must ask for to know tables, columns, indexes, keys, constraints,
/// views, routines, triggers and events.
const SQLITE: &[&str] = &[
    "SELECT type, name, tbl_name, sql FROM sqlite_schema",
    "SELECT l.name, l.type, x.* FROM pragma_table_list l JOIN pragma_table_xinfo(l.name) x WHERE l.schema = 'main'",
    "SELECT l.name, i.*, x.* FROM pragma_table_list l JOIN pragma_index_list(l.name) i JOIN pragma_index_xinfo(i.name) x
       WHERE l.schema = 'main' AND l.type = 'table'",
    "SELECT l.name, f.* FROM pragma_table_list l JOIN pragma_foreign_key_list(l.name) f
       WHERE l.schema = 'main' AND l.type = 'table'",
];
const POSTGRES: &[&str] = &[
    "SELECT c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text, c.reltuples::float8,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_table_size(c.oid) END,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_indexes_size(c.oid) END, obj_description(c.oid, 'pg_class'),
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname = 'public' ORDER BY c.oid",
    "SELECT c.oid::int8, a.attnum::int4, a.attname::text, format_type(a.atttypid, NULL),
       format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity::text,
       a.attgenerated::text, col_description(c.oid, a.attnum)
       FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
       WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
       AND n.nspname = 'public' ORDER BY c.oid, a.attnum",
    "SELECT c.oid::int8, i.relname::text, x.indisunique, x.indisprimary, am.amname::text, i.reltuples::float8,
       pg_get_expr(x.indpred, x.indrelid), obj_description(i.oid, 'pg_class'), k.position::int4, a.attname::text,
       CASE WHEN k.attnum = 0 THEN pg_get_indexdef(x.indexrelid, k.position::int4, true) END
       FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
       JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am am ON am.oid = i.relam
       CROSS JOIN LATERAL unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)
       LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum AND k.attnum <> 0
       WHERE n.nspname = 'public' ORDER BY c.oid, i.relname, k.position",
    "SELECT c.oid::int8, k.conname::text, fn.nspname::text, f.relname::text, k.confupdtype::text,
       k.confdeltype::text, pair.position::int4, ca.attname::text, fa.attname::text
       FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
       CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS pair(child, parent, position)
       JOIN pg_attribute ca ON ca.attrelid = k.conrelid AND ca.attnum = pair.child
       JOIN pg_attribute fa ON fa.attrelid = k.confrelid AND fa.attnum = pair.parent
       WHERE k.contype = 'f' AND n.nspname = 'public' ORDER BY c.oid, k.conname, pair.position",
    "SELECT c.oid::int8, k.conname::text, k.contype::text, pg_get_constraintdef(k.oid)
       FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE k.contype IN ('c', 'u', 'x') AND n.nspname = 'public' ORDER BY c.oid, k.conname",
    "SELECT p.oid::int8, p.proname::text, pg_get_function_identity_arguments(p.oid) FROM pg_proc p
       JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'public'",
    "SELECT t.oid::int8, t.tgname::text, pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT t.tgisinternal",
];
const MYSQL: &[&str] = &[
    "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH, INDEX_LENGTH, CREATE_TIME, UPDATE_TIME,
       TABLE_COMMENT, CREATE_OPTIONS FROM information_schema.TABLES WHERE {schema} ORDER BY 1, 2",
    "SELECT TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT,
       EXTRA, GENERATION_EXPRESSION, CHARACTER_SET_NAME, COLLATION_NAME, COLUMN_COMMENT
       FROM information_schema.COLUMNS WHERE {schema} ORDER BY 1, 2, 3",
    "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, NON_UNIQUE, INDEX_TYPE, CARDINALITY, INDEX_COMMENT, SEQ_IN_INDEX,
       COLUMN_NAME, SUB_PART, COLLATION FROM information_schema.STATISTICS WHERE {schema} ORDER BY 1, 2, 3, 8",
    "SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, COLUMN_NAME,
       REFERENCED_COLUMN_NAME, ORDINAL_POSITION FROM information_schema.KEY_COLUMN_USAGE
       WHERE REFERENCED_TABLE_NAME IS NOT NULL AND {schema} ORDER BY 1, 2, 3, 8",
    "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, UPDATE_RULE, DELETE_RULE
       FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_{schema} ORDER BY 1, 2, 3",
    "SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS
       WHERE CONSTRAINT_TYPE = 'UNIQUE' AND {schema} ORDER BY 1, 2, 3",
    "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS
       WHERE CONSTRAINT_{schema} ORDER BY 1, 2, 3",
    "SELECT TABLE_SCHEMA, TABLE_NAME, PARTITION_METHOD, PARTITION_EXPRESSION, COUNT(DISTINCT PARTITION_NAME)
       FROM information_schema.PARTITIONS WHERE PARTITION_NAME IS NOT NULL AND {schema} GROUP BY 1, 2, 3, 4 ORDER BY 1, 2",
    "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION, IS_UPDATABLE, CHECK_OPTION, SECURITY_TYPE
       FROM information_schema.VIEWS WHERE {schema} ORDER BY 1, 2",
    "SELECT ROUTINE_SCHEMA, ROUTINE_TYPE, ROUTINE_NAME, ROUTINE_DEFINITION FROM information_schema.ROUTINES
       WHERE ROUTINE_{schema} ORDER BY 1, 2, 3",
    "SELECT SPECIFIC_SCHEMA, ROUTINE_TYPE, SPECIFIC_NAME, ORDINAL_POSITION, PARAMETER_NAME
       FROM information_schema.PARAMETERS WHERE SPECIFIC_{schema} ORDER BY 1, 2, 3, 4",
    "SELECT TRIGGER_SCHEMA, TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_STATEMENT FROM information_schema.TRIGGERS
       WHERE TRIGGER_{schema} ORDER BY 1, 2",
    "SELECT EVENT_SCHEMA, EVENT_NAME, EVENT_DEFINITION FROM information_schema.EVENTS WHERE EVENT_{schema} ORDER BY 1, 2",
];

fn postgres_client(params: &ConnectParams, database: &str) -> Result<Box<postgres::Client>, Fail> {
    let mut config = postgres::Config::new();
    config.host(&params.host).port(params.port).user(&params.user).dbname(database);
    Ok(Box::new(config.password(params.password.expose()).connect(postgres::NoTls)?))
}

impl Scratch {
    pub(crate) fn new(url: &str, folder: &Path) -> Result<Self, Fail> {
        if url.starts_with("sqlite") {
            return Ok(Self::Sqlite { path: folder.join("many.db").display().to_string(), file: None });
        }
        let params = ConnectParams::from_url(url)?.1;
        let (scheme, rest) = url.split_once("://").ok_or("a URL")?;
        let name = format!("harvest_bench_{}", std::process::id());
        let inside = format!("{scheme}://{}/{name}", rest.split('/').next().unwrap_or_default());
        if scheme.starts_with("postgres") {
            let mut admin = postgres_client(&params, &params.database)?;
            admin.batch_execute(&format!("CREATE DATABASE {name}"))?;
            let client = postgres_client(&params, &name)?;
            return Ok(Self::Postgres { admin, inside: Some(client), url: inside, name });
        }
        let opts = mysql::OptsBuilder::new()
            .ip_or_hostname(Some(params.host.clone()))
            .tcp_port(params.port)
            .user(Some(params.user.clone()))
            .pass(Some(params.password.expose()))
            .prefer_socket(false);
        let mut conn = Box::new(mysql::Conn::new(opts)?);
        conn.query_drop(format!("CREATE DATABASE {name}"))?;
        conn.query_drop(format!("USE {name}"))?;
        Ok(Self::Mysql { conn, url: inside, name })
    }

    pub(crate) fn engine(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "SQLite",
            Self::Postgres { .. } => "PostgreSQL",
            Self::Mysql { .. } => "MariaDB/MySQL",
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite { path, .. } => format!("sqlite:{path}"),
            Self::Postgres { url, .. } | Self::Mysql { url, .. } => url.clone(),
        }
    }

    pub(crate) fn fill(&mut self, tables: usize, columns: usize) -> Result<(), Fail> {
        for first in (0..tables).step_by(BATCH) {
            let list: Vec<String> =
                (first..tables.min(first + BATCH)).flat_map(|at| statements(at, columns)).collect();
            match self {
                Self::Sqlite { path, file } => {
                    let mut connection = rusqlite::Connection::open(&*path)?;
                    let tx = connection.transaction()?;
                    tx.execute_batch(&list.join(";\n"))?;
                    tx.commit()?;
                    *file = Some(connection);
                }
                Self::Postgres { inside, .. } => {
                    inside.as_mut().ok_or("open")?.batch_execute(&list.join(";\n"))?;
                }
                Self::Mysql { conn, .. } => {
                    for sql in &list {
                        conn.query_drop(sql)?;
                    }
                }
            }
        }
        if let Self::Postgres { inside, .. } = self {
            inside.as_mut().ok_or("open")?.batch_execute("VACUUM ANALYZE")?;
        }
        Ok(())
    }

    /// Runs the bare statements and takes every row; gives their number.
    pub(crate) fn read_bare(&mut self) -> Result<usize, Fail> {
        let mut rows = 0;
        match self {
            Self::Sqlite { path, file } => {
                // A connection of its own, as the harvest has one.
                drop(file.take());
                let file = rusqlite::Connection::open(&*path)?;
                for sql in SQLITE {
                    let mut statement = file.prepare(sql)?;
                    let width = statement.column_count();
                    let mut list = statement.query([])?;
                    while let Some(row) = list.next()? {
                        rows += 1;
                        for cell in 0..width {
                            std::hint::black_box(row.get_ref(cell)?);
                        }
                    }
                }
            }
            Self::Postgres { inside, .. } => {
                for sql in POSTGRES {
                    rows += inside.as_mut().ok_or("open")?.query(*sql, &[])?.len();
                }
            }
            Self::Mysql { conn, name, .. } => {
                for sql in MYSQL {
                    let sql = filtered(sql, name);
                    rows += conn.exec::<mysql::Row, _, _>(sql, ())?.len();
                }
            }
        }
        Ok(rows)
    }
}

/// Puts the condition on the schema in; other prefixes stand before the mark.
fn filtered(sql: &str, name: &str) -> String {
    let bare = sql.find("{schema}").map_or(' ', |at| sql[..at].chars().next_back().unwrap_or(' '));
    let column = if bare == '_' { "SCHEMA" } else { "TABLE_SCHEMA" };
    sql.replace("{schema}", &format!("{column} = '{name}'"))
}

impl Drop for Scratch {
    fn drop(&mut self) {
        match self {
            Self::Sqlite { .. } => {}
            Self::Postgres { admin, inside, name, .. } => {
                *inside = None;
                let _ = admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
            }
            Self::Mysql { conn, name, .. } => {
                let _ = conn.query_drop(format!("DROP DATABASE IF EXISTS {name}"));
            }
        }
    }
}

fn table_name(at: usize) -> String {
    let (noun, part) = (NOUNS[at % NOUNS.len()], PARTS[(at / NOUNS.len()) % PARTS.len()]);
    format!("{noun}_{part}_{}", at / (NOUNS.len() * PARTS.len()))
}

/// A table with a key, a declared reference to an earlier table, and an index on two columns.
fn statements(at: usize, columns: usize) -> [String; 2] {
    let name = table_name(at);
    let mut sql = format!("CREATE TABLE {name} (id integer NOT NULL PRIMARY KEY, parent_id integer NOT NULL");
    let mut indexed = Vec::new();
    for extra in 2..columns {
        let (column, kind) = COLUMNS[(at * 5 + extra) % COLUMNS.len()];
        let null = if extra % 3 == 0 { " NOT NULL" } else { "" };
        let _ = write!(sql, ", {column}_{extra} {kind}{null}");
        if indexed.len() < 2 && !kind.contains("200") {
            indexed.push(format!("{column}_{extra}"));
        }
    }
    let _ = write!(sql, ", FOREIGN KEY (parent_id) REFERENCES {} (id))", table_name(at / 2));
    indexed.insert(0, "parent_id".to_owned());
    [sql, format!("CREATE INDEX {name}_x ON {name} ({})", indexed.join(", "))]
}
