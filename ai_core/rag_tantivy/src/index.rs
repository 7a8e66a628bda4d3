//! Opening, writing and searching the index; its position travels in the commit's payload, so that both are durable together.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ai_core::{
    AiError, AiResult, Allowed, Deadline, TextChange, TextClause, TextEntry, TextHit, TextIndex,
    TextIndexOpener, TextIndexStatus, entry_mark,
};
use serde::{Deserialize, Serialize};
use tantivy::collector::{FilterCollector, TopDocs};
use tantivy::columnar::Column;
use tantivy::index::SegmentId;
use tantivy::query::Query;
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{TextAnalyzer, WhitespaceTokenizer};
use tantivy::{
    Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, SegmentReader, TantivyDocument, Term,
};

use crate::query::{self, TextFields};

/// Memory of the writer, in bytes.
const WRITER_BYTES: usize = 50_000_000;

/// How often the title enters the text that is scored.
const TITLE_WEIGHT: usize = 3;

/// Name of the tokenizer: terms are analysed before they come here.
const TOKENIZER: &str = "analysed";

/// What a commit says about itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Payload {
    identity: String,
    seq: u64,
}

#[derive(Debug, Clone, Copy)]
struct Fields {
    chunk_pk: Field,
    version: Field,
    source_id: Field,
    text: TextFields,
}

/// A full-text index in a folder.
#[non_exhaustive]
pub struct TantivyIndex {
    index: Index,
    fields: Fields,
    reader: IndexReader,
    writer: Mutex<IndexWriter>,
    identity: String,
    /// Position of the commit that the reader sees.
    seen: Mutex<u64>,
    /// Keys and versions of the segments that searches have met: opening a column costs more than reading it.
    columns: Mutex<HashMap<SegmentId, Columns>>,
}

/// The columns of keys and of versions of one segment.
type Columns = Arc<(Column<i64>, Column<i64>)>;

impl std::fmt::Debug for TantivyIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TantivyIndex").field("identity", &self.identity).finish_non_exhaustive()
    }
}

fn failed(error: tantivy::TantivyError) -> AiError {
    AiError::unavailable(format!("full-text index: {error}"))
}

/// Opens indexes for an engine.
#[must_use]
pub fn opener() -> TextIndexOpener {
    Arc::new(|folder, identity| Ok(Arc::new(TantivyIndex::open(folder, identity)?) as Arc<dyn TextIndex>))
}

impl TantivyIndex {
    /// Opens the index in `folder` for a store of this identity. An index of another identity, or one that cannot be
    /// read, is replaced by an empty one.
    ///
    /// # Errors
    /// When the folder cannot be written, or another process writes the index.
    pub fn open(folder: &Path, identity: &str) -> AiResult<Self> {
        let (schema, fields) = schema();
        let usable = folder
            .join("meta.json")
            .exists()
            .then(|| Index::open_in_dir(folder))
            .and_then(Result::ok)
            .filter(|index| {
                index.schema() == schema && payload(index).is_some_and(|p| p.identity == identity)
            });
        let index = match usable {
            Some(index) => index,
            None => create(folder, &schema)?,
        };
        index.tokenizers().register(TOKENIZER, TextAnalyzer::from(WhitespaceTokenizer::default()));
        let writer = index.writer_with_num_threads(1, WRITER_BYTES).map_err(failed)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(failed)?;
        let seen = payload(&index).map_or(0, |p| p.seq);
        let made = Self {
            index,
            fields,
            reader,
            writer: Mutex::new(writer),
            identity: identity.to_owned(),
            seen: Mutex::new(seen),
            columns: Mutex::default(),
        };
        if payload(&made.index).is_none() {
            made.commit(&[], 0, true)?;
        }
        Ok(made)
    }

    fn columns_of(&self, reader: &SegmentReader) -> AiResult<Columns> {
        let mut held = self.columns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(columns) = held.get(&reader.segment_id()) {
            return Ok(Arc::clone(columns));
        }
        let fast = reader.fast_fields();
        let made: Columns =
            Arc::new((fast.i64("chunk_pk").map_err(failed)?, fast.i64("version").map_err(failed)?));
        held.insert(reader.segment_id(), Arc::clone(&made));
        Ok(made)
    }

    fn commit(&self, changes: &[TextChange], seq: u64, empty_first: bool) -> AiResult<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let first = self.try_commit(&mut writer, changes, seq, empty_first);
        if first.is_err() {
            // A file that an earlier crash left behind can be in the way: clear up and try once more.
            writer.rollback().map_err(failed)?;
            writer.garbage_collect_files().wait().map_err(failed)?;
            self.try_commit(&mut writer, changes, seq, empty_first).map_err(failed)?;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.reader.reload().map_err(failed)?;
        let live: HashSet<SegmentId> =
            self.reader.searcher().segment_readers().iter().map(SegmentReader::segment_id).collect();
        self.columns.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| live.contains(id));
        *seen = seq;
        Ok(())
    }

    fn try_commit(
        &self,
        writer: &mut IndexWriter,
        changes: &[TextChange],
        seq: u64,
        empty_first: bool,
    ) -> tantivy::Result<()> {
        if empty_first {
            writer.delete_all_documents()?;
        }
        for change in changes {
            let (TextChange::Upsert(TextEntry { chunk_pk, .. }) | TextChange::Delete(chunk_pk)) = change;
            writer.delete_term(Term::from_field_i64(self.fields.chunk_pk, *chunk_pk));
            if let TextChange::Upsert(entry) = change {
                writer.add_document(self.document(entry))?;
            }
        }
        let mut prepared = writer.prepare_commit()?;
        let payload = Payload { identity: self.identity.clone(), seq };
        prepared.set_payload(&serde_json::to_string(&payload)?);
        prepared.commit()?;
        Ok(())
    }

    fn document(&self, entry: &TextEntry) -> TantivyDocument {
        let mut doc = TantivyDocument::new();
        doc.add_i64(self.fields.chunk_pk, entry.chunk_pk);
        doc.add_i64(self.fields.version, entry.version);
        doc.add_i64(self.fields.source_id, entry.source_id);
        let (title, body) = (entry.title_terms.join(" "), entry.body_terms.join(" "));
        for _ in 0..TITLE_WEIGHT {
            doc.add_text(self.fields.text.text, &title);
        }
        doc.add_text(self.fields.text.text, &body);
        doc.add_text(self.fields.text.title, title);
        doc.add_text(self.fields.text.body, body);
        doc
    }

    fn top(
        &self,
        searcher: &Searcher,
        query: &dyn Query,
        k: usize,
        allowed: &Allowed,
    ) -> tantivy::Result<Vec<(f32, tantivy::DocAddress)>> {
        let top = TopDocs::with_limit(k).order_by_score();
        let sources = allowed.source_ids.clone();
        let pks = allowed.chunk_pks.clone().map(Arc::new);
        match (sources, pks) {
            (None, None) => searcher.search(query, &top),
            (Some(ids), None) => searcher.search(
                query,
                &FilterCollector::new("source_id".to_owned(), move |id: i64| ids.contains(&id), top),
            ),
            (None, Some(pks)) => searcher.search(
                query,
                &FilterCollector::new(
                    "chunk_pk".to_owned(),
                    move |pk: i64| pks.binary_search(&pk).is_ok(),
                    top,
                ),
            ),
            (Some(ids), Some(pks)) => {
                let inner = FilterCollector::new(
                    "chunk_pk".to_owned(),
                    move |pk: i64| pks.binary_search(&pk).is_ok(),
                    top,
                );
                searcher.search(
                    query,
                    &FilterCollector::new("source_id".to_owned(), move |id: i64| ids.contains(&id), inner),
                )
            }
        }
    }
}

impl TextIndex for TantivyIndex {
    fn apply(&self, changes: &[TextChange], seq: u64) -> AiResult<()> {
        self.commit(changes, seq, false)
    }

    fn clear(&self) -> AiResult<()> {
        self.commit(&[], 0, true)
    }

    fn search(
        &self,
        query: &TextClause,
        k: usize,
        allowed: &Allowed,
        deadline: Deadline,
    ) -> AiResult<Vec<TextHit>> {
        deadline.check("the full-text search")?;
        if k == 0 || allowed.chunk_pks.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let searcher = self.reader.searcher();
        let query = query::build(query, self.fields.text)?;
        let top = self.top(&searcher, query.as_ref(), k, allowed).map_err(failed)?;
        let mut hits = Vec::with_capacity(top.len());
        for (score, address) in top {
            let reader = searcher.segment_reader(address.segment_ord);
            let columns = self.columns_of(reader)?;
            let value = |column: &Column<i64>, name: &str| {
                column
                    .first(address.doc_id)
                    .ok_or_else(|| AiError::internal(format!("an index entry has no {name}")))
            };
            hits.push(TextHit {
                chunk_pk: value(&columns.0, "chunk_pk")?,
                version: value(&columns.1, "version")?,
                score: score.max(0.0),
            });
        }
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk_pk.cmp(&b.chunk_pk)));
        Ok(hits)
    }

    fn status(&self) -> AiResult<TextIndexStatus> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(TextIndexStatus::new("tantivy", self.reader.searcher().num_docs(), *seen))
    }

    fn checksum(&self) -> AiResult<Option<i64>> {
        let mut sum = 0i64;
        for segment in self.reader.searcher().segment_readers() {
            let columns = segment.fast_fields();
            let (pks, versions) =
                (columns.i64("chunk_pk").map_err(failed)?, columns.i64("version").map_err(failed)?);
            for doc in segment.doc_ids_alive() {
                let (Some(pk), Some(version)) = (pks.first(doc), versions.first(doc)) else {
                    return Err(AiError::internal("an index entry has no key or no version"));
                };
                sum = sum.wrapping_add(entry_mark(pk, version));
            }
        }
        Ok(Some(sum))
    }
}

fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let text = |option| {
        let indexing = TextFieldIndexing::default().set_tokenizer(TOKENIZER).set_index_option(option);
        TextOptions::default().set_indexing_options(indexing)
    };
    let fields = Fields {
        chunk_pk: builder.add_i64_field("chunk_pk", INDEXED | FAST),
        version: builder.add_i64_field("version", FAST),
        source_id: builder.add_i64_field("source_id", FAST),
        text: TextFields {
            text: builder.add_text_field("text", text(IndexRecordOption::WithFreqsAndPositions)),
            title: builder.add_text_field("title", text(IndexRecordOption::WithFreqsAndPositions)),
            body: builder.add_text_field("body", text(IndexRecordOption::Basic)),
        },
    };
    (builder.build(), fields)
}

/// What the last commit says; read from the metas, because a writer may not know it.
fn payload(index: &Index) -> Option<Payload> {
    serde_json::from_str(&index.load_metas().ok()?.payload?).ok()
}

fn create(folder: &Path, schema: &Schema) -> AiResult<Index> {
    let unusable = |e: std::io::Error| {
        AiError::unavailable(format!("full-text index folder {} cannot be prepared: {e}", folder.display()))
    };
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(unusable)?;
    }
    std::fs::create_dir_all(folder).map_err(unusable)?;
    Index::create_in_dir(folder, schema.clone()).map_err(failed)
}

#[cfg(test)]
mod tests;
