//! Starts the program on free ports and real clients against it; it asserts nothing about SQL.
#![expect(clippy::print_stderr, reason = "what does not run says so")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

const START_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}

pub(crate) fn variable(name: &str) -> Option<String> {
    let url = std::env::var(name).ok().filter(|url| !url.is_empty());
    if url.is_none() {
        skipped(&format!("{name} names no server"));
    }
    url
}

pub(crate) fn mariadb_url() -> Option<String> {
    variable("PENSTOCK_TEST_MARIADB_URL")
}

pub(crate) fn postgres_url() -> Option<String> {
    variable("PENSTOCK_TEST_POSTGRES_URL")
}

pub(crate) fn program(name: &str) -> bool {
    Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Standard output and standard error of a client.
pub(crate) fn run(command: &mut Command) -> (String, String) {
    let output = command.stdin(Stdio::null()).output().expect("the client starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// The same, with statements on standard input.
pub(crate) fn feed(command: &mut Command, statements: &str) -> (String, String) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the client starts");
    // Short texts fit into the pipe, so nobody waits for anybody.
    child.stdin.take().expect("piped").write_all(statements.as_bytes()).expect("the client reads");
    let output = child.wait_with_output().expect("the client ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// A SQLite file with two rows, as a backend.
pub(crate) fn sample(folder: &std::path::Path) -> String {
    let path = folder.join("fruit.db");
    let connection = rusqlite::Connection::open(&path).expect("opens");
    connection
        .execute_batch(
            "CREATE TABLE fruit (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO fruit VALUES (1, 'blue berry'), (2, 'red apple');",
        )
        .expect("fills");
    format!("sqlite:{}", path.display())
}

/// The running program.
pub(crate) struct Gateway {
    child: Child,
    ports: HashMap<String, u16>,
    _folder: Option<tempfile::TempDir>,
}

impl Gateway {
    pub(crate) fn start(backends: &[&str], more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut me = Self::start_in(&folder.path().join("data"), backends, more);
        me._folder = Some(folder);
        me
    }

    /// The program over a folder that stays when it ends.
    pub(crate) fn start_in(data: &std::path::Path, backends: &[&str], more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        command.args(["--user", "app:secret", "--data-dir"]).arg(data);
        let has =
            |scheme: &str| backends.iter().any(|url| url.starts_with(scheme) || url.starts_with("sqlite:"));
        let mut wanted = vec!["admin", "admin-postgres", "metrics"];
        for (name, scheme) in [("mysql", "mysql"), ("postgres", "postgres")] {
            if has(scheme) {
                wanted.push(name);
            }
        }
        for name in &wanted {
            let flag = match *name {
                "postgres" => "--pg-listen".to_owned(),
                "admin-postgres" => "--admin-pg-listen".to_owned(),
                name => format!("--{name}-listen"),
            };
            command.args([flag.as_str(), "127.0.0.1:0"]);
        }
        for backend in backends {
            command.args(["--backend", backend]);
        }
        let mut child = command.args(more).stderr(Stdio::piped()).spawn().expect("starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((name, address)) = line.split_once(" listens on 127.0.0.1:") {
                    let _ = sender.send((name.to_owned(), address.parse().expect("a port")));
                } else {
                    eprintln!("gateway: {line}");
                }
            }
        });
        let mut ports = HashMap::new();
        while !wanted.iter().all(|name| ports.contains_key(*name)) {
            let (name, port) = receiver.recv_timeout(START_TIMEOUT).expect("all ports listen");
            ports.insert(name, port);
        }
        Self { child, ports, _folder: None }
    }

    pub(crate) fn port(&self, name: &str) -> u16 {
        self.ports[name]
    }

    pub(crate) fn mariadb(&self, port: &str) -> Command {
        self.mariadb_as(port, "app", "secret")
    }

    pub(crate) fn mariadb_as(&self, port: &str, user: &str, password: &str) -> Command {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--skip-ssl", "--comments", "--protocol=tcp", "-h", "127.0.0.1"]);
        command.args(["-P", &self.port(port).to_string(), "-u", user, &format!("-p{password}")]);
        command
    }

    pub(crate) fn psql(&self, port: &str) -> Command {
        let mut command = Command::new("psql");
        command.args(["-X", "-h", "127.0.0.1", "-p", &self.port(port).to_string(), "-U", "app", "-d", "app"]);
        command.env("PGPASSWORD", "secret");
        command
    }

    pub(crate) fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port("metrics"))).expect("connects");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").expect("asks");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answers");
        text
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A model server that always says the same.
pub(crate) struct FakeModel {
    pub(crate) url: String,
}

impl FakeModel {
    pub(crate) fn start(answer: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let url = format!("http://{}/v1/chat/completions", listener.local_addr().expect("an address"));
        let body = format!(
            r#"{{"choices":[{{"message":{{"role":"assistant","content":"{answer}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":3,"completion_tokens":4}}}}"#
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                answer_one(stream, &body);
            }
        });
        Self { url }
    }
}

fn answer_one(mut stream: TcpStream, body: &str) {
    let mut reader = BufReader::new(stream.try_clone().expect("clones"));
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut request = vec![0; length];
    if reader.read_exact(&mut request).is_err() {
        return;
    }
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}
