//! `catalog.*`: the store, search over objects, their documents, lists and relationships.

mod get_object;
mod get_relationships;
mod init;
mod list_objects;
mod search;

pub(super) use get_object::GetObject;
pub(super) use get_relationships::GetRelationships;
pub(super) use init::Init;
pub(super) use list_objects::ListObjects;
pub(super) use search::Search;
