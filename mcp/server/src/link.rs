//! Questions from a running call to a legacy client: sent on the call's stream, answered by a later message; it does not know HTTP.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use mcp::{
    Ask, AskFailure, CallContext, ClientCapabilities, ClientLink, ErrorCode, Judgement, RpcError, ToolError,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::event::Event;
use crate::session::Session;

/// The way back to a client that has a session.
pub(crate) struct SessionLink {
    pub(crate) session: Arc<Session>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) ask_timeout: Duration,
}

impl ClientLink for SessionLink {
    fn capabilities(&self) -> ClientCapabilities {
        self.session.capabilities.clone()
    }

    fn ask(&self, cx: &CallContext, asks: &[Ask]) -> Result<Vec<Value>, AskFailure> {
        asks.iter().map(|ask| self.ask_one(cx, ask)).collect()
    }

    fn close_stream(&self) {
        let _ = self.events.try_send(Event::Cut);
    }
}

impl SessionLink {
    fn ask_one(&self, cx: &CallContext, ask: &Ask) -> Result<Value, AskFailure> {
        // Older revisions declare `elicitation` and `sampling` as plain objects: the same test holds.
        if !ask.is_possible(&self.session.capabilities) {
            return Err(AskFailure::MissingCapability(ask.capability()));
        }
        let (send, answer) = sync_channel(1);
        let id = self.session.expect_answer(send);
        let forget = {
            let (session, id) = (Arc::clone(&self.session), id.clone());
            // Dropping the sender wakes the waiting call.
            cx.cancel.on_cancel(move || session.forget_answer(&id))
        };
        let request = json!({"jsonrpc": "2.0", "id": id, "method": ask.method(), "params": ask.params()});
        let sent = self.events.blocking_send(Event::Message(request.to_string())).is_ok();
        let wait = cx.remaining().map_or(self.ask_timeout, |left| left.min(self.ask_timeout));
        let outcome = if sent { answer.recv_timeout(wait) } else { Err(RecvTimeoutError::Disconnected) };
        drop(forget);
        self.session.forget_answer(&id);
        self.session.touch();
        match outcome {
            Ok(Ok(value)) => match ask.judge(&value) {
                Judgement::Good => Ok(value),
                _ => Err(failed(ToolError::precondition("the client's answer does not fit the question"))),
            },
            Ok(Err(error)) => {
                let text = error.get("message").and_then(Value::as_str).unwrap_or("no message");
                Err(failed(ToolError::precondition(format!("the client refused the question: {text}"))))
            }
            Err(RecvTimeoutError::Timeout) => {
                Err(failed(ToolError::new(ErrorCode::DeadlineExceeded, "the client did not answer in time")))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(failed(ToolError::new(ErrorCode::Unavailable, "the client left before it answered")))
            }
        }
    }
}

fn failed(error: ToolError) -> AskFailure {
    AskFailure::Failed(error)
}

/// A client that can be asked nothing, but whose capabilities are known.
pub(crate) struct SilentLink(pub(crate) ClientCapabilities);

impl ClientLink for SilentLink {
    fn capabilities(&self) -> ClientCapabilities {
        self.0.clone()
    }
}

/// The error of a client that answers what nobody asked.
pub(crate) fn unexpected_response() -> RpcError {
    RpcError::new(RpcError::INVALID_REQUEST, "this server sent no request that the message answers")
}
