//! What a call is to the pipeline: who, through which tool, until when, and how it is stopped; it knows no agent protocol.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tells that a call is to stop, and runs a hook when it is.
pub trait StopSignal: Send + Sync {
    /// Whether the call is to stop.
    fn is_stopped(&self) -> bool;

    /// Runs `hook` once when the call is stopped, at once if it is, unless the returned guard is dropped first.
    fn on_stop(&self, hook: Box<dyn FnOnce() + Send>) -> Box<dyn Send>;
}

/// A signal that never comes.
#[derive(Debug, Clone, Copy, Default)]
// Exhaustive: it has no state.
pub struct NeverStops;

impl StopSignal for NeverStops {
    fn is_stopped(&self) -> bool {
        false
    }

    fn on_stop(&self, _: Box<dyn FnOnce() + Send>) -> Box<dyn Send> {
        Box::new(())
    }
}

/// One call.
#[derive(Clone)]
#[non_exhaustive]
pub struct CallScope {
    /// Canonical name of the tool.
    pub tool: Arc<str>,
    /// Endpoint path.
    pub endpoint: Arc<str>,
    /// Name of the token.
    pub caller: Arc<str>,
    /// Address of the client, without a port.
    pub client_address: Arc<str>,
    /// Targets that exist for the caller; `None` means all.
    pub targets: Option<Arc<[String]>>,
    /// When the whole call must be over.
    pub deadline: Option<Instant>,
    /// Number of the call, for logs.
    pub call_id: u64,
    /// How the call is stopped.
    pub stop: Arc<dyn StopSignal>,
}

impl CallScope {
    /// A call of `tool` by `caller` that sees all targets and never stops.
    #[must_use]
    pub fn new(tool: &str, caller: &str) -> Self {
        Self {
            tool: tool.into(),
            endpoint: "".into(),
            caller: caller.into(),
            client_address: "".into(),
            targets: None,
            deadline: None,
            call_id: 0,
            stop: Arc::new(NeverStops),
        }
    }

    /// Whether a target exists for the caller.
    #[must_use]
    pub fn sees(&self, target_id: &str) -> bool {
        self.targets.as_ref().is_none_or(|list| list.iter().any(|t| t == target_id))
    }

    /// Time left for the whole call.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

impl std::fmt::Debug for CallScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallScope")
            .field("tool", &self.tool)
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}
