//! A harvest that is killed without a word at any moment: the last whole run is served, no half run is there.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bridge_host::{Host, HostConfig, TargetSpec};
use harvest_catalog::ListObjectsRequest;

/// Names the folder to the child that is going to be killed.
const FOLDER: &str = "PENSTOCK_TEST_KILLED_FOLDER";
const TABLES: u64 = 400;
/// Kills of one run of the test; a variable asks for more.
const KILLS: u64 = 12;
const KILLS_VARIABLE: &str = "PENSTOCK_TEST_KILLS";

fn open(folder: &Path) -> Host {
    let mut config = HostConfig::new(folder.join("data"));
    config.allow_privileged_backend = true;
    let url = format!("t=sqlite:{}", folder.join("many.db").display());
    config.targets.push(TargetSpec::parse(&url).expect("a target"));
    Host::open(config).expect("opens after whatever happened")
}

fn folder_of_child() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// The child: harvests again and again until it is killed. Elsewhere: every run is whole after each of the kills.
#[test]
fn live_a_killed_harvest_leaves_the_last_run() {
    if let Some(folder) = folder_of_child() {
        let host = open(&folder);
        loop {
            let report = host.harvest("t", |step| eprintln!("stage {}", step.stage)).expect("harvests");
            eprintln!("whole {}", report.run_id);
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = rusqlite::Connection::open(folder.path().join("many.db")).expect("a file");
    for table in 0..TABLES {
        let sql = format!(
            "CREATE TABLE t{table} (id INTEGER PRIMARY KEY, t{table}_id INT REFERENCES t{} (id), note TEXT, at TEXT)",
            table / 2
        );
        file.execute_batch(&sql).expect("a table");
    }
    drop(file);
    let host = open(folder.path());
    let mut last = host.harvest("t", |_| {}).expect("harvests").run_id;
    host.close();
    drop(host);
    let mut interrupted = 0;
    let kills = std::env::var(KILLS_VARIABLE).ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    // Random enough, and the same again: a generator with a fixed start.
    let mut state = 20_251_125_u64;
    for kill in 0..kills {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wait = 1 + (state >> 33) % 700;
        last = last.max(kill_after(folder.path(), Duration::from_millis(wait)));
        let host = open(folder.path());
        let latest = host.catalog().latest_run_id("t").expect("reads").expect("a run");
        assert!(latest >= last, "kill {kill}: run {last} was whole, {latest} is served");
        let list = host.catalog().list_runs("t", None, true, 1_000, 0).expect("runs");
        for run in &list.runs {
            let total = host
                .catalog()
                .list_objects(&ListObjectsRequest::new(run.run_id, "t"))
                .expect("objects")
                .total;
            assert_eq!(
                (total, run.objects.values().sum()),
                (TABLES, TABLES),
                "kill {kill}: run {}",
                run.run_id
            );
        }
        interrupted = list.attempts.iter().flatten().filter(|a| a.status != "committed").count();
        assert_eq!(host.catalog().check_integrity().expect("checks"), Vec::<String>::new());
        host.close();
    }
    eprintln!("{kills} kills, {interrupted} attempts seen unfinished, last run {last}");
    assert!(interrupted > 0, "no kill hit a running harvest");
    open(folder.path()).harvest("t", |_| {}).expect("harvests again");
}

/// Lets a child harvest and kills it some time after its first stage; gives the last run that it called whole.
fn kill_after(folder: &Path, wait: Duration) -> i64 {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "killed::live_a_killed_harvest_leaves_the_last_run", "--nocapture"])
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let begun = lines.by_ref().any(|line| line.starts_with("stage"));
    assert!(begun, "the child never began");
    let reader = std::thread::spawn(move || {
        lines.filter_map(|line| line.strip_prefix("whole ")?.trim().parse::<i64>().ok()).max().unwrap_or(0)
    });
    std::thread::sleep(wait);
    child.kill().expect("kills");
    child.wait().expect("ends");
    reader.join().expect("no panic")
}
