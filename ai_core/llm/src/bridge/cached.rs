//! The bridge's use of the cache: keys, lookups, keeping, and responses made of kept answers.

use ai_core::{
    CallContext, EmbedKind, EmbedderInfo, LlmCached, LlmDelta, LlmError, LlmErrorCode, LlmFlow, LlmRequest,
    LlmResponse, LlmRole, LlmTimings,
};

use super::{LlmBridge, limits};
use crate::bridge_call::Work;
use crate::cache::{CacheHit, CacheItem, CacheKey};
use crate::config::LlmConfig;
use crate::output::shape_output;
use crate::provider::Provider;

/// Cosine below which a lexical embedder's similarity says nothing about meaning.
const LEXICAL_THRESHOLD: f64 = 0.95;

/// What an in-flight call gives to its equals.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) response: LlmResponse,
    pub(super) raw: String,
}

/// The prompt's vector, made at most once a call, with the space it lies in.
#[derive(Default)]
pub(super) struct PromptVector {
    tried: bool,
    made: Option<(String, Vec<f32>)>,
}

impl LlmBridge {
    pub(super) fn look_up(
        &self,
        work: &Work<'_>,
        keys: &[CacheKey],
        vector: &mut PromptVector,
    ) -> Option<CacheHit> {
        if let Some(hit) = self.cache.exact(keys) {
            return Some(hit);
        }
        let config = &work.snapshot.config;
        let info = self.embedder.load_full().filter(|_| config.llm_cache_semantic)?.info();
        if !self.cache.has_group(keys, &space_of(&info)) {
            return None;
        }
        self.embed_prompt(work, vector);
        let (space, made) = vector.made.as_ref()?;
        let lowest = if info.lexical { LEXICAL_THRESHOLD } else { 0.0 };
        let threshold = (f64::from(config.llm_cache_similarity_threshold) / 100.0).max(lowest);
        self.cache.semantic(keys, work.request.prompt(), space, made, threshold)
    }

    /// A vector that cannot be had only costs the semantic lookup.
    fn embed_prompt(&self, work: &Work<'_>, vector: &mut PromptVector) {
        let config = &work.snapshot.config;
        let held = self.embedder.load_full().filter(|_| config.llm_cache_semantic);
        let (Some(embedder), false) = (held, std::mem::replace(&mut vector.tried, true)) else { return };
        // At most half of the time left: the model needs the rest.
        let until = work.deadline.share(50).capped_ms(config.embedding_timeout_ms);
        let made = embedder.embed(&[work.request.prompt()], EmbedKind::Query, until).ok();
        vector.made = made.and_then(|mut v| v.pop()).map(|v| (space_of(&embedder.info()), v));
    }

    pub(super) fn keep(
        &self,
        work: &Work<'_>,
        key: CacheKey,
        response: &LlmResponse,
        raw: &str,
        mut vector: PromptVector,
    ) -> String {
        self.embed_prompt(work, &mut vector);
        let (space, embedding) = vector.made.unwrap_or_default();
        let request = work.request;
        let item = CacheItem {
            provider: response.provider_used.clone(),
            model: response.model_used.clone(),
            prompt: request.prompt().to_owned(),
            scope: [work.call.caller.as_str(), &request.schema_name, &request.scope].join("\u{1f}"),
            response: raw.to_owned(),
            usage: response.usage,
            space,
            embedding,
        };
        self.cache.put(key, item, limits(&work.snapshot.config)).unwrap_or_default()
    }
}

pub(super) fn cache_key(
    provider: &Provider,
    config: &LlmConfig,
    request: &LlmRequest,
    system: &str,
    call: &CallContext,
) -> CacheKey {
    let row = &provider.row;
    let prompt_at = request.messages.iter().rposition(|m| m.role == LlmRole::User);
    let mut other = request.messages.clone();
    if let Some(prompt) = prompt_at.and_then(|at| other.get_mut(at)) {
        prompt.content.clear();
    }
    let json = |value: &dyn Fn() -> serde_json::Result<String>| value().unwrap_or_default();
    let generation = format!(
        "{} {} {:?} {:?} {:?} {:?} {:?}",
        request.max_output_tokens.unwrap_or(config.llm_max_output_tokens),
        request.temperature.unwrap_or(config.llm_temperature),
        request.stop,
        request.output,
        request.tool_choice,
        prompt_at,
        row.options.extra_body,
    );
    let parts = [
        row.name.clone(),
        row.kind.as_str().to_owned(),
        row.url.clone(),
        request.model.clone().unwrap_or_else(|| row.model.clone()),
        system.to_owned(),
        call.caller.clone(),
        request.schema_name.clone(),
        request.scope.clone(),
        generation,
        json(&|| serde_json::to_string(&other)),
        json(&|| serde_json::to_string(&request.tools)),
        json(&|| serde_json::to_string(&request.response_schema)),
    ];
    let bytes: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
    CacheKey::new(&bytes, request.prompt())
}

fn space_of(info: &EmbedderInfo) -> String {
    format!("{}/{}/{}", info.provider, info.model, info.revision)
}

pub(super) fn hit_response(
    hit: &CacheHit,
    request: &LlmRequest,
    timings: LlmTimings,
    on_delta: Option<&mut dyn FnMut(LlmDelta) -> LlmFlow>,
) -> Result<LlmResponse, LlmError> {
    if let Some(on_delta) = on_delta
        && on_delta(LlmDelta::Text(hit.item.response.clone())) == LlmFlow::Stop
    {
        return Err(LlmError::new(LlmErrorCode::Cancelled, "the receiver stopped the stream"));
    }
    let how = hit.similarity.map_or_else(|| "exact".to_owned(), |s| format!("semantic {s:.2}"));
    let mut response = LlmResponse::default();
    response.text_response = shape_output(&hit.item.response, request.output);
    response.explanation = format!(
        "cache {how}: answer of provider {} model {}; no call, no cost",
        hit.item.provider, hit.item.model
    );
    response.cached = if hit.similarity.is_none() { LlmCached::Exact } else { LlmCached::Semantic };
    response.cache_id.clone_from(&hit.id);
    response.similarity = hit.similarity.unwrap_or(1.0);
    response.provider_used.clone_from(&hit.item.provider);
    response.model_used.clone_from(&hit.item.model);
    response.usage = hit.item.usage;
    response.timings_ms = timings;
    Ok(response)
}

pub(super) fn shared_response(shared: Shared, timings: LlmTimings) -> LlmResponse {
    let mut response = shared.response;
    response.explanation = format!(
        "cache exact: shared with an equal call in flight, {} characters of provider {} model {}; no call, no cost",
        shared.raw.chars().count(),
        response.provider_used,
        response.model_used
    );
    response.cached = LlmCached::Exact;
    response.similarity = 1.0;
    response.attempts = 0;
    response.cost_usd = 0.0;
    response.price_source = String::new();
    response.timings_ms = timings;
    response
}

pub(crate) const fn cached_word(cached: LlmCached) -> &'static str {
    match cached {
        LlmCached::Miss => "miss",
        LlmCached::Exact => "exact",
        LlmCached::Semantic => "semantic",
    }
}
