//! What a request must look like before anything is done for it; it knows no provider.

use ai_core::{LlmError, LlmErrorCode, LlmRequest, LlmRole};

use crate::config::LlmConfig;

/// Texts that may end a generation.
const STOPS_MAX: usize = 16;
/// Tools on offer.
const TOOLS_MAX: usize = 128;
/// Messages of one conversation.
const MESSAGES_MAX: usize = 1_024;

pub(super) fn validate(request: &LlmRequest, config: &LlmConfig) -> Result<(), LlmError> {
    let bad = |why: String| Err(LlmError::new(LlmErrorCode::ValidationFailed, why));
    let says_something =
        request.messages.iter().any(|m| m.role != LlmRole::System && !m.content.trim().is_empty());
    if !says_something {
        return bad("the prompt is empty".into());
    }
    let counts = [
        ("messages", request.messages.len(), MESSAGES_MAX),
        ("stop texts", request.stop.len(), STOPS_MAX),
        ("tools", request.tools.len(), TOOLS_MAX),
    ];
    if let Some((what, count, max)) = counts.iter().find(|(_, count, max)| count > max) {
        return bad(format!("{count} {what}, allowed are {max}"));
    }
    if request.temperature.is_some_and(|t| !(0.0..=2.0).contains(&t)) {
        return bad("temperature must be 0–2".into());
    }
    if request.max_output_tokens.is_some_and(|t| !(1..=131_072).contains(&t)) {
        return bad("max_output_tokens must be 1–131072".into());
    }
    if request.max_retries.is_some_and(|r| r > 10) {
        return bad("max_retries must be 0–10".into());
    }
    if request.retry_multiplier.is_some_and(|m| !(1.0..=10.0).contains(&m)) {
        return bad("retry_multiplier must be 1–10".into());
    }
    let texts = request.messages.iter().map(|m| m.content.len());
    let bytes = texts.sum::<usize>() + request.system_message.as_ref().map_or(0, String::len);
    if bytes > config.llm_request_max_bytes {
        let max = config.llm_request_max_bytes;
        let why = format!("the texts have {bytes} bytes, allowed are {max}; see llm_request_max_bytes");
        return Err(LlmError::new(LlmErrorCode::RequestTooLarge, why));
    }
    Ok(())
}
