//! The transport table: paths, methods, media types, envelopes, versions, headers.

use serde_json::{Value, json};

use crate::client::Ask;
use crate::world::{PATH, World};

fn raw(world: &World, body: &str) -> crate::client::Answer {
    Ask::post(world.address, PATH, body).with("MCP-Protocol-Version", "2025-11-25").send()
}

#[test]
fn paths_and_methods() {
    let world = World::new();
    let list = |path: &str| Ask::modern(world.address, path, "tools/list", json!({})).send();
    assert_eq!(list(PATH).status, 200);
    assert_eq!(list("/mcp/nope").status, 404);
    assert_eq!(list("/").status, 404);
    let names = |path: &str| {
        let tools = list(path).json()["result"]["tools"].clone();
        tools.as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("/mcp/test/math"), ["add"]);
    assert!(!names("/mcp/test/readonly").contains(&"wipe".to_owned()));
    assert_eq!(list("/mcp/test/nope").status, 404);
    assert_eq!(Ask::post(world.address, PATH, "").method("PUT").send().status, 405);
}

#[test]
fn media_types() {
    let world = World::new();
    let ask = Ask::modern(world.address, PATH, "tools/list", json!({}));
    assert_eq!(ask.clone().with("Content-Type", "text/plain").send().status, 415);
    assert_eq!(ask.clone().without("Content-Type").send().status, 415);
    assert_eq!(ask.clone().with("Content-Type", "application/json; charset=utf-8").send().status, 200);
    assert_eq!(ask.clone().with("Accept", "text/html").send().status, 406);
    assert_eq!(ask.clone().without("Accept").send().status, 200);
    let events = ask.clone().with("Accept", "text/event-stream").send();
    assert_eq!(events.header("content-type"), Some("text/event-stream"));
    assert!(events.json()["result"]["tools"].is_array());
    assert_eq!(ask.send().header("content-type"), Some("application/json"));
}

#[test]
fn envelopes() {
    let world = World::new();
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        ("[]", -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
        (r#"{"id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
    ] {
        let answer = raw(&world, body);
        assert_eq!((answer.status, answer.code()), (400, code), "{body}");
        assert!(!answer.body.contains("\"id\":null"), "{body}");
    }
}

#[test]
fn ids_come_back_as_they_were() {
    let world = World::new();
    let session = world.session(json!({}));
    for id in ["-1", "1.0", "0", "\"\"", "\"x\\u0041\"", "12345678901234567890123"] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        let answer = Ask::post(world.address, PATH, body).with("Mcp-Session-Id", &session).send();
        assert_eq!(answer.body, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"nope"}}"#);
        let answer = Ask::post(world.address, PATH, body).with("Mcp-Session-Id", &session).send();
        assert!(
            answer.body.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error""#)),
            "{}",
            answer.body
        );
    }
}

#[test]
fn notifications_get_no_answer() {
    let world = World::new();
    let session = world.session(json!({}));
    let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let answer = Ask::post(world.address, PATH, body).with("Mcp-Session-Id", &session).send();
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
}

#[test]
fn modern_requests_need_their_meta_and_headers() {
    let world = World::new();
    let call = || {
        Ask::modern(world.address, PATH, "tools/call", json!({"name": "add", "arguments": {"a": 1, "b": 2}}))
    };
    let outcome = |ask: Ask| {
        let answer = ask.send();
        (answer.status, answer.code())
    };
    assert_eq!(outcome(call()), (200, 0));
    for header in ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"] {
        assert_eq!(outcome(call().without(header)), (400, -32020), "{header}");
        assert_eq!(outcome(call().with(header, "other")), (400, -32020), "{header}");
    }
    assert_eq!(outcome(call().with("Mcp-Name", "=?base64?YWRk?=")), (200, 0));
    assert_eq!(outcome(call().with("Mcp-Name", "=?base64?YWRk")), (400, -32020));
    let bare = json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {}}).to_string();
    assert_eq!(outcome(Ask::post(world.address, PATH, bare)), (400, -32602));
    let odd = json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "v9", "io.modelcontextprotocol/clientCapabilities": {}}}});
    let ask = Ask::post(world.address, PATH, odd.to_string()).with("MCP-Protocol-Version", "v9");
    let answer = ask.with("Mcp-Method", "server/discover").send();
    assert_eq!((answer.status, answer.code()), (400, -32022));
    assert_eq!(answer.json()["error"]["data"], json!({"supported": ["2026-07-28"], "requested": "v9"}));
    for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "nope"] {
        let ask = Ask::modern(world.address, PATH, method, json!({"protocolVersion": "2026-07-28"}));
        assert_eq!(outcome(ask), (404, -32601), "{method}");
    }
}

#[test]
fn mirrored_arguments() {
    let world = World::new();
    let call = |arguments: Value| {
        Ask::modern(world.address, PATH, "tools/call", json!({"name": "header", "arguments": arguments}))
    };
    assert_eq!(call(json!({"region": "eu"})).send().code(), -32020);
    assert_eq!(call(json!({"region": "eu"})).with("Mcp-Param-Region", "eu").send().code(), 0);
    assert_eq!(call(json!({"region": "eu"})).with("Mcp-Param-Region", "us").send().code(), -32020);
    assert_eq!(call(json!({})).with("Mcp-Param-Region", "us").send().code(), -32020);
    assert_eq!(call(json!({})).send().code(), 0);
}

#[test]
fn legacy_versions_are_negotiated_and_never_refused() {
    let world = World::new();
    for (asked, got) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": {"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
        let ask = Ask::post(world.address, PATH, body.to_string()).with("MCP-Protocol-Version", asked);
        assert_eq!(ask.send().json()["result"]["protocolVersion"], got, "{asked}");
    }
    let session = world.session(json!({}));
    let list = Ask::legacy(world.address, PATH, &session, "tools/list", json!({}));
    assert_eq!(list.with("MCP-Protocol-Version", "1999-01-01").send().status, 400);
}

#[test]
fn tool_calls_that_cannot_be_made() {
    let world = World::new();
    let code = |params: Value| Ask::modern(world.address, PATH, "tools/call", params).send().code();
    assert_eq!(code(json!({"name": "nope"})), -32602);
    assert_eq!(code(json!({"arguments": {}})), -32602);
    assert_eq!(code(json!({"name": "add", "arguments": []})), -32602);
    let refused =
        Ask::modern(world.address, PATH, "tools/call", json!({"name": "add", "arguments": {"a": "x"}}))
            .send();
    let error = refused.json()["result"]["structuredContent"]["error"].clone();
    assert_eq!(
        (error["code"].as_str(), error["details"]["argument"].as_str()),
        (Some("INVALID_ARGUMENT"), Some("b"))
    );
    assert_eq!(code(json!({"name": "add", "arguments": {"a": "1", "b": 2}})), 0);
}

#[test]
fn hosts_and_origins() {
    let mut config = mcp_server::ServerConfig::default();
    config.allowed_origins = vec!["https://good.example".into()];
    let world = World::with(config, |b| b.anonymous(mcp::Scope::Full));
    let list = || Ask::modern(world.address, PATH, "tools/list", json!({}));
    assert_eq!(list().with("Host", "evil.example.com").send().status, 403);
    assert_eq!(list().without("Host").send().status, 403);
    assert_eq!(list().with("Origin", "https://evil.example").send().status, 403);
    let good = list().with("Origin", "https://good.example").send();
    assert_eq!(
        (good.status, good.header("access-control-allow-origin")),
        (200, Some("https://good.example"))
    );
    let ask = list().with("Origin", "https://good.example").method("OPTIONS").send();
    assert_eq!((ask.status, ask.header("access-control-allow-origin")), (204, Some("https://good.example")));
    let bad = list().with("Origin", "https://evil.example").method("OPTIONS").send();
    assert_eq!((bad.status, bad.header("access-control-allow-origin")), (403, None));
}
