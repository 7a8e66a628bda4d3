//! Reloads under load, arbitrary operations, and planted secrets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ai_core::{CallContext, FakeEmbedder, LlmClient, LlmRequest};
use ai_core_llm::{HostModels, JsonOps, LlmConfig, LlmDeps, LlmService, ProviderKind};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::server::{Reply, Server, chat, config};

fn start(config: LlmConfig) -> LlmService {
    LlmService::start(config, LlmDeps::default(), HostModels::with_builtin(Arc::new(FakeEmbedder::new(4))))
        .unwrap()
}

#[test]
fn no_call_sees_a_mixture_of_two_configurations() {
    let echo = |name: &'static str| {
        Server::new(move |seen, _| {
            let system = seen.body["messages"][0]["content"].as_str().unwrap_or("none").to_owned();
            chat(&format!("{name} {} {system}", seen.body["model"].as_str().unwrap_or("none")))
        })
    };
    let (a, b) = (echo("a"), echo("b"));
    let make = |server: &Server, name: &str| {
        let mut config = config(ProviderKind::Generic, &server.url);
        config.llm_provider_model = name.to_owned();
        config.llm_system_prompt = name.to_owned();
        config.llm_cache_enabled = false;
        config
    };
    let (first, second) = (make(&a, "a"), make(&b, "b"));
    let service = start(first.clone());
    let stop = AtomicBool::new(false);
    let mut answers = std::collections::HashSet::new();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = std::collections::HashSet::new();
                    while !stop.load(Ordering::SeqCst) {
                        let answer =
                            service.complete(&LlmRequest::new("q"), &CallContext::new("ann")).unwrap();
                        seen.insert(answer.text_response);
                    }
                    seen
                })
            })
            .collect();
        for round in 0..60 {
            let next = if round % 2 == 0 { &second } else { &first };
            service.reload(next.clone()).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(3));
        }
        stop.store(true, Ordering::SeqCst);
        for caller in callers {
            answers.extend(caller.join().unwrap());
        }
    });
    answers.retain(|answer| answer != "a a a" && answer != "b b b");
    assert!(answers.is_empty(), "{answers:?}");
    assert_eq!(service.status().0.generation, 61);
}

#[test]
fn planted_secrets_appear_nowhere() {
    let server = Server::new(|seen, _| {
        let said = format!("{:?}", seen.headers);
        Reply::Json(400, json!({"error": {"message": said}}))
    });
    let mut config = config(ProviderKind::Generic, &server.url);
    config.llm_provider_key = "planted-provider-key".into();
    config.embedding_uri = Some(server.at("/embed"));
    config.embedding_key = "planted-embed-key".into();
    config.rerank_uri = Some(server.at("/rerank"));
    config.rerank_key = "planted-rerank-key".into();
    let service = start(config.clone());
    let ops = JsonOps::new(service.clone());
    let call = CallContext::new("ann");
    let mut shown = format!("{config:?}");
    for op in [
        r#"{"type":"llm","prompt":"p"}"#,
        r#"{"type":"embed","documents":["a"]}"#,
        r#"{"type":"rerank","query":"q","documents":["a"]}"#,
    ] {
        let answer = ops.run_json(op, &call).to_string();
        assert!(answer.contains("***"), "the server echoes the key, and it is taken out: {answer}");
        shown.push_str(&answer);
    }
    shown.push_str(&format!("{:?} {:?}", service.status(), service.choice()));
    shown.push_str(&service.metrics_text());
    shown.push_str(&serde_json::to_string(&service.bridge().usage(1)).unwrap());
    assert_eq!(server.seen().len(), 3);
    assert!(!shown.contains("planted"), "{shown}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

#[test]
fn any_operation_is_answered() {
    let server = Server::chat("x");
    let ops = JsonOps::new(start(config(ProviderKind::Generic, &server.url)));
    let call = CallContext::new("ann");
    let members =
        ["documents", "query", "prompt", "top_n", "columns", "format", "document_from_sql", "output"];
    let kinds = prop_oneof![Just("embed"), Just("rerank"), Just("llm"), Just("nl2sql"), Just("other")];
    let operation =
        (kinds, prop::collection::vec((prop::sample::select(members.to_vec()), any_json()), 0..5));
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    runner
        .run(&(operation, ".{0,40}"), |((kind, pairs), text)| {
            let mut object = serde_json::Map::new();
            object.insert("type".into(), json!(kind));
            object.extend(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)));
            for text in [Value::Object(object).to_string(), text] {
                let answer = ops.run_json(&text, &call);
                let has = |key: &str| answer.get(key).is_some();
                prop_assert!(has("rows") != has("error"), "{answer}");
                prop_assert!(!has("error") || answer["code"] != "INTERNAL", "{answer}");
            }
            Ok(())
        })
        .unwrap();
}
