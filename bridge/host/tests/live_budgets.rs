//! Budgets on real engines: pages put together are the whole result, and its link is read by its caller alone.

#![expect(clippy::print_stderr, reason = "a skipped suite says so")]
#![expect(dead_code, reason = "the scratch databases do more for other suites")]

#[path = "live_catalog/engines.rs"]
mod engines;

use bridge_host::{Host, HostConfig, TargetSpec};
use engines::Engine;
use mcp::{CallContext, Caller, Content, ErrorCode, Scope, ToolOutput, ToolSet as _};
use serde_json::{Value, json};

const QUERY: &str = "/mcp/query";
/// Bytes of a page.
const BUDGET: usize = 3_000;

fn context(caller: &str) -> CallContext {
    CallContext::new(Caller::new(caller, Scope::Full), QUERY)
}

fn output(host: &Host, caller: &str, tool: &str, arguments: &Value) -> Result<ToolOutput, mcp::ToolError> {
    let Value::Object(arguments) = arguments.clone() else { panic!("arguments are an object") };
    host.registry().tool_set(QUERY).call(&context(caller), tool, arguments)
}

fn call(host: &Host, tool: &str, arguments: &Value) -> Value {
    let output = output(host, "alice", tool, arguments).unwrap_or_else(|e| panic!("{tool}: {e:?}"));
    assert!(!output.is_error, "{tool}: {output:?}");
    output.structured_value().expect("a structured answer")
}

fn read(host: &Host, caller: &str, uri: &str) -> Result<Value, ErrorCode> {
    let endpoints = host.endpoints();
    let query = endpoints.iter().find(|e| &*e.path == QUERY).expect("the endpoint");
    let resources = query.resources.as_ref().expect("resources");
    let contents = resources.read(&context(caller), uri).map_err(|e| e.code)?;
    Ok(serde_json::from_str(contents[0].text.as_deref().expect("a text")).expect("JSON"))
}

/// Pages of a call, joined: every list grows, everything else is that of the first page.
fn joined(host: &Host, tool: &str, arguments: &Value) -> (usize, Value) {
    let mut arguments = arguments.clone();
    arguments["max_bytes"] = BUDGET.into();
    let (mut pages, mut whole) = (0, Value::Null);
    loop {
        let page = call(host, tool, &arguments);
        assert!(page.to_string().len() <= BUDGET, "{tool}: {} bytes", page.to_string().len());
        pages += 1;
        let next = page["next_page_token"].clone();
        if whole.is_null() {
            whole = page;
        } else {
            let is_rows = page.get("rows").is_some();
            for (key, value) in page.as_object().expect("an object") {
                if let (Some(all), Some(more)) = (whole[key].as_array_mut(), value.as_array())
                    && !(is_rows && key == "columns")
                {
                    all.extend(more.iter().cloned());
                }
            }
        }
        if next.is_null() {
            return (pages, whole);
        }
        arguments["page_token"] = next;
    }
}

fn on(engine: &mut Engine) {
    let (text, schema) = ("varchar(200)", engine.schema().to_owned());
    engine.execute(&format!(
        "CREATE TABLE item (id int PRIMARY KEY, label {text}, big bigint, ratio double precision, price decimal(12,4))"
    ));
    for n in 0..400 {
        engine.execute(&format!(
            "INSERT INTO item VALUES ({n}, 'näme \"{n}\" with some text', {}, {}.1, {n}.2500)",
            (n as i64) << 50,
            n
        ));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = HostConfig::new(folder.path());
    config.allow_privileged_backend = true;
    let mut target = TargetSpec::parse(&format!("t={}", engine.url())).expect("a target");
    target.rows_max = 1_000;
    config.targets.push(target);
    let host = Host::open(config).expect("opens");
    let calls = [
        ("run_sql_readonly", json!({"sql": "SELECT * FROM item ORDER BY id", "max_rows": 1_000}), "rows"),
        (
            "sample_rows",
            json!({"schema": schema, "table": "item", "order_by": "id DESC", "limit": 150}),
            "rows",
        ),
        (
            "sample_distinct",
            json!({"schema": schema, "table": "item", "column": "label", "limit": 200}),
            "values",
        ),
    ];
    for (tool, arguments, list) in &calls {
        let whole = call(&host, tool, arguments);
        let (pages, joined) = joined(&host, tool, arguments);
        assert!(pages > 3, "{tool}: {pages} pages");
        assert_eq!(joined[list], whole[list], "{tool}");
        assert_eq!(joined["columns"], whole["columns"], "{tool}");
    }
    let (tool, mut arguments, list) = calls[0].clone();
    let whole = call(&host, tool, &arguments);
    arguments["max_tokens"] = 1_000.into();
    let cut = output(&host, "alice", tool, &arguments).expect("a page");
    let links: Vec<&String> = cut
        .content
        .iter()
        .filter_map(|block| match block {
            Content::ResourceLink { uri, .. } => Some(uri),
            _ => None,
        })
        .collect();
    assert_eq!((cut.content.len(), links.len()), (2, 1), "the page as text, and the link");
    assert_eq!(read(&host, "alice", links[0]).expect("reads")[list], whole[list]);
    assert_eq!(read(&host, "bob", links[0]), Err(ErrorCode::NotFound));
    host.close();
}

#[test]
fn live_pages_on_postgres() {
    if let Some(mut engine) = Engine::postgres("budgets") {
        on(&mut engine);
    }
}

#[test]
fn live_pages_on_mariadb() {
    if let Some(mut engine) = Engine::mariadb("budgets") {
        on(&mut engine);
    }
}

#[test]
fn live_pages_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    on(&mut Engine::sqlite(folder.path()));
}
