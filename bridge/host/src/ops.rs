//! The operators' endpoints: their tools, the book of calls behind them, and the layer that fills it; it does no work of the tools.

use std::sync::Arc;
use std::time::Instant;

use bridge::{Next, RegistryError, ToolHandlerRegistry, ToolLayer};
use mcp::{CallContext, ToolOutput, ToolResult, ToolSpec};
use mcp_server::{Hooks, RequestReport};
use mcp_tools::{CallBook, OpsDeps, admin_tools, cache_tools, observe_tools, stats_tools};
use serde_json::{Map, Value};

use crate::auditing::Auditor;

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

/// Writes what the listener says into the book, and refused logins into the audit log.
pub(crate) struct BookHooks(pub(crate) Arc<CallBook>, pub(crate) Arc<Auditor>);

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

    fn auth_refused(&self, endpoint: &str, address: &str, reason: &'static str) {
        self.0.auth_failed(endpoint, reason);
        if reason != "locked_out" {
            self.1.login_refused(endpoint, address);
        }
    }

    fn rate_limited(&self, endpoint: &str, caller: &str, _: &str) {
        self.0.rate_limited(endpoint, caller);
    }

    fn connections(&self, change: i64) {
        self.0.connections(change);
    }
}
