//! What a running call says before it ends, and the notifications it is written as; it does not know how they travel.

use std::sync::{Mutex, PoisonError};

use mcp::{LogLevel, ProgressSink, RequestId};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

/// Events a call may have waiting.
pub(crate) const EVENTS_MAX: usize = 64;

/// Something a call says before its result.
#[derive(Debug)]
pub(crate) enum Event {
    /// A JSON-RPC message for the client.
    Message(String),
    /// End the stream, go on working.
    Cut,
    /// The call has become the task of this id.
    Task(String),
}

/// Writes a notification.
pub(crate) fn notification(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
}

/// Writes a result with the caller's own id.
pub(crate) fn result_message(id: &RequestId, result: &str) -> String {
    let mut out = String::with_capacity(result.len() + id.as_json().len() + 40);
    out.push_str(r#"{"jsonrpc":"2.0","id":"#);
    out.push_str(id.as_json());
    out.push_str(r#","result":"#);
    out.push_str(result);
    out.push('}');
    out
}

/// Writes an error; the id is absent when it could not be read.
pub(crate) fn error_message(id: Option<&RequestId>, error: &mcp::RpcError) -> String {
    let error = serde_json::to_string(error).unwrap_or_default();
    match id {
        Some(id) => format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.as_json()),
        None => format!(r#"{{"jsonrpc":"2.0","error":{error}}}"#),
    }
}

/// Sends progress and logs of one call as notifications. A client that does not keep up loses some.
pub(crate) struct LiveSink {
    pub(crate) events: mpsc::Sender<Event>,
    /// Progress goes nowhere without one.
    pub(crate) token: Option<Value>,
    /// Logs go nowhere without one.
    pub(crate) level: Option<LogLevel>,
    pub(crate) last: Mutex<f64>,
}

impl LiveSink {
    pub(crate) fn new(events: mpsc::Sender<Event>, token: Option<Value>, level: Option<LogLevel>) -> Self {
        Self { events, token, level, last: Mutex::new(f64::NEG_INFINITY) }
    }
}

impl ProgressSink for LiveSink {
    fn progress(&self, progress: f64, total: Option<f64>, message: Option<&str>) {
        let Some(token) = &self.token else { return };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // The protocol wants it strictly increasing, whatever tools do.
        if !progress.is_finite() || progress <= *last {
            return;
        }
        let mut params = Map::new();
        params.insert("progressToken".into(), token.clone());
        params.insert("progress".into(), number(progress));
        if let Some(total) = total.filter(|t| t.is_finite()) {
            params.insert("total".into(), number(total));
        }
        if let Some(message) = message {
            params.insert("message".into(), message.into());
        }
        if self
            .events
            .try_send(Event::Message(notification("notifications/progress", &params.into())))
            .is_ok()
        {
            *last = progress;
        }
    }

    fn log(&self, level: LogLevel, logger: Option<&str>, data: Value) {
        if self.level.is_none_or(|min| level < min) {
            return;
        }
        let mut params = Map::new();
        params.insert("level".into(), json!(level));
        if let Some(logger) = logger {
            params.insert("logger".into(), logger.into());
        }
        params.insert("data".into(), data);
        let _ = self.events.try_send(Event::Message(notification("notifications/message", &params.into())));
    }
}

/// Whole numbers are written without a fraction.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_grows_strictly_and_logs_obey_the_level() {
        let (events, mut heard) = mpsc::channel(8);
        let sink = LiveSink::new(events, Some(json!("t")), Some(LogLevel::Warning));
        for step in [0.0, 50.0, 50.0, 20.0, f64::NAN, 99.5] {
            sink.progress(step, Some(100.0), None);
        }
        sink.log(LogLevel::Info, None, json!("quiet"));
        sink.log(LogLevel::Error, Some("x"), json!("loud"));
        let mut lines = Vec::new();
        while let Ok(Event::Message(line)) = heard.try_recv() {
            lines.push(line);
        }
        insta::assert_snapshot!(lines.join("\n"));
    }
}
