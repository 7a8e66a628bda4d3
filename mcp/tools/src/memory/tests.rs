//! Tests of the catalog-backed tools over a real SQLite file, through the handler as a server calls it.

mod guards;

use std::sync::{Arc, Mutex};

use harvest::Protocol;
use harvest_catalog::{Catalog, DataIndexes, StoreOptions};
use harvest_gateway::{BackendConfig, Gateway, Settings, StaticDirectory, TargetConfig};
use harvest_sqlite::SqliteDriver;
use mcp::{CallContext, Caller, ErrorCode, ProgressSink, Scope, ToolError, ToolHandler};
use serde_json::{Value, json};

use super::{CatalogDeps, catalog_tools};
use crate::{ToolDeps, Toolbox};

const SHOP: &str = "
CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, created_at DATETIME);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers(id) ON DELETE CASCADE,
  total DECIMAL(10,2), placed_on DATE);
CREATE TABLE order_items (id INTEGER PRIMARY KEY, order_id INTEGER, sku TEXT, description TEXT);
CREATE VIEW open_orders AS SELECT id, customer_id FROM orders WHERE total > 0;
CREATE TABLE \"odd \"\"name. ;--\" (\"a b\" INTEGER PRIMARY KEY, \"select\" TEXT);
INSERT INTO \"odd \"\"name. ;--\" VALUES (1, 'x'), (2, 'y');
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20)
  INSERT INTO customers SELECT i, 'c' || i || '@example.org', '2026-01-01 10:00:00' FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 300)
  INSERT INTO orders SELECT i, 1 + i % 20, i * 1.5, '2026-02-01' FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 900)
  INSERT INTO order_items SELECT i, 1 + i % 300, 'sku' || (i % 50), CASE WHEN i % 2 THEN 'red running shoes' ELSE
  'blue <b>shirt</b>' END FROM n;
";

struct Shop {
    tools: Toolbox,
    deps: CatalogDeps,
    file: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

fn shop() -> Shop {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shop.db");
    rusqlite::Connection::open(&file).unwrap().execute_batch(SHOP).unwrap();
    let directory = Arc::new(StaticDirectory::new(vec![BackendConfig::new(1, file.to_str().unwrap(), 0)]));
    let gateway = Gateway::new(vec![Arc::new(SqliteDriver)], directory, Settings::default());
    let closed = {
        let mut target = TargetConfig::new("closed", Protocol::Sqlite, 1);
        target.allow_discovery = false;
        target
    };
    let mut other = TargetConfig::new("other", Protocol::Sqlite, 1);
    other.description = "The same file".to_owned();
    gateway.set_targets(vec![TargetConfig::new("shop", Protocol::Sqlite, 1), closed, other]);
    let mut settings = Settings::default();
    settings.default_target_id = Some("shop".to_owned());
    gateway.set_settings(settings);
    let catalog = Catalog::open(StoreOptions::new(dir.path().join("catalog.db"))).unwrap();
    let data = DataIndexes::open(StoreOptions::new(dir.path().join("fts.db"))).unwrap();
    let deps = CatalogDeps::new(ToolDeps::new(gateway, Some(catalog)).unwrap(), Some(data));
    Shop { tools: catalog_tools(&deps), deps, file, _dir: dir }
}

fn context() -> CallContext {
    CallContext::new(Caller::new("alice", Scope::Full), "/mcp/query")
}

impl Shop {
    fn try_as(&self, cx: &CallContext, tool: &str, arguments: Value) -> Result<Value, ToolError> {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let spec = self.tools.specs().iter().find(|spec| spec.name == tool).expect("the tool exists");
        let input = jsonschema::validator_for(&spec.input_schema).unwrap();
        assert!(input.is_valid(&Value::Object(arguments.clone())), "{tool}: the test's arguments do not fit");
        let schema = jsonschema::validator_for(spec.output_schema.as_ref().unwrap()).unwrap();
        let answer = self.tools.call(cx, tool, arguments);
        let value = match &answer {
            Ok(output) => output.structured_value().expect("a structured answer"),
            Err(error) => error.to_value(),
        };
        let faults: Vec<_> = schema.iter_errors(&value).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{tool} breaks its own schema: {faults:?} in {value}");
        answer.map(|_| value)
    }

    fn call(&self, tool: &str, arguments: Value) -> Value {
        self.try_as(&context(), tool, arguments)
            .unwrap_or_else(|error| panic!("{tool} failed: {error} {:?}", error.details))
    }

    fn fails(&self, tool: &str, arguments: Value) -> ToolError {
        self.try_as(&context(), tool, arguments).expect_err("the call must fail")
    }

    fn harvest(&self) -> i64 {
        self.call("discovery.run_static", json!({}))["run_id"].as_i64().unwrap()
    }

    fn object(&self, key: &str) -> i64 {
        self.call("catalog.get_object", json!({"object_key": key}))["object"]["object_id"].as_i64().unwrap()
    }

    fn agent(&self) -> i64 {
        self.call("agent.run_start", json!({"model_name": "m"}))["agent_run_id"].as_i64().unwrap()
    }

    fn change(&self, sql: &str) {
        rusqlite::Connection::open(&self.file).unwrap().execute_batch(sql).unwrap();
    }
}

#[test]
fn specs_are_reviewed_by_snapshot() {
    let shop = shop();
    let specs: Vec<_> = shop
        .tools
        .specs()
        .iter()
        .map(|spec| {
            json!({
                "name": spec.name, "title": spec.title, "description": spec.description, "toolset": spec.toolset,
                "annotations": spec.annotations, "inputSchema": spec.input_schema, "outputSchema": spec.output_schema,
            })
        })
        .collect();
    insta::assert_json_snapshot!("catalog_specs", specs);
}

#[test]
fn every_spec_keeps_the_conventions() {
    let shop = shop();
    let mut names: Vec<&str> = shop.tools.specs().iter().map(|s| s.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 41);
    for spec in shop.tools.specs() {
        assert_eq!(spec.input_schema["additionalProperties"], false, "{}", spec.name);
        for root in ["anyOf", "oneOf", "allOf"] {
            assert!(spec.input_schema.get(root).is_none(), "{}", spec.name);
        }
        let input = jsonschema::validator_for(&spec.input_schema).unwrap();
        for example in &spec.examples {
            assert!(input.is_valid(&Value::Object(example.arguments.clone())), "{}", spec.name);
        }
        assert!(!spec.examples.is_empty());
        for (name, property) in spec.input_schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{}.{name} has no description", spec.name);
            assert!(property.get("type").is_some(), "{}.{name} has no type: {property}", spec.name);
        }
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<(f64, String)>>);

impl ProgressSink for Heard {
    fn progress(&self, progress: f64, _: Option<f64>, message: Option<&str>) {
        self.0.lock().unwrap().push((progress, message.unwrap_or_default().to_owned()));
    }
}

#[test]
fn a_harvest_reports_progress_and_answers_from_then_on() {
    let shop = shop();
    assert_eq!(shop.fails("catalog.search", json!({"query": "orders"})).code, ErrorCode::FailedPrecondition);
    let heard = Arc::new(Heard::default());
    let mut cx = context();
    cx.progress = heard.clone();
    let summary = shop.try_as(&cx, "discovery.run_static", json!({})).unwrap();
    assert_eq!((&summary["objects"]["table"], &summary["objects"]["view"]), (&json!(4), &json!(1)));
    assert_eq!((&summary["foreign_keys"], &summary["inferred_relationships"]), (&json!(1), &json!(1)));
    let steps = heard.0.lock().unwrap().clone();
    assert!(steps.windows(2).all(|w| w[0].0 < w[1].0), "{steps:?}");
    assert!(steps.iter().any(|(_, m)| m == "write"));
    let found = shop.call("catalog.search", json!({"query": "customer email"}));
    assert_eq!(found["results"][0]["object_key"], "main.customers");
    let odd = shop.call("catalog.get_object", json!({"object_key": "main.\"odd \"\"name. ;--\""}));
    assert_eq!(odd["columns"][1]["name"], "select");
    let page = shop.call("catalog.list_objects", json!({"page_size": 2}));
    let token = page["next_page_token"].as_str().unwrap();
    let next = shop.call("catalog.list_objects", json!({"page_size": 2, "page_token": token}));
    assert_ne!(page["results"][0], next["results"][0]);
    let foreign = shop.fails("catalog.list_objects", json!({"object_type": "view", "page_token": token}));
    assert_eq!(foreign.code, ErrorCode::InvalidArgument);
    let links = shop.call("catalog.get_relationships", json!({"object_key": "main.orders"}));
    assert_eq!(links["foreign_keys"][0]["parent_object"], "customers");
    assert_eq!(links["view_dependencies"][0]["name"], "open_orders");
    let inferred = &links["inferred_relationships"][0];
    assert_eq!(
        (&inferred["child"]["column"], &inferred["evidence"]["overlap"]["ratio"]),
        (&json!("order_id"), &json!(1.0))
    );
    assert_eq!(
        shop.call("discovery.list_runs", json!({"include_attempts": true}))["attempts"][0]["status"],
        "committed"
    );
    assert_eq!(shop.call("catalog.init", json!({}))["schema_version"], 2);
    assert_eq!(
        shop.fails("catalog.init", json!({"sqlite_path": "/tmp/x.db"})).code,
        ErrorCode::FailedPrecondition
    );
}

#[test]
fn runs_are_compared_and_deleted() {
    let shop = shop();
    let first = shop.harvest();
    shop.change(
        "ALTER TABLE customers ADD COLUMN phone TEXT; CREATE TABLE refunds (id INTEGER PRIMARY KEY);",
    );
    let second = shop.call("discovery.run_static", json!({"schema_filter": "main", "incremental": true}));
    assert_eq!(second["changes"], json!({"added": 1, "removed": 0, "changed": 1}));
    let diff = shop.call("discovery.diff_runs", json!({"from_run_id": first, "to_run_id": "main"}));
    assert_eq!(diff["added"][0]["object_key"], "main.refunds");
    let paths: Vec<&str> = diff["changed"][0]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["path"].as_str().unwrap())
        .collect();
    assert!(paths.contains(&"columns.phone"), "{paths:?}");
    let refused = shop.fails("discovery.delete_run", json!({"run_id": first, "confirm": false}));
    assert_eq!(refused.code, ErrorCode::FailedPrecondition);
    assert_eq!(
        shop.call("discovery.delete_run", json!({"run_id": first, "confirm": true}))["deleted"]["runs"],
        1
    );
    assert_eq!(
        shop.fails("discovery.run_static", json!({"schema_filter": "nope*"})).code,
        ErrorCode::NotFound
    );
    assert_eq!(shop.fails("discovery.run_static", json!({"target_id": "closed"})).details["by"], "policy");
    let mut cx = context();
    cx.cancel.cancel();
    assert!(shop.try_as(&cx, "discovery.run_static", json!({})).is_err());
    cx = context();
    let mut caller = Caller::new("bob", Scope::Full);
    caller.targets = Some(vec!["other".to_owned()]);
    cx.caller = Arc::new(caller);
    let hidden = shop.try_as(&cx, "catalog.list_objects", json!({"target_id": "shop"})).unwrap_err();
    assert_eq!(hidden.code, ErrorCode::NotFound);
}

#[test]
fn joins_and_references_are_suggested_live_and_from_a_run() {
    let shop = shop();
    for source in ["live", "catalog"] {
        if source == "catalog" {
            shop.harvest();
        }
        let joins = shop
            .call("suggest_joins", json!({"schema": "main", "table_a": "orders", "table_b": "customers"}));
        assert_eq!(
            (&joins["source"], &joins["candidates"][0]["kind"]),
            (&json!(source), &json!("foreign_key"))
        );
        assert_eq!(
            joins["candidates"][0]["join_condition"],
            r#""main"."orders"."customer_id" = "main"."customers"."id""#
        );
        let found = shop.call(
            "find_reference_candidates",
            json!({"schema": "main", "table": "order_items", "column": "order_id"}),
        );
        let best = &found["candidates"][0];
        assert_eq!(
            (&best["parent_table"], &best["evidence"]["overlap"]["checked"]),
            (&json!("orders"), &json!(200))
        );
        assert!(best["confidence"].as_f64().unwrap() > 0.85);
    }
    let unknown = shop.fails("suggest_joins", json!({"schema": "main", "table_a": "nope"}));
    assert_eq!(unknown.code, ErrorCode::NotFound);
}

#[test]
fn an_agent_records_and_finds_its_memory() {
    let shop = shop();
    shop.harvest();
    let agent = shop.agent();
    let orders = shop.object("main.orders");
    let summary = shop.call(
        "llm.summary_upsert",
        json!({"agent_run_id": agent, "object_id": orders, "confidence": 0.95, "status": "validated",
               "sources": ["SELECT 1"], "summary": {"hypothesis": "Purchases", "measures": ["total", "nope"]}}),
    );
    assert_eq!((&summary["band"], summary["warnings"].as_array().unwrap().len()), (&json!("strong"), 1));
    let weaker = shop.fails(
        "llm.summary_upsert",
        json!({"agent_run_id": agent, "object_key": "main.orders", "summary": {"hypothesis": "?"}}),
    );
    assert_eq!(weaker.code, ErrorCode::Conflict);
    shop.call("llm.domain_upsert", json!({"agent_run_id": agent, "domain_key": "sales", "title": "Sales"}));
    let set = shop.call(
        "llm.domain_set_members",
        json!({"agent_run_id": agent, "domain_key": "sales", "members": [{"object_id": orders, "role": "fact"}]}),
    );
    assert_eq!(set["status"], "members_set");
    let metric = shop.call(
        "llm.metric_upsert",
        json!({"agent_run_id": agent, "metric_key": "revenue", "title": "Revenue", "domain_key": "sales",
               "sql_template": "SELECT SUM(total) FROM orders", "depends": [orders, "main.customers"]}),
    );
    assert_eq!(metric["sql_valid"], true);
    let bad = shop.call(
        "llm.metric_upsert",
        json!({"agent_run_id": agent, "metric_key": "bad", "title": "Bad", "sql_template": "DELETE FROM orders"}),
    );
    assert_eq!(bad["sql_valid"], false);
    shop.call(
        "llm.relationship_upsert",
        json!({"agent_run_id": agent, "child_object_id": shop.object("main.order_items"), "child_column": "sku",
               "parent_object_id": orders, "parent_column": "id", "confidence": 0.4}),
    );
    shop.call(
        "llm.note_add",
        json!({"agent_run_id": agent, "scope": "global", "body": "Money is in euros."}),
    );
    let missing = shop.fails("llm.note_add", json!({"agent_run_id": agent, "scope": "object", "body": "x"}));
    assert_eq!(missing.details["argument"], "object_id");
    let all = shop.call("llm.search", json!({}));
    assert_eq!(all["results"].as_array().unwrap().len(), 6);
    assert_eq!(shop.call("llm.metric_list", json!({"domain_key": "sales"}))["metrics"][0]["stale"], false);
    assert_eq!(shop.call("llm.domain_list", json!({}))["domains"][0]["member_count"], 1);
    assert_eq!(
        shop.call("llm.summary_get", json!({"object_key": "main.orders"}))["summaries"][0]["status"],
        "validated"
    );
    shop.call(
        "agent.event_append",
        json!({"agent_run_id": agent, "event_type": "note", "payload": {"a": 1}}),
    );
    let done = shop.call("agent.run_finish", json!({"agent_run_id": agent, "status": "success"}));
    assert_eq!((&done["artifacts"]["summary"], &done["artifacts"]["metric"]), (&json!(1), &json!(2)));
    let list = shop.call("agent.run_list", json!({"agent_run_id": agent, "include_events": true}));
    assert_eq!(list["events"][0]["payload"], json!({"a": 1}));
    let mismatch = shop
        .fails("llm.domain_upsert", json!({"agent_run_id": agent, "domain_key": "x", "target_id": "other"}));
    assert_eq!(mismatch.code, ErrorCode::InvalidArgument);
}

#[test]
fn a_question_is_reused_until_its_table_loses_a_column() {
    let shop = shop();
    shop.harvest();
    let question = "How many orders did customer 7 place?";
    let added = shop.call(
        "llm.question_template_add",
        json!({"title": "Orders of a customer", "question_nl": question, "template": {"parameters": ["customer"]},
               "example_sql": "SELECT COUNT(*), SUM(total) FROM orders WHERE customer_id = 7"}),
    );
    assert_eq!((&added["action"], &added["related_objects"]), (&json!("inserted"), &json!(["main.orders"])));
    let refused = shop.fails(
        "llm.question_template_add",
        json!({"title": "x", "question_nl": "x", "template": {}, "example_sql": "DROP TABLE orders"}),
    );
    assert_eq!(refused.code, ErrorCode::PermissionDenied);
    let search = json!({"query": "how many orders did customer 9 place", "include_objects": true});
    let hit = shop.call("llm.search", search.clone())["results"][0].clone();
    assert_eq!(
        (&hit["reuse"], &hit["objects"][0]["object"]["object_key"]),
        (&json!(true), &json!("main.orders"))
    );
    let id = added["template_id"].as_i64().unwrap();
    let report = json!({"template_id": id, "outcome": "success", "row_count": 1, "ms": 3.5});
    assert_eq!(shop.call("llm.question_template_feedback", report)["success_count"], 1);
    // A harmless change is re-checked and renewed; a lost column makes the template stale and suspect.
    shop.change("ALTER TABLE orders ADD COLUMN note TEXT");
    shop.harvest();
    assert_eq!(shop.call("llm.search", search.clone())["results"][0]["reuse"], true);
    shop.change("DROP VIEW open_orders; ALTER TABLE orders DROP COLUMN total");
    shop.harvest();
    let hit = shop.call("llm.search", search)["results"][0].clone();
    assert_eq!((&hit["reuse"], &hit["stale"]), (&json!(false), &json!(true)));
}

#[test]
fn documents_live_under_their_keys() {
    let shop = shop();
    shop.call(
        "catalog_upsert",
        json!({"kind": "pattern", "key": "soft", "document": {"columns": ["deleted_at"]}, "tags": ["convention"]}),
    );
    assert_eq!(
        shop.call("catalog_get", json!({"kind": "pattern", "key": "soft"}))["entry"]["tags"][0],
        "convention"
    );
    assert_eq!(shop.call("catalog_search", json!({"query": "deleted*"}))["total"], 1);
    assert_eq!(shop.call("catalog_list", json!({}))["total"], 1);
    let merged = shop.call("catalog_merge", json!({"keys": ["soft"], "target_key": "all"}));
    assert_eq!(merged["merged"], 1);
    assert_eq!(shop.fails("catalog_clear", json!({"confirm": true})).code, ErrorCode::InvalidArgument);
    assert_eq!(shop.call("catalog_clear", json!({"kind": "domain", "confirm": true}))["deleted"], 1);
    assert_eq!(shop.call("catalog_delete", json!({"kind": "pattern", "key": "soft"}))["deleted"], 1);
    let arguments = json!({"query": "x", "run_id": 1});
    let hint =
        shop.tools.call(&context(), "catalog_search", arguments.as_object().unwrap().clone()).unwrap_err();
    assert_eq!(hint.details["did_you_mean"], "catalog__search");
    let foreign = shop.fails("catalog_get", json!({"kind": "a", "key": "b", "target_id": "nope"}));
    assert_eq!(foreign.code, ErrorCode::NotFound);
}

#[test]
fn data_is_indexed_in_batches_and_found() {
    let shop = shop();
    let made = shop.call(
        "fts_index_table",
        json!({"schema": "main", "table": "order_items", "columns": ["description", "sku"], "primary_key": "id",
               "where_clause": "id <= 700"}),
    );
    assert_eq!(made["row_count"], 700);
    let found = shop.call("fts_search", json!({"query": "run shoe", "limit": 5}));
    assert_eq!((&found["total_matches"], &found["truncated"]), (&json!(350), &json!(true)));
    assert!(found["results"][0]["snippet"].as_str().unwrap().contains("<mark>"));
    let shirts = shop.call("fts_search", json!({"query": "shirt", "limit": 1}));
    assert!(shirts["results"][0]["snippet"].as_str().unwrap().contains("&lt;b&gt;"));
    let again = json!({"schema": "main", "table": "order_items", "columns": ["sku"], "primary_key": ["id"]});
    assert_eq!(shop.fails("fts_index_table", again).code, ErrorCode::Conflict);
    shop.change("DELETE FROM order_items WHERE id > 10");
    let rebuilt = shop.call("fts_reindex", json!({"schema": "main", "table": "order_items"}));
    assert_eq!((&rebuilt["row_count"], &rebuilt["previous_row_count"]), (&json!(10), &json!(700)));
    assert_eq!(shop.call("fts_rebuild_all", json!({}))["rebuilt_count"], 1);
    assert_eq!(shop.call("fts_list_indexes", json!({}))["indexes"][0]["status"], "ready");
    let not_unique =
        json!({"schema": "main", "table": "orders", "columns": ["total"], "primary_key": "customer_id"});
    assert_eq!(shop.fails("fts_index_table", not_unique).code, ErrorCode::FailedPrecondition);
    let hostile = json!({"schema": "main", "table": "orders", "columns": ["total"], "primary_key": "id",
                         "where_clause": "1=1; DROP TABLE orders"});
    assert!(matches!(
        shop.fails("fts_index_table", hostile).code,
        ErrorCode::InvalidArgument | ErrorCode::PermissionDenied
    ));
    let column = json!({"schema": "main", "table": "orders", "columns": ["nope"], "primary_key": "id"});
    assert_eq!(shop.fails("fts_index_table", column).code, ErrorCode::NotFound);
    assert_eq!(
        shop.call("fts_delete_index", json!({"schema": "main", "table": "order_items"}))["deleted_rows"],
        10
    );
    assert_eq!(shop.call("stats.get_tool_usage", json!({}))["usage"], json!({}));
    assert!(shop.deps.settings().fts_rows_max > 0);
}

#[test]
fn resources_come_from_the_run_or_live() {
    use mcp::ResourceProvider as _;
    let shop = shop();
    let resources = crate::CatalogResources::new(&shop.deps);
    let read = |uri: &str| -> Value {
        let contents = resources.read(&context(), uri).unwrap_or_else(|e| panic!("{uri}: {e}"));
        serde_json::from_str(contents[0].text.as_deref().unwrap()).unwrap()
    };
    assert_eq!(read("schema://shop/main")["run_id"], Value::Null);
    assert_eq!(read("schema://shop/main/orders")["table"], "orders");
    shop.harvest();
    assert_eq!(read("schema://shop")["latest_run_id"], 1);
    assert_eq!(read("schema://shop/main")["objects"].as_array().unwrap().len(), 5);
    let orders = read("schema://shop/main/orders?type=table");
    assert_eq!(orders["relationships"]["foreign_keys"][0]["parent_object"], "customers");
    assert_eq!(read("schema://shop/main/odd%20%22name.%20%3B--")["columns"][1]["name"], "select");
    let listed = resources.list(&context(), None).unwrap().resources;
    assert!(listed.iter().any(|r| r.uri == "schema://shop/main"));
    assert_eq!(resources.templates(&context()).len(), 4);
    for unknown in
        ["schema://nope", "schema://shop/nope", "schema://shop/main/nope", "x://shop", "schema://shop/a/b/c"]
    {
        assert_eq!(resources.read(&context(), unknown).unwrap_err().code, ErrorCode::NotFound, "{unknown}");
    }
}

#[test]
fn prompts_name_only_tools_that_may_be_called() {
    use mcp::{Content, PromptProvider as _};
    let shop = shop();
    shop.harvest();
    shop.call(
        "llm.question_template_add",
        json!({"title": "Orders of a customer", "question_nl": "How many orders did customer 7 place?", "template": {},
               "example_sql": "SELECT COUNT(*) FROM orders WHERE customer_id = 7"}),
    );
    let prompts = crate::CatalogPrompts::new(&shop.deps, shop.tools.specs());
    let text = |cx: &CallContext, name: &str, arguments: Value| -> String {
        let output = prompts.get(cx, name, arguments.as_object().unwrap()).unwrap();
        let part = |m: &mcp::PromptMessage| match &m.content {
            Content::Text { text } => text.clone(),
            other => panic!("{other:?}"),
        };
        output.messages.iter().map(part).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(prompts.list(&context()).len(), 3);
    let full = text(&context(), "two_phase_discovery", json!({"target_id": "shop"}));
    insta::assert_snapshot!("two_phase_discovery", full);
    let reader = CallContext::new(Caller::new("reader", Scope::Read), "/mcp/query");
    let read = text(&reader, "two_phase_discovery", json!({"target_id": "shop"}));
    assert!(full.contains("llm.summary_upsert") && !read.contains("llm.summary_upsert"));
    let question = json!({"question": "how many orders did customer 9 place"});
    let nl2sql = text(&context(), "nl2sql", question);
    assert!(nl2sql.contains("reuse true") && nl2sql.contains("Dialect notes"), "{nl2sql}");
    assert!(text(&context(), "explore_schema", json!({})).contains("catalog.search"));
    let mut settings = (*shop.deps.settings()).clone();
    settings.underscore_names = true;
    shop.deps.set_settings(settings);
    let explore = text(&context(), "explore_schema", json!({}));
    assert!(explore.contains("`catalog__search`") && !explore.contains("catalog.search"));
    let missing = prompts.get(&context(), "nl2sql", &serde_json::Map::new()).unwrap_err();
    assert_eq!(missing.code, ErrorCode::InvalidArgument);
}

#[test]
fn arguments_are_completed_from_the_catalog() {
    use mcp::{Completer as _, CompletionRequest, CompletionTarget};
    let shop = shop();
    shop.harvest();
    let completer = crate::CatalogCompleter::new(&shop.deps);
    let complete = |argument: &str, value: &str| {
        let mut request = CompletionRequest::new(CompletionTarget::Prompt("nl2sql".into()), argument, value);
        request.known.insert("target_id".into(), json!("shop"));
        completer.complete(&context(), &request).unwrap().values
    };
    assert_eq!(complete("target_id", "SH"), ["shop"]);
    assert_eq!(complete("schema", ""), ["main"]);
    assert_eq!(complete("object", "order"), ["order_items", "orders"]);
    assert_eq!(complete("run_id", ""), ["1"]);
    assert!(complete("question", "x").is_empty());
}

#[test]
fn hostile_text_is_an_exact_result_or_a_refusal() {
    let shop = shop();
    shop.harvest();
    let hostile =
        ["'; DROP TABLE runs; --", "\" OR 1=1", "\u{0}", "NEAR(a b)", "ä'\"%_\\", "* - ^ ( ) { } :"];
    for text in hostile {
        for (tool, arguments) in [
            ("catalog.search", json!({"query": text})),
            ("llm.search", json!({"query": text})),
            ("catalog_search", json!({"query": text})),
            ("fts_search", json!({"query": text})),
            ("catalog.get_object", json!({"object_key": text})),
            ("catalog.list_objects", json!({"schema_name": text})),
            ("suggest_joins", json!({"schema": text, "table_a": text})),
            ("catalog_get", json!({"kind": text, "key": text})),
        ] {
            if let Err(error) = shop.try_as(&context(), tool, arguments) {
                assert!(
                    matches!(error.code, ErrorCode::NotFound | ErrorCode::InvalidArgument),
                    "{tool} {text:?}: {error}"
                );
            }
        }
    }
    assert!(shop.deps.tools.catalog().unwrap().check_integrity().unwrap().is_empty());
}
