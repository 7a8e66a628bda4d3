//! Events of statements: a bounded ring that the pipeline fills, and the rows that flushing makes of it; it stores nothing on disk.

use std::collections::VecDeque;

use harvest::fingerprint;
use harvest_gateway::{Gateway, LogSql, StatementEvent, call_digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Texts of all waiting events together, in bytes.
const RING_BYTES_MAX: usize = 64 << 20;
/// Events that stay in memory after a flush.
const FLUSHED_EVENTS_MAX: usize = 100_000;
/// Texts of all flushed events together, in bytes.
const FLUSHED_BYTES_MAX: usize = 64 << 20;
/// What an event takes beside its text, in bytes.
const EVENT_BYTES: usize = 512;

/// A flushed event; the names are the columns of the event tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub(crate) struct QueryEvent {
    /// Number of the call.
    pub thread_id: u64,
    /// Account of the target.
    pub username: String,
    /// Token name.
    pub caller: String,
    pub tool: String,
    /// Schema of the call.
    pub database: String,
    /// Unix seconds.
    pub start_time: i64,
    /// Unix seconds.
    pub end_time: i64,
    pub duration_us: u64,
    /// Digest of tool and text.
    pub query_digest: String,
    /// The text as mcp-log_sql allows.
    pub query: String,
    /// The server that it went to; empty if to none.
    pub server: String,
    /// Address of the client.
    pub client: String,
    /// 0 executed, 1 answered from the cache, 2 ended before execution.
    pub event_type: u8,
    pub affected_rows: u64,
    pub rows_sent: u64,
    /// The server's number of the error; 0 without one.
    pub errno: i64,
    pub error: Option<String>,
    /// Target.
    #[serde(default)]
    pub target_id: String,
}

/// An event as the pipeline hands it over, its text not yet judged.
#[derive(Debug)]
pub(crate) struct RawEvent {
    at_ms: i64,
    text: String,
    pub(crate) target_id: String,
    event: QueryEvent,
}

impl RawEvent {
    fn of(event: &StatementEvent<'_>) -> Self {
        let number = |key: &str| event.error.and_then(|e| e.details.get(key)).and_then(|n| n.as_i64());
        let (host, port) = event.server;
        let end_ms = event.at_ms.saturating_add(i64::try_from(event.time_us / 1_000).unwrap_or(i64::MAX));
        Self {
            at_ms: event.at_ms,
            text: event.executed.to_owned(),
            target_id: event.target_id.to_owned(),
            event: QueryEvent {
                thread_id: event.call_id,
                username: event.username.to_owned(),
                caller: event.caller.to_owned(),
                tool: event.tool.to_owned(),
                database: event.schema.to_owned(),
                start_time: event.at_ms / 1_000,
                end_time: end_ms / 1_000,
                duration_us: event.time_us,
                query_digest: String::new(),
                query: String::new(),
                server: if port == 0 { host.to_owned() } else { format!("{host}:{port}") },
                client: event.client_address.to_owned(),
                event_type: match (event.cached, host.is_empty()) {
                    (true, _) => 1,
                    (false, true) => 2,
                    (false, false) => 0,
                },
                affected_rows: 0,
                rows_sent: event.rows,
                errno: number("errno").unwrap_or(0),
                error: event.error.map(|e| e.message.clone()),
                target_id: event.target_id.to_owned(),
            },
        }
    }

    fn bytes(&self) -> usize {
        EVENT_BYTES + self.text.len()
    }

    /// The row: with the digest, and of the text what may be kept.
    pub(crate) fn row(&self, gateway: &Gateway, log_sql: LogSql) -> QueryEvent {
        let digest_text = fingerprint(&self.text, gateway.lex_mode(&self.target_id));
        let mut event = self.event.clone();
        event.query_digest = format!("0x{:016X}", call_digest(&event.tool, &digest_text));
        event.query = match log_sql {
            LogSql::Off => String::new(),
            LogSql::Digest => digest_text,
            LogSql::Full => self.text.clone(),
        };
        event
    }
}

/// Events that wait for a flush, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    events: VecDeque<RawEvent>,
    bytes: usize,
    /// Lost to overflow since the last flush.
    dropped: u64,
    /// Lost to overflow since start.
    dropped_total: u64,
}

impl Ring {
    pub(crate) fn push(&mut self, event: &StatementEvent<'_>, events_max: usize) {
        if events_max == 0 {
            return;
        }
        let raw = RawEvent::of(event);
        self.bytes += raw.bytes();
        self.events.push_back(raw);
        self.shrink(events_max);
    }

    /// Keeps the bounds; the oldest leave.
    pub(crate) fn shrink(&mut self, events_max: usize) {
        while self.events.len() > events_max || self.bytes > RING_BYTES_MAX {
            let Some(gone) = self.events.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(gone.bytes());
            self.dropped += 1;
            self.dropped_total += 1;
        }
    }

    /// The events that `wanted` names, and what was lost since the last time.
    pub(crate) fn take(&mut self, wanted: impl Fn(&RawEvent) -> bool) -> (Vec<RawEvent>, u64) {
        let mut taken = Vec::new();
        let mut kept = VecDeque::new();
        for raw in self.events.drain(..) {
            if wanted(&raw) {
                self.bytes = self.bytes.saturating_sub(raw.bytes());
                taken.push(raw);
            } else {
                kept.push_back(raw);
            }
        }
        self.events = kept;
        (taken, std::mem::take(&mut self.dropped))
    }

    /// Takes events back whose flush has failed.
    pub(crate) fn put_back(&mut self, events: Vec<RawEvent>, dropped: u64, events_max: usize) {
        self.dropped += dropped;
        self.bytes += events.iter().map(RawEvent::bytes).sum::<usize>();
        self.events.extend(events);
        self.events.make_contiguous().sort_by_key(|raw| raw.at_ms);
        self.shrink(events_max);
    }

    pub(crate) fn dropped_total(&self) -> u64 {
        self.dropped_total
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }
}

/// Events that were flushed to memory, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Flushed {
    events: VecDeque<QueryEvent>,
    bytes: usize,
}

impl Flushed {
    pub(crate) fn extend(&mut self, events: Vec<QueryEvent>) {
        for event in events {
            self.bytes += EVENT_BYTES + event.query.len();
            self.events.push_back(event);
        }
        while self.events.len() > FLUSHED_EVENTS_MAX || self.bytes > FLUSHED_BYTES_MAX {
            let Some(gone) = self.events.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(EVENT_BYTES + gone.query.len());
        }
    }

    pub(crate) fn rows(&self) -> Vec<QueryEvent> {
        self.events.iter().cloned().collect()
    }
}
