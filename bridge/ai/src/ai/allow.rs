//! `ai.allow_digest_add`, `ai.allow_digest_remove`, `ai.allow_digest_list`: the detector's allow-list; it judges nothing.

use ai_core_anomaly::{AllowEntry, Dialect, SqlMode, fingerprint, normalize};
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patterns::{digest_text, threat_error};
use super::tool::{Ask, Paging, Reply, bad};

/// Whose reading of a text.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Protocol {
    /// MySQL and MariaDB.
    #[default]
    Mysql,
    /// PostgreSQL.
    Pgsql,
    /// SQLite.
    Sqlite,
}

impl Protocol {
    pub(super) fn dialect(self) -> Dialect {
        match self {
            Self::Mysql => Dialect::MySql,
            Self::Pgsql => Dialect::Postgres,
            Self::Sqlite => Dialect::Sqlite,
        }
    }
}

/// The entry: exactly one of `digest` and `sql`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddArgs {
    /// The detector's digest, 16 hexadecimal digits; or give `sql`.
    #[schemars(length(min = 1, max = 18))]
    digest: Option<String>,
    /// A statement; its digest counts. Or give `digest`.
    #[schemars(length(min = 1, max = 65_536))]
    sql: Option<String>,
    /// Whose reading of `sql`.
    #[serde(default)]
    protocol: Protocol,
    /// Only for this user; any if absent.
    #[schemars(length(max = 256))]
    user: Option<String>,
    /// Only in this schema; any if absent.
    #[schemars(length(max = 256))]
    schema: Option<String>,
    /// When the entry dies, Unix seconds; never if absent.
    expires_at: Option<u64>,
    /// Why it is allowed.
    #[schemars(length(max = 1024))]
    comment: Option<String>,
}

/// An entry that is there now.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AddAnswer {
    /// Its digest, hexadecimal.
    digest: String,
    /// The statement without literals, where one was given.
    digest_text: Option<String>,
    /// False when an equal entry took the new expiry and comment.
    created: bool,
}

/// The digest that is meant, and the text it stands for.
fn digest_of(
    digest: Option<&str>,
    sql: Option<&str>,
    protocol: Protocol,
) -> ToolResult<(u64, Option<String>)> {
    match (digest, sql) {
        (Some(digest), None) => {
            let digits = digest.strip_prefix("0x").unwrap_or(digest);
            let number = u64::from_str_radix(digits, 16)
                .map_err(|_| bad("digest", "digest must be 16 hexadecimal digits"))?;
            Ok((number, None))
        }
        (None, Some(sql)) => {
            let (dialect, mode) = (protocol.dialect(), SqlMode::default());
            let found = fingerprint(sql.as_bytes(), dialect, mode, 0).digest;
            Ok((found, Some(normalize(sql.as_bytes(), dialect, mode))))
        }
        _ => Err(bad("digest", "give exactly one of digest and sql")),
    }
}

pub(super) fn add_digest(ask: &Ask<'_>, args: AddArgs) -> ToolResult<Reply<AddAnswer>> {
    let (digest, text) = digest_of(args.digest.as_deref(), args.sql.as_deref(), args.protocol)?;
    let entry = AllowEntry {
        digest,
        user: args.user.unwrap_or_default(),
        schema: args.schema.unwrap_or_default(),
        expires_at_ms: args.expires_at.map(|s| s.saturating_mul(1_000)),
        comment: args.comment.unwrap_or_default(),
    };
    let created = ask.deps.detector.allow_add(entry).map_err(threat_error)?;
    Ok(AddAnswer { digest: digest_text(digest), digest_text: text, created }.into())
}

/// The entry to remove: exactly one of `digest` and `sql`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveArgs {
    /// The detector's digest, 16 hexadecimal digits; or give `sql`.
    #[schemars(length(min = 1, max = 18))]
    digest: Option<String>,
    /// A statement; its digest counts. Or give `digest`.
    #[schemars(length(min = 1, max = 65_536))]
    sql: Option<String>,
    /// Whose reading of `sql`.
    #[serde(default)]
    protocol: Protocol,
    /// The entry's user; the entry for any user if absent.
    #[schemars(length(max = 256))]
    user: Option<String>,
    /// The entry's schema; the entry for any schema if absent.
    #[schemars(length(max = 256))]
    schema: Option<String>,
}

/// Whether it was there.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RemoveAnswer {
    /// Its digest, hexadecimal.
    digest: String,
    /// The statement without literals, where one was given.
    digest_text: Option<String>,
    /// False when there was no such entry.
    removed: bool,
}

pub(super) fn remove_digest(ask: &Ask<'_>, args: RemoveArgs) -> ToolResult<Reply<RemoveAnswer>> {
    let (digest, text) = digest_of(args.digest.as_deref(), args.sql.as_deref(), args.protocol)?;
    let (user, schema) = (args.user.unwrap_or_default(), args.schema.unwrap_or_default());
    let removed = ask.deps.detector.allow_remove(digest, &user, &schema);
    Ok(RemoveAnswer { digest: digest_text(digest), digest_text: text, removed }.into())
}

/// Which page.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListArgs {
    /// Entries at most; 50 if absent.
    #[serde(skip_serializing)]
    #[schemars(range(min = 1, max = 500))]
    page_size: Option<usize>,
    /// `next_page_token` of the page before.
    #[serde(skip_serializing)]
    #[schemars(length(max = 8192))]
    page_token: Option<String>,
}

/// One entry.
#[derive(Debug, Serialize, JsonSchema)]
struct AllowRow {
    /// Digest, hexadecimal.
    digest: String,
    /// User; empty = any.
    user: String,
    /// Schema; empty = any.
    schema: String,
    /// When it dies, Unix seconds; null = never.
    expires_at: Option<u64>,
    /// Why it is allowed.
    comment: String,
}

/// The allow-list.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ListAnswer {
    /// In the order of digests.
    entries: Vec<AllowRow>,
    /// Token of the next page; null on the last one.
    next_page_token: Option<String>,
}

pub(super) fn list_digests(ask: &Ask<'_>, args: ListArgs) -> ToolResult<Reply<ListAnswer>> {
    let paging = Paging::new(args.page_size, args.page_token.clone());
    let key = |row: &AllowRow| format!("{}\u{1}{}\u{1}{}", row.digest, row.user, row.schema);
    let after = ask.after(&args, &paging)?;
    let mut rows: Vec<AllowRow> = ask
        .deps
        .detector
        .allow_list()
        .into_iter()
        .map(|entry| AllowRow {
            digest: digest_text(entry.digest),
            user: entry.user,
            schema: entry.schema,
            expires_at: entry.expires_at_ms.map(|ms| ms / 1_000),
            comment: entry.comment,
        })
        .collect();
    rows.sort_by_key(key);
    rows.retain(|row| after.as_ref().is_none_or(|after| key(row) > *after));
    let (entries, next_page_token) = ask.cut(&args, rows, key, &paging)?;
    Ok(ListAnswer { entries, next_page_token }.into())
}
