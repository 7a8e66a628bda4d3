//! Retrieval over rows and documents: a store, ingestion, and search by words, vectors and both; it knows no protocol and no database driver.

mod admin;
mod analyse;
mod api;
mod catalogue;
mod chunk;
mod config;
mod database;
mod embedders;
mod engine;
mod eval;
mod filters;
mod folder;
mod fuse;
mod html;
mod ids;
mod jobs;
mod map;
mod prepare;
mod quant;
mod query;
mod reads;
mod records;
mod schema;
mod search;
mod search_log;
mod snippet;
mod sql;
mod sqlite;
mod sqlite_vectors;
mod store;
mod sync;
mod times;

pub use admin::{
    CallStats, EmbeddingStats, IndexStats, JobInfo, JobRequest, JobsResponse, SourceDeleteResponse,
    SourcePut, SourcePutResponse, SourceStats, SourceView, StatTotals, StatsResponse, SyncMode, SyncRequest,
    SyncResponse,
};
pub use analyse::{ANALYSER_VERSION, Analyser, QUERY_TERMS_MAX, TERM_BYTES_MAX};
pub use api::{
    EmbeddingChoice, Filters, FtsThenVecOptions, FuseOptions, Hit, HitRanks, HybridMode, MmrOptions,
    QueryEmbedding, RerankOptions, ReturnOptions, SearchFts, SearchHybrid, SearchResponse, SearchStats,
    SearchVector, SnippetOptions,
};
pub use catalogue::RagCaller;
pub use config::{
    BACKEND_TYPES, ChunkUnit, Chunking, Concat, DocIdMap, DocMap, Embedding, MetadataMap, Normalize, Part,
    SourceConfig, SyncSettings, Tombstone,
};
pub use database::{
    Database, EachRow, EachVector, FromCell, Row, Session, SessionWork, SqlFamily, SqlValue, VectorSpace,
    Words,
};
pub use embedders::EmbedderFactory;
pub use engine::{Fulltext, PushDocument, PushReport, Rag, RagBuilder, RagLimits};
pub use eval::{Judgements, Quality, evaluate, percentile};
pub use fuse::{FuseMethod, LEXICAL_VECTOR_WEIGHT, SEMANTIC_VECTOR_WEIGHT};
pub use query::{MatchMode, Syntax};
pub use reads::{
    ChunkContext, ChunkItem, ChunkReturn, ChunksResponse, DocItem, DocReturn, DocsResponse, FetchFromSource,
    FetchLimits, FetchResponse, FetchedRow, GetChunks, GetDocs, Neighbour, RowFault,
};
pub use records::{JobState, SyncErrorRow};
pub use schema::SCHEMA_VERSION;
pub use search_log::LogQueries;
pub use sqlite_vectors::SqliteVectors;
pub use store::{AclEntry, AnnMode};
pub use sync::SourceProgress;
