//! The configuration as part of a host: opening it, targets of the command line as rows, tokens; it applies nothing itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use bridge_ai::{GenaiConfig, genai_family};
use harvest::{ConnectParams, Protocol, TlsMode};
use mcp::Scope;
use mcp_config::{
    AdminOptions, AdminSession, AdminSql, Cell, Persist, TOKEN_ENDPOINTS, mcp_family, random_token,
};

use crate::ai::AiSwitch;
use crate::config::HostConfig;
use crate::error::HostError;
use crate::host::Host;
use crate::listener::ListenerControl;
use crate::runtime::{ConfigConsumer, HostRuntime};
use crate::targets::TargetSpec;
use crate::tokens;

/// First group of backends that command-line targets take.
const HOSTGROUP_FIRST: i64 = 9_000;
/// Beginning of the credentials' names of command-line targets.
const PROFILE_PREFIX: &str = "cli:";
/// Rows read back from the host's own statements.
const ROWS_MAX: usize = 10_000;

/// Opens the configuration and puts the command line's targets into memory.
pub(crate) fn open(
    config: &HostConfig,
    runtime: Arc<HostRuntime>,
    ai: Arc<AiSwitch>,
) -> Result<Arc<AdminSql>, HostError> {
    let mut options = AdminOptions::new(&config.data_dir);
    options.config_file.clone_from(&config.config_file);
    let family = mcp_family(&config.data_dir, runtime);
    let genai = genai_family(ai, &GenaiConfig::hosted());
    let admin = Arc::new(AdminSql::open(options, vec![family, genai])?);
    if config.backends.is_none() {
        adopt(&admin, &config.targets)?;
    }
    Ok(admin)
}

/// What the URLs of targets say beyond the columns of the tables.
pub(crate) fn extra(targets: &[TargetSpec]) -> BTreeMap<String, ConnectParams> {
    targets.iter().map(|target| (target.target_id.clone(), target.connect.clone())).collect()
}

/// Targets of the command line become rows, in place of rows that an earlier command line left.
fn adopt(admin: &AdminSql, targets: &[TargetSpec]) -> Result<(), HostError> {
    let run = |sql: &str, params: &[Cell]| admin.execute(&AdminSession::local(), sql, params, ROWS_MAX);
    run(
        "DELETE FROM mcp_backends WHERE hostgroup_id IN (SELECT hostgroup_id FROM mcp_target_profiles WHERE \
         substr(auth_profile_id, 1, 4) = ?1)",
        &[Cell::text(PROFILE_PREFIX)],
    )?;
    run(
        "DELETE FROM mcp_target_profiles WHERE substr(auth_profile_id, 1, 4) = ?1",
        &[Cell::text(PROFILE_PREFIX)],
    )?;
    run(
        "DELETE FROM mcp_auth_profiles WHERE substr(auth_profile_id, 1, 4) = ?1",
        &[Cell::text(PROFILE_PREFIX)],
    )?;
    let highest = run(
        "SELECT max(?1, coalesce(max(hostgroup_id) + 1, 0)) FROM (SELECT hostgroup_id FROM mcp_backends UNION ALL \
         SELECT hostgroup_id FROM mcp_target_profiles)",
        &[Cell::Integer(HOSTGROUP_FIRST)],
    )?;
    let first = highest.rows.first().and_then(|row| row.first()).and_then(Cell::as_int);
    for (target, group) in targets.iter().zip(first.unwrap_or(HOSTGROUP_FIRST)..) {
        adopt_one(&run, target, group)?;
    }
    Ok(())
}

fn adopt_one(
    run: &dyn Fn(&str, &[Cell]) -> mcp_config::ConfigResult<mcp_config::AdminReply>,
    target: &TargetSpec,
    group: i64,
) -> Result<(), HostError> {
    let connect = &target.connect;
    let profile = format!("{PROFILE_PREFIX}{}", target.target_id);
    let (schema, database) = match target.protocol {
        Protocol::Pgsql => ("", connect.database.as_str()),
        _ => (connect.database.as_str(), ""),
    };
    let mode = match connect.tls {
        TlsMode::Disabled => "",
        TlsMode::Preferred => "preferred",
        TlsMode::Required => "required",
        TlsMode::VerifyCa => "verify_ca",
        TlsMode::VerifyIdentity => "verify_identity",
    };
    run(
        "REPLACE INTO mcp_auth_profiles (auth_profile_id, db_username, db_password, default_schema, ssl_mode, \
         default_database, comment) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'command line')",
        &[
            Cell::text(&profile),
            Cell::text(&connect.user),
            Cell::text(connect.password.expose()),
            Cell::text(schema),
            Cell::text(mode),
            Cell::text(database),
        ],
    )?;
    let number = |n: u64| Cell::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    run(
        "REPLACE INTO mcp_target_profiles (target_id, protocol, hostgroup_id, auth_profile_id, description, max_rows, \
         timeout_ms, comment) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'command line')",
        &[
            Cell::text(&target.target_id),
            Cell::text(target.protocol.as_str()),
            Cell::Integer(group),
            Cell::text(&profile),
            Cell::text(&target.description),
            number(target.rows_max as u64),
            number(target.timeout_ms),
        ],
    )?;
    run(
        "REPLACE INTO mcp_backends (hostgroup_id, hostname, port, comment) VALUES (?1, ?2, ?3, 'command line')",
        &[Cell::Integer(group), Cell::text(&connect.host), Cell::Integer(i64::from(connect.port))],
    )?;
    Ok(())
}

impl Host {
    /// The admin interface: verbs and SQL over the configuration.
    #[must_use]
    pub fn admin(&self) -> &Arc<AdminSql> {
        &self.admin
    }

    /// Tells a part of this program about every configuration, from the next one on.
    pub fn add_consumer(&self, consumer: Arc<dyn ConfigConsumer>) {
        self.runtime.add_consumer(consumer);
    }

    /// The server's bounds follow the variables from now on.
    pub fn attach_server(&self, server: &mcp_server::Server) {
        self.runtime.set_server(server.clone());
    }

    /// The listener follows the variables from now on, beginning with those that run.
    ///
    /// # Errors
    /// Why it cannot listen; it follows later changes all the same.
    pub fn attach_listener(&self, control: Arc<dyn ListenerControl>) -> Result<(), HostError> {
        self.runtime.set_listener(control).map(drop).map_err(HostError::Listener)
    }

    /// The names of an endpoint's tokens.
    #[must_use]
    pub fn token_names(&self, endpoint: &str) -> Vec<String> {
        self.runtime.token_names(endpoint)
    }

    /// Makes a random token, keeps its hash in every layer, and returns it this once. One of the same name is replaced. The
    /// name `default` stands for the variable of the endpoint, whose scope is `full`.
    ///
    /// # Errors
    /// When the configuration cannot be written.
    pub fn issue_token(&self, endpoint: &str, name: &str, scope: Scope) -> Result<String, HostError> {
        let token = random_token()?;
        let short = endpoint.trim_start_matches("/mcp/");
        let session = AdminSession::local();
        if name == "default" && TOKEN_ENDPOINTS.contains(&short) && scope == Scope::Full {
            let variable = format!("mcp-{short}_endpoint_auth");
            self.admin.set_variable(&session, &variable, &token, Persist::Disk)?;
            return Ok(token);
        }
        let scopes = format!("{scope:?}").to_lowercase();
        let cells = [Cell::text(short), Cell::text(name), Cell::text(&token), Cell::text(scopes)];
        let insert =
            "REPLACE INTO mcp_endpoint_tokens (endpoint, token_name, token, scopes) VALUES (?1, ?2, ?3, ?4)";
        self.admin.execute(&session, insert, &cells, 1)?;
        for verb in ["LOAD MCP TOKENS TO RUNTIME", "SAVE MCP TOKENS TO DISK"] {
            self.admin.execute(&session, verb, &[], 1)?;
        }
        Ok(token)
    }

    /// Takes one given token into use for every endpoint, with scope `full`, beside the kept ones. It is not kept.
    ///
    /// # Errors
    /// When the system has no randomness for the salt.
    pub fn use_token(&self, name: &str, token: &str) -> Result<(), HostError> {
        let endpoints = self.registry().endpoints();
        let records: Result<Vec<_>, HostError> =
            endpoints.iter().map(|endpoint| tokens::record(endpoint, name, token, Scope::Full)).collect();
        self.runtime.add_tokens(records?);
        Ok(())
    }
}
