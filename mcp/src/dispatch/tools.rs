//! `tools/list`, `tools/describe` and the three steps of `tools/call`; it does not know where a call runs.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Dispatcher, cursor_param, text_param};
use crate::ask::{ClientLink, Signal};
use crate::content::{Content, ToolOutput};
use crate::context::{CallContext, Caller};
use crate::endpoint::{Endpoint, everything};
use crate::error::{ToolError, ToolResult};
use crate::json::{ObjectWriter, write_json};
use crate::meta::META_SERVER_INFO;
use crate::page::{LIST_PAGE_ITEMS, decode_cursor, encode_cursor};
use crate::rounds::Rounds;
use crate::rpc::{RpcError, clip};
use crate::spec::ToolSpec;
use crate::version::{Era, ProtocolVersion};

/// A `tools/call` whose tool is known and whose arguments are an object.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PreparedTool {
    /// The tool.
    pub spec: Arc<ToolSpec>,
    /// The name that the caller used.
    pub name: String,
    /// The arguments, checked and coerced unless `refusal` is set.
    pub arguments: Map<String, Value>,
    /// Why the tool must not run.
    pub refusal: Option<ToolError>,
}

impl Dispatcher {
    /// The result of `tools/list`.
    ///
    /// # Errors
    /// `-32602` for a bad cursor.
    pub fn list_tools(
        &self,
        endpoint: &Endpoint,
        era: Era,
        caller: &Caller,
        params: &Map<String, Value>,
    ) -> Result<String, RpcError> {
        let specs = endpoint.tools.list(caller);
        let start = decode_cursor("tools", cursor_param(params)?, specs.len())?;
        let end = specs.len().min(start + LIST_PAGE_ITEMS);
        let mut out = ObjectWriter::with_capacity(1024 * (end - start) + 256);
        let list = out.key("tools");
        list.push('[');
        for (at, spec) in specs[start..end].iter().enumerate() {
            if at > 0 {
                list.push(',');
            }
            list.push_str(&describe(spec, era, ObjectWriter::with_capacity(1024)).finish());
        }
        list.push(']');
        if end < specs.len() {
            out.field("nextCursor", &encode_cursor("tools", end));
        }
        Ok(self.finish_cacheable(era, out, endpoint.list_ttl_ms, "private"))
    }

    /// The result of `tools/describe`: one descriptor.
    ///
    /// # Errors
    /// `-32602` for a tool that the caller cannot see.
    pub fn describe_tool(
        &self,
        endpoint: &Endpoint,
        era: Era,
        caller: &Caller,
        params: &Map<String, Value>,
    ) -> Result<String, RpcError> {
        let name = text_param(params, "name")?;
        let spec = endpoint.tools.find(caller, name).ok_or_else(|| unknown_tool(name))?;
        Ok(self.finish(era, describe(&spec, era, ObjectWriter::with_capacity(1024))))
    }

    /// Finds the tool of a call and checks its arguments.
    ///
    /// # Errors
    /// `-32602` for an unknown tool, a missing name and arguments that are no object.
    pub fn prepare_tool(
        &self,
        endpoint: &Endpoint,
        caller: &Caller,
        params: &mut Map<String, Value>,
    ) -> Result<PreparedTool, RpcError> {
        let Some(Value::String(name)) = params.remove("name") else {
            return Err(RpcError::invalid_params("params.name is missing or not a string"));
        };
        let arguments = match params.remove("arguments") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(map)) => map,
            Some(_) => return Err(RpcError::invalid_params("params.arguments is not an object")),
        };
        if let Some(spec) = endpoint.tools.find(caller, &name) {
            let mut prepared = PreparedTool { spec, name, arguments, refusal: None };
            if let Some(check) = &self.check {
                prepared.refusal = check.check(&prepared.spec, &mut prepared.arguments).err();
            }
            return Ok(prepared);
        }
        // A tool beyond the token is told apart from one that does not exist.
        let spec = endpoint.tools.find(&everything(), &name).ok_or_else(|| unknown_tool(&name))?;
        let refusal = ToolError::denied(
            "token",
            format!("the token does not allow the tool {}: use one with a wider scope", spec.name),
        );
        Ok(PreparedTool { spec, name, arguments, refusal: Some(refusal) })
    }

    /// Runs a prepared tool on this thread and writes its result.
    ///
    /// # Errors
    /// What the call ends with instead of a result.
    pub fn run_tool(
        &self,
        endpoint: &Endpoint,
        era: Era,
        cx: &CallContext,
        prepared: PreparedTool,
        rounds: Option<&Rounds>,
    ) -> Result<String, RpcError> {
        let outcome = match prepared.refusal {
            Some(refusal) => Err(refusal),
            None => endpoint.tools.call(cx, &prepared.name, prepared.arguments),
        };
        self.finish_tool(era, cx, outcome, rounds)
    }

    /// Writes the result of a tool that ran, or what it asked to end with.
    ///
    /// # Errors
    /// The JSON-RPC error that the tool asked for, `-32021` for a capability that the client lacks.
    pub fn finish_tool(
        &self,
        era: Era,
        cx: &CallContext,
        outcome: ToolResult<ToolOutput>,
        rounds: Option<&Rounds>,
    ) -> Result<String, RpcError> {
        match outcome {
            Ok(output) => Ok(self.tool_result(era, &output)),
            Err(error) => match self.finish_signal(era, cx, rounds)? {
                Some(result) => Ok(result),
                None => Ok(self.tool_result(era, &ToolOutput::error(&error))),
            },
        }
    }

    /// What a failed call asked to end with; `None` if it simply failed.
    pub(super) fn finish_signal(
        &self,
        era: Era,
        cx: &CallContext,
        rounds: Option<&Rounds>,
    ) -> Result<Option<String>, RpcError> {
        match (cx.take_signal(), rounds, era) {
            (Some(Signal::Protocol(error)), ..) => Err(error),
            (Some(Signal::MissingCapability(name)), _, Era::Modern) => {
                let mut required = Map::new();
                required.insert(name.to_owned(), Value::Object(Map::new()));
                Err(RpcError::missing_capability(Value::Object(required)))
            }
            (Some(Signal::NeedInput(asks)), Some(rounds), Era::Modern) => {
                let mut out = ObjectWriter::with_capacity(1024);
                rounds.write_need_input(&asks, &mut out)?;
                out.raw("_meta", &self.modern_tail.0);
                Ok(Some(out.finish()))
            }
            _ => Ok(None),
        }
    }

    /// Writes a tool result: the structured value once, and again as text where no content was given.
    #[must_use]
    pub fn tool_result(&self, era: Era, output: &ToolOutput) -> String {
        let written = output.structured.as_ref().map(|value| {
            let mut text = String::with_capacity(256);
            write_json(&mut text, value);
            text
        });
        let structured = written.as_deref().or(output.structured_json.as_deref());
        let mut out = ObjectWriter::with_capacity(structured.map_or(512, |s| s.len() * 2 + 320));
        match structured {
            Some(text) if output.content.is_empty() => {
                let slot = out.key("content");
                slot.push_str(r#"[{"type":"text","text":"#);
                write_json(slot, text);
                slot.push_str("}]");
            }
            _ => write_content(out.key("content"), &output.content, era),
        }
        if let Some(text) = structured.filter(|_| era.has_structured_results()) {
            out.raw("structuredContent", text);
        }
        if output.is_error {
            out.raw("isError", "true");
        }
        if output.meta.is_empty() {
            return self.finish(era, out);
        }
        let mut meta = output.meta.clone();
        if era.is_modern() {
            out.raw("resultType", "\"complete\"");
            meta.insert(META_SERVER_INFO.to_owned(), serde_json::to_value(&self.info).unwrap_or_default());
        }
        out.field("_meta", &meta);
        out.finish()
    }

    /// The failure form of a tool result.
    #[must_use]
    pub fn tool_failure(&self, era: Era, error: &ToolError) -> String {
        self.tool_result(era, &ToolOutput::error(error))
    }

    /// Whether `spec` starts as a task for a client with the capabilities of `link`.
    #[must_use]
    pub fn starts_as_task(endpoint: &Endpoint, era: Era, spec: &ToolSpec, link: &dyn ClientLink) -> bool {
        endpoint.tasks
            && era.is_modern()
            && spec.task_support
            && !spec.task_late
            && link.capabilities().has_tasks()
    }
}

fn unknown_tool(name: &str) -> RpcError {
    RpcError::invalid_params(format!("unknown tool: {}", clip(name)))
}

/// Links to resources came with 2025-06-18; older clients read the URI as text.
fn write_content(out: &mut String, content: &[Content], era: Era) {
    if era.version() >= ProtocolVersion::V2025_06_18 {
        return write_json(out, content);
    }
    let old: Vec<Content> = content
        .iter()
        .map(|block| match block {
            Content::ResourceLink { uri, name, .. } => Content::text(format!("{name}: {uri}")),
            other => other.clone(),
        })
        .collect();
    write_json(out, &old);
}

/// The members of a descriptor.
fn describe(spec: &ToolSpec, era: Era, mut out: ObjectWriter) -> ObjectWriter {
    out.field("name", &spec.name);
    if era.has_structured_results() {
        out.field("title", &spec.title);
    }
    out.field("description", &spec.description);
    out.field("inputSchema", &spec.input_schema);
    if let Some(schema) = spec.output_schema.as_ref().filter(|_| era.has_structured_results()) {
        out.field("outputSchema", schema);
    }
    out.field("annotations", &spec.annotations);
    if !spec.meta.is_empty() && era.has_structured_results() {
        out.field("_meta", &spec.meta);
    }
    out
}
