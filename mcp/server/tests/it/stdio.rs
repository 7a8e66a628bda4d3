//! The stdio transport over a pair of in-memory streams.

use mcp::{Endpoint, ServerInfo};
use mcp_server::{Server, ServerConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines};

use crate::world::{PATH, endpoint};

struct Talk {
    input: DuplexStream,
    lines: Lines<BufReader<DuplexStream>>,
    serving: tokio::task::JoinHandle<Result<(), mcp_server::ServerError>>,
}

impl Talk {
    fn new() -> Self {
        let endpoint: Endpoint = endpoint(PATH, &std::sync::Arc::default());
        let mut config = ServerConfig::default();
        config.body_bytes_max = 4096;
        let server =
            Server::builder(ServerInfo::new("test", "1")).config(config).endpoint(endpoint).build().unwrap();
        let (input, theirs) = tokio::io::duplex(1 << 16);
        let (output, ours) = tokio::io::duplex(1 << 16);
        let serving = tokio::spawn(async move { server.serve_lines(PATH, theirs, output).await });
        Self { input, lines: BufReader::new(ours).lines(), serving }
    }

    async fn say(&mut self, text: &str) {
        self.input.write_all(format!("{text}\n").as_bytes()).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        serde_json::from_str(&self.lines.next_line().await.unwrap().unwrap()).unwrap()
    }

    async fn ask(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()).await;
        self.hear().await
    }

    async fn hello(&mut self, capabilities: Value) {
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": capabilities,
                            "clientInfo": {"name": "t", "version": "1"}});
        assert_eq!(self.ask(0, "initialize", params).await["result"]["protocolVersion"], "2025-06-18");
        self.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    }
}

fn modern(mut params: Value) -> Value {
    params["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
                             "io.modelcontextprotocol/clientCapabilities": {}});
    params
}

#[tokio::test]
async fn both_eras_are_served_and_the_end_of_input_is_the_end() {
    let mut talk = Talk::new();
    let call = json!({"name": "add", "arguments": {"a": 1, "b": 2}});
    let answer = talk.ask(1, "tools/call", modern(call.clone())).await;
    assert_eq!(answer["result"]["structuredContent"], json!({"sum": 3}));
    talk.hello(json!({})).await;
    assert_eq!(talk.ask(2, "tools/call", call).await["result"]["structuredContent"], json!({"sum": 3}));
    assert_eq!(talk.ask(3, "ping", json!({})).await["result"], json!({}));
    assert_eq!(talk.ask(4, "nope", json!({})).await["error"]["code"], -32601);
    let Talk { input, serving, .. } = talk;
    drop(input);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_no_message_is_answered_and_survived() {
    let mut talk = Talk::new();
    for (line, code) in [("{", -32700), ("[]", -32600), ("\u{1}", -32700)] {
        talk.say(line).await;
        assert_eq!(talk.hear().await["error"]["code"], code);
    }
    talk.say(&"x".repeat(10_000)).await;
    assert_eq!(talk.hear().await["error"]["code"], -32600);
    talk.say("").await;
    talk.say("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r").await;
    assert_eq!(talk.hear().await["id"], 1);
}

#[tokio::test]
async fn questions_and_progress_share_the_channel() {
    let mut talk = Talk::new();
    talk.hello(json!({"elicitation": {}})).await;
    let question = talk.ask(1, "tools/call", json!({"name": "ask", "arguments": {}})).await;
    assert_eq!(question["method"], "elicitation/create");
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"name": "Ada"}}});
    talk.say(&answer.to_string()).await;
    assert_eq!(talk.hear().await["result"]["structuredContent"], json!({"hello": "Ada"}));
    let first = talk.ask(2, "tools/call", json!({"name": "steps", "_meta": {"progressToken": "p"}})).await;
    assert_eq!(first["params"]["progressToken"], "p");
}

#[tokio::test]
async fn a_cancellation_stops_a_call_and_a_stream() {
    let mut talk = Talk::new();
    talk.say(&json!({"jsonrpc": "2.0", "id": "w", "method": "tools/call", "params": modern(json!({"name": "wait"}))}).to_string())
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let cancel = |id: Value| json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
    talk.say(&cancel(json!("w")).to_string()).await;
    assert_eq!(talk.hear().await["id"], "w");
    let listen = modern(json!({"notifications": {"toolsListChanged": true}}));
    let first = talk.ask(7, "subscriptions/listen", listen).await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    let changed = talk.ask(8, "tools/call", modern(json!({"name": "change"}))).await;
    let second = talk.hear().await;
    let both = [changed["method"].clone(), second["method"].clone()];
    assert!(both.contains(&json!("notifications/tools/list_changed")));
    talk.say(&cancel(json!(7)).to_string()).await;
    let last = talk.hear().await;
    assert_eq!((last["id"].clone(), last["result"]["resultType"].clone()), (json!(7), json!("complete")));
}
