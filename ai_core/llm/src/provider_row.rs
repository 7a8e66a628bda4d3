//! One configured provider as the operator writes it; it does not know how the provider is called.

mod columns;

use std::net::IpAddr;

use serde_json::{Map, Value};
use ureq::http::Uri;

use crate::secret::SecretString;

/// The kinds of provider.
// Exhaustive on purpose: mirrors the values of `llm_provider`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ProviderKind {
    /// Chat completions with a bearer key.
    #[default]
    Openai,
    /// The messages API.
    Anthropic,
    /// Chat completions at any URL.
    Generic,
    /// llama.cpp's server, chat or native form.
    LlamaCpp,
}

impl ProviderKind {
    /// The name in tables and variables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
            Self::Generic => "generic",
            Self::LlamaCpp => "llama_cpp",
        }
    }

    /// Reads such a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Openai, Self::Anthropic, Self::Generic, Self::LlamaCpp]
            .into_iter()
            .find(|k| k.as_str() == text)
    }
}

/// Where a provider runs; decides routing and budget.
// Exhaustive on purpose: mirrors the values of `llm_provider_locality`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Locality {
    /// By kind and address.
    #[default]
    Auto,
    /// In the operator's own network.
    Local,
    /// With somebody who sends bills.
    Cloud,
}

impl Locality {
    /// Reads `auto`, `local` or `cloud`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" | "" => Some(Self::Auto),
            "local" => Some(Self::Local),
            "cloud" => Some(Self::Cloud),
            _ => None,
        }
    }
}

/// Deviations of one provider from its dialect.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ProviderOptions {
    /// Name of the member that limits the tokens, such as `max_completion_tokens`.
    pub max_tokens_field: Option<String>,
    /// Members that are not sent.
    pub omit: Vec<String>,
    /// Further headers.
    pub headers: Vec<(String, SecretString)>,
    /// Further members.
    pub extra_body: Map<String, Value>,
}

impl ProviderOptions {
    /// Reads `options_json`; empty text is no option.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let json: Map<String, Value> =
            serde_json::from_str(text).map_err(|e| format!("options_json is not a JSON object: {e}"))?;
        let mut options = Self::default();
        for (name, value) in json {
            match (name.as_str(), value) {
                ("max_tokens_field", Value::String(field)) => options.max_tokens_field = Some(field),
                ("omit", Value::Array(names)) => {
                    let names = names.iter().map(|n| n.as_str().map(str::to_owned)).collect::<Option<_>>();
                    options.omit = names.ok_or("options_json: omit must hold texts")?;
                }
                ("headers", Value::Object(headers)) => {
                    for (header, value) in headers {
                        let value = value.as_str().ok_or("options_json: header values must be texts")?;
                        options.headers.push((header, SecretString::new(value)));
                    }
                }
                ("extra_body", Value::Object(body)) => options.extra_body = body,
                (known @ ("max_tokens_field" | "omit" | "headers" | "extra_body"), _) => {
                    return Err(format!("options_json: {known} has the wrong type"));
                }
                (other, _) => return Err(format!("options_json: unknown member '{other}'")),
            }
        }
        Ok(options)
    }
}

/// What a provider can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// A system role.
    pub system: bool,
    /// Tool calls.
    pub tools: bool,
    /// Streams.
    pub stream: bool,
    /// Answers after a JSON Schema.
    pub json: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self { system: true, tools: true, stream: true, json: true }
    }
}

impl Capabilities {
    /// Reads a list such as `system,stream`; empty text means all.
    ///
    /// # Errors
    /// A text that names the unknown word.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut found = Self { system: false, tools: false, stream: false, json: false };
        for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            match word {
                "system" => found.system = true,
                "tools" => found.tools = true,
                "stream" => found.stream = true,
                "json" => found.json = true,
                other => {
                    return Err(format!("unknown capability '{other}'; known: system, tools, stream, json"));
                }
            }
        }
        Ok(found)
    }
}

/// One row of the provider table, its key resolved.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ProviderRow {
    /// Unique name; `default` is the one made of the `llm_provider*` variables.
    pub name: String,
    /// Its kind.
    pub kind: ProviderKind,
    /// URL, used as given.
    pub url: String,
    /// Model asked when the request names none.
    pub model: String,
    /// The key; empty for none.
    pub key: SecretString,
    /// Where it runs.
    pub locality: Locality,
    /// Dollars for a million input tokens; `None` = unknown.
    pub price_input: Option<f64>,
    /// Dollars for a million output tokens; `None` = unknown.
    pub price_output: Option<f64>,
    /// Lower comes first.
    pub priority: i64,
    /// Calls at the same time; 0 = no limit of its own.
    pub max_concurrency: u32,
    /// Tokens that fit into one request and its answer; 0 = unknown.
    pub context_tokens: u64,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Deviations from the dialect.
    pub options: ProviderOptions,
    /// Whether it is used at all.
    pub active: bool,
}

impl ProviderRow {
    /// An active row with every option at its default.
    pub fn new(
        name: impl Into<String>,
        kind: ProviderKind,
        url: impl Into<String>,
        model: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            kind,
            url: url.into(),
            model: model.into(),
            key: SecretString::default(),
            locality: Locality::Auto,
            price_input: None,
            price_output: None,
            priority: 0,
            max_concurrency: 0,
            context_tokens: 0,
            capabilities: Capabilities::default(),
            options: ProviderOptions::default(),
            active: true,
        }
    }

    /// Whether it counts as local.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self.locality {
            Locality::Local => true,
            Locality::Cloud => false,
            Locality::Auto => self.kind == ProviderKind::LlamaCpp || is_local_url(&self.url),
        }
    }

    /// What is wrong with it; empty when nothing is.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut say = |why: String| faults.push(format!("provider '{}': {why}", self.name));
        if self.name.is_empty() || self.name.len() > 128 {
            say("the name must have 1 to 128 bytes".into());
        }
        if let Err(why) = check_url(&self.url) {
            say(why);
        }
        for price in [self.price_input, self.price_output].into_iter().flatten() {
            if !(0.0..=10_000.0).contains(&price) {
                say(format!("price {price} is outside 0–10000"));
            }
        }
        if self.key.expose().contains(['\r', '\n']) {
            say("the key contains a line break".into());
        }
        faults
    }
}

/// Whether `url` is an absolute http or https URL.
///
/// # Errors
/// A text that says what is wrong.
pub(crate) fn check_url(url: &str) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|_| format!("'{url}' is not a URL"))?;
    let scheme = uri.scheme_str().unwrap_or("");
    if !matches!(scheme, "http" | "https") || uri.host().is_none_or(str::is_empty) {
        return Err(format!("'{url}' is not an http or https URL"));
    }
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err("the URL carries a user name; put secrets into the key".into());
    }
    Ok(())
}

/// Whether the host of `url` is loopback, private or link-local.
pub(crate) fn is_local_url(url: &str) -> bool {
    if url.starts_with("unix:") || url.starts_with('/') {
        return true;
    }
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        Err(_) => host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locality_follows_address_kind_and_override() {
        for local in [
            "http://localhost:1/x",
            "http://127.0.0.1/",
            "http://[::1]:80/",
            "https://10.2.3.4/v1",
            "http://192.168.0.9/",
            "http://[fd00::1]/",
        ] {
            assert!(is_local_url(local), "{local}");
        }
        for cloud in ["https://api.example.com/v1", "http://8.8.8.8/", "http://localhost.example.com/"] {
            assert!(!is_local_url(cloud), "{cloud}");
        }
        let mut row = ProviderRow::new("a", ProviderKind::LlamaCpp, "https://gpu.example.com/completion", "");
        assert!(row.is_local());
        row.locality = Locality::Cloud;
        assert!(!row.is_local());
    }

    #[test]
    fn options_and_capabilities_are_checked() {
        let options = ProviderOptions::parse(
            r#"{"max_tokens_field":"max_completion_tokens","omit":["temperature"],"headers":{"x-a":"b"},"extra_body":{"top_p":1}}"#,
        )
        .unwrap();
        assert_eq!(options.omit, ["temperature"]);
        assert!(!format!("{options:?}").contains("\"b\""));
        assert!(ProviderOptions::parse(r#"{"omit":1}"#).is_err());
        assert!(ProviderOptions::parse(r#"{"other":1}"#).unwrap_err().contains("other"));
        assert!(Capabilities::parse("system, stream").unwrap().stream);
        assert!(Capabilities::parse("fly").is_err());
        assert!(check_url("ftp://a/").is_err());
        assert!(check_url("http://user:pw@host/").is_err());
    }
}
