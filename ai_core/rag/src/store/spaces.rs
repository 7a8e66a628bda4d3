//! Embedding spaces, which source uses which, and what each chunk's vector waits for; it knows no model.

use std::collections::HashMap;

use ai_core::{AiError, AiErrorCode, AiResult, EmbedderInfo, Metric};

use super::ingest::Followed;
use super::{Store, vectors};
use crate::config::Embedding;
use crate::database::{Row, Session, SqlFamily, bind};
use crate::ids::{now_ms, now_s};
use crate::records::{Space, SpaceRole};

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

fn space(row: &Row<'_>) -> AiResult<Space> {
    let metric: String = row.get(5)?;
    Ok(Space {
        space_id: row.get(0)?,
        provider: row.get(1)?,
        model: row.get(2)?,
        revision: row.get(3)?,
        dim: row.get::<i64>(4)?.max(0) as usize,
        metric: Metric::parse(&metric).unwrap_or_default(),
        normalize: row.get(6)?,
        lexical: row.get(7)?,
    })
}

/// All spaces of the store.
pub(crate) fn all(c: &dyn Session) -> AiResult<Vec<Space>> {
    c.all(&format!("SELECT {COLUMNS} FROM rag_vec_spaces ORDER BY space_id"), &[], space)
}

/// The spaces of every source with their role: (source, space, active).
pub(crate) fn roles(c: &dyn Session) -> AiResult<Vec<(i64, i64, bool)>> {
    c.all("SELECT source_id, space_id, role = 'active' FROM rag_source_spaces ORDER BY 1, 2", &[], |r| {
        Ok((r.get(0)?, r.get(1)?, r.get(2)?))
    })
}

pub(super) fn put_state(
    c: &dyn Session,
    chunk_pk: i64,
    space_id: i64,
    source_id: i64,
    input_hash: &str,
    status: &str,
    error: Option<&str>,
) -> AiResult<()> {
    let tried = error.is_some();
    c.execute(
        "INSERT INTO rag_chunk_embedding_state
           (chunk_pk, space_id, source_id, input_hash, status, attempts, last_error, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?8, ?6, ?7)
         ON CONFLICT (chunk_pk, space_id) DO UPDATE SET input_hash = ?4, status = ?5, last_error = ?6,
           updated_at = ?7, attempts = rag_chunk_embedding_state.attempts + excluded.attempts",
        bind![chunk_pk, space_id, source_id, input_hash, status, error, now_s(), tried],
    )
    .map(drop)
}

pub(super) fn cache_vector(c: &dyn Session, space_id: i64, input_hash: &str, vector: &[f32]) -> AiResult<()> {
    c.execute(
        "INSERT INTO rag_embed_cache (space_id, input_hash, vector, last_used) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (space_id, input_hash) DO UPDATE SET last_used = ?4",
        bind![space_id, input_hash, vectors::to_blob(vector), now_ms()],
    )
    .map(drop)
}

impl Store {
    /// The space for these vectors, created with its table when it is new.
    pub(crate) fn space_for(
        &self,
        info: &EmbedderInfo,
        metric: Metric,
        normalize: bool,
        settings: Option<&Embedding>,
    ) -> AiResult<Space> {
        let settings = settings.map(serde_json::to_string).transpose();
        let settings = settings.map_err(|e| AiError::internal(e.to_string()))?;
        self.write(|c| {
            let key = bind![&info.provider, &info.model, &info.revision, info.dim, metric.as_str(), normalize];
            let find = || {
                c.first(
                    &format!(
                        "SELECT {COLUMNS} FROM rag_vec_spaces WHERE provider = ?1 AND model = ?2 AND revision = ?3
                         AND dim = ?4 AND metric = ?5 AND normalize = ?6"
                    ),
                    key,
                    space,
                )
            };
            let made = match find()? {
                Some(held) => held,
                None => {
                    let [provider, model, revision, dim, metric, normalize] = key;
                    c.execute(
                        "INSERT INTO rag_vec_spaces (provider, model, revision, dim, metric, normalize, lexical,
                           settings_json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                        &[
                            provider.clone(),
                            model.clone(),
                            revision.clone(),
                            dim.clone(),
                            metric.clone(),
                            normalize.clone(),
                            info.lexical.into(),
                            settings.as_deref().into(),
                        ],
                    )?;
                    find()?.ok_or_else(|| AiError::internal("a space that was just made is gone"))?
                }
            };
            c.create_vectors(&made.vectors())?;
            regenerate_view(c)?;
            Ok(made)
        })
    }

    /// The settings with which a space was made, if it was made for a source.
    pub(crate) fn space_settings(&self, space_id: i64) -> AiResult<Option<Embedding>> {
        let text: Option<Option<String>> = self.quick(|c| {
            let text = "SELECT settings_json FROM rag_vec_spaces WHERE space_id = ?1";
            c.first(text, bind![space_id], |r| r.get(0))
        })?;
        Ok(text.flatten().and_then(|t| serde_json::from_str(&t).ok()))
    }

    /// Compares the embedder's answer for one fixed text with the stored one; stores it the first time.
    pub(crate) fn check_canary(&self, space: &Space, vector: &[f32]) -> AiResult<()> {
        let held: Option<Vec<u8>> = self.quick(|c| {
            c.cell("SELECT canary FROM rag_vec_spaces WHERE space_id = ?1", bind![space.space_id])
        })?;
        let Some(held) = held else {
            return self.write(|c| {
                c.execute(
                    "UPDATE rag_vec_spaces SET canary = ?2 WHERE space_id = ?1",
                    bind![space.space_id, vectors::to_blob(vector)],
                )
                .map(drop)
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
                    bind![source_id, space_id],
                )?;
            }
            c.execute(
                "INSERT INTO rag_source_spaces (source_id, space_id, role) VALUES (?1, ?2, ?3)
                 ON CONFLICT (source_id, space_id) DO UPDATE SET role = ?3",
                bind![source_id, space_id, role.as_str()],
            )?;
            regenerate_view(c)
        })
    }

    /// Takes a space away from a source, its vectors too; the space itself goes when nobody uses it.
    pub(crate) fn drop_space(&self, source_id: i64, space: &Space) -> AiResult<()> {
        loop {
            let pks: Vec<i64> = self.quick(|c| {
                c.all(
                    "SELECT chunk_pk FROM rag_chunk_embedding_state WHERE source_id = ?1 AND space_id = ?2 LIMIT 500",
                    bind![source_id, space.space_id],
                    |r| r.get(0),
                )
            })?;
            if pks.is_empty() {
                break;
            }
            self.write(|c| {
                c.remove_vectors(&space.vectors(), &pks)?;
                c.execute(
                    "DELETE FROM rag_chunk_embedding_state WHERE chunk_pk {list:1} AND space_id = ?2",
                    bind![pks.as_slice(), space.space_id],
                )?;
                vectors::bump_epoch(c).map(drop)
            })?;
        }
        self.drop_matrix(space.space_id);
        self.write(|c| {
            c.execute(
                "DELETE FROM rag_source_spaces WHERE source_id = ?1 AND space_id = ?2",
                bind![source_id, space.space_id],
            )?;
            let used: i64 =
                c.cell("SELECT count(*) FROM rag_source_spaces WHERE space_id = ?1", bind![space.space_id])?;
            if used == 0 {
                c.execute("DELETE FROM rag_embed_cache WHERE space_id = ?1", bind![space.space_id])?;
                c.execute("DELETE FROM rag_vec_spaces WHERE space_id = ?1", bind![space.space_id])?;
            }
            regenerate_view(c)?;
            if used == 0 { c.drop_vectors(&space.vectors()) } else { Ok(()) }
        })
    }

    /// Marks every live chunk of a source as waiting for a vector of a space, unless it has one or waits already.
    pub(crate) fn enqueue(&self, source_id: i64, space_id: i64, again: bool) -> AiResult<u64> {
        self.write(|c| {
            if again {
                c.execute(
                    "UPDATE rag_chunk_embedding_state SET status = 'pending', attempts = 0
                     WHERE source_id = ?1 AND space_id = ?2 AND status = 'error'",
                    bind![source_id, space_id],
                )?;
            }
            c.execute(
                "INSERT INTO rag_chunk_embedding_state
                   (chunk_pk, space_id, source_id, input_hash, status, updated_at)
                 SELECT chunk_pk, CAST(?2 AS BIGINT), source_id, '', 'pending', CAST(?3 AS BIGINT) FROM rag_chunks
                 WHERE source_id = ?1 ON CONFLICT DO NOTHING",
                bind![source_id, space_id, now_s()],
            )
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
            c.all(
                "SELECT s.chunk_pk, k.source_id, k.title, coalesce(k.fts_text, k.body), k.heading_path, d.metadata_json
                 FROM rag_chunk_embedding_state s JOIN rag_chunks k ON k.chunk_pk = s.chunk_pk
                 JOIN rag_documents d ON d.doc_pk = k.doc_pk
                 WHERE s.source_id = ?1 AND s.space_id = ?2 AND s.status = 'pending' AND s.chunk_pk > ?3
                 ORDER BY s.chunk_pk LIMIT ?4",
                bind![source_id, space_id, after, n],
                |r| {
                    Ok(PendingChunk {
                        chunk_pk: r.get(0)?,
                        source_id: r.get(1)?,
                        title: r.get::<Option<String>>(2)?.unwrap_or_default(),
                        text: r.get(3)?,
                        heading_path: r.get::<Option<String>>(4)?.unwrap_or_default(),
                        metadata: r.json(5),
                    })
                },
            )
        })
    }

    /// Stores the vectors of chunks that waited; chunks that have gone meanwhile are skipped.
    pub(crate) fn put_embedded(&self, space: &Space, made: &[EmbeddedChunk]) -> AiResult<u64> {
        let write = |c: &dyn Session| {
            let mut followed = Followed::default();
            for chunk in made {
                put_one(c, space, chunk, &mut followed)?;
            }
            c.execute(
                "DELETE FROM rag_embed_cache WHERE space_id = ?1 AND last_used < (SELECT last_used FROM rag_embed_cache
                 WHERE space_id = ?1 ORDER BY last_used DESC LIMIT 1 OFFSET ?2)",
                bind![space.space_id, CACHE_ROWS_MAX],
            )?;
            if !followed.added.is_empty() {
                followed.epoch = Some(vectors::bump_epoch(c)?);
            }
            Ok(followed)
        };
        let done = self.write_then(write, |followed| self.follow(followed))?;
        Ok(done.added.len() as u64)
    }

    /// Vectors that are already known for these inputs.
    pub(crate) fn cached(&self, space_id: i64, hashes: &[&str]) -> AiResult<HashMap<String, Vec<f32>>> {
        let hashes: Vec<String> = hashes.iter().map(|h| (*h).to_owned()).collect();
        self.quick(|c| {
            let rows = c.all(
                "SELECT input_hash, vector FROM rag_embed_cache WHERE space_id = ?1 AND input_hash {list:2}",
                bind![space_id, hashes],
                |r| Ok((r.get(0)?, vectors::from_blob(&r.get::<Vec<u8>>(1)?))),
            )?;
            Ok(rows.into_iter().collect())
        })
    }
}

fn put_one(c: &dyn Session, space: &Space, chunk: &EmbeddedChunk, followed: &mut Followed) -> AiResult<()> {
    let (pk, source_id, hash) = (chunk.chunk_pk, chunk.source_id, &chunk.input_hash);
    let live = c.first(
        "SELECT attempts FROM rag_chunk_embedding_state WHERE chunk_pk = ?1 AND space_id = ?2",
        bind![pk, space.space_id],
        |r| r.get::<i64>(0),
    )?;
    let Some(attempts) = live else { return Ok(()) };
    let outcome = match &chunk.outcome {
        Ok(vector) => {
            ai_core::check_vector(vector, space.dim).map(|()| vector).map_err(|e| (e.message, true))
        }
        Err(failure) => Err(failure.clone()),
    };
    match outcome {
        Ok(vector) => {
            c.put_vectors(&space.vectors(), &[(pk, source_id, vector.as_slice())])?;
            cache_vector(c, space.space_id, hash, vector)?;
            put_state(c, pk, space.space_id, source_id, hash, "ok", None)?;
            followed.added.push((space.space_id, pk, source_id, vector.clone()));
            Ok(())
        }
        Err((reason, last)) => {
            let status = if last || attempts + 1 >= EMBED_ATTEMPTS_MAX { "error" } else { "pending" };
            put_state(c, pk, space.space_id, source_id, hash, status, Some(&reason))
        }
    }
}

/// Writes the view over the vectors of all active spaces anew.
fn regenerate_view(c: &dyn Session) -> AiResult<()> {
    let parts: Vec<String> = all(c)?
        .iter()
        .map(|s| {
            format!(
                "SELECT c.chunk_id, c.doc_id, c.source_id, {id} AS space_id, c.updated_at, v.embedding FROM {table} v
                 JOIN rag_chunks c ON c.chunk_pk = v.chunk_pk
                 JOIN rag_source_spaces r ON r.source_id = c.source_id AND r.space_id = {id} AND r.role = 'active'",
                id = s.space_id,
                // Spaces of several dimensions meet in one column, so a server's view shows vectors as text.
                table = match c.family() {
                    SqlFamily::Sqlite => s.vectors().table(),
                    SqlFamily::Postgres => format!(
                        "(SELECT chunk_pk, CAST(embedding AS text) AS embedding FROM {})",
                        s.vectors().table()
                    ),
                }
            )
        })
        .collect();
    let body = if parts.is_empty() {
        "SELECT '' AS chunk_id, '' AS doc_id, 0 AS source_id, 0 AS space_id, 0 AS updated_at, NULL AS embedding
         WHERE 1 = 0"
            .to_owned()
    } else {
        parts.join(" UNION ALL ")
    };
    c.batch(&format!("DROP VIEW IF EXISTS rag_vec_chunks; CREATE VIEW rag_vec_chunks AS {body}"))
}
