//! The newcomer's first minutes: one command, an answer over HTTP and over stdio, a clean end, a quick second start.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const TOKEN: &str = "first-run-token";

struct Server {
    child: Child,
    address: String,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Server {
    fn start(folder: &std::path::Path, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_serve"));
        command
            .arg("--data-dir")
            .arg(folder)
            .args(["--listen", "127.0.0.1:0", "--no-tls", "--token", TOKEN])
            .args(more);
        let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().expect("starts");
        let (send, lines) = std::sync::mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let mut server = Self { child, address: String::new(), lines };
        let line = server.line(" serves http://");
        server.address = line.rsplit("http://").next().expect("an address").to_owned();
        server
    }

    /// The next line with `text` in it; fails after a minute.
    fn line(&self, text: &str) -> String {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no line with {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends a request; who drops the stream has left.
    fn send(&self, endpoint: &str, method: &str, params: &Value) -> TcpStream {
        let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string();
        let mut stream = TcpStream::connect(&self.address).expect("connects");
        let head = format!(
            "POST {endpoint} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).expect("sends");
        stream
    }

    fn call(&self, endpoint: &str, method: &str, params: &Value) -> Value {
        let mut stream = self.send(endpoint, method, params);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        let answer: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}"));
        assert_eq!(answer["id"], 7);
        answer["result"].clone()
    }

    fn sql(&self, sql: &str) -> Value {
        let result = self.call(
            "/mcp/query",
            "tools/call",
            &json!({"name": "run_sql_readonly", "arguments": {"sql": sql}}),
        );
        result["structuredContent"].clone()
    }

    /// SIGTERM, then the exit status.
    fn stop(mut self) -> std::process::ExitStatus {
        let told =
            Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(told.success());
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().expect("waits") {
                return status;
            }
            assert!(Instant::now() < until, "the server does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_sample_is_served_and_kept_for_the_second_start() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let tools = server.call("/mcp/query", "tools/list", &json!({}));
    assert!(tools["tools"].as_array().is_some_and(|t| t.len() > 10), "{tools}");
    let answer = server.sql("SELECT count(*) FROM orders");
    assert_eq!(answer["rows"], json!([[13_000]]), "{answer}");
    let refused = server.sql("DELETE FROM orders");
    assert_eq!(refused["error"]["code"], "PERMISSION_DENIED", "{refused}");
    assert_eq!(server.sql("SELECT count(*) FROM orders")["rows"], json!([[13_000]]));
    assert!(server.stop().success());
    let written =
        std::fs::metadata(folder.path().join("sample.sqlite")).expect("kept").modified().expect("time");
    let again = Server::start(folder.path(), &[]);
    assert_eq!(again.sql("SELECT count(*) FROM customers")["rows"], json!([[5_000]]));
    assert_eq!(
        std::fs::metadata(folder.path().join("sample.sqlite")).expect("kept").modified().expect("time"),
        written
    );
    assert!(again.stop().success());
}

#[test]
fn a_file_of_ones_own_is_served_under_its_name() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("my data.db");
    let connection = rusqlite::Connection::open(&file).expect("opens");
    connection.execute_batch("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (41), (42)").expect("fills");
    let server = Server::start(&folder.path().join("state"), &["--sqlite", file.to_str().expect("text")]);
    let targets = server.call("/mcp/query", "tools/call", &json!({"name": "list_targets", "arguments": {}}));
    assert_eq!(targets["structuredContent"]["targets"][0]["target_id"], "my_data", "{targets}");
    assert_eq!(server.sql("SELECT max(a) FROM t")["rows"], json!([[42]]));
    assert!(server.stop().success());
}

#[test]
fn standard_input_and_output_carry_the_same_tools() {
    let folder = tempfile::tempdir().expect("folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_serve"));
    command.arg("--data-dir").arg(folder.path()).args(["--stdio", "query"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let mut input = child.stdin.take().expect("piped");
    let mut output = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut ask = |id: i32, method: &str, params: Value| {
        writeln!(input, "{}", json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .expect("sends");
        loop {
            let line = output.next().expect("an answer").expect("text");
            let answer: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
            if answer["id"] == id {
                return answer["result"].clone();
            }
        }
    };
    let client = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}});
    assert_eq!(ask(1, "initialize", client)["protocolVersion"], "2025-11-25");
    let call = json!({"name": "run_sql_readonly", "arguments": {"sql": "SELECT count(*) FROM regions"}});
    assert_eq!(ask(2, "tools/call", call)["structuredContent"]["rows"], json!([[5]]));
    drop(input);
    assert!(child.wait().expect("ends").success());
}

#[test]
fn what_would_put_tokens_in_the_open_is_refused() {
    for arguments in [
        &["--listen", "0.0.0.0:0", "--no-tls"][..],
        &["--listen", "0.0.0.0:0", "--token", "long-enough-token"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_serve")).args(arguments).output().expect("runs");
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("loopback"), "{output:?}");
    }
}

#[test]
fn a_client_that_leaves_ends_its_statement() {
    const ENDLESS: &str =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let running = || {
        let shown =
            server.call("/mcp/observe", "tools/call", &json!({"name": "show_queries", "arguments": {}}));
        let running = &shown["structuredContent"]["running"];
        running.as_array().unwrap_or_else(|| panic!("{shown}")).len()
    };
    let wait_until = |count: usize| {
        let until = Instant::now() + Duration::from_secs(20);
        while running() != count {
            assert!(Instant::now() < until, "there are never {count} running statements");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    // Its own deadline comes later than this test waits: only the client that leaves can end it in time.
    let arguments = json!({"sql": ENDLESS, "timeout_sec": 29});
    let call = json!({"name": "run_sql_readonly", "arguments": arguments});
    let stream = server.send("/mcp/query", "tools/call", &call);
    wait_until(1);
    assert_eq!(server.sql("SELECT 1 AS one")["rows"], json!([[1]]), "others are served meanwhile");
    drop(stream);
    wait_until(0);
    assert!(server.stop().success());
}
