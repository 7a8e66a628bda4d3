//! Cases and properties of the chunker.

use proptest::prelude::*;

use super::*;

fn config(unit: ChunkUnit, size: usize, overlap: usize, least: usize) -> Chunking {
    Chunking {
        unit,
        chunk_size: Some(size),
        overlap: Some(overlap),
        min_chunk_size: Some(least),
        ..Chunking::default()
    }
}

fn count(text: &str) -> usize {
    crate::analyse::Analyser::new("").terms(text).len()
}

fn texts<'a>(body: &'a str, config: &Chunking) -> Vec<&'a str> {
    cut(body, config, &count).0.iter().map(|p| &body[p.start..p.end]).collect()
}

#[test]
fn characters_prefer_words_and_share() {
    let body = "alpha beta gamma delta epsilon zeta eta theta iota kappa";
    let got = texts(body, &config(ChunkUnit::Chars, 24, 5, 0));
    assert!(got.iter().all(|t| t.chars().count() <= 24), "{got:?}");
    assert!(got.len() > 2);
    let joined = texts(body, &config(ChunkUnit::Chars, 24, 5, 20));
    assert!(joined.last().unwrap().chars().count() >= 20);
}

#[test]
fn sentences_are_whole() {
    let body = "One is here. Two is here. Three is here. Four is here. ";
    let got = texts(body, &config(ChunkUnit::Sentences, 30, 1, 0));
    assert_eq!(got[0], "One is here. Two is here. ");
    assert!(got[1].starts_with("Two is here. Three"));
}

#[test]
fn markdown_keeps_fences_and_paths() {
    let body = "# A\n\ntext one\n\n## B\n\n```sql\n# not a heading\n\nSELECT 1;\n```\n\n## C\nlast part\n";
    let (pieces, _) = cut(body, &config(ChunkUnit::Markdown, 60, 0, 0), &count);
    let got: Vec<(&str, &str)> =
        pieces.iter().map(|p| (p.heading_path.as_str(), &body[p.start..p.end])).collect();
    assert_eq!(got[0], ("A", "# A\n\ntext one\n\n"));
    assert_eq!(got[1], ("A > B", "## B\n\n```sql\n# not a heading\n\nSELECT 1;\n```\n\n"));
    assert_eq!(got[2], ("A > C", "## C\nlast part\n"));
}

#[test]
fn tokens_are_counted_and_bounded() {
    let body = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen";
    let got = texts(body, &config(ChunkUnit::Tokens, 16, 2, 0));
    assert_eq!(got.len(), 2);
    assert_eq!(count(got[0]), 16);
    assert_eq!(got[1], "fifteen sixteen seventeen");
}

#[test]
fn chunk_number_is_bounded() {
    let body = "word ".repeat(400);
    let mut c = config(ChunkUnit::Chars, 16, 0, 0);
    c.max_chunks = 3;
    let (pieces, cut_off) = cut(&body, &c, &count);
    assert_eq!((pieces.len(), cut_off), (3, true));
}

proptest! {
    #[test]
    fn chunks_without_overlap_reproduce_the_body(
        body in "(\\PC|\n|# |e\u{301}|👩‍👩‍👧|```\n){0,120}",
        unit in 0usize..4,
        size in 16usize..60,
        share in 0usize..16,
        least in 0usize..16,
    ) {
        let unit = [ChunkUnit::Chars, ChunkUnit::Tokens, ChunkUnit::Sentences, ChunkUnit::Markdown][unit];
        let (pieces, _) = cut(&body, &config(unit, size, share, least), &count);
        let joined: String = pieces.iter().map(|p| &body[p.start + p.shared..p.end]).collect();
        prop_assert_eq!(joined, body);
    }
}
