//! Every variable is acted on, and a change is seen without a restart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_core::{
    CallContext, EmbedKind, FakeEmbedder, LlmCached, LlmClient, LlmErrorCode, LlmRequest, LlmResponse,
};
use ai_core_llm::{
    HostModels, JsonOps, LlmConfig, LlmDeps, LlmService, ManualClock, ReadOnlySql, SelectRequest, SelectRows,
};
use serde_json::json;

use crate::server::{Reply, Seen, Server, chat};

/// A service with the basics switched on, its model server, and the configuration to change.
struct Bench {
    service: LlmService,
    config: LlmConfig,
    server: Server,
    clock: Arc<ManualClock>,
}

impl Bench {
    fn new(handler: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        let server = Server::new(handler);
        let mut config = LlmConfig::default();
        for (name, value) in [
            ("enabled", "true"),
            ("llm_enabled", "1"),
            ("llm_provider", "generic"),
            ("llm_provider_url", &server.url),
            ("llm_retry_backoff_ms", "10"),
        ] {
            assert_eq!(config.set_variable(name, value), Ok(true));
        }
        let clock = Arc::new(ManualClock::new(1_800_000_000_000));
        let deps = LlmDeps::default().with_clock(clock.clone());
        let models = HostModels::with_builtin(Arc::new(FakeEmbedder::new(8)));
        let service = LlmService::start(config.clone(), deps, models).unwrap();
        Self { service, config, server, clock }
    }

    fn set(&mut self, name: &str, value: &str) {
        assert_eq!(self.config.set_variable(name, value), Ok(true), "{name}");
        self.service.reload(self.config.clone()).unwrap();
    }

    fn ask(&self, prompt: &str) -> Result<LlmResponse, ai_core::LlmError> {
        self.service.complete(&LlmRequest::new(prompt), &CallContext::new("ann"))
    }

    fn last(&self) -> Seen {
        self.server.seen().pop().unwrap()
    }

    fn embed(&self, text: &str) -> ai_core::AiResult<Vec<Vec<f32>>> {
        self.service.embed("", vec![text.to_owned()], EmbedKind::Document, &CallContext::new("ann"))
    }

    fn rerank(&self, text: &str) -> ai_core::AiResult<Vec<f32>> {
        self.service.rerank("", "q", vec![text.to_owned()], &CallContext::new("ann"))
    }
}

/// Answers chat, embedding and rerank requests.
fn all_rounder(seen: &Seen, _: usize) -> Reply {
    match seen.path.as_str() {
        "/embed" => {
            let texts = seen.body["input"].as_array().map_or(0, Vec::len);
            Reply::Json(200, json!({"embeddings": vec![vec![1.0, 2.0]; texts]}))
        }
        "/rerank" => Reply::Json(200, json!({"results": [{"index": 0, "score": 0.25}]})),
        _ => chat("fine"),
    }
}

fn check_requests(name: &str) {
    let mut b = Bench::new(all_rounder);
    let other = Server::chat("other");
    match name {
        "enabled" | "llm_enabled" => {
            b.set(name, "off");
            assert_eq!(b.ask("q").unwrap_err().code, LlmErrorCode::UnknownProvider);
        }
        "llm_provider" => {
            b.config.llm_provider_key = "key-of-the-test".into();
            b.set(name, "anthropic");
            b.ask("q").unwrap_err();
            assert_eq!(b.last().header("x-api-key"), Some("key-of-the-test"));
        }
        "llm_provider_url" => {
            b.set(name, &other.url);
            assert_eq!(b.ask("q").unwrap().text_response, "other");
        }
        "llm_provider_model" => {
            b.set(name, "n");
            b.ask("q").unwrap();
            assert_eq!(b.last().body["model"], "n");
        }
        "llm_provider_key" => {
            b.set(name, "key-of-the-test");
            b.ask("q").unwrap();
            assert_eq!(b.last().header("authorization"), Some("Bearer key-of-the-test"));
        }
        "llm_system_prompt" => {
            b.set(name, "be brief");
            b.ask("q").unwrap();
            assert_eq!(b.last().body["messages"][0]["content"], "be brief");
        }
        "llm_max_output_tokens" => {
            b.set(name, "7");
            b.ask("q").unwrap();
            assert_eq!(b.last().body["max_tokens"], 7);
        }
        "llm_temperature" => {
            b.set(name, "1.5");
            b.ask("q").unwrap();
            assert_eq!(b.last().body["temperature"], 1.5);
        }
        "llm_request_max_bytes" => {
            b.set(name, "1024");
            assert_eq!(b.ask(&"x".repeat(1_025)).unwrap_err().code, LlmErrorCode::RequestTooLarge);
        }
        "llm_response_max_bytes" => {
            b.set(name, "1024");
            let large = Server::chat(&"x".repeat(2_000));
            b.set("llm_provider_url", &large.url);
            assert_eq!(b.ask("q").unwrap_err().code, LlmErrorCode::InvalidResponse);
        }
        other => panic!("{other} is not checked here"),
    }
}

fn check_money(name: &str) {
    let mut b = Bench::new(all_rounder);
    b.set("llm_cache_enabled", "0");
    if name != "llm_provider_locality" {
        b.set("llm_provider_locality", "cloud");
    }
    match name {
        "llm_provider_locality" => {
            b.ask("q").unwrap();
            b.set(name, "cloud");
            b.ask("q").unwrap();
            let status = b.service.status().0;
            assert_eq!((status.local_model_calls, status.cloud_model_calls), (1, 1));
        }
        "llm_price_input_usd_per_mtok" => {
            b.set("llm_price_output_usd_per_mtok", "0");
            b.set(name, "1000");
            let response = b.ask("q").unwrap();
            assert_eq!((response.cost_usd, response.price_source.as_str()), (0.011, "variable"));
        }
        "llm_price_output_usd_per_mtok" => {
            b.set("llm_price_input_usd_per_mtok", "0");
            b.set(name, "1000");
            assert_eq!(b.ask("q").unwrap().cost_usd, 0.007);
        }
        "llm_default_price_usd_per_mtok" => {
            b.set(name, "1000");
            assert_eq!(b.ask("q").unwrap().cost_usd, 0.018);
        }
        "daily_budget_usd" => {
            b.set(name, "0");
            assert_eq!(b.ask("q").unwrap_err().code, LlmErrorCode::BudgetExceeded);
        }
        "max_cloud_requests_per_hour" => {
            b.set(name, "1");
            b.ask("q").unwrap();
            assert_eq!(b.ask("q").unwrap_err().code, LlmErrorCode::HourlyCap);
        }
        other => panic!("{other} is not checked here"),
    }
}

fn check_routing() {
    let (paid, own) = (Server::chat("paid"), Server::chat("own"));
    let mut b = Bench::new(all_rounder);
    b.set("llm_provider_url", &paid.url);
    b.set("llm_provider_locality", "cloud");
    let mut row = ai_core_llm::ProviderRow::new("own", ai_core_llm::ProviderKind::Generic, &own.url, "m");
    row.priority = 5;
    b.config.providers = vec![row];
    b.set("prefer_local_models", "on");
    assert_eq!(b.ask("q1").unwrap().text_response, "own");
    b.set("prefer_local_models", "off");
    assert_eq!(b.ask("q2").unwrap().text_response, "paid");
}

fn check_cache(name: &str) {
    let mut b = Bench::new(all_rounder);
    match name {
        "llm_cache_enabled" => {
            b.set(name, "off");
            b.ask("q").unwrap();
            assert_eq!(b.ask("q").unwrap().cached, LlmCached::Miss);
        }
        "llm_cache_semantic" => {
            b.ask("how many orders").unwrap();
            assert_eq!(b.ask("how many orders?").unwrap().cached, LlmCached::Semantic);
            b.set(name, "off");
            assert_eq!(b.ask("how many orders!").unwrap().cached, LlmCached::Miss);
        }
        // The built-in embedder is lexical and has a floor of its own; a model's vectors follow the variable.
        "llm_cache_similarity_threshold" => {
            let server = Server::new(|seen, _| {
                let angle = |t: &serde_json::Value| t.as_str().map_or(0.0, |t| t.len() as f64 / 10.0);
                let texts = seen.body["input"].as_array().cloned().unwrap_or_default();
                let vectors: Vec<_> = texts.iter().map(|t| vec![angle(t).cos(), angle(t).sin()]).collect();
                Reply::Json(200, json!({"embeddings": vectors}))
            });
            b.set("embedding_uri", &server.at("/embed"));
            b.ask("aaaa").unwrap();
            b.set(name, "99");
            assert_eq!(b.ask("aaaabbbb").unwrap().cached, LlmCached::Miss);
            b.set(name, "90");
            assert_eq!(b.ask("aaaacccc").unwrap().cached, LlmCached::Semantic);
        }
        "llm_cache_ttl_s" => {
            b.set(name, "5");
            b.ask("q").unwrap();
            b.clock.advance_ms(4_999);
            assert_eq!(b.ask("q").unwrap().cached, LlmCached::Exact);
            b.clock.advance_ms(1);
            assert_eq!(b.ask("q").unwrap().cached, LlmCached::Miss);
        }
        "llm_cache_max_entries" | "llm_cache_max_bytes" => {
            b.ask("q").unwrap();
            assert_eq!(b.service.status().0.cache.entries, 1);
            b.set(name, "0");
            assert_eq!(b.service.status().0.cache.entries, 0);
        }
        other => panic!("{other} is not checked here"),
    }
}

fn check_retries(name: &str) {
    let mut b = Bench::new(|_, _| Reply::Json(500, json!({})));
    let attempts = |b: &Bench| {
        let started = Instant::now();
        let error = b.ask("q").unwrap_err();
        (error.attempts, started.elapsed())
    };
    match name {
        "llm_max_retries" => {
            b.set(name, "1");
            assert_eq!(attempts(&b).0, 2);
        }
        "llm_retry_backoff_ms" => {
            b.set("llm_max_retries", "1");
            b.set(name, "300");
            assert!(attempts(&b).1 >= Duration::from_millis(270));
        }
        "llm_retry_multiplier" => {
            b.set("llm_max_retries", "3");
            b.set(name, "10");
            // 10, 100 and 1000 milliseconds.
            assert!(attempts(&b).1 >= Duration::from_millis(999));
        }
        "llm_retry_max_backoff_ms" => {
            b.set("llm_retry_backoff_ms", "60000");
            b.set(name, "20");
            assert_eq!(attempts(&b).0, 4);
        }
        other => panic!("{other} is not checked here"),
    }
}

fn check_times(name: &str) {
    let slow = |seen: &Seen, n: usize| Reply::Late(1_300, Box::new(all_rounder(seen, n)));
    let mut b = Bench::new(slow);
    b.set("llm_max_retries", "0");
    match name {
        "llm_timeout_ms" | "llm_total_timeout_ms" => {
            b.set(name, "1000");
            assert_eq!(b.ask("q").unwrap_err().code, LlmErrorCode::Timeout);
            b.set(name, "9000");
            b.ask("q").unwrap();
        }
        "embedding_timeout_ms" => {
            b.set("embedding_uri", &b.server.at("/embed"));
            b.set(name, "100");
            assert_eq!(b.embed("a").unwrap_err().code.as_str(), "DEADLINE_EXCEEDED");
            b.set(name, "9000");
            b.embed("a").unwrap();
        }
        "rerank_timeout_ms" => {
            b.set("rerank_uri", &b.server.at("/rerank"));
            b.set(name, "100");
            assert_eq!(b.rerank("a").unwrap_err().code.as_str(), "DEADLINE_EXCEEDED");
            b.set(name, "9000");
            b.rerank("a").unwrap();
        }
        other => panic!("{other} is not checked here"),
    }
}

fn check_services(name: &str) {
    let mut b = Bench::new(all_rounder);
    let (embed, rerank) = (b.server.at("/embed"), b.server.at("/rerank"));
    if name.starts_with("embedding") && name != "embedding_provider" {
        b.set("embedding_uri", &embed);
    }
    if name.starts_with("rerank_") && !["rerank_provider", "rerank_sql_max_rows"].contains(&name) {
        b.set("rerank_uri", &rerank);
    }
    match name {
        "embedding_uri" => assert_eq!(b.embed("a").unwrap(), [[1.0, 2.0]]),
        "embedding_model" | "rerank_model" => {
            b.set(name, "mm");
            let _ = if name == "rerank_model" { b.rerank("a").map(|_| ()) } else { b.embed("a").map(|_| ()) };
            assert_eq!(b.last().body["model"], "mm");
        }
        "embedding_key" | "rerank_key" => {
            b.set(name, "key-of-the-test");
            let _ = if name == "rerank_key" { b.rerank("a").map(|_| ()) } else { b.embed("a").map(|_| ()) };
            assert_eq!(b.last().header("authorization"), Some("Bearer key-of-the-test"));
        }
        "embedding_provider" => {
            for (value, chosen) in
                [("auto", "fake"), ("builtin", "fake"), ("openai", "openai"), ("llama_cpp", "llama_cpp")]
            {
                b.set(name, value);
                assert_eq!(b.service.choice().embedding_provider, chosen);
            }
            b.set(name, "local");
            assert!(b.service.choice().embedding_provider.starts_with("none"));
        }
        "embedding_batch_size" => {
            b.set(name, "1");
            let two = vec!["a".to_owned(), "b".to_owned()];
            b.service.embed("", two, EmbedKind::Document, &CallContext::new("ann")).unwrap();
            assert_eq!(b.server.seen().len(), 2);
        }
        "embedding_batch_wait_ms" => {
            b.set(name, "100");
            let started = Instant::now();
            b.embed("a").unwrap();
            assert!(started.elapsed() >= Duration::from_millis(95));
        }
        "embedding_cache_entries" => {
            b.embed("a").unwrap();
            b.embed("a").unwrap();
            assert_eq!(b.server.seen().len(), 1);
            b.set(name, "0");
            b.embed("a").unwrap();
            b.embed("a").unwrap();
            assert_eq!(b.server.seen().len(), 3);
        }
        "rerank_uri" => assert_eq!(b.rerank("a").unwrap(), [0.25]),
        "rerank_provider" => {
            for (value, chosen) in [("auto", "builtin"), ("builtin", "builtin"), ("http", "http")] {
                b.set(name, value);
                assert_eq!(b.service.choice().rerank_provider, chosen);
            }
            b.set(name, "local");
            assert!(b.service.choice().rerank_provider.starts_with("none"));
        }
        "rerank_sql_max_rows" => check_sql_rows(&mut b),
        other => panic!("{other} is not checked here"),
    }
}

struct Many;

impl ReadOnlySql for Many {
    fn select(&self, request: &SelectRequest, _: &CallContext) -> ai_core::AiResult<SelectRows> {
        Ok(SelectRows::new(vec!["t".into()], vec![vec![Some("x".into())]; request.rows_max]))
    }
}

fn check_sql_rows(b: &mut Bench) {
    b.set("rerank_sql_max_rows", "3");
    let ops = JsonOps::new(b.service.clone()).with_sql(Arc::new(Many));
    let op = r#"{"type":"rerank","query":"x","document_from_sql":{"query":"SELECT t FROM x"}}"#;
    assert_eq!(ops.run(op, &CallContext::new("ann")).unwrap().rows.len(), 3);
}

fn check_pool(name: &str) {
    let mut b = Bench::new(|_, _| Reply::Hang);
    match name {
        "threads" => {
            b.set(name, "7");
            assert_eq!(b.service.status().1.threads, 7);
        }
        "queue_max_jobs" => {
            b.set("threads", "1");
            b.set(name, "1");
            let hang = || {
                let request = Box::new(LlmRequest::new("q"));
                let work = ai_core_llm::JobWork::Llm { request, stream: None };
                b.service.pool().submit(ai_core_llm::Job::new(work, CallContext::new("ann")))
            };
            let first = hang().unwrap();
            while b.service.status().1.active == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            let second = hang().unwrap();
            assert_eq!(hang().err().unwrap().code, LlmErrorCode::QueueFull);
            drop((first, second));
        }
        "queue_max_bytes" => {
            b.set(name, "1048576");
            b.set("llm_request_max_bytes", "67108864");
            assert_eq!(b.ask(&"x".repeat(1_100_000)).unwrap_err().code, LlmErrorCode::RequestTooLarge);
        }
        other => panic!("{other} is not checked here"),
    }
}

fn check_prefix(name: &str) {
    let mut b = Bench::new(all_rounder);
    let allowed = |b: &Bench, user: &str| b.service.bridge().config().prefix_allowed(user);
    assert!(allowed(&b, "ann"));
    b.set(name, if name == "query_prefix_enabled" { "off" } else { "bob" });
    assert!(!allowed(&b, "ann"));
}

#[test]
fn every_variable_is_observable() {
    for name in LlmConfig::variable_names() {
        match name {
            "threads" | "queue_max_jobs" | "queue_max_bytes" => check_pool(name),
            "prefer_local_models" => check_routing(),
            "llm_timeout_ms" | "llm_total_timeout_ms" | "embedding_timeout_ms" | "rerank_timeout_ms" => {
                check_times(name)
            }
            "llm_max_retries" => check_retries(name),
            "daily_budget_usd" | "max_cloud_requests_per_hour" | "llm_provider_locality" => check_money(name),
            name if name.starts_with("llm_retry_") => check_retries(name),
            name if name.ends_with("_usd_per_mtok") => check_money(name),
            name if name.starts_with("llm_cache_") => check_cache(name),
            name if name.starts_with("query_prefix_") => check_prefix(name),
            name if name.starts_with("embedding_") || name.starts_with("rerank_") => check_services(name),
            name => check_requests(name),
        }
    }
}
