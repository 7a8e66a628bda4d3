//! Versions of a store's layout and how older ones become the current one; it does not know what the tables mean.

use std::path::Path;

use harvest::HarvestResult;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::fail::{self, StoreResult};
use crate::store::now;

/// One step of a layout: its version is its place in the list, counted from 1.
pub(crate) struct Step {
    pub(crate) sql: &'static str,
}

/// Layout of the catalog store.
pub(crate) const CATALOG_STEPS: &[Step] =
    &[Step { sql: include_str!("layout/v1.sql") }, Step { sql: include_str!("layout/v2.sql") }];

/// Layout of the data full-text store; the tables of an index are made with it.
pub(crate) const FTS_STEPS: &[Step] = &[Step { sql: include_str!("layout/fts_v1.sql") }];

/// What opening did to the layout.
// Exhaustive: it is a result of `catalog.init`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LayoutStatus {
    Initialized,
    Migrated,
    Current,
}

impl LayoutStatus {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Initialized => "initialized",
            Self::Migrated => "migrated",
            Self::Current => "current",
        }
    }
}

pub(crate) fn version(connection: &Connection) -> HarvestResult<usize> {
    let has_meta: bool = connection
        .query_row("SELECT EXISTS(SELECT 1 FROM sqlite_schema WHERE name = 'catalog_meta')", [], |r| r.get(0))
        .db()?;
    if !has_meta {
        return Ok(0);
    }
    let text: Option<String> = connection
        .query_row("SELECT value FROM catalog_meta WHERE key = 'schema_version'", [], |r| r.get(0))
        .optional()
        .db()?;
    let text = text.unwrap_or_default();
    text.parse().map_err(|_| {
        fail::precondition(
            "the store's layout version cannot be read",
            "restore it from a backup or move it away",
        )
    })
}

/// Brings the store to the newest of `steps`, one transaction a step, after a file backup if it holds data.
pub(crate) fn bring_up(
    connection: &mut Connection,
    path: &Path,
    steps: &[Step],
) -> HarvestResult<LayoutStatus> {
    let found = version(connection)?;
    if found > steps.len() {
        return Err(fail::precondition(
            format!("the store has layout {found}, this version knows up to {}", steps.len()),
            "use the newer version that wrote it",
        ));
    }
    if found == steps.len() {
        return Ok(LayoutStatus::Current);
    }
    if found > 0 {
        backup(connection, path, found)?;
    }
    // A step may build a table anew; keys that point at it must not notice. The caller turns them on.
    connection.pragma_update(None, "foreign_keys", false).db()?;
    for (at, step) in steps.iter().enumerate().skip(found) {
        apply(connection, step, at + 1)?;
    }
    Ok(if found == 0 { LayoutStatus::Initialized } else { LayoutStatus::Migrated })
}

fn apply(connection: &mut Connection, step: &Step, to: usize) -> HarvestResult<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).db()?;
    // Another process may have been faster.
    if version(&tx)? >= to {
        return Ok(());
    }
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS catalog_meta(key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT",
    )
    .db()?;
    tx.execute_batch(step.sql).db()?;
    tx.execute(
        "INSERT INTO catalog_meta(key, value) VALUES ('schema_version', ?1)
         ON CONFLICT(key) DO UPDATE SET value = excluded.value",
        [to.to_string()],
    )
    .db()?;
    tx.commit().db()
}

fn backup(connection: &Connection, path: &Path, from: usize) -> HarvestResult<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".v{from}.{}.bak", now()));
    let copy = Path::new(&name);
    let text = copy.to_str().ok_or_else(|| {
        fail::precondition("the store's path is not Unicode", "move the store to a Unicode path")
    })?;
    connection.execute("VACUUM INTO ?1", [text]).db()?;
    #[cfg(unix)]
    std::fs::set_permissions(copy, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .map_err(|e| fail::internal(format!("permissions of the backup: {e}")))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[Step] = &[
        Step { sql: "CREATE TABLE a(x INTEGER) STRICT" },
        Step { sql: "ALTER TABLE a ADD COLUMN y INTEGER" },
    ];

    #[test]
    fn steps_keep_data_and_leave_a_backup() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("s.db");
        let mut c = Connection::open(&path).expect("open");
        assert_eq!(bring_up(&mut c, &path, &TWO[..1]).expect("new"), LayoutStatus::Initialized);
        c.execute("INSERT INTO a VALUES (7)", []).expect("insert");
        assert_eq!(bring_up(&mut c, &path, TWO).expect("migrate"), LayoutStatus::Migrated);
        assert_eq!(bring_up(&mut c, &path, TWO).expect("again"), LayoutStatus::Current);
        let kept: (i64, Option<i64>) =
            c.query_row("SELECT x, y FROM a", [], |r| Ok((r.get(0)?, r.get(1)?))).expect("row");
        assert_eq!(kept, (7, None));
        let backups = std::fs::read_dir(dir.path())
            .expect("dir")
            .filter(|e| e.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().ends_with(".bak")))
            .count();
        assert_eq!(backups, 1);
    }

    #[test]
    fn a_newer_layout_is_refused_and_a_failed_step_leaves_nothing() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("s.db");
        let mut c = Connection::open(&path).expect("open");
        bring_up(&mut c, &path, TWO).expect("new");
        let error = bring_up(&mut c, &path, &TWO[..1]).expect_err("newer");
        assert_eq!(error.code, harvest::HarvestCode::FailedPrecondition);
        let broken =
            [Step { sql: "SELECT 1" }, Step { sql: "SELECT 1" }, Step { sql: "CREATE TABLE z(x); nonsense" }];
        assert!(bring_up(&mut c, &path, &broken).is_err());
        assert_eq!(version(&c).expect("version"), 2);
        let made: bool = c
            .query_row("SELECT EXISTS(SELECT 1 FROM sqlite_schema WHERE name = 'z')", [], |r| r.get(0))
            .expect("query");
        assert!(!made);
    }
}
