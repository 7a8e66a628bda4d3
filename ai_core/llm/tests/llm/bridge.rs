//! System messages, routing, money, cache, history and reload of the bridge.

use std::sync::Arc;

use ai_core::{
    CallContext, FakeEmbedder, LlmCached, LlmClient, LlmDelta, LlmErrorCode, LlmFlow, LlmMessage, LlmOutput,
    LlmRequest, LlmRole,
};
use ai_core_llm::{
    CachePurge, JournalStore, LlmBridge, LlmConfig, LlmDeps, Locality, ManualClock, MemoryHistory,
    ProviderKind, ProviderOptions, ProviderRow,
};
use serde_json::json;

use crate::server::{Reply, Server, bridge, chat, config};

fn call() -> CallContext {
    CallContext::new("ann")
}

fn row(name: &str, url: &str) -> ProviderRow {
    ProviderRow::new(name, ProviderKind::Generic, url, "m")
}

/// A cloud provider as far as routing and money go.
fn cloud(name: &str, url: &str) -> ProviderRow {
    let mut row = row(name, url);
    row.locality = Locality::Cloud;
    row
}

fn open(config: LlmConfig) -> LlmBridge {
    LlmBridge::new(config, LlmDeps::default()).unwrap()
}

#[test]
fn the_system_message_arrives_at_each_provider() {
    let server = Server::new(|_, _| {
        let text = "fine";
        let message = json!({"message": {"content": text}});
        Reply::Json(200, json!({"content": text, "choices": [message]}))
    });
    let anthropic =
        Server::script(vec![Reply::Json(200, json!({"content": [{"type": "text", "text": "fine"}]}))]);
    let mut request = LlmRequest::from_messages(vec![
        LlmMessage::new(LlmRole::User, "one"),
        LlmMessage::new(LlmRole::Assistant, "two"),
        LlmMessage::new(LlmRole::User, "three"),
    ]);
    request.system_message = Some("be brief".into());
    request.stop = vec!["END".into()];
    request.max_output_tokens = Some(9);
    for (kind, url) in [
        (ProviderKind::Openai, server.url.clone()),
        (ProviderKind::Anthropic, anthropic.url.clone()),
        (ProviderKind::Generic, server.url.clone()),
        (ProviderKind::LlamaCpp, server.url.clone()),
        (ProviderKind::LlamaCpp, server.at("/completion")),
    ] {
        let mut config = config(kind, &url);
        config.llm_provider_key = "key-of-the-test".into();
        assert_eq!(open(config).complete(&request, &call()).unwrap().text_response, "fine");
    }
    let seen: Vec<_> = [server.seen(), anthropic.seen()].concat();
    let shown: Vec<_> = seen
        .iter()
        .map(|s| {
            let auth = s.header("authorization").or(s.header("x-api-key"));
            json!({"path": s.path, "auth": auth, "version": s.header("anthropic-version"), "body": s.body})
        })
        .collect();
    insta::assert_json_snapshot!("requests", shown);
}

#[test]
fn a_missing_key_fails_before_any_call() {
    let server = Server::chat("x");
    let error = open(config(ProviderKind::Anthropic, &server.url))
        .complete(&LlmRequest::new("q"), &call())
        .unwrap_err();
    assert_eq!((error.code, error.attempts, server.seen().len()), (LlmErrorCode::ApiKeyMissing, 0, 0));
}

#[test]
fn nothing_is_added_and_the_system_prompt_is_a_default() {
    let server = Server::chat("x");
    let mut with = config(ProviderKind::Generic, &server.url);
    let bridge = open(with.clone());
    bridge.complete(&LlmRequest::new("q"), &call()).unwrap();
    with.llm_system_prompt = "configured".into();
    bridge.reload(with).unwrap();
    bridge.complete(&LlmRequest::new("q"), &call()).unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].body["messages"], json!([{"role": "user", "content": "q"}]));
    assert_eq!(seen[1].body["messages"][0], json!({"role": "system", "content": "configured"}));
}

#[test]
fn options_change_the_request() {
    let server = Server::chat("x");
    let mut config = config(ProviderKind::Generic, &server.url);
    let mut own = row("own", &server.url);
    own.options = ProviderOptions::parse(
        r#"{"max_tokens_field":"max_completion_tokens","omit":["temperature"],"headers":{"x-org":"o"},"extra_body":{"top_k":3}}"#,
    )
    .unwrap();
    config.providers = vec![own];
    let mut request = LlmRequest::new("q");
    request.provider = Some("own".into());
    request.model = Some("other".into());
    let response = open(config).complete(&request, &call()).unwrap();
    assert_eq!(response.model_used, "other");
    let seen = &server.seen()[0];
    assert_eq!(seen.header("x-org"), Some("o"));
    assert_eq!(seen.body["max_completion_tokens"], 1024);
    assert_eq!(seen.body["top_k"], 3);
    assert_eq!(seen.body["model"], "other");
    assert!(seen.body.get("temperature").is_none() && seen.body.get("max_tokens").is_none());
}

#[test]
fn output_forms_and_explanation() {
    let server = Server::chat("Sure:\n```sql\nSELECT 1\n```");
    let bridge = bridge(&server.url);
    let mut request = LlmRequest::new("q");
    request.output = LlmOutput::Sql;
    let response = bridge.complete(&request, &call()).unwrap();
    assert_eq!(response.text_response, "SELECT 1");
    insta::assert_snapshot!(response.explanation);
    let again = bridge.complete(&request, &call()).unwrap();
    assert_eq!((again.text_response.as_str(), again.cached), ("SELECT 1", LlmCached::Exact));
    insta::assert_snapshot!("explanation_hit", again.explanation);
}

#[test]
fn failure_moves_on_but_not_when_pinned() {
    let broken = Server::script(vec![Reply::Json(503, json!({}))]);
    let works = Server::chat("second");
    let mut config = config(ProviderKind::Generic, &broken.url);
    config.providers = vec![row("other", &works.url)];
    let bridge = open(config);
    let response = bridge.complete(&LlmRequest::new("q"), &call()).unwrap();
    assert_eq!((response.provider_used.as_str(), response.attempts), ("other", 2));
    let mut pinned = LlmRequest::new("q2");
    pinned.provider = Some("default".into());
    pinned.max_retries = Some(1);
    let error = bridge.complete(&pinned, &call()).unwrap_err();
    assert_eq!(
        (error.code, error.attempts, error.provider_used.as_str()),
        (LlmErrorCode::ServerError, 2, "default")
    );
    pinned.provider = Some("nobody".into());
    assert_eq!(bridge.complete(&pinned, &call()).unwrap_err().code, LlmErrorCode::UnknownProvider);
    let status = bridge.status();
    assert_eq!((status.local_model_calls, status.cloud_model_calls, status.retries), (4, 0, 2));
    assert_eq!((status.total_requests, status.failed_requests), (3, 2));
}

#[test]
fn max_concurrency_is_kept() {
    let server = Server::new(|_, _| Reply::Late(40, Box::new(chat("x"))));
    let mut config = config(ProviderKind::Generic, &server.url);
    let mut one = row("one", &server.url);
    one.max_concurrency = 1;
    config.providers = vec![one];
    let bridge = open(config);
    std::thread::scope(|scope| {
        for n in 0..5 {
            let bridge = &bridge;
            scope.spawn(move || {
                let mut request = LlmRequest::new(format!("q{n}"));
                request.provider = Some("one".into());
                bridge.complete(&request, &call()).unwrap();
            });
        }
        for _ in 0..50 {
            assert!(bridge.status().providers[1].running <= 1);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    });
    // One place means that one connection was enough.
    assert_eq!(server.connections(), 1);
}

#[test]
fn the_budget_holds_under_parallel_calls_and_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(1_800_000_000_000));
    let server = Server::new(|_, _| Reply::Late(5, Box::new(chat("x"))));
    let mut config = config(ProviderKind::Generic, &server.url);
    config.llm_provider_locality = Locality::Cloud;
    config.llm_cache_enabled = false;
    config.max_cloud_requests_per_hour = 100_000;
    config.llm_max_output_tokens = 100;
    // Each answer has 11 + 7 tokens at 100 dollars a million: 0.0018 dollars. Ten of them fit into 0.0281 together
    // with one more worst case of 100 tokens out and some in.
    config.llm_default_price_usd_per_mtok = 100.0;
    config.daily_budget_usd = 0.0281;
    let open = |config: &LlmConfig| {
        let store = Arc::new(JournalStore::open(dir.path()).unwrap());
        let deps = LlmDeps::default().with_clock(clock.clone()).with_store(store);
        LlmBridge::new(config.clone(), deps).unwrap()
    };
    let bridge = open(&config);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let ask = |_| scope.spawn(|| bridge.complete(&LlmRequest::new("q"), &call()));
        let threads: Vec<_> = (0..100).map(ask).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let passed = outcomes.iter().filter(|o| o.is_ok()).count();
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(error.code, LlmErrorCode::BudgetExceeded, "{error}");
    }
    let status = bridge.status();
    assert!((1..=10).contains(&passed), "{passed}");
    assert_eq!(status.spend.daily, ai_core_llm::Usd::from_units(1_800_000_000 * passed as u64));
    assert_eq!(server.seen().len(), passed);
    while bridge.complete(&LlmRequest::new("q"), &call()).is_ok() {}
    let spent = bridge.status().spend;
    assert!(spent.daily.dollars() <= 0.0281 && spent.reserved.units() == 0);
    drop(bridge);

    let again = open(&config);
    assert_eq!(again.status().spend.daily, spent.daily);
    assert_eq!(
        again.complete(&LlmRequest::new("q"), &call()).unwrap_err().code,
        LlmErrorCode::BudgetExceeded
    );
    clock.advance_ms(86_400_000);
    let response = again.complete(&LlmRequest::new("q"), &call()).unwrap();
    assert_eq!(response.price_source, "default");
    assert_eq!(again.usage(1)[0].cost.units(), 1_800_000_000);
    assert_eq!(again.usage(2).len(), 2);

    config.max_cloud_requests_per_hour = 1;
    again.reload(config.clone()).unwrap();
    assert_eq!(again.complete(&LlmRequest::new("q"), &call()).unwrap_err().code, LlmErrorCode::HourlyCap);
    clock.advance_ms(3_600_000);
    again.complete(&LlmRequest::new("q"), &call()).unwrap();
    config.daily_budget_usd = 0.0;
    config.llm_provider_locality = Locality::Auto;
    again.reload(config).unwrap();
    let free = again.complete(&LlmRequest::new("q"), &call()).unwrap();
    assert_eq!((free.cost_usd, free.price_source.as_str()), (0.0, "local"));
}

#[test]
fn a_spent_budget_leaves_local_providers() {
    let (paid, own) = (Server::chat("paid"), Server::chat("own"));
    let mut config = config(ProviderKind::Generic, &own.url);
    config.daily_budget_usd = 0.0;
    config.prefer_local_models = false;
    let mut first = cloud("first", &paid.url);
    first.priority = -1;
    config.providers = vec![first];
    let response = open(config).complete(&LlmRequest::new("q"), &call()).unwrap();
    assert_eq!((response.text_response.as_str(), response.attempts), ("own", 1));
    assert_eq!(paid.seen().len(), 0);
}

#[test]
fn failed_calls_cost_nothing_and_broken_answers_do() {
    let server = Server::script(vec![Reply::Json(401, json!({})), Reply::Headed(200, vec![], "{".into())]);
    let mut config = config(ProviderKind::Generic, &server.url);
    config.llm_provider_locality = Locality::Cloud;
    let bridge = open(config);
    bridge.complete(&LlmRequest::new("q"), &call()).unwrap_err();
    assert_eq!(bridge.status().spend.daily.units(), 0);
    bridge.complete(&LlmRequest::new("q"), &call()).unwrap_err();
    let spend = bridge.status().spend;
    assert!(spend.daily.units() > 0);
    assert_eq!((spend.reserved.units(), spend.cloud_requests_last_hour), (0, 2));
    assert_eq!(bridge.usage(1)[0].failures, 2);
}

#[test]
fn different_questions_never_share_an_answer() {
    let server = Server::new(|_, n| chat(&format!("answer {n}")));
    let mut config = config(ProviderKind::Generic, &server.url);
    let mut other = row("other", &server.url);
    other.priority = 1;
    config.providers = vec![other];
    let bridge = open(config);
    let base = LlmRequest::new("q");
    let vary: Vec<fn(&mut LlmRequest)> = vec![
        |_| (),
        |r| r.messages[0].content = "p".into(),
        |r| r.messages.insert(0, LlmMessage::new(LlmRole::User, "before")),
        |r| r.system_message = Some("s".into()),
        |r| r.model = Some("n".into()),
        |r| r.provider = Some("other".into()),
        |r| r.schema_name = "shop".into(),
        |r| r.scope = "tenant".into(),
        |r| r.temperature = Some(1.0),
        |r| r.max_output_tokens = Some(5),
        |r| r.stop = vec!["x".into()],
        |r| r.response_schema = Some(json!({"type": "object"})),
        |r| r.output = LlmOutput::Json,
        |r| r.tools = vec![ai_core::LlmTool::new("t", "", json!({}))],
    ];
    let mut answers = std::collections::HashSet::new();
    for change in &vary {
        let mut request = base.clone();
        change(&mut request);
        assert!(answers.insert(bridge.complete(&request, &call()).unwrap().text_response));
    }
    assert!(answers.insert(bridge.complete(&base, &CallContext::new("bob")).unwrap().text_response));
    let asked = server.seen().len();
    for change in &vary {
        let mut request = base.clone();
        change(&mut request);
        let hit = bridge.complete(&request, &call()).unwrap();
        assert_eq!((hit.cached, hit.cost_usd, hit.attempts), (LlmCached::Exact, 0.0, 0));
        assert!(answers.contains(&hit.text_response));
    }
    assert_eq!(server.seen().len(), asked);
    let stats = bridge.status().cache;
    assert_eq!((stats.lookups, stats.exact_hits, stats.misses, stats.stores), (29, 14, 15, 15));
    let mut fresh = base.clone();
    fresh.allow_cache = false;
    assert_eq!(bridge.complete(&fresh, &call()).unwrap().cached, LlmCached::Miss);
    assert_eq!(bridge.status().cache.lookups, 29);
    assert_eq!(bridge.purge_cache(&CachePurge { provider: Some("other".into()), ..purge() }), 1);
    assert_eq!(bridge.purge_cache(&CachePurge { all: true, ..purge() }), 14);
    assert_eq!(bridge.complete(&base, &call()).unwrap().cached, LlmCached::Miss);
}

fn purge() -> CachePurge {
    CachePurge::default()
}

#[test]
fn meaning_hits_only_with_equal_numbers() {
    let server = Server::new(|_, n| chat(&format!("answer {n}")));
    let bridge = bridge(&server.url);
    let embedder = Arc::new(FakeEmbedder::new(64));
    bridge.set_embedder(Some(embedder.clone()));
    let ask = |text: &str| bridge.complete(&LlmRequest::new(text), &call()).unwrap();
    ask("how many orders were made in 2023");
    assert_eq!(embedder.inputs_seen(), 1);
    let hit = ask("how many orders were made, in 2023?");
    assert_eq!((hit.cached, hit.text_response.as_str()), (LlmCached::Semantic, "answer 0"));
    assert!(hit.similarity > 0.99 && hit.explanation.contains("semantic 1.00"), "{}", hit.explanation);
    assert_eq!(ask("how many orders were made in 2024").cached, LlmCached::Miss);
    assert_eq!(ask("how many orders were not made in 2023").cached, LlmCached::Miss);
    embedder.set_failure(Some(ai_core::AiError::unavailable("down")));
    assert_eq!(ask("how many orders were made in 2023 !").cached, LlmCached::Miss);
    embedder.set_failure(None);
    let stats = bridge.status().cache;
    assert_eq!((stats.lookups, stats.exact_hits, stats.semantic_hits, stats.misses), (5, 0, 1, 4));
    let mut config = bridge.config();
    config.llm_cache_semantic = false;
    bridge.reload(config).unwrap();
    assert_eq!(ask("how many orders were made in 2023 ?").cached, LlmCached::Miss);
}

#[test]
fn equal_concurrent_requests_make_one_call() {
    let server = Server::new(|_, _| Reply::Late(150, Box::new(chat("one"))));
    let bridge = bridge(&server.url);
    let barrier = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                assert_eq!(bridge.complete(&LlmRequest::new("q"), &call()).unwrap().text_response, "one");
            });
        }
    });
    assert_eq!(server.seen().len(), 1);
    let stats = bridge.status().cache;
    assert_eq!((stats.lookups, stats.misses), (8, 1));
}

#[test]
fn cut_answers_and_tool_calls_are_not_kept() {
    let cut = json!({"choices": [{"message": {"content": "half"}, "finish_reason": "length"}]});
    let server = Server::script(vec![Reply::Json(200, cut)]);
    let bridge = bridge(&server.url);
    for _ in 0..2 {
        let response = bridge.complete(&LlmRequest::new("q"), &call()).unwrap();
        assert!(response.cache_id.is_empty() && response.usage.estimated);
    }
    assert_eq!((server.seen().len(), bridge.status().cache.stores), (2, 0));
}

#[test]
fn a_stream_can_be_answered_from_the_cache() {
    let server = Server::chat("kept");
    let bridge = bridge(&server.url);
    bridge.complete(&LlmRequest::new("q"), &call()).unwrap();
    let mut pieces = Vec::new();
    let response = bridge
        .stream(&LlmRequest::new("q"), &call(), &mut |d| {
            pieces.push(d);
            LlmFlow::Continue
        })
        .unwrap();
    assert_eq!(response.cached, LlmCached::Exact);
    assert_eq!(pieces, [LlmDelta::Text("kept".into())]);
}

#[test]
fn history_has_successes_and_failures() {
    let history = Arc::new(MemoryHistory::new(2));
    let server = Server::script(vec![chat("one"), Reply::Json(401, json!({}))]);
    let deps = LlmDeps::default().with_history(history.clone());
    let bridge = LlmBridge::new(config(ProviderKind::Generic, &server.url), deps).unwrap();
    bridge.complete(&LlmRequest::new("q0"), &call()).unwrap();
    bridge.complete(&LlmRequest::new("q0"), &call()).unwrap();
    bridge.complete(&LlmRequest::new("q1"), &call()).unwrap_err();
    let entries = history.entries();
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (entries[0].cache, entries[0].response.as_str(), entries[0].error_code),
        ("exact", "one", None)
    );
    assert_eq!(entries[1].error_code, Some(LlmErrorCode::ApiKeyInvalid));
    assert_eq!((entries[1].caller.as_str(), entries[1].provider.as_str()), ("ann", "default"));
}

#[test]
fn reload_is_all_or_nothing_and_keeps_what_is_unchanged() {
    let server = Server::chat("x");
    let bridge = bridge(&server.url);
    bridge.complete(&LlmRequest::new("q"), &call()).unwrap();
    let mut bad = bridge.config();
    bad.threads = 0;
    bad.llm_temperature = 9.0;
    bad.providers = vec![row("r", "nowhere")];
    let error = bridge.reload(bad).unwrap_err();
    for name in ["threads", "llm_temperature", "'r'"] {
        assert!(error.message.contains(name), "{error}");
    }
    assert_eq!(bridge.config().threads, 4);
    let mut good = bridge.config();
    let mut more = row("more", &server.url);
    more.priority = 1;
    good.providers = vec![more];
    assert_eq!(bridge.reload(good.clone()).unwrap(), 2);
    let status = bridge.status();
    assert_eq!((status.generation, status.providers.len(), status.providers[0].attempts), (2, 2, 1));
    bridge.complete(&LlmRequest::new("q2"), &call()).unwrap();
    assert_eq!(server.connections(), 1);
    good.llm_enabled = false;
    bridge.reload(good).unwrap();
    assert_eq!(
        bridge.complete(&LlmRequest::new("q"), &call()).unwrap_err().code,
        LlmErrorCode::UnknownProvider
    );
}

#[test]
fn bad_requests_are_refused_here() {
    let server = Server::chat("x");
    let bridge = bridge(&server.url);
    let refuse = |change: fn(&mut LlmRequest), code| {
        let mut request = LlmRequest::new("q");
        change(&mut request);
        assert_eq!(bridge.complete(&request, &call()).unwrap_err().code, code);
    };
    refuse(|r| r.messages[0].content = " \n".into(), LlmErrorCode::ValidationFailed);
    refuse(|r| r.temperature = Some(f64::NAN), LlmErrorCode::ValidationFailed);
    refuse(|r| r.max_output_tokens = Some(0), LlmErrorCode::ValidationFailed);
    refuse(|r| r.stop = vec!["s".into(); 17], LlmErrorCode::ValidationFailed);
    refuse(|r| r.messages[0].content = "x".repeat(2_000_000), LlmErrorCode::RequestTooLarge);
    refuse(
        |r| r.response_schema = Some(json!({"description": "x".repeat(2_000_000)})),
        LlmErrorCode::RequestTooLarge,
    );
    assert_eq!(server.seen().len(), 0);
    assert_eq!(bridge.status().local_model_calls, 0);
    // What hosts show is what they are given.
    let shown = serde_json::to_value(bridge.status()).unwrap();
    assert_eq!((shown["failed_requests"].as_u64(), shown["spend"]["daily"].as_f64()), (Some(6), Some(0.0)));
}
