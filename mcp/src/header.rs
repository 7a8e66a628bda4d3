//! The protocol's HTTP headers against the body they mirror, in the modern era; it does not know an HTTP library.

use serde_json::{Map, Value};

use crate::base64;
use crate::rpc::{RpcError, clip};

/// Where header values come from: `None` when absent, else the value with surrounding white space allowed.
pub trait HeaderSource {
    /// The value of the header `name` (lower case). A value that is no text counts as `Some("\u{fffd}")`.
    fn header(&self, name: &str) -> Option<&str>;
}

impl<F: Fn(&str) -> Option<&'static str>> HeaderSource for F {
    fn header(&self, name: &str) -> Option<&str> {
        self(name)
    }
}

/// Decodes a mirrored value: `=?base64?…?=` holds strict Base64 of UTF-8 text, anything else is literal.
///
/// # Errors
/// `-32020` for a sentinel whose inside is not Base64 of UTF-8.
pub fn decode_header_value(value: &str) -> Result<String, RpcError> {
    let value = value.trim_matches([' ', '\t']);
    let Some(inside) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Ok(value.to_owned());
    };
    base64::decode(inside)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| RpcError::header_mismatch("a header value is not valid Base64 of UTF-8 text"))
}

/// Checks `MCP-Protocol-Version`, `Mcp-Method` and `Mcp-Name` against a modern request.
///
/// # Errors
/// `-32020` naming the header that is missing or disagrees.
pub fn check_standard_headers(
    headers: &dyn HeaderSource,
    protocol_version: &str,
    method: &str,
    params: &Map<String, Value>,
) -> Result<(), RpcError> {
    require(headers, "MCP-Protocol-Version", "mcp-protocol-version", protocol_version)?;
    require(headers, "Mcp-Method", "mcp-method", method)?;
    if let Some(key) = name_member(method)
        && let Some(Value::String(name)) = params.get(key)
    {
        require(headers, "Mcp-Name", "mcp-name", name)?;
    }
    Ok(())
}

/// The member of `params` that `Mcp-Name` mirrors.
fn name_member(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" => Some("uri"),
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
        _ => None,
    }
}

fn require(headers: &dyn HeaderSource, label: &str, name: &str, expected: &str) -> Result<(), RpcError> {
    let value = headers
        .header(name)
        .ok_or_else(|| RpcError::header_mismatch(format!("the header {label} is missing")))?;
    let decoded = decode_header_value(value)?;
    if decoded == expected {
        return Ok(());
    }
    Err(RpcError::header_mismatch(format!(
        "the header {label} says {:?}, the body {:?}",
        clip(&decoded),
        clip(expected)
    )))
}

/// A tool argument that clients mirror into a header.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParamHeader {
    /// The argument.
    pub argument: String,
    /// The header in lower case, `mcp-param-…`.
    pub header: String,
}

impl ParamHeader {
    /// The mirrored arguments of an input schema: top-level properties of a primitive type whose `x-mcp-header` is a
    /// header token, each name once.
    #[must_use]
    pub fn of_schema(schema: &Value) -> Vec<Self> {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return Vec::new();
        };
        let mut found: Vec<Self> = Vec::new();
        for (argument, property) in properties {
            let Some(Value::String(name)) = property.get("x-mcp-header") else { continue };
            let primitive = matches!(
                property.get("type").and_then(Value::as_str),
                Some("string" | "integer" | "boolean")
            );
            let token = !name.is_empty() && name.bytes().all(is_token_byte);
            let header = format!("mcp-param-{}", name.to_ascii_lowercase());
            if primitive && token && found.iter().all(|f| f.header != header) {
                found.push(Self { argument: argument.clone(), header });
            }
        }
        found
    }

    /// Checks the header against the argument: present exactly when the argument is, and equal after decoding.
    ///
    /// # Errors
    /// `-32020`.
    pub fn check(&self, headers: &dyn HeaderSource, arguments: &Map<String, Value>) -> Result<(), RpcError> {
        let expected = match arguments.get(&self.argument) {
            None | Some(Value::Null) => {
                return match headers.header(&self.header) {
                    None => Ok(()),
                    Some(_) => Err(RpcError::header_mismatch(format!(
                        "the header {} has no argument {:?} in the body",
                        self.header, self.argument
                    ))),
                };
            }
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        require(headers, &self.header, &self.header, &expected)
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn sentinels_are_strict_and_anything_else_is_literal() {
        assert_eq!(decode_header_value("=?base64?SGVsbG8=?=").unwrap(), "Hello");
        assert_eq!(decode_header_value("  SGVsbG8=\t").unwrap(), "SGVsbG8=");
        assert_eq!(decode_header_value("=?base64?SGVsbG8=").unwrap(), "=?base64?SGVsbG8=");
        for bad in ["=?base64?SGVsbG8?=", "=?base64?SGVs!!!bG8=?=", "=?base64?/w==?="] {
            assert_eq!(decode_header_value(bad).unwrap_err().code, RpcError::HEADER_MISMATCH);
        }
    }

    #[test]
    fn param_headers_follow_the_argument() {
        let schema = json!({"properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "again": {"type": "string", "x-mcp-header": "REGION"},
            "bad": {"type": "string", "x-mcp-header": "a b"},
            "deep": {"type": "object", "x-mcp-header": "Deep"},
        }});
        let headers = ParamHeader::of_schema(&schema);
        assert_eq!(headers.len(), 1);
        let args = |v: Value| v.as_object().cloned().unwrap();
        let with = |n: &str| (n == "mcp-param-region").then_some("=?base64?ZXU=?=");
        let without = |_: &str| None;
        assert!(headers[0].check(&with, &args(json!({"region": "eu"}))).is_ok());
        assert!(headers[0].check(&with, &args(json!({"region": "us"}))).is_err());
        assert!(headers[0].check(&without, &args(json!({"region": "eu"}))).is_err());
        assert!(headers[0].check(&with, &args(json!({}))).is_err());
        assert!(headers[0].check(&without, &args(json!({"region": null}))).is_ok());
    }

    proptest! {
        #[test]
        fn any_value_is_decoded_or_refused(value in "(=\\?base64\\?)?[ -~]{0,40}(\\?=)?") {
            let _ = decode_header_value(&value);
        }

        #[test]
        fn encoded_text_comes_back(text in "\\PC{0,30}") {
            let value = format!("=?base64?{}?=", base64::encode(text.as_bytes()));
            prop_assert_eq!(decode_header_value(&value).unwrap(), text);
        }
    }
}
