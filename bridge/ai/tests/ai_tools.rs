//! The tools of `/mcp/ai` in process: every answer against its own schema, nothing configured, a real database behind them.

use std::sync::Arc;

use ai_core::{FakeAnswer, FakeLlm};
use ai_core_anomaly::{Detector, DetectorConfig, Mode};
use ai_core_embed::HashedEmbedder;
use ai_core_llm::{HostModels, LlmConfig, LlmDeps, LlmService};
use bridge_ai::{AiDeps, AiHistory, DETECTOR_ORDER, DetectorHook, ai_scopes, ai_tools};
use harvest::Protocol;
use harvest_gateway::{
    BackendConfig, FailPolicy, Gateway, HookHandle, Settings, StatementRequest, StaticDirectory, TargetConfig,
};
use harvest_sqlite::SqliteDriver;
use mcp::{CallContext, Caller, ErrorCode, Scope, ToolError, ToolHandler};
use mcp_tools::{ToolDeps, Toolbox};
use serde_json::{Value, json};

struct World {
    _folder: tempfile::TempDir,
    _hooks: [HookHandle; 2],
    gateway: Arc<Gateway>,
    tools: Toolbox,
    deps: AiDeps,
}

fn world(mode: Mode, change: impl Fn(AiDeps) -> AiDeps) -> World {
    let folder = tempfile::tempdir().expect("folder");
    let database = folder.path().join("shop.db");
    rusqlite::Connection::open(&database)
        .expect("opens")
        .execute_batch(
            "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, body TEXT);
             INSERT INTO products VALUES (1, 'Glacier tent', 'a tent for winter storms'), (2, 'Ember stove', NULL),
               (3, 'Fjord jacket', 'a waxed jacket that keeps rain out');",
        )
        .expect("fills");
    let backends = vec![BackendConfig::new(0, database.display().to_string(), 0)];
    let gateway = Gateway::new(
        vec![Arc::new(SqliteDriver)],
        Arc::new(StaticDirectory::new(backends)),
        Settings::default(),
    );
    gateway.set_targets(vec![TargetConfig::new("shop", Protocol::Sqlite, 0)]);
    let history = Arc::new(AiHistory::default());
    let service = LlmService::start(
        LlmConfig::default(),
        LlmDeps::default().with_history(Arc::clone(&history) as Arc<_>),
        HostModels::with_builtin(Arc::new(HashedEmbedder::default())),
    )
    .expect("starts");
    let mut config = DetectorConfig::default();
    config.mode = mode;
    let detector = Arc::new(Detector::new(config).expect("valid"));
    let hook = Arc::new(DetectorHook::new(Arc::clone(&detector)));
    let hooks = [
        gateway.hooks().before(DETECTOR_ORDER, FailPolicy::Open, Arc::clone(&hook) as Arc<_>),
        gateway.hooks().after(DETECTOR_ORDER, hook),
    ];
    let tools = ToolDeps::new(Arc::clone(&gateway), None).expect("random numbers");
    let deps = change(AiDeps::new(tools, service, detector, history));
    World { _folder: folder, _hooks: hooks, gateway, tools: ai_tools(&deps), deps }
}

impl World {
    fn try_call_as(&self, caller: Caller, tool: &str, args: Value) -> Result<Value, ToolError> {
        let Value::Object(args) = args else { panic!("arguments are an object") };
        let spec = self.tools.specs().iter().find(|spec| spec.name == tool).expect("the tool exists");
        let input = jsonschema::validator_for(&spec.input_schema).expect("a schema");
        assert!(input.is_valid(&Value::Object(args.clone())), "{tool}: the test's arguments do not fit");
        let result = self.tools.call(&CallContext::new(caller, "/mcp/ai"), tool, args);
        let shown = match &result {
            Ok(output) => output.structured_value().expect("structured"),
            Err(error) => error.to_value(),
        };
        let output =
            jsonschema::validator_for(spec.output_schema.as_ref().expect("declared")).expect("a schema");
        assert!(output.is_valid(&shown), "{tool}: {shown} does not fit its schema");
        result.map(|_| shown)
    }

    fn try_call(&self, tool: &str, args: Value) -> Result<Value, ToolError> {
        self.try_call_as(Caller::new("tester", Scope::Full), tool, args)
    }

    fn call(&self, tool: &str, args: Value) -> Value {
        self.try_call(tool, args).unwrap_or_else(|error| panic!("{tool}: {error}"))
    }

    fn fails(&self, tool: &str, args: Value) -> ToolError {
        self.try_call(tool, args).expect_err("fails")
    }

    fn run(&self, sql: &str) -> Result<usize, harvest::HarvestError> {
        let scope = harvest_gateway::CallScope::new("run_sql_readonly", "app");
        self.gateway.run(&StatementRequest::new(sql), &scope).map(|outcome| outcome.result.row_count)
    }
}

fn plain(mode: Mode) -> World {
    world(mode, |deps| deps)
}

#[test]
fn specs_are_reviewed_by_snapshot() {
    let world = plain(Mode::Log);
    let specs: Vec<_> = world
        .tools
        .specs()
        .iter()
        .map(|spec| {
            json!({
                "name": spec.name, "title": spec.title, "description": spec.description, "scope": spec.scope,
                "named_scope": spec.named_scope, "annotations": spec.annotations, "inputSchema": spec.input_schema,
                "outputSchema": spec.output_schema,
                "examples": spec.examples.iter().map(|e| json!({"title": e.title, "arguments": e.arguments})).collect::<Vec<_>>(),
            })
        })
        .collect();
    insta::assert_json_snapshot!("ai_specs", specs);
}

#[test]
fn the_registry_takes_the_tools() {
    let world = plain(Mode::Log);
    let registry = bridge::ToolHandlerRegistry::new();
    registry.register("/mcp/ai", Arc::new(world.tools)).expect("names, schemas and examples fit");
}

#[test]
fn nothing_configured_is_said_and_what_needs_nothing_works() {
    let world = plain(Mode::Log);
    let error = world.fails("ai.llm_query", json!({"prompt": "hello"}));
    assert_eq!(error.code, ErrorCode::FailedPrecondition);
    assert!(error.message.contains("genai-llm_enabled"), "{}", error.message);
    let vectors = world.call("ai.embed", json!({"documents": ["winter tent", "gas stove"]}));
    assert_eq!(vectors["embeddings"].as_array().unwrap().len(), 2);
    assert_eq!((vectors["dim"].as_u64(), vectors["lexical"].as_bool()), (Some(1024), Some(true)));
    let ranked = world.call(
        "ai.rerank",
        json!({"query": "waxed jacket", "documents": ["a gas stove", "a waxed jacket", "a tent"], "top_n": 2}),
    );
    assert_eq!(ranked["results"][0]["index"], 1);
    assert_eq!(ranked["results"].as_array().unwrap().len(), 2);
    let status = world.call("ai.status", json!({}));
    assert_eq!(
        (status["anomaly"]["mode"].as_str(), status["llm"]["enabled"].as_bool()),
        (Some("log"), Some(false))
    );
    assert_eq!(world.call("ai.usage", json!({"days": 7, "group_by": "caller"}))["spent_usd"], 0.0);
}

#[test]
fn rerank_reads_rows_through_the_gate_only() {
    let world = plain(Mode::Log);
    let ask =
        |sql: &str| json!({"query": "rain jacket", "document_from_sql": {"query": sql, "target_id": "shop"}});
    let found = world.call("ai.rerank", ask("SELECT body FROM products ORDER BY id"));
    assert_eq!(found["results"].as_array().unwrap().len(), 2, "NULL is no text");
    assert!(found["results"][0]["document"].as_str().unwrap().contains("waxed"));
    let error = world.fails("ai.rerank", ask("DELETE FROM products"));
    assert_eq!(error.code, ErrorCode::PermissionDenied);
    assert_eq!(world.run("SELECT * FROM products").unwrap(), 3);
    let mut stranger = Caller::new("stranger", Scope::Full);
    stranger.targets = Some(vec!["other".to_owned()]);
    let hidden =
        world.try_call_as(stranger, "ai.rerank", ask("SELECT body FROM products")).expect_err("hidden");
    assert_eq!(hidden.code, ErrorCode::NotFound);
    let both = json!({"query": "x", "documents": ["a"], "document_from_sql": {"query": "SELECT 1"}});
    assert_eq!(world.fails("ai.rerank", both).code, ErrorCode::InvalidArgument);
}

#[test]
fn a_model_is_asked_and_its_failures_are_typed() {
    let world = world(Mode::Log, |deps| {
        let refused = ai_core::LlmError::new(ai_core::LlmErrorCode::ApiKeyInvalid, "the key is refused");
        deps.with_model(Arc::new(FakeLlm::new([
            FakeAnswer::Text("a row that points to another".to_owned()),
            FakeAnswer::Fail(refused),
        ])))
    });
    let answer = world.call("ai.llm_query", json!({"prompt": "What is a foreign key?"}));
    assert_eq!(answer["text_response"], "a row that points to another");
    let error = world.fails("ai.llm_query", json!({"prompt": "again"}));
    assert_eq!(
        (error.code, &error.details["error_code"]),
        (ErrorCode::PermissionDenied, &json!("ERR_API_KEY_INVALID"))
    );
    assert_eq!(world.fails("ai.cache_purge", json!({})).code, ErrorCode::InvalidArgument);
    assert_eq!(world.call("ai.cache_purge", json!({"all": true}))["purged"], 0);
    assert_eq!(world.call("ai.cache_stats", json!({}))["entries"], 0);
}

#[test]
fn history_shows_callers_their_own() {
    let world = plain(Mode::Log);
    for (caller, prompt) in [("ann", "orders of May"), ("bob", "orders of June"), ("ann", "all invoices")] {
        let _ =
            world.try_call_as(Caller::new(caller, Scope::Full), "ai.llm_query", json!({"prompt": prompt}));
    }
    let mut ann = Caller::new("ann", Scope::Read);
    ann.named_scopes = ai_scopes(Scope::Read);
    let prompts = |value: &Value| -> Vec<String> {
        value["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["prompt"].as_str().unwrap().to_owned())
            .collect()
    };
    let own = world.try_call_as(ann.clone(), "ai.query_history", json!({})).unwrap();
    assert_eq!(prompts(&own), ["all invoices", "orders of May"]);
    let all = world.call("ai.query_history", json!({"query": "ORDERS", "success": false}));
    assert_eq!(prompts(&all), ["orders of June", "orders of May"]);
    let first = world.call("ai.query_history", json!({"page_size": 2}));
    let token = first["next_page_token"].as_str().expect("more");
    let rest = world.call("ai.query_history", json!({"page_size": 2, "page_token": token}));
    assert_eq!((prompts(&rest), &rest["next_page_token"]), (vec!["orders of May".to_owned()], &Value::Null));
    let foreign =
        world.try_call_as(ann, "ai.query_history", json!({"page_token": token})).expect_err("foreign");
    assert_eq!(foreign.code, ErrorCode::InvalidArgument);
}

const ATTACK: &str = "SELECT id FROM products WHERE name = 'x' OR 1=1";

#[test]
fn log_mode_records_and_lets_pass() {
    let world = plain(Mode::Log);
    assert_eq!(world.run(ATTACK).unwrap(), 3);
    let list = world.call("ai.anomaly_incidents", json!({"rule": "sqli.tautology"}));
    let incident = &list["incidents"][0];
    assert_eq!((incident["action"].as_str(), incident["user"].as_str()), (Some("flag"), Some("app")));
    assert!(!incident["sql"].as_str().unwrap().contains("'x'"), "text is kept without literals");
    let one = world.call("ai.anomaly_incidents", json!({"incident_id": incident["incident_id"]}));
    assert_eq!(one["incidents"].as_array().unwrap().len(), 1);
    let stats = world.call("ai.anomaly_stats", json!({"top": 3}));
    assert_eq!((stats["flagged"].as_u64(), stats["blocked"].as_u64()), (Some(1), Some(0)));
    assert!(stats["by_rule"]["sqli.tautology"].as_u64().is_some_and(|hits| hits > 0));
    assert_eq!(world.call("ai.profile_reset", json!({"user": "app"}))["reset"], 1);
    assert_eq!(world.fails("ai.profile_reset", json!({})).code, ErrorCode::InvalidArgument);
}

#[test]
fn enforce_mode_denies_and_tells_the_incident_only() {
    let world = plain(Mode::Enforce);
    let error = world.run(ATTACK).expect_err("denied");
    assert!(!error.message.contains("tautology") && !error.message.contains("SELECT"), "{}", error.message);
    let list = world.call("ai.anomaly_incidents", json!({"action": "deny"}));
    let id = list["incidents"][0]["incident_id"].as_str().expect("an incident");
    assert!(error.message.contains(id), "{} names {id}", error.message);
    assert_eq!(world.run("SELECT name FROM products WHERE id = 2").unwrap(), 1);
}

#[test]
fn a_check_changes_nothing() {
    let world = plain(Mode::Enforce);
    let check = |sql: &str| world.call("ai.anomaly_check", json!({"sql": sql, "protocol": "sqlite"}));
    let verdict = check(ATTACK);
    assert_eq!(
        (verdict["action"].as_str(), verdict["anomaly_type"].as_str()),
        (Some("deny"), Some("injection"))
    );
    assert!(verdict["rules"].as_array().unwrap().iter().any(|r| r["rule"] == "sqli.tautology"));
    assert_eq!(check("SELECT name FROM products")["action"], "allow");
    assert_eq!(world.deps.detector.stats().total_checks, 0);
    assert_eq!(world.call("ai.anomaly_incidents", json!({}))["incidents"], json!([]));
}

#[test]
fn patterns_come_act_and_go() {
    let world = plain(Mode::Enforce);
    let quiet = "SELECT name FROM products WHERE id = 4711";
    let add = json!({"pattern_name": "probe", "query_example": quiet, "pattern_type": "reconnaissance", "severity": 9, "action": "deny"});
    let added = world.call("ai.add_threat_pattern", add.clone());
    assert_eq!(added["digest"].as_str().unwrap().len(), 16);
    assert_eq!(world.fails("ai.add_threat_pattern", add).code, ErrorCode::Conflict);
    assert!(
        world.run("SELECT name FROM products WHERE id = 3").is_err(),
        "the same statement with another literal"
    );
    let listed = world.call("ai.list_threat_patterns", json!({"pattern_type": "reconnaissance"}));
    let names: Vec<&str> =
        listed["patterns"].as_array().unwrap().iter().map(|p| p["pattern_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["probe", "schema probing"], "the most severe first");
    let gone = world.call("ai.remove_threat_pattern", json!({"id": added["id"]}));
    assert_eq!((&gone["removed"], &gone["disabled"]), (&json!(true), &json!(false)));
    assert_eq!(world.run("SELECT name FROM products WHERE id = 3").unwrap(), 1);
    let shipped = world.call("ai.remove_threat_pattern", json!({"pattern_name": "sleep"}));
    assert_eq!((&shipped["removed"], &shipped["disabled"]), (&json!(false), &json!(true)));
    assert_eq!(world.fails("ai.remove_threat_pattern", json!({"id": 999_999})).code, ErrorCode::NotFound);
}

#[test]
fn pages_of_patterns_cover_the_library_once() {
    let world = plain(Mode::Log);
    let (mut seen, mut token) = (Vec::new(), Value::Null);
    loop {
        let mut args = json!({"page_size": 3});
        if !token.is_null() {
            args["page_token"] = token;
        }
        let page = world.call("ai.list_threat_patterns", args);
        seen.extend(page["patterns"].as_array().unwrap().iter().map(|p| p["id"].as_u64().unwrap()));
        token = page["next_page_token"].clone();
        if token.is_null() {
            break;
        }
    }
    let mut unique = seen.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!((seen.len(), unique.len()), (10, 10));
}

#[test]
fn an_allowed_digest_covers_no_added_tautology() {
    let world = plain(Mode::Enforce);
    assert!(world.run(ATTACK).is_err());
    let add = json!({"sql": ATTACK, "protocol": "sqlite", "comment": "a known report"});
    assert_eq!(world.call("ai.allow_digest_add", add.clone())["created"], true);
    assert_eq!(world.call("ai.allow_digest_add", add)["created"], false);
    assert_eq!(world.run(ATTACK).unwrap(), 3);
    assert!(world.run(&format!("{ATTACK} OR 2=2")).is_err());
    let entries = world.call("ai.allow_digest_list", json!({}));
    let digest = entries["entries"][0]["digest"].as_str().expect("one entry");
    assert_eq!(world.call("ai.allow_digest_remove", json!({"digest": digest}))["removed"], true);
    assert_eq!(world.call("ai.allow_digest_remove", json!({"digest": digest}))["removed"], false);
    assert!(world.run(ATTACK).is_err());
}

#[test]
fn scopes_decide_who_sees_what() {
    let world = plain(Mode::Log);
    let names = |scope: Scope| -> Vec<&str> {
        let mut caller = Caller::new("c", scope);
        caller.named_scopes = ai_scopes(scope);
        let may = world.tools.specs().iter().filter(|spec| caller.may_call(spec));
        may.map(|spec| spec.name.as_str()).collect()
    };
    assert_eq!(names(Scope::Read), ["ai.status", "ai.usage", "ai.query_history", "ai.cache_stats"]);
    assert!(
        names(Scope::Write).contains(&"ai.llm_query") && !names(Scope::Write).contains(&"ai.anomaly_check")
    );
    assert_eq!(names(Scope::Full).len(), world.tools.specs().len());
}
