//! How a tool asks the client's side for input, the same way in both eras; it does not know how the question travels.

use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

use crate::context::CallContext;
use crate::error::ToolError;
use crate::meta::ClientCapabilities;
use crate::rpc::RpcError;

/// A question to the client's side. `key` names it within the call: repeat a call and the same question has the same key.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Ask {
    /// Name of the question within the call.
    pub key: String,
    /// What is asked.
    pub kind: AskKind,
    /// Whether an answer counts only if this server can prove that it asked.
    pub proven: bool,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AskKind {
    /// A form for the user.
    Elicit {
        /// What the user reads.
        message: String,
        /// Object schema with primitive properties.
        schema: Value,
    },
    /// A completion by the client's model; the parameters of `sampling/createMessage`.
    Sample {
        /// `messages`, `maxTokens` and the like.
        params: Value,
    },
    /// The client's roots.
    Roots,
}

impl Ask {
    /// A form. `schema` is an object schema with primitive properties.
    pub fn elicit(key: impl Into<String>, message: impl Into<String>, schema: Value) -> Self {
        Self { key: key.into(), kind: AskKind::Elicit { message: message.into(), schema }, proven: false }
    }

    /// A completion by the client's model.
    pub fn sample(key: impl Into<String>, params: Value) -> Self {
        Self { key: key.into(), kind: AskKind::Sample { params }, proven: false }
    }

    /// The client's roots.
    pub fn roots(key: impl Into<String>) -> Self {
        Self { key: key.into(), kind: AskKind::Roots, proven: false }
    }

    /// Counts an answer only if this server can prove that it asked: for confirmations of destructive work.
    #[must_use]
    pub fn proven(mut self) -> Self {
        self.proven = true;
        self
    }

    /// The protocol method.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self.kind {
            AskKind::Elicit { .. } => "elicitation/create",
            AskKind::Sample { .. } => "sampling/createMessage",
            AskKind::Roots => "roots/list",
        }
    }

    /// The parameters of the protocol method.
    #[must_use]
    pub fn params(&self) -> Value {
        match &self.kind {
            AskKind::Elicit { message, schema } => json!({"message": message, "requestedSchema": schema}),
            AskKind::Sample { params } => params.clone(),
            AskKind::Roots => json!({}),
        }
    }

    /// The capability that the client must have declared.
    #[must_use]
    pub fn capability(&self) -> &'static str {
        match self.kind {
            AskKind::Elicit { .. } => "elicitation",
            AskKind::Sample { .. } => "sampling",
            AskKind::Roots => "roots",
        }
    }

    /// Whether the client can answer it.
    #[must_use]
    pub fn is_possible(&self, capabilities: &ClientCapabilities) -> bool {
        match self.kind {
            AskKind::Elicit { .. } => capabilities.has_form_elicitation(),
            _ => capabilities.has(self.capability()),
        }
    }

    /// Judges an answer.
    #[must_use]
    pub fn judge(&self, answer: &Value) -> Judgement {
        let Value::Object(answer) = answer else { return Judgement::Malformed };
        let good = match &self.kind {
            AskKind::Elicit { schema, .. } => match answer.get("action").and_then(Value::as_str) {
                Some("decline" | "cancel") => true,
                Some("accept") => fits_form(schema, answer.get("content")),
                _ => return Judgement::Malformed,
            },
            AskKind::Sample { .. } => answer.contains_key("role") && answer.contains_key("content"),
            AskKind::Roots => answer.get("roots").is_some_and(Value::is_array),
        };
        if good { Judgement::Good } else { Judgement::AskAgain }
    }
}

/// What an answer is worth.
// Exhaustive: a link decides for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It answers the question.
    Good,
    /// It has the right form but lacks something: ask again.
    AskAgain,
    /// It is no answer at all: a protocol error.
    Malformed,
}

/// Forms are flat: required members are there and each known member has its primitive type.
fn fits_form(schema: &Value, content: Option<&Value>) -> bool {
    let empty = Map::new();
    let content = match content {
        Some(Value::Object(map)) => map,
        None => &empty,
        Some(_) => return false,
    };
    let required = schema.get("required").and_then(Value::as_array);
    let complete =
        required.is_none_or(|names| names.iter().filter_map(Value::as_str).all(|n| content.contains_key(n)));
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    complete
        && content.iter().all(|(name, value)| {
            properties.get(name).and_then(|p| p.get("type")).and_then(Value::as_str).is_none_or(|kind| {
                match kind {
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => {
                        value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|f| f.fract() == 0.0)
                    }
                    "number" => value.is_number(),
                    "array" => value.is_array(),
                    _ => true,
                }
            })
        })
}

/// Why a question has no answer yet, or never will.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AskFailure {
    /// The call must end now with these questions and be repeated with their answers.
    NeedInput(Vec<Ask>),
    /// The client cannot be asked this: a capability that it did not declare.
    MissingCapability(&'static str),
    /// The client broke the protocol.
    Protocol(RpcError),
    /// There is no way to the client, or it answered with an error, or not in time.
    Failed(ToolError),
}

/// The way from a running call back to its client. The default of every method is that there is none.
pub trait ClientLink: Send + Sync {
    /// What the client declared.
    fn capabilities(&self) -> ClientCapabilities {
        ClientCapabilities::default()
    }

    /// Answers to `asks`, in their order. May block until the deadline of `cx`.
    ///
    /// # Errors
    /// Why there is no answer.
    fn ask(&self, cx: &CallContext, asks: &[Ask]) -> Result<Vec<Value>, AskFailure> {
        let _ = cx;
        Err(AskFailure::MissingCapability(asks.first().map_or("elicitation", Ask::capability)))
    }

    /// What the same call left behind with [`remember`](Self::remember) in an earlier round.
    fn recall(&self) -> Option<Value> {
        None
    }

    /// Keeps a value for the next round of the same call; lost unless the call ends by asking.
    fn remember(&self, state: Value) {
        let _ = state;
    }

    /// From here on the call is a task, if the client can follow one. Returns whether it is.
    fn become_task(&self) -> bool {
        false
    }

    /// Ends the response stream although the call goes on; the client resumes it later (legacy sessions only).
    fn close_stream(&self) {}
}

/// No way back.
pub(crate) struct NoClient;
impl ClientLink for NoClient {}

/// What a call must end with instead of a tool result; set through [`CallContext`], read by the dispatcher.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Signal {
    /// `input_required` with these questions.
    NeedInput(Vec<Ask>),
    /// `-32021` naming this capability.
    MissingCapability(&'static str),
    /// A JSON-RPC error.
    Protocol(RpcError),
}

/// Where the signal of one call is kept.
#[derive(Debug, Default)]
pub(crate) struct SignalSlot(Mutex<Option<Signal>>);

impl SignalSlot {
    pub(crate) fn set(&self, signal: Signal) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(signal);
    }

    pub(crate) fn take(&self) -> Option<Signal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// How a user dealt with a form.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Elicited {
    /// Filled in.
    Accepted(Map<String, Value>),
    /// Refused.
    Declined,
    /// Put away without a decision.
    Cancelled,
}

impl Elicited {
    /// Reads an `ElicitResult`.
    #[must_use]
    pub fn from_answer(answer: &Value) -> Self {
        match answer.get("action").and_then(Value::as_str) {
            Some("accept") => {
                Self::Accepted(answer.get("content").and_then(Value::as_object).cloned().unwrap_or_default())
            }
            Some("decline") => Self::Declined,
            _ => Self::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_against_the_form() {
        let schema = json!({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]});
        let ask = Ask::elicit("k", "?", schema);
        let judge = |v: Value| ask.judge(&v);
        assert_eq!(judge(json!({"action": "accept", "content": {"ok": true}})), Judgement::Good);
        assert_eq!(judge(json!({"action": "accept", "content": {"ok": "yes"}})), Judgement::AskAgain);
        assert_eq!(judge(json!({"action": "accept"})), Judgement::AskAgain);
        assert_eq!(judge(json!({"action": "decline"})), Judgement::Good);
        assert_eq!(judge(json!({"action": "maybe"})), Judgement::Malformed);
        assert_eq!(judge(json!(12345)), Judgement::Malformed);
    }
}
