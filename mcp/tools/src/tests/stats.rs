//! Tests of `/mcp/stats` over a real SQLite file and a real history, through the handlers as a server calls them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use harvest_gateway::{NoStats, RuleConfig, StatsFamily, StatsOrigin, StatsRequest, StatsRows, StatsSource};
use mcp::{CallContext, Caller, ErrorCode, Scope, ToolError, ToolHandler};
use mcp_config::{Cell, StatsTables};
use serde_json::{Map, Value, json};

use super::fixture::{Shop, context, names};
use crate::deps::ToolDeps;
use crate::ops::{CallBook, OpsDeps};
use crate::stats::{McpStatsTables, StatsHub, StatsSettings, attach_stats, stats_tools};
use crate::toolbox::Toolbox;

struct Desk {
    shop: Shop,
    deps: OpsDeps,
    tools: Toolbox,
    folder: tempfile::TempDir,
}

fn desk_with(change: impl FnOnce(OpsDeps) -> OpsDeps) -> Desk {
    let (shop, folder) = (Shop::new(), tempfile::tempdir().unwrap());
    let tools = ToolDeps::new(Arc::clone(&shop.gateway), None).unwrap();
    let deps = OpsDeps::new(tools, CallBook::new(), Arc::new(|| vec!["alice".to_owned(), "bob".to_owned()]));
    let deps = change(deps);
    deps.stats.open_store(&folder.path().join("stats.db")).unwrap();
    attach_stats(&deps.stats, &shop.gateway);
    Desk { shop, tools: stats_tools(&deps), deps, folder }
}

fn desk() -> Desk {
    desk_with(|deps| deps)
}

fn ops() -> CallContext {
    CallContext::new(Caller::new("ops", Scope::Full), "/mcp/stats")
}

impl Desk {
    fn try_call_as(&self, cx: &CallContext, tool: &str, arguments: Value) -> Result<Value, ToolError> {
        let spec = self.tools.specs().iter().find(|spec| spec.name == tool).unwrap();
        let arguments: Map<String, Value> = serde_json::from_value(arguments).unwrap();
        let input = jsonschema::validator_for(&spec.input_schema).unwrap();
        assert!(input.is_valid(&Value::Object(arguments.clone())), "{tool}: the test's arguments do not fit");
        let answer = self.tools.call(cx, tool, arguments).map(|output| output.structured_value().unwrap());
        let value = answer.clone().unwrap_or_else(|error| error.to_value());
        let schema = jsonschema::validator_for(spec.output_schema.as_ref().unwrap()).unwrap();
        let faults: Vec<_> = schema.iter_errors(&value).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{tool} breaks its own schema: {faults:?} in {value}");
        answer
    }

    fn call(&self, tool: &str, arguments: Value) -> Value {
        self.try_call_as(&ops(), tool, arguments)
            .unwrap_or_else(|error| panic!("{tool}: {error} {:?}", error.details))
    }

    fn fails(&self, tool: &str, arguments: Value) -> ToolError {
        self.try_call_as(&ops(), tool, arguments).expect_err("the call must fail")
    }

    fn select(&self, sql: &str) {
        self.shop.call("run_sql_readonly", json!({"sql": sql}));
    }

    fn settings(&self, change: impl FnOnce(&mut StatsSettings)) {
        let mut settings = (*self.deps.stats.settings()).clone();
        change(&mut settings);
        self.deps.stats.set_settings(settings);
    }
}

#[test]
fn specs_are_reviewed_by_snapshot() {
    let desk = desk();
    assert_eq!(desk.tools.specs().len(), 20);
    let specs: Vec<_> = desk.tools.specs().iter().map(|spec| {
        assert!(!spec.examples.is_empty() && spec.input_schema["additionalProperties"] == false, "{}", spec.name);
        let input = jsonschema::validator_for(&spec.input_schema).unwrap();
        for example in &spec.examples {
            assert!(input.is_valid(&Value::Object(example.arguments.clone())), "{}", spec.name);
        }
        for (name, property) in spec.input_schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{}.{name} has no description", spec.name);
        }
        json!({
            "name": spec.name, "title": spec.title, "description": spec.description, "annotations": spec.annotations,
            "inputSchema": spec.input_schema, "outputSchema": spec.output_schema,
        })
    }).collect();
    insta::assert_json_snapshot!("stats_specs", specs);
}

#[test]
fn every_example_answers_or_says_which_concept_is_missing() {
    let desk = desk();
    desk.select("SELECT count(*) FROM orders");
    let mut refused = BTreeMap::new();
    for spec in desk.tools.specs() {
        let arguments = spec.examples[0].arguments.clone();
        if let Err(error) = desk.try_call_as(&ops(), &spec.name, Value::Object(arguments)) {
            assert_eq!(error.code, ErrorCode::FailedPrecondition, "{}: {error}", spec.name);
            refused.insert(spec.name.clone(), error.details["reason"].as_str().unwrap().to_owned());
        }
    }
    let expected = [
        ("show_cluster", "engine_lacks_concept"),
        ("show_free_connections", "debug_tools_off"),
        ("show_gtid", "engine_lacks_concept"),
        ("show_prepared_statements", "no_executable_target"),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(tool, why)| (tool.to_owned(), why.to_owned())).into();
    assert_eq!(refused, expected);
}

#[test]
fn digests_are_filtered_sorted_paged_and_summed_from_one_snapshot() {
    let desk = desk();
    for _ in 0..3 {
        desk.select("SELECT count(*) FROM orders");
    }
    desk.select("SELECT id FROM customers WHERE id = 987654321");
    let _ = desk.shop.fails("run_sql_readonly", json!({"sql": "SELECT nothing FROM orders"}));
    let all = desk.call("show_queries", json!({}));
    assert_eq!((&all["total_digests"], &all["summary"]["total_queries"]), (&json!(3), &json!(5)), "{all}");
    assert_eq!((&all["db_type"], &all["origin"]), (&json!("sqlite"), &json!("host")));
    assert_eq!(all["queries"][0]["count_star"], 3);
    assert!(!all.to_string().contains("987654321"), "no literal is shown: {all}");
    let page = desk.call("show_queries", json!({"limit": 1, "offset": 1}));
    assert_eq!((page["queries"].as_array().unwrap().len(), &page["truncated"]), (1, &json!(true)));
    assert_eq!(page["summary"]["total_queries"], 5, "sums are of the whole set");
    desk.settings(|s| s.show_queries_rows_max = 2);
    let capped = desk.call("show_queries", json!({"limit": 1000}));
    assert_eq!(
        (&capped["requested_limit"], &capped["effective_limit"], &capped["limit_cap"]),
        (&json!(1000), &json!(2), &json!(2))
    );
    let digest = all["queries"][0]["digest"].as_str().unwrap();
    let one = desk.call("show_queries", json!({"digest": digest}));
    assert_eq!(one["total_digests"], 1);
    let decimal = u64::from_str_radix(&digest[2..], 16).unwrap().to_string();
    assert_eq!(desk.call("show_queries", json!({"digest": decimal}))["total_digests"], 1);
    let matched = desk.call("show_queries", json!({"match_digest_text": "CUSTOMERS"}));
    assert_eq!(matched["total_digests"], 1, "case does not matter unless it is asked for");
    let strict = json!({"match_digest_text": "CUSTOMERS", "digest_text_case_sensitive": true});
    assert_eq!(desk.call("show_queries", strict)["total_digests"], 0);
    assert_eq!(desk.call("show_queries", json!({"min_count": 2}))["total_digests"], 1);
    let error = desk.fails("show_queries", json!({"match_digest_text": "("}));
    assert_eq!(
        (error.code, &error.details["argument"]),
        (ErrorCode::InvalidArgument, &json!("match_digest_text"))
    );
    let error = desk.fails("show_queries", json!({"target_id": "shop", "db_type": "mysql"}));
    assert_eq!(error.details["argument"], "db_type");
    assert_eq!(desk.fails("show_queries", json!({"target_id": "nowhere"})).code, ErrorCode::NotFound);
}

#[test]
fn commands_errors_and_pools_are_those_of_the_engine_asked_for() {
    let desk = desk();
    desk.select("SELECT 1");
    let commands = desk.call("show_commands", json!({}));
    let select = &commands["commands"][0];
    assert_eq!((&select["command"], &select["total_count"]), (&json!("SELECT"), &json!(1)));
    let buckets = select["latency_histogram"].as_object().unwrap();
    assert_eq!(buckets.values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 1);
    assert_eq!(desk.call("show_commands", json!({"db_type": "mysql"}))["commands"], json!([]));
    let pools = desk.call("show_connections", json!({}));
    let server = &pools["servers"][0];
    assert_eq!(
        (&server["status"], &server["queries"], &server["srv_port"]),
        (&json!("ONLINE"), &json!(1), &Value::Null)
    );
    assert!(server["bytes_data_sent"].as_u64().unwrap() >= 8, "{server}");
    assert!(server["bytes_data_recv"].as_u64().unwrap() > 0, "{server}");
    assert_eq!(pools["summary"]["online_servers"], 1);
    assert_eq!(desk.call("show_connections", json!({"status": "SHUNNED"}))["servers"], json!([]));
    let error = desk.fails("show_errors", json!({"sqlstate": "42P01"}));
    assert_eq!(error.details["argument"], "sqlstate", "SQLite has numbers");
    let errors = desk.call("show_errors", json!({}));
    assert_eq!((&errors["total_error_count"], &errors["summary"]["by_errno"]), (&json!(0), &json!({})));
    let error = desk.fails("show_errors", json!({"origin": "backend"}));
    assert_eq!(error.details["reason"], "engine_lacks_concept");
}

#[test]
fn an_idle_connection_shows_only_while_debug_tools_are_on() {
    let desk = desk();
    desk.select("SELECT 1");
    let error = desk.fails("show_free_connections", json!({}));
    assert_eq!(error.details["variable"], "mcp-stats_enable_debug_tools");
    desk.settings(|s| s.debug_tools = true);
    let free = desk.call("show_free_connections", json!({}));
    assert_eq!(free["summary"]["total"], 1, "{free}");
    assert!(free["free_connections"][0]["connection_id"].as_u64().unwrap() > 0);
}

#[test]
fn running_calls_tokens_and_refused_addresses_are_shown() {
    let desk = desk();
    let cx = context("alice");
    let live = desk.deps.book.begin(&cx, "run_sql_readonly", ("shop", "main"));
    desk.deps.book.refused("10.1.2.3");
    let calls = desk.call("show_processlist", json!({"origin": "host"}));
    let session = &calls["sessions"][0];
    assert_eq!((&session["user"], &session["command"]), (&json!("alice"), &json!("run_sql_readonly")));
    assert_eq!(calls["summary"]["by_user"], json!({"alice": 1}));
    let none = json!({"origin": "host", "username": "bob"});
    assert_eq!(desk.call("show_processlist", none)["total_sessions"], 0);
    let own = desk.call("show_processlist", json!({}));
    assert_eq!((&own["origin"], &own["total_sessions"]), (&json!("backend"), &json!(0)), "no statement runs");
    let users = desk.call("show_users", json!({}));
    assert_eq!(users["origin"], "host", "SQLite has no users of its own");
    assert_eq!(names(&users["users"], "username"), ["alice", "bob"]);
    assert_eq!(
        (&users["users"][0]["status"], &users["summary"]["total_capacity"]),
        (&json!("normal"), &Value::Null)
    );
    let addresses = desk.call("show_client_cache", json!({}));
    assert_eq!(
        (&addresses["hosts"][0]["client_address"], &addresses["summary"]["total_errors"]),
        (&json!("10.1.2.3"), &json!(1))
    );
    drop(live);
    let blind = {
        let mut caller = Caller::new("ops", Scope::Full);
        caller.targets = Some(vec!["other".to_owned()]);
        CallContext::new(caller, "/mcp/stats")
    };
    let error =
        desk.try_call_as(&blind, "show_queries", json!({"target_id": "shop"})).expect_err("out of sight");
    assert_eq!(error.code, ErrorCode::NotFound);
    desk.select("SELECT 1");
    let shown = desk.try_call_as(&blind, "show_queries", json!({"db_type": "sqlite"})).unwrap();
    assert_eq!(shown["total_digests"], 0, "digests of a target out of sight stay there");
}

#[test]
fn status_has_one_category_a_variable_and_both_origins() {
    let desk = desk();
    desk.select("SELECT 1");
    let status = desk.call("show_status", json!({}));
    let variables = status["variables"].as_array().unwrap();
    let mut seen = BTreeMap::new();
    for variable in variables {
        let name = variable["variable_name"].as_str().unwrap();
        assert!(seen.insert(name, &variable["category"]).is_none(), "{name} is there twice");
    }
    for name in [
        "Questions",
        "Slow_queries",
        "Client_Connections_created",
        "ConnPool_get_conn_success",
        "Query_Cache_Entries",
        "Uptime",
    ] {
        assert!(seen.contains_key(name), "{name} is missing");
    }
    let some = desk.call("show_status", json!({"variable_name": "conn%", "category": "pool_ops"}));
    assert_eq!(some["variables"].as_array().unwrap().len(), 3, "{some}");
}

#[test]
fn rule_hits_are_listed_with_those_that_never_matched_on_request() {
    let desk = desk();
    let mut block = RuleConfig::new(10);
    block.match_pattern = Some("nothing".to_owned());
    let mut log = RuleConfig::new(20);
    log.apply = true;
    desk.shop.rules(vec![block, log]);
    desk.select("SELECT 1");
    let rules = desk.call("show_query_rules", json!({}));
    assert_eq!((&rules["rule_set"], &rules["total_rules"]), (&json!("mcp"), &json!(2)));
    assert_eq!(
        (&rules["rules"][0]["rule_id"], &rules["summary"]["rules_without_hits"]),
        (&json!(20), &json!(1))
    );
    let all = desk.call("show_query_rules", json!({"include_zero_hits": true}));
    assert_eq!(all["rules"].as_array().unwrap().len(), 2);
    assert_eq!(
        desk.fails("show_query_rules", json!({"rule_set": "host"})).details["reason"],
        "no_host_rules"
    );
}

#[test]
fn flushed_digests_are_a_snapshot_and_count_anew() {
    let desk = desk();
    desk.select("SELECT 1");
    desk.select("SELECT 1");
    let flushed = desk.call("flush_queries", json!({}));
    assert_eq!(flushed["digests_saved"], 1);
    assert_eq!(desk.call("show_queries", json!({}))["total_digests"], 0);
    desk.select("SELECT 1");
    let history = desk.call("show_query_history", json!({}));
    assert_eq!(history["summary"]["total_snapshots"], 1);
    let snapshot = &history["snapshots"][0];
    assert_eq!(
        (&snapshot["dump_time"], &snapshot["queries"][0]["count_star"]),
        (&flushed["dump_time"], &json!(2))
    );
    let none = json!({"end_time": 1_000});
    assert_eq!(desk.call("show_query_history", none)["snapshots"], json!([]));
    assert_eq!(desk.call("show_query_history", json!({"db_type": "mysql"}))["summary"]["total_snapshots"], 0);
}

#[test]
fn a_history_that_cannot_be_written_resets_nothing() {
    let desk = desk();
    desk.select("SELECT 1");
    let file = desk.folder.path().join("stats.db");
    rusqlite::Connection::open(&file).unwrap().execute_batch("DROP TABLE history_mcp_query_digest").unwrap();
    assert_eq!(desk.fails("flush_queries", json!({})).code, ErrorCode::Internal);
    assert_eq!(desk.call("show_queries", json!({}))["summary"]["total_queries"], 1, "nothing is lost");
    rusqlite::Connection::open(&file).unwrap().execute_batch("DROP TABLE history_mcp_query_events").unwrap();
    assert_eq!(desk.fails("flush_query_log", json!({"destination": "disk"})).code, ErrorCode::Internal);
    assert_eq!(desk.call("flush_query_log", json!({}))["events_flushed"], 1, "the event was kept");
    let system = desk.call("show_system_history", json!({}));
    assert_eq!(system["cpu"], json!([]), "no sample was taken yet");
    rusqlite::Connection::open(&file).unwrap().execute_batch("DROP TABLE system_cpu").unwrap();
    assert_eq!(desk.fails("show_system_history", json!({})).code, ErrorCode::Internal, "no empty list");
}

#[test]
fn counts_go_on_after_a_restart_and_a_reset_forgets_the_kept_copy() {
    let desk = desk();
    desk.select("SELECT 1");
    assert!(desk.deps.stats.save_digests(&desk.shop.gateway).unwrap());
    assert!(!desk.deps.stats.save_digests(&desk.shop.gateway).unwrap(), "nothing was counted since");
    let next = || {
        let (shop, hub) = (Shop::new(), StatsHub::new());
        hub.open_store(&desk.folder.path().join("stats.db")).unwrap();
        (hub.restore(&shop.gateway).unwrap(), shop.gateway.digests().rows())
    };
    let (kept, rows) = next();
    assert_eq!((kept, rows[0].count_star), (1, 1));
    let tables = McpStatsTables::new(
        Arc::clone(&desk.shop.gateway),
        Arc::clone(&desk.deps.book),
        Arc::clone(&desk.deps.stats),
    );
    assert_eq!(tables.read("stats_mcp_query_digest", true).unwrap().len(), 1);
    assert_eq!(tables.read("stats_mcp_query_digest", false).unwrap().len(), 0);
    assert_eq!(next().0, 0);
}

#[test]
fn every_table_is_read_and_its_twin_clears_what_it_gave() {
    let desk = desk();
    desk.shop.rules(vec![RuleConfig::new(1)]);
    let cx = context("alice");
    for _ in 0..2 {
        let live = desk.deps.book.begin(&cx, "run_sql_readonly", ("shop", "main"));
        desk.select("SELECT 1");
        desk.deps.book.finish(&cx, "run_sql_readonly", "main", Duration::from_millis(3), None);
        drop(live);
    }
    desk.deps.book.finish(&cx, "list_tables", "", Duration::from_millis(1), Some("PERMISSION_DENIED"));
    desk.deps.book.rate_limited("/mcp/query", "alice");
    desk.deps.book.refused("10.0.0.9");
    desk.call("flush_query_log", json!({}));
    let tables = McpStatsTables::new(
        Arc::clone(&desk.shop.gateway),
        Arc::clone(&desk.deps.book),
        Arc::clone(&desk.deps.stats),
    );
    for table in tables.tables() {
        let rows = tables.read(table.name, false).unwrap();
        assert!(rows.iter().all(|row| row.len() == table.columns.len()), "{}", table.name);
        if !matches!(table.name, "stats_mcp_errors" | "stats_mcp_processlist") {
            assert!(!rows.is_empty(), "{} is empty", table.name);
        }
        assert_eq!(rows.len(), tables.read(table.name, false).unwrap().len(), "{}", table.name);
    }
    let of = |name: &str, reset| tables.read(name, reset).unwrap();
    let tools = of("stats_mcp_query_tools_counters", true);
    assert_eq!(tools.iter().filter_map(|row| row[3].as_int()).sum::<i64>(), 3);
    assert_eq!(
        tools[1][..4],
        [Cell::text("QUERY"), Cell::text("run_sql_readonly"), Cell::text("main"), Cell::Integer(2)]
    );
    assert!(of("stats_mcp_query_tools_counters", false).is_empty());
    let callers = of("stats_mcp_callers", true);
    assert_eq!(callers[0][2..6], [Cell::Integer(4), Cell::Integer(1), Cell::Integer(1), Cell::Integer(1)]);
    assert_eq!(of("stats_mcp_query_rules", true)[0][3], Cell::Integer(2));
    assert_eq!(of("stats_mcp_query_rules", false)[0][3], Cell::Integer(0));
    assert_eq!(of("stats_mcp_connection_pool", true)[0][10], Cell::Integer(2));
    assert_eq!(of("stats_mcp_connection_pool", false)[0][10], Cell::Integer(0));
    assert_eq!(of("stats_mcp_client_errors", true).len(), 1);
    assert!(of("stats_mcp_client_errors", false).is_empty());
    let metrics = crate::collect(&desk.deps);
    let requests = metrics.iter().find(|family| family.name == "proxysql_mcp_requests_total").unwrap();
    assert_eq!(
        requests.samples.iter().map(|sample| sample.value).sum::<f64>(),
        3.0,
        "counters never go back"
    );
}

#[test]
fn resets_under_load_lose_nothing() {
    let desk = desk();
    let (book, gateway, hub) = (&desk.deps.book, &desk.shop.gateway, &desk.deps.stats);
    let tables = McpStatsTables::new(Arc::clone(gateway), Arc::clone(book), Arc::clone(hub));
    let calls_each = 2_000_i64;
    let sum = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let cx = context("alice");
                    for n in 0..calls_each {
                        book.finish(&cx, "t", "", Duration::from_micros(1), None);
                        gateway.record_call(&harvest_gateway::DigestSample {
                            tool: "t",
                            target_id: "shop",
                            run_id: 0,
                            schema: "",
                            fingerprint: if n % 2 == 0 { "a" } else { "b" },
                            time_us: 1,
                            rows: 0,
                            failed: false,
                        });
                    }
                })
            })
            .collect();
        let count = |table: &str, column: usize| -> i64 {
            tables.read(table, true).unwrap().iter().filter_map(|row| row[column].as_int()).sum()
        };
        let (mut tools, mut digests) = (0, 0);
        loop {
            let done = workers.iter().all(std::thread::ScopedJoinHandle::is_finished);
            tools += count("stats_mcp_query_tools_counters", 3);
            digests += count("stats_mcp_query_digest", 4);
            if done {
                return (tools, digests);
            }
        }
    });
    assert_eq!(sum, (4 * calls_each, 4 * calls_each));
}

#[test]
fn events_wait_in_a_bounded_buffer_until_they_are_flushed() {
    let desk = desk();
    desk.settings(|s| s.log_buffer_events = 3);
    for id in 1..=5 {
        desk.select(&format!("SELECT id FROM orders WHERE id = {id}"));
    }
    let _ = desk.shop.fails("run_sql_readonly", json!({"sql": "DELETE FROM orders"}));
    let flushed = desk.call("flush_query_log", json!({"destination": "both"}));
    assert_eq!((&flushed["events_flushed"], &flushed["events_dropped"]), (&json!(3), &json!(3)), "{flushed}");
    let again = desk.call("flush_query_log", json!({}));
    assert_eq!((&again["events_flushed"], &again["events_dropped"]), (&json!(0), &json!(0)));
    for source in ["memory", "disk"] {
        let log = desk.call("show_query_log", json!({"source": source}));
        assert_eq!((&log["total_events"], &log["summary"]["total_errors"]), (&json!(3), &json!(1)), "{log}");
        assert_eq!(log["events"][0]["event_type"], 2, "the newest never ran");
        assert_eq!(log["events"][1]["query"], "SELECT id FROM orders WHERE id = ?", "digest text only");
        let failed = desk.call("show_query_log", json!({"source": source, "errors_only": true}));
        assert_eq!(failed["total_events"], 1);
        let digest = log["events"][1]["query_digest"].clone();
        let same = desk.call("show_query_log", json!({"source": source, "query_digest": digest}));
        assert_eq!(same["total_events"], 2);
    }
    desk.settings(|s| s.log_sql = harvest_gateway::LogSql::Full);
    desk.select("SELECT 'kept as it is'");
    desk.settings(|s| s.log_sql = harvest_gateway::LogSql::Full);
    desk.call("flush_query_log", json!({"db_type": "mysql"}));
    assert_eq!(desk.deps.stats.events_waiting(), (1, 3), "events of other engines stay");
    desk.call("flush_query_log", json!({"db_type": "sqlite"}));
    let log = desk.call("show_query_log", json!({"limit": 1}));
    assert_eq!(log["events"][0]["query"], "SELECT 'kept as it is'");
    desk.settings(|s| s.log_buffer_events = 0);
    desk.select("SELECT 1");
    assert_eq!(desk.deps.stats.events_waiting(), (0, 3), "off means off");
}

#[test]
fn samples_become_history_and_hours() {
    let desk = desk();
    desk.select("SELECT 1");
    crate::stats::sample(&desk.deps).unwrap();
    let system = desk.call("show_system_history", json!({}));
    if cfg!(target_os = "linux") {
        assert!(system["memory"][0]["resident"].as_u64().unwrap() > 0, "{system}");
        assert_eq!(system["cpu"].as_array().unwrap().len(), 1);
    }
    assert_eq!((&system["resolution"], &system["ticks_per_s"]), (&json!("raw"), &json!(100)));
    let connections = desk.call("show_connection_history", json!({"scope": "all"}));
    assert_eq!(connections["global"]["connections"][0]["Questions"], 1);
    assert_eq!(connections["global"]["myhgm"][0]["MyHGM_myconnpoll_get"], 1);
    assert_eq!(connections["per_server"][0]["queries"], 1);
    let cache = desk.call("show_query_cache_history", json!({}));
    assert_eq!((&cache["data"][0]["count_GET"], &cache["data"][0]["hit_rate"]), (&json!(0), &Value::Null));
    let hourly = desk.call("show_connection_history", json!({"interval": "1d"}));
    assert_eq!((&hourly["resolution"], &hourly["global"]["connections"]), (&json!("hourly"), &json!([])));
    // Two samples of an hour that is over become one row of it.
    let file = rusqlite::Connection::open(desk.folder.path().join("stats.db")).unwrap();
    file.execute_batch(
        "UPDATE mcp_query_cache SET timestamp = timestamp - 7200, count_GET = 10, count_GET_OK = 5, memory_bytes = 100;
         INSERT INTO mcp_query_cache SELECT timestamp / 3600 * 3600, 4, 1, 0, 0, 0, 0, 0, 300 FROM mcp_query_cache;",
    )
    .unwrap();
    desk.deps.stats.tidy().unwrap();
    desk.deps.stats.tidy().unwrap();
    let hourly = desk.call("show_query_cache_history", json!({"interval": "8h"}));
    assert_eq!(hourly["data"].as_array().unwrap().len(), 1, "{hourly}");
    let hour = &hourly["data"][0];
    assert_eq!(
        (&hour["count_GET"], &hour["hit_rate"], &hour["memory_bytes"]),
        (&json!(10), &json!(0.5), &json!(200))
    );
    assert_eq!(hour["timestamp"].as_i64().unwrap() % 3_600, 0);
}

/// A host that keeps rules and prepared statements of its own.
struct Proxy;

impl StatsSource for Proxy {
    fn supports(&self, family: StatsFamily, origin: StatsOrigin, _: harvest::Protocol) -> bool {
        origin == StatsOrigin::Host
            && matches!(family, StatsFamily::QueryRules | StatsFamily::PreparedStatements)
    }

    fn rows(&self, request: &StatsRequest) -> harvest::HarvestResult<StatsRows> {
        let row = match request.family {
            StatsFamily::QueryRules => json!({"rule_id": 7, "hits": 3, "last_hit": null}),
            StatsFamily::PreparedStatements => json!({
                "global_stmt_id": 1, "database": "d", "username": "u", "digest": "0x0000000000000001",
                "ref_count_client": 1, "ref_count_server": 2, "num_columns": 3, "num_params": 1, "query": "SELECT ?",
            }),
            _ => return NoStats.rows(request),
        };
        Ok(vec![row.as_object().unwrap().clone()])
    }
}

#[test]
fn a_host_may_bring_rows_of_its_own() {
    let desk = desk_with(|deps| deps.with_source(Arc::new(Proxy)));
    let rules = desk.call("show_query_rules", json!({}));
    assert_eq!((&rules["rule_set"], &rules["rules"][0]["rule_id"]), (&json!("host"), &json!(7)));
    let prepared = desk.call("show_prepared_statements", json!({}));
    assert_eq!((&prepared["origin"], &prepared["statements"][0]["num_columns"]), (&json!("host"), &json!(3)));
    assert_eq!(desk.fails("show_commands", json!({})).details["reason"], "no_statistics_source");
}
