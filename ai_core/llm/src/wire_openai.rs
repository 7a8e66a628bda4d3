//! The chat completions dialect (openai, generic, llama_cpp); it does not know URLs, keys or retries.

use ai_core::{LlmDelta, LlmError, LlmFinish, LlmFlow, LlmMessage, LlmRole, LlmToolCall, LlmToolChoice};
use serde_json::{Map, Value, json};

use crate::wire::{
    StreamState, TOOL_CALLS_MAX, WireAnswer, WireRequest, arguments_value, count_of, invalid, text_of,
};

pub(crate) fn build(wire: &WireRequest<'_>) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("model".into(), json!(wire.model));
    let mut messages = Vec::new();
    if !wire.system.is_empty() {
        messages.push(json!({"role": "system", "content": wire.system}));
    }
    messages.extend(wire.request.messages.iter().map(message));
    body.insert("messages".into(), Value::Array(messages));
    body.insert("temperature".into(), json!(wire.temperature));
    let limit = wire.options.max_tokens_field.as_deref().unwrap_or("max_tokens");
    body.insert(limit.to_owned(), json!(wire.max_output_tokens));
    if !wire.request.stop.is_empty() {
        body.insert("stop".into(), json!(wire.request.stop));
    }
    if let Some(schema) = &wire.request.response_schema {
        let format = json!({"name": "answer", "schema": schema, "strict": true});
        body.insert("response_format".into(), json!({"type": "json_schema", "json_schema": format}));
    }
    if !wire.request.tools.is_empty() {
        let tool = |t: &ai_core::LlmTool| {
            let function = json!({"name": t.name, "description": t.description, "parameters": t.schema});
            json!({"type": "function", "function": function})
        };
        body.insert("tools".into(), wire.request.tools.iter().map(tool).collect());
        let choice = match &wire.request.tool_choice {
            LlmToolChoice::None => json!("none"),
            LlmToolChoice::Required => json!("required"),
            LlmToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
            _ => json!("auto"),
        };
        body.insert("tool_choice".into(), choice);
    }
    if wire.stream {
        body.insert("stream".into(), json!(true));
        body.insert("stream_options".into(), json!({"include_usage": true}));
    }
    body
}

fn message(m: &LlmMessage) -> Value {
    match m.role {
        LlmRole::System => json!({"role": "system", "content": m.content}),
        LlmRole::User => json!({"role": "user", "content": m.content}),
        LlmRole::Tool => json!({"role": "tool", "tool_call_id": m.tool_call_id, "content": m.content}),
        LlmRole::Assistant if m.tool_calls.is_empty() => json!({"role": "assistant", "content": m.content}),
        LlmRole::Assistant => {
            let call = |c: &LlmToolCall| {
                let function = json!({"name": c.name, "arguments": c.arguments.to_string()});
                json!({"id": c.id, "type": "function", "function": function})
            };
            let content = if m.content.is_empty() { Value::Null } else { json!(m.content) };
            let calls: Vec<Value> = m.tool_calls.iter().map(call).collect();
            json!({"role": "assistant", "content": content, "tool_calls": calls})
        }
    }
}

pub(crate) fn parse(json: &Value) -> Result<WireAnswer, LlmError> {
    let choice =
        json.get("choices").and_then(|c| c.get(0)).ok_or_else(|| invalid("no choices in the answer"))?;
    let message = choice.get("message").ok_or_else(|| invalid("no message in the first choice"))?;
    let mut answer = WireAnswer { text: content_text(message.get("content")), ..WireAnswer::default() };
    let calls = message.get("tool_calls").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if calls.len() > TOOL_CALLS_MAX {
        return Err(invalid("too many tool calls in the answer"));
    }
    for call in calls {
        let function = call.get("function").ok_or_else(|| invalid("a tool call without a function"))?;
        let arguments = match function.get("arguments") {
            Some(Value::String(text)) => arguments_value(text),
            Some(other) => other.clone(),
            None => json!({}),
        };
        answer.tool_calls.push(LlmToolCall::new(text_of(call, "id"), text_of(function, "name"), arguments));
    }
    answer.finish = finish_of(text_of(choice, "finish_reason"), !answer.tool_calls.is_empty());
    if answer.text.is_empty() && !text_of(message, "refusal").is_empty() {
        answer.finish = LlmFinish::ContentFilter;
    }
    usage(json, &mut answer);
    Ok(answer)
}

/// Text, or the texts of content parts.
fn content_text(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().map(|p| text_of(p, "text")).collect(),
        _ => String::new(),
    }
}

fn finish_of(word: &str, has_calls: bool) -> LlmFinish {
    match word {
        _ if has_calls => LlmFinish::ToolCalls,
        "stop" | "" | "eos" | "end_turn" => LlmFinish::Stop,
        "length" | "max_tokens" => LlmFinish::Length,
        "tool_calls" | "function_call" => LlmFinish::ToolCalls,
        "content_filter" => LlmFinish::ContentFilter,
        other => LlmFinish::Other(other.to_owned()),
    }
}

fn usage(json: &Value, answer: &mut WireAnswer) {
    if let Some(usage) = json.get("usage") {
        answer.input_tokens = count_of(usage, "prompt_tokens").or(answer.input_tokens);
        answer.output_tokens = count_of(usage, "completion_tokens").or(answer.output_tokens);
    }
}

pub(crate) fn event(
    state: &mut StreamState,
    json: &Value,
    on_delta: &mut dyn FnMut(LlmDelta) -> LlmFlow,
) -> Result<(), LlmError> {
    usage(json, &mut state.answer);
    let Some(choice) = json.get("choices").and_then(|c| c.get(0)) else {
        return Ok(());
    };
    if let Some(delta) = choice.get("delta") {
        state.text(&content_text(delta.get("content")), on_delta)?;
        let calls = delta.get("tool_calls").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for call in calls {
            let index = count_of(call, "index").and_then(|i| usize::try_from(i).ok());
            let index = index.unwrap_or_else(|| state.calls.len().saturating_sub(1));
            let function = call.get("function").unwrap_or(&Value::Null);
            let pieces = (text_of(call, "id"), text_of(function, "name"), text_of(function, "arguments"));
            state.call(index, pieces, on_delta)?;
        }
    }
    let word = text_of(choice, "finish_reason");
    if !word.is_empty() {
        state.answer.finish = finish_of(word, !state.calls.is_empty());
        state.ended = true;
    }
    Ok(())
}
