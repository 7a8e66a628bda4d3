//! GET and DELETE of legacy sessions, and which session a request belongs to; it does not know what streams carry.

use std::sync::Arc;

use hyper::body::Incoming as HttpBody;
use hyper::header::{ACCEPT, HeaderMap};
use hyper::{Request, Response, StatusCode};
use mcp::Caller;

use super::answer::{Refusal, empty};
use super::body::ReplyBody;
use super::post::event_stream;
use crate::core::Core;
use crate::routes::Route;
use crate::session::Session;

pub(super) const SESSION_HEADER: &str = "mcp-session-id";

/// The session that a legacy message names: none where the endpoint keeps or needs no sessions, 400 without an id, 404 for one
/// that ended, never existed or belongs to somebody else.
pub(super) fn session_of(
    core: &Core,
    route: &Route,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<Option<Arc<Session>>, Refusal> {
    if !route.endpoint.sessions {
        return Ok(None);
    }
    let Some(id) = headers.get(SESSION_HEADER) else {
        if !route.endpoint.session_required {
            return Ok(None);
        }
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "the header Mcp-Session-Id is missing: send initialize first",
        ));
    };
    id.to_str()
        .ok()
        .and_then(|id| core.sessions.get(id))
        .filter(|s| s.token_name == caller.token_name && s.endpoint == route.endpoint.path)
        .map(|session| {
            session.touch();
            Some(session)
        })
        .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "the session has ended: send initialize again"))
}

/// GET: events outside of requests, or the rest of a stream that was lost.
pub(super) fn open(
    core: &Arc<Core>,
    route: &Route,
    caller: &Caller,
    request: &Request<HttpBody>,
) -> Result<Response<ReplyBody>, Refusal> {
    let session = session_of(core, route, caller, request.headers())?.ok_or_else(Refusal::post_only)?;
    let accepts = request.headers().get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok());
    let mut kinds =
        accepts.flat_map(|v| v.split(',')).map(|k| k.split(';').next().unwrap_or_default().trim());
    if !kinds.any(|k| ["text/event-stream", "text/*", "*/*"].contains(&k)) {
        return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, "accept text/event-stream"));
    }
    let reader = match request.headers().get("last-event-id").map(|v| v.to_str().unwrap_or_default()) {
        None => {
            let reader = session.standalone.read(None);
            if session.version >= mcp::ProtocolVersion::V2025_11_25 {
                session.standalone.prime();
            }
            reader
        }
        Some(id) => {
            let (log, number) = session.find_stream(id).ok_or_else(|| {
                Refusal::new(StatusCode::BAD_REQUEST, "Last-Event-ID names no event that is kept")
            })?;
            log.read(Some(number))
        }
    };
    let permit = core.streams.try_acquire().ok_or_else(Refusal::busy)?;
    let keep_alive_ms = core.config.load().keep_alive_ms;
    Ok(event_stream(ReplyBody::log(reader, session, Some(permit), keep_alive_ms)))
}

/// DELETE: ends the session.
pub(super) fn delete(
    core: &Arc<Core>,
    route: &Route,
    caller: &Caller,
    request: &Request<HttpBody>,
) -> Result<Response<ReplyBody>, Refusal> {
    let session = session_of(core, route, caller, request.headers())?.ok_or_else(Refusal::post_only)?;
    core.sessions.remove(&session.id);
    Ok(empty(StatusCode::NO_CONTENT))
}
