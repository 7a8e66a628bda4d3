//! Requests and responses of the search and read operations, as hosts pass them on; it knows no store and no protocol.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fuse::FuseMethod;
use crate::query::{MatchMode, Syntax};

/// What a search may return; all kinds are ANDed. Applied before the best `k` are cut.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
// Exhaustive on purpose: hosts build it.
pub struct Filters {
    /// Sources by number.
    pub source_ids: Vec<i64>,
    /// Sources by name; with `source_ids` the intersection.
    pub source_names: Vec<String>,
    /// Documents by name, at most 1000.
    pub doc_ids: Vec<String>,
    /// Values of the mapped key `post_type`.
    pub post_type_ids: Vec<i64>,
    /// At least one of these whole tags, at most 64.
    pub tags_any: Vec<String>,
    /// All of these whole tags, at most 64.
    pub tags_all: Vec<String>,
    /// Created at or after this time (RFC 3339, or a date with an optional time).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_after: Option<String>,
    /// Created at or before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_before: Option<String>,
    /// Lowest final score, 0-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_relevance: Option<f64>,
    /// Lowest value of the mapped key `score`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_meta_score: Option<f64>,
    /// Up to 1 it acts as `min_relevance`, above as `min_meta_score`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_score: Option<f64>,
    /// Metadata key to a value, or to an object of `eq`, `ne`, `in`, `lt`, `lte`, `gt`, `gte`, `exists`, `prefix`; at most 16 keys.
    pub metadata: BTreeMap<String, Value>,
}

/// What a hit carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
// Exhaustive on purpose: hosts build it.
pub struct ReturnOptions {
    /// The title.
    pub include_title: bool,
    /// The document's metadata.
    pub include_metadata: bool,
    /// The chunk's metadata.
    pub include_chunk_metadata: bool,
    /// A window of the body around the matches.
    pub include_snippets: bool,
}

impl Default for ReturnOptions {
    fn default() -> Self {
        Self {
            include_title: true,
            include_metadata: true,
            include_chunk_metadata: false,
            include_snippets: false,
        }
    }
}

/// How snippets are cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
// Exhaustive on purpose: hosts build it.
pub struct SnippetOptions {
    /// Characters, 1-1000.
    pub max_chars: usize,
    /// Put before a matched word.
    pub pre: String,
    /// Put after a matched word.
    pub post: String,
}

impl Default for SnippetOptions {
    fn default() -> Self {
        Self { max_chars: 200, pre: "<mark>".to_owned(), post: "</mark>".to_owned() }
    }
}

/// Diversity among results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
// Exhaustive on purpose: hosts build it.
pub struct MmrOptions {
    /// Weight of relevance against novelty, 0-1.
    pub lambda: f32,
    /// Candidates looked at, at most 200; absent means 4 k.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<usize>,
}

impl Default for MmrOptions {
    fn default() -> Self {
        Self { lambda: 0.7, pool: None }
    }
}

/// A more precise second look at the best candidates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
// Exhaustive on purpose: hosts build it.
pub struct RerankOptions {
    /// Whether to rerank.
    pub enabled: bool,
    /// Candidates that are reranked.
    pub top_n: usize,
}

impl Default for RerankOptions {
    fn default() -> Self {
        Self { enabled: false, top_n: 50 }
    }
}

/// Arguments that all searches share.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Common {
    pub(crate) k: Option<usize>,
    pub(crate) offset: usize,
    pub(crate) filters: Filters,
    pub(crate) returns: ReturnOptions,
    pub(crate) snippet: SnippetOptions,
    pub(crate) mmr: Option<MmrOptions>,
    pub(crate) max_per_doc: usize,
    pub(crate) rerank: RerankOptions,
    pub(crate) explain: bool,
    pub(crate) timeout_ms: Option<u64>,
}

macro_rules! search_request {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        // Exhaustive on purpose: hosts build it with struct update syntax.
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            /// Results wanted, 10 unless said otherwise.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(range(min = 1))]
            pub k: Option<usize>,
            /// Results skipped.
            #[serde(default)]
            pub offset: usize,
            /// What may be returned.
            #[serde(default)]
            pub filters: Filters,
            /// What a hit carries.
            #[serde(default, rename = "return")]
            pub returns: ReturnOptions,
            /// How snippets are cut.
            #[serde(default)]
            pub snippet: SnippetOptions,
            /// Diversity among results.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub mmr: Option<MmrOptions>,
            /// Most results of one document; 0 means any number.
            #[serde(default)]
            pub max_per_doc: usize,
            /// A more precise second look.
            #[serde(default)]
            pub rerank: RerankOptions,
            /// Say how each hit was found.
            #[serde(default)]
            pub explain: bool,
            /// Longest time, in milliseconds.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub timeout_ms: Option<u64>,
        }

        impl $name {
            pub(crate) fn common(&self) -> Common {
                Common {
                    k: self.k,
                    offset: self.offset,
                    filters: self.filters.clone(),
                    returns: self.returns.clone(),
                    snippet: self.snippet.clone(),
                    mmr: self.mmr.clone(),
                    max_per_doc: self.max_per_doc,
                    rerank: self.rerank.clone(),
                    explain: self.explain,
                    timeout_ms: self.timeout_ms,
                }
            }
        }
    };
}

/// A vector given by the caller.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
// Exhaustive on purpose: hosts build it.
pub struct QueryEmbedding {
    /// Number of components.
    pub dim: usize,
    /// Base64 of `dim` little-endian 32-bit floats.
    pub values_b64: String,
}

/// Which model a vector belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
// Exhaustive on purpose: hosts build it.
pub struct EmbeddingChoice {
    /// The model's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

search_request! {
    /// Search by words.
    SearchFts {
        /// What to look for.
        query: String,
        /// How the query is read.
        #[serde(default)]
        syntax: Syntax,
        /// Which words must occur.
        #[serde(default, rename = "match")]
        match_mode: MatchMode,
    }
}

search_request! {
    /// Search by meaning. Exactly one of `query_text` and `query_embedding`.
    SearchVector {
        /// What to look for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query_text: Option<String>,
        /// A vector to look near to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query_embedding: Option<QueryEmbedding>,
        /// The model, when sources use several.
        #[serde(default)]
        embedding: EmbeddingChoice,
    }
}

/// How the legs of a hybrid search come together.
// Exhaustive on purpose: these are the two modes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HybridMode {
    /// Both legs search, and their rankings are fused.
    #[default]
    Fuse,
    /// Words find candidates, vectors score them.
    FtsThenVec,
}

/// Settings of the mode `fuse`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
// Exhaustive on purpose: hosts build it.
pub struct FuseOptions {
    /// `score` (default) or `rrf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<FuseMethod>,
    /// Candidates by words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fts_k: Option<usize>,
    /// Candidates by vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vec_k: Option<usize>,
    /// Constant of reciprocal ranks, 1-10000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rrf_k0: Option<u32>,
    /// Weight of words; absent means by the kind of embedder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub w_fts: Option<f32>,
    /// Weight of vectors; absent means by the kind of embedder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub w_vec: Option<f32>,
}

/// Settings of the mode `fts_then_vec`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
// Exhaustive on purpose: hosts build it.
pub struct FtsThenVecOptions {
    /// Candidates by words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates_k: Option<usize>,
    /// Candidates that are scored by vectors; raised to k + offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank_k: Option<usize>,
    /// `cosine`, `l2` or `dot`; absent means the source's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vec_metric: Option<String>,
}

search_request! {
    /// Search by words and meaning together.
    SearchHybrid {
        /// What to look for.
        query: String,
        /// A vector for the vector leg, in place of the query's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query_embedding: Option<QueryEmbedding>,
        /// How the query is read.
        #[serde(default)]
        syntax: Syntax,
        /// Which words must occur.
        #[serde(default, rename = "match")]
        match_mode: MatchMode,
        /// How the legs come together.
        #[serde(default)]
        mode: HybridMode,
        /// Settings of the mode `fuse`.
        #[serde(default)]
        fuse: FuseOptions,
        /// Settings of the mode `fts_then_vec`.
        #[serde(default)]
        fts_then_vec: FtsThenVecOptions,
        /// Same as in `fuse`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        method: Option<FuseMethod>,
        /// Same as in `fuse`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fts_k: Option<usize>,
        /// Same as in `fuse`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vec_k: Option<usize>,
        /// Same as in `fuse`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rrf_k0: Option<u32>,
        /// Same as in `fuse`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        w_fts: Option<f32>,
        /// Same as in `fuse`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        w_vec: Option<f32>,
        /// Same as in `fts_then_vec`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        candidates_k: Option<usize>,
        /// Same as in `fts_then_vec`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rerank_k: Option<usize>,
        /// Same as in `fts_then_vec`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vec_metric: Option<String>,
    }
}

/// The rank of a hit in each leg.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct HitRanks {
    /// Rank by words, from 1.
    pub rank_fts: Option<usize>,
    /// Rank by vectors, from 1.
    pub rank_vec: Option<usize>,
}

/// One result of a search. Members that the search does not produce are absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Hit {
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
    /// The document's metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// The chunk's metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_metadata: Option<Value>,
    /// A window of the body around the matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snippet: Option<String>,
    /// The final score of a hybrid or reranked search, 0-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// Σ w / (rrf_k0 + rank).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_rrf_raw: Option<f32>,
    /// BM25 as a score in 0-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_fts: Option<f32>,
    /// BM25.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_fts_raw: Option<f32>,
    /// Similarity in 0-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_vec: Option<f32>,
    /// Distance under the metric; lower is nearer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_raw: Option<f32>,
    /// The reranker's score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_rerank: Option<f32>,
    /// The score before reranking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_fused: Option<f32>,
    /// The model of the vector leg.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Ranks in the legs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug: Option<HitRanks>,
    /// How the hit was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<Value>,
}

/// Numbers about one search.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SearchStats {
    /// Results asked for.
    pub k_requested: usize,
    /// Results given.
    pub k_returned: usize,
    /// Milliseconds of the whole search.
    pub ms: f64,
    /// Milliseconds of each stage.
    pub stage_ms: BTreeMap<String, f64>,
    /// Filters that applied.
    pub filters: Vec<String>,
    /// Caps that removed or changed something.
    pub limits_hit: Vec<String>,
    /// Age of the oldest change that the full-text index has not seen.
    pub index_lag_ms: u64,
    /// The mode of a hybrid search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Candidates by words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates_fts: Option<usize>,
    /// Candidates by vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates_vec: Option<usize>,
    /// Models that were searched, when several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spaces: Vec<String>,
    /// Sources without vectors of the searched model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped_sources: Vec<String>,
}

/// The answer of a search.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SearchResponse {
    /// Hits, best first.
    pub results: Vec<Hit>,
    /// True when a cap removed something that was asked for.
    pub truncated: bool,
    /// True when a leg or stage was missing.
    pub degraded: bool,
    /// Why it is degraded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded_reason: Option<String>,
    /// What the caller should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Numbers.
    pub stats: SearchStats,
}
