//! Tests of `describe_table`, `describe_view`, `get_constraints`.

use mcp::ErrorCode;
use serde_json::json;

use super::fixture::{Shop, names};

#[test]
fn a_table_is_described_in_full() {
    let shop = Shop::new();
    let answer = shop.call("describe_table", json!({"schema": "main", "table": "orders"}));
    assert_eq!(names(&answer["columns"], "name"), ["id", "customer_id", "status", "total", "placed_on"]);
    assert_eq!(answer["primary_key"], json!(["id"]));
    let column = &answer["columns"][1];
    assert_eq!(
        (&column["is_indexed"], &column["is_id_like"], &column["nullable"]),
        (&json!(true), &json!(true), &json!(false))
    );
    assert_eq!(answer["columns"][4]["is_time"], true);
    let index =
        answer["indexes"].as_array().unwrap().iter().find(|i| i["name"] == "ix_orders_customer").unwrap();
    assert_eq!(index["columns"][1]["order"], "desc");
    let odd = shop.call("describe_table", json!({"schema": "main", "table": "odd \"name. ;--"}));
    assert_eq!(names(&odd["columns"], "name"), ["a b", "select"]);
}

#[test]
fn unknown_names_suggest_others() {
    let shop = Shop::new();
    let error = shop.fails("describe_table", json!({"schema": "main", "table": "order"}));
    assert_eq!(error.code, ErrorCode::NotFound);
    assert_eq!(error.details["similar"][0], "orders");
    let error = shop.fails("describe_table", json!({"schema": "mian", "table": "orders"}));
    assert_eq!((error.code, &error.details["kind"]), (ErrorCode::NotFound, &json!("schema")));
    let error = shop.fails("describe_view", json!({"schema": "main", "view": "orders"}));
    assert_eq!(error.code, ErrorCode::NotFound);
}

#[test]
fn a_view_tells_what_it_reads() {
    let shop = Shop::new();
    let answer = shop.call("describe_view", json!({"schema": "main", "view": "open_orders"}));
    assert!(answer["definition"].as_str().unwrap().contains("status <> 'sent'"));
    assert_eq!(names(&answer["columns"], "name"), ["id", "customer_id"]);
    assert_eq!(names(&answer["depends_on"], "name"), ["orders"]);
    assert_eq!(answer["materialized"], false);
}

#[test]
fn constraints_are_listed_by_table_and_kind() {
    let shop = Shop::new();
    let all = shop.call("get_constraints", json!({"schema": "main"}));
    assert_eq!(all["next_page_token"], json!(null));
    let keys = shop.call("get_constraints", json!({"schema": "main", "types": ["foreign_key"]}));
    assert_eq!(names(&keys["constraints"], "table"), ["order_items", "orders"]);
    let key = &keys["constraints"][1];
    assert_eq!((&key["referenced_table"], &key["on_delete"]), (&json!("customers"), &json!("CASCADE")));
    let primary = shop
        .call("get_constraints", json!({"schema": "main", "table": "order_items", "types": ["primary_key"]}));
    assert_eq!(primary["constraints"][0]["columns"], json!(["order_id", "line"]));
    let checks =
        shop.call("get_constraints", json!({"schema": "main", "table": "orders", "types": ["check"]}));
    assert_eq!(checks["constraints"].as_array().unwrap().len(), 1);
    assert_eq!(
        shop.fails("get_constraints", json!({"schema": "main", "table": "nope"})).code,
        ErrorCode::NotFound
    );
}

#[test]
fn the_catalog_is_asked_for_by_name() {
    let shop = Shop::new();
    let error =
        shop.fails("describe_table", json!({"schema": "main", "table": "orders", "source": "catalog"}));
    assert_eq!(error.code, ErrorCode::FailedPrecondition);
}
