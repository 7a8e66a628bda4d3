//! The one transaction that turns a prepared harvest into a run; it reads nothing from a backend.

use std::collections::{BTreeMap, HashMap};

use harvest::{HarvestResult, ObjectMeta};
use rusqlite::{Transaction, params};
use serde_json::json;

use crate::catalog::Catalog;
use crate::derive::Derived;
use crate::fail::StoreResult;
use crate::object_tags;
use crate::search_row;
use crate::source::HarvestStage;
use crate::store::now;

use super::prepared::Prepared;
use super::{Attempt, HARVESTER_VERSION, HarvestOptions, HarvestSummary, filter_json};

pub(super) fn write(
    catalog: &Catalog,
    options: &HarvestOptions,
    prepared: &Prepared,
    attempt: &mut Attempt<'_>,
    server_version: &str,
    started_at: i64,
) -> HarvestResult<HarvestSummary> {
    let attempt_id = attempt.attempt_id;
    catalog.store().write(|tx| {
        let run_id = insert_run(tx, options, prepared, server_version, started_at)?;
        for schema in &prepared.snapshot.schemas {
            tx.prepare_cached(
                "INSERT INTO schemas(run_id, schema_name, charset, collation, owner, comment)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )
            .db()?
            .execute(params![
                run_id,
                schema.name,
                schema.charset,
                schema.collation,
                schema.owner,
                schema.comment
            ])
            .db()?;
        }
        let tags = object_tags::of_target(tx, &options.target_id)?;
        let mut ids = Vec::with_capacity(prepared.snapshot.objects.len());
        for (at, object) in prepared.snapshot.objects.iter().enumerate() {
            if at % 200 == 0 {
                attempt.stage(HarvestStage::Write, at)?;
            }
            let id = insert_object(tx, run_id, prepared, at)?;
            insert_columns(tx, id, object, &prepared.derived[at])?;
            insert_indexes(tx, id, object)?;
            insert_constraints(tx, id, object)?;
            let tags = tags.get(&prepared.uids[at]).map_or("", String::as_str);
            search_row::insert(tx, id, run_id, &options.target_id, object, tags)?;
            insert_profiles(tx, run_id, id, prepared, at)?;
            ids.push(id);
        }
        insert_links(tx, run_id, prepared, &ids)?;
        insert_inferred(tx, run_id, prepared, &ids)?;
        let summary = finish(tx, run_id, options, prepared, &ids)?;
        tx.execute(
            "UPDATE discovery_attempts SET status = 'committed', stage = 'finish', finished_at = ?2, run_id = ?3
             WHERE attempt_id = ?1",
            params![attempt_id, summary.finished_at, run_id],
        )
        .db()?;
        attempt.stage(HarvestStage::Write, ids.len())?;
        Ok(summary)
    })
}

fn insert_run(
    tx: &Transaction<'_>,
    options: &HarvestOptions,
    prepared: &Prepared,
    server_version: &str,
    started_at: i64,
) -> HarvestResult<i64> {
    tx.query_row(
        "INSERT INTO runs(target_id, protocol, dialect, started_at, finished_at, source_dsn, server_version, notes,
           schema_filter, base_run_id, harvester_version, caller, counts_json, warnings_json)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, '{}', ?12) RETURNING run_id",
        params![
            options.target_id,
            prepared.dialect.protocol().as_str(),
            prepared.dialect.name().as_str(),
            started_at,
            options.source_dsn,
            server_version,
            options.notes,
            filter_json(options.schema_filter.as_ref()),
            prepared.base.base_run_id,
            HARVESTER_VERSION,
            options.caller,
            json!(prepared.warnings).to_string(),
        ],
        |r| r.get(0),
    )
    .db()
}

fn insert_object(tx: &Transaction<'_>, run_id: i64, prepared: &Prepared, at: usize) -> HarvestResult<i64> {
    let (object, derived) = (&prepared.snapshot.objects[at], &prepared.derived[at]);
    let source = object.rows_est_source.map(|s| match s {
        harvest::RowsEstSource::Statistics => "statistics",
        harvest::RowsEstSource::MaxRowid => "max_rowid",
    });
    let has_details = object.partitioning.is_some()
        || object.updatable.is_some()
        || object.check_option.is_some()
        || object.security.is_some();
    let details = has_details.then(|| {
        json!({
            "partitioning": object.partitioning,
            "updatable": object.updatable,
            "check_option": object.check_option,
            "security": object.security,
        })
        .to_string()
    });
    tx.prepare_cached(
        "INSERT INTO objects(run_id, object_uid, schema_name, object_name, object_type, object_subtype, signature,
           parent_object, engine, table_rows_est, rows_est_source, data_length, index_length, create_time,
           update_time, object_comment, definition_sql, definition_reason, details_json, has_primary_key,
           has_foreign_keys, has_time_column, guessed_kind, content_hash, carried_over)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22,
           ?23, ?24, ?25) RETURNING object_id",
    )
    .db()?
    .query_row(
        params![
            run_id,
            prepared.uids[at],
            object.schema,
            object.name,
            object.object_type.as_str(),
            object.subtype,
            object.signature,
            object.parent,
            object.engine,
            object.rows_est,
            source,
            object.data_bytes,
            object.index_bytes,
            object.create_time,
            object.update_time,
            object.comment,
            object.definition,
            object.definition_reason,
            details,
            derived.has_primary_key,
            !object.foreign_keys.is_empty(),
            derived.has_time_column,
            derived.guessed_kind,
            derived.content_hash,
            prepared.carried_from[at].is_some(),
        ],
        |r| r.get(0),
    )
    .db()
}

fn insert_columns(
    tx: &Transaction<'_>,
    id: i64,
    object: &ObjectMeta,
    derived: &Derived,
) -> HarvestResult<()> {
    let mut statement = tx
        .prepare_cached(
            "INSERT INTO columns(object_id, ordinal_pos, column_name, data_type, column_type, type_family,
               is_nullable, column_default, extra, generation_expr, enum_values, charset, collation,
               column_comment, is_pk, is_unique, is_indexed, is_time, is_id_like)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )
        .db()?;
    for (column, hints) in object.columns.iter().zip(&derived.columns) {
        let labels = column.enum_values.as_ref().map(|v| json!(v).to_string());
        statement
            .execute(params![
                id,
                column.ordinal,
                column.name,
                column.data_type,
                column.column_type,
                hints.family.as_str(),
                column.nullable,
                column.default,
                column.extra,
                column.generation_expr,
                labels,
                column.charset,
                column.collation,
                column.comment,
                hints.is_pk,
                hints.is_unique,
                hints.is_indexed,
                hints.is_time,
                hints.is_id_like,
            ])
            .db()?;
    }
    Ok(())
}

fn insert_indexes(tx: &Transaction<'_>, id: i64, object: &ObjectMeta) -> HarvestResult<()> {
    for index in &object.indexes {
        let index_id: i64 = tx
            .prepare_cached(
                "INSERT INTO indexes(object_id, index_name, is_unique, is_primary, index_type, cardinality, predicate,
                   is_visible, comment) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING index_id",
            )
            .db()?
            .query_row(
                params![
                    id,
                    index.name,
                    index.unique,
                    index.primary,
                    index.index_type,
                    index.cardinality,
                    index.predicate,
                    index.visible,
                    index.comment
                ],
                |r| r.get(0),
            )
            .db()?;
        let mut statement = tx
            .prepare_cached(
                "INSERT INTO index_columns(index_id, seq_in_index, column_name, expression, sub_part, sort_order,
                   is_included, collation) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )
            .db()?;
        for (seq, part) in (1_i64..).zip(&index.columns) {
            let order = if part.descending { "desc" } else { "asc" };
            statement
                .execute(params![
                    index_id,
                    seq,
                    part.name,
                    part.expression,
                    part.sub_part,
                    order,
                    part.included,
                    part.collation
                ])
                .db()?;
        }
    }
    Ok(())
}

fn insert_constraints(tx: &Transaction<'_>, id: i64, object: &ObjectMeta) -> HarvestResult<()> {
    let mut statement = tx
        .prepare_cached(
            "INSERT INTO constraints(object_id, constraint_name, constraint_type, columns_json, expression)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .db()?;
    for constraint in &object.constraints {
        let kind = match constraint.constraint_type {
            harvest::ConstraintType::Unique => "unique",
            harvest::ConstraintType::Check => "check",
            harvest::ConstraintType::Exclusion => "exclusion",
        };
        statement
            .execute(params![
                id,
                constraint.name,
                kind,
                json!(constraint.columns).to_string(),
                constraint.expression
            ])
            .db()?;
    }
    Ok(())
}

fn insert_profiles(
    tx: &Transaction<'_>,
    run_id: i64,
    id: i64,
    prepared: &Prepared,
    at: usize,
) -> HarvestResult<()> {
    for (kind, profile) in &prepared.profiles[at] {
        tx.prepare_cached(
            "INSERT INTO profiles(run_id, object_id, profile_kind, profile_json, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .db()?
        .execute(params![run_id, id, kind, profile.to_string(), now()])
        .db()?;
    }
    if let Some(from) = prepared.carried_from[at] {
        tx.prepare_cached(
            "INSERT OR IGNORE INTO profiles(run_id, object_id, profile_kind, profile_json, updated_at)
             SELECT ?1, ?2, profile_kind, profile_json, updated_at FROM profiles
             WHERE object_id = ?3 AND profile_kind <> 'table_quick'",
        )
        .db()?
        .execute(params![run_id, id, from])
        .db()?;
    }
    Ok(())
}

fn insert_links(tx: &Transaction<'_>, run_id: i64, prepared: &Prepared, ids: &[i64]) -> HarvestResult<()> {
    let relations = prepared.relations();
    let id_of = |schema: &str, name: &str| relations.get(&(schema, name)).map(|at| ids[*at]);
    for (object, id) in prepared.snapshot.objects.iter().zip(ids) {
        for key in &object.foreign_keys {
            let fk_id: i64 = tx
                .prepare_cached(
                    "INSERT INTO foreign_keys(run_id, child_object_id, fk_name, parent_schema_name,
                       parent_object_name, parent_object_id, on_update, on_delete, is_deferrable)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING fk_id",
                )
                .db()?
                .query_row(
                    params![
                        run_id,
                        id,
                        key.name,
                        key.parent_schema,
                        key.parent_table,
                        id_of(&key.parent_schema, &key.parent_table),
                        key.on_update,
                        key.on_delete,
                        key.deferrable
                    ],
                    |r| r.get(0),
                )
                .db()?;
            for (seq, (child, parent)) in (1_i64..).zip(&key.columns) {
                tx.prepare_cached(
                    "INSERT INTO foreign_key_columns(fk_id, seq, child_column, parent_column) VALUES (?1, ?2, ?3, ?4)",
                )
                .db()?
                .execute(params![fk_id, seq, child, parent])
                .db()?;
            }
        }
        for dependency in &object.depends_on {
            tx.prepare_cached(
                "INSERT INTO view_dependencies(view_object_id, depends_on_schema, depends_on_name, depends_on_type,
                   depends_on_object_id, via) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            )
            .db()?
            .execute(params![
                id,
                dependency.schema,
                dependency.name,
                dependency.object_type.map(harvest::ObjectType::as_str),
                id_of(&dependency.schema, &dependency.name),
                if dependency.from_catalog { "catalog" } else { "parsed" }
            ])
            .db()?;
        }
    }
    Ok(())
}

fn insert_inferred(tx: &Transaction<'_>, run_id: i64, prepared: &Prepared, ids: &[i64]) -> HarvestResult<()> {
    for pair in &prepared.inferred {
        tx.prepare_cached(
            "INSERT INTO inferred_relationships(run_id, child_object_id, child_column, parent_object_id,
               parent_column, confidence, evidence_json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .db()?
        .execute(params![
            run_id,
            ids[pair.child],
            pair.child_column,
            ids[pair.parent],
            pair.parent_column,
            pair.confidence,
            pair.evidence.to_string()
        ])
        .db()?;
    }
    Ok(())
}

fn finish(
    tx: &Transaction<'_>,
    run_id: i64,
    options: &HarvestOptions,
    prepared: &Prepared,
    ids: &[i64],
) -> HarvestResult<HarvestSummary> {
    let mut objects: BTreeMap<String, u64> = BTreeMap::new();
    for object in &prepared.snapshot.objects {
        *objects.entry(object.object_type.as_str().to_owned()).or_default() += 1;
    }
    let counted = count_rows(tx, run_id)?;
    let count = |name: &str| counted.get(name).copied().unwrap_or(0);
    let carried_over = prepared.carried_from.iter().flatten().count() as u64;
    let finished_at = now();
    let counts = json!({
        "objects": objects, "schemas": count("schemas"), "columns": count("columns"), "indexes": count("indexes"),
        "foreign_keys": count("foreign_keys"), "constraints": count("constraints"),
        "view_dependencies": count("view_dependencies"),
        "inferred_relationships": count("inferred_relationships"), "carried_over": carried_over,
        "inference": options.infer_relationships, "value_overlap": prepared.had_checks,
        "object_id_min": ids.first(), "object_id_max": ids.last(),
    });
    tx.execute(
        "UPDATE runs SET counts_json = ?2, finished_at = ?3 WHERE run_id = ?1",
        params![run_id, counts.to_string(), finished_at],
    )
    .db()?;
    let (server_version, started_at): (String, i64) = tx
        .query_row("SELECT server_version, started_at FROM runs WHERE run_id = ?1", [run_id], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })
        .db()?;
    Ok(HarvestSummary {
        run_id,
        server_version,
        started_at,
        finished_at,
        base_run_id: prepared.base.base_run_id,
        objects_count: ids.len() as u64,
        objects,
        schemas_count: count("schemas"),
        columns: count("columns"),
        columns_count: count("columns"),
        indexes: count("indexes"),
        foreign_keys: count("foreign_keys"),
        constraints: count("constraints"),
        view_dependencies: count("view_dependencies"),
        inferred_relationships: count("inferred_relationships"),
        carried_over,
        changes: prepared.changes,
        warnings: prepared.warnings.clone(),
    })
}

fn count_rows(tx: &Transaction<'_>, run_id: i64) -> HarvestResult<HashMap<&'static str, u64>> {
    let by_run = ["schemas", "foreign_keys", "inferred_relationships"];
    let by_object = [
        ("columns", "object_id"),
        ("indexes", "object_id"),
        ("constraints", "object_id"),
        ("view_dependencies", "view_object_id"),
    ];
    let mut out = HashMap::new();
    for table in by_run {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE run_id = ?1");
        out.insert(table, tx.query_row(&sql, [run_id], |r| r.get::<_, i64>(0)).db()?.unsigned_abs());
    }
    for (table, column) in by_object {
        let sql = format!(
            "SELECT COUNT(*) FROM objects o JOIN {table} t ON t.{column} = o.object_id WHERE o.run_id = ?1"
        );
        out.insert(table, tx.query_row(&sql, [run_id], |r| r.get::<_, i64>(0)).db()?.unsigned_abs());
    }
    Ok(out)
}
