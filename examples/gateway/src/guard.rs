//! The hooks around one client session's statements: what is asked before, what is told after; it knows neither wire.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harvest::{HarvestCode, HarvestError, Protocol};
use harvest_gateway::{
    DigestNote, HookRegistry, Phase, PostQueryFeedback, PreQueryContext, RowSet, TransactionState, Verdict,
};

use crate::failure::Failure;

/// Longest wait for the answer of a prefix query, in milliseconds.
const PREFIX_TIMEOUT_MS: u64 = 120_000;
/// Pause between two looks for the answer of a prefix query, in milliseconds.
const PREFIX_POLL_MS: u64 = 5;

/// What the data ports did, counted once each.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) connections_open: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) logins_failed: AtomicU64,
    pub(crate) statements: AtomicU64,
    pub(crate) prepares: AtomicU64,
    pub(crate) denied: AtomicU64,
    pub(crate) rewritten: AtomicU64,
    pub(crate) answered: AtomicU64,
    pub(crate) prefix: AtomicU64,
    pub(crate) prefix_failed: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) rows: AtomicU64,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What becomes of a statement.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It goes to the backend as it is.
    Pass,
    /// It goes to the backend with this text.
    Rewrite(Vec<u8>),
    /// The client gets this and the backend hears nothing.
    Answer(RowSet),
    /// The client gets this error and the backend hears nothing.
    Refuse(Failure),
}

/// How a statement went.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The digest that a hook found before it ran.
    pub(crate) digest: Option<u64>,
    pub(crate) rows: Option<u64>,
    pub(crate) affected: Option<u64>,
    pub(crate) error: Option<HarvestError>,
}

/// The hooks, seen from one session. Without a registry every statement passes and nothing is judged.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Hooks around every statement, and those that answer prefix queries; the latter are for data ports only.
    hooks: Option<(HookRegistry, HookRegistry)>,
    counters: Arc<Counters>,
    pub(crate) user: String,
    pub(crate) schema: String,
    protocol: Protocol,
    client: SocketAddr,
    session_id: u64,
    pub(crate) transaction: TransactionState,
    pub(crate) multi_statements: Option<bool>,
    pub(crate) tls: bool,
}

impl Guard {
    /// A guard for a client that has not said its name yet.
    pub(crate) fn new(
        hooks: Option<(HookRegistry, HookRegistry)>,
        counters: Arc<Counters>,
        protocol: Protocol,
        client: SocketAddr,
        session_id: u64,
    ) -> Self {
        Self {
            hooks,
            counters,
            user: String::new(),
            schema: String::new(),
            protocol,
            client,
            session_id,
            transaction: TransactionState::Idle,
            multi_statements: None,
            tls: false,
        }
    }

    fn context<'a>(&'a self, sql: &'a [u8], phase: Phase, note: &'a DigestNote) -> PreQueryContext<'a> {
        PreQueryContext::builder(sql, &self.user, &self.schema, self.protocol)
            .client_addr(Some(self.client.ip()))
            .client_port(self.client.port())
            .session_id(self.session_id)
            .prepared(phase != Phase::Query)
            .phase(phase)
            .transaction(self.transaction)
            .multi_statements(self.multi_statements)
            .tls(self.tls)
            .note(note)
            .build()
    }

    /// Judges a statement: prefix hooks first, then the others. The outcome to be filled knows what they found.
    pub(crate) async fn decide(&self, sql: &[u8], phase: Phase) -> (Decision, Outcome) {
        let note = DigestNote::default();
        let decision = self.decision(sql, phase, &note).await;
        (decision, Outcome { digest: note.get(), ..Outcome::default() })
    }

    async fn decision(&self, sql: &[u8], phase: Phase, note: &DigestNote) -> Decision {
        let counters = &self.counters;
        count(if phase == Phase::Prepare { &counters.prepares } else { &counters.statements });
        let Some((hooks, prefixes)) = &self.hooks else { return Decision::Pass };
        let pending = prefixes.answer_prefix(&self.context(sql, phase, note));
        if let Some(pending) = pending {
            count(&counters.prefix);
            if phase != Phase::Query {
                count(&counters.prefix_failed);
                let message = "a prefix query cannot be prepared: send it as a plain statement";
                return Decision::Refuse(Failure::typed(HarvestCode::FailedPrecondition, message));
            }
            return match wait(pending).await {
                Ok(rows) => Decision::Answer(rows),
                Err(error) => {
                    count(&counters.prefix_failed);
                    Decision::Refuse(Failure::from(&error))
                }
            };
        }
        match hooks.judge(&self.context(sql, phase, note)) {
            Verdict::Allow => Decision::Pass,
            Verdict::Rewrite(text) => {
                count(&counters.rewritten);
                Decision::Rewrite(text)
            }
            Verdict::Answer(rows) => {
                count(&counters.answered);
                if phase == Phase::Query {
                    return Decision::Answer(rows);
                }
                let message = "a hook answers this statement itself: send it as a plain statement";
                Decision::Refuse(Failure::typed(HarvestCode::FailedPrecondition, message))
            }
            Verdict::Deny { message, .. } => {
                count(&counters.denied);
                Decision::Refuse(Failure::denied(message))
            }
            // The enum may grow: what is not understood does not pass.
            _ => Decision::Refuse(Failure::denied("the statement was refused".to_owned())),
        }
    }

    /// Tells the hooks how a statement went.
    pub(crate) fn report(&self, sql: &[u8], phase: Phase, duration: Duration, outcome: Outcome) {
        if outcome.error.is_some() {
            count(&self.counters.errors);
        }
        self.counters.rows.fetch_add(outcome.rows.unwrap_or(0), Ordering::Relaxed);
        let Some((hooks, _)) = &self.hooks else { return };
        let mut feedback = PostQueryFeedback::new(duration);
        feedback.rows_sent = outcome.rows;
        feedback.rows_affected = outcome.affected;
        feedback.error = outcome.error;
        feedback.digest = outcome.digest;
        hooks.report(&self.context(sql, phase, &DigestNote::default()), &feedback);
    }
}

/// Waits for a hook's answer without holding a thread.
async fn wait(pending: harvest_gateway::PendingReply) -> Result<RowSet, HarvestError> {
    let deadline = Instant::now() + Duration::from_millis(PREFIX_TIMEOUT_MS);
    loop {
        if let Some(answer) = pending.poll() {
            return answer;
        }
        if Instant::now() >= deadline {
            let message = "the prefix query did not answer in time";
            return Err(HarvestError::new(HarvestCode::DeadlineExceeded, message));
        }
        tokio::time::sleep(Duration::from_millis(PREFIX_POLL_MS)).await;
    }
}
