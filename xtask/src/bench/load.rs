//! A plain HTTP/1.1 keep-alive load generator on threads; it checks every answer and knows no server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// An answer that takes longer is a failure of the measurement.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// A modern `tools/call` without arguments.
pub(super) fn request(path: &str, tool: &str) -> Vec<u8> {
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\",\"arguments\":{{}},\
         \"_meta\":{{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\
         \"io.modelcontextprotocol/clientCapabilities\":{{}}}}}}}}"
    );
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
         Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A `tools/call` with one statement, as servers of the last stable protocol version take it without a session.
pub(super) fn sql_request(path: &str, tool: &str, token: &str, sql: &str) -> Vec<u8> {
    let arguments = serde_json::json!({ "sql": sql });
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\
         \"params\":{{\"name\":\"{tool}\",\"arguments\":{arguments}}}}}"
    );
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-06-18\r\n\
         Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What a run of requests took.
pub(super) struct Timed {
    pub(super) took: Duration,
    /// Of every request, ascending.
    latencies: Vec<Duration>,
}

impl Timed {
    /// The latency that `share` of the requests stayed within.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let at = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(at.min(last)).copied().unwrap_or_default()
    }
}

/// Sends the request until it is answered well, and hands back how long that took from `begin`.
pub(super) fn first_answer(
    address: SocketAddr,
    request: &[u8],
    begin: Instant,
    timeout: Duration,
) -> Result<Duration, String> {
    loop {
        let failure = match one_connection(address, request, 1) {
            Ok(_) => return Ok(begin.elapsed()),
            Err(failure) => failure,
        };
        if begin.elapsed() > timeout {
            return Err(failure);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends the request so many times over so many connections and hands back how long that took.
pub(super) fn run(
    address: SocketAddr,
    request: &[u8],
    requests: u32,
    connections: u32,
) -> Result<Duration, String> {
    Ok(timed(address, request, requests, connections)?.took)
}

/// As [`run`], with the latency of every request.
pub(super) fn timed(
    address: SocketAddr,
    request: &[u8],
    requests: u32,
    connections: u32,
) -> Result<Timed, String> {
    let connections = connections.min(requests);
    let begin = Instant::now();
    let mut latencies = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|number| {
                let share = requests / connections + u32::from(number < requests % connections);
                scope.spawn(move || one_connection(address, request, share))
            })
            .collect();
        workers.into_iter().try_fold(Vec::new(), |mut all, worker| {
            all.extend(worker.join().map_err(|_| "a worker panicked".to_owned())??);
            Ok::<_, String>(all)
        })
    })?;
    let took = begin.elapsed();
    latencies.sort_unstable();
    Ok(Timed { took, latencies })
}

fn one_connection(address: SocketAddr, request: &[u8], requests: u32) -> Result<Vec<Duration>, String> {
    let shown = |error: std::io::Error| format!("{address}: {error}");
    let mut socket = TcpStream::connect(address).map_err(shown)?;
    socket.set_nodelay(true).map_err(shown)?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(shown)?;
    let mut answer = Vec::new();
    let mut latencies = Vec::with_capacity(requests as usize);
    for _ in 0..requests {
        let begin = Instant::now();
        socket.write_all(request).map_err(shown)?;
        answer.clear();
        while !is_whole(&answer) {
            let mut buffer = [0; 65_536];
            let count = socket.read(&mut buffer).map_err(shown)?;
            if count == 0 || answer.len() > ANSWER_BYTES_MAX {
                return Err(format!("cut answer: {}", String::from_utf8_lossy(&answer)));
            }
            answer.extend_from_slice(&buffer[..count]);
        }
        latencies.push(begin.elapsed());
        let text = String::from_utf8_lossy(&answer);
        let failed = text.contains("\"isError\":true") || !text.contains("\"content\"");
        if !text.starts_with("HTTP/1.1 200") || failed {
            return Err(format!("unexpected answer: {text}"));
        }
    }
    Ok(latencies)
}

/// True when head and body are there, by length or by the last chunk.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let body = &answer[end + 4..];
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    match length {
        Some(length) => body.len() >= length,
        None => body.ends_with(b"0\r\n\r\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_whole, request};

    #[test]
    fn knows_when_an_answer_is_whole() {
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"));
        assert!(is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"));
        assert!(is_whole(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"));
    }

    #[test]
    fn states_the_length_of_its_body() {
        let text = String::from_utf8(request("/mcp", "t")).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
