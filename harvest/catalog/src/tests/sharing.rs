//! What runs share: contents, search rows, references; what a deletion leaves; how older stores become new ones.

use rusqlite::Connection;

use super::support::{Source, dump, harvest, harvest_with, shop, store, table};
use crate::layout::{CATALOG_STEPS, bring_up};
use crate::{
    Catalog, DiffRequest, DocumentParts, HarvestOptions, ListObjectsRequest, ObjectRef, SearchRequest,
    StoreOptions,
};

fn count(catalog: &Catalog, sql: &str) -> String {
    dump(catalog, sql).remove(0)
}

#[test]
fn unchanged_objects_are_stored_once_and_go_with_their_last_run() {
    let t = store();
    let first = harvest(&t.catalog, "a", shop());
    let second = harvest(&t.catalog, "a", shop());
    let mut changed = shop();
    changed[0].comment = "somebody else".to_owned();
    let third = harvest(&t.catalog, "a", changed);
    assert_eq!((second.carried_over, third.carried_over, third.changes.changed), (4, 3, 1));
    let stored = || {
        (
            count(&t.catalog, "SELECT COUNT(*) FROM contents"),
            count(&t.catalog, "SELECT COUNT(*) FROM fts_objects"),
        )
    };
    assert_eq!(stored(), ("Integer(5)".to_owned(), "Integer(5)".to_owned()));
    let comments = |run: i64| {
        let list = t.catalog.list_objects(&ListObjectsRequest::new(run, "a")).expect("list").results;
        list.into_iter().map(|o| o.comment).collect::<Vec<_>>()
    };
    let (old, new) = (comments(first.run_id), comments(third.run_id));
    assert_ne!(old, new);
    assert_eq!(comments(second.run_id), old);
    let words =
        |run: i64| t.catalog.search(&SearchRequest::new(run, "a", "somebody")).expect("search").results.len();
    assert_eq!([first.run_id, second.run_id, third.run_id].map(words), [0, 0, 1]);
    assert_eq!(
        t.catalog.diff_runs(&DiffRequest::new(second.run_id, third.run_id)).expect("diff").summary.changed,
        1
    );
    t.catalog.delete_run("a", first.run_id, false).expect("delete");
    assert_eq!(comments(second.run_id), old);
    t.catalog.delete_run("a", second.run_id, false).expect("delete");
    assert_eq!(stored().0, "Integer(4)");
    assert_eq!(comments(third.run_id), new);
    t.catalog.delete_run("a", third.run_id, false).expect("delete");
    assert_eq!(stored(), ("Integer(0)".to_owned(), "Integer(0)".to_owned()));
    assert_eq!(count(&t.catalog, "SELECT COUNT(*) FROM content_relationships"), "Integer(0)");
    assert_eq!(t.catalog.check_integrity().expect("check"), Vec::<String>::new());
}

/// What a run says, without ids.
const TOLD: &[&str] = &[
    "SELECT object_uid, object_name, guessed_kind, content_hash, table_rows_est, data_length FROM objects WHERE run_id = $ ORDER BY 1",
    "SELECT o.object_uid, c.column_name, c.column_type FROM columns c JOIN objects o USING (object_id) WHERE run_id = $ ORDER BY 1, 2",
    "SELECT o.object_uid, i.index_name, p.column_name FROM indexes i JOIN index_columns p USING (index_id)
       JOIN objects o USING (object_id) WHERE run_id = $ ORDER BY 1, 2, p.seq_in_index",
    "SELECT o.object_uid, k.fk_name, p.child_column, p.parent_column FROM foreign_keys k JOIN foreign_key_columns p USING (fk_id)
       JOIN objects o ON o.object_id = k.child_object_id WHERE k.run_id = $ ORDER BY 1, 2, p.seq",
    "SELECT o.object_uid, k.constraint_name, k.columns_json FROM constraints k JOIN objects o USING (object_id)
       WHERE run_id = $ ORDER BY 1, 2",
    "SELECT r.child_column, r.parent_column, r.confidence FROM inferred_relationships r WHERE r.run_id = $ ORDER BY 1, 2",
    "SELECT o.object_uid, p.profile_kind, p.profile_json FROM profiles p JOIN objects o USING (object_id) WHERE o.run_id = $ ORDER BY 1",
    "SELECT json_remove(counts_json, '$.carried_over') FROM runs WHERE run_id = $",
];

#[test]
fn a_source_that_knows_of_no_change_is_not_asked_for_parts() {
    let t = store();
    let options = HarvestOptions::new("a", "x");
    let mut source = Source::new(shop());
    source.token = Some("one".to_owned());
    let run = |source: &mut Source| t.catalog.harvest(&options, source, None, &mut ()).expect("harvest");
    let first = run(&mut source);
    source.snapshot.objects[0].rows_est = Some(17);
    let second = run(&mut source);
    assert_eq!((source.whole_reads, second.carried_over), (1, 4));
    // The same state, read in full.
    let mut full = HarvestOptions::new("a", "x");
    full.incremental = false;
    let third = t.catalog.harvest(&full, &mut source, None, &mut ()).expect("harvest");
    assert_eq!((source.whole_reads, third.carried_over), (2, 0));
    for sql in TOLD {
        let of = |run: i64| dump(&t.catalog, &sql.replace("= $", &format!("= {run}")));
        assert_eq!(of(second.run_id), of(third.run_id), "{sql}");
        assert!(!of(second.run_id).is_empty() || sql.contains("constraints"), "{sql}");
    }
    source.token = Some("two".to_owned());
    source.snapshot.objects.push(table("shop", "refunds", &["id integer"]));
    let fourth = run(&mut source);
    assert_eq!((source.whole_reads, fourth.changes.added), (3, 1));
    assert_eq!(first.objects_count + 1, fourth.objects_count);
}

#[test]
fn a_store_of_the_first_layout_keeps_everything() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("catalog.db");
    let mut old = Connection::open(&path).expect("open");
    bring_up(&mut old, &path, &CATALOG_STEPS[..1]).expect("first layout");
    old.execute_batch(include_str!("layout_1.sql")).expect("rows");
    drop(old);
    let catalog = Catalog::open(StoreOptions::new(&path)).expect("migrates");
    assert_eq!(catalog.status().expect("status").status, "migrated");
    let listed = catalog.list_objects(&ListObjectsRequest::new(1, "a")).expect("list");
    let keys: Vec<&str> = listed.results.iter().map(|o| o.object_key.as_str()).collect();
    assert_eq!(keys, ["s.child", "s.parent"]);
    let parts = DocumentParts { definition: true, profiles: true, relationships: true, llm: true };
    let doc = catalog.get_object("a", 1, &ObjectRef::key("s.child"), parts).expect("document");
    insta::assert_json_snapshot!(doc);
    let found = catalog.search(&SearchRequest::new(1, "a", "birth")).expect("search").results;
    assert_eq!(found.len(), 1);
    for sql in
        ["SELECT object_id FROM llm_object_summaries", "SELECT child_object_id FROM inferred_relationships"]
    {
        assert_eq!(dump(&catalog, sql), ["Integer(2)"], "{sql}");
    }
    assert_eq!(dump(&catalog, "PRAGMA foreign_key_check"), Vec::<String>::new());
    let next =
        harvest_with(&catalog, &HarvestOptions::new("a", "x"), vec![table("s", "parent", &["id integer"])]);
    // The identities of the rows above are made up, so both are gone and one is new.
    assert_eq!((next.changes.removed, next.changes.added), (2, 1));
    // The old run is from 1970, so retention has deleted it.
    assert_eq!(dump(&catalog, "SELECT run_id FROM runs"), ["Integer(2)"]);
    assert_eq!(dump(&catalog, "SELECT object_id FROM llm_object_summaries"), ["Null"]);
    assert_eq!(catalog.check_integrity().expect("check"), Vec::<String>::new());
}
