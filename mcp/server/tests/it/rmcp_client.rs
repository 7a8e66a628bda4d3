//! The official Rust SDK as a client, over stdio framing and over HTTP.

use mcp::ServerInfo;
use mcp_server::Server;
use rmcp::ServiceExt as _;
use rmcp::model::CallToolRequestParams;
use serde_json::json;

use crate::world::{PATH, World, endpoint};

fn add() -> CallToolRequestParams {
    let mut params = CallToolRequestParams::new("add");
    params.arguments = json!({"a": 20, "b": 22}).as_object().cloned();
    params
}

#[tokio::test]
async fn lists_and_calls_over_lines() {
    let endpoint = endpoint(PATH, &std::sync::Arc::default());
    let server = Server::builder(ServerInfo::new("test", "1")).endpoint(endpoint).build().unwrap();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let (input, output) = tokio::io::split(theirs);
        server.serve_lines(PATH, input, output).await
    });
    let client = ().serve(ours).await.unwrap();
    let tools = client.list_all_tools().await.unwrap();
    assert!(tools.iter().any(|t| t.name == "wipe"));
    let result = client.call_tool(add()).await.unwrap();
    assert_eq!(result.structured_content, Some(json!({"sum": 42})));
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn lists_and_calls_over_http() {
    // The SDK's HTTP library may be built without a crypto provider of its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let world = World::new();
    let url = format!("http://{}{PATH}", world.address);
    let transport = rmcp::transport::StreamableHttpClientTransport::from_uri(url);
    let client = ().serve(transport).await.unwrap();
    assert!(!client.list_all_tools().await.unwrap().is_empty());
    let result = client.call_tool(add()).await.unwrap();
    assert_eq!(result.structured_content, Some(json!({"sum": 42})));
    client.cancel().await.unwrap();
}
