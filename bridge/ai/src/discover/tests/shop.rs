//! A small shop with its tools, a watched tool set and a model that answers by rule.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ai_core::{
    CallContext as AiCall, FakeAnswer, FakeLlm, LlmClient, LlmDelta, LlmError, LlmFlow, LlmRequest,
    LlmResponse,
};
use bridge::{EndpointTools, ToolHandlerRegistry};
use harvest::Protocol;
use harvest_catalog::{Catalog, StoreOptions};
use harvest_gateway::{BackendConfig, Gateway, Settings, StaticDirectory, TargetConfig};
use harvest_sqlite::SqliteDriver;
use mcp::{CallContext, Caller, Scope, ToolError, ToolOutput, ToolResult, ToolSet, ToolSpec};
use mcp_tools::{CatalogDeps, ToolDeps, add_catalog_tools, query_tools};
use serde_json::{Map, Value, json};

pub(super) const PATH: &str = "/mcp/query";

pub(super) const SHOP: &str = "
CREATE TABLE customers (id INTEGER PRIMARY KEY, email VARCHAR(80) NOT NULL UNIQUE, created_at DATETIME);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers(id),
  billing_customer_id INTEGER, total DECIMAL(10,2), placed_on DATE);
CREATE TABLE order_items (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders(id), qty INTEGER);
CREATE VIEW big_orders AS SELECT id, total FROM orders WHERE total > 100;
INSERT INTO customers VALUES (1, 'a@example.org', '2026-01-01'), (2, 'b@example.org', '2026-01-02');
INSERT INTO orders VALUES (1, 1, 2, 10, '2026-02-01'), (2, 2, 1, 200, '2026-02-02');
INSERT INTO order_items VALUES (1, 1, 3), (2, 2, 1);
";

pub(super) struct Shop {
    pub(super) dir: tempfile::TempDir,
    pub(super) tools: Arc<EndpointTools>,
    _registry: Arc<ToolHandlerRegistry>,
}

impl Shop {
    /// One target a schema, `shop` first; all are harvested without looking at values.
    pub(super) fn new(targets: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (mut backends, mut configs) = (Vec::new(), Vec::new());
        for ((name, sql), group) in targets.iter().zip(1u32..) {
            let file = dir.path().join(format!("{name}.db"));
            rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
            backends.push(BackendConfig::new(group, file.to_str().unwrap(), 0));
            configs.push(TargetConfig::new(*name, Protocol::Sqlite, group));
        }
        let directory = Arc::new(StaticDirectory::new(backends));
        let gateway = Gateway::new(vec![Arc::new(SqliteDriver)], directory, Settings::default());
        gateway.set_targets(configs);
        let catalog = Catalog::open(StoreOptions::new(dir.path().join("catalog.db"))).unwrap();
        let deps = ToolDeps::new(gateway, Some(catalog)).unwrap();
        let tools = add_catalog_tools(query_tools(&deps), &CatalogDeps::new(deps.clone(), None));
        let registry = Arc::new(ToolHandlerRegistry::new());
        registry.register(PATH, Arc::new(tools)).unwrap();
        let tools = registry.tool_set(PATH);
        for (name, _) in targets {
            let args = json!({"target_id": name, "value_overlap": false});
            tools.call(&context(), "discovery.run_static", args.as_object().unwrap().clone()).unwrap();
        }
        Self { dir, tools, _registry: registry }
    }
}

pub(super) fn context() -> CallContext {
    CallContext::new(Caller::new("agent", Scope::Full), PATH)
}

/// Tool, arguments, targets of the caller.
type Seen = (String, Map<String, Value>, Option<Vec<String>>);

/// Passes calls on until a number of them, and keeps what was called.
pub(super) struct Watched {
    inner: Arc<EndpointTools>,
    left: AtomicU64,
    pub(super) seen: Mutex<Vec<Seen>>,
}

impl Watched {
    pub(super) fn new(inner: &Arc<EndpointTools>, calls: u64) -> Self {
        Self { inner: Arc::clone(inner), left: AtomicU64::new(calls), seen: Mutex::default() }
    }

    pub(super) fn count(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }
}

impl ToolSet for Watched {
    fn list(&self, caller: &Caller) -> Vec<Arc<ToolSpec>> {
        self.inner.list(caller)
    }

    fn find(&self, caller: &Caller, name: &str) -> Option<Arc<ToolSpec>> {
        self.inner.find(caller, name)
    }

    fn call(&self, cx: &CallContext, name: &str, args: Map<String, Value>) -> ToolResult<ToolOutput> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(ToolError::internal("killed"));
        }
        self.left.store(left - 1, Ordering::SeqCst);
        let entry = (name.to_owned(), args.clone(), cx.caller.targets.clone());
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        self.inner.call(cx, name, args)
    }

    fn generation(&self) -> u64 {
        self.inner.generation()
    }
}

type Rule = Box<dyn Fn(&LlmRequest) -> FakeAnswer + Send + Sync>;

/// A model that answers each request by a rule, so that the order of questions does not matter.
pub(super) struct Ruled {
    rule: Rule,
    pub(super) asked: AtomicU64,
}

impl Ruled {
    pub(super) fn new(rule: impl Fn(&LlmRequest) -> FakeAnswer + Send + Sync + 'static) -> Self {
        Self { rule: Box::new(rule), asked: AtomicU64::new(0) }
    }
}

impl LlmClient for Ruled {
    fn complete(&self, request: &LlmRequest, call: &AiCall) -> Result<LlmResponse, LlmError> {
        self.stream(request, call, &mut |_| LlmFlow::Continue)
    }

    fn stream(
        &self,
        request: &LlmRequest,
        call: &AiCall,
        on_delta: &mut dyn FnMut(LlmDelta) -> LlmFlow,
    ) -> Result<LlmResponse, LlmError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        FakeLlm::new([(self.rule)(request)]).stream(request, call, on_delta)
    }
}

/// A sensible answer to whatever is asked.
pub(super) fn sensible(request: &LlmRequest) -> FakeAnswer {
    let prompt = request.messages[0].content.as_str();
    let answer = if prompt.contains("what this database object is") {
        let object =
            prompt.lines().find(|l| l.starts_with("table ") || l.starts_with("view ")).unwrap_or("?");
        json!({"hypothesis": format!("Rows of the {object}."), "grain": "one row", "primary_key": ["id", "made_up"],
               "example_questions": ["How many?"], "confidence": 0.99, "evidence": ["primary key id"]})
    } else if prompt.contains("numbered pair") {
        json!({"pairs": [{"pair": 0, "refers": true, "confidence": 0.9, "reason": "billing goes to customers"},
                         {"pair": 99, "refers": true, "confidence": 1, "reason": "no such pair"}]})
    } else if prompt.contains("business domains") {
        json!({"domains": [
            {"key": "Sales", "title": "Sales", "description": "Orders.", "confidence": 0.9,
             "members": [{"object": 0, "role": "fact"}, {"object": 1, "role": "fact"}, {"object": 77, "role": "fact"}]},
            {"key": "people", "title": "People", "description": "Customers.", "confidence": 0.7,
             "members": [{"object": 1, "role": "entity"}, {"object": 2, "role": "entity"}]}]})
    } else {
        let name = if prompt.contains("domain Sales") { "orders" } else { "customers" };
        json!({"metrics": [
                {"key": format!("{name} count"), "title": format!("Number of {name}"), "sql": format!("SELECT COUNT(*) FROM {name}"), "confidence": 0.9},
                {"key": "bad", "title": "Bad", "sql": "SELECT nothing FROM nowhere", "confidence": 0.9}],
               "questions": [
                {"title": format!("All {name}"), "question": format!("How many {name} are there?"), "sql": format!("SELECT COUNT(*) AS n FROM {name}"), "confidence": 0.8},
                {"title": "Wipe", "question": "Remove them?", "sql": format!("DELETE FROM {name}"), "confidence": 0.9}]})
    };
    FakeAnswer::Text(format!("```json\n{answer}\n```").replace("```json\n", "").replace("\n```", ""))
}
