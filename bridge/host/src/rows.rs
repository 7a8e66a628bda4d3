//! Rows of the configuration as the gateway and the server want them; it applies nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr as _;

use harvest::{BackendStatus, ConnectParams, PoolConfig, Protocol, Secret, TlsMode};
use harvest_gateway::{
    BackendConfig, ColumnAction, ColumnRule, CostRule, LogSql, RuleConfig, Settings, TargetConfig,
};
use mcp::Scope;
use mcp_config::{
    BACKENDS, Candidate, Cell, ConfigResult, Row, RowView, TOKEN_ENDPOINTS, Variables, refused,
    resolve_secret, ssl_mode, target_effects,
};
use mcp_server::{ServerConfig, TokenRecord};
use mcp_tools::CatalogSettings;

/// Connect timeout that a URL gives when it names none, in milliseconds.
const URL_CONNECT_TIMEOUT_MS: u64 = 5_000;

/// The pipeline's settings.
pub(crate) fn settings(base: &Settings, candidate: &Candidate) -> Settings {
    let variables = candidate.variables();
    let mut settings = base.clone();
    settings.column_rules.extend(column_rules(candidate));
    settings.cost_rules.extend(cost_rules(candidate));
    let key = variables.text("column_hash_key");
    if !key.is_empty() {
        settings.column_hash_key = Secret::new(key);
    }
    settings.allow_privileged_backend |= variables.flag("allow_privileged_backend");
    let text = |name: &str| variables.text(name);
    settings.default_target_id =
        Some(text("default_target_id")).filter(|id| !id.is_empty()).map(str::to_owned);
    settings.rows_max_hard = variables.int("max_rows_hard");
    settings.sql_bytes_max = variables.int("max_sql_bytes");
    settings.response_bytes_max = variables.int("max_response_bytes");
    settings.allowed_functions = variables.list("sql_allowed_functions");
    settings.denied_objects = variables.list("sql_denied_objects");
    settings.profile_scan_rows_max = variables.int("profile_max_scan_rows");
    settings.cache.enabled = variables.flag("cache_enabled");
    settings.cache.default_ttl_ms = variables.int("cache_default_ttl_ms");
    settings.cache.ttl_ms_max = variables.int("cache_max_ttl_ms");
    settings.cache.bytes_max = variables.int("cache_max_bytes");
    settings.cache.entry_bytes_max = variables.int("cache_max_entry_bytes");
    settings.cache.shared = text("cache_scope") == "shared";
    settings.pool = pool(settings.pool, variables);
    settings.log_sql = match text("log_sql") {
        "off" => LogSql::Off,
        "full" => LogSql::Full,
        _ => LogSql::Digest,
    };
    settings.digest_entries_max = variables.int("stats_digest_max_entries");
    settings
}

fn column_rules(candidate: &Candidate) -> impl Iterator<Item = ColumnRule> {
    let rule = |row: RowView<'_>| {
        // The table holds none but the known words; a word of a later version guards as strictly as can be.
        let action = ColumnAction::from_str(row.text("action")).unwrap_or(ColumnAction::Deny);
        let glob = |name: &str| row.optional(name).unwrap_or("*").to_owned();
        let mut rule = ColumnRule::new(glob("table_name"), glob("column_name"), action);
        (rule.target, rule.caller, rule.schema) = (glob("target_id"), glob("caller"), glob("schema_name"));
        rule
    };
    candidate.rows("mcp_column_rules").filter(|row| row.flag("active")).map(rule)
}

fn cost_rules(candidate: &Candidate) -> impl Iterator<Item = CostRule> {
    let rule = |row: RowView<'_>| {
        let bound = |name: &str| row.int(name).and_then(|n| u64::try_from(n).ok());
        CostRule {
            target_id: row.optional("target_id").map(str::to_owned),
            caller: row.optional("caller").map(str::to_owned),
            estimated_rows_max: bound("max_estimated_rows"),
            estimated_cost_max: bound("max_estimated_cost"),
        }
    };
    candidate.rows("mcp_cost_rules").filter(|row| row.flag("active")).map(rule)
}

fn pool(mut pool: PoolConfig, variables: &Variables) -> PoolConfig {
    pool.acquire_timeout_ms = variables.int("pool_acquire_timeout_ms");
    pool.idle_ping_ms = variables.int("pool_idle_ping_ms");
    pool.idle_max_ms = variables.int("pool_max_idle_ms");
    pool.lifetime_max_ms = variables.int("pool_max_lifetime_ms");
    pool.shun_failures = variables.int("pool_shun_failures");
    pool.shun_ms = variables.int("pool_shun_ms");
    pool
}

/// The server's bounds.
pub(crate) fn server(base: &ServerConfig, variables: &Variables) -> ServerConfig {
    let mut config = base.clone();
    config.call_timeout_ms = variables.int("timeout_ms");
    config.allowed_origins = variables.list("allowed_origins");
    config.body_bytes_max = variables.int("max_body_bytes");
    config.response_bytes_max = variables.int("max_response_bytes");
    config.requests_max = variables.int("max_concurrent_requests");
    config.calls_max = config.requests_max;
    config.rate_limit_per_min = variables.int("rate_limit_per_min");
    config.auth_failures_per_min_max = variables.int("auth_max_failures_per_min");
    config
}

/// The bounds of the catalog-backed tools.
pub(crate) fn catalog(variables: &Variables) -> CatalogSettings {
    let mut settings = CatalogSettings::default();
    settings.discovery_timeout_ms = variables.int("discovery_timeout_ms");
    settings.discovery_objects_max = variables.int("discovery_max_objects");
    settings.discovery_value_checks_max = variables.int("discovery_max_value_checks");
    settings.runs_max_per_target = variables.int("catalog_max_runs_per_target");
    settings.run_retention_days = variables.int("catalog_run_retention_days");
    settings.template_reuse_score = variables.num("template_reuse_score");
    settings.fts_rows_max = variables.int("fts_max_rows");
    settings.fts_bytes_max = variables.int("fts_max_bytes");
    settings.underscore_names = variables.text("tool_name_style") == "underscore";
    settings
}

/// The backends.
pub(crate) fn backends(candidate: &Candidate) -> Vec<BackendConfig> {
    let backend = |row: RowView<'_>| {
        let number = |name: &str| row.int(name).unwrap_or_default();
        let group = u32::try_from(number("hostgroup_id")).unwrap_or(u32::MAX);
        let port = u16::try_from(number("port")).unwrap_or_default();
        let mut backend = BackendConfig::new(group, row.text("hostname"), port);
        backend.weight = u32::try_from(number("weight")).unwrap_or(u32::MAX);
        backend.status = match row.text("status") {
            "SHUNNED" => BackendStatus::Shunned,
            "OFFLINE_SOFT" => BackendStatus::OfflineSoft,
            "OFFLINE_HARD" => BackendStatus::OfflineHard,
            _ => BackendStatus::Online,
        };
        backend.connections_max = usize::try_from(number("max_connections")).unwrap_or(usize::MAX);
        backend.use_ssl = row.flag("use_ssl");
        backend
    };
    let mut found: Vec<BackendConfig> = candidate.rows("mcp_backends").map(backend).collect();
    // The file of an embedded database is found from the data folder.
    let sqlite: Vec<u32> = candidate
        .rows("mcp_target_profiles")
        .filter(|row| row.text("protocol") == "sqlite")
        .filter_map(|row| u32::try_from(row.int("hostgroup_id")?).ok())
        .collect();
    for backend in found.iter_mut().filter(|backend| sqlite.contains(&backend.hostgroup_id)) {
        backend.host = candidate.data_dir.join(&backend.host).display().to_string();
    }
    found
}

/// A backend as a row of its table, for hosts that keep their own list.
pub(crate) fn backend_row(backend: &BackendConfig) -> Row {
    let status = match backend.status {
        BackendStatus::Shunned => "SHUNNED",
        BackendStatus::OfflineSoft => "OFFLINE_SOFT",
        BackendStatus::OfflineHard => "OFFLINE_HARD",
        _ => "ONLINE",
    };
    let number = |n: u64| Cell::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let of = |name: &str| match name {
        "hostgroup_id" => number(u64::from(backend.hostgroup_id)),
        "hostname" => Cell::text(&backend.host),
        "port" => number(u64::from(backend.port)),
        "weight" => number(u64::from(backend.weight)),
        "status" => Cell::text(status),
        "max_connections" => number((backend.connections_max as u64).max(1)),
        "use_ssl" => Cell::flag(backend.use_ssl),
        _ => Cell::text("kept by the host"),
    };
    BACKENDS.columns.iter().map(|column| of(column.name)).collect()
}

/// The targets with their credentials; `extra` holds what a URL said beyond the columns.
pub(crate) fn targets(
    candidate: &Candidate,
    extra: &BTreeMap<String, ConnectParams>,
) -> ConfigResult<Vec<TargetConfig>> {
    let profiles: BTreeMap<&str, RowView<'_>> =
        candidate.rows("mcp_auth_profiles").map(|row| (row.text("auth_profile_id"), row)).collect();
    let effects: BTreeMap<String, &str> = target_effects(candidate).into_iter().collect();
    let mut targets = Vec::new();
    for row in candidate.rows("mcp_target_profiles") {
        let id = row.text("target_id");
        let protocol = match row.text("protocol") {
            "mysql" => Protocol::Mysql,
            "pgsql" => Protocol::Pgsql,
            _ => Protocol::Sqlite,
        };
        let group = u32::try_from(row.int("hostgroup_id").unwrap_or_default()).unwrap_or(u32::MAX);
        let mut target = TargetConfig::new(id, protocol, group);
        target.description = row.text("description").to_owned();
        target.rows_max = usize::try_from(row.int("max_rows").unwrap_or(200)).unwrap_or(usize::MAX);
        target.timeout_ms = u64::try_from(row.int("timeout_ms").unwrap_or_default()).unwrap_or_default();
        target.allow_explain = row.flag("allow_explain");
        target.allow_discovery = row.flag("allow_discovery");
        target.has_admin =
            row.optional("admin_auth_profile_id").is_some_and(|profile| profiles.contains_key(profile));
        target.skip_reason =
            effects.get(id).filter(|reason| !reason.is_empty()).map(|reason| (*reason).to_owned());
        if let Some(profile) = profiles.get(row.text("auth_profile_id")) {
            credential(&mut target, profile, candidate, extra.get(id))?;
        }
        if let Some(profile) = row.optional("admin_auth_profile_id").and_then(|id| profiles.get(id)) {
            let mut operations = TargetConfig::new(id, protocol, group);
            credential(&mut operations, profile, candidate, extra.get(id))?;
            target.admin = Some(operations.connect);
        }
        targets.push(target);
    }
    Ok(targets)
}

fn credential(
    target: &mut TargetConfig,
    profile: &RowView<'_>,
    candidate: &Candidate,
    extra: Option<&ConnectParams>,
) -> ConfigResult<()> {
    let variables = candidate.variables();
    let mut connect = ConnectParams::new(String::new());
    connect.user = profile.text("db_username").to_owned();
    let password = resolve_secret(profile.text("db_password"), &candidate.data_dir)
        .map_err(|cause| refused("profiles", Some(&profile.key()), cause))?;
    connect.password = Secret::new(password);
    let (schema, database) = (profile.text("default_schema"), profile.text("default_database"));
    target.default_schema = schema.to_owned();
    connect.database = if database.is_empty() { schema } else { database }.to_owned();
    if target.protocol == Protocol::Pgsql && database.is_empty() {
        // The schema names the database then, and the search path is the server's.
        target.default_schema = String::new();
    }
    connect.tls = tls(profile.flag("use_ssl"), profile.text("ssl_mode"));
    let file = |name: &str| {
        let path = variables.text(name);
        (!path.is_empty()).then(|| absolute(&candidate.data_dir, path))
    };
    connect.tls_ca_file = file("backend_ssl_ca");
    connect.tls_cert_file = file("backend_ssl_cert");
    connect.tls_key_file = file("backend_ssl_key");
    connect.connect_timeout_ms = variables.int("pool_connect_timeout_ms");
    if let Some(extra) = extra {
        connect.tls_ca_file = extra.tls_ca_file.clone().or(connect.tls_ca_file);
        connect.tls_cert_file = extra.tls_cert_file.clone().or(connect.tls_cert_file);
        connect.tls_key_file = extra.tls_key_file.clone().or(connect.tls_key_file);
        if extra.connect_timeout_ms != URL_CONNECT_TIMEOUT_MS {
            connect.connect_timeout_ms = extra.connect_timeout_ms;
        }
    }
    target.connect = connect;
    Ok(())
}

fn absolute(folder: &Path, path: &str) -> String {
    folder.join(path).display().to_string()
}

/// The stricter of the switch and the mode.
fn tls(use_ssl: bool, mode: &str) -> TlsMode {
    let named = match ssl_mode(mode).unwrap_or_default() {
        "preferred" => TlsMode::Preferred,
        "required" => TlsMode::Required,
        "verify_ca" => TlsMode::VerifyCa,
        "verify_identity" => TlsMode::VerifyIdentity,
        _ => TlsMode::Disabled,
    };
    if use_ssl { named.max(TlsMode::Required) } else { named }
}

/// The rules.
pub(crate) fn rules(candidate: &Candidate) -> Vec<RuleConfig> {
    let rule = |row: RowView<'_>| {
        let text = |name: &str| row.optional(name).map(str::to_owned);
        let count = |name: &str| row.int(name).and_then(|n| u64::try_from(n).ok());
        let mut rule = RuleConfig::new(row.int("rule_id").unwrap_or_default());
        rule.active = row.flag("active");
        rule.username = text("username");
        rule.target_id = text("target_id");
        rule.schemaname = text("schemaname");
        rule.tool_name = text("tool_name");
        rule.caller = text("caller");
        rule.match_pattern = text("match_pattern");
        rule.negate_match_pattern = row.flag("negate_match_pattern");
        rule.re_modifiers = row.text("re_modifiers").to_owned();
        rule.flag_in = row.int("flagIN").unwrap_or_default();
        rule.flag_out = row.int("flagOUT");
        rule.replace_pattern = text("replace_pattern");
        rule.timeout_ms = count("timeout_ms");
        rule.error_msg = text("error_msg");
        rule.ok_msg = text("OK_msg");
        rule.log = row.int("log").map(|flag| flag != 0);
        rule.apply = row.flag("apply");
        rule.cache_ttl_ms = count("cache_ttl_ms");
        rule.comment = text("comment");
        rule
    };
    candidate.rows("mcp_query_rules").map(rule).collect()
}

fn finer_scopes(endpoint: &str, widest: Scope) -> Vec<String> {
    match endpoint {
        "ai" => bridge_ai::ai_scopes(widest),
        "rag" => bridge_ai::rag_scopes(widest),
        _ => Vec::new(),
    }
}

/// The tokens: those of the table, and one named `default` for each variable that is set.
pub(crate) fn tokens(candidate: &Candidate) -> Vec<TokenRecord> {
    let mut records = Vec::new();
    for endpoint in TOKEN_ENDPOINTS {
        let hash = candidate.variables().text(&format!("{endpoint}_endpoint_auth"));
        if !hash.is_empty() {
            records.push(TokenRecord::new(format!("/mcp/{endpoint}"), "default", hash, Scope::Full));
        }
    }
    for row in candidate.rows("mcp_endpoint_tokens") {
        let scopes = row.list("scopes");
        let has = |word: &str| scopes.iter().any(|scope| scope == word);
        let widest = if has("full") {
            Scope::Full
        } else if has("write") {
            Scope::Write
        } else {
            Scope::Read
        };
        let endpoint = format!("/mcp/{}", row.text("endpoint"));
        let mut record = TokenRecord::new(endpoint, row.text("token_name"), row.text("token"), widest);
        let plain = |s: &String| matches!(s.as_str(), "read" | "write" | "full");
        // A plain word holds finer ones; finer ones alone are all that the token holds.
        if scopes.iter().any(plain) {
            record.named_scopes = finer_scopes(row.text("endpoint"), widest);
        }
        record.named_scopes.extend(scopes.into_iter().filter(|s| !plain(s)));
        record.active = row.flag("active");
        record.expires_at_s = row.int("expires_at").map(|at| u64::try_from(at).unwrap_or_default());
        record.rate_limit_per_min = row.int("rate_limit_per_min").and_then(|n| u32::try_from(n).ok());
        record.targets = Some(row.list("allowed_targets")).filter(|list| !list.is_empty());
        records.push(record);
    }
    records
}
