//! The anomaly detector as a hook of the statement pipeline; it judges nothing itself.

use std::sync::Arc;

use ai_core_anomaly::{
    AnomalyType, BackendErrorClass, Detector, Dialect, Phase as DetectorPhase,
    PostQueryFeedback as DetectorFeedback, SqlMode as DetectorSqlMode, StatementContext,
};
use harvest::{HarvestCode, Protocol};
use harvest_gateway::{
    DenyCode, Phase, PostQueryFeedback, PostQueryHook, PreQueryContext, PreQueryHook, Verdict,
};

/// Order of the detector among pre hooks: after hooks that rewrite by hand, before those that observe.
pub const DETECTOR_ORDER: i32 = 100;

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
        let digest = self.detector.inspect(&statement(context)).digest;
        let told = DetectorFeedback::new(digest, feedback.duration)
            .rows_sent(feedback.rows_sent)
            .rows_affected(feedback.rows_affected)
            .error(error);
        let _ = self.detector.feedback(&statement(context), &told);
    }
}
