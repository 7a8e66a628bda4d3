//! The one transaction that turns a prepared harvest into a run; it reads nothing from a backend.

use std::collections::{BTreeMap, HashMap, HashSet};

use harvest::HarvestResult;
use rusqlite::{Transaction, params};
use serde_json::json;

use crate::catalog::Catalog;
use crate::fail::{self, StoreResult};
use crate::source::HarvestStage;
use crate::store::now;

use super::prepared::{Prepared, References};
use super::{
    Attempt, HARVESTER_VERSION, HarvestOptions, HarvestSummary, ProfileLevel, contents, filter_json,
};

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
        check_base(tx, prepared)?;
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
        let contents = contents::insert(tx, run_id, options, prepared, &mut |done| {
            attempt.stage(HarvestStage::Write, done)
        })?;
        let ids = insert_objects(tx, run_id, prepared, &contents)?;
        insert_profiles(tx, run_id, prepared, &ids)?;
        insert_inferred(tx, run_id, prepared, &contents)?;
        let summary = finish(tx, run_id, options, prepared)?;
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

/// The run that parts are taken from may have been deleted while the backend was read.
fn check_base(tx: &Transaction<'_>, prepared: &Prepared) -> HarvestResult<()> {
    let Some(base) = prepared.base.run_id else { return Ok(()) };
    let is_there: bool =
        tx.query_row("SELECT EXISTS(SELECT 1 FROM runs WHERE run_id = ?1)", [base], |r| r.get(0)).db()?;
    if is_there {
        return Ok(());
    }
    let mut error =
        fail::conflict("the run that unchanged parts come from was deleted meanwhile: repeat the harvest");
    error.retryable = true;
    Err(error)
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
           schema_filter, base_run_id, harvester_version, caller, counts_json, warnings_json, quick_profiles, source_token)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, '{}', ?12, ?13, ?14) RETURNING run_id",
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
            options.profile_level != ProfileLevel::None,
            prepared.snapshot.token,
        ],
        |r| r.get(0),
    )
    .db()
}

/// The objects of the run, in the order of the snapshot; gives their ids.
fn insert_objects(
    tx: &Transaction<'_>,
    run_id: i64,
    prepared: &Prepared,
    contents: &[i64],
) -> HarvestResult<Vec<i64>> {
    let mut statement = tx
        .prepare_cached(
            "INSERT INTO run_objects(run_id, content_id, table_rows_est, rows_est_source, data_length, index_length,
               create_time, update_time, carried_over) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )
        .db()?;
    let mut ids = Vec::with_capacity(contents.len());
    for (at, object) in prepared.snapshot.objects.iter().enumerate() {
        let source = object.rows_est_source.map(|s| match s {
            harvest::RowsEstSource::Statistics => "statistics",
            harvest::RowsEstSource::MaxRowid => "max_rowid",
        });
        statement
            .execute(params![
                run_id,
                contents[at],
                object.rows_est,
                source,
                object.data_bytes,
                object.index_bytes,
                object.create_time,
                object.update_time,
                prepared.carried_from[at].is_some()
            ])
            .db()?;
        ids.push(tx.last_insert_rowid());
    }
    Ok(ids)
}

fn insert_profiles(tx: &Transaction<'_>, run_id: i64, prepared: &Prepared, ids: &[i64]) -> HarvestResult<()> {
    for (at, kind, profile) in &prepared.profiles {
        tx.prepare_cached(
            "INSERT INTO deep_profiles(run_id, object_id, profile_kind, profile_json, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .db()?
        .execute(params![run_id, ids[*at], kind, profile.to_string(), now()])
        .db()?;
    }
    let Some(base) = prepared.base.base_run_id else { return Ok(()) };
    let mut statement =
        tx.prepare_cached("SELECT DISTINCT object_id FROM deep_profiles WHERE run_id = ?1").db()?;
    let deep: HashSet<i64> =
        statement.query_map([base], |r| r.get(0)).db()?.collect::<rusqlite::Result<_>>().db()?;
    for (from, id) in prepared.carried_from.iter().zip(ids) {
        let Some(from) = from.filter(|from| deep.contains(from)) else { continue };
        tx.prepare_cached(
            "INSERT OR IGNORE INTO deep_profiles(run_id, object_id, profile_kind, profile_json, updated_at)
             SELECT ?1, ?2, profile_kind, profile_json, updated_at FROM deep_profiles WHERE object_id = ?3",
        )
        .db()?
        .execute(params![run_id, id, from])
        .db()?;
    }
    Ok(())
}

fn insert_inferred(
    tx: &Transaction<'_>,
    run_id: i64,
    prepared: &Prepared,
    contents: &[i64],
) -> HarvestResult<()> {
    let set_id = match &prepared.inferred {
        References::Shared(set) => set.set_id,
        References::New(pairs) if !pairs.is_empty() => Some(run_id),
        _ => None,
    };
    tx.execute("UPDATE runs SET inferred_set = ?2 WHERE run_id = ?1", (run_id, set_id)).db()?;
    let References::New(pairs) = &prepared.inferred else { return Ok(()) };
    let mut statement = tx
        .prepare_cached(
            "INSERT INTO content_relationships(set_id, child_content_id, child_column, parent_content_id,
               parent_column, confidence, evidence_json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .db()?;
    for pair in pairs {
        statement
            .execute(params![
                run_id,
                contents[pair.child],
                pair.child_column,
                contents[pair.parent],
                pair.parent_column,
                pair.confidence,
                pair.evidence.to_string()
            ])
            .db()?;
    }
    Ok(())
}

/// Numbers of what was read; those of a snapshot without parts are the numbers of the run before.
fn numbers(prepared: &Prepared) -> HashMap<&'static str, u64> {
    const PARTS: [&str; 5] = ["columns", "indexes", "foreign_keys", "constraints", "view_dependencies"];
    if prepared.snapshot.unchanged {
        let before = |name: &str| prepared.base.counts[name].as_u64().unwrap_or_default();
        return PARTS.into_iter().map(|name| (name, before(name))).collect();
    }
    let mut out: HashMap<&'static str, u64> = HashMap::new();
    for object in &prepared.snapshot.objects {
        let views: HashSet<_> = object.depends_on.iter().map(|d| (&d.schema, &d.name)).collect();
        let lengths = [
            object.columns.len(),
            object.indexes.len(),
            object.foreign_keys.len(),
            object.constraints.len(),
            views.len(),
        ];
        for (name, length) in PARTS.into_iter().zip(lengths) {
            *out.entry(name).or_default() += length as u64;
        }
    }
    out
}

fn finish(
    tx: &Transaction<'_>,
    run_id: i64,
    options: &HarvestOptions,
    prepared: &Prepared,
) -> HarvestResult<HarvestSummary> {
    let mut objects: BTreeMap<String, u64> = BTreeMap::new();
    for object in &prepared.snapshot.objects {
        *objects.entry(object.object_type.as_str().to_owned()).or_default() += 1;
    }
    let counted = numbers(prepared);
    let count = |name: &str| counted.get(name).copied().unwrap_or(0);
    let (schemas, inferred) = (prepared.snapshot.schemas.len() as u64, prepared.inferred.count());
    let carried_over = prepared.carried_from.iter().flatten().count() as u64;
    let finished_at = now();
    let counts = json!({
        "objects": objects, "schemas": schemas, "columns": count("columns"), "indexes": count("indexes"),
        "foreign_keys": count("foreign_keys"), "constraints": count("constraints"),
        "view_dependencies": count("view_dependencies"), "inferred_relationships": inferred,
        "carried_over": carried_over, "inference": options.infer_relationships,
        "value_overlap": prepared.had_checks,
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
        objects_count: prepared.snapshot.objects.len() as u64,
        objects,
        schemas_count: schemas,
        columns: count("columns"),
        columns_count: count("columns"),
        indexes: count("indexes"),
        foreign_keys: count("foreign_keys"),
        constraints: count("constraints"),
        view_dependencies: count("view_dependencies"),
        inferred_relationships: inferred,
        carried_over,
        changes: prepared.changes,
        warnings: prepared.warnings.clone(),
    })
}
