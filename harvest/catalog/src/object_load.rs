//! Reads a stored object back into the form that engines give; it resolves and renders nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use harvest::{
    ColumnMeta, ConstraintMeta, ConstraintType, DependencyMeta, ForeignKeyMeta, HarvestResult,
    IndexColumnMeta, IndexMeta, ObjectMeta, ObjectType,
};
use rusqlite::Connection;
use serde_json::Value as Json;

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
    let mut meta = head(c, object_id)?;
    let flags = columns(c, object_id, &mut meta)?;
    indexes(c, object_id, &mut meta)?;
    meta.foreign_keys = foreign_keys(c, object_id)?.into_iter().map(|(_, key)| key).collect();
    constraints(c, object_id, &mut meta)?;
    dependencies(c, object_id, &mut meta)?;
    Ok(Loaded { meta, flags })
}

fn head(c: &Connection, object_id: i64) -> HarvestResult<ObjectMeta> {
    c.prepare_cached(
        "SELECT schema_name, object_name, object_type, object_subtype, signature, parent_object, engine,
           table_rows_est, data_length, index_length, create_time, update_time, object_comment, definition_sql,
           definition_reason, details_json, rows_est_source FROM objects WHERE object_id = ?1",
    )
    .db()?
    .query_row([object_id], |r| {
        let details: Option<String> = r.get(15)?;
        let details: Json =
            details.and_then(|d| serde_json::from_str(&d).ok()).unwrap_or_default();
        let text = |name: &str| details[name].as_str().map(str::to_owned);
        Ok(ObjectMeta {
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
        })
    })
    .db()
}

fn columns(c: &Connection, object_id: i64, meta: &mut ObjectMeta) -> HarvestResult<Vec<Flags>> {
    let mut statement = c
        .prepare_cached(
            "SELECT ordinal_pos, column_name, data_type, column_type, is_nullable, column_default, extra,
               generation_expr, enum_values, charset, collation, column_comment, is_pk, is_unique, is_indexed, is_time,
               is_id_like FROM columns WHERE object_id = ?1 ORDER BY ordinal_pos",
        )
        .db()?;
    let rows = statement
        .query_map([object_id], |r| {
            let labels: Option<String> = r.get(8)?;
            let column = ColumnMeta {
                ordinal: r.get(0)?,
                name: r.get(1)?,
                data_type: r.get(2)?,
                column_type: r.get(3)?,
                nullable: r.get(4)?,
                default: r.get(5)?,
                extra: r.get(6)?,
                generation_expr: r.get(7)?,
                enum_values: labels.and_then(|l| serde_json::from_str(&l).ok()),
                charset: r.get(9)?,
                collation: r.get(10)?,
                comment: r.get(11)?,
            };
            let flags = Flags {
                is_pk: r.get(12)?,
                is_unique: r.get(13)?,
                is_indexed: r.get(14)?,
                is_time: r.get(15)?,
                is_id_like: r.get(16)?,
            };
            Ok((column, flags))
        })
        .db()?;
    let mut flags = Vec::new();
    for row in rows {
        let (column, flag) = row.db()?;
        meta.columns.push(column);
        flags.push(flag);
    }
    Ok(flags)
}

fn indexes(c: &Connection, object_id: i64, meta: &mut ObjectMeta) -> HarvestResult<()> {
    let mut statement = c
        .prepare_cached(
            "SELECT i.index_name, i.is_unique, i.is_primary, i.index_type, i.cardinality, i.predicate, i.is_visible,
               i.comment, p.column_name, p.expression, p.sub_part, p.sort_order, p.is_included, p.collation,
               p.seq_in_index FROM indexes i LEFT JOIN index_columns p ON p.index_id = i.index_id
             WHERE i.object_id = ?1 ORDER BY i.index_id, p.seq_in_index",
        )
        .db()?;
    let mut rows = statement.query([object_id]).db()?;
    while let Some(r) = rows.next().db()? {
        let name: String = r.get(0).db()?;
        if meta.indexes.last().is_none_or(|last| last.name != name) {
            meta.indexes.push(IndexMeta {
                name,
                unique: r.get(1).db()?,
                primary: r.get(2).db()?,
                index_type: r.get(3).db()?,
                cardinality: r.get(4).db()?,
                predicate: r.get(5).db()?,
                visible: r.get(6).db()?,
                comment: r.get(7).db()?,
                columns: Vec::new(),
            });
        }
        let Some(order) = r.get::<_, Option<String>>(11).db()? else { continue };
        if let Some(index) = meta.indexes.last_mut() {
            index.columns.push(IndexColumnMeta {
                name: r.get(8).db()?,
                expression: r.get(9).db()?,
                sub_part: r.get(10).db()?,
                descending: order == "desc",
                included: r.get(12).db()?,
                collation: r.get(13).db()?,
            });
        }
    }
    Ok(())
}

/// The declared keys of a child object, with their ids, in stored order.
pub(crate) fn foreign_keys(c: &Connection, object_id: i64) -> HarvestResult<Vec<(i64, ForeignKeyMeta)>> {
    let mut statement = c
        .prepare_cached(
            "SELECT k.fk_id, k.fk_name, k.parent_schema_name, k.parent_object_name, k.on_update, k.on_delete,
               k.is_deferrable, p.child_column, p.parent_column FROM foreign_keys k
             LEFT JOIN foreign_key_columns p ON p.fk_id = k.fk_id WHERE k.child_object_id = ?1
             ORDER BY k.fk_id, p.seq",
        )
        .db()?;
    let mut rows = statement.query([object_id]).db()?;
    let mut keys: BTreeMap<i64, ForeignKeyMeta> = BTreeMap::new();
    while let Some(r) = rows.next().db()? {
        let fk_id: i64 = r.get(0).db()?;
        let key = match keys.entry(fk_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(ForeignKeyMeta {
                name: r.get(1).db()?,
                parent_schema: r.get(2).db()?,
                parent_table: r.get(3).db()?,
                columns: Vec::new(),
                on_update: r.get(4).db()?,
                on_delete: r.get(5).db()?,
                deferrable: r.get(6).db()?,
            }),
        };
        let pair: (Option<String>, Option<String>) = (r.get(7).db()?, r.get(8).db()?);
        if let (Some(child), Some(parent)) = pair {
            key.columns.push((child, parent));
        }
    }
    Ok(keys.into_iter().collect())
}

fn constraints(c: &Connection, object_id: i64, meta: &mut ObjectMeta) -> HarvestResult<()> {
    let mut statement = c
        .prepare_cached(
            "SELECT constraint_name, constraint_type, columns_json, expression FROM constraints
             WHERE object_id = ?1 ORDER BY constraint_id",
        )
        .db()?;
    let rows = statement
        .query_map([object_id], |r| {
            let columns: String = r.get(2)?;
            Ok(ConstraintMeta {
                name: r.get(0)?,
                constraint_type: match r.get::<_, String>(1)?.as_str() {
                    "check" => ConstraintType::Check,
                    "exclusion" => ConstraintType::Exclusion,
                    _ => ConstraintType::Unique,
                },
                columns: serde_json::from_str(&columns).unwrap_or_default(),
                expression: r.get(3)?,
            })
        })
        .db()?;
    meta.constraints = rows.collect::<rusqlite::Result<_>>().db()?;
    Ok(())
}

fn dependencies(c: &Connection, object_id: i64, meta: &mut ObjectMeta) -> HarvestResult<()> {
    let mut statement = c
        .prepare_cached(
            "SELECT depends_on_schema, depends_on_name, depends_on_type, via FROM view_dependencies
             WHERE view_object_id = ?1 ORDER BY depends_on_schema, depends_on_name",
        )
        .db()?;
    let rows = statement
        .query_map([object_id], |r| {
            Ok(DependencyMeta {
                schema: r.get(0)?,
                name: r.get(1)?,
                object_type: r.get::<_, Option<String>>(2)?.map(|t| object_type(&t)),
                from_catalog: r.get::<_, String>(3)? == "catalog",
            })
        })
        .db()?;
    meta.depends_on = rows.collect::<rusqlite::Result<_>>().db()?;
    Ok(())
}
