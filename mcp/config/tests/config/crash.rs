//! A process killed while it saves: the file holds the old set or the new one, whole.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FOLDER: &str = "PENSTOCK_TEST_CRASH_FOLDER";
/// How often a child is killed; a dozen where nothing else is said, 200 for the figure in the README.
const ROUNDS: &str = "PENSTOCK_TEST_CRASH_ROUNDS";
const RULES: u32 = 400;

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
    let rounds: u32 = std::env::var(ROUNDS).ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let (mut saved, mut random) = (std::collections::BTreeSet::new(), 0x2545_f491_4f6c_dd1d_u64);
    for round in 0..rounds {
        let mut child = Command::new(&program)
            .args(["--exact", "crash::child_that_saves", "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("holds");
        // A set must be on its way to the disk; then any moment of the next ones will do.
        let until = Instant::now() + Duration::from_secs(60);
        let before = std::fs::metadata(dir.path().join("mcp_config.db")).and_then(|m| m.modified()).ok();
        while std::fs::metadata(dir.path().join("mcp_config.db")).and_then(|m| m.modified()).ok() == before {
            assert!(
                Instant::now() < until && child.try_wait().expect("holds").is_none(),
                "the child saves nothing"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros((random >> 33) % 60_000));
        child.kill().expect("holds");
        child.wait().expect("holds");
        let family = mcp_config::mcp_family(dir.path(), std::sync::Arc::<crate::world::Memory>::default());
        let admin = mcp_config::AdminSql::open(mcp_config::AdminOptions::new(dir.path()), vec![family])
            .expect("holds");
        let sql = "SELECT count(*), count(DISTINCT comment), min(comment) FROM disk.mcp_query_rules";
        let reply = admin.execute(&mcp_config::AdminSession::local(), sql, &[], 1).expect("holds");
        let found: Vec<_> = reply.rows[0][..2].iter().map(mcp_config::Cell::as_int).collect();
        saved.insert(reply.rows[0][2].display());
        let whole = [vec![Some(0), Some(0)], vec![Some(i64::from(RULES)), Some(1)]];
        assert!(whole.contains(&found), "round {round}: {found:?}");
    }
    // Killed at different moments, not always before the first set.
    assert!(rounds < 12 || saved.len() > 2, "{saved:?}");
}
