//! The answer of a prefix hook, given at once or from another thread; it does not know what is answered.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Instant;

use harvest::{Column, HarvestCode, HarvestError, HarvestResult, Value};

/// A small result that a hook answers.
#[derive(Debug, Clone, PartialEq, Default)]
// Exhaustive: hooks build it.
pub struct RowSet {
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows, in column order.
    pub rows: Vec<Vec<Value>>,
}

/// Where a prefix hook puts its one answer. Dropping it unanswered is `UNAVAILABLE` for the one who waits.
#[derive(Debug)]
pub struct Reply {
    sender: SyncSender<HarvestResult<RowSet>>,
}

impl Reply {
    /// A reply and the place where its answer arrives.
    #[must_use]
    pub fn pair() -> (Self, PendingReply) {
        let (sender, receiver) = sync_channel(1);
        (Self { sender }, PendingReply { receiver })
    }

    /// Answers with rows.
    pub fn rows(self, rows: RowSet) {
        // The other side may have given up; then nobody wants the answer.
        drop(self.sender.try_send(Ok(rows)));
    }

    /// Answers with a failure.
    pub fn fail(self, error: HarvestError) {
        drop(self.sender.try_send(Err(error)));
    }
}

/// An answer that may not be there yet.
#[derive(Debug)]
pub struct PendingReply {
    receiver: Receiver<HarvestResult<RowSet>>,
}

impl PendingReply {
    /// The answer if it is there; never waits.
    #[must_use]
    pub fn poll(&self) -> Option<HarvestResult<RowSet>> {
        match self.receiver.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(dropped())),
        }
    }

    /// Waits for the answer until `deadline`.
    ///
    /// # Errors
    /// `DEADLINE_EXCEEDED`, `UNAVAILABLE` when the hook gave no answer, or what the hook failed with.
    pub fn wait_until(&self, deadline: Instant) -> HarvestResult<RowSet> {
        match self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => Err(dropped()),
            Err(RecvTimeoutError::Timeout) => {
                Err(HarvestError::new(HarvestCode::DeadlineExceeded, "the hook did not answer in time"))
            }
        }
    }
}

fn dropped() -> HarvestError {
    HarvestError::new(HarvestCode::Unavailable, "the hook gave no answer")
}
