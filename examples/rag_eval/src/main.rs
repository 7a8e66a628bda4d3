//! `rag_eval`: measures retrieval quality and speed over folders in the BEIR layout; it reads no database.

mod beir;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

/// Measures full-text, vector and hybrid retrieval over collections.
#[derive(Debug, Parser)]
#[command(name = "rag_eval", version)]
struct Args {
    /// Folders with corpus.jsonl, queries.jsonl and qrels/test.tsv.
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// `builtin`, or `local:PATH` with the folder of a model.
    #[arg(long, default_value = "builtin")]
    embedder: String,
    /// Print one JSON object a line and nothing else.
    #[arg(long)]
    json: bool,
    /// Keep stores in this folder and use those that are there; without it they are temporary.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Where the words are indexed.
    #[arg(long, value_enum, default_value_t = Words::Auto)]
    fulltext: Words,
    /// Language of the collections, for stemming; empty means none.
    #[arg(long, default_value = "en")]
    language: String,
    /// Weight of full text in score fusion.
    #[arg(long)]
    w_fts: Option<f32>,
    /// Weight of vectors in score fusion.
    #[arg(long)]
    w_vec: Option<f32>,
    /// `score` or `rrf`.
    #[arg(long, default_value = "score")]
    fusion: String,
    /// Depth of each leg in the hybrid search; absent means the engine's default.
    #[arg(long)]
    leg_k: Option<usize>,
    /// Only this leg.
    #[arg(long)]
    leg: Option<String>,
    /// Exit with 3 when the hybrid nDCG@10 of a collection is below this.
    #[arg(long)]
    min_ndcg: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Words {
    Auto,
    Fts5,
    Tantivy,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run::run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(message) => {
            use std::io::Write as _;
            // Nothing is left to do when even the error stream is closed.
            let _ = writeln!(std::io::stderr(), "rag_eval: {message}");
            ExitCode::from(1)
        }
    }
}

#[cfg(test)]
mod tests;
