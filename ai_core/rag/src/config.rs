//! The configuration of a source, its defaults and its validation; it knows no backend and no store.

use std::collections::BTreeMap;

use ai_core::{AiError, AiErrorCode, AiResult, Metric, SourceSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::sha256;

/// The backends that a source may name.
pub const BACKEND_TYPES: &[&str] =
    &["mysql", "mariadb", "postgresql", "pgsql", "postgres", "sqlite", "files", "push"];

/// One source: where rows come from and what becomes of them. Members are the columns of `rag_sources`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SourceConfig {
    /// The number of an existing source; absent means a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<i64>,
    /// The name, unique.
    pub name: String,
    /// False hides the source from every search and stops its schedule.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// `mysql`, `mariadb`, `postgresql`, `sqlite`, `files` or `push`.
    pub backend_type: String,
    /// Host.
    #[serde(default)]
    pub backend_host: String,
    /// Port.
    #[serde(default)]
    pub backend_port: u16,
    /// User.
    #[serde(default)]
    pub backend_user: String,
    /// A secret reference: `profile:ID`, `env:NAME`, `file:PATH`, or empty.
    #[serde(default)]
    pub backend_pass: String,
    /// Database, database file or folder.
    #[serde(default)]
    pub backend_db: String,
    /// A target that takes the place of host, port and user.
    #[serde(default)]
    pub target_id: Option<String>,
    /// Table, or a glob for files, or a label for pushed documents.
    pub table_name: String,
    /// Key column, several separated by commas, or a JSON list of them.
    pub pk_column: String,
    /// A boolean expression in the backend's dialect.
    #[serde(default)]
    pub where_sql: Option<String>,
    /// How a row becomes a document.
    #[serde(default, rename = "doc_map_json")]
    pub doc_map: DocMap,
    /// How a document is cut.
    #[serde(default, rename = "chunking_json")]
    pub chunking: Chunking,
    /// How chunks become vectors.
    #[serde(default, rename = "embedding_json")]
    pub embedding: Embedding,
    /// How the source is followed.
    #[serde(default, rename = "sync_json")]
    pub sync: SyncSettings,
    /// Filter names and the metadata keys they look at.
    #[serde(default, rename = "filter_map_json")]
    pub filter_map: Option<BTreeMap<String, String>>,
    /// Columns that may be fetched from the source; `["*"]` means all.
    #[serde(default, rename = "fetch_columns_json")]
    pub fetch_columns: Option<Vec<String>>,
    /// `rag`, or `embed` for sources that searches do not see.
    #[serde(default = "rag")]
    pub kind: String,
}

fn yes() -> bool {
    true
}

fn rag() -> String {
    "rag".to_owned()
}

/// How a row becomes a document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct DocMap {
    /// The document's name.
    pub doc_id: DocIdMap,
    /// The title.
    pub title: Concat,
    /// The body.
    pub body: Concat,
    /// The metadata.
    pub metadata: MetadataMap,
    /// What is cleaned.
    pub normalize: Normalize,
    /// BCP 47 tag that selects stemming; empty means none.
    pub language: String,
}

/// The form of a document's name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct DocIdMap {
    /// Text with `{column}`, `{_source}`, `{_table}`, `{_pk}`; absent means `table:key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// Parts that are put together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Concat {
    /// The parts in order.
    pub concat: Vec<Part>,
}

/// One part: a column or literal text; in embedding inputs also chunk body, title and heading path.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Part {
    /// A column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub col: Option<String>,
    /// Literal text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lit: Option<String>,
    /// Put before a column's value that is not NULL.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Put after a column's value that is not NULL.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub suffix: String,
    /// The chunk's body (embedding input only).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub chunk_body: bool,
    /// The title (embedding input only).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub title: bool,
    /// The heading path (embedding input only).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub heading_path: bool,
}

impl Part {
    /// A column.
    #[must_use]
    pub fn column(name: impl Into<String>) -> Self {
        Self { col: Some(name.into()), ..Self::default() }
    }

    fn kinds(&self) -> usize {
        usize::from(self.col.is_some())
            + usize::from(self.lit.is_some())
            + usize::from(self.chunk_body)
            + usize::from(self.title)
            + usize::from(self.heading_path)
    }
}

/// Which columns become metadata.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct MetadataMap {
    /// Columns to copy.
    pub pick: Vec<String>,
    /// Old name to new name.
    pub rename: BTreeMap<String, String>,
}

/// What is cleaned before use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Normalize {
    /// Remove HTML markup.
    pub strip_html: bool,
    /// Make runs of white space one space.
    pub collapse_whitespace: bool,
    /// `nfc` composes characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unicode: Option<String>,
    /// Where it applies: `body`, `fts`, `embedding`; absent means the last two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apply_to: Option<Vec<String>>,
}

/// How lengths are counted and where cuts fall.
// Exhaustive on purpose: the chunker handles every unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChunkUnit {
    /// Characters, with cuts at lines or words.
    #[default]
    Chars,
    /// Tokens of the embedder, or words.
    Tokens,
    /// Whole sentences, counted in characters.
    Sentences,
    /// Sections of Markdown, counted in characters.
    Markdown,
}

/// How a document is cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Chunking {
    /// False makes one chunk of each document.
    pub enabled: bool,
    /// The unit.
    pub unit: ChunkUnit,
    /// Largest chunk, 16–1000000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_size: Option<usize>,
    /// What neighbours share, below the chunk size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<usize>,
    /// A shorter last piece joins the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_chunk_size: Option<usize>,
    /// Most chunks of one document, 1–100000.
    pub max_chunks: usize,
}

impl Default for Chunking {
    fn default() -> Self {
        Self {
            enabled: true,
            unit: ChunkUnit::Chars,
            chunk_size: None,
            overlap: None,
            min_chunk_size: None,
            max_chunks: 2000,
        }
    }
}

impl Chunking {
    /// Chunk size, overlap and smallest last piece with defaults filled in.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize, usize) {
        let tokens = self.unit == ChunkUnit::Tokens;
        let size = self.chunk_size.unwrap_or(if tokens { 512 } else { 4000 });
        let overlap = self.overlap.unwrap_or(match self.unit {
            ChunkUnit::Chars => (size / 10).min(400),
            ChunkUnit::Tokens => (size / 8).min(64),
            ChunkUnit::Sentences => 1,
            ChunkUnit::Markdown => 0,
        });
        let least =
            self.min_chunk_size.unwrap_or(if tokens { (size / 8).min(64) } else { (size / 5).min(800) });
        (size, overlap, least)
    }

    fn validate(&self) -> AiResult<()> {
        let (size, overlap, least) = self.sizes();
        in_range("chunking_json.chunk_size", size, 16, 1_000_000)?;
        in_range("chunking_json.overlap", overlap, 0, size - 1)?;
        in_range("chunking_json.min_chunk_size", least, 0, size)?;
        in_range("chunking_json.max_chunks", self.max_chunks, 1, 100_000)
    }
}

/// How chunks become vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Embedding {
    /// False means full text only.
    pub enabled: bool,
    /// `builtin`, `local`, `openai`, `llama_cpp`, `default` or a name that the host knows.
    pub provider: String,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The model's revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Length of vectors; absent means the model's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dim: Option<usize>,
    /// `cosine`, `l2` or `dot`.
    pub metric: String,
    /// Scale vectors to unit length.
    pub normalize_vectors: bool,
    /// URL of an HTTP service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_base: Option<String>,
    /// A secret reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// Folder of a local model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Inputs of one call, 1–2048.
    pub batch_size: usize,
    /// Longest call, 100–300000 ms.
    pub timeout_ms: u64,
    /// Repeats of a failed call, 0–10.
    pub max_retries: u32,
    /// What is embedded; absent means title, heading path and chunk body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Concat>,
    /// Put before queries.
    pub query_prefix: String,
    /// Put before documents.
    pub document_prefix: String,
    /// `mean`, `cls` or `last` for local models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<String>,
    /// `defer` keeps documents and tries again later, `fail` stops the run.
    pub on_error: String,
}

impl Default for Embedding {
    fn default() -> Self {
        Self {
            enabled: false,
            provider: "builtin".to_owned(),
            model: None,
            revision: None,
            dim: None,
            metric: "cosine".to_owned(),
            normalize_vectors: true,
            api_base: None,
            api_key: None,
            path: None,
            batch_size: 16,
            timeout_ms: 20_000,
            max_retries: 3,
            input: None,
            query_prefix: String::new(),
            document_prefix: String::new(),
            pooling: None,
            on_error: "defer".to_owned(),
        }
    }
}

impl Embedding {
    /// The metric of the space.
    #[must_use]
    pub fn metric(&self) -> Metric {
        Metric::parse(&self.metric).unwrap_or_default()
    }

    fn validate(&self) -> AiResult<()> {
        if Metric::parse(&self.metric).is_none() {
            return Err(one_of("embedding_json.metric", &["cosine", "l2", "dot"]));
        }
        if !matches!(self.on_error.as_str(), "defer" | "fail") {
            return Err(one_of("embedding_json.on_error", &["defer", "fail"]));
        }
        if self.pooling.as_deref().is_some_and(|p| !matches!(p, "mean" | "cls" | "last")) {
            return Err(one_of("embedding_json.pooling", &["mean", "cls", "last"]));
        }
        in_range("embedding_json.batch_size", self.batch_size, 1, 2048)?;
        in_range("embedding_json.timeout_ms", self.timeout_ms as usize, 100, 300_000)?;
        in_range("embedding_json.max_retries", self.max_retries as usize, 0, 10)?;
        if let Some(dim) = self.dim {
            in_range("embedding_json.dim", dim, 1, 8192)?;
        }
        check_reference("embedding_json.api_key", self.api_key.as_deref().unwrap_or_default())?;
        for part in self.input.iter().flat_map(|i| &i.concat) {
            if part.kinds() != 1 {
                return Err(bad("embedding_json.input.concat", "each part names exactly one thing"));
            }
        }
        Ok(())
    }
}

/// Rows whose column holds one of the values are deletions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Tombstone {
    /// The column.
    pub column: String,
    /// The values.
    pub values: Vec<Value>,
}

/// How a source is followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SyncSettings {
    /// `poll` or `full`.
    pub mode: String,
    /// The watermark; absent means the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor_column: Option<String>,
    /// Units (seconds for times) that are read again before the watermark.
    pub lookback: u64,
    /// Rows that mean deletions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tombstone: Option<Tombstone>,
    /// Seconds between runs; 0 means on request only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_s: Option<u64>,
    /// Seconds between full sweeps; 0 means on request only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sweep_interval_s: Option<u64>,
    /// Largest share of documents that one sweep may delete, 0–1.
    pub max_delete_ratio: f64,
    /// Rows of one page.
    pub page_rows: usize,
    /// Documents of one commit.
    pub commit_docs: usize,
    /// Bytes of one commit.
    pub commit_bytes: usize,
    /// Longest statement of the backend.
    pub timeout_ms: u64,
}

impl Default for SyncSettings {
    fn default() -> Self {
        Self {
            mode: "poll".to_owned(),
            cursor_column: None,
            lookback: 0,
            tombstone: None,
            interval_s: None,
            sweep_interval_s: None,
            max_delete_ratio: 0.5,
            page_rows: 1000,
            commit_docs: 200,
            commit_bytes: 4 << 20,
            timeout_ms: 30_000,
        }
    }
}

impl SyncSettings {
    fn validate(&self) -> AiResult<()> {
        if self.mode == "cdc" {
            return Err(AiError::new(
                AiErrorCode::FailedPrecondition,
                "sync_json.mode: this source cannot deliver row changes; use \"poll\" or \"full\"",
            ));
        }
        if !matches!(self.mode.as_str(), "poll" | "full") {
            return Err(one_of("sync_json.mode", &["poll", "full", "cdc"]));
        }
        if !(0.0..=1.0).contains(&self.max_delete_ratio) {
            return Err(bad("sync_json.max_delete_ratio", "must be between 0 and 1"));
        }
        in_range("sync_json.page_rows", self.page_rows, 1, 100_000)?;
        in_range("sync_json.commit_docs", self.commit_docs, 1, 100_000)?;
        in_range("sync_json.commit_bytes", self.commit_bytes, 1024, 1 << 30)?;
        in_range("sync_json.timeout_ms", self.timeout_ms as usize, 100, 3_600_000)
    }
}

pub(crate) fn bad(path: &str, why: &str) -> AiError {
    AiError::invalid(format!("{path}: {why}")).with("path", path)
}

fn one_of(path: &str, allowed: &[&str]) -> AiError {
    bad(path, &format!("must be one of {}", allowed.join(", ")))
}

fn in_range(path: &str, value: usize, low: usize, high: usize) -> AiResult<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(bad(path, &format!("{value} is outside {low}-{high}")))
}

fn check_reference(path: &str, text: &str) -> AiResult<()> {
    let named = ["profile:", "env:", "file:"].iter().any(|p| text.len() > p.len() && text.starts_with(p));
    if text.is_empty() || named {
        return Ok(());
    }
    Err(bad(path, "must be a reference such as profile:ID, env:NAME or file:PATH, not the secret itself"))
}

impl SourceConfig {
    /// A source whose documents are handed in by the program.
    #[must_use]
    pub fn push(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            source_id: None,
            enabled: true,
            backend_type: "push".to_owned(),
            backend_host: String::new(),
            backend_port: 0,
            backend_user: String::new(),
            backend_pass: String::new(),
            backend_db: String::new(),
            target_id: None,
            table_name: name.clone(),
            pk_column: "id".to_owned(),
            where_sql: None,
            doc_map: DocMap::default(),
            chunking: Chunking::default(),
            embedding: Embedding::default(),
            sync: SyncSettings::default(),
            filter_map: None,
            fetch_columns: None,
            kind: rag(),
            name,
        }
    }

    /// A source over the files of a folder that match a glob.
    #[must_use]
    pub fn files(name: impl Into<String>, folder: impl Into<String>, glob: impl Into<String>) -> Self {
        let mut made = Self::push(name);
        made.backend_type = "files".to_owned();
        made.backend_db = folder.into();
        made.table_name = glob.into();
        made.pk_column = "path".to_owned();
        made.doc_map.title.concat = vec![Part::column("title")];
        made.doc_map.body.concat = vec![Part::column("body")];
        made
    }

    /// The key columns in order.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when there is none.
    pub fn key_columns(&self) -> AiResult<Vec<String>> {
        let text = self.pk_column.trim();
        let columns: Vec<String> = if text.starts_with('[') {
            serde_json::from_str(text).map_err(|e| bad("pk_column", &format!("is no list of names: {e}")))?
        } else {
            text.split(',').map(|c| c.trim().to_owned()).collect()
        };
        if columns.is_empty() || columns.iter().any(String::is_empty) {
            return Err(bad("pk_column", "names no column"));
        }
        Ok(columns)
    }

    /// Where rows come from, for a connector.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a broken key list.
    pub fn spec(&self) -> AiResult<SourceSpec> {
        Ok(SourceSpec {
            name: self.name.clone(),
            backend_type: self.backend_type.clone(),
            backend_host: self.backend_host.clone(),
            backend_port: self.backend_port,
            backend_user: self.backend_user.clone(),
            backend_pass: self.backend_pass.clone(),
            backend_db: self.backend_db.clone(),
            target_id: self.target_id.clone(),
            table_name: self.table_name.clone(),
            key_columns: self.key_columns()?,
            where_sql: self.where_sql.clone(),
            timeout_ms: self.sync.timeout_ms,
            caller: None,
        })
    }

    /// The metadata key behind a filter name.
    #[must_use]
    pub fn filter_key(&self, filter: &str) -> Option<String> {
        match &self.filter_map {
            Some(map) => map.get(filter).cloned(),
            None => Some(
                match filter {
                    "post_type" => "PostTypeId",
                    "tags" => "Tags",
                    "created" => "CreationDate",
                    "score" => "Score",
                    _ => return None,
                }
                .to_owned(),
            ),
        }
    }

    /// Checks everything that needs no backend.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with the JSON path of the first fault.
    pub fn validate(&self) -> AiResult<()> {
        if self.name.trim().is_empty() || self.name.len() > 200 || self.name.chars().any(char::is_control) {
            return Err(bad("name", "must have 1-200 bytes and no control character"));
        }
        if !BACKEND_TYPES.contains(&self.backend_type.as_str()) {
            return Err(one_of("backend_type", BACKEND_TYPES));
        }
        if !matches!(self.kind.as_str(), "rag" | "embed") {
            return Err(one_of("kind", &["rag", "embed"]));
        }
        if self.target_id.is_some() && !(self.backend_host.is_empty() && self.backend_user.is_empty()) {
            return Err(bad(
                "target_id",
                "takes the place of backend_host and backend_user; leave those out",
            ));
        }
        check_reference("backend_pass", &self.backend_pass)?;
        self.key_columns()?;
        for (path, concat) in
            [("doc_map_json.title", &self.doc_map.title), ("doc_map_json.body", &self.doc_map.body)]
        {
            for part in &concat.concat {
                if part.kinds() != 1 || part.chunk_body || part.title || part.heading_path {
                    return Err(bad(path, "each part is {\"col\"} or {\"lit\"}"));
                }
                if part.lit.is_some() && !(part.prefix.is_empty() && part.suffix.is_empty()) {
                    return Err(bad(path, "prefix and suffix belong to columns"));
                }
            }
        }
        let normalize = &self.doc_map.normalize;
        if normalize.unicode.as_deref().is_some_and(|u| u != "nfc") {
            return Err(one_of("doc_map_json.normalize.unicode", &["nfc"]));
        }
        if normalize.apply_to.iter().flatten().any(|a| !matches!(a.as_str(), "body" | "fts" | "embedding")) {
            return Err(one_of("doc_map_json.normalize.apply_to", &["body", "fts", "embedding"]));
        }
        let names: Vec<&str> = self.doc_map.metadata.pick.iter().map(|p| self.renamed(p)).collect();
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        if unique.len() != names.len() {
            return Err(bad("doc_map_json.metadata.rename", "two columns get the same name"));
        }
        self.chunking.validate()?;
        self.embedding.validate()?;
        self.sync.validate()
    }

    /// The metadata key that a picked column gets.
    #[must_use]
    pub fn renamed<'a>(&'a self, column: &'a str) -> &'a str {
        self.doc_map.metadata.rename.get(column).map_or(column, String::as_str)
    }

    /// Hash over what decides the content of documents and chunks.
    #[must_use]
    pub fn content_hash(&self) -> String {
        let json = |v: serde_json::Result<String>| v.unwrap_or_default();
        sha256(&[
            json(serde_json::to_string(&self.doc_map)).as_bytes(),
            json(serde_json::to_string(&self.chunking)).as_bytes(),
            self.where_sql.as_deref().unwrap_or_default().as_bytes(),
            json(serde_json::to_string(&self.filter_map)).as_bytes(),
        ])
    }
}

#[cfg(test)]
mod tests;
