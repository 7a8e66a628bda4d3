//! JSON-RPC errors: the codes the protocol assigns, their data and their HTTP status; it does not know transports.

use serde::Serialize;
use serde_json::{Value, json};

use crate::version::{Era, ProtocolVersion};

/// A JSON-RPC error object.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[error("{message} ({code})")]
#[non_exhaustive]
pub struct RpcError {
    /// One of the codes that JSON-RPC or the protocol assigns.
    pub code: i64,
    /// One sentence; never a secret, never internal text.
    pub message: String,
    /// Machine-readable details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    /// Malformed JSON.
    pub const PARSE: i64 = -32700;
    /// Not a JSON-RPC 2.0 request object.
    pub const INVALID_REQUEST: i64 = -32600;
    /// Unknown method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// Wrong parameters, unknown tool, prompt, resource, cursor or task.
    pub const INVALID_PARAMS: i64 = -32602;
    /// Something failed inside.
    pub const INTERNAL: i64 = -32603;
    /// Unknown resource, legacy era only.
    pub const LEGACY_RESOURCE_NOT_FOUND: i64 = -32002;
    /// A header is missing or disagrees with the body (modern).
    pub const HEADER_MISMATCH: i64 = -32020;
    /// A client capability is needed that was not declared (modern).
    pub const MISSING_CAPABILITY: i64 = -32021;
    /// The requested protocol version is not spoken here (modern).
    pub const UNSUPPORTED_VERSION: i64 = -32022;

    /// An error without data.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// Adds data.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// `-32602`.
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(Self::INVALID_PARAMS, message)
    }

    /// `-32601` for `method`.
    #[must_use]
    pub fn method_not_found(method: &str) -> Self {
        Self::new(Self::METHOD_NOT_FOUND, format!("method {} is not offered here", clip(method)))
    }

    /// `-32603` with the incident id under which the cause is logged.
    #[must_use]
    pub fn internal(incident_id: &str) -> Self {
        Self::new(Self::INTERNAL, format!("internal error, incident {incident_id}"))
            .with_data(json!({"incident_id": incident_id}))
    }

    /// `-32020`.
    pub fn header_mismatch(message: impl Into<String>) -> Self {
        Self::new(Self::HEADER_MISMATCH, message)
    }

    /// `-32022` for a version that is not spoken here.
    #[must_use]
    pub fn unsupported_version(requested: &str) -> Self {
        Self::new(Self::UNSUPPORTED_VERSION, "protocol version is not supported").with_data(json!({
            "supported": ProtocolVersion::MODERN_LIST,
            "requested": clip(requested),
        }))
    }

    /// `-32021`; `required` is a `ClientCapabilities` object such as `{"sampling": {}}`.
    #[must_use]
    pub fn missing_capability(required: Value) -> Self {
        Self::new(Self::MISSING_CAPABILITY, "the client did not declare a capability that this request needs")
            .with_data(json!({"requiredCapabilities": required}))
    }

    /// The error of a resource that does not exist.
    #[must_use]
    pub fn resource_not_found(era: Era, uri: &str) -> Self {
        let code = match era {
            Era::Modern => Self::INVALID_PARAMS,
            Era::Legacy(_) => Self::LEGACY_RESOURCE_NOT_FOUND,
        };
        Self::new(code, "resource not found").with_data(json!({"uri": uri}))
    }

    /// The HTTP status that goes with this error in `era`.
    #[must_use]
    pub fn http_status(&self, era: Era) -> u16 {
        match (self.code, era) {
            (Self::PARSE | Self::INVALID_REQUEST, _) => 400,
            (Self::METHOD_NOT_FOUND, Era::Modern) => 404,
            (Self::HEADER_MISMATCH | Self::MISSING_CAPABILITY | Self::UNSUPPORTED_VERSION, _) => 400,
            _ => 200,
        }
    }
}

/// Keeps caller text in messages short.
pub(crate) fn clip(text: &str) -> String {
    const CHARS_MAX: usize = 128;
    if text.len() <= CHARS_MAX {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(CHARS_MAX).collect();
    short.push('…');
    short
}
