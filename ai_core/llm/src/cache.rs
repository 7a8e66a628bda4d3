//! Kept answers: exact and semantic lookup, age, bounds, eviction and purge; it does not ask models or embedders.

mod record;
mod report;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ai_core::LlmUsage;
use sha2::{Digest, Sha256};

use crate::cache_guard::Guard;
use crate::clock::Clock;
use crate::store::LlmStore;

use record::{entry_of, record_of};
pub use report::{CachePurge, CacheStats};

/// Bytes that an entry costs beside its texts and vector.
const ENTRY_BYTES: usize = 512;

/// A digest of length-prefixed parts: no two lists of parts share one by concatenation.
pub(crate) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Where an answer is kept: the digest of everything, and of everything but the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey {
    pub(crate) exact: [u8; 32],
    pub(crate) group: [u8; 32],
}

impl CacheKey {
    pub(crate) fn new(group_parts: &[&[u8]], prompt: &str) -> Self {
        let group = digest(group_parts);
        Self { exact: digest(&[&group, prompt.as_bytes()]), group }
    }
}

/// Limits of the moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CacheLimits {
    pub(crate) ttl_s: u64,
    pub(crate) entries_max: usize,
    pub(crate) bytes_max: usize,
}

/// An answer to keep.
#[derive(Debug, Clone)]
pub(crate) struct CacheItem {
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) prompt: String,
    pub(crate) scope: String,
    pub(crate) response: String,
    pub(crate) usage: LlmUsage,
    pub(crate) space: String,
    pub(crate) embedding: Vec<f32>,
}

/// A found answer.
#[derive(Debug, Clone)]
pub(crate) struct CacheHit {
    pub(crate) id: String,
    pub(crate) item: Arc<CacheItem>,
    /// The cosine of a hit by meaning; `None` for the same question.
    pub(crate) similarity: Option<f64>,
}

struct Entry {
    item: Arc<CacheItem>,
    guard: Guard,
    key: CacheKey,
    created_ms: u64,
    expires_ms: u64,
    bytes: usize,
    tick: u64,
}

#[derive(Default)]
struct State {
    entries: HashMap<String, Entry>,
    by_exact: HashMap<[u8; 32], String>,
    groups: HashMap<[u8; 32], Vec<String>>,
    /// Least recently used first.
    by_tick: BTreeMap<u64, String>,
    by_expiry: BTreeMap<(u64, String), ()>,
    tick: u64,
    bytes: usize,
}

/// The cache.
pub(crate) struct Cache {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    store: Arc<dyn LlmStore>,
    exact_hits: AtomicU64,
    semantic_hits: AtomicU64,
    misses: AtomicU64,
    stores: AtomicU64,
    evictions: AtomicU64,
    purged: AtomicU64,
    write_errors: AtomicU64,
}

impl Cache {
    /// A cache that holds what `store` kept.
    pub(crate) fn open(clock: Arc<dyn Clock>, store: Arc<dyn LlmStore>) -> ai_core::AiResult<Self> {
        let mut state = State::default();
        for record in store.load_cache(clock.now_ms())? {
            if let Some((id, entry)) = entry_of(record) {
                state.insert(id, entry);
            }
        }
        let zero = || AtomicU64::new(0);
        Ok(Self {
            state: Mutex::new(state),
            clock,
            store,
            exact_hits: zero(),
            semantic_hits: zero(),
            misses: zero(),
            stores: zero(),
            evictions: zero(),
            purged: zero(),
            write_errors: zero(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to the very same question, by the first of `keys` that has one.
    pub(crate) fn exact(&self, keys: &[CacheKey]) -> Option<CacheHit> {
        let now = self.clock.now_ms();
        let mut state = self.lock();
        self.expire(&mut state, now);
        let hit = keys.iter().find_map(|key| {
            let id = state.by_exact.get(&key.exact)?.clone();
            let item = state.touch(&id)?;
            Some(CacheHit { id, item, similarity: None })
        })?;
        self.exact_hits.fetch_add(1, Ordering::Relaxed);
        Some(hit)
    }

    /// Whether a semantic lookup could find anything, so that no embedding is made in vain.
    pub(crate) fn has_group(&self, keys: &[CacheKey], space: &str) -> bool {
        let state = self.lock();
        let of_space = |id: &String| state.entries.get(id).is_some_and(|e| e.item.space == space);
        keys.iter().any(|key| state.groups.get(&key.group).is_some_and(|ids| ids.iter().any(of_space)))
    }

    /// The nearest question of the same meaning, `threshold` being a cosine.
    pub(crate) fn semantic(
        &self,
        keys: &[CacheKey],
        prompt: &str,
        space: &str,
        vector: &[f32],
        threshold: f64,
    ) -> Option<CacheHit> {
        let guard = Guard::of(prompt);
        let near: Vec<(String, Arc<CacheItem>)> = {
            let mut state = self.lock();
            self.expire(&mut state, self.clock.now_ms());
            let ids = keys.iter().filter_map(|key| state.groups.get(&key.group)).flatten();
            let entries = ids.filter_map(|id| state.entries.get(id).map(|e| (id, e)));
            let fitting = entries.filter(|(_, e)| e.item.space == space && e.guard == guard);
            fitting.map(|(id, e)| (id.clone(), e.item.clone())).collect()
        };
        // Compared outside the lock; the entry may be gone afterwards, then there is no hit.
        let scored = near.into_iter().map(|(id, item)| (cosine(&item.embedding, vector), id));
        let best = scored.filter(|(s, _)| *s >= threshold).max_by(|a, b| a.0.total_cmp(&b.0));
        let (similarity, id) = best?;
        let item = self.lock().touch(&id)?;
        self.semantic_hits.fetch_add(1, Ordering::Relaxed);
        Some(CacheHit { id, item, similarity: Some(similarity) })
    }

    pub(crate) fn count_miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an answer that an equal call in flight gave.
    pub(crate) fn count_shared(&self) {
        self.exact_hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps an answer; returns its id, or `None` when there is no room for it.
    pub(crate) fn put(&self, key: CacheKey, item: CacheItem, limits: CacheLimits) -> Option<String> {
        let now = self.clock.now_ms();
        let id = hex(&digest(&[&key.exact, &now.to_le_bytes()])[..12]);
        let entry = Entry::new(key, item, now, now.saturating_add(limits.ttl_s.saturating_mul(1_000)));
        if limits.entries_max == 0 || entry.bytes > limits.bytes_max {
            return None;
        }
        let record = record_of(&id, &entry);
        let mut gone = Vec::new();
        {
            let mut state = self.lock();
            self.expire(&mut state, now);
            if let Some(old) = state.by_exact.get(&key.exact).cloned() {
                state.remove(&old);
                gone.push(old);
            }
            state.insert(id.clone(), entry);
            while state.entries.len() > limits.entries_max || state.bytes > limits.bytes_max {
                let Some(oldest) = state.by_tick.values().next().cloned() else { break };
                state.remove(&oldest);
                gone.push(oldest);
                self.evictions.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.stores.fetch_add(1, Ordering::Relaxed);
        let written = self.store.remove_cache(&gone).and_then(|()| self.store.put_cache(&record));
        if written.is_err() {
            self.write_errors.fetch_add(1, Ordering::Relaxed);
        }
        Some(id)
    }

    fn expire(&self, state: &mut State, now_ms: u64) {
        // The store drops expired entries by itself when it is loaded.
        while let Some(((expires, id), ())) = state.by_expiry.first_key_value() {
            if *expires > now_ms {
                break;
            }
            let id = id.clone();
            state.remove(&id);
            self.evictions.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Shrinks to new limits at once.
    pub(crate) fn shrink(&self, limits: CacheLimits) {
        let mut gone = Vec::new();
        {
            let mut state = self.lock();
            while state.entries.len() > limits.entries_max || state.bytes > limits.bytes_max {
                let Some(oldest) = state.by_tick.values().next().cloned() else { break };
                state.remove(&oldest);
                gone.push(oldest);
                self.evictions.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.forget(&gone);
    }

    fn forget(&self, gone: &[String]) {
        if self.store.remove_cache(gone).is_err() {
            self.write_errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Removes what matches every criterion that is set; returns how many.
    pub(crate) fn purge(&self, which: &CachePurge) -> u64 {
        if !which.has_criterion() {
            return 0;
        }
        let now = self.clock.now_ms();
        let fits = |id: &String, e: &Entry| {
            let same = |want: &Option<String>, have: &str| want.as_deref().is_none_or(|w| w == have);
            let in_scope =
                which.scope.as_deref().is_none_or(|w| e.item.scope.split('\u{1f}').any(|part| part == w));
            let old =
                which.older_than_s.is_none_or(|s| e.created_ms.saturating_add(s.saturating_mul(1_000)) < now);
            same(&which.provider, &e.item.provider)
                && same(&which.model, &e.item.model)
                && same(&which.cache_id, id)
                && in_scope
                && old
        };
        let gone: Vec<String> = {
            let mut state = self.lock();
            let ids: Vec<String> =
                state.entries.iter().filter(|(id, e)| fits(id, e)).map(|(id, _)| id.clone()).collect();
            for id in &ids {
                state.remove(id);
            }
            ids
        };
        self.forget(&gone);
        self.purged.fetch_add(gone.len() as u64, Ordering::Relaxed);
        gone.len() as u64
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (exact_hits, semantic_hits, misses) =
            (read(&self.exact_hits), read(&self.semantic_hits), read(&self.misses));
        let state = self.lock();
        CacheStats {
            entries: state.entries.len() as u64,
            bytes: state.bytes as u64,
            lookups: exact_hits + semantic_hits + misses,
            exact_hits,
            semantic_hits,
            misses,
            stores: read(&self.stores),
            evictions: read(&self.evictions),
            purged: read(&self.purged),
            oldest_ms: state.entries.values().map(|e| e.created_ms).min().unwrap_or(0),
            write_errors: read(&self.write_errors),
        }
    }
}

impl Entry {
    fn new(key: CacheKey, item: CacheItem, created_ms: u64, expires_ms: u64) -> Self {
        let texts = [&item.provider, &item.model, &item.prompt, &item.scope, &item.response, &item.space];
        let bytes = ENTRY_BYTES + texts.iter().map(|t| t.len()).sum::<usize>() + item.embedding.len() * 4;
        let guard = Guard::of(&item.prompt);
        Self { item: Arc::new(item), guard, key, created_ms, expires_ms, bytes, tick: 0 }
    }
}

impl State {
    fn insert(&mut self, id: String, mut entry: Entry) {
        self.tick += 1;
        entry.tick = self.tick;
        self.bytes += entry.bytes;
        self.by_tick.insert(entry.tick, id.clone());
        self.by_expiry.insert((entry.expires_ms, id.clone()), ());
        self.by_exact.insert(entry.key.exact, id.clone());
        if !entry.item.embedding.is_empty() {
            self.groups.entry(entry.key.group).or_default().push(id.clone());
        }
        if let Some(old) = self.entries.insert(id, entry) {
            self.bytes = self.bytes.saturating_sub(old.bytes);
            self.by_tick.remove(&old.tick);
        }
    }

    fn remove(&mut self, id: &str) {
        let Some(entry) = self.entries.remove(id) else { return };
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        self.by_tick.remove(&entry.tick);
        self.by_expiry.remove(&(entry.expires_ms, id.to_owned()));
        if self.by_exact.get(&entry.key.exact).is_some_and(|held| held == id) {
            self.by_exact.remove(&entry.key.exact);
        }
        if let Some(ids) = self.groups.get_mut(&entry.key.group) {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                self.groups.remove(&entry.key.group);
            }
        }
    }

    fn touch(&mut self, id: &str) -> Option<Arc<CacheItem>> {
        self.tick += 1;
        let tick = self.tick;
        let entry = self.entries.get_mut(id)?;
        self.by_tick.remove(&entry.tick);
        entry.tick = tick;
        self.by_tick.insert(tick, id.to_owned());
        Some(entry.item.clone())
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() || a.is_empty() {
        return -1.0;
    }
    let (mut dot, mut left, mut right) = (0.0f64, 0.0f64, 0.0f64);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (f64::from(*x), f64::from(*y));
        dot += x * y;
        left += x * x;
        right += y * y;
    }
    let norm = (left * right).sqrt();
    if norm > 0.0 { dot / norm } else { -1.0 }
}

#[cfg(test)]
mod tests;
