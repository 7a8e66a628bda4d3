//! How fast the detector is: digest, known and new statements, long texts, threads, and the naive way for comparison.

use ai_core_anomaly::{Detector, DetectorConfig, Dialect, Mode, SqlMode, StatementContext, fingerprint};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use regex::{Regex, RegexBuilder};
use std::cell::Cell;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::Duration;

const STATEMENT: &str =
    "SELECT id, username, email FROM users WHERE username = 'alice.brow' AND active = 1234";

/// A bench has nobody to report to.
fn must<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|e| panic!("{e:?}"))
}

fn detector() -> Detector {
    let mut config = DetectorConfig::default();
    config.mode = Mode::Learn;
    // Benches send more than any client: the limit must not turn them into incidents.
    config.rate_limit_per_s = 10_000;
    config.rate_window_s = 3_600;
    let d = must(Detector::new(config.clone()));
    for sql in known() {
        for _ in 0..3 {
            _ = d.check(&context(&sql));
        }
    }
    d.finish_learning("bench");
    config.mode = Mode::Enforce;
    must(d.set_config(config));
    d
}

fn known() -> Vec<String> {
    vec![STATEMENT.to_owned()]
}

fn context(sql: &str) -> StatementContext<'_> {
    StatementContext::new(Dialect::Postgres, sql.as_bytes())
        .user("bench")
        .schema("shop")
        .sql_mode(Some(SqlMode::default()))
}

/// Distinct digests of the same length, more than the detector remembers.
fn novel() -> Vec<String> {
    (0..200_000)
        .map(|i| {
            format!("SELECT id, c{i:06}, email FROM users WHERE username = 'alice.brow' AND active = 1234")
        })
        .collect()
}

fn small(c: &mut Criterion) {
    assert_eq!(STATEMENT.len(), 85);
    let mut g = c.benchmark_group("statement_85_bytes");
    g.bench_function("digest_and_flags", |b| {
        b.iter(|| fingerprint(black_box(STATEMENT.as_bytes()), Dialect::Postgres, SqlMode::default(), 7));
    });
    let d = detector();
    let ctx = context(STATEMENT);
    g.bench_function("known_digest", |b| b.iter(|| d.check(black_box(&ctx))));
    let texts = novel();
    let at = Cell::new(0_usize);
    g.bench_function("new_digest", |b| {
        b.iter(|| {
            at.set((at.get() + 1) % texts.len());
            d.check(&context(black_box(&texts[at.get()])))
        });
    });
    let fresh = novel_off();
    g.bench_function("disabled", |b| b.iter(|| fresh.check(black_box(&ctx))));
    g.finish();
}

fn novel_off() -> Detector {
    let mut config = DetectorConfig::default();
    config.enabled = false;
    must(Detector::new(config))
}

fn long(c: &mut Criterion) {
    let mut g = c.benchmark_group("long_text");
    g.sample_size(20);
    let d = detector();
    for kib in [1_usize, 16, 128, 1024] {
        let names: String = (0..).map(|i| format!("t.column_{i} > {i} AND ")).take(kib * 1024 / 20).collect();
        let sql = format!("SELECT a FROM t WHERE {names} b = 1");
        let rows: String =
            (0..).map(|i| format!("({i}, 'name {i}', NULL), ")).take(kib * 1024 / 24).collect();
        let insert = format!("INSERT INTO t VALUES {rows} (1, 'x', NULL)");
        for (name, text) in [("conditions", sql), ("rows", insert)] {
            g.throughput(Throughput::Bytes(text.len() as u64));
            g.bench_with_input(BenchmarkId::new(name, kib), &text, |b, text| {
                b.iter(|| fingerprint(black_box(text.as_bytes()), Dialect::Postgres, SqlMode::default(), 7));
            });
            let suffix = Cell::new(0_u32);
            g.bench_with_input(BenchmarkId::new(format!("{name}_new"), kib), &text, |b, text| {
                b.iter_batched(
                    || {
                        suffix.set(suffix.get() + 1);
                        format!("{text} /* */ RETURNING x{}", suffix.get())
                    },
                    |text| d.check(&context(&text)),
                    BatchSize::LargeInput,
                );
            });
        }
    }
    g.finish();
}

/// The naive way: one regular expression a rule over a normalised copy, one lock, one heap of strings.
struct Naive {
    rules: Vec<Regex>,
    normalisers: Vec<(Regex, &'static str)>,
    seen: Mutex<HashMap<String, u64>>,
}

impl Naive {
    fn new() -> Self {
        let build = |p: &str| must(RegexBuilder::new(p).case_insensitive(true).build());
        let words = [
            "union\\s+(all\\s+)?select",
            "or\\s+\\d+\\s*=\\s*\\d+",
            "or\\s+'[^']*'\\s*=\\s*'[^']*'",
            "--\\s*$",
            "/\\*.*\\*/",
            ";\\s*(drop|delete|insert|update|alter)",
            "sleep\\s*\\(",
            "benchmark\\s*\\(",
            "pg_sleep",
            "waitfor\\s+delay",
            "load_file\\s*\\(",
            "into\\s+(out|dump)file",
            "information_schema",
            "sqlite_master",
            "pg_catalog",
            "extractvalue\\s*\\(",
            "updatexml\\s*\\(",
            "char\\s*\\(\\s*\\d+",
            "0x[0-9a-f]{4,}",
            "concat\\s*\\(.*select",
            "xp_cmdshell",
            "exec\\s*\\(",
            "order\\s+by\\s+\\d{2,}",
            "group\\s+by.*having\\s+\\d",
            "case\\s+when.*then",
            "ascii\\s*\\(\\s*substr",
            "if\\s*\\(.*,.*,.*\\)",
            "<script",
            "javascript:",
            "having\\s+\\d+\\s*=\\s*\\d+",
        ];
        Self {
            rules: words.iter().map(|w| build(w)).collect(),
            normalisers: vec![
                (build("'(?:[^'\\\\]|\\\\.|'')*'"), "?"),
                (build("\\b\\d+(\\.\\d+)?\\b"), "?"),
                (build("/\\*.*?\\*/|--[^\\n]*"), " "),
                (build("\\(\\s*\\?(\\s*,\\s*\\?)*\\s*\\)"), "(?+)"),
                (build("\\s+"), " "),
            ],
            seen: Mutex::new(HashMap::new()),
        }
    }

    fn check(&self, sql: &str) -> usize {
        let mut text = sql.to_owned();
        for (r, with) in &self.normalisers {
            text = r.replace_all(&text, *with).into_owned();
        }
        let text = text.to_uppercase();
        let raw = sql.to_lowercase();
        let hits = self.rules.iter().filter(|r| r.is_match(&raw) || r.is_match(&text)).count();
        *must(self.seen.lock()).entry(text).or_default() += 1;
        hits
    }
}

fn baseline(c: &mut Criterion) {
    let naive = Naive::new();
    let d = detector();
    let mut g = c.benchmark_group("against_regex_and_heap");
    g.bench_function("regex_and_heap", |b| b.iter(|| naive.check(black_box(STATEMENT))));
    // The reference's way: expressions compiled where they are used.
    g.sample_size(10);
    g.bench_function("regex_compiled_per_call", |b| {
        b.iter(|| Naive::new().check(black_box(STATEMENT)));
    });
    g.bench_function("detector_known_digest", |b| {
        let ctx = context(STATEMENT);
        b.iter(|| d.check(black_box(&ctx)));
    });
    g.finish();
}

fn threads(c: &mut Criterion) {
    let mut g = c.benchmark_group("threads_known_digest");
    g.sample_size(10).measurement_time(Duration::from_secs(2));
    let d = detector();
    for n in [1_u64, 2, 4, 8, 16, 32, 64] {
        // Enough work a thread that starting it does not count.
        g.throughput(Throughput::Elements(n * CHECKS_A_THREAD));
        g.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| {
                std::thread::scope(|s| {
                    for _ in 0..n {
                        s.spawn(|| {
                            let ctx = context(STATEMENT);
                            for _ in 0..CHECKS_A_THREAD {
                                black_box(d.check(black_box(&ctx)));
                            }
                        });
                    }
                });
            });
        });
    }
    g.finish();
}

const CHECKS_A_THREAD: u64 = 10_000;

criterion_group!(benches, small, long, baseline, threads);
criterion_main!(benches);
