//! Routines with their parameters, and triggers; it does not read tables.

use harvest::{ColumnMeta, HarvestResult, MetadataStage, ObjectMeta, ObjectType};

use super::{Reader, SCHEMA_FILTER};

pub(super) fn read(reader: &mut Reader<'_>) -> HarvestResult<()> {
    reader.stage(MetadataStage::Definitions, 0)?;
    routines(reader)?;
    parameters(reader)?;
    triggers(reader)
}

const NO_EXTENSION: &str = "NOT EXISTS (SELECT 1 FROM pg_depend x WHERE x.classid = 'pg_proc'::regclass AND x.objid = p.oid \
     AND x.refclassid = 'pg_extension'::regclass AND x.deptype = 'e')";

fn routines(reader: &mut Reader<'_>) -> HarvestResult<()> {
    let sql = format!(
        "SELECT p.oid::int8, n.nspname::text, p.proname::text, p.prokind::text, pg_get_function_identity_arguments(p.oid), \
         CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END, coalesce(obj_description(p.oid, 'pg_proc'), ''), \
         l.lanname::text, CASE WHEN p.prosecdef THEN 'definer' ELSE 'invoker' END \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang \
         WHERE {SCHEMA_FILTER} AND ($3::text IS NULL OR p.proname = $3) AND {NO_EXTENSION} ORDER BY p.oid"
    );
    for row in reader.rows(&sql)? {
        let kind: String = row.get(3);
        let subtype = match kind.as_str() {
            "p" => "procedure",
            "a" => "aggregate",
            "w" => "window",
            _ => "function",
        };
        let definition: Option<String> = row.get(5);
        let reason = definition.is_none().then(|| "the engine keeps no source text of aggregates".to_owned());
        let object = ObjectMeta {
            schema: row.get(1),
            name: row.get(2),
            object_type: ObjectType::Routine,
            subtype: subtype.to_owned(),
            signature: row.get(4),
            engine: row.get(7),
            comment: row.get(6),
            definition,
            definition_reason: reason,
            security: row.get(8),
            ..ObjectMeta::default()
        };
        let oid: i64 = row.get(0);
        reader.add(routine_key(oid), object)?;
    }
    Ok(())
}

/// Oids of different catalogs may be equal; routines live beyond the range of relations.
fn routine_key(oid: i64) -> i64 {
    oid | 1 << 40
}

fn parameters(reader: &mut Reader<'_>) -> HarvestResult<()> {
    let sql = format!(
        "SELECT p.oid::int8, a.position::int4, coalesce(nullif(p.proargnames[a.position], ''), '$' || a.position), \
         format_type(a.type, NULL), \
         CASE coalesce(p.proargmodes[a.position]::text, 'i') WHEN 'i' THEN 'IN' WHEN 'o' THEN 'OUT' WHEN 'b' THEN 'INOUT' \
          WHEN 'v' THEN 'VARIADIC' ELSE 'TABLE' END \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
         CROSS JOIN LATERAL unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY AS a(type, position) \
         WHERE {SCHEMA_FILTER} AND ($3::text IS NULL OR p.proname = $3) AND {NO_EXTENSION} ORDER BY 1, 2"
    );
    for row in reader.rows(&sql)? {
        let data_type: String = row.get(3);
        let position: i32 = row.get(1);
        let column = ColumnMeta {
            ordinal: position.unsigned_abs(),
            name: row.get(2),
            column_type: data_type.clone(),
            data_type: data_type.to_lowercase(),
            nullable: true,
            extra: row.get(4),
            ..ColumnMeta::default()
        };
        if let Some(routine) = reader.relation(routine_key(row.get(0))) {
            routine.columns.push(column);
        }
    }
    Ok(())
}

/// One row a trigger with its events; internal ones are left out.
fn triggers(reader: &mut Reader<'_>) -> HarvestResult<()> {
    let sql = format!(
        "SELECT t.oid::int8, n.nspname::text, t.tgname::text, c.relname::text, pg_get_triggerdef(t.oid), \
         concat_ws(' OR ', CASE WHEN t.tgtype & 4 > 0 THEN 'INSERT' END, CASE WHEN t.tgtype & 8 > 0 THEN 'DELETE' END, \
          CASE WHEN t.tgtype & 16 > 0 THEN 'UPDATE' END, CASE WHEN t.tgtype & 32 > 0 THEN 'TRUNCATE' END), \
         coalesce(obj_description(t.oid, 'pg_trigger'), '') \
         FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE NOT t.tgisinternal AND {SCHEMA_FILTER} AND ($3::text IS NULL OR c.relname = $3 OR t.tgname = $3) ORDER BY 1"
    );
    for row in reader.rows(&sql)? {
        let table: String = row.get(3);
        let object = ObjectMeta {
            schema: row.get(1),
            name: row.get(2),
            object_type: ObjectType::Trigger,
            subtype: row.get(5),
            signature: table.clone(),
            parent: Some(table),
            comment: row.get(6),
            definition: row.get(4),
            ..ObjectMeta::default()
        };
        let oid: i64 = row.get(0);
        reader.add(oid | 1 << 41, object)?;
    }
    Ok(())
}
