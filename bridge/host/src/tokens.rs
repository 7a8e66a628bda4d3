//! The host's tokens: made once, shown once, kept as salted hashes in one private file; it does not check them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use mcp::Scope;
use mcp_server::{TokenRecord, hash_token};
use serde::{Deserialize, Serialize};

use crate::error::HostError;

const FILE: &str = "tokens.json";

#[derive(Serialize, Deserialize)]
struct Kept {
    endpoint: String,
    token_name: String,
    hash: String,
    scope: String,
}

/// The token file of a data folder.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join(FILE) }
    }

    pub(crate) fn read(&self) -> Result<Vec<TokenRecord>, HostError> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(HostError::file(&self.path, e)),
        };
        let wrong = |cause: String| HostError::TokenFile { path: self.path.clone(), cause };
        let kept: Vec<Kept> = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        kept.into_iter()
            .map(|k| {
                let scope =
                    scope(&k.scope).ok_or_else(|| wrong(format!("scope {:?} is unknown", k.scope)))?;
                Ok(TokenRecord::new(k.endpoint, k.token_name, k.hash, scope))
            })
            .collect()
    }

    /// Replaces the file as a whole: a crash leaves the old or the new one.
    pub(crate) fn write(&self, records: &[TokenRecord]) -> Result<(), HostError> {
        let kept: Vec<Kept> = records
            .iter()
            .map(|r| Kept {
                endpoint: r.endpoint.clone(),
                token_name: r.token_name.clone(),
                hash: r.hash.clone(),
                scope: format!("{:?}", r.scope).to_lowercase(),
            })
            .collect();
        let text = serde_json::to_string_pretty(&kept).unwrap_or_default();
        let draft = self.path.with_extension("draft");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&draft).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.and_then(|()| std::fs::rename(&draft, &self.path)).map_err(|e| HostError::file(&self.path, e))
    }
}

fn scope(name: &str) -> Option<Scope> {
    match name {
        "read" => Some(Scope::Read),
        "write" => Some(Scope::Write),
        "full" => Some(Scope::Full),
        _ => None,
    }
}

/// A new random token: 32 bytes of the system's randomness, as 64 hexadecimal digits.
pub(crate) fn random_token() -> Result<String, HostError> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|e| HostError::file("random source", std::io::Error::other(e.to_string())))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// The record of a token.
pub(crate) fn record(
    endpoint: &str,
    name: &str,
    token: &str,
    scope: Scope,
) -> Result<TokenRecord, HostError> {
    let hash = hash_token(token).map_err(|e| HostError::file("random source", e))?;
    Ok(TokenRecord::new(endpoint, name, hash, scope))
}
