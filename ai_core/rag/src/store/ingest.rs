//! Writing documents: one transaction replaces a document with its chunks, vectors, tags, metadata and full text.

use ai_core::{AiError, AiErrorCode, AiResult};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::{Store, fts, meta, set_meta, spaces, vectors};
use crate::analyse::Analyser;
use crate::ids::now_s;
use crate::records::{DocState, DocWrite, Space, StoredKey, SyncState, WriteCounts};
use crate::sql::sql;

/// Changes that are committed together, the position of the source with them.
#[derive(Debug, Default)]
pub(crate) struct WriteBatch {
    pub(crate) docs: Vec<DocWrite>,
    pub(crate) delete_doc_pks: Vec<i64>,
    /// The source's position after this batch.
    pub(crate) state: Option<(i64, SyncState)>,
}

/// What the copies of the vector spaces must follow after the commit.
#[derive(Default)]
pub(super) struct Followed {
    pub(super) removed: Vec<i64>,
    pub(super) added: Vec<(i64, i64, i64, Vec<f32>)>,
}

impl Store {
    /// Commits a batch: all of it or nothing.
    pub(crate) fn apply(&self, batch: &WriteBatch) -> AiResult<WriteCounts> {
        let analysers = analysers(batch);
        let outside = self.external().is_some();
        let mut followed = Followed::default();
        let mut writer = self.writer();
        let tx = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(sql)?;
        let known = spaces::all(&tx)?;
        let mut work = Work { tx: &tx, known: &known, outside, followed: &mut followed, count: 0, sum: 0 };
        let mut counts = WriteCounts::default();
        for doc_pk in &batch.delete_doc_pks {
            counts.docs_deleted += u64::from(work.delete_document(*doc_pk)?);
        }
        for doc in &batch.docs {
            let analyser = analysers.iter().find(|(l, _)| *l == doc.language).map(|(_, a)| a);
            let analyser = analyser.ok_or_else(|| AiError::internal("a document has no analyser"))?;
            work.put_document(doc, analyser, &mut counts)?;
        }
        let (count, sum) = (work.count, work.sum);
        if let Some((source_id, state)) = &batch.state {
            super::sources::put_sync_state(&tx, *source_id, state)?;
        }
        add_live(&tx, count, sum)?;
        let epoch = if followed.removed.is_empty() && followed.added.is_empty() {
            None
        } else {
            Some(vectors::bump_epoch(&tx)?)
        };
        tx.commit().map_err(sql)?;
        if let Some(epoch) = epoch {
            self.follow(epoch, &followed.removed, &followed.added);
        }
        Ok(counts)
    }

    /// What is stored under these document names, whatever source they belong to.
    pub(crate) fn doc_states(
        &self,
        doc_ids: &[String],
    ) -> AiResult<std::collections::HashMap<String, DocState>> {
        let wanted = serde_json::to_string(doc_ids).map_err(|e| AiError::internal(e.to_string()))?;
        self.quick(|c| {
            let mut statement = c
                .prepare_cached(
                    "SELECT doc_id, doc_pk, source_id, content_hash, deleted, pk_json FROM rag_documents
                     WHERE doc_id IN (SELECT value FROM json_each(?1))",
                )
                .map_err(sql)?;
            let rows = statement
                .query_map([&wanted], |r| {
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
                })
                .map_err(sql)?;
            rows.collect::<rusqlite::Result<_>>().map_err(sql)
        })
    }

    /// Chunks of a source that wait for a vector of a space.
    pub(crate) fn pending_count(&self, source_id: i64, space_id: i64) -> AiResult<u64> {
        self.quick(|c| {
            c.query_row(
                "SELECT count(*) FROM rag_chunk_embedding_state WHERE source_id = ?1 AND space_id = ?2 AND status = 'pending'",
                [source_id, space_id],
                |r| r.get::<_, i64>(0),
            )
            .map(|n| n.max(0) as u64)
            .map_err(sql)
        })
    }

    /// Live keys of a source after a document key, in its order.
    pub(crate) fn stored_keys(&self, source_id: i64, after: i64, n: usize) -> AiResult<Vec<StoredKey>> {
        self.quick(|c| {
            let mut statement = c
                .prepare_cached(
                    "SELECT doc_pk, pk_json, updated_at FROM rag_documents
                     WHERE source_id = ?1 AND deleted = 0 AND doc_pk > ?2 ORDER BY doc_pk LIMIT ?3",
                )
                .map_err(sql)?;
            let rows = statement
                .query_map(params![source_id, after, n as i64], |r| {
                    Ok(StoredKey { doc_pk: r.get(0)?, pk_json: r.get(1)?, updated_at: r.get(2)? })
                })
                .map_err(sql)?;
            rows.collect::<rusqlite::Result<_>>().map_err(sql)
        })
    }
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

/// A share of the order-independent checksum over (chunk, version).
pub(super) fn mark(chunk_pk: i64, version: i64) -> i64 {
    let mut h = (chunk_pk as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (version as u64).rotate_left(32);
    h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (h ^ (h >> 33)) as i64
}

fn add_live(connection: &Connection, count: i64, sum: i64) -> AiResult<()> {
    let number =
        |key: &str| -> AiResult<i64> { Ok(meta(connection, key)?.and_then(|t| t.parse().ok()).unwrap_or(0)) };
    if count != 0 {
        set_meta(connection, "live_count", &(number("live_count")? + count).to_string())?;
    }
    if sum != 0 {
        set_meta(connection, "checksum", &number("checksum")?.wrapping_add(sum).to_string())?;
    }
    Ok(())
}

struct Work<'a> {
    tx: &'a Connection,
    known: &'a [Space],
    outside: bool,
    followed: &'a mut Followed,
    count: i64,
    sum: i64,
}

impl Work<'_> {
    fn space(&self, space_id: i64) -> AiResult<&Space> {
        self.known
            .iter()
            .find(|s| s.space_id == space_id)
            .ok_or_else(|| AiError::internal(format!("embedding space {space_id} is gone")))
    }

    fn outbox(&self, op: &str, chunk_pk: i64, version: i64) -> AiResult<()> {
        if !self.outside {
            return Ok(());
        }
        self.tx
            .prepare_cached(
                "INSERT INTO rag_outbox (op, chunk_pk, version, created_at) VALUES (?1, ?2, ?3, ?4)",
            )
            .and_then(|mut s| s.execute(params![op, chunk_pk, version, crate::ids::now_ms()]))
            .map(drop)
            .map_err(sql)
    }

    /// Removes chunks of a document with everything that hangs on them.
    fn drop_chunks(&mut self, doc_pk: i64) -> AiResult<()> {
        let chunks: Vec<(i64, i64)> = {
            let mut statement = self
                .tx
                .prepare_cached("SELECT chunk_pk, version FROM rag_chunks WHERE doc_pk = ?1")
                .map_err(sql)?;
            let rows = statement.query_map([doc_pk], |r| Ok((r.get(0)?, r.get(1)?))).map_err(sql)?;
            rows.collect::<rusqlite::Result<_>>().map_err(sql)?
        };
        for (pk, version) in chunks {
            fts::remove(self.tx, pk)?;
            self.outbox("delete", pk, version)?;
            let held: Vec<i64> = {
                let mut statement = self
                    .tx
                    .prepare_cached(
                        "SELECT space_id FROM rag_chunk_embedding_state WHERE chunk_pk = ?1 AND status = 'ok'",
                    )
                    .map_err(sql)?;
                let rows = statement.query_map([pk], |r| r.get(0)).map_err(sql)?;
                rows.collect::<rusqlite::Result<_>>().map_err(sql)?
            };
            for space_id in held {
                vectors::remove(self.tx, self.space(space_id)?, pk)?;
                self.followed.removed.push(pk);
            }
            for statement in [
                "DELETE FROM rag_chunk_embedding_state WHERE chunk_pk = ?1",
                "DELETE FROM rag_chunks WHERE chunk_pk = ?1",
            ] {
                self.tx.prepare_cached(statement).and_then(|mut s| s.execute([pk])).map_err(sql)?;
            }
            self.count -= 1;
            self.sum = self.sum.wrapping_sub(mark(pk, version));
        }
        for statement in [
            "DELETE FROM rag_document_tags WHERE doc_pk = ?1",
            "DELETE FROM rag_document_meta WHERE doc_pk = ?1",
        ] {
            self.tx.prepare_cached(statement).and_then(|mut s| s.execute([doc_pk])).map_err(sql)?;
        }
        Ok(())
    }

    /// Turns a document into a tombstone; false when it was none or one already.
    fn delete_document(&mut self, doc_pk: i64) -> AiResult<bool> {
        let changed = self
            .tx
            .prepare_cached(
                "UPDATE rag_documents SET deleted = 1, title = '', body = '', metadata_json = '{}', content_hash = '',
                 created_ms = NULL, score_num = NULL, post_type = NULL, version = version + 1, updated_at = ?2
                 WHERE doc_pk = ?1 AND deleted = 0",
            )
            .and_then(|mut s| s.execute(params![doc_pk, now_s()]))
            .map_err(sql)?;
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
        let held: Option<(i64, i64, i64, bool)> = self
            .tx
            .prepare_cached("SELECT doc_pk, source_id, version, deleted FROM rag_documents WHERE doc_id = ?1")
            .and_then(|mut s| {
                s.query_row([&doc.doc_id], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))).optional()
            })
            .map_err(sql)?;
        let now = now_s();
        let (doc_pk, version) = match held {
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
        let metadata = Value::Object(doc.metadata.clone()).to_string();
        self.tx
            .prepare_cached(
                "INSERT INTO rag_documents (doc_pk, doc_id, source_id, source_name, pk_json, title, body, metadata_json,
                   content_hash, version, created_ms, score_num, post_type, updated_at, deleted)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 0)
                 ON CONFLICT (doc_pk) DO UPDATE SET source_id = ?3, source_name = ?4, pk_json = ?5, title = ?6, body = ?7,
                   metadata_json = ?8, content_hash = ?9, version = ?10, created_ms = ?11, score_num = ?12,
                   post_type = ?13, updated_at = ?14, deleted = 0",
            )
            .and_then(|mut s| {
                s.execute(params![
                    doc_pk,
                    doc.doc_id,
                    doc.source_id,
                    doc.source_name,
                    doc.pk_json,
                    doc.title,
                    doc.body,
                    metadata,
                    doc.content_hash,
                    version,
                    doc.created_ms,
                    doc.score_num,
                    doc.post_type,
                    now
                ])
            })
            .map_err(sql)?;
        let doc_pk = doc_pk.unwrap_or_else(|| self.tx.last_insert_rowid());
        self.put_tags_and_meta(doc_pk, doc)?;
        let title_terms = analyser.terms(&doc.title);
        for (index, _) in doc.chunks.iter().enumerate() {
            self.put_chunk(doc, doc_pk, index, version, now, &title_terms, analyser)?;
            counts.chunks_written += 1;
        }
        Ok(())
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
        let fts_text = (chunk.fts_text != chunk.body).then_some(&chunk.fts_text);
        self.tx
            .prepare_cached(
                "INSERT INTO rag_chunks (chunk_id, doc_pk, doc_id, source_id, chunk_index, title, body, fts_text,
                   metadata_json, content_hash, start_char, end_char, heading_path, language, version, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
            )
            .and_then(|mut s| {
                s.execute(params![
                    format!("{}#{index}", doc.doc_id),
                    doc_pk,
                    doc.doc_id,
                    doc.source_id,
                    index as i64,
                    doc.title,
                    chunk.body,
                    fts_text,
                    Value::Object(metadata).to_string(),
                    chunk.content_hash,
                    chunk.start_char as i64,
                    chunk.end_char as i64,
                    chunk.heading_path,
                    doc.language,
                    version,
                    now
                ])
            })
            .map_err(sql)?;
        let pk = self.tx.last_insert_rowid();
        fts::add(self.tx, pk, title_terms, &analyser.terms(&chunk.fts_text))?;
        self.outbox("upsert", pk, version)?;
        self.count += 1;
        self.sum = self.sum.wrapping_add(mark(pk, version));
        for made in &chunk.vectors {
            let space = self.space(made.space_id)?.clone();
            let stored = match &made.vector {
                Ok(vector) => {
                    vectors::put(self.tx, &space, pk, doc.source_id, vector).map_err(|e| Some(e.message))
                }
                Err(reason) => Err(reason.clone()),
            };
            let (status, error) = match stored {
                Ok(()) => ("ok", None),
                Err(None) => ("pending", None),
                Err(Some(reason)) => ("error", Some(reason)),
            };
            if let (Ok(vector), "ok") = (&made.vector, status) {
                self.followed.added.push((space.space_id, pk, doc.source_id, vector.clone()));
                spaces::cache_vector(self.tx, space.space_id, &chunk.input_hash, vector)?;
            }
            spaces::put_state(
                self.tx,
                pk,
                space.space_id,
                doc.source_id,
                &chunk.input_hash,
                status,
                error.as_deref(),
            )?;
        }
        Ok(())
    }

    fn put_tags_and_meta(&self, doc_pk: i64, doc: &DocWrite) -> AiResult<()> {
        let mut tag_row = self
            .tx
            .prepare_cached("INSERT OR IGNORE INTO rag_document_tags (doc_pk, tag) VALUES (?1, ?2)")
            .map_err(sql)?;
        for tag in &doc.tags {
            tag_row.execute(params![doc_pk, tag]).map_err(sql)?;
        }
        let mut meta_row = self
            .tx
            .prepare_cached(
                "INSERT INTO rag_document_meta (doc_pk, key, num, text, ts_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .map_err(sql)?;
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
                meta_row.execute(params![doc_pk, key, num, text, ts]).map_err(sql)?;
            }
        }
        Ok(())
    }
}

/// The highest document key.
pub(crate) fn last_doc_pk(connection: &Connection) -> AiResult<i64> {
    connection.query_row("SELECT coalesce(max(doc_pk), 0) FROM rag_documents", [], |r| r.get(0)).map_err(sql)
}
