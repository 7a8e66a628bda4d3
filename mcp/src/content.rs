//! What a tool gives back: content blocks and a structured value; it does not know transports or result envelopes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::ToolError;

/// One content block of a tool result or a prompt message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// An image, base64.
    Image {
        /// Base64 data.
        data: String,
        /// Media type such as `image/png`.
        #[serde(rename = "mimeType")]
        mime_type: String,
    },
    /// Audio, base64.
    Audio {
        /// Base64 data.
        data: String,
        /// Media type such as `audio/wav`.
        #[serde(rename = "mimeType")]
        mime_type: String,
    },
    /// A resource carried inside the result.
    Resource {
        /// The embedded contents.
        resource: ResourceContents,
    },
    /// A pointer to a resource that the client can read.
    ResourceLink {
        /// Where it is.
        uri: String,
        /// Its name.
        name: String,
        /// What it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// Its media type.
        #[serde(rename = "mimeType", skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
    },
}

impl Content {
    /// A text block.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }
}

/// Contents of one resource: text or base64 bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ResourceContents {
    /// The resource's URI.
    pub uri: String,
    /// Its media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Text contents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Base64 contents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
}

impl ResourceContents {
    /// Text contents of `uri`.
    pub fn text(uri: impl Into<String>, mime_type: impl Into<String>, text: impl Into<String>) -> Self {
        Self { uri: uri.into(), mime_type: Some(mime_type.into()), text: Some(text.into()), blob: None }
    }

    /// Base64 contents of `uri`.
    pub fn blob(uri: impl Into<String>, mime_type: impl Into<String>, base64: impl Into<String>) -> Self {
        Self { uri: uri.into(), mime_type: Some(mime_type.into()), text: None, blob: Some(base64.into()) }
    }
}

/// What a finished tool call gives back.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ToolOutput {
    /// Content blocks; when empty and `structured` is set, the server adds the JSON as one text block.
    pub content: Vec<Content>,
    /// The structured result, an object that fits the tool's `outputSchema`.
    pub structured: Option<Value>,
    /// The same as finished JSON text of one object, for results too large to build a value of; `structured` is then
    /// `None`, and the text goes out as it is.
    pub structured_json: Option<String>,
    /// Whether the call failed (a tool failure, not a protocol error).
    pub is_error: bool,
    /// Extra `_meta` entries of the result.
    pub meta: Map<String, Value>,
}

impl ToolOutput {
    /// A structured success; the text block with the same JSON is added on the wire.
    #[must_use]
    pub fn structured(value: Value) -> Self {
        Self { structured: Some(value), ..Self::default() }
    }

    /// A structured success as JSON text of one object; the caller vouches that it is well-formed.
    #[must_use]
    pub fn structured_json(text: String) -> Self {
        Self { structured_json: Some(text), ..Self::default() }
    }

    /// The structured result as a value, however it is held.
    #[must_use]
    pub fn structured_value(&self) -> Option<Value> {
        match (&self.structured, &self.structured_json) {
            (Some(value), _) => Some(value.clone()),
            (None, Some(text)) => serde_json::from_str(text).ok(),
            (None, None) => None,
        }
    }

    /// A success with content blocks only.
    #[must_use]
    pub fn content(content: Vec<Content>) -> Self {
        Self { content, ..Self::default() }
    }

    /// The failure form of `error`.
    #[must_use]
    pub fn error(error: &ToolError) -> Self {
        Self { structured: Some(error.to_value()), is_error: true, ..Self::default() }
    }
}
