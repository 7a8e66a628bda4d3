//! The threat library and the allow-list: rows, the lookup snapshot built from them; no embedding here.

use crate::digest::fingerprint;
use crate::lexer::SqlMode;
use crate::machine::{Scratch, analyse};
use crate::store::KeyMap;
use crate::token::Dialect;
use crate::verdict::Action;

/// Most patterns that the library takes.
pub const PATTERNS_MAX: usize = 4096;
/// Most entries that the allow-list takes.
pub const ALLOW_ENTRIES_MAX: usize = 16_384;
/// Longest example of a pattern.
pub const EXAMPLE_BYTES_MAX: usize = 65_536;

/// What kind of attack a pattern stands for.
// Exhaustive on purpose: it mirrors the values of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThreatType {
    /// SQL injection.
    SqlInjection,
    /// Denial of service.
    Dos,
    /// Data exfiltration.
    DataExfiltration,
    /// Privilege escalation.
    PrivilegeEscalation,
    /// Reconnaissance.
    Reconnaissance,
}

/// Who added a pattern.
// Exhaustive on purpose: it mirrors the values of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Shipped.
    Builtin,
    /// An operator.
    Operator,
    /// An agent.
    Agent,
}

/// One row of the library.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct ThreatPattern {
    /// Row number.
    pub id: u64,
    /// Unique name.
    pub name: String,
    /// Kind of attack.
    pub threat_type: ThreatType,
    /// A statement that shows it.
    pub example: String,
    /// 1 to 10.
    pub severity: u8,
    /// `Flag` or `Deny`.
    pub action: Action,
    /// Takes part.
    pub enabled: bool,
    /// Who added it.
    pub origin: Origin,
}

/// One allow-list entry: this digest passes for this user and schema.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
// Exhaustive on purpose: hosts build it from their own rows.
pub struct AllowEntry {
    /// The detector's digest.
    pub digest: u64,
    /// User; empty = any.
    #[serde(default)]
    pub user: String,
    /// Schema; empty = any.
    #[serde(default)]
    pub schema: String,
    /// Milliseconds since 1970 after which the entry is dead.
    #[serde(default)]
    pub expires_at_ms: Option<u64>,
    /// Free text.
    #[serde(default)]
    pub comment: String,
}

/// Why the library refused a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ThreatError {
    /// The name is taken.
    #[error("a threat pattern named {0:?} exists already; remove it first or choose another name")]
    Conflict(String),
    /// No such pattern.
    #[error("no threat pattern named {0:?}")]
    NotFound(String),
    /// A member is out of range.
    #[error("invalid threat pattern: {0}")]
    Invalid(String),
    /// The library is full.
    #[error("the library holds {0} entries, its maximum; remove some first")]
    Full(usize),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ThreatHit {
    pub(crate) signals: u64,
    pub(crate) severity: u8,
    pub(crate) deny: bool,
    pub(crate) pattern: u64,
}

/// What the hot path looks at: digests of enabled patterns and allowed statements.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    pub(crate) threats: KeyMap<Vec<ThreatHit>>,
    pub(crate) allow: KeyMap<Vec<AllowEntry>>,
}

impl Lookup {
    pub(crate) fn build(patterns: &[ThreatPattern], allow: &[AllowEntry]) -> Self {
        let mut lookup = Self::default();
        let mut scratch = Scratch::default();
        for p in patterns.iter().filter(|p| p.enabled) {
            for (digest, signals) in marks(&p.example, &mut scratch) {
                let hits: &mut Vec<ThreatHit> = lookup.threats.entry(digest).or_default();
                if !hits.iter().any(|h| h.pattern == p.id && h.signals == signals) {
                    let deny = p.action == Action::Deny;
                    hits.push(ThreatHit { signals, severity: p.severity, deny, pattern: p.id });
                }
            }
        }
        for a in allow {
            lookup.allow.entry(a.digest).or_default().push(a.clone());
        }
        lookup
    }

    pub(crate) fn allows(&self, digest: u64, user: &str, schema: &str, now_ms: u64) -> bool {
        !self.allow.is_empty()
            && self.allow.get(&digest).is_some_and(|entries| {
                entries.iter().any(|e| {
                    (e.user.is_empty() || e.user == user)
                        && (e.schema.is_empty() || e.schema == schema)
                        && e.expires_at_ms.is_none_or(|at| now_ms < at)
                })
            })
    }
}

/// Digest and signals of an example in every dialect.
fn marks(example: &str, scratch: &mut Scratch) -> Vec<(u64, u64)> {
    [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite]
        .into_iter()
        .map(|d| {
            let mode = SqlMode::default();
            let fp = fingerprint(example.as_bytes(), d, mode, 0);
            (fp.digest, analyse(example.as_bytes(), d, mode, scratch).signals)
        })
        .collect()
}

/// Checks a new pattern against the library.
pub(crate) fn check(p: &ThreatPattern, patterns: &[ThreatPattern]) -> Result<(), ThreatError> {
    if patterns.len() >= PATTERNS_MAX {
        return Err(ThreatError::Full(PATTERNS_MAX));
    }
    if p.name.is_empty() || p.name.len() > 128 {
        return Err(ThreatError::Invalid("the name must have 1 to 128 bytes".into()));
    }
    if !(1..=10).contains(&p.severity) {
        return Err(ThreatError::Invalid(format!("severity {} is outside 1 to 10", p.severity)));
    }
    if p.example.trim().is_empty() || p.example.len() > EXAMPLE_BYTES_MAX {
        return Err(ThreatError::Invalid(format!("the example must have 1 to {EXAMPLE_BYTES_MAX} bytes")));
    }
    if p.action == Action::Allow {
        return Err(ThreatError::Invalid("the action must be flag or deny".into()));
    }
    if patterns.iter().any(|q| q.name == p.name) {
        return Err(ThreatError::Conflict(p.name.clone()));
    }
    Ok(())
}

/// The shipped patterns.
pub(crate) fn builtin() -> Vec<ThreatPattern> {
    use ThreatType::{DataExfiltration, Dos, PrivilegeEscalation, Reconnaissance, SqlInjection};
    let rows = [
        ("tautology", SqlInjection, 9, "SELECT * FROM users WHERE username = 'x' OR 1=1"),
        ("union", SqlInjection, 8, "SELECT name FROM products WHERE id = 1 UNION SELECT password FROM users"),
        (
            "comment cut",
            SqlInjection,
            7,
            "SELECT * FROM users WHERE username = 'admin'-- ' AND password = 'x'",
        ),
        ("concat", SqlInjection, 8, "SELECT * FROM users WHERE id = CONCAT(CHAR(49), CHAR(50))"),
        ("hex", SqlInjection, 7, "SELECT * FROM users WHERE name = 0x61646D696E OR 1=1"),
        ("sleep", Dos, 6, "SELECT * FROM users WHERE id = 1 AND SLEEP(5)"),
        ("benchmark", Dos, 6, "SELECT * FROM users WHERE id = 1 AND BENCHMARK(10000000, MD5('a'))"),
        ("into outfile", DataExfiltration, 9, "SELECT * FROM users WHERE id = 1 INTO OUTFILE '/tmp/x'"),
        ("drop table", PrivilegeEscalation, 10, "SELECT * FROM users WHERE id = 1; DROP TABLE users"),
        (
            "schema probing",
            Reconnaissance,
            3,
            "SELECT name FROM products WHERE id = 1 UNION SELECT table_name FROM information_schema.tables",
        ),
    ];
    rows.into_iter()
        .zip(1_u64..)
        .map(|((name, threat_type, severity, example), id)| ThreatPattern {
            id,
            name: name.to_owned(),
            threat_type,
            example: example.to_owned(),
            severity,
            action: Action::Flag,
            enabled: true,
            origin: Origin::Builtin,
        })
        .collect()
}
