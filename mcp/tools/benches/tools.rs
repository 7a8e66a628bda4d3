//! Measures tools over a SQLite file: a list of 1,000 tables, a result of 1,000 rows.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use harvest::Protocol;
use harvest_gateway::{BackendConfig, Gateway, Settings, StaticDirectory, TargetConfig};
use harvest_sqlite::SqliteDriver;
use mcp::{CallContext, Caller, Scope, ToolHandler};
use mcp_tools::{ToolDeps, Toolbox, query_tools};
use serde_json::{Value, json};

fn tools(file: &std::path::Path) -> Toolbox {
    let directory = Arc::new(StaticDirectory::new(vec![BackendConfig::new(1, file.to_string_lossy(), 0)]));
    let gateway = Gateway::new(vec![Arc::new(SqliteDriver)], directory, Settings::default());
    let mut target = TargetConfig::new("bench", Protocol::Sqlite, 1);
    target.rows_max = 10_000;
    gateway.set_targets(vec![target]);
    query_tools(&ToolDeps::new(gateway, None).expect("random numbers"))
}

fn call(tools: &Toolbox, cx: &CallContext, tool: &str, arguments: &Value) -> usize {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    let output = tools.call(cx, tool, arguments).expect("the call succeeds");
    output.structured_json.map_or(0, |text| text.len())
}

fn bench(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let cx = CallContext::new(Caller::new("bench", Scope::Read), "/mcp/query");
    let many = dir.path().join("many.db");
    let sql: String = (0..1_000)
        .map(|n| format!("CREATE TABLE t{n:04} (id INTEGER PRIMARY KEY, a TEXT, b TEXT);"))
        .collect();
    rusqlite::Connection::open(&many).and_then(|db| db.execute_batch(&sql)).expect("a file");
    let wide = tools(&many);
    let arguments = json!({"schema": "main", "page_size": 500});
    c.bench_function("list_tables: a page of 1000 tables", |b| {
        b.iter(|| black_box(call(&wide, &cx, "list_tables", &arguments)));
    });
    let rows = dir.path().join("rows.db");
    let sql = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c REAL, d TEXT, e INTEGER, f TEXT, g DATETIME, h BLOB);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 1000) INSERT INTO t SELECT i,
        'customer ' || i, i * 0.25, 'some longer text with \"quotes\"', i * 7, NULL, '2026-01-01 10:00:00', x'00ff10' FROM n";
    rusqlite::Connection::open(&rows).and_then(|db| db.execute_batch(sql)).expect("a file");
    let deep = tools(&rows);
    for (name, sql) in [
        ("run_sql_readonly: 1000 rows of 8 columns", "SELECT * FROM t"),
        ("run_sql_readonly: one value", "SELECT 1"),
    ] {
        let arguments = json!({"sql": sql});
        c.bench_function(name, |b| b.iter(|| black_box(call(&deep, &cx, "run_sql_readonly", &arguments))));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).without_plots();
    targets = bench
}
criterion_main!(benches);
