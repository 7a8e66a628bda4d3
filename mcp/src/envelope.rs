//! Reads one JSON-RPC message and keeps the caller's id as it was written; it does not know any method.

use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::rpc::RpcError;

/// Longest id that is accepted, in bytes of JSON text.
pub const REQUEST_ID_BYTES_MAX: usize = 1024;
/// Longest method name that is accepted, in bytes.
pub const METHOD_BYTES_MAX: usize = 256;

/// A request id, kept as the JSON text that the caller sent (`7`, `-1`, `1.0`, `"a"`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// The id as JSON text, to be written back unchanged.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// An id from JSON text; `None` unless it is a number or a string of bounded length.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        let raw = serde_json::from_str::<&RawValue>(text).ok()?;
        Self::from_raw(raw)
    }

    fn from_raw(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        let first = *text.as_bytes().first()?;
        let valid = first == b'"' || first == b'-' || first.is_ascii_digit();
        (valid && text.len() <= REQUEST_ID_BYTES_MAX).then(|| Self(text.into()))
    }

    /// The id as a value, for `_meta` entries that carry it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or(Value::Null)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One message from a client.
// Exhaustive: JSON-RPC has these three.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Wants an answer.
    Request {
        /// The caller's id.
        id: RequestId,
        /// The method.
        method: String,
        /// The parameters; empty when absent.
        params: Map<String, Value>,
    },
    /// Wants none.
    Notification {
        /// The method.
        method: String,
        /// The parameters; empty when absent.
        params: Map<String, Value>,
    },
    /// Answers a request that the server sent.
    Response {
        /// The id that the server gave.
        id: RequestId,
        /// The client's result, or its error.
        outcome: Result<Value, Value>,
    },
}

/// A message that cannot be served, with the id if it could be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{error}")]
#[non_exhaustive]
pub struct EnvelopeError {
    /// The caller's id, if it was readable.
    pub id: Option<RequestId>,
    /// `-32700`, `-32600` or `-32602`.
    pub error: RpcError,
}

impl EnvelopeError {
    fn invalid(id: Option<RequestId>, message: &str) -> Self {
        Self { id, error: RpcError::new(RpcError::INVALID_REQUEST, message) }
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present_raw")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present_raw")]
    method: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    params: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    error: Option<Value>,
}

/// Tells `null` from absence.
fn present<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(input).map(Some)
}

/// The same for text that is kept as it is.
fn present_raw<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&'de RawValue>::deserialize(input).map(Some)
}

/// Reads one message from a body or a line.
///
/// # Errors
/// `-32700` for malformed JSON, `-32600` for JSON that is no request object (a batch too), `-32602` for `params` that
/// are no object; with the id whenever it could be read.
pub fn read_message(bytes: &[u8]) -> Result<Message, EnvelopeError> {
    let malformed =
        |what: &str| EnvelopeError { id: None, error: RpcError::new(RpcError::PARSE, what.to_owned()) };
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("the body is not UTF-8"))?;
    let first = text.trim_start_matches([' ', '\t', '\r', '\n']).as_bytes().first().copied();
    if first != Some(b'{') {
        // Syntax is judged first: half an array is malformed, a whole one is a batch.
        serde_json::from_str::<IgnoredAny>(text).map_err(|_| malformed("the body is not valid JSON"))?;
        let what = if first == Some(b'[') {
            "batches are not supported: send one request per body"
        } else {
            "a request is a JSON object"
        };
        return Err(EnvelopeError::invalid(None, what));
    }
    match serde_json::from_str::<Wire<'_>>(text) {
        Ok(wire) => wire.classify(),
        Err(error) if error.is_data() => Err(EnvelopeError::invalid(None, "the request repeats a member")),
        Err(_) if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
            Err(malformed("the body nests deeper than 127 levels"))
        }
        Err(_) => Err(malformed("the body is not valid JSON")),
    }
}

impl Wire<'_> {
    fn classify(self) -> Result<Message, EnvelopeError> {
        let id = match self.id {
            None => None,
            Some(raw) => match RequestId::from_raw(raw) {
                Some(id) => Some(id),
                None => {
                    return Err(EnvelopeError::invalid(
                        None,
                        "id is a string or a number, not null, of at most 1024 bytes",
                    ));
                }
            },
        };
        if self.jsonrpc.is_none_or(|v| v.get() != "\"2.0\"") {
            return Err(EnvelopeError::invalid(id, "jsonrpc is not \"2.0\""));
        }
        let Some(method) = self.method else {
            return self.response(id);
        };
        let Ok(method) = serde_json::from_str::<String>(method.get()) else {
            return Err(EnvelopeError::invalid(id, "method is not a string"));
        };
        if method.len() > METHOD_BYTES_MAX {
            return Err(EnvelopeError::invalid(id, "method is longer than 256 bytes"));
        }
        let params = match self.params {
            None => Map::new(),
            Some(Value::Object(map)) => map,
            Some(_) => {
                return Err(EnvelopeError { id, error: RpcError::invalid_params("params is not an object") });
            }
        };
        Ok(match id {
            Some(id) => Message::Request { id, method, params },
            None => Message::Notification { method, params },
        })
    }

    fn response(self, id: Option<RequestId>) -> Result<Message, EnvelopeError> {
        match (id, self.result, self.error) {
            (Some(id), Some(result), None) => Ok(Message::Response { id, outcome: Ok(result) }),
            (Some(id), None, Some(error)) => Ok(Message::Response { id, outcome: Err(error) }),
            (id, ..) => Err(EnvelopeError::invalid(id, "method is missing")),
        }
    }
}

#[cfg(test)]
#[path = "envelope/tests.rs"]
mod tests;
