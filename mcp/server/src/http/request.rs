//! What a POST sends and accepts: media types and a bounded body; it does not know messages.

use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming as HttpBody};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap};

use super::answer::Refusal;
use crate::core::Core;

/// What the client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepts {
    Json,
    Events,
    Both,
}

/// 415 and 406.
pub(super) fn media_types(headers: &HeaderMap) -> Result<Accepts, Refusal> {
    let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let content = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(essence);
    if content.as_deref() != Some("application/json") {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
    }
    let (mut json, mut events, mut any, mut events_first) = (false, false, false, false);
    for value in headers.get_all(ACCEPT) {
        any = true;
        for part in value.to_str().unwrap_or_default().split(',') {
            let kind = essence(part);
            events |= matches!(kind.as_str(), "text/event-stream" | "text/*" | "*/*");
            events_first |= events && !json && kind != "*/*";
            json |= matches!(kind.as_str(), "application/json" | "application/*" | "*/*");
        }
    }
    match (json, events) {
        // What is named first is preferred.
        (true, true) if events_first => Ok(Accepts::Events),
        (true, true) => Ok(Accepts::Both),
        (true, false) => Ok(Accepts::Json),
        (false, true) => Ok(Accepts::Events),
        (false, false) if !any => Ok(Accepts::Json),
        (false, false) => {
            Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, "accept application/json or text/event-stream"))
        }
    }
}

pub(super) async fn read_body(core: &Core, body: HttpBody) -> Result<Bytes, Refusal> {
    let (bytes_max, timeout_ms) = {
        let config = core.config.load();
        (config.body_bytes_max, config.body_timeout_ms)
    };
    let read = Limited::new(body, bytes_max).collect();
    match tokio::time::timeout(Duration::from_millis(timeout_ms), read).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::too_large()),
        Ok(Err(_)) => Err(Refusal::new(StatusCode::BAD_REQUEST, "the body could not be read")),
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}
