//! Embedding spaces, which source uses which, and what each chunk's vector waits for; it knows no model.

use std::collections::HashMap;

use ai_core::{AiError, AiErrorCode, AiResult, EmbedderInfo, Metric};
use rusqlite::{Connection, params};

use super::ingest::Followed;
use super::{Store, vectors};
use crate::ids::{now_ms, now_s};
use crate::records::{Space, SpaceRole};
use crate::sql::{optional, sql};

/// Cached vectors of one space; the least recently used go first.
const CACHE_ROWS_MAX: i64 = 50_000;

/// Attempts after which a chunk that cannot be embedded is given up.
pub(crate) const EMBED_ATTEMPTS_MAX: i64 = 5;

/// A chunk that waits for its vector.
#[derive(Debug, Clone)]
pub(crate) struct PendingChunk {
    pub(crate) chunk_pk: i64,
    pub(crate) source_id: i64,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) heading_path: String,
    pub(crate) metadata: serde_json::Value,
}

/// The outcome for a chunk that waited.
#[derive(Debug, Clone)]
pub(crate) struct EmbeddedChunk {
    pub(crate) chunk_pk: i64,
    pub(crate) source_id: i64,
    pub(crate) input_hash: String,
    /// A vector, or the reason and whether it is final.
    pub(crate) outcome: Result<Vec<f32>, (String, bool)>,
}

const COLUMNS: &str = "space_id, provider, model, revision, dim, metric, normalize, lexical";

fn space(row: &rusqlite::Row<'_>) -> rusqlite::Result<Space> {
    let metric: String = row.get(5)?;
    Ok(Space {
        space_id: row.get(0)?,
        provider: row.get(1)?,
        model: row.get(2)?,
        revision: row.get(3)?,
        dim: row.get::<_, i64>(4)?.max(0) as usize,
        metric: Metric::parse(&metric).unwrap_or_default(),
        normalize: row.get(6)?,
        lexical: row.get(7)?,
    })
}

/// All spaces of the store.
pub(crate) fn all(connection: &Connection) -> AiResult<Vec<Space>> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM rag_vec_spaces ORDER BY space_id"))
        .map_err(sql)?;
    let rows = statement.query_map([], space).map_err(sql)?;
    rows.collect::<rusqlite::Result<_>>().map_err(sql)
}

/// The spaces of every source with their role: (source, space, active).
pub(crate) fn roles(connection: &Connection) -> AiResult<Vec<(i64, i64, bool)>> {
    let mut statement = connection
        .prepare_cached("SELECT source_id, space_id, role = 'active' FROM rag_source_spaces ORDER BY 1, 2")
        .map_err(sql)?;
    let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).map_err(sql)?;
    rows.collect::<rusqlite::Result<_>>().map_err(sql)
}

pub(super) fn put_state(
    connection: &Connection,
    chunk_pk: i64,
    space_id: i64,
    source_id: i64,
    input_hash: &str,
    status: &str,
    error: Option<&str>,
) -> AiResult<()> {
    connection
        .prepare_cached(
            "INSERT INTO rag_chunk_embedding_state
               (chunk_pk, space_id, source_id, input_hash, status, attempts, last_error, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?8, ?6, ?7)
             ON CONFLICT (chunk_pk, space_id) DO UPDATE SET input_hash = ?4, status = ?5, last_error = ?6,
               updated_at = ?7, attempts = attempts + ?8",
        )
        .and_then(|mut s| {
            let tried = i64::from(error.is_some());
            s.execute(params![chunk_pk, space_id, source_id, input_hash, status, error, now_s(), tried])
        })
        .map(drop)
        .map_err(sql)
}

pub(super) fn cache_vector(
    connection: &Connection,
    space_id: i64,
    input_hash: &str,
    vector: &[f32],
) -> AiResult<()> {
    connection
        .prepare_cached(
            "INSERT INTO rag_embed_cache (space_id, input_hash, vector, last_used) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (space_id, input_hash) DO UPDATE SET last_used = ?4",
        )
        .and_then(|mut s| s.execute(params![space_id, input_hash, vectors::to_blob(vector), now_ms()]))
        .map(drop)
        .map_err(sql)
}

impl Store {
    /// The space for these vectors, created with its table when it is new.
    pub(crate) fn space_for(&self, info: &EmbedderInfo, metric: Metric, normalize: bool) -> AiResult<Space> {
        self.write(|c| {
            c.execute(
                "INSERT OR IGNORE INTO rag_vec_spaces (provider, model, revision, dim, metric, normalize, lexical)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![info.provider, info.model, info.revision, info.dim as i64, metric.as_str(), normalize, info.lexical],
            )
            .map_err(sql)?;
            let made = c
                .query_row(
                    &format!(
                        "SELECT {COLUMNS} FROM rag_vec_spaces WHERE provider = ?1 AND model = ?2 AND revision = ?3
                         AND dim = ?4 AND metric = ?5 AND normalize = ?6"
                    ),
                    params![info.provider, info.model, info.revision, info.dim as i64, metric.as_str(), normalize],
                    space,
                )
                .map_err(sql)?;
            vectors::create(c, &made)?;
            regenerate_view(c)?;
            Ok(made)
        })
    }

    /// Compares the embedder's answer for one fixed text with the stored one; stores it the first time.
    pub(crate) fn check_canary(&self, space: &Space, vector: &[f32]) -> AiResult<()> {
        let held: Option<Vec<u8>> = self.quick(|c| {
            c.query_row("SELECT canary FROM rag_vec_spaces WHERE space_id = ?1", [space.space_id], |r| {
                r.get(0)
            })
            .map_err(sql)
        })?;
        let Some(held) = held else {
            return self.write(|c| {
                c.execute(
                    "UPDATE rag_vec_spaces SET canary = ?2 WHERE space_id = ?1",
                    params![space.space_id, vectors::to_blob(vector)],
                )
                .map(drop)
                .map_err(sql)
            });
        };
        let held = vectors::from_blob(&held);
        if held.len() == vector.len() && Metric::Cosine.distance(&held, vector) < 1e-3 {
            return Ok(());
        }
        Err(AiError::new(
            AiErrorCode::FailedPrecondition,
            format!(
                "model {:?} answers differently from when the store was filled; give it a new revision and re-embed",
                space.model
            ),
        ))
    }

    /// Gives a source a space; `Active` takes the place of the one before it.
    pub(crate) fn set_role(&self, source_id: i64, space_id: i64, role: SpaceRole) -> AiResult<()> {
        self.write(|c| {
            if role == SpaceRole::Active {
                c.execute(
                    "UPDATE rag_source_spaces SET role = 'retiring' WHERE source_id = ?1 AND role = 'active' AND space_id <> ?2",
                    params![source_id, space_id],
                )
                .map_err(sql)?;
            }
            c.execute(
                "INSERT INTO rag_source_spaces (source_id, space_id, role) VALUES (?1, ?2, ?3)
                 ON CONFLICT (source_id, space_id) DO UPDATE SET role = ?3",
                params![source_id, space_id, role.as_str()],
            )
            .map_err(sql)?;
            regenerate_view(c)
        })
    }

    /// Takes a space away from a source, its vectors too; the space itself goes when nobody uses it.
    pub(crate) fn drop_space(&self, source_id: i64, space: &Space) -> AiResult<()> {
        loop {
            let pks: Vec<i64> = self.quick(|c| {
                let mut statement = c
                    .prepare_cached(
                        "SELECT chunk_pk FROM rag_chunk_embedding_state WHERE source_id = ?1 AND space_id = ?2 LIMIT 500",
                    )
                    .map_err(sql)?;
                let rows = statement.query_map(params![source_id, space.space_id], |r| r.get(0)).map_err(sql)?;
                rows.collect::<rusqlite::Result<_>>().map_err(sql)
            })?;
            if pks.is_empty() {
                break;
            }
            self.write(|c| {
                for pk in &pks {
                    vectors::remove(c, space, *pk)?;
                    c.prepare_cached(
                        "DELETE FROM rag_chunk_embedding_state WHERE chunk_pk = ?1 AND space_id = ?2",
                    )
                    .and_then(|mut s| s.execute(params![pk, space.space_id]))
                    .map_err(sql)?;
                }
                vectors::bump_epoch(c).map(drop)
            })?;
        }
        self.drop_matrix(space.space_id);
        self.write(|c| {
            c.execute(
                "DELETE FROM rag_source_spaces WHERE source_id = ?1 AND space_id = ?2",
                params![source_id, space.space_id],
            )
            .map_err(sql)?;
            let used: bool = c
                .query_row(
                    "SELECT EXISTS (SELECT 1 FROM rag_source_spaces WHERE space_id = ?1)",
                    [space.space_id],
                    |r| r.get(0),
                )
                .map_err(sql)?;
            regenerate_view(c)?;
            if !used {
                c.execute_batch(&format!("DROP TABLE IF EXISTS {}", space.table())).map_err(sql)?;
                c.execute("DELETE FROM rag_embed_cache WHERE space_id = ?1", [space.space_id])
                    .map_err(sql)?;
                c.execute("DELETE FROM rag_vec_spaces WHERE space_id = ?1", [space.space_id]).map_err(sql)?;
            }
            Ok(())
        })
    }

    /// Marks every live chunk of a source as waiting for a vector of a space, unless it has one or waits already.
    pub(crate) fn enqueue(&self, source_id: i64, space_id: i64, again: bool) -> AiResult<u64> {
        self.write(|c| {
            if again {
                c.execute(
                    "UPDATE rag_chunk_embedding_state SET status = 'pending', attempts = 0
                     WHERE source_id = ?1 AND space_id = ?2 AND status = 'error'",
                    params![source_id, space_id],
                )
                .map_err(sql)?;
            }
            let n = c
                .execute(
                    "INSERT OR IGNORE INTO rag_chunk_embedding_state
                       (chunk_pk, space_id, source_id, input_hash, status, updated_at)
                     SELECT chunk_pk, ?2, source_id, '', 'pending', ?3 FROM rag_chunks WHERE source_id = ?1",
                    params![source_id, space_id, now_s()],
                )
                .map_err(sql)?;
            Ok(n as u64)
        })
    }

    /// Chunks of a source that wait for a vector, after a key.
    pub(crate) fn pending(
        &self,
        source_id: i64,
        space_id: i64,
        after: i64,
        n: usize,
    ) -> AiResult<Vec<PendingChunk>> {
        self.quick(|c| {
            let mut statement = c
                .prepare_cached(
                    "SELECT s.chunk_pk, k.source_id, k.title, coalesce(k.fts_text, k.body), k.heading_path, d.metadata_json
                     FROM rag_chunk_embedding_state s JOIN rag_chunks k ON k.chunk_pk = s.chunk_pk
                     JOIN rag_documents d ON d.doc_pk = k.doc_pk
                     WHERE s.source_id = ?1 AND s.space_id = ?2 AND s.status = 'pending' AND s.chunk_pk > ?3
                     ORDER BY s.chunk_pk LIMIT ?4",
                )
                .map_err(sql)?;
            let rows = statement
                .query_map(params![source_id, space_id, after, n as i64], |r| {
                    Ok(PendingChunk {
                        chunk_pk: r.get(0)?,
                        source_id: r.get(1)?,
                        title: r.get::<_, Option<String>>(2)?.unwrap_or_default(),
                        text: r.get(3)?,
                        heading_path: r.get::<_, Option<String>>(4)?.unwrap_or_default(),
                        metadata: super::read::json_column(r, 5)?,
                    })
                })
                .map_err(sql)?;
            rows.collect::<rusqlite::Result<_>>().map_err(sql)
        })
    }

    /// Stores the vectors of chunks that waited; chunks that have gone meanwhile are skipped.
    pub(crate) fn put_embedded(&self, space: &Space, made: &[EmbeddedChunk]) -> AiResult<u64> {
        let mut followed = Followed::default();
        let mut stored = 0;
        let mut writer = self.writer();
        let tx = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(sql)?;
        for chunk in made {
            let live = optional(tx.query_row(
                "SELECT attempts FROM rag_chunk_embedding_state WHERE chunk_pk = ?1 AND space_id = ?2",
                params![chunk.chunk_pk, space.space_id],
                |r| r.get::<_, i64>(0),
            ))?;
            let Some(attempts) = live else { continue };
            let outcome = match &chunk.outcome {
                Ok(vector) => vectors::put(&tx, space, chunk.chunk_pk, chunk.source_id, vector)
                    .map(|()| vector)
                    .map_err(|e| (e.message, true)),
                Err(failure) => Err(failure.clone()),
            };
            match outcome {
                Ok(vector) => {
                    cache_vector(&tx, space.space_id, &chunk.input_hash, vector)?;
                    put_state(
                        &tx,
                        chunk.chunk_pk,
                        space.space_id,
                        chunk.source_id,
                        &chunk.input_hash,
                        "ok",
                        None,
                    )?;
                    followed.added.push((space.space_id, chunk.chunk_pk, chunk.source_id, vector.clone()));
                    stored += 1;
                }
                Err((reason, last)) => {
                    let status = if last || attempts + 1 >= EMBED_ATTEMPTS_MAX { "error" } else { "pending" };
                    let hash = &chunk.input_hash;
                    put_state(
                        &tx,
                        chunk.chunk_pk,
                        space.space_id,
                        chunk.source_id,
                        hash,
                        status,
                        Some(&reason),
                    )?;
                }
            }
        }
        tx.execute(
            "DELETE FROM rag_embed_cache WHERE space_id = ?1 AND last_used < (SELECT last_used FROM rag_embed_cache
             WHERE space_id = ?1 ORDER BY last_used DESC LIMIT 1 OFFSET ?2)",
            params![space.space_id, CACHE_ROWS_MAX],
        )
        .map_err(sql)?;
        let epoch = if followed.added.is_empty() { None } else { Some(vectors::bump_epoch(&tx)?) };
        tx.commit().map_err(sql)?;
        if let Some(epoch) = epoch {
            self.follow(epoch, &followed.removed, &followed.added);
        }
        Ok(stored)
    }

    /// Vectors that are already known for these inputs.
    pub(crate) fn cached(&self, space_id: i64, hashes: &[&str]) -> AiResult<HashMap<String, Vec<f32>>> {
        self.quick(|c| {
            let mut statement = c
                .prepare_cached("SELECT vector FROM rag_embed_cache WHERE space_id = ?1 AND input_hash = ?2")
                .map_err(sql)?;
            let mut out = HashMap::new();
            for hash in hashes {
                let blob: Option<Vec<u8>> =
                    optional(statement.query_row(params![space_id, hash], |r| r.get(0)))?;
                if let Some(blob) = blob {
                    out.insert((*hash).to_owned(), vectors::from_blob(&blob));
                }
            }
            Ok(out)
        })
    }
}

/// Writes the view over the vectors of all active spaces anew.
fn regenerate_view(connection: &Connection) -> AiResult<()> {
    let parts: Vec<String> = all(connection)?
        .iter()
        .map(|s| {
            format!(
                "SELECT c.chunk_id, c.doc_id, c.source_id, {id} AS space_id, c.updated_at, v.embedding FROM {table} v
                 JOIN rag_chunks c ON c.chunk_pk = v.chunk_pk
                 JOIN rag_source_spaces r ON r.source_id = c.source_id AND r.space_id = {id} AND r.role = 'active'",
                id = s.space_id,
                table = s.table()
            )
        })
        .collect();
    let body = if parts.is_empty() {
        "SELECT '' AS chunk_id, '' AS doc_id, 0 AS source_id, 0 AS space_id, 0 AS updated_at, NULL AS embedding WHERE 0"
            .to_owned()
    } else {
        parts.join(" UNION ALL ")
    };
    connection
        .execute_batch(&format!("DROP VIEW IF EXISTS rag_vec_chunks; CREATE VIEW rag_vec_chunks AS {body}"))
        .map_err(sql)
}
