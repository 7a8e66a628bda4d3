//! What every provider's dialect must do: build a request, read an answer, read a stream; it knows no dialect itself.

use ai_core::{LlmDelta, LlmError, LlmErrorCode, LlmFinish, LlmFlow, LlmRequest, LlmToolCall};
use serde_json::{Map, Value};

use crate::classify::classify_error_object;
use crate::provider_row::{ProviderKind, ProviderOptions};
use crate::{wire_anthropic, wire_llama, wire_openai};

/// A request with everything resolved.
pub(crate) struct WireRequest<'a> {
    pub(crate) request: &'a LlmRequest,
    pub(crate) system: &'a str,
    pub(crate) model: &'a str,
    pub(crate) max_output_tokens: u32,
    pub(crate) temperature: f64,
    pub(crate) stream: bool,
    pub(crate) options: &'a ProviderOptions,
}

/// An answer in the terms of the seam.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct WireAnswer {
    pub(crate) text: String,
    pub(crate) tool_calls: Vec<LlmToolCall>,
    pub(crate) finish: LlmFinish,
    pub(crate) input_tokens: Option<u64>,
    pub(crate) output_tokens: Option<u64>,
}

/// The dialects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Anthropic,
    LlamaNative,
}

impl Dialect {
    pub(crate) fn of(kind: ProviderKind, url: &str) -> Self {
        let path = url.split(['?', '#']).next().unwrap_or(url).trim_end_matches('/');
        match kind {
            ProviderKind::Anthropic => Self::Anthropic,
            ProviderKind::LlamaCpp if path.ends_with("/completion") => Self::LlamaNative,
            ProviderKind::Openai | ProviderKind::Generic | ProviderKind::LlamaCpp => Self::OpenAi,
        }
    }

    pub(crate) fn build(self, wire: &WireRequest<'_>) -> Value {
        let mut body = match self {
            Self::OpenAi => wire_openai::build(wire),
            Self::Anthropic => wire_anthropic::build(wire),
            Self::LlamaNative => wire_llama::build(wire),
        };
        for name in &wire.options.omit {
            body.shift_remove(name);
        }
        for (name, value) in &wire.options.extra_body {
            body.insert(name.clone(), value.clone());
        }
        Value::Object(body)
    }

    pub(crate) fn parse(self, body: &[u8], forced_json: bool) -> Result<WireAnswer, LlmError> {
        let json: Value =
            serde_json::from_slice(body).map_err(|e| invalid(&format!("the answer is not JSON ({e})")))?;
        if let Some(error) = json.get("error").filter(|e| !e.is_null()) {
            return Err(classify_error_object(error, &[]));
        }
        match self {
            Self::OpenAi => wire_openai::parse(&json),
            Self::Anthropic => wire_anthropic::parse(&json, forced_json),
            Self::LlamaNative => wire_llama::parse(&json),
        }
    }
}

/// Builds an answer from the events of a stream.
pub(crate) struct StreamState {
    dialect: Dialect,
    pub(crate) forced_json: bool,
    pub(crate) answer: WireAnswer,
    /// Tool calls under construction: id, name, argument text.
    pub(crate) calls: Vec<(String, String, String)>,
    /// The input of the forced answer tool, as far as it came.
    pub(crate) json_text: String,
    /// Whether the provider said that it is done.
    pub(crate) ended: bool,
    /// Whether anything was handed to the receiver.
    pub(crate) delivered: bool,
}

impl StreamState {
    pub(crate) fn new(dialect: Dialect, forced_json: bool) -> Self {
        let (answer, calls) = (WireAnswer::default(), Vec::new());
        let json_text = String::new();
        Self { dialect, forced_json, answer, calls, json_text, ended: false, delivered: false }
    }

    /// Takes one event.
    pub(crate) fn event(
        &mut self,
        data: &str,
        on_delta: &mut dyn FnMut(LlmDelta) -> LlmFlow,
    ) -> Result<(), LlmError> {
        if data.trim() == "[DONE]" {
            self.ended = true;
            return Ok(());
        }
        let json: Value = serde_json::from_str(data)
            .map_err(|e| invalid(&format!("an event of the stream is not JSON ({e})")))?;
        if let Some(error) = json.get("error").filter(|e| !e.is_null()) {
            return Err(classify_error_object(error, &[]));
        }
        match self.dialect {
            Dialect::OpenAi => wire_openai::event(self, &json, on_delta),
            Dialect::Anthropic => wire_anthropic::event(self, &json, on_delta),
            Dialect::LlamaNative => wire_llama::event(self, &json, on_delta),
        }
    }

    pub(crate) fn text(
        &mut self,
        piece: &str,
        on_delta: &mut dyn FnMut(LlmDelta) -> LlmFlow,
    ) -> Result<(), LlmError> {
        if piece.is_empty() {
            return Ok(());
        }
        self.answer.text.push_str(piece);
        self.hand(LlmDelta::Text(piece.to_owned()), on_delta)
    }

    /// Adds to tool call number `index`.
    pub(crate) fn call(
        &mut self,
        index: usize,
        (id, name, arguments): (&str, &str, &str),
        on_delta: &mut dyn FnMut(LlmDelta) -> LlmFlow,
    ) -> Result<(), LlmError> {
        if index >= TOOL_CALLS_MAX {
            return Err(invalid(&format!("more than {TOOL_CALLS_MAX} tool calls in one answer")));
        }
        while self.calls.len() <= index {
            self.calls.push(Default::default());
        }
        if let Some(call) = self.calls.get_mut(index) {
            call.0.push_str(id);
            call.1.push_str(name);
            call.2.push_str(arguments);
        }
        let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
        self.hand(LlmDelta::ToolCall { index, id, name, arguments }, on_delta)
    }

    fn hand(
        &mut self,
        delta: LlmDelta,
        on_delta: &mut dyn FnMut(LlmDelta) -> LlmFlow,
    ) -> Result<(), LlmError> {
        self.delivered = true;
        match on_delta(delta) {
            LlmFlow::Continue => Ok(()),
            LlmFlow::Stop => Err(LlmError::new(LlmErrorCode::Cancelled, "the receiver stopped the stream")),
        }
    }

    /// The whole answer, or the error for a stream that broke off.
    pub(crate) fn finish(mut self) -> Result<WireAnswer, LlmError> {
        if !self.ended {
            return Err(LlmError::new(LlmErrorCode::ConnectionFailed, "the stream broke off before its end"));
        }
        for (id, name, arguments) in std::mem::take(&mut self.calls) {
            if !name.is_empty() {
                self.answer.tool_calls.push(LlmToolCall::new(id, name, arguments_value(&arguments)));
            }
        }
        Ok(self.answer)
    }
}

/// Tool calls accepted in one answer.
pub(crate) const TOOL_CALLS_MAX: usize = 128;

/// Arguments as JSON; text that is not JSON stays text, no text is an empty object.
pub(crate) fn arguments_value(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Object(Map::new());
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

pub(crate) fn invalid(why: &str) -> LlmError {
    LlmError::new(LlmErrorCode::InvalidResponse, why)
}

pub(crate) fn text_of<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

pub(crate) fn count_of(value: &Value, key: &str) -> Option<u64> {
    value.get(key).and_then(Value::as_u64)
}
