//! The messages dialect (anthropic); it does not know URLs, keys or retries.

use ai_core::{LlmDelta, LlmError, LlmFinish, LlmFlow, LlmMessage, LlmRole, LlmToolCall, LlmToolChoice};
use serde_json::{Map, Value, json};

use crate::wire::{StreamState, TOOL_CALLS_MAX, WireAnswer, WireRequest, count_of, invalid, text_of};

/// The tool whose input is the answer when a schema is asked for: the dialect enforces schemas on tools only.
const ANSWER_TOOL: &str = "answer";

/// Whether the answer comes as the input of [`ANSWER_TOOL`]. Not beside the caller's own tools: one of both
/// would have to be forced.
pub(crate) fn forces_json(request: &ai_core::LlmRequest) -> bool {
    request.response_schema.is_some() && request.tools.is_empty()
}

pub(crate) fn build(wire: &WireRequest<'_>) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("model".into(), json!(wire.model));
    let limit = wire.options.max_tokens_field.as_deref().unwrap_or("max_tokens");
    body.insert(limit.to_owned(), json!(wire.max_output_tokens));
    let own = wire.request.messages.iter().filter(|m| m.role == LlmRole::System).map(|m| m.content.as_str());
    let system: Vec<&str> = std::iter::once(wire.system).chain(own).filter(|t| !t.is_empty()).collect();
    if !system.is_empty() {
        body.insert("system".into(), json!(system.join("\n\n")));
    }
    body.insert("messages".into(), messages(&wire.request.messages));
    // The dialect's scale ends at 1.
    body.insert("temperature".into(), json!(wire.temperature.min(1.0)));
    if !wire.request.stop.is_empty() {
        body.insert("stop_sequences".into(), json!(wire.request.stop));
    }
    if let (true, Some(schema)) = (forces_json(wire.request), &wire.request.response_schema) {
        let tool = json!({"name": ANSWER_TOOL, "description": "gives the answer", "input_schema": schema});
        body.insert("tools".into(), json!([tool]));
        body.insert("tool_choice".into(), json!({"type": "tool", "name": ANSWER_TOOL}));
    } else if !wire.request.tools.is_empty() {
        let tool = |t: &ai_core::LlmTool| json!({"name": t.name, "description": t.description, "input_schema": t.schema});
        body.insert("tools".into(), wire.request.tools.iter().map(tool).collect());
        let choice = match &wire.request.tool_choice {
            LlmToolChoice::None => json!({"type": "none"}),
            LlmToolChoice::Required => json!({"type": "any"}),
            LlmToolChoice::Named(name) => json!({"type": "tool", "name": name}),
            _ => json!({"type": "auto"}),
        };
        body.insert("tool_choice".into(), choice);
    }
    if wire.stream {
        body.insert("stream".into(), json!(true));
    }
    body
}

/// Turns alternate in this dialect: neighbours of one role are joined into one turn of several blocks.
fn messages(all: &[LlmMessage]) -> Value {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for m in all {
        let (role, blocks) = match m.role {
            LlmRole::System => continue,
            LlmRole::User => ("user", vec![json!({"type": "text", "text": m.content})]),
            LlmRole::Tool => {
                let result =
                    json!({"type": "tool_result", "tool_use_id": m.tool_call_id, "content": m.content});
                ("user", vec![result])
            }
            LlmRole::Assistant => {
                let text = (!m.content.is_empty()).then(|| json!({"type": "text", "text": m.content}));
                let call = |c: &LlmToolCall| json!({"type": "tool_use", "id": c.id, "name": c.name, "input": c.arguments});
                ("assistant", text.into_iter().chain(m.tool_calls.iter().map(call)).collect())
            }
        };
        match turns.last_mut() {
            Some((last, content)) if *last == role => content.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    turns.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

pub(crate) fn parse(json: &Value, forced_json: bool) -> Result<WireAnswer, LlmError> {
    let blocks =
        json.get("content").and_then(Value::as_array).ok_or_else(|| invalid("no content in the answer"))?;
    let mut answer = WireAnswer::default();
    for block in blocks {
        match text_of(block, "type") {
            "text" => answer.text.push_str(text_of(block, "text")),
            "tool_use" if forced_json => {
                answer.text = block.get("input").map(Value::to_string).unwrap_or_default();
            }
            "tool_use" => {
                let input = block.get("input").cloned().unwrap_or_else(|| json!({}));
                let call = LlmToolCall::new(text_of(block, "id"), text_of(block, "name"), input);
                answer.tool_calls.push(call);
            }
            _ => {}
        }
    }
    if answer.tool_calls.len() > TOOL_CALLS_MAX {
        return Err(invalid("too many tool calls in the answer"));
    }
    answer.finish = finish_of(text_of(json, "stop_reason"), forced_json);
    usage(json, &mut answer);
    Ok(answer)
}

fn finish_of(word: &str, forced_json: bool) -> LlmFinish {
    match word {
        "end_turn" | "stop_sequence" | "" => LlmFinish::Stop,
        "tool_use" if forced_json => LlmFinish::Stop,
        "tool_use" => LlmFinish::ToolCalls,
        "max_tokens" => LlmFinish::Length,
        "refusal" => LlmFinish::ContentFilter,
        other => LlmFinish::Other(other.to_owned()),
    }
}

fn usage(json: &Value, answer: &mut WireAnswer) {
    if let Some(usage) = json.get("usage") {
        let parts = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
        if usage.get("input_tokens").is_some() {
            answer.input_tokens = Some(parts.iter().filter_map(|k| count_of(usage, k)).sum());
        }
        answer.output_tokens = count_of(usage, "output_tokens").or(answer.output_tokens);
    }
}

pub(crate) fn event(
    state: &mut StreamState,
    json: &Value,
    on_delta: &mut dyn FnMut(LlmDelta) -> LlmFlow,
) -> Result<(), LlmError> {
    match text_of(json, "type") {
        "message_start" => {
            if let Some(message) = json.get("message") {
                usage(message, &mut state.answer);
            }
        }
        "content_block_start" => {
            let block = json.get("content_block").unwrap_or(&Value::Null);
            match text_of(block, "type") {
                "text" => state.text(text_of(block, "text"), on_delta)?,
                "tool_use" if !state.forced_json => {
                    let index = state.calls.len();
                    state.call(index, (text_of(block, "id"), text_of(block, "name"), ""), on_delta)?;
                }
                _ => {}
            }
        }
        "content_block_delta" => {
            let delta = json.get("delta").unwrap_or(&Value::Null);
            match text_of(delta, "type") {
                "text_delta" if !state.forced_json => state.text(text_of(delta, "text"), on_delta)?,
                "input_json_delta" if state.forced_json => {
                    state.json_text.push_str(text_of(delta, "partial_json"));
                }
                "input_json_delta" => {
                    // Blocks come one after the other, so a piece belongs to the call begun last.
                    let index = state.calls.len().saturating_sub(1);
                    state.call(index, ("", "", text_of(delta, "partial_json")), on_delta)?;
                }
                _ => {}
            }
        }
        "message_delta" => {
            let word = json.get("delta").map_or("", |d| text_of(d, "stop_reason"));
            if !word.is_empty() {
                state.answer.finish = finish_of(word, state.forced_json);
            }
            usage(json, &mut state.answer);
        }
        "message_stop" => {
            state.ended = true;
            // Given at once and normalised, so that it equals the answer without a stream.
            let json = std::mem::take(&mut state.json_text);
            if !json.is_empty() {
                let text = serde_json::from_str::<Value>(&json).map_or(json, |v| v.to_string());
                state.text(&text, on_delta)?;
            }
        }
        _ => {}
    }
    Ok(())
}
