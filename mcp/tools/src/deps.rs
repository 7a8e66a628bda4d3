//! What tools share: the gateway, the catalog, page tokens, and one call's frame around them; it knows no tool.

use std::sync::Arc;
use std::time::Instant;

use harvest::Protocol;
use harvest_catalog::{Catalog, RunInfo, RunRef};
use harvest_gateway::{CallScope, DigestSample, Gateway, StopSignal, TargetInfo, call_fingerprint};
use mcp::{CallContext, CancelToken, ErrorCode, ToolError, ToolOutput, ToolResult};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::budget::ResultStore;
use crate::errors::{IntoToolResult, internal_error, tool_error};
use crate::paging::PageSigner;

/// Everything that the tools of `/mcp/query` need. Cheap to clone.
#[derive(Clone)]
#[non_exhaustive]
pub struct ToolDeps {
    /// The SQL pipeline.
    pub gateway: Arc<Gateway>,
    /// The discovery catalog; without it, catalog sources answer `FAILED_PRECONDITION`.
    pub catalog: Option<Catalog>,
    /// Signs page tokens.
    pub pages: Arc<PageSigner>,
    /// Results that a budget cut.
    pub results: Arc<ResultStore>,
}

impl ToolDeps {
    /// Tools over a gateway and, if there is one, a catalog.
    ///
    /// # Errors
    /// `INTERNAL` when the system has no random numbers.
    pub fn new(gateway: Arc<Gateway>, catalog: Option<Catalog>) -> ToolResult<Self> {
        Ok(Self { gateway, catalog, pages: Arc::new(PageSigner::new()?), results: Arc::default() })
    }

    /// The catalog.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` when the server runs without one.
    pub fn catalog(&self) -> ToolResult<&Catalog> {
        self.catalog.as_ref().ok_or_else(|| {
            ToolError::precondition("this server runs without a catalog: use source live")
                .with("reason", "no catalog")
        })
    }
}

impl std::fmt::Debug for ToolDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolDeps").field("catalog", &self.catalog.is_some()).finish_non_exhaustive()
    }
}

/// The cancellation of a call, as the gateway wants it.
struct CallStop(CancelToken);

impl StopSignal for CallStop {
    fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    fn on_stop(&self, hook: Box<dyn FnOnce() + Send>) -> Box<dyn Send> {
        Box::new(self.0.on_cancel(hook))
    }
}

/// What a call of `tool` is to the gateway.
#[must_use]
pub fn call_scope(cx: &CallContext, tool: &str) -> CallScope {
    let mut scope = CallScope::new(tool, &cx.caller.token_name);
    scope.endpoint = Arc::clone(&cx.endpoint);
    scope.client_address = cx.caller.address.as_str().into();
    scope.targets = cx.caller.targets.as_ref().map(|targets| Arc::from(targets.as_slice()));
    scope.deadline = cx.deadline;
    scope.call_id = cx.call_id;
    scope.stop = Arc::new(CallStop(cx.cancel.clone()));
    scope
}

/// One call from its start to its answer.
#[derive(Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// What the tools share.
    pub deps: &'a ToolDeps,
    /// The call as the server sees it.
    pub cx: &'a CallContext,
    /// The call as the gateway sees it.
    pub scope: CallScope,
    started: Instant,
}

impl<'a> Call<'a> {
    /// Starts the clock.
    #[must_use]
    pub fn begin(deps: &'a ToolDeps, cx: &'a CallContext, tool: &str) -> Self {
        Self { deps, cx, scope: call_scope(cx, tool), started: Instant::now() }
    }

    /// The target and the run of a call that reads the catalog.
    ///
    /// # Errors
    /// TGT and RUN errors.
    pub fn run(&self, target_id: Option<&str>, run: &RunRef) -> ToolResult<(TargetInfo, RunInfo)> {
        let catalog = self.deps.catalog()?;
        let target = self.deps.gateway.known_target(target_id, &self.scope).for_tool()?;
        let run = catalog.resolve_run(&target.target_id, run).for_tool()?;
        Ok((target, run))
    }

    /// Milliseconds since the start, with microseconds behind the point.
    #[must_use]
    pub fn elapsed_ms(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3
    }

    /// The text that page tokens of this call are bound to: tool, caller, and its filters.
    #[must_use]
    pub fn page_binding(&self, filters: &impl Serialize) -> String {
        let filters = serde_json::to_string(filters).unwrap_or_default();
        format!("{}\u{0}{}\u{0}{filters}", self.scope.tool, self.scope.caller)
    }

    /// Ends a success: the body's keys, then what every answer carries.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` for a body beyond the answer's size that cannot be cut, `INTERNAL` for one that is no object.
    pub fn finish(&self, body: &impl Serialize, frame: Frame) -> ToolResult<ToolOutput> {
        let Value::Object(mut map) =
            serde_json::to_value(body).map_err(|e| internal_error(&format!("result is no JSON: {e}")))?
        else {
            return Err(internal_error("a result is no object"));
        };
        frame.write(&mut map);
        map.insert("stats".to_owned(), json!({"ms": self.elapsed_ms()}));
        let text =
            serde_json::to_string(&map).map_err(|e| internal_error(&format!("result is no JSON: {e}")))?;
        let (limit, size) = (self.deps.gateway.settings().response_bytes_max, wire_bytes(&text));
        if size > limit {
            return Err(too_large(limit, size));
        }
        Ok(ToolOutput::structured_json(text))
    }

    /// Counts a finished call of a data tool with the shape of its arguments, failed or not.
    pub fn record(
        &self,
        arguments: &Map<String, Value>,
        target_id: &str,
        schema: &str,
        rows: u64,
        failed: bool,
    ) {
        let gateway = &self.deps.gateway;
        // A call that failed early has named no target: it was about the default one.
        let default = target_id.is_empty().then(|| gateway.known_target(None, &self.scope).ok()).flatten();
        let target_id = default.as_ref().map_or(target_id, |target| target.target_id.as_str());
        let fingerprint = call_fingerprint(arguments, gateway.lex_mode(target_id));
        gateway.record_call(&DigestSample {
            tool: &self.scope.tool,
            target_id,
            run_id: 0,
            schema,
            fingerprint: &fingerprint,
            time_us: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            rows,
            failed,
        });
    }
}

/// Bytes that a result takes on the wire: itself and its escaped copy as text.
#[must_use]
pub fn wire_bytes(text: &str) -> usize {
    text.len() * 2 + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count()
}

/// The failure of a result that cannot be cut.
#[must_use]
pub fn too_large(limit: usize, size: usize) -> ToolError {
    ToolError::limit(format!("the answer needs {size} bytes; {limit} are allowed: ask for less at once"))
        .with("limit", limit)
        .with("value", size)
        .with("variable", "mcp-max_response_bytes")
}

/// What answers carry besides their own keys.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Frame {
    target: Option<(String, Protocol)>,
    run_id: Option<i64>,
    truncated: Option<bool>,
    next_page: Option<Option<String>>,
    rules: Vec<i64>,
    ok_message: Option<String>,
}

impl Frame {
    /// An answer without a target.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An answer of a target.
    #[must_use]
    pub fn target(target_id: impl Into<String>, protocol: Protocol) -> Self {
        Self { target: Some((target_id.into(), protocol)), ..Self::default() }
    }

    /// An answer of a run.
    #[must_use]
    pub fn run(mut self, run_id: Option<i64>) -> Self {
        self.run_id = run_id;
        self
    }

    /// Whether a limit left something out.
    #[must_use]
    pub fn truncated(mut self, truncated: bool) -> Self {
        self.truncated = Some(truncated);
        self
    }

    /// The token of the next page, `None` on the last one.
    #[must_use]
    pub fn next_page(mut self, token: Option<String>) -> Self {
        self.next_page = Some(token);
        self
    }

    /// Rules that matched, and the answer of one of them.
    #[must_use]
    pub fn rules(mut self, matched: &[i64], ok_message: Option<&str>) -> Self {
        self.rules = matched.to_vec();
        self.ok_message = ok_message.map(str::to_owned);
        self
    }

    fn write(self, map: &mut Map<String, Value>) {
        if let Some(token) = self.next_page {
            map.insert("next_page_token".to_owned(), token.map_or(Value::Null, Value::String));
        }
        if let Some(truncated) = self.truncated {
            map.insert("truncated".to_owned(), Value::Bool(truncated));
        }
        if let Some((target_id, protocol)) = self.target {
            map.insert("target_id".to_owned(), Value::String(target_id));
            map.insert("protocol".to_owned(), Value::String(protocol.as_str().to_owned()));
        }
        if let Some(run_id) = self.run_id {
            map.insert("run_id".to_owned(), run_id.into());
        }
        if let Some(message) = self.ok_message {
            map.insert("ok_message".to_owned(), Value::String(message));
        }
        if !self.rules.is_empty() {
            map.insert("rules_matched".to_owned(), self.rules.into());
        }
    }

    /// The keys as JSON text to go behind others, each with a comma before it.
    pub(crate) fn tail(self) -> String {
        let mut map = Map::new();
        self.write(&mut map);
        let text = serde_json::to_string(&map).unwrap_or_default();
        let inner = text.trim_start_matches('{').trim_end_matches('}');
        if inner.is_empty() { String::new() } else { format!(",{inner}") }
    }
}

/// Whether the failure says that the target or the object is not there, for tools that try several places.
#[must_use]
pub fn is_not_found(error: &ToolError) -> bool {
    error.code == ErrorCode::NotFound
}

/// Maps a failure of the database side and adds the argument that caused it.
#[must_use]
pub fn argument_error(error: harvest::HarvestError, argument: &str) -> ToolError {
    let error = tool_error(error);
    if error.code == ErrorCode::InvalidArgument { error.with("argument", argument) } else { error }
}
