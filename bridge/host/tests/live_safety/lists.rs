//! The gate's deny and allow lists through the whole gateway and through each layer alone; what changed is asked elsewhere.

use std::collections::BTreeMap;

use harvest::{
    CheckedStatement, Column, Flow, GatePolicy, HarvestCode, HarvestResult, Limits, RowSink, StatementKind,
    Value,
};
use harvest_gateway::{CallScope, StatementRequest};

use crate::outside::{Mariadb, Outside, Postgres, Sqlite, engine, gateway};

const LIMITS: Limits = Limits { timeout_ms: 300, cell_bytes_max: 100_000 };

struct Case {
    category: String,
    sql: String,
}

fn cases(text: &str, schema: &str) -> Vec<Case> {
    let read = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let text = |key: &str| row[key].as_str().expect("a text").to_owned();
        Case { category: text("category"), sql: text("sql").replace("shop", schema) }
    };
    text.lines().map(read).collect()
}

fn lists(outside: &dyn Outside) -> (Vec<Case>, Vec<Case>) {
    let (deny, allow) = match engine(outside) {
        "postgresql" => (
            include_str!("../../../../harvest/gate/fixtures/postgres_deny.jsonl"),
            include_str!("../../../../harvest/gate/fixtures/postgres_allow.jsonl"),
        ),
        "mariadb" => (
            include_str!("../../../../harvest/gate/fixtures/mysql_deny.jsonl"),
            include_str!("../../../../harvest/gate/fixtures/mysql_allow.jsonl"),
        ),
        _ => (
            include_str!("../../../../harvest/gate/fixtures/sqlite_deny.jsonl"),
            include_str!("../../../../harvest/gate/fixtures/sqlite_allow.jsonl"),
        ),
    };
    (cases(deny, outside.schema()), cases(allow, outside.schema()))
}

struct Ignore;

impl RowSink for Ignore {
    fn columns(&mut self, _: &[Column]) -> HarvestResult<()> {
        Ok(())
    }
    fn row(&mut self, _: Vec<Value>) -> HarvestResult<Flow> {
        Ok(Flow::Continue)
    }
}

/// Nothing is different. The end of a transaction is on its way when a call answers, so what still stands is looked at again.
fn unchanged(outside: &mut dyn Outside, before: &str, what: &str) {
    let mut now = outside.seen();
    for _ in 0..100 {
        if now == before {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        now = outside.seen();
    }
    assert_eq!(now, before, "{what}");
}

/// What is there once earlier transactions have ended: two looks that agree.
fn settled(outside: &mut dyn Outside) -> String {
    let mut seen = outside.seen();
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(400));
        let again = outside.seen();
        if again == seen {
            break;
        }
        seen = again;
    }
    seen
}

/// Every denied statement, whoever the account is: refused by us, and nothing is different afterwards.
fn whole_gateway_refuses(outside: &mut dyn Outside) {
    let (deny, _) = lists(outside);
    for (role, params) in outside.params() {
        let gateway = gateway(outside, &params, 2, |_, _| {});
        let before = settled(outside);
        let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
        for Case { category, sql } in &deny {
            let scope = CallScope::new("run_sql_readonly", "test");
            let error = match gateway.run(&StatementRequest::new(sql), &scope) {
                Err(error) => error,
                // The gateway judges and sends the text without its comments, so none of their depth is left.
                Ok(done) if category == "depth" && done.executed == "SELECT 1" => continue,
                Ok(_) => panic!("{role}: {category} went through: {sql}"),
            };
            let ours = matches!(
                error.code,
                HarvestCode::PermissionDenied | HarvestCode::InvalidArgument | HarvestCode::LimitExceeded
            );
            assert!(ours, "{role}: {category}: {sql}: {error:?}");
            let server = ["sqlstate", "errno"].iter().any(|key| error.details.contains_key(*key));
            assert!(!server, "{role}: the server saw {sql}: {error:?}");
            unchanged(outside, &before, &format!("{role}: {category}: {sql}"));
            *refused.entry(category).or_default() += 1;
        }
        eprintln!(
            "{} as {role}: {} of {} refused: {refused:?}",
            engine(outside),
            refused.values().sum::<usize>(),
            deny.len()
        );
    }
}

/// Every allowed statement, as both accounts: never refused by the gate, and nothing is different afterwards.
fn whole_gateway_answers(outside: &mut dyn Outside) {
    let (_, allow) = lists(outside);
    let values = [Value::Int(1), Value::Text("x".into()), Value::Null, Value::Null, Value::Null];
    for (role, params) in outside.params() {
        let gateway = gateway(outside, &params, 2, |_, target| target.timeout_ms = 10_000);
        let before = settled(outside);
        let (mut answered, mut failed) = (0usize, Vec::new());
        for Case { category, sql } in &allow {
            let mut request = StatementRequest::new(sql);
            let scope = CallScope::new("run_sql_readonly", "test");
            let dialect = gateway.dialect(None, &scope).expect("a dialect");
            let passed = dialect.check(sql, &GatePolicy::default()).unwrap_or_else(|e| panic!("{sql}: {e}"));
            request.params = values[..passed.params.min(5)].to_vec();
            match gateway.run(&request, &scope) {
                Ok(_) => answered += 1,
                Err(error) => {
                    let gate = error.details.get("by").is_some_and(|by| by == "gate");
                    let known = !gate && error.code != HarvestCode::Internal;
                    assert!(known, "{role}: {category}: {sql}: {error:?}");
                    failed.push(format!("{sql} -> {error}"));
                }
            }
            unchanged(outside, &before, &format!("{role}: {category}: {sql}"));
        }
        eprintln!("{} as {role}: {answered} of {} answered", engine(outside), allow.len());
        if std::env::var_os("PENSTOCK_TEST_VERBOSE").is_some() {
            eprintln!("{}", failed.join("\n"));
        }
        // What fails misses a table, a column, an extension or a privilege of the scratch database.
        assert!(answered * 10 >= allow.len() * 7, "{role}:\n{}", failed.join("\n"));
    }
}

/// Without the gate, the layers below let an ordinary account change nothing, in the server and in its own session.
fn engine_alone_holds(outside: &mut dyn Outside) {
    let (deny, _) = lists(outside);
    let [_, (_, params)] = outside.params();
    let driver = outside.driver();
    let mut connection = driver.connect(&params).expect("connects");
    let before = settled(outside);
    let (mut refused, mut ran) = (0usize, Vec::new());
    // What a server itself cannot stop would only make it busy here: the gate alone stands before it.
    for Case { category, sql } in deny.iter().filter(|case| case.category != "unstoppable") {
        let blind = CheckedStatement::vouched(sql, StatementKind::Select);
        let result = connection.query(&blind, &[], None, &LIMITS, &mut Ignore);
        match &result {
            Ok(()) => ran.push(sql.as_str()),
            Err(_) => refused += 1,
        }
        if connection.reset().and_then(|()| connection.ping()).is_err() {
            connection = driver.connect(&params).unwrap_or_else(|e| panic!("after {sql}: {e}"));
        }
        unchanged(outside, &before, &format!("{category}: {sql}"));
    }
    if std::env::var_os("PENSTOCK_TEST_VERBOSE").is_some() {
        eprintln!("{}", ran.join("\n"));
    }
    eprintln!(
        "{} without the gate: {refused} refused, {} ran and changed nothing",
        engine(outside),
        ran.len()
    );
}

/// With the gate alone: what it passes changes nothing for a superuser on a plain client, without any other layer.
fn gate_alone_holds(outside: &mut dyn Outside) {
    let (_, allow) = lists(outside);
    let before = settled(outside);
    for Case { category, sql } in &allow {
        outside.run_plainly(sql);
        unchanged(outside, &before, &format!("{category}: {sql}"));
    }
}

fn all(outside: &mut dyn Outside) {
    whole_gateway_refuses(outside);
    whole_gateway_answers(outside);
    engine_alone_holds(outside);
    gate_alone_holds(outside);
}

#[test]
fn live_lists_on_postgres() {
    if let Some(mut outside) = Postgres::new("lists") {
        all(&mut outside);
    }
}

#[test]
fn live_lists_on_mariadb() {
    if let Some(mut outside) = Mariadb::new("lists") {
        all(&mut outside);
    }
}

#[test]
fn live_lists_on_sqlite() {
    all(&mut Sqlite::new());
}

/// The outsider notices what it is there to notice.
#[test]
fn live_judges_notice_writes() {
    let mut sqlite = Sqlite::new();
    let (mut postgres, mut mariadb) = (Postgres::new("judge"), Mariadb::new("judge"));
    let mut all: Vec<&mut dyn Outside> = vec![&mut sqlite];
    all.extend(postgres.as_mut().map(|o| o as &mut dyn Outside));
    all.extend(mariadb.as_mut().map(|o| o as &mut dyn Outside));
    for outside in all {
        let mut seen = outside.seen();
        for sql in [
            "UPDATE ledger SET note = 'z' WHERE id = 1",
            "CREATE TABLE new_one (id int)",
            "DROP VIEW IF EXISTS ledger_view",
        ] {
            outside.run_plainly(sql);
            let now = outside.seen();
            let no_view = engine(outside) == "sqlite" && sql.starts_with("DROP VIEW");
            assert!(now != seen || no_view, "{}: {sql}", engine(outside));
            seen = now;
        }
    }
}
