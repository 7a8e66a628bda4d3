//! Writes the contents that the store does not hold yet, each with its search row and its links; it knows no run but the new one.

use harvest::{HarvestResult, ObjectMeta};
use rusqlite::{Transaction, params};

use crate::derive::Derived;
use crate::fail::StoreResult;
use crate::names::Names;
use crate::object_tags;
use crate::search_row;

use super::HarvestOptions;
use super::prepared::{NewContent, Prepared, Stored};

/// Objects between two reports of progress.
const REPORT_EVERY: usize = 200;

/// The content of every object of the snapshot, written where it is new.
pub(super) fn insert(
    tx: &Transaction<'_>,
    run_id: i64,
    options: &HarvestOptions,
    prepared: &Prepared,
    report: &mut dyn FnMut(usize) -> HarvestResult<()>,
) -> HarvestResult<Vec<i64>> {
    let has_new = prepared.stored.iter().any(|s| matches!(s, Stored::New(_)));
    let tags = if has_new { object_tags::of_target(tx, &options.target_id)? } else { Default::default() };
    let mut names = Names::default();
    let mut ids = Vec::with_capacity(prepared.stored.len());
    for (at, stored) in prepared.stored.iter().enumerate() {
        if at % REPORT_EVERY == 0 {
            report(at)?;
        }
        let new = match stored {
            Stored::Shared(id) => {
                ids.push(*id);
                continue;
            }
            Stored::New(new) => new,
        };
        let object = &prepared.snapshot.objects[at];
        let id = insert_content(tx, object, &prepared.derived[at], &prepared.uids[at], new)?;
        insert_links(tx, id, object)?;
        let tags = tags.get(&prepared.uids[at]).map_or("", String::as_str);
        search_row::insert(tx, id, run_id, &options.target_id, object, tags, &mut names)?;
        ids.push(id);
    }
    Ok(ids)
}

fn insert_content(
    tx: &Transaction<'_>,
    object: &ObjectMeta,
    derived: &Derived,
    uid: &str,
    new: &NewContent,
) -> HarvestResult<i64> {
    tx.prepare_cached(
        "INSERT INTO contents(object_uid, schema_name, object_name, object_type, object_subtype, signature,
           parent_object, engine, object_comment, definition_sql, definition_reason, details_json, has_primary_key,
           has_foreign_keys, has_time_column, guessed_kind, lookup_if_small, columns_count, content_hash, fingerprint,
           detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
    )
    .db()?
    .execute(params![
        uid,
        object.schema,
        object.name,
        object.object_type.as_str(),
        object.subtype,
        object.signature,
        object.parent,
        object.engine,
        object.comment,
        object.definition,
        object.definition_reason,
        new.content.details,
        derived.has_primary_key,
        !object.foreign_keys.is_empty(),
        derived.has_time_column,
        derived.guessed_kind,
        derived.lookup_if_small,
        object.columns.len() as i64,
        new.content_hash,
        new.content.fingerprint,
        new.content.detail,
    ])
    .db()?;
    Ok(tx.last_insert_rowid())
}

fn insert_links(tx: &Transaction<'_>, id: i64, object: &ObjectMeta) -> HarvestResult<()> {
    for (seq, key) in (0_i64..).zip(&object.foreign_keys) {
        tx.prepare_cached(
            "INSERT INTO content_foreign_keys(content_id, seq, parent_schema_name, parent_object_name)
             VALUES (?1, ?2, ?3, ?4)",
        )
        .db()?
        .execute(params![id, seq, key.parent_schema, key.parent_table])
        .db()?;
    }
    for dependency in &object.depends_on {
        tx.prepare_cached(
            "INSERT INTO content_dependencies(content_id, depends_on_schema, depends_on_name, depends_on_type, via)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        )
        .db()?
        .execute(params![
            id,
            dependency.schema,
            dependency.name,
            dependency.object_type.map(harvest::ObjectType::as_str),
            if dependency.from_catalog { "catalog" } else { "parsed" }
        ])
        .db()?;
    }
    Ok(())
}
