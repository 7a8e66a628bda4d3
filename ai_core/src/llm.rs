//! The language model seam: request, response, error and the client trait; it knows no provider, no transport and no price.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{CallContext, LlmError};

/// Who wrote a message.
// Exhaustive on purpose: providers map each role to their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LlmRole {
    /// Instructions of the operator.
    System,
    /// The person or agent that asks.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LlmMessage {
    /// Who wrote it.
    pub role: LlmRole,
    /// Its text; empty for an assistant turn that only calls tools.
    #[serde(default)]
    pub content: String,
    /// For [`LlmRole::Tool`]: the call that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// For [`LlmRole::Assistant`]: the calls that the model asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<LlmToolCall>,
}

impl LlmMessage {
    /// A plain message.
    pub fn new(role: LlmRole, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), tool_call_id: None, tool_calls: Vec::new() }
    }

    /// The result of tool call `id`.
    pub fn tool_result(id: impl Into<String>, content: impl Into<String>) -> Self {
        Self { tool_call_id: Some(id.into()), ..Self::new(LlmRole::Tool, content) }
    }

    /// The assistant turn that asked for `calls`.
    pub fn assistant_calls(calls: Vec<LlmToolCall>) -> Self {
        Self { tool_calls: calls, ..Self::new(LlmRole::Assistant, "") }
    }
}

/// A tool that the model may ask for; the caller runs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LlmTool {
    /// Name, `[A-Za-z0-9_-]{1,64}`.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub schema: Value,
}

impl LlmTool {
    /// A tool description.
    pub fn new(name: impl Into<String>, description: impl Into<String>, schema: Value) -> Self {
        Self { name: name.into(), description: description.into(), schema }
    }
}

/// A call that the model asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LlmToolCall {
    /// The provider's id, to be echoed in the result message.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Parsed arguments; a text value when the model did not write valid JSON.
    pub arguments: Value,
}

impl LlmToolCall {
    /// A tool call.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: Value) -> Self {
        Self { id: id.into(), name: name.into(), arguments }
    }
}

/// Whether the model may, must or must not call tools.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LlmToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No calls.
    None,
    /// At least one call.
    Required,
    /// This tool.
    Named(String),
}

/// What is made of the model's text.
// Exhaustive on purpose: mirrors the three values of the `output` argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LlmOutput {
    /// Verbatim.
    #[default]
    Text,
    /// The first SQL fence, else any fence, else the whole text.
    Sql,
    /// The first JSON fence, else any fence, else the whole text.
    Json,
}

/// One question to a model. Every `None` means "as configured".
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct LlmRequest {
    /// The conversation; a single user message for a plain prompt.
    pub messages: Vec<LlmMessage>,
    /// Instructions, passed in the provider's system role.
    pub system_message: Option<String>,
    /// Part of the cache scope, shown in histories.
    pub schema_name: String,
    /// Further cache scope, such as a tenant or a catalog run.
    pub scope: String,
    /// Pins a provider row.
    pub provider: Option<String>,
    /// Pins a model.
    pub model: Option<String>,
    /// Total time in milliseconds; also steers routing. 0 = as configured.
    pub max_latency_ms: u64,
    /// Whether a kept answer may be returned, and this one kept. [`LlmRequest::new`] sets it.
    pub allow_cache: bool,
    /// Correlation id; empty = generated.
    pub request_id: String,
    /// Upper bound of generated tokens.
    pub max_output_tokens: Option<u32>,
    /// Sampling temperature, 0–2.
    pub temperature: Option<f64>,
    /// Texts that end the generation, at most 16.
    pub stop: Vec<String>,
    /// JSON Schema that the answer must follow, where the provider can enforce it.
    pub response_schema: Option<Value>,
    /// Retries after the first attempt.
    pub max_retries: Option<u32>,
    /// First pause before a retry, milliseconds.
    pub retry_backoff_ms: Option<u64>,
    /// Growth of that pause.
    pub retry_multiplier: Option<f64>,
    /// Longest pause, milliseconds.
    pub retry_max_backoff_ms: Option<u64>,
    /// What is made of the text.
    pub output: LlmOutput,
    /// Tools on offer.
    pub tools: Vec<LlmTool>,
    /// Whether tools may be called.
    pub tool_choice: LlmToolChoice,
}

impl LlmRequest {
    /// A plain prompt that may be answered from the cache.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self::from_messages(vec![LlmMessage::new(LlmRole::User, prompt)])
    }

    /// A conversation that may be answered from the cache.
    pub fn from_messages(messages: Vec<LlmMessage>) -> Self {
        Self { messages, allow_cache: true, ..Self::default() }
    }

    /// The text of the last user message; empty without one.
    #[must_use]
    pub fn prompt(&self) -> &str {
        let last = self.messages.iter().rev().find(|m| m.role == LlmRole::User);
        last.map_or("", |m| m.content.as_str())
    }
}

/// Why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LlmFinish {
    /// It was done.
    #[default]
    Stop,
    /// The token limit cut it.
    Length,
    /// It wants tools to be run.
    ToolCalls,
    /// The provider filtered it.
    ContentFilter,
    /// The provider's own word.
    Other(String),
}

/// Where an answer came from.
// Exhaustive on purpose: mirrors the three values of the `cached` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LlmCached {
    /// The model was asked.
    #[default]
    Miss,
    /// The same question was answered before.
    Exact,
    /// A question of the same meaning was answered before.
    Semantic,
}

/// Tokens of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LlmUsage {
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Whether the provider did not say and the numbers are guessed from the text.
    pub estimated: bool,
}

impl LlmUsage {
    /// Counts as reported (`estimated` false) or guessed.
    #[must_use]
    pub fn new(input_tokens: u64, output_tokens: u64, estimated: bool) -> Self {
        Self { input_tokens, output_tokens, estimated }
    }
}

/// Where the time went, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LlmTimings {
    /// The whole call.
    pub total: f64,
    /// Waiting for a worker.
    pub queue: f64,
    /// Looking into the cache, its embedding included.
    pub lookup: f64,
    /// The provider, retries and pauses included.
    pub call: f64,
    /// Keeping the answer.
    pub store: f64,
}

/// A complete answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LlmResponse {
    /// The text, after [`LlmOutput`] was applied.
    pub text_response: String,
    /// How it arose: provider, model, attempts, tokens, cost, cache.
    pub explanation: String,
    /// Calls that the caller is to run.
    pub tool_calls: Vec<LlmToolCall>,
    /// Why the model stopped.
    pub finish_reason: LlmFinish,
    /// Whether and how the cache answered.
    pub cached: LlmCached,
    /// Id of the cache entry that answered or was made; empty without one.
    pub cache_id: String,
    /// Cosine for a semantic hit, 1 for an exact one, 0 for a miss.
    pub similarity: f64,
    /// Status of the last HTTP answer; 0 without one.
    pub http_status_code: u16,
    /// Provider row that produced the text.
    pub provider_used: String,
    /// Model that produced the text.
    pub model_used: String,
    /// HTTP attempts of this call.
    pub attempts: u32,
    /// Tokens; those of the first answer for a cache hit.
    pub usage: LlmUsage,
    /// What this call cost, US dollars; 0 for a cache hit.
    pub cost_usd: f64,
    /// Which price was used: `provider`, `variable`, `default` or `local`; empty for a cache hit.
    pub price_source: String,
    /// Where the time went.
    pub timings_ms: LlmTimings,
    /// The id of the request.
    pub request_id: String,
}

/// A piece of a streamed answer. The texts of all [`Text`](LlmDelta::Text) pieces make the whole answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LlmDelta {
    /// More text.
    Text(String),
    /// More of a tool call: the call's position, and its id, name and argument text as far as they came.
    ToolCall {
        /// Position of the call in the answer.
        index: usize,
        /// The provider's id; empty after the first piece.
        id: String,
        /// Name of the tool; empty after the first piece.
        name: String,
        /// A piece of the arguments' JSON text.
        arguments: String,
    },
}

/// What the receiver of a stream wants.
// Exhaustive on purpose: a stream goes on or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LlmFlow {
    /// More, please.
    Continue,
    /// Enough: the call ends with `ERR_CANCELLED`.
    Stop,
}

/// A language model behind whatever transport. Calls block, within the deadline of the context.
pub trait LlmClient: Send + Sync {
    /// Asks and waits for the whole answer.
    fn complete(&self, request: &LlmRequest, call: &CallContext) -> Result<LlmResponse, LlmError>;

    /// Asks and hands over pieces as they come, then the whole answer. `on_delta` runs in the calling thread;
    /// while it does, no further piece is read.
    fn stream(
        &self,
        request: &LlmRequest,
        call: &CallContext,
        on_delta: &mut dyn FnMut(LlmDelta) -> LlmFlow,
    ) -> Result<LlmResponse, LlmError>;
}
