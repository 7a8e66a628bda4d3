//! A bound that can change while it is in use; it does not know what it bounds.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits of a number that can be changed.
#[derive(Debug)]
pub(crate) struct Permits {
    semaphore: Arc<Semaphore>,
    /// Permits that exist, lent ones included.
    total: Mutex<usize>,
}

impl Permits {
    pub(crate) fn new(max: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Self { semaphore: Arc::new(Semaphore::new(max)), total: Mutex::new(max) }
    }

    /// A permit, if there is one now.
    pub(crate) fn try_acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.semaphore).try_acquire_owned().ok()
    }

    /// A permit, as soon as there is one; `None` never happens while this lives.
    pub(crate) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.semaphore).acquire_owned().await.ok()
    }

    pub(crate) fn free(&self) -> usize {
        self.semaphore.available_permits()
    }

    /// Moves towards `max` as far as permits are there; call again until it holds.
    pub(crate) fn fit(&self, max: usize) {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        if max > *total {
            self.semaphore.add_permits(max - *total);
            *total = max;
        } else if max < *total {
            *total -= self.semaphore.forget_permits(*total - max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_bound_holds_when_what_is_lent_has_come_back() {
        let permits = Permits::new(2);
        let (one, two) = (permits.try_acquire(), permits.try_acquire());
        assert!(one.is_some() && two.is_some() && permits.try_acquire().is_none());
        permits.fit(1);
        drop(one);
        permits.fit(1);
        assert_eq!(permits.free(), 0);
        drop(two);
        assert_eq!(permits.free(), 1);
        permits.fit(3);
        assert_eq!(permits.free(), 3);
    }
}
