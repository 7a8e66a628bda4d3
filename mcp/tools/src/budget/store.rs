//! Keeps results that a budget cut, for their callers alone and for a while; it neither makes nor cuts them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harvest_gateway::CallScope;
use serde_json::{Value, json};

use super::SCHEME;
use super::document::Document;

/// How long a result is kept, in milliseconds.
const LIFETIME_MS: u64 = 600_000;
/// Memory of all kept results, in bytes.
const BYTES_MAX: usize = 64 << 20;
/// Memory of the kept results of one caller, in bytes.
const CALLER_BYTES_MAX: usize = 16 << 20;
/// Kept results of one caller.
const CALLER_RESULTS_MAX: usize = 64;

/// Whose a result is.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) caller: String,
    pub(super) target_id: Option<String>,
}

/// A kept result.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) document: Arc<Document>,
    /// Unix seconds.
    pub(super) expires_at_s: u64,
}

impl Stored {
    pub(super) fn uri(&self) -> String {
        format!("{SCHEME}{}", self.id)
    }

    pub(super) fn reference(&self) -> Value {
        json!({"uri": self.uri(), "bytes": self.document.bytes(), "expires_at": self.expires_at_s})
    }
}

struct Entry {
    stored: Stored,
    owner: Owner,
    /// The policies under which it was made.
    stamp: u64,
    born: Instant,
    memory_bytes: usize,
}

/// Results that a budget cut, oldest first. Bounded in bytes, per caller and altogether, and in time.
#[derive(Default)]
pub struct ResultStore {
    entries: Mutex<VecDeque<Entry>>,
}

impl ResultStore {
    /// Keeps a result; older ones make room. `None` when it is too large for a caller, or the system has no random numbers.
    pub(super) fn put(&self, owner: Owner, stamp: u64, document: Arc<Document>) -> Option<Stored> {
        let memory_bytes = document.memory_bytes();
        if memory_bytes > CALLER_BYTES_MAX {
            return None;
        }
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).ok()?;
        let id = format!("{:032x}", u128::from_be_bytes(bytes));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let stored = Stored { id, document, expires_at_s: now + LIFETIME_MS / 1_000 };
        let mut entries = self.entries();
        let own = |e: &Entry| e.owner.caller == owner.caller;
        let mut own_bytes: usize = entries.iter().filter(|e| own(e)).map(|e| e.memory_bytes).sum();
        let mut own_count = entries.iter().filter(|e| own(e)).count();
        while own_bytes + memory_bytes > CALLER_BYTES_MAX || own_count >= CALLER_RESULTS_MAX {
            let Some(gone) = entries.iter().position(own).and_then(|at| entries.remove(at)) else { break };
            own_bytes = own_bytes.saturating_sub(gone.memory_bytes);
            own_count = own_count.saturating_sub(1);
        }
        let mut all: usize = entries.iter().map(|e| e.memory_bytes).sum();
        while all + memory_bytes > BYTES_MAX {
            let Some(gone) = entries.pop_front() else { break };
            all = all.saturating_sub(gone.memory_bytes);
        }
        entries.push_back(Entry { stored: stored.clone(), owner, stamp, born: Instant::now(), memory_bytes });
        Some(stored)
    }

    /// A kept result of this caller, unless its time is over, the policies have changed or its target is the caller's no
    /// more.
    pub(super) fn get(&self, id: &str, scope: &CallScope, stamp: u64) -> Option<Stored> {
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.stored.id == id)?;
        let visible = entry.owner.caller == *scope.caller
            && entry.stamp == stamp
            && entry.owner.target_id.as_deref().is_none_or(|target| scope.sees(target));
        visible.then(|| entry.stored.clone())
    }

    /// The entries, without those whose time is over.
    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let lifetime = Duration::from_millis(LIFETIME_MS);
        while entries.front().is_some_and(|entry| entry.born.elapsed() >= lifetime) {
            entries.pop_front();
        }
        entries
    }
}

impl std::fmt::Debug for ResultStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResultStore").field("results", &self.entries().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(caller: &str, target: &str) -> Owner {
        Owner { caller: caller.to_owned(), target_id: Some(target.to_owned()) }
    }

    fn document(bytes: usize) -> Arc<Document> {
        Arc::new(Document::new(format!("{{\"a\":\"{}\"}}", "x".repeat(bytes))))
    }

    #[test]
    fn a_result_is_its_callers_alone() {
        let store = ResultStore::default();
        let kept = store.put(owner("alice", "shop"), 7, document(10)).unwrap();
        assert_eq!(kept.id.len(), 32);
        let alice = CallScope::new("t", "alice");
        assert!(store.get(&kept.id, &alice, 7).is_some());
        assert!(store.get(&kept.id, &CallScope::new("t", "bob"), 7).is_none());
        assert!(store.get(&kept.id, &alice, 8).is_none(), "policies have changed");
        assert!(store.get("0", &alice, 7).is_none());
        let mut narrowed = alice;
        narrowed.targets = Some(Arc::from(["other".to_owned()]));
        assert!(store.get(&kept.id, &narrowed, 7).is_none(), "the target is not the caller's");
    }

    #[test]
    fn the_oldest_make_room() {
        let store = ResultStore::default();
        let alice = CallScope::new("t", "alice");
        let ids: Vec<String> = (0..CALLER_RESULTS_MAX + 2)
            .map(|_| store.put(owner("alice", "shop"), 0, document(10)).unwrap().id)
            .collect();
        assert!(store.get(&ids[1], &alice, 0).is_none() && store.get(&ids[2], &alice, 0).is_some());
        let large = store.put(owner("alice", "shop"), 0, document(CALLER_BYTES_MAX - 5_000)).unwrap();
        assert!(store.get(&ids[2], &alice, 0).is_none() && store.get(&large.id, &alice, 0).is_some());
        assert!(store.put(owner("alice", "shop"), 0, document(CALLER_BYTES_MAX)).is_none());
        for n in 0..8 {
            store.put(owner(&format!("c{n}"), "shop"), 0, document(CALLER_BYTES_MAX - 5_000)).unwrap();
        }
        let all: usize = store.entries().iter().map(|e| e.memory_bytes).sum();
        assert!(all <= BYTES_MAX && store.get(&large.id, &alice, 0).is_none());
    }

    #[test]
    fn an_old_result_goes() {
        let store = ResultStore::default();
        let kept = store.put(owner("alice", "shop"), 0, document(10)).unwrap();
        let past = Instant::now().checked_sub(Duration::from_millis(LIFETIME_MS));
        if let (Some(past), Some(entry)) = (past, store.entries.lock().unwrap().front_mut()) {
            entry.born = past;
            drop(kept);
        } else {
            // A machine that has just started has no instant so far back; then there is nothing to look at.
            return;
        }
        assert!(store.entries().is_empty());
    }
}
