//! Row estimates, cardinalities and sizes; what is unknown stays empty.

use std::collections::HashMap;

use harvest::{DialectName, HarvestResult, MetadataWarning, ObjectMeta, ObjectType, RowsEstSource};
use rusqlite::Connection;

use crate::errors::mapped;

/// Tables whose highest rowid one statement asks for.
const BATCH_TABLES: usize = 200;
/// Larger files are not scanned for the sizes of their tables.
const SCANNED_BYTES_MAX: i64 = 64 * 1024 * 1024;

/// Fills in rows, index cardinalities and bytes.
pub(super) fn estimate(
    db: &Connection,
    objects: &mut [ObjectMeta],
    warnings: &mut Vec<MetadataWarning>,
) -> HarvestResult<()> {
    let statistics = statistics(db)?;
    for object in objects.iter_mut().filter(|o| o.subtype == "base") {
        let Some(entries) = statistics.get(&object.name) else { continue };
        for (index, stat) in entries {
            let numbers: Vec<i64> = stat.split(' ').map_while(|n| n.parse().ok()).collect();
            let Some(rows) = numbers.first().copied() else { continue };
            object.rows_est = object.rows_est.max(Some(rows));
            object.rows_est_source = Some(RowsEstSource::Statistics);
            let found = object.indexes.iter_mut().find(|i| Some(&i.name) == index.as_ref());
            if let (Some(index), Some(each)) =
                (found, numbers.last().filter(|n| **n > 0 && numbers.len() > 1))
            {
                index.cardinality = Some((rows / each).max(1));
            }
        }
    }
    max_rowids(db, objects, warnings);
    bytes(db, objects)
}

type Statistics = HashMap<String, Vec<(Option<String>, String)>>;

fn statistics(db: &Connection) -> HarvestResult<Statistics> {
    let mut out = Statistics::new();
    let exists: i64 = db
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'", [], |row| row.get(0))
        .map_err(|e| mapped(&e))?;
    if exists == 0 {
        return Ok(out);
    }
    let mut statement = db
        .prepare("SELECT tbl, idx, stat FROM sqlite_stat1 WHERE stat IS NOT NULL")
        .map_err(|e| mapped(&e))?;
    let mut rows = statement.query([]).map_err(|e| mapped(&e))?;
    while let Some(row) = rows.next().map_err(|e| mapped(&e))? {
        let read = || -> rusqlite::Result<(String, Option<String>, String)> {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        };
        let (table, index, stat) = read().map_err(|e| mapped(&e))?;
        out.entry(table).or_default().push((index, stat));
    }
    Ok(out)
}

/// The highest rowid of tables without statistics, many tables a statement.
fn max_rowids(db: &Connection, objects: &mut [ObjectMeta], warnings: &mut Vec<MetadataWarning>) {
    let mut open: Vec<(usize, String)> = Vec::new();
    for (place, object) in objects.iter().enumerate() {
        if object.subtype != "base" || object.object_type != ObjectType::Table || object.rows_est.is_some() {
            continue;
        }
        let taken = |name: &str| object.columns.iter().any(|c| c.name.eq_ignore_ascii_case(name));
        let Some(rowid) = ["rowid", "_rowid_", "oid"].into_iter().find(|n| !taken(n)) else { continue };
        if object.definition.as_deref().is_some_and(super::ddl::without_rowid) {
            continue;
        }
        let table = harvest_gate::quote_identifier(DialectName::Sqlite, &object.name);
        open.push((place, format!("SELECT {place}, max({rowid}) FROM main.{table}")));
    }
    for batch in open.chunks(BATCH_TABLES) {
        let parts: Vec<&str> = batch.iter().map(|(_, sql)| sql.as_str()).collect();
        if let Err(error) = rowids(db, &parts.join(" UNION ALL "), objects) {
            let text = format!("rows of {} tables are unknown: {}", batch.len(), mapped(&error).message);
            warnings.push(MetadataWarning { part: "rows".into(), text });
        }
    }
}

fn rowids(db: &Connection, sql: &str, objects: &mut [ObjectMeta]) -> rusqlite::Result<()> {
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let place: usize = row.get::<_, i64>(0)?.try_into().unwrap_or(usize::MAX);
        if let Some(object) = objects.get_mut(place) {
            object.rows_est = Some(row.get::<_, Option<i64>>(1)?.unwrap_or(0).max(0));
            object.rows_est_source = Some(RowsEstSource::MaxRowid);
        }
    }
    Ok(())
}

/// Bytes of tables and indexes where the library can tell and the file is small enough to look at every page.
fn bytes(db: &Connection, objects: &mut [ObjectMeta]) -> HarvestResult<()> {
    let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let file: i64 = db.query_row(size, [], |row| row.get(0)).map_err(|e| mapped(&e))?;
    if file > SCANNED_BYTES_MAX {
        return Ok(());
    }
    let Ok(mut statement) =
        db.prepare("SELECT name, sum(pgsize) FROM dbstat WHERE aggregate = TRUE GROUP BY name")
    else {
        // The library was built without it.
        return Ok(());
    };
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
    let found: HashMap<String, i64> =
        statement.query_map([], read).and_then(Iterator::collect).map_err(|e| mapped(&e))?;
    for object in objects.iter_mut().filter(|o| o.subtype == "base") {
        object.data_bytes = found.get(&object.name).copied();
        let of_indexes = object.indexes.iter().filter_map(|i| found.get(&i.name)).sum();
        object.index_bytes = (!object.indexes.is_empty()).then_some(of_indexes);
    }
    Ok(())
}
