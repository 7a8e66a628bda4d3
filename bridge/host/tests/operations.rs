//! Operations through an open host: what is audited, and what really happens on a live MariaDB and PostgreSQL.

#![expect(clippy::print_stderr, reason = "a skipped suite says so")]

use std::time::{Duration, Instant};

use bridge_host::{Host, HostConfig, TargetSpec};
use harvest::{ConnectParams, Driver as _};
use mcp::{CallContext, Caller, ErrorCode, Scope, ToolError, ToolSet as _};
use mcp_config::AdminSession;
use mcp_tools::AuditLog;
use serde_json::{Value, json};

fn call(host: &Host, endpoint: &str, scope: Scope, tool: &str, arguments: Value) -> Result<Value, ToolError> {
    let cx = CallContext::new(Caller::new("ops", scope), endpoint);
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let output = host.registry().tool_set(endpoint).call(&cx, tool, arguments)?;
    Ok(output.structured_value().expect("a structured answer"))
}

fn host(folder: &std::path::Path, target: &str) -> Host {
    let mut config = HostConfig::new(folder);
    config.allow_privileged_backend = true;
    config.targets.push(TargetSpec::parse(target).expect("a target"));
    Host::open(config).expect("opens")
}

#[test]
fn destructive_calls_are_audited_and_refused_without_scope_or_account() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("shop.db");
    std::fs::write(&file, "").expect("writes");
    let host = host(folder.path(), &format!("shop=sqlite:{}", file.display()));
    let error =
        call(&host, "/mcp/cache", Scope::Write, "clear_cache", json!({})).expect_err("lacks the scope");
    assert_eq!(error.code, ErrorCode::PermissionDenied);
    call(&host, "/mcp/cache", Scope::Full, "clear_cache", json!({})).expect("clears");
    let kill = json!({"process_id": 7, "confirm": true});
    let error = call(&host, "/mcp/admin", Scope::Full, "admin_kill_query", kill).expect_err("no account");
    assert_eq!(error.details["reason"], "no_admin_profile");
    let health =
        call(&host, "/mcp/observe", Scope::Read, "get_health", json!({"deep": true})).expect("answers");
    assert_eq!(health["health"], "healthy", "{health}");
    let metrics = json!({"stat_names": ["proxysql_mcp_requests_total"]});
    let counted = call(&host, "/mcp/observe", Scope::Read, "get_stats", metrics).expect("answers");
    assert!(counted.to_string().contains("clear_cache"), "the layer counts calls: {counted}");
    let log = AuditLog::open(&folder.path().join("mcp_audit.db")).expect("opens");
    // Three destructive calls, an intent and an outcome each; reading leaves none.
    let report = log.verify().expect("reads");
    assert_eq!((report.rows, report.fault), (6, None));
}

/// Opens an account of its own for operations.
type Connect = Box<dyn Fn(&ConnectParams) -> Box<dyn harvest::AdminConnection>>;

/// What differs between the engines.
struct Engine {
    params: ConnectParams,
    url: String,
    sleep: &'static str,
    driver: Connect,
}

fn engines() -> Vec<Engine> {
    let mut engines = Vec::new();
    let read = |name: &str| {
        let url = std::env::var(name).ok();
        if url.is_none() {
            eprintln!("SKIPPED: {name} names no server");
        }
        url
    };
    if let Some(url) = read("PENSTOCK_TEST_MARIADB_URL") {
        let params = ConnectParams::from_url(&url).expect("a URL").1;
        let driver =
            Box::new(|p: &ConnectParams| harvest_mysql::MysqlDriver.connect_admin(p).expect("connects"));
        engines.push(Engine { params, url, sleep: "count(*) FROM information_schema.columns a, information_schema.columns b, information_schema.columns c", driver });
    }
    if let Some(url) = read("PENSTOCK_TEST_POSTGRES_URL") {
        let params = ConnectParams::from_url(&url).expect("a URL").1;
        let driver = Box::new(|p: &ConnectParams| {
            harvest_postgres::PostgresDriver.connect_admin(p).expect("connects")
        });
        engines.push(Engine { params, url, sleep: "count(*) FROM generate_series(1, 10000000000)", driver });
    }
    engines
}

#[test]
fn a_statement_of_an_agent_is_listed_and_killed_on_the_server() {
    for engine in engines() {
        let folder = tempfile::tempdir().expect("a folder");
        let host = std::sync::Arc::new(host(folder.path(), &format!("live={}", engine.url)));
        let session = AdminSession::local();
        for sql in [
            "UPDATE mcp_target_profiles SET admin_auth_profile_id = auth_profile_id, timeout_ms = 60000",
            "LOAD MCP PROFILES TO RUNTIME",
        ] {
            host.admin().execute(&session, sql, &[], 1).expect("runs");
        }
        let users = call(&host, "/mcp/admin", Scope::Read, "admin_list_users", json!({})).expect("lists");
        let names = users["users"].as_array().expect("a list");
        assert!(names.iter().any(|u| u["username"] == engine.params.user.as_str()), "{users}");
        let agent = std::sync::Arc::clone(&host);
        // Others may run this suite on the same server: only this text is ours.
        let mark =
            format!("{} AS run_of_{}", std::process::id(), folder.path().file_name().map_or(0, |n| n.len()));
        let sql = format!("SELECT {mark}, {}", engine.sleep);
        let text = sql.clone();
        let runner = std::thread::spawn(move || {
            call(&agent, "/mcp/query", Scope::Read, "run_sql_readonly", json!({"sql": text}))
        });
        let until = Instant::now() + Duration::from_secs(20);
        let mut outside = (engine.driver)(&engine.params);
        let id = loop {
            let shown =
                call(&host, "/mcp/admin", Scope::Read, "admin_show_processes", json!({})).expect("lists");
            let mine = shown["processes"]
                .as_array()
                .expect("a list")
                .iter()
                .find(|p| p["info"].as_str().is_some_and(|info| info.contains(&mark)));
            if let Some(process) = mine {
                break process["process_id"].as_i64().expect("a number");
            }
            assert!(Instant::now() < until, "the statement never showed up: {shown}");
            std::thread::sleep(Duration::from_millis(50));
        };
        let bare = json!({"process_id": id, "confirm": false});
        let error =
            call(&host, "/mcp/admin", Scope::Full, "admin_kill_query", bare).expect_err("not confirmed");
        assert_eq!(error.details["reason"], "not_confirmed");
        let kill = json!({"process_id": id, "confirm": true});
        let killed = call(&host, "/mcp/admin", Scope::Full, "admin_kill_query", kill).expect("kills");
        // A loaded server may need more than the second that the tool looks on; gone it must be in any case.
        let outcome = killed["outcome"].as_str().expect("a word");
        assert!(matches!(outcome, "terminated" | "signalled"), "{killed}");
        assert!(runner.join().expect("ends").is_err(), "the agent hears of it");
        let until = Instant::now() + Duration::from_secs(20);
        let mut is_left = || {
            let rows = outside.list(harvest::AdminList::Processes, 10_000).expect("lists");
            let runs = |row: &harvest::AdminRow| {
                row["is_idle"] == false && row["info"].as_str().is_some_and(|info| info == sql)
            };
            rows.iter().any(runs)
        };
        while is_left() {
            assert!(outcome == "signalled" && Instant::now() < until, "the statement is still on the server");
            std::thread::sleep(Duration::from_millis(50));
        }
        let flushed = json!({"cache_type": "query_cache", "confirm": true});
        let flushed = call(&host, "/mcp/admin", Scope::Full, "admin_flush_cache", flushed).expect("flushes");
        assert_eq!(flushed["actions"][0]["cache"], "result_cache");
    }
}
