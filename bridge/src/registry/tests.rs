//! The registry's promises: all or nothing, live views, scopes, layers in order.

use std::sync::Mutex;

use mcp::{ErrorCode, Handlers, Scope, Tool, ToolAnnotations};
use serde_json::json;

use super::*;
use crate::layer::{CallObserver, CallRecord, ObserverLayer};

struct Named(&'static str, ToolAnnotations);

impl Tool for Named {
    type Args = Value;
    type Output = Value;

    fn spec(&self) -> ToolSpec {
        let schema = json!({"type": "object", "properties": {"x": {"type": "integer"}}});
        ToolSpec::new(self.0, "A tool.", schema, self.1).with_toolset(if self.0.contains('.') {
            "dotted"
        } else {
            ""
        })
    }

    fn call(&self, cx: &CallContext, args: Value) -> ToolResult<Value> {
        Ok(json!({"tool": self.0, "caller": cx.caller.token_name, "args": args}))
    }
}

fn context(scope: Scope) -> CallContext {
    CallContext::new(Caller::new("tester", scope), "/mcp/t")
}

fn registry() -> Arc<ToolHandlerRegistry> {
    let registry = Arc::new(ToolHandlerRegistry::new());
    let handlers = Handlers::new()
        .with(Named("b.read", ToolAnnotations::READ))
        .with(Named("a_write", ToolAnnotations::WRITE))
        .with(Named("c_destroy", ToolAnnotations::DESTRUCTIVE));
    registry.register("/mcp/t", Arc::new(handlers)).expect("registers");
    registry
}

fn names(set: &dyn ToolSet, scope: Scope) -> Vec<String> {
    set.list(&Caller::new("tester", scope)).iter().map(|s| s.name.clone()).collect()
}

#[test]
fn lists_depend_on_the_scope_and_are_sorted() {
    let set = registry().tool_set("/mcp/t");
    assert_eq!(names(&*set, Scope::Read), ["b.read"]);
    assert_eq!(names(&*set, Scope::Write), ["a_write", "b.read"]);
    assert_eq!(names(&*set, Scope::Full), ["a_write", "b.read", "c_destroy"]);
}

#[test]
fn a_call_beyond_the_scope_is_denied_by_the_token() {
    let set = registry().tool_set("/mcp/t");
    let error = set.call(&context(Scope::Write), "c_destroy", Map::new()).expect_err("denied");
    assert_eq!(error.code, ErrorCode::PermissionDenied);
    assert_eq!(error.details.get("by"), Some(&json!("token")));
    assert!(set.call(&context(Scope::Full), "c_destroy", Map::new()).is_ok());
}

#[test]
fn an_alias_reaches_the_tool_under_its_canonical_name() {
    let set = registry().tool_set("/mcp/t");
    let output = set.call(&context(Scope::Read), "b_read", Map::new()).expect("runs");
    assert_eq!(output.structured.expect("structured")["tool"], "b.read");
    assert_eq!(
        set.call(&context(Scope::Read), "nothing", Map::new()).expect_err("none").code,
        ErrorCode::NotFound
    );
}

#[test]
fn a_faulty_handler_registers_nothing() {
    let registry = registry();
    let before = registry.generation.load(Ordering::SeqCst);
    let clash = Handlers::new()
        .with(Named("new", ToolAnnotations::READ))
        .with(Named("b.read", ToolAnnotations::READ));
    let error = registry.register("/mcp/t", Arc::new(clash)).expect_err("refused");
    assert_eq!(error, RegistryError::Duplicate { endpoint: "/mcp/t".into(), tool: "b.read".into() });
    assert_eq!(registry.tool_count("/mcp/t"), 3);
    assert_eq!(registry.generation.load(Ordering::SeqCst), before);
}

#[test]
fn views_are_live() {
    let registry = registry();
    let all = registry.tool_set("/mcp/t");
    let generation = all.generation();
    let more = Handlers::new().with(Named("z.more", ToolAnnotations::READ));
    let id = registry.register("/mcp/t", Arc::new(more)).expect("ok");
    assert!(all.generation() > generation);
    assert_eq!(names(&*all, Scope::Read), ["b.read", "z.more"]);
    assert!(registry.unregister(id) && !registry.unregister(id));
    assert_eq!(names(&*all, Scope::Read), ["b.read"]);
    assert!(all.find(&Caller::new("tester", Scope::Read), "a_write").is_none());
}

#[test]
fn the_underscore_style_advertises_underscores() {
    let registry = Arc::new(ToolHandlerRegistry::with_layers(NameStyle::Underscore, Vec::new()));
    registry
        .register("/mcp/t", Arc::new(Handlers::new().with(Named("b.read", ToolAnnotations::READ))))
        .expect("ok");
    assert_eq!(names(&*registry.tool_set("/mcp/t"), Scope::Read), ["b_read"]);
}

#[derive(Default)]
struct Seen(Mutex<Vec<(String, Option<ErrorCode>)>>);

impl CallObserver for Seen {
    fn finished(&self, record: &CallRecord<'_>) {
        self.0.lock().expect("lock").push((record.spec.name.clone(), record.error_code()));
    }
}

#[test]
fn observers_hear_of_successes_and_of_refused_calls() {
    let seen = Arc::new(Seen::default());
    let layer: Arc<dyn ToolLayer> = Arc::new(ObserverLayer::new(Arc::clone(&seen) as Arc<dyn CallObserver>));
    let registry = Arc::new(ToolHandlerRegistry::with_layers(NameStyle::Dotted, vec![layer]));
    let handlers =
        Handlers::new().with(Named("b.read", ToolAnnotations::READ)).with(Named("w", ToolAnnotations::WRITE));
    registry.register("/mcp/t", Arc::new(handlers)).expect("ok");
    let set = registry.tool_set("/mcp/t");
    let _ = set.call(&context(Scope::Read), "b__read", Map::new());
    let _ = set.call(&context(Scope::Read), "w", Map::new());
    let expected = [("b.read".to_owned(), None), ("w".to_owned(), Some(ErrorCode::PermissionDenied))];
    assert_eq!(*seen.0.lock().expect("lock"), expected);
}
