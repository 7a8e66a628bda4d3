//! Ingestion: change and delete detection, guards, failures, model changes, files, consistency under writes.

use std::sync::atomic::{AtomicBool, Ordering};

use ai_core::{AiError, AiErrorCode, RowValue};
use ai_core_rag::{GetDocs, JobState, RagCaller, SearchFts, SourceConfig, SyncMode, SyncRequest};

use crate::support::{Fixture, caller, document, row, table_config};

fn full() -> SyncRequest {
    SyncRequest { mode: SyncMode::Full, ..SyncRequest::default() }
}

pub(crate) fn changes_and_deletions_are_followed() {
    let fixture = Fixture::new();
    let rows = fixture.table("posts");
    for i in 0..30 {
        rows.put(i, row(i / 10, "post", &format!("alpha number{i}")));
    }
    let done = fixture.sync_ok(SyncRequest::default());
    assert_eq!((done.progress[0].docs_new, done.progress[0].errors), (30, 0));
    // Nothing changed: nothing is read twice into the store, nothing is deleted.
    let again = fixture.sync_ok(SyncRequest::default());
    let p = &again.progress[0];
    assert_eq!(
        (p.docs_new, p.docs_changed, p.docs_deleted, p.chunks_written, p.embeddings_done),
        (0, 0, 0, 0, 0)
    );
    rows.put(5, row(9, "post", "omega changed"));
    rows.remove(7);
    let changed = fixture.sync_ok(SyncRequest::default());
    assert_eq!((changed.progress[0].docs_changed, changed.progress[0].docs_deleted), (1, 0));
    assert_eq!(fixture.fts("omega"), ["posts:5"]);
    assert_eq!(fixture.vector("omega changed")[0], "posts:5");
    assert!(fixture.fts("number5").is_empty());
    assert_eq!(fixture.fts("number7"), ["posts:7"]);
    let swept = fixture.sync_ok(full());
    assert_eq!(swept.progress[0].docs_deleted, 1);
    assert!(fixture.fts("number7").is_empty());
    // A document that comes back is the same document.
    rows.put(7, row(9, "post", "alpha number7"));
    fixture.sync_ok(SyncRequest::default());
    assert_eq!(fixture.fts("number7"), ["posts:7"]);
}

pub(crate) fn equal_cursor_values_across_pages_are_all_read() {
    let fixture = Fixture::new();
    let rows = fixture.table("posts");
    let mut config = table_config("posts");
    config.source_id = fixture.rag.source_id("posts").unwrap();
    config.sync.page_rows = 3;
    config.sync.commit_docs = 2;
    fixture.rag.put_source(&config, None).unwrap();
    for i in 0..20 {
        rows.put(i, row(1, "t", &format!("body {i}")));
    }
    rows.put(20, vec![RowValue::Null, RowValue::Text("t".into()), RowValue::Text("no cursor".into())]);
    let done = fixture.sync_ok(SyncRequest::default());
    assert_eq!(done.progress[0].docs_new, 21);
}

pub(crate) fn a_mass_deletion_needs_force() {
    let fixture = Fixture::new();
    let rows = fixture.table("posts");
    (0..250).for_each(|i| rows.put(i, row(1, "t", "body")));
    fixture.sync_ok(SyncRequest::default());
    (0..200).for_each(|i| rows.remove(i));
    let stopped = fixture.sync(full());
    assert_eq!(stopped.state, JobState::Failed);
    assert!(stopped.progress[0].error.as_ref().unwrap().contains("force_delete"));
    assert_eq!(fixture.rag.stats(&caller()).unwrap().totals.docs, 250);
    let dry = fixture.sync(SyncRequest { dry_run: true, force_delete: true, ..full() });
    assert_eq!(dry.progress[0].docs_deleted, 200);
    assert_eq!(fixture.rag.stats(&caller()).unwrap().totals.docs, 250);
    fixture.sync_ok(SyncRequest { force_delete: true, ..full() });
    assert_eq!(fixture.rag.stats(&caller()).unwrap().totals.docs, 50);
}

pub(crate) fn one_broken_source_does_not_stop_the_other() {
    let fixture = Fixture::new();
    let rows = fixture.table("good");
    rows.put(1, row(1, "t", "fine"));
    fixture.table("bad");
    fixture.tables.tables.lock().unwrap().remove("bad");
    let done = fixture.sync(SyncRequest::default());
    assert_eq!(done.state, JobState::Partial);
    assert_eq!(fixture.fts("fine"), ["good:1"]);
    let stats = fixture.rag.stats(&caller()).unwrap();
    let bad = stats.sources.iter().find(|s| s.source_name == "bad").unwrap();
    assert!(bad.last_error.as_ref().unwrap().contains("cannot be reached"));
    assert_eq!(bad.consecutive_failures, 1);
}

pub(crate) fn an_absent_embedder_defers_vectors() {
    let fixture = Fixture::new();
    let rows = fixture.table("posts");
    rows.put(1, row(1, "t", "first words"));
    fixture.sync_ok(SyncRequest::default());
    fixture.model.set_failure(Some(AiError::unavailable("model is down")));
    rows.put(2, row(2, "t", "second words"));
    let done = fixture.sync_ok(SyncRequest::default());
    assert_eq!(done.progress[0].embeddings_pending, 1);
    let found = fixture.hybrid("second");
    assert!(found.degraded && found.results[0].doc_id == "posts:2");
    fixture.model.set_failure(None);
    fixture.sync_ok(SyncRequest::default());
    assert_eq!(fixture.vector("second words")[0], "posts:2");
    let stats = fixture.rag.stats(&caller()).unwrap();
    let embeddings = stats.sources[0].embeddings.as_ref().unwrap();
    assert_eq!((embeddings.ok, embeddings.pending, embeddings.error), (2, 0, 0));
}

pub(crate) fn a_small_edit_embeds_few_chunks() {
    let fixture = Fixture::new();
    let mut config = SourceConfig::push("docs");
    config.embedding.enabled = true;
    config.embedding.provider = "fake".to_owned();
    config.chunking.chunk_size = Some(100);
    config.chunking.overlap = Some(0);
    config.chunking.min_chunk_size = Some(0);
    fixture.rag.put_source(&config, None).unwrap();
    let body: String = (0..400).map(|i| format!("word{i:04} ")).collect();
    let first = fixture.rag.put_documents("docs", &[document("d", "t", &body)]).unwrap();
    assert!(first.embeddings_done >= 36, "{first:?}");
    let seen = fixture.model.inputs_seen();
    let edited = fixture
        .rag
        .put_documents("docs", &[document("d", "t", &body.replace("word0200", "edit0200"))])
        .unwrap();
    assert_eq!(edited.docs_changed, 1);
    assert_eq!(fixture.model.inputs_seen() - seen, 1);
    assert_eq!(edited.embeddings_reused, edited.chunks_written - 1);
}

pub(crate) fn a_changed_model_serves_the_old_vectors_until_the_swap() {
    let fixture = Fixture::new();
    let rows = fixture.table("posts");
    (0..20).for_each(|i| rows.put(i, row(1, "t", &format!("thing{i}"))));
    fixture.sync_ok(SyncRequest::default());
    let mut config = table_config("posts");
    config.source_id = fixture.rag.source_id("posts").unwrap();
    config.embedding.provider = "builtin".to_owned();
    config.embedding.dim = Some(128);
    fixture.rag.put_source(&config, None).unwrap();
    // The old model goes on answering, also for a document that changes meanwhile.
    let before = fixture.hybrid("thing3");
    assert!(!before.degraded, "{:?}", before.degraded_reason);
    assert_eq!(before.results[0].model.as_deref(), Some("letter-count"));
    let done = fixture.sync_ok(SyncRequest { mode: SyncMode::Reembed, ..SyncRequest::default() });
    assert_eq!(done.progress[0].embeddings_done, 20);
    let found = fixture.hybrid("thing3");
    assert!(!found.degraded);
    assert_eq!(found.results[0].model.as_deref(), Some("lexical-hash-v1"));
    let stats = fixture.rag.stats(&caller()).unwrap();
    let embeddings = stats.sources[0].embeddings.as_ref().unwrap();
    assert_eq!((embeddings.dim, embeddings.ok, embeddings.building.as_deref()), (128, 20, None));
}

pub(crate) fn ids_with_wildcards_stay_apart_and_text_survives() {
    let fixture = Fixture::new();
    let text = "back\\slash 'single' \"double\" 🚀 e\u{301} 👩‍👩‍👧 数据库 \u{10ffff}";
    let names = ["a_b", "aXb", "a%", "a#1", "a#10", "a'; DROP TABLE rag_documents; --"];
    fixture.push("docs", &names.map(|n| (n, "t", text)));
    fixture.rag.delete_documents("docs", &["a_b".into(), "a%".into(), "a#1".into()]).unwrap();
    let got = fixture
        .rag
        .get_docs(&caller(), &GetDocs { doc_ids: names.map(str::to_owned).to_vec(), ..GetDocs::default() })
        .unwrap();
    let left: Vec<&str> = got.docs.iter().map(|d| d.doc_id.as_str()).collect();
    assert_eq!(left, ["aXb", "a#10", names[5]]);
    assert!(got.docs.iter().all(|d| d.body.as_deref() == Some(text)));
    assert_eq!(got.not_found, ["a_b", "a%", "a#1"]);
}

pub(crate) fn searches_see_one_version_while_documents_change() {
    let fixture = Fixture::new();
    fixture.push("docs", &[("d", "t", "common version0"), ("e", "t", "other text")]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = 0;
                    while !stop.load(Ordering::SeqCst) {
                        assert_eq!(fixture.fts("common"), ["d"]);
                        let near = fixture.vector("common");
                        assert_eq!(near.iter().filter(|id| *id == "d").count(), 1);
                        assert_eq!(fixture.hybrid("common").results[0].doc_id, "d");
                        seen += 1;
                    }
                    seen
                })
            })
            .collect();
        for i in 1..25 {
            fixture.rag.put_documents("docs", &[document("d", "t", &format!("common version{i}"))]).unwrap();
        }
        stop.store(true, Ordering::SeqCst);
        readers.into_iter().for_each(|r| assert!(r.join().unwrap() > 0));
    });
    assert_eq!(fixture.fts("version24"), ["d"]);
    assert!(fixture.fts("version3").is_empty());
    fixture.sync_ok(SyncRequest {
        mode: SyncMode::Verify,
        source_names: vec!["docs".into()],
        ..SyncRequest::default()
    });
}

pub(crate) fn stores_open_again_and_newer_ones_are_refused() {
    let fixture = Fixture::new();
    fixture.push("docs", &[("d", "t", "kept words")]);
    let Fixture { place, rag, .. } = fixture;
    drop(rag);
    for _ in 0..2 {
        let rag = place.builder().open().unwrap();
        let found =
            rag.search_fts(&caller(), &SearchFts { query: "kept".into(), ..SearchFts::default() }).unwrap();
        assert_eq!(found.results.len(), 1);
    }
    place.execute("UPDATE rag_meta SET value = '999' WHERE key = 'schema_version'");
    let before = place.image();
    assert_eq!(place.builder().open().unwrap_err().code, AiErrorCode::FailedPrecondition);
    assert_eq!(place.image(), before);
}

pub(crate) fn a_folder_is_followed() {
    let top = tempfile::tempdir().unwrap();
    let fixture = Fixture::with(|b| b.file_roots(vec![top.path().to_owned()]));
    let write = |name: &str, text: &str| std::fs::write(top.path().join(name), text).unwrap();
    write("a.md", "# Alpha\nabout replication\n");
    write("b.html", "<title>Beta</title><body>about backups</body>");
    fixture.rag.put_source(&SourceConfig::files("docs", top.path().to_str().unwrap(), "**/*"), None).unwrap();
    fixture.sync_ok(SyncRequest::default());
    assert_eq!(fixture.fts("replication"), ["**/*:a.md"]);
    assert_eq!(fixture.fts("beta"), ["**/*:b.html"]);
    write("a.md", "# Alpha\nabout sharding\n");
    std::fs::rename(top.path().join("b.html"), top.path().join("c.html")).unwrap();
    fixture.sync_ok(full());
    assert!(fixture.fts("replication").is_empty());
    assert_eq!(fixture.fts("backups"), ["**/*:c.html"]);
    std::fs::remove_file(top.path().join("c.html")).unwrap();
    fixture.sync_ok(full());
    assert!(fixture.fts("backups").is_empty());
}

pub(crate) fn doubled_and_foreign_names_are_conflicts() {
    let fixture = Fixture::new();
    let rows = fixture.table("posts");
    let mut config = table_config("posts");
    config.source_id = fixture.rag.source_id("posts").unwrap();
    config.doc_map.doc_id.format = Some("{title}".into());
    fixture.rag.put_source(&config, None).unwrap();
    rows.put(1, row(1, "same", "first"));
    rows.put(2, row(1, "same", "second"));
    let done = fixture.sync_ok(SyncRequest::default());
    assert_eq!((done.progress[0].docs_new, done.progress[0].errors > 0), (1, true));
    assert_eq!(fixture.fts("first"), ["same"]);
    fixture.rag.put_source(&SourceConfig::push("other"), None).unwrap();
    let error = fixture.rag.put_documents("other", &[document("same", "", "x")]).unwrap_err();
    assert_eq!(error.code, AiErrorCode::Conflict);
    assert!(fixture.rag.put_documents("posts", &[]).is_err());
    let stranger = RagCaller::named("stranger");
    assert!(
        !fixture.rag.jobs(&stranger, &ai_core_rag::JobRequest::default()).unwrap().jobs[0]
            .errors_sample
            .is_empty()
    );
}
