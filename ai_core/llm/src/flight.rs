//! Lets equal concurrent work be done once; it does not know what the work is.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use ai_core::{CancelToken, Deadline};

enum Landing<V> {
    Flying,
    Landed(V),
    /// The leader gave up for reasons of its own: somebody else must try.
    Crashed,
}

struct Cell<V> {
    state: Mutex<Landing<V>>,
    bell: Condvar,
}

/// Work in flight by key.
pub(crate) struct Flights<K, V> {
    cells: Mutex<HashMap<K, Arc<Cell<V>>>>,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self { cells: Mutex::default() }
    }
}

/// What to do with a key.
pub(crate) enum Boarding<'f, K: Eq + Hash + Clone, V: Clone> {
    /// Do the work and [`land`](Leader::land) the result.
    Lead(Leader<'f, K, V>),
    /// Somebody else did it.
    Shared(V),
    /// The deadline or a cancel came first.
    GaveUp,
}

/// The one that does the work.
pub(crate) struct Leader<'f, K: Eq + Hash + Clone, V: Clone> {
    flights: &'f Flights<K, V>,
    key: K,
    cell: Arc<Cell<V>>,
    landed: bool,
}

impl<K: Eq + Hash + Clone, V: Clone + Send + 'static> Flights<K, V> {
    /// Becomes the leader for `key`, or waits for the present one.
    pub(crate) fn board(&self, key: &K, deadline: Deadline, cancel: &CancelToken) -> Boarding<'_, K, V> {
        loop {
            let cell = {
                let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
                match cells.get(key) {
                    Some(cell) => cell.clone(),
                    None => {
                        let cell =
                            Arc::new(Cell { state: Mutex::new(Landing::Flying), bell: Condvar::new() });
                        cells.insert(key.clone(), cell.clone());
                        return Boarding::Lead(Leader {
                            flights: self,
                            key: key.clone(),
                            cell,
                            landed: false,
                        });
                    }
                }
            };
            let mut state = cell.state.lock().unwrap_or_else(PoisonError::into_inner);
            while matches!(*state, Landing::Flying) {
                let left = deadline.remaining();
                if left.is_zero() || cancel.is_cancelled() {
                    return Boarding::GaveUp;
                }
                // Short naps instead of a hook: a cancel is seen well within its 100 ms.
                let nap = left.min(Duration::from_millis(25));
                state = cell.bell.wait_timeout(state, nap).map_or_else(|e| e.into_inner().0, |(s, _)| s);
            }
            if let Landing::Landed(value) = &*state {
                return Boarding::Shared(value.clone());
            }
        }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Leader<'_, K, V> {
    /// Gives the result to everybody who waits.
    pub(crate) fn land(mut self, value: V) {
        self.end(Landing::Landed(value));
    }

    fn end(&mut self, landing: Landing<V>) {
        self.landed = true;
        self.flights.cells.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        *self.cell.state.lock().unwrap_or_else(PoisonError::into_inner) = landing;
        self.cell.bell.notify_all();
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Drop for Leader<'_, K, V> {
    fn drop(&mut self) {
        if !self.landed {
            self.end(Landing::Crashed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn one_works_and_a_crash_passes_the_work_on() {
        let flights: Flights<&str, usize> = Flights::default();
        let (worked, tries) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let start = std::sync::Barrier::new(16);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    start.wait();
                    match flights.board(&"k", Deadline::after_ms(60_000), &CancelToken::new()) {
                        Boarding::Lead(leader) => {
                            std::thread::sleep(Duration::from_millis(30));
                            if tries.fetch_add(1, Ordering::SeqCst) == 0 {
                                drop(leader);
                            } else {
                                worked.fetch_add(1, Ordering::SeqCst);
                                leader.land(7);
                            }
                        }
                        Boarding::Shared(value) => assert_eq!(value, 7),
                        Boarding::GaveUp => panic!("nobody cancelled"),
                    }
                });
            }
        });
        assert!(worked.load(Ordering::SeqCst) >= 1);
        assert!(flights.cells.lock().unwrap().is_empty());
    }

    #[test]
    fn followers_leave_at_their_deadline() {
        let flights: Flights<u8, u8> = Flights::default();
        let cancel = CancelToken::new();
        let Boarding::Lead(_leader) = flights.board(&1, Deadline::after_ms(9_000), &cancel) else { panic!() };
        assert!(matches!(flights.board(&1, Deadline::after_ms(5), &cancel), Boarding::GaveUp));
        cancel.cancel();
        assert!(matches!(flights.board(&1, Deadline::after_ms(9_000), &cancel), Boarding::GaveUp));
    }
}
