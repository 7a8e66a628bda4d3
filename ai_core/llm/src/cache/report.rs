//! What is asked of the cache from outside: purges and numbers; it holds no entry.

use serde::Serialize;

/// Which entries go. Nothing set matches nothing, except with `all`.
// Exhaustive on purpose: callers write the criteria as a literal over the default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CachePurge {
    /// Everything.
    pub all: bool,
    /// Of this provider row.
    pub provider: Option<String>,
    /// Of this model.
    pub model: Option<String>,
    /// Of this scope (caller, schema name or the request's own scope).
    pub scope: Option<String>,
    /// Older than this many seconds.
    pub older_than_s: Option<u64>,
    /// This entry.
    pub cache_id: Option<String>,
}

impl CachePurge {
    /// Whether any criterion is set.
    #[must_use]
    pub fn has_criterion(&self) -> bool {
        let Self { all, provider, model, scope, older_than_s, cache_id } = self;
        *all || provider.is_some()
            || model.is_some()
            || scope.is_some()
            || older_than_s.is_some()
            || cache_id.is_some()
    }
}

/// What the cache holds and did. `lookups` = `exact_hits` + `semantic_hits` + `misses`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// Entries held.
    pub entries: u64,
    /// Bytes held.
    pub bytes: u64,
    /// Lookups.
    pub lookups: u64,
    /// Answered by the same question.
    pub exact_hits: u64,
    /// Answered by a question of the same meaning.
    pub semantic_hits: u64,
    /// Not answered.
    pub misses: u64,
    /// Answers kept.
    pub stores: u64,
    /// Entries dropped for room or age.
    pub evictions: u64,
    /// Entries removed on request.
    pub purged: u64,
    /// When the oldest entry was made, unix milliseconds; 0 without one.
    pub oldest_ms: u64,
    /// Entries that could not be made durable.
    pub write_errors: u64,
}
