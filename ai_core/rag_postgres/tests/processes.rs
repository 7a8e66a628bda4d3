//! Two processes over one store in PostgreSQL: both write and search at once, one is killed, and nothing is lost or mixed.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking and says when it cannot run"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_core_rag::{
    Fulltext, GetChunks, JobRequest, JobState, PushDocument, Rag, RagCaller, RagLimits, SearchFts,
    SearchVector, SourceConfig, SyncMode, SyncRequest,
};
use ai_core_rag_postgres::{PgDatabase, PgOptions, plain_connector};

const URL: &str = "PENSTOCK_TEST_PGVECTOR_URL";
const SCHEMA: &str = "PENSTOCK_PROCESS_SCHEMA";
const FOLDER: &str = "PENSTOCK_PROCESS_FOLDER";
const TASK: &str = "PENSTOCK_PROCESS_TASK";

/// Kills in this test unless the environment says otherwise.
const KILLS: u64 = 4;

const DOCS: usize = 15;

/// Files of the source whose job is taken over.
const FILES: usize = 150;

fn server() -> Option<String> {
    match std::env::var(URL) {
        Ok(url) => Some(url),
        Err(_) if std::env::var("CI").is_ok_and(|v| v == "true") => panic!("{URL} names no server"),
        Err(_) => {
            eprintln!("skipped: {URL} names no PostgreSQL with pgvector");
            None
        }
    }
}

fn open(url: &str, schema: &str, folder: &Path, files: &Path) -> Rag {
    let options = PgOptions { schema: schema.to_owned(), ..PgOptions::default() };
    let database = PgDatabase::open(plain_connector(url), options).unwrap();
    let rag = Rag::builder(folder.join("rag"))
        .database(Arc::new(database))
        .fulltext(Fulltext::Outer, Some(ai_core_rag_tantivy::opener()))
        .limits(RagLimits { lease_s: 2, timeout_ms: 30_000, ..RagLimits::default() })
        .file_roots(vec![files.to_owned()])
        .open()
        .unwrap();
    rag.start_background().unwrap();
    rag
}

fn source(rag: &Rag, name: &str) {
    let mut config = SourceConfig::push(name);
    config.source_id = rag.source_id(name).unwrap();
    config.embedding.enabled = true;
    config.embedding.dim = Some(64);
    config.sync.commit_docs = 4;
    rag.put_source(&config, None).unwrap();
}

fn put(rag: &Rag, name: &str, round: usize) {
    let docs: Vec<PushDocument> = (0..DOCS)
        .map(|d| PushDocument {
            doc_id: format!("{name}{d}"),
            title: "title".into(),
            body: format!("common{name} words{d} round{round}"),
            ..PushDocument::default()
        })
        .collect();
    rag.put_documents(name, &docs).unwrap();
}

/// The process that is killed; it runs only when the environment gives it a task.
#[test]
fn other() {
    let (Ok(url), Ok(task)) = (std::env::var(URL), std::env::var(TASK)) else { return };
    let (schema, folder) = (std::env::var(SCHEMA).unwrap(), std::env::var(FOLDER).unwrap());
    let folder = Path::new(&folder);
    let rag = open(&url, &schema, folder, folder.parent().unwrap());
    if task == "sync" {
        let request =
            SyncRequest { source_names: vec!["files".into()], wait_ms: 30_000, ..SyncRequest::default() };
        let _ = rag.sync(&RagCaller::named("other"), &request);
        return;
    }
    for round in 0.. {
        put(&rag, "theirs", round);
        if round % 3 == 0 {
            rag.delete_documents("theirs", &[format!("theirs{}", round % DOCS)]).unwrap();
            put(&rag, "theirs", round);
        }
        found(&rag, "commonours");
    }
}

fn spawn(schema: &str, folder: &Path, task: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other", "--nocapture"])
        .env(SCHEMA, schema)
        .env(FOLDER, folder)
        .env(TASK, task)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Names of the documents that a word finds, none of them twice.
fn found(rag: &Rag, query: &str) -> BTreeSet<String> {
    let request = SearchFts { query: query.into(), k: Some(50), ..SearchFts::default() };
    let hits = rag.search_fts(&RagCaller::named("me"), &request).unwrap().results;
    let names: BTreeSet<String> = hits.iter().map(|h| h.doc_id.clone()).collect();
    assert_eq!(names.len(), hits.len(), "a document in two versions");
    names
}

fn verify(rag: &Rag) {
    let caller = RagCaller::named("me");
    let request = SyncRequest {
        mode: SyncMode::Verify,
        source_names: vec!["ours".into()],
        wait_ms: 30_000,
        ..SyncRequest::default()
    };
    let done = rag.sync(&caller, &request).unwrap();
    let job = JobRequest { job_id: Some(done.job_id), ..JobRequest::default() };
    assert_eq!(done.state, JobState::Succeeded, "{:?}", rag.jobs(&caller, &job).unwrap());
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(90), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn drop_schema(url: &str, schema: &str) {
    let mut client = plain_connector(url)().unwrap();
    client.batch_execute(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE")).unwrap();
}

#[test]
fn both_write_and_search_while_one_is_killed() {
    let Some(url) = server() else { return };
    let schema = format!("rag_processes_{}", std::process::id());
    let top = tempfile::tempdir().unwrap();
    let rag = open(&url, &schema, &top.path().join("ours"), top.path());
    source(&rag, "ours");
    source(&rag, "theirs");
    put(&rag, "ours", 0);
    put(&rag, "theirs", 0);
    let kills = std::env::var("PENSTOCK_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let theirs = top.path().join("theirs");
    let (mut round, mut seed) = (1, 17u64);
    for _ in 0..kills {
        let mut child = spawn(&schema, &theirs, "write");
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let end = Instant::now() + Duration::from_millis(700 + (seed >> 33) % 900);
        while Instant::now() < end {
            put(&rag, "ours", round);
            // Every one of ours, in the version just written, and all of theirs but the one that is away at times.
            assert_eq!(found(&rag, "commonours").len(), DOCS);
            assert_eq!(found(&rag, &format!("round{round} commonours")).len().min(DOCS), DOCS);
            assert!(found(&rag, "commontheirs").len() >= DOCS - 1);
            round += 1;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        verify(&rag);
    }
    put(&rag, "theirs", 1_000_000);
    assert_eq!(found(&rag, "commontheirs").len(), DOCS);
    assert_eq!(found(&rag, "round1000000").len(), DOCS);
    let near = SearchVector {
        query_text: Some("commontheirs words5 round1000000".into()),
        ..SearchVector::default()
    };
    let hits = rag.search_vector(&RagCaller::named("me"), &near).unwrap().results;
    assert_eq!(hits[0].doc_id, "theirs5");
    let chunk = GetChunks { chunk_ids: vec![hits[0].chunk_id.clone()], ..GetChunks::default() };
    let chunks = rag.get_chunks(&RagCaller::named("me"), &chunk).unwrap().chunks;
    assert_eq!(chunks[0].body, "commontheirs words5 round1000000");
    // Another process that comes later has an index of its own and sees the same.
    let third = open(&url, &schema, &top.path().join("third"), top.path());
    assert_eq!(found(&third, "round1000000"), found(&rag, "round1000000"));
    verify(&third);
    drop((rag, third));
    drop_schema(&url, &schema);
}

#[test]
fn a_killed_process_leaves_its_job_to_the_others() {
    let Some(url) = server() else { return };
    let schema = format!("rag_takeover_{}", std::process::id());
    let top = tempfile::tempdir().unwrap();
    let files = top.path().join("files");
    std::fs::create_dir(&files).unwrap();
    for i in 0..FILES {
        std::fs::write(files.join(format!("f{i}.md")), format!("# Title {i}\n\ncommonword number{i}\n"))
            .unwrap();
    }
    let rag = open(&url, &schema, &top.path().join("ours"), top.path());
    let mut config = SourceConfig::files("files", files.to_str().unwrap(), "*.md");
    config.embedding.enabled = true;
    config.embedding.dim = Some(64);
    config.sync.commit_docs = 1;
    rag.put_source(&config, None).unwrap();
    source(&rag, "ours");
    let caller = RagCaller::named("me");
    let docs = || {
        let stats = rag.stats(&caller).unwrap();
        stats.sources.iter().find(|s| s.source_name == "files").map_or(0, |s| s.docs)
    };
    let mut child = spawn(&schema, &top.path().join("theirs"), "sync");
    until("the other process works", || docs() > 2);
    // While it lives, its source is not ours to read.
    let request = SyncRequest { source_names: vec!["files".into()], ..SyncRequest::default() };
    let refused = rag.sync(&caller, &request).map(|r| r.job_id).unwrap_err();
    assert_eq!(refused.code, ai_core::AiErrorCode::Conflict);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!((docs() as usize) < FILES, "it was killed in the middle");
    let job_id = refused.details["job_id"].as_str().unwrap().to_owned();
    let job = JobRequest { job_id: Some(job_id), ..JobRequest::default() };
    until("the job is taken over", || rag.jobs(&caller, &job).unwrap().jobs[0].state == JobState::Succeeded);
    assert_eq!(docs() as usize, FILES);
    assert_eq!(found(&rag, "number77").len(), 1);
    verify(&rag);
    drop(rag);
    drop_schema(&url, &schema);
}
