//! Tests of query rules and profiles through every tool that reaches a backend.

use std::sync::Arc;

use harvest::{FakeAnswer, FakeServer};
use harvest_gateway::{RuleConfig, Settings};
use mcp::ErrorCode;
use serde_json::{Value, json};

use super::fixture::{SHOP, Shop};

fn calls() -> Vec<(&'static str, Value)> {
    vec![
        ("list_schemas", json!({})),
        ("list_tables", json!({"schema": "main"})),
        ("describe_table", json!({"schema": "main", "table": "orders"})),
        ("get_constraints", json!({"schema": "main"})),
        ("describe_view", json!({"schema": "main", "view": "open_orders"})),
        ("table_profile", json!({"schema": "main", "table": "orders"})),
        ("table_profile", json!({"schema": "main", "table": "orders", "mode": "full"})),
        ("column_profile", json!({"schema": "main", "table": "orders", "column": "id"})),
        ("sample_rows", json!({"schema": "main", "table": "orders"})),
        ("sample_distinct", json!({"schema": "main", "table": "orders", "column": "status"})),
        ("run_sql_readonly", json!({"sql": "SELECT 1"})),
        ("explain_sql", json!({"sql": "SELECT 1"})),
    ]
}

#[test]
fn every_tool_can_be_blocked() {
    let shop = Shop::new();
    let mut block = RuleConfig::new(9);
    block.error_msg = Some("closed for maintenance".into());
    shop.rules(vec![block]);
    for (tool, arguments) in calls() {
        let error = shop.fails(tool, arguments);
        assert_eq!(
            (error.code, error.message.as_str()),
            (ErrorCode::PermissionDenied, "closed for maintenance"),
            "{tool}"
        );
        assert_eq!(error.details["rule_id"], 9, "{tool}");
    }
}

#[test]
fn every_tool_can_be_answered_by_a_rule() {
    let shop = Shop::new();
    let mut answer = RuleConfig::new(4);
    answer.ok_msg = Some("come back later".into());
    shop.rules(vec![answer]);
    for (tool, arguments) in calls() {
        let answer = shop.call(tool, arguments);
        assert_eq!(
            (&answer["ok_message"], &answer["rules_matched"]),
            (&json!("come back later"), &json!([4])),
            "{tool}"
        );
    }
}

#[test]
fn rules_of_one_tool_leave_the_others() {
    let shop = Shop::new();
    let mut block = RuleConfig::new(1);
    block.tool_name = Some("sample_rows".into());
    block.error_msg = Some("no samples".into());
    shop.rules(vec![block]);
    for (tool, arguments) in calls() {
        assert_eq!(shop.try_call(tool, arguments).is_err(), tool == "sample_rows", "{tool}");
    }
}

#[test]
fn a_rewrite_is_shown_and_gated() {
    let shop = Shop::new();
    let rewrite = |replacement: &str| {
        let mut rule = RuleConfig::new(2);
        rule.match_pattern = Some("FROM orders".into());
        rule.replace_pattern = Some(replacement.into());
        vec![rule]
    };
    shop.rules(rewrite("FROM open_orders"));
    let answer = shop.call("run_sql_readonly", json!({"sql": "SELECT COUNT(*) AS n FROM orders"}));
    assert_eq!(
        (&answer["rewritten"], &answer["rows"], &answer["rules_matched"]),
        (&json!(true), &json!([[200]]), &json!([2]))
    );
    shop.rules(rewrite("; DELETE FROM orders"));
    let error = shop.fails("run_sql_readonly", json!({"sql": "SELECT 1 FROM orders"}));
    assert_eq!(error.details["by"], "gate");
}

#[test]
fn a_full_pool_is_told_with_a_time() {
    let server = FakeServer::new();
    server.answer("slow", FakeAnswer::Endless);
    let mut settings = Settings::default();
    settings.pool.acquire_timeout_ms = 20;
    let shop = Shop::over(Arc::new(server.clone()), "fake", settings, |_| {});
    std::thread::scope(|threads| {
        let slow: Vec<_> = (0..10)
            .map(|_| {
                threads.spawn(|| {
                    shop.fails("run_sql_readonly", json!({"sql": "SELECT slow", "timeout_sec": 1.0}))
                })
            })
            .collect();
        while server.running() < 10 {
            std::thread::yield_now();
        }
        let error = shop.fails("run_sql_readonly", json!({"sql": "SELECT 1"}));
        assert_eq!((error.code, error.retryable), (ErrorCode::Unavailable, true));
        assert!(error.details["retry_after_ms"].as_u64().unwrap() > 0);
        for handle in slow {
            assert_eq!(handle.join().unwrap().code, ErrorCode::DeadlineExceeded);
        }
    });
    shop.call("run_sql_readonly", json!({"sql": "SELECT 1"}));
}

#[test]
fn a_missing_file_is_unavailable_and_says_no_path() {
    let shop =
        Shop::over(Arc::new(harvest_sqlite::SqliteDriver), "/nowhere/secret.db", Settings::default(), |_| {});
    for (tool, arguments) in calls() {
        let error = shop.fails(tool, arguments);
        assert!(
            matches!(error.code, ErrorCode::Unavailable | ErrorCode::FailedPrecondition),
            "{tool}: {error}"
        );
        assert!(!format!("{error:?}").contains("secret.db"), "{tool}: {error:?}");
    }
}

#[test]
fn hostile_names_are_exact_or_refused() {
    let shop = Shop::with(SHOP, Settings::default(), |_| {});
    for name in [
        "orders\"; DROP TABLE orders; --",
        "orders'",
        "orders\u{0}x",
        "\u{202e}orders",
        "%",
        "orders) UNION SELECT 1",
    ] {
        for (tool, key) in [("describe_table", "table"), ("sample_rows", "table"), ("describe_view", "view")]
        {
            let error = shop.fails(tool, json!({"schema": "main", key: name}));
            assert!(
                matches!(error.code, ErrorCode::NotFound | ErrorCode::InvalidArgument),
                "{tool} {name:?}: {error}"
            );
        }
    }
    assert_eq!(
        shop.call("run_sql_readonly", json!({"sql": "SELECT COUNT(*) FROM orders"}))["rows"],
        json!([[300]])
    );
}
