//! The configuration of a whole host: the listener moves under running calls, loads take effect at once, restarts keep all.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bridge_host::{Host, HostConfig, ListenerOverrides, ServerListener, TargetSpec};
use mcp::Scope;
use mcp_config::{AdminSession, Cell};
use serde_json::{Value, json};

/// Rounds of loads under parallel calls; each loads every module once.
const RELOADS: &str = "PENSTOCK_TEST_RELOADS";

struct World {
    host: Arc<Host>,
    listener: Arc<ServerListener>,
    token: String,
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

fn config(folder: &Path) -> HostConfig {
    let database = folder.join("shop.db");
    let connection = rusqlite::Connection::open(&database).expect("opens");
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY); INSERT INTO orders DEFAULT VALUES;",
        )
        .expect("fills");
    let mut config = HostConfig::new(folder.join("data"));
    config.targets.push(TargetSpec::parse(&format!("shop=sqlite:{}", database.display())).expect("a target"));
    config
}

impl World {
    /// A host that listens where its variables say, without TLS.
    fn new(folder: &Path) -> Self {
        let host = Arc::new(Host::open(config(folder)).expect("opens"));
        let token = host.issue_token("/mcp/query", "tester", Scope::Full).expect("a token");
        let world = Self::over(host, folder, token);
        world.run(&format!("SET mcp-port = {}", free_port()));
        world.run("SET mcp-use_ssl = false");
        world.run("SET mcp-enabled = true");
        world
    }

    fn over(host: Arc<Host>, folder: &Path, token: String) -> Self {
        let server = host.server_builder().build().expect("builds");
        host.attach_server(&server);
        let listener = ServerListener::new(server, folder.join("data"), ListenerOverrides::default(), 1);
        let listener = Arc::new(listener.expect("a runtime"));
        host.attach_listener(Arc::clone(&listener) as _).expect("follows");
        Self { host, listener, token }
    }

    fn try_run(&self, text: &str) -> Result<Vec<Vec<String>>, mcp::ToolError> {
        let reply = self.host.admin().execute(&AdminSession::local(), text, &[], 100)?;
        if let Some(report) = reply.report {
            return Ok(vec![vec![report]]);
        }
        Ok(reply.rows.iter().map(|row| row.iter().map(Cell::display).collect()).collect())
    }

    fn run(&self, text: &str) -> String {
        let rows = self.try_run(text).unwrap_or_else(|error| panic!("{text}: {error} {:?}", error.details));
        rows.iter().map(|row| row.join("|")).collect::<Vec<_>>().join("\n")
    }

    fn address(&self) -> SocketAddr {
        *self.listener.addresses().first().expect("it listens")
    }

    fn sql(&self, sql: &str) -> (u16, Value) {
        call(self.address(), &self.token, sql).expect("an answer")
    }
}

fn call(address: SocketAddr, token: &str, sql: &str) -> std::io::Result<(u16, Value)> {
    let params = json!({"name": "run_sql_readonly", "arguments": {"sql": sql}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
    let mut stream = TcpStream::connect(address)?;
    let head = format!(
        "POST /mcp/query HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    Ok((status, body["result"]["structuredContent"].clone()))
}

#[test]
fn only_a_load_to_runtime_opens_the_port() {
    let folder = tempfile::tempdir().expect("folder");
    let world = World::new(folder.path());
    assert!(world.listener.addresses().is_empty());
    world.run("SAVE MCP VARIABLES TO DISK");
    world.run("LOAD MCP VARIABLES FROM DISK");
    assert!(world.listener.addresses().is_empty(), "FROM DISK opened the port");
    assert!(world.run("LOAD MCP VARIABLES TO RUNTIME").contains("listening on 127.0.0.1:"));
    assert_eq!(world.sql("SELECT count(*) FROM orders").1["rows"], json!([[1]]));
    world.run("SET mcp-enabled = 0");
    let report = world.run("LOAD MCP VARIABLES TO RUNTIME");
    assert!(report.contains("not listening") && world.listener.addresses().is_empty(), "{report}");
    world.listener.stop();
    world.host.close();
}

#[test]
fn the_port_moves_while_calls_run_and_a_busy_one_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let world = Arc::new(World::new(folder.path()));
    world.run("UPDATE mcp_target_profiles SET timeout_ms = 0");
    world.run("LOAD MCP PROFILES TO RUNTIME");
    world.run("LOAD MCP VARIABLES TO RUNTIME");
    let old = world.address();
    let slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT count(*) FROM n";
    let caller = {
        let world = Arc::clone(&world);
        std::thread::spawn(move || call(old, &world.token, slow).expect("the running call is answered"))
    };
    while world.host.gateway().statistics().running().is_empty() && !caller.is_finished() {
        std::thread::yield_now();
    }
    let port = free_port();
    world.run(&format!("SET mcp-port = {port}"));
    world.run("LOAD MCP VARIABLES TO RUNTIME");
    assert_eq!(world.address().port(), port);
    assert_eq!(world.sql("SELECT 1").0, 200);
    let (status, answer) = caller.join().expect("joins");
    assert_eq!((status, &answer["rows"]), (200, &json!([[3_000_000]])), "{answer}");
    assert!(TcpStream::connect(old).is_err(), "the old port still answers");

    let taken = TcpListener::bind("127.0.0.1:0").expect("binds");
    let busy = taken.local_addr().expect("an address").port();
    world.run(&format!("SET mcp-port = {busy}"));
    let error = world.try_run("LOAD MCP VARIABLES TO RUNTIME").expect_err("must be refused");
    assert!(error.message.contains("cannot listen"), "{error}");
    assert_eq!((world.address().port(), world.sql("SELECT 1").0), (port, 200));
    assert!(world.run("SHOW MCP STATUS").contains("cannot listen"));
    world.run("SET mcp-ssl_cert_file = 'nothing.pem'");
    world.run("SET mcp-ssl_key_file = 'nothing.pem'");
    world.run("SET mcp-use_ssl = true");
    world.run(&format!("SET mcp-port = {port}"));
    assert!(world.try_run("LOAD MCP VARIABLES TO RUNTIME").is_err());
    assert_eq!(world.sql("SELECT 1").0, 200, "the previous state serves on");
    world.listener.stop();
    world.host.close();
}

#[test]
fn a_restart_keeps_tokens_rules_targets_and_variables() {
    let folder = tempfile::tempdir().expect("folder");
    let first = World::new(folder.path());
    first.run("INSERT INTO mcp_query_rules (rule_id, active, match_pattern, error_msg) VALUES (1, 1, 'orders', 'not these')");
    first.run("LOAD MCP QUERY RULES TO RUNTIME");
    first.run("LOAD MCP VARIABLES TO RUNTIME");
    for module in ["QUERY RULES", "VARIABLES", "PROFILES", "BACKENDS"] {
        first.run(&format!("SAVE MCP {module} TO DISK"));
    }
    let (port, token) = (first.address().port(), first.token.clone());
    first.listener.stop();
    first.host.close();
    drop(first);
    // Nothing on the command line: everything comes from disk.
    let host = Arc::new(Host::open(HostConfig::new(folder.path().join("data"))).expect("opens"));
    assert_eq!(host.targets().len(), 0, "rows of a command line are not those of another one");
    host.close();
    drop(host);
    let host = Arc::new(Host::open(config(folder.path())).expect("opens"));
    let second = World::over(host, folder.path(), token);
    assert_eq!(second.address().port(), port);
    let (status, answer) = second.sql("SELECT * FROM orders");
    assert_eq!((status, &answer["error"]["message"]), (200, &json!("not these")));
    second.run("DELETE FROM mcp_query_rules");
    second.run("LOAD MCP QUERY RULES TO RUNTIME");
    assert!(second.sql("SELECT * FROM orders").1["rows"].is_array());
    second.run("INSERT INTO mcp_query_rules (rule_id, match_pattern) VALUES (2, '(')");
    let error = second.try_run("LOAD MCP QUERY RULES TO RUNTIME").expect_err("is refused");
    assert_eq!(error.details["rule_id"], 2, "{error}");
    second.listener.stop();
    second.host.close();
}

#[test]
fn column_and_cost_rules_act_from_the_next_call_on() {
    let folder = tempfile::tempdir().expect("folder");
    let world = World::new(folder.path());
    world.run("LOAD MCP VARIABLES TO RUNTIME");
    let plain = world.sql("SELECT id FROM orders").1;
    assert!(plain["rows"][0][0].is_i64(), "{plain}");
    world.run("INSERT INTO mcp_column_rules (rule_id, table_name, column_name, action) VALUES (1, 'ord*', 'id', 'mask')");
    assert_eq!(world.sql("SELECT id FROM orders").1["rows"], plain["rows"], "memory alone changes nothing");
    assert_eq!(world.run("LOAD MCP COLUMN RULES TO RUNTIME"), "1 active and 0 inactive rules");
    assert_eq!(world.sql("SELECT id FROM orders").1["rows"][0], json!(["***"]));
    assert_eq!(world.sql("SELECT id + 0 FROM orders").1["error"]["details"]["reason"], "column_rule");
    world.run("SAVE MCP COLUMN RULES TO DISK");
    world.run("UPDATE mcp_column_rules SET caller = 'somebody-else'");
    world.run("LOAD MCP COLUMN RULES TO RUNTIME");
    assert_eq!(world.sql("SELECT id FROM orders").1["rows"], plain["rows"], "the rule is another caller's");
    world.run("LOAD MCP COLUMN RULES FROM DISK");
    world.run("LOAD MCP COLUMN RULES TO RUNTIME");
    assert_eq!(world.sql("SELECT id FROM orders").1["rows"][0], json!(["***"]));
    assert!(world.try_run("INSERT INTO mcp_column_rules (action) VALUES ('hide')").is_err());
    world.run("UPDATE mcp_column_rules SET active = 0");
    world.run("LOAD MCP COLUMN RULES TO RUNTIME");

    // SQLite's plans estimate nothing, and what cannot be proven cheap does not run.
    world.run("INSERT INTO mcp_cost_rules (rule_id, max_estimated_rows) VALUES (1, 10)");
    world.run("LOAD MCP COST RULES TO RUNTIME");
    let refused = world.sql("SELECT id FROM orders").1;
    assert_eq!(refused["error"]["code"], "FAILED_PRECONDITION", "{refused}");
    world.run("INSERT INTO mcp_cost_rules (rule_id) VALUES (2)");
    assert!(world.try_run("LOAD MCP COST RULES TO RUNTIME").is_err(), "a rule that bounds nothing");
    world.run("DELETE FROM mcp_cost_rules");
    world.run("LOAD MCP COST RULES TO RUNTIME");
    assert_eq!(world.sql("SELECT id FROM orders").1["rows"], plain["rows"]);
    // A hash keeps its value across a restart when its secret is set, and the secret is never read back.
    world.run("SET mcp-column_hash_key = 'a secret of columns'");
    world.run("LOAD MCP VARIABLES TO RUNTIME");
    assert!(!world.run("SHOW MCP VARIABLES LIKE 'column%'").contains("a secret"));
    world.listener.stop();
    world.host.close();
}

#[test]
fn loads_under_parallel_calls_break_none_and_mix_nothing() {
    const CALLERS: usize = 64;
    let folder = tempfile::tempdir().expect("folder");
    let world = Arc::new(World::new(folder.path()));
    world.run("LOAD MCP VARIABLES TO RUNTIME");
    // Both rules of one set carry the same number: an answer that matched two numbers saw half a load.
    let set = |n: i64| {
        world.run("DELETE FROM mcp_query_rules");
        world.run(&format!(
            "INSERT INTO mcp_query_rules (rule_id, active, apply, cache_ttl_ms) VALUES ({}, 1, 0, 0), ({}, 1, 0, 0)",
            10 + n,
            20 + n
        ));
        world.run("LOAD MCP QUERY RULES TO RUNTIME");
    };
    set(1);
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let loading = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (world, stop, calls) = (Arc::clone(&world), Arc::clone(&stop), Arc::clone(&calls));
            let loading = Arc::clone(&loading);
            std::thread::spawn(move || {
                let mut times: [Vec<Duration>; 2] = Default::default();
                while !stop.load(Ordering::Relaxed) {
                    let (is_loading, started) = (loading.load(Ordering::Relaxed), Instant::now());
                    let (status, answer) = world.sql("SELECT count(*) FROM orders");
                    assert_eq!((status, &answer["rows"]), (200, &json!([[1]])), "{answer}");
                    let matched = answer["rules_matched"].as_array().expect("rules matched").clone();
                    let numbers: Vec<i64> =
                        matched.iter().filter_map(Value::as_i64).map(|id| id % 10).collect();
                    assert!(numbers.len() == 2 && numbers[0] == numbers[1], "a mixed set: {matched:?}");
                    calls.fetch_add(1, Ordering::Relaxed);
                    times[usize::from(is_loading)].push(started.elapsed());
                }
                times
            })
        })
        .collect();
    let reloads: i64 = std::env::var(RELOADS).ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let quiet_until = u32::try_from(reloads * 40).expect("few");
    while calls.load(Ordering::Relaxed) < quiet_until && callers.iter().all(|caller| !caller.is_finished()) {
        std::thread::sleep(Duration::from_millis(5));
    }
    loading.store(true, Ordering::Relaxed);
    // A load, then a call or so of each client, then the next load.
    let pace = || {
        let until = calls.load(Ordering::Relaxed) + u32::try_from(CALLERS).expect("few");
        while calls.load(Ordering::Relaxed) < until && callers.iter().all(|caller| !caller.is_finished()) {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    for n in 0..reloads {
        set(1 + n % 2);
        pace();
        world.run(&format!("UPDATE mcp_backends SET weight = {}", 1 + n));
        world.run("LOAD MCP BACKENDS TO RUNTIME");
        pace();
        world.run(&format!("UPDATE mcp_target_profiles SET max_rows = {}", 100 + n));
        world.run("LOAD MCP PROFILES TO RUNTIME");
        pace();
        world.run(&format!("SET mcp-max_rows_hard = {}", 10_000 + n));
        for module in ["VARIABLES", "TOKENS", "COLUMN RULES", "COST RULES"] {
            world.run(&format!("LOAD MCP {module} TO RUNTIME"));
            pace();
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut times: [Vec<Duration>; 2] = Default::default();
    for caller in callers {
        for (all, own) in times.iter_mut().zip(caller.join().expect("no call fails")) {
            all.extend(own);
        }
    }
    for (name, all) in ["without loads", "during loads"].iter().zip(&mut times) {
        all.sort_unstable();
        let p = |share: usize| all.get(all.len() * share / 100).copied().unwrap_or_default();
        eprintln!("{name}: {} calls, p50 {:?}, p99 {:?}", all.len(), p(50), p(99));
    }
    world.run("UPDATE mcp_backends SET status = 'OFFLINE_SOFT'");
    world.run("LOAD MCP BACKENDS TO RUNTIME");
    assert_eq!(world.sql("SELECT 1").1["error"]["code"], "FAILED_PRECONDITION", "no target can be used");
    world.run("DELETE FROM mcp_endpoint_tokens");
    world.run("LOAD MCP TOKENS TO RUNTIME");
    assert_eq!(world.sql("SELECT 1").0, 401, "an empty token set closes the endpoint");
    world.listener.stop();
    world.host.close();
}
