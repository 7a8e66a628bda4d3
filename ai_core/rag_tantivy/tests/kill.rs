//! A process that is killed at any moment leaves store, vectors and full text in step, by key and by content, and no search
//! shows a deleted or a mixed version; checked for FTS5 and tantivy.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking and tells what it did"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ai_core_rag::{
    Fulltext, GetDocs, JobRequest, JobState, PushDocument, Rag, RagCaller, SearchFts, SearchVector,
    SourceConfig, SyncMode, SyncRequest,
};

const STORE: &str = "PENSTOCK_KILL_STORE";
const OUTER: &str = "PENSTOCK_KILL_OUTER";

/// Kills in this test unless the environment says otherwise; many more are run by hand.
const KILLS: u64 = 5;

/// Pushed documents, and files that are synchronised.
const DOCS: usize = 24;
const FILES: usize = 12;

fn open(path: &Path, outer: bool) -> Rag {
    let choice = if outer { Fulltext::Outer } else { Fulltext::Fts5 };
    Rag::builder(path)
        .fulltext(choice, Some(ai_core_rag_tantivy::opener()))
        .file_roots(vec![files_of(path)])
        .open()
        .unwrap()
}

fn files_of(path: &Path) -> PathBuf {
    path.with_extension("files")
}

fn caller() -> RagCaller {
    RagCaller::named("tester")
}

fn body(doc: usize, round: usize) -> String {
    format!("constant pushed{doc} round{round} {}", "filler text. ".repeat(doc % 7))
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

/// The two sources; `dim` is the model of the files' vectors.
fn setup(rag: &Rag, path: &Path, dim: usize) {
    let mut config = SourceConfig::push("docs");
    config.source_id = rag.source_id("docs").unwrap();
    config.sync.commit_docs = 3;
    config.embedding.enabled = true;
    config.embedding.dim = Some(64);
    rag.put_source(&config, None).unwrap();
    let mut config = SourceConfig::files("files", files_of(path).to_str().unwrap(), "*.md");
    config.source_id = rag.source_id("files").unwrap();
    config.sync.commit_docs = 2;
    config.embedding.enabled = true;
    config.embedding.dim = Some(dim);
    rag.put_source(&config, None).unwrap();
}

fn write_files(path: &Path, round: usize) {
    let folder = files_of(path);
    std::fs::create_dir_all(&folder).unwrap();
    for f in 0..FILES {
        let file = folder.join(format!("f{f}.md"));
        if f == round % FILES {
            let _ = std::fs::remove_file(&file);
        } else {
            std::fs::write(file, format!("# File\n\nconstant filed{f} round{round}\n")).unwrap();
        }
    }
}

fn sync(rag: &Rag, mode: SyncMode, source: &str) -> JobState {
    let request =
        SyncRequest { mode, source_names: vec![source.into()], wait_ms: 30_000, ..SyncRequest::default() };
    let done = rag.sync(&caller(), &request).unwrap();
    if done.state != JobState::Succeeded {
        let job = JobRequest { job_id: Some(done.job_id), ..JobRequest::default() };
        eprintln!("{:?}", rag.jobs(&caller(), &job).unwrap());
    }
    done.state
}

/// The process that is killed: it runs only when the environment names a store. It says what it does in a file.
#[test]
fn writer() {
    let Ok(path) = std::env::var(STORE) else { return };
    let path = Path::new(&path);
    let rag = open(path, std::env::var(OUTER).is_ok());
    let say = |what: &str| std::fs::write(path.with_extension("phase"), what).unwrap();
    let start =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as usize;
    for round in start % 1_000_000.. {
        say("ingest");
        setup(&rag, path, 48 + 16 * (round % 3));
        write_files(path, round);
        sync(&rag, SyncMode::Full, "files");
        for batch in documents(round).chunks(7) {
            say("update");
            rag.put_documents("docs", batch).unwrap();
            say("index commit");
            rag.flush_index().unwrap();
        }
        say("delete");
        rag.delete_documents("docs", &[format!("d{}", round % DOCS), format!("d{}", (round + 5) % DOCS)])
            .unwrap();
        say("model change");
        setup(&rag, path, 48 + 16 * ((round + 1) % 3));
        sync(&rag, SyncMode::Reembed, "files");
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

fn found(rag: &Rag, query: &str) -> BTreeSet<String> {
    let request = SearchFts { query: query.into(), k: Some(50), ..SearchFts::default() };
    let hits = rag.search_fts(&caller(), &request).unwrap().results;
    let names: BTreeSet<String> = hits.iter().map(|h| h.doc_id.clone()).collect();
    assert_eq!(names.len(), hits.len(), "{query}: a document in two versions");
    names
}

/// What the store holds now: bodies by name.
fn held(rag: &Rag) -> BTreeMap<String, String> {
    let mut doc_ids: Vec<String> = (0..DOCS).map(|d| format!("d{d}")).collect();
    doc_ids.extend((0..FILES).map(|f| format!("*.md:f{f}.md")));
    let docs = rag.get_docs(&caller(), &GetDocs { doc_ids, ..GetDocs::default() }).unwrap().docs;
    docs.into_iter().map(|d| (d.doc_id, d.body.unwrap())).collect()
}

/// Words and vectors show exactly the documents that the store holds, each in the version that it holds.
fn same_everywhere(rag: &Rag) {
    let held = held(rag);
    assert_eq!(found(rag, "constant"), held.keys().cloned().collect::<BTreeSet<_>>());
    let mut rounds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, body) in &held {
        let round = body.split_whitespace().find(|w| w.starts_with("round")).unwrap();
        rounds.entry(round.to_owned()).or_default().insert(name.clone());
        let request = SearchVector {
            query_text: Some(body.replace("# File\n\n", "")),
            filters: ai_core_rag::Filters {
                source_names: vec![if name.starts_with('d') { "docs".into() } else { "files".into() }],
                ..ai_core_rag::Filters::default()
            },
            k: Some(50),
            ..SearchVector::default()
        };
        let hits = rag.search_vector(&caller(), &request).unwrap().results;
        let shown: BTreeSet<&str> = hits.iter().map(|h| h.doc_id.as_str()).collect();
        let of_source = held.keys().filter(|n| n.starts_with('d') == name.starts_with('d')).count();
        assert_eq!((shown.len(), hits.len()), (of_source, of_source), "{name}");
        assert_eq!(&hits[0].doc_id, name);
    }
    for (round, names) in rounds {
        assert_eq!(found(rag, &round), names, "{round}");
    }
}

/// Everything agrees as the kill left it, and a run to the end gives what an undisturbed run gives.
fn check(path: &Path, outer: bool) {
    let rag = open(path, outer);
    if rag.source_id("files").unwrap().is_none() {
        return; // killed before it had begun
    }
    same_everywhere(&rag);
    assert_eq!(sync(&rag, SyncMode::Verify, "docs"), JobState::Succeeded);
    setup(&rag, path, 64);
    rag.put_documents("docs", &documents(7_777_777)).unwrap();
    write_files(path, 7_777_777);
    assert_eq!(sync(&rag, SyncMode::Full, "files"), JobState::Succeeded);
    rag.flush_index().unwrap();
    assert_eq!(found(&rag, "round7777777").len(), DOCS + FILES - 1);
    assert_eq!(found(&rag, "constant").len(), DOCS + FILES - 1);
    same_everywhere(&rag);
    assert_eq!(sync(&rag, SyncMode::Verify, "docs"), JobState::Succeeded);
}

fn killed_at_random(outer: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("rag.db");
    std::fs::create_dir_all(files_of(&path)).unwrap();
    let kills = std::env::var("PENSTOCK_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let mut seed = std::env::var("PENSTOCK_KILL_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(41u64);
    let mut phases: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..kills {
        let mut child = spawn(&path, outer);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(60 + (seed >> 33) % 900));
        child.kill().unwrap();
        child.wait().unwrap();
        let phase = std::fs::read_to_string(path.with_extension("phase")).unwrap_or_default();
        *phases.entry(phase).or_default() += 1;
        check(&path, outer);
    }
    eprintln!("killed during: {phases:?}");
}

#[test]
fn fts5_store_survives_kills() {
    killed_at_random(false);
}

#[test]
fn tantivy_store_survives_kills() {
    killed_at_random(true);
}
