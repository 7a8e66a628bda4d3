//! Bodies of answers: whole, or events as they come; it does not know what they mean.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use mcp::{CancelToken, RequestId};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, Sleep};

use crate::core::stopped;
use crate::event::{Event, error_message, result_message};
use crate::exchange::Reply;
use crate::session::Session;
use crate::stream::StreamReader;
use crate::subscribe::Listening;

/// What a method gives back.
pub(super) type Outcome = Result<Reply, mcp::RpcError>;
/// A request that is being served.
pub(super) type Serving = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// The body of an answer.
pub(crate) struct ReplyBody {
    kind: Kind,
    keep_alive: Option<KeepAlive>,
}

enum Kind {
    Full(Option<Bytes>),
    Call(Box<CallStream>),
    Log { reader: StreamReader, session: Arc<Session>, _permit: Option<OwnedSemaphorePermit> },
    Listen { listening: Box<Listening>, stop: Pin<Box<dyn Future<Output = ()> + Send>>, ended: bool },
}

/// A call whose answer is an event stream that dies with its connection.
pub(super) struct CallStream {
    pub(super) serving: Option<Serving>,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) first: Option<Event>,
    pub(super) id: RequestId,
    pub(super) permit: Option<OwnedSemaphorePermit>,
    pub(super) _watchdog: Watchdog,
}

/// Cancels a call at its deadline although nobody polls it, because its client does not read.
pub(super) struct Watchdog(tokio::task::JoinHandle<()>);

impl Watchdog {
    /// `timeout_ms` of zero means none.
    pub(super) fn start(cancel: CancelToken, timeout_ms: u64) -> Self {
        Self(tokio::spawn(async move {
            if timeout_ms > 0 {
                tokio::time::sleep(Duration::from_millis(timeout_ms)).await;
                cancel.cancel();
            }
        }))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct KeepAlive {
    every: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl ReplyBody {
    pub(super) fn full(bytes: Bytes) -> Self {
        Self { kind: Kind::Full(Some(bytes)), keep_alive: None }
    }

    pub(super) fn call(stream: CallStream, keep_alive_ms: u64) -> Self {
        Self { kind: Kind::Call(Box::new(stream)), keep_alive: Some(KeepAlive::new(keep_alive_ms)) }
    }

    pub(super) fn log(
        reader: StreamReader,
        session: Arc<Session>,
        permit: Option<OwnedSemaphorePermit>,
        keep_alive_ms: u64,
    ) -> Self {
        Self {
            kind: Kind::Log { reader, session, _permit: permit },
            keep_alive: Some(KeepAlive::new(keep_alive_ms)),
        }
    }

    pub(super) fn listen(listening: Listening, mut stop: watch::Receiver<bool>, keep_alive_ms: u64) -> Self {
        let stop = Box::pin(async move { stopped(&mut stop).await });
        Self {
            kind: Kind::Listen { listening: Box::new(listening), stop, ended: false },
            keep_alive: Some(KeepAlive::new(keep_alive_ms)),
        }
    }
}

impl KeepAlive {
    fn new(every_ms: u64) -> Self {
        let every = Duration::from_millis(every_ms.max(1));
        Self { every, sleep: Box::pin(tokio::time::sleep(every)) }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if self.sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.reset();
        Poll::Ready(Bytes::from_static(b": keep-alive\n\n"))
    }

    fn reset(&mut self) {
        let next = Instant::now() + self.every;
        self.sleep.as_mut().reset(next);
    }
}

/// One event without an id: it cannot be resumed.
pub(super) fn event(message: &str) -> Bytes {
    Bytes::from(format!("data: {message}\n\n"))
}

/// The last message of a request.
pub(super) fn final_message(id: &RequestId, outcome: &Outcome) -> String {
    match outcome {
        Ok(Reply::Result(result)) => result_message(id, result),
        Ok(Reply::Listen(_)) => String::new(),
        Err(error) => error_message(Some(id), error),
    }
}

impl CallStream {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match self.first.take() {
                Some(Event::Message(message)) => return Poll::Ready(Some(event(&message))),
                Some(Event::Cut | Event::Task(_)) => continue,
                None => {}
            }
            // What was said before the end is sent before the end.
            if let Poll::Ready(Some(said)) = self.events.poll_recv(cx) {
                self.first = Some(said);
                continue;
            }
            let Some(serving) = self.serving.as_mut() else { return Poll::Ready(None) };
            let Poll::Ready(outcome) = serving.as_mut().poll(cx) else { return Poll::Pending };
            self.serving = None;
            self.permit = None;
            let last = event(&final_message(&self.id, &outcome));
            let mut before = Vec::new();
            while let Ok(said) = self.events.try_recv() {
                if let Event::Message(message) = said {
                    before.extend_from_slice(&event(&message));
                }
            }
            before.extend_from_slice(&last);
            return Poll::Ready(Some(Bytes::from(before)));
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let polled = match &mut this.kind {
            Kind::Full(bytes) => Poll::Ready(bytes.take().filter(|b| !b.is_empty())),
            Kind::Call(stream) => stream.poll(cx),
            Kind::Log { reader, session, .. } => {
                session.touch();
                reader.poll_next(cx)
            }
            Kind::Listen { ended: true, .. } => Poll::Ready(None),
            Kind::Listen { listening, stop, ended } => match listening.first.take() {
                Some(first) => Poll::Ready(Some(event(&first))),
                None => match listening.changes.poll_recv(cx) {
                    Poll::Ready(Some(message)) => Poll::Ready(Some(event(&message))),
                    _ if stop.as_mut().poll(cx).is_ready() => {
                        *ended = true;
                        Poll::Ready(Some(event(&listening.last)))
                    }
                    _ => Poll::Pending,
                },
            },
        };
        let frame = match (polled, &mut this.keep_alive) {
            (Poll::Ready(Some(bytes)), keep_alive) => {
                if let Some(keep_alive) = keep_alive {
                    keep_alive.reset();
                }
                bytes
            }
            (Poll::Ready(None), _) => return Poll::Ready(None),
            (Poll::Pending, Some(keep_alive)) => match keep_alive.poll(cx) {
                Poll::Ready(comment) => comment,
                Poll::Pending => return Poll::Pending,
            },
            (Poll::Pending, None) => return Poll::Pending,
        };
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.kind, Kind::Full(bytes) if bytes.as_ref().is_none_or(|b| b.is_empty()))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            _ => SizeHint::default(),
        }
    }
}
