//! The discovery catalog: harvested schemas, relationships, search, agents' memory and logs in SQLite; it opens no backend and knows no tool.

mod catalog;
mod derive;
mod diff;
mod docs;
mod document;
mod fail;
mod harvest_run;
mod keys;
mod layout;
mod llm_index;
mod object_load;
mod object_tags;
mod objects;
mod query_text;
mod relate;
mod relationships;
mod runs;
mod search;
mod search_row;
mod source;
mod store;
#[cfg(test)]
mod tests;
#[cfg(test)]
use tests::support as tests_support;
mod tokens;
mod wildcard;

pub use catalog::{Catalog, CatalogStatus, RunInfo};
pub use diff::{Change, ChangedObject, DiffObject, DiffRequest, DiffResponse, DiffSummary};
pub use document::{
    ColumnDoc, ConstraintDoc, DependsOnDoc, IndexDoc, IndexPartDoc, TableDoc, ViewColumnDoc, ViewDoc,
    constraint_docs,
};
pub use harvest_run::{Changes, HARVESTER_VERSION, HarvestOptions, HarvestSummary, ProfileLevel};
pub use keys::{ObjectRef, RunRef, object_key, object_uid, parse_object_key};
pub use objects::{
    DocumentParts, ListObjectsRequest, ListObjectsResponse, ObjectDocument, ObjectInfo, ObjectListItem,
    ObjectOrder, SchemaRow,
};
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
