//! Every statement of the fixture files: the refused ones are refused, the allowed ones pass, per engine.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use harvest::{DialectName, FragmentKind, GatePolicy, HarvestCode, StatementKind};
use harvest_gate::{check, check_fragment};

struct Case {
    category: String,
    sql: String,
}

fn cases(text: &str) -> Vec<Case> {
    let parsed = text.lines().map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        Case { category: row["category"].as_str().unwrap().into(), sql: row["sql"].as_str().unwrap().into() }
    });
    parsed.collect()
}

/// Statements whose size is the point; written here rather than in a file.
fn oversized() -> Vec<String> {
    vec![
        format!("SELECT {}1{}", "(".repeat(6_000), ")".repeat(6_000)),
        format!("SELECT 1{}", "+1".repeat(30_000)),
        format!("SELECT 1 IN (1{})", ",1".repeat(10_000)),
        format!("SELECT {}", "x".repeat(70_000)),
        format!("SELECT {}1", "NOT ".repeat(9_000)),
        format!("SELECT {}1{}", "CASE WHEN ".repeat(900), " THEN 1 END".repeat(900)),
    ]
}

fn refuses(dialect: DialectName, text: &str, at_least: usize) {
    let cases = cases(text);
    assert!(cases.len() >= at_least, "{} cases", cases.len());
    let policy = GatePolicy::default();
    let passed: Vec<String> = cases
        .iter()
        .filter(|case| check(dialect, &case.sql, &policy).is_ok())
        .map(|case| format!("{}: {}", case.category, case.sql))
        .collect();
    assert!(passed.is_empty(), "{dialect} let through:\n{}", passed.join("\n"));
    for sql in oversized() {
        let error = check(dialect, &sql, &policy).unwrap_err();
        // Depth without brackets ends in the parser, which says so in its own way.
        let bounded = matches!(error.code, HarvestCode::LimitExceeded | HarvestCode::InvalidArgument);
        assert!(bounded, "{}: {error:?}", &sql[..40]);
    }
}

fn passes(dialect: DialectName, text: &str) {
    let policy = GatePolicy::default();
    let refused: Vec<String> = cases(text)
        .iter()
        .filter_map(|case| {
            check(dialect, &case.sql, &policy).err().map(|e| format!("{}\n   {}", case.sql, e.message))
        })
        .collect();
    assert!(refused.is_empty(), "{dialect} refused:\n{}", refused.join("\n"));
}

const POSTGRES_DENY: &str = include_str!("../fixtures/postgres_deny.jsonl");
const POSTGRES_ALLOW: &str = include_str!("../fixtures/postgres_allow.jsonl");
const MYSQL_DENY: &str = include_str!("../fixtures/mysql_deny.jsonl");
const MYSQL_ALLOW: &str = include_str!("../fixtures/mysql_allow.jsonl");
const SQLITE_DENY: &str = include_str!("../fixtures/sqlite_deny.jsonl");
const SQLITE_ALLOW: &str = include_str!("../fixtures/sqlite_allow.jsonl");

#[test]
fn postgres_refuses() {
    refuses(DialectName::Postgresql, POSTGRES_DENY, 240);
}

#[test]
fn postgres_passes() {
    passes(DialectName::Postgresql, POSTGRES_ALLOW);
}

#[test]
fn mysql_and_mariadb_refuse() {
    refuses(DialectName::Mysql, MYSQL_DENY, 200);
    refuses(DialectName::Mariadb, MYSQL_DENY, 200);
}

#[test]
fn mysql_and_mariadb_pass() {
    passes(DialectName::Mysql, MYSQL_ALLOW);
    passes(DialectName::Mariadb, MYSQL_ALLOW);
}

#[test]
fn sqlite_refuses() {
    refuses(DialectName::Sqlite, SQLITE_DENY, 110);
}

#[test]
fn sqlite_passes() {
    passes(DialectName::Sqlite, SQLITE_ALLOW);
}

#[test]
fn statements_beyond_reading_name_their_construct() {
    let policy = GatePolicy::default();
    for (dialect, sql, construct) in [
        (DialectName::Postgresql, "DELETE FROM t", "DELETE statement"),
        (DialectName::Postgresql, "SELECT pg_sleep(1)", "the function pg_sleep"),
        (DialectName::Postgresql, "SELECT * FROM t FOR UPDATE", "a locking clause"),
        (DialectName::Postgresql, "SELECT * FROM pg_authid", "the object pg_authid"),
        (DialectName::Mysql, "SELECT 1 /*! x */", "an executable comment"),
        (DialectName::Mysql, "SELECT /*+ x */ 1", "an optimizer hint"),
        (DialectName::Mysql, "SELECT 1 INTO OUTFILE 'x'", "INTO"),
        (DialectName::Mariadb, "SELECT @a", "a user variable"),
        (DialectName::Mariadb, "SELECT NEXT VALUE FOR s", "a sequence"),
        (DialectName::Sqlite, "PRAGMA query_only = OFF", "PRAGMA query_only with a value"),
        (DialectName::Sqlite, "ATTACH 'x' AS y", "ATTACH statement"),
        (DialectName::Sqlite, "SELECT 1; SELECT 2", "a second statement"),
    ] {
        let error = check(dialect, sql, &policy).unwrap_err();
        assert_eq!(error.code, HarvestCode::PermissionDenied, "{sql}: {error:?}");
        assert_eq!(error.details["construct"], construct, "{sql}");
        assert_eq!(error.details["by"], "gate");
    }
}

#[test]
fn what_does_not_parse_tells_where() {
    let policy = GatePolicy::default();
    let error = check(DialectName::Postgresql, "SELECT a FROM WHERE", &policy).unwrap_err();
    assert_eq!(error.code, HarvestCode::InvalidArgument);
    assert_eq!(error.details["position"], 14);
    for dialect in [DialectName::Postgresql, DialectName::Mysql, DialectName::Sqlite] {
        for sql in ["", " ", "-- x", "SELEC 1", "SELECT (1", "SELECT 1)", "SELECT 'a", "1"] {
            let error = check(dialect, sql, &policy).unwrap_err();
            assert_eq!(error.code, HarvestCode::InvalidArgument, "{sql:?}: {error:?}");
        }
    }
}

#[test]
fn a_passed_statement_tells_what_it_names() {
    let sql = "/* c */ WITH a AS (SELECT * FROM Shop.Orders) SELECT lower(x), $2 FROM a JOIN \"Two\" t ON t.id = $1 ;";
    let passed = check(DialectName::Postgresql, sql, &GatePolicy::default()).unwrap();
    assert_eq!(
        passed.sql,
        "WITH a AS (SELECT * FROM Shop.Orders) SELECT lower(x), $2 FROM a JOIN \"Two\" t ON t.id = $1"
    );
    assert_eq!(passed.kind, StatementKind::Select);
    let tables: Vec<_> = passed.tables.iter().map(|t| (t.schema.as_deref(), t.name.as_str())).collect();
    assert_eq!(tables, [(None, "Two"), (Some("shop"), "orders")]);
    assert_eq!(passed.functions, ["lower"]);
    assert_eq!(passed.params, 2);
}

#[test]
fn a_name_inside_its_own_expression_means_the_table() {
    let sql = "WITH orders AS (SELECT * FROM orders) SELECT * FROM orders";
    let names = |dialect| check(dialect, sql, &GatePolicy::default()).unwrap().tables.len();
    assert_eq!(names(DialectName::Postgresql), 1);
    assert_eq!(names(DialectName::Sqlite), 0);
}

#[test]
fn policy_allows_functions_and_denies_objects() {
    let mut policy = GatePolicy::default();
    policy.allowed_functions = vec!["app.total".into(), "score".into()];
    policy.denied_objects = vec!["pg_catalog.pg_settings".into(), "payroll".into()];
    let pg = |sql: &str| check(DialectName::Postgresql, sql, &policy);
    assert!(pg("SELECT app.total(1), total(2), score(3)").is_ok());
    assert!(pg("SELECT other.total(1)").is_err());
    assert!(pg("SELECT * FROM pg_settings").is_err());
    assert!(pg("SELECT * FROM hr.payroll").is_err());
    assert!(pg("SELECT payroll FROM hr.staff").is_ok());
    policy.allow_explain = false;
    let error = check(DialectName::Postgresql, "EXPLAIN SELECT 1", &policy).unwrap_err();
    assert_eq!(error.details["by"], "policy");
}

#[test]
fn a_default_schema_gives_plain_names_their_meaning() {
    let policy = GatePolicy::default();
    let passed = check(DialectName::Mysql, "SELECT * FROM user", &policy).unwrap();
    assert!(harvest_gate::check_default_schema(DialectName::Mysql, &passed, "mysql", &policy).is_err());
    assert!(harvest_gate::check_default_schema(DialectName::Mysql, &passed, "shop", &policy).is_ok());
}

#[test]
fn fragments_are_checked_like_statements() {
    let policy = GatePolicy::default();
    let predicate =
        |sql: &str| check_fragment(DialectName::Postgresql, sql, FragmentKind::Predicate, &policy);
    assert_eq!(predicate("a > 1 /* x */ AND b = 'it''s'").unwrap(), "a > 1  AND b = 'it''s'");
    for bad in [
        "1=1; DELETE FROM t",
        "pg_sleep(1) IS NULL",
        "a = 1 ORDER BY 1",
        "a = 1) OR (1=1",
        "",
        "a = 'x",
        "1 UNION SELECT 1",
    ] {
        assert!(predicate(bad).is_err(), "{bad}");
    }
    let order = |sql: &str| check_fragment(DialectName::Mysql, sql, FragmentKind::OrderBy, &policy);
    assert!(order("a DESC, `b` ASC, 3").is_ok());
    for bad in ["a LIMIT 1", "SLEEP(1)", "a, (SELECT SLEEP(1))", "a; SELECT 1", "a -- x\n, @b"] {
        assert!(order(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_small_stack_is_enough() {
    let deep: Vec<String> = vec![
        format!("SELECT {}1{}", "(".repeat(95), ")".repeat(95)),
        format!("SELECT {}1{}", "(SELECT ".repeat(95), ")".repeat(95)),
        format!("SELECT {}1", "NOT ".repeat(190)),
        format!("SELECT {}1", "- ".repeat(3_000)),
        format!("SELECT 1{}", " + 1".repeat(4_900)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(3_000)),
        format!("SELECT {}1{}", "CASE WHEN ".repeat(150), " THEN 1 END".repeat(150)),
        format!("SELECT * FROM a{}", " JOIN b ON x = y".repeat(1_200)),
        format!("SELECT 1{}", "::int".repeat(4_000)),
        format!("SELECT a{}", " IS NULL".repeat(3_000)),
        format!("SELECT a{}", " BETWEEN 1 AND 2".repeat(2_000)),
        format!("SELECT a{}", " IN (1)".repeat(1_900)),
        format!("SELECT a{}", " LIKE 'x'".repeat(4_900)),
        format!("SELECT a{}", " -> 'x'".repeat(4_900)),
        format!("SELECT a{}", "[1]".repeat(3_000)),
        format!("SELECT a{}", ".b".repeat(4_900)),
        format!("SELECT a{}", " COLLATE x".repeat(4_900)),
        format!("SELECT a{}", " AT TIME ZONE 'x'".repeat(2_000)),
        format!("SELECT a{}", " OR b AND c".repeat(2_400)),
        format!("SELECT 1{}", " EXCEPT (SELECT 1)".repeat(1_900)),
        format!("VALUES (1){}", ", (1)".repeat(2_400)),
        format!("SELECT {}1", "interval ".repeat(900)),
        format!("SELECT {}1", "a = ANY (".repeat(90)),
        format!("WITH {}z AS (SELECT 1) SELECT 1", "a AS (SELECT 1), ".repeat(1_200)),
    ];
    let work = move || {
        for sql in &deep {
            for dialect in [DialectName::Postgresql, DialectName::Mysql, DialectName::Sqlite] {
                // An answer of any kind will do: the stack must hold.
                let _ = check(dialect, sql, &GatePolicy::default());
            }
        }
    };
    std::thread::Builder::new().stack_size(512 * 1024).spawn(work).unwrap().join().unwrap();
}
