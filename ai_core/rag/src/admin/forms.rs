//! Requests and responses of the administration; they know no store.

use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::SourceConfig;
use crate::records::{JobState, SyncErrorRow};
use crate::store::AclEntry;
use crate::sync::SourceProgress;

/// The embeddings of one source.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct EmbeddingStats {
    /// The model.
    pub model: String,
    /// Length of vectors.
    pub dim: usize,
    /// How they are compared.
    pub metric: String,
    /// True when vectors reflect words, not meaning.
    pub lexical: bool,
    /// Chunks with a vector.
    pub ok: u64,
    /// Chunks that wait for one.
    pub pending: u64,
    /// Chunks that can have none.
    pub error: u64,
    /// The model that is being prepared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub building: Option<String>,
    /// recall@10 of the accelerated copy, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ann_recall: Option<f32>,
}

/// One source in numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SourceStats {
    /// The number.
    pub source_id: i64,
    /// The name.
    pub source_name: String,
    /// The backend.
    pub backend_type: String,
    /// Whether searches see it.
    pub enabled: bool,
    /// Live documents.
    pub docs: u64,
    /// Live chunks.
    pub chunks: u64,
    /// Tombstones.
    pub deleted_docs: u64,
    /// Vectors, when the source has any.
    pub embeddings: Option<EmbeddingStats>,
    /// The last good run, in seconds since 1970.
    pub last_sync: Option<i64>,
    /// Why the last run failed.
    pub last_error: Option<String>,
    /// The next run.
    pub next_run: Option<i64>,
    /// Failed runs in a row.
    pub consecutive_failures: i64,
    /// Bytes of text.
    pub bytes: u64,
}

/// Sums over the visible sources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct StatTotals {
    /// Live documents.
    pub docs: u64,
    /// Live chunks.
    pub chunks: u64,
    /// Bytes of the store's file.
    pub store_bytes: u64,
}

/// The full-text index in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct IndexStats {
    /// `fts5` or the name of the outer index.
    pub kind: String,
    /// Age of the oldest change that it has not seen, in milliseconds.
    pub lag_ms: u64,
    /// Entries.
    pub docs: u64,
    /// Whether it is being rebuilt.
    pub rebuilding: bool,
}

/// The answer of `stats`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct StatsResponse {
    /// The visible sources.
    pub sources: Vec<SourceStats>,
    /// Sums.
    pub totals: StatTotals,
    /// The full-text index.
    pub index: IndexStats,
    /// How long it took.
    pub stats: CallStats,
}

/// How long a call took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CallStats {
    /// Milliseconds.
    pub ms: f64,
    /// Queries sent to sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queries: Option<u64>,
}

impl CallStats {
    pub(crate) fn since(started: Instant) -> Self {
        Self { ms: started.elapsed().as_secs_f64() * 1000.0, queries: None }
    }
}

/// What `sync` does.
// Exhaustive on purpose: these are the modes of the contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyncMode {
    /// Read what changed.
    #[default]
    Incremental,
    /// Read everything and remove what is gone.
    Full,
    /// Make missing vectors.
    Reembed,
    /// Write the full-text index anew.
    RebuildFts,
    /// Compare store and indexes.
    Verify,
}

/// Arguments of `sync`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
// Exhaustive on purpose: hosts build it.
pub struct SyncRequest {
    /// Sources by name; none means all that the caller may synchronise.
    pub source_names: Vec<String>,
    /// Sources by number.
    pub source_ids: Vec<i64>,
    /// What to do.
    pub mode: SyncMode,
    /// Read and count, write nothing.
    pub dry_run: bool,
    /// Delete even when the sweep looks too large.
    pub force_delete: bool,
    /// With `verify`: fix what differs.
    pub repair: bool,
    /// Wait for the end, at most 30000 ms.
    #[schemars(range(max = 30000))]
    pub wait_ms: u64,
}

/// The answer of `sync`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SyncResponse {
    /// Always true; a refused job is an error.
    pub accepted: bool,
    /// The job.
    pub job_id: String,
    /// Names of its sources.
    pub sources: Vec<String>,
    /// Where it stands.
    pub state: JobState,
    /// Each source's progress.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub progress: Vec<SourceProgress>,
}

/// Arguments of `job`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
// Exhaustive on purpose: hosts build it.
pub struct JobRequest {
    /// One job; none means the latest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Jobs of a page, 1-100; 20 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<usize>,
    /// Where the next page starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct JobInfo {
    /// The job.
    pub job_id: String,
    /// What it does.
    pub kind: String,
    /// Where it stands.
    pub state: JobState,
    /// When it was asked for, in seconds since 1970.
    pub created_at: i64,
    /// When it began.
    pub started_at: Option<i64>,
    /// When it ended.
    pub finished_at: Option<i64>,
    /// Each source's progress.
    pub sources: Vec<SourceProgress>,
    /// Why it failed, or what it found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The first rows that failed.
    pub errors_sample: Vec<SyncErrorRow>,
}

/// The answer of `job`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct JobsResponse {
    /// Jobs.
    pub jobs: Vec<JobInfo>,
    /// Where the next page starts, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// One source's settings without secrets and user names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SourceView {
    /// The number.
    pub source_id: i64,
    /// The name.
    pub name: String,
    /// Whether searches see it.
    pub enabled: bool,
    /// How the backend is authenticated: `profile`, `env`, `file` or `none`.
    pub auth: String,
    /// The settings.
    pub config: Value,
    /// Who may see it; empty means everybody.
    pub acl: Vec<AclEntry>,
    /// Why the stored settings cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Arguments of `source_put`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
// Exhaustive on purpose: hosts build it.
pub struct SourcePut {
    /// The settings; without `source_id` a new source.
    pub source: SourceConfig,
    /// Who may see it; absent leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<Vec<AclEntry>>,
    /// Check only.
    #[serde(default)]
    pub validate_only: bool,
}

/// The answer of `source_put`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SourcePutResponse {
    /// The number; 0 when only checked.
    pub source_id: i64,
    /// Whether it is new.
    pub created: bool,
    /// Settings that changed.
    pub changes: Vec<String>,
    /// What the change asks for: `none`, `full_sync` or `reembed`.
    pub needs: String,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// The answer of `source_delete`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SourceDeleteResponse {
    /// The job that removes the data.
    pub job_id: String,
    /// Documents that go.
    pub docs: u64,
    /// Chunks that go.
    pub chunks: u64,
}
