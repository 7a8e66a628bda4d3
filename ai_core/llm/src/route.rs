//! Which providers can answer a request and in which order; it does not call them.

use std::sync::Arc;

use ai_core::{LlmError, LlmErrorCode, LlmRequest, LlmRole};

use crate::config::LlmConfig;
use crate::money::estimate_tokens;
use crate::provider::Provider;

/// Below this total time in milliseconds local models go first whatever is configured.
const LATENCY_LOCAL_MS: u64 = 500;

/// The candidates in order, or why there is none.
pub(crate) fn candidates(
    providers: &[Arc<Provider>],
    config: &LlmConfig,
    request: &LlmRequest,
    system: &str,
    stream: bool,
) -> Result<Vec<Arc<Provider>>, LlmError> {
    if let Some(name) = &request.provider {
        let pinned = providers.iter().find(|p| &p.row.name == name && p.row.active);
        let pinned = pinned.ok_or_else(|| {
            LlmError::new(LlmErrorCode::UnknownProvider, format!("no active provider is named '{name}'"))
        })?;
        able(pinned, request, system, stream, config)?;
        return Ok(vec![pinned.clone()]);
    }
    let mut refusal: Option<LlmError> = None;
    let mut found: Vec<Arc<Provider>> = Vec::new();
    for provider in providers.iter().filter(|p| p.row.active) {
        match able(provider, request, system, stream, config) {
            Ok(()) => found.push(provider.clone()),
            Err(error) => refusal = Some(most_specific(refusal.take(), error)),
        }
    }
    if found.is_empty() {
        return Err(refusal.unwrap_or_else(|| {
            LlmError::new(
                LlmErrorCode::UnknownProvider,
                "no active provider is configured; see genai_llm_providers",
            )
        }));
    }
    // A pinned model goes to the providers that have it, and to any of them only when none has.
    if let Some(model) = &request.model
        && found.iter().any(|p| &p.row.model == model)
    {
        found.retain(|p| &p.row.model == model);
    }
    let latency_ms = request.max_latency_ms;
    let local_first = config.prefer_local_models || (latency_ms > 0 && latency_ms < LATENCY_LOCAL_MS);
    let rank = |p: &Provider| {
        let too_slow = latency_ms > 0 && p.latency.percentile(95).is_some_and(|p95| p95 > latency_ms as f64);
        let expected = p.latency.percentile(50).unwrap_or(0.0);
        (too_slow, local_first && !p.local, p.row.priority, expected)
    };
    found.sort_by(|a, b| {
        let (a, b) = (rank(a), rank(b));
        (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)).then(a.3.total_cmp(&b.3))
    });
    Ok(found)
}

fn able(
    provider: &Provider,
    request: &LlmRequest,
    system: &str,
    stream: bool,
    config: &LlmConfig,
) -> Result<(), LlmError> {
    provider.check_key()?;
    let can = provider.row.capabilities;
    let has_system = !system.is_empty() || request.messages.iter().any(|m| m.role == LlmRole::System);
    let lacks = [
        (has_system && !can.system, "a system role"),
        (!request.tools.is_empty() && !can.tools, "tool calls"),
        (stream && !can.stream, "streams"),
        (request.response_schema.is_some() && !can.json, "answers after a schema"),
    ];
    if let Some((_, what)) = lacks.iter().find(|(lacking, _)| *lacking) {
        let why = format!("provider '{}' has no {what}", provider.row.name);
        return Err(LlmError::new(LlmErrorCode::ValidationFailed, why));
    }
    let context = provider.row.context_tokens;
    if context > 0 {
        let output = u64::from(request.max_output_tokens.unwrap_or(config.llm_max_output_tokens));
        let needed = input_tokens(request, system).saturating_add(output);
        if needed > context {
            let why = format!(
                "about {needed} tokens are needed, provider '{}' has room for {context}",
                provider.row.name
            );
            return Err(LlmError::new(LlmErrorCode::RequestTooLarge, why));
        }
    }
    Ok(())
}

/// A guess at the tokens of a request; four for the frame of each message.
pub(crate) fn input_tokens(request: &LlmRequest, system: &str) -> u64 {
    let messages = request.messages.iter().map(|m| {
        let calls: u64 = m.tool_calls.iter().map(|c| estimate_tokens(&c.arguments.to_string()) + 8).sum();
        estimate_tokens(&m.content) + calls + 4
    });
    let tools = request.tools.iter().map(|t| {
        estimate_tokens(&t.name)
            + estimate_tokens(&t.description)
            + estimate_tokens(&t.schema.to_string())
            + 8
    });
    let schema = request.response_schema.iter().map(|s| estimate_tokens(&s.to_string()));
    messages.chain(tools).chain(schema).sum::<u64>() + estimate_tokens(system) + 4
}

/// The error that tells the caller more: a limit or a missing key over "try again", over "cannot do that".
pub(crate) fn most_specific(old: Option<LlmError>, new: LlmError) -> LlmError {
    let weight = |e: &LlmError| match e.code {
        LlmErrorCode::UnknownProvider => 0,
        LlmErrorCode::ValidationFailed => 1,
        LlmErrorCode::QueueFull => 2,
        LlmErrorCode::RequestTooLarge | LlmErrorCode::ApiKeyMissing => 3,
        LlmErrorCode::BudgetExceeded | LlmErrorCode::HourlyCap => 4,
        _ => 5,
    };
    match old {
        Some(old) if weight(&old) > weight(&new) => old,
        _ => new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::provider_row::{Capabilities, ProviderKind, ProviderRow};
    use ai_core::LlmTool;

    fn provider(name: &str, url: &str, change: impl FnOnce(&mut ProviderRow)) -> Arc<Provider> {
        let mut row = ProviderRow::new(name, ProviderKind::Generic, url, "m");
        change(&mut row);
        Arc::new(Provider::new(row, Arc::new(SystemClock)))
    }

    fn order(providers: &[Arc<Provider>], config: &LlmConfig, request: &LlmRequest) -> Vec<String> {
        let found = candidates(providers, config, request, "", false).unwrap();
        found.iter().map(|p| p.row.name.clone()).collect()
    }

    #[test]
    fn local_priority_latency() {
        let all = [
            provider("cloud", "https://a.example/", |r| r.priority = -5),
            provider("local", "http://127.0.0.1:1/", |_| ()),
            provider("local2", "http://127.0.0.1:2/", |r| r.model = "m2".into()),
            provider("off", "http://127.0.0.1:3/", |r| r.active = false),
        ];
        all[1].latency.record(900.0);
        let mut config = LlmConfig::default();
        let mut request = LlmRequest::new("q");
        assert_eq!(order(&all, &config, &request), ["local2", "local", "cloud"]);
        config.prefer_local_models = false;
        assert_eq!(order(&all, &config, &request), ["cloud", "local2", "local"]);
        request.max_latency_ms = 400;
        assert_eq!(order(&all, &config, &request), ["local2", "cloud", "local"]);
        request.model = Some("unknown".into());
        assert_eq!(order(&all, &config, &request).len(), 3);
        request.model = Some("m2".into());
        assert_eq!(order(&all, &config, &request), ["local2"]);
        request.provider = Some("local".into());
        assert_eq!(order(&all, &config, &request), ["local"]);
        request.provider = Some("off".into());
        let none = candidates(&all, &config, &request, "", false).err().unwrap();
        assert_eq!(none.code, LlmErrorCode::UnknownProvider);
    }

    #[test]
    fn abilities_and_context() {
        let plain = provider("plain", "http://127.0.0.1:1/", |r| {
            r.capabilities = Capabilities::parse("system").unwrap();
            r.context_tokens = 2_000;
        });
        let key = provider("key", "https://a.example/", |r| r.kind = ProviderKind::Anthropic);
        let config = LlmConfig::default();
        let mut request = LlmRequest::new("q");
        request.tools = vec![LlmTool::new("t", "", serde_json::json!({}))];
        let refused = |r: &LlmRequest| candidates(&[plain.clone(), key.clone()], &config, r, "", false).err();
        assert_eq!(refused(&request).unwrap().code, LlmErrorCode::ApiKeyMissing);
        request.tools.clear();
        assert!(refused(&request).is_none());
        request.messages[0].content = "word ".repeat(2_000);
        request.provider = Some("plain".into());
        assert_eq!(refused(&request).unwrap().code, LlmErrorCode::RequestTooLarge);
    }
}
