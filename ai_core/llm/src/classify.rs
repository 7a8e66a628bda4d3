//! Turns HTTP faults and statuses into the errors that operators know; it does not decide about retries.

use std::time::Duration;

use ai_core::{AiError, AiErrorCode, LlmError, LlmErrorCode};
use serde_json::Value;

use crate::http::HttpFault;
use crate::secret::SecretString;

/// Bytes of an error answer that are read.
pub(crate) const ERROR_BODY_BYTES_MAX: usize = 65_536;

impl From<HttpFault> for LlmError {
    fn from(fault: HttpFault) -> Self {
        match fault {
            HttpFault::Timeout => LlmError::new(LlmErrorCode::Timeout, "the provider did not answer in time"),
            HttpFault::Cancelled => LlmError::new(LlmErrorCode::Cancelled, "the call was cancelled"),
            HttpFault::Connection(why) => LlmError::new(LlmErrorCode::ConnectionFailed, why),
            HttpFault::Certificate(why) => LlmError::new(LlmErrorCode::ConnectionFailed, why).permanent(),
            HttpFault::TooLarge(max) => LlmError::new(
                LlmErrorCode::InvalidResponse,
                format!("the answer is larger than {max} bytes; see llm_response_max_bytes"),
            ),
            HttpFault::BadRequest(why) => LlmError::new(LlmErrorCode::ValidationFailed, why),
            HttpFault::Protocol(why) => LlmError::new(LlmErrorCode::InvalidResponse, why),
        }
    }
}

/// The error for a status outside 2xx, with the provider's own words, `keys` removed.
pub(crate) fn classify_status(
    status: u16,
    body: &[u8],
    retry_after: Option<Duration>,
    keys: &[&SecretString],
) -> LlmError {
    let said = provider_message(body);
    let code = code_of(status, &said.to_ascii_lowercase());
    let mut details = match (code, said.is_empty()) {
        (LlmErrorCode::InvalidResponse, _) if (300..400).contains(&status) => {
            format!("the provider answered {status}; redirects are not followed, set the final URL")
        }
        (_, true) => format!("the provider answered {status}"),
        (_, false) => format!("the provider answered {status}: {said}"),
    };
    for key in keys {
        details = key.redact(&details);
    }
    let mut error = LlmError::new(code, details).with_status(status);
    if let (true, Some(pause)) = (code.is_retried(), retry_after) {
        error = error.with_retry_after(pause);
    }
    error
}

fn code_of(status: u16, said: &str) -> LlmErrorCode {
    match status {
        401 | 403 => LlmErrorCode::ApiKeyInvalid,
        408 => LlmErrorCode::Timeout,
        413 => LlmErrorCode::RequestTooLarge,
        429 => LlmErrorCode::RateLimited,
        500..=599 => LlmErrorCode::ServerError,
        400..=499 if speaks_of_context_length(said) => LlmErrorCode::RequestTooLarge,
        400..=499 if speaks_of_filter(said) => LlmErrorCode::ContentFiltered,
        400..=499 => LlmErrorCode::ValidationFailed,
        _ => LlmErrorCode::InvalidResponse,
    }
}

fn speaks_of_context_length(said: &str) -> bool {
    let marks = [
        "context_length_exceeded",
        "context length",
        "maximum context",
        "prompt is too long",
        "context size",
        "exceed_context_size",
        "too many tokens",
        "context window",
    ];
    marks.iter().any(|m| said.contains(m))
}

fn speaks_of_filter(said: &str) -> bool {
    ["content_filter", "content_policy", "content management policy"].iter().any(|m| said.contains(m))
}

/// The error for an `error` object inside a stream or a 2xx answer.
pub(crate) fn classify_error_object(error: &Value, keys: &[&SecretString]) -> LlmError {
    let said = message_of(error);
    let kind = error.get("type").or_else(|| error.get("code")).map(scalar_text).unwrap_or_default();
    let lower = format!("{kind} {said}").to_ascii_lowercase();
    let status = error.get("code").and_then(Value::as_u64).and_then(|c| u16::try_from(c).ok());
    let code = match status {
        Some(status @ 400..=599) => code_of(status, &lower),
        _ if lower.contains("rate_limit") || lower.contains("rate limit") => LlmErrorCode::RateLimited,
        _ if lower.contains("overloaded") => LlmErrorCode::ServerError,
        _ if lower.contains("authentication") || lower.contains("permission") => LlmErrorCode::ApiKeyInvalid,
        _ if speaks_of_context_length(&lower) => LlmErrorCode::RequestTooLarge,
        _ if speaks_of_filter(&lower) => LlmErrorCode::ContentFiltered,
        _ if lower.contains("invalid_request") => LlmErrorCode::ValidationFailed,
        _ => LlmErrorCode::ServerError,
    };
    let mut details = format!("the provider reported an error: {said}");
    for key in keys {
        details = key.redact(&details);
    }
    LlmError::new(code, details)
}

fn scalar_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn message_of(error: &Value) -> String {
    let kind = error.get("type").or_else(|| error.get("code")).and_then(Value::as_str).unwrap_or("");
    let said = error.get("message").and_then(Value::as_str).unwrap_or("");
    match (error.as_str(), said.is_empty(), kind.is_empty()) {
        (Some(text), ..) => text.to_owned(),
        (None, false, true) => said.to_owned(),
        (None, false, false) => format!("{said} ({kind})"),
        (None, true, false) => kind.to_owned(),
        (None, true, true) => error.to_string(),
    }
}

fn provider_message(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4_096)]);
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(json) => match json.get("error") {
            Some(error) => message_of(error),
            None => ["message", "detail"]
                .iter()
                .find_map(|k| json.get(*k).and_then(Value::as_str))
                .map_or_else(|| text.into_owned(), str::to_owned),
        },
        Err(_) => text.into_owned(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The AI side's typed error as a model error, for work that an embedder did for the bridge.
pub(crate) fn from_ai(error: AiError) -> LlmError {
    let code = match error.code {
        AiErrorCode::DeadlineExceeded => LlmErrorCode::Timeout,
        AiErrorCode::Unavailable => LlmErrorCode::ConnectionFailed,
        AiErrorCode::LimitExceeded => LlmErrorCode::RequestTooLarge,
        AiErrorCode::InvalidArgument | AiErrorCode::NotFound | AiErrorCode::Conflict => {
            LlmErrorCode::ValidationFailed
        }
        AiErrorCode::PermissionDenied => LlmErrorCode::ApiKeyInvalid,
        AiErrorCode::FailedPrecondition => LlmErrorCode::UnknownProvider,
        AiErrorCode::Internal => LlmErrorCode::Internal,
    };
    let mut converted = LlmError::new(code, error.message);
    converted.retryable = error.retryable;
    converted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        let code = |status, body: &str| classify_status(status, body.as_bytes(), None, &[]).code;
        assert_eq!(code(401, ""), LlmErrorCode::ApiKeyInvalid);
        assert_eq!(code(403, ""), LlmErrorCode::ApiKeyInvalid);
        assert_eq!(code(404, "{}"), LlmErrorCode::ValidationFailed);
        assert_eq!(code(408, ""), LlmErrorCode::Timeout);
        assert_eq!(code(413, ""), LlmErrorCode::RequestTooLarge);
        assert_eq!(code(429, ""), LlmErrorCode::RateLimited);
        assert_eq!(code(529, ""), LlmErrorCode::ServerError);
        assert_eq!(code(302, ""), LlmErrorCode::InvalidResponse);
        assert_eq!(
            code(400, r#"{"error":{"code":"context_length_exceeded"}}"#),
            LlmErrorCode::RequestTooLarge
        );
        assert_eq!(
            code(400, r#"{"error":{"code":"content_filter","message":"no"}}"#),
            LlmErrorCode::ContentFiltered
        );
    }

    #[test]
    fn details_are_short_and_without_keys() {
        let key = SecretString::new("sk-secret-key");
        let body = format!(r#"{{"error":{{"message":"bad key sk-secret-key {}"}}}}"#, "x".repeat(2_000));
        let error = classify_status(401, body.as_bytes(), None, &[&key]);
        assert!(error.error_details.contains("bad key ***"));
        assert_eq!(error.error_details.chars().count(), LlmError::DETAILS_CHARS_MAX);
    }

    #[test]
    fn error_objects_in_streams() {
        let object = |t: &str| classify_error_object(&serde_json::from_str(t).unwrap(), &[]).code;
        assert_eq!(
            object(r#"{"type":"overloaded_error","message":"Overloaded"}"#),
            LlmErrorCode::ServerError
        );
        assert_eq!(object(r#"{"code":429,"message":"slow"}"#), LlmErrorCode::RateLimited);
        assert_eq!(object(r#""broken""#), LlmErrorCode::ServerError);
    }
}
