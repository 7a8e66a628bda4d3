//! The stdio transport: one message a line, answers as they are ready; it does not know processes or logs.

use std::sync::Arc;

use mcp::{Caller, ClientCapabilities, Era, Incoming, Message, RequestId, Scope, read_message};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;

use crate::core::{Core, stopped};
use crate::event::{EVENTS_MAX, Event, error_message, result_message};
use crate::exchange::{Events, Exchange, NewExchange, Reply};
use crate::routes::Route;
use crate::server::ServerError;
use crate::session::Session;
use crate::stream::StreamBounds;
use crate::subscribe::Listening;

/// Requests of one client that may be open at once.
const RUNNING_MAX: usize = 1024;

/// What a line turned out to be.
#[derive(Debug, PartialEq)]
pub(crate) enum Line {
    /// A whole line without its end.
    Text(Vec<u8>),
    /// A line longer than allowed; it was skipped.
    TooLong,
    /// The input has ended.
    End,
}

/// Reads one line of at most `bytes_max` bytes. The last line may lack its end.
pub(crate) async fn read_line<R: AsyncRead + Unpin>(
    input: &mut BufReader<R>,
    bytes_max: usize,
) -> std::io::Result<Line> {
    let mut line = Vec::new();
    let mut long = false;
    loop {
        let chunk = input.fill_buf().await?;
        if chunk.is_empty() {
            let empty = line.is_empty() && !long;
            return Ok(if empty { Line::End } else { whole(line, long) });
        }
        let end = chunk.iter().position(|b| *b == b'\n');
        let take = end.unwrap_or(chunk.len());
        long |= line.len() + take > bytes_max;
        if long {
            line.clear();
        } else {
            line.extend_from_slice(&chunk[..take]);
        }
        let used = take + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            return Ok(whole(line, long));
        }
    }
}

fn whole(mut line: Vec<u8>, long: bool) -> Line {
    if long {
        return Line::TooLong;
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Line::Text(line)
}

/// Serves one endpoint until the input ends and what was asked is answered.
pub(crate) async fn serve<R, W>(core: &Arc<Core>, path: &str, input: R, output: W) -> Result<(), ServerError>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let route = core.routes.find(path).ok_or_else(|| ServerError::UnknownEndpoint(path.to_owned()))?;
    let (send, lines) = mpsc::channel(EVENTS_MAX);
    let writer = tokio::spawn(write_lines(output, lines));
    let caller = Arc::new(Caller::new("stdio", Scope::Full));
    let mut desk =
        Desk { core: Arc::clone(core), route, caller, send, session: None, running: JoinSet::new() };
    let mut input = BufReader::new(input);
    let mut stop = core.stop.subscribe();
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(250));
    let outcome = loop {
        let bytes_max = core.config.load().body_bytes_max;
        let mut line = std::pin::pin!(read_line(&mut input, bytes_max));
        // A line that is being read must not be lost to a tick.
        let line = loop {
            tokio::select! {
                line = &mut line => break Some(line),
                _ = tick.tick() => core.routes.publish_changes(),
                () = stopped(&mut stop) => break None,
            }
        };
        match line {
            Some(Ok(Line::Text(line))) if line.iter().all(u8::is_ascii_whitespace) => {}
            Some(Ok(Line::Text(line))) => desk.take(&line).await,
            Some(Ok(Line::TooLong)) => {
                let error =
                    mcp::RpcError::new(mcp::RpcError::INVALID_REQUEST, "the line is longer than allowed");
                desk.say(error_message(None, &error)).await;
            }
            Some(Ok(Line::End)) | None => break Ok(()),
            Some(Err(error)) => break Err(ServerError::io("cannot read the input", error)),
        }
        while desk.running.try_join_next().is_some() {}
    };
    desk.finish().await;
    drop(desk);
    let _ = writer.await;
    outcome
}

async fn write_lines<W: AsyncWrite + Unpin>(mut output: W, mut lines: mpsc::Receiver<Event>) {
    while let Some(event) = lines.recv().await {
        let Event::Message(mut line) = event else { continue };
        line.push('\n');
        if output.write_all(line.as_bytes()).await.is_err() || output.flush().await.is_err() {
            return;
        }
    }
}

/// The state of one client on one pair of streams.
struct Desk {
    core: Arc<Core>,
    route: Arc<Route>,
    caller: Arc<Caller>,
    send: mpsc::Sender<Event>,
    /// Of a legacy client; modern requests use it only to be cancelled by id.
    session: Option<Arc<Session>>,
    running: JoinSet<()>,
}

impl Desk {
    async fn say(&self, message: String) {
        let _ = self.send.send(Event::Message(message)).await;
    }

    async fn take(&mut self, line: &[u8]) {
        match read_message(line) {
            Err(failure) => self.say(error_message(failure.id.as_ref(), &failure.error)).await,
            Ok(Message::Request { id, method, params }) => {
                let legacy = self.session.as_ref().map_or(Era::LEGACY, |s| Era::Legacy(s.version));
                self.start(id, Incoming::new(method, params, legacy)).await;
            }
            Ok(Message::Notification { method, params }) if method == "notifications/cancelled" => {
                let id = params.get("requestId").and_then(|id| RequestId::from_json(&id.to_string()));
                if let (Some(id), Some(session)) = (id, &self.session) {
                    session.cancel(&id);
                }
            }
            Ok(Message::Notification { .. }) => {}
            Ok(Message::Response { id, outcome }) => {
                if let Some(session) = &self.session {
                    session.answer(&id, outcome);
                }
            }
        }
    }

    async fn start(&mut self, id: RequestId, incoming: Incoming) {
        if incoming.era.is_modern()
            && let Err(error) = incoming.meta.check_modern()
        {
            return self.say(error_message(Some(&id), &error)).await;
        }
        if self.running.len() >= RUNNING_MAX {
            let error = mcp::RpcError::new(mcp::RpcError::INTERNAL, "too many requests at once");
            return self.say(error_message(Some(&id), &error)).await;
        }
        let opens = incoming.method == "initialize";
        let session = self.session_for(&incoming);
        let exchange = Arc::new(Exchange::new(NewExchange {
            core: Arc::clone(&self.core),
            route: Arc::clone(&self.route),
            caller: Arc::clone(&self.caller),
            id: id.clone(),
            incoming,
            session: Some(session),
            headers: None,
            events: Events::Shared(self.send.clone()),
        }));
        let send = self.send.clone();
        if opens {
            // What follows depends on it, so it is not served beside others.
            answer(&exchange, &send, None).await;
            if let Some(session) = exchange.opened.get() {
                self.adopt(session);
            }
            return;
        }
        self.running.spawn(async move {
            // Waited for here and not before, so that a cancellation is always read.
            let permit = exchange.core.requests.acquire().await;
            answer(&exchange, &send, permit).await;
        });
    }

    /// The session of the client; before `initialize`, one without capabilities.
    fn session_for(&mut self, _: &Incoming) -> Arc<Session> {
        let session = self.session.get_or_insert_with(|| {
            let config = self.core.config.load();
            let bounds =
                StreamBounds { events_max: config.stream_events_max, bytes_max: config.stream_bytes_max };
            Arc::new(Session::new(
                String::new(),
                Arc::clone(&self.route.endpoint.path),
                self.caller.token_name.clone(),
                mcp::ProtocolVersion::V2025_11_25,
                ClientCapabilities::default(),
                bounds,
            ))
        });
        Arc::clone(session)
    }

    /// Takes the session that `initialize` opened, and passes its standalone events on as lines.
    fn adopt(&mut self, session: &Arc<Session>) {
        self.session = Some(Arc::clone(session));
        let (mut reader, send) = (session.standalone.read(None), self.send.clone());
        self.running.spawn(async move {
            while let Some(event) = std::future::poll_fn(|cx| reader.poll_next(cx)).await {
                let text = String::from_utf8_lossy(&event).into_owned();
                let data = text.lines().find_map(|l| l.strip_prefix("data: ")).unwrap_or_default();
                if !data.is_empty() && send.send(Event::Message(data.to_owned())).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Lets running requests finish within the grace time; streams end.
    async fn finish(&mut self) {
        if let Some(session) = self.session.take() {
            session.standalone.finish();
            self.core.sessions.remove(&session.id);
        }
        let grace = std::time::Duration::from_millis(self.core.config.load().shutdown_grace_ms);
        let all = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            self.running.shutdown().await;
        }
    }
}

async fn answer(exchange: &Arc<Exchange>, send: &mpsc::Sender<Event>, permit: Option<OwnedSemaphorePermit>) {
    let message = match exchange.core.rpc.serve(exchange).await {
        Ok(Reply::Result(result)) => result_message(&exchange.id, &result),
        Ok(Reply::Listen(listening)) => {
            // A stream waits for changes and must not keep others from being served.
            drop(permit);
            return listen(exchange, listening, send).await;
        }
        Err(error) => error_message(Some(&exchange.id), &error),
    };
    let _ = send.send(Event::Message(message)).await;
}

/// Passes changes on until the client cancels the stream or the server stops.
async fn listen(exchange: &Arc<Exchange>, mut listening: Listening, send: &mpsc::Sender<Event>) {
    let _tracked = exchange.track();
    let (gone, mut cancelled) = mpsc::channel::<()>(1);
    let _hook = exchange.cancel.on_cancel(move || drop(gone));
    let mut stop = exchange.core.stop.subscribe();
    if let Some(first) = listening.first.take() {
        let _ = send.send(Event::Message(first)).await;
    }
    loop {
        tokio::select! {
            biased;
            _ = cancelled.recv() => break,
            () = stopped(&mut stop) => break,
            change = listening.changes.recv() => {
                let Some(message) = change else { break };
                if send.send(Event::Message(message)).await.is_err() {
                    break;
                }
            }
        }
    }
    let _ = send.send(Event::Message(listening.last.clone())).await;
}
