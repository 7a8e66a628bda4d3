//! A connection from outside: connect, check, query, validate, metadata, stop.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use harvest::{
    ColType, Column, ConnectParams, Connection, Dialect, Driver, Flow, GatePolicy, HarvestCode,
    HarvestResult, Limits, MetadataRequest, RowSink, Value,
};
use harvest_sqlite::{SqliteDialect, SqliteDriver};

#[derive(Default)]
struct Rows {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
    max: usize,
}

impl RowSink for Rows {
    fn columns(&mut self, columns: &[Column]) -> HarvestResult<()> {
        self.columns = columns.to_vec();
        Ok(())
    }
    fn row(&mut self, row: Vec<Value>) -> HarvestResult<Flow> {
        self.rows.push(row);
        Ok(if self.max > 0 && self.rows.len() >= self.max { Flow::Stop } else { Flow::Continue })
    }
}

const LIMITS: Limits = Limits { timeout_ms: 5_000, cell_bytes_max: 1_000_000 };

fn file(schema: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data base?.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch(schema).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

fn open(path: &str) -> Box<dyn Connection> {
    SqliteDriver.connect(&ConnectParams::new(path)).unwrap()
}

fn run(connection: &mut dyn Connection, sql: &str, limits: &Limits) -> HarvestResult<Rows> {
    let statement = SqliteDialect.check(sql, &GatePolicy::default())?;
    let mut rows = Rows::default();
    connection.query(&statement, &[], None, limits, &mut rows)?;
    Ok(rows)
}

const SHOP: &str = "
CREATE TABLE customer (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL COLLATE NOCASE, vip BOOLEAN DEFAULT 0,
  born DATE, score REAL CHECK (score >= 0), loose, UNIQUE (name, born));
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INT REFERENCES customer ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  total DECIMAL(10,2), doubled AS (total * 2) STORED);
CREATE INDEX purchase_big ON purchase (customer_id, total DESC) WHERE total > 100;
CREATE INDEX purchase_half ON purchase (total / 2);
CREATE TABLE pair (a INT, b INT, PRIMARY KEY (b, a)) WITHOUT ROWID;
CREATE VIEW spender AS SELECT c.name, sum(p.total) AS total FROM customer c JOIN purchase p ON p.customer_id = c.id GROUP BY 1;
CREATE TRIGGER note AFTER INSERT ON purchase BEGIN SELECT 1; END;
CREATE VIRTUAL TABLE doc USING fts5(body);
CREATE VIRTUAL TABLE place USING rtree(id, x0, x1);
INSERT INTO customer (id, name, vip, born, score, loose) VALUES (1, 'Ann', 1, '2000-01-01', 1.5, 1), (9, 'Bob', 0, NULL, NULL, 'x');
INSERT INTO purchase (id, customer_id, total) VALUES (1, 1, 10), (2, 1, 12.5);
INSERT INTO doc VALUES ('hello world');
INSERT INTO place VALUES (1, 0, 1);
";

#[test]
fn values_and_types() {
    let (_dir, path) = file(SHOP);
    let mut connection = open(&path);
    let rows =
        run(&mut *connection, "SELECT id, name, vip, born, score, loose, NULL AS n FROM customer", &LIMITS)
            .unwrap();
    let types: Vec<ColType> = rows.columns.iter().map(|c| c.col_type).collect();
    assert_eq!(
        types,
        [
            ColType::Integer,
            ColType::String,
            ColType::Boolean,
            ColType::String,
            ColType::Float,
            ColType::Any,
            ColType::Any
        ]
    );
    assert_eq!(rows.rows[0][2], Value::Bool(true));
    assert_eq!(rows.rows[1][5], Value::Text("x".into()));
    let total = run(&mut *connection, "SELECT total FROM purchase ORDER BY id", &LIMITS).unwrap();
    assert_eq!(total.rows, [[Value::Float(10.0)], [Value::Float(12.5)]]);
    let text = run(&mut *connection, "SELECT body FROM doc WHERE doc MATCH 'hello'", &LIMITS).unwrap();
    assert_eq!(text.rows.len(), 1);
    let place = run(&mut *connection, "SELECT id FROM place WHERE x0 <= 1", &LIMITS).unwrap();
    assert_eq!(place.rows, [[Value::Int(1)]]);
}

#[test]
fn parameters_validation_and_cells() {
    let (_dir, path) = file(SHOP);
    let mut connection = open(&path);
    let statement = SqliteDialect
        .check("SELECT name FROM customer WHERE id = ?1 AND vip = :v", &GatePolicy::default())
        .unwrap();
    assert_eq!(statement.params, 2);
    let mut rows = Rows::default();
    connection
        .query(&statement, &[Value::Int(1), Value::Bool(true)], Some("main"), &LIMITS, &mut rows)
        .unwrap();
    assert_eq!(rows.rows, [[Value::Text("Ann".into())]]);
    let few = connection.query(&statement, &[], None, &LIMITS, &mut rows).unwrap_err();
    assert_eq!(few.code, HarvestCode::InvalidArgument);
    assert_eq!(connection.validate(&statement, None).unwrap()[0].native_type, "TEXT");
    let unknown = SqliteDialect.check("SELECT * FROM nowhere", &GatePolicy::default()).unwrap();
    assert_eq!(connection.validate(&unknown, None).unwrap_err().code, HarvestCode::NotFound);
    let cut = Limits { cell_bytes_max: 5, ..LIMITS };
    let rows = run(&mut *connection, "SELECT 'äääää', x'010203040506'", &cut).unwrap();
    assert_eq!(rows.rows[0], [Value::Text("ää".into()), Value::Bytes(vec![1, 2, 3, 4, 5])]);
}

#[test]
fn endless_statements_end_at_their_deadline() {
    let (_dir, path) = file(SHOP);
    let mut connection = open(&path);
    let limits = Limits { timeout_ms: 200, ..LIMITS };
    for sql in [
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r",
        "WITH RECURSIVE r(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM r) SELECT n FROM r WHERE n < 0",
    ] {
        let started = Instant::now();
        let error = run(&mut *connection, sql, &limits).err().unwrap();
        assert_eq!(error.code, HarvestCode::DeadlineExceeded, "{sql}: {error:?}");
        assert!(started.elapsed() < Duration::from_secs(30));
        // The connection goes on working.
        run(&mut *connection, "SELECT 1", &LIMITS).unwrap();
    }
}

#[test]
fn an_interrupt_ends_a_statement() {
    let (_dir, path) = file(SHOP);
    let mut connection = open(&path);
    let stop: Arc<dyn harvest::Interrupt> = connection.interrupt();
    let thread = std::thread::spawn(move || {
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(20));
            stop.interrupt();
        }
    });
    let sql = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r";
    let limits = Limits { timeout_ms: 0, ..LIMITS };
    let error = run(&mut *connection, sql, &limits).err().unwrap();
    assert_eq!(error.code, HarvestCode::Cancelled);
    drop(connection);
    thread.join().unwrap();
}

#[test]
fn metadata_has_every_part() {
    let (_dir, path) = file(SHOP);
    let mut connection = open(&path);
    let snapshot = connection.metadata(&MetadataRequest::all(1_000), &mut ()).unwrap();
    let object = |name: &str| snapshot.objects.iter().find(|o| o.name == name).unwrap();
    assert_eq!(
        snapshot.objects.len(),
        7,
        "{:?}",
        snapshot.objects.iter().map(|o| &o.name).collect::<Vec<_>>()
    );
    let customer = object("customer");
    assert_eq!(customer.rows_est, Some(9));
    let primary = customer.indexes.iter().find(|i| i.primary).unwrap();
    assert_eq!((primary.name.as_str(), primary.columns[0].name.as_deref()), ("PRIMARY", Some("id")));
    assert_eq!(customer.columns[1].collation.as_deref(), Some("NOCASE"));
    assert_eq!(customer.columns[0].extra, "auto_increment");
    assert!(customer.constraints.iter().any(|c| c.expression.as_deref() == Some("score >= 0")));
    let purchase = object("purchase");
    let key = &purchase.foreign_keys[0];
    assert_eq!(key.columns, [("customer_id".to_owned(), "id".to_owned())]);
    assert!(key.deferrable);
    assert_eq!(key.on_delete.as_deref(), Some("CASCADE"));
    let big = purchase.indexes.iter().find(|i| i.name == "purchase_big").unwrap();
    assert_eq!(big.predicate.as_deref(), Some("total > 100"));
    assert!(big.columns[1].descending);
    let half = purchase.indexes.iter().find(|i| i.name == "purchase_half").unwrap();
    assert_eq!(half.columns[0].expression.as_deref(), Some("total / 2"));
    assert_eq!(purchase.columns[3].generation_expr.as_deref(), Some("total * 2"));
    let pair = object("pair");
    let columns: Vec<_> = pair
        .indexes
        .iter()
        .find(|i| i.primary)
        .unwrap()
        .columns
        .iter()
        .map(|c| c.name.clone().unwrap())
        .collect();
    assert_eq!(columns, ["b", "a"]);
    let view = object("spender");
    assert_eq!(view.depends_on.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["customer", "purchase"]);
    assert_eq!(view.columns.len(), 2);
    assert_eq!(object("note").parent.as_deref(), Some("purchase"));
    assert_eq!(object("doc").subtype, "virtual");
    let mut one = MetadataRequest::all(10);
    one.object = Some("purchase".into());
    let one = connection.metadata(&one, &mut ()).unwrap();
    assert_eq!(one.objects.len(), 1);
    assert_eq!(one.objects[0].foreign_keys[0].columns[0].1, "id");
    assert_eq!(
        connection.metadata(&MetadataRequest::all(3), &mut ()).unwrap_err().code,
        HarvestCode::LimitExceeded
    );
}

#[test]
fn odd_schemas_are_read_with_warnings() {
    let (_dir, path) = file(
        "CREATE TABLE \"odd \"\"name, (x)\" (\"a b\" INT, \"select\" TEXT CHECK (\"select\" <> ')'));
         CREATE TABLE parent (x INT, y INT, PRIMARY KEY (x, y));
         CREATE TABLE child (p INT, q INT, rowid TEXT, CONSTRAINT c FOREIGN KEY (p, q) REFERENCES Parent);
         CREATE TABLE flat (id INTEGER PRIMARY KEY, v) WITHOUT ROWID;
         CREATE TABLE gone (a); CREATE VIEW broken AS SELECT a FROM gone; DROP TABLE gone;
         CREATE TABLE s (a, b); CREATE INDEX s_a ON s (a); INSERT INTO s VALUES (1, 1), (1, 2), (2, 3), (2, 4); ANALYZE;",
    );
    let mut connection = open(&path);
    let snapshot = connection.metadata(&MetadataRequest::all(100), &mut ()).unwrap();
    let object = |name: &str| snapshot.objects.iter().find(|o| o.name == name).unwrap();
    assert_eq!(object("odd \"name, (x)").constraints[0].expression.as_deref(), Some("\"select\" <> ')'"));
    let pairs = [("p".to_owned(), "x".to_owned()), ("q".to_owned(), "y".to_owned())];
    assert_eq!(object("child").foreign_keys[0].columns, pairs);
    assert_eq!(object("child").rows_est, Some(0));
    assert_eq!(object("flat").indexes.iter().filter(|i| i.primary).count(), 1);
    assert_eq!(object("s").rows_est, Some(4));
    assert_eq!(object("s").indexes[0].cardinality, Some(2));
    assert!(snapshot.warnings.iter().any(|w| w.text.contains("broken")), "{:?}", snapshot.warnings);
    assert!(snapshot.objects.iter().all(|o| !o.name.starts_with("sqlite_")));
}

#[test]
fn a_file_that_another_process_writes_is_read() {
    let (_dir, path) = file("PRAGMA journal_mode = WAL; CREATE TABLE t (a INT); INSERT INTO t VALUES (1);");
    let writer = rusqlite::Connection::open(&path).unwrap();
    let mut connection = open(&path);
    assert_eq!(run(&mut *connection, "SELECT count(*) FROM t", &LIMITS).unwrap().rows, [[Value::Int(1)]]);
    writer.execute_batch("INSERT INTO t VALUES (2); ALTER TABLE t ADD COLUMN b").unwrap();
    let rows = run(&mut *connection, "SELECT * FROM t ORDER BY a", &LIMITS).unwrap();
    assert_eq!((rows.rows.len(), rows.columns.len()), (2, 2));
    // A reader that has ended holds nothing.
    writer
        .execute_batch(
            "BEGIN EXCLUSIVE; INSERT INTO t VALUES (3, 4); COMMIT; PRAGMA wal_checkpoint(TRUNCATE)",
        )
        .unwrap();
    connection.reset().unwrap();
    connection.ping().unwrap();
}

#[test]
fn a_sink_may_stop_or_fail() {
    let (_dir, path) = file(SHOP);
    let mut connection = open(&path);
    let sql = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r";
    let statement = SqliteDialect.check(sql, &GatePolicy::default()).unwrap();
    let mut rows = Rows { max: 1_000, ..Rows::default() };
    connection.query(&statement, &[], None, &LIMITS, &mut rows).unwrap();
    assert_eq!(rows.rows.len(), 1_000);
    assert_eq!(
        connection.query(&statement, &[], Some("other"), &LIMITS, &mut rows).unwrap_err().code,
        HarvestCode::NotFound
    );
}
