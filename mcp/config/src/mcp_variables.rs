//! The variables of the `mcp-` family: names, types, ranges, defaults; it does not know what acts on them.

use crate::variables::{VariableDef, VariableKind, Variables};

use VariableKind::{Bool, Enum, Int, Num, Text};

const fn def(
    name: &'static str,
    kind: VariableKind,
    default: &'static str,
    description: &'static str,
) -> VariableDef {
    VariableDef { name, kind, default, restarts_listener: false, description }
}

const fn listener(
    name: &'static str,
    kind: VariableKind,
    default: &'static str,
    description: &'static str,
) -> VariableDef {
    VariableDef { name, kind, default, restarts_listener: true, description }
}

const fn int(min: i64, max: i64) -> VariableKind {
    Int { min, max }
}

const TOKEN: VariableKind = VariableKind::Secret { hashed: true };
const DAY_MS: i64 = 86_400_000;
const PATH: VariableKind = Text(Some(path));
const FILE: VariableKind = Text(None);
const SIZE_MAX: i64 = 1 << 40;

/// Endpoints whose `default` token is a variable.
pub const TOKEN_ENDPOINTS: &[&str] = &["config", "observe", "stats", "query", "admin", "cache", "ai", "rag"];

/// Objects that are refused beyond the gate's own lists: process lists, thread, setting and file-setting views.
const DENIED_OBJECTS: &str = "information_schema.processlist,performance_schema.processlist,\
performance_schema.threads,performance_schema.global_variables,performance_schema.session_variables,\
performance_schema.variables_info,performance_schema.setup_actors,information_schema.global_variables,\
information_schema.session_variables,information_schema.system_variables,sys.processlist,sys.session,\
sys.x$processlist,sys.x$session,pg_catalog.pg_stat_activity,pg_catalog.pg_settings,\
pg_catalog.pg_file_settings,pg_catalog.pg_hba_file_rules";

/// Every variable of the family.
pub const MCP_VARIABLES: &[VariableDef] = &[
    listener("enabled", Bool, "false", "whether the listener is on"),
    listener("port", int(1, 65_535), "6071", "port of the listener"),
    listener("use_ssl", Bool, "true", "whether the listener speaks TLS"),
    def("config_endpoint_auth", TOKEN, "", "token named default of /mcp/config; empty means none"),
    def("observe_endpoint_auth", TOKEN, "", "token named default of /mcp/observe; empty means none"),
    def("stats_endpoint_auth", TOKEN, "", "token named default of /mcp/stats; empty means none"),
    def("query_endpoint_auth", TOKEN, "", "token named default of /mcp/query; empty means none"),
    def("admin_endpoint_auth", TOKEN, "", "token named default of /mcp/admin; empty means none"),
    def("cache_endpoint_auth", TOKEN, "", "token named default of /mcp/cache; empty means none"),
    def("ai_endpoint_auth", TOKEN, "", "token named default of /mcp/ai; empty means none"),
    def("rag_endpoint_auth", TOKEN, "", "token named default of /mcp/rag; empty means none"),
    def("timeout_ms", int(0, 3_600_000), "30000", "time of a whole tool call; 0 means none"),
    def("stats_show_queries_max_rows", int(1, 1000), "200", "cap of show_queries"),
    def("stats_show_processlist_max_rows", int(1, 1000), "200", "cap of show_processlist"),
    def("stats_enable_debug_tools", Bool, "false", "whether show_free_connections is there"),
    listener(
        "bind_address",
        Text(Some(addresses)),
        "127.0.0.1",
        "addresses of the listener, comma-separated",
    ),
    listener(
        "ssl_cert_file",
        FILE,
        "",
        "certificate of the listener; empty means the host's or a self-signed one",
    ),
    listener("ssl_key_file", FILE, "", "key of the listener's certificate"),
    listener(
        "ssl_client_ca_file",
        FILE,
        "",
        "authorities of client certificates; set means that clients need one",
    ),
    listener("ssl_min_version", Enum(&["1.2", "1.3"]), "1.2", "lowest TLS version of the listener"),
    def("allowed_origins", FILE, "", "accepted Origin values, comma-separated"),
    def("tool_name_style", Enum(&["dotted", "underscore"]), "dotted", "form of tool names in lists"),
    def("max_body_bytes", int(1024, 67_108_864), "1048576", "largest request body"),
    def("max_response_bytes", int(65_536, 67_108_864), "5000000", "largest result"),
    def("max_concurrent_requests", int(1, 4096), "64", "requests served at once"),
    def("rate_limit_per_min", int(0, 1_000_000), "0", "requests per token and minute; 0 means no limit"),
    def(
        "auth_max_failures_per_min",
        int(1, 10_000),
        "30",
        "failed authentications per client address and minute",
    ),
    def("token_min_length", int(8, 256), "16", "shortest token that is accepted"),
    def("default_target_id", FILE, "", "target of calls that name none"),
    def("max_rows_hard", int(1, 1_000_000), "10000", "upper bound of any row limit"),
    def("max_sql_bytes", int(1024, 1_048_576), "65536", "longest statement"),
    def(
        "sql_allowed_functions",
        FILE,
        "",
        "functions allowed beyond the gate's list, engine:name, comma-separated",
    ),
    def(
        "sql_denied_objects",
        FILE,
        DENIED_OBJECTS,
        "objects refused beyond the gate's list, comma-separated",
    ),
    def(
        "allow_privileged_backend",
        Bool,
        "false",
        "whether accounts of targets may hold more than reading: superuser, FILE, SUPER, write grants",
    ),
    def(
        "column_hash_key",
        VariableKind::Secret { hashed: false },
        "",
        "secret of the action hash of column rules; empty means one that lives as long as the process",
    ),
    def(
        "profile_max_scan_rows",
        int(1000, 100_000_000),
        "1000000",
        "largest table that a full profile scans whole",
    ),
    def("data_dir", VariableKind::StartOption, "", "base of relative paths; set at start"),
    def("catalog_path", PATH, "mcp_catalog.db", "store of the discovery catalog"),
    def("fts_path", PATH, "mcp_fts.db", "store of data indexes"),
    def("stats_path", PATH, "mcp_stats.db", "store of the statistics history"),
    def("audit_path", PATH, "mcp_audit.db", "store of the audit log"),
    def("discovery_timeout_ms", int(1000, 3_600_000), "600000", "time of one harvest"),
    def("discovery_max_objects", int(100, 5_000_000), "200000", "objects of one harvest"),
    def("discovery_max_value_checks", int(0, 10_000), "200", "value comparisons of one harvest"),
    def("catalog_max_runs_per_target", int(1, 10_000), "20", "runs kept of each target"),
    def("catalog_run_retention_days", int(0, 3650), "90", "age of the oldest run kept; 0 means any"),
    def("template_reuse_score", Num { min: 0.0, max: 1.0 }, "0.8", "score from which a template is reused"),
    def("fts_max_rows", int(1, 100_000_000), "1000000", "rows of one data index"),
    def("fts_max_bytes", int(1_048_576, SIZE_MAX), "1073741824", "size of one data index"),
    def("cache_enabled", Bool, "true", "whether results are cached"),
    def(
        "cache_default_ttl_ms",
        int(0, 604_800_000),
        "0",
        "time to live without a rule, at most cache_max_ttl_ms; 0 means only rules cache",
    ),
    def("cache_max_ttl_ms", int(1, 604_800_000), "86400000", "longest time to live"),
    def("cache_max_bytes", int(65_536, SIZE_MAX), "67108864", "memory of all cached results"),
    def(
        "cache_max_entry_bytes",
        int(1024, SIZE_MAX),
        "1048576",
        "memory of one cached result, at most cache_max_bytes",
    ),
    def("cache_scope", Enum(&["caller", "shared"]), "caller", "whether callers share cached results"),
    def("pool_connect_timeout_ms", int(100, 60_000), "2000", "longest wait for a new connection"),
    def("pool_acquire_timeout_ms", int(0, 60_000), "2000", "longest wait for a free connection"),
    def(
        "pool_idle_ping_ms",
        int(0, 3_600_000),
        "10000",
        "idle time after which a connection is checked before use",
    ),
    def("pool_max_idle_ms", int(1000, DAY_MS), "300000", "idle time after which a connection is closed"),
    def("pool_max_lifetime_ms", int(10_000, DAY_MS), "3600000", "age after which a connection is closed"),
    def("pool_shun_failures", int(1, 1000), "3", "connect failures in a row that shun a backend"),
    def("pool_shun_ms", int(100, 3_600_000), "10000", "time that a backend stays shunned"),
    def("backend_ssl_ca", FILE, "", "authorities for TLS to backends; empty means the built-in roots"),
    def("backend_ssl_cert", FILE, "", "client certificate for backends"),
    def("backend_ssl_key", FILE, "", "key of the client certificate for backends"),
    def("log_sql", Enum(&["off", "digest", "full"]), "digest", "statement text in logs and event tables"),
    def("log_retention_days", int(1, 3650), "30", "age of the oldest log row kept"),
    def("audit_enabled", Bool, "true", "whether the audit log is written"),
    def("audit_retention_days", int(1, 3650), "365", "age of the oldest audit row kept"),
    def("metrics_enabled", Bool, "false", "whether GET /metrics answers"),
    def("metrics_caller_label", Bool, "false", "whether metrics carry the caller"),
    def("stats_history_interval_s", int(5, 3600), "60", "time between two samples of the statistics history"),
    def("stats_digest_max_entries", int(100, 1_000_000), "20000", "live digests"),
    def("stats_digest_persist_s", int(1, 3600), "60", "time between two saves of digests"),
    def("query_log_buffer_events", int(0, 1_000_000), "10000", "events kept in memory; 0 means none"),
];

fn addresses(text: &str) -> Result<String, &'static str> {
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let valid = |part: &&str| part.parse::<std::net::IpAddr>().is_ok();
    if parts.is_empty() || !parts.iter().all(valid) {
        return Err("IP addresses, comma-separated");
    }
    Ok(parts.join(","))
}

fn path(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.contains('\0') { Err("a path") } else { Ok(text.to_owned()) }
}

/// What holds between variables: the name that is wrong and why.
pub(crate) fn check(variables: &Variables) -> Result<(), (&'static str, String)> {
    let number = |name: &str| variables.int::<i64>(name);
    if number("cache_default_ttl_ms") > number("cache_max_ttl_ms") {
        let most = number("cache_max_ttl_ms");
        return Err(("cache_default_ttl_ms", format!("at most cache_max_ttl_ms, which is {most}")));
    }
    if number("cache_max_entry_bytes") > number("cache_max_bytes") {
        let most = number("cache_max_bytes");
        return Err(("cache_max_entry_bytes", format!("at most cache_max_bytes, which is {most}")));
    }
    if variables.text("ssl_cert_file").is_empty() != variables.text("ssl_key_file").is_empty() {
        return Err(("ssl_key_file", "set together with ssl_cert_file".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_reviewed_by_snapshot() {
        let rows: Vec<String> = MCP_VARIABLES
            .iter()
            .map(|v| {
                let restart = if v.restarts_listener { ", listener" } else { "" };
                format!(
                    "{} | {} | {:?} | {}{restart} | {}",
                    v.name,
                    v.type_name(),
                    v.default,
                    v.expected(),
                    v.description
                )
            })
            .collect();
        insta::assert_snapshot!("variables", rows.join("\n"));
    }

    #[test]
    fn every_default_is_its_own_normal_form() {
        for variable in MCP_VARIABLES {
            assert_eq!(
                variable.normalise(variable.default).as_deref(),
                Ok(variable.default),
                "{}",
                variable.name
            );
        }
        let mut names: Vec<_> = MCP_VARIABLES.iter().map(|v| v.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), MCP_VARIABLES.len());
    }
}
