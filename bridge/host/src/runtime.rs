//! Puts a loaded configuration into use, all of it or nothing, and tells what became of it; it reads no table itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bridge::{NameStyle, ToolHandlerRegistry};
use harvest::{ConnectParams, HarvestError};
use harvest_catalog::LogWriter;
use harvest_gateway::{BackendConfig, BackendDirectory, CallScope, Gateway, RuleSet, Settings, TargetInfo};
use mcp_config::{
    Applied, Candidate, Cell, ConfigResult, ListenerChange, ListenerState, Row, RowView, Runtime, VARIABLES,
    refused, target_effects,
};
use mcp_server::{Server, ServerConfig, TokenRecord, TokenTable};
use mcp_tools::{CallBook, CatalogDeps};

use crate::auditing::Auditor;
use crate::config::HostDirectory;
use crate::listener::{ListenerControl, ListenerSettings};
use crate::rows;

/// Hears of a configuration before and after it is put into use: parts of a host that have variables of their own.
pub trait ConfigConsumer: Send + Sync {
    /// Whether the part can take it.
    ///
    /// # Errors
    /// Why not; nothing is applied then.
    fn check(&self, candidate: &Candidate) -> ConfigResult<()>;

    /// Takes it. This cannot fail: everything that may was asked before.
    fn apply(&self, candidate: &Candidate);
}

/// The backends of the table, changed as a whole, or those of a host that keeps its own list.
#[derive(Debug, Default)]
pub(crate) struct TableDirectory {
    backends: ArcSwap<Vec<BackendConfig>>,
    generation: AtomicU64,
    own: Option<HostDirectory>,
}

impl TableDirectory {
    pub(crate) fn new(own: Option<HostDirectory>) -> Self {
        Self { own, ..Self::default() }
    }

    fn replace(&self, backends: Vec<BackendConfig>) {
        if **self.backends.load() != backends {
            self.backends.store(Arc::new(backends));
            self.generation.fetch_add(1, Ordering::Release);
        }
    }
}

impl BackendDirectory for TableDirectory {
    fn backends(&self, hostgroup_id: u32) -> Vec<BackendConfig> {
        if let Some(own) = &self.own {
            return own.0.backends(hostgroup_id);
        }
        self.backends.load().iter().filter(|b| b.hostgroup_id == hostgroup_id).cloned().collect()
    }

    fn generation(&self) -> u64 {
        if let Some(own) = &self.own {
            return own.0.generation();
        }
        self.generation.load(Ordering::Acquire)
    }
}

/// What a configuration is applied to.
pub(crate) struct HostRuntime {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) directory: Arc<TableDirectory>,
    pub(crate) registry: Arc<ToolHandlerRegistry>,
    pub(crate) tokens: Arc<TokenTable>,
    pub(crate) base: (Settings, ServerConfig),
    /// What the URLs of command-line targets said beyond the columns.
    pub(crate) extra: BTreeMap<String, ConnectParams>,
    pub(crate) started: Instant,
    audit: Arc<Auditor>,
    parts: OnceLock<Parts>,
    state: Mutex<State>,
}

/// What exists only after the stores are open.
pub(crate) struct Parts {
    pub(crate) book: Arc<CallBook>,
    pub(crate) memory: CatalogDeps,
    pub(crate) logs: Arc<LogWriter>,
    /// Canonical names of all tools that rules may name.
    pub(crate) tools: Vec<String>,
}

#[derive(Default)]
struct State {
    server: Option<Server>,
    server_config: Option<ServerConfig>,
    listener: Option<Arc<dyn ListenerControl>>,
    wanted: Option<ListenerSettings>,
    /// Tokens of this process only.
    extra_tokens: Vec<TokenRecord>,
    records: Vec<TokenRecord>,
    effects: BTreeMap<String, &'static str>,
    /// Groups of backends that targets name.
    groups: Vec<u32>,
    consumers: Vec<Arc<dyn ConfigConsumer>>,
}

impl HostRuntime {
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        directory: Arc<TableDirectory>,
        registry: Arc<ToolHandlerRegistry>,
        base: (Settings, ServerConfig),
        extra: BTreeMap<String, ConnectParams>,
        audit: Arc<Auditor>,
    ) -> Self {
        Self {
            gateway,
            directory,
            registry,
            tokens: Arc::new(TokenTable::new()),
            base,
            extra,
            started: Instant::now(),
            audit,
            parts: OnceLock::new(),
            state: Mutex::default(),
        }
    }

    pub(crate) fn set_parts(&self, parts: Parts) {
        // A host opens its stores once.
        let _ = self.parts.set(parts);
    }

    pub(crate) fn add_consumer(&self, consumer: Arc<dyn ConfigConsumer>) {
        self.lock().consumers.push(consumer);
    }

    /// The server's bounds as they stand.
    pub(crate) fn server_config(&self) -> ServerConfig {
        self.lock().server_config.clone().unwrap_or_else(|| self.base.1.clone())
    }

    /// Bounds follow the configuration from now on.
    pub(crate) fn set_server(&self, server: Server) {
        server.reconfigure(self.server_config());
        self.lock().server = Some(server);
    }

    /// The listener follows the configuration from now on, beginning with what runs.
    pub(crate) fn set_listener(&self, control: Arc<dyn ListenerControl>) -> Result<ListenerChange, String> {
        let mut state = self.lock();
        let outcome = match &state.wanted {
            Some(wanted) => self.listen(&*control, wanted),
            None => Err("the configuration was refused at start: see SHOW MCP STATUS".to_owned()),
        };
        state.listener = Some(control);
        outcome
    }

    /// Tokens beside those of the configuration, for this process.
    pub(crate) fn add_tokens(&self, records: Vec<TokenRecord>) {
        let mut state = self.lock();
        state.extra_tokens.extend(records);
        self.tokens.replace(state.all_tokens());
    }

    /// The names of an endpoint's tokens.
    pub(crate) fn token_names(&self, endpoint: &str) -> Vec<String> {
        let state = self.lock();
        let of_endpoint = state.records.iter().filter(|record| record.endpoint == endpoint);
        of_endpoint.map(|record| record.token_name.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the listener to these settings, and tells the audit log.
    fn listen(
        &self,
        control: &dyn ListenerControl,
        wanted: &ListenerSettings,
    ) -> Result<ListenerChange, String> {
        let outcome = control.apply(wanted);
        let line = || control.state().line();
        match &outcome {
            Ok(ListenerChange::Unchanged) => {}
            Ok(ListenerChange::Started) => self.audit.listener("start", Ok(&line())),
            Ok(ListenerChange::RestartScheduled) => self.audit.listener("restart", Ok(&line())),
            Ok(ListenerChange::StopScheduled) => self.audit.listener("stop", Ok(&line())),
            Err(cause) => self.audit.listener("start", Err(cause)),
        }
        outcome
    }

    /// The end of the program is the end of the listener.
    pub(crate) fn audit_end(&self) {
        let control = self.lock().listener.clone();
        if control.is_some_and(|control| control.state().enabled) {
            self.audit.listener("stop", Ok("the program ends"));
        }
    }

    fn put_rules(&self, candidate: &Candidate) -> harvest::HarvestResult<()> {
        let rules = rows::rules(candidate);
        if candidate.only_column != Some("cache_ttl_ms") {
            return self.gateway.set_rules(rules, None);
        }
        // Times to live alone: what is cached stays, as whoever changed them wants.
        let before = self.gateway.rules().configs();
        let changed = rules.iter().filter(|rule| !before.contains(rule));
        for (rule_id, ttl_ms) in changed.filter_map(|rule| Some((rule.rule_id, rule.cache_ttl_ms?))) {
            self.gateway.set_rule_cache_ttl(rule_id, ttl_ms)?;
        }
        Ok(())
    }

    fn check_rules(&self, candidate: &Candidate) -> ConfigResult<()> {
        let parts = self.parts.get();
        let names: Option<Vec<&str>> = parts.map(|p| p.tools.iter().map(String::as_str).collect());
        let compiled = RuleSet::compile(rows::rules(candidate), names.as_deref(), &self.gateway.rules());
        compiled.map(drop).map_err(|error| rule_refusal(&error))
    }
}

impl State {
    fn all_tokens(&self) -> Vec<TokenRecord> {
        self.records.iter().chain(&self.extra_tokens).cloned().collect()
    }
}

/// The moment that is so many milliseconds ahead, Unix seconds.
fn until(ahead_ms: u64) -> Cell {
    let end = SystemTime::now() + std::time::Duration::from_millis(ahead_ms);
    let end = end.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    Cell::Integer(i64::try_from(end).unwrap_or(i64::MAX))
}

fn rule_refusal(error: &HarvestError) -> mcp::ToolError {
    let row = error.details.get("rule_id").map(|id| format!("rule_id {id}"));
    let refusal = refused("query_rules", row.as_deref(), error.message.clone());
    match error.details.get("rule_id") {
        Some(id) => refusal.with("rule_id", id.clone()),
        None => refusal,
    }
}

impl Runtime for HostRuntime {
    fn apply(&self, candidate: &Candidate) -> ConfigResult<Applied> {
        let variables = candidate.variables();
        let changes = |module: &str| candidate.changes(module);
        if changes("query_rules") {
            self.check_rules(candidate)?;
        }
        let targets = rows::targets(candidate, &self.extra)?;
        let wanted = ListenerSettings::of(variables, &candidate.data_dir);
        let mut state = self.lock();
        for consumer in &state.consumers {
            consumer.check(candidate)?;
        }
        // The last thing that may fail; from here on everything is taken.
        let change = match &state.listener {
            Some(control) => self.listen(&**control, &wanted).map_err(|cause| {
                refused(VARIABLES, None, format!("the listener cannot take the values: {cause}"))
                    .with("reason", "listener")
            })?,
            None => ListenerChange::Unchanged,
        };
        state.wanted = Some(wanted);
        if changes(VARIABLES) || changes("column_rules") || changes("cost_rules") {
            let settings = rows::settings(&self.base.0, candidate);
            if *self.gateway.settings() != settings {
                self.gateway.set_settings(settings);
            }
        }
        if changes(VARIABLES) {
            let config = rows::server(&self.base.1, variables);
            if let Some(server) = &state.server {
                server.reconfigure(config.clone());
            }
            state.server_config = Some(config);
            let is_underscore = variables.text("tool_name_style") == "underscore";
            self.registry.set_style(if is_underscore { NameStyle::Underscore } else { NameStyle::Dotted });
            if let Some(parts) = self.parts.get() {
                parts.memory.set_settings(rows::catalog(variables));
                parts.logs.set_retention_days(variables.int("log_retention_days"));
            }
        }
        if changes("backends") || changes("profiles") || changes(VARIABLES) {
            self.directory.replace(rows::backends(candidate));
            state.groups = targets.iter().map(|target| target.hostgroup_id).collect();
            self.gateway.set_targets(targets);
            state.effects = target_effects(candidate).into_iter().collect();
        }
        if changes("query_rules") {
            // Compiled above; only the memory of the machine could fail it now.
            self.put_rules(candidate).map_err(|error| rule_refusal(&error))?;
        }
        if changes("tokens") || changes(VARIABLES) {
            state.records = rows::tokens(candidate);
            self.tokens.replace(state.all_tokens());
        }
        for consumer in &state.consumers {
            consumer.apply(candidate);
        }
        Ok(Applied::new(change))
    }

    fn listener(&self) -> ListenerState {
        let control = self.lock().listener.clone();
        control.map_or_else(
            || {
                let mut state = ListenerState::default();
                state.reason = "this program has no listener".to_owned();
                state
            },
            |control| control.state(),
        )
    }

    fn mirrored(&self, table: &str) -> Option<Vec<Row>> {
        let own = self.directory.own.as_ref().filter(|_| table == "mcp_backends")?;
        let mut groups = own.0.hostgroups();
        groups.extend(&self.lock().groups);
        groups.sort_unstable();
        groups.dedup();
        Some(
            groups
                .into_iter()
                .flat_map(|group| own.0.backends(group))
                .map(|b| rows::backend_row(&b))
                .collect(),
        )
    }

    fn live(&self, row: &RowView<'_>) -> Vec<(&'static str, Cell)> {
        match row.def.name {
            "mcp_target_profiles" => self.live_target(row.text("target_id")),
            "mcp_backends" => self.live_backend(row),
            "mcp_endpoint_tokens" => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
                let now = i64::try_from(now).unwrap_or(i64::MAX);
                let endpoint = format!("/mcp/{}", row.text("endpoint"));
                let used = self.tokens.last_used_s(&endpoint, row.text("token_name"));
                let used = used.and_then(|at| i64::try_from(at).ok());
                vec![
                    ("expired", Cell::flag(row.int("expires_at").is_some_and(|end| now >= end))),
                    ("last_used", used.map_or(Cell::Null, Cell::Integer)),
                ]
            }
            _ => Vec::new(),
        }
    }

    fn status(&self) -> Vec<(String, String)> {
        let figures = self.figures();
        let number = |name: &str| figures.get(name).copied().unwrap_or_default();
        let mut rows = vec![
            ("uptime_s".to_owned(), self.started.elapsed().as_secs().to_string()),
            (
                "targets".to_owned(),
                format!(
                    "{} loaded, {} effective, {} executable",
                    number("targets_loaded"),
                    number("targets_effective"),
                    number("targets_executable")
                ),
            ),
            (
                "stores".to_owned(),
                if self.parts.get().is_some() { "open".to_owned() } else { "not open".to_owned() },
            ),
            ("audit".to_owned(), self.audit.line()),
        ];
        for target in self.gateway.targets(&CallScope::new("list_targets", "host")) {
            let Some(findings) = target.account.filter(|findings| !findings.is_empty()) else { continue };
            let texts: Vec<String> = findings.into_iter().map(|finding| finding.text).collect();
            rows.push((format!("account of target {}", target.target_id), texts.join("; ")));
        }
        rows
    }

    fn figures(&self) -> BTreeMap<&'static str, i64> {
        let state = self.lock();
        let effective = state.effects.values().filter(|reason| reason.is_empty()).count();
        let loaded = state.effects.len();
        drop(state);
        let targets = self.gateway.targets(&CallScope::new("list_targets", "host"));
        let executable = targets.iter().filter(|target| target.executable).count();
        let dangerous = |t: &&TargetInfo| t.account.iter().flatten().any(|finding| finding.dangerous);
        let privileged = targets.iter().filter(dangerous).count();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let uptime = i64::try_from(self.started.elapsed().as_secs()).unwrap_or(i64::MAX);
        let (total, failed, active, connections) = self.parts.get().map_or((0, 0, 0, 0), |parts| {
            let (total, failed, active) = parts.book.requests();
            (total, failed, active, parts.book.totals().0)
        });
        let counter = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        BTreeMap::from([
            ("total_requests", counter(total)),
            ("failed_requests", counter(failed)),
            ("active_requests", active),
            ("active_connections", counter(connections)),
            ("targets_loaded", count(loaded)),
            ("targets_effective", count(effective)),
            ("targets_executable", count(executable)),
            ("targets_privileged", count(privileged)),
            ("uptime_s", uptime),
        ])
    }

    fn endpoints(&self) -> Vec<(String, usize, usize)> {
        let paths = self.registry.endpoints();
        let row = |path: String| {
            let (tokens, tools) = (self.tokens.active(&path), self.registry.tool_count(&path));
            (path, tokens, tools)
        };
        paths.into_iter().map(row).collect()
    }
}

impl HostRuntime {
    fn live_target(&self, id: &str) -> Vec<(&'static str, Cell)> {
        let reason = self.lock().effects.get(id).copied().unwrap_or_default();
        let targets = self.gateway.targets(&CallScope::new("list_targets", "host"));
        let info = targets.into_iter().find(|target| target.target_id == id);
        let executable = info.as_ref().is_some_and(|info| info.executable);
        let why = info.and_then(|info| info.unavailable_reason).unwrap_or_default();
        vec![
            ("effective", Cell::flag(reason.is_empty())),
            ("skip_reason", Cell::text(reason)),
            ("executable", Cell::flag(executable && reason.is_empty())),
            ("unavailable_reason", Cell::Text(why)),
        ]
    }

    fn live_backend(&self, row: &RowView<'_>) -> Vec<(&'static str, Cell)> {
        let port = row.int("port").unwrap_or_default();
        let host = row.text("hostname");
        let name = if port == 0 { host.to_owned() } else { format!("{host}:{port}") };
        let pools = self.gateway.pools();
        let group = row.int("hostgroup_id").unwrap_or_default();
        let own = pools.iter().filter(|(_, of, _, _)| i64::from(*of) == group);
        let (mut used, mut free, mut reason, mut status) = (0_usize, 0_usize, None, None);
        let mut shunned_ms: Option<u64> = None;
        for stats in own.flat_map(|(_, _, stats, _)| stats) {
            if stats.backend == name || stats.backend.ends_with(&format!("/{name}")) {
                used += stats.conn_used;
                free += stats.conn_free;
                reason = reason.or_else(|| stats.shunned_reason.clone());
                shunned_ms = shunned_ms.max(stats.shunned_for_ms);
                status = status.max(Some(stats.status));
            }
        }
        let count = |n: usize| Cell::Integer(i64::try_from(n).unwrap_or(i64::MAX));
        let mut live = vec![
            ("status_reason", Cell::Text(reason.unwrap_or_default())),
            ("conn_used", count(used)),
            ("conn_free", count(free)),
            ("shunned_until", shunned_ms.map_or(Cell::Null, until)),
        ];
        let word = status.and_then(|status| serde_json::to_value(status).ok());
        if let Some(word) = word.as_ref().and_then(serde_json::Value::as_str) {
            live.push(("status", Cell::text(word)));
        }
        live
    }
}

#[cfg(test)]
mod tests;
