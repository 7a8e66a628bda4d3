//! The native completion dialect of llama.cpp; it knows no chat template: turns become plain lines.

use ai_core::{LlmDelta, LlmError, LlmFinish, LlmFlow, LlmRole};
use serde_json::{Map, Value, json};

use crate::wire::{StreamState, WireAnswer, WireRequest, count_of, invalid, text_of};

pub(crate) fn build(wire: &WireRequest<'_>) -> Map<String, Value> {
    let mut body = Map::new();
    if !wire.model.is_empty() {
        body.insert("model".into(), json!(wire.model));
    }
    body.insert("prompt".into(), json!(prompt(wire)));
    let limit = wire.options.max_tokens_field.as_deref().unwrap_or("n_predict");
    body.insert(limit.to_owned(), json!(wire.max_output_tokens));
    body.insert("temperature".into(), json!(wire.temperature));
    if !wire.request.stop.is_empty() {
        body.insert("stop".into(), json!(wire.request.stop));
    }
    if let Some(schema) = &wire.request.response_schema {
        body.insert("json_schema".into(), schema.clone());
    }
    body.insert("stream".into(), json!(wire.stream));
    body
}

/// A single prompt goes as it is; a conversation as `role: text` lines that end with the model's turn.
fn prompt(wire: &WireRequest<'_>) -> String {
    let mut text = String::new();
    if !wire.system.is_empty() {
        text.push_str(wire.system);
        text.push_str("\n\n");
    }
    if let [only] = wire.request.messages.as_slice() {
        text.push_str(&only.content);
        return text;
    }
    for m in &wire.request.messages {
        let role = match m.role {
            LlmRole::System => "system",
            LlmRole::User => "user",
            LlmRole::Assistant => "assistant",
            LlmRole::Tool => "tool",
        };
        text.push_str(&format!("{role}: {}\n", m.content));
    }
    text.push_str("assistant:");
    text
}

pub(crate) fn parse(json: &Value) -> Result<WireAnswer, LlmError> {
    let content = json.get("content").and_then(Value::as_str);
    let text = content.ok_or_else(|| invalid("no content in the answer"))?.to_owned();
    let mut answer = WireAnswer { text, ..WireAnswer::default() };
    finish(json, &mut answer);
    Ok(answer)
}

fn finish(json: &Value, answer: &mut WireAnswer) {
    let timings = json.get("timings").unwrap_or(&Value::Null);
    answer.input_tokens = count_of(json, "tokens_evaluated").or_else(|| count_of(timings, "prompt_n"));
    answer.output_tokens = count_of(json, "tokens_predicted").or_else(|| count_of(timings, "predicted_n"));
    let cut = text_of(json, "stop_type") == "limit" || json.get("stopped_limit") == Some(&Value::Bool(true));
    answer.finish = if cut { LlmFinish::Length } else { LlmFinish::Stop };
}

pub(crate) fn event(
    state: &mut StreamState,
    json: &Value,
    on_delta: &mut dyn FnMut(LlmDelta) -> LlmFlow,
) -> Result<(), LlmError> {
    state.text(text_of(json, "content"), on_delta)?;
    if json.get("stop") == Some(&Value::Bool(true)) {
        finish(json, &mut state.answer);
        state.ended = true;
    }
    Ok(())
}
