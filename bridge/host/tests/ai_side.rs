//! The AI side of a whole host: served without any provider, in front of every statement, and following the variables.

use std::sync::Arc;

use bridge_host::{Host, HostConfig, TargetSpec};
use mcp::{CallContext, Caller, Scope, ToolError, ToolSet as _};
use mcp_config::{AdminSession, Persist};
use serde_json::{Value, json};

fn host(folder: &tempfile::TempDir) -> Host {
    let database = folder.path().join("shop.db");
    let connection = rusqlite::Connection::open(&database).expect("opens");
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS products (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO products (name) VALUES ('tent');")
        .expect("fills");
    let mut config = HostConfig::new(folder.path().join("data"));
    config.targets.push(TargetSpec::parse(&format!("shop=sqlite:{}", database.display())).expect("a target"));
    Host::open(config).expect("opens")
}

fn call(host: &Host, endpoint: &str, tool: &str, args: Value) -> Result<Value, ToolError> {
    let set = host.registry().tool_set(endpoint);
    let cx = CallContext::new(Caller::new("tester", Scope::Full), endpoint);
    let Value::Object(args) = args else { panic!("arguments are an object") };
    set.call(&cx, tool, args).map(|output| output.structured_value().expect("structured"))
}

const ATTACK: &str = "SELECT id FROM products WHERE name = 'x' OR 1=1";

#[test]
fn the_detector_records_at_first_and_denies_when_told() {
    let folder = tempfile::tempdir().expect("folder");
    let host = host(&folder);
    let run = || call(&host, "/mcp/query", "run_sql_readonly", json!({"sql": ATTACK, "target_id": "shop"}));
    assert_eq!(run().expect("agents are not blocked")["row_count"], 1);
    let found = call(&host, "/mcp/ai", "ai.anomaly_incidents", json!({})).expect("answers");
    assert_eq!(found["incidents"][0]["action"], "flag");
    let set = |name: &str, value: &str| {
        host.admin().set_variable(&AdminSession::local(), name, value, Persist::Runtime).map(drop)
    };
    set("genai-anomaly_mode", "enforce").expect("is accepted");
    let refused = run().expect_err("is denied");
    assert!(!refused.message.contains("tautology"), "{}", refused.message);
    set("genai-anomaly_enabled", "false").expect("is accepted");
    assert_eq!(run().expect("nobody judges")["row_count"], 1);
    assert!(set("genai-anomaly_risk_threshold", "101").is_err());
    host.close();
}

#[test]
fn models_are_off_until_a_variable_says_otherwise() {
    let folder = tempfile::tempdir().expect("folder");
    let host = host(&folder);
    let ask = || call(&host, "/mcp/ai", "ai.llm_query", json!({"prompt": "hello", "max_latency_ms": 2000}));
    let off = ask().expect_err("no provider");
    assert_eq!(off.code, mcp::ErrorCode::FailedPrecondition);
    let set = |name: &str, value: &str| {
        host.admin().set_variable(&AdminSession::local(), name, value, Persist::Runtime).map(drop)
    };
    // Nothing listens on this port: the failure is another one, and typed.
    set("genai-llm_provider_url", "http://127.0.0.1:9/v1/chat/completions").expect("is accepted");
    set("genai-llm_provider", "generic").expect("is accepted");
    set("genai-llm_max_retries", "0").expect("is accepted");
    set("genai-llm_enabled", "true").expect("is accepted");
    let unreachable = ask().expect_err("nobody listens");
    assert_eq!(unreachable.details["error_code"], "ERR_CONNECTION_FAILED");
    let status = call(&host, "/mcp/ai", "ai.status", json!({})).expect("answers");
    assert_eq!(status["llm"]["enabled"], true);
    host.close();
}

#[test]
fn the_library_survives_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let first = host(&folder);
    let add = json!({"pattern_name": "kept", "query_example": ATTACK, "pattern_type": "sql_injection", "severity": 5});
    call(&first, "/mcp/ai", "ai.add_threat_pattern", add.clone()).expect("is new");
    first.close();
    drop(first);
    let second = Arc::new(host(&folder));
    let again = call(&second, "/mcp/ai", "ai.add_threat_pattern", add).expect_err("is there");
    assert_eq!(again.code, mcp::ErrorCode::Conflict);
    second.close();
}
