//! Tests of `list_targets`, `list_schemas`, `list_tables`.

use harvest_gateway::Settings;
use mcp::ErrorCode;
use serde_json::{Value, json};

use super::fixture::{Shop, context, names, settings};

#[test]
fn targets_are_shown_without_their_whereabouts() {
    let shop = Shop::new();
    shop.call("run_sql_readonly", json!({"sql": "SELECT 1"}));
    let answer = shop.call("list_targets", json!({}));
    let target = &answer["targets"][0];
    assert_eq!((&target["target_id"], &target["dialect"]), (&json!("shop"), &json!("sqlite")));
    assert_eq!((&target["executable"], &target["default_schema"]), (&json!(true), &json!("main")));
    assert!(target["server_version"].as_str().unwrap().starts_with("SQLite 3"));
    assert_eq!(target["capabilities"], json!(["inventory", "readonly_sql", "explain"]));
    assert_eq!(answer["default_target_id"], "shop");
    assert!(!answer.to_string().contains("shop.db"));
}

#[test]
fn schemas_of_a_file() {
    let shop = Shop::new();
    let answer = shop.call("list_schemas", json!({}));
    assert_eq!(names(&answer["schemas"], "schema_name"), ["main"]);
    assert_eq!(shop.call("list_schemas", json!({"name_filter": "x%"}))["schemas"], json!([]));
}

#[test]
fn tables_are_listed_filtered_and_paged() {
    let shop = Shop::new();
    let all = shop.call("list_tables", json!({"schema": "main"}));
    assert_eq!(
        names(&all["tables"], "name"),
        ["customers", "odd \"name. ;--", "open_orders", "order_items", "orders"]
    );
    let views = shop.call("list_tables", json!({"schema": "main", "types": ["view"]}));
    assert_eq!(names(&views["tables"], "name"), ["open_orders"]);
    let filtered = shop.call("list_tables", json!({"schema": "main", "name_filter": "ORDER%"}));
    assert_eq!(names(&filtered["tables"], "name"), ["order_items", "orders"]);
    let error = shop.fails("list_tables", json!({"schema": "nope"}));
    assert_eq!((error.code, &error.details["kind"]), (ErrorCode::NotFound, &json!("schema")));
}

fn pages(shop: &Shop, arguments: &Value) -> Vec<String> {
    let (mut seen, mut arguments) = (Vec::new(), arguments.clone());
    loop {
        let answer = shop.call("list_tables", arguments.clone());
        seen.extend(names(&answer["tables"], "name"));
        assert_eq!(answer["truncated"], !answer["next_page_token"].is_null());
        match answer["next_page_token"].as_str() {
            Some(token) => arguments["page_token"] = token.into(),
            None => return seen,
        }
    }
}

#[test]
fn pages_cover_everything_once() {
    let sql: String = (0..1_000).map(|n| format!("CREATE TABLE t{n:04} (a, b);")).collect();
    let shop = Shop::with(&sql, Settings::default(), |_| {});
    let expected: Vec<_> = (0..1_000).map(|n| format!("t{n:04}")).collect();
    assert_eq!(pages(&shop, &json!({"schema": "main", "page_size": 300})), expected);
    let token = shop.call("list_tables", json!({"schema": "main"}))["next_page_token"].clone();
    let error =
        shop.fails("list_tables", json!({"schema": "main", "name_filter": "t%", "page_token": token}));
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    let other =
        shop.try_call_as(&context("bob"), "list_tables", json!({"schema": "main", "page_token": token}));
    assert_eq!(other.unwrap_err().code, ErrorCode::InvalidArgument);
    let small = Shop::with(&sql, settings(|s| s.response_bytes_max = 20_000), |_| {});
    assert_eq!(pages(&small, &json!({"schema": "main", "page_size": 500})), expected);
}
