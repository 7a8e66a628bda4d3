//! A shop in a SQLite file, a gateway over it, and calls that check every answer against the tool's own schema.

use std::sync::Arc;

use harvest::{Driver, Protocol};
use harvest_gateway::{BackendConfig, Gateway, RuleConfig, Settings, StaticDirectory, TargetConfig};
use harvest_sqlite::SqliteDriver;
use mcp::{CallContext, Caller, Scope, ToolError, ToolHandler};
use serde_json::{Value, json};

use crate::{ToolDeps, Toolbox, query_tools};

pub(super) const SHOP: &str = "
CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, created_at DATETIME, notes TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers(id) ON DELETE CASCADE,
  status TEXT CHECK (status IN ('new','paid','sent')), total DECIMAL(10,2), placed_on DATE);
CREATE INDEX ix_orders_customer ON orders(customer_id, placed_on DESC);
CREATE TABLE order_items (order_id INTEGER, line INTEGER, qty INTEGER, PRIMARY KEY (order_id, line),
  FOREIGN KEY (order_id) REFERENCES orders(id));
CREATE VIEW open_orders AS SELECT id, customer_id FROM orders WHERE status <> 'sent';
CREATE TABLE \"odd \"\"name. ;--\" (\"a b\" INTEGER, \"select\" TEXT);
INSERT INTO \"odd \"\"name. ;--\" VALUES (1, 'x'), (2, 'y');
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20)
  INSERT INTO customers SELECT i, 'c' || i || '@example.org', '2026-01-01 10:00:00', CASE WHEN i%2 THEN 'vip' END FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 300)
  INSERT INTO orders SELECT i, 1 + i % 20, CASE i % 3 WHEN 0 THEN 'new' WHEN 1 THEN 'paid' ELSE 'sent' END, i * 1.5,
  '2026-02-01' FROM n;
";

pub(super) struct Shop {
    pub(super) gateway: Arc<Gateway>,
    pub(super) tools: Toolbox,
    pub(super) deps: ToolDeps,
    /// Held until the end: dropping it removes the file.
    _dir: Option<tempfile::TempDir>,
}

impl Shop {
    pub(super) fn new() -> Self {
        Self::with(SHOP, Settings::default(), |_| {})
    }

    pub(super) fn with(sql: &str, settings: Settings, change: impl Fn(&mut TargetConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("shop.db");
        rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        let mut shop = Self::over(Arc::new(SqliteDriver), file.to_str().unwrap(), settings, change);
        shop._dir = Some(dir);
        shop
    }

    pub(super) fn over(
        driver: Arc<dyn Driver>,
        host: &str,
        settings: Settings,
        change: impl Fn(&mut TargetConfig),
    ) -> Self {
        let directory = Arc::new(StaticDirectory::new(vec![BackendConfig::new(1, host, 0)]));
        let gateway = Gateway::new(vec![driver], directory, settings);
        let mut target = TargetConfig::new("shop", Protocol::Sqlite, 1);
        target.description = "The shop".to_owned();
        change(&mut target);
        gateway.set_targets(vec![target]);
        let deps = ToolDeps::new(Arc::clone(&gateway), None).unwrap();
        Self { gateway, tools: query_tools(&deps), deps, _dir: None }
    }

    pub(super) fn rules(&self, rules: Vec<RuleConfig>) {
        self.gateway.set_rules(rules, None).unwrap();
    }

    pub(super) fn try_call_as(
        &self,
        cx: &CallContext,
        tool: &str,
        arguments: Value,
    ) -> Result<Value, ToolError> {
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
        if let Ok(value) = answer.as_ref().map(|_| &value) {
            assert!(value["stats"]["ms"].is_number() && value.get("error").is_none());
        }
        answer.map(|_| value)
    }

    pub(super) fn try_call(&self, tool: &str, arguments: Value) -> Result<Value, ToolError> {
        self.try_call_as(&context("alice"), tool, arguments)
    }

    pub(super) fn call(&self, tool: &str, arguments: Value) -> Value {
        self.try_call(tool, arguments)
            .unwrap_or_else(|error| panic!("{tool} failed: {error} {:?}", error.details))
    }

    pub(super) fn fails(&self, tool: &str, arguments: Value) -> ToolError {
        self.try_call(tool, arguments).expect_err("the call must fail")
    }
}

pub(super) fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::default();
    change(&mut settings);
    settings
}

pub(super) fn context(caller: &str) -> CallContext {
    CallContext::new(Caller::new(caller, Scope::Read), "/mcp/query")
}

pub(super) fn names(list: &Value, key: &str) -> Vec<String> {
    let list = list.as_array().unwrap();
    list.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn specs_are_reviewed_by_snapshot() {
    let shop = Shop::new();
    let specs: Vec<_> = shop.tools.specs().iter().map(|spec| {
        json!({
            "name": spec.name, "title": spec.title, "description": spec.description, "toolset": spec.toolset,
            "annotations": spec.annotations, "inputSchema": spec.input_schema, "outputSchema": spec.output_schema,
            "examples": spec.examples.iter().map(|e| json!({"title": e.title, "arguments": e.arguments})).collect::<Vec<_>>(),
        })
    }).collect();
    insta::assert_json_snapshot!("specs", specs);
}

#[test]
fn every_example_fits_its_schema() {
    let shop = Shop::new();
    for spec in shop.tools.specs() {
        assert!(!spec.examples.is_empty(), "{} has no example", spec.name);
        assert!(
            !spec.toolset.is_empty() && spec.input_schema["additionalProperties"] == false,
            "{}",
            spec.name
        );
        let input = jsonschema::validator_for(&spec.input_schema).unwrap();
        for example in &spec.examples {
            assert!(input.is_valid(&Value::Object(example.arguments.clone())), "{}", spec.name);
        }
        for (name, property) in spec.input_schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{}.{name} has no description", spec.name);
        }
    }
}
