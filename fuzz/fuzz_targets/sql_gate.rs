//! What the gate passes is one statement that passes again, and that SQLite itself calls read-only.
#![no_main]

use harvest::{DialectName, FragmentKind, GatePolicy, HarvestCode, StatementKind};
use libfuzzer_sys::fuzz_target;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::{Batch, Connection};

const DIALECTS: [DialectName; 4] =
    [DialectName::Sqlite, DialectName::Postgresql, DialectName::Mysql, DialectName::Mariadb];

thread_local! {
    static SQLITE: Connection = sample();
    static POLICY: GatePolicy = GatePolicy::default();
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let Ok(sql) = std::str::from_utf8(rest) else { return };
    let dialect = DIALECTS[usize::from(first & 3)];
    POLICY.with(|policy| match first & 12 {
        4 => fragment(dialect, sql, FragmentKind::Predicate, policy),
        8 => fragment(dialect, sql, FragmentKind::OrderBy, policy),
        _ => statement(dialect, sql, policy),
    });
});

fn statement(dialect: DialectName, sql: &str, policy: &GatePolicy) {
    let Ok(passed) = harvest_gate::check(dialect, sql, policy) else { return };
    let again = harvest_gate::check(dialect, &passed.sql, policy).expect("what passed passes again");
    assert_eq!((again.sql, again.kind, again.tables), (passed.sql.clone(), passed.kind, passed.tables));
    if dialect == DialectName::Sqlite && passed.kind != StatementKind::Pragma {
        SQLITE.with(|sqlite| assert_read_only(sqlite, &passed.sql));
    }
}

fn fragment(dialect: DialectName, sql: &str, kind: FragmentKind, policy: &GatePolicy) {
    let Ok(passed) = harvest_gate::check_fragment(dialect, sql, kind, policy) else { return };
    let around = match kind {
        FragmentKind::Predicate => format!("SELECT * FROM t WHERE ({passed})"),
        FragmentKind::OrderBy => format!("SELECT * FROM t ORDER BY {passed}"),
    };
    // A word such as SELECT may stand alone as a name, but not in a statement; what may be said is the same.
    if let Err(error) = harvest_gate::check(dialect, &around, policy) {
        assert_ne!(error.code, HarvestCode::PermissionDenied, "a fragment passed alone: {around}");
    }
}

/// SQLite compiles the statement against tables of usual names; most texts name others and are not judged.
fn assert_read_only(sqlite: &Connection, sql: &str) {
    let mut statements = 0;
    let mut batch = Batch::new(sqlite, sql);
    while let Ok(Some(statement)) = batch.next() {
        assert!(statement.readonly(), "SQLite says that it writes: {sql}");
        statements += 1;
    }
    assert!(statements <= 1, "several statements: {sql}");
}

fn sample() -> Connection {
    let sqlite = Connection::open_in_memory().expect("memory");
    sqlite
        .execute_batch("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c REAL); CREATE TABLE u(a, b); CREATE VIEW v AS SELECT * FROM t;")
        .expect("tables");
    sqlite
}
