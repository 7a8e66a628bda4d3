//! The discovery catalog: harvested schemas, relationships, search, agents' memory and logs in SQLite; it opens no backend and knows no tool.

mod agent;
mod catalog;
mod content;
mod data_index;
mod derive;
mod diff;
mod digest_rows;
mod docs;
mod document;
mod fail;
mod harvest_run;
mod joins;
mod keys;
mod kv;
mod layout;
mod llm;
mod llm_index;
mod logs;
mod names;
mod object_document;
mod object_load;
mod object_tags;
mod objects;
mod query_text;
mod relate;
mod relation_texts;
mod relationships;
mod runs;
mod search;
mod search_row;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod text_enum;
mod tokens;
mod wildcard;
#[cfg(test)]
use tests::support as tests_support;

pub use agent::{
    AgentFinished, AgentList, AgentListRequest, AgentRow, AgentScope, AgentStarted, AgentStatus,
    EventAppended, EventRow, EventType,
};
pub use catalog::{Catalog, CatalogStatus, RunInfo};
pub use data_index::{
    DataHit, DataIndexDeleted, DataIndexList, DataIndexRow, DataIndexSpec, DataIndexed, DataIndexes,
    DataLimits, DataSearchRequest, DataSearchResponse,
};
pub use diff::{Change, ChangedObject, DiffObject, DiffRequest, DiffResponse, DiffSummary};
pub use digest_rows::DigestRecord;
pub use document::{
    ColumnDoc, ConstraintDoc, DependsOnDoc, IndexDoc, IndexPartDoc, TableDoc, ViewColumnDoc, ViewDoc,
    constraint_docs, guessed_kind,
};
pub use harvest_run::{Changes, HARVESTER_VERSION, HarvestOptions, HarvestSummary, ProfileLevel};
pub use joins::{
    JoinCandidate, JoinRequest, JoinSide, JoinSuggestions, ReferenceCandidate, ReferenceCandidates,
    ReferenceRequest, find_references_live, suggest_joins_live,
};
pub use keys::{ObjectRef, RunRef, object_key, object_uid, parse_object_key};
pub use kv::{
    DOCUMENT_BYTES_MAX, KvDeleted, KvEntry, KvFilter, KvGot, KvHit, KvKey, KvList, KvMerge, KvMerged,
    KvSearchRequest, KvSearchResponse, KvUpserted,
};
pub use llm::{
    DomainList, DomainListRequest, DomainMember, DomainMemberRow, DomainRow, DomainUpsert, DomainUpserted,
    LlmSearchHit, LlmSearchRequest, LlmSearchResponse, MemberRole, MembersSet, MetricDependency, MetricList,
    MetricListRequest, MetricRow, MetricUpsert, MetricUpserted, NoteAdd, NoteAdded, NoteScope, Outcome,
    RecordKind, RelType, RelationshipUpsert, RelationshipUpserted, SummaryList, SummaryRow, SummaryStatus,
    SummaryUpsert, SummaryUpserted, TemplateAdd, TemplateAdded, TemplateCheck, TemplateFeedback,
    TemplateFeedbackDone, question_norm,
};
pub use logs::{LogOptions, LogWriter, SearchLogRow, ToolCallRow, ToolUsage};
pub use object_document::{DocumentParts, ObjectDocument, ObjectInfo};
pub use objects::{ListObjectsRequest, ListObjectsResponse, ObjectListItem, ObjectOrder, SchemaRow};
pub use relation_texts::{RelationLink, RelationText};
pub use relationships::{
    Direction, ForeignKeyDoc, InferredRelationship, LlmRelationship, RelationEnd, RelationshipFilter,
    Relationships, ViewLink,
};
pub use runs::{AttemptRow, DeletedRun, RunList, RunRow};
pub use search::{SearchHit, SearchRequest, SearchResponse};
pub use source::{
    BatchRequest, ColumnRef, HarvestStage, HarvestWatch, MetadataSource, Overlap, OverlapQuery, RowReader,
    ValueProbe,
};
pub use store::StoreOptions;
pub use tokens::{is_id_like, name_tokens, singular};
