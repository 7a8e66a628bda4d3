//! The whole side together: pool in front of bridge, embedding and rerank services over HTTP, JSON operations.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_core::{
    AiErrorCode, AiResult, CallContext, CancelToken, Deadline, EmbedKind, Embedder, FakeEmbedder, LlmClient,
    LlmDelta, LlmErrorCode, LlmFlow, LlmRequest, Reranker,
};
use ai_core_llm::{
    EmbeddingChoice, HostModels, HttpEmbedder, HttpEmbedderConfig, HttpReranker, HttpRerankerConfig, JsonOps,
    LlmConfig, LlmDeps, LlmService, Nl2Sql, Nl2SqlAnswer, ProviderKind, ReadOnlySql, RerankChoice,
    SelectRequest, SelectRows,
};
use serde_json::{Map, Value, json};

use crate::server::{Reply, Server, chat, config};

fn call() -> CallContext {
    CallContext::new("ann")
}

/// A vector of a text: its length and its first byte.
fn vector(text: &Value) -> Value {
    let text = text.as_str().unwrap_or("");
    json!([text.len(), text.as_bytes().first()])
}

/// Answers embedding requests in the shape that the request asks for.
fn embedding_server() -> Server {
    Server::new(|seen, _| {
        if let Some(texts) = seen.body["content"].as_array() {
            let one = |(i, t): (usize, &Value)| json!({"index": i, "embedding": [vector(t)]});
            return Reply::Json(200, texts.iter().enumerate().map(one).collect());
        }
        let texts = seen.body["input"].as_array().cloned().unwrap_or_default();
        // In reverse order: the index decides.
        let one = |(i, t): (usize, &Value)| json!({"index": i, "embedding": vector(t)});
        let data: Vec<Value> = texts.iter().enumerate().map(one).rev().collect();
        Reply::Json(200, json!({"data": data, "usage": {"prompt_tokens": 3, "total_tokens": 3}}))
    })
}

fn rerank_server() -> Server {
    Server::new(|seen, _| {
        let documents = seen.body["documents"].as_array().cloned().unwrap_or_default();
        let score = |d: &Value| d.as_str().unwrap_or("").len() as f64 / 100.0;
        let one = |(i, d): (usize, &Value)| json!({"index": i, "relevance_score": score(d)});
        Reply::Json(200, json!({"results": documents.iter().enumerate().map(one).rev().collect::<Value>()}))
    })
}

fn start(config: LlmConfig) -> LlmService {
    LlmService::start(config, LlmDeps::default(), HostModels::with_builtin(Arc::new(FakeEmbedder::new(16))))
        .unwrap()
}

fn chat_service(server: &Server) -> LlmService {
    start(config(ProviderKind::Generic, &server.url))
}

#[test]
fn calls_and_streams_go_through_the_pool() {
    let server = Server::chat("one two");
    let service = chat_service(&server);
    let response = service.complete(&LlmRequest::new("q"), &call()).unwrap();
    assert_eq!(response.text_response, "one two");
    let mut text = String::new();
    let mut request = LlmRequest::new("q");
    request.allow_cache = false;
    service
        .stream(&request, &call(), &mut |d| {
            if let LlmDelta::Text(t) = d {
                text.push_str(&t);
            }
            LlmFlow::Continue
        })
        .unwrap();
    assert_eq!(text, "one two");
    assert_eq!(service.status().1.completed, 3, "two calls, and one vector for the cache");
    service.stop(Duration::from_secs(1));
    assert_eq!(service.complete(&request, &call()).unwrap_err().code, LlmErrorCode::Cancelled);
}

#[test]
fn a_slow_receiver_slows_the_reading_and_stop_is_quick() {
    let event =
        |n: usize| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{n} \"}}}}]}}\n\n").into_bytes();
    let mut pieces: Vec<Vec<u8>> = (0..20_000).map(event).collect();
    pieces.push(b"data: [DONE]\n\n".to_vec());
    let server = Server::script(vec![Reply::Stream(pieces)]);
    let service = chat_service(&server);
    let mut heard = 0;
    let error = service
        .stream(&LlmRequest::new("q"), &call(), &mut |_| {
            heard += 1;
            std::thread::sleep(Duration::from_millis(2));
            if heard == 20 { LlmFlow::Stop } else { LlmFlow::Continue }
        })
        .unwrap_err();
    assert_eq!((error.code, heard), (LlmErrorCode::Cancelled, 20));
    let started = Instant::now();
    while service.status().1.active > 0 {
        assert!(started.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn hanging_models_do_not_block_embedding_or_the_stop() {
    let server = Server::script(vec![Reply::Hang]);
    let service = chat_service(&server);
    let cancel = CancelToken::new();
    std::thread::scope(|scope| {
        for n in 0..6 {
            let (service, cancel) = (service.clone(), cancel.clone());
            scope.spawn(move || {
                let request = LlmRequest::new(format!("q{n}"));
                let error = service.complete(&request, &call().with_cancel(cancel)).unwrap_err();
                assert_eq!(error.code, LlmErrorCode::Cancelled);
            });
        }
        while service.status().1.active < 3 {
            std::thread::sleep(Duration::from_millis(2));
        }
        let vectors = service.embed("", vec!["text".into()], EmbedKind::Query, &call()).unwrap();
        assert_eq!(vectors[0].len(), 16);
        cancel.cancel();
    });
    service.stop(Duration::ZERO);
    assert_eq!(service.status().1.threads, 0);
}

#[test]
fn one_worker_is_enough_for_semantic_lookups() {
    let server = Server::chat("answer");
    let mut config = config(ProviderKind::Generic, &server.url);
    config.threads = 1;
    let service = start(config);
    for text in ["how many orders", "how many orders?"] {
        service.complete(&LlmRequest::new(text), &call()).unwrap();
    }
    let cache = service.status().0.cache;
    assert_eq!((cache.semantic_hits, server.seen().len()), (1, 1));
}

#[test]
fn embedding_services_of_both_shapes() {
    let server = embedding_server();
    for (provider, path, member) in [
        ("openai", "/v1/embeddings", "input"),
        ("llama_cpp", "/embedding", "content"),
        ("llama_cpp", "/v1/embeddings", "input"),
    ] {
        let mut settings = HttpEmbedderConfig::new(server.at(path));
        settings.provider = provider.into();
        settings.key = "key-of-the-test".into();
        settings.batch_size = 2;
        let embedder = HttpEmbedder::new(settings);
        let vectors =
            embedder.embed(&["a", "bb", "ccc"], EmbedKind::Document, Deadline::after_ms(5_000)).unwrap();
        assert_eq!(vectors, [[1.0, 97.0], [2.0, 98.0], [3.0, 99.0]]);
        assert_eq!((embedder.requests(), embedder.info().dim), (2, 2));
        // From the cache, and only what is missing is asked for.
        embedder.embed(&["a", "bb", "dddd"], EmbedKind::Document, Deadline::after_ms(5_000)).unwrap();
        assert_eq!(embedder.requests(), 3);
        let seen = server.seen();
        let last = seen.last().unwrap();
        assert_eq!(last.body[member], json!(["dddd"]));
        assert_eq!(last.header("authorization"), Some("Bearer key-of-the-test"));
        assert!(last.body.get("model").is_none());
    }
    assert_eq!(server.connections(), 3);
}

#[test]
fn embedding_faults_are_typed_and_retried() {
    let vectors = |v: Value| Reply::Json(200, json!({"data": v}));
    let cases: Vec<(Vec<Reply>, AiErrorCode, usize)> = vec![
        (vec![vectors(json!([]))], AiErrorCode::Internal, 1),
        (vec![vectors(json!([{"embedding": [1]}, {"embedding": [1, 2]}]))], AiErrorCode::Internal, 1),
        (vec![vectors(json!([{"embedding": [1]}, {"embedding": ["NaN"]}]))], AiErrorCode::Internal, 1),
        (vec![Reply::Headed(200, vec![], "{\"data\":".into())], AiErrorCode::Internal, 1),
        (vec![Reply::Json(401, json!({}))], AiErrorCode::FailedPrecondition, 1),
        (vec![Reply::Json(500, json!({}))], AiErrorCode::Unavailable, 3),
        (vec![Reply::Close], AiErrorCode::Unavailable, 3),
        (vec![Reply::Json(429, json!({}))], AiErrorCode::Unavailable, 3),
        (vec![Reply::Json(413, json!({}))], AiErrorCode::LimitExceeded, 1),
    ];
    for (script, code, requests) in cases {
        let server = Server::script(script);
        let mut settings = HttpEmbedderConfig::new(&server.url);
        (settings.retries_max, settings.backoff_ms) = (2, 10);
        let embedder = HttpEmbedder::new(settings);
        let error = embedder.embed(&["a", "b"], EmbedKind::Query, Deadline::after_ms(5_000)).unwrap_err();
        assert_eq!((error.code, server.seen().len()), (code, requests), "{error}");
    }
    // A body without end is bounded, and a slow one ends with the deadline.
    let server = Server::script(vec![Reply::Drip]);
    let embedder = HttpEmbedder::new(HttpEmbedderConfig::new(&server.url));
    let error = embedder.embed(&["a"], EmbedKind::Query, Deadline::after_ms(200)).unwrap_err();
    assert_eq!(error.code, AiErrorCode::DeadlineExceeded);
    // A model whose vectors change their length is not to be trusted.
    let server = Server::script(vec![
        vectors(json!([{"embedding": [1, 2]}])),
        vectors(json!([{"embedding": [1, 2, 3]}])),
    ]);
    let embedder = HttpEmbedder::new(HttpEmbedderConfig::new(&server.url));
    assert_eq!(embedder.probe(Deadline::after_ms(5_000)).unwrap().dim, 2);
    assert!(embedder.embed(&["b"], EmbedKind::Document, Deadline::after_ms(5_000)).is_err());
}

#[test]
fn sixty_four_callers_make_few_http_calls() {
    let server = embedding_server();
    let mut config = config(ProviderKind::Generic, &server.url);
    config.embedding_uri = Some(server.at("/embedding"));
    config.embedding_batch_wait_ms = 100;
    let service = start(config);
    let tickets: Vec<_> = (1..=64)
        .map(|n| {
            let inputs = vec!["x".repeat(n)];
            let work =
                ai_core_llm::JobWork::Embed { model: String::new(), inputs, kind: EmbedKind::Document };
            service.pool().submit(ai_core_llm::Job::new(work, call())).unwrap()
        })
        .collect();
    for (n, ticket) in tickets.into_iter().enumerate() {
        let expected = ai_core_llm::JobOutput::Vectors(vec![vec![(n + 1) as f32, 120.0]]);
        assert_eq!(ticket.wait().unwrap(), expected);
    }
    assert!(server.seen().len() <= 3, "{}", server.seen().len());
}

#[test]
fn rerank_services() {
    let server = rerank_server();
    let mut settings = HttpRerankerConfig::new(server.at("/rerank"));
    settings.key = "key-of-the-test".into();
    settings.model = "r".into();
    let reranker = HttpReranker::new(settings);
    let scores = reranker.rerank("q", &["a", "bbb"], Deadline::after_ms(5_000)).unwrap();
    assert_eq!(scores, [0.01, 0.03]);
    let seen = server.seen();
    assert_eq!(seen[0].body, json!({"model": "r", "query": "q", "documents": ["a", "bbb"], "top_n": 2}));
    assert_eq!(seen[0].header("authorization"), Some("Bearer key-of-the-test"));
    // More than a call holds: split and joined again.
    let large = ["x".repeat(700_000), "y".repeat(700_001), "z".into()];
    let documents: Vec<&str> = large.iter().map(String::as_str).collect();
    let scores = reranker.scores("", "q", &documents, &call()).unwrap();
    assert_eq!(scores, [7_000.0, 7_000.01, 0.01]);
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn services_follow_the_configuration() {
    let (embed, rerank) = (embedding_server(), rerank_server());
    let service = start(LlmConfig::default());
    let choice = service.choice();
    assert_eq!((choice.embedding_provider.as_str(), choice.rerank_provider.as_str()), ("fake", "builtin"));
    let mut config = LlmConfig::default();
    config.embedding_uri = Some(embed.at("/v1/embeddings"));
    config.rerank_uri = Some(rerank.at("/rerank"));
    service.reload(config.clone()).unwrap();
    assert_eq!(
        service.embedder().embed(&["ab"], EmbedKind::Query, Deadline::after_ms(5_000)).unwrap(),
        [[2.0, 97.0]]
    );
    assert_eq!(service.reranker().rerank("q", &["abcd"], Deadline::after_ms(5_000)).unwrap(), [0.04]);
    let choice = service.choice();
    assert_eq!((choice.embedding_dim, choice.rerank_provider.as_str()), (2, "http"));
    // Unchanged services keep what they know, also when money and other settings change.
    config.llm_temperature = 0.5;
    config.daily_budget_usd = 3.0;
    service.reload(config.clone()).unwrap();
    assert_eq!(service.choice().embedding_dim, 2);
    config.embedding_provider = EmbeddingChoice::Local;
    config.rerank_provider = RerankChoice::Local;
    service.reload(config.clone()).unwrap();
    let error = service.embed("", vec!["a".into()], EmbedKind::Query, &call()).unwrap_err();
    assert_eq!(error.code, AiErrorCode::FailedPrecondition);
    let error = service.rerank("", "q", vec!["a".into()], &call()).unwrap_err();
    assert_eq!(error.code, AiErrorCode::FailedPrecondition);
    config.threads = 0;
    assert!(service.reload(config).is_err());
}

#[test]
fn paid_embedding_counts_in_the_budget() {
    let server = embedding_server();
    let mut config = LlmConfig::default();
    // A name that resolves to this machine but does not look local would need DNS; a cap of 0 shows the class.
    config.embedding_uri = Some(server.at("/v1/embeddings"));
    config.max_cloud_requests_per_hour = 0;
    let service = start(config);
    service.embed("", vec!["a".into()], EmbedKind::Query, &call()).unwrap();
    let total = &service.bridge().usage(1)[0];
    assert_eq!((total.kind.as_str(), total.input_tokens, total.cost.units()), ("embed", 3, 0));
    let mut config = LlmConfig::default();
    config.embedding_uri = Some("http://embed.invalid/v1/embeddings".into());
    config.daily_budget_usd = 0.0;
    service.reload(config).unwrap();
    let error = service.embed("", vec!["b".into()], EmbedKind::Query, &call()).unwrap_err();
    assert_eq!(
        (error.code, error.details["error_code"].as_str()),
        (AiErrorCode::LimitExceeded, Some("ERR_BUDGET_EXCEEDED"))
    );
}

struct Rows(AiResult<SelectRows>);

impl ReadOnlySql for Rows {
    fn select(&self, request: &SelectRequest, call: &CallContext) -> AiResult<SelectRows> {
        assert_eq!((call.caller.as_str(), request.bytes_max), ("ann", 4 * 1024 * 1024));
        assert!(request.rows_max <= 1_000);
        self.0.clone()
    }
}

struct Converter;

impl Nl2Sql for Converter {
    fn convert(&self, members: &Map<String, Value>, _: &CallContext) -> AiResult<Nl2SqlAnswer> {
        let mut answer = Nl2SqlAnswer::default();
        answer.sql_query = format!("SELECT '{}'", members["natural_language"].as_str().unwrap_or(""));
        answer.confidence = 0.5;
        answer.objects_used = vec!["a".into(), "b".into()];
        Ok(answer)
    }
}

#[test]
fn operations_have_their_rows() {
    let (embed, rerank, model) = (embedding_server(), rerank_server(), Server::chat("text"));
    let mut config = config(ProviderKind::Generic, &model.url);
    config.embedding_uri = Some(embed.at("/embedding"));
    config.rerank_uri = Some(rerank.at("/rerank"));
    let some = |t: &str| Some(t.to_owned());
    let rows = SelectRows::new(vec!["t".into()], vec![vec![some("xx")], vec![None], vec![some("y")]]);
    let ops = JsonOps::new(start(config)).with_sql(Arc::new(Rows(Ok(rows)))).with_nl2sql(Arc::new(Converter));
    let run = |op: Value| ops.run_json(&op.to_string(), &call());
    let shown = json!([
        run(json!({"type": "embed", "documents": ["ab", 5, {"a": "ü"}]})),
        run(json!({"type": "embed", "documents": ["ab"], "format": "base64"})),
        run(json!({"type": "rerank", "query": "q", "documents": ["a", "ccc", "bb", "ddd"]})),
        run(
            json!({"type": "rerank", "query": "q", "documents": ["a", "ccc", "bb"], "top_n": 2, "columns": 2})
        ),
        run(json!({"type": "rerank", "query": "q", "document_from_sql": {"query": "SELECT t FROM x"}})),
        run(json!({"type": "llm", "prompt": "p"})),
        run(json!({"type": "llm", "prompt": "p"})),
        run(json!({"type": "nl2sql", "natural_language": "it's"})),
    ]);
    insta::assert_json_snapshot!("operations", shown);
    let documents: Vec<String> =
        (0..100).map(|n| format!("{n} \"quoted\" \\ \n é {}", "z".repeat(5_000))).collect();
    let answer = run(json!({"type": "embed", "documents": documents}));
    assert_eq!(answer["rows"].as_array().unwrap().len(), 100);
    let answer = run(json!({"type": "rerank", "query": "q", "documents": documents, "top_n": 7}));
    assert_eq!(answer["rows"].as_array().unwrap().len(), 7);
    std::thread::scope(|scope| {
        for n in 0..32 {
            let run = &run;
            scope.spawn(move || {
                let text = "w".repeat(n + 1);
                let answer = run(json!({"type": "embed", "documents": [text]}));
                assert_eq!(answer["rows"][0][0], format!("{},119", n + 1));
            });
        }
    });
}

#[test]
fn operation_faults_are_distinct() {
    let model = Server::script(vec![Reply::Json(401, json!({}))]);
    let mut config = config(ProviderKind::Generic, &model.url);
    config.llm_cache_enabled = false;
    let denied = ai_core::AiError::new(AiErrorCode::PermissionDenied, "UPDATE is not read-only");
    let ops = JsonOps::new(start(config.clone())).with_sql(Arc::new(Rows(Err(denied))));
    let bare = JsonOps::new(start(config));
    let texts = [
        "not json".to_owned(),
        "[1]".into(),
        "{}".into(),
        r#"{"type":1}"#.into(),
        r#"{"type":"fly"}"#.into(),
        r#"{"type":"embed"}"#.into(),
        r#"{"type":"embed","documents":[]}"#.into(),
        r#"{"type":"embed","documents":"a"}"#.into(),
        r#"{"type":"embed","documents":["a"],"format":"xml"}"#.into(),
        r#"{"type":"embed","documents":["a"],"modle":"x"}"#.into(),
        format!(r#"{{"type":"embed","documents":{}}}"#, json!(vec!["a"; 10_001])),
        r#"{"type":"embed","documents":["a"],"model":"other"}"#.into(),
        r#"{"type":"rerank","documents":["a"]}"#.into(),
        r#"{"type":"rerank","query":" ","documents":["a"]}"#.into(),
        r#"{"type":"rerank","query":"q"}"#.into(),
        r#"{"type":"rerank","query":"q","documents":["a"],"document_from_sql":{}}"#.into(),
        r#"{"type":"rerank","query":"q","documents":["a"],"columns":4}"#.into(),
        r#"{"type":"rerank","query":"q","documents":["a"],"top_n":-1}"#.into(),
        r#"{"type":"rerank","query":"q","document_from_sql":{}}"#.into(),
        r#"{"type":"rerank","query":"q","document_from_sql":{"query":"UPDATE x"}}"#.into(),
        r#"{"type":"rerank","query":"q","document_from_sql":{"query":"SELECT 1","max_rows":1001}}"#.into(),
        r#"{"type":"llm"}"#.into(),
        r#"{"type":"llm","prompt":""}"#.into(),
        r#"{"type":"llm","prompt":"p","output":"xml"}"#.into(),
        r#"{"type":"llm","prompt":"p","temperature":"hot"}"#.into(),
        r#"{"type":"llm","prompt":"p","temperature":3}"#.into(),
        r#"{"type":"llm","prompt":"p"}"#.into(),
        r#"{"type":"nl2sql"}"#.into(),
        r#"{"type":"nl2sql","natural_language":"q"}"#.into(),
    ];
    let answers: Vec<Value> = texts.iter().map(|t| ops.run_json(t, &call())).collect();
    let distinct: std::collections::HashSet<String> =
        answers.iter().map(|a| a["error"].to_string()).collect();
    assert_eq!(distinct.len(), texts.len());
    insta::assert_json_snapshot!("operation_faults", answers);
    let sql = r#"{"type":"rerank","query":"q","document_from_sql":{"query":"SELECT 1"}}"#;
    assert_eq!(bare.run_json(sql, &call())["code"], "FAILED_PRECONDITION");
    let deep = format!(r#"{{"type":"embed","documents":{}"#, "[".repeat(1_000_000));
    assert_eq!(ops.run_json(&deep, &call())["code"], "INVALID_ARGUMENT");
    let _ = chat("");
}

/// The value of one series in the metrics text; 0 when it is not there.
fn series(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|l| l.strip_prefix(&format!("proxysql_genai_{name} ")));
    line.map_or(0.0, |v| v.parse().unwrap())
}

#[test]
fn each_event_moves_its_metric_exactly_once() {
    let server = Server::new(|seen, n| match (seen.body["messages"][0]["content"].as_str(), n) {
        (Some("busy"), n) if n % 2 == 0 => Reply::Json(503, json!({})),
        (Some("bad"), _) => Reply::Json(401, json!({})),
        _ => chat("x"),
    });
    let mut config = config(ProviderKind::Generic, &server.url);
    config.llm_provider_locality = ai_core_llm::Locality::Cloud;
    config.llm_price_input_usd_per_mtok = 1_000.0;
    config.llm_price_output_usd_per_mtok = 0.0;
    let service = start(config);
    let ask = |prompt: &str| service.complete(&LlmRequest::new(prompt), &call());
    ask("busy").unwrap();
    ask("busy").unwrap();
    ask("bad").unwrap_err();
    service.stream(&LlmRequest::new("s"), &call(), &mut |_| LlmFlow::Continue).unwrap();
    service.rerank("", "q", vec!["a".into()], &call()).unwrap();
    service.rerank("other", "q", vec!["a".into()], &call()).unwrap_err();
    let text = service.metrics_text();
    for (name, value) in [
        ("llm_requests_total{provider=\"default\",locality=\"cloud\",outcome=\"ok\"}", 3.0),
        ("llm_requests_total{provider=\"default\",locality=\"cloud\",outcome=\"ERR_API_KEY_INVALID\"}", 1.0),
        ("llm_request_seconds_count{provider=\"default\"}", 4.0),
        ("llm_first_token_seconds_count{provider=\"default\"}", 1.0),
        ("llm_stage_seconds_count{stage=\"call\"}", 2.0),
        ("llm_stage_seconds_count{stage=\"store\"}", 2.0),
        ("llm_retries_total", 1.0),
        ("llm_tokens_total{provider=\"default\",direction=\"input\"}", 22.0),
        ("llm_tokens_total{provider=\"default\",direction=\"output\"}", 14.0),
        ("cost_usd_total{provider=\"default\",kind=\"llm\"}", 0.022),
        ("budget_remaining_usd", 9.978),
        ("cloud_requests_last_hour", 4.0),
        ("llm_cache_total{result=\"exact\"}", 1.0),
        ("llm_cache_total{result=\"miss\"}", 3.0),
        ("llm_cache_total{result=\"store\"}", 2.0),
        ("llm_cache_entries", 2.0),
        ("llm_breaker_open{provider=\"default\"}", 0.0),
        ("jobs_total{kind=\"llm\",outcome=\"completed\"}", 3.0),
        ("jobs_total{kind=\"llm\",outcome=\"failed\"}", 1.0),
        ("jobs_total{kind=\"rerank\",outcome=\"failed\"}", 1.0),
        ("jobs_active{kind=\"llm\"}", 0.0),
        ("job_queue_depth", 0.0),
        ("job_wait_seconds_count{kind=\"rerank\",priority=\"interactive\"}", 2.0),
        ("job_run_seconds_count{kind=\"llm\",priority=\"interactive\"}", 4.0),
        ("rerank_requests_total{provider=\"builtin\",outcome=\"ok\"}", 1.0),
        ("rerank_requests_total{provider=\"builtin\",outcome=\"INVALID_ARGUMENT\"}", 1.0),
        ("embed_requests_total{provider=\"host\",outcome=\"ok\"}", 3.0),
        ("embed_batch_size_count{provider=\"host\"}", 3.0),
    ] {
        assert!((series(&text, name) - value).abs() < 1e-9, "{name} should be {value}:\n{text}");
    }
}
