//! Filling a store from a collection, running its queries and measuring; it knows the engine's public interface only.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ai_core::Embedder;
use ai_core_embed::HashedEmbedder;
use ai_core_embed_local::{LocalEmbedder, LocalOptions};
use ai_core_rag::{
    Filters, Fulltext, FuseMethod, FuseOptions, Part, Rag, RagCaller, RagLimits, ReturnOptions, SearchFts,
    SearchHybrid, SearchResponse, SearchVector, SourceConfig, evaluate, percentile,
};
use serde_json::json;

use crate::{Args, Words, beir};

/// Documents handed to the engine at a time.
const BATCH_DOCS: usize = 256;

/// Results looked at for each query.
const DEPTH: usize = 100;

/// Results of the searches that are timed, as a user asks for them.
const TOP: usize = 10;

/// Queries that run before the clock counts.
const WARM_QUERIES: usize = 5;

const SOURCE: &str = "collection";

/// Runs a query for so many results; only the deep search folds the chunks of a document together.
type Search<'a> = Box<dyn Fn(&str, usize) -> Result<SearchResponse, String> + 'a>;

/// Runs every collection; false when a lower bound was missed.
pub(crate) fn run(args: &Args) -> Result<bool, String> {
    let embedder: Arc<dyn Embedder> = match args.embedder.split_once(':') {
        Some(("local", path)) => Arc::new(
            LocalEmbedder::open(Path::new(path), LocalOptions::default()).map_err(|e| e.to_string())?,
        ),
        None if args.embedder == "builtin" => Arc::new(HashedEmbedder::default()),
        _ => return Err(format!("--embedder {:?} is neither builtin nor local:PATH", args.embedder)),
    };
    let mut good = true;
    for dir in &args.dirs {
        good &= collection(args, dir, &embedder)?;
    }
    Ok(good)
}

fn collection(args: &Args, dir: &Path, embedder: &Arc<dyn Embedder>) -> Result<bool, String> {
    let name = dir.file_name().map_or_else(|| "collection".to_owned(), |n| n.to_string_lossy().into_owned());
    let temporary = tempfile::tempdir().map_err(|e| e.to_string())?;
    let folder: PathBuf = args.store.clone().unwrap_or_else(|| temporary.path().to_owned());
    let path = folder.join(format!("{name}-{}.db", embedder.info().model.replace(['/', '\\'], "_")));
    let rag = open(args, &path, embedder)?;
    let started = Instant::now();
    let documents = fill(args, &rag, dir, embedder)?;
    let fill_s = started.elapsed().as_secs_f64();
    // An automatic choice of the full-text index is made when a store is opened.
    drop(rag);
    let rag = open(args, &path, embedder)?;
    rag.flush_index().map_err(|e| e.to_string())?;
    rag.warm().map_err(|e| e.to_string())?;
    let bytes = size_bytes(&path);
    let (queries, judgements) = beir::judged_queries(dir)?;
    let mut good = true;
    for (leg, search) in legs(args, &rag) {
        if args.leg.as_ref().is_some_and(|wanted| *wanted != leg) {
            continue;
        }
        for (_, text) in queries.iter().take(WARM_QUERIES) {
            search(text, TOP)?;
        }
        let mut rankings = HashMap::new();
        let mut times = Vec::with_capacity(queries.len());
        for (id, text) in &queries {
            let started = Instant::now();
            search(text, TOP)?;
            times.push(started.elapsed().as_secs_f64() * 1000.0);
            let response = search(text, DEPTH)?;
            let ranking: Vec<String> = response.results.into_iter().map(|h| h.doc_id).collect();
            rankings.insert(id.clone(), ranking);
        }
        let quality = evaluate(&rankings, &judgements);
        let round = |x: f64| (x * 10_000.0).round() / 10_000.0;
        let line = json!({
            "collection": name,
            "leg": leg,
            "ndcg10": round(quality.ndcg10),
            "recall100": round(quality.recall100),
            "mrr10": round(quality.mrr10),
            "p50_ms": round(percentile(&times, 50.0)),
            "p99_ms": round(percentile(&times, 99.0)),
            "queries": quality.queries,
            "documents": documents,
            "bytes": bytes,
            "fill_s": round(fill_s),
            "embedder": args.embedder,
        });
        print(args, &line)?;
        if leg == "hybrid" && args.min_ndcg.is_some_and(|least| quality.ndcg10 < least) {
            good = false;
        }
    }
    Ok(good)
}

fn print(args: &Args, line: &serde_json::Value) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    let written = if args.json {
        writeln!(out, "{line}")
    } else {
        writeln!(
            out,
            "{:<16} {:<7} nDCG@10 {:<7} recall@100 {:<7} MRR@10 {:<7} p50 {} ms, p99 {} ms",
            line["collection"].as_str().unwrap_or_default(),
            line["leg"].as_str().unwrap_or_default(),
            line["ndcg10"],
            line["recall100"],
            line["mrr10"],
            line["p50_ms"],
            line["p99_ms"]
        )
    };
    written.map_err(|e| e.to_string())
}

fn open(args: &Args, path: &Path, embedder: &Arc<dyn Embedder>) -> Result<Rag, String> {
    let fulltext = match args.fulltext {
        Words::Auto => Fulltext::Auto,
        Words::Fts5 => Fulltext::Fts5,
        Words::Tantivy => Fulltext::Outer,
    };
    let outer = ai_core_rag_tantivy::opener();
    Rag::builder(path)
        .embedder("default", Arc::clone(embedder))
        .fulltext(fulltext, Some(outer))
        .limits(RagLimits { k_max: DEPTH, timeout_ms: 600_000, ..RagLimits::default() })
        .open()
        .map_err(|e| e.to_string())
}

/// Puts the collection into the store unless it is there; returns the number of documents.
fn fill(args: &Args, rag: &Rag, dir: &Path, embedder: &Arc<dyn Embedder>) -> Result<u64, String> {
    let mut config = SourceConfig::push(SOURCE);
    config.source_id = rag.source_id(SOURCE).map_err(|e| e.to_string())?;
    config.doc_map.language.clone_from(&args.language);
    config.embedding.enabled = true;
    config.embedding.provider = "default".to_owned();
    config.embedding.dim = Some(embedder.info().dim);
    config.embedding.batch_size = 64;
    config.embedding.timeout_ms = 300_000;
    let mut input = ai_core_rag::Concat::default();
    let mut title = Part::default();
    title.title = true;
    let mut gap = Part::default();
    gap.lit = Some("\n".to_owned());
    let mut body = Part::default();
    body.chunk_body = true;
    input.concat = vec![title, gap, body];
    config.embedding.input = Some(input);
    rag.put_source(&config, None).map_err(|e| e.to_string())?;
    beir::documents(dir, BATCH_DOCS, |batch| {
        rag.put_documents(SOURCE, batch).map(drop).map_err(|e| e.to_string())
    })
}

fn legs<'a>(args: &'a Args, rag: &'a Rag) -> Vec<(String, Search<'a>)> {
    let caller = RagCaller::named("rag_eval");
    let bare = || ReturnOptions { include_title: false, include_metadata: false, ..ReturnOptions::default() };
    let method = if args.fusion == "rrf" { FuseMethod::Rrf } else { FuseMethod::Score };
    let (c1, c2, c3) = (caller.clone(), caller.clone(), caller);
    vec![
        (
            "fts".to_owned(),
            Box::new(move |text: &str, k: usize| {
                let request = SearchFts {
                    query: text.to_owned(),
                    k: Some(k),
                    returns: bare(),
                    filters: Filters::default(),
                    max_per_doc: usize::from(k > TOP),
                    ..SearchFts::default()
                };
                rag.search_fts(&c1, &request).map_err(|e| e.to_string())
            }) as Search<'a>,
        ),
        (
            "vector".to_owned(),
            Box::new(move |text: &str, k: usize| {
                let request = SearchVector {
                    query_text: Some(text.to_owned()),
                    k: Some(k),
                    returns: bare(),
                    max_per_doc: usize::from(k > TOP),
                    ..SearchVector::default()
                };
                rag.search_vector(&c2, &request).map_err(|e| e.to_string())
            }),
        ),
        (
            "hybrid".to_owned(),
            Box::new(move |text: &str, k: usize| {
                let request = SearchHybrid {
                    query: text.to_owned(),
                    k: Some(k),
                    returns: bare(),
                    max_per_doc: usize::from(k > TOP),
                    fuse: FuseOptions {
                        method: Some(method),
                        fts_k: args.leg_k,
                        vec_k: args.leg_k,
                        w_fts: args.w_fts,
                        w_vec: args.w_vec,
                        ..FuseOptions::default()
                    },
                    ..SearchHybrid::default()
                };
                rag.search_hybrid(&c3, &request).map_err(|e| e.to_string())
            }),
        ),
    ]
}

/// Bytes of the store, its log and its outer index.
fn size_bytes(path: &Path) -> u64 {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let file = |p: &Path| std::fs::metadata(p).map_or(0, |m| m.len());
    let outer: u64 = std::fs::read_dir(beside(".fulltext"))
        .map_or(0, |entries| entries.flatten().map(|e| file(&e.path())).sum());
    file(path) + file(&beside("-wal")) + outer
}
