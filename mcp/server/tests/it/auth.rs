//! Tokens: who is let in, what they see, how often they may ask.

use std::sync::Arc;

use mcp::Scope;
use mcp_server::{ServerConfig, TokenRecord, TokenTable, hash_token};
use serde_json::{Value, json};

use crate::client::{Answer, Ask};
use crate::world::{PATH, World, endpoint};

fn record(endpoint: &str, name: &str, token: &str, scope: Scope) -> TokenRecord {
    TokenRecord::new(endpoint, name, hash_token(token).unwrap(), scope)
}

fn world(config: ServerConfig, records: Vec<TokenRecord>) -> (World, Arc<TokenTable>) {
    let tokens = Arc::new(TokenTable::new());
    tokens.replace(records);
    let auth = Arc::clone(&tokens);
    (World::with(config, move |b| b.authenticator(auth)), tokens)
}

fn call(world: &World, path: &str, token: &str, name: &str) -> Answer {
    let params = json!({"name": name, "arguments": {}});
    Ask::modern(world.address, path, "tools/call", params)
        .with("Authorization", &format!("Bearer {token}"))
        .send()
}

#[test]
fn every_cause_gets_the_same_401() {
    let mut old = record(PATH, "old", "old-token-1234567", Scope::Full);
    old.expires_at_s = Some(1);
    let other = record("/mcp/other", "other", "other-token-12345", Scope::Full);
    let (world, tokens) = world(
        ServerConfig::default(),
        vec![record(PATH, "one", "token-one-1234567", Scope::Full), old, other],
    );
    world.running.server().add_endpoint(endpoint("/mcp/other", &world.watch));
    let list = Ask::modern(world.address, PATH, "tools/list", json!({}));
    let refusals = [
        list.clone(),
        list.clone().with("Authorization", "Bearer wrong"),
        list.clone().with("Authorization", "Bearer old-token-1234567"),
        list.clone().with("Authorization", "Bearer other-token-12345"),
        list.clone().with("Authorization", "Basic token-one-1234567"),
        Ask { path: format!("{PATH}?token=token-one-1234567"), ..list.clone() },
    ]
    .map(|ask| ask.send());
    for answer in &refusals {
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
        assert_eq!(answer.body, refusals[0].body);
    }
    assert_eq!(list.clone().with("Authorization", "bearer token-one-1234567").send().status, 200);
    tokens.replace(Vec::new());
    assert_eq!(list.with("Authorization", "Bearer token-one-1234567").send().status, 401);
}

#[test]
fn scopes_hide_and_refuse() {
    let records = vec![
        record(PATH, "reader", "token-read-12345", Scope::Read),
        record(PATH, "writer", "token-write-1234", Scope::Write),
    ];
    let (world, _) = world(ServerConfig::default(), records);
    for token in ["token-read-12345", "token-write-1234"] {
        let refused = call(&world, PATH, token, "wipe").json();
        assert_eq!(refused["result"]["structuredContent"]["error"]["code"], "PERMISSION_DENIED");
        let list = Ask::modern(world.address, PATH, "tools/list", json!({}));
        let tools =
            list.with("Authorization", &format!("Bearer {token}")).send().json()["result"]["tools"].clone();
        let names: Vec<Value> = tools.as_array().unwrap().iter().map(|t| t["name"].clone()).collect();
        assert!(!names.contains(&json!("wipe")));
        assert_eq!(names.contains(&json!("change")), token == "token-write-1234");
    }
    assert_eq!(call(&world, "/mcp/test/readonly", "token-write-1234", "change").code(), -32602);
}

#[test]
fn the_caller_is_known_to_tools() {
    let mut one = record(PATH, "one", "token-one-1234567", Scope::Full);
    one.targets = Some(vec!["a".into()]);
    let (world, _) = world(ServerConfig::default(), vec![one]);
    call(&world, PATH, "token-one-1234567", "change");
    let callers = world.watch.callers.lock().unwrap();
    assert_eq!(callers[0].token_name, "one");
    assert_eq!((callers[0].address.as_str(), callers[0].sees_target("b")), ("127.0.0.1", false));
}

#[test]
fn rates_and_lock_out() {
    let mut one = record(PATH, "one", "token-one-1234567", Scope::Full);
    one.rate_limit_per_min = Some(2);
    let mut config = ServerConfig::default();
    config.auth_failures_per_min_max = 3;
    let (world, _) = world(config, vec![one]);
    let statuses: Vec<u16> =
        (0..3).map(|_| call(&world, PATH, "token-one-1234567", "change").status).collect();
    assert_eq!(statuses, [200, 200, 429]);
    assert!(call(&world, PATH, "token-one-1234567", "change").header("retry-after").is_some());
    let statuses: Vec<u16> = (0..4).map(|_| call(&world, PATH, "wrong", "change").status).collect();
    assert_eq!(statuses, [401, 401, 401, 429]);
}

#[test]
fn without_an_authenticator_nobody_is_let_in() {
    let world = World::with(ServerConfig::default(), |b| b);
    assert_eq!(Ask::modern(world.address, PATH, "tools/list", json!({})).send().status, 401);
}
