//! Accounts of targets on real servers: who may do more than read is refused, and everybody who asks is told.

#![expect(clippy::print_stderr, reason = "a skipped suite says so")]
#![expect(dead_code, reason = "the scratch databases do more for other suites")]

#[path = "live_catalog/engines.rs"]
mod engines;

use std::time::{Duration, Instant};

use bridge_host::{Host, HostConfig, TargetSpec};
use engines::Engine;
use mcp::{CallContext, Caller, ErrorCode, Scope, ToolError, ToolSet as _};
use mcp_config::{AdminSession, Cell};
use serde_json::{Value, json};

const PASSWORD: &str = "account-of-nothing";

fn call(host: &Host, endpoint: &str, tool: &str, arguments: Value) -> Result<Value, ToolError> {
    let cx = CallContext::new(Caller::new("alice", Scope::Full), endpoint);
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let output = host.registry().tool_set(endpoint).call(&cx, tool, arguments)?;
    Ok(output.structured_value().expect("a structured answer"))
}

fn select(host: &Host) -> Result<Value, ToolError> {
    call(host, "/mcp/query", "run_sql_readonly", json!({"sql": "SELECT 1 AS one", "target_id": "t"}))
}

fn admin(host: &Host, sql: &str) -> String {
    let reply = host.admin().execute(&AdminSession::local(), sql, &[], 100).expect(sql);
    let rows: Vec<String> =
        reply.rows.iter().map(|row| row.iter().map(Cell::display).collect::<Vec<_>>().join("|")).collect();
    rows.join("\n")
}

/// A host over one account; `url` with `USER` replaced.
fn host(folder: &std::path::Path, url: &str, allow: bool) -> Host {
    let mut config = HostConfig::new(folder);
    config.allow_privileged_backend = allow;
    config.targets.push(TargetSpec::parse(&format!("t={url}")).expect("a target"));
    Host::open(config).expect("opens")
}

/// The URL of the same database for another account.
fn url_of(url: &str, user: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://{user}:{PASSWORD}@{place}")
}

fn refused(host: &Host, code: &str) {
    let error = select(host).expect_err("the account may do more than read");
    assert_eq!(
        (error.code, &error.details["reason"]),
        (ErrorCode::FailedPrecondition, &json!("privileged_account"))
    );
    assert!(error.message.contains("mcp-allow_privileged_backend"), "{error}");
    assert!(error.details["findings"].to_string().contains(code), "{:?}", error.details);
    // Every way in meets the same refusal.
    for (tool, arguments) in [
        ("list_schemas", json!({"target_id": "t"})),
        ("explain_sql", json!({"sql": "SELECT 1", "target_id": "t"})),
        ("discovery.run_static", json!({"target_id": "t"})),
    ] {
        let error = call(host, "/mcp/query", tool, arguments).expect_err(tool);
        assert!(error.message.contains("may do more than read"), "{tool}: {error}");
    }
    let listed = call(host, "/mcp/query", "list_targets", json!({})).expect("lists");
    assert_eq!(listed["targets"][0]["executable"], false);
    assert!(listed["targets"][0]["unavailable_reason"].to_string().contains("may do more"), "{listed}");
    let health = call(host, "/mcp/observe", "get_health", json!({"deep": true})).expect("answers");
    assert_eq!(health["health"], "unhealthy", "{health}");
    assert!(health["checks"].to_string().contains("account t"), "{health}");
}

fn served(host: &Host, expected: Option<&str>) {
    assert_eq!(select(host).expect("answers")["rows"], json!([[1]]));
    let listed = call(host, "/mcp/query", "list_targets", json!({})).expect("lists");
    let status = call(host, "/mcp/config", "get_status", json!({})).expect("answers");
    let metrics =
        call(host, "/mcp/observe", "show_metrics", json!({"format": "prometheus"})).expect("answers");
    let health = call(host, "/mcp/observe", "get_health", json!({"deep": true})).expect("answers");
    let check =
        health["checks"].as_array().expect("checks").iter().find(|c| c["name"] == "account t").cloned();
    let check = check.expect("a check of the account");
    match expected {
        None => {
            assert_eq!((&check["status"], &status["targets"]["privileged"]), (&json!("ok"), &json!(0)));
            assert!(!metrics["text"].to_string().contains(r#"dangerous=\"true\""#));
        }
        Some(code) => {
            assert_eq!((&check["status"], &status["targets"]["privileged"]), (&json!("warn"), &json!(1)));
            assert!(metrics["text"].as_str().expect("a text").contains(&format!("code=\"{code}\"")));
            assert!(!listed["targets"][0]["account_findings"].as_array().expect("a list").is_empty());
            assert!(admin(host, "SHOW MCP STATUS").contains("account of target t"));
        }
    }
}

/// A superuser, a writer and a reader; `grant` gives an account a right to write, `revoke` takes it away.
fn on(engine: &mut Engine, superuser: &str, (reader, writer): (&str, &str), grant: &str, revoke: &str) {
    let url = engine.url();
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    refused(&host(&at("super"), &url, false), superuser);
    served(&host(&at("allowed"), &url, true), Some(superuser));
    let calm = host(&at("reader"), &url_of(&url, reader), false);
    served(&calm, None);
    refused(&host(&at("writer"), &url_of(&url, writer), false), "write_grants");

    // The variable does what the host's switch does, and takes it back.
    let by_variable = host(&at("variable"), &url_of(&url, writer), false);
    assert!(select(&by_variable).is_err());
    admin(&by_variable, "SET mcp-allow_privileged_backend = true");
    admin(&by_variable, "LOAD MCP VARIABLES TO RUNTIME");
    served(&by_variable, Some("write_grants"));
    admin(&by_variable, "SET mcp-allow_privileged_backend = false");
    admin(&by_variable, "LOAD MCP VARIABLES TO RUNTIME");
    refused(&by_variable, "write_grants");

    // A health check notices what the account was given since, and what was taken from it.
    engine.execute(grant);
    let health = |deep| call(&calm, "/mcp/observe", "get_health", json!({"deep": deep})).expect("answers");
    assert_eq!(health(true)["health"], "unhealthy");
    refused(&calm, "write_grants");
    engine.execute(revoke);
    let until = Instant::now() + Duration::from_secs(60);
    while select(&calm).is_err() {
        assert!(Instant::now() < until, "the account is still refused: {:?}", select(&calm));
        std::thread::sleep(Duration::from_millis(300));
    }
    served(&calm, None);
}

#[test]
fn live_accounts_on_postgres() {
    let Some(mut engine) = Engine::postgres("accounts") else { return };
    let id = std::process::id();
    let (reader, writer) = (format!("acc_reader_{id}"), format!("acc_writer_{id}"));
    engine.execute("CREATE TABLE thing (id int, note text)");
    for (name, right) in [(&reader, "SELECT"), (&writer, "SELECT, INSERT")] {
        engine.execute(&format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'"));
        engine.execute(&format!("GRANT {right} ON thing TO {name}"));
    }
    let (grant, revoke) = (
        format!("GRANT UPDATE (note) ON thing TO {reader}"),
        format!("REVOKE UPDATE (note) ON thing FROM {reader}"),
    );
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        on(&mut engine, "superuser", (&reader, &writer), &grant, &revoke);
    }));
    engine.execute(&format!("DROP OWNED BY {reader}, {writer}; DROP ROLE {reader}, {writer}"));
    result.unwrap_or_else(|cause| std::panic::resume_unwind(cause));
}

#[test]
fn live_accounts_on_mariadb() {
    let Some(mut engine) = Engine::mariadb("accounts") else { return };
    let id = std::process::id();
    let (reader, writer) = (format!("acc_reader_{id}"), format!("acc_writer_{id}"));
    let schema = engine.schema().to_owned();
    engine.execute("CREATE TABLE thing (id int, note text)");
    for (name, right) in [(&reader, "SELECT"), (&writer, "SELECT, INSERT")] {
        engine.execute(&format!("CREATE USER {name}@'%' IDENTIFIED BY '{PASSWORD}'"));
        engine.execute(&format!("GRANT {right} ON {schema}.* TO {name}@'%'"));
    }
    let (grant, revoke) = (
        format!("GRANT UPDATE (note) ON {schema}.thing TO {reader}@'%'"),
        format!("REVOKE UPDATE (note) ON {schema}.thing FROM {reader}@'%'"),
    );
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        on(&mut engine, "all_privileges", (&reader, &writer), &grant, &revoke);
    }));
    engine.execute(&format!("DROP USER {reader}@'%', {writer}@'%'"));
    result.unwrap_or_else(|cause| std::panic::resume_unwind(cause));
}
