//! `ai.anomaly_check`, `ai.anomaly_incidents`, `ai.anomaly_stats`, `ai.profile_reset`: the detector shown to operators.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ai_core_anomaly::{Action, AnomalyType, Incident, IncidentId, Phase, StatementContext, normalize};
use mcp::ToolResult;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::allow::Protocol;
use super::patterns::{counts, digest_text};
use super::tool::{Ask, Paging, Reply, bad};
use crate::detector::detector_mode;

/// Profiles that `ai.anomaly_stats` shows at most.
const PROFILES_MAX: usize = 1_000;

/// A statement to judge.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckArgs {
    /// The statement.
    #[schemars(length(min = 1))]
    sql: String,
    /// Whose profile counts.
    #[serde(default)]
    #[schemars(length(max = 256))]
    user: String,
    /// Default schema.
    #[serde(default)]
    #[schemars(length(max = 256))]
    schema: String,
    /// Address of the client.
    #[schemars(length(max = 64))]
    client_addr: Option<String>,
    /// Whose reading of the text.
    #[serde(default)]
    protocol: Protocol,
    /// Whether it is the execution of a prepared statement.
    #[serde(default)]
    prepared: bool,
}

/// A rule that fired.
#[derive(Debug, Serialize, JsonSchema)]
struct Rule {
    /// Its name.
    rule: String,
    /// 0 to 1.
    score: f32,
}

fn rules(fired: &[(&'static str, f32)]) -> Vec<Rule> {
    fired.iter().map(|(rule, score)| Rule { rule: (*rule).to_owned(), score: *score }).collect()
}

/// What the detector would say.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CheckAnswer {
    /// allow, flag or deny.
    action: &'static str,
    /// 0 to 1.
    risk: f32,
    /// Risk from which a statement is denied where the mode denies.
    threshold: f32,
    /// off, learn, log or enforce; off means that traffic is not judged.
    mode: &'static str,
    /// injection, threat, rate or behaviour; null when no rule fired.
    anomaly_type: Option<&'static str>,
    /// The rules that fired.
    rules: Vec<Rule>,
    /// The detector's digest, hexadecimal.
    digest: String,
    /// The statement without literals.
    digest_text: String,
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Flag => "flag",
        Action::Deny => "deny",
    }
}

fn group(kind: AnomalyType) -> &'static str {
    match kind {
        AnomalyType::Injection => "injection",
        AnomalyType::Threat => "threat",
        AnomalyType::Rate => "rate",
        AnomalyType::Behaviour => "behaviour",
    }
}

fn address(text: Option<&str>, argument: &str) -> ToolResult<Option<IpAddr>> {
    let parse = |text: &str| {
        text.parse().map_err(|_| bad(argument, format!("{argument} must be an address such as 10.1.2.3")))
    };
    text.filter(|text| !text.is_empty()).map(parse).transpose()
}

pub(super) fn check(ask: &Ask<'_>, args: CheckArgs) -> ToolResult<Reply<CheckAnswer>> {
    let addr = address(args.client_addr.as_deref(), "client_addr")?;
    let dialect = args.protocol.dialect();
    let context = StatementContext::new(dialect, args.sql.as_bytes())
        .user(&args.user)
        .schema(&args.schema)
        .client_addr(addr)
        .phase(if args.prepared { Phase::Execute } else { Phase::Query });
    let detector = &ask.deps.detector;
    let verdict = detector.inspect(&context);
    let config = detector.config();
    Ok(CheckAnswer {
        action: word(verdict.action),
        risk: verdict.risk,
        threshold: f32::from(config.risk_threshold) / 100.0,
        mode: detector_mode(&config),
        anomaly_type: verdict.anomaly_type.map(group),
        rules: rules(&verdict.rules()),
        digest: digest_text(verdict.digest),
        digest_text: normalize(args.sql.as_bytes(), dialect, Default::default()),
    }
    .into())
}

/// What was done.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Done {
    /// It ran and was recorded.
    Flag,
    /// It was refused.
    Deny,
}

/// Which incidents.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IncidentArgs {
    /// The one of this id.
    #[schemars(length(min = 1, max = 32))]
    incident_id: Option<String>,
    /// Not before this moment, Unix seconds.
    since: Option<u64>,
    /// Of this user.
    #[schemars(length(max = 256))]
    user: Option<String>,
    /// In which this rule fired.
    #[schemars(length(max = 64))]
    rule: Option<String>,
    /// What was done.
    action: Option<Done>,
    /// Entries at most; 50 if absent.
    #[serde(skip_serializing)]
    #[schemars(range(min = 1, max = 500))]
    page_size: Option<usize>,
    /// `next_page_token` of the page before.
    #[serde(skip_serializing)]
    #[schemars(length(max = 8192))]
    page_token: Option<String>,
}

/// One incident.
#[derive(Debug, Serialize, JsonSchema)]
struct IncidentRow {
    /// Its id, as in the client's message.
    incident_id: String,
    /// Unix milliseconds of its first occurrence.
    at_ms: u64,
    /// Mode in force.
    mode: Value,
    /// flag or deny.
    action: &'static str,
    /// 0 to 1.
    risk: f32,
    /// Threshold in force.
    threshold: f32,
    /// injection, threat, rate or behaviour.
    anomaly_type: Option<&'static str>,
    /// The rules that fired.
    rules: Vec<Rule>,
    /// Database user, or the token for calls of agents.
    user: String,
    /// Address of the client.
    client_addr: Option<String>,
    /// Schema.
    schema: String,
    /// Number of the session or call.
    session_id: u64,
    /// The detector's digest, hexadecimal.
    digest: Option<String>,
    /// The text as far as it is kept.
    sql: Option<String>,
    /// Occurrences within an hour.
    repeat_count: u64,
}

fn incident(incident: Incident) -> IncidentRow {
    IncidentRow {
        incident_id: incident.id.to_string(),
        at_ms: incident.at_ms,
        mode: serde_json::to_value(incident.mode).unwrap_or_default(),
        action: word(incident.action),
        risk: incident.risk,
        threshold: incident.threshold,
        anomaly_type: incident.anomaly_type.map(group),
        rules: rules(&incident.rules),
        user: incident.user,
        client_addr: incident.client_addr.map(|addr| addr.to_string()),
        schema: incident.schema,
        session_id: incident.session_id,
        digest: incident.digest.map(digest_text),
        sql: incident.sql,
        repeat_count: incident.repeat_count,
    }
}

/// Incidents, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct IncidentAnswer {
    /// The incidents.
    incidents: Vec<IncidentRow>,
    /// Token of the next page; null on the last one.
    next_page_token: Option<String>,
}

pub(super) fn incidents(ask: &Ask<'_>, args: IncidentArgs) -> ToolResult<Reply<IncidentAnswer>> {
    let paging = Paging::new(args.page_size, args.page_token.clone());
    let id = |text: &str, argument: &str| {
        text.parse::<IncidentId>().map_err(|_| bad(argument, format!("{argument} is no incident id")))
    };
    let wanted = args.incident_id.as_deref().map(|text| id(text, "incident_id")).transpose()?;
    let before = ask.after(&args, &paging)?.map(|text| id(&text, "page_token")).transpose()?;
    let pick = |i: &Incident| {
        wanted.is_none_or(|id| i.id == id)
            && before.is_none_or(|id| i.id < id)
            && args.since.is_none_or(|since| i.at_ms / 1_000 >= since)
            && args.user.as_ref().is_none_or(|user| i.user == *user)
            && args.rule.as_ref().is_none_or(|rule| i.rules.iter().any(|(name, _)| name == rule))
            && args.action.is_none_or(|done| match done {
                Done::Flag => i.action == Action::Flag,
                Done::Deny => i.action == Action::Deny,
            })
    };
    let rows = ask.deps.detector.incidents(paging.look_ahead(), pick).into_iter().map(incident).collect();
    let (incidents, next_page_token) =
        ask.cut(&args, rows, |row: &IncidentRow| row.incident_id.clone(), &paging)?;
    Ok(IncidentAnswer { incidents, next_page_token }.into())
}

/// How much to show.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StatsArgs {
    /// Profiles to show, the busiest first.
    #[serde(default = "ten")]
    #[schemars(range(min = 0, max = 1000))]
    top: usize,
}

fn ten() -> usize {
    10
}

/// One profile.
#[derive(Debug, Serialize, JsonSchema)]
struct ProfileRow {
    /// user@host@schema.
    key: String,
    /// learning or mature.
    state: &'static str,
    /// Statements seen.
    queries: u64,
    /// Digests remembered.
    digests: u32,
}

/// The similarity worker.
#[derive(Debug, Serialize, JsonSchema)]
struct AsyncRow {
    /// Statements that wait.
    queued: u64,
    /// Statements that found its queue full.
    dropped: u64,
}

/// The detector in numbers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StatsAnswer {
    /// off, learn, log or enforce.
    mode: &'static str,
    /// The settings in force.
    config: Value,
    /// Statements judged.
    total_checks: u64,
    /// Flagged, not denied.
    flagged: u64,
    /// Denied.
    blocked: u64,
    /// Hits of each rule that fired.
    by_rule: BTreeMap<String, u64>,
    /// Profiles held.
    users_tracked: usize,
    /// The busiest profiles.
    profiles: Vec<ProfileRow>,
    /// Enabled threat patterns.
    threat_patterns_count: usize,
    /// All patterns by kind.
    threat_patterns_by_type: BTreeMap<&'static str, u64>,
    /// The similarity worker.
    #[serde(rename = "async")]
    worker: AsyncRow,
    /// Times of checks, of a sample of them.
    latency_us: LatencyRow,
}

/// Times in microseconds, as fine as the buckets of the metric.
#[derive(Debug, Serialize, JsonSchema)]
struct LatencyRow {
    /// Half of them took less.
    p50: f64,
    /// 99 of 100 took less.
    p99: f64,
}

pub(super) fn stats(ask: &Ask<'_>, args: StatsArgs) -> ToolResult<Reply<StatsAnswer>> {
    let detector = &ask.deps.detector;
    let (config, stats) = (detector.config(), detector.stats());
    let profiles = detector.profiles(args.top.min(PROFILES_MAX)).into_iter().map(|profile| ProfileRow {
        key: format!(
            "{}@{}@{}",
            profile.user,
            profile.host.map_or_else(|| "*".to_owned(), |host| host.to_string()),
            profile.schema
        ),
        state: if profile.mature { "mature" } else { "learning" },
        queries: profile.statements,
        digests: profile.digests,
    });
    Ok(StatsAnswer {
        mode: detector_mode(&config),
        total_checks: stats.total_checks,
        flagged: stats.flagged,
        blocked: stats.denied,
        by_rule: stats
            .by_rule
            .iter()
            .filter(|(_, hits)| *hits > 0)
            .map(|(name, hits)| ((*name).to_owned(), *hits))
            .collect(),
        users_tracked: stats.profiles,
        profiles: profiles.collect(),
        threat_patterns_count: stats.threat_patterns,
        threat_patterns_by_type: counts(&detector.threats()),
        latency_us: LatencyRow { p50: stats.latency.quantile_us(0.5), p99: stats.latency.quantile_us(0.99) },
        worker: AsyncRow { queued: stats.async_queued, dropped: stats.async_dropped },
        config: serde_json::to_value(&config).unwrap_or_default(),
    }
    .into())
}

/// Whose profiles; `user` or `all`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetArgs {
    /// Of this user; or give `all`.
    #[schemars(length(max = 256))]
    user: Option<String>,
    /// Only from this address.
    #[schemars(length(max = 64))]
    host: Option<String>,
    /// Only in this schema.
    #[schemars(length(max = 256))]
    schema: Option<String>,
    /// Of everybody.
    #[serde(default)]
    all: bool,
}

/// How many.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ResetAnswer {
    /// Profiles forgotten.
    reset: usize,
}

pub(super) fn reset_profiles(ask: &Ask<'_>, args: ResetArgs) -> ToolResult<Reply<ResetAnswer>> {
    let detector = &ask.deps.detector;
    let host = address(args.host.as_deref(), "host")?;
    let reset = match (&args.user, args.all) {
        (Some(user), false) => detector.reset_profiles(user, host, args.schema.as_deref()),
        (None, true) if host.is_none() && args.schema.is_none() => {
            let users: std::collections::BTreeSet<String> =
                detector.profiles(usize::MAX).into_iter().map(|profile| profile.user).collect();
            users.iter().map(|user| detector.reset_profiles(user, None, None)).sum()
        }
        (None, true) => return Err(bad("all", "all goes without host and schema")),
        _ => return Err(bad("user", "give exactly one of user and all")),
    };
    Ok(ResetAnswer { reset }.into())
}
