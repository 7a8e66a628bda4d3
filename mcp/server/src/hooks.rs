//! What a host may count and log about requests; it does not know any metrics library.

use std::time::Duration;

/// One served request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RequestReport<'a> {
    /// Endpoint path, parts included.
    pub endpoint: &'a str,
    /// The method, as sent.
    pub method: &'a str,
    /// The tool's canonical name, for `tools/call` of a known tool.
    pub tool: Option<&'a str>,
    /// The token's name.
    pub caller: &'a str,
    /// The client's address, without a port.
    pub address: &'a str,
    /// The JSON-RPC error code, if it failed.
    pub error_code: Option<i64>,
    /// How long it took.
    pub duration: Duration,
    /// Size of the result, in bytes.
    pub response_bytes: usize,
}

/// Observes the server. Methods are called on the server's threads: be quick, do not block.
pub trait Hooks: Send + Sync {
    /// A request begins to be served.
    fn request_started(&self, endpoint: &str) {
        let _ = endpoint;
    }

    /// A request has been served, or its client left.
    fn request_finished(&self, report: &RequestReport<'_>) {
        let _ = report;
    }

    /// A request was refused before it reached a method: `status` is the HTTP status.
    fn request_refused(&self, endpoint: &str, address: &str, status: u16) {
        let _ = (endpoint, address, status);
    }

    /// A token was missing or wrong.
    fn auth_failed(&self, endpoint: &str, address: &str) {
        let _ = (endpoint, address);
    }

    /// As [`auth_failed`](Self::auth_failed), with the reason for counters only: `missing_token`, `invalid_token`,
    /// `insufficient_scope` or `locked_out`. Clients never learn it.
    fn auth_refused(&self, endpoint: &str, address: &str, reason: &'static str) {
        let _ = reason;
        self.auth_failed(endpoint, address);
    }

    /// A token has used up its requests of this minute.
    fn rate_limited(&self, endpoint: &str, caller: &str, address: &str) {
        let _ = (endpoint, caller, address);
    }

    /// A client connected (`+1`) or left (`-1`).
    fn connections(&self, change: i64) {
        let _ = change;
    }

    /// Something failed inside; `text` is for logs only and never reaches a client.
    fn incident(&self, incident_id: &str, text: &str) {
        tracing::error!(incident_id, text, "request failed inside");
    }
}

/// Observes nothing but logs incidents.
pub(crate) struct NoHooks;
impl Hooks for NoHooks {}
