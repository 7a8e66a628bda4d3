//! Checks that the fakes keep the promises of the seams; it knows nothing else.

use super::*;

fn soon() -> Deadline {
    Deadline::after_ms(10_000)
}

#[test]
fn embedder_is_deterministic_and_unit() {
    let fake = FakeEmbedder::new(8);
    let got = fake.embed(&["red apple", "red apple", ""], EmbedKind::Query, soon()).unwrap();
    assert_eq!(got[0], got[1]);
    for v in &got {
        check_vector(v, 8).unwrap();
        assert!((v.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    assert!(fake.embed(&["x"], EmbedKind::Query, Deadline::after_ms(0)).is_err());
    fake.set_failure(Some(AiError::unavailable("model is down")));
    assert!(fake.embed(&["x"], EmbedKind::Query, soon()).unwrap_err().retryable);
}

#[test]
fn vectors_filter_before_the_cut() {
    let store = MemoryVectors::new(2, Metric::L2);
    let item = |pk, source_id, x: f32| VectorItem { chunk_pk: pk, source_id, vector: vec![x, 1.0] };
    store.put(&[item(1, 1, 0.0), item(2, 2, 0.1), item(3, 2, 5.0)]).unwrap();
    let hits = store.search(&[0.0, 1.0], 1, &Allowed::sources([2]), soon()).unwrap();
    assert_eq!(hits[0].chunk_pk, 2);
    let hits = store.search(&[0.0, 1.0], 1, &Allowed::all().with_chunks(vec![3]), soon()).unwrap();
    assert_eq!(hits[0].chunk_pk, 3);
    assert!(store.put(&[VectorItem { chunk_pk: 4, source_id: 1, vector: vec![0.0, 0.0] }]).is_err());
    assert!(store.put(&[VectorItem { chunk_pk: 4, source_id: 1, vector: vec![f32::NAN, 0.0] }]).is_err());
    store.delete(&[1, 99]).unwrap();
    assert_eq!(store.count().unwrap(), 2);
}

#[test]
fn text_clauses_match() {
    let index = MemoryText::new();
    let terms = |s: &str| words(s);
    let entry = TextEntry {
        chunk_pk: 7,
        version: 1,
        source_id: 1,
        title_terms: terms("slow query"),
        body_terms: terms("add an index to the table"),
    };
    index.apply(&[TextChange::Upsert(entry)], 5).unwrap();
    let t = |s: &str| TextClause::Term(s.to_owned());
    let found = |c: &TextClause| index.search(c, 5, &Allowed::all(), soon()).unwrap().len();
    assert_eq!(found(&t("index")), 1);
    assert_eq!(found(&TextClause::Title(Box::new(t("index")))), 0);
    assert_eq!(found(&TextClause::Phrase(terms("an index"))), 1);
    assert_eq!(found(&TextClause::All(vec![t("index"), t("missing")])), 0);
    assert_eq!(found(&TextClause::Without(Box::new(t("index")), Box::new(t("slow")))), 0);
    assert_eq!(found(&TextClause::Prefix("tab".to_owned())), 1);
    assert_eq!(index.status().unwrap().applied_seq, 5);
}

#[test]
fn rows_page_by_cursor_then_key() {
    let rows = MemoryRows::new(&["id", "at", "body"]);
    for (id, at) in [(1, 5), (2, 5), (3, 4), (4, 5)] {
        rows.put(id, vec![RowValue::Int(at), RowValue::Text(format!("row {id}"))]);
    }
    let mut request = PageRequest::first(vec!["body".into()], 2, 1 << 20).with_cursor(Some("at".into()));
    let mut seen = Vec::new();
    loop {
        let page = rows.page(&request, soon()).unwrap();
        seen.extend(page.rows.iter().map(|r| r.key[0].clone()));
        let last = page.rows.last().unwrap();
        request.after = Some((last.cursor.clone(), last.key.clone()));
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, [3, 1, 2, 4].map(RowValue::Int).to_vec());
    assert_eq!(rows.keys(Some(&vec![RowValue::Int(2)]), 9, soon()).unwrap().len(), 2);
}
