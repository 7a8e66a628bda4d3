//! Modes, learning, rates, library, allow-list, feedback and the rest of a detector's state.

use super::*;
use crate::clock::ManualClock;
use crate::context::BackendErrorClass;
use crate::maintenance::Maintenance;
use crate::rules::AnomalyType;
use crate::similarity::{LexicalEmbedder, ThreatEmbedder};
use crate::threat::{Origin, ThreatError, ThreatType};
use crate::verdict::Action;
use std::net::IpAddr;
use std::time::Duration;

const ATTACK: &str = "SELECT a FROM t WHERE b = 'x' OR 1=1";
const CLEAN: &str = "SELECT a FROM t WHERE b = 'x'";

fn ctx(sql: &str) -> StatementContext<'_> {
    StatementContext::new(Dialect::MySql, sql.as_bytes()).user("app").schema("shop")
}

fn detector(change: impl FnOnce(&mut DetectorConfig)) -> (Detector, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let mut config = DetectorConfig::default();
    change(&mut config);
    (Detector::with_clock(config, clock.clone()).unwrap(), clock)
}

/// A detector whose `app` was learned from `CLEAN` and a few others.
fn learned() -> (Detector, Arc<ManualClock>) {
    let (d, clock) = detector(|c| c.mode = Mode::Learn);
    for i in 0..300 {
        clock.advance_ms(100);
        _ = d.check(&ctx(&format!("SELECT a FROM t WHERE b = 'x{i}'")));
        _ = d.check(&ctx(&format!("UPDATE t SET a = {i} WHERE id = 5")));
    }
    assert_eq!(d.finish_learning("app"), 1);
    let mut config = d.config();
    config.mode = Mode::Enforce;
    d.set_config(config).unwrap();
    (d, clock)
}

fn names(v: &Verdict) -> Vec<&'static str> {
    v.rules().iter().map(|r| r.0).collect()
}

#[test]
fn cold_attacks_are_denied_and_the_client_learns_nothing() {
    let (d, _) = detector(|_| {});
    let v = d.check(&ctx(ATTACK));
    assert_eq!(v.action, Action::Deny);
    assert_eq!(v.anomaly_type, Some(AnomalyType::Injection));
    assert_eq!((v.code.number, v.code.sqlstate), (1313, "HY000"));
    let id = v.incident.unwrap();
    assert_eq!(v.client_message(), format!("Query refused by security policy (incident {id})"));
    let found = d.incidents(10, |i| i.id == id);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].sql.as_deref(), Some("SELECT a FROM t WHERE b = ? OR <true>"));
    assert_eq!(d.check(&ctx(CLEAN)).action, Action::Allow);
    let stats = d.stats();
    assert_eq!((stats.total_checks, stats.denied, stats.flagged), (2, 1, 0));
    assert!(stats.by_rule.contains(&("sqli.tautology", 1)));
}

#[test]
fn repeats_fold_into_one_incident() {
    let (d, clock) = detector(|_| {});
    let first = d.check(&ctx(ATTACK)).incident;
    for _ in 0..9 {
        assert_eq!(d.check(&ctx(ATTACK)).incident, first);
    }
    assert_eq!(d.incidents(10, |_| true)[0].repeat_count, 10);
    clock.advance_ms(3_700_000);
    assert_ne!(d.check(&ctx(ATTACK)).incident, first);
}

#[test]
fn modes_decide_who_is_denied() {
    let (d, _) = detector(|c| c.log_only = true);
    d.add_threat(threat("mine", ATTACK, Action::Deny)).unwrap();
    assert_eq!(d.check(&ctx(ATTACK)).action, Action::Flag);
    let (d, _) = detector(|c| c.auto_block = false);
    assert_eq!(d.check(&ctx(ATTACK)).action, Action::Flag);
    d.add_threat(threat("mine", ATTACK, Action::Deny)).unwrap();
    assert_eq!(d.check(&ctx(ATTACK)).action, Action::Deny);
    let (d, _) = detector(|c| c.enabled = false);
    assert_eq!(d.check(&ctx(ATTACK)).action, Action::Allow);
    assert_eq!(d.stats().total_checks, 0);
    let (d, _) = detector(|c| c.risk_threshold = 100);
    assert_eq!(d.check(&ctx(ATTACK)).action, Action::Flag);
}

fn threat(name: &str, example: &str, action: Action) -> NewThreat {
    NewThreat {
        name: name.into(),
        threat_type: ThreatType::SqlInjection,
        example: example.into(),
        severity: 6,
        action,
        origin: Origin::Operator,
    }
}

#[test]
fn threats_need_digest_and_marks() {
    let (d, _) = detector(|_| {});
    d.add_threat(threat("odd", "SELECT a FROM t WHERE b = 'x' AND sleepy = 1", Action::Deny)).unwrap();
    let v = d.check(&ctx("SELECT a FROM t WHERE b = 'other' AND sleepy = 9"));
    assert_eq!((v.action, names(&v)), (Action::Deny, vec!["threat.exact"]));
    assert_eq!(v.anomaly_type, Some(AnomalyType::Threat));
    // Marks that the digest does not hold: the clean statement must not match.
    d.add_threat(threat("script", "INSERT INTO n VALUES ('<script>')", Action::Deny)).unwrap();
    assert_eq!(d.check(&ctx("INSERT INTO n VALUES ('hello')")).action, Action::Allow);
    assert_eq!(d.check(&ctx("INSERT INTO n VALUES ('a <script>')")).action, Action::Deny);
    assert!(matches!(d.add_threat(threat("odd", "x", Action::Flag)), Err(ThreatError::Conflict(_))));
    assert!(d.remove_threat("odd").unwrap());
    assert_eq!(d.check(&ctx("SELECT a FROM t WHERE b = 'z' AND sleepy = 9")).action, Action::Allow);
    assert!(!d.remove_threat("tautology").unwrap());
    assert!(d.threats().iter().any(|t| t.name == "tautology" && !t.enabled));
    assert!(matches!(d.remove_threat("none"), Err(ThreatError::NotFound(_))));
}

#[test]
fn an_allow_list_entry_does_not_cover_an_added_tautology() {
    let (d, clock) = detector(|_| {});
    let odd = "SELECT a FROM t WHERE b = 'x' AND SLEEP(1)";
    let digest = d.check(&ctx(odd)).digest;
    let entry = |expires_at_ms| AllowEntry {
        digest,
        user: "app".into(),
        schema: String::new(),
        expires_at_ms,
        comment: String::new(),
    };
    assert!(d.allow_add(entry(None)).unwrap());
    assert_eq!(d.check(&ctx(odd)).action, Action::Allow);
    assert_eq!(d.check(&ctx(odd).user("other")).action, Action::Deny);
    assert_eq!(d.check(&ctx("SELECT a FROM t WHERE b = 'x' OR 1=1 AND SLEEP(1)")).action, Action::Deny);
    assert!(!d.allow_add(entry(Some(clock.now_ms() + 10))).unwrap());
    clock.advance_ms(20);
    assert_eq!(d.check(&ctx(odd)).action, Action::Deny);
    assert!(d.allow_remove(digest, "app", ""));
    assert!(!d.allow_remove(digest, "app", ""));
}

#[test]
fn a_learned_application_is_closed() {
    let (d, _) = learned();
    assert_eq!(d.check(&ctx(CLEAN)).action, Action::Allow);
    let v = d.check(&ctx("SELECT a FROM t WHERE b = 'x' AND c = 'y'"));
    assert_eq!((v.action, names(&v)), (Action::Flag, vec!["profile.novel_digest"]));
    assert_eq!(v.anomaly_type, Some(AnomalyType::Behaviour));
    let v = d.check(&ctx("SELECT a FROM t WHERE b = 5"));
    assert_eq!(v.action, Action::Flag, "another kind of literal is another structure");
    let v = d.check(&ctx("SELECT a FROM elsewhere"));
    assert_eq!(names(&v), ["profile.novel_table"]);
    let v = d.check(&ctx("DROP TABLE t"));
    assert!(names(&v).contains(&"profile.new_class") && v.action != Action::Deny, "{:?}", v.rules());
    let v = d.check(&ctx("SELECT table_name FROM information_schema.tables"));
    assert!(names(&v).contains(&"profile.enumeration"));
    assert_eq!(d.check(&ctx("SET NAMES utf8")).action, Action::Allow);
}

#[test]
fn attacks_are_not_learned() {
    let (d, clock) = detector(|c| c.mode = Mode::Learn);
    for _ in 0..300 {
        clock.advance_ms(100);
        assert_ne!(d.check(&ctx(ATTACK)).action, Action::Deny);
        _ = d.check(&ctx(CLEAN));
    }
    d.finish_learning("app");
    let mut config = d.config();
    config.mode = Mode::Enforce;
    d.set_config(config).unwrap();
    assert_eq!(d.check(&ctx(ATTACK)).action, Action::Deny);
    assert_eq!(d.check(&ctx(CLEAN)).action, Action::Allow);
}

#[test]
fn profiles_ripen_by_count_and_time() {
    let (d, clock) = detector(|c| {
        c.learning_min_queries = 100;
        c.learning_period_s = 60;
    });
    for _ in 0..200 {
        _ = d.check(&ctx(CLEAN));
    }
    assert!(!d.profiles(10)[0].mature);
    clock.advance_ms(61_000);
    _ = d.check(&ctx(CLEAN));
    assert!(d.profiles(10)[0].mature);
    assert_eq!(d.check(&ctx("SELECT a FROM t WHERE b = 'x' AND c = 1")).action, Action::Flag);
    assert_eq!(d.reset_profiles("app", None, Some("shop")), 1);
    assert!(d.profiles(10).is_empty());
}

#[test]
fn young_places_follow_their_parent() {
    let (d, clock) = detector(|c| c.mode = Mode::Learn);
    let home: Option<IpAddr> = Some("10.0.0.1".parse().unwrap());
    for _ in 0..300 {
        clock.advance_ms(100);
        _ = d.check(&ctx(CLEAN).client_addr(home));
    }
    assert_eq!(d.finish_learning("app"), 2);
    let mut config = d.config();
    config.mode = Mode::Enforce;
    d.set_config(config).unwrap();
    let near: Option<IpAddr> = Some("10.0.0.9".parse().unwrap());
    let far: Option<IpAddr> = Some("192.0.2.9".parse().unwrap());
    assert_eq!(d.check(&ctx(CLEAN).client_addr(near)).action, Action::Allow);
    assert_eq!(names(&d.check(&ctx("SELECT a FROM t").client_addr(near))), ["profile.novel_digest"]);
    assert_eq!(names(&d.check(&ctx(CLEAN).client_addr(far))), ["profile.novel_host"]);
}

#[test]
fn exactly_the_limit_passes() {
    let (d, clock) = detector(|c| {
        c.rate_action = RateAction::Deny;
        c.rate_limit_per_s = 5;
        c.rate_window_s = 10;
    });
    let passed = (0..500).filter(|_| d.check(&ctx(CLEAN)).action != Action::Deny).count();
    assert_eq!(passed, 50);
    let v = d.check(&ctx(CLEAN));
    assert_eq!((names(&v), v.anomaly_type), (vec!["rate.limit"], Some(AnomalyType::Rate)));
    clock.advance_ms(10_700);
    assert_eq!(d.check(&ctx(CLEAN)).action, Action::Allow);
    let (d, _) = detector(|c| c.rate_limit_per_s = 1);
    let flagged = (0..100).filter(|_| d.check(&ctx(CLEAN)).action == Action::Flag).count();
    assert_eq!(flagged, 90);
    // Preparing is no execution.
    let (d, _) = detector(|c| c.rate_limit_per_s = 1);
    assert!((0..100).all(|_| d.check(&ctx(CLEAN).phase(Phase::Prepare)).action == Action::Allow));
}

#[test]
fn outcomes_heat_the_profile() {
    let (d, clock) = learned();
    let odd = "SELECT a FROM t WHERE b = 'x' AND c = 'y'";
    let before = d.check(&ctx(odd)).risk;
    let fb = |ms| PostQueryFeedback::new(7, Duration::from_millis(ms)).rows_sent(Some(3));
    for _ in 0..12 {
        assert!(d.feedback(&ctx(CLEAN), &fb(10)).is_empty());
    }
    assert_eq!(d.feedback(&ctx(CLEAN), &fb(60_000)), ["exec.slow"]);
    let v = d.check(&ctx(odd));
    assert!(v.risk > before && names(&v).contains(&"exec.heat"));
    assert!(v.risk <= 0.5 + 1e-6, "behaviour alone stays below every default denial");
    clock.advance_ms(3_600_000);
    assert!((d.check(&ctx(odd)).risk - before).abs() < 1e-6);
    let failed = PostQueryFeedback::new(7, Duration::ZERO).error(Some(BackendErrorClass::Syntax));
    let fired: usize = (0..8).map(|_| d.feedback(&ctx(CLEAN), &failed).len()).sum();
    assert_eq!(fired, 3);
}

#[test]
fn multi_statements_count_less_where_announced() {
    let (d, _) = detector(|_| {});
    let two = "SELECT a FROM t WHERE b = 1; SELECT 2";
    assert_eq!(d.check(&ctx(two)).action, Action::Deny);
    assert_eq!(d.check(&ctx(two).multi_statements(Some(false))).action, Action::Deny);
    assert_eq!(d.check(&ctx(two).multi_statements(Some(true))).action, Action::Allow);
}

#[test]
fn an_unknown_sql_mode_is_read_both_ways() {
    let (d, _) = detector(|_| {});
    let sql = "SELECT a FROM t WHERE b = 'x\\' OR 1=1 -- '";
    assert_eq!(d.check(&ctx(sql)).action, Action::Deny);
    assert_eq!(d.check(&ctx(sql).sql_mode(Some(SqlMode::default()))).action, Action::Allow);
    assert_eq!(d.check(&ctx("SELECT a FROM t WHERE b = \"x\" AND c = 'it\\'s'")).action, Action::Flag);
}

#[test]
fn exempt_users_are_only_counted() {
    let (d, _) = detector(|c| {
        c.exempt_users.push(crate::config::ExemptUser { user: "app".into(), network: None });
    });
    assert_eq!(d.check(&ctx(ATTACK)).action, Action::Allow);
    assert_eq!((d.stats().exempt, d.stats().denied), (1, 0));
    assert_eq!(d.check(&ctx(ATTACK).user("other")).action, Action::Deny);
}

#[test]
fn inspecting_changes_nothing() {
    let (d, _) = learned();
    let before = (d.stats(), d.profiles(10));
    let v = d.inspect(&ctx(ATTACK));
    assert_eq!((v.action, v.incident), (Action::Deny, None));
    assert_eq!(d.inspect(&ctx(CLEAN)).action, Action::Allow);
    let after = d.stats();
    assert_eq!((after.total_checks, after.denied), (before.0.total_checks, before.0.denied));
    assert_eq!(d.profiles(10), before.1);
    assert!(d.incidents(10, |_| true).is_empty());
}

#[test]
fn bad_settings_change_nothing() {
    let (d, _) = detector(|_| {});
    let before = d.config();
    let mut bad = before.clone();
    bad.rate_limit_per_s = 0;
    assert!(d.set_config(bad).is_err());
    assert_eq!(d.config(), before);
}

#[test]
fn state_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("anomaly.json");
    let (d, clock) = learned();
    d.add_threat(threat("mine", CLEAN, Action::Flag)).unwrap();
    d.save(&path).unwrap();
    let e = Detector::open(d.config(), clock, &path).unwrap();
    assert_eq!(e.profiles(10), d.profiles(10));
    assert!(e.threats().iter().any(|t| t.name == "mine"));
    assert_eq!(names(&e.check(&ctx("SELECT a FROM t WHERE c = 5"))), ["profile.novel_digest"]);
    assert_eq!(names(&e.check(&ctx(CLEAN))), ["threat.exact"]);
    e.remove_threat("mine").unwrap();
    assert_eq!(e.check(&ctx(CLEAN)).action, Action::Allow);
    std::fs::write(&path, b"{").unwrap();
    let error = Detector::open(d.config(), Arc::new(ManualClock::new(1)), &path).unwrap_err();
    assert!(error.to_string().contains("cannot be parsed"));
}

struct Dead;

impl ThreatEmbedder for Dead {
    fn embed(&self, _: &str) -> Option<Vec<f32>> {
        None
    }
}

#[test]
fn similar_statements_meet_their_verdict_later() {
    let (d, _) = detector(|c| c.similarity_threshold = 60);
    let d = Arc::new(d);
    d.add_threat(threat("export", "SELECT card_number, expiry FROM cards WHERE id > 0", Action::Flag))
        .unwrap();
    let m = Maintenance::start(d.clone(), Box::new(LexicalEmbedder), None).unwrap().unwrap();
    assert!(Maintenance::start(d.clone(), Box::new(Dead), None).unwrap().is_none());
    let like = "SELECT card_number, expiry FROM cards WHERE id > 0 AND owner = 'x'";
    assert_eq!(d.check(&ctx(like)).action, Action::Allow);
    let mut found = false;
    for _ in 0..200 {
        std::thread::sleep(Duration::from_millis(10));
        if names(&d.inspect(&ctx(like))) == ["threat.similar"] {
            found = true;
            break;
        }
    }
    assert!(found);
    assert!(d.inspect(&ctx(like)).risk <= 0.25 + 1e-6);
    drop(m);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.json");
    drop(Maintenance::start(d.clone(), Box::new(Dead), Some(path.clone())).unwrap().unwrap());
    assert!(path.is_file());
    drop(Maintenance::start(d.clone(), Box::new(Dead), Some(path.join("below"))).unwrap().unwrap());
    assert_eq!((d.stats().snapshots_saved, d.stats().snapshots_failed), (1, 1));
}

#[test]
fn a_swap_is_never_seen_half() {
    let (d, _) = detector(|c| c.rate_limit_per_s = 10_000);
    let d = Arc::new(d);
    let strict = d.config();
    let mut open = strict.clone();
    open.log_only = true;
    open.risk_threshold = 100;
    std::thread::scope(|s| {
        let worker = s.spawn(|| {
            for _ in 0..2_000 {
                // Either both settings of one configuration or both of the other.
                assert_ne!(d.check(&ctx(ATTACK)).action, Action::Allow);
            }
        });
        while !worker.is_finished() {
            d.set_config(open.clone()).unwrap();
            d.set_config(strict.clone()).unwrap();
        }
    });
}

#[test]
fn what_is_only_flagged_cold_is_denied_once_the_application_is_known() {
    let faint = "SELECT a FROM t WHERE b = 'x' AND 9600=7248";
    let (cold, _) = detector(|_| {});
    let v = cold.check(&ctx(faint));
    assert_eq!((v.action, names(&v)), (Action::Flag, vec!["sqli.contradiction"]));
    let (d, _) = learned();
    let v = d.check(&ctx(faint));
    assert_eq!(v.action, Action::Deny);
    assert!(names(&v).contains(&"sqli.altered"), "{:?}", names(&v));
    // New but clean, and new with nothing but broken syntax: flagged, as the release of an application would be.
    for clean in ["SELECT a FROM t WHERE b = 'x' AND c = 1", "SELECT a FROM t WHERE b = 'x' AND (c = 1"] {
        assert_eq!(d.check(&ctx(clean)).action, Action::Flag, "{clean}");
    }
}

#[test]
fn two_unrelated_marks_deny_where_each_alone_flags() {
    let (d, _) = detector(|_| {});
    let judge = |sql: &str| d.check(&ctx(sql));
    for (sql, expected) in [
        ("SELECT a FROM t WHERE b = 'x' AND 5231=8514-- -' AND c = 1", Action::Deny),
        ("SELECT a FROM t WHERE b = 'x' OR 5329=4907 OR 'bplz'='aiqT'", Action::Deny),
        ("SELECT a FROM t WHERE b = 'x'-- ' AND c = 1", Action::Flag),
        ("SELECT a FROM t WHERE b = 'x' AND 5231=8514", Action::Flag),
    ] {
        let v = judge(sql);
        assert_eq!(v.action, expected, "{sql}: {:?}", names(&v));
        assert_eq!(names(&v).contains(&"sqli.compound"), expected == Action::Deny, "{sql}");
    }
}

#[test]
fn every_decision_is_counted_once_and_a_sample_is_timed() {
    let (d, _) = detector(|_| {});
    for _ in 0..32 {
        _ = d.check(&ctx(CLEAN));
    }
    _ = d.check(&ctx(ATTACK));
    let stats = d.stats();
    assert_eq!(stats.total_checks, 33);
    let of =
        |action| stats.decisions.iter().filter(|row| row.action == action).map(|row| row.count).sum::<u64>();
    assert_eq!((of(Action::Allow), of(Action::Deny), of(Action::Flag)), (32, 1, 0));
    assert!(stats.decisions.iter().all(|row| row.mode == Mode::Enforce && row.dialect == Dialect::MySql));
    let timed: u64 = stats.latency.counts.iter().sum();
    assert!((1..=3).contains(&timed), "{timed}");
    assert!(stats.latency.quantile_us(0.5) > 0.0);
}
