//! What a request says of itself in `_meta`, and what a client can do; it does not know headers.

use serde_json::{Map, Value, json};

use crate::context::LogLevel;
use crate::rpc::RpcError;
use crate::version::ProtocolVersion;

/// Key of the protocol version in a request's `_meta`.
pub const META_PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Key of the client's capabilities in a request's `_meta`.
pub const META_CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Key of the client's name and version in a request's `_meta`.
pub const META_CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// Key of the wanted log level in a request's `_meta`.
pub const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Key of the server's name and version in a result's `_meta`.
pub const META_SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// Key of the subscription in the `_meta` of notifications on a `subscriptions/listen` stream.
pub const META_SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
/// The tasks extension.
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// What a client declared that it can do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClientCapabilities(Map<String, Value>);

impl ClientCapabilities {
    /// Wraps a `ClientCapabilities` object.
    #[must_use]
    pub fn new(declared: Map<String, Value>) -> Self {
        Self(declared)
    }

    /// Whether a top-level capability such as `sampling` is declared.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(Value::is_object)
    }

    /// Whether the client can show a form: `elicitation` that is empty or names `form`.
    #[must_use]
    pub fn has_form_elicitation(&self) -> bool {
        match self.0.get("elicitation") {
            Some(Value::Object(modes)) => modes.is_empty() || modes.contains_key("form"),
            _ => false,
        }
    }

    /// Whether an extension is declared.
    #[must_use]
    pub fn has_extension(&self, id: &str) -> bool {
        self.0.get("extensions").and_then(|e| e.get(id)).is_some_and(Value::is_object)
    }

    /// Whether the tasks extension is declared.
    #[must_use]
    pub fn has_tasks(&self) -> bool {
        self.has_extension(TASKS_EXTENSION)
    }

    /// The `requiredCapabilities` object that names the tasks extension.
    #[must_use]
    pub fn tasks_required() -> Value {
        json!({"extensions": {TASKS_EXTENSION: {}}})
    }
}

/// The `_meta` of a request, in either era.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct RequestMeta {
    /// The version named in `_meta`: its presence makes a request modern.
    pub protocol_version: Option<String>,
    /// The capabilities named in `_meta`.
    pub capabilities: Option<ClientCapabilities>,
    /// The client's name and version.
    pub client_info: Option<Value>,
    /// The level from which log notifications are wanted; none without it.
    pub log_level: Option<LogLevel>,
    /// The token of progress notifications: a string or a number.
    pub progress_token: Option<Value>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

impl RequestMeta {
    /// Takes `_meta` out of `params`. Entries of a wrong type count as absent, except where the modern era requires them.
    #[must_use]
    pub fn take(params: &mut Map<String, Value>) -> Self {
        let Some(Value::Object(mut meta)) = params.remove("_meta") else {
            return Self::default();
        };
        let mut text = |key: &str| match meta.remove(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let protocol_version = text(META_PROTOCOL_VERSION);
        let traceparent = text("traceparent").filter(|t| is_traceparent(t));
        let log_level = text(META_LOG_LEVEL).and_then(|t| serde_json::from_value(Value::String(t)).ok());
        Self {
            protocol_version,
            traceparent,
            log_level,
            capabilities: match meta.remove(META_CLIENT_CAPABILITIES) {
                Some(Value::Object(map)) => Some(ClientCapabilities::new(map)),
                _ => None,
            },
            client_info: meta.remove(META_CLIENT_INFO).filter(Value::is_object),
            progress_token: meta.remove("progressToken").filter(|t| t.is_string() || t.is_number()),
        }
    }

    /// What the modern era requires of `_meta`.
    ///
    /// # Errors
    /// `-32602` for a missing entry, `-32022` for a version that is not spoken here.
    pub fn check_modern(&self) -> Result<(), RpcError> {
        let missing = |key: &str| {
            RpcError::invalid_params(format!("_meta lacks {key}")).with_data(json!({"missing": key}))
        };
        let version = self.protocol_version.as_deref().ok_or_else(|| missing(META_PROTOCOL_VERSION))?;
        if version != ProtocolVersion::V2026_07_28.as_str() {
            return Err(RpcError::unsupported_version(version));
        }
        self.capabilities.is_some().then_some(()).ok_or_else(|| missing(META_CLIENT_CAPABILITIES))
    }
}

/// `00-<32 hex>-<16 hex>-<2 hex>`: anything else would only pollute logs.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts.as_slice(), [v, t, s, f]
        if [(v, 2), (t, 32), (s, 16), (f, 2)].iter().all(|(p, n)| p.len() == *n && p.bytes().all(|b| b.is_ascii_hexdigit())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(value: Value) -> RequestMeta {
        let Value::Object(mut params) = value else { panic!("an object") };
        RequestMeta::take(&mut params)
    }

    #[test]
    fn modern_requests_need_version_and_capabilities() {
        let code = |value| take(value).check_modern().map_err(|e| e.code);
        assert_eq!(code(json!({})), Err(-32602));
        assert_eq!(code(json!({"_meta": {META_CLIENT_CAPABILITIES: {}}})), Err(-32602));
        assert_eq!(code(json!({"_meta": {META_PROTOCOL_VERSION: "2026-07-28"}})), Err(-32602));
        assert_eq!(
            code(json!({"_meta": {META_PROTOCOL_VERSION: "v9", META_CLIENT_CAPABILITIES: {}}})),
            Err(-32022)
        );
        assert_eq!(
            code(json!({"_meta": {META_PROTOCOL_VERSION: "2026-07-28", META_CLIENT_CAPABILITIES: {}}})),
            Ok(())
        );
    }

    #[test]
    fn wrong_types_count_as_absent() {
        let meta = take(json!({"_meta": {"progressToken": [], "traceparent": "x", META_LOG_LEVEL: "loud"}}));
        assert_eq!(meta, RequestMeta::default());
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(take(json!({"_meta": {"traceparent": trace}})).traceparent.as_deref(), Some(trace));
    }
}
