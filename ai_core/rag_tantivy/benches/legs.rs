//! Latency of the legs over a large store, beside sqlite-vec's own scan and beside bare tantivy on the same terms.
//!
//! `cargo bench -p ai_core_rag_tantivy` uses 100 000 chunks of 384 components; `PENSTOCK_BENCH_CHUNKS` changes that.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, and fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ai_core::{AiResult, Deadline, EmbedKind, Embedder, EmbedderInfo};
use ai_core_rag::{
    Analyser, Filters, Fulltext, PushDocument, Rag, RagCaller, RagLimits, ReturnOptions, SearchFts,
    SearchHybrid, SearchVector, SourceConfig, percentile,
};
use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, Occur, Query, TermQuery};
use tantivy::schema::{IndexRecordOption, STORED, Schema, TEXT};
use tantivy::{Index, TantivyDocument, Term};

const DIM: usize = 384;
const QUERIES: usize = 100;
const VOCABULARY: u64 = 40_000;
const CLUSTERS: u64 = 500;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn unit(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 31) as f32
    }

    /// A word whose frequency falls with its rank, as in real text.
    fn word(&mut self) -> String {
        let rank = (VOCABULARY as f32).powf(self.unit()) as u64;
        format!("w{rank}")
    }
}

/// Vectors around cluster centres, decided by the text alone.
struct Clustered;

impl Embedder for Clustered {
    fn info(&self) -> EmbedderInfo {
        EmbedderInfo::new("bench", "clustered", DIM)
    }

    fn embed(&self, inputs: &[&str], _: EmbedKind, _: Deadline) -> AiResult<Vec<Vec<f32>>> {
        let one = |text: &&str| {
            let hash = text.bytes().fold(7u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
            let mut centre = Random(hash % CLUSTERS);
            let mut noise = Random(hash);
            (0..DIM).map(|_| centre.unit() - 0.5 + 0.7 * (noise.unit() - 0.5)).collect()
        };
        Ok(inputs.iter().map(one).collect())
    }
}

fn open(path: &Path, fulltext: Fulltext) -> Rag {
    Rag::builder(path)
        .embedder("bench", Arc::new(Clustered))
        .fulltext(fulltext, Some(ai_core_rag_tantivy::opener()))
        .limits(RagLimits { timeout_ms: 60_000, ..RagLimits::default() })
        .open()
        .unwrap()
}

fn texts(n: usize) -> Vec<String> {
    let mut random = Random(1);
    (0..n).map(|_| (0..120).map(|_| random.word()).collect::<Vec<_>>().join(" ")).collect()
}

fn queries() -> Vec<String> {
    let mut random = Random(99);
    let mut uncommon = move || loop {
        let word = random.word();
        if word.len() > 3 {
            return word;
        }
    };
    (0..QUERIES).map(|_| (0..6).map(|_| uncommon()).collect::<Vec<_>>().join(" ")).collect()
}

fn report(name: &str, mut run: impl FnMut(&str)) {
    let queries = queries();
    queries.iter().take(5).for_each(|q| run(q));
    let times: Vec<f64> = queries
        .iter()
        .map(|q| {
            let started = Instant::now();
            run(q);
            started.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    println!(
        "{name:<44} p50 {:>8.2} ms   p95 {:>8.2} ms",
        percentile(&times, 50.0),
        percentile(&times, 95.0)
    );
}

fn returns() -> ReturnOptions {
    ReturnOptions { include_metadata: false, ..ReturnOptions::default() }
}

fn words(rag: &Rag, query: &str) {
    let request = SearchFts { query: query.into(), returns: returns(), ..SearchFts::default() };
    rag.search_fts(&RagCaller::named("bench"), &request).unwrap();
}

fn near(rag: &Rag, query: &str, filters: Filters) -> Vec<String> {
    let request = SearchVector {
        query_text: Some(query.into()),
        returns: returns(),
        filters,
        ..SearchVector::default()
    };
    let found = rag.search_vector(&RagCaller::named("bench"), &request).unwrap();
    found.results.into_iter().map(|h| h.chunk_id).collect()
}

fn both(rag: &Rag, query: &str) {
    let request = SearchHybrid { query: query.into(), returns: returns(), ..SearchHybrid::default() };
    rag.search_hybrid(&RagCaller::named("bench"), &request).unwrap();
}

fn bare(texts: &[String]) {
    let mut schema = Schema::builder();
    let body = schema.add_text_field("body", TEXT);
    let id = schema.add_u64_field("id", STORED);
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create_in_dir(folder.path(), schema.build()).unwrap();
    let mut writer = index.writer_with_num_threads(1, 50_000_000).unwrap();
    let analyser = Analyser::new("en");
    for (i, text) in texts.iter().enumerate() {
        let mut doc = TantivyDocument::new();
        doc.add_u64(id, i as u64);
        doc.add_text(body, analyser.terms(text).join(" "));
        writer.add_document(doc).unwrap();
    }
    writer.commit().unwrap();
    let searcher = index.reader().unwrap().searcher();
    report("words: bare tantivy", |q| {
        let clauses = analyser
            .query_terms(q)
            .iter()
            .map(|t| {
                let query = TermQuery::new(Term::from_field_text(body, t), IndexRecordOption::WithFreqs);
                (Occur::Should, Box::new(query) as Box<dyn Query>)
            })
            .collect();
        searcher.search(&BooleanQuery::new(clauses), &TopDocs::with_limit(10).order_by_score()).unwrap();
    });
}

fn main() {
    let n: usize =
        std::env::var("PENSTOCK_BENCH_CHUNKS").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rag.db");
    let texts = texts(n);
    let rag = open(&path, Fulltext::Fts5);
    let mut config = SourceConfig::push("bench");
    config.doc_map.language = "en".into();
    config.embedding.enabled = true;
    config.embedding.provider = "bench".into();
    config.sync.commit_docs = 1000;
    rag.put_source(&config, None).unwrap();
    let started = Instant::now();
    for (at, batch) in texts.chunks(1000).enumerate() {
        let docs: Vec<PushDocument> = batch
            .iter()
            .enumerate()
            .map(|(i, text)| {
                let mut doc = PushDocument {
                    doc_id: format!("d{}", at * 1000 + i),
                    body: text.clone(),
                    ..PushDocument::default()
                };
                doc.metadata.insert("PostTypeId".into(), (i % 100).into());
                doc
            })
            .collect();
        rag.put_documents("bench", &docs).unwrap();
    }
    println!("{n} chunks stored in {:.1} s", started.elapsed().as_secs_f64());
    report("words: FTS5", |q| words(&rag, q));
    report("vectors: sqlite-vec scan", |q| drop(near(&rag, q, Filters::default())));
    let exact: Vec<Vec<String>> = queries().iter().map(|q| near(&rag, q, Filters::default())).collect();
    let started = Instant::now();
    rag.warm().unwrap();
    println!("int8 copy built and checked in {:.1} s", started.elapsed().as_secs_f64());
    report("vectors: int8 copy, exact scores", |q| drop(near(&rag, q, Filters::default())));
    let found: usize = queries()
        .iter()
        .zip(&exact)
        .map(|(q, wanted)| near(&rag, q, Filters::default()).iter().filter(|id| wanted.contains(id)).count())
        .sum();
    println!("recall@10 of the copy: {:.4}", found as f64 / exact.iter().map(Vec::len).sum::<usize>() as f64);
    let one_percent = || Filters { post_type_ids: vec![7], ..Filters::default() };
    report("vectors: int8 copy, filter of 1 %", |q| drop(near(&rag, q, one_percent())));
    report("both: FTS5 and int8 copy", |q| both(&rag, q));
    drop(rag);
    let rag = open(&path, Fulltext::Outer);
    rag.warm().unwrap();
    report("words: tantivy behind the engine", |q| words(&rag, q));
    report("both: tantivy and int8 copy", |q| both(&rag, q));
    bare(&texts);
}
