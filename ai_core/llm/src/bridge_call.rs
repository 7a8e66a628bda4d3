//! The attempts of one call: which provider next, when, under which reservation, and what to report; no cache here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_core::{
    CallContext, Deadline, LlmDelta, LlmError, LlmErrorCode, LlmFlow, LlmRequest, LlmResponse, LlmTimings,
    LlmUsage,
};

use crate::breaker::Pass;
use crate::bridge::{Counters, LlmBridge, Snapshot, ms_since, over};
use crate::config::LlmConfig;
use crate::ledger::{Ask, Reservation, Spent};
use crate::money::{Price, Usd, estimate_tokens};
use crate::output::shape_output;
use crate::provider::{Attempt, AttemptAnswer, AttemptError, Place, Provider, ProviderCounts};
use crate::retry::{RetryPolicy, sleep};
use crate::route::{input_tokens, most_specific};
use crate::wire::WireRequest;

/// How often a provider whose places are all taken is looked at again.
const PLACE_POLL: Duration = Duration::from_millis(20);

/// One call with everything resolved.
pub(crate) struct Work<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) request: &'a LlmRequest,
    pub(crate) system: &'a str,
    pub(crate) call: &'a CallContext,
    pub(crate) deadline: Deadline,
}

impl<'a> Work<'a> {
    fn model_of(&self, provider: &'a Provider) -> &'a str {
        self.request.model.as_deref().unwrap_or(&provider.row.model)
    }

    fn named(&self, provider: &Provider, mut error: LlmError) -> LlmError {
        error.provider_used.clone_from(&provider.row.name);
        error.model_used = self.request.model.clone().unwrap_or_else(|| provider.row.model.clone());
        error
    }
}

/// What one attempt may cost and did cost.
struct Bill {
    price: Price,
    input_guess: u64,
    max_output: u32,
}

impl Bill {
    fn new(work: &Work<'_>, provider: &Provider) -> Self {
        let config = &work.snapshot.config;
        Self {
            price: provider.price(config),
            input_guess: input_tokens(work.request, work.system),
            max_output: work.request.max_output_tokens.unwrap_or(config.llm_max_output_tokens),
        }
    }

    fn ask(&self, config: &LlmConfig, provider: &Provider) -> Ask {
        // Half as much again for texts that tokenise worse than the guess.
        let input = self.input_guess + self.input_guess / 2;
        Ask {
            worst: self.price.cost(input, u64::from(self.max_output)),
            cloud: !provider.local,
            budget: Usd::from_dollars(config.daily_budget_usd),
            hourly_max: config.max_cloud_requests_per_hour,
        }
    }

    fn spent(&self, work: &Work<'_>, provider: &Provider, usage: LlmUsage, outcome: &str) -> Spent {
        Spent {
            kind: "llm",
            provider: provider.row.name.clone(),
            model: work.request.model.clone().unwrap_or_else(|| provider.row.model.clone()),
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            estimated: usage.estimated,
            cost: self.price.cost(usage.input_tokens, usage.output_tokens),
            price_source: self.price.source,
            caller: work.call.caller.clone(),
            outcome: outcome.to_owned(),
        }
    }
}

/// A candidate and what this call has tried with it.
struct Lane<'a> {
    provider: &'a Arc<Provider>,
    tries: u32,
    not_before: Instant,
    alive: bool,
}

/// What the lanes allow next.
enum Next<'a> {
    Go(usize, Place<'a>),
    Wait(Duration),
    Nothing,
}

type Done = (LlmResponse, String, Arc<Provider>);

impl LlmBridge {
    /// Asks the candidates until one answers; returns the response, the raw text and who gave it.
    pub(crate) fn call_lanes(
        &self,
        work: &Work<'_>,
        candidates: &[Arc<Provider>],
        mut on_delta: Option<&mut dyn FnMut(LlmDelta) -> LlmFlow>,
        timings: &mut LlmTimings,
    ) -> Result<Done, LlmError> {
        let started = Instant::now();
        let policy = RetryPolicy::of(&work.snapshot.config, work.request);
        let lane = |provider| Lane { provider, tries: 0, not_before: started, alive: true };
        let mut lanes: Vec<Lane<'_>> = candidates.iter().map(lane).collect();
        // A real failure tells more than a provider that was not even asked.
        let (mut failed, mut refused): (Option<LlmError>, Option<LlmError>) = (None, None);
        let mut attempts = 0;
        let result = loop {
            if work.call.cancel.is_cancelled() || work.deadline.is_over() {
                // A cancel is reported as such, whatever failed before it.
                let last = failed.or(refused).filter(|_| !work.call.cancel.is_cancelled());
                break Err(last_or_over(last, work));
            }
            let (at, place) = match next_lane(&lanes) {
                Next::Go(at, place) => (at, place),
                Next::Nothing => break Err(last_or_over(failed.or(refused), work)),
                // A pause that the deadline does not allow is not begun: the last real error tells more.
                Next::Wait(pause) if pause >= work.deadline.remaining() => {
                    break Err(last_or_over(failed.or(refused), work));
                }
                Next::Wait(pause) => {
                    if !sleep(pause, &work.call.cancel) {
                        break Err(over(work.call));
                    }
                    continue;
                }
            };
            let Some(lane) = lanes.get_mut(at) else { break Err(last_or_over(failed.or(refused), work)) };
            let provider = lane.provider;
            match self.attempt(work, provider, attempts, &mut on_delta) {
                Tried::Answer(answer, usage, cost, price) => {
                    drop(place);
                    attempts += 1;
                    let (response, raw) = self.response(work, provider, answer, usage, cost, price, attempts);
                    break Ok((response, raw, provider.clone()));
                }
                Tried::Refused(error) => {
                    lane.alive = false;
                    refused = Some(most_specific(refused.take(), error));
                }
                Tried::Failed(error, delivered) => {
                    attempts += 1;
                    let final_ = delivered || !error.retryable || error.code == LlmErrorCode::Cancelled;
                    lane.tries += 1;
                    lane.alive = lane.tries <= policy.retries_max;
                    lane.not_before = Instant::now() + policy.pause(lane.tries - 1, error.retry_after_ms);
                    failed = Some(error);
                    if final_ {
                        break Err(last_or_over(failed.or(refused), work));
                    }
                }
            }
        };
        timings.call = ms_since(started);
        result.map_err(|mut error: LlmError| {
            error.attempts = attempts;
            error
        })
    }

    fn attempt(
        &self,
        work: &Work<'_>,
        provider: &Provider,
        before: u32,
        on_delta: &mut Option<&mut dyn FnMut(LlmDelta) -> LlmFlow>,
    ) -> Tried {
        let config = &work.snapshot.config;
        let pass = match provider.breaker.enter() {
            Ok(pass) => pass,
            Err(left) => {
                let why =
                    format!("provider '{}' keeps failing and is left alone for a while", provider.row.name);
                let error = LlmError::new(LlmErrorCode::ConnectionFailed, why).with_retry_after(left);
                return Tried::Refused(work.named(provider, error));
            }
        };
        let bill = Bill::new(work, provider);
        let wire = WireRequest {
            request: work.request,
            system: work.system,
            model: work.model_of(provider),
            max_output_tokens: bill.max_output,
            temperature: work.request.temperature.unwrap_or(config.llm_temperature),
            stream: on_delta.is_some(),
            options: &provider.row.options,
        };
        let body = match provider.body(&wire, config.llm_request_max_bytes) {
            Ok(body) => body,
            Err(error) => return Tried::Refused(work.named(provider, error)),
        };
        let held = match self.ledger.reserve(&bill.ask(config, provider)) {
            Ok(held) => held,
            Err(error) => return Tried::Refused(work.named(provider, error)),
        };
        let limits = Attempt {
            deadline: work.deadline.capped_ms(config.llm_timeout_ms),
            cancel: &work.call.cancel,
            response_bytes_max: config.llm_response_max_bytes,
        };
        let mut delivered = false;
        let started = Instant::now();
        let result = provider.attempt(&wire, &body, &limits, &mut |delta| match on_delta.as_mut() {
            Some(receiver) => {
                if !std::mem::replace(&mut delivered, true) {
                    let labels = [("provider", provider.row.name.as_str())];
                    let seconds = started.elapsed().as_secs_f64();
                    self.metrics.observe_seconds("llm_first_token_seconds", &labels, seconds);
                }
                receiver(delta)
            }
            None => LlmFlow::Continue,
        });
        self.count_attempt(provider, before);
        self.settle(work, provider, &bill, Exchange { pass, held, result, delivered })
    }

    /// Pays for an exchange and gives breaker and counters their due.
    fn settle(&self, work: &Work<'_>, provider: &Provider, bill: &Bill, done: Exchange<'_>) -> Tried {
        let Exchange { pass, held, result, delivered } = done;
        match result {
            Ok(done) => {
                pass.succeeded();
                let usage = usage_of(&done.answer, bill.input_guess);
                let spent = bill.spent(work, provider, usage, "ok");
                let cost = spent.cost;
                self.count_tokens(provider, usage, cost);
                held.settle(spent);
                Tried::Answer(done, usage, cost, bill.price)
            }
            Err(AttemptError { error, billed_text }) => {
                match error.code {
                    LlmErrorCode::ConnectionFailed | LlmErrorCode::ServerError => pass.failed(),
                    LlmErrorCode::Timeout | LlmErrorCode::Cancelled => drop(pass),
                    _ => pass.succeeded(),
                }
                ProviderCounts::add(&provider.counts.failures, 1);
                // An answer that broke off is billed by most providers: what was read and what came of it.
                let usage = match billed_text {
                    Some(text) => LlmUsage::new(bill.input_guess, estimate_tokens(&text), true),
                    None => LlmUsage::default(),
                };
                held.settle(bill.spent(work, provider, usage, error.code.as_str()));
                Tried::Failed(work.named(provider, error), delivered)
            }
        }
    }

    fn count_attempt(&self, provider: &Provider, before: u32) {
        let side = if provider.local { &self.counters.local_calls } else { &self.counters.cloud_calls };
        Counters::add(side, 1);
        if before > 0 {
            Counters::add(&self.counters.retries, 1);
            self.metrics.count("llm_retries_total", &[], 1.0);
        }
        ProviderCounts::add(&provider.counts.attempts, 1);
    }

    fn count_tokens(&self, provider: &Provider, usage: LlmUsage, cost: Usd) {
        Counters::add(&self.counters.input_tokens, usage.input_tokens);
        Counters::add(&self.counters.output_tokens, usage.output_tokens);
        ProviderCounts::add(&provider.counts.input_tokens, usage.input_tokens);
        ProviderCounts::add(&provider.counts.output_tokens, usage.output_tokens);
        ProviderCounts::add(&provider.counts.cost_units, cost.units());
        let name = ("provider", provider.row.name.as_str());
        for (direction, tokens) in [("input", usage.input_tokens), ("output", usage.output_tokens)] {
            self.metrics.count("llm_tokens_total", &[name, ("direction", direction)], tokens as f64);
        }
        self.metrics.count("cost_usd_total", &[name, ("kind", "llm")], cost.dollars());
    }

    #[expect(clippy::too_many_arguments, reason = "the facts of one finished attempt")]
    fn response(
        &self,
        work: &Work<'_>,
        provider: &Provider,
        done: AttemptAnswer,
        usage: LlmUsage,
        cost: Usd,
        price: Price,
        attempts: u32,
    ) -> (LlmResponse, String) {
        let model = work.model_of(provider);
        let mut response = LlmResponse::default();
        response.text_response = shape_output(&done.answer.text, work.request.output);
        response.explanation = format!(
            "provider {} ({}) model {model}; {attempts} attempt{}; {}{} input and {} output tokens; cost {cost} \
             ({} price); cache miss",
            provider.row.name,
            provider.row.kind.as_str(),
            if attempts == 1 { "" } else { "s" },
            if usage.estimated { "about " } else { "" },
            usage.input_tokens,
            usage.output_tokens,
            price.source,
        );
        response.tool_calls = done.answer.tool_calls;
        response.finish_reason = done.answer.finish;
        response.http_status_code = done.status;
        response.provider_used.clone_from(&provider.row.name);
        model.clone_into(&mut response.model_used);
        response.attempts = attempts;
        response.usage = usage;
        response.cost_usd = cost.dollars();
        price.source.clone_into(&mut response.price_source);
        (response, done.answer.text)
    }
}

/// An HTTP exchange that is over, with what was taken for it.
struct Exchange<'a> {
    pass: Pass<'a>,
    held: Reservation<'a>,
    result: Result<AttemptAnswer, AttemptError>,
    delivered: bool,
}

/// What came of one try.
enum Tried {
    Answer(AttemptAnswer, LlmUsage, Usd, Price),
    /// Nothing was sent: breaker, budget or cap.
    Refused(LlmError),
    /// It failed; true when the receiver already has a part of the answer.
    Failed(LlmError, bool),
}

fn usage_of(answer: &crate::wire::WireAnswer, input_guess: u64) -> LlmUsage {
    let calls: u64 = answer.tool_calls.iter().map(|c| estimate_tokens(&c.arguments.to_string()) + 8).sum();
    let output_guess = estimate_tokens(&answer.text) + calls;
    let estimated = answer.input_tokens.is_none() || answer.output_tokens.is_none();
    let input = answer.input_tokens.unwrap_or(input_guess);
    LlmUsage::new(input, answer.output_tokens.unwrap_or(output_guess), estimated)
}

fn last_or_over(last: Option<LlmError>, work: &Work<'_>) -> LlmError {
    last.unwrap_or_else(|| over(work.call))
}

/// The lane with the fewest tries, in candidate order, whose pause is over and that has a free place.
fn next_lane<'a>(lanes: &[Lane<'a>]) -> Next<'a> {
    let now = Instant::now();
    let mut order: Vec<(usize, &Lane<'a>)> = lanes.iter().enumerate().filter(|(_, l)| l.alive).collect();
    order.sort_by_key(|(at, lane)| (lane.tries, *at));
    let mut wait: Option<Duration> = None;
    for (at, lane) in order {
        let left = lane.not_before.saturating_duration_since(now);
        let left = if left.is_zero() {
            match lane.provider.place() {
                Some(place) => return Next::Go(at, place),
                None => PLACE_POLL,
            }
        } else {
            left
        };
        wait = Some(wait.map_or(left, |w| w.min(left)));
    }
    wait.map_or(Next::Nothing, Next::Wait)
}
