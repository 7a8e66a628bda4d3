//! Results kept for a while, bounded, with one execution for concurrent equal misses; it does not know what may be cached.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harvest::{ResultSet, TableRef};
use serde::Serialize;

use crate::config::CacheSettings;

/// Longest sleep of one who waits for another's execution before looking again, in milliseconds.
const LOOK_AGAIN_MS: u64 = 20;

/// What an entry belongs to; equal keys answer each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey {
    pub(crate) target_id: Arc<str>,
    /// Target, rules, column policy: whatever a load changes.
    pub(crate) generations: [u64; 3],
    pub(crate) schema: String,
    /// Normal form of the text that was executed.
    pub(crate) sql: String,
    pub(crate) params: String,
    pub(crate) rows_max: usize,
    /// Empty when callers share entries.
    pub(crate) caller: String,
}

/// A result on its way into the cache.
#[derive(Debug, Clone)]
pub(crate) struct CacheInsert {
    pub(crate) result: ResultSet,
    pub(crate) tables: Vec<TableRef>,
    pub(crate) digest_text: String,
    pub(crate) ttl_ms: u64,
    pub(crate) rule_id: Option<i64>,
}

struct Entry {
    insert: CacheInsert,
    created: Instant,
    created_s: i64,
    hits: u64,
    last_hit_s: Option<i64>,
    bytes: usize,
    tick: u64,
}

impl Entry {
    fn expired(&self, now: Instant) -> bool {
        now.duration_since(self.created) >= Duration::from_millis(self.insert.ttl_ms)
    }
}

/// A result found in the cache.
#[derive(Debug, Clone)]
pub(crate) struct CacheHit {
    pub(crate) result: ResultSet,
    pub(crate) age_ms: u64,
    pub(crate) ttl_ms: u64,
}

/// What a look into the cache gives.
pub(crate) enum Lookup<'a> {
    Hit(CacheHit),
    /// The caller executes; others wait for this guard to go.
    Lead(Flight<'a>),
}

/// Counters of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct CacheCounters {
    /// Answers from the cache.
    pub hits: u64,
    /// Looks that found nothing.
    pub misses: u64,
    /// Results stored.
    pub sets: u64,
    /// Entries that left for room.
    pub evictions: u64,
    /// Entries that left by age.
    pub expirations: u64,
    /// Entries that left by request or load.
    pub invalidations: u64,
    /// Statements that were not looked up.
    pub bypassed: u64,
    /// Memory of the entries that were stored, in bytes.
    pub bytes_in: u64,
    /// Memory of the entries that answered, in bytes, each time that they did.
    pub bytes_out: u64,
}

/// Counters of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CacheTarget {
    /// The target.
    pub target_id: String,
    /// Entries now.
    pub entries: usize,
    /// Memory now, in bytes.
    pub bytes: usize,
    /// Answers from the cache.
    pub hits: u64,
    /// Looks that found nothing.
    pub misses: u64,
}

/// State of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// Entries now.
    pub entries: usize,
    /// Memory now, in bytes.
    pub bytes: usize,
    /// Counters since start.
    pub counters: CacheCounters,
    /// Age of the oldest entry, in milliseconds.
    pub oldest_age_ms: Option<u64>,
    /// Start, Unix seconds.
    pub since: i64,
    /// By target.
    pub by_target: Vec<CacheTarget>,
}

/// One entry as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CacheEntryInfo {
    /// Short name of the entry.
    pub key: String,
    /// Target.
    pub target_id: String,
    /// Schema.
    pub schema: String,
    /// Digest text.
    pub digest_text: String,
    /// Normal form of the text; shown only where literals may be.
    #[serde(skip)]
    pub sql: String,
    /// Tables read.
    pub tables: Vec<String>,
    /// Whose entry it is; `None` when shared.
    pub caller: Option<String>,
    /// Rows.
    pub row_count: usize,
    /// Memory, in bytes.
    pub bytes: usize,
    /// Answers given.
    pub hits: u64,
    /// Time to live, in milliseconds.
    pub ttl_ms: u64,
    /// Birth, Unix seconds.
    pub created_at: i64,
    /// End, Unix seconds.
    pub expires_at: i64,
    /// Last answer, Unix seconds.
    pub last_hit_at: Option<i64>,
    /// Rule that set the time to live.
    pub rule_id: Option<i64>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Arc<CacheKey>, Entry>,
    /// Entries by last use, oldest first.
    order: BTreeMap<u64, Arc<CacheKey>>,
    flights: HashSet<CacheKey>,
    bytes: usize,
    tick: u64,
    counters: CacheCounters,
    by_target: HashMap<Arc<str>, (u64, u64)>,
}

/// The result cache.
pub struct ResultCache {
    state: Mutex<State>,
    landed: Condvar,
    since: i64,
}

impl ResultCache {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::default()), landed: Condvar::new(), since: now_s() }
    }

    /// Looks a key up. On a miss the first caller leads; others wait for it until `give_up` says otherwise.
    pub(crate) fn look(&self, key: &CacheKey, give_up: &dyn Fn() -> bool) -> Lookup<'_> {
        let mut state = self.lock();
        loop {
            if let Some(hit) = state.hit(key) {
                return Lookup::Hit(hit);
            }
            if !state.flights.contains(key) {
                state.counters.misses += 1;
                state.by_target.entry(Arc::clone(&key.target_id)).or_default().1 += 1;
                state.flights.insert(key.clone());
                return Lookup::Lead(Flight { cache: self, key: Some(key.clone()) });
            }
            if give_up() {
                return Lookup::Lead(Flight { cache: self, key: None });
            }
            let wait = self.landed.wait_timeout(state, Duration::from_millis(LOOK_AGAIN_MS));
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Stores a result unless it is too large.
    pub(crate) fn store(&self, key: CacheKey, insert: CacheInsert, settings: &CacheSettings) -> bool {
        let bytes = insert.result.size_bytes() + key.sql.len() + insert.digest_text.len() + 512;
        if bytes > settings.entry_bytes_max || bytes > settings.bytes_max || insert.ttl_ms == 0 {
            return false;
        }
        let mut state = self.lock();
        state.remove(&key);
        while state.bytes + bytes > settings.bytes_max {
            let Some((_, oldest)) = state.order.pop_first() else { break };
            state.remove(&oldest);
            state.counters.evictions += 1;
        }
        state.tick += 1;
        let tick = state.tick;
        let key = Arc::new(key);
        let entry = Entry {
            insert,
            created: Instant::now(),
            created_s: now_s(),
            hits: 0,
            last_hit_s: None,
            bytes,
            tick,
        };
        state.order.insert(tick, Arc::clone(&key));
        state.entries.insert(key, entry);
        state.bytes += bytes;
        state.counters.sets += 1;
        state.counters.bytes_in += bytes as u64;
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().entries.is_empty()
    }

    pub(crate) fn contains(&self, key: &CacheKey) -> bool {
        self.lock().entries.get(key).is_some_and(|entry| !entry.expired(Instant::now()))
    }

    pub(crate) fn bypass(&self) {
        self.lock().counters.bypassed += 1;
    }

    /// Drops the entries that `wanted` names; gives their number and memory in bytes.
    pub fn invalidate(&self, wanted: impl Fn(&CacheEntryInfo) -> bool) -> (usize, usize) {
        let mut state = self.lock();
        let gone: Vec<_> = state
            .entries
            .iter()
            .filter(|(key, entry)| wanted(&info(key, entry)))
            .map(|(key, _)| Arc::clone(key))
            .collect();
        let before = state.bytes;
        for key in &gone {
            state.remove(key);
        }
        state.counters.invalidations += gone.len() as u64;
        (gone.len(), before - state.bytes)
    }

    /// Drops entries that read the table; an unset schema, here or in the entry, matches any.
    pub fn invalidate_table(&self, schema: Option<&str>, table: &str, target_id: Option<&str>) -> usize {
        let wanted = |entry: &CacheEntryInfo| {
            target_id.is_none_or(|t| t == entry.target_id)
                && entry.tables.iter().any(|name| {
                    let (its_schema, its_table) = match name.rsplit_once('.') {
                        Some((schema, table)) => (Some(schema), table),
                        None => (Some(entry.schema.as_str()).filter(|s| !s.is_empty()), name.as_str()),
                    };
                    let same_schema = match (schema, its_schema) {
                        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
                        _ => true,
                    };
                    same_schema && its_table.eq_ignore_ascii_case(table)
                })
        };
        self.invalidate(wanted).0
    }

    /// Gives the entries that `wanted` names another time to live, counted from their birth; 0 drops them. Gives their number.
    pub fn set_ttl(&self, wanted: impl Fn(&CacheEntryInfo) -> bool, ttl_ms: u64) -> usize {
        if ttl_ms == 0 {
            return self.invalidate(wanted).0;
        }
        let mut changed = 0;
        for (key, entry) in &mut self.lock().entries {
            if wanted(&info(key, entry)) {
                entry.insert.ttl_ms = ttl_ms;
                changed += 1;
            }
        }
        changed
    }

    /// Drops everything, or everything of one target.
    pub fn clear(&self, target_id: Option<&str>) -> (usize, usize) {
        self.invalidate(|entry| target_id.is_none_or(|t| t == entry.target_id))
    }

    /// Drops what is past its time.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        let gone: Vec<_> = state
            .entries
            .iter()
            .filter(|(_, entry)| entry.expired(now))
            .map(|(key, _)| Arc::clone(key))
            .collect();
        state.counters.expirations += gone.len() as u64;
        for key in gone {
            state.remove(&key);
        }
    }

    /// The living entries.
    #[must_use]
    pub fn entries(&self) -> Vec<CacheEntryInfo> {
        let now = Instant::now();
        let state = self.lock();
        state
            .entries
            .iter()
            .filter(|(_, entry)| !entry.expired(now))
            .map(|(key, entry)| info(key, entry))
            .collect()
    }

    /// State and counters.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let now = Instant::now();
        let state = self.lock();
        let mut by_target: BTreeMap<&str, CacheTarget> = BTreeMap::new();
        let blank =
            |id: &str| CacheTarget { target_id: id.to_owned(), entries: 0, bytes: 0, hits: 0, misses: 0 };
        for (id, (hits, misses)) in &state.by_target {
            by_target.insert(id, CacheTarget { hits: *hits, misses: *misses, ..blank(id) });
        }
        for (key, entry) in &state.entries {
            let row = by_target.entry(&key.target_id).or_insert_with(|| blank(&key.target_id));
            row.entries += 1;
            row.bytes += entry.bytes;
        }
        let oldest = state.entries.values().map(|entry| now.duration_since(entry.created)).max();
        CacheStats {
            entries: state.entries.len(),
            bytes: state.bytes,
            counters: state.counters,
            oldest_age_ms: oldest.map(millis),
            since: self.since,
            by_target: by_target.into_values().collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for ResultCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResultCache").field("entries", &self.lock().entries.len()).finish_non_exhaustive()
    }
}

impl State {
    fn hit(&mut self, key: &CacheKey) -> Option<CacheHit> {
        let now = Instant::now();
        let (shared, _) = self.entries.get_key_value(key)?;
        let shared = Arc::clone(shared);
        self.tick += 1;
        let tick = self.tick;
        let entry = self.entries.get_mut(key)?;
        if entry.expired(now) {
            self.remove(&shared);
            self.counters.expirations += 1;
            return None;
        }
        entry.hits += 1;
        entry.last_hit_s = Some(now_s());
        let bytes = entry.bytes as u64;
        let before = std::mem::replace(&mut entry.tick, tick);
        let hit = CacheHit {
            result: entry.insert.result.clone(),
            age_ms: millis(now.duration_since(entry.created)),
            ttl_ms: entry.insert.ttl_ms,
        };
        self.order.remove(&before);
        self.order.insert(tick, shared);
        self.counters.hits += 1;
        self.counters.bytes_out += bytes;
        self.by_target.entry(Arc::clone(&key.target_id)).or_default().0 += 1;
        Some(hit)
    }

    fn remove(&mut self, key: &CacheKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
            self.order.remove(&entry.tick);
        }
    }
}

/// Says that one caller executes a missed key; dropping it lets the others look again.
pub(crate) struct Flight<'a> {
    cache: &'a ResultCache,
    key: Option<CacheKey>,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.cache.lock().flights.remove(&key);
            self.cache.landed.notify_all();
        }
    }
}

fn info(key: &CacheKey, entry: &Entry) -> CacheEntryInfo {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let ttl_s = i64::try_from(entry.insert.ttl_ms.div_ceil(1_000)).unwrap_or(i64::MAX);
    CacheEntryInfo {
        key: format!("{:016x}", hasher.finish()),
        target_id: key.target_id.to_string(),
        schema: key.schema.clone(),
        digest_text: entry.insert.digest_text.clone(),
        sql: key.sql.clone(),
        tables: entry.insert.tables.iter().map(table_name).collect(),
        caller: (!key.caller.is_empty()).then(|| key.caller.clone()),
        row_count: entry.insert.result.row_count,
        bytes: entry.bytes,
        hits: entry.hits,
        ttl_ms: entry.insert.ttl_ms,
        created_at: entry.created_s,
        expires_at: entry.created_s.saturating_add(ttl_s),
        last_hit_at: entry.last_hit_s,
        rule_id: entry.insert.rule_id,
    }
}

fn table_name(table: &TableRef) -> String {
    match &table.schema {
        Some(schema) => format!("{schema}.{}", table.name),
        None => table.name.clone(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
