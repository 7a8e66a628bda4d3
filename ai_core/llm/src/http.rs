//! One bounded, cancellable HTTP POST and its answer; it does not know what is asked or how a status is judged.

use std::fmt;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ai_core::{CancelHook, CancelToken, Deadline};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, BodyReader, http};

use crate::clock::{Clock, parse_http_date};
use crate::secret::SecretString;

/// Idle connections kept for one endpoint.
const IDLE_CONNECTIONS_MAX: usize = 32;
/// Longest time for name resolution and for connecting; a cancel cannot interrupt these two.
const CONNECT_TIMEOUT_MS: u64 = 5_000;
/// Longest status line and headers of an answer.
const HEADER_BYTES_MAX: usize = 65_536;
/// Longest pause that a server may ask for.
const RETRY_AFTER_S_MAX: u64 = 86_400;

/// Why there is no usable HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HttpFault {
    /// The time given to this attempt is over.
    Timeout,
    /// The call's token was cancelled.
    Cancelled,
    /// DNS, connect, TLS, reset, short body.
    Connection(String),
    /// The server's certificate is not trusted.
    Certificate(String),
    /// The body is larger than allowed.
    TooLarge(usize),
    /// The URL or a header is unusable.
    BadRequest(String),
    /// Not HTTP.
    Protocol(String),
}

/// One request.
pub(crate) struct HttpCall<'a> {
    pub(crate) url: &'a str,
    pub(crate) headers: &'a [(String, SecretString)],
    pub(crate) body: &'a [u8],
    pub(crate) accept: &'static str,
    pub(crate) deadline: Deadline,
    pub(crate) response_bytes_max: usize,
    pub(crate) cancel: &'a CancelToken,
}

/// The connections to one endpoint. Each call borrows an agent of its own, so that a cancel can shut exactly
/// that call's socket; the agent goes back with its connection kept alive.
pub(crate) struct Endpoint {
    idle: Mutex<Vec<Agent>>,
    tls: TlsConfig,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").finish_non_exhaustive()
    }
}

impl Endpoint {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_tls(clock, TlsConfig::default())
    }

    pub(crate) fn with_tls(clock: Arc<dyn Clock>, tls: TlsConfig) -> Self {
        Self { idle: Mutex::default(), tls, clock }
    }

    fn lease(&self) -> Agent {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| {
            Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(None)
                .tls_config(self.tls.clone())
                .user_agent("penstock")
                .max_response_header_size(HEADER_BYTES_MAX)
                .max_idle_connections(1)
                .max_idle_connections_per_host(1)
                .build()
                .new_agent()
        })
    }

    fn give_back(&self, agent: Agent) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(agent);
        }
    }

    /// Sends the request and waits for the answer's head.
    pub(crate) fn post(&self, call: &HttpCall<'_>) -> Result<HttpAnswer<'_>, HttpFault> {
        if call.cancel.is_cancelled() {
            return Err(HttpFault::Cancelled);
        }
        let left = call.deadline.remaining();
        if left.is_zero() {
            return Err(HttpFault::Timeout);
        }
        let agent = self.lease();
        let doomed = agent.clone();
        let hook = call.cancel.on_cancel(move || doomed.shutdown());
        let connect = left.min(Duration::from_millis(CONNECT_TIMEOUT_MS));
        let mut request = agent
            .post(call.url)
            .config()
            .timeout_global(Some(left))
            .timeout_resolve(Some(connect))
            .timeout_connect(Some(connect))
            .build()
            .header("content-type", "application/json")
            .header("accept", call.accept);
        for (name, value) in call.headers {
            request = request.header(name.as_str(), value.expose());
        }
        let sent = request.send(call.body).map_err(|e| Self::fault(e, call.cancel));
        let mut lease =
            Lease { endpoint: self, agent: Some(agent), hook: Some(hook), cancel: call.cancel.clone() };
        let response = match sent {
            Ok(response) => response,
            Err(fault) => {
                // A connection that failed is gone; the agent itself stays good unless it was shut down.
                lease.release();
                return Err(fault);
            }
        };
        let (head, body) = response.into_parts();
        let retry_after = retry_after(&head.headers, self.clock.now_ms());
        let content_type = head.headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("");
        Ok(HttpAnswer {
            status: head.status.as_u16(),
            retry_after,
            is_event_stream: content_type.trim_start().starts_with("text/event-stream"),
            reader: reader_of(body),
            read_bytes: 0,
            response_bytes_max: call.response_bytes_max,
            lease,
        })
    }

    fn fault(error: ureq::Error, cancel: &CancelToken) -> HttpFault {
        if cancel.is_cancelled() { HttpFault::Cancelled } else { judge(error) }
    }
}

fn reader_of(body: Body) -> BodyReader<'static> {
    body.into_with_config().limit(u64::MAX).reader()
}

fn judge(error: ureq::Error) -> HttpFault {
    let text = error.to_string();
    if text.contains("invalid peer certificate") {
        return HttpFault::Certificate(text);
    }
    match error {
        // A connect timeout below the attempt's own time means that the host does not answer at all.
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            HttpFault::Connection(format!("no connection: {text}"))
        }
        ureq::Error::Timeout(_) => HttpFault::Timeout,
        ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::TimedOut => HttpFault::Timeout,
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => HttpFault::BadRequest(text),
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => HttpFault::Protocol(text),
        ureq::Error::HostNotFound => HttpFault::Connection("the host name cannot be resolved".to_owned()),
        _ => HttpFault::Connection(text),
    }
}

/// `Retry-After` in seconds or as an HTTP date.
fn retry_after(headers: &http::HeaderMap, now_ms: u64) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    let seconds = match text.parse::<f64>() {
        Ok(s) if s.is_finite() && s >= 0.0 => {
            return Some(Duration::from_secs_f64(s.min(RETRY_AFTER_S_MAX as f64)));
        }
        Ok(_) => return None,
        Err(_) => parse_http_date(text)?,
    };
    let pause_ms = seconds.saturating_mul(1_000).saturating_sub(now_ms);
    Some(Duration::from_millis(pause_ms.min(RETRY_AFTER_S_MAX * 1_000)))
}

struct Lease<'e> {
    endpoint: &'e Endpoint,
    agent: Option<Agent>,
    hook: Option<CancelHook>,
    cancel: CancelToken,
}

impl Lease<'_> {
    fn release(&mut self) {
        // The hook goes first: after that no cancel can reach an agent that serves somebody else.
        self.hook = None;
        if let Some(agent) = self.agent.take()
            && !self.cancel.is_cancelled()
        {
            self.endpoint.give_back(agent);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

/// An answer whose body is still to be read.
pub(crate) struct HttpAnswer<'e> {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) is_event_stream: bool,
    // Before the lease, so that the connection is back in the agent when the agent is given back.
    reader: BodyReader<'static>,
    read_bytes: usize,
    response_bytes_max: usize,
    lease: Lease<'e>,
}

impl HttpAnswer<'_> {
    /// Reads some bytes; 0 at the end.
    pub(crate) fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, HttpFault> {
        let read = self.reader.read(buffer);
        if self.lease.cancel.is_cancelled() {
            return Err(HttpFault::Cancelled);
        }
        let count = read.map_err(|e| Endpoint::fault(ureq::Error::from(e), &self.lease.cancel))?;
        self.read_bytes = self.read_bytes.saturating_add(count);
        if self.read_bytes > self.response_bytes_max {
            return Err(HttpFault::TooLarge(self.response_bytes_max));
        }
        Ok(count)
    }

    /// Reads the whole body.
    pub(crate) fn read_all(&mut self) -> Result<Vec<u8>, HttpFault> {
        let mut body = Vec::new();
        let mut buffer = vec![0; 16_384];
        loop {
            let count = self.read_some(&mut buffer)?;
            if count == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&buffer[..count]);
        }
    }
}

#[cfg(test)]
mod tests;
