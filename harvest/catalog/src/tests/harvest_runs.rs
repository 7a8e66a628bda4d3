//! Harvests: what they store, what they leave when they fail, what they take over, what deletion removes.

use harvest::{HarvestCode, HarvestError, HarvestResult, MetadataStage};

use super::support::{Source, Truth, dump, foreign_key, harvest, harvest_with, shop, store, table};
use crate::{
    DiffRequest, DocumentParts, HarvestOptions, HarvestStage, HarvestWatch, ListObjectsRequest, ObjectRef,
    RunRef, SearchRequest,
};

const TABLES: &[&str] = &[
    "runs",
    "schemas",
    "objects",
    "columns",
    "indexes",
    "index_columns",
    "foreign_keys",
    "foreign_key_columns",
    "constraints",
    "view_dependencies",
    "inferred_relationships",
    "profiles",
    "fts_objects",
];

fn counts(t: &super::support::TestStore) -> Vec<String> {
    TABLES
        .iter()
        .flat_map(|table| dump(&t.catalog, &format!("SELECT '{table}', COUNT(*) FROM {table}")))
        .collect()
}

#[test]
fn a_harvest_stores_what_the_source_tells() {
    let t = store();
    let summary = harvest(&t.catalog, "a", shop());
    assert_eq!((summary.objects["table"], summary.objects["view"]), (3, 1));
    assert_eq!((summary.columns, summary.columns_count, summary.foreign_keys), (13, 13, 1));
    assert_eq!((summary.view_dependencies, summary.carried_over, summary.changes.added), (1, 0, 4));
    let doc = t
        .catalog
        .get_object("a", summary.run_id, &ObjectRef::key("shop.orders"), DocumentParts::default())
        .expect("orders");
    insta::assert_json_snapshot!(doc);
    let listed = t.catalog.list_objects(&ListObjectsRequest::new(summary.run_id, "a")).expect("list");
    let keys: Vec<&str> = listed.results.iter().map(|o| o.object_key.as_str()).collect();
    assert_eq!(keys, ["shop.customers", "shop.open_orders", "shop.order_items", "shop.orders"]);
    assert_eq!((listed.total, listed.results[0].fk_in, listed.results[3].fk_out), (4, 1, 1));
    assert_eq!(listed.results[3].guessed_kind, "fact");
}

#[test]
fn references_without_keys_are_inferred() {
    let t = store();
    let run = harvest(&t.catalog, "a", shop()).run_id;
    let found = t
        .catalog
        .get_relationships(
            "a",
            run,
            &ObjectRef::key("shop.order_items"),
            &crate::RelationshipFilter::default(),
        )
        .expect("links");
    let one = &found.inferred_relationships[0];
    assert_eq!((one.child.column.as_str(), one.parent.object_key.as_str()), ("order_id", "shop.orders"));
    assert_eq!((one.confidence, one.evidence["signals"][0]["value"].as_str()), (0.65, Some("exact")));
}

struct StopAt(HarvestStage, usize);

impl HarvestWatch for StopAt {
    fn stage(&mut self, stage: HarvestStage, done: usize) -> HarvestResult<()> {
        if stage == self.0 && done >= self.1 {
            return Err(HarvestError::new(HarvestCode::Cancelled, "stopped"));
        }
        Ok(())
    }
}

#[test]
fn a_stop_at_any_stage_leaves_the_store_as_it_was() {
    let t = store();
    harvest(&t.catalog, "a", shop());
    let before = counts(&t);
    use HarvestStage as S;
    let stages = [
        S::Start,
        S::Schemas,
        S::Objects,
        S::Columns,
        S::Indexes,
        S::ForeignKeys,
        S::Constraints,
        S::Definitions,
        S::Profiles,
        S::Inference,
        S::Write,
    ];
    for stage in stages {
        for done in [0, 4] {
            if done == 4 && stage != S::Write {
                continue;
            }
            let error = t
                .catalog
                .harvest(
                    &HarvestOptions::new("a", "x"),
                    &mut Source::new(shop()),
                    None,
                    &mut StopAt(stage, done),
                )
                .expect_err("stopped");
            assert_eq!(error.code, HarvestCode::Cancelled);
            assert_eq!(counts(&t), before, "{stage:?}");
        }
    }
    let list = t.catalog.list_runs("a", None, true, 10, 0).expect("runs");
    assert_eq!(list.runs.len(), 1);
    let attempts = list.attempts.expect("attempts");
    assert_eq!(attempts.len(), 13);
    assert!(attempts[..12].iter().all(|a| a.status == "cancelled" && a.finished_at.is_some()));
    assert_eq!((attempts[0].stage.as_str(), attempts[11].stage.as_str()), ("write", "start"));
    assert_eq!(attempts[12].status, "committed");
}

#[test]
fn a_failed_source_is_a_failed_attempt() {
    let t = store();
    let mut source = Source::new(shop());
    source.fail_at = Some(MetadataStage::Indexes);
    let error = t
        .catalog
        .harvest(&HarvestOptions::new("a", "x"), &mut source, None, &mut ())
        .expect_err("source fails");
    assert_eq!(error.code, HarvestCode::Unavailable);
    let list = t.catalog.list_runs("a", None, true, 10, 0).expect("runs");
    assert!(list.runs.is_empty());
    let attempt = &list.attempts.expect("attempts")[0];
    assert_eq!((attempt.status.as_str(), attempt.stage.as_str()), ("failed", "indexes"));
    assert_eq!(
        t.catalog.resolve_run("a", &RunRef::Latest).expect_err("no run").code,
        HarvestCode::FailedPrecondition
    );
}

struct Inner<'a>(&'a crate::Catalog, Option<HarvestError>);

impl HarvestWatch for Inner<'_> {
    fn stage(&mut self, stage: HarvestStage, _: usize) -> HarvestResult<()> {
        if stage == HarvestStage::Objects && self.1.is_none() {
            let second =
                self.0.harvest(&HarvestOptions::new("a", "y"), &mut Source::new(shop()), None, &mut ());
            self.1 = second.err();
            harvest(self.0, "b", shop());
        }
        Ok(())
    }
}

#[test]
fn one_harvest_per_target_at_a_time_and_others_in_parallel() {
    let t = store();
    let mut watch = Inner(&t.catalog, None);
    t.catalog
        .harvest(&HarvestOptions::new("a", "x"), &mut Source::new(shop()), None, &mut watch)
        .expect("first goes on");
    let error = watch.1.expect("second is refused");
    assert_eq!(error.code, HarvestCode::Conflict);
    assert!(error.details["attempt_id"].is_i64());
    assert!(t.catalog.latest_run_id("b").expect("latest").is_some());
}

#[test]
fn attempts_of_a_dead_process_fail_at_start_up() {
    let t = store();
    t.catalog
        .store()
        .write(|tx| {
            tx.execute(
                "INSERT INTO discovery_attempts(target_id, caller, started_at, status, stage)
                 VALUES ('a', 'x', 1, 'running', 'columns')",
                [],
            )
            .map_err(crate::fail::store)
        })
        .expect("insert");
    let again = crate::Catalog::open(crate::StoreOptions::new(t.catalog.path())).expect("reopen");
    let attempts = again.list_runs("a", None, true, 10, 0).expect("runs").attempts.expect("attempts");
    assert_eq!(attempts[0].status, "failed");
    assert_eq!(again.status().expect("status").status, "current");
}

#[test]
fn a_filter_compares_exactly_and_matches_globs() {
    let t = store();
    let mut objects = shop();
    objects.push(table("it's \"odd\".x", "T", &["id integer"]));
    let mut options = HarvestOptions::new("a", "x");
    options.schema_filter = Some(vec!["it's \"odd\".x".to_owned()]);
    let one = harvest_with(&t.catalog, &options, objects.clone());
    assert_eq!(one.objects_count, 1);
    let listed = t.catalog.list_objects(&ListObjectsRequest::new(one.run_id, "a")).expect("list");
    let key = listed.results[0].object_key.clone();
    assert_eq!(key, "\"it's \"\"odd\"\".x\".T");
    t.catalog.get_object("a", one.run_id, &ObjectRef::key(key), DocumentParts::default()).expect("by key");
    options.schema_filter = Some(vec!["it*".to_owned(), "sho?".to_owned()]);
    assert_eq!(harvest_with(&t.catalog, &options, objects.clone()).objects_count, 5);
    options.schema_filter = Some(vec!["SHOP".to_owned()]);
    let error =
        t.catalog.harvest(&options, &mut Source::new(objects), None, &mut ()).expect_err("nothing matches");
    assert_eq!(error.code, HarvestCode::NotFound);
    let by_schema = t.catalog.resolve_run("a", &RunRef::Schema("shop".into())).expect("schema");
    assert_eq!(by_schema.run_id, one.run_id + 1);
}

const COMPARABLE: &[&str] = &[
    "SELECT object_uid, schema_name, object_name, object_type, guessed_kind, content_hash, has_foreign_keys
       FROM objects WHERE run_id = $",
    "SELECT o.object_uid, c.column_name, c.column_type, c.is_pk, c.is_unique, c.is_indexed, c.is_id_like
       FROM columns c JOIN objects o USING (object_id) WHERE run_id = $",
    "SELECT o.object_uid, k.fk_name, k.parent_object_name, p.object_uid FROM foreign_keys k
       JOIN objects o ON o.object_id = k.child_object_id LEFT JOIN objects p ON p.object_id = k.parent_object_id
       WHERE k.run_id = $",
    "SELECT o.object_uid, r.child_column, p.object_uid, r.parent_column, r.confidence FROM inferred_relationships r
       JOIN objects o ON o.object_id = r.child_object_id JOIN objects p ON p.object_id = r.parent_object_id
       WHERE r.run_id = $",
    "SELECT o.object_uid, profile_kind, profile_json FROM profiles p JOIN objects o USING (object_id) WHERE o.run_id = $",
    "SELECT object_key, name_tokens, columns_blob, comment, tags FROM fts_objects f
       JOIN objects o ON o.content_id = f.rowid WHERE o.run_id = $",
];

#[test]
fn an_incremental_run_equals_a_full_one() {
    let t = store();
    harvest(&t.catalog, "a", shop());
    let mut changed = shop();
    changed[0].columns.push(super::support::column(4, "phone text"));
    changed.push(table("shop", "payments", &["id integer", "order_id integer"]));
    changed.retain(|o| o.name != "open_orders");
    let incremental = harvest(&t.catalog, "a", changed.clone());
    assert_eq!((incremental.carried_over, incremental.changes.added), (2, 1));
    assert_eq!((incremental.changes.changed, incremental.changes.removed), (1, 1));
    let mut options = HarvestOptions::new("a", "x");
    options.incremental = false;
    let full = harvest_with(&t.catalog, &options, changed);
    assert_eq!((full.carried_over, full.base_run_id), (0, None));
    for sql in COMPARABLE {
        let of = |run: i64| {
            let mut rows = dump(&t.catalog, &sql.replace('$', &run.to_string()));
            rows.sort();
            rows
        };
        assert_eq!(of(incremental.run_id), of(full.run_id), "{sql}");
    }
}

#[test]
fn value_checks_of_unchanged_pairs_are_taken_over() {
    let t = store();
    let mut truth = Truth::default();
    truth.pairs.insert(("order_items.order_id".into(), "orders.id".into()), 1.0);
    let options = HarvestOptions::new("a", "x");
    let run = |truth: &mut Truth| {
        t.catalog.harvest(&options, &mut Source::new(shop()), Some(truth), &mut ()).expect("harvest").run_id
    };
    let first = run(&mut truth);
    assert_eq!(truth.asked, 1);
    let second = run(&mut truth);
    assert_eq!(truth.asked, 1, "the second run asks nothing");
    for run in [first, second] {
        let rows = dump(
            &t.catalog,
            &format!(
                "SELECT confidence, evidence_json ->> '$.overlap.ratio' FROM inferred_relationships WHERE run_id = {run}"
            ),
        );
        assert_eq!(rows, ["Real(0.9)|Real(1.0)"]);
    }
}

#[test]
fn targets_never_meet() {
    let t = store();
    let a = harvest(&t.catalog, "a", shop());
    let b = harvest(&t.catalog, "b", shop());
    let found = |run: i64, target: &str| {
        t.catalog.search(&SearchRequest::new(run, target, "order")).expect("search").results
    };
    let before = found(b.run_id, "b");
    assert!(!before.is_empty());
    let ids: Vec<i64> = found(a.run_id, "a").iter().map(|h| h.object_id).collect();
    assert!(before.iter().all(|h| !ids.contains(&h.object_id)));
    assert_eq!(
        t.catalog.resolve_run("a", &RunRef::Id(b.run_id)).expect_err("foreign").code,
        HarvestCode::NotFound
    );
    let foreign = ObjectRef::id(before[0].object_id);
    assert!(t.catalog.get_object("a", a.run_id, &foreign, DocumentParts::default()).is_err());
    assert!(t.catalog.delete_run("b", a.run_id, false).is_err());
    let deleted = t.catalog.delete_run("a", a.run_id, false).expect("delete");
    assert_eq!((deleted.deleted["objects"], deleted.deleted["columns"]), (4, 13));
    let keys = |hits: &[crate::SearchHit]| hits.iter().map(|h| h.object_key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&found(b.run_id, "b")), keys(&before));
    assert!(found(a.run_id, "a").is_empty());
    assert_eq!(t.catalog.check_integrity().expect("check"), Vec::<String>::new());
}

#[test]
fn retention_keeps_the_latest_and_the_pinned() {
    let t = store();
    let mut options = HarvestOptions::new("a", "x");
    let first = harvest_with(&t.catalog, &options, shop()).run_id;
    t.catalog.pin_run("a", first, true).expect("pin");
    options.runs_max_per_target = 2;
    let runs: Vec<i64> = (0..4).map(|_| harvest_with(&t.catalog, &options, shop()).run_id).collect();
    let kept: Vec<i64> =
        t.catalog.list_runs("a", None, false, 10, 0).expect("runs").runs.iter().map(|r| r.run_id).collect();
    assert_eq!(kept, [runs[3], runs[2], first]);
    assert_eq!(
        t.catalog.delete_run("a", first, false).expect_err("pinned").code,
        HarvestCode::FailedPrecondition
    );
}

#[test]
fn differences_are_told_by_path() {
    let t = store();
    let from = harvest(&t.catalog, "a", shop()).run_id;
    let mut changed = shop();
    changed[0].columns[1].column_type = "varchar(80)".to_owned();
    changed[3].foreign_keys[0] = foreign_key("fk_customer", "customers", &[("customer_id", "id")]);
    changed[3].foreign_keys[0].on_delete = Some("RESTRICT".to_owned());
    changed[2].definition = Some("SELECT 1".to_owned());
    changed.remove(1);
    changed.push(table("shop", "refunds", &["id integer"]));
    let to = harvest(&t.catalog, "a", changed).run_id;
    let mut request = DiffRequest::new(from, to);
    let diff = t.catalog.diff_runs(&request).expect("diff");
    insta::assert_json_snapshot!(diff);
    let mut seen = 0;
    request.limit = 2;
    loop {
        let page = t.catalog.diff_runs(&request).expect("page");
        seen += page.added.len() + page.removed.len() + page.changed.len();
        match page.next_offset {
            Some(next) => request.offset = next,
            None => break,
        }
    }
    assert_eq!(seen, 5);
}

#[test]
fn the_store_is_private_to_its_owner() {
    let t = store();
    harvest(&t.catalog, "a", shop());
    #[cfg(unix)]
    for entry in std::fs::read_dir(t.dir.path().join("sub")).expect("dir") {
        use std::os::unix::fs::PermissionsExt as _;
        let entry = entry.expect("entry");
        assert_eq!(entry.metadata().expect("meta").permissions().mode() & 0o777, 0o600, "{entry:?}");
    }
}
