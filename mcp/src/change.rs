//! Tells listeners that a list or a resource changed; it does not know who listens.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What changed on an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The list of tools.
    Tools,
    /// The list of prompts.
    Prompts,
    /// The list of resources or templates.
    Resources,
    /// The contents of one resource.
    ResourceUpdated(String),
}

type Listener = Arc<dyn Fn(&Change) + Send + Sync>;

#[derive(Default)]
struct Listeners {
    next: u64,
    by_id: BTreeMap<u64, Listener>,
}

/// A feed of changes, shared by clones: hosts and tools publish, transports listen.
#[derive(Clone, Default)]
pub struct ChangeFeed {
    inner: Arc<Mutex<Listeners>>,
}

impl ChangeFeed {
    /// A feed that nobody listens to.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells each listener, on this thread.
    pub fn publish(&self, change: &Change) {
        // Copied out, so that a listener may subscribe or leave while it is told.
        let listeners: Vec<Listener> = self.lock().by_id.values().cloned().collect();
        for listener in listeners {
            listener(change);
        }
    }

    /// Calls `listener` for each change until the guard is dropped. A listener must be quick and must not block.
    pub fn subscribe(&self, listener: impl Fn(&Change) + Send + Sync + 'static) -> ChangeSubscription {
        let mut listeners = self.lock();
        listeners.next += 1;
        let id = listeners.next;
        listeners.by_id.insert(id, Arc::new(listener));
        ChangeSubscription { feed: self.clone(), id }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Listeners> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ChangeFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeFeed").field("listeners", &self.lock().by_id.len()).finish()
    }
}

/// Keeps a listener; dropping it ends the subscription.
#[must_use = "the subscription ends when this is dropped"]
#[derive(Debug)]
pub struct ChangeSubscription {
    feed: ChangeFeed,
    id: u64,
}

impl Drop for ChangeSubscription {
    fn drop(&mut self) {
        self.feed.lock().by_id.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn listeners_hear_until_they_leave() {
        let feed = ChangeFeed::new();
        let heard = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&heard);
        let subscription = feed.subscribe(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        feed.publish(&Change::Tools);
        drop(subscription);
        feed.publish(&Change::Tools);
        assert_eq!(heard.load(Ordering::SeqCst), 1);
    }
}
