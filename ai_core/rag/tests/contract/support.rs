//! What the contract tests share: an engine over the store under test, a table in memory, a model that counts words.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use ai_core::{
    AiError, AiResult, Deadline, FakeEmbedder, MemoryRows, PageRequest, RowColumn, RowKey, RowPage,
    RowSource, RowValue, SourceConnector, SourceRow, SourceSpec,
};
use ai_core_rag::{
    JobState, Part, PushDocument, Rag, RagBuilder, RagCaller, SearchFts, SearchHybrid, SearchResponse,
    SearchVector, SourceConfig, SyncRequest, SyncResponse,
};

use crate::backend::Place;

/// Tables by name; one that is absent cannot be reached.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) tables: Mutex<HashMap<String, Arc<MemoryRows>>>,
}

struct Shared(Arc<MemoryRows>);

impl RowSource for Shared {
    fn columns(&self) -> AiResult<Vec<RowColumn>> {
        self.0.columns()
    }

    fn page(&self, request: &PageRequest, deadline: Deadline) -> AiResult<RowPage> {
        self.0.page(request, deadline)
    }

    fn keys(&self, after: Option<&RowKey>, n: usize, deadline: Deadline) -> AiResult<Vec<RowKey>> {
        self.0.keys(after, n, deadline)
    }

    fn by_keys(
        &self,
        keys: &[RowKey],
        columns: &[String],
        bytes: usize,
        deadline: Deadline,
    ) -> AiResult<Vec<SourceRow>> {
        self.0.by_keys(keys, columns, bytes, deadline)
    }
}

impl SourceConnector for Tables {
    fn open(&self, spec: &SourceSpec) -> AiResult<Box<dyn RowSource>> {
        let tables = self.tables.lock().unwrap();
        let table = tables.get(&spec.table_name);
        table
            .map(|t| Box::new(Shared(Arc::clone(t))) as Box<dyn RowSource>)
            .ok_or_else(|| AiError::unavailable(format!("table {} cannot be reached", spec.table_name)))
    }
}

/// An engine with everything that its tests look at.
pub(crate) struct Fixture {
    pub(crate) place: Place,
    pub(crate) tables: Arc<Tables>,
    pub(crate) model: Arc<FakeEmbedder>,
    pub(crate) rag: Rag,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(|b| b)
    }

    pub(crate) fn with(settings: impl FnOnce(RagBuilder) -> RagBuilder) -> Self {
        let place = Place::new();
        let tables = Arc::new(Tables::default());
        let model = Arc::new(FakeEmbedder::new(32));
        let builder = place
            .builder()
            .connector(Arc::clone(&tables) as Arc<dyn SourceConnector>)
            .embedder("fake", Arc::clone(&model) as Arc<dyn ai_core::Embedder>);
        let rag = settings(builder).open().unwrap();
        Self { place, tables, model, rag }
    }

    /// A pushed source with vectors, holding these (id, title, body).
    pub(crate) fn push(&self, name: &str, docs: &[(&str, &str, &str)]) {
        let mut config = SourceConfig::push(name);
        config.source_id = self.rag.source_id(name).unwrap();
        config.embedding.enabled = true;
        config.embedding.provider = "fake".to_owned();
        self.rag.put_source(&config, None).unwrap();
        let docs: Vec<PushDocument> =
            docs.iter().map(|(id, title, body)| document(id, title, body)).collect();
        self.rag.put_documents(name, &docs).unwrap();
    }

    /// A table source `name` with columns id, at, title, body; embedded by the fake model.
    pub(crate) fn table(&self, name: &str) -> Arc<MemoryRows> {
        let rows = Arc::new(MemoryRows::new(&["id", "at", "title", "body"]));
        self.tables.tables.lock().unwrap().insert(name.to_owned(), Arc::clone(&rows));
        self.rag.put_source(&table_config(name), None).unwrap();
        rows
    }

    pub(crate) fn sync(&self, request: SyncRequest) -> SyncResponse {
        self.rag.sync(&caller(), &SyncRequest { wait_ms: 30_000, ..request }).unwrap()
    }

    pub(crate) fn sync_ok(&self, request: SyncRequest) -> SyncResponse {
        let done = self.sync(request);
        assert_eq!(done.state, JobState::Succeeded, "{done:?}");
        done
    }

    pub(crate) fn fts(&self, query: &str) -> Vec<String> {
        ids(&self
            .rag
            .search_fts(&caller(), &SearchFts { query: query.to_owned(), ..SearchFts::default() })
            .unwrap())
    }

    pub(crate) fn vector(&self, query: &str) -> Vec<String> {
        let request = SearchVector { query_text: Some(query.to_owned()), ..SearchVector::default() };
        ids(&self.rag.search_vector(&caller(), &request).unwrap())
    }

    pub(crate) fn hybrid(&self, query: &str) -> SearchResponse {
        let request = SearchHybrid { query: query.to_owned(), ..SearchHybrid::default() };
        self.rag.search_hybrid(&caller(), &request).unwrap()
    }
}

pub(crate) fn table_config(name: &str) -> SourceConfig {
    let mut config = SourceConfig::push(name);
    config.backend_type = "sqlite".to_owned();
    config.table_name = name.to_owned();
    config.pk_column = "id".to_owned();
    config.doc_map.title.concat = vec![Part::column("title")];
    config.doc_map.body.concat = vec![Part::column("body")];
    config.doc_map.metadata.pick = vec!["at".to_owned()];
    config.sync.cursor_column = Some("at".to_owned());
    config.embedding.enabled = true;
    config.embedding.provider = "fake".to_owned();
    config
}

pub(crate) fn row(at: i64, title: &str, body: &str) -> Vec<RowValue> {
    vec![RowValue::Int(at), RowValue::Text(title.to_owned()), RowValue::Text(body.to_owned())]
}

pub(crate) fn document(id: &str, title: &str, body: &str) -> PushDocument {
    PushDocument {
        doc_id: id.to_owned(),
        title: title.to_owned(),
        body: body.to_owned(),
        ..PushDocument::default()
    }
}

pub(crate) fn caller() -> RagCaller {
    RagCaller::named("tester")
}

pub(crate) fn ids(response: &SearchResponse) -> Vec<String> {
    response.results.iter().map(|h| h.doc_id.clone()).collect()
}
