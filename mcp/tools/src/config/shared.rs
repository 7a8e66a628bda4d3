//! What the tools of the configuration share: the session of a call, the end of an answer; it knows no tool.

use std::time::Instant;

use mcp::{CallContext, Scope, ToolOutput, ToolResult};
use mcp_config::AdminSession;
use serde::Serialize;
use serde_json::{Value, json};

use crate::errors::internal_error;

/// The family of all variables without another prefix.
pub(super) const FAMILY: &str = "MCP";

/// Who calls.
pub(super) fn session(cx: &CallContext) -> AdminSession {
    let caller = &cx.caller;
    AdminSession::remote(
        caller.token_name.clone(),
        caller.address.clone(),
        cx.endpoint.to_string(),
        caller.scope >= Scope::Write,
    )
}

/// The session of a tool that only a token with scope `full` may use for changes.
pub(super) fn full_session(cx: &CallContext) -> AdminSession {
    let mut session = session(cx);
    session.may_write = cx.caller.scope == Scope::Full;
    session
}

/// The answer with what every answer carries.
pub(super) fn finish(started: Instant, body: &impl Serialize) -> ToolResult<ToolOutput> {
    let value = serde_json::to_value(body).map_err(|e| internal_error(&format!("result is no JSON: {e}")))?;
    let Value::Object(mut map) = value else { return Err(internal_error("a result is no object")) };
    let ms = (started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    map.insert("stats".to_owned(), json!({"ms": ms}));
    Ok(ToolOutput::structured(Value::Object(map)))
}
