//! Targets at run time: resolving a name, their pools, policies and what their servers have said; it runs no statement.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwapOption;
use harvest::{
    AccountFinding, AdminConnection, BackendStatus, Capacity, ConnectParams, Dialect, DialectName, Driver,
    DriverBackend, GatePolicy, HarvestCode, HarvestError, HarvestResult, LexMode, Pool, PoolMember,
    PooledConnection, Protocol, ServerInfo, TlsMode,
};

use crate::account::{Account, ExaminedBackend};
use crate::config::{BackendConfig, BackendDirectory, Settings, TargetConfig};
use crate::scope::CallScope;
use crate::verdicts::Verdicts;

/// One target, ready to use.
pub(crate) struct Target {
    pub(crate) config: TargetConfig,
    pub(crate) id: Arc<str>,
    pub(crate) policy: GatePolicy,
    pub(crate) verdicts: Verdicts,
    /// Differs between pools of the same target; part of cache keys.
    pub(crate) generation: u64,
    driver: Option<Arc<dyn Driver>>,
    backends: Vec<BackendConfig>,
    pool: Arc<Pool>,
    learned: Arc<Learned>,
    allow_privileged: bool,
}

/// What the server has said since the pool exists.
#[derive(Default)]
struct Learned {
    dialect: OnceLock<&'static dyn Dialect>,
    server: ArcSwapOption<ServerInfo>,
    account: Arc<Account>,
}

impl Target {
    /// Why the target cannot be used, if it cannot.
    pub(crate) fn unusable(&self) -> Option<HarvestError> {
        let reason = match (&self.config.skip_reason, &self.driver) {
            (Some(reason), _) => reason.clone(),
            (None, None) => format!("no driver for {} is built in", self.config.protocol.as_str()),
            _ => match self.learned.account.refusal(&self.config.target_id, self.allow_privileged) {
                // Whoever calls when it is time looks again.
                Some((error, false)) => return Some(error),
                _ => return self.pool.executable().err(),
            },
        };
        let message = format!("target {:?} cannot be used: {reason}", self.config.target_id);
        Some(HarvestError::new(HarvestCode::FailedPrecondition, message).with("skip_reason", reason))
    }

    /// Host and port of the backend at a position of the pool; of the only one where none is said.
    pub(crate) fn server_of(&self, member: Option<usize>) -> Option<(String, u16)> {
        let backend = match (member, self.backends.as_slice()) {
            (Some(at), backends) => backends.get(at)?,
            (None, [only]) => only,
            _ => return None,
        };
        Some((backend.host.clone(), self.port_of(backend)))
    }

    /// The port that a backend is reached at.
    pub(crate) fn port_of(&self, backend: &BackendConfig) -> u16 {
        match (backend.port, &self.driver) {
            (0, Some(driver)) => driver.default_port(),
            (port, _) => port,
        }
    }

    /// What operators may know of the target and its servers.
    pub(crate) fn facts(&self) -> TargetFacts {
        let stats = self.pool.stats();
        let server = |(backend, pool): (&BackendConfig, harvest::PoolStats)| ServerFacts {
            host: backend.host.clone(),
            port: self.port_of(backend),
            pool,
        };
        TargetFacts {
            target_id: self.config.target_id.clone(),
            protocol: self.config.protocol,
            hostgroup_id: self.config.hostgroup_id,
            username: self.config.connect.user.clone(),
            default_schema: self.default_schema(),
            executable: self.unusable().is_none(),
            servers: self.backends.iter().zip(stats).map(server).collect(),
            totals: self.pool.totals(),
        }
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// What a server of the target has said, if one was reached.
    pub(crate) fn server(&self) -> Option<Arc<ServerInfo>> {
        self.learned.server.load_full()
    }

    /// The dialect as far as it is known without connecting.
    pub(crate) fn assumed_dialect(&self) -> Option<&'static dyn Dialect> {
        self.learned.dialect.get().copied().or_else(|| self.driver.as_ref().map(|driver| driver.dialect()))
    }

    /// The exact dialect. Only a protocol that two engines speak needs a connection to tell, once.
    pub(crate) fn dialect(&self, scope: &CallScope) -> HarvestResult<&'static dyn Dialect> {
        if let Some(dialect) = self.learned.dialect.get() {
            return Ok(*dialect);
        }
        let driver = self.driver.as_ref().ok_or_else(|| self.no_driver())?;
        if driver.protocol() != Protocol::Mysql {
            return Ok(driver.dialect());
        }
        let mut loan = self.acquire(scope)?;
        Ok(loan.get()?.dialect())
    }

    /// The backends that take calls, each with the parameters of an account: that for operations, or with `or_own` the
    /// target's own where it has no other.
    pub(crate) fn admin_backends(&self, or_own: bool) -> HarvestResult<Vec<AdminBackend>> {
        let driver = self.driver.as_ref().ok_or_else(|| self.no_driver())?;
        let account = match (&self.config.admin, or_own) {
            (Some(admin), _) => admin,
            (None, true) => &self.config.connect,
            (None, false) => {
                let message = format!(
                    "target {:?} has no account for operations: set admin_auth_profile_id of its profile",
                    self.config.target_id
                );
                return Err(HarvestError::new(HarvestCode::FailedPrecondition, message)
                    .with("reason", "no_admin_profile"));
            }
        };
        let usable = |b: &&BackendConfig| matches!(b.status, BackendStatus::Online | BackendStatus::Shunned);
        let backends = self.backends.iter().filter(usable).map(|backend| AdminBackend {
            driver: Arc::clone(driver),
            params: member_params(driver, account, backend),
            backend: backend.clone(),
        });
        Ok(backends.collect())
    }

    /// What the account may do beyond reading, `None` until a server was reached.
    pub(crate) fn account(&self) -> Option<Vec<AccountFinding>> {
        self.learned.account.findings()
    }

    /// Why the account is not served, if it is not.
    pub(crate) fn account_refusal(&self) -> Option<HarvestError> {
        let refusal = self.learned.account.refusal(&self.config.target_id, self.allow_privileged);
        refusal.map(|(error, _)| error)
    }

    /// Asks a server of the target again what its account may do.
    pub(crate) fn examine_again(&self, loan: &mut PooledConnection) -> HarvestResult<()> {
        let server = loan.backend_name();
        let examined = self.learned.account.examine(&self.config.target_id, &server, loan.get()?);
        if examined.is_err() {
            loan.mark_broken();
        }
        examined
    }

    /// A connection of the target, and learns from it what its server is. An account that may do more than read is refused
    /// here unless the settings allow it.
    pub(crate) fn acquire(&self, scope: &CallScope) -> HarvestResult<PooledConnection> {
        let mut loan = self.pool.acquire(scope.deadline, &|| scope.stop.is_stopped())?;
        let account = &self.learned.account;
        if let Some((error, again)) = account.refusal(&self.config.target_id, self.allow_privileged) {
            if !again {
                return Err(error);
            }
            self.examine_again(&mut loan)?;
            if let Some(error) = self.account_refusal() {
                return Err(error);
            }
        }
        let connection = loan.get()?;
        if self.learned.server.load().is_none() {
            self.learned.server.store(Some(Arc::new(connection.server().clone())));
            // A second server of the group may be another engine; the pipeline compares before it runs.
            let _ = self.learned.dialect.set(connection.dialect());
        }
        Ok(loan)
    }

    /// Schema of a call for rules, keys and records: its own, else the profile's, else what the protocol implies. It
    /// does not depend on whether a server was reached already.
    pub(crate) fn schema_of(&self, wanted: Option<&str>) -> String {
        match (self.explicit_schema(wanted), self.config.protocol) {
            (Some(schema), _) => schema,
            (None, Protocol::Sqlite) => "main".to_owned(),
            (None, Protocol::Mysql) => self.config.connect.database.clone(),
            (None, Protocol::Pgsql) => "public".to_owned(),
        }
    }

    /// Schema that the driver is told: `None` leaves the server's own.
    pub(crate) fn explicit_schema(&self, wanted: Option<&str>) -> Option<String> {
        let wanted = wanted.unwrap_or(&self.config.default_schema);
        (!wanted.is_empty()).then(|| wanted.to_owned())
    }

    /// Schema of calls that name none, as the server says it if it was reached.
    pub(crate) fn default_schema(&self) -> String {
        match (self.explicit_schema(None), self.server()) {
            (None, Some(server)) => server.default_schema.clone(),
            _ => self.schema_of(None),
        }
    }

    pub(crate) fn lex_mode(&self) -> LexMode {
        LexMode::of(self.assumed_dialect().map_or(DialectName::Sqlite, Dialect::name))
    }

    fn no_driver(&self) -> HarvestError {
        HarvestError::new(
            HarvestCode::FailedPrecondition,
            format!("no driver for {} is built in", self.config.protocol.as_str()),
        )
    }

    fn same_pool(&self, config: &TargetConfig, backends: &[BackendConfig]) -> bool {
        let (a, b) = (&self.config.connect, &config.connect);
        self.config.protocol == config.protocol
            && self.config.credential_generation == config.credential_generation
            && self.backends.len() == backends.len()
            && self
                .backends
                .iter()
                .zip(backends)
                .all(|(old, new)| old.host == new.host && old.port == new.port && old.use_ssl == new.use_ssl)
            && a.user == b.user
            && a.password == b.password
            && a.database == b.database
            && a.tls == b.tls
            && a.tls_ca_file == b.tls_ca_file
            && a.tls_cert_file == b.tls_cert_file
            && a.tls_key_file == b.tls_key_file
            && a.connect_timeout_ms == b.connect_timeout_ms
    }
}

/// All targets of one load.
#[derive(Default)]
pub(crate) struct Targets {
    pub(crate) by_id: BTreeMap<String, Arc<Target>>,
    pub(crate) directory_generation: u64,
}

/// Builds targets and keeps what outlives a load: capacities by server, numbers of pools.
#[derive(Default)]
pub(crate) struct TargetBuilder {
    capacities: Mutex<HashMap<(String, u16), Arc<Capacity>>>,
    next_generation: Mutex<u64>,
}

impl TargetBuilder {
    /// Builds targets; a target whose connections would be the same keeps its pool. Gives the pools that are left over.
    pub(crate) fn build(
        &self,
        configs: Vec<TargetConfig>,
        drivers: &[Arc<dyn Driver>],
        directory: &dyn BackendDirectory,
        settings: &Settings,
        previous: &Targets,
        keep_pools: bool,
    ) -> (Targets, Vec<Arc<Pool>>) {
        let directory_generation = directory.generation();
        let mut by_id = BTreeMap::new();
        for config in configs {
            let backends = directory.backends(config.hostgroup_id);
            let driver = drivers.iter().find(|driver| driver.protocol() == config.protocol).cloned();
            let old = previous.by_id.get(&config.target_id);
            let kept = old.filter(|old| keep_pools && old.same_pool(&config, &backends));
            let (pool, learned, generation) = match kept {
                Some(old) => {
                    for (was, backend) in old.backends.iter().zip(&backends) {
                        // An unchanged row keeps its breaker as it is.
                        if was.status != backend.status || was.weight != backend.weight {
                            old.pool.set_status(&backend.name(), backend.status, backend.weight);
                        }
                        self.capacity(backend);
                    }
                    (Arc::clone(&old.pool), Arc::clone(&old.learned), old.generation)
                }
                None => {
                    let learned = Arc::new(Learned::default());
                    let members = driver.as_ref().map_or_else(Vec::new, |driver| {
                        let member =
                            |backend: &BackendConfig| self.member(driver, &config, backend, &learned.account);
                        backends.iter().map(member).collect()
                    });
                    (Pool::new(members, settings.pool), learned, self.next_generation())
                }
            };
            let target = Target {
                id: config.target_id.as_str().into(),
                policy: policy(&config, settings),
                verdicts: Verdicts::default(),
                generation,
                driver,
                backends,
                pool,
                learned,
                allow_privileged: settings.allow_privileged_backend,
                config,
            };
            by_id.insert(target.config.target_id.clone(), Arc::new(target));
        }
        let targets = Targets { by_id, directory_generation };
        let living: Vec<_> = targets.by_id.values().map(|target| Arc::as_ptr(&target.pool)).collect();
        let left = previous.by_id.values().filter(|old| !living.contains(&Arc::as_ptr(&old.pool)));
        let left = left.map(|old| Arc::clone(&old.pool)).collect();
        (targets, left)
    }

    fn member(
        &self,
        driver: &Arc<dyn Driver>,
        config: &TargetConfig,
        backend: &BackendConfig,
        account: &Arc<Account>,
    ) -> PoolMember {
        let params = member_params(driver, &config.connect, backend);
        PoolMember {
            name: backend.name(),
            backend: Arc::new(ExaminedBackend {
                inner: Arc::new(DriverBackend::new(Arc::clone(driver), params)),
                target_id: config.target_id.clone(),
                server: backend.name(),
                account: Arc::clone(account),
            }),
            weight: backend.weight,
            status: backend.status,
            capacity: self.capacity(backend),
        }
    }

    fn capacity(&self, backend: &BackendConfig) -> Arc<Capacity> {
        let mut known = self.capacities.lock().unwrap_or_else(PoisonError::into_inner);
        let capacity = known
            .entry((backend.host.clone(), backend.port))
            .or_insert_with(|| Capacity::new(backend.connections_max));
        capacity.set_max(backend.connections_max);
        Arc::clone(capacity)
    }

    fn next_generation(&self) -> u64 {
        let mut next = self.next_generation.lock().unwrap_or_else(PoisonError::into_inner);
        *next += 1;
        *next
    }
}

fn member_params(
    driver: &Arc<dyn Driver>,
    connect: &ConnectParams,
    backend: &BackendConfig,
) -> ConnectParams {
    let mut params = connect.clone();
    params.host.clone_from(&backend.host);
    params.port = if backend.port == 0 { driver.default_port() } else { backend.port };
    if backend.use_ssl {
        params.tls = params.tls.max(TlsMode::Required);
    }
    params
}

/// A server of a target with the counters of the pool for it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerFacts {
    /// Host, address or file.
    pub host: String,
    /// Port that it is reached at; 0 for a file.
    pub port: u16,
    /// Counters of the pool.
    pub pool: harvest::PoolStats,
}

/// A target as operators may know it, with account and servers; never for agents.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TargetFacts {
    /// Name used by clients.
    pub target_id: String,
    /// Protocol.
    pub protocol: Protocol,
    /// Group of its servers.
    pub hostgroup_id: u32,
    /// Account of its statements; empty for SQLite.
    pub username: String,
    /// Schema of calls that name none.
    pub default_schema: String,
    /// Whether statements can run now.
    pub executable: bool,
    /// Its servers, in the order of the pool.
    pub servers: Vec<ServerFacts>,
    /// Counters of the pool.
    pub totals: harvest::PoolTotals,
}

/// One server of a target as operators reach it.
pub struct AdminBackend {
    driver: Arc<dyn Driver>,
    params: ConnectParams,
    backend: BackendConfig,
}

impl AdminBackend {
    /// The server.
    #[must_use]
    pub fn backend(&self) -> &BackendConfig {
        &self.backend
    }

    /// Opens a session for one call.
    ///
    /// # Errors
    /// What connecting fails with; `FAILED_PRECONDITION` where the engine has no sessions.
    pub fn connect(&self) -> HarvestResult<Box<dyn AdminConnection>> {
        self.driver.connect_admin(&self.params)
    }
}

impl std::fmt::Debug for AdminBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminBackend")
            .field("hostgroup_id", &self.backend.hostgroup_id)
            .finish_non_exhaustive()
    }
}

fn policy(config: &TargetConfig, settings: &Settings) -> GatePolicy {
    let protocol = config.protocol.as_str();
    let mine = |entry: &String| match entry.split_once(':') {
        None => Some(entry.to_ascii_lowercase()),
        Some((engine, name)) => {
            let engine = engine.to_ascii_lowercase();
            let same = engine == protocol
                || (protocol == "mysql" && engine == "mariadb")
                || (protocol == "pgsql" && engine == "postgresql");
            same.then(|| name.to_ascii_lowercase())
        }
    };
    let mut policy = GatePolicy::default();
    policy.sql_bytes_max = settings.sql_bytes_max;
    policy.allowed_functions = settings.allowed_functions.iter().filter_map(mine).collect();
    policy.denied_objects = settings.denied_objects.iter().map(|name| name.to_ascii_lowercase()).collect();
    policy.allow_explain = config.allow_explain;
    policy
}

impl Targets {
    /// The target of a call.
    pub(crate) fn resolve(
        &self,
        wanted: Option<&str>,
        settings: &Settings,
        scope: &CallScope,
    ) -> HarvestResult<Arc<Target>> {
        let name = wanted.or(settings.default_target_id.as_deref().filter(|id| !id.is_empty()));
        if let Some(name) = name {
            let target = self.visible(name, scope)?;
            return match target.unusable() {
                Some(error) => Err(error),
                None => Ok(target),
            };
        }
        let mut reasons = serde_json::Map::new();
        for target in self.by_id.values().filter(|target| scope.sees(&target.config.target_id)) {
            match target.unusable() {
                None => return Ok(Arc::clone(target)),
                Some(error) => {
                    reasons.insert(target.config.target_id.clone(), error.message.into());
                }
            }
        }
        let message = if reasons.is_empty() {
            "no target is configured for this caller: ask an operator for one"
        } else {
            "no target can be used now: see details.targets for the reasons"
        };
        Err(HarvestError::new(HarvestCode::FailedPrecondition, message)
            .with("reason", "no default target")
            .with("targets", serde_json::Value::Object(reasons)))
    }

    /// A target that the caller may see, usable or not.
    pub(crate) fn visible(&self, name: &str, scope: &CallScope) -> HarvestResult<Arc<Target>> {
        let found = self.by_id.get(name).filter(|_| scope.sees(name));
        found.cloned().ok_or_else(|| {
            let similar: Vec<_> = self
                .by_id
                .keys()
                .filter(|id| scope.sees(id) && (id.contains(name) || name.contains(id.as_str())))
                .take(5)
                .cloned()
                .collect();
            HarvestError::new(
                HarvestCode::NotFound,
                format!("target {name:?} does not exist: list_targets shows those that do"),
            )
            .with("kind", "target")
            .with("id", name)
            .with("similar", similar)
        })
    }
}
