//! The operators' endpoints: their tools, the book of calls behind them, and the layer that fills it; it does no work of the tools.

use std::sync::Arc;
use std::time::Instant;

use bridge::{Next, RegistryError, ToolHandlerRegistry, ToolLayer};
use mcp::{CallContext, ToolOutput, ToolResult, ToolSpec};
use mcp_server::Hooks;
use mcp_tools::{CallBook, OpsDeps, cache_tools, observe_tools};
use serde_json::{Map, Value};

/// The endpoint of health and metrics.
pub(crate) const OBSERVE: &str = "/mcp/observe";
/// The endpoint of the result cache.
pub(crate) const CACHE: &str = "/mcp/cache";

/// Registers the operators' tools.
pub(crate) fn register(registry: &ToolHandlerRegistry, deps: &OpsDeps) -> Result<(), RegistryError> {
    registry.register(OBSERVE, Arc::new(observe_tools(deps)))?;
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
        let _live = self.0.begin(cx, &spec.name);
        let started = Instant::now();
        let result = next.run(cx, spec, args);
        let code = match &result {
            Ok(output) if output.is_error => Some("TOOL_ERROR"),
            Ok(_) => None,
            Err(error) => Some(error.code.as_str()),
        };
        self.0.finish(cx, &spec.name, started.elapsed(), code);
        result
    }
}

/// Writes what the listener says into the book.
pub(crate) struct BookHooks(pub(crate) Arc<CallBook>);

impl Hooks for BookHooks {
    fn request_refused(&self, _: &str, address: &str, _: u16) {
        self.0.refused(address);
    }

    fn auth_failed(&self, endpoint: &str, _: &str) {
        self.0.auth_failed(endpoint);
    }

    fn connections(&self, change: i64) {
        self.0.connections(change);
    }
}
