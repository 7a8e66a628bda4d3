//! Named tokens in memory, salted and hashed, compared in constant time; it does not know where they are stored.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use mcp::{Caller, Scope};
use ring::digest::{Context, SHA256};

use super::{AuthError, AuthRequest, Authenticator, Identity};
use crate::clock::{hex, now_ms, random_hex};

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// One token of one endpoint.
#[derive(Clone)]
#[non_exhaustive]
pub struct TokenRecord {
    /// Endpoint path, such as `/mcp/query`.
    pub endpoint: String,
    /// Name of the token: the caller's identity.
    pub token_name: String,
    /// `sha256$salt$hash`, as [`hash_token`] makes it.
    pub hash: String,
    /// The widest of read, write, full; `None` if the token names finer scopes only (then it reads).
    pub scope: Scope,
    /// Finer scopes.
    pub named_scopes: Vec<String>,
    /// Whether it counts.
    pub active: bool,
    /// When it ends, Unix seconds.
    pub expires_at_s: Option<u64>,
    /// Its own rate.
    pub rate_limit_per_min: Option<u32>,
    /// Targets that exist for it; `None` means all.
    pub targets: Option<Vec<String>>,
}

impl TokenRecord {
    /// An active token without expiry, for all targets.
    pub fn new(
        endpoint: impl Into<String>,
        token_name: impl Into<String>,
        hash: impl Into<String>,
        scope: Scope,
    ) -> Self {
        Self {
            endpoint: endpoint.into(),
            token_name: token_name.into(),
            hash: hash.into(),
            scope,
            named_scopes: Vec::new(),
            active: true,
            expires_at_s: None,
            rate_limit_per_min: None,
            targets: None,
        }
    }
}

impl fmt::Debug for TokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRecord")
            .field("endpoint", &self.endpoint)
            .field("token_name", &self.token_name)
            .field("hash", &"***")
            .field("scope", &self.scope)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

/// `sha256$salt$hash` of a token: the salt is 16 random bytes and the hash is SHA-256 over salt text and token, both in
/// hexadecimal.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn hash_token(token: &str) -> std::io::Result<String> {
    let salt = random_hex(16)?;
    let hash = hex(&salted(&salt, token));
    Ok(format!("sha256${salt}${hash}"))
}

fn salted(salt: &str, token: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(salt.as_bytes());
    context.update(token.as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

struct Entry {
    salt: String,
    hash: [u8; 32],
    record: TokenRecord,
    /// Unix seconds; 0 means never.
    last_used_s: Arc<AtomicU64>,
}

type Table = BTreeMap<String, Vec<Entry>>;

/// The tokens that count now. Replacing them takes effect with the next request.
#[derive(Default)]
pub struct TokenTable {
    table: ArcSwap<Table>,
}

impl fmt::Debug for TokenTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenTable").field("endpoints", &self.table.load().len()).finish()
    }
}

impl TokenTable {
    /// A table without tokens: every endpoint refuses every request.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces all tokens. Inactive ones are dropped; gives the number of records whose hash is not readable.
    pub fn replace(&self, records: Vec<TokenRecord>) -> usize {
        let before = self.table.load();
        let mut table = Table::new();
        let mut unreadable = 0;
        for record in records.into_iter().filter(|r| r.active) {
            match parse_hash(&record.hash) {
                Some((salt, hash)) => {
                    let same = |old: &&Entry| old.hash == hash && old.record.token_name == record.token_name;
                    let old = before.get(&record.endpoint).and_then(|old| old.iter().find(same));
                    let last_used_s = old.map_or_else(Arc::default, |old| Arc::clone(&old.last_used_s));
                    let entry = Entry { salt, hash, record, last_used_s };
                    table.entry(entry.record.endpoint.clone()).or_default().push(entry);
                }
                None => unreadable += 1,
            }
        }
        self.table.store(Arc::new(table));
        unreadable
    }

    /// When a token was used last, Unix seconds; `None` if it never was or is not there.
    #[must_use]
    pub fn last_used_s(&self, endpoint: &str, token_name: &str) -> Option<u64> {
        let table = self.table.load();
        let entry = table.get(endpoint)?.iter().find(|entry| entry.record.token_name == token_name)?;
        Some(entry.last_used_s.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    /// Active tokens of an endpoint.
    #[must_use]
    pub fn active(&self, endpoint: &str) -> usize {
        self.table.load().get(endpoint).map_or(0, Vec::len)
    }
}

fn parse_hash(text: &str) -> Option<(String, [u8; 32])> {
    let mut parts = text.split('$');
    let (kind, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    if kind != "sha256" || parts.next().is_some() || hash.len() != 64 || !hash.is_ascii() {
        return None;
    }
    let mut bytes = [0_u8; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hash.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some((salt.to_owned(), bytes))
}

/// No early exit: the time does not tell how much of a hash was right.
fn equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0_u8, |diff, (x, y)| diff | (x ^ y)) == 0
}

impl Authenticator for TokenTable {
    fn authenticate(&self, request: &AuthRequest<'_>) -> Result<Identity, AuthError> {
        let table = self.table.load();
        // A missing token takes the same way as a wrong one.
        let token = request.token.filter(|t| !t.is_empty() && t.len() <= TOKEN_BYTES_MAX);
        let entries = table.get(request.endpoint).map_or(&[][..], Vec::as_slice);
        if entries.is_empty() {
            std::hint::black_box(salted("0123456789abcdef0123456789abcdef", token.unwrap_or("-")));
        }
        let mut found: Option<&Entry> = None;
        for entry in entries {
            let same = equal(&salted(&entry.salt, token.unwrap_or("-")), &entry.hash);
            if same && found.is_none() {
                found = Some(entry);
            }
        }
        let entry = found.filter(|_| token.is_some()).ok_or(AuthError::Unauthorized)?;
        let record = &entry.record;
        if record.expires_at_s.is_some_and(|end| now_ms() / 1000 >= end) {
            return Err(AuthError::Unauthorized);
        }
        entry.last_used_s.store(now_ms() / 1000, Ordering::Relaxed);
        let mut caller = Caller::new(record.token_name.clone(), record.scope);
        caller.named_scopes.clone_from(&record.named_scopes);
        caller.targets.clone_from(&record.targets);
        Ok(Identity { caller, rate_limit_per_min: record.rate_limit_per_min })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TokenTable {
        let table = TokenTable::new();
        let record = |name: &str, token: &str, scope| {
            TokenRecord::new("/mcp/a", name, hash_token(token).unwrap(), scope)
        };
        let mut old = record("old", "old-token", Scope::Full);
        old.expires_at_s = Some(1);
        let mut off = record("off", "off-token", Scope::Full);
        off.active = false;
        let broken = TokenRecord::new("/mcp/a", "broken", "sha256$x$y", Scope::Full);
        let records = vec![
            record("one", "token-one", Scope::Read),
            record("two", "token-two", Scope::Full),
            old,
            off,
            broken,
        ];
        assert_eq!(table.replace(records), 1);
        table
    }

    #[test]
    fn only_active_tokens_of_the_endpoint_open_it() {
        let table = table();
        let name = |endpoint, token| {
            table.authenticate(&AuthRequest::new(endpoint, token, "::1")).ok().map(|i| i.caller.token_name)
        };
        assert_eq!(name("/mcp/a", Some("token-one")).as_deref(), Some("one"));
        assert_eq!(name("/mcp/a", Some("token-two")).as_deref(), Some("two"));
        for token in [None, Some(""), Some("-"), Some("token-thre"), Some("old-token"), Some("off-token")] {
            assert_eq!(name("/mcp/a", token), None, "{token:?}");
        }
        assert_eq!(name("/mcp/b", Some("token-one")), None);
        assert_eq!(table.active("/mcp/a"), 3);
    }

    #[test]
    fn debug_shows_no_hash() {
        let record = TokenRecord::new("/mcp/a", "one", hash_token("secret").unwrap(), Scope::Read);
        assert!(!format!("{record:?}").contains("sha256"));
    }
}
