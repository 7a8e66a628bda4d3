//! Tools that ask the client's side: forms, completions, roots, over several rounds; it does not know how questions travel.

use mcp::{Ask, CallContext, ToolOutput, ToolResult};
use serde_json::{Value, json};

use crate::tools::{Entry, argument, bare, text, with_texts};

/// The tools.
pub(crate) fn entries() -> Vec<Entry> {
    let mut all = legacy();
    all.extend(rounds());
    all
}

fn form(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

fn message(text: &str, tokens_max: u32) -> Value {
    json!({"messages": [{"role": "user", "content": {"type": "text", "text": text}}], "maxTokens": tokens_max})
}

pub(crate) fn ask_name(key: &str, question: &str) -> Ask {
    Ask::elicit(key, question, form(json!({"name": {"type": "string"}}), &["name"]))
}

fn ask_ok(key: &str) -> Ask {
    Ask::elicit(key, "Please confirm", form(json!({"ok": {"type": "boolean"}}), &["ok"]))
}

pub(crate) fn content<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer.pointer(&format!("/content/{field}")).and_then(Value::as_str).unwrap_or("nobody")
}

fn outcome(cx: &CallContext, question: &str, schema: Value) -> ToolResult<ToolOutput> {
    let answer = cx.ask(Ask::elicit("form", question, schema))?;
    let action = answer.get("action").and_then(Value::as_str).unwrap_or_default();
    let content = answer.get("content").cloned().unwrap_or_else(|| json!({}));
    text(format!("Elicitation completed: action={action}, content={content}"))
}

fn legacy() -> Vec<Entry> {
    vec![
        (with_texts("test_sampling", "Asks the client's model.", &["prompt"]), |cx, args| {
            let answer = cx.ask(Ask::sample("sampled", message(argument(args, "prompt"), 100)))?;
            let said = answer.pointer("/content/text").and_then(Value::as_str).unwrap_or_default();
            text(format!("LLM response: {said}"))
        }),
        (with_texts("test_elicitation", "Asks the user.", &["message"]), |cx, args| {
            let user = json!({"type": "string", "description": "User's response"});
            let email = json!({"type": "string", "description": "User's email address"});
            let schema = form(json!({"username": user, "email": email}), &["username", "email"]);
            let answer = cx.ask(Ask::elicit("user", argument(args, "message"), schema))?;
            text(format!("User response: {answer}"))
        }),
        (bare("test_elicitation_sep1034_defaults", "Asks with default values."), |cx, _| {
            let schema = json!({"type": "object", "properties": {
                "name": {"type": "string", "default": "John Doe"},
                "age": {"type": "integer", "default": 30},
                "score": {"type": "number", "default": 95.5},
                "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
                "verified": {"type": "boolean", "default": true},
            }});
            outcome(cx, "Please review the defaults", schema)
        }),
        (bare("test_elicitation_sep1330_enums", "Asks with every kind of choice."), |cx, _| {
            outcome(cx, "Please choose", choices())
        }),
        (bare("test_missing_capability", "Needs a client that can sample."), |cx, _| {
            cx.require_capability("sampling")?;
            text("The client can sample")
        }),
        (bare("test_streaming_elicitation", "Asks where an event stream could carry it."), |cx, _| {
            let answer = cx.ask(ask_name("user_name", "What is your name?"))?;
            text(format!("Hello, {}!", content(&answer, "name")))
        }),
    ]
}

fn choices() -> Value {
    let titled = |names: [(&str, &str); 3]| {
        Value::Array(names.map(|(value, title)| json!({"const": value, "title": title})).to_vec())
    };
    let plain = json!(["option1", "option2", "option3"]);
    json!({"type": "object", "properties": {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string",
            "oneOf": titled([("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option")])},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {
            "anyOf": titled([("value1", "First Choice"), ("value2", "Second Choice"), ("value3", "Third Choice")])}},
    }})
}

fn rounds() -> Vec<Entry> {
    let tool = |name: &str, what: &str| bare(&format!("test_input_required_result_{name}"), what);
    vec![
        (tool("elicitation", "Asks for a name."), |cx, _| {
            let answer = cx.ask(ask_name("user_name", "What is your name?"))?;
            text(format!("Hello, {}!", content(&answer, "name")))
        }),
        (tool("sampling", "Asks the client's model for a capital."), |cx, _| {
            let answer =
                cx.ask(Ask::sample("capital_question", message("What is the capital of France?", 100)))?;
            text(answer.pointer("/content/text").and_then(Value::as_str).unwrap_or_default())
        }),
        (tool("list_roots", "Asks for roots."), |cx, _| {
            let answer = cx.ask(Ask::roots("client_roots"))?;
            text(format!("Roots: {}", answer["roots"]))
        }),
        (tool("request_state", "Carries state between rounds."), |cx, _| {
            cx.client.remember(json!({"round": 1}));
            cx.ask(ask_ok("confirm"))?;
            text(if cx.client.recall() == Some(json!({"round": 1})) { "state-ok" } else { "state-lost" })
        }),
        (tool("multiple_inputs", "Asks three things at once."), |cx, _| {
            let answers = cx.ask_all(&[
                ask_name("user_name", "What is your name?"),
                Ask::sample("greeting", message("Generate a greeting", 50)),
                Ask::roots("client_roots"),
            ])?;
            text(format!("Got {} answers", answers.len()))
        }),
        (tool("multi_round", "Asks twice, one after the other."), |cx, _| {
            let first = cx.ask(ask_name("step1", "Step 1: What is your name?"))?;
            let schema = form(json!({"color": {"type": "string"}}), &["color"]);
            let second = cx.ask(Ask::elicit("step2", "Step 2: What is your favorite color?", schema))?;
            text(format!("{} likes {}", content(&first, "name"), content(&second, "color")))
        }),
        (tool("tampered_state", "Refuses state that it did not make."), |cx, _| {
            cx.ask(ask_ok("confirm"))?;
            text("Confirmed")
        }),
        (tool("capabilities", "Asks only what the client can answer."), |cx, _| capable(cx)),
    ]
}

fn capable(cx: &CallContext) -> ToolResult<ToolOutput> {
    let capabilities = cx.client.capabilities();
    let mut asks = vec![
        ask_name("user_name", "What is your name?"),
        Ask::sample("greeting", message("Generate a greeting", 50)),
        Ask::roots("client_roots"),
    ];
    asks.retain(|ask| ask.is_possible(&capabilities));
    let answers = if asks.is_empty() { Vec::new() } else { cx.ask_all(&asks)? };
    text(format!("Got {} answers", answers.len()))
}
