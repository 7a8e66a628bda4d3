//! The anomaly detector as a hook of the statement pipeline; it judges nothing itself.

use std::fmt::Write as _;
use std::sync::Arc;

use ai_core_anomaly::{
    Action, AnomalyType, BackendErrorClass, Detector, DetectorConfig, Dialect, Latency, Mode,
    Phase as DetectorPhase, PostQueryFeedback as DetectorFeedback, SqlMode as DetectorSqlMode,
    StatementContext,
};
use harvest::{HarvestCode, Protocol};
use harvest_gateway::{
    DenyCode, Phase, PostQueryFeedback, PostQueryHook, PreQueryContext, PreQueryHook, Verdict,
};

/// Prefix of every metric's name.
const PREFIX: &str = "proxysql_genai_";

/// Order of the detector among pre hooks: after hooks that rewrite by hand, before those that observe.
pub const DETECTOR_ORDER: i32 = 100;

/// The detector's mode in force: learn, log or enforce; `off` when it is switched off.
#[must_use]
pub fn detector_mode(config: &DetectorConfig) -> &'static str {
    if config.enabled { mode_word(config.effective_mode()) } else { "off" }
}

const fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Learn => "learn",
        Mode::Log => "log",
        Mode::Auto | Mode::Enforce => "enforce",
    }
}

/// What the detector counts, as Prometheus text; names begin with `proxysql_genai_`.
#[must_use]
pub fn detector_metrics(detector: &Detector) -> String {
    let stats = detector.stats();
    let mut out = String::new();
    for (name, kind, value) in [
        ("detected_anomalies_total", "counter", stats.flagged + stats.denied),
        ("blocked_queries_total", "counter", stats.denied),
        ("anomaly_profiles", "gauge", stats.profiles as u64),
        ("anomaly_threat_patterns", "gauge", stats.threat_patterns as u64),
        ("anomaly_async_queue_depth", "gauge", stats.async_queued),
        ("anomaly_async_dropped_total", "counter", stats.async_dropped),
        ("hook_feedback_dropped_total", "counter", stats.feedback_dropped),
    ] {
        // A text in memory takes every write.
        let _ = writeln!(out, "# TYPE {PREFIX}{name} {kind}\n{PREFIX}{name} {value}");
    }
    let _ = writeln!(out, "# TYPE {PREFIX}anomaly_decisions_total counter");
    for row in &stats.decisions {
        let action = match row.action {
            Action::Allow => "allow",
            Action::Flag => "flag",
            Action::Deny => "deny",
        };
        let protocol = match row.dialect {
            Dialect::Postgres => "pgsql",
            Dialect::MySql => "mysql",
            Dialect::Sqlite => "sqlite",
        };
        let mode = mode_word(row.mode);
        let _ = writeln!(
            out,
            "{PREFIX}anomaly_decisions_total{{action=\"{action}\",mode=\"{mode}\",protocol=\"{protocol}\"}} {}",
            row.count
        );
    }
    let _ = writeln!(out, "# TYPE {PREFIX}anomaly_rule_hits_total counter");
    for (rule, hits) in &stats.by_rule {
        let _ = writeln!(out, "{PREFIX}anomaly_rule_hits_total{{rule=\"{rule}\"}} {hits}");
    }
    latency(&mut out, &stats.latency);
    out
}

/// One of sixteen checks is timed, so the counts are those of the sample.
fn latency(out: &mut String, latency: &Latency) {
    let name = "anomaly_check_seconds";
    let _ = writeln!(out, "# TYPE {PREFIX}{name} histogram");
    let mut below = 0;
    for (bound, count) in latency.bounds_ns.iter().zip(&latency.counts) {
        below += count;
        let _ = writeln!(out, "{PREFIX}{name}_bucket{{le=\"{}\"}} {below}", *bound as f64 / 1e9);
    }
    let total: u64 = latency.counts.iter().sum();
    let _ = writeln!(out, "{PREFIX}{name}_bucket{{le=\"+Inf\"}} {total}");
    let _ = writeln!(out, "{PREFIX}{name}_sum {}\n{PREFIX}{name}_count {total}", latency.sum_ns as f64 / 1e9);
}

/// Puts a detector in front of every statement, and tells it how each one went.
#[derive(Clone)]
pub struct DetectorHook {
    detector: Arc<Detector>,
}

impl DetectorHook {
    /// A hook around `detector`.
    #[must_use]
    pub fn new(detector: Arc<Detector>) -> Self {
        Self { detector }
    }
}

impl std::fmt::Debug for DetectorHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DetectorHook").finish_non_exhaustive()
    }
}

fn statement<'a>(context: &PreQueryContext<'a>) -> StatementContext<'a> {
    let dialect = match context.protocol() {
        Protocol::Mysql => Dialect::MySql,
        Protocol::Pgsql => Dialect::Postgres,
        Protocol::Sqlite => Dialect::Sqlite,
    };
    let phase = match context.phase() {
        Phase::Query => DetectorPhase::Query,
        Phase::Prepare => DetectorPhase::Prepare,
        Phase::Execute => DetectorPhase::Execute,
    };
    let sql_mode = context.sql_mode().map(|mode| DetectorSqlMode {
        ansi_quotes: mode.ansi_quotes,
        no_backslash_escapes: mode.no_backslash_escapes,
        ..DetectorSqlMode::default()
    });
    StatementContext::new(dialect, context.sql())
        .user(context.user())
        .schema(context.schema())
        .client_addr(context.client_addr())
        .session_id(context.session_id())
        .phase(phase)
        .multi_statements(context.multi_statements())
        .sql_mode(sql_mode)
}

impl PreQueryHook for DetectorHook {
    fn name(&self) -> &str {
        "anomaly detector"
    }

    fn before(&self, context: &PreQueryContext<'_>) -> Verdict {
        let verdict = self.detector.check(&statement(context));
        context.note_digest(verdict.digest);
        if !verdict.is_denied() {
            return Verdict::Allow;
        }
        let code = match verdict.anomaly_type {
            Some(AnomalyType::Rate) => DenyCode::RateLimited,
            _ => DenyCode::PermissionDenied,
        };
        let incident = verdict.incident.map(|id| id.to_string()).unwrap_or_default();
        Verdict::Deny { code, message: verdict.client_message(), incident }
    }

    fn judges_final_text(&self) -> bool {
        true
    }
}

impl PostQueryHook for DetectorHook {
    fn name(&self) -> &str {
        "anomaly detector"
    }

    fn after(&self, context: &PreQueryContext<'_>, feedback: &PostQueryFeedback) {
        let error = feedback.error.as_ref().map(|error| match error.code {
            HarvestCode::InvalidArgument | HarvestCode::NotFound => BackendErrorClass::Syntax,
            HarvestCode::PermissionDenied => BackendErrorClass::Permission,
            _ => BackendErrorClass::Other,
        });
        let context = statement(context);
        let digest = feedback.digest.unwrap_or_else(|| self.detector.digest(&context));
        let told = DetectorFeedback::new(digest, feedback.duration)
            .rows_sent(feedback.rows_sent)
            .rows_affected(feedback.rows_affected)
            .error(error);
        let _ = self.detector.feedback(&context, &told);
    }
}
