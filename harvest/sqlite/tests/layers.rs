//! Each layer alone: the engine without the gate, the gate without the engine, and the file seen from outside.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::{Duration, Instant};

use harvest::{
    CheckedStatement, Column, ConnectParams, Connection, Dialect, Driver, Flow, GatePolicy, HarvestCode,
    HarvestResult, Limits, RowSink, StatementKind, Value,
};
use harvest_sqlite::{SqliteDialect, SqliteDriver};
use sha2::{Digest, Sha256};

struct Ignore(usize);

impl RowSink for Ignore {
    fn columns(&mut self, _: &[Column]) -> HarvestResult<()> {
        Ok(())
    }
    fn row(&mut self, _: Vec<Value>) -> HarvestResult<Flow> {
        self.0 += 1;
        Ok(Flow::Continue)
    }
}

const SCHEMA: &str = "
CREATE TABLE ledger (id INTEGER PRIMARY KEY, person_id INT, note TEXT, amount REAL);
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE person_ids (id INT);
CREATE TABLE events (id INT, created_at, updated_at, deleted, payload, block, exchange, data TEXT, key, value, action, row, window, filter);
CREATE TABLE update_log (a INT);
CREATE TABLE \"delete\" (\"update\" INT, \"insert\" INT);
CREATE INDEX ledger_note ON ledger (note);
CREATE VIRTUAL TABLE notes USING fts5(body);
INSERT INTO ledger VALUES (1, 1, 'x', 2.5), (2, 1, 'y', 7);
INSERT INTO person VALUES (1, 'Ann');
INSERT INTO events (id, data) VALUES (1, '{\"a\":1}');
INSERT INTO notes VALUES ('hello a');
";

struct File {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
}

impl File {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop.db");
        rusqlite::Connection::open(&path).unwrap().execute_batch(SCHEMA).unwrap();
        Self { _dir: dir, path }
    }

    fn open(&self) -> Box<dyn Connection> {
        SqliteDriver.connect(&ConnectParams::new(self.path.to_str().unwrap())).unwrap()
    }

    /// What anybody else sees: the bytes of the file and the names beside it.
    fn seen(&self) -> (Vec<u8>, Vec<String>) {
        let bytes = Sha256::digest(std::fs::read(&self.path).unwrap()).to_vec();
        let folder = std::fs::read_dir(self.path.parent().unwrap()).unwrap();
        let mut names: Vec<String> = folder.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        (bytes, names)
    }
}

fn statements(text: &str) -> Vec<(String, String)> {
    let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    rows.map(|r| (r["category"].as_str().unwrap().to_owned(), r["sql"].as_str().unwrap().to_owned()))
        .collect()
}

const DENY: &str = include_str!("../../gate/fixtures/sqlite_deny.jsonl");
const ALLOW: &str = include_str!("../../gate/fixtures/sqlite_allow.jsonl");
const LIMITS: Limits = Limits { timeout_ms: 2_000, cell_bytes_max: 100_000 };

#[test]
fn the_engine_alone_refuses_everything_but_reading() {
    let file = File::new();
    let before = file.seen();
    let mut connection = file.open();
    for (category, sql) in statements(DENY) {
        // A statement that no gate has seen.
        let blind = CheckedStatement::vouched(sql.clone(), StatementKind::Select);
        let mut rows = Ignore(0);
        let done = connection.query(&blind, &[], None, &LIMITS, &mut rows);
        // Some tricky texts are one harmless statement for the engine; what matters is that nothing changes or leaks.
        let harmless = ["lexer_diff", "unicode", "pragma"].contains(&category.as_str());
        assert!(done.is_err() || harmless, "{category}: {sql}");
        assert_eq!(file.seen(), before, "{category}: {sql}");
    }
    let settings = CheckedStatement::vouched("PRAGMA query_only", StatementKind::Pragma);
    assert!(connection.query(&settings, &[], None, &LIMITS, &mut Ignore(0)).is_err());
}

#[test]
fn the_engine_answers_what_the_gate_passes() {
    let file = File::new();
    let before = file.seen();
    let mut connection = file.open();
    let values = [Value::Int(1), Value::Text("x".into()), Value::Null, Value::Null, Value::Null];
    for (_, sql) in statements(ALLOW) {
        let passed = SqliteDialect.check(&sql, &GatePolicy::default()).unwrap();
        let done = connection.query(&passed, &values[..passed.params.min(5)], None, &LIMITS, &mut Ignore(0));
        if let Err(error) = done {
            let semantic = ["no such column", "no such function", "generate_series"]
                .iter()
                .any(|t| error.message.contains(t));
            assert!(semantic, "{sql}: {error:?}");
        }
    }
    assert_eq!(file.seen(), before);
}

#[test]
fn the_gate_alone_keeps_a_writable_file_unchanged() {
    let file = File::new();
    let before = file.seen();
    let writable = rusqlite::Connection::open(&file.path).unwrap();
    for (_, sql) in statements(DENY) {
        if let Ok(passed) = SqliteDialect.check(&sql, &GatePolicy::default()) {
            let _ = writable.execute_batch(&passed.sql);
        }
    }
    for (_, sql) in statements(ALLOW) {
        let passed = SqliteDialect.check(&sql, &GatePolicy::default()).unwrap();
        if let Ok(mut statement) = writable.prepare(&passed.sql) {
            let mut rows = statement.raw_query();
            while let Ok(Some(_)) = rows.next() {}
        }
    }
    drop(writable);
    assert_eq!(file.seen(), before);
}

#[test]
fn bombs_are_contained() {
    let file = File::new();
    let mut connection = file.open();
    let many = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]
        .map(|n| format!("pragma_function_list {n}"))
        .join(", ");
    for sql in [
        "SELECT length(randomblob(900000000))".to_owned(),
        "SELECT length(zeroblob(2000000000))".to_owned(),
        "SELECT length(hex(zeroblob(9000000)))".to_owned(),
        "SELECT printf('%.*c', 2000000000, 'x')".to_owned(),
        "SELECT format('%2000000000s', 'x')".to_owned(),
        "SELECT replace(hex(zeroblob(400000)), '0', hex(zeroblob(400000)))".to_owned(),
        "SELECT group_concat(hex(randomblob(1000000))) FROM pragma_function_list".to_owned(),
        format!("SELECT count(*) FROM {many}"),
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r".to_owned(),
        "WITH RECURSIVE r(s) AS (SELECT 'x' UNION ALL SELECT s || s FROM r) SELECT length(s) FROM r"
            .to_owned(),
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r ORDER BY n DESC"
            .to_owned(),
        format!("SELECT 'a' LIKE '{}'", "%a".repeat(300)),
    ] {
        let passed = SqliteDialect.check(&sql, &GatePolicy::default()).unwrap();
        let limits = Limits { timeout_ms: 300, ..LIMITS };
        let started = Instant::now();
        let error = connection
            .query(&passed, &[], None, &limits, &mut Ignore(0))
            .err()
            .unwrap_or_else(|| panic!("{sql}"));
        let contained = matches!(
            error.code,
            HarvestCode::DeadlineExceeded | HarvestCode::LimitExceeded | HarvestCode::InvalidArgument
        );
        assert!(contained, "{sql}: {error:?}");
        assert!(started.elapsed() < Duration::from_secs(20), "{sql}");
    }
}

#[test]
fn searches_whose_cost_is_a_product_are_linear() {
    let file = File::new();
    let mut connection = file.open();
    for sql in [
        "SELECT instr(hex(zeroblob(3000000)), hex(zeroblob(1500000)) || '1')",
        "SELECT length(replace(hex(zeroblob(3000000)), hex(zeroblob(1500000)) || '1', ''))",
        "SELECT length(trim(hex(zeroblob(3000000)), hex(randomblob(1500000))))",
    ] {
        let passed = SqliteDialect.check(sql, &GatePolicy::default()).unwrap();
        let limits = Limits { timeout_ms: 60_000, ..LIMITS };
        connection.query(&passed, &[], None, &limits, &mut Ignore(0)).unwrap();
    }
}

#[test]
fn replaced_functions_answer_like_the_originals() {
    let file = File::new();
    let mut ours = file.open();
    let theirs = rusqlite::Connection::open_in_memory().unwrap();
    struct One(Option<Value>);
    impl RowSink for One {
        fn columns(&mut self, _: &[Column]) -> HarvestResult<()> {
            Ok(())
        }
        fn row(&mut self, mut row: Vec<Value>) -> HarvestResult<Flow> {
            self.0 = row.pop();
            Ok(Flow::Continue)
        }
    }
    let arguments = [
        "NULL", "''", "'a'", "'abcabc'", "'äbä'", "'bc'", "12", "1.5", "-0.25", "1e20", "100.0", "x'6162'",
        "x'ff'", "' a '",
    ];
    for a in arguments {
        for b in arguments {
            for call in [
                format!("instr({a}, {b})"),
                format!("trim({a}, {b})"),
                format!("replace({a}, {b}, 'z')"),
                format!("rtrim({a})"),
            ] {
                let both = format!("SELECT quote({call}) || typeof({call})");
                let passed = SqliteDialect.check(&both, &GatePolicy::default()).unwrap();
                if both.contains("x'ff'") {
                    // Bytes that are no text are compared by nobody.
                    continue;
                }
                let mut one = One(None);
                ours.query(&passed, &[], None, &LIMITS, &mut one).unwrap();
                let expected: String = theirs.query_row(&both, [], |row| row.get(0)).unwrap();
                assert_eq!(one.0, Some(Value::Text(expected)), "{call}");
            }
        }
    }
}

#[test]
fn paths_are_paths() {
    let dir = tempfile::tempdir().unwrap();
    for bad in ["", "/nowhere/x.db", "file:x?mode=rwc", ":memory:"] {
        assert!(SqliteDriver.connect(&ConnectParams::new(bad)).is_err(), "{bad}");
    }
    let text = dir.path().join("text.db");
    std::fs::write(&text, "this is no database, whatever its name says, and it is long enough").unwrap();
    let error = SqliteDriver.connect(&ConnectParams::new(text.to_str().unwrap())).err().unwrap();
    assert_eq!(error.code, HarvestCode::FailedPrecondition);
    assert!(!std::path::Path::new("x").exists());
}
