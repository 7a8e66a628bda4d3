//! The engine: store, embedders, limits and the push interface under one handle; it knows no protocol.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ai_core::{
    AiError, AiResult, Deadline, EmbedKind, Embedder, Passage, Reranker, Retriever, SourceConnector,
    TextIndex, TextIndexOpener,
};
use serde_json::{Map, Value};

use crate::api::{SearchFts, SearchHybrid, SearchResponse, SearchVector};
use crate::catalogue::{Catalogue, RagCaller, precondition};
use crate::config::{Embedding, SourceConfig};
use crate::database::{Database, SqlFamily};
use crate::embedders::{EmbedderFactory, Embedders};
use crate::jobs::Jobs;
use crate::map;
use crate::prepare::{self, Binding};
use crate::records::{Space, SpaceRole, WriteCounts};
use crate::search;
use crate::search_log::{LogQueries, SearchLog};
use crate::sqlite::SqliteDatabase;
use crate::store::{AnnMode, Fts5Index, Store, WriteBatch};

/// Text that is embedded when a space is first used, to notice a changed model later.
const CANARY: &str = "the slow query log shows statements that take longer than a second";

/// Chunks from which `auto` prefers an outer full-text index.
const AUTO_OUTER_CHUNKS: u64 = 20_000;

/// Bounds of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
// Exhaustive on purpose: hosts build it with struct update syntax.
pub struct RagLimits {
    /// Largest `k`; larger ones are clamped.
    pub k_max: usize,
    /// Most candidates of one search.
    pub candidates_max: usize,
    /// Longest query, in bytes.
    pub query_bytes_max: usize,
    /// Largest search answer, in bytes.
    pub response_bytes_max: usize,
    /// Largest sum of bodies of one read, in bytes.
    pub get_bytes_max: usize,
    /// Longest search, in milliseconds.
    pub timeout_ms: u64,
    /// Most ids of one read.
    pub ids_max: usize,
    /// Most rows of one fetch from a source.
    pub fetch_rows_max: usize,
    /// Most bytes of one fetch from a source.
    pub fetch_bytes_max: usize,
    /// Sources that are synchronised at once.
    pub sync_workers_max: usize,
    /// Rows of the outbox at which synchronisation waits.
    pub outbox_rows_max: u64,
    /// How long tombstones are kept, in seconds.
    pub tombstone_ttl_s: u64,
    /// How long the log of searches is kept, in seconds.
    pub log_ttl_s: u64,
    /// Time between runs of a source whose settings name none, in seconds; 0 means on request.
    pub sync_interval_s: u64,
    /// Time between full passes of a source whose settings name none, in seconds.
    pub sweep_interval_s: u64,
    /// Memory that ingestion may take for rows and documents that wait to be written, in bytes.
    pub memory_bytes_max: u64,
    /// How long a silent process keeps its jobs in a store that several share, in seconds.
    pub lease_s: u64,
}

impl Default for RagLimits {
    fn default() -> Self {
        Self {
            k_max: 50,
            candidates_max: 500,
            query_bytes_max: 8192,
            response_bytes_max: 5_000_000,
            get_bytes_max: 2_000_000,
            timeout_ms: 2000,
            ids_max: 100,
            fetch_rows_max: 100,
            fetch_bytes_max: 1_000_000,
            sync_workers_max: 2,
            outbox_rows_max: 20_000,
            tombstone_ttl_s: 30 * 86_400,
            log_ttl_s: 30 * 86_400,
            sync_interval_s: 0,
            sweep_interval_s: 86_400,
            memory_bytes_max: 256 << 20,
            lease_s: 60,
        }
    }
}

/// Which full-text index holds the words.
// Exhaustive on purpose: these are the values of the setting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fulltext {
    /// FTS5 while the store is small, the outer index when it has grown and one is available.
    #[default]
    Auto,
    /// FTS5 in the store's own transaction.
    Fts5,
    /// The outer index.
    Outer,
}

/// Settings of an engine before it is opened.
#[must_use]
pub struct RagBuilder {
    path: PathBuf,
    embedders: Embedders,
    reranker: Option<Arc<dyn Reranker>>,
    connector: Option<Arc<dyn SourceConnector>>,
    limits: RagLimits,
    fulltext: Fulltext,
    outer: Option<TextIndexOpener>,
    file_roots: Vec<PathBuf>,
    log_queries: LogQueries,
    database: Option<Arc<dyn Database>>,
    ann: AnnMode,
}

impl RagBuilder {
    /// Keeps the store in this database instead of a SQLite file; the builder's path then names the files that belong to
    /// this process alone, the full-text index for instance.
    pub fn database(mut self, database: Arc<dyn Database>) -> Self {
        self.database = Some(database);
        self
    }

    /// What makes searches of vectors fast.
    pub fn ann(mut self, mode: AnnMode) -> Self {
        self.ann = mode;
        self
    }

    /// Serves sources whose settings name `provider`.
    pub fn embedder_factory(self, provider: &str, factory: EmbedderFactory) -> Self {
        self.embedders.register(provider, factory);
        self
    }

    /// Serves sources whose settings name `provider` with one embedder.
    pub fn embedder(self, provider: &str, embedder: Arc<dyn Embedder>) -> Self {
        self.embedder_factory(provider, Arc::new(move |_| Ok(Arc::clone(&embedder))))
    }

    /// Reranks searches that ask for it.
    pub fn reranker(mut self, reranker: Arc<dyn Reranker>) -> Self {
        self.reranker = Some(reranker);
        self
    }

    /// Opens database sources.
    pub fn connector(mut self, connector: Arc<dyn SourceConnector>) -> Self {
        self.connector = Some(connector);
        self
    }

    /// Sets the bounds.
    pub fn limits(mut self, limits: RagLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Chooses the full-text index, and how to open an outer one.
    pub fn fulltext(mut self, choice: Fulltext, outer: Option<TextIndexOpener>) -> Self {
        self.fulltext = choice;
        self.outer = outer;
        self
    }

    /// Folders that file sources may lie under; none means that there are no file sources.
    pub fn file_roots(mut self, roots: Vec<PathBuf>) -> Self {
        self.file_roots = roots;
        self
    }

    /// What is kept of the text of searches.
    pub fn log_queries(mut self, mode: LogQueries) -> Self {
        self.log_queries = mode;
        self
    }

    /// Opens the engine.
    ///
    /// # Errors
    /// When the store or its indexes cannot be opened or are of a newer version.
    pub fn open(self) -> AiResult<Rag> {
        let database = match self.database {
            Some(database) => database,
            None => Arc::new(SqliteDatabase::open(&self.path)?),
        };
        if self.ann == AnnMode::Hnsw && database.family() == SqlFamily::Sqlite {
            return Err(precondition("SQLite has no HNSW index; use rag_ann = auto or int8"));
        }
        let store = Arc::new(Store::over(&self.path, database, self.ann)?);
        let log = SearchLog::new(self.log_queries, store.index_identity()?);
        let inner = Inner {
            store,
            log,
            embedders: self.embedders,
            reranker: self.reranker,
            connector: self.connector,
            limits: RwLock::new(Arc::new(self.limits)),
            enabled: AtomicBool::new(true),
            fulltext: self.fulltext,
            outer: self.outer,
            file_roots: self.file_roots,
            jobs: Jobs::default(),
        };
        inner.choose_fulltext()?;
        Ok(Rag { inner: Arc::new(inner) })
    }
}

/// What the handle shares with its workers.
pub(crate) struct Inner {
    pub(crate) store: Arc<Store>,
    pub(crate) log: SearchLog,
    pub(crate) embedders: Embedders,
    pub(crate) reranker: Option<Arc<dyn Reranker>>,
    pub(crate) connector: Option<Arc<dyn SourceConnector>>,
    limits: RwLock<Arc<RagLimits>>,
    enabled: AtomicBool,
    fulltext: Fulltext,
    outer: Option<TextIndexOpener>,
    pub(crate) file_roots: Vec<PathBuf>,
    pub(crate) jobs: Jobs,
}

impl Inner {
    /// The bounds that hold now.
    pub(crate) fn limits(&self) -> Arc<RagLimits> {
        Arc::clone(&self.limits.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn enabled(&self) -> bool {
        self.enabled.load(Ordering::SeqCst)
    }

    /// The full-text index in use.
    pub(crate) fn text_index(&self) -> Arc<dyn TextIndex> {
        match self.store.external() {
            Some(index) => index,
            None => Arc::new(Fts5Index::new(Arc::clone(&self.store))),
        }
    }

    /// Uses the full-text index that the setting and the store's size ask for.
    pub(crate) fn choose_fulltext(&self) -> AiResult<()> {
        let chunks: u64 = self.store.meta("live_count")?.and_then(|t| t.parse().ok()).unwrap_or(0);
        if self.store.shared() && (self.fulltext == Fulltext::Fts5 || self.outer.is_none()) {
            return Err(precondition(
                "a store in PostgreSQL takes its full text from an index beside each process; use rag_fulltext = tantivy",
            ));
        }
        let outer = match (self.fulltext, &self.outer) {
            (_, Some(open)) if self.store.shared() => Some(open),
            (Fulltext::Outer, None) => {
                return Err(precondition("this program was built without an outer full-text index"));
            }
            (Fulltext::Outer, Some(open)) => Some(open),
            (Fulltext::Auto, Some(open)) if chunks >= AUTO_OUTER_CHUNKS => Some(open),
            _ => None,
        };
        match outer {
            Some(_) if self.store.external().is_some() => Ok(()),
            Some(open) => {
                let mut folder = self.store.path().as_os_str().to_owned();
                folder.push(".fulltext");
                self.store.attach(open(Path::new(&folder), &self.store.index_identity()?)?)
            }
            None => self.store.detach(),
        }
    }

    /// The embedder that made the vectors of a space: that of the settings, or while a new model takes over that of the
    /// settings with which the space was made.
    pub(crate) fn embedder_for(
        &self,
        settings: &Embedding,
        space: &Space,
    ) -> AiResult<(Arc<dyn Embedder>, Embedding)> {
        let present = self.embedders.get(settings);
        if let Ok(embedder) = &present
            && space.fits(&embedder.info())
        {
            return Ok((Arc::clone(embedder), settings.clone()));
        }
        if let Some(earlier) = self.store.space_settings(space.space_id)? {
            let embedder = self.embedders.get(&earlier)?;
            if space.fits(&embedder.info()) {
                return Ok((embedder, earlier));
            }
        }
        present?;
        Err(AiError::unavailable(format!(
            "the vectors were made by {} {:?}, which is not at hand; re-embedding for the new model is not complete",
            space.provider, space.model
        )))
    }

    /// The spaces that a source's documents must be embedded for; a first or changed model gets its space here.
    pub(crate) fn bindings(&self, source_id: i64, config: &SourceConfig) -> AiResult<Vec<Binding>> {
        if !config.embedding.enabled {
            return Ok(Vec::new());
        }
        let settings = &config.embedding;
        let embedder = self.embedders.get(settings)?;
        let info = embedder.info();
        let catalogue = self.store.quick(Catalogue::read)?;
        let held = catalogue.spaces_of(source_id);
        let fits = |s: &Space| {
            s.fits(&info) && s.metric == settings.metric() && s.normalize == settings.normalize_vectors
        };
        // While a new model takes over, changed documents stay findable by the old one.
        let old = held.iter().find(|(s, active)| *active && !fits(s)).and_then(|(space, _)| {
            let (embedder, settings) = self.embedder_for(settings, space).ok()?;
            Some(Binding { space: (*space).clone(), embedder, settings })
        });
        if let Some((space, _)) = held.iter().find(|(s, _)| fits(s)) {
            let own = Binding { space: (*space).clone(), embedder, settings: settings.clone() };
            return Ok(std::iter::once(own).chain(old).collect());
        }
        let space =
            self.store.space_for(&info, settings.metric(), settings.normalize_vectors, Some(settings))?;
        let canary =
            embedder.embed(&[CANARY], EmbedKind::Document, Deadline::after_ms(settings.timeout_ms))?;
        if let Some(vector) = canary.into_iter().next() {
            self.store.check_canary(&space, &crate::store::prepare_vector(&space, vector)?)?;
        }
        let role = if held.is_empty() { SpaceRole::Active } else { SpaceRole::Building };
        self.store.set_role(source_id, space.space_id, role)?;
        self.store.enqueue(source_id, space.space_id, false)?;
        let own = Binding { space, embedder, settings: settings.clone() };
        Ok(std::iter::once(own).chain(old).collect())
    }

    /// Age of the oldest change that the full-text index has not seen.
    pub(crate) fn index_lag_ms(&self) -> u64 {
        if self.store.external().is_none() {
            return 0;
        }
        self.store.outbox_depth().map_or(0, |(_, age)| age)
    }
}

/// A document that is handed in.
#[derive(Debug, Clone, Default, PartialEq)]
// Exhaustive on purpose: programs build it.
pub struct PushDocument {
    /// The document's name, unique over all sources.
    pub doc_id: String,
    /// The title.
    pub title: String,
    /// The body.
    pub body: String,
    /// Metadata that filters see.
    pub metadata: Map<String, Value>,
}

/// What a push did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushReport {
    /// New documents.
    pub docs_new: u64,
    /// Replaced documents.
    pub docs_changed: u64,
    /// Documents that were the same already.
    pub docs_unchanged: u64,
    /// Removed documents.
    pub docs_deleted: u64,
    /// Chunks written.
    pub chunks_written: u64,
    /// Vectors computed.
    pub embeddings_done: u64,
    /// Vectors taken from the cache.
    pub embeddings_reused: u64,
    /// Chunks that wait for a vector.
    pub embeddings_pending: u64,
}

impl PushReport {
    pub(crate) fn add(&mut self, counts: &WriteCounts) {
        self.docs_new += counts.docs_new;
        self.docs_changed += counts.docs_changed;
        self.docs_deleted += counts.docs_deleted;
        self.chunks_written += counts.chunks_written;
    }
}

/// A retrieval engine over one store. Cheap to clone; calls block and may come from many threads.
#[derive(Clone)]
pub struct Rag {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Rag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rag").field("store", &self.inner.store).finish_non_exhaustive()
    }
}

impl Rag {
    /// Starts the settings of an engine whose store lies at `path`.
    pub fn builder(path: impl Into<PathBuf>) -> RagBuilder {
        RagBuilder {
            path: path.into(),
            embedders: Embedders::default(),
            reranker: None,
            connector: None,
            limits: RagLimits::default(),
            fulltext: Fulltext::Auto,
            outer: None,
            file_roots: Vec::new(),
            log_queries: LogQueries::default(),
            database: None,
            ann: AnnMode::default(),
        }
    }

    /// Creates a source, or replaces the one with the same `source_id`; returns its number. `acl` replaces its rights.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with the JSON path of the first fault, `CONFLICT` for a name that exists.
    pub fn put_source(&self, config: &SourceConfig, acl: Option<&[crate::store::AclEntry]>) -> AiResult<i64> {
        config.validate()?;
        map::Mapper::new(config)?;
        if config.embedding.enabled {
            self.inner.embedders.get(&config.embedding)?;
        }
        self.inner.store.put_source(config, acl)
    }

    /// The number of a source, if there is one of this name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn source_id(&self, name: &str) -> AiResult<Option<i64>> {
        let catalogue = self.inner.store.quick(Catalogue::read)?;
        Ok(catalogue.sources.iter().find(|s| s.name == name).map(|s| s.source_id))
    }

    /// Adds or replaces documents of a source with backend `push`.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown source, `FAILED_PRECONDITION` for one that is not pushed, `CONFLICT` for a name that
    /// another source owns, `INVALID_ARGUMENT` for an empty name.
    pub fn put_documents(&self, source_name: &str, docs: &[PushDocument]) -> AiResult<PushReport> {
        let (source_id, config) = self.push_source(source_name)?;
        let bindings = self.inner.bindings(source_id, &config)?;
        let mut report = PushReport::default();
        for batch in docs.chunks(config.sync.commit_docs.max(1)) {
            self.put_batch(source_id, &config, &bindings, batch, &mut report)?;
        }
        Ok(report)
    }

    fn put_batch(
        &self,
        source_id: i64,
        config: &SourceConfig,
        bindings: &[Binding],
        batch: &[PushDocument],
        report: &mut PushReport,
    ) -> AiResult<()> {
        let ids: Vec<String> = batch.iter().map(|d| d.doc_id.clone()).collect();
        let states = self.inner.store.doc_states(&ids)?;
        // Of a name that is given twice, the last counts.
        let last_at: HashMap<&str, usize> =
            batch.iter().enumerate().map(|(i, d)| (d.doc_id.as_str(), i)).collect();
        let mut writes = Vec::new();
        for (at, doc) in batch.iter().enumerate() {
            if doc.doc_id.is_empty() || doc.doc_id.len() > 1000 {
                return Err(AiError::invalid("a document's name must have 1-1000 bytes"));
            }
            if last_at.get(doc.doc_id.as_str()) != Some(&at) {
                continue;
            }
            let pk = Value::Object(Map::from_iter([("id".to_owned(), Value::from(doc.doc_id.clone()))]))
                .to_string();
            let mapped = map::derive(
                config,
                doc.doc_id.clone(),
                pk,
                doc.title.replace('\0', "\u{fffd}"),
                doc.body.replace('\0', "\u{fffd}"),
                doc.metadata.clone(),
            );
            let hash = prepare::content_hash(&mapped);
            let same = states
                .get(&doc.doc_id)
                .is_some_and(|s| !s.deleted && s.source_id == source_id && s.content_hash == hash);
            if same {
                report.docs_unchanged += 1;
                continue;
            }
            let counter = bindings.first().map(|b| b.embedder.as_ref());
            writes.push(prepare::cut(config, source_id, mapped, counter).0);
        }
        let counts = prepare::embed(&self.inner.store, config, bindings, &mut writes, &|| false)?;
        report.embeddings_done += counts.done;
        report.embeddings_reused += counts.reused;
        report.embeddings_pending += counts.pending;
        let written = self.inner.store.apply(&WriteBatch { docs: writes, ..WriteBatch::default() })?;
        report.add(&written);
        Ok(())
    }

    /// Removes documents of a source with backend `push`; unknown names are ignored.
    ///
    /// # Errors
    /// As [`Self::put_documents`].
    pub fn delete_documents(&self, source_name: &str, doc_ids: &[String]) -> AiResult<PushReport> {
        let (source_id, config) = self.push_source(source_name)?;
        let mut report = PushReport::default();
        for batch in doc_ids.chunks(config.sync.commit_docs.max(1)) {
            let states = self.inner.store.doc_states(batch)?;
            let pks = states
                .values()
                .filter(|s| s.source_id == source_id && !s.deleted)
                .map(|s| s.doc_pk)
                .collect();
            let counts =
                self.inner.store.apply(&WriteBatch { delete_doc_pks: pks, ..WriteBatch::default() })?;
            report.add(&counts);
        }
        Ok(report)
    }

    fn push_source(&self, name: &str) -> AiResult<(i64, SourceConfig)> {
        let catalogue = self.inner.store.quick(Catalogue::read)?;
        let source = catalogue
            .sources
            .iter()
            .find(|s| s.name == name)
            .ok_or_else(|| AiError::not_found(format!("no source is named {name:?}")))?;
        let config = source.config.clone()?;
        if config.backend_type != "push" {
            return Err(precondition(format!(
                "source {name:?} is read from {}, not pushed",
                config.backend_type
            )));
        }
        Ok((source.source_id, config))
    }

    /// Switches schedules on or off, and says to the tools whether they may answer.
    pub fn set_enabled(&self, enabled: bool) {
        self.inner.enabled.store(enabled, Ordering::SeqCst);
    }

    /// Whether the engine is switched on.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.inner.enabled()
    }

    /// Serves sources whose settings name `provider` from now on, or in another way than before.
    pub fn set_embedder(&self, provider: &str, factory: EmbedderFactory) {
        self.inner.embedders.register(provider, factory);
    }

    /// Puts other bounds into force; calls that run keep theirs.
    pub fn set_limits(&self, limits: RagLimits) {
        *self.inner.limits.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }

    /// Builds the in-memory copies that make vector searches fast; searches work without them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn warm(&self) -> AiResult<()> {
        for space in self.inner.store.quick(crate::store::spaces_all)? {
            self.inner.store.warm(&space)?;
        }
        Ok(())
    }

    /// Applies waiting changes to the outer full-text index, if there is one.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn flush_index(&self) -> AiResult<()> {
        self.inner.store.catch_up(None).map(drop)
    }

    /// Writes the log of searches that waits in memory; the background thread does so by itself.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn flush_log(&self) -> AiResult<usize> {
        self.inner.log.flush(&self.inner.store, self.inner.limits().log_ttl_s)
    }

    /// Search by words.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, `NOT_FOUND`, `LIMIT_EXCEEDED`, `UNAVAILABLE`, `DEADLINE_EXCEEDED`.
    pub fn search_fts(&self, caller: &RagCaller, request: &SearchFts) -> AiResult<SearchResponse> {
        let found = search::fts(&self.inner, caller, request);
        self.inner.log.note("rag.search_fts", caller, &request.query, found)
    }

    /// Search by vectors.
    ///
    /// # Errors
    /// As [`Self::search_fts`], and `FAILED_PRECONDITION` when no searched source has vectors.
    pub fn search_vector(&self, caller: &RagCaller, request: &SearchVector) -> AiResult<SearchResponse> {
        let found = search::vector(&self.inner, caller, request);
        self.inner.log.note(
            "rag.search_vector",
            caller,
            request.query_text.as_deref().unwrap_or_default(),
            found,
        )
    }

    /// Search by words and vectors; without vectors the answer is by words and says `degraded`.
    ///
    /// # Errors
    /// As [`Self::search_fts`].
    pub fn search_hybrid(&self, caller: &RagCaller, request: &SearchHybrid) -> AiResult<SearchResponse> {
        let found = search::hybrid(&self.inner, caller, request);
        self.inner.log.note("rag.search_hybrid", caller, &request.query, found)
    }
}

impl Retriever for Rag {
    fn retrieve(&self, caller: &str, question: &str, k: usize, deadline: Deadline) -> AiResult<Vec<Passage>> {
        let request = SearchHybrid {
            query: question.to_owned(),
            k: Some(k.max(1)),
            timeout_ms: Some(u64::try_from(deadline.remaining().as_millis()).unwrap_or(u64::MAX)),
            ..SearchHybrid::default()
        };
        let found = self.search_hybrid(&RagCaller::named(caller), &request)?;
        self.inner.store.read(deadline, |c| {
            let mut out = Vec::with_capacity(found.results.len());
            for hit in &found.results {
                if let Some(row) = crate::store::chunk_by_id(c, &hit.chunk_id)? {
                    let passage = Passage::new(row.chunk_id, row.doc_id, row.body, hit.score.unwrap_or(0.0));
                    out.push(passage.with_origin(row.source_name, row.title));
                }
            }
            Ok(out)
        })
    }
}
