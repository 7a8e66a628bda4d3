//! Tests of `sample_rows`, `sample_distinct`, `column_profile`, `table_profile`.

use mcp::ErrorCode;
use serde_json::json;

use super::fixture::{SHOP, Shop, settings};

#[test]
fn rows_are_sampled_with_filter_and_order() {
    let shop = Shop::new();
    let answer = shop.call(
        "sample_rows",
        json!({
        "schema": "main", "table": "orders", "columns": ["id", "status"], "where": "status = 'new' -- ; DROP",
        "order_by": "id DESC", "limit": 2}),
    );
    assert_eq!(answer["rows"], json!([[300, "new"], [297, "new"]]));
    assert_eq!((&answer["truncated"], &answer["truncated_by"]), (&json!(true), &json!("max_rows")));
    let all = shop.call("sample_rows", json!({"schema": "main", "table": "odd \"name. ;--"}));
    assert_eq!((&all["rows"], &all["truncated"]), (&json!([[1, "x"], [2, "y"]]), &json!(false)));
}

#[test]
fn fragments_cannot_break_out() {
    let shop = Shop::new();
    for text in
        ["1) UNION SELECT email FROM customers --", "1; DROP TABLE orders", "(SELECT", "1 = 1) OR (1 = 1", ""]
    {
        if text.is_empty() {
            continue;
        }
        let error = shop.fails("sample_rows", json!({"schema": "main", "table": "orders", "where": text}));
        assert!(
            matches!(error.code, ErrorCode::InvalidArgument | ErrorCode::PermissionDenied),
            "{text}: {error}"
        );
    }
    let error =
        shop.fails("sample_rows", json!({"schema": "main", "table": "orders", "order_by": "id; SELECT 1"}));
    assert!(matches!(error.code, ErrorCode::InvalidArgument | ErrorCode::PermissionDenied));
}

#[test]
fn unknown_tables_and_columns_are_named() {
    let shop = Shop::new();
    let error = shop.fails("sample_rows", json!({"schema": "main", "table": "ordrs"}));
    assert_eq!((error.code, &error.details["similar"][0]), (ErrorCode::NotFound, &json!("orders")));
    let error = shop.fails("sample_rows", json!({"schema": "main", "table": "orders", "columns": ["stats"]}));
    assert_eq!((error.code, &error.details["similar"][0]), (ErrorCode::NotFound, &json!("status")));
    let error = shop.fails("sample_distinct", json!({"schema": "main", "table": "orders", "column": "nope"}));
    assert_eq!((error.code, &error.details["kind"]), (ErrorCode::NotFound, &json!("column")));
}

#[test]
fn distinct_values_come_with_counts() {
    let shop = Shop::new();
    let answer =
        shop.call("sample_distinct", json!({"schema": "main", "table": "customers", "column": "notes"}));
    assert_eq!(answer["values"], json!([{"value": null, "count": 10}, {"value": "vip", "count": 10}]));
    assert_eq!((&answer["type"], &answer["truncated"]), (&json!("string"), &json!(false)));
    let answer = shop.call(
        "sample_distinct",
        json!({
        "schema": "main", "table": "orders", "column": "customer_id", "where": "id <= 25", "limit": 2}),
    );
    assert_eq!(answer["values"][0]["count"], 2);
    assert_eq!(answer["truncated"], true);
}

#[test]
fn a_column_is_profiled() {
    let shop = Shop::new();
    let answer =
        shop.call("column_profile", json!({"schema": "main", "table": "customers", "column": "notes"}));
    assert_eq!(
        (&answer["row_count"], &answer["null_count"], &answer["null_pct"]),
        (&json!(20), &json!(10), &json!(50.0))
    );
    assert_eq!((&answer["distinct_count"], &answer["avg_length"]), (&json!(1), &json!(3.0)));
    assert_eq!(answer["top_values"], json!([{"value": "vip", "count": 10, "pct": 50.0}]));
    let answer = shop.call(
        "column_profile",
        json!({"schema": "main", "table": "orders", "column": "id", "max_top_values": 1}),
    );
    assert_eq!(
        (&answer["min_value"], &answer["max_value"], &answer["avg_value"]),
        (&json!(1), &json!(300), &json!(150.5))
    );
    assert_eq!((&answer["sampled"], &answer["top_values"].as_array().unwrap().len()), (&json!(false), &1));
}

#[test]
fn a_table_is_profiled_from_metadata_or_rows() {
    let shop = Shop::new();
    let quick = shop.call("table_profile", json!({"schema": "main", "table": "orders"}));
    assert_eq!((&quick["mode"], &quick["guessed_kind"]), (&json!("quick"), &json!("fact")));
    assert_eq!(
        (&quick["time_columns"], &quick["id_columns"]),
        (&json!(["placed_on"]), &json!(["id", "customer_id"]))
    );
    assert_eq!((&quick["column_stats"], &quick["row_count"]), (&json!({}), &json!(null)));
    let full = shop.call("table_profile", json!({"schema": "main", "table": "orders", "mode": "full"}));
    assert_eq!((&full["row_count"], &full["sampled"]), (&json!(300), &json!(false)));
    let status = &full["column_stats"]["status"];
    assert_eq!(
        (&status["distinct_est"], &status["min"], &status["max"]),
        (&json!(3), &json!("new"), &json!("sent"))
    );
    assert_eq!(status["top_values"].as_array().unwrap().len(), 3);
    assert_eq!(full["column_stats"].as_object().unwrap().len(), 5);
}

#[test]
fn large_tables_are_sampled() {
    let shop = Shop::with(SHOP, settings(|s| s.profile_scan_rows_max = 100), |_| {});
    let answer = shop.call("column_profile", json!({"schema": "main", "table": "orders", "column": "id"}));
    assert_eq!(
        (&answer["sampled"], &answer["sampled_rows"], &answer["distinct_is_estimate"]),
        (&json!(true), &json!(100), &json!(true))
    );
    let answer = shop.call("table_profile", json!({"schema": "main", "table": "orders", "mode": "full"}));
    assert_eq!((&answer["sampled_rows"], &answer["row_count"]), (&json!(100), &json!(null)));
}
