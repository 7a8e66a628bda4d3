//! Sessions of legacy clients: their life, their streams, questions to the client.

use std::sync::atomic::Ordering;

use mcp::{Endpoint, Scope};
use mcp_server::ServerConfig;
use serde_json::{Value, json};

use crate::client::Ask;
use crate::world::{PATH, World, endpoint};

fn legacy(world: &World, session: &str, method: &str, params: Value) -> Ask {
    Ask::legacy(world.address, PATH, session, method, params)
}

fn get(world: &World, session: &str) -> Ask {
    let ask = Ask::post(world.address, PATH, "").method("GET").without("Content-Type");
    ask.with("Accept", "text/event-stream").with("Mcp-Session-Id", session)
}

#[test]
fn sessions_begin_and_end() {
    let world = World::new();
    let session = world.session(json!({}));
    let list = legacy(&world, &session, "tools/list", json!({}));
    assert_eq!(list.send().status, 200);
    assert_eq!(list.clone().without("Mcp-Session-Id").send().status, 400);
    assert_eq!(list.clone().with("Mcp-Session-Id", "nope").send().status, 404);
    assert_eq!(get(&world, &session).method("DELETE").send().status, 204);
    assert_eq!(list.send().status, 404);
    assert_eq!(get(&world, &session).method("DELETE").send().status, 404);
}

#[test]
fn without_sessions_only_post_is_offered() {
    let world = World::new();
    let plain: Endpoint = endpoint("/mcp/plain", &world.watch).with_sessions(false);
    world.running.server().add_endpoint(plain);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}});
    let answer = Ask::post(world.address, "/mcp/plain", body.to_string()).send();
    assert_eq!((answer.status, answer.header("mcp-session-id")), (200, None));
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    assert_eq!(Ask::post(world.address, "/mcp/plain", list.clone()).send().status, 200);
    let get = Ask::post(world.address, "/mcp/plain", "").method("GET").with("Accept", "text/event-stream");
    assert_eq!((get.send().status, get.method("DELETE").send().status), (405, 405));
}

#[test]
fn questions_go_to_the_client_and_its_answers_come_back() {
    let world = World::new();
    let session = world.session(json!({"elicitation": {}}));
    let mut stream = legacy(&world, &session, "tools/call", json!({"name": "ask", "arguments": {}})).open();
    let question = stream.message().unwrap();
    assert_eq!(question["method"], "elicitation/create");
    let answer = json!({"jsonrpc": "2.0", "id": question["id"],
                        "result": {"action": "accept", "content": {"name": "Ada"}}});
    let ask = Ask::post(world.address, PATH, answer.to_string()).with("Mcp-Session-Id", &session);
    assert_eq!(ask.send().status, 202);
    assert_eq!(stream.message().unwrap()["result"]["structuredContent"], json!({"hello": "Ada"}));
    assert!(stream.message().is_none());
    let blind = world.session(json!({}));
    let refused = legacy(&world, &blind, "tools/call", json!({"name": "ask", "arguments": {}})).send().json();
    assert_eq!(refused["result"]["structuredContent"]["error"]["code"], "FAILED_PRECONDITION");
}

#[test]
fn a_cancellation_stops_the_call_it_names() {
    let world = World::new();
    let session = world.session(json!({}));
    let _stream = legacy(&world, &session, "tools/call", json!({"name": "wait", "arguments": {}})).open();
    world.watch.until("the call runs", |w| w.running.load(Ordering::SeqCst) == 1);
    let body = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    Ask::post(world.address, PATH, body.to_string()).with("Mcp-Session-Id", &session).send();
    world.watch.until("the call is cancelled", |w| w.cancelled.load(Ordering::SeqCst));
}

#[test]
fn a_stream_that_the_server_cut_is_resumed() {
    let world = World::new();
    let session = world.session(json!({}));
    let mut stream = legacy(&world, &session, "tools/call", json!({"name": "cut", "arguments": {}})).open();
    let (id, data) = stream.event().unwrap();
    assert_eq!(data, "", "the first event is only there to be resumed from");
    assert!(stream.event().is_none(), "the server ended the stream");
    let mut rest = get(&world, &session).with("Last-Event-ID", &id.unwrap()).open();
    world.watch.release.store(true, Ordering::SeqCst);
    assert_eq!(rest.message().unwrap()["result"]["structuredContent"], json!({"waited": true}));
    assert!(rest.message().is_none());
    assert_eq!(get(&world, &session).with("Last-Event-ID", "99-0").send().status, 400);
}

#[test]
fn a_client_that_leaves_for_good_cancels_its_call() {
    let mut config = ServerConfig::default();
    config.resume_grace_ms = 1;
    config.stream_after_ms = 1;
    let world = World::with(config, |b| b.anonymous(Scope::Full));
    let session = world.session(json!({}));
    let mut stream = legacy(&world, &session, "tools/call", json!({"name": "wait", "arguments": {}})).open();
    stream.event();
    drop(stream);
    world.watch.until("the call is cancelled", |w| w.cancelled.load(Ordering::SeqCst));
}

#[test]
fn changes_reach_the_standalone_stream() {
    let world = World::new();
    let session = world.session(json!({}));
    assert_eq!(legacy(&world, &session, "resources/subscribe", json!({"uri": "doc://a"})).send().code(), 0);
    let mut stream = get(&world, &session).open();
    stream.event();
    legacy(&world, &session, "tools/call", json!({"name": "change", "arguments": {}})).send();
    assert_eq!(stream.message().unwrap()["method"], "notifications/tools/list_changed");
    assert_eq!(stream.message().unwrap()["params"]["uri"], "doc://a");
    assert_eq!(legacy(&world, &session, "resources/unsubscribe", json!({"uri": "doc://a"})).send().code(), 0);
    get(&world, &session).method("DELETE").send();
    assert!(stream.message().is_none(), "the stream ends with its session");
}

#[test]
fn log_levels_hold_for_the_session() {
    let world = World::new();
    let session = world.session(json!({}));
    let call = legacy(&world, &session, "tools/call", json!({"name": "steps", "arguments": {}}));
    assert!(call.send().body.contains("notifications/message"));
    assert_eq!(legacy(&world, &session, "logging/setLevel", json!({"level": "error"})).send().code(), 0);
    assert!(!call.send().body.contains("notifications/message"));
    assert_eq!(legacy(&world, &session, "logging/setLevel", json!({"level": "loud"})).send().code(), -32602);
}

#[test]
fn many_idle_sessions_are_bounded() {
    let mut config = ServerConfig::default();
    config.sessions_max = 20;
    let world = World::with(config, |b| b.anonymous(Scope::Full));
    let first = world.session(json!({}));
    for _ in 0..100 {
        world.session(json!({}));
    }
    assert_eq!(world.running.server().sessions(), 20);
    assert_eq!(legacy(&world, &first, "ping", json!({})).send().status, 404);
}
