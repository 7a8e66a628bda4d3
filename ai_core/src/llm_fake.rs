//! A deterministic language model for tests: scripted or echoing; it never opens a connection.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::{
    CallContext, LlmClient, LlmDelta, LlmError, LlmErrorCode, LlmFinish, LlmFlow, LlmRequest, LlmResponse,
    LlmToolCall, LlmUsage,
};

/// What the fake answers to one call.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FakeAnswer {
    /// This text.
    Text(String),
    /// These tool calls.
    Calls(Vec<LlmToolCall>),
    /// This failure.
    Fail(LlmError),
}

/// A scripted model: answers in the order given, then echoes the last user message. Keeps every request.
#[derive(Debug, Default)]
pub struct FakeLlm {
    script: Mutex<VecDeque<FakeAnswer>>,
    seen: Mutex<Vec<LlmRequest>>,
}

impl FakeLlm {
    /// A model that gives these answers first.
    #[must_use]
    pub fn new(script: impl IntoIterator<Item = FakeAnswer>) -> Self {
        Self { script: Mutex::new(script.into_iter().collect()), seen: Mutex::default() }
    }

    /// A model that gives these texts first.
    #[must_use]
    pub fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::new(texts.into_iter().map(|t| FakeAnswer::Text(t.into())))
    }

    /// Appends an answer.
    pub fn push(&self, answer: FakeAnswer) {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).push_back(answer);
    }

    /// The requests so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<LlmRequest> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn next(&self, request: &LlmRequest) -> FakeAnswer {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        let scripted = self.script.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        scripted.unwrap_or_else(|| FakeAnswer::Text(request.prompt().to_owned()))
    }
}

impl LlmClient for FakeLlm {
    fn complete(&self, request: &LlmRequest, call: &CallContext) -> Result<LlmResponse, LlmError> {
        self.stream(request, call, &mut |_| LlmFlow::Continue)
    }

    fn stream(
        &self,
        request: &LlmRequest,
        call: &CallContext,
        on_delta: &mut dyn FnMut(LlmDelta) -> LlmFlow,
    ) -> Result<LlmResponse, LlmError> {
        let cancelled = || LlmError::new(LlmErrorCode::Cancelled, "the call was cancelled");
        if call.cancel.is_cancelled() {
            return Err(cancelled());
        }
        let mut response = LlmResponse {
            provider_used: "fake".to_owned(),
            model_used: request.model.clone().unwrap_or_else(|| "fake".to_owned()),
            attempts: 1,
            request_id: request.request_id.clone(),
            price_source: "local".to_owned(),
            explanation: "fake model".to_owned(),
            ..LlmResponse::default()
        };
        match self.next(request) {
            FakeAnswer::Fail(error) => return Err(error),
            FakeAnswer::Calls(calls) => {
                for (index, c) in calls.iter().enumerate() {
                    let (id, name) = (c.id.clone(), c.name.clone());
                    let delta = LlmDelta::ToolCall { index, id, name, arguments: c.arguments.to_string() };
                    if on_delta(delta) == LlmFlow::Stop {
                        return Err(cancelled());
                    }
                }
                response.finish_reason = LlmFinish::ToolCalls;
                response.tool_calls = calls;
            }
            FakeAnswer::Text(text) => {
                for piece in text.split_inclusive(' ') {
                    if on_delta(LlmDelta::Text(piece.to_owned())) == LlmFlow::Stop {
                        return Err(cancelled());
                    }
                }
                response.text_response = text;
            }
        }
        let words = |t: &str| t.split_whitespace().count() as u64;
        response.usage = LlmUsage::new(words(request.prompt()), words(&response.text_response), true);
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AiError;

    #[test]
    fn script_then_echo_and_stream_equals_text() {
        let fake = FakeLlm::texts(["one two three"]);
        let call = CallContext::new("t");
        let mut text = String::new();
        let answer = fake
            .stream(&LlmRequest::new("q"), &call, &mut |d| {
                if let LlmDelta::Text(t) = d {
                    text.push_str(&t);
                }
                LlmFlow::Continue
            })
            .unwrap();
        assert_eq!(text, "one two three");
        assert_eq!(answer.text_response, text);
        assert_eq!(fake.complete(&LlmRequest::new("echo"), &call).unwrap().text_response, "echo");
        assert_eq!(fake.requests().len(), 2);
    }

    #[test]
    fn failures_become_typed_errors_with_details() {
        let error = LlmError::new(LlmErrorCode::RateLimited, "slow down").with_status(429);
        let fake = FakeLlm::new([FakeAnswer::Fail(error)]);
        let failed = fake.complete(&LlmRequest::new("q"), &CallContext::default()).unwrap_err();
        let typed = AiError::from(failed);
        assert_eq!(typed.code.as_str(), "UNAVAILABLE");
        assert_eq!(typed.details["error_code"], "ERR_RATE_LIMITED");
        assert_eq!(typed.details["http_status_code"], 429);
        assert!(typed.retryable);
    }

    #[test]
    fn stop_ends_the_stream() {
        let fake = FakeLlm::texts(["a b c"]);
        let mut pieces = 0;
        let ended = fake.stream(&LlmRequest::new("q"), &CallContext::default(), &mut |_| {
            pieces += 1;
            LlmFlow::Stop
        });
        assert_eq!(ended.unwrap_err().code, LlmErrorCode::Cancelled);
        assert_eq!(pieces, 1);
    }
}
