//! Tables, views, materialised views, foreign tables, sequences and types; it does not read their columns.

use crate::session::Row;
use harvest::{HarvestResult, MetadataStage, ObjectMeta, ObjectType, RowsEstSource};

use super::{Reader, SCHEMA_FILTER};

/// The condition that leaves out what an extension owns; `c` is the relation.
const NO_EXTENSION: &str = "NOT EXISTS (SELECT 1 FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid \
     AND x.refclassid = 'pg_extension'::regclass AND x.deptype = 'e')";

pub(super) fn read(reader: &mut Reader<'_>, full: bool) -> HarvestResult<()> {
    reader.stage(MetadataStage::Objects, 0)?;
    let views =
        if full { "CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END" } else { "NULL::text" };
    let sql = format!(
        "SELECT c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text, c.relispartition, c.reltuples::float8, \
         CASE WHEN c.relkind IN ('r', 'm') THEN pg_table_size(c.oid) END, \
         CASE WHEN c.relkind IN ('r', 'm') THEN pg_indexes_size(c.oid) END, \
         coalesce(obj_description(c.oid, 'pg_class'), ''), am.amname::text, \
         CASE WHEN c.relispartition THEN (SELECT p.relname::text FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent \
          WHERE i.inhrelid = c.oid LIMIT 1) END, \
         CASE WHEN c.relkind = 'p' THEN 'PARTITION BY ' || pg_get_partkeydef(c.oid) \
              WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END, \
         {views}, \
         CASE WHEN c.relkind = 'v' THEN (pg_relation_is_updatable(c.oid, false) & 20) = 20 END, \
         CASE WHEN c.relkind = 'v' THEN array_to_string(c.reloptions, ',') END \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am am ON am.oid = c.relam \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {SCHEMA_FILTER} AND ($3::text IS NULL OR c.relname = $3) \
         AND {NO_EXTENSION} ORDER BY c.oid"
    );
    let rows = reader.rows(&sql)?;
    for (done, row) in rows.iter().enumerate() {
        reader.stage(MetadataStage::Objects, done)?;
        reader.add(row.get(0), relation(row, full))?;
    }
    if full {
        types(reader)?;
    }
    Ok(())
}

fn relation(row: &Row, full: bool) -> ObjectMeta {
    let kind: String = row.get(3);
    let partition: bool = row.get(4);
    let tuples: f64 = row.get(5);
    let options: String = row.get::<Option<String>>(14).unwrap_or_default();
    let option = |name: &str| {
        options.split(',').find_map(|o| o.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    let (object_type, subtype) = match kind.as_str() {
        "v" => (ObjectType::View, ""),
        "m" => (ObjectType::MaterializedView, ""),
        "S" => (ObjectType::Sequence, ""),
        "f" => (ObjectType::Table, "foreign"),
        _ if partition => (ObjectType::Table, "partition"),
        "p" => (ObjectType::Table, "partitioned"),
        _ => (ObjectType::Table, "base"),
    };
    let counted = matches!(kind.as_str(), "r" | "m" | "p" | "f") && tuples >= 0.0;
    let is_view = object_type == ObjectType::View;
    let definition: Option<String> = row.get(12);
    let hidden = full && definition.is_none() && matches!(kind.as_str(), "v" | "m");
    ObjectMeta {
        schema: row.get(1),
        name: row.get(2),
        object_type,
        subtype: subtype.to_owned(),
        parent: row.get(10),
        engine: row.get(9),
        rows_est: counted.then_some(tuples as i64),
        rows_est_source: counted.then_some(RowsEstSource::Statistics),
        data_bytes: row.get(6),
        index_bytes: row.get(7),
        comment: row.get(8),
        definition,
        definition_reason: hidden
            .then(|| "the server does not show the definition to this account".to_owned()),
        partitioning: row.get(11),
        updatable: row.get(13),
        check_option: if is_view { option("check_option") } else { None },
        security: is_view.then(|| match option("security_invoker").as_deref() {
            Some("true" | "on" | "1") => "invoker".to_owned(),
            _ => "definer".to_owned(),
        }),
        ..ObjectMeta::default()
    }
}

/// Enums, domains and composite types; a composite's columns come with its own oid of `pg_class`.
fn types(reader: &mut Reader<'_>) -> HarvestResult<()> {
    let sql = format!(
        "SELECT t.oid::int8, n.nspname::text, t.typname::text, t.typtype::text, coalesce(obj_description(t.oid, 'pg_type'), ''), \
         CASE t.typtype \
          WHEN 'e' THEN (SELECT 'ENUM (' || string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) || ')' \
                         FROM pg_enum e WHERE e.enumtypid = t.oid) \
          WHEN 'd' THEN 'DOMAIN ' || format_type(t.typbasetype, t.typtypmod) || CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END \
               || coalesce((SELECT ' ' || string_agg(pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname) FROM pg_constraint k \
                            WHERE k.contypid = t.oid AND k.contype = 'c'), '') END, \
         t.typrelid::int8 \
         FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid \
         WHERE (t.typtype IN ('e', 'd') OR (t.typtype = 'c' AND c.relkind = 'c')) AND {SCHEMA_FILTER} \
         AND ($3::text IS NULL OR t.typname = $3) \
         AND NOT EXISTS (SELECT 1 FROM pg_depend x WHERE x.classid = 'pg_type'::regclass AND x.objid = t.oid \
          AND x.refclassid = 'pg_extension'::regclass AND x.deptype = 'e') ORDER BY t.oid"
    );
    for row in reader.rows(&sql)? {
        let kind: String = row.get(3);
        let subtype = match kind.as_str() {
            "e" => "enum",
            "d" => "domain",
            _ => "composite",
        };
        let object = ObjectMeta {
            schema: row.get(1),
            name: row.get(2),
            object_type: ObjectType::Type,
            subtype: subtype.to_owned(),
            comment: row.get(4),
            definition: row.get(5),
            ..ObjectMeta::default()
        };
        let (oid, relation): (i64, i64) = (row.get(0), row.get(6));
        reader.add(if relation == 0 { -oid } else { relation }, object)?;
    }
    Ok(())
}
