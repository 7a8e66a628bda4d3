//! From mapped documents to what the store writes: chunks, hashes, vectors; it opens no transaction.

use std::collections::HashMap;
use std::sync::Arc;

use ai_core::{AiError, AiErrorCode, AiResult, Deadline, EmbedKind, Embedder};
use serde_json::Value;

use crate::analyse::Analyser;
use crate::chunk;
use crate::config::{Embedding, SourceConfig};
use crate::ids::sha256;
use crate::map::{MappedDoc, applies, clean};
use crate::records::{ChunkVector, ChunkWrite, DocWrite, Space};
use crate::store::Store;

/// Longest text of one chunk that is embedded, in bytes; models cut long before.
const INPUT_BYTES_MAX: usize = 256 * 1024;

/// Version of the mapping; a higher one makes every document new.
const MAP_VERSION: &[u8] = b"1";

/// A space with the embedder that fills it.
#[derive(Clone)]
pub(crate) struct Binding {
    pub(crate) space: Space,
    pub(crate) embedder: Arc<dyn Embedder>,
    pub(crate) settings: Embedding,
}

/// Counts of embedding work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct EmbedCounts {
    pub(crate) done: u64,
    pub(crate) reused: u64,
    pub(crate) pending: u64,
    pub(crate) failed: u64,
}

/// Hash over the parts of a document that are seen by searches.
pub(crate) fn content_hash(doc: &MappedDoc) -> String {
    let mut keys: Vec<(&String, &Value)> = doc.metadata.iter().collect();
    keys.sort_by(|a, b| a.0.cmp(b.0));
    let metadata = serde_json::to_string(&keys).unwrap_or_default();
    sha256(&[MAP_VERSION, doc.title.as_bytes(), doc.body.as_bytes(), metadata.as_bytes()])
}

/// Cuts a document; the second value is a warning when pieces were left off.
pub(crate) fn cut(
    config: &SourceConfig,
    source_id: i64,
    doc: MappedDoc,
    counter: Option<&dyn Embedder>,
) -> (DocWrite, Option<String>) {
    let analyser = Analyser::new("");
    let count =
        |text: &str| counter.and_then(|e| e.count_tokens(text)).unwrap_or_else(|| analyser.terms(text).len());
    let hash = content_hash(&doc);
    let mut metadata = doc.metadata;
    let (pieces, cut_off) = chunk::cut(&doc.body, &config.chunking, &count);
    let warning = cut_off.then(|| {
        metadata.insert("truncated".to_owned(), Value::Bool(true));
        format!(
            "the document has more than {} chunks; the rest is not searchable",
            config.chunking.max_chunks
        )
    });
    let normalize = &config.doc_map.normalize;
    let mut chunks: Vec<ChunkWrite> = pieces
        .into_iter()
        .map(|piece| {
            let body = &doc.body[piece.start..piece.end];
            let fts_text = if applies(normalize, "fts") { clean(normalize, body) } else { body.to_owned() };
            let start_char = doc.body[..piece.start].chars().count();
            ChunkWrite {
                start_char,
                end_char: start_char + body.chars().count(),
                content_hash: sha256(&[doc.title.as_bytes(), body.as_bytes()]),
                input_hash: String::new(),
                vectors: Vec::new(),
                heading_path: piece.heading_path,
                fts_text,
                body: body.to_owned(),
            }
        })
        .collect();
    if chunks.is_empty() && !doc.title.is_empty() {
        // A document with a title alone is still found by it.
        chunks.push(ChunkWrite {
            body: String::new(),
            fts_text: String::new(),
            start_char: 0,
            end_char: 0,
            heading_path: String::new(),
            content_hash: sha256(&[doc.title.as_bytes()]),
            input_hash: String::new(),
            vectors: Vec::new(),
        });
    }
    let write = DocWrite {
        source_id,
        source_name: config.name.clone(),
        doc_id: doc.doc_id,
        pk_json: doc.pk_json,
        title: doc.title,
        body: doc.body,
        metadata,
        content_hash: hash,
        created_ms: doc.created_ms,
        score_num: doc.score_num,
        post_type: doc.post_type,
        tags: doc.tags,
        language: config.doc_map.language.clone(),
        chunks,
    };
    (write, warning)
}

/// The text that is embedded for a chunk.
pub(crate) fn input_text(
    config: &SourceConfig,
    title: &str,
    heading_path: &str,
    text: &str,
    metadata: &serde_json::Map<String, Value>,
) -> String {
    let normalize = &config.doc_map.normalize;
    let body = if applies(normalize, "embedding") && !applies(normalize, "fts") {
        clean(normalize, text)
    } else {
        text.to_owned()
    };
    let mut out = String::new();
    match &config.embedding.input {
        None => {
            if !heading_path.is_empty() {
                out.push_str(heading_path);
                out.push('\n');
            }
            out.push_str(&body);
        }
        Some(input) => {
            for part in &input.concat {
                if part.chunk_body {
                    out.push_str(&body);
                } else if part.title {
                    out.push_str(title);
                } else if part.heading_path {
                    out.push_str(heading_path);
                } else if let Some(lit) = &part.lit {
                    out.push_str(lit);
                } else if let Some(column) = &part.col {
                    // Columns reach the embedding through the metadata that was picked.
                    match metadata.get(config.renamed(column)) {
                        Some(Value::String(s)) => out.push_str(&format!("{}{s}{}", part.prefix, part.suffix)),
                        Some(Value::Null) | None => {}
                        Some(other) => out.push_str(&format!("{}{other}{}", part.prefix, part.suffix)),
                    }
                }
            }
        }
    }
    if out.trim().is_empty() {
        title.clone_into(&mut out);
    }
    out.truncate(crate::ids::floor_boundary(&out, INPUT_BYTES_MAX));
    out
}

/// Fills in the vectors of all chunks for each binding: from the cache, else from the embedder.
///
/// With `on_error: defer` a failing embedder leaves chunks pending; otherwise its error comes back.
pub(crate) fn embed(
    store: &Store,
    config: &SourceConfig,
    bindings: &[Binding],
    docs: &mut [DocWrite],
    cancelled: &dyn Fn() -> bool,
) -> AiResult<EmbedCounts> {
    let mut counts = EmbedCounts::default();
    for binding in bindings {
        let mut inputs: Vec<(usize, usize, String)> = Vec::new();
        for (d, doc) in docs.iter_mut().enumerate() {
            for (c, chunk) in doc.chunks.iter_mut().enumerate() {
                let text =
                    input_text(config, &doc.title, &chunk.heading_path, &chunk.fts_text, &doc.metadata);
                chunk.input_hash = sha256(&[text.as_bytes()]);
                inputs.push((d, c, text));
            }
        }
        let mut vectors = resolve(
            store,
            binding,
            &inputs.iter().map(|(.., t)| t.as_str()).collect::<Vec<_>>(),
            cancelled,
            &mut counts,
        )?;
        for ((d, c, _), vector) in inputs.iter().zip(vectors.drain(..)) {
            docs[*d].chunks[*c].vectors.push(ChunkVector { space_id: binding.space.space_id, vector });
        }
    }
    Ok(counts)
}

type Outcome = Result<Vec<f32>, Option<String>>;

fn resolve(
    store: &Store,
    binding: &Binding,
    texts: &[&str],
    cancelled: &dyn Fn() -> bool,
    counts: &mut EmbedCounts,
) -> AiResult<Vec<Outcome>> {
    let hashes: Vec<String> = texts.iter().map(|t| sha256(&[t.as_bytes()])).collect();
    let names: Vec<&str> = hashes.iter().map(String::as_str).collect();
    let mut known = store.cached(binding.space.space_id, &names)?;
    counts.reused += hashes.iter().filter(|h| known.contains_key(*h)).count() as u64;
    let mut missing: Vec<(String, &str)> = Vec::new();
    let mut asked: HashMap<&str, ()> = HashMap::new();
    for (hash, text) in hashes.iter().zip(texts) {
        if !known.contains_key(hash) && asked.insert(hash, ()).is_none() {
            missing.push((hash.clone(), text));
        }
    }
    let mut refused: HashMap<String, Option<String>> = HashMap::new();
    for batch in missing.chunks(binding.settings.batch_size.max(1)) {
        if cancelled() {
            return Err(AiError::new(AiErrorCode::DeadlineExceeded, "the job was cancelled"));
        }
        let inputs: Vec<&str> = batch.iter().map(|(_, t)| *t).collect();
        match embed_batch(binding, &inputs) {
            Ok(vectors) => {
                for ((hash, _), vector) in batch.iter().zip(vectors) {
                    match crate::store::prepare_vector(&binding.space, vector) {
                        Ok(vector) => {
                            counts.done += 1;
                            known.insert(hash.clone(), vector);
                        }
                        Err(e) => drop(refused.insert(hash.clone(), Some(e.message))),
                    }
                }
            }
            Err(error) if binding.settings.on_error == "fail" => return Err(error),
            Err(error) => {
                let last = error.code == AiErrorCode::InvalidArgument;
                for (hash, _) in batch {
                    refused.insert(hash.clone(), last.then(|| error.message.clone()));
                }
                if !last {
                    // The embedder is away: do not knock for every batch.
                    for (hash, _) in &missing {
                        if !known.contains_key(hash) {
                            refused.entry(hash.clone()).or_insert(None);
                        }
                    }
                    break;
                }
            }
        }
    }
    Ok(hashes
        .iter()
        .map(|hash| match (known.get(hash), refused.get(hash)) {
            (Some(vector), _) => Ok(vector.clone()),
            (None, Some(Some(reason))) => {
                counts.failed += 1;
                Err(Some(reason.clone()))
            }
            (None, _) => {
                counts.pending += 1;
                Err(None)
            }
        })
        .collect())
}

/// One call of the embedder, its answer checked for count.
pub(crate) fn embed_batch(binding: &Binding, inputs: &[&str]) -> AiResult<Vec<Vec<f32>>> {
    let deadline = Deadline::after_ms(binding.settings.timeout_ms);
    let vectors = binding.embedder.embed(inputs, EmbedKind::Document, deadline)?;
    if vectors.len() != inputs.len() {
        return Err(AiError::unavailable(format!(
            "the embedder answered {} vectors for {} inputs",
            vectors.len(),
            inputs.len()
        )));
    }
    Ok(vectors)
}
