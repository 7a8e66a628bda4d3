//! EXPLAIN is read by options and rebuilt, never passed on.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use harvest::{DialectName, ExplainOptions, GatePolicy, StatementKind};
use harvest_gate::{check, explain};

fn built(dialect: DialectName, sql: &str, analyze: bool, json: bool) -> String {
    let passed = check(dialect, sql, &GatePolicy::default()).unwrap();
    explain(dialect, &passed, ExplainOptions { analyze, json }).unwrap().sql
}

#[test]
fn plans_have_fixed_options() {
    let pg = DialectName::Postgresql;
    assert_eq!(built(pg, "SELECT 1", false, false), "EXPLAIN SELECT 1");
    assert_eq!(built(pg, "SELECT 1", true, true), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT 1");
    assert_eq!(built(DialectName::Mysql, "SELECT 1", false, true), "EXPLAIN FORMAT=JSON SELECT 1");
    assert_eq!(built(DialectName::Mariadb, "SELECT 1", true, true), "ANALYZE FORMAT=JSON SELECT 1");
    assert_eq!(built(DialectName::Sqlite, "SELECT 1", false, true), "EXPLAIN QUERY PLAN SELECT 1");
    let passed = check(DialectName::Sqlite, "SELECT 1", &GatePolicy::default()).unwrap();
    assert!(explain(DialectName::Sqlite, &passed, ExplainOptions { analyze: true, json: false }).is_err());
    let passed = check(DialectName::Mysql, "SHOW TABLES", &GatePolicy::default()).unwrap();
    assert!(explain(DialectName::Mysql, &passed, ExplainOptions { analyze: false, json: false }).is_err());
}

#[test]
fn a_passed_explain_is_absorbed() {
    for sql in
        ["EXPLAIN SELECT 1", "EXPLAIN ANALYZE VERBOSE SELECT 1", "EXPLAIN (analyze on, format json) SELECT 1"]
    {
        assert_eq!(
            built(DialectName::Postgresql, sql, false, true),
            "EXPLAIN (FORMAT JSON) SELECT 1",
            "{sql}"
        );
    }
    assert_eq!(built(DialectName::Mysql, "EXPLAIN FORMAT=TREE SELECT 1", false, false), "EXPLAIN SELECT 1");
    assert_eq!(
        built(DialectName::Sqlite, "EXPLAIN QUERY PLAN SELECT 1", false, false),
        "EXPLAIN QUERY PLAN SELECT 1"
    );
}

#[test]
fn options_are_rewritten_from_a_list() {
    let sql = "explain /* c */ (analyze true, timing off) /* d */ select 1";
    let passed = check(DialectName::Postgresql, sql, &GatePolicy::default()).unwrap();
    assert_eq!(passed.sql, "EXPLAIN (ANALYZE TRUE, TIMING OFF) select 1");
    assert_eq!(passed.kind, StatementKind::Explain);
    for bad in
        ["EXPLAIN (analyze 'x') SELECT 1", "EXPLAIN (evil) SELECT 1", "EXPLAIN (analyze SELECT 1", "EXPLAIN"]
    {
        assert!(check(DialectName::Postgresql, bad, &GatePolicy::default()).is_err(), "{bad}");
    }
}
