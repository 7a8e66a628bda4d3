//! A resumable stream of events: numbered, bounded, read by one reader at a time; it does not know HTTP bodies.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::body::Bytes;

/// How much a stream keeps for a client that resumes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamBounds {
    pub(crate) events_max: usize,
    pub(crate) bytes_max: usize,
}

#[derive(Default)]
struct State {
    /// `(number, whole event)`, numbers ascending.
    events: VecDeque<(u64, Bytes)>,
    bytes: usize,
    next: u64,
    done: bool,
    /// Readers are numbered; only the newest reads on.
    reader: u64,
    reading: bool,
    cut: bool,
    lost_at: Option<Instant>,
    waker: Option<Waker>,
}

/// Events of one stream.
pub(crate) struct StreamLog {
    id: u64,
    bounds: StreamBounds,
    state: Mutex<State>,
}

impl StreamLog {
    pub(crate) fn new(id: u64, bounds: StreamBounds) -> Self {
        Self { id, bounds, state: Mutex::new(State::default()) }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, make: impl FnOnce(u64) -> String) {
        let mut state = self.lock();
        if state.done {
            return;
        }
        let number = state.next;
        state.next += 1;
        let event = Bytes::from(make(number));
        state.bytes += event.len();
        state.events.push_back((number, event));
        while state.events.len() > self.bounds.events_max.max(1)
            || (state.bytes > self.bounds.bytes_max && state.events.len() > 1)
        {
            if let Some((_, old)) = state.events.pop_front() {
                state.bytes -= old.len();
            }
        }
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Adds a message.
    pub(crate) fn push(&self, message: &str) {
        self.add(|number| format!("id: {}-{number}\ndata: {message}\n\n", self.id));
    }

    /// Adds the first event of a stream: an id to resume from, and how soon.
    pub(crate) fn prime(&self) {
        self.add(|number| format!("id: {}-{number}\nretry: 1000\ndata: \n\n", self.id));
    }

    /// No more events: the reader ends after the last one.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        state.done = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.lock().done
    }

    pub(crate) fn is_read(&self) -> bool {
        self.lock().reading
    }

    /// Ends the present reader although events will follow.
    pub(crate) fn cut(&self) {
        let mut state = self.lock();
        state.cut = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Reads from the event after `last`, or from the next one; an older reader ends.
    pub(crate) fn read(self: &std::sync::Arc<Self>, last: Option<u64>) -> StreamReader {
        let mut state = self.lock();
        state.reader += 1;
        state.reading = true;
        state.cut = false;
        state.lost_at = None;
        let next = last.map_or(state.next, |n| n.saturating_add(1));
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        StreamReader { log: std::sync::Arc::clone(self), number: state.reader, next }
    }

    /// Whether the client left without an end of ours for longer than `grace`.
    pub(crate) fn is_lost(&self, grace: Duration) -> bool {
        self.lock().lost_at.is_some_and(|at| at.elapsed() > grace)
    }
}

/// The reading end of a [`StreamLog`].
pub(crate) struct StreamReader {
    log: std::sync::Arc<StreamLog>,
    number: u64,
    next: u64,
}

impl StreamReader {
    /// The next event; `None` at the end.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.log.lock();
        if state.reader != self.number {
            return Poll::Ready(None);
        }
        let found = state.events.iter().find(|(number, _)| *number >= self.next);
        if let Some((number, event)) = found {
            self.next = number + 1;
            return Poll::Ready(Some(event.clone()));
        }
        if state.done || state.cut {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        let mut state = self.log.lock();
        if state.reader == self.number {
            state.reading = false;
            if !state.cut && !state.done {
                state.lost_at = Some(Instant::now());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn drain(reader: &mut StreamReader) -> Vec<String> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut out = Vec::new();
        while let Poll::Ready(Some(event)) = reader.poll_next(&mut cx) {
            out.push(String::from_utf8_lossy(&event).lines().next().unwrap_or_default().to_owned());
        }
        out
    }

    #[test]
    fn a_reader_resumes_where_it_was_and_old_events_leave() {
        let log = Arc::new(StreamLog::new(7, StreamBounds { events_max: 3, bytes_max: 10_000 }));
        let mut first = log.read(None);
        log.prime();
        log.push("{}");
        assert_eq!(drain(&mut first), ["id: 7-0", "id: 7-1"]);
        log.push("{}");
        let mut second = log.read(Some(1));
        assert_eq!(drain(&mut second), ["id: 7-2"]);
        assert_eq!(drain(&mut first), Vec::<String>::new());
        (0..5).for_each(|_| log.push("{}"));
        assert_eq!(drain(&mut log.read(Some(0))), ["id: 7-5", "id: 7-6", "id: 7-7"]);
    }

    #[test]
    fn a_client_that_leaves_is_lost_and_one_that_we_cut_is_not() {
        let log = Arc::new(StreamLog::new(1, StreamBounds { events_max: 3, bytes_max: 10_000 }));
        let reader = log.read(None);
        log.cut();
        drop(reader);
        assert!(!log.is_lost(Duration::ZERO));
        drop(log.read(None));
        std::thread::sleep(Duration::from_millis(2));
        assert!(log.is_lost(Duration::ZERO));
    }
}
