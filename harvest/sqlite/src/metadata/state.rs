//! What stands for the whole schema of a file: every text it is made of, and the statistics beside it; it reads no part.

use std::collections::HashMap;

use harvest::HarvestResult;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use sha2::{Digest, Sha256};

use crate::errors::mapped;

/// Version of what a read makes of these texts.
const FORM: &[u8] = b"1";

/// A hash over everything that a read of the schema depends on, the library's version included.
pub(super) fn token(db: &Connection) -> HarvestResult<String> {
    let mut hash = Sha256::new();
    hash.update(FORM);
    hash.update(rusqlite::version());
    each(db, "SELECT type, name, tbl_name, sql FROM sqlite_schema", &mut |row| add(&mut hash, row, 4))?;
    let has_statistics: bool = db
        .query_row("SELECT EXISTS(SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1')", [], |row| {
            row.get(0)
        })
        .map_err(|e| mapped(&e))?;
    if has_statistics {
        each(db, "SELECT tbl, idx, stat FROM sqlite_stat1", &mut |row| add(&mut hash, row, 3))?;
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn add(hash: &mut Sha256, row: &Row<'_>, cells: usize) -> rusqlite::Result<()> {
    for cell in 0..cells {
        let text = match row.get_ref(cell)? {
            ValueRef::Text(text) | ValueRef::Blob(text) => Some(text),
            _ => None,
        };
        hash.update(text.map_or(u64::MAX, |t| t.len() as u64).to_le_bytes());
        hash.update(text.unwrap_or_default());
    }
    Ok(())
}

/// Names of the indexes by table.
pub(super) fn indexes(db: &Connection) -> HarvestResult<HashMap<String, Vec<String>>> {
    let mut out: HashMap<String, Vec<String>> = HashMap::new();
    each(db, "SELECT tbl_name, name FROM sqlite_schema WHERE type = 'index'", &mut |row| {
        out.entry(row.get(0)?).or_default().push(row.get(1)?);
        Ok(())
    })?;
    Ok(out)
}

fn each(
    db: &Connection,
    sql: &str,
    take: &mut dyn FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> HarvestResult<()> {
    let mut statement = db.prepare(sql).map_err(|e| mapped(&e))?;
    let mut rows = statement.query([]).map_err(|e| mapped(&e))?;
    while let Some(row) = rows.next().map_err(|e| mapped(&e))? {
        take(row).map_err(|e| mapped(&e))?;
    }
    Ok(())
}
