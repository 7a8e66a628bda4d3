//! A server with a few tools for tests; it does not know what is tested.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp::{
    Ask, CallContext, Caller, Change, ChangeFeed, Endpoint, LogLevel, Resource, ResourceContents,
    ResourcePage, ResourceProvider, Scope, ServerInfo, ToolAnnotations, ToolError, ToolHandler, ToolOutput,
    ToolResult, ToolSet, ToolSpec,
};
use mcp_server::{BackgroundServer, Server, ServerBuilder, ServerConfig};
use serde_json::{Map, Value, json};

pub(crate) const PATH: &str = "/mcp/test";

/// What tests look at from outside of a call.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) cancelled: AtomicBool,
    pub(crate) running: AtomicU64,
    pub(crate) release: AtomicBool,
    pub(crate) callers: Mutex<Vec<Caller>>,
}

impl Watch {
    pub(crate) fn until(&self, what: &str, mut test: impl FnMut(&Self) -> bool) {
        for _ in 0..2000 {
            if test(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("never came to pass: {what}");
    }
}

pub(crate) struct Tools {
    specs: Vec<ToolSpec>,
    watch: Arc<Watch>,
    changes: ChangeFeed,
}

impl Tools {
    fn new(watch: Arc<Watch>, changes: ChangeFeed) -> Self {
        let none = json!({"type": "object", "properties": {}, "additionalProperties": false});
        let spec = |name: &str, kind| ToolSpec::new(name, format!("Tool {name}."), none.clone(), kind);
        let add = json!({"type": "object", "additionalProperties": false, "required": ["a", "b"],
            "properties": {"a": {"type": "integer", "description": "A."}, "b": {"type": "integer", "description": "B."}}});
        let sum = json!({"type": "object", "properties": {"sum": {"type": "integer"}}});
        let header =
            json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
        let specs = vec![
            ToolSpec::new("add", "Adds.", add, ToolAnnotations::READ)
                .with_output(sum)
                .inline()
                .with_toolset("math"),
            spec("big", ToolAnnotations::READ),
            spec("wait", ToolAnnotations::READ),
            spec("panic", ToolAnnotations::READ),
            spec("panic_inline", ToolAnnotations::READ).inline(),
            spec("steps", ToolAnnotations::READ),
            spec("ask", ToolAnnotations::WRITE),
            spec("wipe", ToolAnnotations::DESTRUCTIVE),
            spec("cut", ToolAnnotations::READ),
            spec("job", ToolAnnotations::WRITE).with_task_support(),
            spec("change", ToolAnnotations::WRITE),
            ToolSpec::new("header", "Has a mirrored argument.", header, ToolAnnotations::READ),
            spec("wait_own_time", ToolAnnotations::READ).with_own_time(),
        ];
        Self { specs, watch, changes }
    }

    fn wait(&self, cx: &CallContext) -> ToolResult<ToolOutput> {
        self.watch.running.fetch_add(1, Ordering::SeqCst);
        let outcome = loop {
            if cx.cancel.is_cancelled() {
                self.watch.cancelled.store(true, Ordering::SeqCst);
                break Err(ToolError::precondition("cancelled"));
            }
            if self.watch.release.load(Ordering::SeqCst) {
                break Ok(ToolOutput::structured(json!({"waited": true})));
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        self.watch.running.fetch_sub(1, Ordering::SeqCst);
        outcome
    }
}

impl ToolHandler for Tools {
    fn specs(&self) -> &[ToolSpec] {
        &self.specs
    }

    fn call(&self, cx: &CallContext, name: &str, args: Map<String, Value>) -> ToolResult<ToolOutput> {
        self.watch.callers.lock().unwrap().push(Caller::clone(&cx.caller));
        let ok = |value: Value| Ok(ToolOutput::structured(value));
        match name {
            "add" => ok(json!({"sum": args["a"].as_i64().unwrap_or(0) + args["b"].as_i64().unwrap_or(0)})),
            "big" => ok(json!({"text": "x".repeat(200_000)})),
            "wait" | "wait_own_time" => self.wait(cx),
            "panic" | "panic_inline" => panic!("a secret cause"),
            "steps" => {
                for step in [1.0, 2.0, 2.0, 1.0, 3.0] {
                    cx.progress.progress(step, Some(3.0), Some("step"));
                }
                cx.progress.log(LogLevel::Info, None, json!("said"));
                ok(json!({"steps": 3}))
            }
            "ask" => {
                let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
                let answer = cx.ask(Ask::elicit("who", "Who?", schema))?;
                ok(json!({"hello": answer["content"]["name"]}))
            }
            "wipe" => match cx.confirm("sure", "Wipe?")? {
                Some(true) => ok(json!({"wiped": true})),
                _ => Err(ToolError::precondition("not confirmed")),
            },
            "cut" => {
                cx.client.close_stream();
                self.wait(cx)
            }
            "job" => {
                let schema = json!({"type": "object", "properties": {}});
                cx.progress.progress(1.0, None, Some("asking"));
                cx.ask(Ask::elicit("go", "Go?", schema))?;
                ok(json!({"done": true}))
            }
            "change" => {
                self.changes.publish(&Change::Tools);
                self.changes.publish(&Change::ResourceUpdated("doc://a".into()));
                ok(json!({"changed": true}))
            }
            "header" => ok(json!({"region": args.get("region")})),
            _ => Err(ToolError::not_found("tool", name)),
        }
    }
}

struct Documents;

impl ResourceProvider for Documents {
    fn list(&self, _: &CallContext, _: Option<&str>) -> ToolResult<ResourcePage> {
        Ok(ResourcePage::new(vec![Resource::new("doc://a", "a")], None))
    }
    fn read(&self, _: &CallContext, uri: &str) -> ToolResult<Vec<ResourceContents>> {
        if uri == "doc://a" {
            return Ok(vec![ResourceContents::text(uri, "text/plain", "A")]);
        }
        Err(ToolError::not_found("resource", uri))
    }
    fn subscribable(&self) -> bool {
        true
    }
}

/// A tool set whose list changes when it is told to.
pub(crate) struct Growing {
    pub(crate) inner: mcp::HandlerSet<Tools>,
    pub(crate) generation: AtomicU64,
}

impl ToolSet for Growing {
    fn list(&self, caller: &Caller) -> Vec<Arc<ToolSpec>> {
        let mut list = self.inner.list(caller);
        list.truncate(1 + self.generation.load(Ordering::SeqCst) as usize);
        list
    }
    fn find(&self, caller: &Caller, name: &str) -> Option<Arc<ToolSpec>> {
        self.inner.find(caller, name)
    }
    fn call(&self, cx: &CallContext, name: &str, args: Map<String, Value>) -> ToolResult<ToolOutput> {
        self.inner.call(cx, name, args)
    }
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }
}

/// A running server.
pub(crate) struct World {
    pub(crate) running: BackgroundServer,
    pub(crate) address: SocketAddr,
    pub(crate) watch: Arc<Watch>,
}

pub(crate) fn endpoint(path: &str, watch: &Arc<Watch>) -> Endpoint {
    let changes = ChangeFeed::new();
    let tools = mcp::HandlerSet::new(Tools::new(Arc::clone(watch), changes.clone()));
    Endpoint::new(path, Arc::new(tools)).with_changes(changes).with_resources(Arc::new(Documents))
}

pub(crate) fn growing(path: &str) -> (Endpoint, Arc<Growing>) {
    let changes = ChangeFeed::new();
    let inner = mcp::HandlerSet::new(Tools::new(Arc::default(), changes.clone()));
    let tools = Arc::new(Growing { inner, generation: AtomicU64::new(0) });
    (Endpoint::new(path, Arc::clone(&tools) as _).with_changes(changes), tools)
}

impl World {
    /// A server that lets everybody in.
    pub(crate) fn new() -> Self {
        Self::with(ServerConfig::default(), |builder| builder.anonymous(Scope::Full))
    }

    pub(crate) fn with(config: ServerConfig, more: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let watch = Arc::<Watch>::default();
        let builder =
            Server::builder(ServerInfo::new("test", "1")).config(config).endpoint(endpoint(PATH, &watch));
        let server = more(builder).build().expect("a server can be built");
        let running =
            BackgroundServer::start(server, SocketAddr::from(([127, 0, 0, 1], 0)), 2).expect("it starts");
        Self { address: running.address(), running, watch }
    }

    /// Opens a legacy session; its id.
    pub(crate) fn session(&self, capabilities: Value) -> String {
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": {"name": "t", "version": "1"}}});
        let answer = crate::client::Ask::post(self.address, PATH, body.to_string()).send();
        answer.header("mcp-session-id").expect("a session is opened").to_owned()
    }
}
