//! Speed of the gate on statements of about 200 bytes, per engine.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use harvest::{DialectName, GatePolicy};

const SQL: &str = "SELECT c.name, count(*) AS orders, sum(o.total) AS revenue FROM customers c JOIN orders o ON \
                   o.customer_id = c.id WHERE o.status = 'paid' AND o.total > 10 GROUP BY c.name ORDER BY revenue \
                   DESC LIMIT 20";

fn gate(c: &mut Criterion) {
    let policy = GatePolicy::default();
    for dialect in [DialectName::Postgresql, DialectName::Mysql, DialectName::Mariadb, DialectName::Sqlite] {
        c.bench_function(&format!("check/{dialect}/{}_bytes", SQL.len()), |b| {
            b.iter(|| harvest_gate::check(dialect, black_box(SQL), &policy));
        });
    }
    let long = format!("SELECT id FROM t WHERE id IN ({})", vec!["12345"; 4_000].join(","));
    c.bench_function("check/postgresql/8000_tokens", |b| {
        b.iter(|| harvest_gate::check(DialectName::Postgresql, black_box(&long), &policy));
    });
}

criterion_group!(benches, gate);
criterion_main!(benches);
