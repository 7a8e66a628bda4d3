//! The `genai-rag_*` variables that decide where retrieval keeps its store and how it searches; it opens nothing.

use std::path::PathBuf;

use ai_core_rag::{AnnMode, LogQueries, RagLimits};

/// Which store holds documents, chunks and vectors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
// Exhaustive on purpose: these are the values of the variable.
pub enum RagStoreKind {
    /// One SQLite file.
    #[default]
    Sqlite,
    /// A schema of a PostgreSQL server with pgvector.
    Postgres,
}

/// Which index holds the words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
// Exhaustive on purpose: these are the values of the variable.
pub enum RagFulltext {
    /// FTS5 while the store is small, tantivy when it has grown.
    #[default]
    Auto,
    /// FTS5, inside the store's own transaction.
    Fts5,
    /// tantivy, beside the store.
    Tantivy,
}

/// Where retrieval keeps its store, and how it searches.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RagSetup {
    /// Bounds.
    pub limits: RagLimits,
    /// Whether there are tools of retrieval at all.
    pub enabled: bool,
    /// The store.
    pub store: RagStoreKind,
    /// Address of the PostgreSQL store without a password, and a reference to the password.
    pub store_url: String,
    /// The SQLite file; relative to the data folder.
    pub path: PathBuf,
    /// The index of words.
    pub fulltext: RagFulltext,
    /// What makes searches of vectors fast.
    pub ann: AnnMode,
    /// Folders that file sources may lie under.
    pub file_roots: Vec<PathBuf>,
    /// What is kept of the text of searches.
    pub log_queries: LogQueries,
    /// Length of vectors of models that leave it open.
    pub dimension: usize,
}

/// The store's file when none is named.
pub(super) const PATH: &str = "mcp_rag.db";

impl Default for RagSetup {
    fn default() -> Self {
        Self {
            limits: RagLimits::default(),
            enabled: false,
            store: RagStoreKind::Sqlite,
            store_url: String::new(),
            path: PATH.into(),
            fulltext: RagFulltext::Auto,
            ann: AnnMode::Auto,
            file_roots: Vec::new(),
            log_queries: LogQueries::Text,
            dimension: 1536,
        }
    }
}

/// `postgres://user@host:port/database`, then perhaps a blank and a reference to the password.
pub(super) fn store_url(text: &str) -> Result<String, &'static str> {
    const EXPECTED: &str =
        "postgres://user@host:port/database without a password, then perhaps env:NAME or file:PATH";
    let text = text.trim();
    if text.is_empty() {
        return Ok(String::new());
    }
    let (url, reference) = text.split_once(' ').map_or((text, None), |(u, r)| (u, Some(r.trim())));
    let rest =
        url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")).ok_or(EXPECTED)?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    if user.contains(':') || rest.contains("password=") {
        return Err("an address without a password; name it after a blank as env:NAME or file:PATH");
    }
    match reference {
        None => Ok(url.to_owned()),
        Some(r) if r.len() > 4 && (r.starts_with("env:") || r.starts_with("file:")) => {
            Ok(format!("{url} {r}"))
        }
        Some(_) => Err(EXPECTED),
    }
}

impl RagSetup {
    /// Takes one variable; false when it is none of these.
    pub(super) fn set(&mut self, name: &str, value: &str) -> bool {
        match name {
            "rag_enabled" => self.enabled = value == "true",
            "rag_store" => {
                self.store = if value == "postgres" { RagStoreKind::Postgres } else { RagStoreKind::Sqlite };
            }
            "rag_store_url" => value.clone_into(&mut self.store_url),
            "vector_db_path" => self.path = if value.is_empty() { PATH.into() } else { value.into() },
            "vector_dimension" => self.dimension = value.parse().unwrap_or(1536),
            "rag_fulltext" => {
                self.fulltext = match value {
                    "fts5" => RagFulltext::Fts5,
                    "tantivy" => RagFulltext::Tantivy,
                    _ => RagFulltext::Auto,
                }
            }
            "rag_ann" => {
                self.ann = match value {
                    "off" => AnnMode::Off,
                    "int8" => AnnMode::Int8,
                    "hnsw" => AnnMode::Hnsw,
                    _ => AnnMode::Auto,
                }
            }
            "rag_file_roots" => {
                self.file_roots =
                    value.split(',').map(str::trim).filter(|p| !p.is_empty()).map(PathBuf::from).collect();
            }
            "rag_log_queries" => {
                self.log_queries = match value {
                    "off" => LogQueries::Off,
                    "hash" => LogQueries::Hash,
                    _ => LogQueries::Text,
                }
            }
            _ => return false,
        }
        true
    }

    /// What the values say about each other.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.store == RagStoreKind::Postgres {
            if self.store_url.is_empty() {
                faults.push("genai-rag_store = postgres needs genai-rag_store_url".to_owned());
            }
            if self.fulltext == RagFulltext::Fts5 {
                faults.push(
                    "genai-rag_fulltext = fts5 lies in SQLite; with genai-rag_store = postgres use tantivy"
                        .to_owned(),
                );
            }
        } else if self.ann == AnnMode::Hnsw {
            faults.push("genai-rag_ann = hnsw needs genai-rag_store = postgres".to_owned());
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_carry_no_password() {
        assert_eq!(store_url("").unwrap(), "");
        assert_eq!(store_url("postgres://me@h:1/db").unwrap(), "postgres://me@h:1/db");
        assert_eq!(store_url("postgres://me@h/db  env:PW").unwrap(), "postgres://me@h/db env:PW");
        for bad in
            ["mysql://h/db", "postgres://me:pw@h/db", "postgres://h/db?password=x", "postgres://h/db pw"]
        {
            assert!(store_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_that_exclude_each_other_are_named() {
        let mut setup = RagSetup::default();
        setup.set("rag_ann", "hnsw");
        assert!(setup.faults()[0].contains("rag_store = postgres"));
        setup.set("rag_store", "postgres");
        setup.set("rag_fulltext", "fts5");
        assert_eq!(setup.faults().len(), 2);
        setup.set("rag_store_url", "postgres://h/db");
        setup.set("rag_fulltext", "tantivy");
        assert!(setup.faults().is_empty() && !setup.set("rag_k_max", "3"));
    }
}
