//! POST: one message in, its answer as JSON or as events; it does not know what methods do.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Bytes, Incoming as HttpBody};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use mcp::{
    Caller, Era, Incoming, Message, ProtocolVersion, RequestId, RpcError, check_standard_headers,
    read_message,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::answer::{Refusal, empty, plain};
use super::body::{CallStream, Outcome, ReplyBody, Serving, Watchdog, final_message};
use super::request::{Accepts, media_types, read_body};
use super::stream::{SESSION_HEADER, session_of};
use crate::core::Core;
use crate::event::{Event, error_message, result_message};
use crate::exchange::{Events, Exchange, Headers, NewExchange, Reply};
use crate::link::unexpected_response;
use crate::routes::Route;
use crate::session::Session;
use crate::stream::StreamLog;

/// Serves a POST after its path, size, origin and token.
pub(super) async fn serve(
    core: &Arc<Core>,
    route: Arc<Route>,
    caller: Arc<Caller>,
    request: Request<HttpBody>,
) -> Result<Response<ReplyBody>, Refusal> {
    let accepts = media_types(request.headers())?;
    let (head, body) = request.into_parts();
    let bytes = read_body(core, body).await?;
    let message = read_message(&bytes).map_err(|failure| {
        Refusal::rpc(StatusCode::BAD_REQUEST, error_message(failure.id.as_ref(), &failure.error))
    })?;
    match message {
        Message::Request { id, method, params } => {
            let modern_header = is_modern_header(&head.headers);
            let incoming = Incoming::new(method, params, legacy_era(&head.headers)?);
            let call = Call { core, route, caller, id, accepts, headers: head.headers };
            call.serve(incoming, modern_header).await
        }
        Message::Notification { method, params } => {
            let session = session_of(core, &route, &caller, &head.headers)?;
            notified(session.as_deref(), &method, &params);
            Ok(empty(StatusCode::ACCEPTED))
        }
        Message::Response { id, outcome } => {
            let session = session_of(core, &route, &caller, &head.headers)?;
            match session {
                Some(session) => {
                    session.answer(&id, outcome);
                    Ok(empty(StatusCode::ACCEPTED))
                }
                None => Err(Refusal::rpc(
                    StatusCode::BAD_REQUEST,
                    error_message(Some(&id), &unexpected_response()),
                )),
            }
        }
    }
}

fn version_header(headers: &HeaderMap) -> Option<&str> {
    headers.get("mcp-protocol-version").map(|v| v.to_str().unwrap_or("\u{fffd}").trim())
}

fn is_modern_header(headers: &HeaderMap) -> bool {
    version_header(headers) == Some(ProtocolVersion::V2026_07_28.as_str())
}

/// The era of a request that its body does not make modern. A version that nobody knows is refused by the header's check
/// in the modern era, and here in the legacy one.
fn legacy_era(headers: &HeaderMap) -> Result<Era, Refusal> {
    match version_header(headers).map(|text| (text, ProtocolVersion::parse(text))) {
        Some((_, Some(ProtocolVersion::V2026_07_28))) | None => Ok(Era::LEGACY),
        Some((_, Some(version))) => Ok(Era::Legacy(version)),
        // Decided when the body is known: a modern body names the version itself.
        Some((_, None)) => Ok(Era::LEGACY),
    }
}

fn notified(session: Option<&Session>, method: &str, params: &serde_json::Map<String, serde_json::Value>) {
    if let (Some(session), "notifications/cancelled") = (session, method)
        && let Some(id) = params.get("requestId").and_then(|id| RequestId::from_json(&id.to_string()))
    {
        session.cancel(&id);
    }
}

/// One request with all that belongs to it.
struct Call<'a> {
    core: &'a Arc<Core>,
    route: Arc<Route>,
    caller: Arc<Caller>,
    id: RequestId,
    accepts: Accepts,
    headers: HeaderMap,
}

impl Call<'_> {
    async fn serve(
        mut self,
        mut incoming: Incoming,
        modern_header: bool,
    ) -> Result<Response<ReplyBody>, Refusal> {
        // The header alone makes a request modern too, so that a missing `_meta` is named as what is wrong.
        if modern_header && incoming.method != "initialize" {
            incoming.era = Era::Modern;
        }
        let session = if incoming.era.is_modern() {
            self.check_modern(&incoming)?;
            None
        } else {
            self.check_legacy(&mut incoming)?
        };
        let permit = self.permit().await?;
        let exchange = Arc::new(Exchange::new(NewExchange {
            core: Arc::clone(self.core),
            route: Arc::clone(&self.route),
            caller: Arc::clone(&self.caller),
            id: self.id.clone(),
            incoming,
            session: session.clone(),
            headers: Some(std::mem::take(&mut self.headers)),
            events: if self.accepts == Accepts::Json { Events::None } else { Events::lazy() },
        }));
        let serving: Serving = {
            let exchange = Arc::clone(&exchange);
            Box::pin(async move { exchange.core.rpc.serve(&exchange).await })
        };
        self.answer(exchange, serving, permit, session).await
    }

    fn refused(&self, era: Era, error: &RpcError) -> Refusal {
        let status = StatusCode::from_u16(error.http_status(era)).unwrap_or(StatusCode::BAD_REQUEST);
        let status = if status == StatusCode::OK { StatusCode::BAD_REQUEST } else { status };
        Refusal::rpc(status, error_message(Some(&self.id), error))
    }

    /// `_meta` first, then the headers that mirror the body. A version that is not spoken here is told as such only if the
    /// header agrees with the body.
    fn check_modern(&self, incoming: &Incoming) -> Result<(), Refusal> {
        let headers = Headers(&self.headers);
        let check = || {
            let version = incoming.meta.protocol_version.as_deref();
            if let Some(version) = version {
                let told = version_header(&self.headers).unwrap_or_default();
                if told != version {
                    let text = "the header MCP-Protocol-Version is missing or differs from _meta";
                    return Err(RpcError::header_mismatch(text));
                }
            }
            incoming.meta.check_modern()?;
            check_standard_headers(&headers, version.unwrap_or_default(), &incoming.method, &incoming.params)
        };
        check().map_err(|error| self.refused(Era::Modern, &error))
    }

    fn check_legacy(&self, incoming: &mut Incoming) -> Result<Option<Arc<Session>>, Refusal> {
        if incoming.method == "initialize" {
            return Ok(None);
        }
        if let Some(text) = version_header(&self.headers)
            && ProtocolVersion::parse(text).is_none()
        {
            let error = RpcError::new(
                RpcError::INVALID_REQUEST,
                "the header MCP-Protocol-Version names no known version",
            );
            return Err(self.refused(incoming.era, &error));
        }
        let session = session_of(self.core, &self.route, &self.caller, &self.headers)?;
        if let Some(session) = &session {
            incoming.era = Era::Legacy(session.version);
        }
        Ok(session)
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        if let Some(permit) = self.core.requests.try_acquire() {
            return Ok(permit);
        }
        let wait = Duration::from_millis(self.core.config.load().request_wait_ms);
        match tokio::time::timeout(wait, self.core.requests.acquire()).await {
            Ok(Some(permit)) => Ok(permit),
            _ => Err(Refusal::busy()),
        }
    }

    /// JSON if the result is the first thing that happens, events otherwise.
    async fn answer(
        self,
        exchange: Arc<Exchange>,
        mut serving: Serving,
        permit: OwnedSemaphorePermit,
        session: Option<Arc<Session>>,
    ) -> Result<Response<ReplyBody>, Refusal> {
        // Most requests are answered at once; only the others pay for a timer and a channel.
        if let Some(outcome) = poll_once(&mut serving).await {
            let events = exchange.take_events();
            return self.done(&exchange, outcome, events);
        }
        let Some(mut events) = exchange.take_events() else {
            let outcome = serving.await;
            return self.done(&exchange, outcome, None);
        };
        let slow = Duration::from_millis(self.core.config.load().stream_after_ms);
        let first = tokio::select! {
            biased;
            outcome = &mut serving => return self.done(&exchange, outcome, Some(events)),
            Some(event) = events.recv() => Some(event),
            () = tokio::time::sleep(slow) => None,
        };
        let keep_alive_ms = self.core.config.load().keep_alive_ms;
        let body = match session {
            Some(session) => {
                let log = session.open_stream();
                let reader = log.read(None);
                if session.version >= ProtocolVersion::V2025_11_25 {
                    log.prime();
                }
                let driver =
                    Driver { log, id: self.id.clone(), core: Arc::clone(self.core), _permit: permit };
                tokio::spawn(driver.run(serving, events, first));
                ReplyBody::log(reader, session, None, keep_alive_ms)
            }
            None => {
                let id = self.id.clone();
                let _watchdog = Watchdog::start(exchange.cancel.clone(), exchange.timeout_ms());
                let stream =
                    CallStream { serving: Some(serving), events, first, id, permit: Some(permit), _watchdog };
                ReplyBody::call(stream, keep_alive_ms)
            }
        };
        Ok(event_stream(body))
    }

    /// The whole answer at once.
    fn done(
        &self,
        exchange: &Exchange,
        outcome: Outcome,
        events: Option<mpsc::Receiver<Event>>,
    ) -> Result<Response<ReplyBody>, Refusal> {
        if let Ok(Reply::Listen(listening)) = outcome {
            if self.accepts == Accepts::Json {
                return Err(Refusal::new(
                    StatusCode::NOT_ACCEPTABLE,
                    "this method answers with text/event-stream",
                ));
            }
            let keep_alive_ms = self.core.config.load().keep_alive_ms;
            return Ok(event_stream(ReplyBody::listen(listening, self.core.stop.subscribe(), keep_alive_ms)));
        }
        let status = match &outcome {
            Err(error) => StatusCode::from_u16(error.http_status(exchange.era)).unwrap_or(StatusCode::OK),
            Ok(_) => StatusCode::OK,
        };
        let mut said: Vec<Event> = Vec::new();
        if let Some(mut events) = events {
            while let Ok(event) = events.try_recv() {
                said.push(event);
            }
        }
        let message = match &outcome {
            Ok(Reply::Result(result)) => result_message(&self.id, result),
            _ => final_message(&self.id, &outcome),
        };
        let as_events = self.accepts == Accepts::Events || !said.is_empty();
        let mut response = if as_events && status == StatusCode::OK {
            event_stream(self.whole_stream(exchange.session.as_ref(), said, &message))
        } else {
            plain(status, message)
        };
        if let Some(session) = exchange.opened.get()
            && let Ok(value) = HeaderValue::from_str(&session.id)
        {
            response.headers_mut().insert(SESSION_HEADER, value);
        }
        Ok(response)
    }

    /// A stream of which everything is known. That of a session can be resumed, like any other of it.
    fn whole_stream(&self, session: Option<&Arc<Session>>, said: Vec<Event>, last: &str) -> ReplyBody {
        let messages = said.into_iter().filter_map(|event| match event {
            Event::Message(message) => Some(message),
            Event::Cut | Event::Task(_) => None,
        });
        let Some(session) = session else {
            let text: String = messages.map(|message| format!("data: {message}\n\n")).collect();
            return ReplyBody::full(Bytes::from(format!("{text}data: {last}\n\n")));
        };
        let log = session.open_stream();
        let reader = log.read(None);
        if session.version >= ProtocolVersion::V2025_11_25 {
            log.prime();
        }
        messages.for_each(|message| log.push(&message));
        log.push(last);
        log.finish();
        ReplyBody::log(reader, Arc::clone(session), None, self.core.config.load().keep_alive_ms)
    }
}

/// What a request gives when it is polled for the first time.
async fn poll_once(serving: &mut Serving) -> Option<Outcome> {
    std::future::poll_fn(|cx| match serving.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// An answer of events.
pub(super) fn event_stream(body: ReplyBody) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    response
}

/// Serves a call whose events are kept, also while no client reads them.
struct Driver {
    log: Arc<StreamLog>,
    id: RequestId,
    core: Arc<Core>,
    _permit: OwnedSemaphorePermit,
}

impl Driver {
    async fn run(self, mut serving: Serving, mut events: mpsc::Receiver<Event>, first: Option<Event>) {
        if let Some(event) = first {
            self.take(event);
        }
        let grace = Duration::from_millis(self.core.config.load().resume_grace_ms);
        let mut look = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => self.take(event),
                outcome = &mut serving => {
                    while let Ok(event) = events.try_recv() {
                        self.take(event);
                    }
                    self.log.push(&final_message(&self.id, &outcome));
                    break;
                }
                // Dropping the call cancels it: its client left and did not come back.
                _ = look.tick() => if self.log.is_lost(grace) { break },
            }
        }
        self.log.finish();
    }

    fn take(&self, event: Event) {
        match event {
            Event::Message(message) => self.log.push(&message),
            Event::Cut => self.log.cut(),
            Event::Task(_) => {}
        }
    }
}
