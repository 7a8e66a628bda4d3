//! The crate's own statements, harmless and hostile, against its promises for a cold detector.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use ai_core_anomaly::{Action, Detector, DetectorConfig, Dialect, SqlMode, StatementContext};

const BENIGN: &str = include_str!("fixtures/benign.sql");
const ATTACKS: &str = include_str!("fixtures/attacks.sql");

/// Statements by dialect; those under `-- any` count for each dialect.
fn statements(file: &'static str) -> Vec<(Dialect, &'static str)> {
    let all = [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite];
    let mut now: Vec<Dialect> = Vec::new();
    let mut out = Vec::new();
    for line in file.lines().filter(|l| !l.is_empty()) {
        match line {
            "-- any" => now = all.to_vec(),
            "-- pg" => now = vec![Dialect::Postgres],
            "-- mysql" => now = vec![Dialect::MySql],
            "-- sqlite" => now = vec![Dialect::Sqlite],
            sql => out.extend(now.iter().map(|d| (*d, sql))),
        }
    }
    out
}

fn judge(file: &'static str) -> Vec<(Dialect, &'static str, Action, String)> {
    let detector = Detector::new(DetectorConfig::default()).unwrap();
    statements(file)
        .into_iter()
        .map(|(d, sql)| {
            let ctx = StatementContext::new(d, sql.as_bytes()).user("app").sql_mode(Some(SqlMode::default()));
            let v = detector.check(&ctx);
            (d, sql, v.action, format!("{:?}", v.rules()))
        })
        .collect()
}

#[test]
fn harmless_statements_pass() {
    let bad: Vec<_> = judge(BENIGN).into_iter().filter(|v| v.2 != Action::Allow).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn attacks_are_caught() {
    let verdicts = judge(ATTACKS);
    let missed: Vec<_> = verdicts.iter().filter(|v| v.2 == Action::Allow).collect();
    assert!(missed.is_empty(), "{missed:#?}");
    let denied = verdicts.iter().filter(|v| v.2 == Action::Deny).count();
    assert!(denied * 100 >= verdicts.len() * 55, "{denied} of {} denied", verdicts.len());
}

#[test]
fn log_only_denies_nothing() {
    let mut config = DetectorConfig::default();
    config.log_only = true;
    let detector = Detector::new(config).unwrap();
    for (d, sql) in statements(ATTACKS) {
        let v = detector.check(&StatementContext::new(d, sql.as_bytes()).user("app"));
        assert_eq!(v.action, Action::Flag, "{sql}");
    }
}

#[test]
fn spreading_over_lines_and_comments_hides_nothing() {
    let detector = Detector::new(DetectorConfig::default()).unwrap();
    for (d, sql) in statements(ATTACKS) {
        if sql.contains("--") || sql.contains('#') || sql.contains("/*") {
            continue;
        }
        for glue in ["\n", "\t ", " /* x */ ", "\r\n"] {
            let spread = sql.split(' ').collect::<Vec<_>>().join(glue);
            let v = detector.check(&StatementContext::new(d, spread.as_bytes()).user("app"));
            assert_ne!(v.action, Action::Allow, "{spread}");
        }
    }
}
