//! What happens around each call: scopes, observers, a host's own layers; it does not know any tool.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mcp::{CallContext, ErrorCode, ToolError, ToolOutput, ToolResult, ToolSpec};
use serde_json::{Map, Value};

/// Wraps each call. The first layer added is the outermost; it calls [`Next::run`] to go on, or answers itself.
pub trait ToolLayer: Send + Sync {
    /// Handles a call of `spec` (its name is canonical).
    ///
    /// # Errors
    /// Whatever the layer refuses, or what the rest of the chain fails with.
    fn call(
        &self,
        cx: &CallContext,
        spec: &ToolSpec,
        args: Map<String, Value>,
        next: Next<'_>,
    ) -> ToolResult<ToolOutput>;
}

/// What ends the chain: the tool itself.
pub(crate) type ToolCall<'a> = dyn Fn(&CallContext, Map<String, Value>) -> ToolResult<ToolOutput> + 'a;

/// The rest of the chain: further layers, then the tool.
pub struct Next<'a> {
    layers: &'a [Arc<dyn ToolLayer>],
    tool: &'a ToolCall<'a>,
}

impl<'a> Next<'a> {
    pub(crate) fn new(layers: &'a [Arc<dyn ToolLayer>], tool: &'a ToolCall<'a>) -> Self {
        Self { layers, tool }
    }

    /// Goes on with the call.
    ///
    /// # Errors
    /// What the rest of the chain fails with.
    pub fn run(self, cx: &CallContext, spec: &ToolSpec, args: Map<String, Value>) -> ToolResult<ToolOutput> {
        match self.layers.split_first() {
            Some((layer, layers)) => layer.call(cx, spec, args, Next { layers, tool: self.tool }),
            None => (self.tool)(cx, args),
        }
    }
}

/// Refuses calls beyond the caller's scopes. A registry always has it; it is the innermost layer, so that observers
/// hear of refused calls too.
#[derive(Debug, Default, Clone, Copy)]
// A unit struct: there is nothing to extend.
pub struct ScopeLayer;

impl ToolLayer for ScopeLayer {
    fn call(
        &self,
        cx: &CallContext,
        spec: &ToolSpec,
        args: Map<String, Value>,
        next: Next<'_>,
    ) -> ToolResult<ToolOutput> {
        if cx.caller.may_call(spec) {
            return next.run(cx, spec, args);
        }
        let needed = if spec.named_scope.is_empty() {
            format!("{:?}", spec.scope).to_lowercase()
        } else {
            spec.named_scope.clone()
        };
        Err(ToolError::denied(
            "token",
            format!("the token may not call {}: it lacks the scope {needed}", spec.name),
        )
        .with("scope", needed))
    }
}

/// What an observer hears of one finished call. It holds no arguments and no results.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallRecord<'a> {
    /// Endpoint, canonical tool name and caller of the call.
    pub cx: &'a CallContext,
    /// The tool.
    pub spec: &'a ToolSpec,
    /// When it began.
    pub started_at: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// The failure's code, or `None` for success.
    pub error: Option<&'a ToolError>,
    /// Whether the tool answered with a failure of its own form.
    pub is_error: bool,
}

impl CallRecord<'_> {
    /// The failure's code, if the call failed with a typed error.
    #[must_use]
    pub fn error_code(&self) -> Option<ErrorCode> {
        self.error.map(|e| e.code)
    }
}

/// Hears of every finished call: audit logs, metrics, tool-call tables. It must be quick: the caller waits for it.
pub trait CallObserver: Send + Sync {
    /// One call is over.
    fn finished(&self, record: &CallRecord<'_>);
}

/// A layer that tells an observer.
pub struct ObserverLayer {
    observer: Arc<dyn CallObserver>,
}

impl ObserverLayer {
    /// A layer around `observer`.
    pub fn new(observer: Arc<dyn CallObserver>) -> Self {
        Self { observer }
    }
}

impl ToolLayer for ObserverLayer {
    fn call(
        &self,
        cx: &CallContext,
        spec: &ToolSpec,
        args: Map<String, Value>,
        next: Next<'_>,
    ) -> ToolResult<ToolOutput> {
        let (started_at, start) = (SystemTime::now(), Instant::now());
        let result = next.run(cx, spec, args);
        self.observer.finished(&CallRecord {
            cx,
            spec,
            started_at,
            duration: start.elapsed(),
            error: result.as_ref().err(),
            is_error: result.as_ref().map_or(true, |output| output.is_error),
        });
        result
    }
}
