//! The operators' endpoints: their tools, the book of calls behind them, and the layer that fills it; it does no work of the tools.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bridge::{Next, RegistryError, ToolHandlerRegistry, ToolLayer};
use mcp::{CallContext, ErrorCode, ToolError, ToolOutput, ToolResult, ToolSpec};
use mcp_server::{Hooks, RequestReport};
use mcp_tools::{AuditLog, AuditRow, CallBook, OpsDeps, admin_tools, cache_tools, observe_tools, stats_tools};
use serde_json::{Map, Value};

/// The endpoint of health and metrics.
pub(crate) const OBSERVE: &str = "/mcp/observe";
/// The endpoint of statistics of the host and its backends.
pub(crate) const STATS: &str = "/mcp/stats";
/// The endpoint of operations on backends.
pub(crate) const ADMIN: &str = "/mcp/admin";
/// The endpoint of the result cache.
pub(crate) const CACHE: &str = "/mcp/cache";

/// Registers the operators' tools.
pub(crate) fn register(registry: &ToolHandlerRegistry, deps: &OpsDeps) -> Result<(), RegistryError> {
    registry.register(OBSERVE, Arc::new(observe_tools(deps)))?;
    registry.register(STATS, Arc::new(stats_tools(deps)))?;
    registry.register(ADMIN, Arc::new(admin_tools(deps)))?;
    registry.register(CACHE, Arc::new(cache_tools(deps)))?;
    Ok(())
}

/// What clients are told about an endpoint of operators.
pub(crate) fn instructions(path: &str) -> Option<&'static str> {
    match path {
        OBSERVE => Some(
            "Health and metrics of this server. Begin with get_health; list_stats names what get_stats reads; \
             show_queries and show_connections tell what runs now.",
        ),
        STATS => Some(
            "Statistics of this server and of the database servers behind it. show_status and show_queries tell what it does, \
             show_processlist what runs on the servers, show_connections how the pools are; the *_history tools look back. \
             db_type picks the engine, origin whose figures. flush_queries saves and resets the digests.",
        ),
        ADMIN => Some(
            "Operations on a database server with an account of their own. admin_show_processes and admin_list_users look; \
             admin_kill_query and admin_flush_cache act, need confirm = true, and every call is in the audit log.",
        ),
        CACHE => Some(
            "The result cache in front of run_sql_readonly. get_cache_stats tells how it does, get_cache_entries what it \
             holds; invalidate_cache drops results after their tables have changed.",
        ),
        _ => None,
    }
}

/// Writes every call into the book, from its start to its end.
pub(crate) struct BookLayer(pub(crate) Arc<CallBook>);

impl ToolLayer for BookLayer {
    fn call(
        &self,
        cx: &CallContext,
        spec: &ToolSpec,
        args: Map<String, Value>,
        next: Next<'_>,
    ) -> ToolResult<ToolOutput> {
        let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (target_id, schema) = (text("target_id"), text("schema"));
        let _live = self.0.begin(cx, &spec.name, (&target_id, &schema));
        let started = Instant::now();
        let result = next.run(cx, spec, args);
        let code = match &result {
            Ok(output) if output.is_error => Some("TOOL_ERROR"),
            Ok(_) => None,
            Err(error) => Some(error.code.as_str()),
        };
        self.0.finish(cx, &spec.name, &schema, started.elapsed(), code);
        result
    }
}

/// Writes what the listener says into the book.
pub(crate) struct BookHooks(pub(crate) Arc<CallBook>);

impl Hooks for BookHooks {
    fn request_started(&self, _: &str) {
        self.0.request_started();
    }

    fn request_finished(&self, report: &RequestReport<'_>) {
        self.0.request_finished(report.error_code.is_some());
    }

    fn request_refused(&self, _: &str, address: &str, _: u16) {
        self.0.refused(address);
    }

    fn auth_refused(&self, endpoint: &str, _: &str, reason: &'static str) {
        self.0.auth_failed(endpoint, reason);
    }

    fn rate_limited(&self, endpoint: &str, caller: &str, _: &str) {
        self.0.rate_limited(endpoint, caller);
    }

    fn connections(&self, change: i64) {
        self.0.connections(change);
    }
}

/// Writes calls into the audit log: those of `/mcp/admin`, destructive tools anywhere, and changes of the cache's times.
/// Of a destructive call the intent is durable before the tool runs; without it the tool does not run.
#[derive(Default)]
pub(crate) struct AuditLayer(OnceLock<AuditLog>);

impl AuditLayer {
    /// Calls are recorded from now on: the store is open.
    pub(crate) fn start(&self, log: AuditLog) {
        // A host opens its store once.
        let _ = self.0.set(log);
    }
}

impl ToolLayer for AuditLayer {
    fn call(
        &self,
        cx: &CallContext,
        spec: &ToolSpec,
        args: Map<String, Value>,
        next: Next<'_>,
    ) -> ToolResult<ToolOutput> {
        let destructive = spec.annotations.destructive_hint;
        if !(destructive || &*cx.endpoint == ADMIN || spec.name == "set_cache_ttl") {
            return next.run(cx, spec, args);
        }
        let Some(log) = self.0.get() else {
            let message = "the audit log is not open yet: nothing was done";
            return Err(ToolError::new(ErrorCode::Unavailable, message).retryable(true));
        };
        let arguments = Value::Object(masked(&args)).to_string();
        let target = args.get("target_id").and_then(Value::as_str).map(str::to_owned);
        let address = Some(cx.caller.address.as_str()).filter(|address| !address.is_empty());
        let row = AuditRow {
            kind: "tool",
            caller: &cx.caller.token_name,
            client_address: address,
            endpoint: Some(&cx.endpoint),
            action: &spec.name,
            target_id: target.as_deref(),
            arguments_json: Some(&arguments),
            outcome: "intent",
            ..AuditRow::default()
        };
        let ref_id = if destructive { Some(log.append(&row)?) } else { None };
        let result = next.run(cx, spec, args);
        let outcome = match &result {
            Ok(output) if !output.is_error => "ok",
            Err(e) if matches!(e.code, ErrorCode::PermissionDenied | ErrorCode::FailedPrecondition) => {
                "refused"
            }
            _ => "error",
        };
        let error = result.as_ref().err();
        let detail = error.map(|e| e.message.as_str());
        let code = error.map(|e| e.code.as_str());
        // The action is done: a log that fails now is reported by the log itself, not as a failure of the action.
        let _ = log.append(&AuditRow { outcome, error_code: code, detail, ref_id, ..row });
        result
    }
}

/// Arguments whose names speak of secrets show `***`.
fn masked(args: &Map<String, Value>) -> Map<String, Value> {
    let secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["password", "secret", "token", "api_key", "credential"].iter().any(|word| name.contains(word))
            && name != "page_token"
    };
    let mask = |(name, value): (&String, &Value)| {
        let value = match value {
            _ if secret(name) => Value::from("***"),
            Value::Object(inner) => Value::Object(masked(inner)),
            other => other.clone(),
        };
        (name.clone(), value)
    };
    args.iter().map(mask).collect()
}
