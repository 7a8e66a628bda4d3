//! Reading by name and fetching rows: order, caps, neighbours, rights.

use ai_core::AiErrorCode;
use ai_core_rag::{
    AclEntry, ChunkContext, FetchFromSource, FetchLimits, GetChunks, GetDocs, RagCaller, RagLimits,
    SearchFts, SourceConfig, SyncRequest,
};
use serde_json::json;

use crate::support::{Fixture, caller, document, row, table_config};

pub(crate) fn neighbours_come_without_the_overlap() {
    let fixture = Fixture::new();
    let mut config = SourceConfig::push("docs");
    config.chunking.chunk_size = Some(50);
    config.chunking.overlap = Some(10);
    config.chunking.min_chunk_size = Some(0);
    fixture.rag.put_source(&config, None).unwrap();
    let body: String = (0..40).map(|i| format!("é{i:03} ")).collect();
    fixture.rag.put_documents("docs", &[document("d", "t", &body)]).unwrap();
    let request = GetChunks {
        chunk_ids: vec!["d#2".into(), "none#0".into(), "d#0".into()],
        context: ChunkContext { before: 1, after: 1 },
        ..GetChunks::default()
    };
    let got = fixture.rag.get_chunks(&caller(), &request).unwrap();
    assert_eq!(got.not_found, ["none#0"]);
    let item = &got.chunks[0];
    let joined = format!("{}{}{}", item.context_before[0].body, item.body, item.context_after[0].body);
    assert!(body.contains(&joined), "{joined}");
    assert!(got.chunks[1].context_before.is_empty());
    let far = GetChunks { context: ChunkContext { before: 4, after: 0 }, ..request };
    assert_eq!(fixture.rag.get_chunks(&caller(), &far).unwrap_err().code, AiErrorCode::InvalidArgument);
}

pub(crate) fn reads_are_capped_and_say_what_is_missing() {
    let limits = RagLimits { ids_max: 3, get_bytes_max: 100, ..RagLimits::default() };
    let fixture = Fixture::with(|b| b.limits(limits));
    let big = "é".repeat(200);
    fixture.push(
        "docs",
        &[("a", "", "short"), ("b", "", &"x".repeat(80)), ("c", "", &"y".repeat(80)), ("d", "", &big)],
    );
    let get = |ids: &[&str]| {
        let request =
            GetDocs { doc_ids: ids.iter().map(|s| (*s).to_owned()).collect(), ..GetDocs::default() };
        fixture.rag.get_docs(&caller(), &request).unwrap()
    };
    let got = get(&["a", "b", "c", "d"]);
    assert_eq!(got.docs.len(), 2);
    assert_eq!((got.omitted, got.truncated), (vec!["c".to_owned(), "d".to_owned()], true));
    let one = get(&["d"]);
    assert!(one.docs[0].body_truncated && one.truncated);
    assert_eq!(one.docs[0].body.as_ref().unwrap().len(), 100);
    assert!(!get(&["a", "b"]).truncated);
}

pub(crate) fn rows_are_fetched_live_within_rights() {
    let fixture = Fixture::new();
    let rows = fixture.table("posts");
    (1..=3).for_each(|i| rows.put(i, row(i, "title", &format!("body {i}"))));
    fixture.sync_ok(SyncRequest::default());
    rows.put(1, row(9, "title", "fresh"));
    rows.remove(3);
    let ask = |columns: &[&str], max_rows: usize| FetchFromSource {
        doc_ids: ["posts:2", "posts:1", "posts:3", "posts:9"].map(str::to_owned).to_vec(),
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        limits: FetchLimits { max_rows, ..FetchLimits::default() },
    };
    let got = fixture.rag.fetch_from_source(&caller(), &ask(&[], 10)).unwrap();
    assert_eq!(got.rows[0].row, Some(json!({"title": "title", "body": "body 2", "at": 2})));
    assert_eq!(got.rows[1].row.as_ref().unwrap()["body"], "fresh");
    assert_eq!(got.rows[2].error.as_ref().unwrap().code, "NOT_FOUND");
    assert_eq!((got.not_found, got.stats.queries), (vec!["posts:9".to_owned()], Some(1)));
    let denied = fixture.rag.fetch_from_source(&caller(), &ask(&["id"], 10)).unwrap();
    assert!(denied.rows.iter().all(|r| r.error.as_ref().unwrap().code == "PERMISSION_DENIED"));
    assert_eq!(denied.stats.queries, Some(0));
    let capped = fixture.rag.fetch_from_source(&caller(), &ask(&["at"], 1)).unwrap();
    assert_eq!((capped.rows.len(), capped.truncated), (1, true));
    assert!(fixture.rag.fetch_from_source(&caller(), &ask(&[], 0)).is_err());
    fixture.tables.tables.lock().unwrap().clear();
    let down = fixture.rag.fetch_from_source(&caller(), &ask(&[], 10)).unwrap();
    assert!(down.rows.iter().all(|r| r.error.as_ref().unwrap().code == "UNAVAILABLE"));
    fixture.push("pushed", &[("p", "", "x")]);
    let request = FetchFromSource { doc_ids: vec!["p".into()], ..FetchFromSource::default() };
    let got = fixture.rag.fetch_from_source(&caller(), &request).unwrap();
    assert_eq!(got.rows[0].error.as_ref().unwrap().code, "FAILED_PRECONDITION");
}

pub(crate) fn hidden_and_disabled_sources_do_not_exist() {
    let fixture = Fixture::new();
    fixture.push("open", &[("o", "", "shared words")]);
    fixture.push("secret", &[("s", "", "shared words secretly")]);
    let mut config = SourceConfig::push("secret");
    config.source_id = fixture.rag.source_id("secret").unwrap();
    fixture.rag.put_source(&config, Some(&[AclEntry::reader("boss")])).unwrap();
    let mut target = table_config("onsite");
    target.target_id = Some("vault".into());
    fixture.rag.put_source(&target, None).unwrap();
    let names = |caller: &RagCaller| {
        fixture.rag.stats(caller).unwrap().sources.into_iter().map(|s| s.source_name).collect::<Vec<_>>()
    };
    let find = |caller: &RagCaller| {
        let found = fixture
            .rag
            .search_fts(caller, &SearchFts { query: "shared".into(), ..SearchFts::default() })
            .unwrap();
        found.results.len()
    };
    let boss = RagCaller::named("boss");
    assert_eq!((find(&boss), find(&caller())), (2, 1));
    assert_eq!(names(&caller()), ["open", "onsite"]);
    assert_eq!(names(&caller().with_targets(vec![])), ["open"]);
    let get = GetDocs { doc_ids: vec!["s".into()], ..GetDocs::default() };
    assert_eq!(fixture.rag.get_docs(&caller(), &get).unwrap().not_found, ["s"]);
    assert_eq!(fixture.rag.get_docs(&boss, &get).unwrap().docs.len(), 1);
    let error = fixture
        .rag
        .sync(&caller(), &SyncRequest { source_names: vec!["secret".into()], ..SyncRequest::default() });
    assert_eq!(error.unwrap_err().code, AiErrorCode::NotFound);
    let denied = fixture
        .rag
        .sync(&boss, &SyncRequest { source_names: vec!["secret".into()], ..SyncRequest::default() });
    assert_eq!(denied.unwrap_err().code, AiErrorCode::PermissionDenied);
    config.enabled = false;
    fixture.rag.put_source(&config, None).unwrap();
    assert_eq!(find(&boss), 1);
    assert_eq!(fixture.rag.get_docs(&boss, &get).unwrap().not_found, ["s"]);
}
