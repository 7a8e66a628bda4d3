//! Reads a stored object back into the form that engines give; it resolves and renders nothing.

use harvest::{ForeignKeyMeta, HarvestResult, ObjectMeta, ObjectType};
use rusqlite::Connection;
use serde_json::Value as Json;

use crate::content;
use crate::fail::StoreResult;

/// Derived hints of a stored column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) is_pk: bool,
    pub(crate) is_unique: bool,
    pub(crate) is_indexed: bool,
    pub(crate) is_time: bool,
    pub(crate) is_id_like: bool,
}

/// An object with the hints of its columns, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) meta: ObjectMeta,
    pub(crate) flags: Vec<Flags>,
}

pub(crate) fn object_type(name: &str) -> ObjectType {
    match name {
        "view" => ObjectType::View,
        "materialized_view" => ObjectType::MaterializedView,
        "routine" => ObjectType::Routine,
        "trigger" => ObjectType::Trigger,
        "event" => ObjectType::Event,
        "sequence" => ObjectType::Sequence,
        "type" => ObjectType::Type,
        _ => ObjectType::Table,
    }
}

pub(crate) fn load(c: &Connection, object_id: i64) -> HarvestResult<Loaded> {
    let (mut meta, detail) = head(c, object_id)?;
    let flags = content::decode(&detail, &mut meta)?;
    Ok(Loaded { meta, flags })
}

fn head(c: &Connection, object_id: i64) -> HarvestResult<(ObjectMeta, String)> {
    c.prepare_cached(
        "SELECT schema_name, object_name, object_type, object_subtype, signature, parent_object, engine,
           table_rows_est, data_length, index_length, create_time, update_time, object_comment, definition_sql,
           definition_reason, details_json, rows_est_source, detail
         FROM run_objects r JOIN contents c ON c.content_id = r.content_id WHERE r.object_id = ?1",
    )
    .db()?
    .query_row([object_id], |r| {
        let details: Option<String> = r.get(15)?;
        let details: Json =
            details.and_then(|d| serde_json::from_str(&d).ok()).unwrap_or_default();
        let text = |name: &str| details[name].as_str().map(str::to_owned);
        let meta = ObjectMeta {
            schema: r.get(0)?,
            name: r.get(1)?,
            object_type: object_type(&r.get::<_, String>(2)?),
            subtype: r.get(3)?,
            signature: r.get(4)?,
            parent: r.get(5)?,
            engine: r.get(6)?,
            rows_est: r.get(7)?,
            data_bytes: r.get(8)?,
            index_bytes: r.get(9)?,
            create_time: r.get(10)?,
            update_time: r.get(11)?,
            comment: r.get(12)?,
            definition: r.get(13)?,
            definition_reason: r.get(14)?,
            partitioning: text("partitioning"),
            updatable: details["updatable"].as_bool(),
            check_option: text("check_option"),
            security: text("security"),
            rows_est_source: match r.get::<_, Option<String>>(16)?.as_deref() {
                Some("statistics") => Some(harvest::RowsEstSource::Statistics),
                Some("max_rowid") => Some(harvest::RowsEstSource::MaxRowid),
                _ => None,
            },
            ..ObjectMeta::default()
        };
        Ok((meta, r.get(17)?))
    })
    .db()
}

/// The declared keys of a child object, in stored order.
pub(crate) fn foreign_keys(c: &Connection, object_id: i64) -> HarvestResult<Vec<ForeignKeyMeta>> {
    Ok(load(c, object_id)?.meta.foreign_keys)
}
