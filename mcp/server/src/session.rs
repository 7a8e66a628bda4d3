//! Sessions of legacy clients: bounded in number, ended when idle, bound to their caller; it does not know HTTP.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mcp::{
    CancelToken, Change, ChangeSubscription, ClientCapabilities, LogLevel, ProtocolVersion, RequestId,
};
use serde_json::{Value, json};

use crate::clock::{now_ms, random_hex};
use crate::event::notification;
use crate::stream::{StreamBounds, StreamLog};

/// Streams of one session that can be resumed.
const STREAMS_MAX: usize = 32;
/// Resources that one session may follow.
const SUBSCRIPTIONS_MAX: usize = 1024;
/// Requests of one session that run at once and can be cancelled.
const INFLIGHT_MAX: usize = 1024;

/// What a client answered to a question: its result or its error.
pub(crate) type ClientAnswer = Result<Value, Value>;

#[derive(Default)]
struct Inner {
    log_level: Option<LogLevel>,
    subscriptions: BTreeSet<String>,
    inflight: HashMap<RequestId, CancelToken>,
    pending: HashMap<String, SyncSender<ClientAnswer>>,
    streams: VecDeque<Arc<StreamLog>>,
    changes: Option<ChangeSubscription>,
}

/// One session.
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) endpoint: Arc<str>,
    pub(crate) token_name: String,
    pub(crate) version: ProtocolVersion,
    pub(crate) capabilities: ClientCapabilities,
    /// Events outside of any request; resumable like the others.
    pub(crate) standalone: Arc<StreamLog>,
    bounds: StreamBounds,
    next: AtomicU64,
    last_seen_ms: AtomicU64,
    inner: Mutex<Inner>,
}

impl Session {
    pub(crate) fn new(
        id: String,
        endpoint: Arc<str>,
        token_name: String,
        version: ProtocolVersion,
        capabilities: ClientCapabilities,
        bounds: StreamBounds,
    ) -> Self {
        Self {
            id,
            endpoint,
            token_name,
            version,
            capabilities,
            standalone: Arc::new(StreamLog::new(0, bounds)),
            bounds,
            next: AtomicU64::new(1),
            last_seen_ms: AtomicU64::new(now_ms()),
            inner: Mutex::new(Inner { log_level: Some(LogLevel::Info), ..Inner::default() }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn touch(&self) {
        self.last_seen_ms.store(now_ms(), Ordering::Relaxed);
    }

    fn idle_ms(&self) -> u64 {
        let busy = !self.lock().inflight.is_empty() || self.standalone.is_read();
        if busy { 0 } else { now_ms().saturating_sub(self.last_seen_ms.load(Ordering::Relaxed)) }
    }

    pub(crate) fn log_level(&self) -> Option<LogLevel> {
        self.lock().log_level
    }

    pub(crate) fn set_log_level(&self, level: LogLevel) {
        self.lock().log_level = Some(level);
    }

    /// Follows a resource; `false` when the session follows too many already.
    pub(crate) fn subscribe(&self, uri: &str) -> bool {
        let mut inner = self.lock();
        let room = inner.subscriptions.len() < SUBSCRIPTIONS_MAX || inner.subscriptions.contains(uri);
        if room {
            inner.subscriptions.insert(uri.to_owned());
        }
        room
    }

    pub(crate) fn unsubscribe(&self, uri: &str) {
        self.lock().subscriptions.remove(uri);
    }

    /// Makes a running request cancellable until the guard is dropped.
    pub(crate) fn track(self: &Arc<Self>, id: &RequestId, cancel: CancelToken) -> InflightGuard {
        let mut inner = self.lock();
        if inner.inflight.len() < INFLIGHT_MAX {
            inner.inflight.insert(id.clone(), cancel);
        }
        InflightGuard { session: Arc::clone(self), id: id.clone() }
    }

    pub(crate) fn cancel(&self, id: &RequestId) {
        let token = self.lock().inflight.get(id).cloned();
        if let Some(token) = token {
            token.cancel();
        }
    }

    /// Registers a question; gives the id under which the client answers it.
    pub(crate) fn expect_answer(&self, answer: SyncSender<ClientAnswer>) -> String {
        let id = format!("ask-{}", self.next.fetch_add(1, Ordering::Relaxed));
        self.lock().pending.insert(id.clone(), answer);
        id
    }

    pub(crate) fn forget_answer(&self, id: &str) {
        self.lock().pending.remove(id);
    }

    /// Hands an answer to the call that waits for it; `false` if none does.
    pub(crate) fn answer(&self, id: &RequestId, answer: ClientAnswer) -> bool {
        let Some(key) = id.to_value().as_str().map(str::to_owned) else { return false };
        let waiting = self.lock().pending.remove(&key);
        waiting.is_some_and(|waiting| waiting.try_send(answer).is_ok())
    }

    /// A new stream whose events are kept for a while.
    pub(crate) fn open_stream(&self) -> Arc<StreamLog> {
        let log = Arc::new(StreamLog::new(self.next.fetch_add(1, Ordering::Relaxed), self.bounds));
        let mut inner = self.lock();
        if inner.streams.len() >= STREAMS_MAX {
            let at = inner.streams.iter().position(|s| s.is_done()).unwrap_or(0);
            inner.streams.remove(at);
        }
        inner.streams.push_back(Arc::clone(&log));
        log
    }

    /// The stream that an event id belongs to, and the number of the event.
    pub(crate) fn find_stream(&self, event_id: &str) -> Option<(Arc<StreamLog>, u64)> {
        let (stream, seq) = event_id.split_once('-')?;
        let (stream, seq): (u64, u64) = (stream.parse().ok()?, seq.parse().ok()?);
        if stream == 0 {
            return Some((Arc::clone(&self.standalone), seq));
        }
        let inner = self.lock();
        inner.streams.iter().find(|s| s.id() == stream).map(|s| (Arc::clone(s), seq))
    }

    /// Passes changes of the endpoint on to the standalone stream.
    pub(crate) fn follow(self: &Arc<Self>, feed: &mcp::ChangeFeed) {
        let weak = Arc::downgrade(self);
        let subscription = feed.subscribe(move |change| {
            if let Some(session) = weak.upgrade() {
                session.changed(change);
            }
        });
        self.lock().changes = Some(subscription);
    }

    fn changed(&self, change: &Change) {
        let (method, params) = match change {
            Change::Tools => ("notifications/tools/list_changed", json!({})),
            Change::Prompts => ("notifications/prompts/list_changed", json!({})),
            Change::Resources => ("notifications/resources/list_changed", json!({})),
            Change::ResourceUpdated(uri) if self.lock().subscriptions.contains(uri) => {
                ("notifications/resources/updated", json!({"uri": uri}))
            }
            _ => return,
        };
        self.standalone.push(&notification(method, &params));
    }

    /// Ends the session: its calls are cancelled, its streams end.
    fn end(&self) {
        let (running, streams) = {
            let mut inner = self.lock();
            inner.pending.clear();
            inner.changes = None;
            let running: Vec<CancelToken> = inner.inflight.values().cloned().collect();
            (running, inner.streams.drain(..).collect::<Vec<_>>())
        };
        running.iter().for_each(CancelToken::cancel);
        streams.iter().for_each(|s| s.finish());
        self.standalone.finish();
    }
}

/// Keeps a running request cancellable.
pub(crate) struct InflightGuard {
    session: Arc<Session>,
    id: RequestId,
}

impl Drop for InflightGuard {
    fn drop(&mut self) {
        self.session.lock().inflight.remove(&self.id);
        self.session.touch();
    }
}

/// All sessions.
#[derive(Default)]
pub(crate) struct Sessions {
    by_id: Mutex<BTreeMap<String, Arc<Session>>>,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Session>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a session under a random id. When there are `max`, the one that has been idle longest ends.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub(crate) fn insert(
        &self,
        max: usize,
        make: impl FnOnce(String) -> Session,
    ) -> std::io::Result<Arc<Session>> {
        let session = Arc::new(make(random_hex(16)?));
        let evicted = {
            let mut map = self.lock();
            let evicted = if map.len() >= max.max(1) {
                map.values().max_by_key(|s| s.idle_ms()).cloned()
            } else {
                None
            };
            if let Some(old) = &evicted {
                map.remove(&old.id);
            }
            map.insert(session.id.clone(), Arc::clone(&session));
            evicted
        };
        if let Some(old) = evicted {
            old.end();
        }
        Ok(session)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.lock().get(id).cloned()
    }

    pub(crate) fn remove(&self, id: &str) -> bool {
        let removed = self.lock().remove(id);
        if let Some(session) = &removed {
            session.end();
        }
        removed.is_some()
    }

    /// Ends sessions that were idle for `idle_ms`, and all of `endpoint` if it is given.
    pub(crate) fn reap(&self, idle_ms: u64, endpoint: Option<&str>) {
        let ended: Vec<Arc<Session>> = {
            let mut map = self.lock();
            let gone: Vec<String> = map
                .values()
                .filter(|s| s.idle_ms() >= idle_ms || endpoint.is_some_and(|e| *s.endpoint == *e))
                .map(|s| s.id.clone())
                .collect();
            gone.iter().filter_map(|id| map.remove(id)).collect()
        };
        ended.iter().for_each(|s| s.end());
    }

    pub(crate) fn end_all(&self) {
        let all = std::mem::take(&mut *self.lock());
        all.values().for_each(|s| s.end());
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: String) -> Session {
        let bounds = StreamBounds { events_max: 4, bytes_max: 1000 };
        Session::new(
            id,
            "/mcp/x".into(),
            "a".into(),
            ProtocolVersion::V2025_11_25,
            ClientCapabilities::default(),
            bounds,
        )
    }

    #[test]
    fn sessions_are_bounded_and_reaped() {
        let sessions = Sessions::default();
        let first = sessions.insert(2, session).unwrap();
        sessions.insert(2, session).unwrap();
        let third = sessions.insert(2, session).unwrap();
        assert_eq!(sessions.len(), 2);
        assert!(sessions.get(&third.id).is_some());
        assert!(first.id.bytes().all(|b| b.is_ascii_graphic()));
        sessions.reap(0, None);
        assert_eq!(sessions.len(), 0);
    }

    #[test]
    fn ending_a_session_cancels_its_calls() {
        let sessions = Sessions::default();
        let session = sessions.insert(2, session).unwrap();
        let cancel = CancelToken::new();
        let _guard = session.track(&RequestId::from_json("1").unwrap(), cancel.clone());
        assert!(sessions.remove(&session.id) && cancel.is_cancelled());
        assert!(!sessions.remove(&session.id));
    }
}
