//! Every way in which a provider can fail becomes a typed error, with exact retry counts and within the deadline.

use std::time::{Duration, Instant, SystemTime};

use ai_core::{CallContext, CancelToken, LlmClient, LlmError, LlmErrorCode, LlmFlow, LlmRequest};
use serde_json::json;

use crate::server::{Reply, Server, bridge, chat};

fn ask(server: &Server) -> Result<String, LlmError> {
    let request = LlmRequest::new("hello");
    bridge(&server.url).complete(&request, &CallContext::new("t")).map(|r| r.text_response)
}

fn fails(replies: Vec<Reply>, code: LlmErrorCode, attempts: u32) -> LlmError {
    let server = Server::script(replies);
    let error = ask(&server).unwrap_err();
    assert_eq!(error.code, code, "{error}");
    assert_eq!(error.attempts, attempts, "{error}");
    assert_eq!(server.seen().len() as u32, attempts);
    assert_eq!(error.provider_used, "default");
    error
}

#[test]
fn statuses_are_typed_and_retried_as_promised() {
    let status = |s: u16| vec![Reply::Json(s, json!({"error": {"message": "said so"}}))];
    let invalid = fails(status(401), LlmErrorCode::ApiKeyInvalid, 1);
    assert!(invalid.error_details.contains("said so"), "{invalid}");
    assert_eq!(invalid.http_status_code, 401);
    fails(status(403), LlmErrorCode::ApiKeyInvalid, 1);
    fails(status(400), LlmErrorCode::ValidationFailed, 1);
    fails(status(404), LlmErrorCode::ValidationFailed, 1);
    fails(status(408), LlmErrorCode::Timeout, 4);
    fails(status(413), LlmErrorCode::RequestTooLarge, 1);
    fails(status(422), LlmErrorCode::ValidationFailed, 1);
    fails(status(429), LlmErrorCode::RateLimited, 4);
    fails(status(500), LlmErrorCode::ServerError, 4);
    fails(status(529), LlmErrorCode::ServerError, 4);
    let headers = vec![("location", "http://127.0.0.1:1/".to_owned())];
    let redirect = fails(vec![Reply::Headed(307, headers, String::new())], LlmErrorCode::InvalidResponse, 1);
    assert!(redirect.error_details.contains("redirects are not followed"), "{redirect}");
}

#[test]
fn broken_answers_are_typed() {
    let raw = |text: &str| vec![Reply::Raw(text.as_bytes().to_vec())];
    let ok = |body: &str| vec![Reply::Headed(200, vec![], body.to_owned())];
    fails(vec![Reply::Close], LlmErrorCode::ConnectionFailed, 4);
    fails(raw("garbage that is no HTTP\r\n\r\n"), LlmErrorCode::InvalidResponse, 1);
    fails(
        raw("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"choices\":"),
        LlmErrorCode::ConnectionFailed,
        4,
    );
    fails(
        raw("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"choices\":["),
        LlmErrorCode::InvalidResponse,
        1,
    );
    fails(ok("{\"choices\":"), LlmErrorCode::InvalidResponse, 1);
    fails(ok("{}"), LlmErrorCode::InvalidResponse, 1);
    fails(ok("[1,2]"), LlmErrorCode::InvalidResponse, 1);
    fails(ok(&"[".repeat(100_000)), LlmErrorCode::InvalidResponse, 1);
    fails(ok(r#"{"choices":[{"message":{"content":""}}]}"#), LlmErrorCode::EmptyResponse, 1);
    fails(ok(r#"{"choices":[{"message":{"refusal":"no"}}]}"#), LlmErrorCode::ContentFiltered, 1);
    fails(ok(r#"{"error":{"type":"overloaded_error"}}"#), LlmErrorCode::ServerError, 4);
    let large = json!({"choices": [{"message": {"content": "x".repeat(5_000_000)}}]});
    fails(vec![Reply::Json(200, large)], LlmErrorCode::InvalidResponse, 1);
    let header = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    fails(raw(&header), LlmErrorCode::InvalidResponse, 1);
}

#[test]
fn two_failures_then_success() {
    let busy = Reply::Json(503, json!({"error": "loading"}));
    let server = Server::script(vec![busy.clone(), Reply::Close, chat("fine")]);
    assert_eq!(ask(&server).unwrap(), "fine");
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn a_refused_connection_is_typed() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = bridge(&format!("http://{gone}/"))
        .complete(&LlmRequest::new("q"), &CallContext::default())
        .unwrap_err();
    assert_eq!((error.code, error.attempts), (LlmErrorCode::ConnectionFailed, 4));
}

#[test]
fn a_host_that_does_not_exist_is_typed() {
    let mut request = LlmRequest::new("q");
    request.max_retries = Some(0);
    let error =
        bridge("http://no-such-host.invalid/").complete(&request, &CallContext::default()).unwrap_err();
    assert_eq!((error.code, error.attempts), (LlmErrorCode::ConnectionFailed, 1));
}

fn limited(retry_after: String) -> Reply {
    Reply::Headed(429, vec![("retry-after", retry_after)], String::new())
}

#[test]
fn retry_after_is_honoured_in_seconds_and_as_a_date() {
    let server = Server::script(vec![limited("1".into()), chat("fine")]);
    let started = Instant::now();
    assert_eq!(ask(&server).unwrap(), "fine");
    assert!(started.elapsed() >= Duration::from_secs(1));

    // Two seconds from now, whole seconds: at least one second of pause is left.
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 2;
    let server = Server::script(vec![limited(http_date(at)), chat("fine")]);
    let started = Instant::now();
    assert_eq!(ask(&server).unwrap(), "fine");
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
}

fn http_date(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    let (mut year, mut left) = (1970, days);
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut month = 0;
    while left >= lengths[month] {
        left -= lengths[month];
        month += 1;
    }
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("Mon, {:02} {} {year} {h:02}:{m:02}:{s:02} GMT", left + 1, names[month])
}

#[test]
fn a_pause_beyond_the_deadline_fails_at_once_with_the_real_error() {
    let server = Server::script(vec![limited("3600".into())]);
    let mut request = LlmRequest::new("q");
    request.max_latency_ms = 5_000;
    let started = Instant::now();
    let error = bridge(&server.url).complete(&request, &CallContext::default()).unwrap_err();
    assert_eq!((error.code, error.attempts), (LlmErrorCode::RateLimited, 1));
    assert_eq!(error.retry_after_ms, Some(3_600_000));
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[test]
fn slow_and_silent_providers_end_with_the_deadline() {
    for reply in [Reply::Hang, Reply::Drip] {
        let server = Server::script(vec![reply]);
        let mut request = LlmRequest::new("q");
        request.max_latency_ms = 400;
        let started = Instant::now();
        let error = bridge(&server.url).complete(&request, &CallContext::default()).unwrap_err();
        assert_eq!((error.code, error.attempts), (LlmErrorCode::Timeout, 1), "{error}");
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(395) && took < Duration::from_secs(5), "{took:?}");
    }
}

#[test]
fn a_cancel_ends_a_running_call() {
    for reply in [Reply::Hang, Reply::Drip] {
        let server = Server::script(vec![reply]);
        let cancel = CancelToken::new();
        let call = CallContext::new("t").with_cancel(cancel.clone());
        let canceller = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(150));
            cancel.cancel();
            Instant::now()
        });
        let error = bridge(&server.url).complete(&LlmRequest::new("q"), &call).unwrap_err();
        let late = Instant::now().saturating_duration_since(canceller.join().unwrap());
        assert_eq!(error.code, LlmErrorCode::Cancelled);
        assert!(late < Duration::from_secs(5), "{late:?}");
    }
}

#[test]
fn connections_are_reused() {
    let server = Server::chat("fine");
    let bridge = bridge(&server.url);
    let mut request = LlmRequest::new("q");
    request.allow_cache = false;
    for _ in 0..20 {
        bridge.complete(&request, &CallContext::default()).unwrap();
    }
    assert_eq!((server.seen().len(), server.connections()), (20, 1));
}

#[test]
fn the_breaker_opens_after_five_failures() {
    let server = Server::script(vec![Reply::Json(500, json!({}))]);
    let bridge = bridge(&server.url);
    let first = bridge.complete(&LlmRequest::new("q"), &CallContext::default()).unwrap_err();
    assert_eq!((first.code, first.attempts), (LlmErrorCode::ServerError, 4));
    // The fifth failure opens it: the last real error is reported, and nothing is sent any more.
    let second = bridge.complete(&LlmRequest::new("q"), &CallContext::default()).unwrap_err();
    assert_eq!((second.code, second.attempts, server.seen().len()), (LlmErrorCode::ServerError, 1, 5));
    let third = bridge.complete(&LlmRequest::new("q"), &CallContext::default()).unwrap_err();
    assert_eq!((third.code, third.attempts, server.seen().len()), (LlmErrorCode::ConnectionFailed, 0, 5));
    assert!(third.retry_after_ms.is_some());
    assert!(bridge.status().providers[0].breaker_open);
}

#[test]
fn broken_streams_are_typed_and_not_retried_after_text() {
    let piece = |text: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n").into_bytes()
    };
    let cases: Vec<(Vec<Vec<u8>>, LlmErrorCode, u32)> = vec![
        (vec![b"data: not json\n\n".to_vec()], LlmErrorCode::InvalidResponse, 1),
        (vec![b"data: \xff\xfe\n\n".to_vec()], LlmErrorCode::InvalidResponse, 1),
        (vec![b"no events at all".to_vec()], LlmErrorCode::ConnectionFailed, 4),
        (vec![piece("half")], LlmErrorCode::ConnectionFailed, 1),
        (vec![piece("half"), b"data: {\"error\":{\"code\":500}}\n\n".to_vec()], LlmErrorCode::ServerError, 1),
        (vec![b"data: {\"error\":{\"message\":\"Overloaded\"}}\n\n".to_vec()], LlmErrorCode::ServerError, 4),
        (vec![b"data: [DONE]\n\n".to_vec()], LlmErrorCode::EmptyResponse, 1),
    ];
    for (pieces, code, attempts) in cases {
        let server = Server::script(vec![Reply::Stream(pieces.clone())]);
        let result = bridge(&server.url)
            .stream(&LlmRequest::new("q"), &CallContext::default(), &mut |_| LlmFlow::Continue);
        let error = result.unwrap_err();
        assert_eq!((error.code, error.attempts), (code, attempts), "{error} {pieces:?}");
        assert_eq!(server.seen().len() as u32, attempts);
    }
}

#[test]
fn keys_appear_in_no_error() {
    let server = Server::new(|seen, _| {
        let key = seen.header("authorization").unwrap_or("").to_owned();
        Reply::Json(401, json!({"error": {"message": format!("bad key {key}")}}))
    });
    let mut config = crate::server::config(ai_core_llm::ProviderKind::Generic, &server.url);
    config.llm_provider_key = "sk-planted-secret".into();
    assert!(!format!("{config:?}").contains("planted"));
    let bridge = ai_core_llm::LlmBridge::new(config, ai_core_llm::LlmDeps::default()).unwrap();
    let error = bridge.complete(&LlmRequest::new("q"), &CallContext::default()).unwrap_err();
    assert!(server.seen()[0].header("authorization").unwrap().ends_with("sk-planted-secret"));
    assert!(!format!("{error:?}").contains("planted"), "{error:?}");
    assert!(error.error_details.contains("***"));
}
