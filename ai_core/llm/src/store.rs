//! Where spending and kept answers survive a restart; it does not know what they are used for.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ai_core::{AiError, AiResult};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// One attempt that was paid for, or that went to a cloud endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UsageRow {
    /// Unix milliseconds.
    pub at_ms: u64,
    /// UTC day, days since 1970.
    pub day: u64,
    /// `llm`, `embed` or `rerank`.
    pub kind: String,
    /// Provider row or service.
    pub provider: String,
    /// Model.
    pub model: String,
    /// `local` or `cloud`.
    pub locality: String,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Whether the tokens are guessed.
    pub estimated: bool,
    /// Cost in units of 10⁻¹² US dollar.
    pub cost_units: u64,
    /// Which price was used.
    pub price_source: String,
    /// Who asked.
    pub caller: String,
    /// `ok` or the error code.
    pub outcome: String,
}

/// A kept answer with its vector: one record, so that neither exists without the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CacheRecord {
    /// Unique id.
    pub id: String,
    /// Digest of everything that must agree exactly, hex.
    pub key_hash: String,
    /// Digest of everything but the prompt, hex.
    pub group_hash: String,
    /// Provider row.
    pub provider: String,
    /// Model.
    pub model: String,
    /// The question.
    pub prompt: String,
    /// Scope: caller, schema and the request's own.
    pub scope: String,
    /// The raw answer.
    pub response: String,
    /// Tokens of the answer.
    pub usage: ai_core::LlmUsage,
    /// Embedder that made the vector; empty without one.
    pub space_id: String,
    /// Vector of the prompt; empty without one.
    pub embedding: Vec<f32>,
    /// Unix milliseconds.
    pub created_ms: u64,
    /// Unix milliseconds.
    pub expires_ms: u64,
}

/// Durable memory of the bridge. Calls come from many threads; a failure loses durability, never an answer.
pub trait LlmStore: Send + Sync {
    /// Keeps one row.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be written.
    fn append_usage(&self, row: &UsageRow) -> AiResult<()>;

    /// All rows from `since_day` on, oldest first; older ones may be forgotten.
    ///
    /// # Errors
    /// `UNAVAILABLE` when they cannot be read.
    fn load_usage(&self, since_day: u64) -> AiResult<Vec<UsageRow>>;

    /// Keeps an answer and its vector, both or neither.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be written.
    fn put_cache(&self, record: &CacheRecord) -> AiResult<()>;

    /// Forgets answers; unknown ids are ignored.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be written.
    fn remove_cache(&self, ids: &[String]) -> AiResult<()>;

    /// All kept answers that have not expired at `now_ms`, oldest first.
    ///
    /// # Errors
    /// `UNAVAILABLE` when they cannot be read.
    fn load_cache(&self, now_ms: u64) -> AiResult<Vec<CacheRecord>>;
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct NoStore;

impl LlmStore for NoStore {
    fn append_usage(&self, _row: &UsageRow) -> AiResult<()> {
        Ok(())
    }
    fn load_usage(&self, _since_day: u64) -> AiResult<Vec<UsageRow>> {
        Ok(Vec::new())
    }
    fn put_cache(&self, _record: &CacheRecord) -> AiResult<()> {
        Ok(())
    }
    fn remove_cache(&self, _ids: &[String]) -> AiResult<()> {
        Ok(())
    }
    fn load_cache(&self, _now_ms: u64) -> AiResult<Vec<CacheRecord>> {
        Ok(Vec::new())
    }
}

/// Longest line that is read back, bytes.
const LINE_BYTES_MAX: u64 = 16 * 1_048_576;

/// Journal files in one folder: `llm_usage.jsonl` and `llm_cache.jsonl`, one JSON object a line. A line that a
/// crash cut is ignored; both files are rewritten without dead lines when they are loaded.
#[derive(Debug)]
pub struct JournalStore {
    usage: Journal,
    cache: Journal,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CacheLine {
    Put(Box<CacheRecord>),
    Remove(Vec<String>),
}

impl JournalStore {
    /// Opens or makes the files in `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// `UNAVAILABLE` when that is not possible.
    pub fn open(folder: &Path) -> AiResult<Self> {
        std::fs::create_dir_all(folder).map_err(|e| cannot("make", folder, &e))?;
        Ok(Self {
            usage: Journal::open(folder.join("llm_usage.jsonl"))?,
            cache: Journal::open(folder.join("llm_cache.jsonl"))?,
        })
    }
}

impl LlmStore for JournalStore {
    fn append_usage(&self, row: &UsageRow) -> AiResult<()> {
        self.usage.append(row)
    }

    fn load_usage(&self, since_day: u64) -> AiResult<Vec<UsageRow>> {
        let (mut rows, dead): (Vec<UsageRow>, bool) = self.usage.load()?;
        let before = rows.len();
        rows.retain(|r| r.day >= since_day);
        if dead || rows.len() < before {
            self.usage.rewrite(&rows)?;
        }
        Ok(rows)
    }

    fn put_cache(&self, record: &CacheRecord) -> AiResult<()> {
        self.cache.append(&CacheLine::Put(Box::new(record.clone())))
    }

    fn remove_cache(&self, ids: &[String]) -> AiResult<()> {
        if ids.is_empty() { Ok(()) } else { self.cache.append(&CacheLine::Remove(ids.to_vec())) }
    }

    fn load_cache(&self, now_ms: u64) -> AiResult<Vec<CacheRecord>> {
        let (lines, dead): (Vec<CacheLine>, bool) = self.cache.load()?;
        let total = lines.len();
        let mut live: Vec<CacheRecord> = Vec::new();
        let mut gone = std::collections::HashSet::new();
        // Newest first: a removal hits only what was kept before it.
        for line in lines.into_iter().rev() {
            match line {
                CacheLine::Remove(ids) => gone.extend(ids),
                CacheLine::Put(record) if record.expires_ms > now_ms && gone.insert(record.id.clone()) => {
                    live.push(*record);
                }
                CacheLine::Put(_) => {}
            }
        }
        live.reverse();
        if dead || live.len() < total {
            let lines: Vec<CacheLine> = live.iter().cloned().map(|r| CacheLine::Put(Box::new(r))).collect();
            self.cache.rewrite(&lines)?;
        }
        Ok(live)
    }
}

#[derive(Debug)]
struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    fn open(path: PathBuf) -> AiResult<Self> {
        let file = Mutex::new(Self::open_file(&path)?);
        Ok(Self { path, file })
    }

    fn open_file(path: &Path) -> AiResult<File> {
        let file =
            OpenOptions::new().create(true).append(true).open(path).map_err(|e| cannot("open", path, &e))?;
        Ok(file)
    }

    fn append(&self, line: &impl Serialize) -> AiResult<()> {
        let mut bytes = serde_json::to_vec(line).map_err(|e| AiError::internal(e.to_string()))?;
        bytes.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // One write a line: a crash leaves at most one cut line at the end.
        file.write_all(&bytes).map_err(|e| cannot("write", &self.path, &e))
    }

    /// All readable lines, and whether there were unreadable ones.
    fn load<T: DeserializeOwned>(&self) -> AiResult<(Vec<T>, bool)> {
        let _held = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let file = File::open(&self.path).map_err(|e| cannot("read", &self.path, &e))?;
        let mut reader = BufReader::new(file);
        let (mut lines, mut dead, mut line) = (Vec::new(), false, Vec::new());
        loop {
            line.clear();
            let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            if read.map_err(|e| cannot("read", &self.path, &e))? == 0 {
                return Ok((lines, dead));
            }
            match serde_json::from_slice(&line) {
                Ok(value) => lines.push(value),
                Err(_) => dead = true,
            }
        }
    }

    /// Replaces the file by `lines`: written beside it, then renamed over it.
    fn rewrite<T: Serialize>(&self, lines: &[T]) -> AiResult<()> {
        let mut held = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let beside = self.path.with_extension("new");
        let mut bytes = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut bytes, line).map_err(|e| AiError::internal(e.to_string()))?;
            bytes.push(b'\n');
        }
        std::fs::write(&beside, bytes).map_err(|e| cannot("write", &beside, &e))?;
        std::fs::rename(&beside, &self.path).map_err(|e| cannot("replace", &self.path, &e))?;
        *held = Self::open_file(&self.path)?;
        Ok(())
    }
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> AiError {
    AiError::unavailable(format!("cannot {what} '{}': {}", path.display(), error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(day: u64) -> UsageRow {
        UsageRow {
            at_ms: day * 86_400_000,
            day,
            kind: "llm".into(),
            provider: "p".into(),
            model: "m".into(),
            locality: "cloud".into(),
            input_tokens: 1,
            output_tokens: 2,
            estimated: false,
            cost_units: 3,
            price_source: "provider".into(),
            caller: String::new(),
            outcome: "ok".into(),
        }
    }

    pub(crate) fn record(id: &str, expires_ms: u64) -> CacheRecord {
        CacheRecord {
            id: id.into(),
            key_hash: String::new(),
            group_hash: String::new(),
            provider: "p".into(),
            model: "m".into(),
            prompt: "q".into(),
            scope: String::new(),
            response: "a".into(),
            usage: ai_core::LlmUsage::default(),
            space_id: "s".into(),
            embedding: vec![0.5; 384],
            created_ms: 0,
            expires_ms,
        }
    }

    #[test]
    fn a_cut_line_is_ignored_and_old_days_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = JournalStore::open(dir.path()).unwrap();
        for day in [1, 5, 6] {
            store.append_usage(&row(day)).unwrap();
        }
        let path = dir.path().join("llm_usage.jsonl");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 9);
        std::fs::write(&path, bytes).unwrap();
        let store = JournalStore::open(dir.path()).unwrap();
        assert_eq!(store.load_usage(2).unwrap(), vec![row(5)]);
        store.append_usage(&row(7)).unwrap();
        let store = JournalStore::open(dir.path()).unwrap();
        assert_eq!(store.load_usage(0).unwrap(), vec![row(5), row(7)]);
    }

    #[test]
    fn cache_keeps_entry_and_vector_together() {
        let dir = tempfile::tempdir().unwrap();
        let store = JournalStore::open(dir.path()).unwrap();
        for (id, expires) in [("a", 100), ("b", 100), ("old", 5), ("c", 100)] {
            store.put_cache(&record(id, expires)).unwrap();
        }
        store.remove_cache(&["b".into(), "nothing".into()]).unwrap();
        let path = dir.path().join("llm_cache.jsonl");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(br#"{"put":{"id":"half","embed"#);
        std::fs::write(&path, bytes).unwrap();
        let store = JournalStore::open(dir.path()).unwrap();
        let ids = |s: &JournalStore| s.load_cache(10).unwrap().into_iter().map(|r| r.id).collect::<Vec<_>>();
        assert_eq!(ids(&store), ["a", "c"]);
        assert_eq!(store.load_cache(10).unwrap()[0].embedding.len(), 384);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        store.put_cache(&record("b", 100)).unwrap();
        assert_eq!(ids(&store), ["a", "c", "b"]);
    }
}
