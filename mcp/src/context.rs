//! What a call carries besides its arguments: caller, deadline, cancellation, progress; it does not know the transport.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ask::{Ask, AskFailure, ClientLink, Elicited, NoClient, Signal, SignalSlot};
use crate::cancel::CancelToken;
use crate::error::{ToolError, ToolResult};
use crate::rpc::RpcError;
use crate::spec::{Scope, ToolSpec};

/// Who calls: the token's name and rights, never the token itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// Name of the token; `anonymous` without authentication, `stdio` over standard input.
    pub token_name: String,
    /// The widest scope that the token holds.
    pub scope: Scope,
    /// Finer scopes such as `rag:search`; `Scope::Full` holds them all.
    pub named_scopes: Vec<String>,
    /// Targets that exist for this caller; `None` means all.
    pub targets: Option<Vec<String>>,
    /// Address of the client, without a port; empty when there is none.
    pub address: String,
}

impl Caller {
    /// A caller with a scope, all targets and no address.
    pub fn new(token_name: impl Into<String>, scope: Scope) -> Self {
        Self {
            token_name: token_name.into(),
            scope,
            named_scopes: Vec::new(),
            targets: None,
            address: String::new(),
        }
    }

    /// Whether a target exists for this caller.
    #[must_use]
    pub fn sees_target(&self, target_id: &str) -> bool {
        self.targets.as_ref().is_none_or(|list| list.iter().any(|t| t == target_id))
    }

    /// Whether this caller may list and call the tool.
    #[must_use]
    pub fn may_call(&self, spec: &ToolSpec) -> bool {
        if self.scope == Scope::Full {
            return true;
        }
        self.scope >= spec.scope
            && (spec.named_scope.is_empty() || self.named_scopes.contains(&spec.named_scope))
    }
}

/// Severity of a log notification towards the client, as in syslog.
// Exhaustive: the protocol defines these eight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the syslog severities")]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

/// Where progress and log notifications of a call go. The default of every method drops them.
pub trait ProgressSink: Send + Sync {
    /// Progress so far; `progress` must grow from call to call, `total` is sent when known.
    fn progress(&self, progress: f64, total: Option<f64>, message: Option<&str>) {
        let _ = (progress, total, message);
    }

    /// A log notification.
    fn log(&self, level: LogLevel, logger: Option<&str>, data: serde_json::Value) {
        let _ = (level, logger, data);
    }
}

struct NoProgress;
impl ProgressSink for NoProgress {}

/// Everything that a tool may ask about the call it serves. Cheap to clone.
#[derive(Clone)]
#[non_exhaustive]
pub struct CallContext {
    /// Who calls.
    pub caller: Arc<Caller>,
    /// Endpoint path, such as `/mcp/query`.
    pub endpoint: Arc<str>,
    /// Number of the call in this process, for logs.
    pub call_id: u64,
    /// When the call must be over; `None` means no deadline.
    pub deadline: Option<Instant>,
    /// Cancelled when the client leaves, cancels, or the deadline passes.
    pub cancel: CancelToken,
    /// Where progress and logs go.
    pub progress: Arc<dyn ProgressSink>,
    /// W3C trace context of the caller, if sent.
    pub traceparent: Option<Arc<str>>,
    /// The way back to the client, for questions.
    pub client: Arc<dyn ClientLink>,
    signal: Arc<SignalSlot>,
}

impl CallContext {
    /// A context without deadline, progress or trace, for `caller` on `endpoint`.
    pub fn new(caller: Caller, endpoint: &str) -> Self {
        Self::shared(Arc::new(caller), endpoint.into(), CancelToken::new())
    }

    /// A context like [`new`](Self::new) without copying what the server shares between calls.
    #[must_use]
    pub fn shared(caller: Arc<Caller>, endpoint: Arc<str>, cancel: CancelToken) -> Self {
        Self {
            caller,
            endpoint,
            call_id: 0,
            deadline: None,
            cancel,
            progress: Arc::new(NoProgress),
            traceparent: None,
            client: Arc::new(NoClient),
            signal: Arc::new(SignalSlot::default()),
        }
    }

    /// Asks the client's side one question; see [`ask_all`](Self::ask_all).
    ///
    /// # Errors
    /// As [`ask_all`](Self::ask_all).
    pub fn ask(&self, ask: Ask) -> ToolResult<Value> {
        let mut answers = self.ask_all(&[ask])?;
        answers.pop().ok_or_else(|| ToolError::internal("a question came back without an answer"))
    }

    /// Asks the client's side several questions at once and gives their answers in the same order.
    ///
    /// A legacy client answers while the call waits. A modern one is sent the questions as the result of the call and
    /// repeats it with the answers: the tool then runs again from its start, so ask before doing anything that must not
    /// happen twice.
    ///
    /// # Errors
    /// A failure that the tool passes on with `?`; it makes the call end with the questions, or says why nobody can be asked.
    pub fn ask_all(&self, asks: &[Ask]) -> ToolResult<Vec<Value>> {
        self.client.ask(self, asks).map_err(|failure| match failure {
            AskFailure::NeedInput(asks) => {
                self.signal.set(Signal::NeedInput(asks));
                ToolError::precondition("input from the client is required").with("reason", "input_required")
            }
            AskFailure::MissingCapability(name) => self.missing_capability(name),
            AskFailure::Protocol(error) => self.protocol_error(error),
            AskFailure::Failed(error) => error,
        })
    }

    /// Shows the user a form.
    ///
    /// # Errors
    /// As [`ask_all`](Self::ask_all).
    pub fn elicit(&self, key: &str, message: &str, schema: Value) -> ToolResult<Elicited> {
        Ok(Elicited::from_answer(&self.ask(Ask::elicit(key, message, schema))?))
    }

    /// Asks the user to confirm destructive work: `None` when the client cannot show a form, so that the tool falls back
    /// on an argument.
    ///
    /// # Errors
    /// As [`ask_all`](Self::ask_all).
    pub fn confirm(&self, key: &str, message: &str) -> ToolResult<Option<bool>> {
        if !self.client.capabilities().has_form_elicitation() {
            return Ok(None);
        }
        let schema = json!({
            "type": "object",
            "properties": {"confirm": {"type": "boolean", "title": "Confirm", "description": message}},
            "required": ["confirm"],
        });
        let answer = self.ask(Ask::elicit(key, message, schema).proven())?;
        let yes = matches!(Elicited::from_answer(&answer),
            Elicited::Accepted(form) if form.get("confirm") == Some(&Value::Bool(true)));
        Ok(Some(yes))
    }

    /// Refuses the call unless the client declared a capability such as `sampling`.
    ///
    /// # Errors
    /// The failure to pass on.
    pub fn require_capability(&self, name: &'static str) -> ToolResult<()> {
        if self.client.capabilities().has(name) { Ok(()) } else { Err(self.missing_capability(name)) }
    }

    /// Makes the call end with a JSON-RPC error instead of a tool result; return what this gives.
    #[must_use]
    pub fn protocol_error(&self, error: RpcError) -> ToolError {
        let failure = ToolError::internal(error.message.clone());
        self.signal.set(Signal::Protocol(error));
        failure
    }

    /// What the call must end with instead of its result, if a tool said so. Taking it clears it.
    #[must_use]
    pub fn take_signal(&self) -> Option<Signal> {
        self.signal.take()
    }

    fn missing_capability(&self, name: &'static str) -> ToolError {
        self.signal.set(Signal::MissingCapability(name));
        ToolError::precondition(format!("the client did not declare the capability {name}"))
            .with("reason", "missing_client_capability")
            .with("capability", name)
    }

    /// Time left until the deadline: `None` without one, zero when it has passed.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

impl std::fmt::Debug for CallContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallContext")
            .field("caller", &self.caller.token_name)
            .field("endpoint", &self.endpoint)
            .field("call_id", &self.call_id)
            .finish_non_exhaustive()
    }
}
