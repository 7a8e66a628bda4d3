//! Calls a host's own endpoint without a socket and records what went to and fro; it does not know HTTP.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use crate::context::{CallContext, Caller};
use crate::dispatch::{ArgumentCheck, Dispatcher, Incoming, ServerInfo};
use crate::endpoint::Endpoint;
use crate::meta::{META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_PROTOCOL_VERSION};
use crate::rounds::StateSeal;
use crate::rpc::RpcError;
use crate::spec::{Scope, ToolSpec};
use crate::version::Era;

/// Judges values against JSON Schemas; `mcp_server::JsonSchemaCheck` is one.
pub trait SchemaCheck: Send + Sync {
    /// Whether `value` fits `schema`.
    ///
    /// # Errors
    /// What does not fit, one sentence.
    fn check(&self, schema: &Value, value: &Value) -> Result<(), String>;
}

/// A client in the same process: it serves each request on the calling thread.
pub struct TestClient {
    endpoint: Endpoint,
    dispatcher: Dispatcher,
    schemas: Option<Arc<dyn SchemaCheck>>,
    caller: Caller,
    era: Era,
    capabilities: Value,
    transcript: Mutex<Vec<Value>>,
}

impl TestClient {
    /// A modern client with the scope `full` and no capabilities.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            dispatcher: Dispatcher::new(ServerInfo::new("test", "0"), Arc::new(PlainSeal), None),
            schemas: None,
            caller: Caller::new("test", Scope::Full),
            era: Era::Modern,
            capabilities: json!({}),
            transcript: Mutex::new(Vec::new()),
        }
    }

    /// Checks every structured result against the tool's output schema.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Arc<dyn SchemaCheck>) -> Self {
        self.schemas = Some(schemas);
        self
    }

    /// Checks arguments as the server does.
    #[must_use]
    pub fn with_argument_check(mut self, check: Arc<dyn ArgumentCheck>) -> Self {
        self.dispatcher = Dispatcher::new(ServerInfo::new("test", "0"), Arc::new(PlainSeal), Some(check));
        self
    }

    /// Calls as `caller`.
    #[must_use]
    pub fn with_caller(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }

    /// Speaks another era.
    #[must_use]
    pub fn with_era(mut self, era: Era) -> Self {
        self.era = era;
        self
    }

    /// Declares client capabilities (modern era).
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Value) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Sends one request and gives the result object.
    ///
    /// # Errors
    /// The JSON-RPC error.
    pub fn request(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let mut map = match params {
            Value::Object(map) => map,
            Value::Null => Map::new(),
            _ => return Err(RpcError::invalid_params("params is not an object")),
        };
        let shown = Value::Object(map.clone());
        if self.era.is_modern() {
            let meta = json!({
                META_PROTOCOL_VERSION: self.era.version().as_str(),
                META_CLIENT_CAPABILITIES: self.capabilities,
                META_CLIENT_INFO: {"name": "test", "version": "0"},
            });
            map.insert("_meta".to_owned(), meta);
        }
        let incoming = Incoming::new(method.to_owned(), map, self.era);
        let cx = CallContext::new(self.caller.clone(), &self.endpoint.path);
        let answer = self.dispatcher.serve(&self.endpoint, incoming, &cx).and_then(|text| {
            serde_json::from_str::<Value>(&text)
                .map_err(|e| RpcError::new(RpcError::INTERNAL, format!("the result is not JSON: {e}")))
        });
        let entry = match &answer {
            Ok(result) => json!({"method": method, "params": shown, "result": result}),
            Err(error) => json!({"method": method, "params": shown, "error": error}),
        };
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        answer
    }

    /// Calls a tool and gives its whole result. With schemas, a structured result that does not fit the tool's output
    /// schema, or differs from the text block, is an error.
    ///
    /// # Errors
    /// The JSON-RPC error, or `-32603` that says what does not fit.
    pub fn call(&self, name: &str, arguments: Value) -> Result<Value, RpcError> {
        let result = self.request("tools/call", json!({"name": name, "arguments": arguments}))?;
        if let (Some(schemas), Some(spec)) = (&self.schemas, self.endpoint.tools.find(&self.caller, name)) {
            check_result(schemas.as_ref(), &spec, &result)
                .map_err(|what| RpcError::new(RpcError::INTERNAL, format!("{name}: {what}")))?;
        }
        Ok(result)
    }

    /// Calls a tool and gives the structured value of a success.
    ///
    /// # Errors
    /// The structured value of a failure, or the JSON-RPC error as `{"error": …}`.
    pub fn structured(&self, name: &str, arguments: Value) -> Result<Value, Value> {
        let mut result = self.call(name, arguments).map_err(|e| json!({"error": e}))?;
        let value = result.get_mut("structuredContent").map(Value::take).unwrap_or_default();
        if result.get("isError") == Some(&Value::Bool(true)) { Err(value) } else { Ok(value) }
    }

    /// All descriptors, over all pages.
    ///
    /// # Errors
    /// The JSON-RPC error.
    pub fn list_tools(&self) -> Result<Vec<Value>, RpcError> {
        let mut tools = Vec::new();
        let mut params = json!({});
        loop {
            let mut page = self.request("tools/list", params)?;
            if let Some(Value::Array(items)) = page.get_mut("tools") {
                tools.append(items);
            }
            match page.get("nextCursor") {
                Some(cursor) => params = json!({"cursor": cursor}),
                None => return Ok(tools),
            }
        }
    }

    /// What went to and fro so far: `{method, params, result | error}` in order.
    #[must_use]
    pub fn transcript(&self) -> Vec<Value> {
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn check_result(schemas: &dyn SchemaCheck, spec: &ToolSpec, result: &Value) -> Result<(), String> {
    let Some(schema) = &spec.output_schema else { return Ok(()) };
    let Some(structured) = result.get("structuredContent") else {
        let asks = result.get("resultType").and_then(Value::as_str) == Some("input_required");
        return if asks {
            Ok(())
        } else {
            Err("the tool has an output schema but no structured result".to_owned())
        };
    };
    schemas.check(schema, structured)?;
    let text = result.pointer("/content/0/text").and_then(Value::as_str).unwrap_or_default();
    let told: Value = serde_json::from_str(text).unwrap_or_default();
    if told == *structured {
        Ok(())
    } else {
        Err("the text block and the structured result differ".to_owned())
    }
}

/// Seals nothing: client and server are one process here.
struct PlainSeal;

impl StateSeal for PlainSeal {
    fn seal(&self, plain: &[u8]) -> String {
        crate::base64::encode(plain)
    }
    fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        crate::base64::decode(sealed)
    }
    fn digest(&self, bytes: &[u8]) -> String {
        crate::base64::encode(bytes)
    }
}

#[cfg(test)]
mod tests;
