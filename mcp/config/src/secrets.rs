//! Secrets: references to the environment and to files, salted hashes of tokens; it does not know who uses them.

use sha2::{Digest, Sha256};

use crate::error::ConfigResult;
use mcp::ToolError;

/// What is shown in place of a secret.
pub const MASK: &str = "***";
/// Largest secret file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A secret with its reference resolved: `env:NAME` and `file:PATH` are looked up, anything else is the secret itself.
///
/// # Errors
/// A sentence that names the reference and never the value.
pub fn resolve_secret(text: &str, data_dir: &std::path::Path) -> Result<String, String> {
    if let Some(name) = text.strip_prefix("env:") {
        return std::env::var(name).map_err(|_| format!("the environment variable {name:?} is not set"));
    }
    let Some(path) = text.strip_prefix("file:") else { return Ok(text.to_owned()) };
    let path = data_dir.join(path);
    let cannot = |cause: &dyn std::fmt::Display| format!("the secret file {}: {cause}", path.display());
    let size = std::fs::metadata(&path).map_err(|e| cannot(&e))?.len();
    if size > FILE_BYTES_MAX {
        return Err(cannot(&"it is too large"));
    }
    let mut secret = std::fs::read_to_string(&path).map_err(|e| cannot(&e))?;
    // An editor's line end is not part of the secret.
    if secret.ends_with('\n') {
        secret.pop();
        if secret.ends_with('\r') {
            secret.pop();
        }
    }
    Ok(secret)
}

/// `sha256$salt$hash` of a token: 16 random bytes of salt, SHA-256 over salt text and token, all hexadecimal.
///
/// # Errors
/// When the system has no random numbers.
pub fn hash_token(token: &str) -> ConfigResult<String> {
    let mut salt = [0_u8; 16];
    getrandom::fill(&mut salt).map_err(|e| ToolError::internal(format!("no random numbers: {e}")))?;
    let salt = hex(&salt);
    let hash = salted(&salt, token);
    Ok(format!("sha256${salt}${hash}"))
}

/// Whether the text is a hash that [`hash_token`] could have made.
#[must_use]
pub fn is_token_hash(text: &str) -> bool {
    split(text).is_some()
}

/// Whether a token belongs to a hash.
#[must_use]
pub fn token_matches(token: &str, hash: &str) -> bool {
    split(hash).is_some_and(|(salt, digest)| {
        let own = salted(salt, token);
        own.bytes().zip(digest.bytes()).fold(0_u8, |diff, (a, b)| diff | (a ^ b)) == 0
    })
}

/// A random token: 32 bytes as 64 hexadecimal digits.
///
/// # Errors
/// When the system has no random numbers.
pub fn random_token() -> ConfigResult<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|e| ToolError::internal(format!("no random numbers: {e}")))?;
    Ok(hex(&bytes))
}

fn split(text: &str) -> Option<(&str, &str)> {
    let (salt, digest) = text.strip_prefix("sha256$")?.split_once('$')?;
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    (is_hex(salt) && digest.len() == 64 && is_hex(digest)).then_some((salt, digest))
}

fn salted(salt: &str, token: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(salt.as_bytes());
    hash.update(token.as_bytes());
    hex(&hash.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_its_token_only() {
        let hash = hash_token("a long enough token").expect("hashes");
        assert!(is_token_hash(&hash) && token_matches("a long enough token", &hash));
        assert!(!token_matches("another token", &hash) && !is_token_hash("sha256$zz$yy"));
        assert_ne!(hash, hash_token("a long enough token").expect("hashes"));
    }

    #[test]
    fn references_are_looked_up() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("pw"), "s3cret\n").expect("writes");
        assert_eq!(resolve_secret("file:pw", dir.path()).as_deref(), Ok("s3cret"));
        assert_eq!(resolve_secret("plain:text", dir.path()).as_deref(), Ok("plain:text"));
        assert!(resolve_secret("file:nothing", dir.path()).is_err());
        assert!(resolve_secret("env:PENSTOCK_NO_SUCH_NAME", dir.path()).is_err());
    }
}
