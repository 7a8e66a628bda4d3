//! One provider at work: connections, breaker, latency, and a single attempt; it does not retry, route or pay.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ai_core::{CancelToken, Deadline, LlmDelta, LlmError, LlmErrorCode, LlmFinish, LlmFlow};

use crate::breaker::Breaker;
use crate::classify::{ERROR_BODY_BYTES_MAX, classify_status};
use crate::clock::Clock;
use crate::config::LlmConfig;
use crate::http::{Endpoint, HttpAnswer, HttpCall};
use crate::latency::Latency;
use crate::money::Price;
use crate::provider_row::{ProviderKind, ProviderRow};
use crate::secret::SecretString;
use crate::sse::{SseFault, SseParser};
use crate::wire::{Dialect, StreamState, WireAnswer, WireRequest, invalid};
use crate::wire_anthropic;

const ANTHROPIC_VERSION: &str = "2023-06-01";

/// A provider row with its connections and what was learned about it.
pub(crate) struct Provider {
    pub(crate) row: ProviderRow,
    pub(crate) local: bool,
    pub(crate) breaker: Breaker,
    pub(crate) latency: Latency,
    pub(crate) counts: ProviderCounts,
    dialect: Dialect,
    endpoint: Endpoint,
    headers: Vec<(String, SecretString)>,
    active: Mutex<u32>,
}

/// What happened to one provider.
#[derive(Debug, Default)]
pub(crate) struct ProviderCounts {
    pub(crate) attempts: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) input_tokens: AtomicU64,
    pub(crate) output_tokens: AtomicU64,
    pub(crate) cost_units: AtomicU64,
}

impl ProviderCounts {
    pub(crate) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

/// One of the provider's `max_concurrency` places.
pub(crate) struct Place<'p>(&'p Provider);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut active = self.0.active.lock().unwrap_or_else(PoisonError::into_inner);
        *active = active.saturating_sub(1);
    }
}

/// The limits of one attempt.
pub(crate) struct Attempt<'a> {
    pub(crate) deadline: Deadline,
    pub(crate) cancel: &'a CancelToken,
    pub(crate) response_bytes_max: usize,
}

/// What one attempt brought.
pub(crate) struct AttemptAnswer {
    pub(crate) answer: WireAnswer,
    pub(crate) status: u16,
}

/// A failed attempt and whether the provider may bill it (it answered 2xx or delivered text).
pub(crate) struct AttemptError {
    pub(crate) error: LlmError,
    pub(crate) billed_text: Option<String>,
}

impl From<LlmError> for AttemptError {
    fn from(error: LlmError) -> Self {
        Self { error, billed_text: None }
    }
}

impl Provider {
    pub(crate) fn new(row: ProviderRow, clock: Arc<dyn Clock>) -> Self {
        let mut headers = Vec::new();
        if row.kind == ProviderKind::Anthropic {
            headers.push(("x-api-key".to_owned(), row.key.clone()));
            headers.push(("anthropic-version".to_owned(), SecretString::new(ANTHROPIC_VERSION)));
        } else if !row.key.is_empty() {
            headers.push((
                "authorization".to_owned(),
                SecretString::new(format!("Bearer {}", row.key.expose())),
            ));
        }
        headers.extend(row.options.headers.iter().cloned());
        Self {
            local: row.is_local(),
            dialect: Dialect::of(row.kind, &row.url),
            breaker: Breaker::default(),
            latency: Latency::default(),
            counts: ProviderCounts::default(),
            endpoint: Endpoint::new(clock),
            headers,
            active: Mutex::new(0),
            row,
        }
    }

    pub(crate) fn price(&self, config: &LlmConfig) -> Price {
        match (self.row.price_input, self.row.price_output) {
            (None, None) if self.local => Price::new(0.0, 0.0, "local"),
            (None, None) => {
                let price = config.llm_default_price_usd_per_mtok;
                Price::new(price, price, "default")
            }
            (input, output) => {
                let source = if self.row.name == "default" { "variable" } else { "provider" };
                // Half a price is a price: the other half is unknown and taken from the default for cloud.
                let other = if self.local { 0.0 } else { config.llm_default_price_usd_per_mtok };
                Price::new(input.unwrap_or(other), output.unwrap_or(other), source)
            }
        }
    }

    /// Whether anything forbids to ask this provider that it could not change by trying.
    pub(crate) fn check_key(&self) -> Result<(), LlmError> {
        if self.row.kind == ProviderKind::Anthropic && self.row.key.is_empty() {
            let why = format!("provider '{}' needs a key; set auth_ref or llm_provider_key", self.row.name);
            return Err(LlmError::new(LlmErrorCode::ApiKeyMissing, why));
        }
        Ok(())
    }

    /// Takes a place, unless `max_concurrency` calls are running.
    pub(crate) fn place(&self) -> Option<Place<'_>> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if self.row.max_concurrency > 0 && *active >= self.row.max_concurrency {
            return None;
        }
        *active += 1;
        Some(Place(self))
    }

    pub(crate) fn active(&self) -> u32 {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request's bytes.
    pub(crate) fn body(&self, wire: &WireRequest<'_>, request_bytes_max: usize) -> Result<Vec<u8>, LlmError> {
        let body = serde_json::to_vec(&self.dialect.build(wire)).map_err(|e| {
            LlmError::new(LlmErrorCode::Internal, format!("the request cannot be written as JSON: {e}"))
        })?;
        if body.len() > request_bytes_max {
            let why = format!(
                "the request has {} bytes, allowed are {}; see llm_request_max_bytes",
                body.len(),
                request_bytes_max
            );
            return Err(LlmError::new(LlmErrorCode::RequestTooLarge, why));
        }
        Ok(body)
    }

    /// One HTTP exchange with the [`body`](Self::body) of `wire`. `on_delta` is given pieces when the request asks for a stream.
    pub(crate) fn attempt(
        &self,
        wire: &WireRequest<'_>,
        body: &[u8],
        limits: &Attempt<'_>,
        on_delta: &mut dyn FnMut(LlmDelta) -> LlmFlow,
    ) -> Result<AttemptAnswer, AttemptError> {
        let call = HttpCall {
            url: &self.row.url,
            headers: &self.headers,
            body,
            accept: if wire.stream { "text/event-stream" } else { "application/json" },
            deadline: limits.deadline,
            response_bytes_max: limits.response_bytes_max,
            cancel: limits.cancel,
        };
        let started = Instant::now();
        let mut answer = self.endpoint.post(&call).map_err(LlmError::from)?;
        let status = answer.status;
        if !(200..300).contains(&status) {
            return Err(self.refusal(&mut answer).into());
        }
        let forced_json = self.dialect == Dialect::Anthropic && wire_anthropic::forces_json(wire.request);
        let result = if wire.stream && answer.is_event_stream {
            self.read_stream(&mut answer, forced_json, limits.response_bytes_max, on_delta)
        } else {
            self.read_whole(&mut answer, forced_json, wire.stream, on_delta)
        };
        match result.and_then(check_answer) {
            Ok(answer) => {
                self.latency.record(started.elapsed().as_secs_f64() * 1e3);
                Ok(AttemptAnswer { answer, status })
            }
            Err(mut failed) => {
                failed.error = self.redacted(failed.error);
                if failed.error.http_status_code == 0 {
                    failed.error.http_status_code = status;
                }
                Err(failed)
            }
        }
    }

    fn refusal(&self, answer: &mut HttpAnswer<'_>) -> LlmError {
        // Only the beginning matters, and a body that breaks off does not hide the status.
        let (mut body, mut buffer) = (Vec::new(), vec![0; 8_192]);
        while body.len() < ERROR_BODY_BYTES_MAX {
            match answer.read_some(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => body.extend_from_slice(&buffer[..count]),
            }
        }
        let keys: Vec<&SecretString> = self.secrets().collect();
        classify_status(answer.status, &body, answer.retry_after, &keys)
    }

    fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        let own = std::iter::once(&self.row.key);
        own.chain(self.row.options.headers.iter().map(|(_, value)| value))
    }

    fn redacted(&self, mut error: LlmError) -> LlmError {
        for key in self.secrets() {
            error.error_details = key.redact(&error.error_details);
        }
        error
    }

    fn read_whole(
        &self,
        answer: &mut HttpAnswer<'_>,
        forced_json: bool,
        stream: bool,
        on_delta: &mut dyn FnMut(LlmDelta) -> LlmFlow,
    ) -> Result<WireAnswer, AttemptError> {
        let body = answer.read_all().map_err(|f| billed(f.into(), ""))?;
        let parsed = self.dialect.parse(&body, forced_json).map_err(|e| billed(e, ""))?;
        // A provider that ignores the wish for a stream still serves the receiver.
        if stream && !parsed.text.is_empty() && on_delta(LlmDelta::Text(parsed.text.clone())) == LlmFlow::Stop
        {
            let stopped = LlmError::new(LlmErrorCode::Cancelled, "the receiver stopped the stream");
            return Err(billed(stopped, &parsed.text));
        }
        if stream {
            for (index, call) in parsed.tool_calls.iter().enumerate() {
                let (id, name) = (call.id.clone(), call.name.clone());
                on_delta(LlmDelta::ToolCall { index, id, name, arguments: call.arguments.to_string() });
            }
        }
        Ok(parsed)
    }

    fn read_stream(
        &self,
        answer: &mut HttpAnswer<'_>,
        forced_json: bool,
        event_bytes_max: usize,
        on_delta: &mut dyn FnMut(LlmDelta) -> LlmFlow,
    ) -> Result<WireAnswer, AttemptError> {
        let mut parser = SseParser::new(event_bytes_max);
        let mut state = StreamState::new(self.dialect, forced_json);
        let (mut events, mut buffer) = (Vec::new(), vec![0; 16_384]);
        let mut read_on = |state: &mut StreamState| -> Result<(), LlmError> {
            loop {
                let count = answer.read_some(&mut buffer)?;
                let fed = match count {
                    0 => parser.finish(&mut events),
                    _ => parser.push(&buffer[..count], &mut events),
                };
                fed.map_err(|fault| match fault {
                    SseFault::TooLarge => invalid("an event of the stream is too large"),
                    SseFault::NotUtf8 => invalid("the stream is not UTF-8"),
                })?;
                for event in events.drain(..) {
                    state.event(&event.data, on_delta)?;
                }
                if count == 0 {
                    return Ok(());
                }
            }
        };
        match read_on(&mut state) {
            Ok(()) => {}
            // Some servers cut the connection after the last event: what was promised is there.
            Err(e) if state.ended && e.code == LlmErrorCode::ConnectionFailed => {}
            Err(e) => return Err(billed(e, &state.answer.text)),
        }
        let text = state.answer.text.clone();
        state.finish().map_err(|e| billed(e, &text))
    }
}

fn billed(error: LlmError, text: &str) -> AttemptError {
    AttemptError { error, billed_text: Some(text.to_owned()) }
}

fn check_answer(answer: WireAnswer) -> Result<WireAnswer, AttemptError> {
    if answer.finish == LlmFinish::ContentFilter {
        let why = "the provider refused to answer this request";
        return Err(billed(LlmError::new(LlmErrorCode::ContentFiltered, why), &answer.text));
    }
    if answer.text.is_empty() && answer.tool_calls.is_empty() {
        let why = "the provider answered without text and without a tool call";
        return Err(billed(LlmError::new(LlmErrorCode::EmptyResponse, why), ""));
    }
    Ok(answer)
}
