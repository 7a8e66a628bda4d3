//! Tests of budgets: pages of every kind of answer make the whole one, and the rest is its caller's alone.

use harvest_gateway::{RuleConfig, Settings};
use mcp::{Content, ErrorCode, ToolHandler as _};
use serde_json::{Value, json};

use super::fixture::{Shop, context, names};
use crate::budget::{self, join};

/// All pages of a call within a budget; each keeps to it.
fn pages(shop: &Shop, tool: &str, arguments: &Value, bytes_max: usize) -> Vec<Value> {
    let mut arguments = arguments.clone();
    arguments["max_bytes"] = bytes_max.into();
    let mut out = Vec::new();
    loop {
        let page = shop.call(tool, arguments.clone());
        assert!(
            page.to_string().len() <= bytes_max,
            "{tool}: {} of {bytes_max} bytes",
            page.to_string().len()
        );
        let next = page["next_page_token"].as_str().map(str::to_owned);
        assert!(next.is_none() || page["truncated"] == true, "{tool}");
        out.push(page);
        match next {
            Some(token) => arguments["page_token"] = token.into(),
            None => return out,
        }
    }
}

fn without_clock(mut answer: Value) -> Value {
    let map = answer.as_object_mut().expect("an object");
    map.remove("stats");
    map.remove("cache");
    // Tools that have no pages of their own do not speak of them in a whole answer.
    if map.get("next_page_token") == Some(&Value::Null) {
        map.remove("next_page_token");
    }
    if map.get("truncated") == Some(&Value::Bool(false)) {
        map.remove("truncated");
    }
    answer
}

#[test]
fn pages_of_every_kind_of_answer_make_the_whole_one() {
    let shop = Shop::new();
    let calls = [
        ("run_sql_readonly", json!({"sql": "SELECT * FROM orders ORDER BY id", "max_rows": 200}), 1_500),
        ("sample_rows", json!({"schema": "main", "table": "orders", "order_by": "id", "limit": 100}), 2_000),
        ("sample_distinct", json!({"schema": "main", "table": "orders", "column": "id"}), 1_100),
        ("describe_table", json!({"schema": "main", "table": "orders"}), 1_400),
        ("get_constraints", json!({"schema": "main"}), 1_024),
        ("table_profile", json!({"schema": "main", "table": "orders", "mode": "full"}), 1_100),
        ("column_profile", json!({"schema": "main", "table": "customers", "column": "email"}), 1_100),
    ];
    for (tool, arguments, bytes_max) in calls {
        let whole = shop.call(tool, arguments.clone());
        let pages = pages(&shop, tool, &arguments, bytes_max);
        assert!(pages.len() > 1, "{tool} fits in one page of {bytes_max} bytes: {whole}");
        assert_eq!(without_clock(join(&pages)), without_clock(whole), "{tool}");
        assert!(pages[0]["resource"]["bytes"].as_u64() > Some(bytes_max as u64));
    }
}

#[test]
fn a_budget_goes_with_the_pages_of_the_tool_itself() {
    let sql: String = (0..230).map(|n| format!("CREATE TABLE t{n:03} (a, b);")).collect();
    let shop = Shop::with(&sql, Settings::default(), |_| {});
    let pages = pages(&shop, "list_tables", &json!({"schema": "main", "page_size": 100}), 3_000);
    let seen: Vec<String> = pages.iter().flat_map(|page| names(&page["tables"], "name")).collect();
    assert_eq!(seen, (0..230).map(|n| format!("t{n:03}")).collect::<Vec<_>>());
    assert!(pages.len() > 6, "{}", pages.len());
}

#[test]
fn tokens_count_as_three_bytes_and_the_tighter_budget_holds() {
    let shop = Shop::new();
    let sql = json!({"sql": "SELECT id FROM orders", "max_bytes": 60_000, "max_tokens": 400});
    let page = shop.call("run_sql_readonly", sql);
    assert!(page.to_string().len() <= 1_200 && page["truncated"] == true);
    assert_eq!(page["truncated_by"], "max_bytes");
    assert_eq!(page["row_count"], page["rows"].as_array().unwrap().len());
    let whole = shop.call("run_sql_readonly", json!({"sql": "SELECT 1", "max_tokens": 2_000}));
    assert!(whole.get("resource").is_none() && whole["truncated"] == false);
    for bad in [json!(1), json!("many"), json!(0.5), json!(-1)] {
        let mut arguments = serde_json::Map::new();
        arguments.insert("sql".to_owned(), "SELECT 1".into());
        arguments.insert("max_bytes".to_owned(), bad);
        let error = shop.tools.call(&context("alice"), "run_sql_readonly", arguments).unwrap_err();
        assert_eq!(
            (error.code, &error.details["argument"]),
            (ErrorCode::InvalidArgument, &json!("max_bytes"))
        );
    }
}

#[test]
fn a_token_and_the_rest_are_of_one_call_and_one_caller() {
    let shop = Shop::new();
    let arguments = json!({"sql": "SELECT * FROM orders", "max_bytes": 2_000});
    let first = shop.call("run_sql_readonly", arguments.clone());
    let mut next = arguments;
    next["page_token"] = first["next_page_token"].clone();
    let mut other = next.clone();
    other["sql"] = "SELECT 1".into();
    for (caller, arguments) in [("bob", &next), ("alice", &other)] {
        let error = shop.try_call_as(&context(caller), "run_sql_readonly", arguments.clone()).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument, "{caller}: {error}");
    }
    let uri = first["resource"]["uri"].as_str().unwrap();
    let whole = budget::read(&shop.deps, &context("alice"), uri).expect("the caller reads it");
    let whole: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(whole["row_count"], 200);
    assert!(budget::read(&shop.deps, &context("bob"), uri).is_none());
    // The second page may have another size.
    next["max_bytes"] = 60_000.into();
    let rest = shop.call("run_sql_readonly", next.clone());
    assert_eq!(rest["truncated_by"], whole["truncated_by"]);
    assert_eq!(
        first["row_count"].as_u64().unwrap() + rest["row_count"].as_u64().unwrap(),
        whole["row_count"].as_u64().unwrap()
    );
    // A change of policies ends what was kept.
    shop.rules(vec![RuleConfig::new(1)]);
    assert!(budget::read(&shop.deps, &context("alice"), uri).is_none());
    let error = shop.fails("run_sql_readonly", next);
    assert_eq!(
        (error.code, &error.details["reason"]),
        (ErrorCode::FailedPrecondition, &json!("result expired"))
    );
}

#[test]
fn an_item_beyond_the_budget_is_a_link() {
    let shop = Shop::new();
    let sql = "SELECT replace(hex(zeroblob(3000)), '0', 'x') AS long";
    let mut arguments = serde_json::Map::new();
    arguments.insert("sql".to_owned(), sql.into());
    arguments.insert("max_bytes".to_owned(), 2_000.into());
    let output = shop.tools.call(&context("alice"), "run_sql_readonly", arguments).unwrap();
    assert!(output.is_error);
    let error = &output.structured_value().unwrap()["error"];
    assert_eq!((&error["code"], &error["details"]["limit"]), (&json!("LIMIT_EXCEEDED"), &json!(2_000)));
    let link = output.content.iter().find_map(|block| match block {
        Content::ResourceLink { uri, .. } => Some(uri.clone()),
        _ => None,
    });
    let text = budget::read(&shop.deps, &context("alice"), &link.expect("a link")).unwrap();
    assert!(text.contains(&"x".repeat(6_000)));
    let needed = error["details"]["value"].as_u64().unwrap();
    let page = shop.call("run_sql_readonly", json!({"sql": sql, "max_bytes": needed}));
    assert_eq!(page["row_count"], 1);
}
