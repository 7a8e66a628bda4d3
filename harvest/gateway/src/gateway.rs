//! The gateway itself: what is loaded, swapped atomically, and the parts that outlive loads; the pipeline is elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::{ArcSwap, Guard};
use harvest::{
    AccountFinding, Dialect, Driver, FragmentKind, HarvestCode, HarvestError, HarvestResult, LexMode,
    PoolStats, PoolTotals, Protocol,
};
use serde::Serialize;

use crate::cache::ResultCache;
use crate::columns::{ColumnGuard, ColumnRules, HashKey, ShapeCache};
use crate::config::{BackendDirectory, Settings, TargetConfig};
use crate::digests::{DigestSample, DigestStats};
use crate::hooks::HookRegistry;
use crate::observe::{StatementObserver, Statistics};
use crate::rules::{RuleConfig, RuleSet};
use crate::scope::CallScope;
use crate::targets::{AdminBackend, Target, TargetBuilder, TargetFacts, Targets};
use crate::watchdog::Watchdog;

/// Time between two runs of the gateway's housekeeping, in milliseconds.
const HOUSEKEEPING_MS: u64 = 1_000;

/// Everything that a load may change; a call sees one of these from start to end.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) settings: Arc<Settings>,
    pub(crate) targets: Arc<Targets>,
    pub(crate) rules: Arc<RuleSet>,
}

/// The pipeline of one server. Build it once and share it.
pub struct Gateway {
    snapshot: ArcSwap<Snapshot>,
    change: Mutex<Vec<TargetConfig>>,
    drivers: Vec<Arc<dyn Driver>>,
    directory: Arc<dyn BackendDirectory>,
    builder: TargetBuilder,
    pub(crate) cache: ResultCache,
    digests: DigestStats,
    hooks: HookRegistry,
    pub(crate) statistics: Statistics,
    observers: ArcSwap<Vec<Arc<dyn StatementObserver>>>,
    pub(crate) watchdog: Watchdog,
    pub(crate) shape_cache: ShapeCache,
    /// Secret of hashed columns where configuration sets none.
    pub(crate) hash_key: HashKey,
    policies: AtomicU64,
}

impl Gateway {
    /// A gateway over the drivers that the host has built in; no targets, no rules.
    #[must_use]
    pub fn new(
        drivers: Vec<Arc<dyn Driver>>,
        directory: Arc<dyn BackendDirectory>,
        settings: Settings,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me: &Weak<Self>| {
            let keeper = me.clone();
            let watchdog = Watchdog::new(
                HOUSEKEEPING_MS,
                Box::new(move || {
                    if let Some(gateway) = keeper.upgrade() {
                        gateway.housekeeping();
                    }
                }),
            );
            Self {
                snapshot: ArcSwap::from_pointee(Snapshot {
                    settings: Arc::new(settings),
                    targets: Arc::new(Targets::default()),
                    rules: Arc::new(RuleSet::empty()),
                }),
                change: Mutex::new(Vec::new()),
                drivers,
                directory,
                builder: TargetBuilder::default(),
                cache: ResultCache::new(),
                digests: DigestStats::default(),
                hooks: HookRegistry::new(),
                statistics: Statistics::default(),
                observers: ArcSwap::from_pointee(Vec::new()),
                watchdog,
                shape_cache: ShapeCache::default(),
                hash_key: HashKey::random(),
                policies: AtomicU64::new(0),
            }
        })
    }

    /// Replaces all targets. Targets whose connections stay the same keep their pools; cached results of others go.
    pub fn set_targets(&self, targets: Vec<TargetConfig>) {
        let mut configs = self.changing();
        configs.clone_from(&targets);
        self.rebuild(targets, None, true);
        self.policies.fetch_add(1, Ordering::AcqRel);
    }

    /// Replaces the settings.
    pub fn set_settings(&self, settings: Settings) {
        let configs = self.changing();
        let keep_pools = self.snapshot.load().settings.pool == settings.pool;
        self.rebuild(configs.clone(), Some(Arc::new(settings)), keep_pools);
        self.policies.fetch_add(1, Ordering::AcqRel);
    }

    /// Replaces the query rules; hits of unchanged rules go on.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with `rule_id`; then the running rules stay.
    pub fn set_rules(&self, rules: Vec<RuleConfig>, known_tools: Option<&[&str]>) -> HarvestResult<()> {
        let _change = self.changing();
        let now = self.snapshot.load_full();
        let rules = Arc::new(RuleSet::compile(rules, known_tools, &now.rules)?);
        self.snapshot.store(Arc::new(Snapshot { rules, ..(*now).clone() }));
        self.policies.fetch_add(1, Ordering::AcqRel);
        self.cache.clear(None);
        Ok(())
    }

    /// Changes how long results of a rule are cached, and nothing else: hits, cached results and other rules stay. Gives
    /// the time before.
    ///
    /// # Errors
    /// `NOT_FOUND` when no rule has the id.
    pub fn set_rule_cache_ttl(&self, rule_id: i64, ttl_ms: u64) -> HarvestResult<Option<u64>> {
        let _change = self.changing();
        let now = self.snapshot.load_full();
        let mut configs = now.rules.configs();
        let Some(rule) = configs.iter_mut().find(|rule| rule.rule_id == rule_id) else {
            let message = format!("query rule {rule_id} does not exist");
            return Err(HarvestError::new(HarvestCode::NotFound, message)
                .with("kind", "rule")
                .with("id", rule_id.to_string()));
        };
        let before = rule.cache_ttl_ms.replace(ttl_ms);
        let rules = Arc::new(RuleSet::compile(configs, None, &now.rules)?.same_generation(&now.rules));
        self.snapshot.store(Arc::new(Snapshot { rules, ..(*now).clone() }));
        Ok(before)
    }

    /// Differs after every change of targets, rules or settings: what was made under other policies is not shown again.
    #[must_use]
    pub fn policy_stamp(&self) -> u64 {
        self.policies.load(Ordering::Acquire)
    }

    /// Adds an observer of statements.
    pub fn observe(&self, observer: Arc<dyn StatementObserver>) {
        let _change = self.changing();
        let mut observers = self.observers.load().as_ref().clone();
        observers.push(observer);
        self.observers.store(Arc::new(observers));
    }

    /// The running rules.
    #[must_use]
    pub fn rules(&self) -> Arc<RuleSet> {
        Arc::clone(&self.snapshot.load().rules)
    }

    /// The running settings.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.snapshot.load().settings)
    }

    /// The result cache.
    #[must_use]
    pub fn cache(&self) -> &ResultCache {
        &self.cache
    }

    /// The hooks.
    #[must_use]
    pub fn hooks(&self) -> &HookRegistry {
        &self.hooks
    }

    /// Counters, running statements, errors.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Digest statistics.
    #[must_use]
    pub fn digests(&self) -> &DigestStats {
        &self.digests
    }

    /// Counts one finished call of a data tool.
    pub fn record_call(&self, sample: &DigestSample<'_>) {
        self.digests.record(sample, self.snapshot.load().settings.digest_entries_max);
    }

    /// The targets that the caller may see.
    #[must_use]
    pub fn targets(&self, scope: &CallScope) -> Vec<TargetInfo> {
        let snapshot = self.snapshot();
        let visible = snapshot.targets.by_id.values().filter(|target| scope.sees(&target.config.target_id));
        visible.map(|target| target_info(target)).collect()
    }

    /// The target that a call would use.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FAILED_PRECONDITION`, `UNAVAILABLE`, as a statement would.
    pub fn resolve(&self, target_id: Option<&str>, scope: &CallScope) -> HarvestResult<TargetInfo> {
        let snapshot = self.snapshot();
        Ok(target_info(&*snapshot.targets.resolve(target_id, &snapshot.settings, scope)?))
    }

    /// A target that the caller may see, usable or not; for tools that read the catalog only.
    ///
    /// # Errors
    /// `NOT_FOUND`; `FAILED_PRECONDITION` when no target is named and none is the default.
    pub fn known_target(&self, target_id: Option<&str>, scope: &CallScope) -> HarvestResult<TargetInfo> {
        let snapshot = self.snapshot();
        let wanted = target_id.or(snapshot.settings.default_target_id.as_deref().filter(|id| !id.is_empty()));
        match wanted {
            Some(id) => Ok(target_info(&*snapshot.targets.visible(id, scope)?)),
            None => Ok(target_info(&*snapshot.targets.resolve(None, &snapshot.settings, scope)?)),
        }
    }

    /// The exact dialect of a target, for tools that compose statements.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), and what connecting fails with.
    pub fn dialect(&self, target_id: Option<&str>, scope: &CallScope) -> HarvestResult<&'static dyn Dialect> {
        let snapshot = self.snapshot();
        snapshot.targets.resolve(target_id, &snapshot.settings, scope)?.dialect(scope)
    }

    /// The column rules that hold for a caller on a target, for tools that show structure.
    ///
    /// # Errors
    /// As [`known_target`](Self::known_target).
    pub fn column_guard(&self, target_id: Option<&str>, scope: &CallScope) -> HarvestResult<ColumnGuard> {
        let info = self.known_target(target_id, scope)?;
        let snapshot = self.snapshot();
        let target = snapshot.targets.visible(&info.target_id, scope)?;
        let dialect = target.assumed_dialect().map_or(harvest::DialectName::Sqlite, Dialect::name);
        let settings = &snapshot.settings;
        // The secret of hashes has no part in what is shown of structure.
        let rules = ColumnRules::of(&settings.column_rules, "", &info.target_id, &scope.caller);
        Ok(ColumnGuard::new(rules, dialect))
    }

    /// Checks a fragment that a caller wrote, under the target's policy.
    ///
    /// # Errors
    /// As [`dialect`](Self::dialect), and what the gate refuses.
    pub fn check_fragment(
        &self,
        target_id: Option<&str>,
        fragment: &str,
        kind: FragmentKind,
        scope: &CallScope,
    ) -> HarvestResult<String> {
        let snapshot = self.snapshot();
        let target = snapshot.targets.resolve(target_id, &snapshot.settings, scope)?;
        target.dialect(scope)?.check_fragment(fragment, kind, &target.policy)
    }

    /// Checks a statement that a caller wrote, under the target's policy, without running it.
    ///
    /// # Errors
    /// As [`check_fragment`](Self::check_fragment).
    pub fn check_statement(
        &self,
        target_id: Option<&str>,
        sql: &str,
        scope: &CallScope,
    ) -> HarvestResult<harvest::CheckedStatement> {
        let snapshot = self.snapshot();
        let target = snapshot.targets.resolve(target_id, &snapshot.settings, scope)?;
        target.dialect(scope)?.check(sql, &target.policy)
    }

    /// How a target's texts are read, as far as known without connecting.
    #[must_use]
    pub fn lex_mode(&self, target_id: &str) -> LexMode {
        let snapshot = self.snapshot();
        let target = snapshot.targets.by_id.get(target_id);
        target.map_or(LexMode::of(harvest::DialectName::Sqlite), |target| target.lex_mode())
    }

    /// Pools by target: counters by backend, and of the whole pool.
    #[must_use]
    pub fn pools(&self) -> Vec<(String, u32, Vec<PoolStats>, PoolTotals)> {
        let snapshot = self.snapshot();
        let pools = snapshot.targets.by_id.values();
        pools
            .map(|t| (t.config.target_id.clone(), t.config.hostgroup_id, t.pool().stats(), t.pool().totals()))
            .collect()
    }

    /// The servers of a target as operators reach them. With `or_own` the target's own account serves where it has no
    /// other.
    ///
    /// # Errors
    /// As [`known_target`](Self::known_target); `FAILED_PRECONDITION` with `no_admin_profile`.
    pub fn admin_backends(
        &self,
        target_id: Option<&str>,
        scope: &CallScope,
        or_own: bool,
    ) -> HarvestResult<(TargetInfo, Vec<AdminBackend>)> {
        let info = self.known_target(target_id, scope)?;
        let snapshot = self.snapshot();
        let backends = snapshot.targets.visible(&info.target_id, scope)?.admin_backends(or_own)?;
        Ok((info, backends))
    }

    /// Targets with their accounts, servers and pools, as operators may know them.
    #[must_use]
    pub fn facts(&self) -> Vec<TargetFacts> {
        let snapshot = self.snapshot();
        snapshot.targets.by_id.values().map(|target| target.facts()).collect()
    }

    /// As [`facts`](Self::facts), and sets the counters of the pools' servers to zero in the same step.
    #[must_use]
    pub fn take_pool_facts(&self) -> Vec<TargetFacts> {
        let snapshot = self.snapshot();
        let taken = |target: &Arc<Target>| {
            let stats = target.pool().take_stats();
            let mut facts = target.facts();
            for (server, stats) in facts.servers.iter_mut().zip(stats) {
                server.pool = stats;
            }
            facts
        };
        snapshot.targets.by_id.values().map(taken).collect()
    }

    /// Connections of the pools that nobody uses, by target.
    #[must_use]
    pub fn free_connections(&self) -> Vec<(String, Vec<harvest::IdleConnection>)> {
        let snapshot = self.snapshot();
        let targets = snapshot.targets.by_id.values();
        targets.map(|t| (t.config.target_id.clone(), t.pool().idle_connections())).collect()
    }

    /// Idle connections of the pools: target, backend, age and idle time in milliseconds.
    #[must_use]
    pub fn idle_connections(&self) -> Vec<(String, String, u64, u64)> {
        let snapshot = self.snapshot();
        let idle = |t: &Arc<Target>| {
            let id = t.config.target_id.clone();
            t.pool()
                .idle()
                .into_iter()
                .map(move |(backend, age, idle)| (id.clone(), backend, age, idle))
                .collect::<Vec<_>>()
        };
        snapshot.targets.by_id.values().flat_map(idle).collect()
    }

    /// Reaches one backend of a target, asks it what its account may do, and gives the time of its answer; the scope's deadline bounds the wait for a
    /// connection.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), and what connecting fails with.
    pub fn ping(&self, target_id: &str, scope: &CallScope) -> HarvestResult<std::time::Duration> {
        let started = std::time::Instant::now();
        let target = {
            let snapshot = self.snapshot();
            snapshot.targets.resolve(Some(target_id), &snapshot.settings, scope)?
        };
        let mut loan = target.acquire(scope)?;
        let answer = loan.get()?.ping();
        if answer.is_err() {
            loan.mark_broken();
        }
        answer?;
        let took = started.elapsed();
        target.examine_again(&mut loan)?;
        match target.account_refusal() {
            Some(error) => Err(error),
            None => Ok(took),
        }
    }

    /// Refuses new statements and closes idle connections; running statements end by themselves.
    pub fn close(&self) {
        for target in self.snapshot.load().targets.by_id.values() {
            target.pool().close();
        }
    }

    /// What is loaded now, refreshed when the directory says that backends changed.
    pub(crate) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        let now = self.snapshot.load();
        if now.targets.directory_generation == self.directory.generation() || now.targets.by_id.is_empty() {
            return now;
        }
        let configs = self.changing();
        if self.snapshot.load().targets.directory_generation != self.directory.generation() {
            self.rebuild(configs.clone(), None, true);
        }
        drop(configs);
        self.snapshot.load()
    }

    pub(crate) fn observers(&self) -> Guard<Arc<Vec<Arc<dyn StatementObserver>>>> {
        self.observers.load()
    }

    fn changing(&self) -> MutexGuard<'_, Vec<TargetConfig>> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rebuild(&self, configs: Vec<TargetConfig>, settings: Option<Arc<Settings>>, keep_pools: bool) {
        let now = self.snapshot.load_full();
        let settings = settings.unwrap_or_else(|| Arc::clone(&now.settings));
        let (targets, left) =
            self.builder.build(configs, &self.drivers, &*self.directory, &settings, &now.targets, keep_pools);
        let living: Vec<(String, u64)> = targets
            .by_id
            .values()
            .map(|target| (target.config.target_id.clone(), target.generation))
            .collect();
        self.snapshot.store(Arc::new(Snapshot {
            settings,
            targets: Arc::new(targets),
            rules: Arc::clone(&now.rules),
        }));
        for pool in left {
            pool.close();
        }
        let kept = |id: &str| {
            let old = now.targets.by_id.get(id).map(|target| target.generation);
            living.iter().any(|(name, generation)| name == id && Some(*generation) == old)
        };
        self.cache.invalidate(|entry| !kept(&entry.target_id));
    }

    fn housekeeping(&self) {
        for target in self.snapshot.load().targets.by_id.values() {
            target.pool().sweep();
        }
        self.cache.sweep();
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("drivers", &self.drivers.len()).finish_non_exhaustive()
    }
}

/// A target as its callers may know it: no host, no port, no account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are those of the profile and of list_targets")]
pub struct TargetInfo {
    pub target_id: String,
    pub description: String,
    pub protocol: Protocol,
    /// Dialect, assumed until the first connection.
    pub dialect: String,
    /// Version of the server, once one was reached.
    pub server_version: Option<String>,
    pub executable: bool,
    pub unavailable_reason: Option<String>,
    /// Schema of calls that name none; empty until known.
    pub default_schema: String,
    pub rows_max: usize,
    pub timeout_ms: u64,
    pub allow_explain: bool,
    pub allow_discovery: bool,
    pub has_admin: bool,
    /// What the account may do beyond reading; `None` until a server was reached.
    pub account: Option<Vec<AccountFinding>>,
}

fn target_info(target: &Target) -> TargetInfo {
    let unusable = target.unusable();
    let server = target.server();
    let assumed = match target.config.protocol {
        Protocol::Mysql => "mysql",
        Protocol::Pgsql => "postgresql",
        Protocol::Sqlite => "sqlite",
    };
    TargetInfo {
        target_id: target.config.target_id.clone(),
        description: target.config.description.clone(),
        protocol: target.config.protocol,
        dialect: target.assumed_dialect().map_or(assumed, |dialect| dialect.name().as_str()).to_owned(),
        server_version: server.as_ref().map(|server| server.version.clone()),
        executable: unusable.is_none(),
        unavailable_reason: unusable.map(|error| error.message),
        default_schema: target.default_schema(),
        rows_max: target.config.rows_max,
        timeout_ms: target.config.timeout_ms,
        allow_explain: target.config.allow_explain,
        allow_discovery: target.config.allow_discovery,
        has_admin: target.config.has_admin,
        account: target.account(),
    }
}

/// A refusal by a target's profile.
pub(crate) fn refused_by_policy(message: &str) -> HarvestError {
    HarvestError::new(HarvestCode::PermissionDenied, message).with("by", "policy")
}
