//! Resources: what a provider offers and how it is asked; it does not know what the documents hold.

use serde::Serialize;

use crate::content::ResourceContents;
use crate::context::CallContext;
use crate::error::ToolResult;

/// A resource in `resources/list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Resource {
    /// Its URI.
    pub uri: String,
    /// Its name.
    pub name: String,
    /// A title for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
}

impl Resource {
    /// A resource with a URI and a name.
    pub fn new(uri: impl Into<String>, name: impl Into<String>) -> Self {
        Self { uri: uri.into(), name: name.into(), title: None, description: None, mime_type: None }
    }

    /// Sets the description.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Sets the title.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Sets the media type.
    #[must_use]
    pub fn with_mime_type(mut self, mime_type: impl Into<String>) -> Self {
        self.mime_type = Some(mime_type.into());
        self
    }
}

/// A family of resources in `resources/templates/list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ResourceTemplate {
    /// RFC 6570 template of the URIs.
    pub uri_template: String,
    /// Its name.
    pub name: String,
    /// A title for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What the resources hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Their media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
}

impl ResourceTemplate {
    /// A template with a name.
    pub fn new(uri_template: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            uri_template: uri_template.into(),
            name: name.into(),
            title: None,
            description: None,
            mime_type: None,
        }
    }

    /// Sets the description.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Sets the media type.
    #[must_use]
    pub fn with_mime_type(mut self, mime_type: impl Into<String>) -> Self {
        self.mime_type = Some(mime_type.into());
        self
    }
}

/// One page of resources.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ResourcePage {
    /// The resources of this page.
    pub resources: Vec<Resource>,
    /// Where the next page starts; `None` on the last one.
    pub next_cursor: Option<String>,
}

impl ResourcePage {
    /// A page; `next_cursor` is given back to the provider as it is.
    #[must_use]
    pub fn new(resources: Vec<Resource>, next_cursor: Option<String>) -> Self {
        Self { resources, next_cursor }
    }
}

/// Offers resources. Calls may block; the server runs them on its bounded threads.
pub trait ResourceProvider: Send + Sync {
    /// One page of the resources that the caller may see. A cursor that this provider did not give out is
    /// `INVALID_ARGUMENT`.
    ///
    /// # Errors
    /// Any failure; it becomes a JSON-RPC error.
    fn list(&self, cx: &CallContext, cursor: Option<&str>) -> ToolResult<ResourcePage>;

    /// The templates, in a fixed order.
    fn templates(&self, cx: &CallContext) -> Vec<ResourceTemplate> {
        let _ = cx;
        Vec::new()
    }

    /// The contents of `uri`, a syntactically valid URI without dot segments; never empty.
    ///
    /// # Errors
    /// `NOT_FOUND` for a URI that does not exist or is hidden from the caller.
    fn read(&self, cx: &CallContext, uri: &str) -> ToolResult<Vec<ResourceContents>>;

    /// Whether updates of single resources are published on the endpoint's change feed.
    fn subscribable(&self) -> bool {
        false
    }

    /// A number that changes whenever the list changes.
    fn generation(&self) -> u64 {
        0
    }
}

/// Longest resource URI that is accepted, in bytes.
pub const URI_BYTES_MAX: usize = 4096;

/// Whether `uri` is an absolute RFC 3986 URI of bounded length without dot segments, plain or percent-encoded.
#[must_use]
pub fn is_safe_uri(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let scheme_ok = scheme.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !scheme_ok || rest.is_empty() || uri.len() > URI_BYTES_MAX || !legal_bytes(rest.as_bytes()) {
        return false;
    }
    let path = rest.split(['?', '#']).next().unwrap_or(rest);
    let lower = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    !lower.split('/').any(|segment| segment == "." || segment == "..")
}

fn legal_bytes(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'%' {
            let pair = bytes.get(at + 1..at + 3);
            if !pair.is_some_and(|p| p.iter().all(u8::is_ascii_hexdigit)) {
                return false;
            }
        } else if !byte.is_ascii_graphic() || b"\"<>\\^`{|}".contains(byte) {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_strict() {
        for good in
            ["test://static-text", "schema://t/s/o?type=view", "urn:a:b", "schema://t/a%2Eb", "a://x/%20"]
        {
            assert!(is_safe_uri(good), "{good}");
        }
        for bad in [
            "",
            "x",
            ":a",
            "1a://x",
            "a:",
            "a://x y",
            "a://x/../y",
            "a://x/%2e%2E/y",
            "a://x/..%2fy",
            "a://ü",
            "a://%zz",
        ] {
            assert!(!is_safe_uri(bad), "{bad}");
        }
    }
}
