//! Resources, prompts and completion over their providers; it does not know what they hold.

use serde_json::{Map, Value};

use super::{Dispatcher, Incoming, cursor_param, rpc_of, text_param};
use crate::context::CallContext;
use crate::endpoint::Endpoint;
use crate::error::ErrorCode;
use crate::json::ObjectWriter;
use crate::page::{LIST_PAGE_ITEMS, decode_cursor, encode_cursor};
use crate::prompt::{COMPLETION_VALUES_MAX, Completion, CompletionRequest, CompletionTarget, Prompt};
use crate::resource::is_safe_uri;
use crate::rounds::Rounds;
use crate::rpc::{RpcError, clip};
use crate::version::Era;

impl Dispatcher {
    pub(super) fn list_resources(
        &self,
        endpoint: &Endpoint,
        era: Era,
        cx: &CallContext,
        params: &Map<String, Value>,
    ) -> Result<String, RpcError> {
        let provider =
            endpoint.resources.as_ref().ok_or_else(|| RpcError::method_not_found("resources/list"))?;
        let page = provider.list(cx, cursor_param(params)?).map_err(rpc_of)?;
        let mut out = ObjectWriter::with_capacity(256 * page.resources.len() + 256);
        out.field("resources", &page.resources);
        if let Some(next) = &page.next_cursor {
            out.field("nextCursor", next);
        }
        Ok(self.finish_cacheable(era, out, endpoint.list_ttl_ms, "private"))
    }

    pub(super) fn list_templates(
        &self,
        endpoint: &Endpoint,
        era: Era,
        cx: &CallContext,
        params: &Map<String, Value>,
    ) -> Result<String, RpcError> {
        let provider = endpoint
            .resources
            .as_ref()
            .ok_or_else(|| RpcError::method_not_found("resources/templates/list"))?;
        let templates = provider.templates(cx);
        let start = decode_cursor("templates", cursor_param(params)?, templates.len())?;
        let end = templates.len().min(start + LIST_PAGE_ITEMS);
        let mut out = ObjectWriter::with_capacity(512);
        out.field("resourceTemplates", &templates[start..end]);
        if end < templates.len() {
            out.field("nextCursor", &encode_cursor("templates", end));
        }
        Ok(self.finish_cacheable(era, out, endpoint.list_ttl_ms, "private"))
    }

    /// The result of `resources/read`. `rounds` is what the request opened with [`open_rounds`](Self::open_rounds).
    ///
    /// # Errors
    /// Resource not found, or what the provider fails with.
    pub fn read_resource(
        &self,
        endpoint: &Endpoint,
        incoming: &Incoming,
        cx: &CallContext,
        rounds: Option<&Rounds>,
    ) -> Result<String, RpcError> {
        let era = incoming.era;
        let provider =
            endpoint.resources.as_ref().ok_or_else(|| RpcError::method_not_found("resources/read"))?;
        let uri = text_param(&incoming.params, "uri")?;
        if !is_safe_uri(uri) {
            return Err(RpcError::resource_not_found(era, &clip(uri)));
        }
        match provider.read(cx, uri) {
            Ok(contents) if contents.is_empty() => Err(RpcError::resource_not_found(era, uri)),
            Ok(contents) => {
                let mut out = ObjectWriter::with_capacity(1024);
                out.field("contents", &contents);
                Ok(self.finish_cacheable(era, out, endpoint.list_ttl_ms, "private"))
            }
            Err(error) => match self.finish_signal(era, cx, rounds)? {
                Some(result) => Ok(result),
                None if error.code == ErrorCode::NotFound => Err(RpcError::resource_not_found(era, uri)),
                None => Err(rpc_of(error)),
            },
        }
    }

    pub(super) fn list_prompts(
        &self,
        endpoint: &Endpoint,
        era: Era,
        cx: &CallContext,
        params: &Map<String, Value>,
    ) -> Result<String, RpcError> {
        let provider = endpoint.prompts.as_ref().ok_or_else(|| RpcError::method_not_found("prompts/list"))?;
        let prompts = provider.list(cx);
        let start = decode_cursor("prompts", cursor_param(params)?, prompts.len())?;
        let end = prompts.len().min(start + LIST_PAGE_ITEMS);
        let mut out = ObjectWriter::with_capacity(256 * (end - start) + 256);
        out.field("prompts", &prompts[start..end]);
        if end < prompts.len() {
            out.field("nextCursor", &encode_cursor("prompts", end));
        }
        Ok(self.finish_cacheable(era, out, endpoint.list_ttl_ms, "private"))
    }

    /// The result of `prompts/get`. `rounds` is what the request opened with [`open_rounds`](Self::open_rounds).
    ///
    /// # Errors
    /// `-32602` for an unknown prompt and for arguments that are missing or no strings; what the provider fails with.
    pub fn get_prompt(
        &self,
        endpoint: &Endpoint,
        incoming: &Incoming,
        cx: &CallContext,
        rounds: Option<&Rounds>,
    ) -> Result<String, RpcError> {
        let provider = endpoint.prompts.as_ref().ok_or_else(|| RpcError::method_not_found("prompts/get"))?;
        let name = text_param(&incoming.params, "name")?;
        let prompts = provider.list(cx);
        let prompt = prompts
            .iter()
            .find(|p| p.name == name)
            .ok_or_else(|| RpcError::invalid_params(format!("unknown prompt: {}", clip(name))))?;
        let arguments = prompt_arguments(prompt, incoming.params.get("arguments"))?;
        match provider.get(cx, name, &arguments) {
            Ok(output) => {
                let mut out = ObjectWriter::with_capacity(1024);
                if let Some(description) = &output.description {
                    out.field("description", description);
                }
                out.field("messages", &output.messages);
                Ok(self.finish(incoming.era, out))
            }
            Err(error) => match self.finish_signal(incoming.era, cx, rounds)? {
                Some(result) => Ok(result),
                None => Err(rpc_of(error)),
            },
        }
    }

    pub(super) fn complete(
        &self,
        endpoint: &Endpoint,
        era: Era,
        cx: &CallContext,
        params: &Map<String, Value>,
    ) -> Result<String, RpcError> {
        let completer =
            endpoint.completer.as_ref().ok_or_else(|| RpcError::method_not_found("completion/complete"))?;
        let request = completion_request(params)?;
        let completion = completer.complete(cx, &request).map_err(rpc_of)?;
        let mut out = ObjectWriter::with_capacity(512);
        out.field("completion", &completion_value(completion));
        Ok(self.finish(era, out))
    }
}

fn prompt_arguments(prompt: &Prompt, given: Option<&Value>) -> Result<Map<String, Value>, RpcError> {
    let arguments = match given {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => map.clone(),
        Some(_) => return Err(RpcError::invalid_params("params.arguments is not an object")),
    };
    if let Some((name, _)) = arguments.iter().find(|(_, v)| !v.is_string()) {
        return Err(RpcError::invalid_params(format!("prompt argument {:?} is not a string", clip(name))));
    }
    if let Some(missing) = prompt.arguments.iter().find(|a| a.required && !arguments.contains_key(&a.name)) {
        return Err(RpcError::invalid_params(format!("prompt argument {:?} is missing", missing.name)));
    }
    Ok(arguments)
}

fn completion_request(params: &Map<String, Value>) -> Result<CompletionRequest, RpcError> {
    let bad = |what: &str| RpcError::invalid_params(format!("params.{what} is missing or wrong"));
    let reference = params.get("ref").and_then(Value::as_object).ok_or_else(|| bad("ref"))?;
    let target = match reference.get("type").and_then(Value::as_str) {
        Some("ref/prompt") => CompletionTarget::Prompt(text_param(reference, "name")?.to_owned()),
        Some("ref/resource") => CompletionTarget::Resource(text_param(reference, "uri")?.to_owned()),
        _ => return Err(bad("ref.type")),
    };
    let argument = params.get("argument").and_then(Value::as_object).ok_or_else(|| bad("argument"))?;
    let mut request =
        CompletionRequest::new(target, text_param(argument, "name")?, text_param(argument, "value")?);
    if let Some(Value::Object(known)) = params.get("context").and_then(|c| c.get("arguments")) {
        request.known = known.clone();
    }
    Ok(request)
}

fn completion_value(mut completion: Completion) -> Value {
    let found = completion.values.len();
    completion.values.truncate(COMPLETION_VALUES_MAX);
    let total = completion.total.unwrap_or(found);
    serde_json::json!({
        "values": completion.values,
        "total": total,
        "hasMore": total > completion.values.len(),
    })
}
