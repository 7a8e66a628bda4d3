//! Counters as Prometheus text on a port of its own; it keeps no figure itself.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bridge_host::Host;
use harvest_gateway::Gateway;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::guard::Counters;

/// Longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Time for one request, in milliseconds.
const REQUEST_TIMEOUT_MS: u64 = 5_000;

/// What is counted.
pub(crate) struct Sources {
    pub(crate) counters: Arc<Counters>,
    pub(crate) host: Arc<Host>,
    pub(crate) gateway: Arc<Gateway>,
}

/// Answers one request.
pub(crate) async fn serve(mut stream: TcpStream, sources: Arc<Sources>) -> io::Result<()> {
    let work = async {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            if head.len() >= HEAD_BYTES_MAX || stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let is_known = head.starts_with(b"GET /metrics ") || head.starts_with(b"GET / ");
        let (status, body) = if is_known {
            ("200 OK", text(&sources))
        } else {
            ("404 Not Found", "see /metrics\n".to_owned())
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    tokio::time::timeout(Duration::from_millis(REQUEST_TIMEOUT_MS), work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn text(sources: &Sources) -> String {
    let mut out = String::new();
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let c = &sources.counters;
    for (name, kind, value) in [
        ("connections_total", "counter", read(&c.connections)),
        ("connections_open", "gauge", read(&c.connections_open)),
        ("connections_refused_total", "counter", read(&c.connections_refused)),
        ("logins_failed_total", "counter", read(&c.logins_failed)),
        ("statements_total", "counter", read(&c.statements)),
        ("prepares_total", "counter", read(&c.prepares)),
        ("denied_total", "counter", read(&c.denied)),
        ("rewritten_total", "counter", read(&c.rewritten)),
        ("answered_total", "counter", read(&c.answered)),
        ("prefix_total", "counter", read(&c.prefix)),
        ("prefix_failed_total", "counter", read(&c.prefix_failed)),
        ("backend_errors_total", "counter", read(&c.errors)),
        ("rows_total", "counter", read(&c.rows)),
    ] {
        line(&mut out, "gateway_", name, kind, value);
    }
    let g = sources.gateway.statistics().counters();
    for (name, value) in [
        ("statements_total", g.statements),
        ("failed_total", g.failed),
        ("refused_hooks_total", g.refused_hooks),
        ("refused_gate_total", g.refused_gate),
        ("refused_rules_total", g.refused_rules),
        ("rows_total", g.rows),
    ] {
        line(&mut out, "mcp_gateway_", name, "counter", value);
    }
    line(&mut out, "proxysql_genai_", "hook_panics_total", "counter", sources.gateway.hooks().panics());
    out.push_str(&sources.host.ai_metrics_text());
    out
}

fn line(out: &mut String, prefix: &str, name: &str, kind: &str, value: u64) {
    // A text in memory takes every write.
    let _ = writeln!(out, "# TYPE {prefix}{name} {kind}\n{prefix}{name} {value}");
}
