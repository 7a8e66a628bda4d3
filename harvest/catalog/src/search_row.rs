//! The search row of a stored object: which of its words are indexed where; it does not search.

use std::fmt::Write as _;

use harvest::{HarvestResult, ObjectMeta};
use rusqlite::{Transaction, params};

use crate::fail::StoreResult;
use crate::keys::object_key;
use crate::names::Names;
use crate::tokens::searchable_name;

pub(crate) fn insert(
    tx: &Transaction<'_>,
    content_id: i64,
    run_id: i64,
    target_id: &str,
    object: &ObjectMeta,
    tags: &str,
    names: &mut Names,
) -> HarvestResult<()> {
    let mut columns = String::new();
    for column in &object.columns {
        let _ =
            writeln!(columns, "{}:{} {}", names.searchable(&column.name), column.column_type, column.comment);
    }
    tx.prepare_cached(
        "INSERT INTO fts_objects(rowid, object_key, schema_name, object_name, name_tokens, object_type, comment,
           columns_blob, definition_sql, tags, target_id, run_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )
    .db()?
    .execute(params![
        content_id,
        object_key(&object.schema, &object.name),
        object.schema,
        object.name,
        searchable_name(&object.name),
        object.object_type.as_str(),
        object.comment,
        columns,
        object.definition,
        tags,
        target_id,
        run_id
    ])
    .db()
    .map(drop)
}
