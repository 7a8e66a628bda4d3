//! Each provider's stream, cut at every byte, gives the answer that it gives without a stream.

use ai_core::{
    CallContext, LlmClient, LlmDelta, LlmErrorCode, LlmFinish, LlmFlow, LlmMessage, LlmRequest, LlmTool,
};
use ai_core_llm::{LlmBridge, LlmDeps, ProviderKind};
use serde_json::{Value, json};

use crate::server::{Reply, Server, config};

const TEXT: &str = "Größe 数据 🙂 \"quoted\"\nline";

fn sse(events: &[Value]) -> Vec<u8> {
    let named = |e: &Value| {
        e.get("type").and_then(Value::as_str).map(|t| format!("event: {t}\n")).unwrap_or_default()
    };
    events.iter().map(|e| format!("{}data: {e}\n\n", named(e))).collect::<String>().into_bytes()
}

fn words() -> Vec<&'static str> {
    TEXT.split_inclusive(' ').collect()
}

fn openai() -> (Value, Vec<u8>) {
    let whole = json!({"choices": [{"message": {"content": TEXT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 6}});
    let mut events: Vec<Value> = words()
        .iter()
        .map(|w| json!({"choices": [{"delta": {"content": w}, "finish_reason": null}]}))
        .collect();
    events.push(json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}));
    events.push(json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6}}));
    let mut bytes = sse(&events);
    bytes.extend_from_slice(b"data: [DONE]\n\n");
    (whole, bytes)
}

fn anthropic() -> (Value, Vec<u8>) {
    let whole = json!({"content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 5, "output_tokens": 6}});
    let mut events = vec![
        json!({"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
    ];
    events.extend(words().iter().map(
        |w| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": w}}),
    ));
    events.push(json!({"type": "content_block_stop", "index": 0}));
    events.push(
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 6}}),
    );
    events.push(json!({"type": "message_stop"}));
    (whole, sse(&events))
}

fn llama() -> (Value, Vec<u8>) {
    let end = json!({"stop": true, "stop_type": "eos", "tokens_evaluated": 5, "tokens_predicted": 6});
    let mut whole = end.clone();
    whole["content"] = json!(TEXT);
    let mut last = end;
    last["content"] = json!("");
    let mut events: Vec<Value> = words().iter().map(|w| json!({"content": w, "stop": false})).collect();
    events.push(last);
    (whole, sse(&events))
}

fn bridge(kind: ProviderKind, url: &str) -> LlmBridge {
    let mut config = config(kind, url);
    config.llm_provider_key = "key-of-the-test".into();
    config.llm_cache_enabled = false;
    config.max_cloud_requests_per_hour = 100_000;
    LlmBridge::new(config, LlmDeps::default()).unwrap()
}

fn streamed(bridge: &LlmBridge, request: &LlmRequest) -> (String, ai_core::LlmResponse) {
    let mut text = String::new();
    let response = bridge
        .stream(request, &CallContext::new("t"), &mut |delta| {
            if let LlmDelta::Text(piece) = delta {
                text.push_str(&piece);
            }
            LlmFlow::Continue
        })
        .unwrap();
    (text, response)
}

#[test]
fn cut_at_every_byte() {
    let cases = [
        (ProviderKind::Openai, "/v1/chat/completions", openai()),
        (ProviderKind::Generic, "/v1/chat/completions", openai()),
        (ProviderKind::Anthropic, "/v1/messages", anthropic()),
        (ProviderKind::LlamaCpp, "/completion", llama()),
    ];
    for (kind, path, (whole, bytes)) in cases {
        let cuts = bytes.len();
        let server = Server::new(move |seen, n| {
            if seen.body["stream"] == json!(true) {
                let cut = n % cuts;
                Reply::Stream(vec![bytes[..cut].to_vec(), bytes[cut..].to_vec()])
            } else {
                Reply::Json(200, whole.clone())
            }
        });
        let bridge = bridge(kind, &server.at(path));
        let request = LlmRequest::new("q");
        let plain = bridge.complete(&request, &CallContext::new("t")).unwrap();
        assert_eq!(plain.text_response, TEXT);
        assert_eq!((plain.usage.input_tokens, plain.usage.output_tokens), (5, 6), "{kind:?}");
        for _ in 0..cuts {
            let (text, response) = streamed(&bridge, &request);
            assert_eq!(text, TEXT);
            assert_eq!(response.text_response, TEXT);
            assert_eq!(response.usage, plain.usage);
            assert_eq!(response.finish_reason, LlmFinish::Stop);
        }
        assert!(server.connections() < 5, "streams read to their end keep the connection");
    }
}

#[test]
fn byte_by_byte() {
    let (_, bytes) = anthropic();
    let server = Server::script(vec![Reply::Stream(bytes.chunks(1).map(<[u8]>::to_vec).collect())]);
    assert_eq!(streamed(&bridge(ProviderKind::Anthropic, &server.url), &LlmRequest::new("q")).0, TEXT);
}

#[test]
fn a_provider_without_streams_still_delivers() {
    let server = Server::chat("whole");
    let (text, response) = streamed(&bridge(ProviderKind::Generic, &server.url), &LlmRequest::new("q"));
    assert_eq!((text.as_str(), response.text_response.as_str()), ("whole", "whole"));
}

#[test]
fn stop_ends_the_stream() {
    let (_, bytes) = openai();
    let server = Server::script(vec![Reply::Stream(vec![bytes])]);
    let mut pieces = 0;
    let result = bridge(ProviderKind::Generic, &server.url).stream(
        &LlmRequest::new("q"),
        &CallContext::new("t"),
        &mut |_| {
            pieces += 1;
            LlmFlow::Stop
        },
    );
    let error = result.unwrap_err();
    assert_eq!((error.code, error.attempts, pieces), (LlmErrorCode::Cancelled, 1, 1));
}

fn tool_request() -> LlmRequest {
    let mut request = LlmRequest::new("weather?");
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    request.tools = vec![LlmTool::new("get_weather", "weather of a city", schema)];
    request
}

fn openai_tools() -> (Value, Vec<u8>) {
    let call = |arguments: &str| {
        json!({"index": 0, "id": "c1", "type": "function",
            "function": {"name": "get_weather", "arguments": arguments}})
    };
    let whole = json!({"choices": [{"message": {"content": null, "tool_calls": [call("{\"city\":\"Köln\"}")]},
        "finish_reason": "tool_calls"}]});
    let more = |text: &str| json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}}]});
    let events = [
        json!({"choices": [{"delta": {"tool_calls": [call("")]}}]}),
        more("{\"city\":"),
        more("\"Köln\"}"),
        json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}),
    ];
    (whole, sse(&events))
}

fn anthropic_tools() -> (Value, Vec<u8>) {
    let whole = json!({"content": [{"type": "tool_use", "id": "c1", "name": "get_weather", "input": {"city": "Köln"}}],
        "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 1}});
    let more = |text: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": text}});
    let block = json!({"type": "tool_use", "id": "c1", "name": "get_weather", "input": {}});
    let events = [
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        more("{\"city\":"),
        more(" \"Köln\"}"),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
        json!({"type": "message_stop"}),
    ];
    (whole, sse(&events))
}

#[test]
fn tool_calls_round_trip() {
    for (kind, (whole, bytes)) in
        [(ProviderKind::Openai, openai_tools()), (ProviderKind::Anthropic, anthropic_tools())]
    {
        let server = Server::new(move |seen, _| {
            if seen.body["stream"] == json!(true) {
                Reply::Stream(vec![bytes.clone()])
            } else {
                Reply::Json(200, whole.clone())
            }
        });
        let bridge = bridge(kind, &server.url);
        let request = tool_request();
        let plain = bridge.complete(&request, &CallContext::new("t")).unwrap();
        let (text, response) = streamed(&bridge, &request);
        assert_eq!(text, "");
        assert_eq!(response.tool_calls, plain.tool_calls);
        assert_eq!(plain.finish_reason, LlmFinish::ToolCalls);
        assert_eq!(plain.tool_calls[0].name, "get_weather");
        assert_eq!(plain.tool_calls[0].arguments, json!({"city": "Köln"}));
        assert!(server.seen()[0].body["tools"].is_array());

        // The result goes back beside the call that it answers.
        let mut next = request.clone();
        next.messages.push(LlmMessage::assistant_calls(plain.tool_calls));
        next.messages.push(LlmMessage::tool_result("c1", "rain"));
        bridge.complete(&next, &CallContext::new("t")).unwrap();
        let messages = server.seen()[2].body["messages"].to_string();
        assert!(
            messages.contains("c1") && messages.contains("rain") && messages.contains("get_weather"),
            "{messages}"
        );
    }
}

#[test]
fn schemas_reach_every_dialect() {
    let server = Server::new(|seen, _| {
        let answer = json!({"a": 1});
        if seen.path.ends_with("messages") {
            let block = json!({"type": "tool_use", "id": "x", "name": "answer", "input": answer});
            return Reply::Json(200, json!({"content": [block], "stop_reason": "tool_use"}));
        }
        let content = answer.to_string();
        Reply::Json(200, json!({"content": content, "choices": [{"message": {"content": content}}]}))
    });
    for (kind, path) in [
        (ProviderKind::Openai, "/v1/chat/completions"),
        (ProviderKind::Anthropic, "/v1/messages"),
        (ProviderKind::LlamaCpp, "/completion"),
    ] {
        let mut request = LlmRequest::new("q");
        request.response_schema = Some(json!({"type": "object"}));
        let response = bridge(kind, &server.at(path)).complete(&request, &CallContext::new("t")).unwrap();
        assert_eq!(response.text_response, "{\"a\":1}");
        assert_eq!(response.finish_reason, LlmFinish::Stop);
        assert!(response.tool_calls.is_empty());
    }
    let bodies: Vec<Value> = server.seen().into_iter().map(|s| s.body).collect();
    insta::assert_json_snapshot!("schema_requests", bodies);
}
