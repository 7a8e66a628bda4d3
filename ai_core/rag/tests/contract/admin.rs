//! Jobs, sources and their forms: conflicts, cancelling, resuming, secrets, deletion, schemas.

use ai_core::AiErrorCode;
use ai_core_rag::{
    FetchFromSource, GetChunks, GetDocs, JobRequest, JobState, SearchFts, SearchHybrid, SearchVector,
    SourcePut, SyncMode, SyncRequest,
};

use crate::backend::WORDS_INSIDE;
use crate::support::{Fixture, caller, row, table_config};

pub(crate) fn jobs_run_conflict_and_stop() {
    let fixture = Fixture::new();
    let rows = fixture.table("posts");
    let mut config = table_config("posts");
    config.source_id = fixture.rag.source_id("posts").unwrap();
    (config.sync.page_rows, config.sync.commit_docs) = (5, 5);
    fixture.rag.put_source(&config, None).unwrap();
    (0..2000).for_each(|i| rows.put(i, row(1, "t", "some words")));
    let first = fixture.rag.sync(&caller(), &SyncRequest::default()).unwrap();
    assert!(first.accepted && !first.state.is_final());
    let second = fixture.rag.sync(&caller(), &SyncRequest::default()).unwrap_err();
    assert_eq!(
        (second.code, second.details["job_id"].as_str()),
        (AiErrorCode::Conflict, Some(first.job_id.as_str()))
    );
    fixture.rag.cancel(&caller(), &first.job_id).unwrap();
    let request = JobRequest { job_id: Some(first.job_id.clone()), ..JobRequest::default() };
    let ended = loop {
        let job = fixture.rag.jobs(&caller(), &request).unwrap().jobs.remove(0);
        if job.state.is_final() {
            break job;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert_eq!(ended.state, JobState::Cancelled);
    let again = fixture.rag.cancel(&caller(), &first.job_id).unwrap_err();
    assert_eq!(again.code, AiErrorCode::FailedPrecondition);
    assert_eq!(fixture.rag.cancel(&caller(), "sync-none").unwrap_err().code, AiErrorCode::NotFound);
    // What was committed stays, and the next run continues.
    let done = fixture.sync_ok(SyncRequest::default());
    assert_eq!(fixture.rag.stats(&caller()).unwrap().totals.docs, 2000);
    assert!(done.progress[0].docs_new <= 2000);
    let page =
        fixture.rag.jobs(&caller(), &JobRequest { page_size: Some(1), ..JobRequest::default() }).unwrap();
    assert_eq!(page.jobs[0].job_id, done.job_id);
    let next = JobRequest { page_size: Some(1), page_token: page.next_page_token, ..JobRequest::default() };
    assert_eq!(fixture.rag.jobs(&caller(), &next).unwrap().jobs[0].job_id, first.job_id);
}

pub(crate) fn an_unfinished_job_is_taken_up_again() {
    let fixture = Fixture::new();
    let rows = fixture.table("posts");
    rows.put(1, row(1, "t", "words"));
    let id = fixture.rag.source_id("posts").unwrap().unwrap();
    fixture.place.execute(&format!(
        "INSERT INTO rag_sync_jobs (job_id, kind, state, sources_json, created_at)
         VALUES ('sync-old', 'incremental', 'running', '{{\"source_ids\":[{id}]}}', 1)"
    ));
    fixture.rag.start_background().unwrap();
    let request = JobRequest { job_id: Some("sync-old".into()), ..JobRequest::default() };
    for _ in 0..1000 {
        if fixture.rag.jobs(&caller(), &request).unwrap().jobs[0].state == JobState::Succeeded {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(fixture.fts("words"), ["posts:1"]);
    fixture.rag.shutdown(ai_core::Deadline::after_ms(10_000));
}

pub(crate) fn sources_are_shown_without_secrets_and_deleted_whole() {
    let fixture = Fixture::new();
    let rows = fixture.table("posts");
    rows.put(1, row(1, "t", "words"));
    fixture.sync_ok(SyncRequest::default());
    let mut config = table_config("posts");
    config.source_id = fixture.rag.source_id("posts").unwrap();
    config.backend_user = "hidden_user".into();
    config.backend_pass = "env:HIDDEN_NAME".into();
    let put = |config, validate_only| SourcePut { source: config, acl: None, validate_only };
    let checked = fixture.rag.source_put(&caller(), &put(config.clone(), true)).unwrap();
    assert_eq!((checked.created, checked.needs.as_str()), (false, "none"));
    assert_eq!(checked.changes, ["backend_user", "backend_pass"]);
    fixture.rag.source_put(&caller(), &put(config.clone(), false)).unwrap();
    let shown = fixture.rag.sources(&caller(), &["posts".into()]).unwrap();
    let text = serde_json::to_string(&shown).unwrap();
    assert!(!text.contains("hidden_user") && !text.contains("HIDDEN_NAME"));
    assert_eq!(shown[0].auth, "env");
    config.doc_map.body.concat.clear();
    assert_eq!(fixture.rag.source_put(&caller(), &put(config.clone(), true)).unwrap().needs, "full_sync");
    config.doc_map.title.concat[0].col = Some("nothing".into());
    let error = fixture.rag.source_put(&caller(), &put(config, true)).unwrap_err();
    assert_eq!(error.code, AiErrorCode::InvalidArgument);
    assert!(fixture.rag.source_delete(&caller(), "posts", "other").is_err());
    let gone = fixture.rag.source_delete(&caller(), "posts", "posts").unwrap();
    assert_eq!((gone.docs, gone.chunks), (1, 1));
    for _ in 0..1000 {
        if fixture.rag.source_id("posts").unwrap().is_none() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(fixture.rag.source_id("posts").unwrap(), None);
    for table in ["rag_chunks", "rag_documents", "rag_vec_spaces", "rag_chunk_embedding_state"] {
        assert_eq!(fixture.place.count(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    if WORDS_INSIDE {
        assert_eq!(fixture.place.count("SELECT count(*) FROM rag_fts_chunks_docsize"), 0);
    }
}

pub(crate) fn verify_finds_and_repairs_differences() {
    let fixture = Fixture::new();
    fixture.push("docs", &[("a", "", "alpha"), ("b", "", "beta")]);
    let verify = |repair| SyncRequest {
        mode: SyncMode::Verify,
        source_names: vec!["docs".into()],
        repair,
        ..SyncRequest::default()
    };
    fixture.sync_ok(verify(false));
    if WORDS_INSIDE {
        fixture.place.execute("DELETE FROM rag_fts_chunks WHERE rowid = 1");
        assert!(fixture.fts("alpha").is_empty());
    }
    fixture.place.execute("UPDATE rag_meta SET value = '17' WHERE key = 'checksum'");
    assert_eq!(fixture.sync(verify(false)).state, JobState::Failed);
    fixture.sync_ok(verify(true));
    fixture.sync_ok(verify(false));
    assert_eq!(fixture.fts("alpha"), ["a"]);
}

pub(crate) fn searches_are_logged_as_configured() {
    use ai_core_rag::LogQueries;
    for (mode, rows) in [(LogQueries::Off, 0), (LogQueries::Hash, 3), (LogQueries::Text, 3)] {
        let fixture = Fixture::with(|b| b.log_queries(mode));
        fixture.push("docs", &[("a", "", "alpha")]);
        fixture.fts("alpha");
        fixture.hybrid("alpha");
        assert!(
            fixture
                .rag
                .search_fts(
                    &caller(),
                    &SearchFts { k: Some(0), query: "alpha".into(), ..SearchFts::default() }
                )
                .is_err()
        );
        assert_eq!(fixture.rag.flush_log().unwrap(), rows);
        let count = |text: &str| fixture.place.count(text) as usize;
        assert_eq!(count("SELECT count(*) FROM rag_search_log"), rows);
        let texts = if mode == LogQueries::Text { 3 } else { 0 };
        assert_eq!(count("SELECT count(*) FROM rag_search_log WHERE query = 'alpha'"), texts);
        assert_eq!(
            count("SELECT count(*) FROM rag_search_log WHERE error_code = 'INVALID_ARGUMENT'"),
            rows / 3
        );
    }
}

pub(crate) fn requests_refuse_unknown_members_and_have_schemas() {
    for text in [
        r#"{"query":"x","kk":1}"#,
        r#"{"query":"x","filters":{"sourcenames":[]}}"#,
        r#"{"query":"x","k":"ten"}"#,
    ] {
        assert!(serde_json::from_str::<SearchFts>(text).is_err(), "{text}");
    }
    let read: SearchHybrid = serde_json::from_str(
        r#"{"query":"x","return":{"include_snippets":true},"match":"all","mode":"fts_then_vec","rrf_k0":10}"#,
    )
    .unwrap();
    assert!(read.returns.include_snippets && read.rrf_k0 == Some(10));
    let schemas = [
        schemars::schema_for!(SearchFts),
        schemars::schema_for!(SearchVector),
        schemars::schema_for!(SearchHybrid),
        schemars::schema_for!(GetChunks),
        schemars::schema_for!(GetDocs),
        schemars::schema_for!(FetchFromSource),
        schemars::schema_for!(SyncRequest),
        schemars::schema_for!(JobRequest),
        schemars::schema_for!(SourcePut),
    ];
    let values: Vec<serde_json::Value> = schemas.into_iter().map(schemars::Schema::to_value).collect();
    for value in &values {
        assert_eq!(value["additionalProperties"], serde_json::json!(false), "{value}");
    }
    insta::assert_json_snapshot!("request_schemas", values);
}
