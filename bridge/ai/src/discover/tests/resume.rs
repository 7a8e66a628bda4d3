//! A discovery that is killed anywhere and gone on with ends in the same catalog as an undisturbed one.

use std::sync::atomic::Ordering;

use ai_core::{FakeAnswer, LlmError, LlmErrorCode};
use mcp::ErrorCode;
use serde_json::json;

use super::super::{DiscoverOptions, Discovery, Facts, KeyOrigin};
use super::shop::{Ruled, SHOP, Shop, Watched, context, sensible};

fn shop() -> Shop {
    Shop::new(&[("shop", SHOP)])
}

fn facts(shop: &Shop) -> Facts {
    Facts::read(shop.tools.as_ref(), &context(), "shop", None, 100).unwrap()
}

fn options() -> DiscoverOptions {
    DiscoverOptions::new("shop", "fake")
}

#[test]
fn a_whole_discovery_fills_the_catalog_with_checked_records() {
    let shop = shop();
    let llm = Ruled::new(sensible);
    let outcome = Discovery::new(shop.tools.as_ref(), &llm, options()).run(&context(), &mut |_| {}).unwrap();
    assert_eq!((outcome.paused.as_deref(), outcome.resumed, outcome.unanswered), (None, false, 0));
    let facts = facts(&shop);
    assert!(facts.objects.iter().all(|o| o.summary.is_some()), "{facts:#?}");
    // The model claims 0.99 everywhere; the schema decides how much of it is believed.
    let confidence = |key: &str| {
        facts
            .objects
            .iter()
            .find(|o| o.object_key == key)
            .and_then(|o| o.summary.as_ref())
            .unwrap()
            .confidence
    };
    assert!((confidence("main.orders") - 0.85).abs() < 1e-9, "{}", confidence("main.orders"));
    assert!((confidence("main.big_orders") - 0.75).abs() < 1e-9, "{}", confidence("main.big_orders"));
    let found: Vec<_> = facts.keys.iter().filter(|k| k.origin == KeyOrigin::Llm).collect();
    assert_eq!(found.len(), 1, "{:#?}", facts.keys);
    assert_eq!(
        (found[0].child_columns[0].as_str(), found[0].parent.as_str()),
        ("billing_customer_id", "main.customers")
    );
    assert!((found[0].confidence - 0.8).abs() < 1e-9);
    assert_eq!(facts.domains.len(), 2);
    assert_eq!(facts.metrics.len(), 2, "{:#?}", facts.metrics);
    assert_eq!(facts.questions.len(), 2, "{:#?}", facts.questions);
    assert_eq!(facts.notes.len(), 3, "{:#?}", facts.notes);
    // Nothing has changed: a second discovery asks nothing.
    let again = Ruled::new(sensible);
    let outcome =
        Discovery::new(shop.tools.as_ref(), &again, options()).run(&context(), &mut |_| {}).unwrap();
    assert!(!outcome.resumed && outcome.paused.is_none());
    assert_eq!(again.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn killed_anywhere_and_gone_on_with_it_ends_alike() {
    let undisturbed = shop();
    let watched = Watched::new(&undisturbed.tools, u64::MAX);
    let llm = Ruled::new(sensible);
    Discovery::new(&watched, &llm, options()).run(&context(), &mut |_| {}).unwrap();
    let (wanted, calls) = (facts(&undisturbed), watched.count());
    let asked = llm.asked.load(Ordering::SeqCst);
    assert!(calls > 40, "{calls}");
    for kill_at in (3..calls).step_by(7) {
        let shop = shop();
        let llm = Ruled::new(sensible);
        let killed = Watched::new(&shop.tools, kill_at);
        let error = Discovery::new(&killed, &llm, options()).run(&context(), &mut |_| {}).unwrap_err();
        assert_eq!(error.code, ErrorCode::Internal, "{error}");
        let outcome =
            Discovery::new(shop.tools.as_ref(), &llm, options()).run(&context(), &mut |_| {}).unwrap();
        assert_eq!(outcome.paused, None);
        assert_eq!(facts(&shop), wanted, "killed at call {kill_at} of {calls}");
        // At most the one question whose answer was lost is asked again.
        assert!(llm.asked.load(Ordering::SeqCst) <= asked + 1, "killed at call {kill_at}");
    }
}

#[test]
fn a_spent_budget_pauses_and_a_larger_one_goes_on() {
    let shop = shop();
    let llm = Ruled::new(sensible);
    let mut options = options();
    options.budget.model_calls_max = 2;
    let paused =
        Discovery::new(shop.tools.as_ref(), &llm, options.clone()).run(&context(), &mut |_| {}).unwrap();
    assert!(paused.paused.as_deref().is_some_and(|p| p.contains("model calls")), "{paused:?}");
    assert_eq!(llm.asked.load(Ordering::SeqCst), 2);
    let same =
        Discovery::new(shop.tools.as_ref(), &llm, options.clone()).run(&context(), &mut |_| {}).unwrap();
    assert!(same.paused.is_some() && same.resumed);
    assert_eq!(llm.asked.load(Ordering::SeqCst), 2, "what was spent counts after a resume");
    options.budget.model_calls_max = 100;
    let done = Discovery::new(shop.tools.as_ref(), &llm, options).run(&context(), &mut |_| {}).unwrap();
    assert_eq!((done.paused, done.agent_run_id), (None, paused.agent_run_id));
    for (name, bound) in [("tokens", (100, 5.0, 1_000)), ("time", (1_000_000, 5.0, 0))] {
        let shop = self::shop();
        let mut options = self::options();
        (options.budget.tokens_max, options.budget.cost_usd_max, options.budget.time_ms_max) = bound;
        let llm = Ruled::new(sensible);
        let outcome =
            Discovery::new(shop.tools.as_ref(), &llm, options).run(&context(), &mut |_| {}).unwrap();
        assert!(outcome.paused.as_deref().is_some_and(|p| p.contains(name)), "{outcome:?}");
        assert_eq!(llm.asked.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn a_model_that_is_gone_pauses() {
    for (code, asked) in [(LlmErrorCode::ApiKeyInvalid, 1), (LlmErrorCode::ConnectionFailed, 3)] {
        let shop = shop();
        let llm = Ruled::new(move |_| FakeAnswer::Fail(LlmError::new(code, "no")));
        let outcome =
            Discovery::new(shop.tools.as_ref(), &llm, options()).run(&context(), &mut |_| {}).unwrap();
        assert!(outcome.paused.is_some());
        assert_eq!(llm.asked.load(Ordering::SeqCst), asked);
        assert!(facts(&shop).objects.iter().all(|o| o.summary.is_none()));
    }
}

#[test]
fn a_model_that_talks_nonsense_is_asked_to_the_end_and_leaves_nothing_behind() {
    let shop = shop();
    let llm = Ruled::new(|_| FakeAnswer::Text("I would rather talk about the weather.".to_owned()));
    let outcome = Discovery::new(shop.tools.as_ref(), &llm, options()).run(&context(), &mut |_| {}).unwrap();
    assert_eq!(outcome.paused, None);
    // Four objects, one batch of pairs and the domains, each with a second chance.
    assert_eq!((outcome.unanswered, llm.asked.load(Ordering::SeqCst)), (6, 12));
    let facts = facts(&shop);
    assert!(facts.objects.iter().all(|o| o.summary.is_none()));
    assert!(facts.metrics.is_empty() && facts.questions.is_empty() && facts.domains.is_empty());
    use mcp::ToolSet as _;
    let args = json!({"target_id": "shop"}).as_object().unwrap().clone();
    let runs = shop.tools.call(&context(), "agent.run_list", args).unwrap().structured_value().unwrap();
    assert_eq!(runs["agent_runs"][0]["status"], "failed");
}

#[test]
fn a_stable_summary_stays() {
    let shop = shop();
    let call = |tool: &str, args: serde_json::Value| {
        use mcp::ToolSet as _;
        let args = args.as_object().unwrap().clone();
        shop.tools.call(&context(), tool, args).unwrap().structured_value().unwrap()
    };
    let run = call("agent.run_start", json!({"model_name": "person", "target_id": "shop"}));
    call(
        "llm.summary_upsert",
        json!({"agent_run_id": run["agent_run_id"], "object_key": "main.orders", "confidence": 0.9, "status": "stable",
               "summary": {"hypothesis": "Written by a person."}}),
    );
    let llm = Ruled::new(sensible);
    Discovery::new(shop.tools.as_ref(), &llm, options()).run(&context(), &mut |_| {}).unwrap();
    let facts = facts(&shop);
    let orders = facts.objects.iter().find(|o| o.object_key == "main.orders").unwrap();
    assert_eq!(orders.summary.as_ref().unwrap().hypothesis, "Written by a person.");
}
