//! `ai.add_threat_pattern`, `ai.list_threat_patterns`, `ai.remove_threat_pattern`: the detector's library; it judges nothing.

use std::collections::BTreeMap;

use ai_core_anomaly::{
    Action, Dialect, NewThreat, Origin, SqlMode, ThreatError, ThreatPattern, ThreatType, fingerprint,
};
use mcp::{ErrorCode, ToolError, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tool::{Ask, Paging, Reply, bad};

/// Kind of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PatternType {
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

impl PatternType {
    fn of(kind: ThreatType) -> Self {
        match kind {
            ThreatType::SqlInjection => Self::SqlInjection,
            ThreatType::Dos => Self::Dos,
            ThreatType::DataExfiltration => Self::DataExfiltration,
            ThreatType::PrivilegeEscalation => Self::PrivilegeEscalation,
            ThreatType::Reconnaissance => Self::Reconnaissance,
        }
    }

    fn kind(self) -> ThreatType {
        match self {
            Self::SqlInjection => ThreatType::SqlInjection,
            Self::Dos => ThreatType::Dos,
            Self::DataExfiltration => ThreatType::DataExfiltration,
            Self::PrivilegeEscalation => ThreatType::PrivilegeEscalation,
            Self::Reconnaissance => ThreatType::Reconnaissance,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::SqlInjection => "sql_injection",
            Self::Dos => "dos",
            Self::DataExfiltration => "data_exfiltration",
            Self::PrivilegeEscalation => "privilege_escalation",
            Self::Reconnaissance => "reconnaissance",
        }
    }
}

/// What a match does.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum PatternAction {
    /// Counts towards the risk.
    #[default]
    Flag,
    /// Denies, wherever the mode may deny at all.
    Deny,
}

/// A pattern to add.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddArgs {
    /// Unique name.
    #[schemars(length(min = 1, max = 128))]
    pattern_name: String,
    /// A statement that shows the attack.
    #[schemars(length(min = 1, max = 65_536))]
    query_example: String,
    /// Kind of the attack.
    pattern_type: PatternType,
    /// 1 to 10; a match scores severity / 10.
    #[schemars(range(min = 1, max = 10))]
    severity: u8,
    /// What a match does.
    #[serde(default)]
    action: PatternAction,
}

/// An added pattern.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AddAnswer {
    /// Its number.
    id: u64,
    /// Digest of its example under MySQL's rules, hexadecimal.
    digest: String,
    /// Whether similar statements are looked for already.
    indexed: bool,
}

pub(super) fn threat_error(error: ThreatError) -> ToolError {
    let code = match &error {
        ThreatError::Conflict(_) => ErrorCode::Conflict,
        ThreatError::NotFound(_) => ErrorCode::NotFound,
        ThreatError::Full(_) => ErrorCode::LimitExceeded,
        _ => ErrorCode::InvalidArgument,
    };
    ToolError::new(code, error.to_string())
}

/// A digest as operators see it.
pub(super) fn digest_text(digest: u64) -> String {
    format!("{digest:016x}")
}

pub(super) fn add_pattern(ask: &Ask<'_>, args: AddArgs) -> ToolResult<Reply<AddAnswer>> {
    let mark = fingerprint(args.query_example.as_bytes(), Dialect::MySql, SqlMode::default(), 0);
    let added = ask
        .deps
        .detector
        .add_threat(NewThreat {
            name: args.pattern_name,
            threat_type: args.pattern_type.kind(),
            example: args.query_example,
            severity: args.severity,
            action: match args.action {
                PatternAction::Flag => Action::Flag,
                PatternAction::Deny => Action::Deny,
            },
            origin: Origin::Agent,
        })
        .map_err(threat_error)?;
    Ok(AddAnswer { id: added.id, digest: digest_text(mark.digest), indexed: true }.into())
}

/// Which patterns.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListArgs {
    /// Only of this kind.
    pattern_type: Option<PatternType>,
    /// Only enabled ones, or only disabled ones.
    enabled: Option<bool>,
    /// Entries at most; 50 if absent.
    #[serde(skip_serializing)]
    #[schemars(range(min = 1, max = 500))]
    page_size: Option<usize>,
    /// `next_page_token` of the page before.
    #[serde(skip_serializing)]
    #[schemars(length(max = 8192))]
    page_token: Option<String>,
}

/// One pattern.
#[derive(Debug, Serialize, JsonSchema)]
struct PatternRow {
    /// Its number.
    id: u64,
    /// Its name.
    pattern_name: String,
    /// Kind of the attack.
    pattern_type: PatternType,
    /// A statement that shows it.
    query_example: String,
    /// 1 to 10.
    severity: u8,
    /// flag or deny.
    action: &'static str,
    /// Whether it takes part.
    enabled: bool,
    /// builtin, operator or agent.
    origin: &'static str,
}

fn row(pattern: ThreatPattern) -> PatternRow {
    PatternRow {
        id: pattern.id,
        pattern_name: pattern.name,
        pattern_type: PatternType::of(pattern.threat_type),
        query_example: pattern.example,
        severity: pattern.severity,
        action: if pattern.action == Action::Deny { "deny" } else { "flag" },
        enabled: pattern.enabled,
        origin: match pattern.origin {
            Origin::Builtin => "builtin",
            Origin::Operator => "operator",
            Origin::Agent => "agent",
        },
    }
}

/// Patterns, the most severe first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ListAnswer {
    /// The patterns.
    patterns: Vec<PatternRow>,
    /// How many there are of each kind.
    by_type: BTreeMap<&'static str, u64>,
    /// Token of the next page; null on the last one.
    next_page_token: Option<String>,
}

/// Counts of enabled and disabled patterns by kind.
pub(super) fn counts(patterns: &[ThreatPattern]) -> BTreeMap<&'static str, u64> {
    let mut by_type = BTreeMap::new();
    for pattern in patterns {
        *by_type.entry(PatternType::of(pattern.threat_type).word()).or_insert(0) += 1;
    }
    by_type
}

pub(super) fn list_patterns(ask: &Ask<'_>, args: ListArgs) -> ToolResult<Reply<ListAnswer>> {
    let paging = Paging::new(args.page_size, args.page_token.clone());
    // Severity falls along the list, ids grow within one severity.
    let key = |severity: u8, id: u64| format!("{:02}/{id:020}", 10 - severity.min(10));
    let after = ask.after(&args, &paging)?;
    let all = ask.deps.detector.threats();
    let by_type = counts(&all);
    let rows = all
        .into_iter()
        .filter(|p| args.pattern_type.is_none_or(|kind| kind.kind() == p.threat_type))
        .filter(|p| args.enabled.is_none_or(|enabled| enabled == p.enabled))
        .filter(|p| after.as_ref().is_none_or(|after| key(p.severity, p.id) > *after))
        .map(row)
        .collect();
    let (patterns, next_page_token) = ask.cut(&args, rows, |r| key(r.severity, r.id), &paging)?;
    Ok(ListAnswer { patterns, by_type, next_page_token }.into())
}

/// The pattern to remove; exactly one of both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveArgs {
    /// Its number; or give `pattern_name`.
    id: Option<u64>,
    /// Its name; or give `id`.
    #[schemars(length(min = 1, max = 128))]
    pattern_name: Option<String>,
}

/// What became of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RemoveAnswer {
    /// It is gone.
    removed: bool,
    /// It was shipped and takes part no more.
    disabled: bool,
}

pub(super) fn remove_pattern(ask: &Ask<'_>, args: RemoveArgs) -> ToolResult<Reply<RemoveAnswer>> {
    let detector = &ask.deps.detector;
    let name = match (args.id, args.pattern_name) {
        (None, Some(name)) => name,
        (Some(id), None) => {
            let found = detector.threats().into_iter().find(|pattern| pattern.id == id);
            found.ok_or_else(|| ToolError::not_found("threat pattern", id.to_string()))?.name
        }
        _ => return Err(bad("id", "give exactly one of id and pattern_name")),
    };
    let removed = detector.remove_threat(&name).map_err(threat_error)?;
    Ok(RemoveAnswer { removed, disabled: !removed }.into())
}
