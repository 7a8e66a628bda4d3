//! Streamable HTTP: one request from its head to its answer, in the order that the contract gives; it does not know sockets.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming as HttpBody;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, ORIGIN};
use hyper::{Method, Request, Response, StatusCode};
use mcp::Caller;

use crate::auth::{AuthError, AuthRequest, Identity};
use crate::core::Core;
use crate::page::Page;

mod answer;
mod body;
mod guard;
mod post;
mod request;
mod stream;

use answer::{Refusal, cors_preflight, plain, with_cors};
pub(crate) use body::ReplyBody;

/// Where a connection comes from.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Address without a port.
    pub(crate) address: Arc<str>,
    /// Whether this end is a loopback address.
    pub(crate) loopback: bool,
}

/// Serves one HTTP request. Never fails: every failure is an answer.
pub(crate) async fn handle(
    core: Arc<Core>,
    peer: Peer,
    request: Request<HttpBody>,
) -> Result<Response<ReplyBody>, Infallible> {
    let origin = request.headers().get(ORIGIN).cloned();
    let path = request.uri().path().to_owned();
    match serve(&core, &peer, request).await {
        Ok(response) => Ok(with_cors(response, origin.as_ref())),
        Err(refusal) => {
            core.hooks.request_refused(&path, &peer.address, refusal.status.as_u16());
            let allowed = refusal.status != StatusCode::FORBIDDEN;
            Ok(with_cors(refusal.into_response(), origin.as_ref().filter(|_| allowed)))
        }
    }
}

/// Path → size → origin → authentication → the method's own checks.
async fn serve(
    core: &Arc<Core>,
    peer: &Peer,
    request: Request<HttpBody>,
) -> Result<Response<ReplyBody>, Refusal> {
    if let Some(path) = request.uri().path().strip_prefix("/.well-known/oauth-protected-resource") {
        guard::check(&core.config.load(), peer, &request)?;
        let served = request.method() == Method::GET && core.routes.find(path).is_some();
        let document = if served { core.auth.metadata(path) } else { None };
        let document = document.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "not found"))?;
        return Ok(plain(StatusCode::OK, document.to_string()));
    }
    if let Some((_, page)) = core.pages.iter().find(|(path, _)| path == request.uri().path()) {
        return read_page(core, peer, page.as_ref(), &request);
    }
    let route = core
        .routes
        .find(request.uri().path())
        .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "no endpoint is served under this path"))?;
    let config = core.config.load();
    check_size(&request, config.body_bytes_max)?;
    guard::check(&config, peer, &request)?;
    drop(config);
    if request.method() == Method::OPTIONS {
        return cors_preflight(request.headers().get(ORIGIN));
    }
    if ![Method::POST, Method::GET, Method::DELETE].contains(request.method()) {
        return Err(Refusal::method_not_allowed());
    }
    let caller = Arc::new(authenticate(core, peer, &route.endpoint.auth_path, &request)?);
    match *request.method() {
        Method::POST => post::serve(core, route, caller, request).await,
        Method::GET => stream::open(core, &route, &caller, &request),
        _ => stream::delete(core, &route, &caller, &request),
    }
}

/// A document beside the endpoints, under a token of the endpoint that it belongs to.
fn read_page(
    core: &Core,
    peer: &Peer,
    page: &dyn Page,
    request: &Request<HttpBody>,
) -> Result<Response<ReplyBody>, Refusal> {
    guard::check(&core.config.load(), peer, request)?;
    if request.method() != Method::GET {
        return Err(Refusal::method_not_allowed());
    }
    let caller = authenticate(core, peer, page.endpoint(), request)?;
    let (kind, text) =
        page.read(&caller).ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "there is nothing here now"))?;
    let mut response = plain(StatusCode::OK, text);
    if let Ok(kind) = HeaderValue::from_str(kind) {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    Ok(response)
}

fn check_size(request: &Request<HttpBody>, body_bytes_max: usize) -> Result<(), Refusal> {
    let Some(length) = request.headers().get(CONTENT_LENGTH) else { return Ok(()) };
    let length = length.to_str().ok().and_then(|t| t.parse::<u64>().ok());
    if length.is_none_or(|l| l > body_bytes_max as u64) {
        return Err(Refusal::too_large());
    }
    Ok(())
}

/// The Bearer token of a request; a token anywhere else does not count.
fn bearer(value: Option<&HeaderValue>) -> Option<&str> {
    let text = value?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn authenticate(
    core: &Core,
    peer: &Peer,
    endpoint: &str,
    request: &Request<HttpBody>,
) -> Result<Caller, Refusal> {
    let config = core.config.load();
    let failures_max = config.auth_failures_per_min_max;
    if let Some(wait_s) = core.auth_failures.blocked(&peer.address, failures_max) {
        core.hooks.auth_refused(endpoint, &peer.address, "locked_out");
        return Err(Refusal::too_many("too many failed authentications from this address", wait_s));
    }
    let token = bearer(request.headers().get(AUTHORIZATION));
    let found = core.auth.authenticate(&AuthRequest::new(endpoint, token, &peer.address));
    let Identity { mut caller, rate_limit_per_min } = found.map_err(|error| {
        let reason = match (&error, token) {
            (AuthError::InsufficientScope, _) => "insufficient_scope",
            (AuthError::Unauthorized, None) => "missing_token",
            (AuthError::Unauthorized, Some(_)) => "invalid_token",
        };
        core.hooks.auth_refused(endpoint, &peer.address, reason);
        let _ = core.auth_failures.hit(&peer.address, failures_max);
        let challenge = core.auth.challenge(endpoint);
        match error {
            AuthError::Unauthorized => Refusal::unauthorized(&challenge),
            AuthError::InsufficientScope => Refusal::insufficient_scope(&challenge),
        }
    })?;
    let rate = rate_limit_per_min.unwrap_or(config.rate_limit_per_min);
    if rate > 0 {
        let key = format!("{endpoint} {}", caller.token_name);
        core.rates.hit(&key, rate).map_err(|wait_s| {
            core.hooks.rate_limited(endpoint, &caller.token_name, &peer.address);
            Refusal::too_many("the token has used up its requests of this minute", wait_s)
        })?;
    }
    caller.address = peer.address.to_string();
    Ok(caller)
}
