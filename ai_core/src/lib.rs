//! Seam of the AI side: the traits and plain types that handlers, stores and models share; it knows no HTTP, no database and no protocol.

mod call;
mod deadline;
mod embed;
mod error;
mod fakes;
mod llm;
mod llm_error;
mod llm_fake;
mod retrieve;
mod rows;
mod text;
mod vector;

pub use call::{CallContext, CancelHook, CancelToken, Priority};
pub use deadline::Deadline;
pub use embed::{EmbedKind, Embedder, EmbedderInfo, Metric, Reranker};
pub use error::{AiError, AiErrorCode, AiResult};
pub use fakes::{FakeEmbedder, FakeReranker, FakeRetriever, MemoryRows, MemoryText, MemoryVectors};
pub use llm::{
    LlmCached, LlmClient, LlmDelta, LlmFinish, LlmFlow, LlmMessage, LlmOutput, LlmRequest, LlmResponse,
    LlmRole, LlmTimings, LlmTool, LlmToolCall, LlmToolChoice, LlmUsage,
};
pub use llm_error::{LlmError, LlmErrorCode};
pub use llm_fake::{FakeAnswer, FakeLlm};
pub use retrieve::{Passage, Retriever};
pub use rows::{
    PageRequest, RowColumn, RowKey, RowPage, RowSource, RowValue, SourceConnector, SourceRow, SourceSpec,
};
pub use text::{
    TextChange, TextClause, TextEntry, TextHit, TextIndex, TextIndexOpener, TextIndexStatus, entry_mark,
};
pub use vector::{Allowed, VectorHit, VectorItem, VectorStore, check_vector};
