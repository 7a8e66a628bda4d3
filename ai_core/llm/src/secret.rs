//! Texts that must not be shown: keys and header values; it does not know where they are used.

use std::fmt;

use ai_core::{AiError, AiErrorCode, AiResult};

/// Longest secret that is accepted, bytes.
const SECRET_BYTES_MAX: usize = 65_536;

/// A text whose `Debug` is `***`, without `Display` and without serialisation.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretString(Box<str>);

impl SecretString {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into_boxed_str())
    }

    /// The text itself; only for putting it on the wire.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `text` with every occurrence of the secret replaced by `***`.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        // A very short "secret" such as `x` would turn every message into stars.
        if self.0.len() < 4 { text.to_owned() } else { text.replace(&*self.0, "***") }
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "***" })
    }
}

impl From<&str> for SecretString {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// Looks up `profile:<id>` references; the host keeps the profiles.
pub trait SecretResolver: Send + Sync {
    /// The secret behind auth profile `id`.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown profile.
    fn resolve(&self, id: &str) -> AiResult<SecretString>;
}

/// Resolves `env:NAME`, `file:PATH` and `profile:<id>`; any other text is itself the secret when
/// `literal_allowed`, else refused. Messages name the reference, never the value.
///
/// # Errors
/// `FAILED_PRECONDITION` when the reference leads nowhere, `INVALID_ARGUMENT` for a forbidden literal.
pub fn resolve_secret(
    reference: &str,
    literal_allowed: bool,
    profiles: Option<&dyn SecretResolver>,
) -> AiResult<SecretString> {
    let missing = |why: String| AiError::new(AiErrorCode::FailedPrecondition, why);
    if reference.is_empty() {
        return Ok(SecretString::default());
    }
    if let Some(name) = reference.strip_prefix("env:") {
        let value = std::env::var(name);
        let value = value.map_err(|_| missing(format!("environment variable '{name}' is not set")))?;
        return Ok(SecretString::new(value));
    }
    if let Some(path) = reference.strip_prefix("file:") {
        let text = std::fs::read_to_string(path)
            .map_err(|e| missing(format!("secret file '{path}' cannot be read: {}", e.kind())))?;
        if text.len() > SECRET_BYTES_MAX {
            return Err(missing(format!("secret file '{path}' is larger than {SECRET_BYTES_MAX} bytes")));
        }
        return Ok(SecretString::new(text.trim_end_matches(['\r', '\n'])));
    }
    if let Some(id) = reference.strip_prefix("profile:") {
        let resolver = profiles.ok_or_else(|| missing("no auth profiles here; use env: or file:".into()))?;
        return resolver.resolve(id);
    }
    if literal_allowed {
        return Ok(SecretString::new(reference));
    }
    Err(AiError::invalid("a literal secret is not accepted here; use env:, file: or profile:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_and_redaction_hide_the_text() {
        let key = SecretString::new("sk-very-secret");
        assert_eq!(format!("{key:?}"), "***");
        assert_eq!(key.redact("bad key sk-very-secret!"), "bad key ***!");
        assert_eq!(SecretString::new("x").redact("axb"), "axb");
    }

    #[test]
    fn references_resolve_and_failures_do_not_leak() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "from-file\n").unwrap();
        let found = resolve_secret(&format!("file:{}", path.display()), false, None).unwrap();
        assert_eq!(found.expose(), "from-file");
        assert_eq!(resolve_secret("literal", true, None).unwrap().expose(), "literal");
        let refused = resolve_secret("literal-key", false, None).unwrap_err();
        assert!(!refused.to_string().contains("literal-key"));
        assert!(resolve_secret("env:PENSTOCK_NO_SUCH_VARIABLE", true, None).is_err());
        assert!(resolve_secret("profile:a", true, None).is_err());
    }
}
