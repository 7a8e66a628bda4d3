//! The agent's only way to tools: a fixed list of names, one target, counted calls; it decides nothing.

use std::cell::Cell;
use std::sync::Arc;

use mcp::{CallContext, ErrorCode, ToolError, ToolResult, ToolSet};
use serde_json::{Map, Value, json};

/// Tools that the agent itself uses; nothing else is ever called, whatever a model writes.
const AGENT_TOOLS: &[&str] = &[
    "discovery.list_runs",
    "catalog.list_objects",
    "catalog.search",
    "catalog.get_object",
    "catalog.get_relationships",
    "agent.run_start",
    "agent.run_finish",
    "agent.run_list",
    "agent.event_append",
    "llm.summary_get",
    "llm.summary_upsert",
    "llm.relationship_upsert",
    "llm.domain_upsert",
    "llm.domain_set_members",
    "llm.domain_list",
    "llm.metric_upsert",
    "llm.metric_list",
    "llm.question_template_add",
    "llm.note_add",
    "llm.search",
    "run_sql_readonly",
];
/// Tools that take no run: the agent run that they name is bound to one already, or they read live data.
const WITHOUT_RUN: &[&str] = &[
    "discovery.list_runs",
    "agent.run_finish",
    "agent.event_append",
    "llm.summary_upsert",
    "llm.relationship_upsert",
    "llm.domain_upsert",
    "llm.domain_set_members",
    "llm.metric_upsert",
    "llm.note_add",
    "run_sql_readonly",
];
/// Tools that name no target: the agent run does.
const WITHOUT_TARGET: &[&str] = &["agent.run_finish", "agent.event_append"];
/// Pages that one listing follows at most.
const PAGES_MAX: usize = 1_000;

/// Calls tools for one target and one run.
pub(crate) struct Hands<'a> {
    tools: &'a dyn ToolSet,
    cx: CallContext,
    target_id: String,
    run_id: Cell<Option<i64>>,
    calls: Cell<u64>,
    calls_max: u64,
}

impl<'a> Hands<'a> {
    /// Hands that reach no other target than this one, with the rights of the caller of `cx` and no more.
    pub(crate) fn new(tools: &'a dyn ToolSet, cx: &CallContext, target_id: &str, calls_max: u64) -> Self {
        let mut narrow = cx.clone();
        let mut caller = (*cx.caller).clone();
        let is_seen = caller.sees_target(target_id);
        caller.targets = Some(if is_seen { vec![target_id.to_owned()] } else { Vec::new() });
        narrow.caller = Arc::new(caller);
        let (run_id, calls) = (Cell::new(None), Cell::new(0));
        Self { tools, cx: narrow, target_id: target_id.to_owned(), run_id, calls, calls_max }
    }

    /// All further calls mean this run.
    pub(crate) fn bind_run(&self, run_id: i64) {
        self.run_id.set(Some(run_id));
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cx.cancel.is_cancelled()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// Calls one tool; target and run are filled in here, whatever `args` say.
    pub(crate) fn call(&self, tool: &str, args: Value) -> ToolResult<Value> {
        if !AGENT_TOOLS.contains(&tool) {
            return Err(ToolError::denied("policy", format!("the discovery agent may not call {tool}")));
        }
        if self.calls.get() >= self.calls_max {
            return Err(
                ToolError::limit("the discovery agent has used its tool calls").with("limit", self.calls_max)
            );
        }
        self.calls.set(self.calls.get() + 1);
        let Value::Object(mut args) = args else {
            return Err(ToolError::internal("arguments are no object"));
        };
        if !WITHOUT_TARGET.contains(&tool) {
            args.insert("target_id".to_owned(), json!(self.target_id));
        }
        if let (Some(run_id), false) = (self.run_id.get(), WITHOUT_RUN.contains(&tool)) {
            args.insert("run_id".to_owned(), json!(run_id));
        }
        let output = self.tools.call(&self.cx, tool, args)?;
        output
            .structured_value()
            .ok_or_else(|| ToolError::internal(format!("{tool} gave no structured answer")))
    }

    /// As [`call`](Self::call); a thing that is not there is `None`.
    pub(crate) fn find(&self, tool: &str, args: Value) -> ToolResult<Option<Value>> {
        match self.call(tool, args) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.code == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Follows the pages of a listing and gives the items under `key`, at most `items_max`.
    pub(crate) fn pages(
        &self,
        tool: &str,
        args: &Value,
        key: &str,
        items_max: usize,
    ) -> ToolResult<Vec<Value>> {
        let mut items = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut args: Map<String, Value> = args.as_object().cloned().unwrap_or_default();
            if let Some(token) = &token {
                args.insert("page_token".to_owned(), json!(token));
            }
            let mut page = self.call(tool, Value::Object(args))?;
            if let Some(Value::Array(list)) = page.get_mut(key).map(Value::take) {
                items.extend(list);
            }
            token = page.get("next_page_token").and_then(Value::as_str).map(str::to_owned);
            if token.is_none() || items.len() >= items_max {
                break;
            }
        }
        items.truncate(items_max);
        Ok(items)
    }
}
