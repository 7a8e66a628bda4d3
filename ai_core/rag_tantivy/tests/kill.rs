//! A process that is killed at any moment leaves store, vectors and full text in step; checked for FTS5 and tantivy.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ai_core_rag::{
    Fulltext, JobState, PushDocument, Rag, RagCaller, SearchFts, SearchVector, SourceConfig, SyncMode,
    SyncRequest,
};

const STORE: &str = "PENSTOCK_KILL_STORE";
const OUTER: &str = "PENSTOCK_KILL_OUTER";

/// Kills in this test; many more were run by hand.
const KILLS: u64 = 6;

const DOCS: usize = 40;

fn open(path: &Path, outer: bool) -> Rag {
    let choice = if outer { Fulltext::Outer } else { Fulltext::Fts5 };
    Rag::builder(path).fulltext(choice, Some(ai_core_rag_tantivy::opener())).open().unwrap()
}

fn body(doc: usize, round: usize) -> String {
    format!("constant words{doc} round{round} {}", "filler text. ".repeat(doc % 7))
}

fn documents(round: usize) -> Vec<PushDocument> {
    (0..DOCS)
        .map(|d| PushDocument {
            doc_id: format!("d{d}"),
            title: "title".into(),
            body: body(d, round),
            ..PushDocument::default()
        })
        .collect()
}

fn setup(rag: &Rag) {
    let mut config = SourceConfig::push("docs");
    config.source_id = rag.source_id("docs").unwrap();
    config.sync.commit_docs = 3;
    config.embedding.enabled = true;
    config.embedding.dim = Some(64);
    rag.put_source(&config, None).unwrap();
}

/// The process that is killed: it runs only when the environment names a store.
#[test]
fn writer() {
    let Ok(path) = std::env::var(STORE) else { return };
    let rag = open(Path::new(&path), std::env::var(OUTER).is_ok());
    setup(&rag);
    for round in 0.. {
        for batch in documents(round).chunks(7) {
            rag.put_documents("docs", batch).unwrap();
            rag.flush_index().unwrap();
        }
        rag.delete_documents("docs", &[format!("d{}", round % DOCS)]).unwrap();
    }
}

fn spawn(path: &Path, outer: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "writer", "--nocapture"])
        .env(STORE, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if outer {
        command.env(OUTER, "1");
    }
    command.spawn().unwrap()
}

/// Everything agrees, and a run to the end gives what an undisturbed run gives.
fn check(path: &Path, outer: bool) {
    let rag = open(path, outer);
    let caller = RagCaller::named("tester");
    setup(&rag);
    let verify = SyncRequest {
        mode: SyncMode::Verify,
        source_names: vec!["docs".into()],
        wait_ms: 30_000,
        ..SyncRequest::default()
    };
    let verified = rag.sync(&caller, &verify).unwrap();
    let job = ai_core_rag::JobRequest {
        job_id: Some(verified.job_id.clone()),
        ..ai_core_rag::JobRequest::default()
    };
    assert_eq!(verified.state, JobState::Succeeded, "{:?}", rag.jobs(&caller, &job).unwrap());
    rag.put_documents("docs", &documents(1_000_000)).unwrap();
    rag.flush_index().unwrap();
    let all = SearchFts { query: "constant".into(), k: Some(50), ..SearchFts::default() };
    assert_eq!(rag.search_fts(&caller, &all).unwrap().results.len(), DOCS);
    let latest = SearchFts { query: "round1000000".into(), k: Some(50), ..SearchFts::default() };
    assert_eq!(rag.search_fts(&caller, &latest).unwrap().results.len(), DOCS);
    let near = SearchVector { query_text: Some(body(5, 1_000_000)), k: Some(50), ..SearchVector::default() };
    let found = rag.search_vector(&caller, &near).unwrap();
    assert_eq!((found.results.len(), found.results[0].doc_id.as_str()), (DOCS, "d5"));
}

fn killed_at_random(outer: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("rag.db");
    let kills = std::env::var("PENSTOCK_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let mut seed = 41u64;
    for _ in 0..kills {
        let mut child = spawn(&path, outer);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(60 + (seed >> 33) % 500));
        child.kill().unwrap();
        child.wait().unwrap();
        check(&path, outer);
    }
}

#[test]
fn fts5_store_survives_kills() {
    killed_at_random(false);
}

#[test]
fn tantivy_store_survives_kills() {
    killed_at_random(true);
}
