//! A question in plain words on a thousand tables: few bytes, and the best objects first.

use bridge_host::{Host, HostConfig, TargetSpec};
use harvest_catalog::SearchRequest;

const NOUNS: &[&str] = &[
    "order",
    "product",
    "category",
    "supplier",
    "warehouse",
    "shipment",
    "address",
    "employee",
    "department",
    "contract",
    "ticket",
    "campaign",
    "session",
    "device",
    "event",
    "account",
    "ledger",
    "coupon",
    "review",
    "message",
];
const PARTS: &[&str] = &[
    "detail", "history", "item", "status", "type", "note", "log", "summary", "map", "archive", "rate",
    "batch", "plan", "limit", "group", "file", "link", "rule", "queue", "stock", "tax", "region", "unit",
    "term", "grade", "slot", "entry", "draft", "audit", "label", "zone", "phase", "quota", "budget", "score",
    "vote", "badge", "shift", "route", "lease", "claim", "asset", "panel", "probe", "trace", "token", "seat",
    "desk", "lane", "dock",
];
/// What is meant; the rest has nothing to do with it, or little.
const MEANT: &[&str] = &[
    "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT)",
    "CREATE TABLE invoice (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer (id), total NUMERIC,
       due_on DATE, unpaid BOOLEAN)",
    "CREATE TABLE invoice_line (id INTEGER PRIMARY KEY, invoice_id INTEGER NOT NULL REFERENCES invoice (id), amount NUMERIC)",
    "CREATE TABLE payment (id INTEGER PRIMARY KEY, invoice_id INTEGER NOT NULL REFERENCES invoice (id), paid_on DATE)",
    "CREATE TABLE customer_contact (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer (id), phone TEXT)",
    "CREATE TABLE reminder (id INTEGER PRIMARY KEY, invoice_id INTEGER NOT NULL REFERENCES invoice (id), sent_on DATE)",
    "CREATE TABLE credit_note (id INTEGER PRIMARY KEY, invoice_id INTEGER REFERENCES invoice (id), amount NUMERIC)",
    "CREATE TABLE delivery (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer (id), sent_on DATE)",
    "CREATE TABLE subscription (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer (id), plan TEXT)",
    "CREATE TABLE complaint (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer (id), text TEXT)",
    "CREATE VIEW open_invoices AS SELECT i.id, i.customer_id, i.total FROM invoice i WHERE i.unpaid",
];

#[test]
fn plain_words_find_the_few_tables_that_are_meant_among_a_thousand() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("many.db");
    let file = rusqlite::Connection::open(&path).expect("a file");
    for (at, noun) in NOUNS.iter().enumerate() {
        for (other, part) in PARTS.iter().enumerate() {
            let parent = NOUNS[(at + other) % NOUNS.len()];
            let sql = format!(
                "CREATE TABLE {noun}_{part} (id INTEGER PRIMARY KEY, {parent}_id INTEGER, name TEXT, status TEXT, created_at DATETIME)"
            );
            file.execute_batch(&sql).expect("a table");
        }
    }
    MEANT.iter().for_each(|sql| file.execute_batch(sql).expect("a table"));
    drop(file);
    let mut config = HostConfig::new(folder.path().join("data"));
    config.targets.push(TargetSpec::parse(&format!("t=sqlite:{}", path.display())).expect("a target"));
    let host = Host::open(config).expect("opens");
    let run_id = host.harvest("t", |_| {}).expect("harvests").run_id;
    for (question, best) in [
        ("unpaid invoices of a customer", &["invoice", "open_invoices"][..]),
        ("customer", &["customer", "customer_contact"]),
        ("payments of invoices", &["payment"]),
        ("how do I reach a customer by phone", &["customer_contact"]),
    ] {
        let mut request = SearchRequest::new(run_id, "t", question);
        request.limit = 10;
        let found = host.catalog().search(&request).expect("searches").results;
        let names: Vec<&str> = found.iter().map(|hit| hit.object_name.as_str()).collect();
        assert!(best.contains(&names[0]), "{question}: {names:?}");
        assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score), "{question}: best first");
    }
    let answer = call(&host, "unpaid invoices of a customer");
    let hits = answer["results"].as_array().expect("hits");
    assert_eq!(hits.len(), 10, "{answer}");
    let bytes = answer.to_string().len();
    assert!(bytes <= 1_536, "{bytes} bytes: {answer}");
    host.close();
}

/// The answer of the tool itself.
fn call(host: &Host, question: &str) -> serde_json::Value {
    use mcp::{CallContext, Caller, Scope, ToolSet as _};
    let cx = CallContext::new(Caller::new("test", Scope::Read), "/mcp/query");
    let mut args = serde_json::Map::new();
    args.insert("query".to_owned(), question.into());
    args.insert("target_id".to_owned(), "t".into());
    args.insert("limit".to_owned(), 10.into());
    args.insert("token_budget".to_owned(), 384.into());
    let output = host.registry().tool_set("/mcp/query").call(&cx, "catalog.search", args).expect("answers");
    output.structured_value().expect("a structured answer")
}
