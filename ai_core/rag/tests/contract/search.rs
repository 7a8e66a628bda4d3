//! Searching: filters before the cut, scores, modes, odd queries, caps, vectors given by the caller.

use ai_core::{AiErrorCode, FakeReranker};
use ai_core_rag::{
    Filters, FtsThenVecOptions, FuseMethod, HybridMode, MmrOptions, QueryEmbedding, RagLimits, RerankOptions,
    ReturnOptions, SearchFts, SearchHybrid, SearchVector, SourceConfig, Syntax,
};
use serde_json::json;

use crate::support::{Fixture, caller, document, ids};

fn fts(query: &str) -> SearchFts {
    SearchFts { query: query.to_owned(), ..SearchFts::default() }
}

fn hybrid(query: &str) -> SearchHybrid {
    SearchHybrid { query: query.to_owned(), ..SearchHybrid::default() }
}

fn shop() -> Fixture {
    let fixture = Fixture::new();
    fixture.push("docs", &[("seed", "seed", "seed")]);
    let docs: Vec<_> = (0..300)
        .map(|i| {
            let mut doc = document(&format!("d{i}"), "replica lag", &format!("replica lag number {i}"));
            doc.metadata.insert("PostTypeId".into(), json!(if i == 250 { 7 } else { 1 }));
            doc.metadata.insert("Tags".into(), json!(if i == 250 { "<Rare><Common>" } else { "<common>" }));
            doc.metadata
                .insert("CreationDate".into(), json!(format!("20{:02}-01-01T00:00:00Z", i % 90 + 10)));
            doc.metadata.insert("Score".into(), json!(i));
            doc.metadata.insert("name".into(), json!(format!("it's {i}; --")));
            doc
        })
        .collect();
    fixture.rag.put_documents("docs", &docs).unwrap();
    fixture
}

pub(crate) fn filters_apply_before_the_cut_in_all_searches() {
    let fixture = shop();
    let cases = [
        Filters { post_type_ids: vec![7], ..Filters::default() },
        Filters { tags_any: vec!["RARE".into(), "none".into()], ..Filters::default() },
        Filters { tags_all: vec!["rare".into(), "common".into()], ..Filters::default() },
        Filters { doc_ids: vec!["d250".into()], ..Filters::default() },
        Filters { metadata: [("Score".to_owned(), json!(250))].into(), ..Filters::default() },
        Filters {
            metadata: [("name".to_owned(), json!({"prefix": "it's 250"}))].into(),
            ..Filters::default()
        },
        Filters {
            metadata: [("Score".to_owned(), json!({"gte": 250, "lt": 251}))].into(),
            ..Filters::default()
        },
        Filters {
            metadata: [("name".to_owned(), json!({"in": ["it's 250; --"]}))].into(),
            ..Filters::default()
        },
        Filters { min_meta_score: Some(250.0), tags_any: vec!["rare".into()], ..Filters::default() },
    ];
    for filters in cases {
        let shown = format!("{filters:?}");
        let k = Some(1);
        let words = SearchFts { filters: filters.clone(), k, ..fts("replica") };
        assert_eq!(ids(&fixture.rag.search_fts(&caller(), &words).unwrap()), ["d250"], "{shown}");
        let near = SearchVector {
            query_text: Some("replica".into()),
            filters: filters.clone(),
            k,
            ..SearchVector::default()
        };
        assert_eq!(ids(&fixture.rag.search_vector(&caller(), &near).unwrap()), ["d250"], "{shown}");
        let both = SearchHybrid { filters, k, ..hybrid("replica") };
        assert_eq!(ids(&fixture.rag.search_hybrid(&caller(), &both).unwrap()), ["d250"], "{shown}");
    }
    let dated = Filters { created_after: Some("2099-01-01".into()), ..Filters::default() };
    let found = fixture
        .rag
        .search_fts(&caller(), &SearchFts { filters: dated, k: Some(50), ..fts("replica") })
        .unwrap();
    assert_eq!(found.results.len(), 3);
    assert_eq!(found.stats.filters, ["created_after"]);
}

pub(crate) fn broken_filters_are_refused_with_their_path() {
    let fixture = shop();
    let cases = [
        (Filters { source_names: vec!["none".into()], ..Filters::default() }, AiErrorCode::NotFound),
        (
            Filters { created_after: Some("yesterday".into()), ..Filters::default() },
            AiErrorCode::InvalidArgument,
        ),
        (Filters { min_score: Some(-1.0), ..Filters::default() }, AiErrorCode::InvalidArgument),
        (
            Filters { metadata: [("a".to_owned(), json!({"like": "x"}))].into(), ..Filters::default() },
            AiErrorCode::InvalidArgument,
        ),
        (Filters { tags_any: vec!["t".into(); 65], ..Filters::default() }, AiErrorCode::LimitExceeded),
    ];
    for (filters, code) in cases {
        let error = fixture.rag.search_fts(&caller(), &SearchFts { filters, ..fts("replica") }).unwrap_err();
        assert_eq!(error.code, code, "{error}");
    }
}

pub(crate) fn better_matches_score_higher_and_weights_matter() {
    let fixture = Fixture::new();
    fixture.push(
        "docs",
        &[
            ("a", "deadlock", "deadlock in innodb"),
            ("b", "other", "a deadlock happened once in a long text about many things"),
            ("c", "x", "y"),
        ],
    );
    let found = fixture.rag.search_fts(&caller(), &fts("deadlock innodb")).unwrap();
    assert_eq!(ids(&found), ["a", "b"]);
    let score = |i: usize| found.results[i].score_fts.unwrap();
    assert!(score(0) > score(1) && score(1) > 0.0 && score(0) < 1.0);
    let least = f64::from(score(0)) - 1e-6;
    let filters = Filters { min_relevance: Some(least), ..Filters::default() };
    assert_eq!(
        ids(&fixture.rag.search_fts(&caller(), &SearchFts { filters, ..fts("deadlock innodb") }).unwrap()),
        ["a"]
    );
    let fused = |w_fts: f32, w_vec: f32| {
        let request = SearchHybrid {
            w_fts: Some(w_fts),
            w_vec: Some(w_vec),
            method: Some(FuseMethod::Rrf),
            ..hybrid("deadlock")
        };
        fixture.rag.search_hybrid(&caller(), &request).unwrap().results[1].score.unwrap()
    };
    assert!(fused(1.0, 0.5) != fused(1.0, 0.0) && fused(1.0, 0.5) != fused(1.0, 1.0));
    let zero = SearchHybrid { w_fts: Some(0.0), w_vec: Some(0.0), ..hybrid("x") };
    assert_eq!(fixture.rag.search_hybrid(&caller(), &zero).unwrap_err().code, AiErrorCode::InvalidArgument);
}

pub(crate) fn odd_queries_are_data() {
    let fixture = Fixture::new();
    fixture.push("docs", &[("a", "", "foo-bar c++ a:b 5.7 user@host AND table t"), ("b", "", "else")]);
    for query in ["foo-bar", "c++", "a:b", "5.7", "user@host", "AND table", "DROP TABLE t; --"] {
        assert_eq!(fixture.fts(query), ["a"], "{query}");
        assert!(!fixture.hybrid(query).results.is_empty());
    }
    for query in ["\"", "(", "*", "' OR 1=1 --", "%", "NEAR(", "title:", &"x ".repeat(4000)] {
        let found = fixture.rag.search_fts(&caller(), &fts(query)).unwrap();
        assert!(found.results.is_empty(), "{query}");
    }
    assert!(!fixture.rag.search_fts(&caller(), &fts("(")).unwrap().warnings.is_empty());
    let long = fixture.rag.search_fts(&caller(), &fts(&"x".repeat(8193))).unwrap_err();
    assert_eq!(long.code, AiErrorCode::LimitExceeded);
    assert_eq!(fixture.rag.search_fts(&caller(), &fts("  ")).unwrap_err().code, AiErrorCode::InvalidArgument);
    let advanced = |q: &str| SearchFts { syntax: Syntax::Advanced, ..fts(q) };
    assert_eq!(ids(&fixture.rag.search_fts(&caller(), &advanced("table AND NOT else")).unwrap()), ["a"]);
    let error = fixture.rag.search_fts(&caller(), &advanced("(a")).unwrap_err();
    assert!(error.details.contains_key("position"));
}

pub(crate) fn words_then_vectors_keeps_k_and_the_metric() {
    let fixture = shop();
    for metric in ["cosine", "l2", "dot"] {
        let request = SearchHybrid {
            mode: HybridMode::FtsThenVec,
            k: Some(7),
            fts_then_vec: FtsThenVecOptions {
                vec_metric: Some(metric.to_owned()),
                ..FtsThenVecOptions::default()
            },
            ..hybrid("replica number 12")
        };
        let found = fixture.rag.search_hybrid(&caller(), &request).unwrap();
        assert_eq!(found.results.len(), 7);
        assert_eq!(found.results[0].doc_id, "d12", "{metric}");
        assert!(found.results.windows(2).all(|w| w[0].score >= w[1].score));
        let first = &found.results[0];
        let distance = first.distance_raw.unwrap();
        assert!(if metric == "dot" { distance < 0.0 } else { distance >= -1e-5 });
    }
    let wrong =
        SearchHybrid { vec_metric: Some("hamming".into()), mode: HybridMode::FtsThenVec, ..hybrid("x") };
    assert_eq!(fixture.rag.search_hybrid(&caller(), &wrong).unwrap_err().code, AiErrorCode::InvalidArgument);
}

pub(crate) fn a_given_vector_is_checked() {
    use base64::Engine as _;
    let fixture = Fixture::new();
    fixture.push("docs", &[("a", "", "alpha"), ("b", "", "beta")]);
    let encode = |v: &[f32]| {
        base64::engine::general_purpose::STANDARD
            .encode(v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
    };
    let search = |dim: usize, values_b64: String| {
        let request = SearchVector {
            query_embedding: Some(QueryEmbedding { dim, values_b64 }),
            ..SearchVector::default()
        };
        fixture.rag.search_vector(&caller(), &request)
    };
    let mut good = vec![0.1f32; 32];
    assert_eq!(search(32, encode(&good)).unwrap().results.len(), 2);
    for (dim, text) in [
        (16, encode(&good[..16])),
        (32, encode(&good[..16])),
        (32, "!!".to_owned()),
        (32, encode(&[0.0; 32])),
    ] {
        assert_eq!(search(dim, text).unwrap_err().code, AiErrorCode::InvalidArgument);
    }
    good[3] = f32::NAN;
    assert_eq!(search(32, encode(&good)).unwrap_err().code, AiErrorCode::InvalidArgument);
    assert!(fixture.rag.search_vector(&caller(), &SearchVector::default()).is_err());
}

pub(crate) fn vectors_are_nearest_over_all_sources_and_hybrid_degrades() {
    let fixture = Fixture::new();
    fixture.push("one", &[("a", "", "red apple"), ("b", "", "red apple pie")]);
    fixture.push("two", &[("c", "", "green tea"), ("d", "", "green")]);
    let request =
        SearchVector { query_text: Some("red apple".into()), k: Some(2), ..SearchVector::default() };
    let found = fixture.rag.search_vector(&caller(), &request).unwrap();
    assert_eq!(ids(&found), ["a", "b"]);
    assert!((found.results[0].score_vec.unwrap() - 1.0).abs() < 1e-4);
    let mut plain = SourceConfig::push("plain");
    plain.enabled = true;
    fixture.rag.put_source(&plain, None).unwrap();
    fixture.rag.put_documents("plain", &[document("p", "", "only words")]).unwrap();
    let only = |name: &str| Filters { source_names: vec![name.to_owned()], ..Filters::default() };
    let error = fixture
        .rag
        .search_vector(&caller(), &SearchVector { filters: only("plain"), ..request.clone() })
        .unwrap_err();
    assert_eq!(error.code, AiErrorCode::FailedPrecondition);
    let degraded = fixture
        .rag
        .search_hybrid(&caller(), &SearchHybrid { filters: only("plain"), ..hybrid("words") })
        .unwrap();
    assert!(degraded.degraded && ids(&degraded) == ["p"]);
    fixture.model.set_failure(Some(ai_core::AiError::unavailable("model is down")));
    let found = fixture.hybrid("red apple");
    assert!(found.degraded && !found.results.is_empty());
    let down = fixture.rag.search_vector(&caller(), &request).unwrap_err();
    assert_eq!(down.code, AiErrorCode::Unavailable);
}

pub(crate) fn later_stages_rerank_diversify_and_limit() {
    let fixture = Fixture::with(|b| b.reranker(std::sync::Arc::new(FakeReranker::default())));
    let mut long = SourceConfig::push("docs");
    long.chunking.chunk_size = Some(40);
    long.chunking.overlap = Some(0);
    fixture.rag.put_source(&long, None).unwrap();
    let docs = [
        document("a", "", &"lag here and lag there and more of it. ".repeat(6)),
        document("b", "", "lag and delay of replicas, once"),
        document("c", "", "replicas"),
    ];
    fixture.rag.put_documents("docs", &docs).unwrap();
    let request = SearchFts { max_per_doc: 1, ..fts("lag replicas") };
    let mut found = ids(&fixture.rag.search_fts(&caller(), &request).unwrap());
    found.sort();
    assert_eq!(found, ["a", "b", "c"]);
    let reranked =
        SearchFts { rerank: RerankOptions { enabled: true, top_n: 20 }, ..fts("lag delay replicas") };
    let found = fixture.rag.search_fts(&caller(), &reranked).unwrap();
    assert_eq!(found.results[0].doc_id, "b");
    assert!(!found.degraded && found.results[0].score.unwrap() > 0.99);
    let diverse = SearchFts { mmr: Some(MmrOptions { lambda: 0.3, pool: None }), k: Some(2), ..fts("lag") };
    let found = ids(&fixture.rag.search_fts(&caller(), &diverse).unwrap());
    assert_eq!(found.len(), 2);
    assert_ne!(found[0], found[1]);
    let plain = Fixture::new();
    plain.push("docs", &[("a", "", "lag")]);
    let reranked = SearchFts { rerank: RerankOptions { enabled: true, top_n: 20 }, ..fts("lag") };
    assert!(plain.rag.search_fts(&caller(), &reranked).unwrap().degraded);
}

pub(crate) fn caps_clamp_and_say_so() {
    let limits = RagLimits { k_max: 5, candidates_max: 20, response_bytes_max: 3000, ..RagLimits::default() };
    let fixture = Fixture::with(|b| b.limits(limits));
    let docs: Vec<(String, String)> =
        (0..12).map(|i| (format!("d{i}"), format!("word {}", "filler ".repeat(60)))).collect();
    let docs: Vec<(&str, &str, &str)> =
        docs.iter().map(|(id, body)| (id.as_str(), "", body.as_str())).collect();
    fixture.push("docs", &docs);
    let at = |k: usize| fixture.rag.search_fts(&caller(), &SearchFts { k: Some(k), ..fts("word") }).unwrap();
    assert_eq!((at(5).results.len(), at(5).truncated), (5, false));
    let over = at(6);
    assert_eq!((over.results.len(), over.truncated, over.stats.k_requested), (5, true, 6));
    assert_eq!(over.stats.limits_hit, ["k_max"]);
    let offset =
        |n: usize| fixture.rag.search_fts(&caller(), &SearchFts { offset: n, k: Some(5), ..fts("word") });
    assert_eq!(offset(10).unwrap().results.len(), 2);
    assert_eq!(offset(16).unwrap_err().code, AiErrorCode::LimitExceeded);
    let heavy = SearchFts {
        k: Some(5),
        returns: ReturnOptions { include_snippets: true, ..ReturnOptions::default() },
        snippet: ai_core_rag::SnippetOptions { max_chars: 1000, ..ai_core_rag::SnippetOptions::default() },
        ..fts("word")
    };
    let found = fixture.rag.search_fts(&caller(), &heavy).unwrap();
    assert!(found.truncated && found.results.len() < 5);
    assert!(serde_json::to_string(&found).unwrap().len() <= 3000);
    assert_eq!(
        fixture.rag.search_fts(&caller(), &SearchFts { k: Some(0), ..fts("word") }).unwrap_err().code,
        AiErrorCode::InvalidArgument
    );
}

pub(crate) fn snippets_mark_words_and_explain_names_terms() {
    let fixture = Fixture::new();
    fixture.push(
        "docs",
        &[("a", "Title", &format!("{} the deadlock was found here {}", "x ".repeat(300), "y ".repeat(300)))],
    );
    let request = SearchFts {
        returns: ReturnOptions {
            include_snippets: true,
            include_chunk_metadata: true,
            ..ReturnOptions::default()
        },
        explain: true,
        ..fts("deadlock found")
    };
    let found = fixture.rag.search_fts(&caller(), &request).unwrap();
    let hit = &found.results[0];
    assert!(hit.snippet.as_ref().unwrap().contains("<mark>deadlock</mark> was <mark>found</mark>"));
    assert_eq!(hit.explain.as_ref().unwrap()["matched_terms"], json!(["deadlock", "found"]));
    assert_eq!(hit.chunk_metadata.as_ref().unwrap()["chunk_index"], json!(0));
}

pub(crate) fn time_is_a_bound() {
    let fixture = shop();
    let request = SearchFts { timeout_ms: Some(0), ..fts("replica") };
    assert_eq!(fixture.rag.search_fts(&caller(), &request).unwrap_err().code, AiErrorCode::DeadlineExceeded);
    // The reader that was stopped serves the next search.
    assert!(!fixture.rag.search_fts(&caller(), &fts("replica")).unwrap().results.is_empty());
}
