//! The bridge against real servers, where an environment variable names one; without it a test says SKIPPED and passes.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a panic is how a test fails")]
#![expect(clippy::print_stderr, reason = "a skipped suite must be seen")]

use std::time::{Duration, Instant};

use ai_core::{
    CallContext, CancelToken, Deadline, EmbedKind, Embedder, LlmClient, LlmDelta, LlmErrorCode, LlmFinish,
    LlmFlow, LlmMessage, LlmRequest, LlmResponse, LlmTool,
};
use ai_core_llm::{
    HttpEmbedder, HttpEmbedderConfig, LlmBridge, LlmConfig, LlmDeps, ProviderKind, ProviderOptions,
    ProviderRow,
};
use serde_json::{Value, json};

/// The server's address, or a loud skip.
fn server(variable: &str) -> Option<String> {
    let url = std::env::var(variable).ok().filter(|u| !u.is_empty());
    if url.is_none() {
        eprintln!("SKIPPED: {variable} names no running server, nothing was tested against one");
    }
    url.map(|u| u.trim_end_matches('/').to_owned())
}

fn config(kind: ProviderKind, url: &str) -> LlmConfig {
    let mut config = LlmConfig::default();
    config.enabled = true;
    config.llm_enabled = true;
    config.llm_provider = kind;
    config.llm_provider_url = url.to_owned();
    config.llm_provider_model = "test-model".to_owned();
    config.llm_provider_key = "sk-live-suite".into();
    config.llm_temperature = 0.0;
    config.llm_cache_enabled = false;
    config.llm_max_output_tokens = 24;
    config
}

fn open(kind: ProviderKind, url: &str) -> LlmBridge {
    LlmBridge::new(config(kind, url), LlmDeps::default()).unwrap()
}

fn call() -> CallContext {
    CallContext::new("live")
}

fn streamed(bridge: &LlmBridge, request: &LlmRequest) -> (String, usize, LlmResponse) {
    let (mut text, mut pieces) = (String::new(), 0);
    let response = bridge
        .stream(request, &call(), &mut |delta| {
            if let LlmDelta::Text(piece) = delta {
                text.push_str(&piece);
                pieces += 1;
            }
            LlmFlow::Continue
        })
        .unwrap();
    (text, pieces, response)
}

const LLAMA: &str = "PENSTOCK_TEST_LLAMA_URL";

#[test]
fn llama_chat_messages_and_completion() {
    let Some(base) = server(LLAMA) else { return };
    for (kind, path) in [
        (ProviderKind::LlamaCpp, "/v1/chat/completions"),
        (ProviderKind::Generic, "/v1/chat/completions"),
        (ProviderKind::Anthropic, "/v1/messages"),
        (ProviderKind::LlamaCpp, "/completion"),
    ] {
        let bridge = open(kind, &format!("{base}{path}"));
        let mut request = LlmRequest::new("Name three colours.");
        if path == "/completion" {
            // This form has no chat template: the model goes on where the text ends.
            request.messages[0].content = "The three colours of the flag are".into();
        } else {
            request.system_message = Some("You answer in one short sentence.".into());
        }
        let plain = bridge.complete(&request, &call()).unwrap();
        assert!(!plain.text_response.is_empty());
        assert_eq!(plain.http_status_code, 200);
        assert!(plain.usage.output_tokens > 0 && !plain.usage.estimated, "{kind:?} {path} {:?}", plain.usage);
        let (text, pieces, response) = streamed(&bridge, &request);
        assert_eq!(text, response.text_response);
        assert_eq!(text, plain.text_response, "{kind:?} {path}: the stream equals the plain answer");
        assert!(pieces > 1, "{kind:?} {path}: it came in one piece");
        assert_eq!(response.finish_reason, plain.finish_reason);
        assert_eq!(response.usage.output_tokens, plain.usage.output_tokens);
    }
}

#[test]
fn llama_keeps_to_a_schema() {
    let Some(base) = server(LLAMA) else { return };
    let schema = json!({
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}, "count": {"type": "integer", "maximum": 9, "minimum": 0}},
        "required": ["colour", "count"],
        "additionalProperties": false,
    });
    for path in ["/v1/chat/completions", "/completion"] {
        let mut request = LlmRequest::new("A colour and a count as JSON.");
        request.response_schema = Some(schema.clone());
        request.max_output_tokens = Some(48);
        let bridge = open(ProviderKind::LlamaCpp, &format!("{base}{path}"));
        let response = bridge.complete(&request, &call()).unwrap();
        let value: Value = serde_json::from_str(&response.text_response).unwrap();
        assert!(value["colour"] == "red" || value["colour"] == "green", "{value}");
        assert!(value["count"].is_u64(), "{value}");
    }
}

#[test]
fn llama_limits_and_faults() {
    let Some(base) = server(LLAMA) else { return };
    let bridge = open(ProviderKind::LlamaCpp, &format!("{base}/v1/chat/completions"));
    let mut request = LlmRequest::new("Count from one to a thousand.");
    request.max_output_tokens = Some(3);
    assert_eq!(bridge.complete(&request, &call()).unwrap().finish_reason, LlmFinish::Length);
    let long = bridge.complete(&LlmRequest::new("word ".repeat(20_000)), &call()).unwrap_err();
    assert_eq!(long.code, LlmErrorCode::RequestTooLarge, "{long}");
    let lost = open(ProviderKind::LlamaCpp, &format!("{base}/no/such/path"));
    assert_eq!(lost.complete(&request, &call()).unwrap_err().code, LlmErrorCode::ValidationFailed);
    request.max_output_tokens = Some(1_000);
    let cancel = CancelToken::new();
    let mut when = None;
    let error = bridge
        .stream(&request, &call().with_cancel(cancel.clone()), &mut |_| {
            if when.is_none() {
                cancel.cancel();
                when = Some(Instant::now());
            }
            LlmFlow::Continue
        })
        .unwrap_err();
    assert_eq!(error.code, LlmErrorCode::Cancelled);
    assert!(when.unwrap().elapsed() < Duration::from_secs(2));
}

#[test]
fn llama_embeds_in_both_shapes() {
    let Some(base) = server(LLAMA) else { return };
    let vectors = |provider: &str, path: &str| {
        let mut config = HttpEmbedderConfig::new(format!("{base}{path}"));
        config.provider = provider.to_owned();
        let embedder = HttpEmbedder::new(config);
        let texts = ["a red car", "a blue car", "the sum of all taxes"];
        let made = embedder.embed(&texts, EmbedKind::Document, Deadline::after_ms(60_000)).unwrap();
        assert_eq!(embedder.info().dim, made[0].len());
        made
    };
    let native = vectors("llama_cpp", "/embedding");
    let openai = vectors("openai", "/v1/embeddings");
    assert_eq!(native.len(), 3);
    assert_eq!(native, openai);
}

const AIMOCK: &str = "PENSTOCK_TEST_AIMOCK_URL";

#[test]
fn aimock_answers_streams_and_calls_tools() {
    let Some(base) = server(AIMOCK) else { return };
    for (kind, path) in
        [(ProviderKind::Openai, "/v1/chat/completions"), (ProviderKind::Anthropic, "/v1/messages")]
    {
        let bridge = open(kind, &format!("{base}{path}"));
        let request = LlmRequest::new("hello");
        let plain = bridge.complete(&request, &call()).unwrap();
        assert_eq!(plain.text_response, "Hello! How can I help you today?");
        let (text, _, response) = streamed(&bridge, &request);
        assert_eq!(
            (text.as_str(), &response.finish_reason),
            (plain.text_response.as_str(), &LlmFinish::Stop)
        );

        let mut request = LlmRequest::new("weather in San Francisco");
        let schema = json!({"type": "object", "properties": {"location": {"type": "string"}}});
        request.tools = vec![LlmTool::new("get_weather", "the weather of a place", schema)];
        let plain = bridge.complete(&request, &call()).unwrap();
        assert_eq!(plain.finish_reason, LlmFinish::ToolCalls);
        assert_eq!(plain.tool_calls[0].name, "get_weather");
        assert_eq!(plain.tool_calls[0].arguments["location"], "San Francisco");
        let (_, _, response) = streamed(&bridge, &request);
        assert_eq!(response.tool_calls[0].arguments, plain.tool_calls[0].arguments);
        let id = plain.tool_calls[0].id.clone();
        request.messages.push(LlmMessage::assistant_calls(plain.tool_calls));
        request.messages.push(LlmMessage::tool_result(id, "sunny"));
        bridge.complete(&request, &call()).unwrap();
    }
}

/// A provider whose requests ask the server to misbehave each time.
fn chaos(base: &str, header: &str) -> LlmBridge {
    let mut config = config(ProviderKind::Openai, &format!("{base}/v1/chat/completions"));
    let mut row = ProviderRow::new("chaos", ProviderKind::Openai, &config.llm_provider_url, "m");
    row.options = ProviderOptions::parse(&json!({"headers": {header: "1"}}).to_string()).unwrap();
    config.providers = vec![row];
    config.llm_max_retries = 1;
    config.llm_retry_backoff_ms = 10;
    LlmBridge::new(config, LlmDeps::default()).unwrap()
}

#[test]
fn aimock_chaos_is_typed() {
    let Some(base) = server(AIMOCK) else { return };
    for (header, code, attempts) in [
        ("x-aimock-chaos-drop", LlmErrorCode::ServerError, 2),
        ("x-aimock-chaos-disconnect", LlmErrorCode::ConnectionFailed, 2),
        ("x-aimock-chaos-malformed", LlmErrorCode::InvalidResponse, 1),
        ("x-aimock-chaos-ratelimit", LlmErrorCode::RateLimited, 2),
    ] {
        let mut request = LlmRequest::new("hello");
        request.provider = Some("chaos".into());
        let started = Instant::now();
        let error = chaos(&base, header).complete(&request, &call()).unwrap_err();
        assert_eq!((error.code, error.attempts), (code, attempts), "{header}: {error}");
        if code == LlmErrorCode::RateLimited {
            let asked = error.retry_after_ms.expect("the server sends Retry-After");
            assert!(started.elapsed() >= Duration::from_millis(asked), "the retry came too early");
        }
    }
}

const LLMOCK: &str = "PENSTOCK_TEST_LLMOCK_URL";

/// Asks again while the stream breaks off, as an application would: text that has been delivered is not asked for twice by
/// the bridge itself. A broken stream is an error, never taken for the answer.
fn told_whole(bridge: &LlmBridge, question: &str) {
    for round in 0..10_u32 {
        let mut text = String::new();
        let outcome = bridge.stream(&LlmRequest::new(question), &call(), &mut |delta| {
            if let LlmDelta::Text(piece) = delta {
                text.push_str(&piece);
            }
            LlmFlow::Continue
        });
        match outcome {
            Ok(response) => {
                assert_eq!(response.text_response, text);
                return;
            }
            Err(error) => assert!(
                matches!(
                    error.code,
                    LlmErrorCode::ConnectionFailed
                        | LlmErrorCode::InvalidResponse
                        | LlmErrorCode::ServerError
                        | LlmErrorCode::RateLimited
                ),
                "{error}"
            ),
        }
        std::thread::sleep(Duration::from_millis(400 << round.min(4)));
    }
    panic!("{question}: ten streams in a row broke off");
}

/// What the server says of the clients it has seen: the verdict that `llmock report` prints.
fn verdict(base: &str) -> Value {
    let mut answer = ureq::get(format!("{base}/_llmock/verdict")).call().unwrap();
    serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
}

fn patient(kind: ProviderKind, url: &str) -> LlmConfig {
    let mut config = config(kind, url);
    // Eight attempts: the server calls more than ten for one call a storm.
    config.llm_max_retries = 7;
    config.llm_retry_backoff_ms = 100;
    config.llm_retry_max_backoff_ms = 3_200;
    config
}

/// The server refuses many requests with 429, 500 and 503 and breaks streams; it finds no fault in how this client takes it.
#[test]
fn llmock_finds_no_fault_in_our_retries() {
    let Some(base) = server(LLMOCK) else { return };
    // What an earlier run did is not judged with this one.
    ureq::post(format!("{base}/_llmock/reset")).send_empty().unwrap();
    for (kind, path) in
        [(ProviderKind::Openai, "/v1/chat/completions"), (ProviderKind::Anthropic, "/anthropic/v1/messages")]
    {
        let bridge = LlmBridge::new(patient(kind, &format!("{base}{path}")), LlmDeps::default()).unwrap();
        for n in 0..6 {
            let request = LlmRequest::new(format!("question {n}"));
            let response = bridge.complete(&request, &call()).unwrap();
            assert!(!response.text_response.is_empty());
        }
        let status = bridge.status();
        assert_eq!((status.total_requests, status.failed_requests), (6, 0));
        assert_eq!(status.local_model_calls, 6 + status.retries);
        for n in 0..6 {
            told_whole(&bridge, &format!("stream {n}"));
        }
    }
    let verdict = verdict(&base);
    assert_eq!(
        (&verdict["passed"], &verdict["errors"], &verdict["warnings"]),
        (&json!(true), &json!(0), &json!(0)),
        "{verdict}"
    );
    assert!(verdict["faults_injected"].as_u64() > Some(0), "{verdict}");
}

/// Paid calls side by side spend what their answers bill, to the last token, and stop where the day's budget ends.
#[test]
fn aimock_bills_are_kept_to_the_token() {
    let Some(base) = server(AIMOCK) else { return };
    let mut config = config(ProviderKind::Openai, &format!("{base}/v1/chat/completions"));
    config.llm_provider_locality = ai_core_llm::Locality::Cloud;
    config.llm_price_input_usd_per_mtok = 100.0;
    config.llm_price_output_usd_per_mtok = 200.0;
    config.daily_budget_usd = 0.03;
    config.max_cloud_requests_per_hour = 1_000;
    let bridge = LlmBridge::new(config, LlmDeps::default()).unwrap();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..16).map(|_| scope.spawn(|| bridge.complete(&LlmRequest::new("hello"), &call()))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // Calls in a row go on until the worst case of the next one no longer fits.
    let more: Vec<_> = (0..40).map(|_| bridge.complete(&LlmRequest::new("hello"), &call())).collect();
    let (mut billed, mut refused) = (0_u64, 0);
    for answer in answers.iter().chain(&more) {
        match answer {
            // Millionths of a dollar: prices are whole dollars a million tokens.
            Ok(response) => billed += response.usage.input_tokens * 100 + response.usage.output_tokens * 200,
            Err(error) => {
                assert_eq!(error.code, LlmErrorCode::BudgetExceeded, "{error}");
                refused += 1;
            }
        }
    }
    let status = bridge.status();
    assert!(refused > 0 && billed > 0);
    assert!((status.spend.daily.dollars() * 1e6 - billed as f64).abs() < 1e-6, "{status:?}, billed {billed}");
    assert!(billed <= 30_000, "{billed} millionths of 30000");
}
