//! Reading chunks and documents by name, and their rows from the sources; it searches nothing.

mod forms;

use std::collections::HashMap;
use std::time::Instant;

use ai_core::{AiError, AiErrorCode, AiResult, Deadline, RowKey};
use serde_json::{Map, Value, json};

use crate::admin::CallStats;
use crate::catalogue::{Catalogue, RagCaller, Right};
use crate::config::SourceConfig;
use crate::database::Session;
use crate::engine::Rag;
use crate::map;
use crate::records::ChunkRow;
use crate::store;
use crate::sync;

pub use forms::{
    ChunkContext, ChunkItem, ChunkReturn, ChunksResponse, DocItem, DocReturn, DocsResponse, FetchFromSource,
    FetchLimits, FetchResponse, FetchedRow, GetChunks, GetDocs, Neighbour, RowFault,
};

/// Neighbours on each side at most.
const CONTEXT_MAX: usize = 3;

/// Ids within the cap, and those beyond it.
fn within<'a>(argument: &str, ids: &'a [String], ids_max: usize) -> AiResult<(&'a [String], Vec<String>)> {
    if ids.is_empty() {
        return Err(AiError::invalid(format!("{argument} is empty")).with("argument", argument));
    }
    let (served, rest) = ids.split_at(ids.len().min(ids_max));
    Ok((served, rest.to_vec()))
}

/// Cuts a body to `bytes` at a character.
fn cut(body: &mut String, bytes: usize) {
    body.truncate(crate::ids::floor_boundary(body, bytes));
}

impl Rag {
    /// Chunks by name, with neighbours if asked for.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an empty list or too much context.
    pub fn get_chunks(&self, caller: &RagCaller, request: &GetChunks) -> AiResult<ChunksResponse> {
        let started = Instant::now();
        let limits = self.inner.limits();
        let (ids, omitted) = within("chunk_ids", &request.chunk_ids, limits.ids_max)?;
        if request.context.before > CONTEXT_MAX || request.context.after > CONTEXT_MAX {
            return Err(AiError::invalid(format!("context takes at most {CONTEXT_MAX} chunks on each side"))
                .with("argument", "context"));
        }
        let mut out = ChunksResponse { truncated: !omitted.is_empty(), omitted, ..ChunksResponse::default() };
        let mut left = limits.get_bytes_max;
        self.inner.store.read(Deadline::after_ms(limits.timeout_ms), |c| {
            let catalogue = Catalogue::read(c)?;
            let open: Vec<i64> = catalogue.searchable(caller).iter().map(|s| s.source_id).collect();
            for (at, id) in ids.iter().enumerate() {
                let Some(row) = store::chunk_by_id(c, id)?.filter(|r| open.contains(&r.source_id)) else {
                    out.not_found.push(id.clone());
                    continue;
                };
                let (before, after) = context(c, &row, &request.context)?;
                let around: usize = before.iter().chain(&after).map(|n| n.body.len()).sum();
                let mut item = item_of(row, &request.returns);
                if item.body.len() + around > left {
                    if !out.chunks.is_empty() || at + 1 < ids.len() && left < limits.get_bytes_max {
                        out.omitted.splice(0..0, ids[at..].iter().cloned());
                        out.truncated = true;
                        break;
                    }
                    cut(&mut item.body, left);
                    item.body_truncated = true;
                    out.truncated = true;
                    left = 0;
                } else {
                    left -= item.body.len() + around;
                    (item.context_before, item.context_after) = (before, after);
                }
                out.chunks.push(item);
            }
            Ok(())
        })?;
        out.stats = CallStats::since(started);
        Ok(out)
    }

    /// Documents by name.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an empty list.
    pub fn get_docs(&self, caller: &RagCaller, request: &GetDocs) -> AiResult<DocsResponse> {
        let started = Instant::now();
        let limits = self.inner.limits();
        let (ids, omitted) = within("doc_ids", &request.doc_ids, limits.ids_max)?;
        let mut out = DocsResponse { truncated: !omitted.is_empty(), omitted, ..DocsResponse::default() };
        let mut left = limits.get_bytes_max;
        self.inner.store.read(Deadline::after_ms(limits.timeout_ms), |c| {
            let catalogue = Catalogue::read(c)?;
            let open: Vec<i64> = catalogue.searchable(caller).iter().map(|s| s.source_id).collect();
            for (at, id) in ids.iter().enumerate() {
                let Some(row) = store::doc_by_id(c, id)?.filter(|r| open.contains(&r.source_id)) else {
                    out.not_found.push(id.clone());
                    continue;
                };
                let mut item = DocItem {
                    doc_id: row.doc_id,
                    source_id: row.source_id,
                    source_name: row.source_name,
                    pk_json: row.pk_json,
                    title: row.title,
                    body: request.returns.include_body.then_some(row.body),
                    metadata: request.returns.include_metadata.then_some(row.metadata),
                    updated_at: row.updated_at,
                    body_truncated: false,
                };
                let size = item.body.as_ref().map_or(0, String::len);
                if size > left {
                    if !out.docs.is_empty() {
                        out.omitted.splice(0..0, ids[at..].iter().cloned());
                        out.truncated = true;
                        break;
                    }
                    if let Some(body) = &mut item.body {
                        cut(body, left);
                    }
                    item.body_truncated = true;
                    out.truncated = true;
                }
                left = left.saturating_sub(size);
                out.docs.push(item);
            }
            Ok(())
        })?;
        out.stats = CallStats::since(started);
        Ok(out)
    }

    /// The rows behind documents, read from their sources now: one statement for each source.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an empty list or a bound below 1. A source that fails fails its own rows only.
    pub fn fetch_from_source(
        &self,
        caller: &RagCaller,
        request: &FetchFromSource,
    ) -> AiResult<FetchResponse> {
        let started = Instant::now();
        let limits = self.inner.limits();
        if request.limits.max_rows < 1 || request.limits.max_bytes < 1 {
            return Err(AiError::invalid("limits.max_rows and limits.max_bytes must be at least 1")
                .with("argument", "limits"));
        }
        let rows_max = request.limits.max_rows.min(limits.fetch_rows_max);
        let mut bytes_left = request.limits.max_bytes.min(limits.fetch_bytes_max);
        let (ids, omitted) = within("doc_ids", &request.doc_ids, limits.ids_max)?;
        let mut out = FetchResponse { truncated: !omitted.is_empty(), omitted, ..FetchResponse::default() };
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut configs: HashMap<i64, SourceConfig> = HashMap::new();
        self.inner.store.read(Deadline::after_ms(limits.timeout_ms), |c| {
            let catalogue = Catalogue::read(c)?;
            for (at, id) in ids.iter().enumerate() {
                let found = store::doc_by_id(c, id)?.and_then(|doc| {
                    let source =
                        catalogue.searchable(caller).into_iter().find(|s| s.source_id == doc.source_id)?;
                    Some((doc, source))
                });
                let Some((doc, source)) = found else {
                    out.not_found.push(id.clone());
                    continue;
                };
                if wanted.len() >= rows_max {
                    out.omitted.splice(0..0, ids[at..].iter().cloned());
                    out.truncated = true;
                    break;
                }
                let config = source.config.clone()?;
                let fault = (!catalogue.permits(source, caller, Right::Fetch)).then(|| {
                    AiError::new(
                        AiErrorCode::PermissionDenied,
                        format!("rows of source {:?} may not be fetched", source.name),
                    )
                });
                wanted.push(Wanted {
                    doc_id: doc.doc_id,
                    source_id: doc.source_id,
                    pk_json: doc.pk_json.to_string(),
                    outcome: fault.map(Err),
                });
                configs.entry(source.source_id).or_insert(config);
            }
            Ok(())
        })?;
        let mut queries = 0;
        for (source_id, config) in &configs {
            queries +=
                self.fetch_source(*source_id, (config, &caller.name), request, &mut wanted, bytes_left)?;
        }
        for item in wanted {
            let config = &configs[&item.source_id];
            let mut row = FetchedRow {
                doc_id: item.doc_id,
                source_id: item.source_id,
                source_name: config.name.clone(),
                backend_type: config.backend_type.clone(),
                ..FetchedRow::default()
            };
            match item.outcome {
                Some(Ok(value)) => {
                    let size = value.to_string().len();
                    if size > bytes_left {
                        out.truncated = true;
                        out.omitted.push(row.doc_id);
                        continue;
                    }
                    bytes_left -= size;
                    row.row = Some(value);
                }
                Some(Err(e)) => {
                    row.error = Some(RowFault { code: e.code.as_str().to_owned(), message: e.message })
                }
                None => {
                    let code = AiErrorCode::NotFound.as_str().to_owned();
                    row.error =
                        Some(RowFault { code, message: "the row is gone from its source".to_owned() });
                }
            }
            out.rows.push(row);
        }
        out.stats = CallStats { queries: Some(queries), ..CallStats::since(started) };
        Ok(out)
    }

    /// Reads the wanted rows of one source; its failure becomes the outcome of its rows. Returns statements sent.
    fn fetch_source(
        &self,
        source_id: i64,
        (config, caller): (&SourceConfig, &str),
        request: &FetchFromSource,
        wanted: &mut [Wanted],
        bytes_max: usize,
    ) -> AiResult<u64> {
        let keys = config.key_columns()?;
        let mut own: Vec<&mut Wanted> =
            wanted.iter_mut().filter(|w| w.source_id == source_id && w.outcome.is_none()).collect();
        if own.is_empty() {
            return Ok(0);
        }
        let mut sent = 0;
        let mut read = || -> AiResult<Vec<(RowKey, Value)>> {
            let columns = fetch_columns(config, &request.columns)?;
            let rows = sync::open_rows(&self.inner, config, Some(caller))?;
            let columns = match columns {
                Some(columns) => columns,
                None => rows.columns()?.into_iter().map(|c| c.name).collect(),
            };
            let wanted_keys =
                own.iter().map(|w| map::key_of(&w.pk_json, &keys)).collect::<AiResult<Vec<_>>>()?;
            sent = 1;
            let deadline = Deadline::after_ms(self.inner.limits().timeout_ms);
            let found = rows.by_keys(&wanted_keys, &columns, bytes_max, deadline)?;
            let rows = found
                .into_iter()
                .map(|r| {
                    let object: Map<String, Value> =
                        columns.iter().cloned().zip(r.values.iter().map(map::json_of)).collect();
                    (r.key, Value::Object(object))
                })
                .collect();
            Ok(rows)
        };
        match read() {
            Err(error) => own.iter_mut().for_each(|w| w.outcome = Some(Err(error.clone()))),
            Ok(rows) => {
                let name = |key: &RowKey| {
                    let object: Map<String, Value> =
                        keys.iter().cloned().zip(key.iter().map(map::json_of)).collect();
                    json!(object)
                };
                for item in own {
                    let pk: Value = serde_json::from_str(&item.pk_json).unwrap_or_default();
                    let mut found = rows.iter().filter(|(key, _)| name(key) == pk);
                    item.outcome = match (found.next(), found.next()) {
                        (Some((_, row)), None) => Some(Ok(row.clone())),
                        (Some(_), Some(_)) => Some(Err(AiError::new(
                            AiErrorCode::Conflict,
                            "the key matches more than one row of the source",
                        ))),
                        _ => None,
                    };
                }
            }
        }
        Ok(sent)
    }
}

struct Wanted {
    doc_id: String,
    source_id: i64,
    pk_json: String,
    outcome: Option<AiResult<Value>>,
}

/// The columns to fetch, `None` for all; one outside the allowed list is refused before anything is sent.
fn fetch_columns(config: &SourceConfig, asked: &[String]) -> AiResult<Option<Vec<String>>> {
    let allowed: Vec<String> = match &config.fetch_columns {
        Some(list) if list.iter().any(|c| c == "*") => {
            return Ok((!asked.is_empty()).then(|| asked.to_vec()));
        }
        Some(list) => list.clone(),
        None => map::Mapper::new(config)?.columns().to_vec(),
    };
    if asked.is_empty() {
        return Ok(Some(allowed));
    }
    match asked.iter().find(|c| !allowed.contains(c)) {
        Some(column) => Err(AiError::new(
            AiErrorCode::PermissionDenied,
            format!("column {column:?} of source {:?} may not be fetched", config.name),
        )),
        None => Ok(Some(asked.to_vec())),
    }
}

fn item_of(row: ChunkRow, returns: &ChunkReturn) -> ChunkItem {
    ChunkItem {
        chunk_id: row.chunk_id,
        doc_id: row.doc_id,
        source_id: row.source_id,
        source_name: row.source_name,
        title: returns.include_title.then_some(row.title),
        body: row.body,
        doc_metadata: returns.include_doc_metadata.then_some(row.doc_metadata),
        chunk_metadata: returns.include_chunk_metadata.then_some(row.chunk_metadata),
        ..ChunkItem::default()
    }
}

/// The chunks around one, each without what it shares with its neighbour on the inner side.
fn context(
    c: &dyn Session,
    row: &ChunkRow,
    wanted: &ChunkContext,
) -> AiResult<(Vec<Neighbour>, Vec<Neighbour>)> {
    if wanted.before == 0 && wanted.after == 0 {
        return Ok((Vec::new(), Vec::new()));
    }
    let from = row.chunk_index - wanted.before as i64;
    let to = row.chunk_index + wanted.after as i64;
    let around = store::chunks_around(c, row.doc_pk, from, to)?;
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for pair in around.windows(2) {
        let (left, right) = (&pair[0], &pair[1]);
        let shared = usize::try_from(left.end_char - right.start_char).unwrap_or(0);
        if right.chunk_index <= row.chunk_index {
            let keep = left.body.chars().count().saturating_sub(shared);
            before.push(Neighbour {
                chunk_id: left.chunk_id.clone(),
                body: left.body.chars().take(keep).collect(),
            });
        } else {
            after.push(Neighbour {
                chunk_id: right.chunk_id.clone(),
                body: right.body.chars().skip(shared).collect(),
            });
        }
    }
    Ok((before, after))
}
