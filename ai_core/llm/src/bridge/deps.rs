//! What the host gives to the bridge; it uses none of it.

use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::history::HistorySink;
use crate::metrics::Metrics;
use crate::store::{LlmStore, NoStore};

/// What the host gives to the bridge.
#[non_exhaustive]
pub struct LlmDeps {
    /// Wall-clock time of days, hours and ages.
    pub clock: Arc<dyn Clock>,
    /// Durable memory.
    pub store: Arc<dyn LlmStore>,
    /// Takes finished calls.
    pub history: Option<Arc<dyn HistorySink>>,
    /// Counts what happens.
    pub metrics: Arc<Metrics>,
}

impl Default for LlmDeps {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            store: Arc::new(NoStore),
            history: None,
            metrics: Arc::default(),
        }
    }
}

impl LlmDeps {
    /// Sets the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the durable memory.
    #[must_use]
    pub fn with_store(mut self, store: Arc<dyn LlmStore>) -> Self {
        self.store = store;
        self
    }

    /// Sets the history.
    #[must_use]
    pub fn with_history(mut self, history: Arc<dyn HistorySink>) -> Self {
        self.history = Some(history);
        self
    }
}
