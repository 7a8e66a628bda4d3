//! Statistics of calls by the shape of their arguments, bounded, with percentiles; it does not know what the calls do.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use harvest::{LexMode, fingerprint};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Arguments that do not belong to the shape of a call.
const SHAPELESS: [&str; 9] = [
    "page_size",
    "page_token",
    "limit",
    "offset",
    "max_rows",
    "max_bytes",
    "max_tokens",
    "timeout_sec",
    "use_cache",
];
/// Arguments whose text is SQL.
const SQL_TEXT: [&str; 4] = ["sql", "where", "order_by", "where_clause"];
/// Longest digest text, in characters.
const TEXT_CHARS_MAX: usize = 65_000;
/// Two buckets for each doubling of the duration, from 1 µs to about an hour.
const BUCKETS: usize = 64;

/// The fingerprint of a call: its arguments without values, keys sorted, SQL as digest text.
#[must_use]
pub fn call_fingerprint(arguments: &Map<String, Value>, mode: LexMode) -> String {
    let mut sorted: BTreeMap<&str, Value> = BTreeMap::new();
    for (name, value) in arguments {
        if SHAPELESS.contains(&name.as_str()) {
            continue;
        }
        let shape = match value {
            Value::String(text) if SQL_TEXT.contains(&name.as_str()) => {
                Value::String(cut(fingerprint(text, mode)))
            }
            other => shape(other),
        };
        sorted.insert(name, shape);
    }
    serde_json::to_string(&sorted).unwrap_or_default()
}

fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
        let at = text[..at].rfind(' ').unwrap_or(at);
        text.truncate(at);
    }
    text
}

fn shape(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Array(_) => Value::Array(vec![Value::String("?".to_owned())]),
        Value::Object(map) => {
            let sorted: BTreeMap<&String, Value> =
                map.iter().map(|(name, value)| (name, shape(value))).collect();
            Value::Object(sorted.into_iter().map(|(name, value)| (name.clone(), value)).collect())
        }
        _ => Value::String("?".to_owned()),
    }
}

/// The digest of a call: 64 bits over tool, a zero byte and fingerprint.
#[must_use]
pub fn call_digest(tool: &str, fingerprint: &str) -> u64 {
    let bytes = tool.bytes().chain([0]).chain(fingerprint.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// One finished call.
#[derive(Debug, Clone, Copy)]
// Exhaustive: whoever records knows all of it.
pub struct DigestSample<'a> {
    /// Canonical tool.
    pub tool: &'a str,
    /// Target; empty when none was resolved.
    pub target_id: &'a str,
    /// Run, 0 without one.
    pub run_id: i64,
    /// Schema of the call.
    pub schema: &'a str,
    /// Fingerprint from [`call_fingerprint`].
    pub fingerprint: &'a str,
    /// Duration, in microseconds.
    pub time_us: u64,
    /// Rows that were answered.
    pub rows: u64,
    /// Whether it failed.
    pub failed: bool,
}

struct Row {
    digest_text: String,
    schema: String,
    count: u64,
    errors: u64,
    first_seen: i64,
    last_seen: i64,
    sum_time: u64,
    min_time: u64,
    max_time: u64,
    sum_rows: u64,
    buckets: [u32; BUCKETS],
    used: u64,
}

/// Statistics of one digest; times in microseconds, moments in Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are the columns of the statistics table")]
pub struct DigestRow {
    pub tool_name: String,
    pub target_id: String,
    pub run_id: i64,
    pub digest: u64,
    pub digest_text: String,
    pub schema: String,
    pub count_star: u64,
    pub errors: u64,
    pub first_seen: i64,
    pub last_seen: i64,
    pub sum_time: u64,
    pub min_time: u64,
    pub max_time: u64,
    pub sum_rows: u64,
    pub p50_us: u64,
    pub p95_us: u64,
    pub p99_us: u64,
}

/// Everything about one digest, to be kept over a restart or put back; opaque but for its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SavedDigest {
    /// Tool.
    pub tool_name: String,
    /// Target.
    pub target_id: String,
    /// Run.
    pub run_id: i64,
    /// Digest.
    pub digest: u64,
    digest_text: String,
    schema: String,
    count: u64,
    errors: u64,
    first_seen: i64,
    last_seen: i64,
    sum_time: u64,
    min_time: u64,
    max_time: u64,
    sum_rows: u64,
    buckets: Vec<u32>,
}

impl SavedDigest {
    fn of(key: &Key, row: &Row) -> Self {
        let (tool_name, target_id, run_id, digest) = key.clone();
        Self {
            tool_name,
            target_id,
            run_id,
            digest,
            digest_text: row.digest_text.clone(),
            schema: row.schema.clone(),
            count: row.count,
            errors: row.errors,
            first_seen: row.first_seen,
            last_seen: row.last_seen,
            sum_time: row.sum_time,
            min_time: row.min_time,
            max_time: row.max_time,
            sum_rows: row.sum_rows,
            buckets: row.buckets.to_vec(),
        }
    }

    /// As the statistics show it.
    #[must_use]
    pub fn row(&self) -> DigestRow {
        let key = (self.tool_name.clone(), self.target_id.clone(), self.run_id, self.digest);
        report(&key, &self.counted(0))
    }

    fn counted(&self, used: u64) -> Row {
        let mut buckets = [0; BUCKETS];
        for (to, from) in buckets.iter_mut().zip(&self.buckets) {
            *to = *from;
        }
        Row {
            digest_text: self.digest_text.clone(),
            schema: self.schema.clone(),
            count: self.count,
            errors: self.errors,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            sum_time: self.sum_time,
            min_time: self.min_time,
            max_time: self.max_time,
            sum_rows: self.sum_rows,
            buckets,
            used,
        }
    }
}

type Key = (String, String, i64, u64);

impl Row {
    fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.errors = self.errors.saturating_add(other.errors);
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.sum_time = self.sum_time.saturating_add(other.sum_time);
        self.min_time = self.min_time.min(other.min_time);
        self.max_time = self.max_time.max(other.max_time);
        self.sum_rows = self.sum_rows.saturating_add(other.sum_rows);
        for (to, from) in self.buckets.iter_mut().zip(other.buckets) {
            *to = to.saturating_add(from);
        }
    }
}

#[derive(Default)]
struct State {
    rows: HashMap<Key, Row>,
    tick: u64,
    evicted: u64,
}

/// Statistics of all digests.
#[derive(Default)]
pub struct DigestStats {
    state: Mutex<State>,
}

impl DigestStats {
    /// Counts one call; beyond `entries_max` digests the least recently seen tenth leaves.
    pub fn record(&self, sample: &DigestSample<'_>, entries_max: usize) {
        let digest = call_digest(sample.tool, sample.fingerprint);
        let key = (sample.tool.to_owned(), sample.target_id.to_owned(), sample.run_id, digest);
        let now = now_s();
        let mut state = self.lock();
        state.tick += 1;
        let tick = state.tick;
        if !state.rows.contains_key(&key) && state.rows.len() >= entries_max.max(10) {
            evict(&mut state);
        }
        let row = state.rows.entry(key).or_insert_with(|| Row {
            digest_text: sample.fingerprint.to_owned(),
            schema: sample.schema.to_owned(),
            count: 0,
            errors: 0,
            first_seen: now,
            last_seen: now,
            sum_time: 0,
            min_time: u64::MAX,
            max_time: 0,
            sum_rows: 0,
            buckets: [0; BUCKETS],
            used: tick,
        });
        row.count += 1;
        row.errors += u64::from(sample.failed);
        row.last_seen = now;
        row.sum_time = row.sum_time.saturating_add(sample.time_us);
        row.min_time = row.min_time.min(sample.time_us);
        row.max_time = row.max_time.max(sample.time_us);
        row.sum_rows = row.sum_rows.saturating_add(sample.rows);
        row.used = tick;
        let bucket = &mut row.buckets[bucket_of(sample.time_us)];
        *bucket = bucket.saturating_add(1);
    }

    /// Every digest.
    #[must_use]
    pub fn rows(&self) -> Vec<DigestRow> {
        self.lock().rows.iter().map(|(key, row)| report(key, row)).collect()
    }

    /// Every digest, and forgets them in the same step.
    #[must_use]
    pub fn take(&self) -> Vec<DigestRow> {
        let rows = std::mem::take(&mut self.lock().rows);
        rows.iter().map(|(key, row)| report(key, row)).collect()
    }

    /// Every digest, whole, with a number that differs after each call that was counted.
    #[must_use]
    pub fn save(&self) -> (u64, Vec<SavedDigest>) {
        let state = self.lock();
        (state.tick, state.rows.iter().map(|(key, row)| SavedDigest::of(key, row)).collect())
    }

    /// A number that differs after each call that was counted.
    #[must_use]
    pub fn tick(&self) -> u64 {
        self.lock().tick
    }

    /// The digests that `wanted` names, and forgets them in the same step.
    #[must_use]
    pub fn take_where(&self, wanted: impl Fn(&SavedDigest) -> bool) -> Vec<SavedDigest> {
        let mut state = self.lock();
        state.tick += 1;
        let mut taken = Vec::new();
        state.rows.retain(|key, row| {
            let saved = SavedDigest::of(key, row);
            if wanted(&saved) {
                taken.push(saved);
                return false;
            }
            true
        });
        taken
    }

    /// Adds what was saved or taken to what is counted now; digests beyond `entries_max` are left out.
    pub fn put_back(&self, saved: &[SavedDigest], entries_max: usize) {
        let mut state = self.lock();
        for one in saved {
            let key = (one.tool_name.clone(), one.target_id.clone(), one.run_id, one.digest);
            if !state.rows.contains_key(&key) && state.rows.len() >= entries_max.max(10) {
                state.evicted += 1;
                continue;
            }
            let fresh = one.counted(state.tick);
            match state.rows.get_mut(&key) {
                None => {
                    state.rows.insert(key, fresh);
                }
                Some(row) => row.add(&fresh),
            }
        }
    }

    /// Digests that left for room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.lock().evicted
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for DigestStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DigestStats").field("digests", &self.lock().rows.len()).finish_non_exhaustive()
    }
}

fn evict(state: &mut State) {
    let mut used: Vec<u64> = state.rows.values().map(|row| row.used).collect();
    used.sort_unstable();
    let Some(&limit) = used.get(used.len() / 10) else { return };
    let before = state.rows.len();
    state.rows.retain(|_, row| row.used > limit);
    state.evicted += (before - state.rows.len()) as u64;
}

fn bucket_of(time_us: u64) -> usize {
    let bits = time_us.max(1).ilog2();
    let half = if bits == 0 { 0 } else { usize::from(time_us & (1 << (bits - 1)) != 0) };
    (bits as usize * 2 + half).min(BUCKETS - 1)
}

/// The upper end of a bucket, in microseconds.
fn bucket_end(bucket: usize) -> u64 {
    let low = 1_u64 << (bucket / 2);
    if bucket.is_multiple_of(2) { low + low / 2 } else { low * 2 }
}

fn percentile(row: &Row, per_cent: u64) -> u64 {
    let rank = (row.count * per_cent).div_ceil(100).max(1);
    let mut seen = 0;
    for (bucket, count) in row.buckets.iter().enumerate() {
        seen += u64::from(*count);
        if seen >= rank {
            return bucket_end(bucket).clamp(row.min_time, row.max_time);
        }
    }
    row.max_time
}

fn report(key: &Key, row: &Row) -> DigestRow {
    let (tool_name, target_id, run_id, digest) = key.clone();
    DigestRow {
        tool_name,
        target_id,
        run_id,
        digest,
        digest_text: row.digest_text.clone(),
        schema: row.schema.clone(),
        count_star: row.count,
        errors: row.errors,
        first_seen: row.first_seen,
        last_seen: row.last_seen,
        sum_time: row.sum_time,
        min_time: row.min_time,
        max_time: row.max_time,
        sum_rows: row.sum_rows,
        p50_us: percentile(row, 50),
        p95_us: percentile(row, 95),
        p99_us: percentile(row, 99),
    }
}

fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use harvest::DialectName;
    use serde_json::json;

    fn print(arguments: Value) -> String {
        let Value::Object(map) = arguments else { panic!("arguments are an object") };
        call_fingerprint(&map, LexMode::of(DialectName::Sqlite))
    }

    #[test]
    fn equal_shapes_have_equal_fingerprints() {
        let one = print(json!({"sql": "SELECT * FROM t WHERE a = 1 -- x", "schema": "a", "max_rows": 5}));
        let two = print(json!({"schema": "b", "sql": "SELECT *  FROM t\nWHERE a = 'y'"}));
        assert_eq!(one, two);
        assert!(one.contains("FROM t WHERE a = ?"), "{one}");
        assert_ne!(one, print(json!({"sql": "SELECT * FROM t WHERE b = 1", "schema": "a"})));
        assert_eq!(
            print(json!({"b": [1, 2], "a": {"y": null, "x": true}})),
            r#"{"a":{"x":"?","y":null},"b":["?"]}"#
        );
        assert_ne!(call_digest("a", "bc"), call_digest("ab", "c"));
    }

    fn sample(fingerprint: &str, time_us: u64) -> DigestSample<'_> {
        DigestSample {
            tool: "run_sql_readonly",
            target_id: "t1",
            run_id: 0,
            schema: "main",
            fingerprint,
            time_us,
            rows: 2,
            failed: time_us > 900,
        }
    }

    #[test]
    fn counts_times_and_percentiles_add_up() {
        let stats = DigestStats::default();
        for time_us in 1..=1_000 {
            stats.record(&sample("x", time_us), 100);
        }
        let rows = stats.take();
        let row = &rows[0];
        assert_eq!((row.count_star, row.errors, row.sum_rows), (1_000, 100, 2_000));
        assert_eq!((row.min_time, row.max_time, row.sum_time), (1, 1_000, 500_500));
        assert!((500..=768).contains(&row.p50_us), "{}", row.p50_us);
        assert!((950..=1_000).contains(&row.p95_us) && row.p99_us <= 1_000);
        assert!(stats.rows().is_empty());
    }

    #[test]
    fn memory_is_bounded_and_the_recent_stay() {
        let stats = DigestStats::default();
        for n in 0..500 {
            stats.record(&sample(&format!("{n}"), 1), 50);
        }
        let rows = stats.rows();
        assert!(rows.len() <= 50);
        assert!(rows.iter().any(|row| row.digest_text == "499"));
        assert_eq!(stats.evicted() as usize + rows.len(), 500);
    }

    #[test]
    fn what_is_taken_and_put_back_loses_nothing() {
        let stats = DigestStats::default();
        for time_us in 1..=100 {
            stats.record(&sample("x", time_us), 100);
        }
        stats.record(&sample("y", 5), 100);
        let taken = stats.take_where(|saved| saved.row().digest_text == "x");
        assert_eq!((taken.len(), stats.rows().len()), (1, 1));
        stats.record(&sample("x", 700), 100);
        let text = serde_json::to_string(&taken).expect("writes");
        let read: Vec<SavedDigest> = serde_json::from_str(&text).expect("reads");
        stats.put_back(&read, 100);
        let row = stats.rows().into_iter().find(|row| row.digest_text == "x").expect("is there");
        assert_eq!((row.count_star, row.sum_time, row.min_time, row.max_time), (101, 5_750, 1, 700));
        assert_eq!(row.p50_us, 64.min(row.p50_us), "the histogram came back too");
    }

    #[test]
    fn buckets_cover_every_duration() {
        for time_us in [0, 1, 2, 3, 4, 1_000, u64::MAX] {
            assert!(bucket_of(time_us) < BUCKETS);
        }
        for time_us in 1..5_000 {
            assert!(bucket_end(bucket_of(time_us)) >= time_us);
        }
    }
}
