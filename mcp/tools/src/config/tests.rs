//! The tools of the configuration over a runtime that accepts everything.

use std::sync::Arc;

use mcp::{CallContext, Caller, ErrorCode, Scope, ToolError, ToolHandler};
use mcp_config::{AdminOptions, AdminSql, Applied, Candidate, ConfigResult, Runtime, mcp_family};
use serde_json::{Value, json};

use super::config_tools;
use crate::toolbox::Toolbox;

struct Accepts;

impl Runtime for Accepts {
    fn apply(&self, _: &Candidate) -> ConfigResult<Applied> {
        Ok(Applied::default())
    }
}

struct World {
    tools: Toolbox,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let family = mcp_family(dir.path(), Arc::new(Accepts));
        let admin = Arc::new(AdminSql::open(AdminOptions::new(dir.path()), vec![family]).unwrap());
        admin.start().unwrap();
        Self { tools: config_tools(&admin), _dir: dir }
    }

    fn call_as(&self, scope: Scope, tool: &str, arguments: Value) -> Result<Value, ToolError> {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let spec = self.tools.specs().iter().find(|spec| spec.name == tool).expect("the tool exists");
        let input = jsonschema::validator_for(&spec.input_schema).unwrap();
        assert!(input.is_valid(&Value::Object(arguments.clone())), "{tool}: arguments do not fit");
        let cx = CallContext::new(Caller::new("agent", scope), "/mcp/config");
        let answer = self.tools.call(&cx, tool, arguments);
        let value = match &answer {
            Ok(output) => output.structured_value().expect("a structured answer"),
            Err(error) => error.to_value(),
        };
        let schema = jsonschema::validator_for(spec.output_schema.as_ref().unwrap()).unwrap();
        let faults: Vec<_> = schema.iter_errors(&value).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{tool} breaks its own schema: {faults:?} in {value}");
        answer.map(|_| value)
    }

    fn call(&self, tool: &str, arguments: Value) -> Value {
        self.call_as(Scope::Full, tool, arguments).unwrap_or_else(|e| panic!("{tool}: {e} {:?}", e.details))
    }

    fn fails(&self, tool: &str, arguments: Value) -> ToolError {
        self.call_as(Scope::Full, tool, arguments).expect_err("must fail")
    }
}

#[test]
fn specs_are_reviewed_by_snapshot() {
    let world = World::new();
    let specs: Vec<_> = world
        .tools
        .specs()
        .iter()
        .map(|spec| {
            for example in &spec.examples {
                let input = jsonschema::validator_for(&spec.input_schema).unwrap();
                assert!(input.is_valid(&Value::Object(example.arguments.clone())), "{}", spec.name);
            }
            json!({
                "name": spec.name, "title": spec.title, "description": spec.description,
                "annotations": spec.annotations, "inputSchema": spec.input_schema,
                "outputSchema": spec.output_schema,
            })
        })
        .collect();
    insta::assert_json_snapshot!("config_specs", specs);
}

#[test]
fn a_variable_is_read_set_and_kept() {
    let world = World::new();
    let port = world.call("get_config", json!({"variable_name": "port"}));
    assert_eq!(
        (&port["value"], &port["layer"], &port["type"]),
        (&json!("6071"), &json!("default"), &json!("int"))
    );
    let set = world.call("set_config", json!({"variable_name": "mcp-port", "value": 6080}));
    assert_eq!((&set["value"], &set["previous_value"]), (&json!("6080"), &json!("6071")));
    assert_eq!(set["layers"], json!(["runtime"]));
    assert_eq!(world.call("get_config", json!({"variable_name": "mcp-port"}))["layer"], "runtime");
    let sql = "SELECT variable_value FROM global_variables WHERE variable_name = 'mcp-port'";
    assert_eq!(world.call("query", json!({"sql": sql}))["rows"], json!([["6071"]]));
    let set = world
        .call("set_config", json!({"variable_name": "cache_enabled", "value": "OFF", "persist": "disk"}));
    assert_eq!((&set["value"], &set["layers"]), (&json!("false"), &json!(["runtime", "memory", "disk"])));
    let error = world.fails("set_config", json!({"variable_name": "port", "value": 70000}));
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    assert_eq!(error.details["expected"], "a whole number from 1 to 65535");
    let error = world.fails("get_config", json!({"variable_name": "prt_bytes"}));
    assert_eq!(error.code, ErrorCode::NotFound);
    assert!(error.details["similar"].as_array().is_some_and(|list| !list.is_empty()));
}

#[test]
fn secrets_and_tokens_are_out_of_reach() {
    let world = World::new();
    let secret = json!({"variable_name": "query_endpoint_auth", "value": "a planted token text"});
    assert_eq!(world.fails("set_config", secret).code, ErrorCode::PermissionDenied);
    for sql in [
        "SET mcp-query_endpoint_auth = 'a planted token text'",
        "UPDATE global_variables SET variable_value = 'a planted token text' WHERE variable_name = 'mcp-query_endpoint_auth'",
        "INSERT INTO mcp_endpoint_tokens (endpoint, token_name, token) VALUES ('query', 'x', 'a planted token text')",
        "SELECT * FROM mcp_endpoint_tokens",
        "SELECT count(*) FROM disk.mcp_endpoint_tokens",
        "PRAGMA table_info(mcp_query_rules)",
        "ATTACH ':memory:' AS x",
        "DELETE FROM runtime_mcp_query_rules",
    ] {
        let error = world.fails("query", json!({"sql": sql}));
        assert_eq!(error.code, ErrorCode::PermissionDenied, "{sql}: {error}");
        assert!(!error.to_value().to_string().contains("planted"), "{error}");
    }
    assert_eq!(world.call("get_config", json!({"variable_name": "query_endpoint_auth"}))["value"], "");
}

#[test]
fn a_token_below_full_only_reads() {
    let world = World::new();
    let sql = json!({"sql": "INSERT INTO mcp_query_rules (rule_id) VALUES (1)"});
    let error = world.call_as(Scope::Write, "query", sql).expect_err("must fail");
    assert_eq!(error.code, ErrorCode::PermissionDenied);
    let error = world.call_as(Scope::Write, "query", json!({"sql": "LOAD MCP TOKENS TO RUN"}));
    assert_eq!(error.expect_err("must fail").code, ErrorCode::PermissionDenied);
    world.call_as(Scope::Write, "query", json!({"sql": "SELECT 1"})).expect("reads");
}

#[test]
fn a_reload_is_whole_and_names_what_is_refused() {
    let world = World::new();
    world
        .call("query", json!({"sql": "INSERT INTO mcp_query_rules (rule_id, active) VALUES (1, 1), (2, 0)"}));
    let done = world.call("reload_config", json!({"scope": "memory", "modules": ["query_rules"]}));
    assert_eq!(done["modules"], json!([{"module": "query_rules", "rows": 2, "effective": 2, "skipped": []}]));
    world.call("query", json!({"sql": "INSERT INTO mcp_query_rules (rule_id) VALUES (3)"}));
    world.call("query", json!({"sql": "INSERT INTO mcp_target_profiles (target_id, protocol, hostgroup_id, auth_profile_id) VALUES ('t', 'oracle', 1, 'a')"}));
    let error = world.fails("reload_config", json!({"scope": "memory"}));
    assert_eq!((error.code, &error.details["module"]), (ErrorCode::FailedPrecondition, &json!("profiles")));
    let running = world.call("query", json!({"sql": "SELECT count(*) FROM runtime_mcp_query_rules"}));
    assert_eq!(running["rows"], json!([[2]]));
    let status = world.call("get_status", json!({}));
    assert_eq!(status["config_checksums"]["query_rules"]["in_sync"], false);
    assert_eq!(status["config_checksums"]["tokens"]["in_sync"], true);
}

#[test]
fn values_keep_their_type() {
    let world = World::new();
    let sql = "SELECT ?1 AS a, ?2 AS b, NULL AS c, 1.5 AS d, x'00ff' AS e, 7 AS f";
    let answer = world.call("query", json!({"sql": sql, "params": ["it's", 9_007_199_254_740_993_i64]}));
    assert_eq!(answer["rows"], json!([["it's", "9007199254740993", null, 1.5, "AP8=", 7]]));
    let long = world.call("query", json!({"sql": "VALUES (1), (2), (3)", "max_rows": 2}));
    assert_eq!((&long["truncated"], &long["truncated_by"]), (&json!(true), &json!("max_rows")));
}
