//! An embedder behind HTTP: batching, checking, a cache of input vectors; it does not know who asks.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ai_core::{AiResult, CallContext, Deadline, EmbedKind, Embedder, EmbedderInfo};
use serde_json::{Map, Value, json};

use crate::cache::digest;
use crate::clock::{Clock, SystemClock};
use crate::embed_shapes::vectors;
use crate::money::estimate_tokens;
use crate::retry::RetryPolicy;
use crate::secret::SecretString;
use crate::service_http::{HttpService, Purse, ServiceSettings};

/// Bytes of texts in one call.
const CALL_BYTES_MAX: usize = 1_048_576;

/// How an embedding service is asked.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HttpEmbedderConfig {
    /// `openai` or `llama_cpp`; the latter asks in its own form when the URL's path ends in `/embedding`.
    pub provider: String,
    /// URL, used as given.
    pub url: String,
    /// Model sent along; empty = not sent.
    pub model: String,
    /// Bearer token; empty = none.
    pub key: SecretString,
    /// Per attempt, milliseconds.
    pub timeout_ms: u64,
    /// Inputs of one call.
    pub batch_size: usize,
    /// Retries after the first attempt.
    pub retries_max: u32,
    /// First pause before a retry, milliseconds.
    pub backoff_ms: u64,
    /// Vectors kept in memory.
    pub cache_entries: usize,
    /// Vector length to ask for; 0 = not sent.
    pub dimensions: usize,
}

impl HttpEmbedderConfig {
    /// A service at `url` with the defaults of the `embedding_*` variables.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            provider: "openai".to_owned(),
            url: url.into(),
            model: String::new(),
            key: SecretString::default(),
            timeout_ms: 30_000,
            batch_size: 32,
            retries_max: 3,
            backoff_ms: 1_000,
            cache_entries: 50_000,
            dimensions: 0,
        }
    }
}

/// An embedding service over HTTP.
pub struct HttpEmbedder {
    config: HttpEmbedderConfig,
    service: HttpService,
    native: bool,
    dim: AtomicUsize,
    cache: Mutex<VectorCache>,
}

impl HttpEmbedder {
    /// An embedder outside any budget, for services that cost nothing.
    #[must_use]
    pub fn new(config: HttpEmbedderConfig) -> Self {
        Self::with_purse(config, Arc::new(SystemClock), None)
    }

    pub(crate) fn with_purse(
        config: HttpEmbedderConfig,
        clock: Arc<dyn Clock>,
        purse: Option<Purse>,
    ) -> Self {
        let retry = RetryPolicy {
            retries_max: config.retries_max,
            backoff_ms: config.backoff_ms,
            multiplier: 2.0,
            backoff_ms_max: 30_000,
        };
        let settings = ServiceSettings {
            kind: "embed",
            url: config.url.clone(),
            key: config.key.clone(),
            attempt_timeout_ms: config.timeout_ms,
            retry,
        };
        let path = config.url.split(['?', '#']).next().unwrap_or("").trim_end_matches('/');
        Self {
            native: config.provider == "llama_cpp" && path.ends_with("/embedding"),
            service: HttpService::new(settings, clock, purse),
            dim: AtomicUsize::new(0),
            cache: Mutex::new(VectorCache::new(config.cache_entries)),
            config,
        }
    }

    /// HTTP attempts so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.service.requests()
    }

    /// Asks for one vector, so that [`info`](Embedder::info) knows the length.
    ///
    /// # Errors
    /// As [`Embedder::embed`].
    pub fn probe(&self, deadline: Deadline) -> AiResult<EmbedderInfo> {
        if self.dim.load(Ordering::Relaxed) == 0 {
            self.embed(&["probe"], EmbedKind::Document, deadline)?;
        }
        Ok(self.info())
    }

    /// One vector for each input in input order, from the cache or the service; `model` empty = the configured.
    ///
    /// # Errors
    /// As [`Embedder::embed`].
    pub fn embed_for(
        &self,
        model: &str,
        inputs: &[&str],
        kind: EmbedKind,
        call: &CallContext,
    ) -> AiResult<Vec<Vec<f32>>> {
        let model = if model.is_empty() { &self.config.model } else { model };
        let key = |text: &str| digest(&[model.as_bytes(), &[kind as u8], text.as_bytes()]);
        let mut found: Vec<Option<Vec<f32>>> = {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            inputs.iter().map(|text| cache.get(&key(text))).collect()
        };
        let missing: Vec<usize> = (0..inputs.len()).filter(|at| found[*at].is_none()).collect();
        let mut rest = missing.as_slice();
        while !rest.is_empty() {
            let take = self.next_call(rest, inputs);
            let (now, later) = rest.split_at(take);
            rest = later;
            let texts: Vec<&str> = now.iter().map(|at| inputs[*at]).collect();
            let made = self.ask(model, &texts, call)?;
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            for (at, vector) in now.iter().zip(made) {
                cache.put(key(inputs[*at]), &vector);
                found[*at] = Some(vector);
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// How many of `rest` fit into one call; at least one.
    fn next_call(&self, rest: &[usize], inputs: &[&str]) -> usize {
        let mut bytes = 0;
        let fits = |at: &&usize| {
            bytes += inputs[**at].len();
            bytes <= CALL_BYTES_MAX
        };
        rest.iter().take(self.config.batch_size.max(1)).take_while(fits).count().max(1)
    }

    fn ask(&self, model: &str, texts: &[&str], call: &CallContext) -> AiResult<Vec<Vec<f32>>> {
        let mut body = Map::new();
        if !model.is_empty() {
            body.insert("model".into(), json!(model));
        }
        body.insert(if self.native { "content" } else { "input" }.into(), json!(texts));
        if self.config.dimensions > 0 {
            body.insert("dimensions".into(), json!(self.config.dimensions));
        }
        let tokens = texts.iter().map(|t| estimate_tokens(t) + 2).sum();
        let answer = self.service.post(&Value::Object(body), model, tokens, call)?;
        let made = vectors(&answer, texts.len())?;
        let dim = made.first().map_or(0, Vec::len);
        if model == self.config.model {
            let known = self.dim.swap(dim, Ordering::Relaxed);
            if known != 0 && known != dim {
                self.dim.store(known, Ordering::Relaxed);
                let why = format!("embed service: the vectors have {dim} numbers, until now {known}");
                return Err(ai_core::AiError::internal(why));
            }
        }
        Ok(made)
    }
}

impl Embedder for HttpEmbedder {
    /// The length is 0 until the first vector came; see [`HttpEmbedder::probe`].
    fn info(&self) -> EmbedderInfo {
        EmbedderInfo::new(&self.config.provider, &self.config.model, self.dim.load(Ordering::Relaxed))
    }

    fn embed(&self, inputs: &[&str], kind: EmbedKind, deadline: Deadline) -> AiResult<Vec<Vec<f32>>> {
        self.embed_for("", inputs, kind, &CallContext::default().with_deadline(deadline))
    }
}

/// The vectors used last.
struct VectorCache {
    entries: HashMap<[u8; 32], (Vec<f32>, u64)>,
    by_tick: BTreeMap<u64, [u8; 32]>,
    tick: u64,
    entries_max: usize,
}

impl VectorCache {
    fn new(entries_max: usize) -> Self {
        Self { entries: HashMap::new(), by_tick: BTreeMap::new(), tick: 0, entries_max }
    }

    fn get(&mut self, key: &[u8; 32]) -> Option<Vec<f32>> {
        self.tick += 1;
        let (vector, tick) = self.entries.get_mut(key)?;
        self.by_tick.remove(tick);
        *tick = self.tick;
        self.by_tick.insert(self.tick, *key);
        Some(vector.clone())
    }

    fn put(&mut self, key: [u8; 32], vector: &[f32]) {
        if self.entries_max == 0 {
            return;
        }
        self.tick += 1;
        if let Some((_, old)) = self.entries.insert(key, (vector.to_vec(), self.tick)) {
            self.by_tick.remove(&old);
        }
        self.by_tick.insert(self.tick, key);
        while self.entries.len() > self.entries_max {
            let Some((_, oldest)) = self.by_tick.pop_first() else { return };
            self.entries.remove(&oldest);
        }
    }
}
