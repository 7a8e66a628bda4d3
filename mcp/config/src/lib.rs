//! Configuration of an MCP server in three layers with verbs, variables and SQL; it knows no transport and no database driver.

mod admin;
mod cell;
mod checksum;
mod config_file;
mod error;
mod family;
mod guard;
mod mcp_family;
mod mcp_tables;
mod mcp_variables;
mod runtime;
mod secrets;
mod store;
mod variables;
mod verb;

pub use admin::{
    AdminOptions, AdminReply, AdminSql, ModuleReport, ModuleSums, Origin, Persist, ReloadReport, ReloadScope,
    ReplyKind, SetReport, VariableInfo,
};
pub use cell::{Cell, Row};
pub use error::{ConfigResult, refused};
pub use family::{Candidate, CandidateCheck, ColumnDef, Family, ModuleDef, RowView, TableDef, VARIABLES};
pub use mcp_family::{mcp_family, ssl_mode, target_effects};
pub use mcp_tables::{
    AUTH_PROFILES, BACKENDS, COLUMN_RULES, COST_RULES, MCP_MODULES, QUERY_RULES, TARGET_PROFILES, TOKENS,
};
pub use mcp_variables::{MCP_VARIABLES, TOKEN_ENDPOINTS};
pub use runtime::{
    AdminSession, Applied, AuditEvent, AuditHook, ListenerChange, ListenerState, Runtime, StatsTable,
    StatsTables,
};
pub use secrets::{MASK, hash_token, is_token_hash, random_token, resolve_secret, token_matches};
pub use variables::{TextCheck, VALUE_BYTES_MAX, VariableDef, VariableKind, Variables};
pub use verb::{Layer, Move, Verb};
