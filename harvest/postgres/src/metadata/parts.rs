//! Columns, indexes, keys, constraints and dependencies of relations; it adds no objects.

use harvest::{
    ColumnMeta, ConstraintMeta, ConstraintType, DependencyMeta, ForeignKeyMeta, HarvestResult,
    IndexColumnMeta, IndexMeta, MetadataStage, ObjectType,
};

use super::{Reader, SCHEMA_FILTER};

pub(super) fn columns(reader: &mut Reader<'_>) -> HarvestResult<()> {
    reader.stage(MetadataStage::Columns, 0)?;
    // The base type of a domain, through domains over domains, decides families and time columns.
    let sql = format!(
        "WITH RECURSIVE base AS (\
          SELECT t.oid, t.typbasetype AS next FROM pg_type t WHERE t.typtype = 'd' \
          UNION ALL SELECT b.oid, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.next WHERE t.typtype = 'd') \
         SELECT c.oid::int8, (row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum))::int4, a.attname::text, \
         format_type(coalesce((SELECT b.next FROM base b JOIN pg_type x ON x.oid = b.next \
          WHERE b.oid = a.atttypid AND x.typtype <> 'd' LIMIT 1), a.atttypid), NULL), \
         format_type(a.atttypid, a.atttypmod), NOT (a.attnotnull OR (t.typtype = 'd' AND t.typnotnull)), pg_get_expr(d.adbin, d.adrelid), \
         a.attidentity::text, a.attgenerated::text, \
         CASE WHEN t.typtype = 'e' THEN ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) END, \
         CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation THEN \
          (SELECT o.collname::text FROM pg_collation o WHERE o.oid = a.attcollation) END, \
         coalesce(col_description(c.oid, a.attnum), '') \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND {SCHEMA_FILTER} \
         AND ($3::text IS NULL OR c.relname = $3) ORDER BY c.oid, a.attnum"
    );
    for row in reader.rows(&sql)? {
        let (identity, generated): (String, String) = (row.get(7), row.get(8));
        let expression: Option<String> = row.get(6);
        let data_type: String = row.get(3);
        let ordinal: i32 = row.get(1);
        let is_generated = !generated.is_empty();
        let column = ColumnMeta {
            ordinal: ordinal.unsigned_abs(),
            name: row.get(2),
            data_type: data_type.to_lowercase(),
            column_type: row.get(4),
            nullable: row.get(5),
            default: if is_generated { None } else { expression.clone() },
            extra: match identity.as_str() {
                "a" => "identity always".to_owned(),
                "d" => "identity by default".to_owned(),
                _ => String::new(),
            },
            generation_expr: if is_generated { expression } else { None },
            enum_values: row.get(9),
            collation: row.get(10),
            comment: row.get(11),
            ..ColumnMeta::default()
        };
        if let Some(relation) = reader.relation(row.get(0)) {
            relation.columns.push(column);
        }
    }
    Ok(())
}

pub(super) fn indexes(reader: &mut Reader<'_>) -> HarvestResult<()> {
    reader.stage(MetadataStage::Indexes, 0)?;
    let sql = format!(
        "SELECT c.oid::int8, i.relname::text, x.indisunique, x.indisprimary, am.amname::text, i.reltuples::float8, \
         pg_get_expr(x.indpred, x.indrelid), x.indisvalid, coalesce(obj_description(i.oid, 'pg_class'), ''), \
         k.position::int4, k.position > x.indnkeyatts, a.attname::text, \
         CASE WHEN k.attnum = 0 THEN pg_get_indexdef(x.indexrelid, k.position::int4, true) END, \
         CASE WHEN k.position <= x.indnkeyatts THEN (x.indoption[k.position - 1] & 1) = 1 ELSE false END \
         FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am am ON am.oid = i.relam \
         CROSS JOIN LATERAL unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, position) \
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum AND k.attnum <> 0 \
         WHERE c.relkind IN ('r', 'p', 'm') AND {SCHEMA_FILTER} AND ($3::text IS NULL OR c.relname = $3) \
         ORDER BY c.oid, i.relname, k.position"
    );
    for row in reader.rows(&sql)? {
        let tuples: f64 = row.get(5);
        let (name, position): (String, i32) = (row.get(1), row.get(9));
        let part = IndexColumnMeta {
            name: row.get(11),
            expression: row.get(12),
            descending: row.get(13),
            included: row.get(10),
            ..IndexColumnMeta::default()
        };
        let Some(relation) = reader.relation(row.get(0)) else { continue };
        if position == 1 {
            relation.indexes.push(IndexMeta {
                name,
                unique: row.get(2),
                primary: row.get(3),
                index_type: row.get(4),
                cardinality: (tuples >= 0.0).then_some(tuples as i64),
                predicate: row.get(6),
                visible: row.get(7),
                comment: row.get(8),
                columns: Vec::new(),
            });
        }
        if let Some(index) = relation.indexes.last_mut() {
            index.columns.push(part);
        }
    }
    Ok(())
}

pub(super) fn foreign_keys(reader: &mut Reader<'_>) -> HarvestResult<()> {
    reader.stage(MetadataStage::ForeignKeys, 0)?;
    // Rows that only repeat a key for each partition of the referenced table are left out.
    let sql = format!(
        "SELECT c.oid::int8, k.conname::text, fn.nspname::text, f.relname::text, k.confupdtype::text, k.confdeltype::text, \
         k.condeferrable, pair.position::int4, ca.attname::text, fa.attname::text \
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace \
         CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS pair(child, parent, position) \
         JOIN pg_attribute ca ON ca.attrelid = k.conrelid AND ca.attnum = pair.child \
         JOIN pg_attribute fa ON fa.attrelid = k.confrelid AND fa.attnum = pair.parent \
         WHERE k.contype = 'f' AND {SCHEMA_FILTER} AND ($3::text IS NULL OR c.relname = $3) \
         AND NOT EXISTS (SELECT 1 FROM pg_constraint up WHERE up.oid = k.conparentid AND up.conrelid = k.conrelid) \
         ORDER BY c.oid, k.conname, pair.position"
    );
    for row in reader.rows(&sql)? {
        let (name, position): (String, i32) = (row.get(1), row.get(7));
        let Some(relation) = reader.relation(row.get(0)) else { continue };
        if position == 1 {
            relation.foreign_keys.push(ForeignKeyMeta {
                name,
                parent_schema: row.get(2),
                parent_table: row.get(3),
                columns: Vec::new(),
                on_update: Some(action(row.get(4))),
                on_delete: Some(action(row.get(5))),
                deferrable: row.get(6),
            });
        }
        if let Some(key) = relation.foreign_keys.last_mut() {
            key.columns.push((row.get(8), row.get(9)));
        }
    }
    Ok(())
}

fn action(code: &str) -> String {
    match code {
        "r" => "RESTRICT",
        "c" => "CASCADE",
        "n" => "SET NULL",
        "d" => "SET DEFAULT",
        _ => "NO ACTION",
    }
    .to_owned()
}

pub(super) fn constraints(reader: &mut Reader<'_>) -> HarvestResult<()> {
    reader.stage(MetadataStage::Constraints, 0)?;
    let sql = format!(
        "SELECT c.oid::int8, k.conname::text, k.contype::text, \
         ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(attnum, position) \
          JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.position), \
         CASE k.contype WHEN 'c' THEN pg_get_expr(k.conbin, k.conrelid) WHEN 'x' THEN pg_get_constraintdef(k.oid) END \
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE k.contype IN ('c', 'u', 'x') AND {SCHEMA_FILTER} AND ($3::text IS NULL OR c.relname = $3) \
         ORDER BY c.oid, k.conname"
    );
    for row in reader.rows(&sql)? {
        let kind: String = row.get(2);
        let constraint = ConstraintMeta {
            name: row.get(1),
            constraint_type: match kind.as_str() {
                "c" => ConstraintType::Check,
                "x" => ConstraintType::Exclusion,
                _ => ConstraintType::Unique,
            },
            columns: row.get(3),
            expression: row.get(4),
        };
        if let Some(relation) = reader.relation(row.get(0)) {
            relation.constraints.push(constraint);
        }
    }
    Ok(())
}

pub(super) fn dependencies(reader: &mut Reader<'_>) -> HarvestResult<()> {
    let sql = format!(
        "SELECT DISTINCT c.oid::int8, rn.nspname::text, r.relname::text, r.relkind::text \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_rewrite w ON w.ev_class = c.oid \
         JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass \
         JOIN pg_class r ON r.oid = d.refobjid JOIN pg_namespace rn ON rn.oid = r.relnamespace \
         WHERE c.relkind IN ('v', 'm') AND r.oid <> c.oid AND r.relkind IN ('r', 'p', 'v', 'm', 'f') AND {SCHEMA_FILTER} \
         AND ($3::text IS NULL OR c.relname = $3) ORDER BY 1, 2, 3"
    );
    for row in reader.rows(&sql)? {
        let kind: String = row.get(3);
        let dependency = DependencyMeta {
            schema: row.get(1),
            name: row.get(2),
            object_type: Some(match kind.as_str() {
                "v" => ObjectType::View,
                "m" => ObjectType::MaterializedView,
                _ => ObjectType::Table,
            }),
            from_catalog: true,
        };
        if let Some(view) = reader.relation(row.get(0)) {
            view.depends_on.push(dependency);
        }
    }
    Ok(())
}
