//! A process killed while it saves: the file holds the old set or the new one, whole.

use std::process::{Command, Stdio};
use std::time::Duration;

const FOLDER: &str = "PENSTOCK_TEST_CRASH_FOLDER";
const RULES: u32 = 400;
const ROUNDS: u32 = 12;

/// The child: saves sets of one comment each, again and again, until it is killed.
#[test]
fn child_that_saves() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let family = mcp_config::mcp_family(folder.as_ref(), std::sync::Arc::<crate::world::Memory>::default());
    let admin =
        mcp_config::AdminSql::open(mcp_config::AdminOptions::new(&folder), vec![family]).expect("holds");
    let run = |sql: &str| admin.execute(&mcp_config::AdminSession::local(), sql, &[], 1).expect("holds");
    for set in 0..100_000 {
        run("DELETE FROM mcp_query_rules");
        run(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {RULES}) \
             INSERT INTO mcp_query_rules (rule_id, comment) SELECT i, 'set {set}' FROM n"
        ));
        run("SAVE MCP QUERY RULES TO DISK");
    }
}

#[test]
fn a_killed_save_leaves_a_whole_set() {
    let dir = tempfile::tempdir().expect("holds");
    let program = std::env::current_exe().expect("holds");
    for round in 0..ROUNDS {
        let mut child = Command::new(&program)
            .args(["--exact", "crash::child_that_saves", "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("holds");
        std::thread::sleep(Duration::from_millis(120 + u64::from(round * 37 % 100)));
        child.kill().expect("holds");
        child.wait().expect("holds");
        let family = mcp_config::mcp_family(dir.path(), std::sync::Arc::<crate::world::Memory>::default());
        let admin = mcp_config::AdminSql::open(mcp_config::AdminOptions::new(dir.path()), vec![family])
            .expect("holds");
        let sql = "SELECT count(*), count(DISTINCT comment) FROM disk.mcp_query_rules";
        let reply = admin.execute(&mcp_config::AdminSession::local(), sql, &[], 1).expect("holds");
        let found: Vec<_> = reply.rows[0].iter().map(mcp_config::Cell::as_int).collect();
        let whole = [vec![Some(0), Some(0)], vec![Some(i64::from(RULES)), Some(1)]];
        assert!(whole.contains(&found), "round {round}: {found:?}");
    }
}
