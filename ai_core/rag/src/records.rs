//! Plain records of the store: sources, documents, chunks, spaces, jobs; they know no SQL.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use ai_core::{EmbedderInfo, Metric};

use crate::database::VectorSpace;

/// A document to be stored, with everything that is derived from it.
#[derive(Debug, Clone, PartialEq)]
// Exhaustive on purpose: the store writes every member.
pub(crate) struct DocWrite {
    pub(crate) source_id: i64,
    pub(crate) source_name: String,
    pub(crate) doc_id: String,
    pub(crate) pk_json: String,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) content_hash: String,
    pub(crate) created_ms: Option<i64>,
    pub(crate) score_num: Option<f64>,
    pub(crate) post_type: Option<i64>,
    pub(crate) tags: Vec<String>,
    pub(crate) language: String,
    pub(crate) chunks: Vec<ChunkWrite>,
}

/// One chunk of a document to be stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChunkWrite {
    pub(crate) body: String,
    /// What the full-text index sees; differs from the body when markup was removed.
    pub(crate) fts_text: String,
    pub(crate) start_char: usize,
    pub(crate) end_char: usize,
    pub(crate) heading_path: String,
    pub(crate) content_hash: String,
    /// Hash of the embedding input, and its vectors by space.
    pub(crate) input_hash: String,
    pub(crate) vectors: Vec<ChunkVector>,
}

/// The outcome of embedding one chunk for one space.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChunkVector {
    pub(crate) space_id: i64,
    /// A checked vector, or why there is none; `None` in the error means "not yet tried".
    pub(crate) vector: Result<Vec<f32>, Option<String>>,
}

/// What the store knows about a document before it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DocState {
    pub(crate) doc_pk: i64,
    pub(crate) source_id: i64,
    pub(crate) content_hash: String,
    pub(crate) pk_json: String,
    pub(crate) deleted: bool,
}

/// One embedding space.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Space {
    pub(crate) space_id: i64,
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) revision: String,
    pub(crate) dim: usize,
    pub(crate) metric: Metric,
    pub(crate) normalize: bool,
    pub(crate) lexical: bool,
}

impl Space {
    /// Whether an embedder makes vectors of this space.
    pub(crate) fn fits(&self, info: &EmbedderInfo) -> bool {
        self.provider == info.provider
            && self.model == info.model
            && self.revision == info.revision
            && self.dim == info.dim
    }

    /// Its table of vectors.
    pub(crate) const fn vectors(&self) -> VectorSpace {
        VectorSpace { space_id: self.space_id, dim: self.dim, metric: self.metric, normalize: self.normalize }
    }
}

/// The role of a space for a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpaceRole {
    Active,
    Building,
}

impl SpaceRole {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Building => "building",
        }
    }
}

/// A chunk as searches show it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ChunkRow {
    pub(crate) chunk_pk: i64,
    pub(crate) chunk_id: String,
    pub(crate) doc_pk: i64,
    pub(crate) doc_id: String,
    pub(crate) source_id: i64,
    pub(crate) source_name: String,
    pub(crate) chunk_index: i64,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) start_char: i64,
    pub(crate) end_char: i64,
    pub(crate) doc_metadata: Value,
    pub(crate) chunk_metadata: Value,
}

/// A document as the fetch tools show it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DocRow {
    pub(crate) doc_pk: i64,
    pub(crate) doc_id: String,
    pub(crate) source_id: i64,
    pub(crate) source_name: String,
    pub(crate) pk_json: Value,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) metadata: Value,
    pub(crate) updated_at: i64,
}

/// A stored key in the order of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredKey {
    pub(crate) doc_pk: i64,
    pub(crate) pk_json: String,
    pub(crate) updated_at: i64,
}

/// What one commit did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WriteCounts {
    pub(crate) docs_new: u64,
    pub(crate) docs_changed: u64,
    pub(crate) docs_deleted: u64,
    pub(crate) chunks_written: u64,
}

/// The durable position and health of a source's synchronisation.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SyncState {
    pub(crate) cursor: Value,
    pub(crate) last_ok_at: Option<i64>,
    pub(crate) last_run_at: Option<i64>,
    pub(crate) last_error: Option<String>,
    pub(crate) last_sweep_at: Option<i64>,
    pub(crate) consecutive_failures: i64,
    pub(crate) next_run_at: Option<i64>,
}

/// The state of a job.
// Exhaustive on purpose: these are the states of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waiting for a worker.
    Queued,
    /// At work.
    Running,
    /// All sources done.
    Succeeded,
    /// Some sources failed.
    Partial,
    /// Every source failed.
    Failed,
    /// Stopped on request.
    Cancelled,
}

impl JobState {
    /// The stored and shown name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "queued" => Self::Queued,
            "running" => Self::Running,
            "succeeded" => Self::Succeeded,
            "partial" => Self::Partial,
            "cancelled" => Self::Cancelled,
            _ => Self::Failed,
        }
    }

    /// Whether the job will change no more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// A job as stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobRow {
    pub(crate) job_id: String,
    pub(crate) kind: String,
    pub(crate) state: JobState,
    pub(crate) requested_by: String,
    /// What to run: source ids and options.
    pub(crate) sources_json: Value,
    pub(crate) dry_run: bool,
    pub(crate) created_at: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
    pub(crate) progress: Value,
    pub(crate) error: Option<String>,
}

/// One row that could not be ingested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct SyncErrorRow {
    /// The source.
    pub source_id: i64,
    /// The row's key as JSON.
    pub key_json: String,
    /// Where it failed: `read`, `map`, `chunk`, `embed`, `commit`.
    pub stage: String,
    /// The error code.
    pub code: String,
    /// What went wrong.
    pub message: String,
}
