//! Measures query rules one by one and joined, the gate's memory, and what the pipeline costs around a statement.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use harvest::{FakeServer, Protocol};
use harvest_gateway::{
    BackendConfig, CacheSettings, CallScope, Gateway, RuleConfig, RuleFacts, RuleSet, Settings,
    StatementRequest, StaticDirectory, TargetConfig,
};

const STATEMENT: &str = "SELECT o.id, o.total, c.email FROM orders o JOIN customers c ON c.id = o.customer_id \
                         WHERE o.placed_on >= '2026-01-01' AND o.status IN ('new', 'paid') ORDER BY o.total DESC LIMIT 50";

fn thousand() -> Vec<RuleConfig> {
    let forms =
        ["^SELECT .* FROM table_{n}\\b", "\\bsecret_{n}\\s*=", "archive_{n}.*WHERE", "^(INSERT|UPDATE) t{n}"];
    (0..1_000)
        .map(|n| {
            let mut rule = RuleConfig::new(n);
            let form = forms[usize::try_from(n).unwrap_or(0) % forms.len()];
            rule.match_pattern = Some(form.replace("{n}", &n.to_string()));
            rule
        })
        .collect()
}

fn rules(c: &mut Criterion) {
    let facts = RuleFacts::default();
    let joined = RuleSet::compile(thousand(), None, &RuleSet::empty()).expect("the rules are valid");
    c.bench_function("rules: 1000 joined", |b| {
        b.iter(|| black_box(joined.evaluate(black_box(STATEMENT), &facts)))
    });
    let alone: Vec<RuleSet> = thousand()
        .into_iter()
        .map(|rule| RuleSet::compile(vec![rule], None, &RuleSet::empty()).expect("the rule is valid"))
        .collect();
    c.bench_function("rules: 1000 one by one", |b| {
        b.iter(|| {
            alone.iter().map(|set| set.evaluate(black_box(STATEMENT), &facts).matched.len()).sum::<usize>()
        });
    });
    let mut fresh = 0_u64;
    c.bench_function("rules: 1000 joined, a new text each time", |b| {
        b.iter(|| {
            fresh += 1;
            joined.evaluate(&format!("{STATEMENT} /* {fresh} */"), &facts).matched.len()
        });
    });
}

fn gateway(cache: CacheSettings) -> Arc<Gateway> {
    let directory = Arc::new(StaticDirectory::new(vec![BackendConfig::new(1, "fake", 0)]));
    let mut settings = Settings::default();
    settings.cache = cache;
    let gateway = Gateway::new(vec![Arc::new(FakeServer::new())], directory, settings);
    gateway.set_targets(vec![TargetConfig::new("t1", Protocol::Sqlite, 1)]);
    gateway
}

fn pipeline(c: &mut Criterion) {
    let scope = CallScope::new("run_sql_readonly", "bench");
    let plain = gateway(CacheSettings::default());
    let request = StatementRequest::new(STATEMENT);
    c.bench_function("pipeline: to an engine that answers at once", |b| {
        b.iter(|| plain.run(black_box(&request), &scope).map(|outcome| outcome.result.row_count));
    });
    plain.set_rules(thousand(), None).expect("the rules are valid");
    c.bench_function("pipeline: the same with 1000 rules", |b| {
        b.iter(|| plain.run(black_box(&request), &scope).map(|outcome| outcome.result.row_count));
    });
    let cached = gateway(CacheSettings { default_ttl_ms: 600_000, ..CacheSettings::default() });
    let mut request = StatementRequest::new(STATEMENT);
    request.use_cache = true;
    c.bench_function("pipeline: answered by the cache", |b| {
        b.iter(|| cached.run(black_box(&request), &scope).map(|outcome| outcome.cache.hit));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(40).without_plots();
    targets = rules, pipeline
}
criterion_main!(benches);
