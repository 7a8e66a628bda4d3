//! Writing documents: one transaction replaces a document with its chunks, vectors, tags, metadata and full text.

use ai_core::{AiError, AiErrorCode, AiResult, check_vector, entry_mark};
use serde_json::Value;

use super::{Store, meta, set_meta, spaces, vectors};
use crate::analyse::Analyser;
use crate::database::{Session, SqlFamily, VectorSpace, bind};
use crate::ids::now_s;
use crate::records::{DocState, DocWrite, Space, StoredKey, SyncState, WriteCounts};

/// Changes that are committed together, the position of the source with them.
#[derive(Debug, Default)]
pub(crate) struct WriteBatch {
    pub(crate) docs: Vec<DocWrite>,
    pub(crate) delete_doc_pks: Vec<i64>,
    /// The source's position after this batch.
    pub(crate) state: Option<(i64, SyncState)>,
    /// The source and the job that must still own it.
    pub(crate) lease: Option<(i64, String)>,
}

/// What the copies of the vector spaces must follow after the commit.
#[derive(Default)]
pub(super) struct Followed {
    /// The epoch that the commit made, if vectors changed.
    pub(super) epoch: Option<u64>,
    pub(super) removed: Vec<i64>,
    pub(super) added: Vec<(i64, i64, i64, Vec<f32>)>,
}

impl Store {
    /// Commits a batch: all of it or nothing.
    pub(crate) fn apply(&self, batch: &WriteBatch) -> AiResult<WriteCounts> {
        let analysers = analysers(batch);
        let outside = self.shared() || self.external().is_some();
        let write = |c: &dyn Session| apply(c, batch, &analysers, outside);
        let done = self.write_then(write, |(_, followed)| self.follow(followed))?;
        Ok(done.0)
    }

    /// What is stored under these document names, whatever source they belong to.
    pub(crate) fn doc_states(
        &self,
        doc_ids: &[String],
    ) -> AiResult<std::collections::HashMap<String, DocState>> {
        self.quick(|c| {
            let rows = c.all(
                "SELECT doc_id, doc_pk, source_id, content_hash, deleted, pk_json FROM rag_documents
                 WHERE doc_id {list:1}",
                bind![doc_ids],
                |r| {
                    Ok((
                        r.get(0)?,
                        DocState {
                            doc_pk: r.get(1)?,
                            source_id: r.get(2)?,
                            content_hash: r.get(3)?,
                            deleted: r.get(4)?,
                            pk_json: r.get(5)?,
                        },
                    ))
                },
            )?;
            Ok(rows.into_iter().collect())
        })
    }

    /// Chunks of a source that wait for a vector of a space.
    pub(crate) fn pending_count(&self, source_id: i64, space_id: i64) -> AiResult<u64> {
        self.quick(|c| {
            c.cell::<i64>(
                "SELECT count(*) FROM rag_chunk_embedding_state
                 WHERE source_id = ?1 AND space_id = ?2 AND status = 'pending'",
                bind![source_id, space_id],
            )
            .map(|n| n.max(0) as u64)
        })
    }

    /// Live keys of a source after a document key, in its order.
    pub(crate) fn stored_keys(&self, source_id: i64, after: i64, n: usize) -> AiResult<Vec<StoredKey>> {
        self.quick(|c| {
            c.all(
                "SELECT doc_pk, pk_json, updated_at FROM rag_documents
                 WHERE source_id = ?1 AND deleted = 0 AND doc_pk > ?2 ORDER BY doc_pk LIMIT ?3",
                bind![source_id, after, n],
                |r| Ok(StoredKey { doc_pk: r.get(0)?, pk_json: r.get(1)?, updated_at: r.get(2)? }),
            )
        })
    }
}

fn apply(
    c: &dyn Session,
    batch: &WriteBatch,
    analysers: &[(String, Analyser)],
    outside: bool,
) -> AiResult<(WriteCounts, Followed)> {
    if let Some((source_id, job_id)) = &batch.lease {
        super::leases::check(c, *source_id, job_id)?;
    }
    let known = spaces::all(c)?;
    let mut work = Work {
        c,
        known: &known,
        outside,
        followed: Followed::default(),
        count: 0,
        sum: 0,
        last_seq: None,
        vectors: Vec::new(),
    };
    let mut counts = WriteCounts::default();
    for doc_pk in &batch.delete_doc_pks {
        counts.docs_deleted += u64::from(work.delete_document(*doc_pk)?);
    }
    for doc in &batch.docs {
        let analyser = analysers.iter().find(|(l, _)| *l == doc.language).map(|(_, a)| a);
        let analyser = analyser.ok_or_else(|| AiError::internal("a document has no analyser"))?;
        work.put_document(doc, analyser, &mut counts)?;
    }
    work.flush_vectors()?;
    if let Some((source_id, state)) = &batch.state {
        super::sources::put_sync_state(c, *source_id, state)?;
    }
    add_live(c, work.count, work.sum)?;
    if let Some(seq) = work.last_seq {
        set_meta(c, "outbox_seq", &seq.to_string())?;
    }
    let mut followed = work.followed;
    if !followed.removed.is_empty() || !followed.added.is_empty() {
        followed.epoch = Some(vectors::bump_epoch(c)?);
    }
    Ok((counts, followed))
}

fn analysers(batch: &WriteBatch) -> Vec<(String, Analyser)> {
    let mut out: Vec<(String, Analyser)> = Vec::new();
    for doc in &batch.docs {
        if !out.iter().any(|(l, _)| *l == doc.language) {
            out.push((doc.language.clone(), Analyser::new(&doc.language)));
        }
    }
    out
}

fn add_live(c: &dyn Session, count: i64, sum: i64) -> AiResult<()> {
    let number = |key: &str| -> AiResult<i64> { Ok(meta(c, key)?.and_then(|t| t.parse().ok()).unwrap_or(0)) };
    if count != 0 {
        set_meta(c, "live_count", &(number("live_count")? + count).to_string())?;
    }
    if sum != 0 {
        set_meta(c, "checksum", &number("checksum")?.wrapping_add(sum).to_string())?;
    }
    Ok(())
}

/// Vectors that wait to be written together.
const VECTORS_MAX: usize = 256;

struct Work<'a> {
    c: &'a dyn Session,
    known: &'a [Space],
    outside: bool,
    followed: Followed,
    count: i64,
    sum: i64,
    last_seq: Option<i64>,
    /// Vectors of new chunks, not yet written: (space, chunk, source, vector).
    vectors: Vec<(VectorSpace, i64, i64, Vec<f32>)>,
}

impl Work<'_> {
    fn space(&self, space_id: i64) -> AiResult<&Space> {
        self.known
            .iter()
            .find(|s| s.space_id == space_id)
            .ok_or_else(|| AiError::internal(format!("embedding space {space_id} is gone")))
    }

    fn outbox(&mut self, op: &str, chunk_pk: i64, version: i64) -> AiResult<()> {
        if !self.outside {
            return Ok(());
        }
        let values = bind![op, chunk_pk, version, crate::ids::now_ms()];
        let text = "INSERT INTO rag_outbox (op, chunk_pk, version, created_at) VALUES (?1, ?2, ?3, ?4)";
        match self.c.family() {
            SqlFamily::Sqlite => self.c.execute(text, values).map(drop),
            SqlFamily::Postgres => {
                self.last_seq = Some(self.c.cell(&format!("{text} RETURNING seq"), values)?);
                Ok(())
            }
        }
    }

    fn flush_vectors(&mut self) -> AiResult<()> {
        let waiting = std::mem::take(&mut self.vectors);
        for space in self.known {
            let items: Vec<(i64, i64, &[f32])> = waiting
                .iter()
                .filter(|(s, ..)| s.space_id == space.space_id)
                .map(|(_, pk, source, vector)| (*pk, *source, vector.as_slice()))
                .collect();
            if !items.is_empty() {
                self.c.put_vectors(&space.vectors(), &items)?;
            }
        }
        Ok(())
    }

    /// Removes chunks of a document with everything that hangs on them.
    fn drop_chunks(&mut self, doc_pk: i64) -> AiResult<()> {
        self.flush_vectors()?;
        let chunks: Vec<(i64, i64)> =
            self.c.all("SELECT chunk_pk, version FROM rag_chunks WHERE doc_pk = ?1", bind![doc_pk], |r| {
                Ok((r.get(0)?, r.get(1)?))
            })?;
        if !chunks.is_empty() {
            let pks: Vec<i64> = chunks.iter().map(|(pk, _)| *pk).collect();
            if let Some(words) = self.c.words() {
                pks.iter().try_for_each(|pk| words.remove(*pk))?;
            }
            for (pk, version) in &chunks {
                self.outbox("delete", *pk, *version)?;
                self.count -= 1;
                self.sum = self.sum.wrapping_sub(entry_mark(*pk, *version));
            }
            let held: Vec<(i64, i64)> = self.c.all(
                "SELECT space_id, chunk_pk FROM rag_chunk_embedding_state WHERE chunk_pk {list:1} AND status = 'ok'",
                bind![pks.as_slice()],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )?;
            for space in self.known {
                let own: Vec<i64> =
                    held.iter().filter(|(s, _)| *s == space.space_id).map(|(_, pk)| *pk).collect();
                if !own.is_empty() {
                    self.c.remove_vectors(&space.vectors(), &own)?;
                    self.followed.removed.extend(own);
                }
            }
            for statement in [
                "DELETE FROM rag_chunk_embedding_state WHERE chunk_pk {list:1}",
                "DELETE FROM rag_chunks WHERE chunk_pk {list:1}",
            ] {
                self.c.execute(statement, bind![pks.as_slice()])?;
            }
        }
        for statement in [
            "DELETE FROM rag_document_tags WHERE doc_pk = ?1",
            "DELETE FROM rag_document_meta WHERE doc_pk = ?1",
        ] {
            self.c.execute(statement, bind![doc_pk])?;
        }
        Ok(())
    }

    /// Turns a document into a tombstone; false when it was none or one already.
    fn delete_document(&mut self, doc_pk: i64) -> AiResult<bool> {
        let changed = self.c.execute(
            "UPDATE rag_documents SET deleted = 1, title = '', body = '', metadata_json = '{}', content_hash = '',
             created_ms = NULL, score_num = NULL, post_type = NULL, version = version + 1, updated_at = ?2
             WHERE doc_pk = ?1 AND deleted = 0",
            bind![doc_pk, now_s()],
        )?;
        if changed == 0 {
            return Ok(false);
        }
        self.drop_chunks(doc_pk)?;
        Ok(true)
    }

    fn put_document(
        &mut self,
        doc: &DocWrite,
        analyser: &Analyser,
        counts: &mut WriteCounts,
    ) -> AiResult<()> {
        let held: Option<(i64, i64, i64, bool)> = self.c.first(
            "SELECT doc_pk, source_id, version, deleted FROM rag_documents WHERE doc_id = ?1",
            bind![&doc.doc_id],
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)),
        )?;
        let now = now_s();
        let (held_pk, version) = match held {
            Some((_, owner, _, false)) if owner != doc.source_id => {
                return Err(AiError::new(
                    AiErrorCode::Conflict,
                    format!("document {:?} belongs to another source; give its ids a prefix", doc.doc_id),
                ));
            }
            Some((pk, _, version, deleted)) => {
                self.drop_chunks(pk)?;
                if deleted {
                    counts.docs_new += 1;
                } else {
                    counts.docs_changed += 1;
                }
                (Some(pk), version + 1)
            }
            None => {
                counts.docs_new += 1;
                (None, 1)
            }
        };
        let doc_pk = self.put_row(doc, held_pk, version, now)?;
        self.put_tags_and_meta(doc_pk, doc)?;
        let title_terms = if self.c.words().is_some() { analyser.terms(&doc.title) } else { Vec::new() };
        for (index, _) in doc.chunks.iter().enumerate() {
            self.put_chunk(doc, doc_pk, index, version, now, &title_terms, analyser)?;
            counts.chunks_written += 1;
        }
        Ok(())
    }

    /// Writes the document's own row; gives its key.
    fn put_row(&self, doc: &DocWrite, held: Option<i64>, version: i64, now: i64) -> AiResult<i64> {
        let metadata = Value::Object(doc.metadata.clone()).to_string();
        let values = bind![
            &doc.doc_id,
            doc.source_id,
            &doc.source_name,
            &doc.pk_json,
            &doc.title,
            &doc.body,
            metadata,
            &doc.content_hash,
            version,
            doc.created_ms,
            doc.score_num,
            doc.post_type,
            now
        ];
        if let Some(pk) = held {
            // The name is the key by which the row was found; it stays.
            self.c.execute(
                "UPDATE rag_documents SET source_id = ?2, source_name = ?3, pk_json = ?4, title = ?5, body = ?6,
                   metadata_json = ?7, content_hash = ?8, version = ?9, created_ms = ?10, score_num = ?11,
                   post_type = ?12, updated_at = ?13, deleted = 0 WHERE doc_id = ?1",
                values,
            )?;
            return Ok(pk);
        }
        self.c.cell(
            "INSERT INTO rag_documents (doc_id, source_id, source_name, pk_json, title, body, metadata_json,
               content_hash, version, created_ms, score_num, post_type, updated_at, deleted)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 0) RETURNING doc_pk",
            values,
        )
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "all of it describes one row; a struct would only rename it"
    )]
    fn put_chunk(
        &mut self,
        doc: &DocWrite,
        doc_pk: i64,
        index: usize,
        version: i64,
        now: i64,
        title_terms: &[String],
        analyser: &Analyser,
    ) -> AiResult<()> {
        let chunk = &doc.chunks[index];
        let mut metadata = serde_json::Map::new();
        metadata.insert("chunk_index".to_owned(), index.into());
        if !chunk.heading_path.is_empty() {
            metadata.insert("heading_path".to_owned(), chunk.heading_path.clone().into());
        }
        let fts_text = (chunk.fts_text != chunk.body).then_some(chunk.fts_text.as_str());
        let pk: i64 = self.c.cell(
            "INSERT INTO rag_chunks (chunk_id, doc_pk, doc_id, source_id, chunk_index, title, body, fts_text,
               metadata_json, content_hash, start_char, end_char, heading_path, language, version, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) RETURNING chunk_pk",
            bind![
                format!("{}#{index}", doc.doc_id),
                doc_pk,
                &doc.doc_id,
                doc.source_id,
                index,
                &doc.title,
                &chunk.body,
                fts_text,
                Value::Object(metadata).to_string(),
                &chunk.content_hash,
                chunk.start_char,
                chunk.end_char,
                &chunk.heading_path,
                &doc.language,
                version,
                now
            ],
        )?;
        if let Some(words) = self.c.words() {
            words.add(pk, title_terms, &analyser.terms(&chunk.fts_text))?;
        }
        self.outbox("upsert", pk, version)?;
        self.count += 1;
        self.sum = self.sum.wrapping_add(entry_mark(pk, version));
        for made in &chunk.vectors {
            let space = self.space(made.space_id)?.clone();
            let checked = match &made.vector {
                Ok(vector) => check_vector(vector, space.dim).map(|()| vector).map_err(|e| Some(e.message)),
                Err(reason) => Err(reason.clone()),
            };
            let (status, error) = match &checked {
                Ok(_) => ("ok", None),
                Err(None) => ("pending", None),
                Err(Some(reason)) => ("error", Some(reason.as_str())),
            };
            let hash = &chunk.input_hash;
            spaces::put_state(self.c, pk, space.space_id, doc.source_id, hash, status, error)?;
            if let Ok(vector) = checked {
                spaces::cache_vector(self.c, space.space_id, hash, vector)?;
                self.followed.added.push((space.space_id, pk, doc.source_id, vector.clone()));
                self.vectors.push((space.vectors(), pk, doc.source_id, vector.clone()));
            }
        }
        if self.vectors.len() >= VECTORS_MAX { self.flush_vectors() } else { Ok(()) }
    }

    fn put_tags_and_meta(&self, doc_pk: i64, doc: &DocWrite) -> AiResult<()> {
        for tag in &doc.tags {
            self.c.execute(
                "INSERT INTO rag_document_tags (doc_pk, tag) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                bind![doc_pk, tag],
            )?;
        }
        for (key, value) in &doc.metadata {
            let items = match value {
                Value::Array(items) => items.iter().collect(),
                other => vec![other],
            };
            for item in items.into_iter().take(256) {
                let (num, text) = match item {
                    Value::Number(n) => (n.as_f64(), Some(n.to_string())),
                    Value::Bool(b) => (Some(f64::from(u8::from(*b))), Some(b.to_string())),
                    Value::String(s) => {
                        (s.trim().parse::<f64>().ok().filter(|n| n.is_finite()), Some(s.clone()))
                    }
                    Value::Null => continue,
                    other => (None, Some(other.to_string())),
                };
                let ts = text.as_deref().and_then(crate::times::parse_ms);
                self.c.execute(
                    "INSERT INTO rag_document_meta (doc_pk, key, num, text, ts_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                    bind![doc_pk, key, num, text, ts],
                )?;
            }
        }
        Ok(())
    }
}

/// The highest document key.
pub(crate) fn last_doc_pk(c: &dyn Session) -> AiResult<i64> {
    c.cell("SELECT coalesce(max(doc_pk), 0) FROM rag_documents", &[])
}
