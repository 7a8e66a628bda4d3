//! An engine with a tantivy index: every version of a document is found at every moment, and a lost index is rebuilt.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};

use ai_core_rag::{Fulltext, PushDocument, Rag, RagCaller, SearchFts, SearchHybrid, SourceConfig};

fn document(id: &str, body: &str) -> PushDocument {
    PushDocument { doc_id: id.into(), title: String::new(), body: body.into(), ..PushDocument::default() }
}

fn open(folder: &std::path::Path, choice: Fulltext) -> Rag {
    let rag = Rag::builder(folder.join("rag.db"))
        .fulltext(choice, Some(ai_core_rag_tantivy::opener()))
        .open()
        .unwrap();
    if rag.source_id("docs").unwrap().is_none() {
        rag.put_source(&SourceConfig::push("docs"), None).unwrap();
    }
    rag
}

fn find(rag: &Rag, query: &str) -> Vec<String> {
    let request = SearchFts { query: query.into(), ..SearchFts::default() };
    let found = rag.search_fts(&RagCaller::named("tester"), &request).unwrap();
    found.results.into_iter().map(|h| h.doc_id).collect()
}

#[test]
fn a_changing_document_is_always_found_once() {
    let folder = tempfile::tempdir().unwrap();
    let rag = open(folder.path(), Fulltext::Outer);
    let others: Vec<PushDocument> =
        (0..30).map(|i| document(&format!("o{i}"), "other text about something else")).collect();
    rag.put_documents("docs", &others).unwrap();
    rag.put_documents("docs", &[document("d", "common version0")]).unwrap();
    rag.start_background().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = 0;
                    while !stop.load(Ordering::SeqCst) {
                        assert_eq!(find(&rag, "common"), ["d"]);
                        seen += 1;
                    }
                    seen
                })
            })
            .collect();
        for i in 1..40 {
            rag.put_documents("docs", &[document("d", &format!("common version{i}"))]).unwrap();
            if i % 5 == 0 {
                rag.flush_index().unwrap();
            }
        }
        stop.store(true, Ordering::SeqCst);
        readers.into_iter().for_each(|r| assert!(r.join().unwrap() > 0));
    });
    rag.flush_index().unwrap();
    assert_eq!(find(&rag, "version39"), ["d"]);
    assert!(find(&rag, "version38").is_empty());
    rag.delete_documents("docs", &["d".into()]).unwrap();
    assert!(find(&rag, "common").is_empty());
    let stats = rag.stats(&RagCaller::named("tester")).unwrap();
    assert_eq!(stats.index.kind, "tantivy");
}

#[test]
fn a_lost_or_foreign_index_is_rebuilt_and_engines_switch() {
    let folder = tempfile::tempdir().unwrap();
    let outer = folder.path().join("rag.db.fulltext");
    {
        let rag = open(folder.path(), Fulltext::Fts5);
        rag.put_documents("docs", &[document("a", "alpha words"), document("b", "beta words")]).unwrap();
    }
    assert_eq!(find(&open(folder.path(), Fulltext::Outer), "alpha"), ["a"]);
    std::fs::remove_dir_all(&outer).unwrap();
    {
        let rag = open(folder.path(), Fulltext::Outer);
        assert_eq!(find(&rag, "beta"), ["b"]);
        // Not flushed: the change waits in the outbox over the restart.
        rag.put_documents("docs", &[document("c", "gamma words")]).unwrap();
        assert_eq!(find(&rag, "gamma"), ["c"]);
    }
    {
        let rag = open(folder.path(), Fulltext::Outer);
        assert_eq!(find(&rag, "gamma"), ["c"]);
        let request = SearchHybrid { query: "words".into(), ..SearchHybrid::default() };
        assert_eq!(rag.search_hybrid(&RagCaller::named("tester"), &request).unwrap().results.len(), 3);
    }
    let back = open(folder.path(), Fulltext::Fts5);
    assert_eq!(find(&back, "gamma"), ["c"]);
    assert_eq!(back.stats(&RagCaller::named("tester")).unwrap().index.kind, "fts5");
}
