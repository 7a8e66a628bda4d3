//! A digest that the caller's mature profile knows is judged without touching the heap.

use ai_core_anomaly::{
    Action, Detector, DetectorConfig, Dialect, ManualClock, Mode, PostQueryFeedback, SqlMode,
    StatementContext, fingerprint,
};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn the_known_path_does_not_allocate() {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let mut config = DetectorConfig::default();
    config.mode = Mode::Learn;
    config.rate_limit_per_s = 10_000;
    let d = Detector::with_clock(config.clone(), clock.clone()).unwrap();
    let sql = "SELECT id, username, email FROM users WHERE username = 'alice' AND active = 1";
    let other =
        "SELECT id, username, email FROM users WHERE username = 'a longer name than before' AND active = 22";
    let ctx = StatementContext::new(Dialect::Postgres, sql.as_bytes())
        .user("app")
        .sql_mode(Some(SqlMode::default()));
    for _ in 0..50 {
        _ = d.check(&ctx);
    }
    d.finish_learning("app");
    config.mode = Mode::Enforce;
    d.set_config(config).unwrap();
    _ = d.check(&ctx);
    let again = StatementContext::new(Dialect::Postgres, other.as_bytes()).user("app").sql_mode(ctx.sql_mode);
    let info = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            assert_eq!(d.check(&ctx).action, Action::Allow);
            assert_eq!(d.check(&again).action, Action::Allow);
        }
    });
    assert_eq!(info.count_total, 0);
    let info = allocation_counter::measure(|| {
        _ = fingerprint(sql.as_bytes(), Dialect::MySql, SqlMode::default(), 1);
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn memory_stays_bounded_for_any_text() {
    let d = Detector::new(DetectorConfig::default()).unwrap();
    let texts = [
        "(".repeat(1 << 20),
        "a,".repeat(1 << 19),
        "SELECT 1 UNION ".repeat(1 << 16),
        "'x' ".repeat(1 << 18),
    ];
    for text in &texts {
        let ctx = StatementContext::new(Dialect::MySql, text.as_bytes()).user("app");
        _ = d.check(&ctx);
        let info = allocation_counter::measure(|| {
            _ = d.check(&ctx);
        });
        assert!(info.bytes_max < 1 << 20, "{} bytes at once", info.bytes_max);
    }
}

#[test]
fn a_profile_takes_at_most_32_kib() {
    let mut config = DetectorConfig::default();
    config.profile_keys_max = 1_000_000;
    let d = Detector::new(config).unwrap();
    let names: Vec<String> = (0..200).map(|i| format!("user{i}")).collect();
    let statements: Vec<String> = (0..50).map(|i| format!("SELECT c{i} FROM t{i} WHERE a = 1")).collect();
    let contexts = |name| {
        statements.iter().map(move |s| StatementContext::new(Dialect::Sqlite, s.as_bytes()).user(name))
    };
    // The caches and the thread's buffers are not the profile's.
    contexts("warm").for_each(|c| _ = d.check(&c));
    let info = allocation_counter::measure(|| {
        for name in &names {
            for c in contexts(name) {
                _ = d.check(&c);
                for ms in 0..20 {
                    let fb = PostQueryFeedback::new(ms, Duration::from_millis(ms));
                    _ = d.feedback(&c, &fb);
                }
            }
        }
    });
    let each = info.bytes_current / 200;
    assert!((1_000..=32 * 1024).contains(&each), "{each} bytes a profile");
}
