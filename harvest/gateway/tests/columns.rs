//! Column rules over real SQLite: no way to leak a guarded column, no harm to other statements.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "common/columns.rs"]
mod common;

use std::sync::Arc;

use common::{SECRET, gateway, judge, rule, run};
use harvest::{ConnectParams, Protocol};
use harvest_gateway::{CallScope, ColumnAction, ColumnRule, Gateway, Settings, StatementRequest};
use harvest_sqlite::SqliteDriver;

const SCHEMA: &str = "
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, email TEXT, score INT, copied TEXT AS (lower(email)) STORED);
CREATE TABLE plain (id INTEGER PRIMARY KEY, pin INTEGER, email TEXT, note TEXT);
CREATE TABLE keyed (pin INTEGER PRIMARY KEY, note TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INT, total REAL, note TEXT);
CREATE TABLE mails (id INTEGER PRIMARY KEY, email TEXT);
CREATE VIEW safe_users AS SELECT id, name FROM users;
CREATE VIEW everyone AS SELECT * FROM users;
CREATE VIEW mailing(id, contact) AS SELECT id, email FROM users;
CREATE VIEW mailing_again AS SELECT * FROM mailing;
CREATE VIEW planted AS SELECT name FROM users WHERE email LIKE 'planted%';
CREATE VIRTUAL TABLE user_docs USING fts5(email, body);
CREATE VIRTUAL TABLE user_terms USING fts5vocab('user_docs', 'row');
CREATE VIRTUAL TABLE find_terms USING fts5vocab('user_docs', 'row');
";

/// Leaks that only SQLite runs.
const LEAKS: &[&str] = &[
    "SELECT id FROM users LIMIT (SELECT length(email) FROM users WHERE id = 1)",
    "SELECT [email] || '' FROM users",
    "SELECT `email` || '' FROM users",
    "SELECT \"EMail\" || '' FROM main.users",
    "SELECT group_concat(email) FROM users",
    "SELECT json_group_array(email) FROM users",
    "SELECT json_object('a', email) FROM users",
    "SELECT hex(email) FROM users",
    "SELECT id FROM users WHERE email GLOB 'p*'",
    "SELECT value FROM users, json_each(json_array(email))",
    "SELECT printf('%s', email) FROM users",
    "VALUES ((SELECT email FROM users))",
    "SELECT instr(email, 'p') FROM main.\"USERS\"",
    "SELECT id FROM users WHERE email IS NOT NULL",
    "EXPLAIN QUERY PLAN SELECT id FROM users WHERE email > 'p'",
    "SELECT snippet(user_docs, 0, '', '', '', 9) FROM user_docs WHERE user_docs MATCH 'planted'",
    "SELECT body FROM user_docs WHERE user_docs MATCH 'email:planted'",
    "SELECT c0 FROM user_docs_content",
    "SELECT term FROM find_terms",
];

fn world() -> (tempfile::TempDir, ConnectParams) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(SCHEMA).unwrap();
    db.execute("INSERT INTO users (id, name, email, score) VALUES (1, 'Ann', ?1, 7), (2, 'Bob', 'bob@elsewhere.test', 3)", [SECRET])
        .unwrap();
    db.execute("INSERT INTO plain VALUES (1, 4711, ?1, 'x')", [SECRET]).unwrap();
    db.execute_batch("INSERT INTO keyed VALUES (4711, 'x'); INSERT INTO orders VALUES (1, 1, 9.5, 'n')")
        .unwrap();
    db.execute("INSERT INTO user_docs VALUES (?1, 'body')", [SECRET]).unwrap();
    let params = ConnectParams::new(path.to_str().unwrap());
    (dir, params)
}

fn make(params: &ConnectParams, rules: Vec<ColumnRule>) -> Arc<Gateway> {
    gateway(Arc::new(SqliteDriver), Protocol::Sqlite, params, rules)
}

#[test]
fn no_way_leaks_a_guarded_column() {
    let (_dir, params) = world();
    judge(&|rules| make(&params, rules), None, LEAKS);
}

#[test]
fn a_wildcard_over_one_table_shows_what_the_rule_allows() {
    let (_dir, params) = world();
    let with = |action| make(&params, vec![ColumnRule::new("plain", "email", action)]);
    let rows = |gateway: &Gateway, sql: &str| run(gateway, None, sql).unwrap().result.rows_json.to_string();
    assert_eq!(rows(&with(ColumnAction::Mask), "SELECT * FROM plain"), r#"[[1,4711,"***","x"]]"#);
    assert_eq!(rows(&with(ColumnAction::Null), "SELECT p.* FROM plain p"), r#"[[1,4711,null,"x"]]"#);
    assert_eq!(rows(&with(ColumnAction::Partial), "SELECT * FROM plain"), r#"[[1,4711,"***test","x"]]"#);
    let error = run(&with(ColumnAction::Deny), None, "SELECT * FROM plain").unwrap_err();
    assert_eq!(error.details["columns"], serde_json::json!(["id", "pin", "note"]));
    assert_eq!((&error.details["by"], &error.details["reason"]), (&"policy".into(), &"column_rule".into()));
}

#[test]
fn the_integer_key_hides_its_other_names() {
    let (_dir, params) = world();
    let gateway = make(&params, vec![ColumnRule::new("keyed", "pin", ColumnAction::Mask)]);
    for name in ["rowid", "oid", "_ROWID_", "keyed.rowid", "pin + 0"] {
        assert!(run(&gateway, None, &format!("SELECT {name} FROM keyed")).is_err(), "{name}");
    }
    assert_eq!(&*run(&gateway, None, "SELECT pin FROM keyed").unwrap().result.rows_json, r#"[["***"]]"#);
}

#[test]
fn rules_hold_for_their_callers_and_cached_results_do_not_cross() {
    let (_dir, params) = world();
    let mut mask = ColumnRule::new("users", "email", ColumnAction::Mask);
    mask.caller = "b*".to_owned();
    let gateway = make(&params, vec![mask.clone()]);
    let mut settings = Settings::clone(&gateway.settings());
    settings.cache.default_ttl_ms = 60_000;
    settings.cache.shared = true;
    gateway.set_settings(settings.clone());
    let ask = |caller: &str| {
        let mut request = StatementRequest::new("SELECT email FROM users WHERE id = 1");
        request.use_cache = true;
        let outcome = gateway.run(&request, &CallScope::new("run_sql_readonly", caller)).unwrap();
        (outcome.result.rows_json.contains(SECRET), outcome.cache.hit)
    };
    assert_eq!((ask("alice"), ask("bob"), ask("bill")), ((true, false), (false, false), (false, true)));
    settings.column_rules.push(ColumnRule { caller: "alice".to_owned(), ..mask });
    gateway.set_settings(settings);
    assert_eq!(ask("alice"), (false, false));
}

#[test]
fn a_target_without_matching_rules_is_left_alone() {
    let (_dir, params) = world();
    let mut rules = rule(ColumnAction::Deny);
    rules[0].target = "other".to_owned();
    assert!(run(&make(&params, rules), None, "SELECT max(email) FROM users").is_ok());
}

#[test]
fn a_new_table_is_found_and_an_unknown_one_is_refused() {
    let (_dir, params) = world();
    let gateway = make(&params, rule(ColumnAction::Mask));
    assert!(run(&gateway, None, "SELECT id FROM users").is_ok());
    let error = run(&gateway, None, "SELECT x FROM nowhere").unwrap_err();
    assert!(error.message.contains("nowhere"), "{error}");
}
