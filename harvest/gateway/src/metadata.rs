//! Metadata reads of a call: the same rules, pools and limits as statements, without a text; it does not shape results.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harvest::{
    DialectName, HarvestCode, HarvestError, HarvestResult, MetadataRequest, MetadataSnapshot, MetadataStage,
    MetadataWatch, Protocol,
};

use crate::execute::explain_end;
use crate::gateway::Gateway;
use crate::observe::Count;
use crate::pipeline::Layer;
use crate::rules::RuleFacts;
use crate::scope::{CallScope, StopSignal};
use crate::targets::Target;

/// Metadata of a target, or the answer of a rule.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MetadataOutcome {
    /// The target that answered.
    pub target_id: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its dialect.
    pub dialect: DialectName,
    /// Version of its server.
    pub server_version: String,
    /// Schema of calls that name none.
    pub default_schema: String,
    /// What was read; empty when a rule answered.
    pub snapshot: MetadataSnapshot,
    /// The answer of a rule; then nothing was read.
    pub ok_message: Option<String>,
    /// Rules that matched.
    pub rules_matched: Vec<i64>,
}

/// Which limit holds for a metadata read.
// Exhaustive: there are two kinds of readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataLimit {
    /// The target's, as for statements.
    Target,
    /// Only the call's own deadline: harvests have a limit of their own.
    Call,
}

struct Watch<'a> {
    inner: &'a mut dyn MetadataWatch,
    stop: &'a dyn StopSignal,
    deadline: Option<Instant>,
}

impl MetadataWatch for Watch<'_> {
    fn stage(&mut self, stage: MetadataStage, done: usize) -> HarvestResult<()> {
        if self.stop.is_stopped() {
            return Err(HarvestError::new(HarvestCode::Cancelled, "the call was cancelled"));
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(HarvestError::new(HarvestCode::DeadlineExceeded, ""));
        }
        self.inner.stage(stage, done)
    }
}

impl Gateway {
    /// Reads metadata of a target for a call.
    ///
    /// # Errors
    /// What resolving, rules, connecting and reading fail with.
    pub fn metadata(
        &self,
        target_id: Option<&str>,
        schema: Option<&str>,
        request: &MetadataRequest,
        limit: MetadataLimit,
        scope: &CallScope,
        watch: &mut dyn MetadataWatch,
    ) -> HarvestResult<MetadataOutcome> {
        let snapshot = Arc::clone(&self.snapshot());
        let target = snapshot.targets.resolve(target_id, &snapshot.settings, scope)?;
        let facts = RuleFacts {
            username: &target.config.connect.user,
            target_id: &target.config.target_id,
            schema: &target.schema_of(schema),
            tool: &scope.tool,
            caller: &scope.caller,
        };
        let rules = snapshot.rules.evaluate("", &facts);
        let mut outcome = blank(&target);
        (outcome.ok_message, outcome.rules_matched) = (rules.ok_msg, rules.matched);
        if outcome.ok_message.is_some() {
            self.statistics.count(Count::AnsweredRules);
            return Ok(outcome);
        }
        if let Some((message, rule_id)) = rules.error_msg {
            self.statistics.count(Count::RefusedRules);
            return Err(HarvestError::new(HarvestCode::PermissionDenied, message)
                .with("by", "rule")
                .with("rule_id", rule_id)
                .with("rules_matched", outcome.rules_matched));
        }
        let (timeout_ms, layer) = match (rules.timeout_ms, limit) {
            (Some(rule), _) => (rule, Layer::Rule),
            (None, MetadataLimit::Target) => (target.config.timeout_ms, Layer::Target),
            (None, MetadataLimit::Call) => (0, Layer::Server),
        };
        self.read_metadata(&target, request, (timeout_ms, layer), scope, watch, &mut outcome)?;
        Ok(outcome)
    }

    /// Everything about one table or view, for a tool that composes a statement about it: the rules judge that
    /// statement, so they are not asked here.
    ///
    /// # Errors
    /// What resolving, connecting and reading fail with; an unknown name is an empty snapshot.
    pub fn table_metadata(
        &self,
        target_id: Option<&str>,
        schema: &str,
        table: &str,
        scope: &CallScope,
    ) -> HarvestResult<MetadataOutcome> {
        let snapshot = Arc::clone(&self.snapshot());
        let target = snapshot.targets.resolve(target_id, &snapshot.settings, scope)?;
        let mut request = MetadataRequest::all(1_000);
        request.schemas = Some(vec![schema.to_owned()]);
        request.object = Some(table.to_owned());
        let mut outcome = blank(&target);
        let limit = (target.config.timeout_ms, Layer::Target);
        self.read_metadata(&target, &request, limit, scope, &mut (), &mut outcome)?;
        Ok(outcome)
    }

    /// Tables and views of a target, for policies that judge statements.
    pub(crate) fn read_objects(
        &self,
        target: &Target,
        request: &MetadataRequest,
        limit: (u64, Layer),
        scope: &CallScope,
    ) -> HarvestResult<Vec<harvest::ObjectMeta>> {
        let mut outcome = blank(target);
        self.read_metadata(target, request, limit, scope, &mut (), &mut outcome)?;
        Ok(outcome.snapshot.objects)
    }

    fn read_metadata(
        &self,
        target: &Target,
        request: &MetadataRequest,
        (timeout_ms, layer): (u64, Layer),
        scope: &CallScope,
        watch: &mut dyn MetadataWatch,
        outcome: &mut MetadataOutcome,
    ) -> HarvestResult<()> {
        let mut loan = target.acquire(scope)?;
        let connection = loan.get()?;
        let own = (timeout_ms > 0).then(|| Instant::now() + Duration::from_millis(timeout_ms));
        let deadline = [own, scope.deadline].into_iter().flatten().min();
        let layer = if deadline == own { layer } else { Layer::Server };
        let guard = self.watchdog.watch(deadline, connection.interrupt());
        let stop_hook = scope.stop.on_stop(Box::new(guard.stopper()));
        let mut watched = Watch { inner: watch, stop: &*scope.stop, deadline };
        let read = connection.metadata(request, &mut watched);
        outcome.dialect = connection.dialect().name();
        outcome.server_version.clone_from(&connection.server().version);
        outcome.default_schema = target.default_schema();
        drop(stop_hook);
        let (cause, settled) = guard.finish();
        if !settled || read.as_ref().is_err_and(|error| error.connection_broken) {
            loan.mark_broken();
        }
        outcome.snapshot = read.map_err(|error| explain_end(error, cause, timeout_ms, layer))?;
        Ok(())
    }
}

fn blank(target: &Target) -> MetadataOutcome {
    MetadataOutcome {
        target_id: target.config.target_id.clone(),
        protocol: target.config.protocol,
        dialect: target.assumed_dialect().map_or(DialectName::Sqlite, |dialect| dialect.name()),
        server_version: String::new(),
        default_schema: target.default_schema(),
        snapshot: MetadataSnapshot::default(),
        ok_message: None,
        rules_matched: Vec::new(),
    }
}
