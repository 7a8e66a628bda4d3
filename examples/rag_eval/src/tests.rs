//! The small collection of this package is read and found well; bounds gate the ranking.

use std::path::Path;

use clap::Parser;

use crate::{Args, beir, run};

fn fixture() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixture").to_string_lossy().into_owned()
}

#[test]
fn collections_are_read() {
    let folder = fixture();
    let mut seen = Vec::new();
    let count = beir::documents(Path::new(&folder), 5, |batch| {
        assert!(batch.len() <= 5);
        seen.extend(batch.iter().map(|d| d.doc_id.clone()));
        Ok(())
    })
    .unwrap();
    assert_eq!((count, seen.len()), (24, 24));
    let (queries, judgements) = beir::judged_queries(Path::new(&folder)).unwrap();
    assert_eq!((queries.len(), judgements["q7"]["injection"]), (12, 2));
    assert!(beir::documents(Path::new("/nonexistent"), 5, |_| Ok(())).is_err());
}

#[test]
fn the_small_collection_is_ranked_well_by_either_index() {
    for fulltext in ["fts5", "tantivy"] {
        let bound = |least: &str| {
            let args = ["rag_eval", &fixture(), "--json", "--fulltext", fulltext, "--min-ndcg", least];
            run::run(&Args::parse_from(args)).unwrap()
        };
        assert!(bound("0.9"), "{fulltext}");
        assert!(!bound("1.01"), "a bound that cannot be met is missed");
    }
}
