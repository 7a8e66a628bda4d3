//! Answers that carry no JSON-RPC message: refusals, preflights, headers for browsers; it does not know why.

use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CONNECTION, CONTENT_TYPE, HeaderName,
    HeaderValue, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};

use super::body::ReplyBody;

/// A request that is not served.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    body: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: &str) -> Self {
        Self { status, body: serde_json::json!({"error": text}).to_string(), headers: Vec::new() }
    }

    /// A refusal that is a JSON-RPC error.
    pub(super) fn rpc(status: StatusCode, body: String) -> Self {
        Self { status, body, headers: Vec::new() }
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    pub(super) fn too_large() -> Self {
        // The rest of the body is not read, so the connection cannot be used again.
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than this server reads")
            .with(CONNECTION, "close")
    }

    pub(super) fn unauthorized(challenge: &str) -> Self {
        let value = if challenge.is_empty() { "Bearer".to_owned() } else { format!("Bearer {challenge}") };
        Self::new(StatusCode::UNAUTHORIZED, "a valid token is required").with(WWW_AUTHENTICATE, &value)
    }

    pub(super) fn insufficient_scope(challenge: &str) -> Self {
        let value = format!("Bearer error=\"insufficient_scope\", {challenge}");
        Self::new(StatusCode::FORBIDDEN, "the token lacks a scope")
            .with(WWW_AUTHENTICATE, value.trim_end_matches([',', ' ']))
    }

    pub(super) fn too_many(text: &str, wait_s: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, text).with(RETRY_AFTER, &wait_s.to_string())
    }

    pub(super) fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the server is busy: try again").with(RETRY_AFTER, "1")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not offered here")
            .with(ALLOW, "POST, GET, DELETE, OPTIONS")
    }

    /// Without sessions only POST is offered.
    pub(super) fn post_only() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this endpoint keeps no sessions")
            .with(ALLOW, "POST, OPTIONS")
    }

    pub(super) fn into_response(self) -> Response<ReplyBody> {
        let mut response = plain(self.status, self.body);
        response.headers_mut().extend(self.headers);
        response
    }
}

/// A JSON answer.
pub(super) fn plain(status: StatusCode, body: String) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::full(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::full(Bytes::new()));
    *response.status_mut() = status;
    response
}

const REQUEST_HEADERS: &str = "authorization, content-type, accept, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name, last-event-id";

/// The answer to a browser that asks first. The origin has been checked.
pub(super) fn cors_preflight(origin: Option<&HeaderValue>) -> Result<Response<ReplyBody>, Refusal> {
    if origin.is_none() {
        return Err(Refusal::method_not_allowed());
    }
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, DELETE, OPTIONS"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    Ok(response)
}

/// Lets the browser read an answer, for an origin that has been checked.
pub(super) fn with_cors(
    mut response: Response<ReplyBody>,
    origin: Option<&HeaderValue>,
) -> Response<ReplyBody> {
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("mcp-session-id"));
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    response
}
