//! The tables of the `MCP` modules: columns, defaults, keys; it does not know what their rows mean together.

use crate::family::{ColumnDef, ModuleDef, TableDef};

const fn col(name: &'static str, decl: &'static str) -> ColumnDef {
    ColumnDef { name, decl }
}

const FLAG_OFF: &str = "INTEGER NOT NULL DEFAULT 0 CHECK (@ IN (0, 1))";
const FLAG_ON: &str = "INTEGER NOT NULL DEFAULT 1 CHECK (@ IN (0, 1))";
const FLAG_NULL: &str = "INTEGER NULL CHECK (@ IN (0, 1))";
const COUNT_NULL: &str = "INTEGER NULL CHECK (@ >= 0)";
const TEXT_EMPTY: &str = "TEXT NOT NULL DEFAULT ''";

/// Query rules.
pub const QUERY_RULES: TableDef = TableDef {
    name: "mcp_query_rules",
    columns: &[
        col("rule_id", "INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL"),
        col("active", FLAG_OFF),
        col("username", "TEXT NULL"),
        col("target_id", "TEXT NULL"),
        col("schemaname", "TEXT NULL"),
        col("tool_name", "TEXT NULL"),
        col("match_pattern", "TEXT NULL"),
        col("negate_match_pattern", FLAG_OFF),
        col("re_modifiers", "TEXT NOT NULL DEFAULT 'CASELESS'"),
        col("flagIN", "INTEGER NOT NULL DEFAULT 0 CHECK (@ >= 0)"),
        col("flagOUT", COUNT_NULL),
        col("replace_pattern", "TEXT NULL"),
        col("timeout_ms", COUNT_NULL),
        col("error_msg", "TEXT NULL"),
        col("OK_msg", "TEXT NULL"),
        col("log", FLAG_NULL),
        col("apply", FLAG_ON),
        col("comment", "TEXT NULL"),
        col("cache_ttl_ms", COUNT_NULL),
        col("caller", "TEXT NULL"),
    ],
    key: &["rule_id"],
    secret: None,
    hashed: false,
    runtime_columns: &[],
};

/// Who may see which columns, and how. A pattern that is NULL matches everything.
pub const COLUMN_RULES: TableDef = TableDef {
    name: "mcp_column_rules",
    columns: &[
        col("rule_id", "INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL"),
        // A rule that guards nothing until somebody thinks of `active` is a leak.
        col("active", FLAG_ON),
        col("target_id", "TEXT NULL"),
        col("caller", "TEXT NULL"),
        col("schema_name", "TEXT NULL"),
        col("table_name", "TEXT NULL"),
        col("column_name", "TEXT NULL"),
        col("action", "TEXT NOT NULL CHECK (@ IN ('deny', 'mask', 'hash', 'partial', 'null'))"),
        col("comment", "TEXT NULL"),
    ],
    key: &["rule_id"],
    secret: None,
    hashed: false,
    runtime_columns: &[],
};

/// Bounds on what the engine expects of a statement. A filter or bound that is NULL matches everything or bounds nothing.
pub const COST_RULES: TableDef = TableDef {
    name: "mcp_cost_rules",
    columns: &[
        col("rule_id", "INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL"),
        col("active", FLAG_ON),
        col("target_id", "TEXT NULL"),
        col("caller", "TEXT NULL"),
        col("max_estimated_rows", COUNT_NULL),
        col("max_estimated_cost", COUNT_NULL),
        col("comment", "TEXT NULL"),
    ],
    key: &["rule_id"],
    secret: None,
    hashed: false,
    runtime_columns: &[],
};

/// Credentials.
pub const AUTH_PROFILES: TableDef = TableDef {
    name: "mcp_auth_profiles",
    columns: &[
        col("auth_profile_id", "TEXT NOT NULL"),
        col("db_username", "TEXT NOT NULL"),
        col("db_password", "TEXT NOT NULL"),
        col("default_schema", TEXT_EMPTY),
        col("use_ssl", FLAG_OFF),
        col("ssl_mode", TEXT_EMPTY),
        col("comment", TEXT_EMPTY),
        col("default_database", TEXT_EMPTY),
    ],
    key: &["auth_profile_id"],
    secret: Some("db_password"),
    hashed: false,
    runtime_columns: &[],
};

/// Targets.
pub const TARGET_PROFILES: TableDef = TableDef {
    name: "mcp_target_profiles",
    columns: &[
        col("target_id", "TEXT NOT NULL"),
        col("protocol", "TEXT NOT NULL"),
        col("hostgroup_id", "INTEGER NOT NULL CHECK (@ >= 0)"),
        col("auth_profile_id", "TEXT NOT NULL"),
        col("description", TEXT_EMPTY),
        col("max_rows", "INTEGER NOT NULL DEFAULT 200 CHECK (@ > 0)"),
        col("timeout_ms", "INTEGER NOT NULL DEFAULT 2000 CHECK (@ >= 0)"),
        col("allow_explain", FLAG_ON),
        col("allow_discovery", FLAG_ON),
        col("active", FLAG_ON),
        col("comment", TEXT_EMPTY),
        col("admin_auth_profile_id", "TEXT NULL"),
    ],
    key: &["target_id"],
    secret: None,
    hashed: false,
    runtime_columns: &[
        col("effective", "INTEGER"),
        col("skip_reason", "TEXT"),
        col("executable", "INTEGER"),
        col("unavailable_reason", "TEXT"),
    ],
};

/// Backend servers.
pub const BACKENDS: TableDef = TableDef {
    name: "mcp_backends",
    columns: &[
        col("hostgroup_id", "INTEGER NOT NULL DEFAULT 0 CHECK (@ >= 0)"),
        col("hostname", "TEXT NOT NULL"),
        col("port", "INTEGER NOT NULL DEFAULT 0 CHECK (@ BETWEEN 0 AND 65535)"),
        col("weight", "INTEGER NOT NULL DEFAULT 1 CHECK (@ >= 0)"),
        col(
            "status",
            "TEXT NOT NULL DEFAULT 'ONLINE' CHECK (@ IN ('ONLINE', 'SHUNNED', 'OFFLINE_SOFT', 'OFFLINE_HARD'))",
        ),
        col("max_connections", "INTEGER NOT NULL DEFAULT 10 CHECK (@ > 0)"),
        col("use_ssl", FLAG_OFF),
        col("comment", TEXT_EMPTY),
    ],
    key: &["hostgroup_id", "hostname", "port"],
    secret: None,
    hashed: false,
    runtime_columns: &[
        col("status_reason", "TEXT"),
        col("conn_used", "INTEGER"),
        col("conn_free", "INTEGER"),
        col("shunned_until", "INTEGER"),
    ],
};

/// Tokens of the endpoints.
pub const TOKENS: TableDef = TableDef {
    name: "mcp_endpoint_tokens",
    columns: &[
        col("endpoint", "TEXT NOT NULL"),
        col("token_name", "TEXT NOT NULL"),
        col("token", "TEXT NOT NULL"),
        col("scopes", "TEXT NOT NULL DEFAULT 'write'"),
        col("active", FLAG_ON),
        col("expires_at", "INTEGER NULL"),
        col("rate_limit_per_min", COUNT_NULL),
        col("allowed_targets", TEXT_EMPTY),
        col("comment", TEXT_EMPTY),
    ],
    key: &["endpoint", "token_name"],
    secret: Some("token"),
    hashed: true,
    runtime_columns: &[col("expired", "INTEGER"), col("last_used", "INTEGER")],
};

/// The modules besides the variables, in the order in which they are applied.
pub const MCP_MODULES: &[ModuleDef] = &[
    ModuleDef { key: "tokens", words: "TOKENS", tables: &[&TOKENS] },
    ModuleDef { key: "backends", words: "BACKENDS", tables: &[&BACKENDS] },
    ModuleDef { key: "profiles", words: "PROFILES", tables: &[&AUTH_PROFILES, &TARGET_PROFILES] },
    ModuleDef { key: "query_rules", words: "QUERY RULES", tables: &[&QUERY_RULES] },
    ModuleDef { key: "column_rules", words: "COLUMN RULES", tables: &[&COLUMN_RULES] },
    ModuleDef { key: "cost_rules", words: "COST RULES", tables: &[&COST_RULES] },
];
