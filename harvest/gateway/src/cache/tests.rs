//! Tests of the result cache: life, room, one execution for equal misses, invalidation.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn key(sql: &str, caller: &str) -> CacheKey {
    CacheKey {
        target_id: "t1".into(),
        generations: [0; 3],
        schema: "main".into(),
        sql: sql.into(),
        params: String::new(),
        rows_max: 10,
        caller: caller.into(),
    }
}

fn insert(table: &str, bytes: usize) -> CacheInsert {
    let mut result = ResultSet::empty();
    result.rows_json = format!("[[\"{}\"]]", "x".repeat(bytes)).into();
    CacheInsert {
        result,
        tables: vec![TableRef { schema: None, name: table.into() }],
        digest_text: "SELECT ?".into(),
        ttl_ms: 60_000,
        rule_id: None,
    }
}

fn hit(cache: &ResultCache, key: &CacheKey) -> bool {
    matches!(cache.look(key, &|| false), Lookup::Hit(_))
}

#[test]
fn callers_have_their_own_entries() {
    let cache = ResultCache::new();
    assert!(cache.store(key("a", "alice"), insert("t", 10), &CacheSettings::default()));
    assert!(hit(&cache, &key("a", "alice")));
    assert!(!hit(&cache, &key("a", "bob")));
    let mut other = key("a", "alice");
    other.generations[1] = 1;
    assert!(!hit(&cache, &other));
    let stats = cache.stats();
    assert_eq!((stats.counters.hits, stats.counters.misses, stats.entries), (1, 2, 1));
    assert_eq!((stats.by_target[0].hits, stats.by_target[0].misses), (1, 2));
}

#[test]
fn entries_end_with_their_time() {
    let cache = ResultCache::new();
    cache.store(key("a", ""), CacheInsert { ttl_ms: 1, ..insert("t", 10) }, &CacheSettings::default());
    std::thread::sleep(Duration::from_millis(5));
    assert!(!hit(&cache, &key("a", "")));
    assert_eq!((cache.stats().counters.expirations, cache.stats().bytes), (1, 0));
}

#[test]
fn the_least_recently_used_leaves_first() {
    let cache = ResultCache::new();
    let settings = CacheSettings { bytes_max: 4_000, entry_bytes_max: 2_000, ..CacheSettings::default() };
    for name in ["a", "b", "c"] {
        assert!(cache.store(key(name, ""), insert("t", 500), &settings));
    }
    assert!(hit(&cache, &key("a", "")));
    assert!(cache.store(key("d", ""), insert("t", 500), &settings));
    assert!(hit(&cache, &key("a", "")) && !hit(&cache, &key("b", "")));
    assert!(!cache.store(key("big", ""), insert("t", 5_000), &settings));
    assert!(cache.stats().bytes <= 4_000);
    assert_eq!(cache.stats().counters.evictions, 1);
}

#[test]
fn equal_misses_share_one_execution() {
    let cache = ResultCache::new();
    let executions = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| match cache.look(&key("a", ""), &|| false) {
                Lookup::Hit(_) => {}
                Lookup::Lead(flight) => {
                    executions.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(20));
                    cache.store(key("a", ""), insert("t", 10), &CacheSettings::default());
                    drop(flight);
                }
            });
        }
    });
    assert_eq!(executions.load(Ordering::SeqCst), 1);
}

#[test]
fn a_leader_that_fails_leaves_room_for_the_next() {
    let cache = ResultCache::new();
    let Lookup::Lead(flight) = cache.look(&key("a", ""), &|| false) else { panic!("the cache is empty") };
    assert!(matches!(cache.look(&key("a", ""), &|| true), Lookup::Lead(Flight { key: None, .. })));
    drop(flight);
    assert!(matches!(cache.look(&key("a", ""), &|| false), Lookup::Lead(Flight { key: Some(_), .. })));
}

#[test]
fn tables_and_targets_are_invalidated() {
    let cache = ResultCache::new();
    let settings = CacheSettings::default();
    cache.store(key("a", ""), insert("orders", 1), &settings);
    cache.store(key("b", ""), insert("users", 1), &settings);
    let mut other = insert("orders", 1);
    other.tables[0].schema = Some("old".into());
    cache.store(key("c", ""), other, &settings);
    assert_eq!(cache.invalidate_table(Some("main"), "ORDERS", Some("t2")), 0);
    assert_eq!(cache.invalidate_table(Some("main"), "ORDERS", None), 1);
    assert_eq!(cache.invalidate_table(None, "orders", Some("t1")), 1);
    assert_eq!(cache.clear(Some("t1")).0, 1);
    assert_eq!(cache.stats().counters.invalidations, 3);
    assert!(cache.entries().is_empty());
}
