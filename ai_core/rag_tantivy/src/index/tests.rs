//! The index keeps the seam's promises.

use super::*;

fn entry(pk: i64, source_id: i64, title: &str, body: &str) -> TextChange {
    let terms = |t: &str| t.split(' ').map(str::to_owned).collect();
    TextChange::Upsert(TextEntry {
        chunk_pk: pk,
        version: pk + 100,
        source_id,
        title_terms: terms(title),
        body_terms: terms(body),
    })
}

fn find(index: &TantivyIndex, clause: &TextClause, allowed: &Allowed) -> Vec<i64> {
    let hits = index.search(clause, 10, allowed, Deadline::after_ms(10_000)).unwrap();
    hits.iter().for_each(|h| assert_eq!(h.version, h.chunk_pk + 100));
    let mut pks: Vec<i64> = hits.into_iter().map(|h| h.chunk_pk).collect();
    pks.sort_unstable();
    pks
}

fn term(t: &str) -> TextClause {
    TextClause::Term(t.to_owned())
}

#[test]
fn entries_are_found_filtered_replaced_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let index = TantivyIndex::open(folder.path(), "s/1").unwrap();
    index
        .apply(
            &[
                entry(1, 1, "replica lag", "a c++ json_extract index"),
                entry(2, 2, "other", "replica here"),
                entry(3, 2, "x", "y z"),
            ],
            7,
        )
        .unwrap();
    assert_eq!(find(&index, &term("replica"), &Allowed::all()), [1, 2]);
    assert_eq!(find(&index, &term("replica"), &Allowed::sources([2])), [2]);
    assert_eq!(find(&index, &term("replica"), &Allowed::all().with_chunks(vec![2, 3])), [2]);
    assert_eq!(find(&index, &term("c++"), &Allowed::all()), [1]);
    assert_eq!(find(&index, &TextClause::Title(Box::new(term("replica"))), &Allowed::all()), [1]);
    assert_eq!(find(&index, &TextClause::Body(Box::new(term("replica"))), &Allowed::all()), [2]);
    assert_eq!(find(&index, &TextClause::Phrase(vec!["y".into(), "z".into()]), &Allowed::all()), [3]);
    assert_eq!(find(&index, &TextClause::Prefix("json_e".into()), &Allowed::all()), [1]);
    assert_eq!(find(&index, &TextClause::All(vec![term("replica"), term("here")]), &Allowed::all()), [2]);
    let without = TextClause::Without(Box::new(term("replica")), Box::new(term("here")));
    assert_eq!(find(&index, &without, &Allowed::all()), [1]);
    index.apply(&[entry(1, 1, "new", "text"), TextChange::Delete(2)], 9).unwrap();
    assert!(find(&index, &term("replica"), &Allowed::all()).is_empty());
    let status = index.status().unwrap();
    assert_eq!((status.entries, status.applied_seq), (2, 9));
}

#[test]
fn position_and_entries_survive_and_another_identity_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    {
        let index = TantivyIndex::open(folder.path(), "s/1").unwrap();
        index.apply(&[entry(1, 1, "a", "b")], 3).unwrap();
    }
    {
        let index = TantivyIndex::open(folder.path(), "s/1").unwrap();
        assert_eq!(index.status().unwrap().applied_seq, 3);
        assert_eq!(find(&index, &term("b"), &Allowed::all()), [1]);
    }
    let index = TantivyIndex::open(folder.path(), "s/2").unwrap();
    assert_eq!((index.status().unwrap().entries, index.status().unwrap().applied_seq), (0, 0));
    drop(index);
    std::fs::write(folder.path().join("meta.json"), b"not json").unwrap();
    assert_eq!(TantivyIndex::open(folder.path(), "s/2").unwrap().status().unwrap().entries, 0);
}
