//! The only place where the AI side and the database side meet: tools of `/mcp/rag`, rows for ingestion, the detector as a hook; it holds no logic of either side.

mod ai;
mod detector;
mod discover;
mod errors;
mod genai;
mod indexes;
mod linking;
mod nl2sql;
mod prefix;
mod rag;
mod rows;

pub use ai::{AiDeps, AiHistory, HistoryRow, ai_scopes, ai_tools};
pub use detector::{DETECTOR_ORDER, DetectorHook, detector_metrics, detector_mode};
pub use discover::{
    DiscoverBudget, DiscoverOptions, DiscoverOutcome, DiscoverProgress, DiscoverSpent, DiscoverStage,
    Discovery, DomainFact, Facts, KeyFact, KeyOrigin, MemberFact, MetricFact, ObjectFact, QuestionFact,
    SummaryFact,
};
pub use errors::ai_tool_error;
pub use genai::{
    GENAI_ALIASES, GENAI_VARIABLES, GenaiApply, GenaiConfig, ProviderState, RagFulltext, RagSetup,
    RagStoreKind, genai_family,
};
pub use indexes::{EmbedIndexes, IndexDefinition, IndexHit, IndexInfo, IndexJob, IndexQuery, IndexStrategy};
pub use linking::{LinkRequest, Linked, LinkedRelation, SchemaLinker};
pub use nl2sql::{Nl2SqlAnswers, Nl2SqlConfig};
pub use prefix::{GatewaySelect, PrefixAnswers};
pub use rag::{rag_scopes, rag_tools};
pub use rows::GatewayConnector;
