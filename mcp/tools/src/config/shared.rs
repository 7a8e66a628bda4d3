//! What the tools of the configuration share: the session of a call, the end of an answer; it knows no tool.

use std::time::Instant;

use mcp::{CallContext, Scope, ToolOutput, ToolResult};
use mcp_config::{AdminSession, ModuleReport};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::errors::internal_error;

/// The family of all variables without another prefix.
pub(crate) const FAMILY: &str = "MCP";

/// A row that was loaded and is not in use.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Skipped {
    /// Which row.
    id: String,
    /// Why it is not in use.
    reason: String,
}

/// A module after it was put into use.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Report")]
pub(crate) struct ModuleRow {
    /// The module.
    module: &'static str,
    /// Rows loaded.
    rows: u64,
    /// Rows in use.
    effective: u64,
    /// Rows loaded but not in use.
    skipped: Vec<Skipped>,
}

/// What a reload did, module by module.
pub(crate) fn reports(modules: Vec<ModuleReport>) -> Vec<ModuleRow> {
    let row = |report: ModuleReport| ModuleRow {
        module: report.module,
        rows: report.rows,
        effective: report.effective,
        skipped: report.skipped.into_iter().map(|(id, reason)| Skipped { id, reason }).collect(),
    };
    modules.into_iter().map(row).collect()
}

/// Who calls.
pub(crate) fn session(cx: &CallContext) -> AdminSession {
    let caller = &cx.caller;
    AdminSession::remote(
        caller.token_name.clone(),
        caller.address.clone(),
        cx.endpoint.to_string(),
        caller.scope >= Scope::Write,
    )
}

/// The session of a tool that only a token with scope `full` may use for changes.
pub(crate) fn full_session(cx: &CallContext) -> AdminSession {
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
