//! Durable notes of agents, about everything, a schema, an object or a domain.

use harvest::HarvestResult;
use rusqlite::params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::agent::running;
use crate::catalog::Catalog;
use crate::fail::{self, StoreResult};
use crate::keys::ObjectRef;
use crate::llm_index::{self, SearchRow};
use crate::object_tags;
use crate::objects::{resolve, schema_exists};
use crate::store::now;
use crate::text_enum::text_enum;

use super::domain;

text_enum! {
    /// What a note is about.
    NoteScope {
        /// Everything.
        Global = "global",
        /// A schema.
        Schema = "schema",
        /// An object.
        Object = "object",
        /// A domain.
        Domain = "domain",
    }
}

/// A note to write.
#[derive(Debug, Clone)]
// Exhaustive: callers fill every field from their arguments.
pub struct NoteAdd {
    /// The agent run.
    pub agent_run_id: i64,
    /// What it is about.
    pub scope: NoteScope,
    /// The text.
    pub body: String,
    /// For scope object.
    pub object_id: Option<i64>,
    /// For scope schema.
    pub schema_name: Option<String>,
    /// For scope domain.
    pub domain_key: Option<String>,
    /// A short title.
    pub title: Option<String>,
    /// Tags; they become tags of the object as well.
    pub tags: Vec<String>,
}

/// A written note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct NoteAdded {
    /// The note.
    pub note_id: i64,
}

impl Catalog {
    /// Writes a note.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if the field that its scope needs is absent, `NOT_FOUND`, `FAILED_PRECONDITION`.
    pub fn note_add(&self, request: &NoteAdd) -> HarvestResult<NoteAdded> {
        self.store().write(|tx| {
            let (scope, run_id) = running(tx, request.agent_run_id)?;
            let needs = |argument: &str| fail::invalid(argument, &format!("given for scope {}", request.scope.as_str()), "nothing");
            let mut object = None;
            let key = match request.scope {
                NoteScope::Global => "global".to_owned(),
                NoteScope::Schema => {
                    let schema = request.schema_name.as_ref().ok_or_else(|| needs("schema_name"))?;
                    schema_exists(tx, run_id, schema)?;
                    schema.clone()
                }
                NoteScope::Object => {
                    let id = request.object_id.ok_or_else(|| needs("object_id"))?;
                    let row = resolve(tx, run_id, &ObjectRef::id(id))?;
                    let key = row.key();
                    object = Some(row);
                    key
                }
                NoteScope::Domain => {
                    let domain = request.domain_key.as_ref().ok_or_else(|| needs("domain_key"))?;
                    if !domain::is_known(tx, &scope.target_id, domain)? {
                        return Err(fail::not_found("domain", domain));
                    }
                    domain.clone()
                }
            };
            let title = request.title.as_deref().unwrap_or_default();
            let note_id: i64 = tx
                .query_row(
                    "INSERT INTO llm_notes(target_id, run_id, agent_run_id, scope, object_id, object_uid, object_hash,
                       object_key, schema_name, domain_key, title, body, tags_json, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) RETURNING note_id",
                    params![
                        scope.target_id,
                        run_id,
                        request.agent_run_id,
                        request.scope.as_str(),
                        object.as_ref().map(|o| o.object_id),
                        object.as_ref().map(|o| &o.uid),
                        object.as_ref().map(|o| &o.hash),
                        object.as_ref().map(|_| &key),
                        request.schema_name,
                        request.domain_key,
                        title,
                        request.body,
                        json!(request.tags).to_string(),
                        now()
                    ],
                    |r| r.get(0),
                )
                .db()?;
            llm_index::put(
                tx,
                &SearchRow {
                    kind: "note",
                    ref_id: note_id,
                    key: &key,
                    title,
                    body: &request.body,
                    tags: &request.tags.join("\n"),
                    target_id: &scope.target_id,
                    run_id: Some(run_id),
                    object_uid: object.as_ref().map(|o| o.uid.as_str()),
                },
            )?;
            if let Some(object) = &object {
                object_tags::refresh(tx, &scope.target_id, &object.uid)?;
            }
            Ok(NoteAdded { note_id })
        })
    }
}
