//! Clients that ask for what they know already, so that a wrong answer shows; they cause no fault.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Random, Shared};

/// The one token of the program under test.
pub(super) const TOKEN: &str = "soak-token-of-one-run";
/// Rows of the table that every server holds: `id`, and a name that follows from it.
pub(super) const ITEMS: u64 = 500;
/// A call that has no answer by then is stuck; no statement may take longer than 10 s.
const STUCK: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Right,
    /// Refused with a code.
    Refused(String),
    /// The connection ended without an answer.
    Cut,
    Wrong(String),
    Stuck,
}

/// The calls of all clients.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) right: u64,
    pub(super) refused: u64,
    pub(super) cut: u64,
    pub(super) stuck: u64,
    pub(super) wrong: Vec<String>,
    pub(super) codes: BTreeMap<String, u64>,
    pub(super) slowest: Duration,
}

impl Counts {
    pub(super) fn total(&self) -> u64 {
        self.right + self.refused + self.cut + self.stuck + self.wrong.len() as u64
    }

    fn add(&mut self, outcome: Outcome, took: Duration) {
        self.slowest = self.slowest.max(took);
        match outcome {
            Outcome::Right => self.right += 1,
            Outcome::Refused(code) => {
                self.refused += 1;
                *self.codes.entry(code).or_default() += 1;
            }
            Outcome::Cut => self.cut += 1,
            Outcome::Wrong(text) => self.wrong.push(text),
            Outcome::Stuck => self.stuck += 1,
        }
    }
}

/// A statement whose answer is known.
struct Question {
    target: String,
    sql: String,
    /// The rows of the right answer.
    rows: Value,
}

impl Question {
    fn any(random: &mut Random, targets: &[String]) -> Self {
        let target = targets[random.below(targets.len() as u64) as usize].clone();
        let (a, b) = (random.below(100_000), random.below(ITEMS) + 1);
        let (sql, rows) = match random.below(4) {
            0 => (
                format!("SELECT {a} + 1 AS n, 'mark {a}' AS word"),
                serde_json::json!([[a + 1, format!("mark {a}")]]),
            ),
            1 => (
                format!("SELECT id, name FROM item WHERE id = {b}"),
                serde_json::json!([[b, format!("item number {}", b * 7)]]),
            ),
            2 => ("SELECT count(*) AS n FROM item".to_owned(), serde_json::json!([[ITEMS]])),
            _ => {
                let list: Vec<Value> = (b..=ITEMS.min(b + 9)).map(|id| serde_json::json!([id])).collect();
                (
                    format!("SELECT id FROM item WHERE id BETWEEN {b} AND {} ORDER BY id", b + 9),
                    Value::Array(list),
                )
            }
        };
        Self { target, sql, rows }
    }

    fn request(&self) -> Vec<u8> {
        request(&self.target, &self.sql)
    }
}

/// One `tools/call` of the query endpoint.
pub(super) fn request(target: &str, sql: &str) -> Vec<u8> {
    let arguments = serde_json::json!({ "sql": sql, "target_id": target });
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\
         \"params\":{{\"name\":\"run_sql_readonly\",\"arguments\":{arguments}}}}}"
    );
    format!(
        "POST /mcp/query HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-06-18\r\n\
         Authorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub(super) fn connect(address: SocketAddr) -> Option<TcpStream> {
    let socket = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    socket.set_nodelay(true).ok()?;
    socket.set_read_timeout(Some(STUCK)).ok()?;
    socket.set_write_timeout(Some(STUCK)).ok()?;
    Some(socket)
}

/// The body of one answer; the error says how it failed to come.
fn answer(socket: &mut TcpStream) -> Result<Vec<u8>, Outcome> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        if let Some(body) = whole(&bytes) {
            return Ok(body.to_vec());
        }
        match socket.read(&mut buffer) {
            Ok(0) => return Err(Outcome::Cut),
            Ok(_) if bytes.len() > ANSWER_BYTES_MAX => {
                return Err(Outcome::Wrong("an endless answer".to_owned()));
            }
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                return Err(Outcome::Stuck);
            }
            Err(_) => return Err(Outcome::Cut),
        }
    }
}

fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok())?;
    bytes.get(end + 4..end + 4 + length)
}

fn judge(body: &[u8], rows: Option<&Value>) -> Outcome {
    let wrong = || Outcome::Wrong(String::from_utf8_lossy(body).chars().take(300).collect());
    let Ok(message) = serde_json::from_slice::<Value>(body) else { return wrong() };
    if let Some(code) = message["result"]["structuredContent"]["error"]["code"].as_str() {
        return Outcome::Refused(code.to_owned());
    }
    if let Some(code) = message["error"]["code"].as_i64() {
        return Outcome::Refused(format!("protocol error {code}"));
    }
    // The door itself refuses with a status and a sentence, before there is a call.
    if let Some(sentence) = message["error"].as_str() {
        return Outcome::Refused(format!("at the door, {sentence}"));
    }
    let found = &message["result"]["structuredContent"]["rows"];
    match rows {
        Some(rows) if found == rows => Outcome::Right,
        None if found.is_array() => Outcome::Right,
        _ => wrong(),
    }
}

/// One call with an answer that is known, over a connection of its own.
pub(super) fn probe(address: SocketAddr, target: &str) -> Outcome {
    let Some(mut socket) = connect(address) else { return Outcome::Cut };
    if socket.write_all(&request(target, "SELECT count(*) AS n FROM item")).is_err() {
        return Outcome::Cut;
    }
    match answer(&mut socket) {
        Ok(body) => judge(&body, Some(&serde_json::json!([[ITEMS]]))),
        Err(outcome) => outcome,
    }
}

/// Sends a statement and gives its outcome, whatever rows it has.
pub(super) fn send(address: SocketAddr, target: &str, sql: &str) -> Outcome {
    let Some(mut socket) = connect(address) else { return Outcome::Cut };
    if socket.write_all(&request(target, sql)).is_err() {
        return Outcome::Cut;
    }
    answer(&mut socket).map_or_else(|outcome| outcome, |body| judge(&body, None))
}

/// All clients, each with a connection of its own.
pub(super) struct Fleet {
    stop: Arc<AtomicBool>,
    counts: Shared<Counts>,
    /// Connections that clients opened.
    opened: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Fleet {
    pub(super) fn start(
        address: SocketAddr,
        targets: Vec<String>,
        clients: u32,
        think: Duration,
    ) -> Result<Self, String> {
        let mut fleet = Self {
            stop: Arc::default(),
            counts: Arc::new(Mutex::new(Counts::default())),
            opened: Arc::default(),
            threads: Vec::new(),
        };
        let targets = Arc::new(targets);
        for number in 0..clients {
            let (stop, counts, opened) = (fleet.stop.clone(), fleet.counts.clone(), fleet.opened.clone());
            let targets = targets.clone();
            let body =
                move || client(address, &targets, u64::from(number) + 1, think, &stop, &counts, &opened);
            let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(body);
            fleet.threads.push(thread.map_err(|error| format!("client {number}: {error}"))?);
        }
        Ok(fleet)
    }

    /// Ends every client and gives what they saw.
    pub(super) fn stop(self) -> Counts {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
        std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Calls so far.
    pub(super) fn total(&self) -> u64 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).total()
    }
}

fn client(
    address: SocketAddr,
    targets: &[String],
    number: u64,
    think: Duration,
    stop: &AtomicBool,
    counts: &Mutex<Counts>,
    opened: &AtomicU64,
) {
    let mut random = Random(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut socket = None;
    while !stop.load(Ordering::Relaxed) {
        let wait = random.below(2 * u64::try_from(think.as_millis()).unwrap_or(1)).max(1);
        rest(Duration::from_millis(wait), stop);
        let question = Question::any(&mut random, targets);
        let begin = Instant::now();
        if socket.is_none() {
            opened.fetch_add(1, Ordering::Relaxed);
            socket = connect(address);
        }
        let outcome = match socket.as_mut() {
            None => Outcome::Cut,
            Some(open) => match open
                .write_all(&question.request())
                .map_err(|_| Outcome::Cut)
                .and_then(|()| answer(open))
            {
                Ok(body) => judge(&body, Some(&question.rows)),
                Err(outcome) => outcome,
            },
        };
        if matches!(outcome, Outcome::Cut | Outcome::Stuck) {
            socket = None;
        }
        counts.lock().unwrap_or_else(PoisonError::into_inner).add(outcome, begin.elapsed());
    }
}

/// Sleeps in small pieces, so that the end comes soon.
fn rest(time: Duration, stop: &AtomicBool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        std::thread::sleep((until - Instant::now()).min(Duration::from_millis(500)));
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, judge, whole};

    #[test]
    fn tells_right_from_wrong_and_refused() {
        let rows = serde_json::json!([[1, "a"]]);
        let say = |text: &str| judge(text.as_bytes(), Some(&rows));
        assert_eq!(say(r#"{"result":{"structuredContent":{"rows":[[1,"a"]]}}}"#), Outcome::Right);
        assert!(matches!(say(r#"{"result":{"structuredContent":{"rows":[[2,"a"]]}}}"#), Outcome::Wrong(_)));
        assert!(matches!(say("nothing"), Outcome::Wrong(_)));
        assert!(matches!(say(r#"{"error":"busy"}"#), Outcome::Refused(_)));
        let refused = r#"{"result":{"structuredContent":{"error":{"code":"UNAVAILABLE"}},"isError":true}}"#;
        assert_eq!(say(refused), Outcome::Refused("UNAVAILABLE".to_owned()));
    }

    #[test]
    fn waits_for_the_whole_body() {
        assert_eq!(whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"), None);
        assert_eq!(whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), Some(b"{}".as_slice()));
    }
}
