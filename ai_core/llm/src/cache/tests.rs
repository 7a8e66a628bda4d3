//! Tests of the cache: keys, age, bounds, eviction, purge, durability.

use super::record::unhex;
use super::*;
use crate::clock::ManualClock;
use crate::store::{JournalStore, NoStore};

const LIMITS: CacheLimits = CacheLimits { ttl_s: 60, entries_max: 3, bytes_max: 1_000_000 };

fn cache() -> (Cache, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(1_000_000));
    (Cache::open(clock.clone(), Arc::new(NoStore)).unwrap(), clock)
}

fn key(group: &str, prompt: &str) -> CacheKey {
    CacheKey::new(&[group.as_bytes()], prompt)
}

fn item(prompt: &str, vector: &[f32]) -> CacheItem {
    CacheItem {
        provider: "p".into(),
        model: "m".into(),
        prompt: prompt.into(),
        scope: "ann\u{1f}shop\u{1f}".into(),
        response: format!("answer to {prompt}"),
        usage: LlmUsage::default(),
        space: "s".into(),
        embedding: vector.to_vec(),
    }
}

#[test]
fn parts_of_a_key_do_not_run_together() {
    assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    assert_ne!(key("g", "x").exact, key("h", "x").exact);
    assert_eq!(unhex(&hex(&key("g", "x").exact)), Some(key("g", "x").exact));
    assert_eq!(unhex("zz"), None);
}

#[test]
fn age_and_least_recent_use_decide() {
    let (cache, clock) = cache();
    for prompt in ["a", "b", "c"] {
        cache.put(key("g", prompt), item(prompt, &[]), LIMITS).unwrap();
    }
    assert!(cache.exact(&[key("g", "a")]).is_some());
    cache.put(key("g", "d"), item("d", &[]), LIMITS).unwrap();
    assert!(cache.exact(&[key("g", "b")]).is_none(), "b was used least recently");
    assert_eq!(cache.exact(&[key("other", "a"), key("g", "a")]).unwrap().item.response, "answer to a");
    cache.put(key("g", "a"), item("a", &[]), LIMITS).unwrap();
    assert_eq!(cache.stats().entries, 3);
    clock.advance_ms(60_000);
    assert!(cache.exact(&[key("g", "a")]).is_none());
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.bytes, stats.evictions), (0, 0, 4));
}

#[test]
fn bytes_are_bounded_and_too_large_is_not_kept() {
    let (cache, _) = cache();
    let tight = CacheLimits { bytes_max: 2_000, entries_max: 100, ..LIMITS };
    for n in 0..50 {
        cache.put(key("g", &n.to_string()), item(&n.to_string(), &[0.5; 16]), tight).unwrap();
        assert!(cache.stats().bytes <= 2_000);
    }
    assert!(cache.put(key("g", "big"), item(&"x".repeat(3_000), &[]), tight).is_none());
    assert!(cache.put(key("g", "x"), item("x", &[]), CacheLimits { entries_max: 0, ..tight }).is_none());
    cache.shrink(CacheLimits { entries_max: 1, ..tight });
    assert_eq!(cache.stats().entries, 1);
}

#[test]
fn semantic_hits_stay_in_their_group_space_and_guard() {
    let (cache, _) = cache();
    cache.put(key("g", "orders in 2023"), item("orders in 2023", &[1.0, 0.1]), LIMITS).unwrap();
    let ask = |group: &str, prompt: &str, space: &str, vector: &[f32], threshold: f64| {
        cache.semantic(&[key(group, prompt)], prompt, space, vector, threshold)
    };
    let near = [1.0, 0.12];
    assert!(ask("g", "the orders of 2023", "s", &near, 0.95).unwrap().similarity.unwrap() > 0.99);
    assert!(ask("g", "the orders of 2024", "s", &near, 0.95).is_none());
    assert!(ask("h", "the orders of 2023", "s", &near, 0.95).is_none());
    assert!(ask("g", "the orders of 2023", "t", &near, 0.95).is_none());
    assert!(ask("g", "the orders of 2023", "s", &[0.0, 1.0], 0.95).is_none());
    assert!(ask("g", "the orders of 2023", "s", &[1.0, 0.1, 0.0], 0.0).is_none());
    assert!(cache.has_group(&[key("g", "x")], "s") && !cache.has_group(&[key("h", "x")], "s"));
}

#[test]
fn purge_reports_the_number() {
    let (cache, clock) = cache();
    let wide = CacheLimits { entries_max: 100, ..LIMITS };
    let ids: Vec<String> =
        ["a", "b", "c", "d"].iter().map(|p| cache.put(key("g", p), item(p, &[1.0]), wide).unwrap()).collect();
    clock.advance_ms(10_000);
    cache.put(key("g", "e"), CacheItem { model: "n".into(), ..item("e", &[1.0]) }, wide).unwrap();
    assert_eq!(cache.purge(&CachePurge::default()), 0);
    assert_eq!(cache.purge(&CachePurge { provider: Some("x".into()), ..CachePurge::default() }), 0);
    assert_eq!(cache.purge(&CachePurge { cache_id: Some(ids[0].clone()), ..CachePurge::default() }), 1);
    assert_eq!(cache.purge(&CachePurge { model: Some("n".into()), ..CachePurge::default() }), 1);
    let old = CachePurge { older_than_s: Some(5), scope: Some("shop".into()), ..CachePurge::default() };
    assert_eq!(cache.purge(&old), 3);
    assert_eq!((cache.stats().entries, cache.stats().bytes, cache.stats().purged), (0, 0, 5));
    assert!(!cache.has_group(&[key("g", "x")], "s"));
}

#[test]
fn a_restart_keeps_entries_with_their_vectors() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(1_000_000));
    let open = || Cache::open(clock.clone(), Arc::new(JournalStore::open(dir.path()).unwrap())).unwrap();
    let first = open();
    let vector: Vec<f32> = (0..384).map(|n| n as f32 / 384.0).collect();
    let gone = first.put(key("g", "a"), item("a", &vector), LIMITS).unwrap();
    first.put(key("g", "b"), item("b", &vector), LIMITS).unwrap();
    first.purge(&CachePurge { cache_id: Some(gone), ..CachePurge::default() });
    let second = open();
    assert!(second.exact(&[key("g", "a")]).is_none());
    assert_eq!(second.semantic(&[key("g", "z")], "z", "s", &vector, 0.99).unwrap().item.prompt, "b");
    assert_eq!(second.stats().write_errors, 0);
}
