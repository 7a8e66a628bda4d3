//! A plain HTTP client that shows every byte; it does not know MCP beyond its headers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The JSON-RPC message of the body, also of the last event of a stream.
    pub(crate) fn json(&self) -> Value {
        let last = self.body.lines().rev().find_map(|l| l.strip_prefix("data: ")).unwrap_or(&self.body);
        serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    pub(crate) fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_default()
    }
}

/// A request under construction.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) address: SocketAddr,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Ask {
    pub(crate) fn post(address: SocketAddr, path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            address,
            method: "POST".into(),
            path: path.into(),
            headers: [
                ("Host", address.to_string().as_str()),
                ("Content-Type", "application/json"),
                ("Accept", "application/json, text/event-stream"),
            ]
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .to_vec(),
            body: body.into(),
        }
    }

    /// A modern request with all it needs.
    pub(crate) fn modern(address: SocketAddr, path: &str, method: &str, mut params: Value) -> Self {
        Self::modern_with(address, path, method, &mut params, json!({}))
    }

    pub(crate) fn modern_with(
        address: SocketAddr,
        path: &str,
        method: &str,
        params: &mut Value,
        capabilities: Value,
    ) -> Self {
        let version = "2026-07-28";
        let mut meta = params["_meta"].as_object().cloned().unwrap_or_default();
        meta.insert("io.modelcontextprotocol/protocolVersion".into(), version.into());
        meta.insert("io.modelcontextprotocol/clientCapabilities".into(), capabilities);
        params["_meta"] = Value::Object(meta);
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut ask = Self::post(address, path, body.to_string())
            .with("MCP-Protocol-Version", version)
            .with("Mcp-Method", method);
        for key in ["name", "uri", "taskId"] {
            if let Some(name) = params[key].as_str() {
                ask = ask.with("Mcp-Name", name);
            }
        }
        ask
    }

    pub(crate) fn legacy(
        address: SocketAddr,
        path: &str,
        session: &str,
        method: &str,
        params: Value,
    ) -> Self {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        Self::post(address, path, body.to_string()).with("Mcp-Session-Id", session)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    pub(crate) fn head(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }

    /// Sends it and reads the whole answer.
    pub(crate) fn send(&self) -> Answer {
        let mut stream = self.open();
        stream.read_all()
    }

    /// Sends it and keeps the stream open.
    pub(crate) fn open(&self) -> Stream {
        let stream = connect(self.address);
        let mut head = self.head();
        if !head.to_ascii_lowercase().contains("content-length") && self.method == "POST" {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        let mut writer = &stream;
        // A server that refuses early may close while we still write.
        let _ = writer.write_all(&bytes);
        Stream { reader: BufReader::new(stream), answer: None, chunk_left: 0 }
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a server listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
    stream
}

/// An answer that is being read.
pub(crate) struct Stream {
    pub(crate) reader: BufReader<TcpStream>,
    answer: Option<Answer>,
    chunk_left: usize,
}

impl Stream {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("the head is text");
        line.trim_end().to_owned()
    }

    /// Status and headers.
    pub(crate) fn head(&mut self) -> &Answer {
        if self.answer.is_none() {
            let first = self.line();
            let status = first.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
            let mut headers = Vec::new();
            loop {
                let line = self.line();
                let Some((name, value)) = line.split_once(':') else { break };
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            self.answer = Some(Answer { status, headers, body: String::new() });
        }
        self.answer.as_ref().expect("it was just read")
    }

    fn read_all(&mut self) -> Answer {
        self.head();
        let mut answer = self.answer.take().expect("the head is read");
        let mut body = Vec::new();
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                body.extend_from_slice(&chunk);
            }
        } else {
            let length = answer.header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
            body.resize(length, 0);
            self.reader.read_exact(&mut body).expect("the body is whole");
        }
        answer.body = String::from_utf8_lossy(&body).into_owned();
        answer
    }

    fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut size = String::new();
        self.reader.read_line(&mut size).ok()?;
        self.chunk_left = usize::from_str_radix(size.trim(), 16).ok()?;
        let mut bytes = vec![0; self.chunk_left + 2];
        self.reader.read_exact(&mut bytes).ok()?;
        bytes.truncate(self.chunk_left);
        (self.chunk_left > 0).then_some(bytes)
    }

    /// The next event's id and message; `None` at the end of the stream. Comments are skipped.
    pub(crate) fn event(&mut self) -> Option<(Option<String>, String)> {
        self.head();
        loop {
            let chunk = String::from_utf8(self.chunk()?).expect("events are text");
            let id = chunk.lines().find_map(|l| l.strip_prefix("id: ")).map(str::to_owned);
            if let Some(data) = chunk.lines().find_map(|l| l.strip_prefix("data: ")) {
                return Some((id, data.to_owned()));
            }
        }
    }

    /// The next message of the stream.
    pub(crate) fn message(&mut self) -> Option<Value> {
        loop {
            let (_, data) = self.event()?;
            if !data.is_empty() {
                return Some(serde_json::from_str(&data).expect("a message is JSON"));
            }
        }
    }
}
