//! Transcripts of an endpoint in each era, as snapshots: the contract that clients see.

use super::*;
use crate::content::{Content, ResourceContents};
use crate::endpoint::HandlerSet;
use crate::error::{ToolError, ToolResult};
use crate::handler::{Handlers, Tool};
use crate::prompt::*;
use crate::resource::*;
use crate::spec::ToolAnnotations;
use crate::version::ProtocolVersion;

struct Add;

#[derive(serde::Deserialize)]
struct AddArgs {
    a: i64,
    b: i64,
}

#[derive(serde::Serialize)]
struct Sum {
    sum: i64,
}

impl Tool for Add {
    type Args = AddArgs;
    type Output = Sum;
    fn spec(&self) -> ToolSpec {
        let schema =
            json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}});
        ToolSpec::new("add", "Adds two integers.", schema, ToolAnnotations::READ)
            .with_output(json!({"type": "object", "properties": {"sum": {"type": "integer"}}}))
            .with_toolset("math")
    }
    fn call(&self, _: &CallContext, args: AddArgs) -> ToolResult<Sum> {
        let sum = args.a.checked_add(args.b).ok_or_else(|| ToolError::limit("the sum is too large"))?;
        Ok(Sum { sum })
    }
}

struct Wipe;

impl Tool for Wipe {
    type Args = Map<String, Value>;
    type Output = Value;
    fn spec(&self) -> ToolSpec {
        ToolSpec::new("wipe", "Wipes.", json!({"type": "object"}), ToolAnnotations::DESTRUCTIVE)
    }
    fn call(&self, cx: &CallContext, _: Self::Args) -> ToolResult<Value> {
        match cx.confirm("sure", "Wipe everything?")? {
            Some(true) => Ok(json!({"wiped": true})),
            Some(false) => Err(ToolError::precondition("the user declined")),
            None => Err(ToolError::precondition("confirm is missing")),
        }
    }
}

struct Documents;

impl ResourceProvider for Documents {
    fn list(&self, _: &CallContext, _: Option<&str>) -> ToolResult<ResourcePage> {
        Ok(ResourcePage::new(vec![Resource::new("doc://a", "a")], None))
    }
    fn read(&self, _: &CallContext, uri: &str) -> ToolResult<Vec<ResourceContents>> {
        if uri != "doc://a" {
            return Err(ToolError::not_found("resource", uri));
        }
        Ok(vec![ResourceContents::text(uri, "text/plain", "A")])
    }
}

impl PromptProvider for Documents {
    fn list(&self, _: &CallContext) -> Vec<Prompt> {
        vec![Prompt::new("greet", "Greets.").with_argument(PromptArgument::new("who", "Whom.", true))]
    }
    fn get(&self, _: &CallContext, _: &str, arguments: &Map<String, Value>) -> ToolResult<PromptOutput> {
        Ok(PromptOutput::new(vec![PromptMessage::user(Content::text(format!("Hello {}", arguments["who"])))]))
    }
}

impl Completer for Documents {
    fn complete(&self, _: &CallContext, request: &CompletionRequest) -> ToolResult<Completion> {
        Ok(Completion::new((0..150).map(|n| format!("{}{n}", request.value)).collect()))
    }
}

fn endpoint() -> Endpoint {
    let tools = HandlerSet::new(Handlers::new().with(Add).with(Wipe));
    let documents = Arc::new(Documents);
    Endpoint::new("/mcp/x", Arc::new(tools))
        .with_instructions("Adds and wipes.")
        .with_resources(documents.clone())
        .with_prompts(documents.clone())
        .with_completer(documents)
}

fn tour(client: &TestClient, hello: (&str, Value)) -> Vec<Value> {
    let _ = client.request(hello.0, hello.1);
    let _ = client.request("ping", json!({}));
    let _ = client.request("tools/list", json!({}));
    let _ = client.request("tools/list", json!({"cursor": "x"}));
    let _ = client.request("tools/describe", json!({"name": "add"}));
    let _ = client.call("add", json!({"a": 1, "b": 2}));
    let _ = client.call("add", json!({"a": 1}));
    let _ = client.call("nope", json!({}));
    let _ = client.request("tools/call", json!({"name": "add", "arguments": 7}));
    let _ = client.request("resources/list", json!({}));
    let _ = client.request("resources/templates/list", json!({}));
    let _ = client.request("resources/read", json!({"uri": "doc://a"}));
    let _ = client.request("resources/read", json!({"uri": "doc://a/../b"}));
    let _ = client.request("prompts/list", json!({}));
    let _ = client.request("prompts/get", json!({"name": "greet", "arguments": {"who": "you"}}));
    let _ = client.request("prompts/get", json!({"name": "greet"}));
    let _ = client.request("nope/nope", json!({}));
    client.transcript()
}

#[test]
fn modern_transcript() {
    let client = TestClient::new(endpoint());
    insta::assert_json_snapshot!(tour(&client, ("server/discover", json!({}))));
}

#[test]
fn legacy_transcripts() {
    for version in ["2025-11-25", "2025-03-26"] {
        let era = Era::Legacy(ProtocolVersion::parse(version).unwrap());
        let client = TestClient::new(endpoint()).with_era(era);
        let hello = ("initialize", json!({"protocolVersion": version, "capabilities": {}}));
        insta::assert_json_snapshot!(format!("legacy_{version}"), tour(&client, hello));
    }
}

#[test]
fn destructive_work_asks_where_the_client_can_show_a_form() {
    let client = TestClient::new(endpoint()).with_capabilities(json!({"elicitation": {}}));
    let asked = client.request("tools/call", json!({"name": "wipe"})).unwrap();
    assert_eq!(asked["resultType"], "input_required");
    let answer = |yes: bool| {
        json!({"name": "wipe", "requestState": asked["requestState"],
               "inputResponses": {"sure": {"action": "accept", "content": {"confirm": yes}}}})
    };
    assert_eq!(client.request("tools/call", answer(true)).unwrap()["structuredContent"]["wiped"], true);
    assert_eq!(client.request("tools/call", answer(false)).unwrap()["isError"], true);
    let blind = TestClient::new(endpoint());
    assert_eq!(blind.request("tools/call", json!({"name": "wipe"})).unwrap()["isError"], true);
}

#[test]
fn scopes_hide_and_refuse() {
    let client = TestClient::new(endpoint()).with_caller(Caller::new("reader", Scope::Read));
    let names: Vec<_> = client.list_tools().unwrap().iter().map(|t| t["name"].clone()).collect();
    assert_eq!(names, ["add"]);
    let refused = client.structured("wipe", json!({})).unwrap_err();
    assert_eq!(refused["error"]["code"], "PERMISSION_DENIED");
}

#[test]
fn parts_hold_their_tools_only() {
    let whole = endpoint();
    assert_eq!(whole.parts().into_iter().collect::<Vec<_>>(), [("math".into(), 1), ("readonly".into(), 1)]);
    assert!(whole.part("nope").is_none());
    let client = TestClient::new(whole.part("readonly").unwrap());
    assert_eq!(client.list_tools().unwrap().len(), 1);
    assert_eq!(client.call("wipe", json!({})).unwrap_err().code, RpcError::INVALID_PARAMS);
}

#[test]
fn completion_is_capped() {
    let client = TestClient::new(endpoint());
    let params =
        json!({"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": "a"}});
    let completion = client.request("completion/complete", params).unwrap()["completion"].clone();
    assert_eq!(completion["values"].as_array().unwrap().len(), 100);
    assert_eq!((&completion["total"], &completion["hasMore"]), (&json!(150), &json!(true)));
}
