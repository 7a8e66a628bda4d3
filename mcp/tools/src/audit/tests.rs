//! What the chain shows of rows that were changed, removed or cut off.

use super::*;

fn row<'a>(outcome: &'a str, ref_id: Option<i64>) -> AuditRow<'a> {
    AuditRow {
        kind: "tool",
        caller: "ops",
        action: "admin_kill_query",
        outcome,
        ref_id,
        ..AuditRow::default()
    }
}

fn log() -> (tempfile::TempDir, std::path::PathBuf, AuditLog) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.db");
    let log = AuditLog::open(&path).unwrap();
    (folder, path, log)
}

fn fault(log: &AuditLog) -> Option<i64> {
    log.verify().unwrap().fault.map(|(id, _)| id)
}

#[test]
fn a_changed_row_breaks_the_chain_and_rows_are_not_updated() {
    let (_folder, path, log) = log();
    assert_eq!((fault(&log), log.verify().unwrap().rows), (None, 0));
    let intent = log.append(&row("intent", None)).unwrap();
    log.append(&row("ok", Some(intent))).unwrap();
    log.append(&row("refused", None)).unwrap();
    assert_eq!((fault(&log), log.rows().unwrap()), (None, 3));
    drop(log);
    let log = AuditLog::open(&path).unwrap();
    log.append(&row("intent", None)).unwrap();
    let report = AuditLog::open_to_read(&path).unwrap().verify().unwrap();
    assert_eq!(
        (report.rows, report.last_id, report.fault),
        (4, 4, None),
        "the chain goes on after a restart"
    );
    let other = Connection::open(&path).unwrap();
    assert!(other.execute("UPDATE audit_log SET caller = 'nobody' WHERE audit_id = 2", []).is_err());
    assert!(other.execute("DELETE FROM audit_log WHERE audit_id = 2", []).is_err());
    other
        .execute_batch(
            "DROP TRIGGER audit_log_no_update; UPDATE audit_log SET caller = 'x' WHERE audit_id = 2",
        )
        .unwrap();
    assert_eq!(fault(&log), Some(2));
}

#[test]
fn rows_that_are_gone_are_missed_wherever_they_were() {
    for (gone, seen) in [(1, 1 + 1), (2, 3), (4, 4)] {
        let (_folder, path, log) = log();
        for _ in 0..4 {
            log.append(&row("ok", None)).unwrap();
        }
        let other = Connection::open(&path).unwrap();
        let sql = format!("DROP TRIGGER audit_log_no_delete; DELETE FROM audit_log WHERE audit_id = {gone}");
        other.execute_batch(&sql).unwrap();
        assert_eq!(fault(&log), Some(seen), "row {gone}");
    }
}

#[test]
fn retention_leaves_a_chain_that_holds() {
    let (_folder, path, log) = log();
    let (old, days_40) = (now_s() - 90 * 86_400, now_s() - 40 * 86_400);
    for ts in [old, old, days_40, days_40, now_s()] {
        let mut store = log.store.lock().unwrap();
        let transaction = store.transaction().unwrap();
        insert(&transaction, &row("ok", None), ts).unwrap();
        transaction.commit().unwrap();
    }
    assert_eq!(log.retain(365).unwrap(), 0, "nothing is old enough: no marker either");
    assert_eq!(log.rows().unwrap(), 5);
    assert_eq!(log.retain(60).unwrap(), 2);
    let report = log.verify().unwrap();
    assert_eq!((report.rows, report.first_id, report.fault), (4, 3, None));
    assert_eq!(log.retain(30).unwrap(), 2);
    assert_eq!(fault(&log), None, "a second retention takes over from the first");
    assert_eq!(log.remove_before(now_s() + 10).unwrap(), 3, "everything, markers too");
    log.append(&row("ok", None)).unwrap();
    assert_eq!((fault(&log), log.rows().unwrap()), (None, 2));
    // Without its marker the beginning is not explained.
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("DROP TRIGGER audit_log_no_delete; DELETE FROM audit_log WHERE audit_id = 8")
        .unwrap();
    assert_eq!(fault(&log), Some(9));
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, path, log) = log();
    log.append(&row("ok", None)).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(AuditLog::open(std::path::Path::new("/nowhere/at/all.db")).is_err());
    assert!(AuditLog::open_to_read(std::path::Path::new("/nowhere/at/all.db")).is_err());
}
