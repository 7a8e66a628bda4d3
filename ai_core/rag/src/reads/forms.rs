//! Requests and responses of the reads by name; they know no store.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::admin::CallStats;

/// What `get_chunks` returns besides the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
// Exhaustive on purpose: hosts build it.
pub struct ChunkReturn {
    /// The title.
    pub include_title: bool,
    /// The document's metadata.
    pub include_doc_metadata: bool,
    /// The chunk's metadata.
    pub include_chunk_metadata: bool,
}

impl Default for ChunkReturn {
    fn default() -> Self {
        Self { include_title: true, include_doc_metadata: true, include_chunk_metadata: true }
    }
}

/// Neighbours to read along.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
// Exhaustive on purpose: hosts build it.
pub struct ChunkContext {
    /// Chunks before, at most 3.
    pub before: usize,
    /// Chunks after, at most 3.
    pub after: usize,
}

/// Arguments of `get_chunks`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
// Exhaustive on purpose: hosts build it.
pub struct GetChunks {
    /// Chunks by name.
    pub chunk_ids: Vec<String>,
    /// What to return besides the body.
    #[serde(default, rename = "return")]
    pub returns: ChunkReturn,
    /// Neighbours to read along.
    #[serde(default)]
    pub context: ChunkContext,
}

/// A neighbour of a chunk, without what both share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Neighbour {
    /// The chunk's name.
    pub chunk_id: String,
    /// The text.
    pub body: String,
}

/// One chunk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ChunkItem {
    /// The chunk's name.
    pub chunk_id: String,
    /// The document's name.
    pub doc_id: String,
    /// The source's number.
    pub source_id: i64,
    /// The source's name.
    pub source_name: String,
    /// The title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The text.
    pub body: String,
    /// The document's metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doc_metadata: Option<Value>,
    /// The chunk's metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_metadata: Option<Value>,
    /// Chunks before, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub context_before: Vec<Neighbour>,
    /// Chunks after, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub context_after: Vec<Neighbour>,
    /// True when the body was cut.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub body_truncated: bool,
}

/// The answer of `get_chunks`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ChunksResponse {
    /// Chunks in the order asked for.
    pub chunks: Vec<ChunkItem>,
    /// Names that are unknown or hidden.
    pub not_found: Vec<String>,
    /// Names that a cap left out.
    pub omitted: Vec<String>,
    /// True when a cap removed something.
    pub truncated: bool,
    /// How long it took.
    pub stats: CallStats,
}

/// What `get_docs` returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
// Exhaustive on purpose: hosts build it.
pub struct DocReturn {
    /// The body.
    pub include_body: bool,
    /// The metadata.
    pub include_metadata: bool,
}

impl Default for DocReturn {
    fn default() -> Self {
        Self { include_body: true, include_metadata: true }
    }
}

/// Arguments of `get_docs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
// Exhaustive on purpose: hosts build it.
pub struct GetDocs {
    /// Documents by name.
    pub doc_ids: Vec<String>,
    /// What to return.
    #[serde(default, rename = "return")]
    pub returns: DocReturn,
}

/// One document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DocItem {
    /// The document's name.
    pub doc_id: String,
    /// The source's number.
    pub source_id: i64,
    /// The source's name.
    pub source_name: String,
    /// The row's key.
    pub pk_json: Value,
    /// The title.
    pub title: String,
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// When it was last written, in seconds since 1970.
    pub updated_at: i64,
    /// True when the body was cut.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub body_truncated: bool,
}

/// The answer of `get_docs`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DocsResponse {
    /// Documents in the order asked for.
    pub docs: Vec<DocItem>,
    /// Names that are unknown or hidden.
    pub not_found: Vec<String>,
    /// Names that a cap left out.
    pub omitted: Vec<String>,
    /// True when a cap removed something.
    pub truncated: bool,
    /// How long it took.
    pub stats: CallStats,
}

/// Bounds of one fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
// Exhaustive on purpose: hosts build it.
pub struct FetchLimits {
    /// Rows.
    pub max_rows: usize,
    /// Bytes.
    pub max_bytes: usize,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { max_rows: 10, max_bytes: 200_000 }
    }
}

/// Arguments of `fetch_from_source`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
// Exhaustive on purpose: hosts build it.
pub struct FetchFromSource {
    /// Documents by name.
    pub doc_ids: Vec<String>,
    /// Columns; none means all that are allowed.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Bounds.
    #[serde(default)]
    pub limits: FetchLimits,
}

/// Why a row is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RowFault {
    /// The error code.
    pub code: String,
    /// What went wrong.
    pub message: String,
}

/// One row, or why it is missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FetchedRow {
    /// The document's name.
    pub doc_id: String,
    /// The source's number.
    pub source_id: i64,
    /// The source's name.
    pub source_name: String,
    /// The backend.
    pub backend_type: String,
    /// The row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<Value>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<RowFault>,
}

/// The answer of `fetch_from_source`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FetchResponse {
    /// Rows in the order asked for.
    pub rows: Vec<FetchedRow>,
    /// Names that are unknown or hidden.
    pub not_found: Vec<String>,
    /// Names that a cap left out.
    pub omitted: Vec<String>,
    /// True when a cap removed something.
    pub truncated: bool,
    /// How long it took, and statements sent.
    pub stats: CallStats,
}
