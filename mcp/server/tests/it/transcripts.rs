//! What goes over the wire in each era, as snapshots: the contract that clients rely on.

use serde_json::{Value, json};

use crate::client::{Answer, Ask};
use crate::world::{PATH, World};

fn shown(answer: &Answer) -> Value {
    let headers: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| {
            !["date", "content-length", "transfer-encoding", "mcp-session-id"].contains(&name.as_str())
        })
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let body = serde_json::from_str(&answer.body).unwrap_or_else(|_| json!(answer.body));
    json!({"status": answer.status, "headers": headers, "body": body})
}

#[test]
fn modern() {
    let world = World::new();
    let requests = [
        ("server/discover", json!({})),
        ("tools/call", json!({"name": "add", "arguments": {"a": 1, "b": 2}})),
        ("tools/call", json!({"name": "add", "arguments": {"a": 1}})),
        ("tools/call", json!({"name": "steps", "_meta": {"progressToken": "t"}})),
        ("tools/call", json!({"name": "ask"})),
        ("resources/list", json!({})),
        ("resources/read", json!({"uri": "doc://a"})),
        ("resources/read", json!({"uri": "doc://b"})),
        ("nope", json!({})),
    ];
    let answers: Vec<Value> = requests
        .into_iter()
        .map(|(method, params)| {
            let answer = Ask::modern(world.address, PATH, method, params.clone()).send();
            json!({"request": [method, params], "answer": shown(&answer)})
        })
        .collect();
    insta::assert_json_snapshot!(answers);
}

#[test]
fn legacy() {
    let world = World::new();
    let session = world.session(json!({}));
    let requests = [
        ("ping", json!({})),
        ("tools/call", json!({"name": "add", "arguments": {"a": 1, "b": 2}})),
        ("tools/call", json!({"name": "steps", "arguments": {}, "_meta": {"progressToken": "t"}})),
        ("tools/call", json!({"name": "ask", "arguments": {}})),
        ("resources/read", json!({"uri": "doc://b"})),
        ("subscriptions/listen", json!({"notifications": {}})),
        ("nope", json!({})),
    ];
    let answers: Vec<Value> = requests
        .into_iter()
        .map(|(method, params)| {
            let answer = Ask::legacy(world.address, PATH, &session, method, params.clone()).send();
            json!({"request": [method, params], "answer": shown(&answer)})
        })
        .collect();
    insta::assert_json_snapshot!(answers);
}
