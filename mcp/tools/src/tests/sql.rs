//! Tests of `run_sql_readonly` and `explain_sql`.

use std::time::{Duration, Instant};

use harvest_gateway::{CacheSettings, Settings};
use mcp::{CancelToken, ErrorCode};
use serde_json::json;

use super::fixture::{SHOP, Shop, context, settings};

#[test]
fn rows_come_with_types_and_limits() {
    let shop = Shop::new();
    let answer = shop.call(
        "run_sql_readonly",
        json!({
        "sql": "SELECT id, email, NULL AS n FROM customers WHERE id < ? ORDER BY id", "params": [3]}),
    );
    assert_eq!(answer["rows"], json!([[1, "c1@example.org", null], [2, "c2@example.org", null]]));
    assert_eq!(
        (&answer["columns"][0]["name"], &answer["columns"][0]["type"]),
        (&json!("id"), &json!("integer"))
    );
    assert_eq!(answer["limits"], json!({"max_rows": 200, "timeout_ms": 2000}));
    assert_eq!(
        (&answer["row_count"], &answer["truncated"], &answer["truncated_by"]),
        (&json!(2), &json!(false), &json!(null))
    );
    assert_eq!((&answer["target_id"], &answer["protocol"]), (&json!("shop"), &json!("sqlite")));
    assert_eq!(answer["cache"], json!({"hit": false, "age_ms": null, "ttl_ms": null}));
}

#[test]
fn values_survive_the_way() {
    let shop = Shop::new();
    let answer = shop.call("run_sql_readonly", json!({
        "sql": "SELECT '' AS e, x'00ff' AS b, 9007199254740993 AS big, -1 AS small, 'a\"\\' AS q, 1 AS q, 0.5 AS f"}));
    assert_eq!(answer["rows"][0], json!(["", "AP8=", "9007199254740993", -1, "a\"\\", 1, 0.5]));
    let answer = shop.call(
        "run_sql_readonly",
        json!({
        "sql": "SELECT ? AS i, ? AS s, ? AS n, ? AS f", "params": [7, "x'; --", null, 1.25]}),
    );
    assert_eq!(answer["rows"][0], json!([7, "x'; --", null, 1.25]));
}

#[test]
fn writing_is_refused_with_a_reason() {
    let shop = Shop::new();
    for sql in [
        "DELETE FROM orders",
        "WITH x AS (SELECT 1) INSERT INTO orders SELECT * FROM x",
        "SELECT 1; DROP TABLE orders",
        "ATTACH '/etc/passwd' AS p",
        "PRAGMA query_only = OFF",
        "EXPLAIN DELETE FROM orders",
    ] {
        let error = shop.fails("run_sql_readonly", json!({"sql": sql}));
        assert_eq!(error.code, ErrorCode::PermissionDenied, "{sql}: {error}");
        assert!(error.details["construct"].is_string(), "{sql}");
    }
    assert_eq!(shop.fails("run_sql_readonly", json!({"sql": "SELEC 1"})).code, ErrorCode::InvalidArgument);
    assert_eq!(
        shop.fails("run_sql_readonly", json!({"sql": "SELECT * FROM nope"})).code,
        ErrorCode::NotFound
    );
    assert_eq!(
        shop.call("run_sql_readonly", json!({"sql": "SELECT COUNT(*) FROM orders"}))["rows"],
        json!([[300]])
    );
}

#[test]
fn rows_and_bytes_are_cut() {
    let shop = Shop::new();
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n";
    let answer = shop.call("run_sql_readonly", json!({"sql": many, "max_rows": 5}));
    assert_eq!((&answer["row_count"], &answer["truncated_by"]), (&json!(5), &json!("max_rows")));
    let small = Shop::with(SHOP, settings(|s| s.response_bytes_max = 20_000), |_| {});
    let wide = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i, printf('%.500c', 'x') FROM n";
    let answer = small.call("run_sql_readonly", json!({"sql": wide}));
    assert_eq!(answer["truncated_by"], "max_bytes");
    assert!(answer["row_count"].as_u64().unwrap() > 3);
    assert!(crate::wire_bytes(&answer.to_string()) <= 20_000);
}

#[test]
fn a_runaway_ends_at_its_deadline_while_others_are_served() {
    let shop = Shop::new();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT COUNT(*) FROM n";
    std::thread::scope(|threads| {
        let slow =
            threads.spawn(|| shop.fails("run_sql_readonly", json!({"sql": endless, "timeout_sec": 0.4})));
        while shop.gateway.statistics().running().is_empty() {
            std::thread::yield_now();
        }
        for _ in 0..10 {
            shop.call("run_sql_readonly", json!({"sql": "SELECT 1"}));
        }
        let error = slow.join().unwrap();
        assert_eq!(error.code, ErrorCode::DeadlineExceeded);
        assert_eq!((&error.details["timeout_ms"], &error.details["layer"]), (&json!(400), &json!("caller")));
        assert!(error.retryable);
    });
    assert!(shop.gateway.statistics().running().is_empty());
}

#[test]
fn a_client_that_leaves_frees_its_connection() {
    let shop = Shop::with(SHOP, Settings::default(), |target| target.timeout_ms = 0);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT COUNT(*) FROM n";
    let mut cx = context("alice");
    cx.cancel = CancelToken::new();
    std::thread::scope(|threads| {
        let slow =
            threads.spawn(|| shop.try_call_as(&cx, "run_sql_readonly", json!({"sql": endless})).unwrap_err());
        while shop.gateway.statistics().running().is_empty() {
            std::thread::yield_now();
        }
        cx.cancel.cancel();
        assert_eq!(slow.join().unwrap().details["reason"], "cancelled");
    });
    assert_eq!(shop.gateway.pools()[0].2[0].conn_used, 0);
    let mut late = context("alice");
    late.deadline = Some(Instant::now() + Duration::from_millis(300));
    let error = shop.try_call_as(&late, "run_sql_readonly", json!({"sql": endless})).unwrap_err();
    assert_eq!((error.code, &error.details["layer"]), (ErrorCode::DeadlineExceeded, &json!("server")));
}

#[test]
fn caches_never_cross_callers() {
    let cache = CacheSettings { default_ttl_ms: 60_000, ..CacheSettings::default() };
    let shop = Shop::with(SHOP, settings(|s| s.cache = cache), |_| {});
    let ask = |caller: &str, use_cache: bool| {
        let arguments = json!({"sql": "SELECT id FROM customers", "use_cache": use_cache});
        shop.try_call_as(&context(caller), "run_sql_readonly", arguments).unwrap()["cache"]["hit"] == true
    };
    assert!(!ask("alice", true) && ask("alice", true));
    assert!(!ask("bob", true) && !ask("alice", false) && ask("bob", true));
}

#[test]
fn unknown_targets_and_hidden_targets_look_alike() {
    let shop = Shop::new();
    let unknown = shop.fails("run_sql_readonly", json!({"sql": "SELECT 1", "target_id": "nope"}));
    let mut cx = context("alice");
    let mut caller = (*cx.caller).clone();
    caller.targets = Some(vec!["other".to_owned()]);
    cx.caller = caller.into();
    let hidden = shop
        .try_call_as(&cx, "run_sql_readonly", json!({"sql": "SELECT 1", "target_id": "shop"}))
        .unwrap_err();
    assert_eq!((unknown.code, hidden.code), (ErrorCode::NotFound, ErrorCode::NotFound));
    assert_eq!(hidden.details["similar"], json!([]));
}

#[test]
fn calls_are_counted_by_shape() {
    let shop = Shop::new();
    for id in [1, 2] {
        shop.call(
            "run_sql_readonly",
            json!({"sql": format!("SELECT * FROM customers WHERE id = {id}"), "target_id": "shop"}),
        );
    }
    shop.fails(
        "run_sql_readonly",
        json!({"sql": "SELECT * FROM customers WHERE id = nope", "target_id": "shop"}),
    );
    let mut rows = shop.gateway.digests().rows();
    rows.sort_by_key(|row| std::cmp::Reverse(row.count_star));
    assert_eq!((rows[0].count_star, rows[0].sum_rows, rows[0].errors), (2, 2, 0));
    assert_eq!((rows[1].count_star, rows[1].errors), (1, 1));
    assert!(rows[0].digest_text.contains("WHERE id = ?"));
}

#[test]
fn plans_name_scans_and_indexes() {
    let shop = Shop::new();
    let answer =
        shop.call("explain_sql", json!({"sql": "SELECT * FROM orders WHERE customer_id = ?", "params": [1]}));
    assert_eq!(answer["summary"]["indexes_used"], json!(["ix_orders_customer"]));
    assert_eq!((&answer["format"], &answer["plan_text"]), (&json!("json"), &json!(null)));
    let answer = shop.call("explain_sql", json!({"sql": "EXPLAIN SELECT * FROM orders", "format": "text"}));
    assert_eq!(answer["summary"]["full_scans"], json!(["orders"]));
    assert!(answer["plan_text"].as_str().unwrap().contains("SCAN orders"));
    assert_eq!(
        shop.fails("explain_sql", json!({"sql": "DELETE FROM orders"})).code,
        ErrorCode::PermissionDenied
    );
    let analyze = shop.fails("explain_sql", json!({"sql": "SELECT 1", "analyze": true}));
    assert_eq!(analyze.code, ErrorCode::FailedPrecondition);
    let closed = Shop::with(SHOP, Settings::default(), |target| target.allow_explain = false);
    assert_eq!(closed.fails("explain_sql", json!({"sql": "SELECT 1"})).details["by"], "policy");
}
