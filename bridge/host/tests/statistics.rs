//! Statistics of a whole host: the endpoint on real servers, tables by admin SQL, what outlives a restart, and the scraped metrics.

#![expect(clippy::print_stderr, reason = "a skipped suite says so")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge_host::{Host, HostConfig, ListenerOverrides, ServerListener, TargetSpec};
use mcp::{CallContext, Caller, ErrorCode, Scope, ToolError, ToolSet as _};
use mcp_config::{AdminSession, Cell};
use serde_json::{Map, Value, json};

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn host(folder: &Path, target: &str) -> Arc<Host> {
    let mut config = HostConfig::new(folder.join("data"));
    // The servers of tests give the account of their superuser.
    config.allow_privileged_backend = true;
    config.targets.push(TargetSpec::parse(target).expect("a target"));
    Arc::new(Host::open(config).expect("opens"))
}

fn shop(folder: &Path) -> String {
    let file = folder.join("shop.db");
    let tables = "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, status TEXT); INSERT INTO orders DEFAULT VALUES;";
    rusqlite::Connection::open(&file).expect("opens").execute_batch(tables).expect("fills");
    format!("shop=sqlite:{}", file.display())
}

/// Calls a tool as a server does, and holds the answer to the tool's own schema.
fn call(host: &Host, endpoint: &str, tool: &str, arguments: Value) -> Result<Value, ToolError> {
    let cx = CallContext::new(Caller::new("ops", Scope::Full), endpoint);
    let tools = host.registry().tool_set(endpoint);
    let spec = tools.find(&cx.caller, tool).unwrap_or_else(|| panic!("{tool} is there"));
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let answer = tools.call(&cx, tool, arguments).map(|o| o.structured_value().expect("a structured answer"));
    let value = answer.clone().unwrap_or_else(|error| error.to_value());
    let schema = jsonschema::validator_for(spec.output_schema.as_ref().expect("a schema")).expect("valid");
    let faults: Vec<_> = schema.iter_errors(&value).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{tool} breaks its own schema: {faults:?} in {value}");
    answer
}

fn stats(host: &Host, tool: &str, arguments: Value) -> Value {
    call(host, "/mcp/stats", tool, arguments).unwrap_or_else(|e| panic!("{tool}: {e} {:?}", e.details))
}

fn sql(host: &Host, text: &str) -> Result<Value, ToolError> {
    call(host, "/mcp/query", "run_sql_readonly", json!({"sql": text}))
}

fn admin(host: &Host, text: &str) -> Vec<Vec<Cell>> {
    let reply = host.admin().execute(&AdminSession::local(), text, &[], 1_000);
    reply.unwrap_or_else(|error| panic!("{text}: {error} {:?}", error.details)).rows
}

fn set(host: &Host, variable: &str, value: &str) {
    admin(host, &format!("SET mcp-{variable} = '{value}'"));
    admin(host, "LOAD MCP VARIABLES TO RUNTIME");
}

#[test]
fn admin_sql_reads_the_tables_and_their_history() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = host(folder.path(), &shop(folder.path()));
    sql(&host, "SELECT count(*) FROM orders").expect("answers");
    sql(&host, "SELECT count(*) FROM orders").expect("answers");
    let digests = admin(&host, "SELECT tool_name, count_star, digest, p95_time FROM stats_mcp_query_digest");
    assert_eq!(digests[0][..2], [Cell::text("run_sql_readonly"), Cell::Integer(2)]);
    let tools =
        admin(&host, "SELECT tool, count FROM stats.stats_mcp_query_tools_counters WHERE endpoint = 'QUERY'");
    assert_eq!(tools, [[Cell::text("run_sql_readonly"), Cell::Integer(2)]]);
    let usage =
        call(&host, "/mcp/query", "stats.get_tool_usage", json!({"endpoint": "QUERY"})).expect("counts");
    assert_eq!(usage["usage"]["QUERY"]["run_sql_readonly"][""]["count"], 2, "{usage}");
    assert_eq!(admin(&host, "SELECT * FROM stats_mcp_query_digest_reset").len(), 1);
    assert!(admin(&host, "SELECT * FROM stats_mcp_query_digest").is_empty());
    stats(&host, "flush_query_log", json!({"destination": "both"}));
    let events =
        admin(&host, "SELECT tool, query FROM stats_history.history_mcp_query_events ORDER BY event_id");
    assert_eq!(events[0][1], Cell::text("SELECT count(*) FROM orders"));
    assert_eq!(admin(&host, "SELECT * FROM stats_mcp_query_events").len(), 2);
    let until = Instant::now() + PATIENCE;
    while admin(&host, "SELECT * FROM stats_history.mcp_pool").is_empty() {
        assert!(Instant::now() < until, "no sample was taken");
        std::thread::sleep(Duration::from_millis(50));
    }
    let rows = admin(&host, "SELECT Variable_name FROM stats_genai_global WHERE Variable_name LIKE 'mcp_%'");
    let names: BTreeSet<_> = rows.iter().map(|row| row[0].display()).collect();
    for name in ["mcp_total_requests", "mcp_rate_limited", "mcp_log_rows_dropped", "mcp_uptime_s"] {
        assert!(names.contains(name), "{name} is missing in {names:?}");
    }
}

#[test]
fn digests_outlive_a_restart_and_variables_act_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = shop(folder.path());
    let first = host(folder.path(), &target);
    sql(&first, "SELECT 1").expect("answers");
    first.close();
    drop(first);
    let second = host(folder.path(), &target);
    assert_eq!(stats(&second, "show_queries", json!({}))["summary"]["total_queries"], 1);
    let listed = |host: &Host| {
        let tools = host.registry().tool_set("/mcp/stats").list(&Caller::new("ops", Scope::Full));
        tools.iter().any(|tool| tool.name == "show_free_connections")
    };
    assert!(!listed(&second));
    let refused = call(&second, "/mcp/stats", "show_free_connections", json!({})).expect_err("is off");
    assert_eq!(
        (refused.code, &refused.details["reason"]),
        (ErrorCode::FailedPrecondition, &json!("debug_tools_off"))
    );
    set(&second, "stats_enable_debug_tools", "true");
    assert!(listed(&second));
    stats(&second, "show_free_connections", json!({}));
    set(&second, "stats_show_queries_max_rows", "1");
    assert_eq!(stats(&second, "show_queries", json!({"limit": 50}))["effective_limit"], 1);
    set(&second, "query_log_buffer_events", "0");
    sql(&second, "SELECT 2").expect("answers");
    assert_eq!(stats(&second, "flush_query_log", json!({}))["events_flushed"], 0);
    set(&second, "stats_path", "elsewhere.db");
    stats(&second, "flush_queries", json!({}));
    assert_eq!(
        admin(&second, "SELECT DISTINCT dump_time FROM stats_history.history_mcp_query_digest").len(),
        1
    );
    assert!(folder.path().join("data/elsewhere.db").exists());
    let refused =
        second.admin().execute(&AdminSession::local(), "SET mcp-stats_path = '/no/such/folder/s.db'", &[], 1);
    refused.expect("memory takes any path");
    let refused = second.admin().execute(&AdminSession::local(), "LOAD MCP VARIABLES TO RUNTIME", &[], 1);
    assert_eq!(refused.expect_err("cannot be opened").code, ErrorCode::FailedPrecondition);
    assert_eq!(
        stats(&second, "show_query_history", json!({}))["summary"]["total_snapshots"],
        1,
        "the old one stays"
    );
    let cx = CallContext::new(Caller::new("reader", Scope::Read), "/mcp/stats");
    let error = second.registry().tool_set("/mcp/stats").call(&cx, "flush_queries", Map::new());
    assert_eq!(error.expect_err("lacks the scope").code, ErrorCode::PermissionDenied);
}

/// What differs between the engines.
struct Engine {
    target: String,
    db_type: &'static str,
    /// A statement that runs for a while.
    slow: &'static str,
    /// A statement that the server refuses, and the filter that finds its error.
    wrong: (&'static str, Value),
    /// Tools that the engine or its settings have nothing for, with the reason.
    lacks: &'static [(&'static str, &'static [&'static str])],
}

fn engines(folder: &Path) -> Vec<Engine> {
    let mut engines = vec![Engine {
        target: shop(folder),
        db_type: "sqlite",
        slow: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) SELECT count(*) FROM n",
        wrong: ("", json!({})),
        lacks: &[
            ("show_prepared_statements", &["host_keeps_no_prepared_statements"]),
            ("show_gtid", &["engine_lacks_concept"]),
            ("show_cluster", &["engine_lacks_concept"]),
        ],
    }];
    let read = |name: &str| {
        let url = std::env::var(name).ok();
        if url.is_none() {
            eprintln!("SKIPPED: {name} names no server");
        }
        url
    };
    if let Some(url) = read("PENSTOCK_TEST_MARIADB_URL") {
        engines.push(Engine {
            target: format!("live={url}"),
            db_type: "mysql",
            slow: "SELECT count(*) FROM information_schema.columns a, information_schema.columns b, information_schema.columns c",
            wrong: ("SELECT nothing FROM information_schema.tables", json!({"errno": 1054})),
            lacks: &[
                ("show_prepared_statements", &["performance_schema_off"]),
                ("show_gtid", &["no_position"]),
            ],
        });
    }
    if let Some(url) = read("PENSTOCK_TEST_POSTGRES_URL") {
        engines.push(Engine {
            target: format!("live={url}"),
            db_type: "pgsql",
            slow: "SELECT count(*) FROM generate_series(1, 10000000000)",
            wrong: ("SELECT nothing FROM pg_class", json!({"sqlstate": "42703"})),
            lacks: &[("show_prepared_statements", &["host_keeps_no_prepared_statements"])],
        });
    }
    engines
}

#[test]
fn every_tool_answers_on_every_engine_or_says_what_it_lacks() {
    let folder = tempfile::tempdir().expect("a folder");
    for (at, engine) in engines(folder.path()).into_iter().enumerate() {
        let own = folder.path().join(at.to_string());
        std::fs::create_dir(&own).expect("a folder");
        let host = host(&own, &engine.target);
        set(&host, "stats_enable_debug_tools", "true");
        sql(&host, "SELECT 1").expect("answers");
        if !engine.wrong.0.is_empty() {
            sql(&host, engine.wrong.0).expect_err("is wrong");
        }
        let tools = host.registry().tool_set("/mcp/stats").list(&Caller::new("ops", Scope::Full));
        assert_eq!(tools.len(), 20);
        for tool in &tools {
            let lacks =
                engine.lacks.iter().find(|(name, _)| *name == tool.name).map_or(&[][..], |(_, why)| why);
            match call(&host, "/mcp/stats", &tool.name, json!({})) {
                Ok(_) => {}
                Err(error) => {
                    let reason = error.details.get("reason").and_then(Value::as_str).unwrap_or_default();
                    assert_eq!(
                        error.code,
                        ErrorCode::FailedPrecondition,
                        "{} {}: {error}",
                        engine.db_type,
                        tool.name
                    );
                    assert!(lacks.contains(&reason), "{} {}: {error} ({reason})", engine.db_type, tool.name);
                }
            }
        }
        both_origins(&host, &engine);
        what_was_counted(&host, &engine);
        what_runs_now(&host, &engine);
    }
}

/// Families that an engine keeps itself are asked on both sides.
fn both_origins(host: &Host, engine: &Engine) {
    for tool in [
        "show_status",
        "show_processlist",
        "show_queries",
        "show_commands",
        "show_errors",
        "show_users",
        "show_client_cache",
    ] {
        for origin in ["host", "backend"] {
            match call(host, "/mcp/stats", tool, json!({"origin": origin})) {
                Ok(answer) => {
                    assert_eq!(
                        (&answer["origin"], &answer["db_type"]),
                        (&json!(origin), &json!(engine.db_type))
                    );
                }
                Err(error) => {
                    assert_eq!(origin, "backend", "{tool}: {error}");
                    assert_eq!(error.code, ErrorCode::FailedPrecondition, "{tool}: {error}");
                    assert!(error.details["reason"].is_string(), "{tool}: {error}");
                }
            }
        }
    }
    let status = stats(host, "show_status", json!({"origin": "backend"}));
    assert!(status["variables"].as_array().expect("a list").len() > 5, "{status}");
    if engine.db_type == "pgsql" {
        assert!(status.to_string().contains("wal.wal_records"), "{status}");
    }
    if engine.db_type != "sqlite" {
        let users = stats(host, "show_users", json!({}));
        assert!(users["summary"]["total_connections"].as_u64().expect("a number") > 0, "{users}");
        let cluster = stats(host, "show_cluster", json!({}));
        assert_eq!((&cluster["cluster_health"], &cluster["nodes"]), (&json!("not_configured"), &json!([])));
    }
}

/// The flush has taken the digests; pools and errors are still there.
fn what_was_counted(host: &Host, engine: &Engine) {
    let snapshot = stats(host, "show_query_history", json!({"max_snapshots": 1}));
    assert!(snapshot["snapshots"][0]["total"].as_u64().expect("a number") >= 1, "{snapshot}");
    let pools = stats(host, "show_connections", json!({}));
    let server = &pools["servers"][0];
    assert!(server["bytes_data_sent"].as_u64().expect("a number") > 0, "{server}");
    assert_eq!(server["srv_port"].is_number(), engine.db_type != "sqlite", "{server}");
    if !engine.wrong.0.is_empty() {
        let errors = stats(host, "show_errors", engine.wrong.1.clone());
        assert_eq!(errors["total_error_count"], 1, "{errors}");
        let row = &errors["errors"][0];
        assert_eq!((&row["hostname"], &row["port"]), (&server["srv_host"], &server["srv_port"]), "{row}");
    }
}

/// A statement of an agent shows up among the server's own sessions.
fn what_runs_now(host: &Arc<Host>, engine: &Engine) {
    let (agent, slow) = (Arc::clone(host), engine.slow);
    let runner = std::thread::spawn(move || sql(&agent, slow));
    let until = Instant::now() + PATIENCE;
    // SQLite's sessions are statements of this server, shown without literals.
    let found = loop {
        let running = stats(host, "show_processlist", json!({"match_info": "count\\("}));
        if let Some(session) = running["sessions"].as_array().and_then(|list| list.first()) {
            break session.clone();
        }
        if runner.is_finished() {
            assert!(Instant::now() < until, "the statement never showed up: {running}");
            return what_runs_now(host, engine);
        }
    };
    assert_eq!(found["target_id"], if engine.db_type == "sqlite" { "shop" } else { "live" }, "{found}");
    assert_eq!(found["backend_pid"].is_number(), engine.db_type == "pgsql", "{found}");
    let ended = runner.join().expect("ends");
    assert!(ended.is_err(), "its target's time limit ends it");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("an address").port()
}

fn request(address: SocketAddr, token: &str, method: &str, path: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).expect("connects");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/plain\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("reads");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

type Labels = BTreeMap<String, String>;

/// Type and samples of each family.
type Families = BTreeMap<String, (String, Vec<(String, Labels, f64)>)>;

/// The text format, read strictly: every sample belongs to the family announced last, every label is closed.
fn parse(text: &str) -> Families {
    let mut families: Families = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.split_once(' ').is_some_and(|(_, help)| !help.is_empty()), "{line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            let known = families.insert(name.to_owned(), (kind.to_owned(), Vec::new()));
            assert!(known.is_none(), "{name} is announced twice");
            current = name.to_owned();
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        let (name, labels) = match sample.split_once('{') {
            Some((name, rest)) => (name, labels(rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}")))),
            None => (sample, Labels::new()),
        };
        let (kind, samples) = families.get_mut(&current).unwrap_or_else(|| panic!("no family before {line}"));
        let base = if kind == "histogram" {
            let parts = ["_bucket", "_sum", "_count"];
            parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or_else(|| panic!("{line}"))
        } else {
            name
        };
        assert_eq!(base, current, "{line}");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{line}");
        assert!(
            samples.iter().all(|(n, l, _)| n != name || *l != labels),
            "the sample is there twice: {line}"
        );
        samples.push((name.to_owned(), labels, value));
    }
    families
}

fn labels(text: &str) -> Labels {
    let mut labels = Labels::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, tail) = rest.split_once("=\"").unwrap_or_else(|| panic!("{text}"));
        let (mut value, mut chars) = (String::new(), tail.char_indices());
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("{text} is not closed")) {
                (at, '"') => break at,
                (_, '\\') => value.push(chars.next().expect("an escape").1),
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "{name} is there twice in {text}");
        rest = tail[end + 1..].trim_start_matches(',');
    }
    labels
}

#[test]
fn metrics_are_scraped_from_a_running_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = host(folder.path(), &shop(folder.path()));
    let query = host.issue_token("/mcp/query", "analyst", Scope::Full).expect("a token");
    let observe = host.issue_token("/mcp/observe", "scraper", Scope::Read).expect("a token");
    admin(
        &host,
        "INSERT INTO mcp_query_rules (rule_id, active, match_pattern, error_msg) VALUES (7, 1, 'forbidden', 'no')",
    );
    admin(&host, "LOAD MCP QUERY RULES TO RUNTIME");
    let server = host.server_builder().build().expect("builds");
    host.attach_server(&server);
    let listener = ServerListener::new(server, folder.path().join("data"), ListenerOverrides::default(), 1);
    let listener = Arc::new(listener.expect("a runtime"));
    host.attach_listener(Arc::clone(&listener) as _).expect("follows");
    for (name, value) in
        [("port", free_port().to_string()), ("use_ssl", "false".to_owned()), ("enabled", "true".to_owned())]
    {
        admin(&host, &format!("SET mcp-{name} = '{value}'"));
    }
    admin(&host, "LOAD MCP VARIABLES TO RUNTIME");
    let address = *listener.addresses().first().expect("it listens");
    let ask = |text: &str| {
        let params = json!({"name": "run_sql_readonly", "arguments": {"sql": text}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
        request(address, &query, "POST", "/mcp/query", &body).0
    };
    for text in [
        "SELECT 1",
        "SELECT 'planted-literal'",
        "SELECT 'forbidden'",
        "DELETE FROM orders",
        "SELECT load_extension('x')",
    ] {
        assert_eq!(ask(text), 200, "{text}");
    }
    assert_eq!(request(address, "wrong-token-0123456789", "POST", "/mcp/query", "{}").0, 401);
    let scrape = |token: &str| request(address, token, "GET", "/metrics", "");
    assert_eq!(scrape(&observe).0, 404, "it is off");
    set(&host, "metrics_enabled", "true");
    assert_eq!(scrape(&query).0, 401, "a token of another endpoint opens nothing");
    let until = Instant::now() + PATIENCE;
    let (families, text) = loop {
        let (status, head, text) = scrape(&observe);
        assert_eq!(status, 200);
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        let families = parse(&text);
        // Calls are counted when their answers have been sent.
        let counted: f64 = families["proxysql_mcp_requests_total"].1.iter().map(|(_, _, n)| n).sum();
        if counted >= 5.0 {
            break (families, text);
        }
        assert!(Instant::now() < until, "{text}");
    };
    for name in [
        "requests_total",
        "request_duration_seconds",
        "inflight_requests",
        "auth_failures_total",
        "rule_hits_total",
        "gate_refusals_total",
        "pool_connections",
        "pool_wait_seconds",
        "backend_errors_total",
        "cache_events_total",
        "cache_bytes",
        "harvest_seconds",
        "harvest_objects",
        "listener_up",
    ] {
        assert!(families.contains_key(&format!("proxysql_mcp_{name}")), "{name} is missing");
    }
    assert!(
        families.keys().any(|name| name.starts_with("proxysql_genai_")),
        "models and detector are there too"
    );
    let value = |name: &str, wanted: &[(&str, &str)]| -> f64 {
        let samples = &families[name].1;
        let fits = |labels: &Labels| wanted.iter().all(|(k, v)| labels.get(*k).is_some_and(|is| is == v));
        samples.iter().filter(|(_, labels, _)| fits(labels)).map(|(_, _, value)| value).sum()
    };
    let outcome =
        |outcome| value("proxysql_mcp_requests_total", &[("tool", "run_sql_readonly"), ("outcome", outcome)]);
    assert_eq!((outcome("ok"), outcome("PERMISSION_DENIED")), (2.0, 3.0), "{text}");
    assert_eq!(
        value("proxysql_mcp_auth_failures_total", &[("reason", "invalid_token"), ("endpoint", "/mcp/query")]),
        1.0
    );
    assert_eq!(value("proxysql_mcp_rule_hits_total", &[("rule_id", "7"), ("action", "block")]), 1.0);
    assert_eq!(value("proxysql_mcp_gate_refusals_total", &[]), 2.0);
    assert_eq!(value("proxysql_mcp_listener_up", &[]), 1.0);
    histograms_add_up(&families);
    assert!(!text.contains("caller="), "callers are no label unless an operator wants it");
    set(&host, "metrics_caller_label", "true");
    let (_, _, labelled) = scrape(&observe);
    assert!(labelled.contains("caller=\"analyst\""), "{labelled}");
    for secret in [query.as_str(), observe.as_str(), "wrong-token", "planted-literal", "load_extension"] {
        assert!(!labelled.contains(secret), "{secret} is in the metrics");
    }
    parse(&labelled);
    let shown = call(&host, "/mcp/observe", "show_metrics", json!({"format": "prometheus"})).expect("shows");
    parse(shown["text"].as_str().expect("text"));
    let health = call(&host, "/mcp/observe", "get_health", json!({})).expect("looks");
    let checked: BTreeSet<_> =
        health["checks"].as_array().expect("a list").iter().filter_map(|c| c["component"].as_str()).collect();
    for component in ["listener", "catalog", "fts", "stats_store", "cache", "target", "pool", "disk", "host"]
    {
        assert!(checked.contains(component), "{component} is not checked: {checked:?}");
    }
    listener.stop();
}

fn histograms_add_up(families: &Families) {
    for (name, (kind, samples)) in families.iter().filter(|(_, (kind, _))| kind == "histogram") {
        let mut last: BTreeMap<Labels, f64> = BTreeMap::new();
        for (sample, labels, value) in samples.iter().filter(|(sample, _, _)| sample.ends_with("_bucket")) {
            let mut labels = labels.clone();
            assert!(labels.remove("le").is_some(), "{sample}");
            let before = last.insert(labels, *value).unwrap_or(0.0);
            assert!(before <= *value, "{name} of kind {kind} falls from {before} to {value}");
        }
        for (_, labels, count) in samples.iter().filter(|(sample, _, _)| sample.ends_with("_count")) {
            assert_eq!(last.get(labels), Some(count), "{name}: the last bucket holds all");
        }
    }
}

#[test]
fn a_shunned_server_tells_until_when() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = host(folder.path(), &format!("gone=mysql://root@127.0.0.1:{}/", free_port()));
    set(&host, "pool_shun_failures", "1");
    set(&host, "pool_shun_ms", "600000");
    sql(&host, "SELECT 1").expect_err("nobody listens there");
    let row = &admin(&host, "SELECT status, shunned_until, unixepoch() FROM runtime_mcp_backends")[0];
    assert_eq!(row[0], Cell::text("SHUNNED"));
    let ahead = row[1].as_int().expect("a moment") - row[2].as_int().expect("now");
    assert!((500..=601).contains(&ahead), "{ahead} s");
    let pools = stats(&host, "show_connections", json!({"status": "SHUNNED"}));
    assert_eq!(pools["servers"][0]["conn_err"], 1, "{pools}");
    let errors = stats(&host, "show_errors", json!({"target_id": "gone"}));
    assert_eq!(errors["errors"][0]["hostname"], "127.0.0.1", "{errors}");
}

#[test]
fn identities_of_the_server_have_names_scopes_and_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = host(folder.path(), &shop(folder.path()));
    let secret = host.issue_token("/mcp/query", "analyst", Scope::Write).expect("a token");
    host.issue_token("/mcp/query", "default", Scope::Full).expect("a token");
    admin(
        &host,
        "INSERT INTO mcp_endpoint_tokens (endpoint, token_name, token, scopes, active) VALUES ('cache', 'old', 'planted-token-0123456789', 'read', 0)",
    );
    admin(&host, "LOAD MCP TOKENS TO RUNTIME");
    let listed = call(&host, "/mcp/admin", "admin_list_users", json!({"source": "server"})).expect("lists");
    let users = listed["users"].as_array().expect("a list");
    let of = |name: &str| {
        users.iter().find(|user| user["username"] == name).unwrap_or_else(|| panic!("{name} in {listed}"))
    };
    assert_eq!((&of("analyst")["kind"], &of("analyst")["scopes"]), (&json!("token"), &json!(["write"])));
    assert_eq!((&of("old")["active"], &of("old")["endpoint"]), (&json!(false), &json!("/mcp/cache")));
    assert_eq!(of("default")["scopes"], json!(["full"]));
    assert_eq!(of("cli:shop")["kind"], "auth_profile");
    assert!(!listed.to_string().contains(&secret) && !listed.to_string().contains("planted"), "{listed}");
    let some = json!({"source": "server", "filter": "ana%"});
    let some = call(&host, "/mcp/admin", "admin_list_users", some).expect("lists");
    assert_eq!(some["users"].as_array().expect("a list").len(), 1);
}
