//! One question to the model: budget, fence, look-ups, a JSON answer that is read strictly, one second chance; it knows no stage.

use std::time::Instant;

use ai_core::{
    CallContext as AiCall, Deadline, LlmClient, LlmErrorCode, LlmMessage, LlmOutput, LlmRequest, LlmResponse,
    LlmRole,
};
use mcp::{ToolError, ToolResult};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::fence::Fence;
use super::hands::Hands;
use super::journal::Journal;
use super::lookup;
use super::options::DiscoverOptions;

/// Answers with tool calls that one question may get.
const ROUNDS_MAX: usize = 5;
/// Tool calls of one answer that are looked at.
const CALLS_PER_ROUND_MAX: usize = 8;
/// Characters per token, for estimates before a call.
const CHARS_PER_TOKEN: u64 = 3;
/// Calls in a row without any response after which the model is taken for gone.
const FAILURES_MAX: u64 = 3;

/// Why there is no answer.
pub(crate) enum NoAnswer {
    /// This question has no usable answer; others may have one.
    Unanswered(String),
    /// The whole discovery stops here and may be gone on with.
    Pause(String),
    /// A tool of the agent failed.
    Tool(ToolError),
}

impl From<ToolError> for NoAnswer {
    fn from(error: ToolError) -> Self {
        Self::Tool(error)
    }
}

/// Asks within the budget.
pub(crate) struct Asker<'a> {
    pub(crate) llm: &'a dyn LlmClient,
    pub(crate) hands: &'a Hands<'a>,
    pub(crate) journal: &'a Journal<'a>,
    pub(crate) options: &'a DiscoverOptions,
    pub(crate) call: AiCall,
    pub(crate) ends_at: Instant,
    /// Calls without a response since the last response.
    pub(crate) failures: std::cell::Cell<u64>,
    /// Questions of this call with a usable answer.
    pub(crate) answered: std::cell::Cell<u64>,
}

impl Asker<'_> {
    /// Asks `task` about the fenced `data`; the answer fits `schema` as far as `T` can tell.
    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        about: &str,
        task: &str,
        data: &str,
        schema: &Value,
    ) -> Result<T, NoAnswer> {
        let fence = Fence::new()?;
        let prompt = format!("{task}\n\nThe schema of your answer: {schema}\n\n{}", fence.wrap(data));
        let mut messages = vec![LlmMessage::new(LlmRole::User, prompt)];
        let mut second_chance = true;
        for _ in 0..ROUNDS_MAX {
            let response = self.send(&fence, &messages, schema)?;
            if !response.tool_calls.is_empty() {
                self.answer_calls(&fence, &response, &mut messages)?;
                continue;
            }
            let cause = match serde_json::from_str::<T>(response.text_response.trim()) {
                Ok(answer) => {
                    self.answered.set(self.answered.get() + 1);
                    return Ok(answer);
                }
                Err(error) => error.to_string(),
            };
            if !second_chance {
                return Err(self.unanswered(about, &cause)?);
            }
            second_chance = false;
            messages.push(LlmMessage::new(LlmRole::Assistant, response.text_response));
            let again = format!("That is no JSON object of the schema: {cause}. Answer again, JSON only.");
            messages.push(LlmMessage::new(LlmRole::User, again));
        }
        Err(self.unanswered(about, "only tool calls, no answer")?)
    }

    fn unanswered(&self, about: &str, cause: &str) -> ToolResult<NoAnswer> {
        let journal = self.journal;
        journal.unanswered.set(journal.unanswered.get() + 1);
        let cause: String = cause.chars().take(300).collect();
        journal.note(json!({"kind": "unanswered", "about": about, "cause": cause}))?;
        Ok(NoAnswer::Unanswered(cause))
    }

    /// A call that brought no response; a model that is too weak responds, one that is gone does not.
    fn failed(&self, code: LlmErrorCode, cause: &str) -> ToolResult<NoAnswer> {
        let unanswered = self.unanswered("a model call", cause)?;
        if !is_silent(code) {
            return Ok(unanswered);
        }
        self.failures.set(self.failures.get() + 1);
        if self.failures.get() >= FAILURES_MAX {
            return Ok(NoAnswer::Pause(format!("{FAILURES_MAX} calls in a row without a response: {cause}")));
        }
        Ok(unanswered)
    }

    fn send(&self, fence: &Fence, messages: &[LlmMessage], schema: &Value) -> Result<LlmResponse, NoAnswer> {
        self.affordable(messages)?;
        let mut request = LlmRequest::from_messages(messages.to_vec());
        request.system_message = Some(fence.system());
        request.model = Some(self.options.model.clone()).filter(|m| !m.is_empty());
        request.max_output_tokens = Some(self.options.answer_tokens_max);
        request.temperature = Some(0.0);
        request.output = LlmOutput::Json;
        request.response_schema = Some(schema.clone());
        request.scope = format!("discovery {}", self.journal.agent_run_id);
        // The boundary is new every time: a kept answer can never fit.
        request.allow_cache = false;
        if self.options.lookups {
            request.tools = lookup::offered();
        }
        let call = self.call.clone().with_deadline(Deadline::at(self.ends_at));
        let mut spent = self.journal.spent.get();
        spent.model_calls += 1;
        match self.llm.complete(&request, &call) {
            Ok(response) => {
                self.failures.set(0);
                spent.tokens += response.usage.input_tokens + response.usage.output_tokens;
                spent.cost_usd += response.cost_usd.max(0.0);
                self.journal.spent.set(spent);
                Ok(response)
            }
            Err(error) => {
                self.journal.spent.set(spent);
                let cause = error.to_string();
                if self.hands.is_cancelled() || is_final(error.code) {
                    return Err(NoAnswer::Pause(cause));
                }
                Err(self.failed(error.code, &cause)?)
            }
        }
    }

    /// Pauses before a question that could pass a bound.
    fn affordable(&self, messages: &[LlmMessage]) -> Result<(), NoAnswer> {
        let (spent, budget) = (self.journal.spent.get(), &self.options.budget);
        let pause = |what: &str| Err(NoAnswer::Pause(format!("the budget of {what} is used up")));
        if self.hands.is_cancelled() {
            return Err(NoAnswer::Pause("cancelled".to_owned()));
        }
        if Instant::now() >= self.ends_at {
            return pause("time");
        }
        if spent.model_calls >= budget.model_calls_max {
            return pause("model calls");
        }
        let chars: usize = messages.iter().map(|m| m.content.len()).sum();
        let worst = chars as u64 / CHARS_PER_TOKEN + u64::from(self.options.answer_tokens_max);
        if spent.tokens.saturating_add(worst) > budget.tokens_max {
            return pause("tokens");
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let next_usd = spent.cost_usd / spent.tokens.max(1) as f64 * worst as f64;
        if spent.cost_usd > budget.cost_usd_max
            || (spent.cost_usd > 0.0 && spent.cost_usd + next_usd > budget.cost_usd_max)
        {
            return pause("money");
        }
        Ok(())
    }

    fn answer_calls(
        &self,
        fence: &Fence,
        response: &LlmResponse,
        messages: &mut Vec<LlmMessage>,
    ) -> Result<(), NoAnswer> {
        let calls: Vec<_> = response.tool_calls.iter().take(CALLS_PER_ROUND_MAX).cloned().collect();
        messages.push(LlmMessage::assistant_calls(calls.clone()));
        for call in calls {
            let answer = match lookup::run(self.hands, &call, self.options.lookups) {
                Ok(answer) => fence.wrap(&answer),
                Err(reason) => {
                    self.journal.refused.set(self.journal.refused.get() + 1);
                    let name: String = call.name.chars().take(64).collect();
                    self.journal.note(json!({"kind": "tool_refused", "tool": name, "reason": reason}))?;
                    format!("refused: {reason}")
                }
            };
            messages.push(LlmMessage::tool_result(call.id, answer));
        }
        Ok(())
    }
}

/// The provider said nothing of use about this one question.
const fn is_silent(code: LlmErrorCode) -> bool {
    matches!(
        code,
        LlmErrorCode::Timeout
            | LlmErrorCode::ConnectionFailed
            | LlmErrorCode::RateLimited
            | LlmErrorCode::ServerError
            | LlmErrorCode::Internal
    )
}

/// Causes that the next question would meet again.
const fn is_final(code: LlmErrorCode) -> bool {
    matches!(
        code,
        LlmErrorCode::ApiKeyMissing
            | LlmErrorCode::ApiKeyInvalid
            | LlmErrorCode::UnknownProvider
            | LlmErrorCode::BudgetExceeded
            | LlmErrorCode::HourlyCap
            | LlmErrorCode::Cancelled
            | LlmErrorCode::QueueFull
    )
}
