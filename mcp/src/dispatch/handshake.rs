//! `server/discover` and `initialize`: what an endpoint says that it can do; it does not know sessions.

use serde_json::{Map, Value, json};

use super::Dispatcher;
use crate::endpoint::{Endpoint, everything};
use crate::json::ObjectWriter;
use crate::meta::TASKS_EXTENSION;
use crate::rpc::RpcError;
use crate::version::{Era, ProtocolVersion};

impl Dispatcher {
    /// The result of `server/discover`.
    #[must_use]
    pub fn discover(&self, endpoint: &Endpoint) -> String {
        let mut capabilities = capabilities(endpoint, true);
        let has_tasks =
            endpoint.tasks && endpoint.tools.list(&everything()).iter().any(|spec| spec.task_support);
        if has_tasks {
            capabilities.insert("extensions".into(), json!({TASKS_EXTENSION: {}}));
        }
        let mut out = ObjectWriter::with_capacity(512);
        out.field("supportedVersions", &ProtocolVersion::MODERN_LIST);
        out.field("capabilities", &capabilities);
        let instructions = endpoint.full_instructions();
        if !instructions.is_empty() {
            out.field("instructions", &instructions);
        }
        self.finish_cacheable(Era::Modern, out, endpoint.list_ttl_ms, "public")
    }

    /// The negotiated revision and the result of `initialize`.
    ///
    /// # Errors
    /// `-32602` without a `protocolVersion`.
    pub fn initialize(
        &self,
        endpoint: &Endpoint,
        params: &Map<String, Value>,
    ) -> Result<(ProtocolVersion, String), RpcError> {
        let version = ProtocolVersion::negotiate_legacy(super::text_param(params, "protocolVersion")?);
        let mut out = ObjectWriter::with_capacity(512);
        out.field("protocolVersion", version.as_str());
        // Log levels and subscriptions of legacy clients live in their session.
        out.field("capabilities", &capabilities(endpoint, endpoint.sessions));
        out.field("serverInfo", &self.info);
        let instructions = endpoint.full_instructions();
        if !instructions.is_empty() {
            out.field("instructions", &instructions);
        }
        Ok((version, out.finish()))
    }
}

/// Exactly what the endpoint has. `follows` says whether clients can set a log level and follow resources.
fn capabilities(endpoint: &Endpoint, follows: bool) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("tools".into(), json!({"listChanged": true}));
    if let Some(resources) = &endpoint.resources {
        map.insert(
            "resources".into(),
            json!({"listChanged": true, "subscribe": follows && resources.subscribable()}),
        );
    }
    if endpoint.prompts.is_some() {
        map.insert("prompts".into(), json!({"listChanged": true}));
    }
    if endpoint.completer.is_some() {
        map.insert("completions".into(), json!({}));
    }
    if endpoint.logging && follows {
        map.insert("logging".into(), json!({}));
    }
    map
}
