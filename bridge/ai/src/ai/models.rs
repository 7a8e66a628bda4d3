//! `ai.llm_query` and `ai.embed`: arguments to the model side and back; the service does the work.

use ai_core::{AiError, EmbedKind, LlmOutput, LlmRequest, LlmResponse};
use ai_core_llm::estimate_tokens;
use base64::Engine;
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tool::{Ask, Reply, bad};
use crate::errors::ai_tool_error;

/// Texts of one call.
const DOCUMENTS_MAX: usize = 256;

/// What is made of the model's text.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Output {
    /// Verbatim.
    #[default]
    Text,
    /// The first SQL block, else any block, else the whole text.
    Sql,
    /// The first JSON block, else any block, else the whole text.
    Json,
}

/// A question.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LlmArgs {
    /// The question.
    #[schemars(length(min = 1))]
    prompt: String,
    /// Instructions in the system role; the configured ones if absent.
    system_message: Option<String>,
    /// Only this provider.
    provider: Option<String>,
    /// Only this model.
    model: Option<String>,
    /// Whether a kept answer may be given, and this one kept.
    #[serde(default = "yes")]
    allow_cache: bool,
    /// Milliseconds for the whole call; 0 = as configured.
    #[serde(default)]
    #[schemars(range(max = 900_000))]
    max_latency_ms: u64,
    /// Tokens of the answer at most; as configured if absent.
    #[schemars(range(min = 1, max = 131_072))]
    max_output_tokens: Option<u32>,
    /// Sampling temperature; as configured if absent.
    #[schemars(range(min = 0.0, max = 2.0))]
    temperature: Option<f64>,
    /// What is made of the text.
    #[serde(default)]
    output: Output,
}

fn yes() -> bool {
    true
}

/// Tokens.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Usage {
    /// Tokens read.
    pub(crate) input_tokens: u64,
    /// Tokens written.
    pub(crate) output_tokens: u64,
    /// Whether the numbers are guessed from the text.
    pub(crate) estimated: bool,
}

/// Milliseconds of each stage.
#[derive(Debug, Serialize, JsonSchema)]
struct Timings {
    /// The whole call.
    total: f64,
    /// Waiting for a worker.
    queue: f64,
    /// Looking into the cache.
    lookup: f64,
    /// The provider.
    call: f64,
    /// Keeping the answer.
    store: f64,
}

/// The model's answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LlmAnswer {
    /// The text.
    text_response: String,
    /// How it arose: provider, model, attempts, tokens, cost, cache.
    explanation: String,
    /// stop, length, tool_calls, content_filter, or the provider's word.
    finish_reason: String,
    /// miss, exact or semantic.
    cached: &'static str,
    /// Id of the kept answer; empty without one.
    cache_id: String,
    /// Cosine of a semantic hit, 1 for an exact one.
    similarity: f64,
    /// Status of the last HTTP answer; 0 without one.
    http_status_code: u16,
    /// Provider that produced the text.
    provider_used: String,
    /// Model that produced the text.
    model_used: String,
    /// HTTP attempts.
    attempts: u32,
    /// Tokens.
    usage: Usage,
    /// US dollars.
    cost_usd: f64,
    /// Where the time went.
    timings_ms: Timings,
}

pub(crate) fn cached_word(response: &LlmResponse) -> &'static str {
    match response.cached {
        ai_core::LlmCached::Miss => "miss",
        ai_core::LlmCached::Exact => "exact",
        ai_core::LlmCached::Semantic => "semantic",
    }
}

pub(crate) fn usage_of(response: &LlmResponse) -> Usage {
    let usage = response.usage;
    Usage { input_tokens: usage.input_tokens, output_tokens: usage.output_tokens, estimated: usage.estimated }
}

pub(super) fn llm_query(ask: &Ask<'_>, args: LlmArgs) -> ToolResult<Reply<LlmAnswer>> {
    if args.prompt.trim().is_empty() {
        return Err(bad("prompt", "prompt holds no text"));
    }
    let mut request = LlmRequest::new(args.prompt);
    request.system_message = args.system_message;
    request.provider = args.provider;
    request.model = args.model;
    request.allow_cache = args.allow_cache;
    request.max_latency_ms = args.max_latency_ms;
    request.max_output_tokens = args.max_output_tokens;
    request.temperature = args.temperature;
    request.output = match args.output {
        Output::Text => LlmOutput::Text,
        Output::Sql => LlmOutput::Sql,
        Output::Json => LlmOutput::Json,
    };
    let (call, _joined) = ask.ai_call();
    let response =
        ask.deps.model.complete(&request, &call).map_err(|error| ai_tool_error(AiError::from(error)))?;
    let timings = response.timings_ms;
    let finish = serde_json::to_value(&response.finish_reason).unwrap_or_default();
    let finish = match &response.finish_reason {
        ai_core::LlmFinish::Other(word) => word.clone(),
        _ => finish.as_str().unwrap_or("other").to_owned(),
    };
    Ok(LlmAnswer {
        cached: cached_word(&response),
        usage: usage_of(&response),
        finish_reason: finish,
        text_response: response.text_response,
        explanation: response.explanation,
        cache_id: response.cache_id,
        similarity: response.similarity,
        http_status_code: response.http_status_code,
        provider_used: response.provider_used,
        model_used: response.model_used,
        attempts: response.attempts,
        cost_usd: response.cost_usd,
        timings_ms: Timings {
            total: timings.total,
            queue: timings.queue,
            lookup: timings.lookup,
            call: timings.call,
            store: timings.store,
        },
    }
    .into())
}

/// What texts are embedded for.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Questions that look for documents.
    Query,
    /// Texts that are found.
    #[default]
    Document,
}

/// Texts to embed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmbedArgs {
    /// The texts.
    #[schemars(length(min = 1, max = 256))]
    documents: Vec<String>,
    /// Model; the configured one if absent.
    model: Option<String>,
    /// What they are embedded for.
    #[serde(default)]
    kind: Kind,
}

/// Vectors.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EmbedAnswer {
    /// Model that made them.
    model: String,
    /// Length of each.
    dim: usize,
    /// Whether they reflect words and not meaning.
    lexical: bool,
    /// One for each text: base64 of little-endian 32-bit floats.
    embeddings: Vec<String>,
    /// Tokens.
    usage: Usage,
}

pub(super) fn embed(ask: &Ask<'_>, args: EmbedArgs) -> ToolResult<Reply<EmbedAnswer>> {
    let count = args.documents.len();
    if count == 0 || count > DOCUMENTS_MAX {
        return Err(bad("documents", format!("documents must hold 1 to {DOCUMENTS_MAX} texts, not {count}")));
    }
    let kind = match args.kind {
        Kind::Query => EmbedKind::Query,
        Kind::Document => EmbedKind::Document,
    };
    let input_tokens = args.documents.iter().map(|text| estimate_tokens(text)).sum();
    let (call, _joined) = ask.ai_call();
    let model = args.model.unwrap_or_default();
    let vectors = ask.deps.service.embed(&model, args.documents, kind, &call).map_err(ai_tool_error)?;
    let choice = ask.deps.service.choice();
    let text = |vector: &Vec<f32>| {
        let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    };
    Ok(EmbedAnswer {
        model: if model.is_empty() { choice.embedding_model } else { model },
        dim: vectors.first().map_or(0, Vec::len),
        lexical: choice.embedding_lexical,
        embeddings: vectors.iter().map(text).collect(),
        usage: Usage { input_tokens, output_tokens: 0, estimated: true },
    }
    .into())
}
