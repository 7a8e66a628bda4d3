//! Tests of `/mcp/cache` and `/mcp/observe` over a real SQLite file, through the handlers as a server calls them.

use std::sync::Arc;
use std::time::Duration;

use harvest_gateway::RuleConfig;
use mcp::{CallContext, Caller, ErrorCode, Scope, ToolError, ToolHandler};
use serde_json::{Map, Value, json};

use super::fixture::{Shop, settings};
use crate::deps::ToolDeps;
use crate::ops::{CallBook, OpsDeps};
use crate::toolbox::Toolbox;

struct Desk {
    shop: Shop,
    book: Arc<CallBook>,
    tools: Vec<Toolbox>,
}

impl Desk {
    fn new() -> Self {
        let shop = Shop::new();
        let book = CallBook::new();
        let tools = ToolDeps::new(Arc::clone(&shop.gateway), None).unwrap();
        let deps = OpsDeps::new(tools, Arc::clone(&book), Arc::new(|| vec!["alice".to_owned()]));
        Self {
            shop,
            book,
            tools: vec![crate::cache_tools(&deps), crate::observe_tools(&deps), crate::admin_tools(&deps)],
        }
    }

    fn try_call(&self, cx: &CallContext, tool: &str, arguments: Value) -> Result<Value, ToolError> {
        let handler = self.tools.iter().find(|t| t.specs().iter().any(|s| s.name == tool)).unwrap();
        let spec = handler.specs().iter().find(|spec| spec.name == tool).unwrap();
        let arguments: Map<String, Value> = serde_json::from_value(arguments).unwrap();
        let answer = handler.call(cx, tool, arguments).map(|output| output.structured_value().unwrap());
        let value = answer.clone().unwrap_or_else(|error| error.to_value());
        let schema = jsonschema::validator_for(spec.output_schema.as_ref().unwrap()).unwrap();
        let faults: Vec<_> = schema.iter_errors(&value).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{tool} breaks its own schema: {faults:?} in {value}");
        answer
    }

    fn call(&self, tool: &str, arguments: Value) -> Value {
        let cx = CallContext::new(Caller::new("ops", Scope::Full), "/mcp/cache");
        self.try_call(&cx, tool, arguments).unwrap_or_else(|error| panic!("{tool}: {error}"))
    }

    fn fails(&self, tool: &str, arguments: Value) -> ToolError {
        let cx = CallContext::new(Caller::new("ops", Scope::Full), "/mcp/cache");
        self.try_call(&cx, tool, arguments).expect_err("the call must fail")
    }
}

const COUNT: &str = "SELECT count(*) FROM orders";

#[test]
fn specs_are_reviewed_by_snapshot() {
    let desk = Desk::new();
    let specs: Vec<_> = desk.tools.iter().flat_map(|tools| tools.specs()).map(|spec| {
        assert!(!spec.examples.is_empty() && spec.input_schema["additionalProperties"] == false, "{}", spec.name);
        let input = jsonschema::validator_for(&spec.input_schema).unwrap();
        for example in &spec.examples {
            assert!(input.is_valid(&Value::Object(example.arguments.clone())), "{}", spec.name);
        }
        json!({
            "name": spec.name, "title": spec.title, "description": spec.description, "annotations": spec.annotations,
            "inputSchema": spec.input_schema, "outputSchema": spec.output_schema,
        })
    }).collect();
    insta::assert_json_snapshot!("ops_specs", specs);
}

#[test]
fn a_warmed_result_answers_and_leaves_when_its_table_is_named() {
    let desk = Desk::new();
    let warm = desk.call("warm_cache", json!({"queries": [COUNT, {"sql": "SELECT id FROM orders WHERE id = ?", "params": [1]}], "ttl_ms": 60_000}));
    assert_eq!((&warm["warmed"], &warm["failed"]), (&json!(2), &json!(0)), "{warm}");
    let answer = desk.shop.call("run_sql_readonly", json!({"sql": COUNT}));
    assert_eq!(answer["cache"]["hit"], true);
    let other = desk
        .shop
        .try_call_as(&super::fixture::context("bob"), "run_sql_readonly", json!({"sql": COUNT}))
        .unwrap();
    assert_eq!(other["cache"]["hit"], false, "entries of one token answer no other");
    let entries = desk.call("get_cache_entries", json!({"table": "orders"}));
    assert_eq!((&entries["total"], &entries["entries"][0]["hits"]), (&json!(2), &json!(1)), "{entries}");
    assert!(!entries.to_string().contains("= 1"), "no literal is shown");
    assert_eq!(
        desk.call("warm_cache", json!({"queries": [COUNT], "ttl_ms": 60_000}))["results"][0]["status"],
        "already_cached"
    );
    assert_eq!(desk.call("invalidate_cache", json!({"table": "customers"}))["invalidated"], 0);
    assert_eq!(desk.call("invalidate_cache", json!({"pattern": "select count*"}))["remaining"], 1);
    assert_eq!(desk.call("invalidate_cache", json!({"table": "main.orders"}))["invalidated"], 1);
    let answer = desk.shop.call("run_sql_readonly", json!({"sql": COUNT}));
    assert_eq!(answer["cache"]["hit"], false);
    let stats = desk.call("get_cache_stats", json!({}));
    assert_eq!(
        (&stats["sets"], &stats["invalidations"], &stats["entries"]),
        (&json!(2), &json!(2), &json!(0))
    );
}

#[test]
fn times_to_live_change_at_once_by_default_and_by_rule() {
    let desk = Desk::new();
    assert_eq!(desk.call("set_cache_ttl", json!({"ttl_ms": 60_000}))["previous_ttl_ms"], 0);
    assert_eq!(desk.shop.call("run_sql_readonly", json!({"sql": COUNT}))["cache"]["ttl_ms"], 60_000);
    assert_eq!(desk.shop.call("run_sql_readonly", json!({"sql": COUNT}))["cache"]["hit"], true);
    let dropped = desk.call("set_cache_ttl", json!({"ttl_ms": 0, "apply_to_existing": true}));
    assert_eq!(dropped["entries_changed"], 1);
    let mut rule = RuleConfig::new(7);
    rule.cache_ttl_ms = Some(5_000);
    desk.shop.rules(vec![rule]);
    desk.shop.call("run_sql_readonly", json!({"sql": COUNT}));
    let changed =
        desk.call("set_cache_ttl", json!({"ttl_ms": 9_000, "rule_id": 7, "apply_to_existing": true}));
    assert_eq!((&changed["previous_ttl_ms"], &changed["entries_changed"]), (&json!(5_000), &json!(1)));
    let hit = desk.shop.call("run_sql_readonly", json!({"sql": COUNT}));
    assert_eq!((&hit["cache"]["hit"], &hit["cache"]["ttl_ms"]), (&json!(true), &json!(9_000)));
    assert_eq!(desk.shop.gateway.rules().hits()[0].hits, 2, "hits go on");
    assert_eq!(desk.fails("set_cache_ttl", json!({"ttl_ms": 1, "rule_id": 8})).code, ErrorCode::NotFound);
    assert_eq!(desk.fails("set_cache_ttl", json!({"ttl_ms": 86_400_001})).code, ErrorCode::InvalidArgument);
    assert_eq!(desk.call("clear_cache", json!({}))["cleared"], 1);
}

#[test]
fn a_cache_that_is_off_refuses_work_but_tells_its_counters() {
    let desk = Desk::new();
    desk.shop.gateway.set_settings(settings(|s| s.cache.enabled = false));
    for (tool, arguments) in [
        ("clear_cache", json!({})),
        ("invalidate_cache", json!({"table": "t"})),
        ("warm_cache", json!({"queries": [COUNT]})),
        ("get_cache_entries", json!({})),
        ("set_cache_ttl", json!({"ttl_ms": 1})),
    ] {
        assert_eq!(desk.fails(tool, arguments).details["reason"], "cache_disabled", "{tool}");
    }
    assert_eq!(desk.call("get_cache_stats", json!({}))["enabled"], false);
    assert_eq!(desk.fails("invalidate_cache", json!({})).code, ErrorCode::InvalidArgument);
}

#[test]
fn a_table_takes_the_results_of_its_views_along() {
    let desk = Desk::new();
    let view = "SELECT count(*) FROM open_orders";
    let queries = json!({"queries": [view, "SELECT count(*) FROM customers"], "ttl_ms": 60_000});
    assert_eq!(desk.call("warm_cache", queries.clone())["warmed"], 2);
    let dropped = desk.call("invalidate_cache", json!({"table": "orders"}));
    assert_eq!((&dropped["invalidated"], &dropped["remaining"]), (&json!(1), &json!(1)), "{dropped}");
    assert_eq!(desk.call("warm_cache", queries)["warmed"], 1);
    assert_eq!(desk.call("invalidate_cache", json!({"table": "main.open_orders"}))["invalidated"], 1);
    assert_eq!(desk.call("invalidate_cache", json!({"table": "order_items"}))["invalidated"], 0);
}

#[test]
fn metrics_agree_in_every_form() {
    let desk = Desk::new();
    let cx = CallContext::new(Caller::new("alice", Scope::Read), "/mcp/query");
    for code in [None, None, Some("NOT_FOUND")] {
        let live = desk.book.begin(&cx, "run_sql_readonly", ("shop", "main"));
        desk.book.finish(&cx, "run_sql_readonly", "main", Duration::from_millis(2), code);
        drop(live);
    }
    desk.shop.call("run_sql_readonly", json!({"sql": COUNT}));
    let _ = desk.shop.fails("run_sql_readonly", json!({"sql": "DELETE FROM orders"}));
    let values = desk
        .call("get_stats", json!({"stat_names": ["proxysql_mcp_requests_total", "*duration*", "nothing"]}));
    let requests = &values["values"]["proxysql_mcp_requests_total"];
    assert_eq!(
        (&requests[0]["value"], &requests[1]["labels"]["outcome"]),
        (&json!(2.0), &json!("NOT_FOUND"))
    );
    let duration = &values["values"]["proxysql_mcp_request_duration_seconds"][0];
    assert_eq!(
        (&duration["count"], &duration["buckets"][0]["count"], &duration["buckets"][1]["count"]),
        (&json!(3), &json!(0), &json!(3))
    );
    assert_eq!(values["unknown"], json!(["nothing"]));
    assert_eq!(desk.fails("get_stats", json!({"stat_names": ["nothing"]})).code, ErrorCode::NotFound);
    let text = desk.call("show_metrics", json!({"format": "prometheus"}));
    let text = text["text"].as_str().unwrap();
    assert!(text.contains(
        "proxysql_mcp_requests_total{endpoint=\"/mcp/query\",tool=\"run_sql_readonly\",outcome=\"ok\"} 2\n"
    ));
    assert!(text.contains("proxysql_mcp_gate_refusals_total{construct="), "{text}");
    let listed = desk.call("list_stats", json!({"filter": "cache"}));
    let shown = desk.call("show_metrics", json!({"category": "cache"}));
    assert_eq!(listed["count"], shown["metrics"].as_array().unwrap().len());
}

#[test]
fn statements_clients_and_health_are_shown_as_they_are() {
    let desk = Desk::new();
    desk.shop.call("run_sql_readonly", json!({"sql": COUNT}));
    let cx = CallContext::new(Caller::new("alice", Scope::Read), "/mcp/query");
    let live = desk.book.begin(&cx, "run_sql_readonly", ("shop", "main"));
    let shown = desk.call("show_connections", json!({}));
    assert_eq!(
        (&shown["connections"][0]["current"], &shown["connections"][0]["caller"]),
        (&json!("run_sql_readonly"), &json!("alice"))
    );
    assert_eq!(shown["connections"][1]["state"], "idle", "the pool keeps its connection: {shown}");
    assert_eq!(shown["summary"]["by_target"]["shop"], 1);
    drop(live);
    assert_eq!(desk.call("show_connections", json!({"kind": "client"}))["connections"][0]["state"], "idle");
    let queries = desk.call("show_queries", json!({}));
    assert_eq!((&queries["queries"][0]["count_star"], &queries["running"]), (&json!(1), &json!([])));
    let health = desk.call("get_health", json!({"deep": true}));
    assert_eq!(health["health"], "healthy", "{health}");
    let blind = {
        let mut caller = Caller::new("ops", Scope::Full);
        caller.targets = Some(Vec::new());
        CallContext::new(caller, "/mcp/observe")
    };
    let shown = desk.try_call(&blind, "show_connections", json!({"kind": "backend"})).unwrap();
    assert_eq!(shown["connections"], json!([]));
}

#[test]
fn a_target_that_is_gone_makes_the_server_unhealthy() {
    let desk = Desk::new();
    desk.shop.gateway.set_targets(vec![{
        let mut target = harvest_gateway::TargetConfig::new("gone", harvest::Protocol::Mysql, 9);
        target.description = "nowhere".to_owned();
        target
    }]);
    let health = desk.call("get_health", json!({"deep": true}));
    assert_eq!(health["health"], "unhealthy");
    assert!(
        health["checks"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["component"] == "target" && c["status"] == "fail")
    );
}
