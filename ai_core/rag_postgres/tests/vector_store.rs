//! One suite over every `VectorStore`: in memory, sqlite-vec, and pgvector where a server is named.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking and says when it cannot run"
)]

use std::sync::Arc;

use ai_core::{AiErrorCode, Allowed, Deadline, MemoryVectors, Metric, VectorItem, VectorStore};
use ai_core_rag::SqliteVectors;
use ai_core_rag_postgres::{PgVectors, PgVectorsOptions, plain_connector};

/// The address of a PostgreSQL with pgvector.
const URL: &str = "PENSTOCK_TEST_PGVECTOR_URL";

fn soon() -> Deadline {
    Deadline::after_ms(20_000)
}

fn item(chunk_pk: i64, source_id: i64, x: f32, y: f32) -> VectorItem {
    VectorItem { chunk_pk, source_id, vector: vec![x, y, 0.5] }
}

fn found(store: &dyn VectorStore, query: [f32; 3], k: usize, allowed: &Allowed) -> Vec<i64> {
    store.search(&query, k, allowed, soon()).unwrap().into_iter().map(|h| h.chunk_pk).collect()
}

fn suite(store: &dyn VectorStore, metric: Metric) {
    assert_eq!((store.dim(), store.metric(), store.count().unwrap()), (3, metric, 0));
    store.put(&[]).unwrap();
    let items: Vec<VectorItem> = (0..300)
        .map(|i| {
            let angle = i as f32 * 0.02;
            item(i, i % 3, angle.cos(), angle.sin())
        })
        .collect();
    store.put(&items).unwrap();
    assert_eq!(store.count().unwrap(), 300);
    let query = [items[30].vector[0], items[30].vector[1], 0.5];
    assert_eq!(found(store, query, 3, &Allowed::all())[0], 30);
    // Filters apply before the cut, and the nearest are global over the sources.
    let mut three = found(store, query, 3, &Allowed::all());
    three.sort_unstable();
    assert_eq!(three, [29, 30, 31]);
    assert_eq!(found(store, query, 1, &Allowed::sources([1]))[0], 31);
    assert_eq!(found(store, query, 5, &Allowed::all().with_chunks(vec![250, 7])).len(), 2);
    assert_eq!(found(store, query, 5, &Allowed::sources([9])), Vec::<i64>::new());
    assert_eq!(found(store, query, 0, &Allowed::all()), Vec::<i64>::new());
    assert_eq!(found(store, query, 1000, &Allowed::sources([2])).len(), 100);
    let hits = store.search(&query, 10, &Allowed::all(), soon()).unwrap();
    assert!(hits.windows(2).all(|w| w[0].distance <= w[1].distance));
    for hit in &hits {
        let wanted = metric.distance(&query, &items[usize::try_from(hit.chunk_pk).unwrap()].vector);
        assert!((hit.distance - wanted).abs() < 1e-4, "{metric:?} {hit:?} {wanted}");
    }
    // Replacing, removing, exact distances.
    store.put(&[item(30, 0, -1.0, 0.0), item(400, 0, 0.1, 0.1), item(400, 1, 0.2, 0.1)]).unwrap();
    assert_eq!(store.count().unwrap(), 301);
    assert_ne!(found(store, query, 1, &Allowed::all())[0], 30);
    store.delete(&[29, 31, 12_345]).unwrap();
    assert_eq!(store.count().unwrap(), 299);
    let known = store.distances(&query, &[32, 99_999]).unwrap();
    assert_eq!((known.len(), known[0].chunk_pk), (1, 32));
    // What cannot be stored is refused as a whole.
    for bad in [vec![1.0], vec![0.0, 0.0, 0.0], vec![f32::NAN, 1.0, 0.0], vec![f32::INFINITY, 1.0, 0.0]] {
        let batch = [item(900, 1, 1.0, 1.0), VectorItem { chunk_pk: 901, source_id: 1, vector: bad.clone() }];
        assert_eq!(store.put(&batch).unwrap_err().code, AiErrorCode::InvalidArgument);
        assert!(store.search(&bad, 1, &Allowed::all(), soon()).is_err());
    }
    assert_eq!(store.count().unwrap(), 299);
    let late = store.search(&query, 1, &Allowed::all(), Deadline::after_ms(0)).unwrap_err();
    assert_eq!(late.code, AiErrorCode::DeadlineExceeded);
}

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::L2, Metric::Dot];

#[test]
fn in_memory() {
    METRICS.iter().for_each(|m| suite(&MemoryVectors::new(3, *m), *m));
}

#[test]
fn sqlite_vec() {
    let folder = tempfile::tempdir().unwrap();
    for metric in METRICS {
        let path = folder.path().join(format!("{}.db", metric.as_str()));
        suite(&SqliteVectors::open(&path, "suite", 3, metric).unwrap(), metric);
        assert_eq!(SqliteVectors::open(&path, "suite", 3, metric).unwrap().count().unwrap(), 299);
    }
}

fn server() -> Option<String> {
    match std::env::var(URL) {
        Ok(url) => Some(url),
        Err(_) if std::env::var("CI").is_ok_and(|v| v == "true") => panic!("{URL} names no server"),
        Err(_) => {
            eprintln!("skipped: {URL} names no PostgreSQL with pgvector");
            None
        }
    }
}

fn drop_schema(url: &str, schema: &str) {
    let mut client = plain_connector(url)().unwrap();
    client.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).unwrap();
}

#[test]
fn pgvector() {
    let Some(url) = server() else { return };
    let run = std::process::id();
    for (at, metric) in METRICS.into_iter().enumerate() {
        let options = PgVectorsOptions {
            schema: format!("penstock_test_{run}_{at}"),
            index_rows_min: Some(10_000),
            ..PgVectorsOptions::default()
        };
        let open = |dim| PgVectors::open(plain_connector(url.clone()), dim, metric, &options);
        suite(&open(3).unwrap(), metric);
        let store = open(3).unwrap();
        // A small table is scanned: no index is built, whatever was asked for.
        assert_eq!((store.warm().unwrap(), store.is_indexed(), store.count().unwrap()), (None, false, 299));
        assert_eq!(open(4).unwrap_err().code, AiErrorCode::FailedPrecondition);
        drop_schema(&url, &options.schema);
    }
}

/// Numbers between -1 and 1 that look random and are the same in every run.
fn random(seed: &mut u64) -> f32 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

#[test]
fn an_index_answers_only_as_well_as_the_scan() {
    let Some(url) = server() else { return };
    for (at, metric) in METRICS.into_iter().enumerate() {
        let options = PgVectorsOptions {
            schema: format!("penstock_index_{}_{at}", std::process::id()),
            index_rows_min: Some(1_000),
            ..PgVectorsOptions::default()
        };
        let store = PgVectors::open(plain_connector(url.clone()), 24, metric, &options).unwrap();
        let mut seed = 7;
        let items: Vec<VectorItem> = (0..3_000)
            .map(|i| VectorItem {
                chunk_pk: i,
                source_id: i % 100,
                vector: (0..24).map(|_| random(&mut seed)).collect(),
            })
            .collect();
        store.put(&items).unwrap();
        assert!(!store.is_indexed(), "not before it is measured");
        let recall = store.warm().unwrap().unwrap();
        assert_eq!(store.is_indexed(), recall >= 0.99, "{metric:?} {recall}");
        assert_eq!(store.warm().unwrap(), None, "nothing has changed since");
        let (mut found, mut wanted) = (0, 0);
        for i in 0..60 {
            let query: Vec<f32> = (0..24).map(|_| random(&mut seed)).collect();
            let mut exact: Vec<(f32, i64)> =
                items.iter().map(|v| (metric.distance(&query, &v.vector), v.chunk_pk)).collect();
            exact.sort_by(|a, b| a.0.total_cmp(&b.0));
            let near = store.search(&query, 10, &Allowed::all(), soon()).unwrap();
            found += exact[..10].iter().filter(|e| near.iter().any(|h| h.chunk_pk == e.1)).count();
            wanted += 10;
            // A filter that keeps one in a hundred still gives all that match.
            let kept = store.search(&query, 40, &Allowed::sources([i % 100]), soon()).unwrap();
            assert_eq!(kept.len(), 30);
        }
        assert!(found * 100 >= wanted * 97, "{metric:?}: {found} of {wanted}");
        // After much growth the verdict is renewed.
        let more: Vec<VectorItem> =
            items.iter().map(|v| VectorItem { chunk_pk: v.chunk_pk + 5_000, ..v.clone() }).collect();
        store.put(&more[..600]).unwrap();
        assert!(store.warm().unwrap().is_some());
        drop_schema(&url, &options.schema);
    }
}

#[test]
fn names_and_sizes_are_checked_before_anything_is_sent() {
    let nobody: ai_core_rag_postgres::PgConnect =
        Arc::new(|| Err(ai_core::AiError::unavailable("nothing was to be sent")));
    for schema in ["", "a b", "x;drop", "Upper", "1a"] {
        let options = PgVectorsOptions { schema: schema.to_owned(), ..PgVectorsOptions::default() };
        let error = PgVectors::open(Arc::clone(&nobody), 3, Metric::L2, &options).unwrap_err();
        assert_eq!(error.code, AiErrorCode::InvalidArgument, "{schema}");
    }
    let options = PgVectorsOptions::default();
    let error = PgVectors::open(Arc::clone(&nobody), 9000, Metric::L2, &options).unwrap_err();
    assert_eq!(error.code, AiErrorCode::FailedPrecondition);
    assert_eq!(PgVectors::open(nobody, 3, Metric::L2, &options).unwrap_err().code, AiErrorCode::Unavailable);
}
