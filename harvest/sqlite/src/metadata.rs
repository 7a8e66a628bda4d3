//! Reads a file's schema with one statement a stage; what SQL text alone tells is parsed elsewhere.

mod ddl;
mod read;
mod sizes;
mod state;

pub(crate) use read::read;

use harvest::HarvestResult;

use crate::errors::mapped;

/// Opens every virtual table whose module prepares statements of its own when it is first used.
pub(crate) fn open_modules(db: &rusqlite::Connection) -> HarvestResult<()> {
    let mut list = db
        .prepare("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'virtual'")
        .map_err(|e| mapped(&e))?;
    let names: Vec<String> =
        list.query_map([], |row| row.get(0)).and_then(Iterator::collect).map_err(|e| mapped(&e))?;
    for name in names {
        let sql = format!(
            "SELECT 1 FROM {} LIMIT 0",
            harvest_gate::quote_identifier(harvest::DialectName::Sqlite, &name)
        );
        // A table whose module is absent stays closed; its own statement will say so.
        let _ = db.prepare(&sql);
    }
    Ok(())
}
