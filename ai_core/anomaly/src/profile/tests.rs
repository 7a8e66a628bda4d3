//! Learning, comparing, forgetting, and bounds of one profile.

use super::*;

fn traits(structure: u64, table: u64) -> Traits {
    Traits { structure, table, head: table, class: StatementClass::Read, catalog: false, stacked: false }
}

fn spread(i: u64) -> u64 {
    crate::digest::mix(i, 99)
}

#[test]
fn a_closed_table_makes_new_digests_remarkable_and_an_open_one_does_not() {
    let p = Profile::new("app", None, "", 2000, 0);
    for i in 0..400_u64 {
        p.learn(&traits(spread(i % 5), 77 << 32), 0);
        p.learn(&traits(spread(1000 + i), 88 << 32), 0);
    }
    assert_eq!(p.novelty(&traits(spread(9999), 77 << 32)), behaviour::NOVEL_DIGEST);
    assert_eq!(p.novelty(&traits(spread(9999), 88 << 32)), 0);
    assert!(p.digests.contains(spread(3)));
    assert!(!p.digests.contains(spread(9999)));
}

#[test]
fn the_digest_set_is_bounded() {
    let p = Profile::new("app", None, "", 64, 0);
    for i in 0..100_000_u64 {
        p.learn(&traits(spread(i), spread(i)), 0);
    }
    assert!(p.digests.len() <= 64);
}

#[test]
fn dumps_restore() {
    let p = Profile::new("app", Some("10.0.0.1".parse().unwrap()), "shop", 256, 5);
    for i in 0..200_u64 {
        p.learn(&traits(spread(i % 20), spread(i % 3)), 1_000_000);
    }
    p.learn_host("10.0.0.1".parse().unwrap());
    p.mature.store(true, Ordering::Relaxed);
    let d = p.dump();
    let q = Profile::restore(&d, 256).unwrap();
    assert_eq!(q.dump(), d);
    assert!(q.digests.contains(spread(7)));
    assert!(Profile::restore(&d, 4096).is_none());
}

#[test]
fn heat_decays() {
    let p = Profile::new("app", None, "", 64, 0);
    let o =
        |t: u64| Outcome { digest: 1, time_ms: t, rows: 1, refused: false, slow_ms: 5000, rows_limit: 10 };
    for _ in 0..10 {
        assert_eq!(p.outcome(&o(10), 1_000_000), Some(0));
    }
    assert_eq!(p.outcome(&o(60_000), 1_000_000), Some(behaviour::EXEC_SLOW));
    assert!((p.heat(1_000_000) - 0.2).abs() < 0.001);
    assert!((p.heat(1_300_000) - 0.1).abs() < 0.001);
    assert_eq!(p.heat(10_000_000), 0.0);
}

#[test]
fn new_networks_are_seen() {
    let p = Profile::new("app", None, "", 64, 0);
    assert!(!p.host_is_novel("10.0.0.1".parse().unwrap()));
    p.learn_host("10.0.0.1".parse().unwrap());
    assert!(!p.host_is_novel("10.0.0.250".parse().unwrap()));
    assert!(p.host_is_novel("192.0.2.1".parse().unwrap()));
}
