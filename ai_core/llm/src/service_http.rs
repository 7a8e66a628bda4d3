//! A JSON call to an embedding or rerank service: retries, breaker, money; it does not know what is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ai_core::{AiError, AiErrorCode, AiResult, CallContext, Deadline, LlmError, LlmErrorCode};
use arc_swap::ArcSwap;
use serde_json::Value;

use crate::breaker::Breaker;
use crate::classify::{ERROR_BODY_BYTES_MAX, classify_status};
use crate::clock::Clock;
use crate::http::{Endpoint, HttpCall};
use crate::ledger::{Ask, Ledger, Spent};
use crate::metrics::Metrics;
use crate::money::{Price, Usd};
use crate::provider_row::is_local_url;
use crate::retry::{RetryPolicy, sleep};
use crate::secret::SecretString;

/// Largest answer of a service, bytes.
const RESPONSE_BYTES_MAX: usize = 64 * 1_048_576;
/// Longest time of a call without a deadline, milliseconds.
const TOTAL_TIMEOUT_MS_MAX: u64 = 900_000;

/// Limits of the moment for paid services.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SpendLimits {
    pub(crate) budget: Usd,
    pub(crate) hourly_max: u32,
    pub(crate) default_price: f64,
}

/// Who pays: the ledger and its limits, which a reload may change under a living service.
#[derive(Clone)]
pub(crate) struct Purse {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) limits: Arc<ArcSwap<SpendLimits>>,
    pub(crate) metrics: Arc<Metrics>,
}

/// How a service is reached.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServiceSettings {
    /// `embed` or `rerank`.
    pub(crate) kind: &'static str,
    pub(crate) url: String,
    pub(crate) key: SecretString,
    pub(crate) attempt_timeout_ms: u64,
    pub(crate) retry: RetryPolicy,
}

/// One service.
pub(crate) struct HttpService {
    pub(crate) settings: ServiceSettings,
    endpoint: Endpoint,
    headers: Vec<(String, SecretString)>,
    breaker: Breaker,
    purse: Option<Purse>,
    local: bool,
    requests: AtomicU64,
}

impl HttpService {
    pub(crate) fn new(settings: ServiceSettings, clock: Arc<dyn Clock>, purse: Option<Purse>) -> Self {
        let bearer = |key: &SecretString| {
            ("authorization".to_owned(), SecretString::new(format!("Bearer {}", key.expose())))
        };
        let headers = (!settings.key.is_empty()).then(|| bearer(&settings.key)).into_iter().collect();
        Self {
            local: is_local_url(&settings.url),
            endpoint: Endpoint::new(clock),
            breaker: Breaker::default(),
            requests: AtomicU64::new(0),
            headers,
            purse,
            settings,
        }
    }

    /// HTTP attempts so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Posts `body` until an answer comes or retries and time are used up.
    pub(crate) fn post(
        &self,
        body: &Value,
        model: &str,
        input_tokens: u64,
        call: &CallContext,
    ) -> AiResult<Value> {
        let bytes = serde_json::to_vec(body).map_err(|e| AiError::internal(e.to_string()))?;
        let deadline = call.deadline.unwrap_or_else(|| Deadline::after_ms(TOTAL_TIMEOUT_MS_MAX));
        let mut retry = 0;
        loop {
            let error = match self.attempt(&bytes, model, input_tokens, deadline, call) {
                Ok(json) => return Ok(json),
                Err(error) => error,
            };
            let pause = self.settings.retry.pause(retry, error.retry_after_ms);
            let again = error.retryable && error.code.is_retried() && retry < self.settings.retry.retries_max;
            if !again || pause >= deadline.remaining() {
                return Err(self.typed(error, retry + 1));
            }
            if !sleep(pause, &call.cancel) {
                return Err(AiError::unavailable("the call was cancelled"));
            }
            retry += 1;
        }
    }

    fn typed(&self, error: LlmError, attempts: u32) -> AiError {
        let code = error.code;
        let mut typed: AiError = error.into();
        typed.message = format!("{} service: {}", self.settings.kind, typed.message);
        // A service that does not take our key or our texts is a matter of its settings, not of the caller's rights.
        if code == LlmErrorCode::ApiKeyInvalid {
            typed.code = AiErrorCode::FailedPrecondition;
        }
        typed.with("attempts", attempts)
    }

    fn attempt(
        &self,
        body: &[u8],
        model: &str,
        input_tokens: u64,
        deadline: Deadline,
        call: &CallContext,
    ) -> Result<Value, LlmError> {
        let pass = self.breaker.enter().map_err(|left| {
            let why = "the service keeps failing and is left alone for a while";
            LlmError::new(LlmErrorCode::ConnectionFailed, why).with_retry_after(left).permanent()
        })?;
        let limits = self.purse.as_ref().map(|purse| **purse.limits.load());
        let price = match limits {
            Some(limits) if !self.local => Price::new(limits.default_price, 0.0, "default"),
            _ => Price::new(0.0, 0.0, "local"),
        };
        let held = match (&self.purse, limits) {
            (Some(purse), Some(limits)) => Some(purse.ledger.reserve(&Ask {
                worst: price.cost(input_tokens + input_tokens / 2, 0),
                cloud: !self.local,
                budget: limits.budget,
                hourly_max: limits.hourly_max,
            })?),
            _ => None,
        };
        self.requests.fetch_add(1, Ordering::Relaxed);
        let result = self.exchange(body, deadline, call);
        let mut spent = Spent {
            kind: self.settings.kind,
            provider: self.settings.kind.to_owned(),
            model: model.to_owned(),
            price_source: price.source,
            caller: call.caller.clone(),
            outcome: "ok".to_owned(),
            ..Spent::default()
        };
        match &result {
            Ok(json) => {
                pass.succeeded();
                let counted =
                    json.get("usage").and_then(|u| u.get("prompt_tokens").or(u.get("total_tokens")));
                let counted = counted.and_then(Value::as_u64);
                spent.estimated = counted.is_none();
                spent.input_tokens = counted.unwrap_or(input_tokens);
                spent.cost = price.cost(spent.input_tokens, 0);
                if let Some(purse) = &self.purse {
                    let labels = [("provider", self.settings.kind), ("kind", self.settings.kind)];
                    purse.metrics.count("cost_usd_total", &labels, spent.cost.dollars());
                }
            }
            Err(error) => {
                match error.code {
                    LlmErrorCode::ConnectionFailed | LlmErrorCode::ServerError => pass.failed(),
                    LlmErrorCode::Timeout | LlmErrorCode::Cancelled => drop(pass),
                    _ => pass.succeeded(),
                }
                error.code.as_str().clone_into(&mut spent.outcome);
            }
        }
        if let Some(held) = held {
            held.settle(spent);
        }
        result
    }

    fn exchange(&self, body: &[u8], deadline: Deadline, call: &CallContext) -> Result<Value, LlmError> {
        let mut answer = self.endpoint.post(&HttpCall {
            url: &self.settings.url,
            headers: &self.headers,
            body,
            accept: "application/json",
            deadline: deadline.capped_ms(self.settings.attempt_timeout_ms),
            response_bytes_max: RESPONSE_BYTES_MAX,
            cancel: &call.cancel,
        })?;
        if !(200..300).contains(&answer.status) {
            let mut text = answer.read_all().unwrap_or_default();
            text.truncate(ERROR_BODY_BYTES_MAX);
            return Err(classify_status(answer.status, &text, answer.retry_after, &[&self.settings.key]));
        }
        let text = answer.read_all()?;
        serde_json::from_slice(&text).map_err(|e| {
            LlmError::new(LlmErrorCode::InvalidResponse, format!("the answer is not JSON ({e})"))
                .with_status(answer.status)
        })
    }
}
