//! A scripted HTTP server for tests: keeps connections alive, records requests, and can misbehave in every way needed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ai_core_llm::{LlmBridge, LlmConfig, LlmDeps, ProviderKind};
use serde_json::{Value, json};

/// What the server does with one request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// A whole answer.
    Json(u16, Value),
    /// A whole answer with further headers.
    Headed(u16, Vec<(&'static str, String)>, String),
    /// An event stream, written in these pieces.
    Stream(Vec<Vec<u8>>),
    /// These bytes as they are, then the connection closes.
    Raw(Vec<u8>),
    /// The head of a long answer, then one byte each 20 ms.
    Drip,
    /// The connection closes without a word.
    Close,
    /// No answer until the client goes.
    Hang,
    /// The answer after a pause in milliseconds.
    Late(u64, Box<Reply>),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

type Handler = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

/// The server; it stops when dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Answers with `handler(request, number of earlier requests)`.
    pub(crate) fn new(handler: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self {
            url: format!("http://{address}/v1/chat/completions"),
            seen: Arc::default(),
            connections: Arc::default(),
            stop: Arc::default(),
        };
        let (seen, connections, stop) =
            (server.seen.clone(), server.connections.clone(), server.stop.clone());
        let handler: Arc<Handler> = Arc::new(handler);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                connections.fetch_add(1, Ordering::SeqCst);
                let (seen, handler) = (seen.clone(), handler.clone());
                std::thread::spawn(move || serve(stream, &seen, &*handler));
            }
        });
        server
    }

    /// Answers with `script` in order; the last reply repeats.
    pub(crate) fn script(script: Vec<Reply>) -> Self {
        Self::new(move |_, n| script.get(n).or(script.last()).cloned().unwrap_or(Reply::Close))
    }

    /// Answers every chat request with `text`.
    pub(crate) fn chat(text: &str) -> Self {
        Self::script(vec![chat(text)])
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The URL with another path.
    pub(crate) fn at(&self, path: &str) -> String {
        self.url.replace("/v1/chat/completions", path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let address = self.url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        let _ = TcpStream::connect(address);
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Seen>>, handler: &Handler) {
    // Without this, small writes wait for the other side's delayed acknowledgements.
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader) {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        if !act(&mut writer, handler(&request, number)) {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Seen> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        }
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { path, headers, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}

/// Writes the reply; false when the connection is over.
fn act(writer: &mut TcpStream, reply: Reply) -> bool {
    match reply {
        Reply::Json(status, body) => {
            let headers = vec![("content-type", "application/json".to_owned())];
            act(writer, Reply::Headed(status, headers, body.to_string()))
        }
        Reply::Headed(status, headers, body) => {
            let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            writer.write_all(format!("{text}\r\n{body}").as_bytes()).is_ok()
        }
        Reply::Stream(pieces) => {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let mut ok = writer.write_all(head.as_bytes()).is_ok();
            for piece in pieces.iter().filter(|p| !p.is_empty()) {
                let framed = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
                ok = ok && writer.write_all(&framed).is_ok();
            }
            ok && writer.write_all(b"0\r\n\r\n").is_ok()
        }
        Reply::Raw(bytes) => {
            let _ = writer.write_all(&bytes);
            false
        }
        Reply::Drip => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n";
            let mut ok = writer.write_all(head.as_bytes()).is_ok();
            while ok {
                std::thread::sleep(Duration::from_millis(20));
                ok = writer.write_all(b" ").is_ok();
            }
            false
        }
        Reply::Close => false,
        Reply::Hang => {
            let _ = writer.read(&mut [0]);
            false
        }
        Reply::Late(ms, reply) => {
            std::thread::sleep(Duration::from_millis(ms));
            act(writer, *reply)
        }
    }
}

/// A chat answer.
pub(crate) fn chat(text: &str) -> Reply {
    Reply::Json(
        200,
        json!({
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 7},
        }),
    )
}

/// A switched-on configuration with quick retries and `default` at `url`.
pub(crate) fn config(kind: ProviderKind, url: &str) -> LlmConfig {
    let mut config = LlmConfig::default();
    config.enabled = true;
    config.llm_enabled = true;
    config.llm_provider = kind;
    config.llm_provider_url = url.to_owned();
    config.llm_provider_model = "m".to_owned();
    config.llm_retry_backoff_ms = 10;
    config.llm_retry_max_backoff_ms = 10;
    config
}

/// A bridge with [`config`] for a generic provider.
pub(crate) fn bridge(url: &str) -> LlmBridge {
    LlmBridge::new(config(ProviderKind::Generic, url), LlmDeps::default()).unwrap()
}
