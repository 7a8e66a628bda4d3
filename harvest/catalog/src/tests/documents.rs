//! Key-value documents, joins and logs.

use harvest::{FakeDialect, HarvestCode, MetadataSnapshot};
use proptest::prelude::*;
use serde_json::json;

use super::support::{Truth, dump, harvest, shop, store};
use crate::{
    ColumnRef, JoinRequest, KvFilter, KvKey, KvMerge, KvSearchRequest, LogOptions, LogWriter,
    ReferenceRequest, SearchLogRow, ToolCallRow, find_references_live, suggest_joins_live,
};

fn key(kind: &str, key: &str) -> KvKey {
    KvKey { kind: kind.into(), key: key.into(), ..KvKey::default() }
}

#[test]
fn documents_are_written_found_and_cleared() {
    let t = store();
    let c = &t.catalog;
    let tags = ["money".to_owned(), "money".to_owned(), " core ".to_owned()];
    let first = c
        .kv_upsert(&key("note", "vat"), &json!({"rate": 0.2, "text": "value added tax"}), &tags, &[])
        .expect("put");
    assert_eq!(first.action, "inserted");
    let again = c
        .kv_upsert(&key("note", "vat"), &json!({"text": "value added tax, reduced"}), &tags, &[])
        .expect("put");
    assert_eq!((again.action.as_str(), again.id), ("updated", first.id));
    assert_eq!(c.kv_get(&key("note", "vat")).expect("get").entry.tags, ["money", "core"]);
    assert!(c.kv_upsert(&key("note", "x"), &json!("text"), &[], &[]).is_err());
    let big = json!({"x": "y".repeat(300_000)});
    assert_eq!(
        c.kv_upsert(&key("note", "x"), &big, &[], &[]).expect_err("big").code,
        HarvestCode::LimitExceeded
    );
    let mut request =
        KvSearchRequest { query: "reduced tax".into(), limit: 20, ..KvSearchRequest::default() };
    assert_eq!(c.kv_search(&request).expect("search").total, 1);
    request.tags = vec!["mon".into()];
    assert_eq!(c.kv_search(&request).expect("whole tags only").total, 0);
    request.tags = vec!["core".into(), "money".into()];
    let hit = &c.kv_search(&request).expect("search").results[0];
    assert_eq!((hit.entry.key.as_str(), hit.score), ("vat", 1.0));
    assert_eq!(c.kv_delete(&key("note", "vat")).expect("delete").deleted, 1);
    assert_eq!(c.kv_delete(&key("note", "vat")).expect_err("gone").code, HarvestCode::NotFound);
    c.kv_upsert(&key("a", "1"), &json!({}), &[], &[]).expect("put");
    let filter = KvFilter { kind: Some("a".into()), ..KvFilter::default() };
    assert_eq!(c.kv_list(&filter, 10, 0).expect("list").total, 1);
    assert_eq!(c.kv_clear(&filter).expect("clear").deleted, 1);
    assert!(c.check_integrity().expect("check").is_empty());
}

#[test]
fn a_merge_keeps_losers_and_changes_nothing_when_a_key_is_missing() {
    let t = store();
    let c = &t.catalog;
    c.kv_upsert(
        &key("domain", "a"),
        &json!({"name": "A", "tables": ["x"], "deep": {"n": 1}}),
        &["t1".into()],
        &[],
    )
    .expect("a");
    c.kv_upsert(&key("domain", "b"), &json!({"name": "B", "tables": ["x", "y"], "deep": {"m": 2}}), &[], &[])
        .expect("b");
    let mut request = KvMerge {
        keys: vec!["a".into(), "b".into(), "missing".into()],
        target: key("domain", "all"),
        caller: "t".into(),
        ..KvMerge::default()
    };
    assert_eq!(c.kv_merge(&request).expect_err("missing").code, HarvestCode::NotFound);
    assert!(c.kv_get(&key("domain", "all")).is_err());
    request.keys.pop();
    assert_eq!(c.kv_merge(&request).expect("merge").merged, 2);
    let entry = c.kv_get(&key("domain", "all")).expect("get").entry;
    assert_eq!(
        entry.document,
        json!({"name": "B", "tables": ["x", "y"], "deep": {"n": 1, "m": 2}, "_conflicts": {"name": ["A"]}})
    );
    assert_eq!(c.kv_get(&key("domain", "a")).expect("source").entry.links, ["domain:all"]);
    c.kv_upsert(&key("note", "a"), &json!({}), &[], &[]).expect("second kind");
    assert_eq!(c.kv_merge(&request).expect_err("ambiguous").code, HarvestCode::Conflict);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
    #[test]
    fn no_document_query_is_an_error(query in "(?s).{0,60}") {
        let t = store();
        t.catalog.kv_upsert(&key("n", "k"), &json!({"a": query.clone()}), &[], &[]).expect("put");
        let request = KvSearchRequest { query, limit: 5, ..KvSearchRequest::default() };
        prop_assert!(t.catalog.kv_search(&request).is_ok());
    }
}

fn join(a: &str, b: Option<&str>) -> JoinRequest {
    JoinRequest {
        schema: "shop".into(),
        table_a: a.into(),
        table_b: b.map(|b| ("shop".into(), b.into())),
        candidates_max: 5,
    }
}

#[test]
fn joins_come_from_the_run_and_live_alike() {
    let t = store();
    let run = harvest(&t.catalog, "a", shop()).run_id;
    let snapshot = MetadataSnapshot { objects: shop(), ..MetadataSnapshot::default() };
    for request in
        [join("orders", Some("customers")), join("orders", None), join("customers", Some("orders"))]
    {
        let stored = t.catalog.suggest_joins("a", run, &FakeDialect, &request, None).expect("stored");
        let live = suggest_joins_live(&snapshot, &FakeDialect, &request, None).expect("live");
        assert_eq!(stored.candidates, live.candidates);
        assert_eq!((stored.source.as_str(), live.source.as_str()), ("catalog", "live"));
    }
    let one = &t
        .catalog
        .suggest_joins("a", run, &FakeDialect, &join("orders", Some("customers")), None)
        .expect("joins")
        .candidates[0];
    assert_eq!(
        (one.kind.as_str(), one.cardinality.as_str(), one.confidence),
        ("foreign_key", "many_to_one", 1.0)
    );
    assert_eq!(one.join_condition, r#""shop"."orders"."customer_id" = "shop"."customers"."id""#);
    let all = t.catalog.suggest_joins("a", run, &FakeDialect, &join("orders", None), None).expect("joins");
    assert_eq!(all.candidates.len(), 2);
    let mut probe = Truth::default();
    probe.pairs.insert(("order_items.order_id".into(), "orders.id".into()), 1.0);
    let checked = t
        .catalog
        .suggest_joins("a", run, &FakeDialect, &join("order_items", Some("orders")), Some(&mut probe))
        .expect("joins");
    assert!((checked.candidates[0].confidence - 0.9).abs() < 1e-9);
    assert_eq!(checked.candidates[0].evidence["overlap"]["checked"], 200);
    assert_eq!(
        t.catalog.suggest_joins("a", run, &FakeDialect, &join("nope", None), None).expect_err("unknown").code,
        HarvestCode::NotFound
    );
}

#[test]
fn references_are_found_by_name_and_by_values() {
    let t = store();
    let run = harvest(&t.catalog, "a", shop()).run_id;
    let request = |table: &str, column: &str| ReferenceRequest {
        column: ColumnRef { schema: "shop".into(), table: table.into(), column: column.into() },
        tables_max: 50,
        min_confidence: 0.3,
    };
    let declared =
        t.catalog.find_references(run, &FakeDialect, &request("orders", "customer_id"), None).expect("refs");
    assert!(declared.candidates[0].declared && declared.candidates.len() == 1);
    let named = t
        .catalog
        .find_references(run, &FakeDialect, &request("order_items", "order_id"), None)
        .expect("refs");
    assert_eq!((named.candidates[0].parent_table.as_str(), named.tables_checked), ("orders", 1));
    let mut probe = Truth::default();
    probe.pairs.insert(("order_items.qty".into(), "customers.id".into()), 1.0);
    let valued = t
        .catalog
        .find_references(run, &FakeDialect, &request("order_items", "qty"), Some(&mut probe))
        .expect("refs");
    assert_eq!((valued.candidates.len(), valued.candidates[0].parent_table.as_str()), (1, "customers"));
    let snapshot = MetadataSnapshot { objects: shop(), ..MetadataSnapshot::default() };
    let live = find_references_live(&snapshot, &FakeDialect, &request("order_items", "order_id"), None)
        .expect("live");
    assert_eq!(live.candidates, named.candidates);
    let unknown =
        t.catalog.find_references(run, &FakeDialect, &request("orders", "nope"), None).expect_err("column");
    assert_eq!(unknown.code, HarvestCode::NotFound);
}

#[test]
fn logs_are_batched_bounded_and_aged() {
    let t = store();
    let options =
        LogOptions { queue_rows_max: 50, flush_ms: 60_000, batch_rows_max: 1_000, ..LogOptions::default() };
    let writer = LogWriter::start(t.catalog.clone(), options).expect("start");
    for at in 0..60 {
        writer.call(ToolCallRow {
            endpoint: "QUERY".into(),
            tool_name: format!("t{at}"),
            ..ToolCallRow::default()
        });
    }
    assert_eq!(writer.dropped(), 10);
    assert!(writer.flush(5_000));
    writer.search(SearchLogRow {
        target_id: "a".into(),
        query: "q".into(),
        limit: 25,
        ..SearchLogRow::default()
    });
    drop(writer);
    let rows = dump(
        &t.catalog,
        "SELECT COUNT(*), MIN(tool_name) FROM query_tool_calls UNION ALL SELECT COUNT(*), 'x' FROM llm_search_log",
    );
    assert_eq!(rows, ["Integer(50)|Text(\"t10\")", "Integer(1)|Text(\"x\")"]);
    assert_eq!(t.catalog.delete_logs_before(i64::MAX).expect("age"), 51);
}
