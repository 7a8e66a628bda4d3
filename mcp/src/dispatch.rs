//! Serves the methods of an endpoint that need no transport, for both eras; it does not know sockets, sessions or threads.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::context::CallContext;
use crate::endpoint::Endpoint;
use crate::error::{ErrorCode, ToolError, ToolResult};
use crate::json::ObjectWriter;
use crate::meta::{ClientCapabilities, META_SERVER_INFO, RequestMeta};
use crate::rounds::{Rounds, StateSeal};
use crate::rpc::RpcError;
use crate::spec::ToolSpec;
use crate::version::Era;

mod documents;
mod handshake;
mod tools;

pub use tools::PreparedTool;

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Program name.
    pub name: String,
    /// A title for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Program version.
    pub version: String,
}

impl ServerInfo {
    /// A name and a version.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), title: None, version: version.into() }
    }

    /// Sets the title.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }
}

/// Checks the arguments of a call against the tool's input schema.
pub trait ArgumentCheck: Send + Sync {
    /// Checks `arguments` and may replace values by the lossless coercions of the tool contract.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with `details {argument, expected, got}`.
    fn check(&self, spec: &Arc<ToolSpec>, arguments: &mut Map<String, Value>) -> ToolResult<()>;
}

/// A request after its envelope: what to serve, in which era.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Incoming {
    /// The era it is served in.
    pub era: Era,
    /// The method.
    pub method: String,
    /// The parameters without `_meta`.
    pub params: Map<String, Value>,
    /// What was in `_meta`.
    pub meta: RequestMeta,
}

impl Incoming {
    /// Takes `_meta` out of `params`. `legacy` is the era of a request that `_meta` does not make modern.
    #[must_use]
    pub fn new(method: String, mut params: Map<String, Value>, legacy: Era) -> Self {
        let meta = RequestMeta::take(&mut params);
        let modern = meta.protocol_version.is_some() || method == "server/discover";
        Self { era: if modern { Era::Modern } else { legacy }, method, params, meta }
    }

    /// The capabilities that the request itself declares.
    #[must_use]
    pub fn capabilities(&self) -> ClientCapabilities {
        self.meta.capabilities.clone().unwrap_or_default()
    }
}

/// Serves requests of any endpoint.
pub struct Dispatcher {
    info: ServerInfo,
    /// `"_meta":{…},"resultType":"complete"` of modern results.
    modern_tail: (String, String),
    seal: Arc<dyn StateSeal>,
    check: Option<Arc<dyn ArgumentCheck>>,
}

impl Dispatcher {
    /// A dispatcher; without `check`, arguments reach tools unchecked.
    pub fn new(info: ServerInfo, seal: Arc<dyn StateSeal>, check: Option<Arc<dyn ArgumentCheck>>) -> Self {
        let meta = json!({META_SERVER_INFO: info}).to_string();
        Self { info, modern_tail: (meta, "\"complete\"".to_owned()), seal, check }
    }

    /// What the server says of itself.
    #[must_use]
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// Serves one request on this thread: every method except those that need a transport (`tools/call` is served too).
    /// Gives the result object as JSON text.
    ///
    /// # Errors
    /// The JSON-RPC error to answer with; `-32601` for methods that are not served here.
    pub fn serve(
        &self,
        endpoint: &Endpoint,
        mut incoming: Incoming,
        cx: &CallContext,
    ) -> Result<String, RpcError> {
        if incoming.era.is_modern() {
            incoming.meta.check_modern()?;
        }
        match incoming.method.as_str() {
            "tools/call" | "prompts/get" | "resources/read" => {
                self.serve_rounds(endpoint, incoming, cx.clone())
            }
            _ => self.serve_plain(endpoint, &mut incoming, cx),
        }
    }

    fn serve_rounds(
        &self,
        endpoint: &Endpoint,
        mut incoming: Incoming,
        mut cx: CallContext,
    ) -> Result<String, RpcError> {
        let rounds = self.open_rounds(&cx, &mut incoming)?;
        if let Some(rounds) = &rounds {
            cx.client = Arc::clone(rounds) as _;
        }
        match incoming.method.as_str() {
            "prompts/get" => self.get_prompt(endpoint, &incoming, &cx, rounds.as_deref()),
            "resources/read" => self.read_resource(endpoint, &incoming, &cx, rounds.as_deref()),
            _ => {
                let prepared = self.prepare_tool(endpoint, &cx.caller, &mut incoming.params)?;
                self.run_tool(endpoint, incoming.era, &cx, prepared, rounds.as_deref())
            }
        }
    }

    /// The rounds of a modern `tools/call`, `prompts/get` or `resources/read`; `None` for any other request.
    ///
    /// # Errors
    /// `-32602` as [`Rounds::open`].
    pub fn open_rounds(
        &self,
        cx: &CallContext,
        incoming: &mut Incoming,
    ) -> Result<Option<Arc<Rounds>>, RpcError> {
        let key = match (incoming.era, incoming.method.as_str()) {
            (Era::Modern, "tools/call" | "prompts/get") => "name",
            (Era::Modern, "resources/read") => "uri",
            _ => return Ok(None),
        };
        let name = incoming.params.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let seal = Arc::clone(&self.seal);
        let capabilities = incoming.capabilities();
        Rounds::open(seal, cx, capabilities, &incoming.method, &name, &mut incoming.params)
            .map(|rounds| Some(Arc::new(rounds)))
    }

    /// Serves the methods that ask nothing back: handshake, lists, descriptions, completion.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn serve_plain(
        &self,
        endpoint: &Endpoint,
        incoming: &mut Incoming,
        cx: &CallContext,
    ) -> Result<String, RpcError> {
        let (era, params) = (incoming.era, &incoming.params);
        match (incoming.method.as_str(), era) {
            ("server/discover", Era::Modern) => Ok(self.discover(endpoint)),
            ("initialize", Era::Legacy(_)) => self.initialize(endpoint, params).map(|(_, result)| result),
            ("ping", Era::Legacy(_)) => Ok("{}".to_owned()),
            ("tools/list", _) => self.list_tools(endpoint, era, &cx.caller, params),
            ("tools/describe", _) => self.describe_tool(endpoint, era, &cx.caller, params),
            ("resources/list", _) => self.list_resources(endpoint, era, cx, params),
            ("resources/templates/list", _) => self.list_templates(endpoint, era, cx, params),
            ("prompts/list", _) => self.list_prompts(endpoint, era, cx, params),
            ("completion/complete", _) => self.complete(endpoint, era, cx, params),
            (method, _) => Err(RpcError::method_not_found(method)),
        }
    }

    /// Ends a result object: modern results say what they are and who made them.
    pub(crate) fn finish(&self, era: Era, mut out: ObjectWriter) -> String {
        if era.is_modern() {
            out.raw("resultType", &self.modern_tail.1);
            out.raw("_meta", &self.modern_tail.0);
        }
        out.finish()
    }

    /// An empty success of `era`.
    #[must_use]
    pub fn empty_result(&self, era: Era) -> String {
        self.finish(era, ObjectWriter::with_capacity(160))
    }

    /// A result of `era` with the members of `members`; `resultType` and `_meta` of modern results are added if absent.
    #[must_use]
    pub fn object_result(&self, era: Era, members: &Map<String, Value>) -> String {
        let mut out = ObjectWriter::with_capacity(256);
        for (key, value) in members {
            write_member(&mut out, key, value);
        }
        if era.is_modern() {
            if !members.contains_key("resultType") {
                out.raw("resultType", &self.modern_tail.1);
            }
            if !members.contains_key("_meta") {
                out.raw("_meta", &self.modern_tail.0);
            }
        }
        out.finish()
    }

    /// Ends a list: caching hints of the modern era.
    fn finish_cacheable(&self, era: Era, mut out: ObjectWriter, ttl_ms: u64, scope: &str) -> String {
        if era.is_modern() {
            out.field("ttlMs", &ttl_ms);
            out.field("cacheScope", scope);
        }
        self.finish(era, out)
    }
}

/// Keys that come from hosts are escaped, unlike the constants of this crate.
fn write_member(out: &mut ObjectWriter, key: &str, value: &Value) {
    let quoted = Value::String(key.to_owned()).to_string();
    let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    out.field(inner, value);
}

/// The JSON-RPC error of a failure outside `tools/call`.
fn rpc_of(error: ToolError) -> RpcError {
    let code = match error.code {
        ErrorCode::InvalidArgument
        | ErrorCode::NotFound
        | ErrorCode::FailedPrecondition
        | ErrorCode::PermissionDenied
        | ErrorCode::LimitExceeded => RpcError::INVALID_PARAMS,
        _ => RpcError::INTERNAL,
    };
    let data = error.to_value();
    RpcError::new(code, error.message).with_data(data)
}

/// A parameter that must be text.
fn text_param<'a>(params: &'a Map<String, Value>, key: &str) -> Result<&'a str, RpcError> {
    params
        .get(key)
        .and_then(Value::as_str)
        .ok_or_else(|| RpcError::invalid_params(format!("params.{key} is missing or not a string")))
}

/// The cursor of a list request.
fn cursor_param(params: &Map<String, Value>) -> Result<Option<&str>, RpcError> {
    match params.get("cursor") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(cursor)) => Ok(Some(cursor)),
        Some(_) => Err(RpcError::invalid_params("params.cursor is not a string")),
    }
}
