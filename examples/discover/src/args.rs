//! The command line; it opens no file.

use std::path::PathBuf;

use clap::Parser;

/// Harvests a database, lets a language model describe it if one is given, and writes a report.
#[derive(Debug, Parser)]
#[command(name = "discover", version)]
pub(crate) struct Args {
    /// The database: NAME=mysql://…, NAME=postgres://… or NAME=sqlite:FILE.
    #[arg(long, value_name = "NAME=URL", conflicts_with = "sqlite")]
    pub(crate) target: Option<String>,
    /// A SQLite file; the target is named after it. Without any database a small sample shop is made.
    #[arg(long, value_name = "FILE")]
    pub(crate) sqlite: Option<PathBuf>,
    /// Folder of the report and of the catalog, which a later call goes on from.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// Full URL of the model's API, such as http://127.0.0.1:8080/v1/chat/completions. Without it only phase 1 runs.
    #[arg(long, value_name = "URL", requires = "model")]
    pub(crate) llm: Option<String>,
    /// openai, anthropic, generic or llama_cpp.
    #[arg(long, default_value = "generic")]
    pub(crate) provider: String,
    /// Name of the model.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Environment variable that holds the key.
    #[arg(long, value_name = "NAME")]
    pub(crate) key_env: Option<String>,
    /// Most money in US dollars, over all calls that go on with the same agent run.
    #[arg(long, value_name = "USD", default_value_t = 5.0)]
    pub(crate) budget_usd: f64,
    /// Most questions to the model.
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    pub(crate) max_calls: u64,
    /// Most tokens, read and written.
    #[arg(long, value_name = "COUNT", default_value_t = 2_000_000)]
    pub(crate) max_tokens: u64,
    /// Longest run in minutes.
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    pub(crate) max_minutes: u64,
    /// Most objects that the model describes.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub(crate) max_objects: usize,
    /// Goes on although the database's account may do more than read.
    #[arg(long)]
    pub(crate) allow_privileged_backend: bool,
    /// Most tokens of one answer; a model with a small context wants fewer.
    #[arg(long, value_name = "COUNT", default_value_t = 4_000)]
    pub(crate) answer_tokens: u32,
    /// Lets the model look up tables by itself, from a fixed list of read-only tools.
    #[arg(long)]
    pub(crate) lookups: bool,
}
