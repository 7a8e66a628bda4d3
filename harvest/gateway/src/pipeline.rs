//! One statement from text to rows: size, target, rules, hooks, gate, cache, execution, records; each hop has its own file.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use harvest::{
    CheckedStatement, Dialect, ExplainOptions, HarvestCode, HarvestError, HarvestResult, ResultSet,
    RowBounds, RowCollector, RowSink, StatementKind, Value, fingerprint, normal_form, strip_comments,
};

use crate::cache::{CacheInsert, CacheKey, Lookup};
use crate::columns::{self, ColumnRules, ColumnSink, HashKey, Transform};
use crate::config::LogSql;
use crate::cost;
use crate::execute::Execution;
use crate::gateway::{Gateway, Snapshot, refused_by_policy};
use crate::hooks::{DenyCode, DigestNote, PostQueryFeedback, PreQueryContext, RowSet, Verdict};
use crate::observe::{Count, StatementEvent, now_ms};
use crate::rules::{RuleFacts, RuleOutcome};
use crate::scope::CallScope;
use crate::statement::{
    CacheOutcome, EffectiveLimits, Origin, StatementOutcome, StatementRequest, StreamOutcome,
};
use crate::targets::Target;
use crate::volatile::is_volatile;

/// Room of an answer for everything but its rows, in bytes.
const ENVELOPE_BYTES: usize = 8_192;

/// Rows of a plan that cost rules look at.
const PLAN_ROWS_MAX: usize = 1_000;
/// Bytes of a plan that cost rules look at.
const PLAN_BYTES_MAX: usize = 4 << 20;

/// Which limit ends a statement first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    Caller,
    Rule,
    Target,
    Server,
}

impl Layer {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Rule => "rule",
            Self::Target => "target",
            Self::Server => "server",
        }
    }
}

/// A statement on its way, for the records at its end.
struct Job<'a> {
    request: &'a StatementRequest,
    scope: &'a CallScope,
    snapshot: Arc<Snapshot>,
    started: Instant,
    at_ms: i64,
    target: Option<Arc<Target>>,
    schema: String,
    text: String,
    rules: RuleOutcome,
    rewritten: bool,
    kind: Option<StatementKind>,
    rows: u64,
    cached: bool,
    /// Position of the backend that the statement went to.
    backend: Cell<Option<usize>>,
    note: DigestNote,
}

/// What the steps before the cache decide.
enum Decision {
    /// A rule answers.
    Message(String),
    /// A hook answers.
    Rows(RowSet),
    /// The statement may run.
    Run(Passed),
}

/// A statement that rules, hooks and gate have passed.
struct Passed {
    target: Arc<Target>,
    dialect: &'static dyn Dialect,
    statement: Arc<CheckedStatement>,
    limits: EffectiveLimits,
    layer: Layer,
    columns: Transform,
    /// Which column rules the result belongs to.
    columns_generation: u64,
}

impl Gateway {
    /// Runs one statement and gives its rows as bounded JSON text.
    ///
    /// # Errors
    /// Every way in which the pipeline refuses or fails; see the steps of the type.
    pub fn run(&self, request: &StatementRequest, scope: &CallScope) -> HarvestResult<StatementOutcome> {
        let mut job = self.job(request, scope);
        let result = self.collect(&mut job);
        self.conclude(&job, result.as_ref().err());
        result
    }

    /// Runs one statement and hands its rows to `sink`; the result cache takes no part.
    ///
    /// # Errors
    /// As [`run`](Self::run), and what the sink refuses.
    pub fn run_into(
        &self,
        request: &StatementRequest,
        scope: &CallScope,
        sink: &mut dyn RowSink,
    ) -> HarvestResult<StreamOutcome> {
        let mut job = self.job(request, scope);
        let result = self.stream(&mut job, sink);
        self.conclude(&job, result.as_ref().err());
        result
    }

    fn job<'a>(&self, request: &'a StatementRequest, scope: &'a CallScope) -> Job<'a> {
        Job {
            request,
            scope,
            snapshot: Arc::clone(&self.snapshot()),
            started: Instant::now(),
            at_ms: now_ms(),
            target: None,
            schema: request.schema.clone().unwrap_or_default(),
            text: String::new(),
            rules: RuleOutcome::default(),
            rewritten: false,
            kind: None,
            rows: 0,
            cached: false,
            backend: Cell::new(None),
            note: DigestNote::default(),
        }
    }

    fn collect(&self, job: &mut Job<'_>) -> HarvestResult<StatementOutcome> {
        let passed = match self.decide(job)? {
            Decision::Message(message) => return Ok(answered(job, ResultSet::empty(), Some(message))),
            Decision::Rows(rows) => return self.hook_answer(job, &rows),
            Decision::Run(passed) => passed,
        };
        let Some((key, ttl_ms, rule_id)) = self.cache_plan(job, &passed) else {
            let result = self.execute_collected(job, &passed)?;
            return Ok(outcome(job, &passed, result, CacheOutcome::default()));
        };
        let scope = job.scope;
        let give_up =
            || scope.stop.is_stopped() || scope.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let _flight = match self.cache.look(&key, &give_up) {
            Lookup::Hit(hit) => {
                job.cached = true;
                job.rows = hit.result.row_count as u64;
                let cache = CacheOutcome { hit: true, age_ms: Some(hit.age_ms), ttl_ms: Some(hit.ttl_ms) };
                return Ok(outcome(job, &passed, hit.result, cache));
            }
            Lookup::Lead(flight) => flight,
        };
        let result = self.execute_collected(job, &passed)?;
        let mode = passed.target.lex_mode();
        let insert = CacheInsert {
            result: result.clone(),
            tables: passed.statement.tables.clone(),
            digest_text: fingerprint(&passed.statement.sql, mode),
            ttl_ms,
            rule_id,
        };
        let stored = self.cache.store(key, insert, &job.snapshot.settings.cache);
        let cache = CacheOutcome { hit: false, age_ms: None, ttl_ms: stored.then_some(ttl_ms) };
        Ok(outcome(job, &passed, result, cache))
    }

    fn stream(&self, job: &mut Job<'_>, sink: &mut dyn RowSink) -> HarvestResult<StreamOutcome> {
        let outcome = match self.decide(job)? {
            Decision::Message(message) => answered(job, ResultSet::empty(), Some(message)),
            Decision::Rows(rows) => {
                sink.columns(&rows.columns)?;
                for row in rows.rows {
                    job.rows += 1;
                    if sink.row(row)? == harvest::Flow::Stop {
                        break;
                    }
                }
                answered(job, ResultSet::empty(), None)
            }
            Decision::Run(passed) => {
                self.execute(job, &passed, sink)?;
                outcome(job, &passed, ResultSet::empty(), CacheOutcome::default())
            }
        };
        let rows = usize::try_from(job.rows).unwrap_or(usize::MAX);
        Ok(StreamOutcome { outcome, rows })
    }

    /// Size, target, rules, hooks, gate.
    fn decide(&self, job: &mut Job<'_>) -> HarvestResult<Decision> {
        let snapshot = Arc::clone(&job.snapshot);
        let (settings, request) = (&snapshot.settings, job.request);
        if request.sql.len() > settings.sql_bytes_max {
            let (limit, value) = (settings.sql_bytes_max as u64, request.sql.len() as u64);
            let message = format!("the statement has {value} bytes; {limit} are allowed");
            return Err(HarvestError::limit(message, limit, value, "mcp-max_sql_bytes"));
        }
        let target = snapshot.targets.resolve(request.target_id.as_deref(), settings, job.scope)?;
        job.schema = target.schema_of(request.schema.as_deref());
        job.target = Some(Arc::clone(&target));
        if request.plan.is_some() && !target.config.allow_explain {
            self.statistics.count(Count::RefusedPolicy);
            return Err(refused_by_policy("the target's profile does not allow plans (allow_explain)"));
        }
        job.text = strip_comments(&request.sql, target.lex_mode()).trim().to_owned();
        if let Some(message) = self.apply_rules(job, &target)? {
            return Ok(Decision::Message(message));
        }
        if let Some(rows) = self.apply_hooks(job, &target)? {
            return Ok(Decision::Rows(rows));
        }
        let dialect = target.dialect(job.scope)?;
        let statement = self.judge(job, &target, dialect)?;
        job.kind = Some(statement.kind);
        let (limits, layer) = effective_limits(job, &target);
        let (columns, columns_generation) = self
            .guard_columns(job, &target, dialect, &statement)
            .inspect_err(|_| self.statistics.count(Count::RefusedPolicy))?;
        Ok(Decision::Run(Passed { target, dialect, statement, limits, layer, columns, columns_generation }))
    }

    /// Evaluates the rules; `Some` is the answer of a rule.
    fn apply_rules(&self, job: &mut Job<'_>, target: &Target) -> HarvestResult<Option<String>> {
        let facts = RuleFacts {
            username: &target.config.connect.user,
            target_id: &target.config.target_id,
            schema: &job.schema,
            tool: &job.scope.tool,
            caller: &job.scope.caller,
        };
        job.rules = job.snapshot.rules.evaluate(&job.text, &facts);
        if let Some(message) = job.rules.ok_msg.clone() {
            self.statistics.count(Count::AnsweredRules);
            return Ok(Some(message));
        }
        if let Some((message, rule_id)) = job.rules.error_msg.clone() {
            self.statistics.count(Count::RefusedRules);
            return Err(HarvestError::new(HarvestCode::PermissionDenied, message)
                .with("by", "rule")
                .with("rule_id", rule_id)
                .with("rules_matched", job.rules.matched.clone()));
        }
        if let Some(text) = job.rules.rewritten.take() {
            job.rewritten |= text != job.text;
            job.text = text;
        }
        Ok(None)
    }

    /// Asks the hooks; `Some` is the answer of a hook.
    fn apply_hooks(&self, job: &mut Job<'_>, target: &Target) -> HarvestResult<Option<RowSet>> {
        if self.hooks().is_empty() {
            return Ok(None);
        }
        let verdict = {
            let context = hook_context(job, target);
            if let Some(pending) = self.hooks().answer_prefix(&context) {
                let limit = std::time::Duration::from_millis(target.config.timeout_ms.max(1));
                let deadline = job.scope.deadline.unwrap_or_else(|| Instant::now() + limit);
                return pending.wait_until(deadline).map(Some);
            }
            self.hooks().judge(&context)
        };
        match verdict {
            Verdict::Allow => Ok(None),
            Verdict::Answer(rows) => Ok(Some(rows)),
            Verdict::Rewrite(bytes) => {
                let text = harvest::utf8(&bytes)?.trim().to_owned();
                job.rewritten |= text != job.text;
                job.text = text;
                Ok(None)
            }
            Verdict::Deny { code, message, incident } => {
                self.statistics.count(Count::RefusedHooks);
                let code = match code {
                    DenyCode::RateLimited => HarvestCode::LimitExceeded,
                    DenyCode::PermissionDenied | DenyCode::HookFailed => HarvestCode::PermissionDenied,
                };
                let error = HarvestError::new(code, message).with("by", "policy");
                Err(if incident.is_empty() { error } else { error.with("incident", incident) })
            }
        }
    }

    /// The gate, and the plan statement where a plan is asked for.
    fn judge(
        &self,
        job: &Job<'_>,
        target: &Target,
        dialect: &'static dyn Dialect,
    ) -> HarvestResult<Arc<CheckedStatement>> {
        let checked = target
            .verdicts
            .get(&job.text, || dialect.check(&job.text, &target.policy))
            .inspect_err(|error| {
                self.statistics.count(Count::RefusedGate);
                self.statistics.construct(error);
            })?;
        harvest_gate::check_default_schema(dialect.name(), &checked, &job.schema, &target.policy)
            .inspect_err(|error| {
                self.statistics.count(Count::RefusedGate);
                self.statistics.construct(error);
            })?;
        let given = job.request.params.len();
        if (checked.params == 0) != (given == 0) {
            let message = format!("the statement has {} parameter(s), params has {given}", checked.params);
            return Err(HarvestError::new(HarvestCode::InvalidArgument, message)
                .with("argument", "params")
                .with("expected", checked.params)
                .with("got", given));
        }
        match job.request.plan {
            Some(options) => dialect.explain(&checked, options).map(Arc::new),
            None => Ok(checked),
        }
    }

    /// What column rules do to the rows of a statement; what they cannot prove harmless is refused.
    fn guard_columns(
        &self,
        job: &Job<'_>,
        target: &Target,
        dialect: &'static dyn Dialect,
        statement: &CheckedStatement,
    ) -> HarvestResult<(Transform, u64)> {
        let settings = &job.snapshot.settings;
        if settings.column_rules.is_empty() {
            return Ok((Transform::None, 0));
        }
        let (target_id, caller) = (&target.config.target_id, &job.scope.caller);
        let key = settings.column_hash_key.expose();
        let rules = ColumnRules::of(&settings.column_rules, key, target_id, caller);
        let shows_rows = statement.kind == StatementKind::Select;
        if rules.generation == 0 || !(shows_rows || statement.kind == StatementKind::Explain) {
            return Ok((Transform::None, rules.generation));
        }
        let text = (statement.sql.as_str(), job.schema.as_str());
        let judged = |again: bool| {
            let shapes = self.shapes(target, dialect.name(), again, job.scope)?;
            Ok::<_, HarvestError>(columns::judge(&rules, &shapes, dialect.name(), text, shows_rows))
        };
        let verdict = match judged(false)? {
            // The metadata may be older than the table.
            Err(columns::Doubt::Unknown(_)) => judged(true)?,
            verdict => verdict,
        };
        verdict.map(|transform| (transform, rules.generation)).map_err(columns::Doubt::error)
    }

    /// Whether the result cache takes part: its key, the time to live, the rule that set it.
    fn cache_plan(&self, job: &Job<'_>, passed: &Passed) -> Option<(CacheKey, u64, Option<i64>)> {
        let settings = &job.snapshot.settings.cache;
        let (ttl_ms, rule_id) = match job.rules.cache_ttl_ms {
            Some((ttl_ms, rule_id)) => (ttl_ms, Some(rule_id)),
            None => (job.request.cache_ttl_ms.unwrap_or(settings.default_ttl_ms), None),
        };
        let ttl_ms = ttl_ms.min(settings.ttl_ms_max);
        let fit = settings.enabled
            && job.request.use_cache
            && job.request.plan.is_none()
            // Without a time of its own a statement may still find what was warmed for it.
            && (ttl_ms > 0 || (rule_id.is_none() && !self.cache.is_empty()))
            && passed.statement.kind == StatementKind::Select
            && (rule_id.is_some() || !is_volatile(&passed.statement, passed.target.lex_mode()));
        if !fit {
            if settings.enabled && job.request.plan.is_none() {
                self.cache.bypass();
            }
            return None;
        }
        let caller = if settings.shared { String::new() } else { job.scope.caller.to_string() };
        let key = CacheKey {
            target_id: Arc::clone(&passed.target.id),
            generations: [
                passed.target.generation,
                job.snapshot.rules.generation(),
                passed.columns_generation,
            ],
            schema: job.schema.clone(),
            sql: normal_form(&passed.statement.sql, passed.target.lex_mode()),
            params: format!("{:?}{:?}{}", job.request.params, job.request.bytes_max, job.request.text_copy),
            rows_max: passed.limits.rows_max,
            caller,
        };
        if ttl_ms == 0 && !self.cache.contains(&key) {
            self.cache.bypass();
            return None;
        }
        Some((key, ttl_ms, rule_id))
    }

    fn execute_collected(&self, job: &mut Job<'_>, passed: &Passed) -> HarvestResult<ResultSet> {
        let mut collector = RowCollector::new(row_bounds(job, rows_read_max(job, passed)));
        self.execute(job, passed, &mut collector)?;
        let result = collector.finish()?;
        job.rows = result.row_count as u64;
        Ok(result)
    }

    /// Asks for the plan first where a cost rule bounds what the statement may be expected to read.
    fn check_cost(&self, job: &Job<'_>, passed: &Passed) -> HarvestResult<()> {
        let rules = &job.snapshot.settings.cost_rules;
        if rules.is_empty() || job.request.plan.is_some() || passed.statement.kind != StatementKind::Select {
            return Ok(());
        }
        let Some(bounds) = cost::bounds(rules, &passed.target.config.target_id, &job.scope.caller) else {
            return Ok(());
        };
        let options = ExplainOptions { analyze: false, json: true };
        let plan = passed.dialect.explain(&passed.statement, options)?;
        let schema = passed.target.explicit_schema(job.request.schema.as_deref());
        let limits = EffectiveLimits { rows_max: PLAN_ROWS_MAX, ..passed.limits };
        let execution = Execution {
            target: &passed.target,
            dialect: passed.dialect,
            text: &job.text,
            statement: &plan,
            plan: Some(options),
            params: &job.request.params,
            schema: schema.as_deref(),
            limits,
            layer: passed.layer,
            cell_bytes_max: PLAN_BYTES_MAX,
            columns: None,
            guarded: passed.columns_generation != 0,
            backend: &job.backend,
        };
        let bounds_of_plan =
            RowBounds { rows_max: PLAN_ROWS_MAX, bytes_max: PLAN_BYTES_MAX, text_copy: false };
        let mut collector = RowCollector::new(bounds_of_plan);
        self.run_on_backend(&execution, job.scope, &mut collector)?;
        let rows = collector.finish()?.rows()?;
        cost::judge(&rows, &bounds).inspect_err(|_| self.statistics.count(Count::RefusedPolicy))
    }

    fn execute(&self, job: &mut Job<'_>, passed: &Passed, sink: &mut dyn RowSink) -> HarvestResult<()> {
        self.check_cost(job, passed)?;
        let rewrote = job.rewritten.then(|| job.rules.matched.last().copied().unwrap_or(0));
        let columns = match (&job.request.origin, rewrote) {
            (Origin::Tool { columns }, Some(rule_id)) => Some((columns.as_slice(), rule_id)),
            _ => None,
        };
        let schema = passed.target.explicit_schema(job.request.schema.as_deref());
        let execution = Execution {
            target: &passed.target,
            dialect: passed.dialect,
            text: &job.text,
            statement: &passed.statement,
            plan: job.request.plan,
            params: &job.request.params,
            schema: schema.as_deref(),
            limits: EffectiveLimits { rows_max: rows_read_max(job, passed), ..passed.limits },
            layer: passed.layer,
            cell_bytes_max: row_bounds(job, 1).bytes_max,
            columns,
            guarded: passed.columns_generation != 0,
            backend: &job.backend,
        };
        if passed.columns == Transform::None {
            job.rows = self.run_on_backend(&execution, job.scope, sink)? as u64;
            return Ok(());
        }
        let secret = job.snapshot.settings.column_hash_key.expose();
        let key = if secret.is_empty() { self.hash_key.clone() } else { HashKey::of(secret) };
        let mut shown = ColumnSink::new(sink, &passed.columns, key, passed.dialect.name());
        job.rows = self.run_on_backend(&execution, job.scope, &mut shown)? as u64;
        Ok(())
    }

    fn hook_answer(&self, job: &mut Job<'_>, rows: &RowSet) -> HarvestResult<StatementOutcome> {
        let settings = &job.snapshot.settings;
        let rows_max = job.request.rows_max.unwrap_or(settings.rows_max_hard).min(settings.rows_max_hard);
        let mut collector = RowCollector::new(row_bounds(job, rows_max));
        collector.columns(&rows.columns)?;
        for row in &rows.rows {
            if collector.row(row.clone())? == harvest::Flow::Stop {
                break;
            }
        }
        let result = collector.finish()?;
        job.rows = result.row_count as u64;
        Ok(answered(job, result, None))
    }

    /// Counters, observers, hooks, log.
    fn conclude(&self, job: &Job<'_>, error: Option<&HarvestError>) {
        let time = job.started.elapsed();
        // Without a connection there is no telling which server failed, unless there is one only.
        let member = job.backend.get();
        let tried = member.is_some() || error.is_some_and(|e| e.code == HarvestCode::Unavailable);
        let server = job.target.as_ref().filter(|_| tried).and_then(|target| target.server_of(member));
        let event = StatementEvent {
            at_ms: job.at_ms,
            call_id: job.scope.call_id,
            endpoint: &job.scope.endpoint,
            tool: &job.scope.tool,
            caller: &job.scope.caller,
            client_address: &job.scope.client_address,
            target_id: job.target.as_ref().map_or("", |target| &target.config.target_id),
            schema: &job.schema,
            username: job.target.as_ref().map_or("", |target| &target.config.connect.user),
            rules: &job.rules.matched,
            original: &job.request.sql,
            executed: &job.text,
            kind: job.kind,
            rows: job.rows,
            time_us: u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
            error,
            log: job.rules.log.unwrap_or(false),
            cached: job.cached,
            hostgroup: job.target.as_ref().map(|target| target.config.hostgroup_id),
            server: server.as_ref().map_or(("", 0), |(host, port)| (host.as_str(), *port)),
        };
        self.statistics.finish(&event);
        for observer in self.observers().iter() {
            observer.statement(&event);
        }
        if event.log {
            log(&event, job);
        }
        if let Some(target) = job.target.as_ref().filter(|_| job.kind.is_some() && !self.hooks().is_empty()) {
            let mut feedback = PostQueryFeedback::new(time);
            feedback.rows_sent = Some(job.rows);
            feedback.error = error.cloned();
            feedback.digest = job.note.get();
            self.hooks().report(&hook_context(job, target), &feedback);
        }
    }
}

fn hook_context<'a>(job: &'a Job<'_>, target: &'a Target) -> PreQueryContext<'a> {
    PreQueryContext::builder(job.text.as_bytes(), &job.scope.caller, &job.schema, target.config.protocol)
        .client_addr(job.scope.client_address.parse().ok())
        .session_id(job.scope.call_id)
        .prepared(true)
        .multi_statements(Some(false))
        .hostgroup(i32::try_from(target.config.hostgroup_id).ok())
        .tool(&job.scope.tool)
        .target_id(&target.config.target_id)
        .note(&job.note)
        .build()
}

/// Limits of the statement, and which of them ends it first.
fn effective_limits(job: &Job<'_>, target: &Target) -> (EffectiveLimits, Layer) {
    let settings = &job.snapshot.settings;
    let rows_max = target.config.rows_max.min(settings.rows_max_hard);
    let rows_max = job.request.rows_max.map_or(rows_max, |wanted| wanted.min(rows_max)).max(1);
    let (mut timeout_ms, mut layer) = match job.rules.timeout_ms {
        Some(rule) => (rule, Layer::Rule),
        None => (target.config.timeout_ms, Layer::Target),
    };
    let remaining =
        job.scope.remaining().map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1));
    for (limit, whose) in [(job.request.timeout_ms, Layer::Caller), (remaining, Layer::Server)] {
        if let Some(limit) = limit.filter(|limit| *limit > 0 && (timeout_ms == 0 || *limit < timeout_ms)) {
            (timeout_ms, layer) = (limit, whose);
        }
    }
    (EffectiveLimits { rows_max, timeout_ms }, layer)
}

/// Rows that may be read: the lines of a plan are not the rows that a target's limit is about.
fn rows_read_max(job: &Job<'_>, passed: &Passed) -> usize {
    match (job.request.plan, job.request.plan_rows_max) {
        (Some(_), Some(rows_max)) => rows_max,
        _ => passed.limits.rows_max,
    }
}

fn row_bounds(job: &Job<'_>, rows_max: usize) -> RowBounds {
    let whole = job.snapshot.settings.response_bytes_max;
    let bytes_max = job.request.bytes_max.map_or(whole, |wanted| wanted.min(whole));
    let bytes_max = bytes_max.saturating_sub(ENVELOPE_BYTES.min(bytes_max / 4));
    RowBounds { rows_max, bytes_max, text_copy: job.request.text_copy }
}

fn outcome(job: &Job<'_>, passed: &Passed, result: ResultSet, cache: CacheOutcome) -> StatementOutcome {
    StatementOutcome {
        target_id: passed.target.config.target_id.clone(),
        protocol: passed.target.config.protocol,
        dialect: passed.dialect.name(),
        schema: job.schema.clone(),
        result,
        ok_message: None,
        rules_matched: job.rules.matched.clone(),
        rewritten: job.rewritten,
        limits: passed.limits,
        cache,
        executed: passed.statement.sql.clone(),
        kind: passed.statement.kind,
    }
}

/// The outcome of a statement that a rule or a hook answers.
fn answered(job: &Job<'_>, result: ResultSet, ok_message: Option<String>) -> StatementOutcome {
    let target = job.target.as_ref();
    let limits = target
        .map_or(EffectiveLimits { rows_max: 0, timeout_ms: 0 }, |target| effective_limits(job, target).0);
    StatementOutcome {
        target_id: target.map_or_else(String::new, |target| target.config.target_id.clone()),
        protocol: target.map_or(harvest::Protocol::Sqlite, |target| target.config.protocol),
        dialect: target
            .and_then(|target| target.assumed_dialect())
            .map_or(harvest::DialectName::Sqlite, |dialect| dialect.name()),
        schema: job.schema.clone(),
        result,
        ok_message,
        rules_matched: job.rules.matched.clone(),
        rewritten: job.rewritten,
        limits,
        cache: CacheOutcome::default(),
        executed: String::new(),
        kind: job.kind.unwrap_or(StatementKind::Select),
    }
}

fn log(event: &StatementEvent<'_>, job: &Job<'_>) {
    let text = |sql: &str| match job.snapshot.settings.log_sql {
        LogSql::Off => String::new(),
        LogSql::Full => sql.to_owned(),
        LogSql::Digest => {
            let mode = job.target.as_ref().map(|target| target.lex_mode());
            mode.map_or_else(String::new, |mode| fingerprint(sql, mode))
        }
    };
    tracing::info!(
        target: "penstock::statement",
        caller = event.caller,
        client_address = event.client_address,
        tool = event.tool,
        target_id = event.target_id,
        schema = event.schema,
        username = event.username,
        rules = ?event.rules,
        original = text(event.original),
        executed = text(event.executed),
        outcome = event.error.map_or("ok", |_| "error"),
        rows = event.rows,
        time_us = event.time_us,
        "statement"
    );
}

/// Reads a JSON scalar as a bound parameter.
///
/// # Errors
/// `INVALID_ARGUMENT` for arrays and objects.
pub fn parameter(value: &serde_json::Value) -> HarvestResult<Value> {
    match value {
        serde_json::Value::Null => Ok(Value::Null),
        serde_json::Value::Bool(flag) => Ok(Value::Bool(*flag)),
        serde_json::Value::String(text) => Ok(Value::Text(text.clone())),
        serde_json::Value::Number(number) => Ok(match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(unsigned)) => Value::UInt(unsigned),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        }),
        _ => Err(HarvestError::new(
            HarvestCode::InvalidArgument,
            "a parameter is a string, a number, a boolean or null",
        )
        .with("argument", "params")),
    }
}
