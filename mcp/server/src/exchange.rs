//! One request on its way through the method table: who, what, where the answer goes; it does not know the transport.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use hyper::HeaderMap;
use mcp::{CallContext, Caller, CancelToken, Era, HeaderSource, Incoming, LogLevel, RequestId, RpcError};
use tokio::sync::mpsc;

use crate::core::Core;
use crate::event::{EVENTS_MAX, Event, LiveSink};
use crate::link::SilentLink;
use crate::routes::Route;
use crate::session::{InflightGuard, Session};
use crate::subscribe::Listening;

/// What a method gives back.
pub(crate) enum Reply {
    /// The result object.
    Result(Arc<str>),
    /// An open stream of notifications.
    Listen(Listening),
}

/// One request.
pub(crate) struct Exchange {
    pub(crate) core: Arc<Core>,
    pub(crate) route: Arc<Route>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) id: RequestId,
    pub(crate) method: String,
    pub(crate) era: Era,
    pub(crate) session: Option<Arc<Session>>,
    /// The headers that mirror the body; none on stdio.
    pub(crate) headers: Option<HeaderMap>,
    events: Events,
    pub(crate) cancel: CancelToken,
    pub(crate) tool: OnceLock<Arc<mcp::ToolSpec>>,
    /// Set by `initialize`: the session that was opened.
    pub(crate) opened: OnceLock<Arc<Session>>,
    /// W3C trace context of the caller, for logs.
    pub(crate) traceparent: Option<Arc<str>>,
    incoming: Mutex<Option<Incoming>>,
    reply: Mutex<Option<Result<Reply, RpcError>>>,
}

/// What an exchange is made of.
pub(crate) struct NewExchange {
    pub(crate) core: Arc<Core>,
    pub(crate) route: Arc<Route>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) id: RequestId,
    pub(crate) incoming: Incoming,
    pub(crate) session: Option<Arc<Session>>,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) events: Events,
}

/// Where events of a call go.
pub(crate) enum Events {
    /// The client takes none.
    None,
    /// A channel made when a call first needs it: most calls say nothing before their result.
    Lazy(Mutex<Option<mpsc::Receiver<Event>>>, OnceLock<mpsc::Sender<Event>>),
    /// The channel of the whole connection.
    Shared(mpsc::Sender<Event>),
}

impl Events {
    pub(crate) fn lazy() -> Self {
        Self::Lazy(Mutex::new(None), OnceLock::new())
    }
}

impl Exchange {
    pub(crate) fn new(new: NewExchange) -> Self {
        Self {
            core: new.core,
            route: new.route,
            caller: new.caller,
            id: new.id,
            method: new.incoming.method.clone(),
            era: new.incoming.era,
            session: new.session,
            headers: new.headers,
            events: new.events,
            cancel: CancelToken::new(),
            tool: OnceLock::new(),
            opened: OnceLock::new(),
            traceparent: new.incoming.meta.traceparent.as_deref().map(Into::into),
            incoming: Mutex::new(Some(new.incoming)),
            reply: Mutex::new(None),
        }
    }

    /// Where events of the call go, where the client can take any.
    pub(crate) fn events(&self) -> Option<mpsc::Sender<Event>> {
        match &self.events {
            Events::None => None,
            Events::Shared(events) => Some(events.clone()),
            Events::Lazy(slot, sender) => {
                let made = sender.get_or_init(|| {
                    let (send, receive) = mpsc::channel(EVENTS_MAX);
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(receive);
                    send
                });
                Some(made.clone())
            }
        }
    }

    /// The other end of [`events`](Self::events), if the call has asked for it.
    pub(crate) fn take_events(&self) -> Option<mpsc::Receiver<Event>> {
        match &self.events {
            Events::Lazy(slot, _) => slot.lock().unwrap_or_else(PoisonError::into_inner).take(),
            _ => None,
        }
    }

    /// The request; it is taken once, by its method.
    pub(crate) fn take_incoming(&self) -> Result<Incoming, RpcError> {
        let taken = self.incoming.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| self.core.incident("a request was taken twice"))
    }

    pub(crate) fn put_reply(&self, reply: Result<Reply, RpcError>) {
        *self.reply.lock().unwrap_or_else(PoisonError::into_inner) = Some(reply);
    }

    pub(crate) fn take_reply(&self) -> Option<Result<Reply, RpcError>> {
        self.reply.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The size of the result that waits to be sent, and the code of an error.
    pub(crate) fn outcome(&self) -> (usize, Option<i64>) {
        match &*self.reply.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Ok(Reply::Result(text))) => (text.len(), None),
            Some(Err(error)) => (0, Some(error.code)),
            _ => (0, None),
        }
    }

    /// A context without a way back to the client and without a deadline.
    pub(crate) fn context(&self, incoming: &Incoming) -> CallContext {
        let (caller, endpoint) = (Arc::clone(&self.caller), Arc::clone(&self.route.endpoint.path));
        let mut cx = CallContext::shared(caller, endpoint, self.cancel.clone());
        cx.call_id = self.core.next_call_id();
        cx.traceparent.clone_from(&self.traceparent);
        if let Some(capabilities) = &incoming.meta.capabilities {
            cx.client = Arc::new(SilentLink(capabilities.clone()));
        }
        cx
    }

    /// The context of a call that may wait: with a deadline, and progress and logs where the client takes them.
    pub(crate) fn live_context(&self, incoming: &mut Incoming) -> CallContext {
        let mut cx = self.context(incoming);
        let timeout_ms = self.timeout_ms();
        if timeout_ms > 0 {
            cx.deadline = Instant::now().checked_add(std::time::Duration::from_millis(timeout_ms));
        }
        if let Some(events) = self.events() {
            let level = self.log_level(incoming);
            cx.progress = Arc::new(LiveSink::new(events, incoming.meta.progress_token.take(), level));
        }
        cx
    }

    /// Time of the whole call; 0 means none. A tool that bounds its own time gets that of a task.
    pub(crate) fn timeout_ms(&self) -> u64 {
        let config = self.core.config.load();
        let is_own = self.tool.get().is_some_and(|spec| spec.own_time);
        if is_own { config.task_timeout_ms } else { config.call_timeout_ms }
    }

    fn log_level(&self, incoming: &Incoming) -> Option<LogLevel> {
        if !self.route.endpoint.logging {
            return None;
        }
        match self.era {
            Era::Modern => incoming.meta.log_level,
            Era::Legacy(_) => self.session.as_ref().and_then(|s| s.log_level()),
        }
    }

    /// Makes the request cancellable by a later notification.
    pub(crate) fn track(&self) -> Option<InflightGuard> {
        self.session.as_ref().map(|session| session.track(&self.id, self.cancel.clone()))
    }
}

/// The headers of an HTTP request as the protocol rules want them.
pub(crate) struct Headers<'a>(pub(crate) &'a HeaderMap);

impl HeaderSource for Headers<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"))
    }
}
