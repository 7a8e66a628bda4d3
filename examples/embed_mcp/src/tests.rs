//! How a host tests its own tools: an in-process client, schemas checked, the transcript at hand.

use mcp::testing::TestClient;
use mcp_server::JsonSchemaCheck;

use super::*;

fn client() -> TestClient {
    let registry = Arc::new(ToolHandlerRegistry::new());
    registry.register("/mcp/weather", Arc::new(Handlers::new().with(Forecast))).expect("a sound tool");
    let check = Arc::new(JsonSchemaCheck::new());
    let endpoint = Endpoint::new("/mcp/weather", registry.tool_set("/mcp/weather"));
    TestClient::new(endpoint).with_schemas(Arc::clone(&check) as Arc<_>).with_argument_check(check)
}

#[test]
fn the_tool_answers_what_its_schema_promises() {
    let answer = client().structured("forecast", json!({"city": "Bergen"})).expect("a forecast");
    assert_eq!(answer, json!({"city": "Bergen", "celsius": 9}));
}

#[test]
fn unknown_cities_and_wrong_arguments_are_typed_failures() {
    let client = client();
    let failure = client.structured("forecast", json!({"city": "Atlantis"})).expect_err("no such city");
    assert_eq!(failure["error"]["code"], "NOT_FOUND");
    let failure = client.structured("forecast", json!({"town": "Bergen"})).expect_err("no such argument");
    assert_eq!(failure["error"]["code"], "INVALID_ARGUMENT");
    assert_eq!(client.transcript().len(), 2);
}
